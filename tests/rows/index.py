"""Rows of `tinygrad_cv/rules/numpy/index.py`: every form of index, and what is picked otherwise."""

from __future__ import annotations

from operator import getitem

import numpy as np
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from tests.table import row
from tinygrad_cv.rules.numpy.index import scatter
from tinygrad_cv.testing.strategies import arrays

INDICES = [
    0, -1, slice(None), slice(None, None, -1), slice(2, 0, -1), ..., None, (0, 1), (slice(None), 1),
    (..., -1), (None, 1, ..., None), [0, 1, 0], np.array([1, 1, 0]), np.array([[0, 1], [1, 1]]),
    (slice(None), [2, 0, 2]), ([0, 1, 1], [2, 2, 2]), ([0, 1], slice(None), [1, 1]),
    (0, slice(None, None, -2), [1, 0, 1]), np.array([True, False]),
    np.arange(24).reshape(2, 3, 4) % 5 == 0, (slice(None), np.array([True, False, True])),
    (..., np.array([0, 0]), None), np.array([], int), slice(0, 0),
]  # fmt: skip
for index in INDICES:
    row(getitem, arrays((2, 3, 4)), call=lambda a, index=index: a[index])

TWICE = ([0, 1, 1], [2, 2, 2])
row(scatter.function, arrays((3,)), call=lambda values: scatter(values, TWICE, (2, 3)))

cube, matrix = arrays((2, 3, 4)), arrays((2, 3))
row(
    np.take,
    matrix,
    st.sampled_from([1, [0, 1, 1], [[1], [0]]]),
    options=st.sampled_from([{}, {"axis": 0}, {"axis": -1}]),
)
modes = st.sampled_from([{"mode": "wrap"}, {"mode": "clip", "axis": 1}])
row(np.take, matrix, st.just([-4, 5]), options=modes)
row(np.take_along_axis, matrix, st.just(np.array([[0, 0], [2, 1]])), st.sampled_from([1, -1]))
row(np.take_along_axis, matrix, st.just(np.array([0, 5, 5])), st.just(None))
row(np.take_along_axis, arrays((2, 1)), st.just(np.array([[0, 0, 0]])), st.just(1))
row(np.take_along_axis, arrays((1, 3)), st.just(np.array([[0, 2], [1, 1]])), st.just(1))

windows = st.sampled_from([((2, 1), None), (2, 1), ((2, 2), (1, 1))])
row(sliding_window_view, matrix, windows, call=lambda x, w: sliding_window_view(x, *w), order=1)
row(np.select, arrays((2,)), arrays(()), call=lambda a, d: np.select([[True, False]], [a], d))
triangles = st.sampled_from([0, 1, -1])
offsets = st.sampled_from([{}, {"offset": 1}, {"offset": -1, "axis1": 1, "axis2": 2}])
row(np.diagonal, cube, options=offsets)
row(np.trace, cube, options=st.sampled_from([{}, {"offset": 1, "axis1": 2, "axis2": 0}]))
row(np.trace, cube, options=st.just({"dtype": np.float64}))
row(np.diag, arrays((3,)), st.sampled_from([0, 1, -2]))
row(np.diag, arrays((3, 3)), st.sampled_from([0, 1, -2]))
row(np.diagflat, arrays((2, 2)), st.sampled_from([0, -1]))
for function in (np.tril, np.triu):
    row(function, cube, triangles)

row(np.compress, st.just([True, False]), matrix, options=st.sampled_from([{}, {"axis": 0}]))
row(np.extract, st.just(np.array([[True, False, True], [False, False, True]])), matrix)
pair = st.tuples(arrays((3,)), arrays((3,))).map(list)
row(np.choose, st.just(np.array([0, 1, 1])), pair)
row(np.choose, st.just(np.array([-1, 3, 1])), pair, options=st.just({"mode": "wrap"}))
row(np.choose, st.just(np.array([-1, 3, 1])), pair, options=st.just({"mode": "clip"}))
CONDITIONS = [np.array([True, False, False]), np.array([True, True, False])]
row(np.select, arrays((3,)), arrays((3,)), call=lambda a, b: np.select(CONDITIONS, [a, b], 1.5))
distinct = arrays((2, 4), min_gap=0.05)
row(np.sort, distinct, st.sampled_from([-1, 0, None]))
row(np.sort, distinct, options=st.sampled_from([{"kind": "stable"}, {"stable": True}]))
row(np.partition, distinct, st.just(1), st.sampled_from([-1, 0, None]))
row(np.sort_complex, distinct)
