"""Rows of `tinygrad_cv/rules/numpy/rearrange.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

matrix, vector = arrays((2, 3)), arrays((4,))
two = st.tuples(arrays((2, 2)), arrays((2, 2))).map(list)
shapes = st.sampled_from([(), (3,), (2, 3), (2, 3, 2)])
pair = shapes.flatmap(lambda s: st.tuples(arrays(s), arrays(s)).map(list))
CAST = "a cast to real numbers"
cast = st.just({"dtype": np.float64})
unsafe = st.sampled_from([{}, {"dtype": float, "casting": "unsafe"}])
for function in dict.fromkeys((np.concatenate, np.concat)):
    for axis in (0, 1, -1, None):
        row(function, two, call=lambda a, f=function, n=axis: f(a, axis=n))
    row(function, two, options=cast, complex=CAST)
    row(function, two, options=unsafe)
    row(function, arrays((2, 3, 2)))  # the rows of one array
row(np.stack, two, options=st.sampled_from([{}, {"axis": -1}, {"axis": 1}]))
row(np.stack, two, options=cast, complex=CAST)
row(np.stack, two, options=unsafe)
for function in dict.fromkeys((np.hstack, np.vstack, getattr(np, "row_stack", np.vstack))):
    row(function, pair, options=cast, complex=CAST)
    row(function, pair, options=unsafe)
row(np.dstack, pair)
row(np.column_stack, st.tuples(arrays((2,)), arrays((2, 3))).map(list))
row(np.block, matrix, arrays((2, 1)), arrays((1, 4)), call=lambda a, b, c: np.block([[a, b], [c]]))
row(np.block, vector, arrays(()), call=lambda a, b: np.block([a, b]))
row(np.append, matrix, arrays((1, 3)), options=st.sampled_from([{}, {"axis": 0}]))
at_start = st.sampled_from([0, 1, -1])
row(np.insert, matrix, at_start, arrays((3,)), options=st.just({"axis": 0}), complex=(0,))
sides = st.sampled_from([0, 3])
row(np.insert, matrix, sides, arrays((2, 2)), options=st.just({"axis": 1}), complex=(0,))
row(np.insert, matrix, st.just(2), arrays(()), complex=(0,))
several = st.sampled_from([[0, 2], [1, 1], slice(None, None, 2), np.array([True, False, True])])
along_rows = st.just({"axis": 1})
row(np.insert, matrix, several, arrays((2, 2)), options=along_rows, complex=(0,), order=1)
for function in (np.array_split, np.split):
    row(function, arrays((2, 6)), st.sampled_from([2, 3, [1, 4]]), st.just(1))
row(np.array_split, arrays((7,)), st.just(3))
row(np.hsplit, arrays((2, 4)), st.sampled_from([2, [1]]))
row(np.vsplit, arrays((4, 2)), st.sampled_from([2, [1]]))
row(np.dsplit, arrays((1, 2, 4)), st.sampled_from([2, [1]]))
if hasattr(np, "unstack"):
    row(np.unstack, matrix, options=st.sampled_from([{}, {"axis": 1}]))
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
widths = st.sampled_from([1, {-1: (0, 4)}, ((2, 0), (0, 3))])
borders = [
    *({"mode": name} for name in ("maximum", "mean", "median", "minimum", "linear_ramp")),
    *({"mode": name, "stat_length": ((2, 1), (1, 2))} for name in ("maximum", "mean", "minimum")),
    *({"mode": name, "reflect_type": "odd"} for name in ("reflect", "symmetric")),
]
row(np.pad, arrays((2, 3), min_gap=0.05), widths, options=st.sampled_from(borders), order=1)


def framed(array: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Ramps outside constants."""
    inner = np.pad(array, 1, constant_values=values)
    return np.pad(inner, 2, "linear_ramp", end_values=values)


row(np.pad, matrix, arrays(()) | arrays((2,)) | arrays((2, 2)), call=framed, complex=(0,), order=1)
places = st.sampled_from([1, [0, 1], slice(0, 1)])
row(np.delete, matrix, places, options=st.sampled_from([{}, {"axis": 1}]))


def trimmed(a: np.ndarray, trim: str) -> np.ndarray:
    """Between the first and the last element that is not nearly 0: small steps change no length."""
    if not isinstance(a, np.ndarray):
        return np.trim_zeros(a, trim)
    kept = np.flatnonzero(np.abs(a) > 0.5)
    return a[kept[0] if "f" in trim else 0 : kept[-1] + 1 if "b" in trim else None]


ZEROS_AROUND = st.just(np.array([0.0, 0.0, 1.0, 2.0, 0.0]))
row(np.trim_zeros, ZEROS_AROUND, st.sampled_from(["fb", "f", "b"]), order=1, call=trimmed)
