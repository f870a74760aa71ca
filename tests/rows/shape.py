"""Rows of `tinygrad_cv/rules/numpy/shape.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

cube = arrays((2, 3, 4))
row(np.reshape, cube, st.sampled_from([(4, 6), (-1,), (3, -1), 24]))
row(np.ravel, cube, options=st.sampled_from([{}, {"order": "F"}]))
row(np.broadcast_to, arrays((3, 1)), st.sampled_from([(3, 2), (2, 3, 1), (2, 3, 4)]))
row(np.broadcast_to, arrays((3,)), st.just((2, 3)))
row(np.squeeze, arrays((1, 3, 1)), st.sampled_from([None, 0, -1, (0, 2)]))
row(np.expand_dims, arrays((2, 3)), st.sampled_from([0, -1, (0, 2)]))
row(np.transpose, cube, st.sampled_from([None, (1, 2, 0), (-1, 0, 1)]))
row(np.matrix_transpose, cube)
row(np.swapaxes, cube, st.sampled_from([0, -1]), st.just(1))
row(np.moveaxis, cube, st.sampled_from([0, -1]), st.just(1))
row(np.flip, cube, st.sampled_from([None, 0, (1, -1)]))
row(np.roll, cube, st.sampled_from([1, -2]), st.sampled_from([None, 0, -1]))
row(np.roll, cube, st.just((1, 2)), st.just((0, 2)))
row(np.copy, cube)
for function in dict.fromkeys((np.concatenate, np.concat)):
    for axis in (0, 1, -1, None):
        row(
            function,
            st.tuples(arrays((2, 2)), arrays((2, 2))).map(list),
            call=lambda a, f=function, n=axis: f(a, axis=n),
        )
row(
    np.stack,
    st.tuples(arrays((2, 2)), arrays((2, 2))).map(list),
    options=st.sampled_from([{}, {"axis": -1}, {"axis": 1}]),
)
row(np.diagonal, cube, options=st.sampled_from([{}, {"offset": 1}, {"offset": -1, "axis1": 1, "axis2": 2}]))
row(np.trace, cube, options=st.sampled_from([{}, {"offset": 1, "axis1": 2, "axis2": 0}]))
row(np.diag, arrays((3,)), st.sampled_from([0, 1, -2]))
row(np.diag, arrays((3, 3)), st.sampled_from([0, 1, -2]))
row(np.diagflat, arrays((2, 2)), st.sampled_from([0, -1]))
for function in (np.tril, np.triu):
    row(function, cube, st.sampled_from([0, 1, -1]))
row(np.astype, cube, st.just(np.float64))
