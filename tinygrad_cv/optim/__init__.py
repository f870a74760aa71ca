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

from typing import Never

from ..engine.first_words import hint
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .averages import ExponentialMovingAverage
from .clipping import clip_grad_norm_, clip_grad_value_, clipped_norm, clipped_value
from .minimize import minimize
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
    "Adagrad",
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
    "minimize",
    "multi_step",
    "one_cycle",
    "step_decay",
    "warm_up",
]


def __getattr__(name: str) -> Never:
    """What PyTorch has here, and this package has not, by its name in this package."""
    raise AttributeError(f"{__name__} has no {name!r}{hint('tinygrad_cv.optim', name)}")
