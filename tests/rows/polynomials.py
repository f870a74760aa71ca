"""Rows of `tinygrad_cv/rules/polynomials.py`."""

from __future__ import annotations

from hypothesis import strategies as st
from scipy import special as sp

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

degree = st.integers(0, 5)
parameter = arrays((), domain=(0.5, 2)).map(float)
inside = arrays(domain=(-1, 1))
for function in (sp.eval_legendre, sp.eval_chebyt, sp.eval_chebyu, sp.eval_chebyc, sp.eval_chebys):
    row(function, degree, inside)
for function in (sp.eval_sh_legendre, sp.eval_sh_chebyt, sp.eval_sh_chebyu):
    row(function, degree, arrays(domain=(0, 1)))
for function in (sp.eval_laguerre, sp.eval_hermite, sp.eval_hermitenorm):
    row(function, degree, arrays())
for function in (sp.eval_gegenbauer, sp.eval_genlaguerre):
    row(function, degree, parameter, inside)
row(sp.eval_jacobi, degree, parameter, parameter, inside)
row(sp.eval_sh_jacobi, degree, st.just(3.5), parameter, arrays(domain=(0, 1)))
