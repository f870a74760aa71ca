"""The calculus table of reductions and scans. Ties of max and min share equally."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..table import definition, derivative, without_gradient


def restore(g: Any, shape: tuple[int, ...], axis: Any, keepdims: Any) -> Any:
    """A reduced array with its axes put back, broadcast to the shape before the reduction."""
    if shape == ():  # NumPy lets a number be reduced along axis 0
        return np.reshape(g, ())
    if not keepdims and axis is not None:
        g = np.expand_dims(g, axis)
    elif not keepdims:
        g = np.reshape(g, (1,) * len(shape))
    return np.broadcast_to(g, shape)


def count(shape: tuple[int, ...], axis: Any) -> int:
    """How many elements a reduction takes together."""
    axes = (
        range(len(shape))
        if axis is None or shape == ()
        else axis
        if isinstance(axis, tuple)
        else (axis,)
    )
    return int(np.prod([shape[i] for i in axes], dtype=int))


derivative(
    np.sum,
    a=lambda g, a_shape, axis, keepdims: restore(g, a_shape, axis, keepdims),
    initial=lambda g: np.sum(g),
)
derivative(
    np.mean,
    a=lambda g, a_shape, axis, keepdims: restore(g, a_shape, axis, keepdims) / count(a_shape, axis),
)


def _extreme(g: Any, a: Any, y: Any, axis: Any, keepdims: Any) -> Any:
    """The gradient goes to the extreme elements, equal shares to ties."""
    hit = np.equal(a, restore(y, np.shape(a), axis, keepdims)).astype(y.dtype)
    return (
        restore(g, np.shape(a), axis, keepdims)
        * hit
        / np.maximum(np.sum(hit, axis=axis, keepdims=True), 1)
    )


for _function in (np.max, np.min, np.amax, np.amin):
    derivative(_function, a=_extreme)


def _others(a: Any, axis: Any) -> Any:
    """For each element the product of all others along the axes, without a division: zeros are safe."""
    ndim = np.ndim(a)
    axes = (
        tuple(range(ndim))
        if axis is None or ndim == 0
        else tuple(i % ndim for i in (axis if isinstance(axis, tuple) else (axis,)))
    )
    rest = [i for i in range(ndim) if i not in axes]
    shape = np.shape(a)
    last = np.reshape(
        np.transpose(a, (*rest, *axes)), (*[shape[i] for i in rest], -1)
    )  # (rest, reduced)
    ones = np.ones_like(last[..., :1])
    before = np.cumprod(np.concatenate([ones, last[..., :-1]], axis=-1), axis=-1)
    after = np.flip(
        np.cumprod(np.concatenate([ones, np.flip(last, -1)[..., :-1]], axis=-1), axis=-1), -1
    )
    back = np.reshape(before * after, [shape[i] for i in (*rest, *axes)])  # (rest, axes)
    return np.transpose(back, np.argsort((*rest, *axes)))


derivative(
    np.prod,
    a=lambda g, a, axis, keepdims: (
        restore(g, np.shape(a), axis, keepdims) * _others(a, axis) if np.size(a) else a
    ),
)


@definition(np.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """The mean square of the deviations from the mean, with N - ddof in place of N."""
    a = a if dtype is None else np.astype(a, dtype)
    centre = np.mean(a, axis=axis, keepdims=True) if mean is None else mean
    total = np.sum(np.square(a - centre), axis=axis, keepdims=keepdims)
    return total / max(count(np.shape(a), axis) - (ddof if correction is None else correction), 0)


@definition(np.std)
def std(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, *args: Any, **options: Any
) -> Any:
    """The root of the variance; constant data have gradient 0."""
    return root(var(a, axis, dtype, None, *args, **options))


def root(x: Any) -> Any:
    """The square root, with derivative 0 at 0."""
    flat = np.equal(x, 0)
    return np.where(flat, 0, np.sqrt(np.where(flat, 1, x)))


@definition(np.ptp)
def ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


@definition(np.average)
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False
) -> Any:
    """The weighted mean, differentiable in the weights too."""
    if weights is None:
        weights = np.ones(np.shape(a), a.dtype)
    elif np.shape(weights) != np.shape(a):  # 1-D weights along one axis
        weights = np.broadcast_to(
            np.reshape(weights, [-1 if i == axis % np.ndim(a) else 1 for i in range(np.ndim(a))]),
            np.shape(a),
        )
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    result = np.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (result, total) if returned else result


# Scans.
def _scan(g: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """The adjoint of a cumulative sum: the sum of all that comes after."""
    if axis is None:
        return np.reshape(np.flip(np.cumsum(np.flip(g))), shape)
    return np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis)


derivative(np.cumsum, a=lambda g, a_shape, axis: _scan(g, a_shape, axis))


@definition(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Products up to each element, as an unrolled chain: zeros are safe to every order."""
    a = a if dtype is None else np.astype(a, dtype)
    a, axis = (np.ravel(a), 0) if axis is None else (np.atleast_1d(a), axis)
    if np.shape(a)[axis] == 0:
        return a
    parts = [np.take(a, 0, axis=axis)]
    for i in range(1, np.shape(a)[axis]):
        parts.append(parts[-1] * np.take(a, i, axis=axis))
    return np.stack(parts, axis=axis)


if hasattr(np, "cumulative_sum"):

    def _cumulative(function: Any, start: float) -> Any:
        def body(
            x: Any,
            /,
            *,
            axis: Any = None,
            dtype: Any = None,
            out: None = None,
            include_initial: bool = False,
        ) -> Any:
            x = np.atleast_1d(x)
            axis = 0 if axis is None and np.ndim(x) == 1 else axis
            y = function(x, axis=axis, dtype=dtype)
            if not include_initial:
                return y
            shape = list(np.shape(y))
            shape[axis] = 1
            first = np.full(shape, start, y.dtype)
            return np.concatenate([first, y], axis=axis)

        return body

    definition(np.cumulative_sum)(_cumulative(np.cumsum, 0.0))
    definition(np.cumulative_prod)(_cumulative(np.cumprod, 1.0))

without_gradient(np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.any, np.all, np.count_nonzero)
