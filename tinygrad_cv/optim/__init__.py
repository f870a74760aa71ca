"""Optimisers, learning rate schedules, gradient clipping and moving averages of weights.

    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    for images, labels in batches:
        loss = kernels.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()

Names, arguments and state are PyTorch's, so that a run can move from one to the other.
"""

from .adam import Adam, AdamW
from .averages import ExponentialMovingAverage
from .clipping import clip_grad_norm_, clip_grad_value_, clipped_norm, clipped_value
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .schedules import (
    Plateau,
    Schedule,
    constant,
    cosine,
    cosine_restarts,
    exponential,
    inverse_square_root,
    multi_step,
    one_cycle,
    step_decay,
    warm_up,
)
from .sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "ExponentialMovingAverage",
    "Optimizer",
    "Plateau",
    "RMSprop",
    "Schedule",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clipped_norm",
    "clipped_value",
    "constant",
    "cosine",
    "cosine_restarts",
    "exponential",
    "inverse_square_root",
    "multi_step",
    "one_cycle",
    "step_decay",
    "warm_up",
]
