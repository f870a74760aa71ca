"""Rows of `tinygrad_cv/rules/numpy/index.py`: every form of index."""

from __future__ import annotations

from operator import getitem

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.rules.numpy.index import scatter
from tinygrad_cv.testing.strategies import arrays

INDICES = [
    0, -1, slice(None), slice(None, None, -1), slice(2, 0, -1), ..., None, (0, 1), (slice(None), 1), (..., -1),
    (None, 1, ..., None), [0, 1, 0], np.array([1, 1, 0]), np.array([[0, 1], [1, 1]]), (slice(None), [2, 0, 2]),
    ([0, 1, 1], [2, 2, 2]), ([0, 1], slice(None), [1, 1]), (0, slice(None, None, -2), [1, 0, 1]), np.array([True, False]),
    np.arange(24).reshape(2, 3, 4) % 5 == 0, (slice(None), np.array([True, False, True])), (..., np.array([0, 0]), None),
    np.array([], int), slice(0, 0),
]  # fmt: skip
for index in INDICES:
    row(getitem, arrays((2, 3, 4)), call=lambda a, index=index: a[index])


row(scatter.function, arrays((3,)), call=lambda values: scatter(values, ([0, 1, 1], [2, 2, 2]), (2, 3)))
row(
    np.take,
    arrays((2, 3)),
    st.sampled_from([1, [0, 1, 1], [[1], [0]]]),
    options=st.sampled_from([{}, {"axis": 0}, {"axis": -1}]),
)
row(np.take, arrays((2, 3)), st.just([-4, 5]), options=st.sampled_from([{"mode": "wrap"}, {"mode": "clip", "axis": 1}]))
row(np.take_along_axis, arrays((2, 3)), st.just(np.array([[0, 0], [2, 1]])), st.sampled_from([1, -1]))
row(np.take_along_axis, arrays((2, 3)), st.just(np.array([0, 5, 5])), st.just(None))
