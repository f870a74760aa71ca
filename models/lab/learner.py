"""How the models learn: AdamW with warm-up and cosine decay, clipped gradients, and a moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tinygrad_cv as tg
from tinygrad_cv import nn, optim


class Learner:
    """A model with what changes it. The moving average is what is used in the end.

    The configuration has `steps`, `rate`, `warm_up`, `average` (the decay of the moving average) and perhaps `weight_decay`.
    The learning rate rises to `rate` in `warm_up` steps and falls along half a cosine to `final_ratio` of it at `steps`, unless
    another `schedule` is given; the gradients' norm is cut at `clip`; weights that are frozen stay.
    """

    def __init__(
        self, model: nn.Module, config: Any, *, clip: float = 1.0, final_ratio: float = 0.02,
        schedule: optim.Schedule | None = None,
    ) -> None:  # fmt: skip
        self.model, self.rate, self.clip = model, config.rate, clip
        weights = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = optim.AdamW(weights, config.rate, (0.9, 0.99), weight_decay=getattr(config, "weight_decay", 0.0))
        afterwards = max(0, config.steps - config.warm_up)
        self.schedule = schedule or optim.warm_up(config.warm_up, optim.cosine(afterwards, final_ratio))
        self.average = optim.ExponentialMovingAverage(model, config.average)
        self.parts: dict[str, Any] = {"model": model, "optimizer": self.optimizer, "average": self.average}

    def step(self, loss: Any, step: int) -> None:
        """One step downhill from a loss."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.average_gradients()
        optim.clip_grad_norm_(self.optimizer.parameters, self.clip)
        self.optimizer.lr = self.rate * self.schedule(step)
        self.optimizer.step()
        self.average.update()

    @contextmanager
    def ema_weights(self) -> Iterator[nn.Module]:
        """Inside this context the model has the averaged weights, evaluates, and records nothing."""
        with tg.no_grad(), self.average.applied() as model:
            model.eval()
            try:
                yield model
            finally:
                model.train()
