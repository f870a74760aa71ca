"""The calculus table of numerical analysis.

Polynomials, grids, interpolation, convolution, differences, integrals, functions of functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import pi, prod
from typing import Any

import numpy as np

from ...engine.operands import conjugate, is_complex
from ...tensor import unwrap
from ...typing import Array, DTypeLike, Operand, Shape
from ..table import as_array, definition, refuse_complex
from .axes import along, at_least, axes_of
from .index import scatter


# Polynomials.
@definition(np.polyval)
def polyval(p: Sequence[Operand], x: Array) -> Array:
    """Horner's rule; the coefficient of the highest power comes first."""
    x = as_array(x)
    value: Array = np.zeros(x.shape, x.dtype)
    for coefficient in p:
        value = value * x + coefficient
    return value


@definition(np.vander)
def vander(
    x: Array,
    N: int | None = None,
    increasing: bool = False,
) -> Array:
    """The powers of each element: (n,) -> (n, N), the highest first unless `increasing`."""
    n = x.shape[0] if N is None else N
    x = x.astype(np.promote_types(x.dtype, int))  # NumPy's own powers are no narrower
    if n == 0:
        return np.zeros((x.shape[0], 0), x.dtype)
    powers = [np.ones_like(x)]
    for _ in range(n - 1):
        powers.append(powers[-1] * x)
    return np.stack(powers if increasing else powers[::-1], axis=-1)


# Grids.
@definition(np.linspace, inert=("device",))
def linspace(
    start: Operand,
    stop: Operand,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Any:
    """`num` points from start to stop at equal distances; with `retstep` the distance as well."""
    start = as_array(start)
    steps = num - 1 if endpoint else num
    step = (as_array(stop) - start) / max(steps, 1)
    numbers = np.arange(num, dtype=step.dtype)
    numbers = np.reshape(numbers, (-1,) + (1,) * step.ndim)  # (num, 1, ...)
    points = np.expand_dims(start, 0) + numbers * step
    points = np.moveaxis(points, 0, axis)
    if dtype is not None:
        points = points.astype(dtype)
    return (points, step if steps > 0 else np.nan) if retstep else points


@definition(np.logspace)
def logspace(
    start: Operand,
    stop: Operand,
    num: int = 50,
    endpoint: bool = True,
    base: Operand = 10.0,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Array:
    """Powers of a base with equally spaced exponents."""
    if np.ndim(base):
        ndim = max(map(np.ndim, (start, stop, base)))
        start, stop = at_least(start, ndim), at_least(stop, ndim)
        base = np.expand_dims(at_least(base, ndim), axis)
    exponents = np.linspace(as_array(start), as_array(stop), num, endpoint, axis=axis)
    points = np.power(base, exponents)
    return points if dtype is None else points.astype(dtype)


@definition(np.geomspace)
def geomspace(
    start: Operand,
    stop: Operand,
    num: int = 50,
    endpoint: bool = True,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Array:
    """Points at equal ratios. Between real ends of two signs all are NaN.

    Without a dtype they are computed in float64, as in NumPy.
    """
    start, stop = as_array(start), as_array(stop)
    wide = np.result_type(start.dtype, stop.dtype, np.dtype(dtype))
    start, stop = start.astype(wide), stop.astype(wide)
    sign = np.sign(start)
    first, last = np.log(start / sign), np.log(stop / sign)
    exponents = np.linspace(first, last, num, endpoint, axis=axis)
    signs = np.broadcast_to(sign, np.broadcast_shapes(np.shape(start), np.shape(stop)))
    points = np.exp(exponents) * np.expand_dims(signs, axis)
    return points if dtype is None else points.astype(dtype)


# Interpolation, phases.
@definition(np.interp, signature="x, xp, fp, left=None, right=None, period=None")
def interp(
    x: Array,
    xp: Array,
    fp: Array,
    left: Operand | None = None,
    right: Operand | None = None,
    period: Operand | None = None,
) -> Array:
    """Piecewise linear through (xp, fp), differentiable in all of them; constant outside, or
    repeated with a period."""
    refuse_complex(np.interp, x=x, xp=xp)
    x, xp = _in_double(x), _in_double(xp)
    fp = as_array(fp) if is_complex(as_array(fp)) else _in_double(fp)
    if period is not None:
        x, xp, fp = _on_a_circle(x, xp, fp, np.abs(period))
        left = right = None
    n = np.size(xp)
    before = np.searchsorted(xp, x, side="right") - 1
    i = np.clip(before, 0, max(n - 2, 0))
    j = np.minimum(i + 1, n - 1)
    width = xp[j] - xp[i]
    slope = (fp[j] - fp[i]) / np.where(np.equal(width, 0), 1, width)
    y = fp[i] + (x - xp[i]) * slope
    y = np.where((before >= n - 1) & np.equal(width, 0), fp[-1], y)  # of equal points the last
    left = fp[0] if left is None else left
    right = fp[-1] if right is None else right
    y = np.where(np.less(x, xp[0]), left, y)
    return np.where(np.greater(x, xp[-1]), right, y)


def _in_double(x: Array) -> Array:
    """As np.interp takes all real numbers."""
    return as_array(x).astype(float)


def _on_a_circle(
    x: Array,
    xp: Array,
    fp: Array,
    period: Operand,
) -> tuple[Array, Array, Array]:
    """Coordinates between 0 and the period, and points in order, with a neighbour at both ends."""
    x, xp = np.remainder(x, period), np.remainder(xp, period)
    order = np.argsort(xp)
    xp, fp = xp[order], fp[order]
    places = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
    return x, places, np.concatenate([fp[-1:], fp, fp[:1]])


@definition(np.unwrap)
def unwrap_phase(
    p: Array,
    discont: Operand | None = None,
    axis: int = -1,
    period: Operand = 2 * pi,
) -> Array:
    """Phases without jumps: whole numbers of periods, which are constants, are added."""
    refuse_complex(np.unwrap, p=p)
    plain, length = unwrap(p), unwrap(period)
    jumps = np.unwrap(plain, unwrap(discont), axis, period=length) - plain
    return p + (jumps if length is period else jumps / length * period)


# Convolution: the products a_i v_j, added up at i + j.
@definition(np.convolve)
def convolve(a: Array, v: Array, mode: str = "full") -> Array:
    """Of two sequences; "same" keeps the middle, "valid" what overlaps wholly."""
    n, m = np.size(a), np.size(v)
    places = np.arange(n)[:, None] + np.arange(m)
    products = np.ravel(np.outer(a, v))
    full = scatter(products, np.ravel(places), (n + m - 1,))
    shorter, longer = min(n, m), max(n, m)
    if mode in ("full", 2):
        return full
    if mode in ("same", 1):
        start = (shorter - 1) // 2
        return full[start : start + longer]
    return full[shorter - 1 : longer]


@definition(np.correlate)
def correlate(a: Array, v: Array, mode: str = "valid") -> Array:
    """Convolution with the conjugate of the second sequence, reversed; of the longer one with the
    shorter."""
    v = conjugate(as_array(v))
    if np.size(v) > np.size(a):
        return np.flip(convolve(v, np.flip(a), mode))
    return convolve(a, np.flip(v), mode)


# Differences and integrals.
@definition(np.diff)
def diff(
    a: Array,
    n: Array | int = 1,
    axis: int = -1,
    prepend: Operand | None = None,
    append: Operand | None = None,
) -> Array:
    """Each element minus the one before it, n times."""
    if n == 0:
        return a
    a = as_array(a)
    one = [1 if i == axis % a.ndim else length for i, length in enumerate(a.shape)]
    before = [] if prepend is None else [_end(prepend, one)]
    after = [] if append is None else [_end(append, one)]
    if before or after:
        a = np.concatenate([*before, a, *after], axis)
    later = along(axis, a.ndim, slice(1, None))
    earlier = along(axis, a.ndim, slice(None, -1))
    for _ in range(n):
        a = a[later] - a[earlier]
    return a


def _end(value: Operand, shape: Sequence[int]) -> Array:
    """What stands before or behind a sequence: a number is the same for all."""
    return as_array(value) if np.ndim(value) else np.broadcast_to(value, shape)


@definition(np.ediff1d)
def ediff1d(
    ary: Array,
    to_end: Operand | None = None,
    to_begin: Operand | None = None,
) -> Array:
    """Differences of the flattened array, between given ends."""
    if not is_complex(as_array(ary)):
        refuse_complex(np.ediff1d, to_end=to_end, to_begin=to_begin)
    parts = [to_begin, np.diff(np.ravel(ary)), to_end]
    return np.concatenate([np.ravel(part) for part in parts if part is not None])


# The slope of the parabola through three points at distances d1 and d2 is a weighted sum of its
# values: the weights for the slope at the first point, the middle one, and the last.
_PARABOLA: dict[str, Callable[..., tuple[Array, Array, Array]]] = {
    "first": lambda d1, d2: (
        -(2 * d1 + d2) / (d1 * (d1 + d2)),
        (d1 + d2) / (d1 * d2),
        -d1 / (d2 * (d1 + d2)),
    ),
    "middle": lambda d1, d2: (
        -d2 / (d1 * (d1 + d2)),
        (d2 - d1) / (d1 * d2),
        d1 / (d2 * (d1 + d2)),
    ),
    "last": lambda d1, d2: (
        d2 / (d1 * (d1 + d2)),
        -(d2 + d1) / (d1 * d2),
        (2 * d2 + d1) / (d2 * (d1 + d2)),
    ),
}
_EVEN = {"first": (-1.5, 2.0, -0.5), "last": (0.5, -2.0, 1.5)}  # at distances of 1


@definition(np.gradient)
def gradient(
    f: Array,
    varargs: tuple[Operand, ...] = (),
    axis: Any = None,
    edge_order: int = 1,
) -> Any:
    """Central differences along each axis, at the edges one-sided ones of order 1 or 2.

    The spacing is one number, or for each axis a number or the coordinates of its points.
    """
    f = as_array(f)
    axes = axes_of(axis, f.ndim)
    spacings = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    pairs = zip(axes, map(_distances, spacings), strict=True)
    results = [_slopes(f, i, h, edge_order) for i, h in pairs]
    return results[0] if len(results) == 1 else tuple(results)


def _distances(spacing: Operand) -> Any:
    """A distance as it is; of coordinates that from each to the next, or one if all are equal."""
    if np.ndim(spacing) == 0:
        return spacing
    coordinates = as_array(spacing)
    if coordinates.dtype.kind in "iu":  # the differences of which may wrap round
        coordinates = coordinates.astype(float)
    distances = np.diff(coordinates)
    even = type(distances) is np.ndarray and bool(np.all(distances == distances[0]))
    return distances[0] if even else distances


def _slopes(
    f: Array,
    axis: int,
    h: Any,
    edge_order: int,
) -> Array:
    """Derivatives along an axis by differences; `h` is one distance or that of each pair of
    neighbours."""
    x = np.moveaxis(f, axis, 0)  # (n, rest...)
    even = np.ndim(h) == 0
    d: Any = h if even else np.reshape(h, (-1,) + (1,) * (x.ndim - 1))  # (n - 1, 1...)
    if even:
        inside = (x[2:] - x[:-2]) / (2.0 * d)
    else:
        weights = _PARABOLA["middle"](d[:-1], d[1:])
        inside = _weighted(weights, x[:-2], x[1:-1], x[2:])
    if edge_order == 1:
        first = (x[1] - x[0]) / (d if even else d[0])
        last = (x[-1] - x[-2]) / (d if even else d[-1])
    elif even:
        first = _weighted([w / d for w in _EVEN["first"]], x[0], x[1], x[2])
        last = _weighted([w / d for w in _EVEN["last"]], x[-3], x[-2], x[-1])
    else:
        first = _weighted(_PARABOLA["first"](d[0], d[1]), x[0], x[1], x[2])
        last = _weighted(_PARABOLA["last"](d[-2], d[-1]), x[-3], x[-2], x[-1])
    slopes = np.concatenate([first[None], inside, last[None]])
    return np.moveaxis(slopes, 0, axis)


def _weighted(weights: Sequence[Any], *values: Array) -> Array:
    """The sum of three values, each with its weight."""
    a, b, c = weights
    first, middle, last = values
    return a * first + b * middle + c * last


@definition(*[getattr(np, name) for name in ("trapezoid", "trapz") if name in dir(np)])
def trapezoid(
    y: Array,
    x: Array | None = None,
    dx: Operand = 1.0,
    axis: int = -1,
) -> Array:
    """The integral of y over x, or over points at distances dx."""
    y = as_array(y)
    if x is None:
        width: Any = dx
    elif np.ndim(x) == 1:
        one = [1] * y.ndim
        one[axis] = -1
        width = np.reshape(np.diff(x), one)
    else:
        width = np.diff(x, axis=axis)
    later = y[along(axis, y.ndim, slice(1, None))]
    earlier = y[along(axis, y.ndim, slice(None, -1))]
    return np.sum(width * (later + earlier) / 2, axis=axis)


# Functions of functions.
@definition(np.apply_along_axis, calls=True)
def apply_along_axis(
    func1d: Callable[..., Array],
    axis: int,
    arr: Array,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
) -> Array:
    """A function of vectors, of each along an axis; its result stands in the place of that axis."""
    rows = np.moveaxis(arr, axis, -1)
    *rest, length = np.shape(rows)
    flat = np.reshape(rows, (prod(rest), length))
    results = [func1d(row, *args, **(kwargs or {})) for row in flat]
    inner = np.shape(results[0])
    stacked = np.reshape(np.stack(results), (*rest, *inner))
    source = range(len(rest), len(rest) + len(inner))
    at = axis % np.ndim(arr)
    return np.moveaxis(stacked, tuple(source), tuple(range(at, at + len(inner))))


@definition(np.fromfunction, inert=("like",), calls=True)
def fromfunction(
    function: Callable[..., Any],
    shape: Shape,
    dtype: DTypeLike = float,
    kwargs: dict[str, Any] | None = None,
) -> Any:
    """A function of the coordinates of all elements."""
    return function(*np.indices(shape, dtype), **(kwargs or {}))


@definition(np.apply_over_axes, calls=True)
def apply_over_axes(
    func: Callable[..., Array],
    a: Array,
    axes: int | Sequence[int],
) -> Array:
    """A reduction over one axis after the other, which stay with length 1."""
    for axis in np.ravel(axes).tolist():
        result = func(a, axis)
        a = result if np.ndim(result) == np.ndim(a) else np.expand_dims(result, axis)
    return a


@definition(np.piecewise, calls=True)
def piecewise(
    x: Array,
    condlist: Any,
    funclist: Sequence[Any],
    args: tuple[Any, ...] = (),
    kw: dict[str, Any] | None = None,
) -> Array:
    """Each function is given the elements of its condition only; later conditions win."""
    x = as_array(x)
    several = np.ndim(condlist[0]) > 0 or x.ndim == 0
    conditions = [np.asarray(c) for c in (condlist if several else [condlist])]
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.any(conditions, axis=0))
    result: Array = np.zeros(x.shape, x.dtype)
    for condition, function in zip(conditions, funclist, strict=True):
        if callable(function):
            values = function(x[condition], *args, **(kw or {}))
            part = scatter(as_array(values), condition, x.shape)
        else:
            part = function
        result = np.where(condition, part, result)
    return result
