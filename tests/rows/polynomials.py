"""Rows of `tinygrad_cv/rules/scipy/polynomials.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from scipy import special as sp

from tests.table import row
from tinygrad_cv import special
from tinygrad_cv.testing.strategies import arrays

REAL = "SciPy takes real numbers"
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
right = arrays(
    domain=(-0.7, 0.9)
)  # further left SciPy's hyp2f1, which is behind these, loses all but two digits
real_degree = st.sampled_from(
    [0.0, 0.5, 1.0, 1.7, 3.2]
)  # SciPy extends these to degrees that are not whole
for function in (
    sp.eval_legendre,
    sp.eval_chebyt,
    sp.eval_chebyu,
    sp.eval_chebyc,
    sp.eval_laguerre,
):
    row(function, real_degree, right)
row(sp.eval_jacobi, real_degree, parameter, parameter, right)
row(sp.eval_gegenbauer, real_degree, parameter, right)

row(sp.lpmv, st.integers(-2, 2), st.integers(2, 3), arrays(domain=(-0.9, 0.9)))
row(sp.lpmv, st.integers(0, 2), real_degree, arrays(domain=(-0.9, 0.9)))
if hasattr(
    sp, "legendre_p"
):  # diff_n goes to 2: that is one derivative of diff_n=1, two of diff_n=0
    SPHERICAL = (sp.sph_legendre_p, sp.sph_legendre_p_all)
    slopes = [({"diff_n": 0}, 2), ({"diff_n": 1}, 1)]
    for options, orders in slopes:
        for function in (sp.legendre_p, sp.legendre_p_all):
            call = getattr(special, function.__name__)
            row(
                function,
                st.integers(0, 3),
                inside,
                options=st.just(options),
                call=call,
                order=orders,
                complex=REAL if function is sp.legendre_p else True,
            )
        for function in (
            sp.assoc_legendre_p,
            sp.assoc_legendre_p_all,
            sp.sph_legendre_p,
            sp.sph_legendre_p_all,
        ):
            call = getattr(special, function.__name__)
            row(
                function,
                st.integers(0, 3),
                st.integers(0, 2),
                arrays(domain=(0.2, 0.8)),
                options=st.just(options),
                call=call,
                order=orders,
                complex=REAL if function in SPHERICAL else True,
            )
    row(
        sp.assoc_legendre_p,
        st.just(2),
        st.just(-1),
        arrays(domain=(1.5, 3)),
        options=st.just({"branch_cut": 3, "norm": True}),
        call=special.assoc_legendre_p,
    )
if hasattr(sp, "sph_harm_y"):
    angles = arrays((3,), domain=(0, 3)), arrays((2, 1), domain=(-3, 3))
    orders = st.integers(0, 3), st.integers(-3, 3)
    call, every = special.sph_harm_y, special.sph_harm_y_all
    row(sp.sph_harm_y, *orders, *angles, call=call, complex=REAL)
    pole = st.just(np.zeros(2))
    row(sp.sph_harm_y, st.just(2), st.just(1), pole, arrays((2,)), call=call, complex=REAL)
    sizes = st.integers(0, 2), st.integers(0, 2)
    row(sp.sph_harm_y_all, *sizes, *angles, call=every, complex=REAL)
