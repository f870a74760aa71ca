"""Rows of `tinygrad_cv/rules/numpy/ufuncs.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

spread = arrays((2, 3), domain=(0.5, 2), min_gap=0.05)
apart = arrays((7,), domain=(0.5, 2), min_gap=0.05)
apart = apart.map(lambda v: (v[1:].reshape(2, 3), v[0].reshape(())))
MASK = np.array([[True, False, True], [True, True, False]])
axes = st.sampled_from([{}, {"axis": -1, "keepdims": True}])
masks = st.sampled_from([{}, {"axis": 1, "where": MASK}, {"where": MASK[0], "keepdims": True}])
scans = st.sampled_from([("accumulate",), ("reduceat", [0, 2, 1])])
REAL = "the ufunc has no loop of complex numbers"
EXTREMES = (np.maximum, np.minimum, np.fmax, np.fmin)
LOGARITHMS = (np.logaddexp, np.logaddexp2)
IN_TURN = (np.subtract, np.true_divide, np.hypot)  # (NumPy's own reduction by np.power is wrong)
for ufunc in (np.add, np.multiply, *EXTREMES, *LOGARITHMS, *IN_TURN):
    takes = REAL if ufunc in (*LOGARITHMS, np.hypot) else True
    row(ufunc.reduce, spread, options=axes, complex=takes)
    call = lambda a, start, f=ufunc, **o: f.reduce(a, initial=start, **o)
    row(ufunc.reduce, apart, options=masks, call=call, complex=(0,) if takes is True else REAL)
    call = lambda a, scan, f=ufunc: getattr(f, scan[0])(a, *scan[1:], axis=1)
    row(ufunc.accumulate, spread, scans, call=call, complex=takes)
whole = st.sampled_from([{"axis": None}, {"axis": (1, 0)}, {"axis": ()}])
for ufunc in (np.add, np.logaddexp):
    takes = REAL if ufunc is np.logaddexp else True
    row(ufunc.reduce, spread, options=whole, complex=takes)
for ufunc in (np.multiply, np.maximum, np.arctan2, np.divmod):
    takes = REAL if ufunc in (np.arctan2, np.divmod) else True
    row(ufunc.outer, spread, arrays((2,), domain=(2.5, 4)), complex=takes)
cast = st.just({"dtype": np.float64})
row(np.subtract.reduce, spread, options=cast, complex="a cast to real numbers")
