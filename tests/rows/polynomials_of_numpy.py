"""Rows of `tinygrad_cv/rules/numpy/polynomials.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

long, short = arrays((4,), domain=(0.5, 2)), arrays((2,), domain=(0.5, 2))
pairs = st.tuples(long, short) | st.tuples(short, long) | st.tuples(short, short)
for function in (np.polyadd, np.polysub):
    row(function, pairs, order=1)
row(np.polymul, pairs)
row(np.polydiv, long, short)
row(np.polyder, long, st.sampled_from([1, 2]), order=1)
constants = st.sampled_from([None, 0.5, np.array([2.0, 0.5])])
row(np.polyint, long, st.just(2), constants, order=1)
COMPLEX = "elsewhere: tests/test_rules_polynomials.py"  # values are real or complex
zeros = arrays((3,), domain=(-5, 5), min_gap=0.5)
equal = st.just(np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 2.0]]))
row(np.poly, zeros | equal, complex=COMPLEX)
coefficients = zeros.map(lambda roots: np.poly(roots) * 1.5)
row(np.roots, coefficients, call=lambda p: np.sort(np.roots(p) + 0j), complex=COMPLEX)
FITS = "elsewhere: NumPy's fit of complex numbers squares where it should take sizes"
row(
    np.polyfit,
    st.just(np.array([0.0, 0.4, 0.7, 1.5, 2.2])),
    arrays((5,)) | arrays((5, 2)),
    arrays((5,), domain=(0.5, 2)),
    options=st.sampled_from([{}, {"cov": True}, {"cov": "unscaled"}]),
    call=lambda x, y, w, **o: np.polyfit(x, y, 2, w=w, **o),
    complex=FITS,
)
