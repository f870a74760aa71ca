"""Rows of `tinygrad_cv/rules/numpy/statistics.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

spread = arrays((2, 5), min_gap=0.05)
axes = st.sampled_from([{}, {"axis": 0}, {"axis": -1}, {"axis": (0, 1)}, {"axis": 1, "keepdims": True}])
for median in (np.median, np.nanmedian):
    row(median, spread, options=axes)
for quantile, scale in ((np.quantile, 1), (np.nanquantile, 1), (np.percentile, 100), (np.nanpercentile, 100)):
    row(quantile, spread, st.sampled_from([0.3 * scale, [0.1 * scale, 0.8 * scale]]), options=axes)
    row(
        quantile,
        spread,
        st.just(0.3 * scale),
        options=st.sampled_from(["lower", "higher", "midpoint", "nearest"]).map(lambda m: {"method": m}),
    )
for function in (np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd, np.nanmax, np.nanmin):
    row(function, spread, options=axes)
HOLES = np.array([[True, False, False, True, False], [False, False, True, False, False]])
for function in (np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd, np.nanmax, np.nanmin, np.nanmedian):
    row(function, spread, call=lambda a, f=function: f(np.where(HOLES, np.nan, a), axis=1))
for function in (np.nancumsum, np.nancumprod):
    row(function, spread, st.sampled_from([None, 0, 1]))
row(np.diff, arrays((2, 5)), st.sampled_from([0, 1, 2]), st.sampled_from([-1, 0]))
row(np.diff, arrays((3,)), options=st.just({"prepend": 0.5, "append": np.array([1.0, 2.0])}), constant=(5,))
row(np.ediff1d, arrays((2, 3)))
row(np.gradient, arrays((3, 4)), options=st.sampled_from([{}, {"axis": 1}]))
row(np.gradient, arrays((5,)), st.just(0.5))
for function in [getattr(np, name) for name in ("trapezoid", "trapz") if name in dir(np)]:
    row(function, arrays((2, 4)), options=st.sampled_from([{}, {"dx": 0.5, "axis": 0}]))
    row(function, arrays((2, 4)), arrays((4,)))
row(np.cov, arrays((2, 4)), options=st.sampled_from([{}, {"rowvar": False}, {"bias": True}, {"ddof": 0}]))
row(np.cov, arrays((4,)), arrays((4,)))
row(np.corrcoef, st.just(np.array([[1.0, 2.0, 4.0, 3.0], [2.0, -1.0, 0.5, 1.0]])))
for mode in ("full", "same", "valid"):
    for function in (np.convolve, np.correlate):
        for sizes in ((5, 3), (2, 4), (4, 4), (1, 3)):
            row(function, arrays(sizes[:1]), arrays(sizes[1:]), call=lambda a, v, f=function, m=mode: f(a, v, m))
row(
    np.apply_along_axis,
    arrays((2, 3)),
    st.sampled_from([0, 1]),
    call=lambda a, i: np.apply_along_axis(lambda v: np.sum(v * v), i, a),
)
row(
    np.apply_along_axis,
    arrays((2, 3)),
    st.sampled_from([0, 1]),
    call=lambda a, i: np.apply_along_axis(lambda v: v[:2] * v[0], i, a),
)
row(np.apply_over_axes, arrays((2, 3)), call=lambda a: np.apply_over_axes(np.sum, a, [0, 1]))
row(
    np.piecewise,
    arrays((4,), avoid=[0, 1]),
    call=lambda x: np.piecewise(x, [x < 0, x > 1], [lambda v: -v * v, 3.5, lambda v: v**3]),
)
row(np.interp, arrays((3,), domain=(0.1, 0.9)), st.just(np.array([0.0, 1.0, 2.0])), arrays((3,)), constant=(1,))
row(np.interp, arrays((2,), domain=(2.2, 2.6)), st.just(np.array([0.0, 1.0, 2.0])), arrays((3,)))
row(np.interp, arrays((2,), domain=(0.2, 0.6)), st.just(np.array([0.0, 1.0, 2.0])), arrays((3,)))
row(np.unwrap, st.just(np.array([0.0, 4.0, 9.0, 9.5])))
row(np.polyval, arrays((3,)), arrays((2, 2)))
row(np.bincount, st.just(np.array([0, 2, 2, 1])), arrays((4,)), call=lambda i, w: np.bincount(i, w, 5))
row(
    np.linspace, arrays((2,)), arrays((2,)), st.just(4), options=st.sampled_from([{}, {"endpoint": False}, {"axis": 1}])
)
row(np.logspace, arrays(()), arrays(()), st.just(3))
row(np.geomspace, arrays((), domain=(0.5, 1)), arrays((), domain=(2, 3)), st.just(3))
