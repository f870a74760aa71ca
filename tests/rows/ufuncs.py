"""Rows of `tinygrad_cv/rules/numpy/ufuncs.py`. The ufunc is drawn, too."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

spread = arrays((2, 3), domain=(0.5, 2), min_gap=0.05)
start = arrays((), domain=(0.5, 2))
MASK = np.array([[True, False, True], [True, True, False]])
masks = st.sampled_from([{}, {"axis": 1, "where": MASK}, {"where": MASK[0], "keepdims": True}])
REAL = "the ufuncs have no loop of complex numbers"
EXTREMES = (np.maximum, np.minimum, np.fmax, np.fmin)
IN_TURN = (np.subtract, np.true_divide)  # (NumPy's own np.power.reduce is wrong.)
simple = st.sampled_from([np.add, np.multiply, *EXTREMES, *IN_TURN])
of_reals = st.sampled_from([np.logaddexp, np.logaddexp2, np.hypot])
for ufuncs, takes in ((simple, True), (of_reals, REAL)):
    call = lambda f, a, initial, **o: f.reduce(a, initial=initial + 0.013, **o)
    of_array = (1,) if takes is True else REAL
    row(np.ufunc.reduce, ufuncs, spread, start, options=masks, call=call, complex=of_array)
    call = lambda f, a: f.accumulate(a, axis=1)
    row(np.ufunc.accumulate, ufuncs, spread, call=call, complex=takes)
call = lambda f, a: f.reduceat(a, [0, 2, 1], axis=1)
row(np.ufunc.reduceat, simple, spread, call=call)
whole = st.sampled_from([{"axis": None}, {"axis": (1, 0)}, {"axis": ()}, {"dtype": float}])
call = lambda f, a, **o: f.reduce(a, **o)
row(np.ufunc.reduce, of_reals, spread, options=whole, call=call, complex=REAL)
pairs = st.sampled_from([np.multiply, np.maximum, np.power, np.subtract])
call = lambda f, a, b: f.outer(a, b)
large = arrays((2,), domain=(2.5, 4))
row(np.ufunc.outer, pairs, spread, large, call=call)
row(np.ufunc.outer, st.just(np.divmod), spread, large, call=call, complex=REAL)
