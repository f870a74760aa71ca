"""Softmax and its logarithm."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kernel import kernel
from .reduction import total, total_product


@kernel
def softmax(x: Any, *, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along an axis: a probability for each entry (Bridle 1990)."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


@softmax.forward
def _(x: Any, axis: int) -> Any:
    y = np.exp(x - np.maximum.reduce(x, axis=axis, keepdims=True))
    y /= total(y, axis)
    return y, None


@softmax.backward
def _(g: Any, y: Any, axis: int) -> Any:
    """dx = y (g - sum(g y))."""
    return y * (g - total_product(g, y, axis))


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
