"""Rows of `tinygrad_cv/rules/numpy/rearrange.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

cube, matrix, vector = arrays((2, 3, 4)), arrays((2, 3)), arrays((4,))
pair = st.sampled_from([(), (3,), (2, 3), (2, 3, 2)]).flatmap(lambda s: st.tuples(arrays(s), arrays(s)).map(list))
row(np.permute_dims, cube, st.sampled_from([None, (1, 2, 0)]))
row(np.rollaxis, cube, st.sampled_from([0, 1, 2]), st.sampled_from([0, 1, 3]))
for function in (np.fliplr, np.flipud):
    row(function, matrix)
row(np.rot90, cube, st.integers(-1, 4), st.sampled_from([(0, 1), (1, 2)]))
for function in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    row(function, st.sampled_from([(), (2,), (2, 3), (2, 1, 2)]).flatmap(arrays))
    row(function, arrays(()), vector)
for function in dict.fromkeys((np.hstack, np.vstack, np.dstack, getattr(np, "row_stack", np.vstack))):
    row(function, pair)
row(np.column_stack, st.tuples(arrays((2,)), arrays((2, 3))).map(list))
row(np.block, matrix, arrays((2, 1)), arrays((1, 4)), call=lambda a, b, c: np.block([[a, b], [c]]))
row(np.block, vector, arrays(()), call=lambda a, b: np.block([a, b]))
row(np.append, matrix, arrays((1, 3)), options=st.sampled_from([{}, {"axis": 0}]))
for function in (np.array_split, np.split):
    row(function, arrays((2, 6)), st.sampled_from([2, 3, [1, 4]]), st.just(1))
row(np.array_split, arrays((7,)), st.just(3))
row(np.hsplit, arrays((2, 4)), st.sampled_from([2, [1]]))
row(np.vsplit, arrays((4, 2)), st.sampled_from([2, [1]]))
row(np.dsplit, arrays((1, 2, 4)), st.sampled_from([2, [1]]))
if hasattr(np, "unstack"):
    row(np.unstack, matrix, options=st.sampled_from([{}, {"axis": 1}]))
row(np.broadcast_arrays, matrix, arrays((3,)))
row(np.meshgrid, arrays((2,)), arrays((3,)), options=st.sampled_from([{}, {"indexing": "ij"}, {"sparse": True}]))
row(np.repeat, matrix, st.sampled_from([2, [2, 0]]), st.just(0))
row(np.repeat, matrix, st.just(2))
row(np.tile, matrix, st.sampled_from([2, (2, 1), (2, 1, 3)]))
row(np.resize, matrix, st.sampled_from([(4,), (3, 3), 7]))
row(
    np.pad,
    matrix,
    st.sampled_from([1, (1, 2), ((1, 0), (2, 2))]),
    st.sampled_from(["constant", "edge", "symmetric", "wrap"]),
)
row(np.pad, arrays((3, 3)), st.just(2), st.just("reflect"))
row(np.pad, matrix, st.just(1), options=st.just({"constant_values": 3.5}))
row(np.delete, matrix, st.sampled_from([1, [0, 1], slice(0, 1)]), options=st.sampled_from([{}, {"axis": 1}]))
row(np.insert, matrix, st.sampled_from([0, 1, -1]), arrays((3,)), options=st.just({"axis": 0}))
row(np.insert, matrix, st.just(2), arrays(()))
row(
    np.trim_zeros,
    st.just(np.array([0.0, 0.0, 1.0, 2.0, 0.0])),
    st.sampled_from(["fb", "f", "b"]),
    order=1,
    call=lambda a, t: (
        np.trim_zeros(a, t)
        if not isinstance(a, np.ndarray)
        else a[
            np.flatnonzero(np.abs(a) > 0.5)[0] if "f" in t else 0 : np.flatnonzero(np.abs(a) > 0.5)[-1] + 1
            if "b" in t
            else None
        ]
    ),
)
row(np.vander, vector, options=st.sampled_from([{}, {"N": 2}, {"increasing": True}]))
distinct = arrays((2, 4), min_gap=0.05)
row(np.sort, distinct, st.sampled_from([-1, 0, None]))
row(np.partition, distinct, st.just(1), st.sampled_from([-1, 0]))
row(np.compress, st.just([True, False]), matrix, options=st.sampled_from([{}, {"axis": 0}]))
row(np.extract, st.just(np.array([[True, False, True], [False, False, True]])), matrix)
row(np.choose, st.just(np.array([0, 1, 1])), st.tuples(arrays((3,)), arrays((3,))).map(list))
row(
    np.select,
    arrays((3,)),
    arrays((3,)),
    call=lambda a, b: np.select([np.array([True, False, False]), np.array([True, True, False])], [a, b], 1.5),
)
for function in (np.fft.fftshift, np.fft.ifftshift):
    row(function, arrays((3, 4)), st.sampled_from([None, 0, (0, 1)]))
