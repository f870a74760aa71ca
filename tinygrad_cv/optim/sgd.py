"""Stochastic gradient descent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..engine.arguments import real, switch
from ..tensor import Tensor
from .flat import Run, State
from .optimizer import Group, Optimizer, check_not_negative, rounded_once


class SGD(Optimizer):
    """Stochastic gradient descent, with classical or Nesterov momentum (Sutskever et al. 2013).

    The momentum buffer sums up gradients, not steps, as in PyTorch: v = momentum v + g, p -= lr v.
    It begins as the first gradient; later ones count (1 - dampening) times. Nesterov's variant
    steps along g + momentum v. `weight_decay` adds weight_decay p to the gradient.
    """

    counts_steps: ClassVar = False

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    @staticmethod
    def check(
        lr: float, momentum: float, dampening: float, weight_decay: float, nesterov: bool
    ) -> None:
        """Refuse options out of range."""
        check_not_negative(lr=lr, momentum=momentum, weight_decay=weight_decay)
        real("dampening", dampening, least=-math.inf)
        switch("nesterov", nesterov)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """What is kept for each element of a parameter."""
        return ("momentum_buffer",) if options["momentum"] else ()

    @staticmethod
    @rounded_once
    def reference(
        p: np.ndarray,
        g: np.ndarray,
        state: State,
        t: int,
        *,
        lr: float,
        momentum: float,
        dampening: float,
        weight_decay: float,
        nesterov: bool,
    ) -> tuple[np.ndarray, State]:
        """The new p and state after step t = 1, 2, ... with the gradient g."""
        g = g + weight_decay * p
        if momentum == 0:
            return p - lr * g, {}
        buffer = g if t == 1 else momentum * state["momentum_buffer"] + (1 - dampening) * g
        step = g + momentum * buffer if nesterov else buffer
        return p - lr * step, {"momentum_buffer": buffer}

    @staticmethod
    def update(
        run: Run,
        *,
        lr: float,
        momentum: float,
        dampening: float,
        weight_decay: float,
        nesterov: bool,
    ) -> None:
        """The same in place."""
        for p, g, state, (a, b) in run.tiles:
            if weight_decay:
                np.multiply(p, weight_decay, out=a)
                g = np.add(a, g, out=a)
            step = g
            if momentum:
                buffer = state["momentum_buffer"]
                if run.t == 1:
                    buffer[...] = g
                else:
                    buffer *= momentum
                    buffer += np.multiply(g, 1 - dampening, out=b) if dampening else g
                step = buffer
            if nesterov:
                np.multiply(buffer, momentum, out=b)
                step = np.add(b, g, out=b)
            p -= np.multiply(step, lr, out=b)
