"""Sums that the kernels share: over one axis, kept at length 1, through BLAS where that is faster than `np.sum`."""

from __future__ import annotations

import functools
from math import prod
from typing import Any

import numpy as np

SHORT = 256  # elements of a row


def total(x: np.ndarray, axis: int) -> Any:
    """The sum over an axis, kept at length 1."""
    return _dot(x, 1.0, axis)


def sum_of_rows(x: np.ndarray, out: np.ndarray | None = None) -> Any:
    """The sum of the rows of a matrix: (N, C) -> (C,)."""
    return np.dot(_constant(len(x), 1.0, x.dtype), x, out=out)


def mean(x: np.ndarray, axis: int) -> Any:
    """The mean over an axis, kept at length 1."""
    return _dot(x, 1 / x.shape[axis], axis)


def total_product(x: np.ndarray, y: np.ndarray, axis: int) -> Any:
    """The sum of x y over an axis, kept at length 1; of short rows `np.einsum` makes less ado than BLAS."""
    if axis not in (-1, x.ndim - 1):
        return total(x * y, axis)
    return (np.einsum("...i,...i->...", x, y) if x.shape[-1] <= SHORT else np.vecdot(x, y))[
        ..., None
    ]


def mean_product(x: np.ndarray, y: np.ndarray, axis: int) -> Any:
    """The mean of x y over an axis, kept at length 1."""
    return total_product(x, y, axis) / x.shape[axis]


def _dot(x: np.ndarray, factor: float, axis: int) -> Any:
    """The sum of factor x over an axis, kept at length 1."""
    if axis in (-1, x.ndim - 1):
        rows = np.dot(
            x.reshape(prod(x.shape[:-1]), x.shape[-1]), np.full(x.shape[-1], factor, x.dtype)
        )
        return rows.reshape(*x.shape[:-1], 1)
    if axis == 0 and x.ndim == 2:
        return np.dot(_constant(len(x), factor, x.dtype), x)[None]
    return np.add.reduce(x, axis=axis, keepdims=True) * factor


@functools.lru_cache(maxsize=64)
def _constant(length: int, factor: float, dtype: Any) -> np.ndarray:
    """A vector of one number, read-only; made once for sums that come again at every step."""
    vector = np.full(length, factor, dtype)
    vector.flags.writeable = False
    return vector
