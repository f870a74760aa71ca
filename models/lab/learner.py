"""How the models learn.

AdamW with warm-up and cosine decay, clipped gradients, and a moving average of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tinygrad_cv as tg
from tinygrad_cv import nn, optim

from ..config import Config, Fraction, NonNegative, Steps


@dataclass(frozen=True)
class TrainingConfig(Config):
    """How a model is trained by a `Learner`."""

    steps: Steps = 3000  # updates of the weights
    batch_size: int = 128  # examples of an update
    lr: float = 1e-3  # learning rate after the warm-up
    weight_decay: float = 0.0  # share of lr by which weights shrink
    warmup_steps: NonNegative = 200  # in which the learning rate rises
    ema_decay: Fraction = 0.998  # of the moving average of the weights
    max_grad_norm: float = 1.0  # the gradients' norm is cut there


class Learner:
    """A model with what changes it. The moving average is what is used in the end.

    The learning rate rises to `lr` in `warmup_steps` and falls along half a cosine to `final_ratio`
    of it at `steps`, unless another `schedule` is given; the gradients' norm is cut at
    `max_grad_norm`; weights that are frozen stay.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainingConfig,
        *,
        final_ratio: float = 0.02,
        schedule: optim.Schedule | None = None,
    ) -> None:
        self.model, self.config = model, config
        weights = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = optim.AdamW(
            weights, config.lr, (0.9, 0.99), weight_decay=config.weight_decay
        )
        afterwards = max(0, config.steps - config.warmup_steps)
        cosine = optim.cosine(afterwards, final_ratio)
        self.schedule = schedule or optim.warm_up(config.warmup_steps, cosine)
        self.ema = optim.ExponentialMovingAverage(model, config.ema_decay)
        self.parts: dict[str, Any] = {"model": model, "optimizer": self.optimizer, "ema": self.ema}

    def step(self, loss: Any, step: int) -> None:
        """One step downhill from a loss."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.average_gradients()
        optim.clip_grad_norm_(self.optimizer.parameters, self.config.max_grad_norm)
        self.optimizer.lr = self.config.lr * self.schedule(step)
        self.optimizer.step()
        self.ema.update()

    @contextmanager
    def ema_weights(self) -> Iterator[nn.Module]:
        """Inside this context the model has the averaged weights, and records nothing."""
        with tg.no_grad(), self.ema.applied() as model:
            model.eval()
            try:
                yield model
            finally:
                model.train()
