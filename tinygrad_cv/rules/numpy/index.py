"""The calculus table of indexing. getitem and scatter are adjoint to each other, so that every order is there."""

from __future__ import annotations

from operator import getitem
from typing import Any

import numpy as np

from ...tensor import TABLE, Tensor
from ..table import definition, derivative, without_gradient


def scatter(values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of a shape with `values` added at an index; where an index occurs twice, both are added."""
    if isinstance(values, Tensor):
        return TABLE[scatter](values, index, shape)
    values = np.asarray(values)
    result = np.zeros(shape, values.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    basic = all(
        part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice))
        for part in parts
    )
    if basic or _apart(parts, shape):  # no element is met twice
        result[index] = values
    else:
        np.add.at(result, index, values)
    return result


def _apart(parts: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    """Whether arrays of integers pick whole rows and none twice: there an assignment is many times faster than `np.add.at`."""
    if len(parts) >= len(shape) or not all(
        isinstance(part, np.ndarray) and part.dtype.kind in "iu" for part in parts
    ):
        return False
    met = np.zeros(shape[: len(parts)], bool)
    met[parts] = True
    return bool(np.count_nonzero(met) == np.broadcast(*parts).size)


derivative(getitem, a=lambda g, b, a_shape: scatter(g, b, a_shape))
derivative(scatter, values=lambda g, index: g[index])


def _along(axis: Any, ndim: int, indices: Any) -> Any:
    """The index that picks `indices` along an axis."""
    return indices if axis is None else (slice(None),) * (axis % ndim) + (indices,)


@definition(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: None = None, mode: str = "raise") -> Any:
    a = np.ravel(a) if axis is None else np.atleast_1d(a)
    length = np.shape(a)[0 if axis is None else axis]
    indices = np.asarray(indices)
    indices = (
        indices % length
        if mode == "wrap"
        else np.clip(indices, 0, length - 1)
        if mode == "clip"
        else indices
    )
    return a[_along(axis, np.ndim(a), indices)]


@definition(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    if axis is None:
        return np.ravel(arr)[indices]
    axis = axis % np.ndim(arr)
    grids = np.ogrid[tuple(slice(n) for n in np.shape(indices))]
    own = tuple(grids) if isinstance(grids, (tuple, list)) else (grids,)
    index = tuple(
        np.asarray(indices) if i == axis else own[i] if n > 1 else slice(None)
        for i, n in enumerate(np.shape(arr))
    )
    if any(isinstance(part, slice) for part in index):
        index = tuple(np.asarray(indices) if i == axis else own[i] for i in range(np.ndim(arr)))
    return arr[index]


without_gradient(
    np.argsort,
    np.nonzero,
    np.searchsorted,
    np.flatnonzero,
    np.argwhere,
    np.digitize,
    np.argpartition,
)
