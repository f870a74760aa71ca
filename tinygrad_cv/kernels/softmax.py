"""Softmax and its logarithm."""

from __future__ import annotations

import math

import numpy as np

from ..engine.arguments import whole
from ..typing import Array
from .fast.reduction import sum_along, sum_of_products
from .kernel import kernel

# Neither exp(60), times the length of a row, nor exp(-60) comes near the ends of float32.
SAFE = 60
LARGE = 0.75  # a share that is near enough to 1 for 1 - share to lose digits


@kernel
def softmax(x: Array, *, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along an axis: a probability for each entry (Bridle 1990)."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


@softmax.forward
def _(x: np.ndarray, axis: int) -> tuple[np.ndarray, None]:
    y = exponentials(x, whole("axis", axis, least=-math.inf))
    y /= sum_along(y, axis)
    return y, None


@softmax.backward
def _(
    g: np.ndarray,
    y: np.ndarray,
    axis: int,
) -> np.ndarray:
    """dx = y (g - sum(g y))."""
    dx = g - sum_of_products(g, y, axis)
    dx *= y
    return balanced(dx, y, axis)


@softmax.jvp
def _(
    x_dot: np.ndarray,
    y: np.ndarray,
    axis: int,
) -> np.ndarray:
    """y' = y (x' - sum(x' y)): the Jacobian is symmetric."""
    y_dot = x_dot - sum_of_products(x_dot, y, axis)
    y_dot *= y
    return balanced(y_dot, y, axis)


def balanced(
    dx: np.ndarray,
    shares: np.ndarray,
    axis: int,
) -> np.ndarray:
    """Gradients whose sum along the axis is 0, without the cancellation in 1 - share.

    Where one share is nearly 1, its gradient is minus the sum of the others.
    """
    large = shares > LARGE
    if not large.any():
        return dx
    others = np.where(large, 0, dx)
    return np.where(large, -sum_along(others, axis), others)


def exponentials(
    x: np.ndarray,
    axis: int = -1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """exp(x), or where that could overflow or vanish exp(x - max(x)), the maximum along the axis.

    To see whether all of x is small costs a fifth of the maximum of each row. Rows that are -inf
    throughout give 0. `out` may be x.
    """
    low = np.minimum.reduce(x, axis=None, initial=0)
    high = np.maximum.reduce(x, axis=None, initial=0)
    if low > -SAFE and high < SAFE:
        return np.exp(x, out=out)
    top = np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(top == -np.inf, top.dtype.type(0), top)
    shifted = np.subtract(x, top, out=out)
    return np.exp(shifted, out=shifted)


@kernel
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    """x - log(sum(exp(x))) along an axis: the logarithm of `softmax`, which does not underflow."""
    shifted = x - np.max(x, axis=axis, keepdims=True)
    total = np.sum(np.exp(shifted), axis=axis, keepdims=True)
    return shifted - np.log(total)


@log_softmax.forward
def _(x: np.ndarray, axis: int) -> tuple[np.ndarray, None]:
    axis = whole("axis", axis, least=-math.inf)
    shifted = x - np.maximum.reduce(x, axis=axis, keepdims=True)
    log_total = np.log(sum_along(np.exp(shifted), axis))
    return shifted - log_total, None


@log_softmax.backward
def _(
    g: np.ndarray,
    y: np.ndarray,
    axis: int,
) -> np.ndarray:
    """dx = g - softmax(x) sum(g)."""
    shares = np.exp(y)
    return balanced(g - shares * sum_along(g, axis), shares, axis)


@log_softmax.jvp
def _(
    x_dot: np.ndarray,
    y: np.ndarray,
    axis: int,
) -> np.ndarray:
    """y' = x' - sum(softmax(x) x'), where x' is counted from that of a large share."""
    shares = np.exp(y)
    large = np.where(shares > LARGE, x_dot, 0)
    x_dot = x_dot - sum_along(large, axis)
    return x_dot - sum_of_products(shares, x_dot, axis)
