"""The calculus table of reductions and scans. Ties of max and min share equally.

A cast (`dtype=`) of a sum or a product has no influence on the gradient: the engine undoes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...engine.operands import DIFFERENTIABLE, fit, is_complex, project
from ...tensor import unwrap
from ...typing import Array, Axis, DTypeLike, Function, Mask, Operand, Scalar, Shape
from ..table import as_array, definition, derivative, refuse_complex, without_gradient
from .axes import (
    axes_of,
    count,
    counted,
    held,
    left_in,
    numbers_in,
    reduced_back,
    reduced_last,
    restore,
)
from .elementwise import root, same, squared_size

derivative(
    np.sum,
    linear="a",
    selects="where",
    a=lambda g, a_shape, axis, keepdims, where: left_in(restore(g, a_shape, axis, keepdims), where),
    initial=lambda g: np.sum(g),
    inert=("dtype",),
)
derivative(
    np.mean,
    linear="a",
    selects="where",
    a=lambda g, a_shape, axis, keepdims, where: left_in(
        restore(g, a_shape, axis, keepdims) / counted(a_shape, axis, where), where
    ),
    inert=("dtype",),
)


# Maximum and minimum choose among the elements, those that a mask holds, and `initial`.
def _extremes(
    a: Array,
    y: Array,
    axis: Axis,
    keepdims: bool,
    initial: Operand | None,
    where: Mask,
) -> tuple[np.ndarray, np.ndarray]:
    """Which elements are the same as the extreme one, and how many, `initial` among them, tie.

    NaN is extreme. At least 1 ties, even where the mask holds no element.
    """
    extreme = held(same(a, restore(y, np.shape(a), axis, keepdims)), where)
    ties = np.sum(extreme, axis=axis, keepdims=True)  # (..., 1, ...)
    if initial is not None:
        ties = ties + np.reshape(same(initial, y), ties.shape)
    if where is not True:
        ties = np.maximum(ties, 1)
    return extreme, ties.astype(y.dtype)


def extreme_share(
    g: Array,
    a: Array,
    y: Array,
    axis: Axis,
    keepdims: bool,
    initial: Operand | None,
    where: Mask,
) -> Array:
    """The gradient goes to the extreme elements, in equal shares to ties."""
    extreme, ties = _extremes(a, y, axis, keepdims, initial, where)
    share = restore(g, np.shape(a), axis, keepdims) / ties
    return np.where(extreme, share, 0)


def extreme_initial(
    g: Array,
    a: Array,
    y: Array,
    axis: Axis,
    keepdims: bool,
    initial: Operand,
    where: Mask,
) -> Array:
    """The share of `initial`, in the shape of the value."""
    if not is_complex(y):
        refuse_complex(np.max, initial=initial)
    _, ties = _extremes(a, y, axis, keepdims, initial, where)
    return np.where(same(initial, y), g / np.reshape(ties, np.shape(y)), 0)


for _function in (np.max, np.min, np.amax, np.amin):
    derivative(_function, a=extreme_share, initial=extreme_initial, selects=True)
for _function in (np.nanmax, np.nanmin):
    derivative(
        _function,
        a=lambda g, a, y, axis, keepdims, initial, where: extreme_share(
            g, a, y, axis, keepdims, initial, numbers_in(a, where)
        ),
        initial=lambda g, a, y, axis, keepdims, initial, where: extreme_initial(
            g, a, y, axis, keepdims, initial, numbers_in(a, where)
        ),
        selects=True,
    )


# Products.
def _others(a: Array, axis: Axis) -> Array:
    """For each element the product of all others, without a division: zeros are safe."""
    last = reduced_last(a, axis)  # (rest..., n)
    before = _products_before(last)
    after = np.flip(_products_before(np.flip(last, -1)), -1)
    return reduced_back(before * after, np.shape(a), axis)


def _products_before(x: Array) -> Array:
    """For each element the product of those before it along the last axis."""
    ones = np.ones_like(x[..., :1])
    shifted = np.concatenate([ones, x[..., :-1]], axis=-1)
    return np.cumprod(shifted, axis=-1)


def _product(
    g: Array,
    a: Array,
    axis: Axis,
    keepdims: bool,
    initial: Operand | None,
    dtype: DTypeLike | None,
    where: Mask,
) -> Array:
    """g times the product of all other elements, and `initial`."""
    if np.size(a) == 0:
        return a
    if dtype is not None:
        a = fit(a, np.dtype(dtype), np.prod, "a")
    if where is not True:
        a = np.where(where, a, 1)
    gradient = restore(g, np.shape(a), axis, keepdims) * _others(a, axis)
    if initial is not None:
        gradient = gradient * initial
    return left_in(gradient, where)


def _product_initial(
    g: Array,
    a: Array,
    axis: Axis,
    keepdims: bool,
    where: Mask,
) -> Array:
    """g times the product of all elements."""
    return g * np.prod(a, axis=axis, keepdims=bool(keepdims), where=where)


derivative(np.prod, a=_product, initial=_product_initial, selects="where")


# Moments.
def _squares(
    a: Array,
    axis: Axis,
    dtype: DTypeLike | None,
    keepdims: bool,
    mean: Operand | None,
    where: Mask,
    same_dtype: bool,
) -> tuple[Array, Any]:
    """The sum of the squared deviations from the mean, and of how many elements.

    What the mask leaves out is replaced by 0 before anything is done with it. With `same_dtype` the
    deviations are rounded to the type of a, as they are where NumPy skips NaN, which are floats.
    """
    taken = counted(a.shape, axis, where, keepdims)
    a = left_in(a, where)
    if mean is None:
        mean = np.mean(a, axis=axis, dtype=dtype, keepdims=True, where=where)
    deviations = a - mean
    if same_dtype and unwrap(a).dtype.kind in DIFFERENTIABLE:
        deviations = project(deviations, a.dtype)
    squares = squared_size(deviations)
    total = np.sum(squares, axis=axis, dtype=dtype, keepdims=keepdims, where=where)
    return total, taken


def _enter_moments(variance: Function, deviation: Function, skip_nan: bool) -> None:
    """The two functions of a kind, which count all values, or skip NaN."""

    @definition(variance)
    def var(
        a: Array,
        axis: Axis = None,
        dtype: DTypeLike | None = None,
        ddof: Array | float = 0,
        keepdims: bool = False,
        mean: Operand | None = None,
        correction: Array | float | None = None,
        where: Mask = True,
    ) -> Array:
        """The mean square of the deviations from the mean, with N - ddof in place of N.

        Of values without NaN it is NaN where no more than ddof are left.
        """
        a = as_array(a)
        if not is_complex(a):
            refuse_complex(variance, mean=mean)
        if dtype is not None and np.dtype(dtype).kind != "c":
            refuse_complex(variance, a=a)
        if skip_nan:
            where = numbers_in(a, where)
        total, taken = _squares(a, axis, dtype, keepdims, mean, where, same_dtype=skip_nan)
        n = taken - (ddof if correction is None else correction)
        if not skip_nan:
            return total / (max(n, 0) if where is True else np.maximum(n, 0))
        return np.where(n <= 0, np.nan, total / np.where(n <= 0, 1, n))

    @definition(deviation)
    def std(
        a: Array,
        axis: Axis = None,
        dtype: DTypeLike | None = None,
        ddof: Array | float = 0,
        keepdims: bool = False,
        mean: Operand | None = None,
        correction: Array | float | None = None,
        where: Mask = True,
    ) -> Array:
        """The root of the variance. Constant data have gradient 0, and no second derivative."""
        return root(var(a, axis, dtype, ddof, keepdims, mean, correction, where))


_enter_moments(np.var, np.std, skip_nan=False)
_enter_moments(np.nanvar, np.nanstd, skip_nan=True)


@definition(np.ptp)
def ptp(a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest element minus the smallest; where these are one element, its gradient is 0."""
    largest = np.max(a, axis=axis, keepdims=keepdims)
    smallest = np.min(a, axis=axis, keepdims=keepdims)
    return largest - smallest


@definition(np.average)
def average(
    a: Array,
    axis: Axis = None,
    weights: Array | None = None,
    returned: bool = False,
    keepdims: bool = False,
) -> Any:
    """The weighted mean, differentiable in the weights too.

    Weights have the shape of a, or that of its reduced axes. With `returned` their sum comes too.
    """
    a = as_array(a)
    if weights is None:
        result = np.mean(a, axis=axis, keepdims=keepdims)
        total = np.full(result.shape, count(a.shape, axis), result.dtype)
        return (result, total) if returned else result
    weights = as_array(weights)
    if weights.shape != a.shape:
        weights = spread(weights, a.shape, axis)
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    result = np.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (result, total.astype(result.dtype)) if returned else result


def spread(weights: Array, shape: Shape, axis: Axis) -> Array:
    """Weights along the reduced axes, broadcast to the shape of what is weighted."""
    axes = axes_of(axis, len(shape))
    in_order = np.transpose(weights, np.argsort(axes))
    kept = [n if i in axes else 1 for i, n in enumerate(shape)]
    return np.broadcast_to(np.reshape(in_order, kept), shape)


# Scans.
def _sum_of_later(g: Array, a_shape: Shape, axis: int | None) -> Array:
    """The adjoint of a cumulative sum: the sum of all that comes after."""
    if axis is None:
        return np.reshape(np.flip(np.cumsum(np.flip(g))), a_shape)
    return np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis)


derivative(np.cumsum, a=_sum_of_later, linear="a", inert=("dtype",))


@definition(np.cumprod)
def cumprod(
    a: Array,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
) -> Array:
    """Products up to each element, as an unrolled chain: zeros are safe to every order."""
    if dtype is not None:
        a = a.astype(dtype)
    if axis is None:
        a, axis = np.ravel(a), 0
    a = np.atleast_1d(a)
    length = np.shape(a)[axis]
    if length == 0:
        return a
    products = [np.take(a, 0, axis=axis)]
    for i in range(1, length):
        products.append(products[-1] * np.take(a, i, axis=axis))
    return np.stack(products, axis=axis)


def _cumulative(
    scan: Callable[..., Array],
    start: Scalar,
    x: Array,
    axis: int | None,
    dtype: DTypeLike | None,
    include_initial: bool,
) -> Array:
    """A scan by the array API's conventions: it needs an axis unless there is one only."""
    x = np.atleast_1d(x)
    axis = 0 if axis is None else int(np.ravel(axis)[0])
    y = scan(x, axis=axis, dtype=dtype)
    if not include_initial:
        return y
    shape = list(y.shape)
    shape[axis] = 1
    return np.concatenate([np.full(shape, start, y.dtype), y], axis=axis)


if hasattr(np, "cumulative_sum"):  # NumPy 2.1

    @definition(np.cumulative_sum)
    def cumulative_sum(
        x: Array,
        axis: int | None = None,
        dtype: DTypeLike | None = None,
        include_initial: bool = False,
    ) -> Array:
        """Sums up to each element; with `include_initial` a 0 comes first."""
        return _cumulative(np.cumsum, 0, x, axis, dtype, include_initial)

    @definition(np.cumulative_prod)
    def cumulative_prod(
        x: Array,
        axis: int | None = None,
        dtype: DTypeLike | None = None,
        include_initial: bool = False,
    ) -> Array:
        """Products up to each element; with `include_initial` a 1 comes first."""
        return _cumulative(np.cumprod, 1, x, axis, dtype, include_initial)


without_gradient(np.argmax, np.argmin, np.nanargmax, np.nanargmin)
without_gradient(np.any, np.all, np.count_nonzero)
