"""The calculus table of statistics: quantiles, reductions that skip NaN, covariances, counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...engine.operands import conjugate
from ...tensor import Tensor, rule, unwrap
from ...typing import Array, ArrayLike, Axis, DTypeLike, Mask, Operand
from ..table import as_array, definition, refuse_complex
from .axes import kept_shape, reduced_last
from .index import scatter
from .reduce import spread

# Quantiles. The quantile of the ranks 0, 1, ..., n - 1 is a position among the sorted values. NumPy
# computes it, with any method and any weights. The value lies between its two neighbours.
SELECTING = ("inverted_cdf", "closest_observation", "lower", "higher", "nearest")
PARAMETERS = {  # alpha and beta of the methods that are continuous in q (Hyndman & Fan 1996)
    "linear": (1.0, 1.0),
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}


def _quantile(
    function: Callable[..., Array],
    a: Array,
    q: Operand,
    axis: Axis,
    method: str,
    keepdims: bool,
    weights: ArrayLike | None,
    whole: float,
) -> Array:
    """A quantile function of NumPy's, for shares of q / `whole`.

    NaN among the values is the result, and shares the gradient, unless the function skips NaN.
    """
    refuse_complex(function, a=a)
    a = as_array(a)
    own = _numpys(function, a, q, axis, method, keepdims, weights)
    last = reduced_last(a, axis)  # (rest..., n)
    skips_nan = function in (np.nanquantile, np.nanpercentile)
    if skips_nan and np.size(a) == 0:
        return np.nanmean(a, axis=axis, keepdims=keepdims)  # as NumPy does, without an axis for q
    n = np.sum(~np.isnan(last), axis=-1, keepdims=True) if skips_nan else last.shape[-1]
    positions = _positions(function, last, q, method, _weights_of(weights, a, axis))
    ordered = np.sort(last, axis=-1)  # NaN comes last
    value = np.take_along_axis(ordered, positions.astype(int), -1)  # (rest..., q)
    if method not in SELECTING:
        share = positions - np.floor(positions)
        moves = isinstance(q, Tensor) and method in PARAMETERS
        step = np.logical_or(share > 0, moves)  # else nothing comes from the upper neighbour
        if moves:
            share = share + _moved(np.ravel(q) / whole, n, *PARAMETERS[method])
        upper = np.clip(positions.astype(int) + step, 0, np.maximum(n - 1, 0))
        value = _between(value, np.take_along_axis(ordered, upper, -1), share.astype(own.dtype))
    value = np.reshape(np.moveaxis(value, -1, 0), np.shape(own))  # (q, rest...) -> (q..., kept...)
    undefined = np.isnan(own)
    if not np.any(undefined):
        return value
    largest = np.max(a, axis=axis, keepdims=keepdims)
    return np.where(undefined, np.where(np.isnan(largest), largest, np.nan), value)


def _numpys(
    function: Callable[..., Array],
    a: Array,
    q: Operand,
    axis: Axis,
    method: str,
    keepdims: bool,
    weights: ArrayLike | None,
) -> np.ndarray:
    """NumPy's own value, which is NaN between infinite ones."""
    options = {} if weights is None else {"weights": unwrap(weights)}
    with np.errstate(invalid="ignore"):
        value = function(
            unwrap(a), unwrap(q), axis=axis, method=method, keepdims=keepdims, **options
        )
    return np.asarray(value)


def _positions(
    function: Callable[..., Array],
    last: Array,
    q: Operand,
    method: str,
    weights: np.ndarray | None,
) -> np.ndarray:
    """The positions of the shares q among the sorted values, counted from 0: (rest..., q)."""
    values = unwrap(last)
    ranks = np.argsort(np.argsort(values, axis=-1), axis=-1).astype(float)
    ranks[np.isnan(values)] = np.nan
    options = {} if weights is None else {"weights": weights}
    found = function(ranks, np.ravel(unwrap(q)), axis=-1, method=method, **options)  # (q, rest...)
    known = np.where(np.isnan(found), 0, found)
    return np.moveaxis(np.asarray(known, float), 0, -1)


def _weights_of(weights: ArrayLike | None, a: Array, axis: Axis) -> np.ndarray | None:
    """The weight of each value, with the reduced axes at the end; they choose, like an index."""
    if weights is None:
        return None
    plain = np.asarray(unwrap(weights))
    if plain.shape != np.shape(a):
        plain = np.asarray(spread(plain, np.shape(a), axis))
    return np.asarray(reduced_last(plain, axis))


def _moved(
    q: Array,
    n: Array | int,
    alpha: float,
    beta: float,
) -> Array:
    """0, with the slope of the position q (n + 1 - alpha - beta) + alpha - 1, which has bounds."""
    position = q * (n + (1 - alpha - beta)) + (alpha - 1)
    bounded = np.clip(position, 0, np.maximum(n - 1, 0))
    return bounded - unwrap(bounded)


def _between(lower: Array, upper: Array, share: Array) -> Array:
    """The value between two others, from the nearer one, as NumPy rounds; at a share of 0 the
    first, even if the other is infinite."""
    difference = upper - lower
    behind = lower + difference * share
    between = np.where(np.less(share, 0.5), behind, upper - difference * (1 - share))
    return np.where(np.equal(share, 0) & np.isnan(between), lower, between)


def _enter_quantiles(function: Callable[..., Array], whole: float) -> None:
    """A quantile function, whose q are shares of `whole`."""

    @definition(function, inert=("overwrite_input",))
    def quantile(
        a: Array,
        q: Operand,
        axis: Axis = None,
        method: str = "linear",
        keepdims: bool = False,
        weights: ArrayLike | None = None,
    ) -> Array:
        """The value below which a share q lies, differentiable in q where it is continuous."""
        return _quantile(function, a, q, axis, method, keepdims, weights, whole)


def _enter_median(function: Callable[..., Array], skips_nan: bool) -> None:
    """The median of all values, or of those that are not NaN."""

    @definition(function, inert=("overwrite_input",))
    def median(
        a: Array,
        axis: Axis = None,
        keepdims: bool = False,
    ) -> Array:
        """The value in the middle, or the mean of the two that are there; of nothing NaN."""
        a = as_array(a)
        if a.size == 0:
            return np.mean(a, axis=axis, keepdims=keepdims)
        last = reduced_last(a, axis)  # (rest..., n)
        bad = np.isnan(last)
        n = np.sum(~bad, axis=-1) if skips_nan else np.full(last.shape[:-1], last.shape[-1])
        undefined = n == 0 if skips_nan else np.any(bad, axis=-1)
        missing = np.max(last, axis=-1) if np.any(undefined) else np.nan  # one of the elements
        index = np.stack([np.maximum(n - 1, 0) // 2, n // 2], axis=-1)
        middle = np.take_along_axis(np.sort(last, axis=-1), index, -1)  # (rest..., 2)
        value = np.where(n % 2, middle[..., 0], np.mean(middle, axis=-1))
        value = np.where(undefined, missing, value)
        return np.reshape(value, kept_shape(np.shape(a), axis)) if keepdims else value


_enter_quantiles(np.quantile, 1.0)
_enter_quantiles(np.nanquantile, 1.0)
_enter_quantiles(np.percentile, 100.0)
_enter_quantiles(np.nanpercentile, 100.0)
_enter_median(np.median, skips_nan=False)
_enter_median(np.nanmedian, skips_nan=True)


# Sums, products and means that skip NaN: it is replaced by what changes nothing, and gets gradient
# 0. (Extremes and variances that do: reduce.py.)
def _without_nan(a: Array, neutral: float) -> Array:
    return np.where(np.isnan(a), neutral, a)


@definition(np.nansum)
def nansum(
    a: Array,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: Any = 0,
    where: Mask = True,
) -> Array:
    """The sum of what is not NaN."""
    a = _without_nan(a, 0)
    options = {"dtype": dtype, "keepdims": keepdims, "initial": initial, "where": where}
    return rule(np.sum)(a, axis, **options)  # which sees a tensor in `initial`, too


@definition(np.nanprod)
def nanprod(
    a: Array,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: Any = 1,
    where: Mask = True,
) -> Array:
    """The product of what is not NaN."""
    a = _without_nan(a, 1)
    options = {"dtype": dtype, "keepdims": keepdims, "initial": initial, "where": where}
    return rule(np.prod)(a, axis, **options)


@definition(np.nancumsum)
def nancumsum(
    a: Array,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
) -> Array:
    """Sums up to each element of what is not NaN."""
    return np.cumsum(_without_nan(a, 0), axis=axis, dtype=dtype)


@definition(np.nancumprod)
def nancumprod(
    a: Array,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
) -> Array:
    """Products up to each element of what is not NaN."""
    return np.cumprod(_without_nan(a, 1), axis=axis, dtype=dtype)


@definition(np.nanmean)
def nanmean(
    a: Array,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    where: Mask = True,
) -> Array:
    """The mean of what is not NaN."""
    n = np.sum(~np.isnan(a), axis=axis, keepdims=keepdims, where=where)
    total = np.nansum(a, axis=axis, dtype=dtype, keepdims=keepdims, where=where)
    return total / n.astype(total.dtype)


# Covariances.
@definition(np.cov, refused=("bias",))
def cov(
    m: Array,
    y: Array | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Array | float | None = None,
    fweights: ArrayLike | None = None,
    aweights: Array | None = None,
    dtype: DTypeLike | None = None,
) -> Array:
    """The covariances of the rows of m (and y), over N - 1 observations, or N with `bias`.

    An observation counts `fweights` times, whole numbers, and with the weight `aweights`. Of
    complex rows x and y the mean of (x - mean) conj(y - mean).
    """
    rows = np.atleast_2d(m)  # (variables, observations)
    if not rowvar and np.ndim(m) != 1:
        rows = rows.T
    if y is not None:
        others = np.atleast_2d(y)
        rows = np.concatenate([rows, others if rowvar or len(others) == 1 else others.T])
    wide = np.result_type(unwrap(rows).dtype, np.float64)  # without a dtype, as in NumPy
    rows = rows.astype(wide if dtype is None else dtype)
    lost = ddof if ddof is not None else int(bias == 0)
    if fweights is None and aweights is None:
        centred = rows - np.mean(rows, axis=1, keepdims=True)
        n = np.maximum(rows.shape[1] - lost, 0)
        return np.squeeze(centred @ conjugate(centred).mT / n)
    counts: Array = np.ones(rows.shape[1]) if fweights is None else np.asarray(unwrap(fweights))
    weights = counts if aweights is None else counts * as_array(aweights)
    total = np.sum(weights)
    centred = rows - np.expand_dims(rows @ weights / total, 1)
    repeated = lost if aweights is None else lost * (np.sum(weights * aweights) / total)
    n = np.maximum(total - repeated, 0)
    return np.squeeze((centred * weights) @ conjugate(centred).mT / n)


@definition(np.corrcoef, inert=("bias", "ddof"))
def corrcoef(
    x: Array,
    y: Array | None = None,
    rowvar: bool = True,
    dtype: DTypeLike | None = None,
) -> Array:
    """Covariances divided by both standard deviations."""
    c = cov(x, y, rowvar, dtype=dtype)
    if np.ndim(c) == 0:
        return c / c
    deviation = np.sqrt(np.real(np.diagonal(c)))
    return c / np.expand_dims(deviation, 1) / deviation


@definition(np.bincount, signature="x, /, weights=None, minlength=0")
def bincount(
    x: ArrayLike,
    weights: Array | None = None,
    minlength: int = 0,
) -> Array:
    """The sum of the weights that fall to each number."""
    refuse_complex(np.bincount, weights=weights)
    places = np.asarray(unwrap(x), int)
    counts = np.bincount(places, minlength=minlength)
    return counts if weights is None else scatter(as_array(weights), places, counts.shape)


# Histograms: the counts are steps in the sample, and linear in the weights.
Limits = tuple[Any, Any] | None  # two numbers or tensors


@definition(np.histogram_bin_edges)
def histogram_bin_edges(
    a: ArrayLike,
    bins: Any = 10,
    range: Limits = None,
    weights: ArrayLike | None = None,
) -> Array:
    """The bounds of the bins: given, or at equal distances between two limits.

    Without `range` the limits are the extreme elements of a.
    """
    return _moving(_constant_edges(a, bins, range, weights), a, bins, range)


def _moving(edges: np.ndarray, a: ArrayLike, bins: Any, range: Limits) -> Array:
    """The same bounds as they depend on tensors: given, or on the limits."""
    if np.ndim(bins) == 1:
        return as_array(bins)
    if range is None and np.size(a) == 0:
        return edges
    first, last = (np.min(a), np.max(a)) if range is None else range
    if unwrap(first) == unwrap(last):
        first, last = first - 0.5, last + 0.5
    return np.linspace(first, last, len(edges))


def _constant_edges(
    a: ArrayLike,
    bins: Any,
    range: Limits,
    weights: ArrayLike | None = None,
) -> np.ndarray:
    """The bounds of the bins as NumPy computes them, and refuses them; of real numbers only."""
    refuse_complex(np.histogram, a=a)
    if np.ndim(bins) == 1:
        refuse_complex(np.histogram, bins=bins)
    edges = np.histogram_bin_edges(unwrap(a), unwrap(bins), unwrap(range), unwrap(weights))
    return np.asarray(edges)


def _bins_of(x: ArrayLike, edges: np.ndarray) -> np.ndarray:
    """The number of each value's bin: below 0 or too large outside. The last holds its end too."""
    x = unwrap(x)
    numbers = np.searchsorted(edges, x, side="right") - 1
    return np.where(np.equal(x, edges[-1]), len(edges) - 2, numbers)


def _histogram(
    sample: Sequence[Array],
    bins: Sequence[Any],
    ranges: Sequence[Limits],
    edges: Sequence[np.ndarray],
    density: bool | None,
    weights: Array,
) -> tuple[Array, list[Array]]:
    """The sum of the weights in each bin of a grid, and the edges along each of its axes.

    `edges` are their values.
    """
    numbers = np.stack([_bins_of(x, e) for x, e in zip(sample, edges, strict=True)])  # (D, N)
    shape = tuple(len(e) - 1 for e in edges)
    sizes = np.expand_dims(shape, 1)  # (D, 1)
    inside = np.all((numbers >= 0) & (numbers < sizes), axis=0)
    sums = scatter(weights[inside], tuple(numbers[:, inside]), shape)
    axes = zip(edges, sample, bins, ranges, strict=True)
    recorded = [_moving(*axis) for axis in axes]
    if not density:
        return sums, recorded
    shares = sums
    for i, bounds in enumerate(recorded):
        widths = np.diff(bounds)
        shares = shares / np.reshape(widths, (-1,) + (1,) * (len(shape) - i - 1))  # (n, 1, ...)
    return shares / np.sum(sums), recorded


def _length(bins: Any) -> int:
    """The length of a sequence, and 0 for a single number."""
    try:
        return len(bins)
    except TypeError:
        return 0


@definition(np.histogram)
def histogram(
    a: ArrayLike,
    bins: Any = 10,
    range: Limits = None,
    density: bool | None = None,
    weights: Array | None = None,
) -> tuple[Array, Array]:
    """How many elements fall into each bin, or the sum of their weights, and the edges."""
    bounds = _constant_edges(a, bins, range, weights)
    x = np.ravel(a)
    each = np.ones(x.shape, int) if weights is None else np.ravel(weights)
    sums, edges = _histogram([x], [bins], [range], [bounds], density, each)
    return sums, edges[0]


@definition(np.histogramdd)
def histogramdd(
    sample: Any,
    bins: Any = 10,
    range: Sequence[Limits] | None = None,
    density: bool | None = None,
    weights: Array | None = None,
) -> tuple[Array, list[Array]]:
    """How many rows of a sample (N, D), or of D arrays (N,), fall into each bin of a grid."""
    if isinstance(sample, (list, tuple)):
        columns = np.atleast_2d(np.stack(sample))  # (D, N)
    else:
        columns = sample.T if np.ndim(sample) == 2 else np.atleast_2d(sample)
    d, n = columns.shape
    refuse_complex(np.histogramdd, sample=columns, weights=weights)
    each = np.ones(n) if weights is None else as_array(weights)
    along_axes = bins if _length(bins) else [bins] * d
    for of_axis in along_axes:
        refuse_complex(np.histogramdd, bins=of_axis)
    ranges = [None] * d if range is None else range
    bounds = np.histogramdd(unwrap(columns).T, unwrap(along_axes), unwrap(ranges))[1]
    return _histogram(list(columns), along_axes, ranges, bounds, density, each)


@definition(np.histogram2d)
def histogram2d(
    x: Array,
    y: Array,
    bins: Any = 10,
    range: Sequence[Limits] | None = None,
    density: bool | None = None,
    weights: Array | None = None,
) -> tuple[Array, Array, Array]:
    """How many pairs fall into each bin of a grid. Edges in one array are those of both axes."""
    if _length(bins) > 2:
        bins = [bins, bins]
    sums, edges = histogramdd([x, y], bins, range, density, weights)
    return sums, edges[0], edges[1]
