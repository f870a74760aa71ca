"""Rows of `tinygrad_cv/rules/bessel.py`."""

from __future__ import annotations

from hypothesis import strategies as st
from scipy import special as sp

from tests.table import row
from tinygrad_cv import special
from tinygrad_cv.testing.strategies import arrays

x = arrays(domain=(0.5, 3))
order = arrays((), domain=(0.5, 2.5)).map(float)
for function in (sp.airy, sp.ber, sp.bei, sp.ker, sp.kei, sp.berp, sp.beip, sp.kerp, sp.keip):
    row(function, x)
for function in (sp.itj0y0, sp.iti0k0, sp.it2j0y0, sp.it2i0k0, sp.itstruve0, sp.it2struve0, sp.itmodstruve0):
    row(function, x, rtol=1e-7)  # SciPy's integrals are no more precise
for function in (sp.jve, sp.yve, sp.struve, sp.modstruve, sp.pbdv):
    row(function, order, x)
row(sp.pbvv, st.sampled_from([0.5, 1.5, 2.5]), x)  # near a whole order SciPy's values jump
row(sp.pbwa, order, arrays(domain=(0.2, 1.5)))
for function in (sp.jvp, sp.yvp, sp.ivp, sp.kvp):
    row(function, st.integers(0, 3), x, st.sampled_from([1, 2]), call=getattr(special, function.__name__))
for function in (sp.spherical_jn, sp.spherical_yn, sp.spherical_in, sp.spherical_kn):
    row(function, st.integers(0, 3), x, st.booleans(), call=getattr(special, function.__name__))
