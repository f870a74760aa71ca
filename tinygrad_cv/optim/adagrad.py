"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..tensor import Tensor
from .flat import Run, State
from .optimizer import Group, Optimizer, check_not_negative, rounded_once


class Adagrad(Optimizer):
    """The gradient over the root of the sum of its squares (Duchi, Hazan & Singer 2011).

    The rate is lr / (1 + (t - 1) lr_decay). `weight_decay` adds weight_decay p to the gradient.
    """

    fixed: ClassVar = {"maximize": False, "initial_accumulator_value": 0}

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(params, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps)

    @staticmethod
    def check(lr: float, lr_decay: float, weight_decay: float, eps: float) -> None:
        """Refuse options out of range."""
        check_not_negative(lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps)

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """What is kept for each element of a parameter."""
        return ("sum",)

    @staticmethod
    @rounded_once
    def reference(
        p: np.ndarray,
        g: np.ndarray,
        state: State,
        t: int,
        *,
        lr: float,
        lr_decay: float,
        weight_decay: float,
        eps: float,
    ) -> tuple[np.ndarray, State]:
        """The new p and state after step t = 1, 2, ... with the gradient g."""
        g = g + weight_decay * p
        total = state["sum"] + g**2
        rate = lr / (1 + (t - 1) * lr_decay)
        return p - rate * g / (np.sqrt(total) + eps), {"sum": total}

    @staticmethod
    def update(
        run: Run,
        *,
        lr: float,
        lr_decay: float,
        weight_decay: float,
        eps: float,
    ) -> None:
        """The same in place."""
        rate = lr / (1 + (run.t - 1) * lr_decay)
        for p, g, state, (a, b) in run.tiles:
            if weight_decay:
                np.multiply(p, weight_decay, out=a)
                g = np.add(a, g, out=a)
            total = state["sum"]
            np.multiply(g, g, out=b)
            total += b
            np.sqrt(total, out=b)
            b += eps
            np.divide(g, b, out=b)
            b *= rate
            p -= b
