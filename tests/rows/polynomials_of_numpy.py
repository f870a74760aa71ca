"""Rows of `tinygrad_cv/rules/numpy/polynomials.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

long, short = arrays((4,), domain=(0.5, 2)), arrays((2,), domain=(0.5, 2))
for function in (np.polyadd, np.polysub, np.polymul):
    row(function, long, short)
    row(function, short, long)
row(np.polydiv, long, short)
row(np.polyder, long, st.sampled_from([1, 2]))
row(np.polyint, long, st.sampled_from([0, 1, 2]))
row(np.polyint, long, st.just(2), arrays((2,)))
row(np.polyint, long, st.just(3), arrays(()))
zeros = arrays((3,), domain=(-5, 5), min_gap=0.5)
COMPLEX = "elsewhere: tests/test_rules_polynomials.py"  # values are real or complex
row(np.poly, zeros, complex=COMPLEX)
equal = st.just(np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 2.0]]))
row(np.poly, equal, complex=COMPLEX)
to_coefficients = zeros.map(lambda r: np.poly(r) * 1.5)
call = lambda p: np.sort(np.roots(p) + 0j)
row(np.roots, to_coefficients, call=call, complex=COMPLEX)
knots = st.just(np.array([0.0, 0.4, 0.7, 1.5, 2.2]))
of_fits = st.sampled_from([{}, {"cov": True}, {"cov": "unscaled"}])
FITS = "elsewhere: NumPy's fit of complex numbers squares where it should take sizes"
row(np.polyfit, knots, arrays((5,)), st.just(2), options=of_fits, complex=FITS)
weights = arrays((5,), domain=(0.5, 2))
call = lambda x, y, w: np.polyfit(x, y, 1, w=w)
row(np.polyfit, knots, arrays((5, 2)), weights, call=call, complex=FITS)
