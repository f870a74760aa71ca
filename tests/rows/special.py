"""Rows of `tinygrad_cv/rules/scipy/special.py`, each function where it is smooth."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy import special as sp

from tests.table import row
from tinygrad_cv import special
from tinygrad_cv.testing.strategies import arrays, broadcastable

REAL = "SciPy takes real numbers"
for function in (
    sp.expit,
    sp.log_expit,
    sp.erf,
    sp.erfc,
    sp.erfi,
    sp.erfcx,
    sp.dawsn,
    sp.ndtr,
    sp.log_ndtr,
    sp.exp2,
    sp.exp10,
):
    row(function, arrays())
for function in (
    sp.expm1,
    sp.cosm1,
    sp.sindg,
    sp.cosdg,
    sp.tandg,
    sp.exprel,
    sp.j0,
    sp.j1,
    sp.i0,
    sp.i1,
    sp.fresnel,
):
    row(function, arrays())
row(np.i0, arrays(), complex="NumPy takes real numbers")
for function in (sp.logit, sp.ndtri, sp.ellipk, sp.ellipe, sp.ellipkm1):
    row(function, arrays(domain=(0.2, 0.8)))
for function in (sp.ellipk, sp.ellipe):
    row(function, arrays(domain=(-2, 0.5)))
row(sp.erfinv, arrays(domain=(-0.7, 0.7)))
row(sp.erfcinv, arrays(domain=(0.4, 1.6)))
row(sp.ndtri_exp, arrays(domain=(-3, -0.5)))
for function in (
    sp.gammaln,
    sp.loggamma,
    sp.gamma,
    sp.rgamma,
    sp.psi,
    sp.log1p,
    sp.cbrt,
    sp.entr,
    sp.exp1,
    sp.expi,
):
    row(function, arrays(domain=(0.5, 3)))
for function in (
    sp.sici,
    sp.shichi,
    sp.y0,
    sp.y1,
    sp.k0,
    sp.k1,
    sp.i0e,
    sp.i1e,
    sp.k0e,
    sp.k1e,
    sp.cotdg,
):
    row(function, arrays(domain=(0.5, 3)))
row(sp.i0e, arrays(domain=(-3, -0.5)))
row(sp.spence, arrays(domain=(0.2, 3)))
row(
    sp.polygamma,
    st.sampled_from([0, 1, 2]),
    arrays(domain=(0.5, 3)),
    call=special.polygamma,
    complex=REAL,
)
for function in (
    sp.beta,
    sp.betaln,
    sp.poch,
    sp.rel_entr,
    sp.kl_div,
    sp.powm1,
    sp.pseudo_huber,
    sp.xlogy,
):
    row(function, broadcastable(domain=(0.5, 3)))
row(sp.xlog1py, broadcastable(domain=(0.5, 3)))
row(sp.xlogy, st.just(0.0), arrays((3,), domain=(0.5, 2)), call=lambda x, y: sp.xlogy(x, y))
choices = st.tuples(arrays((2,), domain=(2, 4)), arrays((2,), domain=(0.5, 1.5)))
row(sp.comb, choices, options=st.sampled_from([{}, {"repetition": True}]), call=special.comb, complex=REAL)
row(sp.perm, choices, call=special.perm, complex=REAL)
row(sp.factorial, arrays((3,), domain=(0.2, 4)), call=special.factorial, complex=REAL)
row(sp.binom, st.tuples(arrays((2,), domain=(2, 4)), arrays((2,), domain=(0.5, 1.5))))
row(sp.huber, arrays((3,), domain=(0.5, 1)), arrays((2, 3), domain=(-0.4, 0.4)))
row(sp.huber, arrays((3,), domain=(0.5, 1)), arrays((2, 3), domain=(1.2, 3)))
order = arrays((), domain=(0.5, 2.5)).map(float)
for function in (
    sp.gammainc,
    sp.gammaincc,
    sp.jv,
    sp.jn,
    sp.yv,
    sp.iv,
    sp.kv,
    sp.ive,
    sp.kve,
    sp.boxcox,
    sp.boxcox1p,
    sp.hyp0f1,
):
    row(function, order, arrays(domain=(0.5, 3))) if function not in (
        sp.boxcox,
        sp.boxcox1p,
    ) else row(function, arrays(domain=(0.5, 3)), order)
for function in (sp.inv_boxcox, sp.inv_boxcox1p):
    row(function, arrays(domain=(0.5, 2)), order)
for function in (sp.gammaincinv, sp.gammainccinv):
    row(function, order, arrays(domain=(0.3, 0.7)))
for function in (sp.betainc, sp.betaincinv, sp.betaincc, sp.betainccinv):
    row(function, order, order, arrays(domain=(0.3, 0.7)))
row(sp.hyp1f1, order, order, arrays())
row(sp.hyp2f1, order, order, order, arrays(domain=(-0.5, 0.5)))
row(sp.hyperu, order, order, arrays(domain=(0.7, 2)))
for function in (sp.ellipkinc, sp.ellipeinc):
    row(
        function,
        arrays((2,), domain=(-5, 5), avoid=[-1.5 * np.pi, -0.5 * np.pi, 0.5 * np.pi, 1.5 * np.pi]),
        arrays((), domain=(-1, 0.8)),
    )
row(sp.expn, st.sampled_from([0, 1, 2, 3]), arrays(domain=(0.5, 3)))
row(sp.yn, st.sampled_from([0, 2]), arrays(domain=(0.7, 3)))
row(sp.kn, st.sampled_from([0, 2]), arrays(domain=(0.7, 3)))
row(
    sp.multigammaln,
    arrays(domain=(2.5, 4)),
    st.sampled_from([1, 2, 3]),
    call=lambda a, d: (
        special.multigammaln(a, d)
        if not isinstance(a, np.ndarray)
        else np.vectorize(lambda v: sp.multigammaln(v, d))(a)
    ),
    complex=REAL,
)
axes: Any = st.sampled_from([{}, {"axis": 0}, {"axis": -1}])
row(
    sp.logsumexp,
    arrays((2, 3)),
    options=st.sampled_from([{}, {"axis": 0}, {"axis": (0, 1)}, {"axis": -1, "keepdims": True}]),
    call=special.logsumexp,
)
row(
    sp.logsumexp,
    arrays((2, 3)),
    arrays((3,), domain=(0.5, 2)),
    call=lambda a, b: special.logsumexp(a, axis=1, b=b),
)
row(sp.softmax, arrays((2, 3)), options=axes, call=special.softmax)
row(
    sp.log_softmax,
    arrays((2, 3)),
    options=axes,
    call=special.log_softmax,
    complex="elsewhere: softmax, its exponential; of one element it is 0, up to noise",
)
row(sp.sinc, arrays(), call=lambda x: np.sinc(x))
if hasattr(sp, "softplus"):
    row(sp.softplus, arrays(), call=special.softplus, complex=REAL)
row(sp.ellipj, arrays(), arrays((), domain=(0.2, 0.8)).map(float))
symmetric = arrays(
    (2,), domain=(0.5, 2), decimals=1
)  # equal arguments are frequent, near ones are not
for function, count in (
    (sp.elliprc, 2),
    (sp.elliprf, 3),
    (sp.elliprd, 3),
    (sp.elliprg, 3),
    (sp.elliprj, 4),
    (sp.agm, 2),
):
    row(function, *[symmetric] * count, phases=(-1.2, 1.2))
row(
    sp.elliprj,
    *[symmetric] * 3,
    arrays((), domain=(-2, -0.5)),
    complex="elsewhere: the row above; a principal value is of real numbers",
)
row(sp.agm, *[arrays((2,), domain=(-2, -0.5))] * 2)
for function, count in ((sp.elliprf, 3), (sp.elliprd, 3), (sp.elliprg, 3), (sp.elliprj, 4)):
    row(function, st.just(0.0), *[symmetric] * (count - 1), phases=(-1.2, 1.2))
row(sp.wrightomega, arrays())
row(sp.wright_bessel, order, order, arrays(domain=(0.5, 2)))
if hasattr(sp, "log_wright_bessel"):
    row(sp.log_wright_bessel, order, order, arrays(domain=(0.5, 2)))
row(
    sp.zeta,
    st.sampled_from([2.0, 3.5]),
    arrays(domain=(0.5, 3)),
    call=special.zeta,
    complex=REAL,
)
row(sp.radian, *[arrays((2,))] * 3)
row(sp.diric, arrays(), st.integers(1, 4), call=special.diric, complex=REAL)
row(sp.wofz, arrays())
row(sp.lambertw, arrays(domain=(0.2, 3)), st.sampled_from([0, -1, 2]), call=special.lambertw)
for function in (sp.modfresnelp, sp.modfresnelm):
    row(function, arrays(domain=(0.2, 3)))
