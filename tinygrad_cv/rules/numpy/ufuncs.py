"""The methods of ufuncs on tensors: `np.add.reduce`, `np.multiply.outer`, and so on.

Each is entered once, for all ufuncs, as the function `np.ufunc.reduce(ufunc, array, ...)`. What has
a reduction or a scan in the table uses that; any other ufunc is applied to one element after the
other.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from ...engine.errors import name_of
from ...tensor import unwrap
from ...typing import Array, Axis, DTypeLike, Function, Mask, Operand
from ..table import WITHOUT_GRADIENT, as_array, definition, derivative, enter
from .axes import axes_of, held, kept_shape, left_in, reduced_last, restore
from .reduce import extreme_initial, extreme_share


# Sums of exponentials. Where one is infinite, those that tie share equally.
def _enter_log_sum(ufunc: np.ufunc, power: np.ufunc) -> Function:
    """log(sum(exp(a))), as a maximum is entered, in the base of `power`."""

    def log_sum(
        a: Array,
        axis: Axis = None,
        keepdims: bool = False,
        initial: Operand | None = None,
        where: Mask = True,
    ) -> Array:
        start = -np.inf if initial is None else initial
        return ufunc.reduce(a, axis=axis, keepdims=keepdims, initial=start, where=where)

    def share(
        g: Array,
        a: Array,
        y: Array,
        axis: Axis,
        keepdims: bool,
        initial: Operand | None,
        where: Mask,
    ) -> Array:
        """g exp(a - y)."""
        value, incoming = (restore(v, np.shape(a), axis, keepdims) for v in (y, g))
        infinite = np.isinf(value)
        difference = np.where(infinite, 0, a) - np.where(infinite, 0, value)
        among_ties = extreme_share(g, a, y, axis, keepdims, initial, held(infinite, where))
        return left_in(np.where(infinite, among_ties, incoming * power(difference)), where)

    def initial_share(
        g: Array,
        a: Array,
        y: Array,
        axis: Axis,
        keepdims: bool,
        initial: Operand,
        where: Mask,
    ) -> Array:
        """g exp(initial - y)."""
        infinite = np.isinf(y)
        difference = np.where(infinite, 0, initial) - np.where(infinite, 0, y)
        ends = held(restore(infinite, np.shape(a), axis, keepdims), where)
        among_ties = extreme_initial(g, a, y, axis, keepdims, initial, ends)
        return np.where(infinite, among_ties, g * power(difference))

    return derivative(log_sum, a=share, initial=initial_share, selects="where")


REDUCTIONS: dict[np.ufunc, Function] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.fmax: np.nanmax,
    np.fmin: np.nanmin,
    np.logaddexp: _enter_log_sum(np.logaddexp, np.exp),
    np.logaddexp2: _enter_log_sum(np.logaddexp2, np.exp2),
}
SCANS: dict[np.ufunc, Function] = {np.add: np.cumsum, np.multiply: np.cumprod}
SKIPPING = (np.arctan2, np.power)  # their reductions skip elements, by NumPy's fault


def _skips(given: Mapping[str, Any]) -> bool:
    """Whether NumPy's own value is wrong: on some processors, of elements that lie in a row."""
    return given["ufunc"] in SKIPPING


def _elements(ufunc: np.ufunc, array: Array, dtype: DTypeLike | None) -> Array:
    """What a method works on: for a ufunc without a gradient a plain array."""
    if ufunc in WITHOUT_GRADIENT:
        array = unwrap(array)
    array = as_array(array)
    return array if dtype is None else array.astype(dtype)


@definition(
    np.ufunc.reduce,
    signature="ufunc, array, /, axis=0, dtype=None, out=None, keepdims=False, initial=None, "
    "where=True",
    mistaken=_skips,
)
def reduce(
    ufunc: np.ufunc,
    array: Array,
    axis: Axis = 0,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: Operand | None = None,
    where: Mask = True,
) -> Array:
    """ufunc(ufunc(x1, x2), x3) and so on, of the elements along the axes."""
    array = _elements(ufunc, array, dtype)
    if ufunc in REDUCTIONS:
        options = {} if initial is None else {"initial": initial}
        return REDUCTIONS[ufunc](array, axis=axis, keepdims=keepdims, where=where, **options)
    start = ufunc.identity if initial is None else initial
    value: Any = None if start is None else as_array(start).astype(array.dtype)
    mask = np.broadcast_to(np.asarray(where, bool), array.shape)
    if where is not True:
        array = np.where(mask, array, 1)  # of what is left out, no infinity gets further
    elements = np.moveaxis(reduced_last(array, axis), -1, 0)  # (n, rest...)
    masks = np.moveaxis(reduced_last(mask, axis), -1, 0)
    for element, taken in zip(elements, masks, strict=True):
        combined = element if value is None else ufunc(value, element)
        value = combined if where is True else np.where(taken, combined, value)
    value = np.broadcast_to(value, elements.shape[1:])
    return np.reshape(value, kept_shape(array.shape, axis)) if keepdims else value


@definition(np.ufunc.accumulate, signature="ufunc, array, /, axis=0, dtype=None, out=None")
def accumulate(
    ufunc: np.ufunc,
    array: Array,
    axis: Axis = 0,
    dtype: DTypeLike | None = None,
) -> Array:
    """The reductions of the elements up to each."""
    array = _elements(ufunc, array, dtype)
    (axis,) = axes_of(axis, array.ndim)
    if ufunc in SCANS:
        return SCANS[ufunc](array, axis=axis)
    rows = np.moveaxis(array, axis, 0)
    if ufunc in REDUCTIONS:
        beginnings = [rows[: i + 1] for i in range(len(rows))]
        values: Iterable[Array] = [_reduced(ufunc, beginning) for beginning in beginnings]
    else:
        values = itertools.accumulate(rows, ufunc)
    return np.moveaxis(_stacked(values, rows), 0, axis)


@definition(
    np.ufunc.reduceat,
    signature="ufunc, array, /, indices, axis=0, dtype=None, out=None",
    mistaken=_skips,
)
def reduceat(
    ufunc: np.ufunc,
    array: Array,
    indices: Any,
    axis: Axis = 0,
    dtype: DTypeLike | None = None,
) -> Array:
    """The reductions of the elements from each index to the next; of one element if that is not
    larger."""
    array = _elements(ufunc, array, dtype)
    (axis,) = axes_of(axis, array.ndim)
    rows = np.moveaxis(array, axis, 0)
    starts = np.asarray(indices, int).tolist()
    bounds = itertools.pairwise([*starts, len(rows)])
    parts = [rows[i : max(j, i + 1)] for i, j in bounds]
    return np.moveaxis(_stacked([_reduced(ufunc, part) for part in parts], rows), 0, axis)


def _reduced(ufunc: np.ufunc, rows: Array) -> Array:
    """The reduction of the first axis, which is not empty."""
    if ufunc in REDUCTIONS:
        return REDUCTIONS[ufunc](rows, axis=0)
    return functools.reduce(ufunc, rows)


def _stacked(values: Iterable[Array], rows: Array) -> Array:
    """Reductions of rows along a first axis."""
    values = list(values)
    return np.stack(values) if values else rows[:0]


@definition(np.ufunc.outer, signature="ufunc, A, B, /, **kwargs")
def outer(
    ufunc: np.ufunc,
    A: Operand,
    B: Operand,
    kwargs: dict[str, Any] | None = None,
) -> Any:
    """The ufunc of each element of A with each of B: its axes stand behind those of A."""
    A, B = as_array(A), as_array(B)
    A = np.reshape(A, A.shape + (1,) * B.ndim)  # (*A, 1, ...)
    return ufunc(A, B, **(kwargs or {}))


def at(ufunc: np.ufunc, *args: Any) -> NoReturn:
    """`np.add.at(a, indices, b)` writes into a: TypeError."""
    raise TypeError(
        f"{name_of(ufunc)}.at writes in place; tensors do not: use a sum with np.where, or "
        "np.bincount(indices, weights=t)"
    )


enter(np.ufunc.at, at)
