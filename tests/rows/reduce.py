"""Rows of `tinygrad_cv/rules/numpy/reduce.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

axes = st.sampled_from(
    [
        {},
        {"axis": 0},
        {"axis": -1},
        {"axis": (0, 2)},
        {"axis": 1, "keepdims": True},
        {"keepdims": True},
    ]
)
cube = arrays((2, 3, 2))
spread = arrays((2, 3, 2), min_gap=0.05)
for function in (np.sum, np.mean, np.var, np.std, np.prod):
    row(function, spread, options=axes)
    row(function, arrays((3,), min_gap=0.05))
for function in (np.sum, np.mean, np.prod):
    row(function, arrays(()))
for function in dict.fromkeys((np.max, np.min, np.amax, np.amin, np.ptp)):
    row(function, arrays((2, 3, 2), min_gap=0.05), options=axes)
row(
    np.prod,
    st.just(np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 4.0]])),
    options=st.sampled_from([{}, {"axis": 1}]),
    complex="elsewhere: the rows above; differences of a product of zeros are noise",
)
row(np.var, cube, options=st.just({"ddof": 1}))
row(np.std, spread, options=st.just({"ddof": 1, "axis": 1}))
row(np.average, cube, options=st.sampled_from([{}, {"axis": 1}]))
row(
    np.average,
    arrays((2, 3)),
    arrays((2, 3), domain=(0.5, 2)),
    call=lambda a, w: np.average(a, axis=1, weights=w),
)
row(
    np.average,
    arrays((2, 3)),
    arrays((3,), domain=(0.5, 2)),
    call=lambda a, w: np.average(a, axis=1, weights=w),
)
for function in (np.cumsum, np.cumprod):
    row(function, cube, st.sampled_from([None, 0, 1, -1]))
row(np.cumprod, st.just(np.array([2.0, 0.0, 3.0, 0.0])))
if hasattr(np, "cumulative_sum"):
    row(
        np.cumulative_sum,
        arrays((3, 2)),
        options=st.sampled_from([{"axis": 0}, {"axis": 1, "include_initial": True}]),
    )
    row(np.cumulative_prod, arrays((3,)), options=st.sampled_from([{}, {"include_initial": True}]))

# Starting values, types, means that are given.
start = arrays((), domain=(0.5, 2))
apart = arrays((13,), min_gap=0.05).map(lambda v: (v[1:].reshape(2, 3, 2), v[0].reshape(())))
for axis in (None, 1):
    for function in (np.sum, np.prod):
        call = lambda a, s, f=function, n=axis: f(a, axis=n, initial=s)
        row(function, spread, start, call=call, complex=(0,))
    for function in dict.fromkeys((np.max, np.min, np.amax, np.amin)):
        call = lambda a, s, f=function, n=axis: f(a, axis=n, initial=s)
        row(function, apart, call=call, complex=(0,))
CAST = "a cast to real numbers"
for function in (np.sum, np.mean, np.cumsum):
    row(function, spread, options=st.just({"dtype": np.float64}))
for function in (np.prod, np.var, np.std, np.cumprod):
    row(function, spread, options=st.just({"dtype": np.float64}), complex=CAST)
for function in (np.var, np.std):
    row(function, spread, options=st.just({"correction": 1}))
    call = lambda a, m, f=function: f(a, axis=1, mean=m)
    row(function, spread, arrays((2, 1, 2)), call=call, complex=(0,))
weights = arrays((2, 3), domain=(0.5, 2))
row(np.average, arrays((2, 3, 2)), weights, call=lambda a, w: np.average(a, axis=(0, 1), weights=w))
row(np.average, arrays((2, 3)), weights, call=lambda a, w: np.average(a, weights=w, returned=True))

# Masks, with which at least one element is left in, and starting values.
MASK = np.array([[[1, 0], [1, 1], [0, 1]], [[1, 1], [0, 1], [1, 0]]], bool)
masked = st.sampled_from(
    [
        {"where": MASK, "axis": 1},
        {"where": MASK},
        {"where": MASK[0], "axis": (0, 1)},
        {"where": [[True], [False], [True]], "axis": (1, 2), "keepdims": True},
    ]
)
for function in (np.sum, np.mean, np.var):
    row(function, spread, options=masked)
for function in (np.prod, np.max):
    call = lambda a, s, f=function, **o: f(a, initial=s, **o)
    row(function, apart, options=masked, call=call, complex=(0,))
