"""mygrad."""

from __future__ import annotations

from typing import Any

import mygrad
import numpy as np

from .functional import Maths, loop
from .peer_tape import TapeContender

MATHS = Maths(mygrad, loop(mygrad))


def gradients(loss: Any, chosen: dict[str, np.ndarray], others: dict[str, np.ndarray], batch: Any) -> Any:
    tensors = {n: mygrad.tensor(a, copy=False) for n, a in chosen.items()}
    value = loss({**others, **tensors}, *batch)
    value.backward()
    return float(value.item()), {n: t.grad for n, t in tensors.items()}


class Contender(TapeContender):
    def __init__(self, name: str, weights: dict[str, np.ndarray]) -> None:
        mygrad.turn_memory_guarding_off()
        super().__init__(name, weights, MATHS, gradients)
