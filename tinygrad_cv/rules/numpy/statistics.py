"""The calculus table of order statistics, NaN-skipping reductions, differences, convolution, interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..table import definition, derivative
from .index import scatter
from .reduce import root

METHODS: dict[str, Any] = {  # the two neighbours of a position and the share of the upper one
    "linear": lambda p: (np.floor(p), np.ceil(p), p - np.floor(p)),
    "lower": lambda p: (np.floor(p), np.floor(p), 0 * p),
    "higher": lambda p: (np.ceil(p), np.ceil(p), 0 * p),
    "midpoint": lambda p: (np.floor(p), np.ceil(p), 0.5 + 0 * p),
    "nearest": lambda p: (np.rint(p), np.rint(p), 0 * p),
}


def _axes(a: Any, axis: Any) -> list[int]:
    return [
        i % np.ndim(a)
        for i in (range(np.ndim(a)) if axis is None or not np.ndim(a) else np.ravel(axis).tolist())
    ]


def _reduced_last(a: Any, axis: Any) -> Any:
    """The axes to reduce flattened into the last: (rest..., n)."""
    axes = _axes(a, axis)
    rest = [i for i in range(np.ndim(a)) if i not in axes]
    shape = np.shape(a)
    return np.reshape(
        np.transpose(a, rest + axes),
        [shape[i] for i in rest] + [int(np.prod([shape[i] for i in axes]))],
    )


def _kept(result: Any, a: Any, axis: Any, keepdims: bool) -> Any:
    """Reduced axes back as length 1; leading axes beyond those of `a` stay."""
    if not keepdims:
        return result
    axes = _axes(a, axis)
    lead = np.ndim(result) - (np.ndim(a) - len(axes))
    kept = tuple(1 if i in axes else n for i, n in enumerate(np.shape(a)))
    return np.reshape(result, np.shape(result)[:lead] + kept)


def _quantile(a: Any, q: Any, axis: Any, method: str, keepdims: bool, skip_nan: bool) -> Any:
    """Sorted values at the positions q (n - 1), where n counts all values, or those that are not NaN."""
    if method not in METHODS:
        raise NotImplementedError(
            f"quantiles on tensors know the methods {', '.join(METHODS)}, not {method!r}"
        )
    if skip_nan and np.size(a) == 0:
        return np.nanmean(a, axis=axis, keepdims=keepdims)  # as NumPy does, without an axis for q
    last = _reduced_last(a, axis)
    bad = np.isnan(last)
    ordered = np.sort(last, axis=-1)  # NaN comes last
    n = np.sum(~bad, axis=-1) if skip_nan else np.full(np.shape(last)[:-1], np.shape(last)[-1])
    empty = n == 0 if skip_nan else np.any(bad, axis=-1)

    def at(q: float) -> Any:
        low, high, share = METHODS[method](q * np.maximum(n - 1, 0))
        pick = lambda i: np.take_along_axis(ordered, i.astype(int)[..., None], -1)[..., 0]
        lower = pick(np.asarray(low))
        result = lower + (pick(np.asarray(high)) - lower) * np.asarray(share).astype(a.dtype)
        return np.where(empty, np.nan, result)

    results = [at(float(one)) for one in np.ravel(q)]
    stacked = (
        results[0]
        if np.ndim(q) == 0
        else np.reshape(np.stack(results), np.shape(q) + np.shape(results[0]))
    )
    return _kept(stacked, a, axis, keepdims)


def _enter_quantiles(quantile: Any, percentile: Any, median: Any, skip_nan: bool) -> None:
    @definition(quantile)
    def of_q(
        a: Any,
        q: Any,
        axis: Any = None,
        out: None = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: bool = False,
        *,
        weights: None = None,
    ) -> Any:
        if weights is not None:
            raise NotImplementedError("weighted quantiles are not differentiated")
        return _quantile(a, q, axis, method, keepdims, skip_nan)

    @definition(percentile)
    def of_percent(a: Any, q: Any, *args: Any, **options: Any) -> Any:
        return of_q(a, np.true_divide(q, 100), *args, **options)

    @definition(median)
    def middle(
        a: Any,
        axis: Any = None,
        out: None = None,
        overwrite_input: bool = False,
        keepdims: bool = False,
    ) -> Any:
        return _quantile(a, 0.5, axis, "linear", keepdims, skip_nan)


_enter_quantiles(np.quantile, np.percentile, np.median, False)
_enter_quantiles(np.nanquantile, np.nanpercentile, np.nanmedian, True)


# Reductions that skip NaN: NaN is replaced by what changes nothing, and gets gradient zero.
def _skipping(function: Any, neutral: float) -> Any:
    return lambda a, *args, **options: function(np.where(np.isnan(a), neutral, a), *args, **options)


definition(np.nansum)(_skipping(np.sum, 0.0))
definition(np.nanprod)(_skipping(np.prod, 1.0))
definition(np.nancumsum)(_skipping(np.cumsum, 0.0))
definition(np.nancumprod)(_skipping(np.cumprod, 1.0))
definition(np.nanmax)(_skipping(np.max, -np.inf))
definition(np.nanmin)(_skipping(np.min, np.inf))


@definition(np.nanmean)
def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False
) -> Any:
    return np.nansum(a, axis=axis, keepdims=keepdims) / np.sum(
        ~np.isnan(a), axis=axis, keepdims=keepdims
    ).astype(a.dtype)


@definition(np.nanvar)
def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    **options: Any,
) -> Any:
    bad = np.isnan(a)
    squares = np.where(
        bad, 0, np.square(np.where(bad, 0, a) - np.nanmean(a, axis=axis, keepdims=True))
    )
    n = np.sum(~bad, axis=axis, keepdims=keepdims).astype(a.dtype)
    return np.sum(squares, axis=axis, keepdims=keepdims) / (n - ddof)


definition(np.nanstd)(lambda *args, **options: root(nanvar(*args, **options)))


# Differences and integrals.
@definition(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    ends = [e for e in (prepend, append) if e is not None and e is not np._NoValue]
    if ends:
        one = tuple(1 if i == axis % np.ndim(a) else k for i, k in enumerate(np.shape(a)))
        full = lambda e: [np.broadcast_to(e, one) if np.ndim(e) == 0 else e]
        a = np.concatenate(
            (full(prepend) if prepend is not None else [])
            + [a]
            + (full(append) if append is not None else []),
            axis,
        )
    before = (slice(None),) * (axis % max(1, np.ndim(a)))
    for _ in range(n):
        a = a[(*before, slice(1, None))] - a[(*before, slice(None, -1))]
    return a


@definition(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    parts = [to_begin, np.diff(np.ravel(ary)), to_end]
    return np.concatenate([np.ravel(part) for part in parts if part is not None])


@definition(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Central differences for even spacing, one-sided at the edges."""
    axes = _axes(f, axis)
    steps = list(varargs) * len(axes) if len(varargs) == 1 else list(varargs) or [1.0] * len(axes)
    if edge_order != 1 or any(np.ndim(h) for h in steps):
        raise NotImplementedError(
            "np.gradient on tensors knows even spacing (numbers) and edge_order=1"
        )

    def along(i: int, h: Any) -> Any:
        x = np.moveaxis(f, i, 0)
        inside = (x[2:] - x[:-2]) / (2 * h)
        return np.moveaxis(
            np.concatenate([(x[1:2] - x[:1]) / h, inside, (x[-1:] - x[-2:-1]) / h]), 0, i
        )

    results = [along(i, h) for i, h in zip(axes, steps, strict=True)]
    return results[0] if len(results) == 1 else tuple(results)


@definition(
    *[getattr(np, name) for name in ("trapezoid", "trapz") if name in dir(np)]
)  # NumPy 2.0 has both names
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = np.moveaxis(y, axis, -1)
    width = (
        dx if x is None else np.diff(x if np.ndim(x) == 1 else np.moveaxis(x, axis, -1), axis=-1)
    )
    return np.sum(width * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)


# Covariance.
@definition(np.cov)
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, **weights: Any
) -> Any:
    if any(w is not None for name, w in weights.items() if name != "dtype"):
        raise NotImplementedError("weighted covariances are not differentiated")
    rows = np.atleast_2d(m) if rowvar or np.ndim(m) == 1 else np.transpose(m)
    if y is not None:
        rows = np.concatenate(
            [rows, np.atleast_2d(y) if rowvar or np.ndim(y) == 1 else np.transpose(y)]
        )
    centred = rows - np.mean(rows, axis=1, keepdims=True)
    n = np.shape(rows)[1] - ((0 if bias else 1) if ddof is None else ddof)
    return np.squeeze(centred @ centred.mT / n)


@definition(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, **options: Any) -> Any:
    c = np.cov(x, y, rowvar)
    if np.ndim(c) == 0:
        return c / c
    deviation = np.sqrt(np.diagonal(c))
    return c / np.expand_dims(deviation, 1) / deviation


# Convolution: the products a_i v_j, added up at i + j.
@definition(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    n, m = np.size(a), np.size(v)
    places = np.arange(n)[:, None] + np.arange(m)
    full = scatter(np.ravel(np.outer(a, v)), places.ravel(), (n + m - 1,))
    if mode == "full":
        return full
    start = (min(n, m) - 1) // 2 if mode == "same" else min(n, m) - 1
    return full[start : start + (max(n, m) if mode == "same" else max(n, m) - min(n, m) + 1)]


@definition(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Convolution with the second sequence reversed; as in NumPy, of the longer with the shorter."""
    if np.size(v) > np.size(a):
        return np.flip(convolve(v, np.flip(a), mode))
    return convolve(a, np.flip(v), mode)


# Functions of functions, interpolation, polynomials.
@definition(np.apply_along_axis)
def apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    rows = np.moveaxis(arr, axis, -1)
    rest = np.shape(rows)[:-1]
    results = [
        func1d(row, *args, **kwargs)
        for row in np.reshape(rows, (int(np.prod(rest)), np.shape(rows)[-1]))
    ]
    inner = np.shape(results[0])
    stacked = np.reshape(np.stack(results), rest + inner)
    source = tuple(range(len(rest), len(rest) + len(inner)))
    at = axis % np.ndim(arr)
    return np.moveaxis(stacked, source, tuple(range(at, at + len(inner))))


@definition(np.apply_over_axes)
def apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    for axis in np.ravel(axes).tolist():
        result = func(a, axis)
        a = result if np.ndim(result) == np.ndim(a) else np.expand_dims(result, axis)
    return a


@definition(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kwargs: Any) -> Any:
    """Each function is given the elements of its condition only; later conditions win."""
    conditions = [
        np.asarray(c) for c in (condlist if np.ndim(condlist[0]) or np.ndim(x) == 0 else [condlist])
    ]
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.any(conditions, axis=0))
    result: Any = np.zeros(np.shape(x), x.dtype)
    for condition, function in zip(conditions, funclist, strict=True):
        part = (
            function(x[condition], *args, **kwargs)
            if callable(function)
            else np.full(int(condition.sum()), function, x.dtype)
        )
        result = np.where(condition, scatter(part, condition, np.shape(x)), result)
    return result


@definition(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """Piecewise linear through (xp, fp), differentiable in all three; constant outside."""
    if period is not None:
        raise NotImplementedError("np.interp with a period is not differentiated")
    n = np.size(xp)
    i = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, max(n - 2, 0))
    j = np.minimum(i + 1, n - 1)
    inside = fp[i] + (x - xp[i]) * ((fp[j] - fp[i]) / (xp[j] - xp[i]))
    inside = np.where(np.less(x, xp[0]), fp[0] if left is None else left, inside)
    return np.where(np.greater(x, xp[-1]), fp[-1] if right is None else right, inside)


@definition(np.unwrap)
def unwrap_phase(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * np.pi) -> Any:
    """The jumps that are taken out are constants."""
    plain = p.numpy()
    return p + (np.unwrap(plain, discont, axis, period=period) - plain)


def _i1(x: Any) -> Any:
    from scipy.special import i1

    return i1(x)


derivative(np.i0, x=lambda g, x: g * _i1(x))


@definition(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    value: Any = 0 * x
    for coefficient in p:
        value = value * x + coefficient
    return value


@definition(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    return scatter(weights, x, (max(int(np.max(x, initial=-1)) + 1, minlength),))


@definition(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    **options: Any,
) -> Any:
    step = (stop - start) / max(num - 1 if endpoint else num, 1)
    places = np.arange(num, dtype=step.dtype)
    result = np.expand_dims(start, 0) + np.reshape(places, (-1,) + (1,) * np.ndim(step)) * step
    result = np.moveaxis(result, 0, axis)
    return (result, step) if retstep else result


@definition(np.logspace)
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, **options: Any
) -> Any:
    return np.power(base, linspace(start, stop, num, endpoint))


@definition(np.geomspace)
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, **options: Any) -> Any:
    return np.exp(linspace(np.log(start), np.log(stop), num, endpoint))
