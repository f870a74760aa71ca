"""Adam, and AdamW with decoupled weight decay."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..tensor import Tensor
from .flat import Run, State
from .optimizer import Group, Optimizer, check_decay_rate, check_not_negative, rounded_once


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1). `weight_decay` adds weight_decay p to the gradient."""

    fixed: ClassVar = {"maximize": False, "amsgrad": False, "decoupled_weight_decay": False}

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @staticmethod
    def check(lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
        """Refuse options out of range."""
        check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        if not isinstance(betas, tuple) or len(betas) != 2:
            raise TypeError(f"betas is a pair of numbers, not {betas!r}")
        for i, beta in enumerate(betas):
            check_decay_rate(f"betas[{i}]", beta)

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """What is kept for each element of a parameter."""
        return "exp_avg", "exp_avg_sq"

    @staticmethod
    @rounded_once
    def reference(
        p: np.ndarray,
        g: np.ndarray,
        state: State,
        t: int,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> tuple[np.ndarray, State]:
        """The new p and state after step t = 1, 2, ... with the gradient g."""
        beta1, beta2 = betas
        g = g + weight_decay * p
        m = beta1 * state["exp_avg"] + (1 - beta1) * g
        v = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)  # both moments begin at 0: their bias is removed
        v_hat = v / (1 - beta2**t)
        p = p - lr * m_hat / (np.sqrt(v_hat) + eps)
        return p, {"exp_avg": m, "exp_avg_sq": v}

    @staticmethod
    def update(
        run: Run,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        """The same in place."""
        _update(run, lr, betas, eps, weight_decay, kept=1.0)


class AdamW(Adam):
    """Adam with decoupled weight decay: p -= lr weight_decay p (Loshchilov & Hutter 2019)."""

    fixed: ClassVar = {**Adam.fixed, "decoupled_weight_decay": True}

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    @staticmethod
    @rounded_once
    def reference(
        p: np.ndarray,
        g: np.ndarray,
        state: State,
        t: int,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> tuple[np.ndarray, State]:
        """The new p and state after step t = 1, 2, ... with the gradient g."""
        p = p - lr * weight_decay * p
        return Adam.reference(p, g, state, t, lr=lr, betas=betas, eps=eps, weight_decay=0.0)

    @staticmethod
    def update(
        run: Run,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        """The same in place."""
        _update(run, lr, betas, eps, weight_decay=0.0, kept=1 - lr * weight_decay)


def _update(
    run: Run,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    kept: float,
) -> None:
    """Adam in place, with few operations on arrays. First p is multiplied by `kept`.

    A moment is (beta / (1 - beta) m + g) (1 - beta). The factors of the step become one:
    m_hat / (sqrt(v_hat) + eps) = root / (1 - beta1^t) m / (sqrt(v) + eps root), where
    root = sqrt(1 - beta2^t).
    """
    beta1, beta2 = betas
    root = math.sqrt(1 - beta2**run.t)
    factors = (
        beta1 / (1 - beta1),
        1 - beta1,
        beta2 / (1 - beta2),
        1 - beta2,
        eps * root,
        lr * root / (1 - beta1**run.t),
    )
    arrays = [np.array(factor, run.dtype) for factor in factors]  # converted once, not at each use
    old_m, new_m, old_v, new_v, shift, rate = arrays
    for p, g, state, (a, b) in run.tiles:
        m, v = state["exp_avg"], state["exp_avg_sq"]
        if weight_decay:
            np.multiply(p, weight_decay, out=a)
            g = np.add(a, g, out=a)
        if kept != 1:
            p *= kept
        m *= old_m
        m += g
        m *= new_m
        np.multiply(g, g, out=b)
        v *= old_v
        v += b
        v *= new_v
        np.sqrt(v, out=b)
        b += shift
        np.divide(m, b, out=b)
        b *= rate
        p -= b
