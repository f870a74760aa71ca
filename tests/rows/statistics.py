"""Rows of `tinygrad_cv/rules/numpy/statistics.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

spread = arrays((2, 5), min_gap=0.05)
axes = st.sampled_from(
    [{}, {"axis": 0}, {"axis": -1}, {"axis": (0, 1)}, {"axis": 1, "keepdims": True}]
)
METHODS = ["inverted_cdf", "averaged_inverted_cdf", "closest_observation", "hazen", "weibull"]
METHODS += ["interpolated_inverted_cdf", "linear", "median_unbiased", "normal_unbiased"]
METHODS += ["lower", "higher", "midpoint", "nearest"]
WEIGHTS = np.array([[1, 0, 2.5, 1, 1], [0.5, 1, 1, 3, 0]])
WEIGHTED = {"method": "inverted_cdf", "axis": 1, "weights": WEIGHTS}
ORDERED = "it needs an order of numbers"
REAL = "NumPy adds up real weights"
for median in (np.median, np.nanmedian):
    row(median, spread, options=axes)
for quantile, scale in (
    (np.quantile, 1),
    (np.nanquantile, 1),
    (np.percentile, 100),
    (np.nanpercentile, 100),
):
    shares = st.sampled_from([0.3 * scale, [0.1 * scale, 0.8 * scale]])
    row(quantile, spread, shares, options=axes, complex=ORDERED)
    of_methods = st.sampled_from([{"method": m, "axis": 1} for m in METHODS] + [WEIGHTED])
    between = st.sampled_from([0.3 * scale, np.array([0.23, 0.61]) * scale])
    row(quantile, spread, between, options=of_methods, complex=ORDERED)
for function in (np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd, np.nanmax, np.nanmin):
    row(function, spread, options=axes)
OF_EQUAL_NUMBERS = "elsewhere: nanvar, and std; of equal complex numbers it is 0, up to noise"
HOLES = np.array([[True, False, False, True, False], [False, False, True, False, False]])
for function in (
    np.nansum,
    np.nanprod,
    np.nanmean,
    np.nanvar,
    np.nanstd,
    np.nanmax,
    np.nanmin,
    np.nanmedian,
):
    call = lambda a, f=function: f(np.where(HOLES, np.nan, a), axis=1)
    row(function, spread, call=call, complex=function is not np.nanstd or OF_EQUAL_NUMBERS)
for function in (np.nancumsum, np.nancumprod):
    row(function, spread, st.sampled_from([None, 0, 1]))
row(
    np.cov,
    arrays((2, 4)),
    options=st.sampled_from(
        [{}, {"rowvar": False}, {"bias": True}, {"ddof": 0}, {"fweights": [1, 2, 0, 3]}]
    ),
)
row(np.cov, arrays((4,)), arrays((4,)))
of_weights = st.sampled_from([{}, {"fweights": [1, 2, 0, 3]}, {"ddof": 0}])
row(
    np.cov,
    arrays((2, 4)),
    arrays((4,), domain=(0.5, 2)),
    options=of_weights,
    call=lambda m, w, **o: np.cov(m, aweights=w, **o),
    complex=(0,),
)
row(np.corrcoef, st.just(np.array([[1.0, 2.0, 4.0, 3.0], [2.0, -1.0, 0.5, 1.0]])))
cast = st.just({"dtype": np.float64})
row(np.cov, arrays((2, 4)), options=cast, complex="a cast to real numbers")
row(np.cov, arrays((2, 4)), options=st.just({"ddof": 2}))
row(
    np.bincount,
    st.just(np.array([0, 2, 2, 1])),
    arrays((4,)),
    call=lambda i, w: np.bincount(i, w, 5),
    complex=REAL,
)
for function in (np.nansum, np.nanprod, np.nanmax, np.nanmin):
    row(
        function,
        spread,
        arrays(()),
        call=lambda a, start, f=function: f(a, axis=1, initial=start + 5.03),
        complex=(0,),
    )
for function in (np.nanvar, np.nanstd):
    row(
        function,
        spread,
        options=st.sampled_from([{"ddof": 1}, {"correction": 1, "axis": 1}]),
    )
    row(function, spread, options=st.just({"dtype": float}), complex="a cast to real numbers")
    call = lambda a, mean, f=function: f(a, axis=1, mean=mean)
    row(function, spread, arrays((2, 1)), call=call, complex=(0,))

# Histograms: some values on edges, outside, NaN.
SAMPLE = np.array([0.0, 0.1, 0.25, 0.25, 0.6, 1.0, 1.4, -0.2, np.nan])
weights = arrays((9,), domain=(0.5, 2))
unit = st.sampled_from([{}, {"density": True}])
EDGES = [0.0, 0.25, 0.5, 1.0]
for bins, limits in ((4, (0.0, 1.0)), (EDGES, None)):
    row(
        np.histogram,
        weights,
        options=unit,
        call=lambda w, bins=bins, limits=limits, **o: np.histogram(
            SAMPLE, bins, limits, weights=w, **o
        ),
    )
# The extreme elements and the limits move the edges, and so the densities.
apart = st.just(np.array([0.0, 0.1, 0.4, 0.55, 0.95]))
bins = st.just(3)
call = lambda a, n: np.histogram(a, n, density=True)
row(np.histogram, apart, bins, call=call, complex=ORDERED)
row(np.histogram, apart, bins, call=lambda a, n: np.histogram(a, n)[1], complex=ORDERED)
row(
    np.histogram,
    apart,
    arrays((5,), domain=(0.5, 2)),
    st.just(np.array([0.0, 0.3, 0.5, 1.0])),
    call=lambda a, w, edges: np.histogram(a, edges, weights=w, density=True),
    constant=(0,),
    complex=(1,),
)
row(np.histogram_bin_edges, apart, st.sampled_from([3, "auto", "sturges"]), complex=ORDERED)
edges = st.just(np.array([0.0, 0.3, 1.0]))
row(np.histogram_bin_edges, apart, edges, complex="elsewhere: they are handed on")
row(
    np.histogram,
    apart,
    arrays((2,), domain=(0.0, 0.02)),
    call=lambda a, s: np.histogram(a, 3, (s[0] - 0.1, 1.15 + s[1]), density=True),
    complex=ORDERED,
)
pairs = st.just(np.stack([SAMPLE, np.roll(SAMPLE, 2)], axis=1))
row(
    np.histogramdd,
    pairs,
    weights,
    options=unit,
    call=lambda x, w, **o: np.histogramdd(x, [EDGES, 4], [None, (0.0, 1.0)], weights=w, **o)[0],
    constant=(0,),
    complex=REAL,
)
row(
    np.histogramdd,
    weights,
    call=lambda w: np.histogramdd([SAMPLE, SAMPLE], 3, [(0.0, 1.0), (0.1, 0.8)], weights=w)[0],
    complex=REAL,
)
call = lambda a: np.histogramdd(a, 3, density=True)[0]
row(np.histogramdd, apart, call=call, complex=ORDERED)
for bins in (EDGES, [EDGES, 2]):
    row(
        np.histogram2d,
        weights,
        options=unit,
        call=lambda w, bins=bins, **o: np.histogram2d(
            SAMPLE, SAMPLE[::-1], bins, [(0.0, 1.0), (0.0, 1.0)], weights=w, **o
        ),
        complex=REAL,
    )
tenths, start = arrays((2, 5), min_gap=0.1, decimals=1), arrays((), decimals=1)
MASK = np.array([[True, True, False, True, True], [True, False, True, True, True]])
masked = st.sampled_from([{"where": MASK, "axis": 1}, {"where": MASK}])
for function in (np.nanmean, np.nanvar):
    call = lambda a, f=function, **o: f(np.where(HOLES, np.nan, a), **o)
    row(function, spread, options=masked, call=call)
for function in (np.nanmax, np.nanmin):
    call = lambda a, start, f=function, **o: f(
        np.where(HOLES, np.nan, a), initial=start + 0.03, **o
    )
    row(function, tenths, start, options=masked, call=call, complex=(0,))
