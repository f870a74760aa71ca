"""Rows of `tinygrad_cv/rules/distributions.py`."""

from __future__ import annotations

from hypothesis import strategies as st
from scipy import special as sp

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

share = arrays(domain=(0.2, 0.8))
positive = arrays(domain=(0.5, 3))
shape = arrays((), domain=(1.5, 4)).map(float)
count = st.integers(0, 3).map(float)
for function in (sp.bdtr, sp.bdtrc, sp.bdtri):
    row(function, count, st.integers(4, 6), share)
for function in (sp.nbdtr, sp.nbdtrc, sp.nbdtri):
    row(function, st.integers(0, 3), st.integers(1, 4), share)
for function in (sp.pdtr, sp.pdtrc):
    row(function, count, positive)
row(sp.pdtri, st.integers(0, 3), share)
for function in (sp.chdtr, sp.chdtrc):
    row(function, shape, positive)
for function in (sp.fdtr, sp.fdtrc):
    row(function, shape, shape, positive)
for function in (sp.gdtr, sp.gdtrc):
    row(function, arrays((3,), domain=(0.5, 2)), shape, arrays((2, 3), domain=(0.5, 2)))
row(sp.stdtr, shape, arrays())
row(sp.chdtri, shape, share)
row(sp.stdtrit, shape, share)
row(sp.fdtri, shape, shape, share)
row(sp.owens_t, arrays((3,)), arrays((2, 3)))
