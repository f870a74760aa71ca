"""Rows of `tinygrad_cv/rules/numpy/ufuncs.py`. The ufunc is drawn, too."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

spread = arrays((2, 3), domain=(0.5, 2), min_gap=0.05)
start = arrays((), domain=(2.1, 3))
MASK = np.array([[True, False, True], [True, True, False]])
axes = st.sampled_from([{}, {"axis": -1, "keepdims": True}])
whole = st.sampled_from([{"axis": None}, {"axis": (1, 0)}, {"axis": ()}])
masks = st.sampled_from([{}, {"axis": 1, "where": MASK}, {"where": MASK[0], "keepdims": True}])
REAL = "the ufuncs have no loop of complex numbers"
in_one = st.sampled_from([np.add, np.multiply, np.maximum, np.minimum, np.fmax, np.fmin])
in_turn = st.sampled_from([np.subtract, np.true_divide])  # NumPy's own np.power.reduce is wrong
of_reals = st.sampled_from([np.logaddexp, np.logaddexp2, np.hypot])
for ufuncs, takes in ((in_one, True), (in_turn, True), (of_reals, REAL)):
    options = axes if ufuncs is in_turn else st.one_of(axes, whole)
    call = lambda f, a, **o: f.reduce(a, **o)
    row(np.ufunc.reduce, ufuncs, spread, options=options, call=call, complex=takes)
    call = lambda f, a, initial, **o: f.reduce(a, initial=initial, **o)
    of_array = (1,) if takes is True else REAL
    row(np.ufunc.reduce, ufuncs, spread, start, options=masks, call=call, complex=of_array)
    call = lambda f, a: f.accumulate(a, axis=1)
    row(np.ufunc.accumulate, ufuncs, spread, call=call, complex=takes)
call = lambda f, a: f.reduceat(a, [0, 2, 1], axis=1)
row(np.ufunc.reduceat, st.one_of(in_one, in_turn), spread, call=call)
call = lambda a: np.subtract.reduce(a, dtype=np.float64)
row(np.ufunc.reduce, spread, call=call, complex="a cast to real numbers")
pairs = st.sampled_from([np.multiply, np.maximum, np.power, np.subtract])
call = lambda f, a, b: f.outer(a, b)
large = arrays((2,), domain=(2.5, 4))
row(np.ufunc.outer, pairs, spread, large, call=call)
row(np.ufunc.outer, st.just(np.divmod), spread, large, call=call, complex=REAL)
