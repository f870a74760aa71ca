"""What autograd and mygrad share: a step over a dictionary of NumPy arrays, with Adam in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .functional import Maths, adam, generator, losses, prepared, trained
from .workloads import GANSizes, batches, sizes_of

Gradients = Callable[[Any, dict[str, np.ndarray], dict[str, np.ndarray], Any], tuple[float, dict[str, np.ndarray]]]


class TapeContender:
    """`gradients(loss, chosen, others, batch)`: the loss and its gradients by the chosen weights."""

    def __init__(self, name: str, weights: dict[str, np.ndarray], maths: Maths, gradients: Gradients) -> None:
        self.sizes, self.maths, self.gradients = sizes_of(name), maths, gradients
        self.parts, self.steps = losses(maths, name), 0
        self.weights = {n: np.array(a) for n, a in weights.items()}
        self.moments = {n: (np.zeros_like(a), np.zeros_like(a)) for n, a in self.weights.items()}
        self.batches = [prepared(name, batch) for batch in batches(name)]

    def step(self, i: int) -> float:
        batch, total, w = self.batches[i % len(self.batches)], 0.0, self.weights
        if not getattr(self.sizes, "training", True):
            return float(self.parts[0][1](w, *batch))
        self.steps += 1
        if isinstance(self.sizes, GANSizes):
            batch = (*batch, np.asarray(generator(self.maths, self.sizes, w, batch[1])))
        for begins, loss in self.parts:
            chosen = trained(w, begins)
            value, gradients = self.gradients(loss, chosen, w, batch)
            total += value
            for n, g in gradients.items():
                w[n], *moments = adam(np, w[n], g, *self.moments[n], self.steps)
                self.moments[n] = tuple(moments)
        return total
