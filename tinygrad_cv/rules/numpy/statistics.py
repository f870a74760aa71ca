"""The calculus table of statistics: quantiles, reductions that skip NaN, covariances, counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...engine.operands import conjugate
from ...tensor import unwrap
from ...typing import Array, ArrayLike, Axis, DTypeLike, Mask, Operand
from ..table import as_array, definition, refuse_complex
from .axes import kept_shape, reduced_last
from .index import scatter

# Quantiles: between the two neighbours of a position, which have these numbers and this share of
# the upper one.
METHODS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]] = {
    "linear": lambda p: (np.floor(p), np.ceil(p), p - np.floor(p)),
    "lower": lambda p: (np.floor(p), np.floor(p), 0 * p),
    "higher": lambda p: (np.ceil(p), np.ceil(p), 0 * p),
    "midpoint": lambda p: (np.floor(p), np.ceil(p), 0.5 + 0 * p),
    "nearest": lambda p: (np.rint(p), np.rint(p), 0 * p),
}


def _quantile(
    a: Array,
    q: ArrayLike,
    axis: Axis,
    method: str,
    keepdims: bool,
    skip_nan: bool,
) -> Array:
    """Sorted values at the positions q (n - 1). n counts all values, or those that are not NaN.

    Without `skip_nan` NaN among the values is the result, and shares the gradient.
    """
    if method not in METHODS:
        raise NotImplementedError(
            f"quantiles on tensors know the methods {', '.join(METHODS)}, not {method!r}"
        )
    if np.any(np.less(q, 0) | np.greater(q, 1)):
        raise ValueError(f"quantiles are of shares between 0 and 1, not {q!r}")
    if skip_nan and np.size(a) == 0:
        return np.nanmean(a, axis=axis, keepdims=keepdims)  # as NumPy does, without an axis for q
    last = reduced_last(a, axis)  # (rest..., n)
    bad = np.isnan(last)
    if skip_nan:
        n = np.sum(~bad, axis=-1)
        undefined = n == 0
        missing: Operand = np.nan
    else:
        n = np.full(last.shape[:-1], last.shape[-1])
        undefined = np.any(bad, axis=-1)
        missing = np.max(last, axis=-1) if np.any(undefined) else np.nan  # one of the elements
    ordered = np.sort(last, axis=-1)  # NaN comes last
    values = []
    for share in np.ravel(q).tolist():
        positions = share * np.maximum(n - 1, 0)
        value = _between(ordered, *METHODS[method](positions))
        values.append(np.where(undefined, missing, value))
    stacked = values[0] if np.ndim(q) == 0 else np.stack(values)  # (q..., rest...)
    kept = kept_shape(np.shape(a), axis) if keepdims else values[0].shape
    return np.reshape(stacked, np.shape(q) + kept)


def _between(
    ordered: Array,
    low: np.ndarray,
    high: np.ndarray,
    share: np.ndarray,
) -> Array:
    """The value between the elements `low` and `high` of the last axis: (..., n) -> (...)."""
    lower, upper = _element(ordered, low), _element(ordered, high)
    return lower + (upper - lower) * np.asarray(share).astype(ordered.dtype)


def _element(ordered: Array, number: np.ndarray) -> Array:
    """The element of the last axis that has a number: (..., n), (...) -> (...)."""
    index = np.expand_dims(np.asarray(number).astype(int), -1)
    return np.take_along_axis(ordered, index, -1)[..., 0]


def _enter_quantiles(
    quantile: Any,
    percentile: Any,
    median: Any,
    skip_nan: bool,
) -> None:
    """The three functions of a kind, which count all values, or skip NaN."""

    @definition(quantile, inert=("overwrite_input",))
    def of_share(
        a: Array,
        q: ArrayLike,
        axis: Axis = None,
        method: str = "linear",
        keepdims: bool = False,
    ) -> Array:
        """The value below which a share q lies."""
        refuse_complex(quantile, a=a)
        return _quantile(a, q, axis, method, keepdims, skip_nan)

    @definition(percentile, inert=("overwrite_input",))
    def of_percent(
        a: Array,
        q: ArrayLike,
        axis: Axis = None,
        method: str = "linear",
        keepdims: bool = False,
    ) -> Array:
        """The value below which q percent lie."""
        refuse_complex(percentile, a=a)
        return _quantile(a, np.true_divide(q, 100), axis, method, keepdims, skip_nan)

    @definition(median, inert=("overwrite_input",))
    def middle(
        a: Array,
        axis: Axis = None,
        keepdims: bool = False,
    ) -> Array:
        """The value below which half of all lie."""
        return _quantile(a, 0.5, axis, "linear", keepdims, skip_nan)


_enter_quantiles(np.quantile, np.percentile, np.median, skip_nan=False)
_enter_quantiles(np.nanquantile, np.nanpercentile, np.nanmedian, skip_nan=True)


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
    return np.sum(a, axis=axis, dtype=dtype, keepdims=keepdims, initial=initial, where=where)


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
    return np.prod(a, axis=axis, dtype=dtype, keepdims=keepdims, initial=initial, where=where)


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
def _variables(m: Array, rowvar: bool) -> Array:
    """One row for each variable."""
    return np.atleast_2d(m) if rowvar or np.ndim(m) == 1 else np.transpose(m)


@definition(np.cov)
def cov(
    m: Array,
    y: Array | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    dtype: DTypeLike | None = None,
) -> Array:
    """The covariances of the rows of m (and y), over N - 1 observations, or N with `bias`.

    Of complex rows x and y the mean of (x - mean) conj(y - mean).
    """
    rows = _variables(m, rowvar)  # (variables, observations)
    if y is not None:
        rows = np.concatenate([rows, _variables(y, rowvar)])
    wide = np.result_type(unwrap(rows).dtype, np.float64)  # without a dtype, as in NumPy
    rows = rows.astype(wide if dtype is None else dtype)
    centred = rows - np.mean(rows, axis=1, keepdims=True)
    lost = ddof if ddof is not None else 0 if bias else 1
    n = rows.shape[1] - lost
    return np.squeeze(centred @ conjugate(centred).mT / max(n, 0))


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
    counts = np.bincount(unwrap(x), minlength=minlength)
    return counts if weights is None else scatter(as_array(weights), unwrap(x), counts.shape)


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
    if np.ndim(bins) == 1:
        return as_array(bins)
    edges = _constant_edges(a, bins, range, weights)
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
    limits = None if range is None else tuple(map(unwrap, range))
    edges = np.histogram_bin_edges(unwrap(a), unwrap(bins), limits, unwrap(weights))
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
    density: bool | None,
    weights: Array,
) -> tuple[Array, list[Array]]:
    """The sum of the weights in each bin of a grid, and the edges along each of its axes."""
    axes = list(zip(sample, bins, ranges, strict=True))
    edges = [_constant_edges(*axis) for axis in axes]
    numbers = np.stack([_bins_of(x, e) for x, e in zip(sample, edges, strict=True)])  # (D, N)
    shape = tuple(len(e) - 1 for e in edges)
    sizes = np.expand_dims(shape, 1)  # (D, 1)
    inside = np.all((numbers >= 0) & (numbers < sizes), axis=0)
    sums = scatter(weights[inside], tuple(numbers[:, inside]), shape)
    recorded = [histogram_bin_edges(*axis) for axis in axes]
    if not density:
        return sums, recorded
    shares = sums / np.sum(sums)
    for i, bounds in enumerate(recorded):
        widths = np.diff(bounds)
        shares = shares / np.reshape(widths, (-1,) + (1,) * (len(shape) - i - 1))  # (n, 1, ...)
    return shares, recorded


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
    _constant_edges(a, bins, range, weights)  # NumPy refuses weights that do not fit
    x = np.ravel(a)
    each = np.ones(x.shape, int) if weights is None else np.ravel(weights)
    sums, edges = _histogram([x], [bins], [range], density, each)
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
    refuse_complex(np.histogramdd, weights=weights)
    each = np.ones(n) if weights is None else as_array(weights)
    along_axes = bins if _length(bins) else [bins] * d
    ranges = [None] * d if range is None else range
    return _histogram(list(columns), along_axes, ranges, density, each)


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
