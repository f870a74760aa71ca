"""The calculus table of picked elements: by index, by place in a matrix, by condition, by size.

All are written in getitem and where. getitem and scatter are adjoint to each other, so that every
order of derivative is there, and what was not picked has gradient 0 exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import getitem
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...engine.operands import is_complex
from ...tensor import unwrap
from ...typing import Array, ArrayLike, Axis, DTypeLike, Operand, Shape
from ..table import as_array, definition, derivative, without_gradient
from .axes import along

Index = Any  # whatever can stand in brackets behind an array


def scatter(values: Array, index: Index, shape: Shape) -> Array:
    """Zeros of a shape with `values` added at an index, both where it names an element twice."""
    result = np.zeros(shape, values.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if all(map(_is_basic, parts)) or _is_without_repeats(parts, shape):
        result[index] = values
    else:
        np.add.at(result, index, values)
    return result


def _is_basic(part: Any) -> bool:
    """Whether a part of an index is an integer or a slice, which meet no element twice."""
    return part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice))


def _is_without_repeats(parts: tuple[Any, ...], shape: Shape) -> bool:
    """Whether arrays of integers pick whole rows and none twice.

    There an assignment is many times faster than `np.add.at`.
    """
    if len(parts) >= len(shape):
        return False
    if not all(isinstance(part, np.ndarray) and part.dtype.kind in "iu" for part in parts):
        return False
    met = np.zeros(shape[: len(parts)], bool)
    met[parts] = True
    return bool(np.count_nonzero(met) == np.broadcast(*parts).size)


scatter = derivative(scatter, values=lambda g, index: g[index], linear=["values"], inert=("shape",))
derivative(getitem, a=lambda g, b, a_shape: scatter(g, b, a_shape), linear="a", selects=True)


# Windows: an element's gradient is the sum of those of all windows in which it is.
def _add_windows(
    g: Array,
    x_shape: Shape,
    window_shape: int | Shape,
    axis: Axis,
) -> Array:
    numbers = np.arange(prod(x_shape)).reshape(x_shape)
    windows = sliding_window_view(numbers, window_shape, axis)
    added = scatter(np.ravel(g), np.ravel(windows), (numbers.size,))
    return np.reshape(added, x_shape)


derivative(sliding_window_view, x=_add_windows, linear="x", inert=("subok", "writeable"))


# At numbered places.
def _within(indices: np.ndarray, length: int, mode: str | int) -> np.ndarray:
    """Indices by the rule for those that are out of range: a word or its number in NumPy's C."""
    if mode in ("wrap", 1):
        return indices % length
    return np.clip(indices, 0, length - 1) if mode in ("clip", 0) else indices


@definition(np.take)
def take(
    a: Array,
    indices: ArrayLike,
    axis: int | None = None,
    mode: str = "raise",
) -> Array:
    """The slices at `indices` along an axis, or the elements of the flattened array."""
    if axis is None:
        a, axis = np.ravel(a), 0
    a = np.atleast_1d(a)
    places = _within(np.asarray(indices, np.intp), a.shape[axis], mode)
    return a[along(axis, a.ndim, places)]


@definition(np.take_along_axis)
def take_along_axis(
    arr: Array,
    indices: ArrayLike,
    axis: int | None = -1,
) -> Array:
    """The elements along an axis with the numbers that stand at each place of the other axes."""
    arr = as_array(arr)
    indices = np.asarray(indices)
    if axis is None:
        return np.ravel(arr)[indices]
    index: list[Any] = list(np.ix_(*map(np.arange, arr.shape)))
    index[axis] = indices
    return arr[tuple(index)]


# Diagonals and triangles.
@definition(np.diagonal)
def diagonal(
    a: Array,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
) -> Array:
    """The diagonal of each matrix in two axes, as a last axis."""
    a = np.moveaxis(a, (axis1, axis2), (-2, -1))
    rows, columns = a.shape[-2:]
    below = max(-offset, 0)
    right = max(offset, 0)
    length = min(rows - below, columns - right)
    steps = np.arange(max(0, length))
    return a[..., steps + below, steps + right]


@definition(np.trace)
def trace(
    a: Array,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: DTypeLike | None = None,
) -> Array:
    """The sum of the diagonal."""
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


@definition(np.diag)
def diag(v: Array, k: int = 0) -> Array:
    """The diagonal of a matrix, or a matrix with a vector on its diagonal."""
    if np.ndim(v) == 2:
        return np.diagonal(v, k)
    n = np.shape(v)[0] + abs(k)
    before = np.zeros(max(k, 0), v.dtype)
    after = np.zeros(max(-k, 0), v.dtype)
    rows = np.concatenate([before, v, after])
    return np.where(np.eye(n, n, k, bool), rows, 0)


@definition(np.diagflat)
def diagflat(v: Array, k: int = 0) -> Array:
    """A matrix with all elements on its diagonal."""
    return diag(np.ravel(v), k)


def _lower(m: Array, k: int) -> np.ndarray:
    """Where the lower triangle of a matrix is."""
    shape = np.shape(m)[-2:]
    return np.tri(shape[0], shape[-1], k, bool)


@definition(np.tril)
def tril(m: Array, k: int = 0) -> Array:
    """The lower triangle, zeros above it."""
    return np.where(_lower(m, k), m, 0)


@definition(np.triu)
def triu(m: Array, k: int = 0) -> Array:
    """The upper triangle, zeros below it."""
    return np.where(_lower(m, k - 1), 0, m)


# By a condition.
@definition(np.compress)
def compress(
    condition: ArrayLike,
    a: Array,
    axis: int | None = None,
) -> Array:
    """The slices along an axis for which the condition holds."""
    if np.size(a) == 0:
        return np.reshape(a, np.compress(np.asarray(condition), unwrap(a), axis).shape)
    return np.take(a, np.flatnonzero(condition), axis=axis)


@definition(np.extract)
def extract(condition: ArrayLike, arr: Array) -> Array:
    """The elements for which the condition holds."""
    return np.ravel(arr)[np.flatnonzero(condition)]


@definition(np.choose)
def choose(
    a: ArrayLike,
    choices: Sequence[Array],
    mode: str = "raise",
) -> Array:
    """For each element the choice of that number."""
    n = len(choices)
    numbers = _within(np.asarray(a), n, mode)
    return np.select([numbers == i for i in range(n)], list(choices))


@definition(np.select)
def select(
    condlist: Sequence[np.ndarray], choicelist: Sequence[Array], default: Operand = 0
) -> Array:
    """The first choice whose condition holds."""
    result: Any = default
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        result = np.where(condition, choice, result)
    return result


# In order: indexing at places that come from the values.
@definition(np.sort, inert=("kind", "stable"))
def sort(a: Array, axis: int | None = -1) -> Array:
    """The elements from the smallest to the largest, NaN last."""
    return np.take_along_axis(a, np.argsort(a, axis=axis), axis)


@definition(np.sort_complex)
def sort_complex(a: Array) -> Array:
    """The elements in order as complex numbers, by the real part and then the imaginary one."""
    ordered = np.sort(a)
    return ordered if is_complex(ordered) else ordered.astype(np.complex128)


@definition(np.partition, inert=("kind",))
def partition(
    a: Array,
    kth: int | Sequence[int],
    axis: int | None = -1,
) -> Array:
    """The k-th element in its sorted place, smaller ones before it.

    The others have the order that np.partition gives them: each is found by its rank.
    """
    parts = np.partition(unwrap(a), kth, axis=axis)
    last = -1 if axis is None else axis
    ranks = np.argsort(np.argsort(parts, axis=last), axis=last)
    places = np.take_along_axis(np.argsort(unwrap(a), axis=axis), ranks, last)
    return np.take_along_axis(a, places, axis)


without_gradient(np.argsort, np.argpartition, np.searchsorted, np.digitize)
without_gradient(np.nonzero, np.flatnonzero, np.argwhere)
without_gradient(np.shape, np.ndim, np.size, np.result_type, np.shares_memory)
without_gradient(np.zeros_like, np.ones_like, np.empty_like)
