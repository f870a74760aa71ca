"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..engine.arguments import switch
from ..tensor import Tensor
from .flat import Run, State
from .optimizer import Group, Optimizer, check_decay_rate, check_not_negative, rounded_once


class RMSprop(Optimizer):
    """The gradient over the root of its mean square (Hinton, lecture 6e, 2012), in PyTorch's form.

    `centered` subtracts the squared mean of the gradient (Graves 2013, equation 40). With momentum
    the quotients are summed up as gradients are in `SGD`. `weight_decay` adds weight_decay p to the
    gradient.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
        )

    @staticmethod
    def check(
        lr: float,
        alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
        centered: bool,
    ) -> None:
        """Refuse options out of range."""
        check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay, momentum=momentum)
        check_decay_rate("alpha", alpha)
        switch("centered", centered)

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """What is kept for each element of a parameter."""
        names = ["square_avg"]
        names += ["grad_avg"] if options["centered"] else []
        names += ["momentum_buffer"] if options["momentum"] else []
        return tuple(names)

    @staticmethod
    @rounded_once
    def reference(
        p: np.ndarray,
        g: np.ndarray,
        state: State,
        t: int,
        *,
        lr: float,
        alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
        centered: bool,
    ) -> tuple[np.ndarray, State]:
        """The new p and state after step t = 1, 2, ... with the gradient g."""
        g = g + weight_decay * p
        square_avg = alpha * state["square_avg"] + (1 - alpha) * g**2
        after = {"square_avg": square_avg}
        variance = square_avg
        if centered:
            grad_avg = alpha * state["grad_avg"] + (1 - alpha) * g
            after["grad_avg"] = grad_avg
            variance = square_avg - grad_avg**2
        step = g / (np.sqrt(variance) + eps)
        if momentum:
            step = momentum * state["momentum_buffer"] + step
            after["momentum_buffer"] = step
        return p - lr * step, after

    @staticmethod
    def update(
        run: Run,
        *,
        lr: float,
        alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
        centered: bool,
    ) -> None:
        """The same in place."""
        old, new = alpha / (1 - alpha), 1 - alpha
        for p, g, state, (a, b) in run.tiles:
            if weight_decay:
                np.multiply(p, weight_decay, out=a)
                g = np.add(a, g, out=a)
            variance = state["square_avg"]
            np.multiply(g, g, out=b)
            variance *= old
            variance += b
            variance *= new
            if centered:
                mean = state["grad_avg"]
                mean *= old
                mean += g
                mean *= new
                np.multiply(mean, mean, out=b)
                variance = np.subtract(variance, b, out=b)
            np.sqrt(variance, out=b)
            b += eps
            step = np.divide(g, b, out=b)
            if momentum:
                buffer = state["momentum_buffer"]
                buffer *= momentum
                buffer += b
                step = buffer
            np.multiply(step, lr, out=b)
            p -= b
