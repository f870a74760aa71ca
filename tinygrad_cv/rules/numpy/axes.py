"""Axes by number: which ones a reduction takes together, and how its result gets them back.

Helpers of the other rooms; no function of NumPy's is entered here.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...typing import Array, Axis, Mask, Operand, Shape


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes that a reduction takes together, counted from 0. A number may be reduced along 0."""
    if axis is None or ndim == 0:
        return tuple(range(ndim))
    return tuple(i % ndim for i in np.ravel(axis).tolist())


def count(shape: Shape, axis: Axis) -> int:
    """How many elements a reduction takes together."""
    return prod(shape[i] for i in axes_of(axis, len(shape)))


def counted(shape: Shape, axis: Axis, where: Mask, keepdims: bool = True) -> Any:
    """How many elements a reduction takes together; with a mask an array.

    A mask of whole numbers counts an element that often, as it does in NumPy.
    """
    if where is True:
        return count(shape, axis)
    mask = np.broadcast_to(where, shape)
    return np.sum(mask, axis=axis, dtype=np.intp, keepdims=keepdims)


def left_in(x: Array, where: Mask) -> Array:
    """x where a mask holds, 0 elsewhere."""
    return x if where is True else np.where(where, x, 0)


def held(condition: Array, where: Mask) -> Any:
    """Where a condition is true of what a mask holds."""
    return condition if where is True else np.where(where, condition, False)


def numbers_in(a: Array, where: Mask) -> Any:
    """Which elements a mask holds that are not NaN."""
    return held(~np.isnan(a), where)


def restore(
    g: Array,
    shape: Shape,
    axis: Axis,
    keepdims: bool | None,
) -> Array:
    """A reduced array with its axes put back, broadcast to the shape before the reduction."""
    if shape == ():
        return np.reshape(g, ())
    if not keepdims and axis is not None:
        g = np.expand_dims(g, axis)
    elif not keepdims:
        g = np.reshape(g, (1,) * len(shape))
    return np.broadcast_to(g, shape)


def kept_shape(shape: Shape, axis: Axis) -> Shape:
    """The shape of a reduction whose axes stay, with length 1."""
    axes = axes_of(axis, len(shape))
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def reduced_last(a: Array, axis: Axis) -> Array:
    """The axes of a reduction moved to the end and flattened into one: (rest..., n)."""
    rest, axes = _rest_and_axes(axis, np.ndim(a))
    moved = np.transpose(a, (*rest, *axes))  # (rest..., reduced...)
    shape = np.shape(moved)[: len(rest)]
    return np.reshape(moved, (*shape, count(np.shape(a), axis)))


def reduced_back(last: Array, shape: Shape, axis: Axis) -> Array:
    """What `reduced_last` did, undone: (rest..., n) -> shape."""
    rest, axes = _rest_and_axes(axis, len(shape))
    order = (*rest, *axes)
    moved = np.reshape(last, [shape[i] for i in order])  # (rest..., reduced...)
    return np.transpose(moved, np.argsort(order))


def _rest_and_axes(axis: Axis, ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes that stay, and those that are reduced."""
    axes = axes_of(axis, ndim)
    return tuple(i for i in range(ndim) if i not in axes), axes


def along(axis: int, ndim: int, index: Any) -> tuple[Any, ...]:
    """The index that picks `index` along one axis and everything along those before it."""
    return (slice(None),) * (axis % ndim) + (index,)


def at_least(x: Operand, ndim: int) -> Array:
    """x with axes of length 1 in front, so that it has `ndim` or more."""
    shape = np.shape(x)
    return np.reshape(x, (1,) * (ndim - len(shape)) + shape)
