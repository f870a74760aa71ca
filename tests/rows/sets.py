"""Rows of `tinygrad_cv/rules/numpy/sets.py`: of distinct elements, whose order a small step does
not change."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

distinct = arrays((2, 3), domain=(-5, 5), min_gap=0.5)
of_unique = st.sampled_from([{}, {"axis": 0}, {"axis": 1}])
row(np.unique, distinct, options=of_unique, order=1)
# Unsorted complex numbers are in the order of their hashes, which any small step changes.
row(np.unique, distinct, call=lambda a: np.sort(np.unique(a, sorted=False)), order=1)
row(np.unique_values, distinct, call=lambda a: np.sort(np.unique_values(a)), order=1)
for function in (np.unique_all, np.unique_counts, np.unique_inverse):
    row(function, distinct, call=lambda a, f=function: f(a)[0], order=1)
FIXED = np.array([7.0, 8.0, 9.0])
for function in (np.union1d, np.setxor1d, np.setdiff1d):
    call = lambda a, f=function: f(np.concatenate([np.ravel(a), FIXED]), FIXED[1:])
    row(function, distinct, call=call, order=1)
call = lambda a: np.intersect1d(np.concatenate([np.ravel(a), FIXED]), np.ravel(a))
row(np.intersect1d, distinct, call=call, order=1)
