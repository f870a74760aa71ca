"""Sums that the kernels share: over one axis, kept at length 1, through BLAS where that is faster than `np.sum`."""

from __future__ import annotations

from typing import Any

import numpy as np


def total(x: np.ndarray, axis: int) -> Any:
    """The sum over an axis, kept at length 1."""
    return _dot(x, 1.0, axis)


def mean(x: np.ndarray, axis: int) -> Any:
    """The mean over an axis, kept at length 1."""
    return _dot(x, 1 / x.shape[axis], axis)


def total_product(x: np.ndarray, y: np.ndarray, axis: int) -> Any:
    """The sum of x y over an axis, kept at length 1."""
    return np.vecdot(x, y)[..., None] if axis in (-1, x.ndim - 1) else total(x * y, axis)


def mean_product(x: np.ndarray, y: np.ndarray, axis: int) -> Any:
    """The mean of x y over an axis, kept at length 1."""
    return total_product(x, y, axis) / x.shape[axis]


def _dot(x: np.ndarray, factor: float, axis: int) -> Any:
    """The sum of factor x over an axis, kept at length 1."""
    if axis in (-1, x.ndim - 1):
        return np.dot(x, np.full(x.shape[-1], factor, x.dtype))[..., None]
    if axis == 0 and x.ndim == 2:
        return np.dot(np.full(len(x), factor, x.dtype), x)[None]
    return np.add.reduce(x, axis=axis, keepdims=True) * factor
