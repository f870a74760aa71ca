"""Softmax and its logarithm."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kernel import kernel
from .reduction import total, total_product

SAFE = 60  # neither exp(60), times the length of a row, nor exp(-60) comes near the ends of float32


@kernel
def softmax(x: Any, *, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along an axis: a probability for each entry (Bridle 1990)."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


@softmax.forward
def _(x: Any, axis: int) -> Any:
    y = exponentials(x, axis)
    y /= total(y, axis)
    return y, None


@softmax.backward
def _(g: Any, y: Any, axis: int) -> Any:
    """dx = y (g - sum(g y))."""
    dx = g - total_product(g, y, axis)
    dx *= y
    return dx


def exponentials(x: Any, axis: int = -1, out: Any = None) -> Any:
    """exp(x), or where that could overflow or vanish exp(x - max(x)), with the maximum along the axis; out may be x.

    Whether all of x is small costs a fifth of what the maximum of each row does. Rows that are -inf throughout give 0.
    """
    if (
        np.minimum.reduce(x, axis=None, initial=0) > -SAFE
        and np.maximum.reduce(x, axis=None, initial=0) < SAFE
    ):
        return np.exp(x, out=out)
    top = np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
    out = np.subtract(x, np.where(top == -np.inf, top.dtype.type(0), top), out=out)
    return np.exp(out, out=out)


@kernel
def log_softmax(x: Any, *, axis: int = -1) -> Any:
    """x - log(sum(exp(x))) along an axis: the logarithm of `softmax`, which does not underflow."""
    shifted = x - np.max(x, axis=axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


@log_softmax.forward
def _(x: Any, axis: int) -> Any:
    y = x - np.maximum.reduce(x, axis=axis, keepdims=True)
    y = y - np.log(total(np.exp(y), axis))
    return y, None


@log_softmax.backward
def _(g: Any, y: Any, axis: int) -> Any:
    """dx = g - softmax(x) sum(g)."""
    return g - np.exp(y) * total(g, axis)
