"""Rows of `tinygrad_cv/rules/numpy/shape.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

cube, matrix, vector = arrays((2, 3, 4)), arrays((2, 3)), arrays((4,))
row(np.reshape, cube, st.sampled_from([(4, 6), (-1,), (3, -1), 24]))
row(np.reshape, cube, st.just((4, 6)), options=st.sampled_from([{"order": "F"}, {"copy": True}]))
row(np.reshape, vector, st.just((1, 4)), options=st.just({"order": "A"}))
row(np.ravel, cube, options=st.sampled_from([{}, {"order": "F"}]))
row(np.ravel, vector, options=st.sampled_from([{"order": "A"}, {"order": "K"}]))
row(np.broadcast_to, arrays((3, 1)), st.sampled_from([(3, 2), (2, 3, 1), (2, 3, 4)]))
row(np.broadcast_to, arrays((3,)), st.just((2, 3)))
row(np.squeeze, arrays((1, 3, 1)), st.sampled_from([None, 0, -1, (0, 2)]))
row(np.expand_dims, arrays((2, 3)), st.sampled_from([0, -1, (0, 2)]))
row(np.transpose, cube, st.sampled_from([None, (1, 2, 0), (-1, 0, 1)]))
row(np.permute_dims, cube, st.sampled_from([None, (1, 2, 0)]))
row(np.matrix_transpose, cube)
row(np.swapaxes, cube, st.sampled_from([0, -1]), st.just(1))
row(np.moveaxis, cube, st.sampled_from([0, -1]), st.just(1))
row(np.rollaxis, cube, st.sampled_from([0, 1, 2]), st.sampled_from([0, 1, 3]))
row(np.flip, cube, st.sampled_from([None, 0, (1, -1)]))
for function in (np.fliplr, np.flipud):
    row(function, matrix)
row(np.ix_, vector, arrays((3,)))
row(np.rot90, cube, st.integers(-1, 4), st.sampled_from([(0, 1), (1, 2)]))
row(np.roll, cube, st.sampled_from([1, -2]), st.sampled_from([None, 0, -1]))
row(np.roll, cube, st.just((1, 2)), st.just((0, 2)))
for function in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    row(function, st.sampled_from([(), (2,), (2, 3), (2, 1, 2)]).flatmap(arrays))
    row(function, arrays(()), vector)
row(np.broadcast_arrays, matrix, arrays((3,)))
row(
    np.meshgrid,
    arrays((2,)),
    arrays((3,)),
    options=st.sampled_from([{}, {"indexing": "ij"}, {"sparse": True}, {"copy": False}]),
)
row(np.copy, cube, options=st.sampled_from([{}, {"order": "F"}]))
row(np.astype, cube, st.just(np.float64), complex="a cast to real numbers")
row(np.astype, cube, st.just(np.complex128))
row(np.full, arrays((3,)), call=lambda v: np.full((2, 3), v, like=v))
row(
    np.full,
    arrays(()),
    call=lambda v: np.full(3, v, np.float64, like=v),
    complex="a cast to real numbers",
)
call = lambda a, v, **o: np.full_like(a * 0, v, **o)
row(np.full_like, arrays((2, 3)), arrays((3,)), call=call, complex=(0,))
cast = st.just({"dtype": np.float64, "shape": (4, 3), "order": "F"})
row(
    np.full_like,
    arrays((2, 3)),
    arrays((3,)),
    options=cast,
    call=call,
    complex="elsewhere: np.full, which refuses a cast to real numbers",
)
