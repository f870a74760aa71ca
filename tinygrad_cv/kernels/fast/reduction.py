"""Sums over one axis, through BLAS where that is faster than `np.sum`."""

from __future__ import annotations

import functools
from math import prod

import numpy as np

from ...machine import EINSUM_MAX_ROW


def sum_along(x: np.ndarray, axis: int) -> np.ndarray:
    """The sum over an axis, kept at length 1."""
    return _scaled_sum(x, 1.0, axis)


def mean_along(x: np.ndarray, axis: int) -> np.ndarray:
    """The mean over an axis, kept at length 1."""
    return _scaled_sum(x, 1 / x.shape[axis], axis)


def sum_of_rows(x: np.ndarray) -> np.ndarray:
    """The sum of the rows of each matrix: (..., R, C) -> (..., C)."""
    ones = _constant(x.shape[-2], 1.0, x.dtype)
    return np.matmul(ones, x)


def sum_of_products(
    x: np.ndarray,
    y: np.ndarray,
    axis: int,
) -> np.ndarray:
    """The sum of x y over an axis, kept at length 1."""
    if axis not in (-1, x.ndim - 1):
        return sum_along(x * y, axis)
    if x.shape[-1] <= EINSUM_MAX_ROW:
        return np.einsum("...i,...i->...", x, y)[..., None]
    return np.vecdot(x, y)[..., None]


def mean_of_products(
    x: np.ndarray,
    y: np.ndarray,
    axis: int,
) -> np.ndarray:
    """The mean of x y over an axis, kept at length 1."""
    return sum_of_products(x, y, axis) / x.shape[axis]


def _scaled_sum(
    x: np.ndarray,
    factor: float,
    axis: int,
) -> np.ndarray:
    """The sum of factor x over an axis, kept at length 1."""
    if axis in (-1, x.ndim - 1):
        length = x.shape[-1]
        rows = x.reshape(prod(x.shape[:-1]), length)
        sums = np.dot(rows, _constant(length, factor, x.dtype))
        return sums.reshape(*x.shape[:-1], 1)
    if axis == 0 and x.ndim == 2:
        return np.dot(_constant(len(x), factor, x.dtype), x)[None]
    return np.add.reduce(x, axis=axis, keepdims=True) * factor


@functools.lru_cache(maxsize=64)
def _constant(
    length: int,
    factor: float,
    dtype: np.dtype,
) -> np.ndarray:
    """A read-only vector of one number, made once for sums that come again at every step."""
    vector = np.full(length, factor, dtype)
    vector.flags.writeable = False
    return vector
