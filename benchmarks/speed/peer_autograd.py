"""HIPS autograd."""

from __future__ import annotations

from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import grad, value_and_grad
from autograd.scipy.special import erf

from .functional import Maths, loop
from .peer_tape import TapeContender
from .workloads import Chain, batches, fingerprints, sizes_of

MATHS = Maths(anp, loop(anp), erf)


def gradients(loss: Any, chosen: dict[str, np.ndarray], others: dict[str, np.ndarray], batch: Any) -> Any:
    value, found = value_and_grad(lambda c: loss({**others, **c}, *batch))(chosen)
    return float(value), found


class ChainStep:
    """Without a gradient autograd records nothing, so its forward pass alone is not to be had."""

    def __init__(self, sizes: Chain, weights: dict[str, np.ndarray]) -> None:
        def chain(a: Any, b: Any, given: Any) -> Any:
            y = a
            for _ in range(sizes.length):
                y = y * b
            self.y = y
            return anp.sum(y * given)

        self.weights, self.both = weights, grad(chain, (0, 1))

    def step(self, given: Any) -> Any:
        return self.both(self.weights["a"], self.weights["b"], given)

    def check(self, given: Any) -> list[float]:
        found = self.step(given)
        return fingerprints([self.y._value, *found])


class Operation:
    def __init__(self, name: str, weights: dict[str, np.ndarray]) -> None:
        self.work, self.batches = ChainStep(sizes_of(name), weights), batches(name)  # type: ignore[arg-type]

    def step(self, i: int) -> Any:
        return self.work.step(*self.batches[0])


def Contender(name: str, weights: dict[str, np.ndarray]) -> Any:  # noqa: N802
    """One workload, ready to step."""
    return Operation(name, weights) if isinstance(sizes_of(name), Chain) else TapeContender(name, weights, MATHS, gradients)
