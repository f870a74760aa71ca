"""Rows of `tinygrad_cv/rules/scipy/distributions.py`."""

from __future__ import annotations

import scipy
from hypothesis import strategies as st
from scipy import special as sp

from tests.table import row
from tinygrad_cv import special
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
scale = arrays((), domain=(0.5, 2))
row(sp.gdtria, share, shape, scale)
row(sp.gdtrix, scale, shape, share)
if hasattr(sp, "btdtr"):
    row(sp.btdtr, shape, shape, share, call=special.btdtr)
    row(sp.btdtri, shape, shape, share, call=special.btdtri)
row(sp.nrdtrimn, arrays((3,), domain=(0.1, 0.4)), arrays((2, 3), domain=(0.5, 2)), arrays((3,)))
row(
    sp.nrdtrisd,
    arrays((3,), domain=(-1, 0)),
    arrays((2, 3), domain=(0.6, 0.9)),
    arrays((3,), domain=(0.5, 1)),
)

noncentral = arrays((), domain=(0.1, 3))
new = tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 17)
digits = None if new else 1e-3  # older SciPy cuts the sums of non-central distributions off at 1e-4
x = arrays((2,), domain=(0.5, 3))
few = arrays((2,), domain=(0.2, 0.8))
row(sp.chndtr, x, shape, noncentral)
row(sp.chndtrix, few, shape, noncentral.map(float))
row(
    sp.chndtrinc,
    arrays((2,), domain=(3, 5)),
    st.just(2.5),
    arrays((), domain=(0.1, 0.3)),
    rtol=digits,
)
row(sp.ncfdtr, shape, shape, noncentral, x, rtol=digits)
row(sp.ncfdtri, shape, shape, noncentral.map(float), few, rtol=digits)
row(sp.nctdtr, shape, arrays((), domain=(-1, 1)).map(float), arrays((2,)))
row(sp.nctdtrit, shape, arrays((), domain=(-1, 1)).map(float), few, rtol=digits)
row(sp.tklmbda, arrays((2,), domain=(-0.9, 0.9)), st.sampled_from([-0.7, 0.0, 0.3, 1.0]))
row(sp.tklmbda, arrays((2,), domain=(-0.9, 0.9)), arrays((), domain=(0.3, 0.8)))
row(sp.kolmogorov, arrays(domain=(0.3, 2)))
row(sp.kolmogi, share)
row(sp.smirnov, st.sampled_from([1, 3, 20]), arrays((2,), domain=(0.05, 0.6), avoid=[1 / 3, 2 / 3]))
row(sp.smirnovi, st.sampled_from([5, 20]), arrays((2,), domain=(0.2, 0.7)))
row(sp.voigt_profile, arrays((3,)), arrays((), domain=(0.5, 2)), arrays((2, 1), domain=(0.2, 2)))
