"""Rows of `tinygrad_cv/rules/scipy/bessel.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from scipy import special as sp

from tests.table import row
from tinygrad_cv import special
from tinygrad_cv.testing.strategies import arrays

x = arrays(domain=(0.5, 3))
order = arrays((), domain=(0.5, 2.5)).map(float)
for function in (sp.airy, sp.ber, sp.bei, sp.ker, sp.kei, sp.berp, sp.beip, sp.kerp, sp.keip):
    row(function, x)
for function in (
    sp.itj0y0,
    sp.iti0k0,
    sp.it2j0y0,
    sp.it2i0k0,
    sp.itstruve0,
    sp.it2struve0,
    sp.itmodstruve0,
):
    row(function, x, rtol=1e-7)  # SciPy's integrals are no more precise
for function in (sp.jve, sp.yve, sp.struve, sp.modstruve, sp.pbdv):
    row(function, order, x)
row(sp.pbvv, st.sampled_from([0.5, 1.5, 2.5]), x)  # near a whole order SciPy's values jump
row(sp.pbwa, order, arrays(domain=(0.2, 1.5)))
for function in (sp.jvp, sp.yvp, sp.ivp, sp.kvp):
    row(
        function,
        st.integers(0, 3),
        x,
        st.sampled_from([1, 2]),
        call=getattr(special, function.__name__),
    )
for function in (sp.spherical_jn, sp.spherical_yn, sp.spherical_in, sp.spherical_kn):
    row(function, st.integers(0, 3), x, st.booleans(), call=getattr(special, function.__name__))
for function in (sp.struve, sp.modstruve):
    row(function, st.sampled_from([1.0, 2.0]), arrays())
for function in (sp.ber, sp.bei, sp.berp, sp.beip, sp.airy):
    row(function, arrays())
row(sp.airye, arrays(domain=(0.1, 3)))
for i in range(
    4
):  # one at a time, for their sum may cancel; SciPy's integrals have six digits, their slopes fewer
    row(sp.itairy, arrays(domain=(0.5, 1.5)), call=lambda x, i=i: sp.itairy(x)[i], rtol=1e-4)
for function in (
    sp.sici,
    sp.shichi,
    sp.itj0y0,
    sp.iti0k0,
    sp.it2j0y0,
    sp.it2i0k0,
):  # the other value has a pole at 0
    row(function, st.just(np.zeros(2)), call=lambda x, f=function: f(x)[0], order=1)
row(sp.besselpoly, x, order, order)
whole = st.integers(1, 3).map(
    np.int64
)  # with x in float32 SciPy then computes in float64; its float32 loop gives NaN
q = arrays((), domain=(0.5, 2)).map(float)
for function in (sp.mathieu_cem, sp.mathieu_sem):
    row(function, whole, q, arrays(domain=(-90, 90)))
for function in (sp.mathieu_modcem1, sp.mathieu_modcem2, sp.mathieu_modsem1, sp.mathieu_modsem2):
    row(function, whole, q, arrays(domain=(0.2, 1.5)))
for function in (sp.hankel1, sp.hankel2, sp.hankel1e, sp.hankel2e):
    row(function, order, x)
for function in (sp.h1vp, sp.h2vp):
    call = getattr(special, function.__name__)
    row(function, st.integers(0, 3), x, st.sampled_from([1, 2]), call=call)
row(sp.kelvin, x)
