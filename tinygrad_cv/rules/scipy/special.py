"""The calculus table of scipy.special. Source of the formulas: NIST Digital Library of Mathematical Functions (DLMF).

Where a derivative with respect to a parameter has no closed form (the order of a Bessel function, the shape of a
distribution) it is left out, and the engine says so when it is asked for.
"""

from __future__ import annotations

from math import log, pi, sqrt
from typing import Any

import numpy as np
from scipy import special as sp

from ...tensor import Rule
from ..numpy.elementwise import sinc
from ..table import definition, derivative, unsupported, without_gradient

ROOT_PI = sqrt(pi)


def _named(names: str) -> list[Any]:
    """The functions of these names, as far as this version of SciPy has them."""
    return [getattr(sp, name) for name in names.split() if hasattr(sp, name)]


def safe(x: Any) -> Any:
    """x, with 1 in place of 0."""
    return np.where(np.equal(x, 0), 1, x)


def at_pole(g: Any, slope: Any) -> Any:
    """g times a slope; of several values one may have a pole where the others are smooth, and g is 0 if it is not used."""
    return g * np.where(np.logical_and(np.equal(g, 0), np.isinf(slope)), 0, slope)


# Logistic functions and the normal distribution.
derivative(sp.expit, x=lambda g, y: g * y * (1 - y))
derivative(sp.logit, x=lambda g, x: g / (x * (1 - x)))
derivative(sp.log_expit, x=lambda g, x: g * sp.expit(-x))
if hasattr(sp, "softplus"):
    definition(sp.softplus)(lambda x, **options: np.logaddexp(0.0, x))
derivative(sp.erf, x=lambda g, x: g * (2 / ROOT_PI) * np.exp(-x * x))
derivative(sp.erfc, x=lambda g, x: -g * (2 / ROOT_PI) * np.exp(-x * x))
derivative(sp.erfi, x=lambda g, x: g * (2 / ROOT_PI) * np.exp(x * x))
derivative(sp.erfcx, x=lambda g, x, y: g * (2 * x * y - 2 / ROOT_PI))
derivative(sp.dawsn, x=lambda g, x, y: g * (1 - 2 * x * y))
derivative(sp.erfinv, x=lambda g, y: g * (ROOT_PI / 2) * np.exp(y * y))
derivative(sp.erfcinv, x=lambda g, y: -g * (ROOT_PI / 2) * np.exp(y * y))
derivative(sp.ndtr, x=lambda g, x: g * np.exp(-0.5 * x * x) / sqrt(2 * pi))
derivative(sp.log_ndtr, x=lambda g, x, y: g * np.exp(-0.5 * x * x - y - 0.5 * log(2 * pi)))
derivative(sp.ndtri, x=lambda g, y: g * np.exp(0.5 * y * y) * sqrt(2 * pi))
if hasattr(sp, "ndtri_exp"):
    derivative(sp.ndtri_exp, x=lambda g, x, y: g * np.exp(x + 0.5 * y * y) * sqrt(2 * pi))

# Gamma functions.
derivative(sp.gammaln, x=lambda g, x: g * sp.psi(x))
derivative(sp.loggamma, x=lambda g, x: g * sp.psi(x))
derivative(sp.gamma, x=lambda g, x, y: g * y * sp.psi(x))
derivative(sp.rgamma, x=lambda g, x, y: -g * y * sp.psi(x))
derivative(sp.psi, x=lambda g, x: g * _polygamma(1, x))
_polygamma: Rule = derivative(sp.polygamma, x=lambda g, n, x: g * _polygamma(n + 1, x))
derivative(
    sp.beta,
    x1=lambda g, x1, x2, y: g * y * _psi_gap(x1, x2),
    x2=lambda g, x1, x2, y: g * y * _psi_gap(x2, x1),
)
derivative(
    sp.betaln, x1=lambda g, x1, x2: g * _psi_gap(x1, x2), x2=lambda g, x1, x2: g * _psi_gap(x2, x1)
)
derivative(
    sp.binom,
    x1=lambda g, x1, x2, y: g * y * (sp.psi(x1 + 1) - sp.psi(x1 - x2 + 1)),
    x2=lambda g, x1, x2, y: g * y * (sp.psi(x1 - x2 + 1) - sp.psi(x2 + 1)),
)
derivative(
    sp.poch,
    x1=lambda g, x1, x2, y: g * y * (sp.psi(x1 + x2) - sp.psi(x1)),
    x2=lambda g, x1, x2, y: g * y * sp.psi(x1 + x2),
)
derivative(sp.gammainc, x2=lambda g, x1, x2: g * gamma_density(x1, x2))
derivative(sp.gammaincc, x2=lambda g, x1, x2: -g * gamma_density(x1, x2))
derivative(sp.gammaincinv, x2=lambda g, x1, y: g / gamma_density(x1, y))
derivative(sp.gammainccinv, x2=lambda g, x1, y: -g / gamma_density(x1, y))
derivative(sp.betainc, x3=lambda g, x1, x2, x3: g * beta_density(x1, x2, x3))
derivative(sp.betaincinv, x3=lambda g, x1, x2, y: g / beta_density(x1, x2, y))
if hasattr(sp, "betaincc"):
    derivative(sp.betaincc, x3=lambda g, x1, x2, x3: -g * beta_density(x1, x2, x3))
    derivative(sp.betainccinv, x3=lambda g, x1, x2, y: -g / beta_density(x1, x2, y))


def _psi_gap(a: Any, b: Any) -> Any:
    return sp.psi(a) - sp.psi(a + b)


def gamma_density(a: Any, x: Any) -> Any:
    """x^(a - 1) e^-x / Gamma(a)."""
    return np.exp(sp.xlogy(a - 1, x) - x - sp.gammaln(a))


def beta_density(a: Any, b: Any, x: Any) -> Any:
    """x^(a - 1) (1 - x)^(b - 1) / B(a, b)."""
    return np.exp(sp.xlogy(a - 1, x) + sp.xlog1py(b - 1, -x) - sp.betaln(a, b))


@definition(sp.multigammaln)
def multigammaln(a: Any, d: int) -> Any:
    total = d * (d - 1) / 4 * log(pi)
    return total + sum((sp.gammaln(a - j / 2) for j in range(1, d)), start=sp.gammaln(a))


# Entropies and robust losses. x log y is 0 at x = 0 whatever y.
derivative(
    sp.xlogy,
    x1=lambda g, x2: g * np.log(x2),
    x2=lambda g, x1, x2: g * np.where(np.equal(x1, 0), 0, x1 / safe(x2)),
)
derivative(
    sp.xlog1py,
    x1=lambda g, x2: g * np.log1p(x2),
    x2=lambda g, x1, x2: g * np.where(np.equal(x1, 0), 0, x1 / safe(1 + x2)),
)
derivative(sp.entr, x=lambda g, x: -g * (np.log(x) + 1))
derivative(
    sp.rel_entr, x1=lambda g, x1, x2: g * (np.log(x1 / x2) + 1), x2=lambda g, x1, x2: -g * x1 / x2
)
derivative(
    sp.kl_div, x1=lambda g, x1, x2: g * np.log(x1 / x2), x2=lambda g, x1, x2: g * (1 - x1 / x2)
)
derivative(
    sp.huber,
    x1=lambda g, x1, x2: g * np.where(np.abs(x2) <= x1, 0, np.abs(x2) - x1),
    x2=lambda g, x1, x2: g * np.clip(x2, -x1, x1),
)
derivative(
    sp.pseudo_huber,
    x1=lambda g, x1, x2: g * (x1 * (np.hypot(x1, x2) - x1) ** 2 / (x1 * np.hypot(x1, x2))),
    x2=lambda g, x1, x2: g * x1 * x2 / np.hypot(x1, x2),
)
derivative(sp.boxcox, x1=lambda g, x1, x2: g * np.power(x1, x2 - 1))
derivative(sp.boxcox1p, x1=lambda g, x1, x2: g * np.power(1 + x1, x2 - 1))
derivative(sp.inv_boxcox, x1=lambda g, x2, y: g * np.power(y, 1 - x2))
derivative(sp.inv_boxcox1p, x1=lambda g, x2, y: g * np.power(1 + y, 1 - x2))
derivative(
    sp.powm1,
    x1=lambda g, x1, x2, y: g * x2 * (y + 1) / x1,
    x2=lambda g, x1, y: g * (y + 1) * np.log(x1),
)


# Softmax and its kin.
@definition(sp.logsumexp)
def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """log sum b exp(a), from the largest a, so that nothing overflows; -inf entries have gradient 0."""
    if return_sign:
        raise NotImplementedError("logsumexp with return_sign is not differentiated")
    if np.ndim(a) == 0:  # SciPy's versions differ in the shape that they give
        return np.reshape(
            a if b is None else a + np.log(b),
            np.shape(sp.logsumexp(0.0, axis=axis, keepdims=keepdims)),
        )
    top = np.max(a.numpy() if hasattr(a, "numpy") else a, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    terms = np.exp(a - top) if b is None else b * np.exp(a - top)
    total = np.log(np.sum(terms, axis=axis, keepdims=True)) + top
    return (
        total if keepdims else np.squeeze(total, tuple(range(np.ndim(a))) if axis is None else axis)
    )


@definition(sp.log_softmax)
def log_softmax(x: Any, axis: Any = None) -> Any:
    return np.reshape(x - logsumexp(x, axis, keepdims=True), np.shape(x))


definition(sp.softmax)(lambda x, axis=None: np.exp(log_softmax(x, axis)))

# Elementary functions.
derivative(sp.cbrt, x=lambda g, y: g / (3 * y * y))
derivative(sp.exp2, x=lambda g, y: g * y * log(2))
derivative(sp.exp10, x=lambda g, y: g * y * log(10))
derivative(sp.expm1, x=lambda g, y: g * (y + 1))
derivative(sp.log1p, x=lambda g, x: g / (1 + x))
derivative(sp.cosm1, x=lambda g, x: -g * np.sin(x))
derivative(sp.sindg, x=lambda g, x: g * (pi / 180) * sp.cosdg(x))
derivative(sp.cosdg, x=lambda g, x: -g * (pi / 180) * sp.sindg(x))
derivative(sp.tandg, x=lambda g, y: g * (pi / 180) * (1 + y * y))
derivative(sp.cotdg, x=lambda g, y: -g * (pi / 180) * (1 + y * y))
derivative(sp.exprel, x=lambda g, x: g * _exprel_slope(x))
if sp.sinc is not np.sinc:
    definition(sp.sinc)(sinc)


def _exprel_slope(x: Any) -> Any:
    """((x - 1) e^x + 1) / x^2, near 0 its series sum x^k / (k! (k + 2))."""
    small = np.abs(x) < 0.5
    near, far, series, factor = np.where(small, x, 0), np.where(small, 1, x), 0.5, 1.0
    power = near
    for k in range(1, 16):
        factor *= k
        series = series + power / (factor * (k + 2))
        power = power * near
    return np.where(small, series, ((far - 1) * np.exp(far) + 1) / (far * far))


# Integrals of elementary functions.
derivative(sp.exp1, x=lambda g, x: -g * np.exp(-x) / x)
derivative(sp.expi, x=lambda g, x: g * np.exp(x) / x)
derivative(
    sp.expn,
    x1=None,
    x2=lambda g, x1, x2, y: (
        -g
        * np.where(
            np.equal(x1, 0), (np.exp(-x2) + y) / safe(x2), sp.expn(np.maximum(x1 - 1, 0), x2)
        )
    ),
)
derivative(sp.sici, x=lambda g, x: g[0] * np.sinc(x / pi) + at_pole(g[1], np.cos(x) / x))
derivative(
    sp.shichi,
    x=lambda g, x: (
        g[0] * np.where(np.equal(x, 0), 1, np.sinh(x) / safe(x)) + at_pole(g[1], np.cosh(x) / x)
    ),
)
derivative(sp.fresnel, x=lambda g, x: g[0] * np.sin(pi / 2 * x * x) + g[1] * np.cos(pi / 2 * x * x))
derivative(sp.wrightomega, x=lambda g, y: g * y / (1 + y))  # of real numbers
derivative(sp.spence, x=lambda g, x: -g * _spence(x))


def _spence(x: Any) -> Any:
    """log x / (x - 1), near 1 its series."""
    small = np.less(np.abs(x - 1), 0.01)
    far = np.where(small, 2, x)
    return np.where(
        small, sum((1 - x) ** k / (k + 1) for k in range(1, 9)) + 1, np.log(far) / (far - 1)
    )


# Elliptic integrals of the parameter m, through Carlson's, which have no 0 / 0 at m = 0 (DLMF 19.25).
derivative(sp.ellipk, x=lambda g, x: g * sp.elliprd(0.0, 1.0, 1 - x) / 6)
derivative(sp.ellipkm1, x=lambda g, x: -g * sp.elliprd(0.0, 1.0, x) / 6)
derivative(sp.ellipe, x=lambda g, x: -g * sp.elliprd(0.0, 1 - x, 1.0) / 6)
derivative(
    sp.ellipkinc,
    x1=lambda g, x1, x2: g / np.sqrt(1 - x2 * np.sin(x1) ** 2),
    x2=lambda g, x1, x2: g * _incomplete(x1, lambda c, s: sp.elliprd(c, 1.0, 1 - x2 * s) / 6),
)
derivative(
    sp.ellipeinc,
    x1=lambda g, x1, x2: g * np.sqrt(1 - x2 * np.sin(x1) ** 2),
    x2=lambda g, x1, x2: -g * _incomplete(x1, lambda c, s: sp.elliprd(c, 1 - x2 * s, 1.0) / 6),
)


def _incomplete(angle: Any, slope: Any) -> Any:
    """sin^3 times a slope of cos^2 and sin^2, for angles up to a quarter turn; each half turn adds that from end to end."""
    turns = np.round(angle / pi)
    sine, cosine = np.sin(angle - pi * turns), np.cos(angle - pi * turns)
    return 2 * turns * slope(0.0, 1.0) + sine**3 * slope(cosine * cosine, sine * sine)


derivative(  # sn, cn, dn and the amplitude, in u (DLMF 22.13)
    sp.ellipj,
    x1=lambda g, y, x2: (
        g[0] * y[1] * y[2] - g[1] * y[0] * y[2] - g[2] * x2 * y[0] * y[1] + g[3] * y[2]
    ),
)
# Carlson's symmetric integrals (DLMF 19.16): derivatives under the integral sign, then partial fractions. The last
# derivatives of R_D and R_J follow from the others, for both are homogeneous of degree -3/2.
derivative(
    sp.elliprf,
    x1=lambda g, x1, x2, x3: -g * sp.elliprd(x2, x3, x1) / 6,
    x2=lambda g, x1, x2, x3: -g * sp.elliprd(x3, x1, x2) / 6,
    x3=lambda g, x1, x2, x3: -g * sp.elliprd(x1, x2, x3) / 6,
)
derivative(
    sp.elliprc,  # R_F(x, y, y)
    x1=lambda g, x1, x2: -g * sp.elliprd(x2, x2, x1) / 6,
    x2=lambda g, x1, x2: -g * sp.elliprd(x1, x2, x2) / 3,
)
derivative(
    sp.elliprg,
    x1=lambda g, x1, x2, x3: g * _elliprg(x1, x2, x3),
    x2=lambda g, x1, x2, x3: g * _elliprg(x2, x3, x1),
    x3=lambda g, x1, x2, x3: g * _elliprg(x3, x1, x2),
)
derivative(
    sp.elliprd,
    x1=lambda g, x1, x2, x3, y: g * _elliprd(x1, x2, x3, y),
    x2=lambda g, x1, x2, x3, y: g * _elliprd(x2, x1, x3, y),
    x3=lambda g, x1, x2, x3, y: g * _elliprd_last(x1, x2, x3, y),
)
derivative(
    sp.elliprj,
    x1=lambda g, x1, x2, x3, x4, y: g * _elliprj(x1, x2, x3, x4, y),
    x2=lambda g, x1, x2, x3, x4, y: g * _elliprj(x2, x3, x1, x4, y),
    x3=lambda g, x1, x2, x3, x4, y: g * _elliprj(x3, x1, x2, x4, y),
    x4=lambda g, x1, x2, x3, x4, y: g * _elliprj_last(x1, x2, x3, x4, y),
)
derivative(  # pi / (2 R_F(0, a^2, b^2))
    sp.agm,
    x1=lambda g, x1, x2, y: (
        g * y * y * np.abs(x1) * sp.elliprd(0.0, x2 * x2, x1 * x1) * (2 / (3 * pi))
    ),
    x2=lambda g, x1, x2, y: (
        g * y * y * np.abs(x2) * sp.elliprd(0.0, x1 * x1, x2 * x2) * (2 / (3 * pi))
    ),
)


def _times(x: Any, slope: Any) -> Any:
    """x times a slope that at x = 0 is infinite, but more slowly than 1 / x."""
    return x * np.where(np.equal(x, 0), 0, slope)


def _elliprg(x: Any, y: Any, z: Any) -> Any:
    """dR_G/dx = (R_F - x R_D(y, z, x) / 3) / 4."""
    return (sp.elliprf(x, y, z) - _times(x, sp.elliprd(y, z, x)) / 3) / 4


def _near(a: Any, b: Any) -> Any:
    return np.abs(a - b) < 1e-5 * np.abs(b)


def _elliprd(x: Any, y: Any, z: Any, value: Any) -> Any:
    """dR_D/dx = (R_D(y, z, x) - R_D(x, y, z)) / (2 (x - z)). It is symmetric in x and z; where they meet, its value at
    their mean is right to first order, and follows from homogeneity; so where y meets them too."""
    together = _near(x, z)
    apart = (sp.elliprd(y, z, x) - value) / (2 * np.where(together, 1, x - z))
    middle = np.where(together, (x + z) / 2, 2 * y + 1)
    pair = sp.elliprd(y, middle, middle)
    slope = (sp.elliprd(middle, middle, y) - pair) / (2 * np.where(_near(y, middle), 1, y - middle))
    meeting = -(1.5 * pair + _times(y, slope)) / (4 * middle)
    meeting = np.where(_near(y, middle), -0.3 * np.power((3 * x + y + 3 * z) / 7, -2.5), meeting)
    return np.where(together, meeting, apart)


def _elliprd_last(x: Any, y: Any, z: Any, value: Any) -> Any:
    """dR_D/dz."""
    return (
        -(1.5 * value + _times(x, _elliprd(x, y, z, value)) + _times(y, _elliprd(y, x, z, value)))
        / z
    )


def _elliprj(x: Any, y: Any, z: Any, p: Any, value: Any) -> Any:
    """dR_J/dx = (R_J - R_D(y, z, x)) / (2 (p - x)); where x and p meet, a third of dR_D/dz at their weighted mean."""
    together = _near(x, p)
    apart = (value - sp.elliprd(y, z, x)) / (2 * np.where(together, 1, p - x))
    mean = np.where(together, (3 * x + 2 * p) / 5, 1)
    return np.where(together, _elliprd_last(y, z, mean, sp.elliprd(y, z, mean)) / 3, apart)


def _elliprj_last(x: Any, y: Any, z: Any, p: Any, value: Any) -> Any:
    """dR_J/dp."""
    turns = ((x, y, z), (y, z, x), (z, x, y))
    return -(1.5 * value + sum(_times(turn[0], _elliprj(*turn, p, value)) for turn in turns)) / p


# Hypergeometric functions in their last argument (DLMF 15.5, 16.3).
derivative(sp.hyp0f1, x2=lambda g, x1, x2: g * sp.hyp0f1(x1 + 1, x2) / x1)
derivative(sp.hyp1f1, x3=lambda g, x1, x2, x3: g * sp.hyp1f1(x1 + 1, x2 + 1, x3) * (x1 / x2))
derivative(
    sp.hyp2f1,
    x4=lambda g, x1, x2, x3, x4: g * sp.hyp2f1(x1 + 1, x2 + 1, x3 + 1, x4) * (x1 * x2 / x3),
)
derivative(sp.hyperu, x3=lambda g, x1, x2, x3: -g * x1 * sp.hyperu(x1 + 1, x2 + 1, x3))

derivative(
    sp.wright_bessel, x3=lambda g, x1, x2, x3: g * sp.wright_bessel(x1, x1 + x2, x3)
)  # sum x^k / (k! Gamma(a k + b)), term by term
if hasattr(sp, "log_wright_bessel"):
    derivative(
        sp.log_wright_bessel,
        x3=lambda g, x1, x2, x3, y: g * np.exp(sp.log_wright_bessel(x1, x1 + x2, x3) - y),
    )
_zeta: Rule = derivative(
    sp.zeta, q=lambda g, x, q: -g * x * _zeta(x + 1, q)
)  # Hurwitz; DLMF 25.11.17
derivative(
    sp.radian,
    x1=lambda g: g * (pi / 180),
    x2=lambda g: g * (pi / 10800),
    x3=lambda g: g * (pi / 648000),
)


@definition(sp.diric)
def diric(x: Any, n: Any) -> Any:
    """sin(n x / 2) / (n sin(x / 2)) as the mean of n cosines, which has no 0 / 0."""
    return np.mean(
        np.cos(np.expand_dims(x, -1) * (np.arange(n) - (n - 1) / 2)), axis=-1
    )  # (..., n) -> (...)


# Whole numbers, zeros, tables of coefficients, settings.
without_gradient(
    *_named(
        "gammasgn round comb perm factorial factorial2 factorialk stirling2 bernoulli euler geterr seterr"
    )
)
without_gradient(
    *_named(
        "ai_zeros bi_zeros bei_zeros beip_zeros ber_zeros berp_zeros erf_zeros fresnel_zeros fresnelc_zeros"
    )
)
without_gradient(
    *_named(
        "fresnels_zeros jn_zeros jnjnp_zeros jnp_zeros jnyn_zeros kei_zeros keip_zeros kelvin_zeros"
    )
)
without_gradient(*_named("ker_zeros kerp_zeros y0_zeros y1_zeros y1p_zeros yn_zeros ynp_zeros"))
without_gradient(
    *_named(
        "roots_legendre roots_chebyt roots_chebyu roots_chebyc roots_chebys roots_jacobi roots_laguerre"
    )
)
without_gradient(
    *_named("roots_genlaguerre roots_hermite roots_hermitenorm roots_gegenbauer roots_sh_legendre")
)
without_gradient(
    *_named(
        "roots_sh_chebyt roots_sh_chebyu roots_sh_jacobi p_roots t_roots u_roots c_roots s_roots j_roots"
    )
)
without_gradient(
    *_named("l_roots la_roots h_roots he_roots cg_roots ps_roots ts_roots us_roots js_roots")
)

unsupported(
    "polynomial classes",
    *_named(
        "legendre chebyt chebyu chebyc chebys jacobi laguerre genlaguerre hermite hermitenorm gegenbauer sh_legendre sh_chebyt "
        "sh_chebyu sh_jacobi"
    ),
)
unsupported(
    "a table of values, not a function",
    *_named(
        "assoc_laguerre lpmn lpn lqmn lqn clpmn obl_cv_seq pro_cv_seq pbdn_seq pbdv_seq pbvv_seq lmbda riccati_jn riccati_yn "
        "mathieu_even_coef mathieu_odd_coef"
    ),
)
unsupported(
    "complex numbers",
    *_named(
        "wofz lambertw hankel1 hankel1e hankel2 hankel2e h1vp h2vp kelvin sph_harm "
        "sph_harm_y sph_harm_y_all modfresnelm modfresnelp"
    ),
)
unsupported(
    "no closed derivative",
    *_named(
        "bdtrik bdtrin btdtria btdtrib chdtriv chndtridf fdtridfd gdtrib nbdtrik nbdtrin ncfdtridfd ncfdtridfn nctdtridf "
        "nctdtrinc pdtrik stdtridf zetac"
    ),
)
unsupported(
    "spheroidal, ellipsoidal and Mathieu functions",
    *_named(
        "obl_ang1 obl_ang1_cv obl_cv obl_rad1 obl_rad1_cv obl_rad2 obl_rad2_cv pro_ang1 pro_ang1_cv pro_cv pro_rad1 pro_rad1_cv "
        "pro_rad2 pro_rad2_cv ellip_harm ellip_harm_2 ellip_normal mathieu_a mathieu_b"
    ),
)
unsupported("values of three digits only", sp.ncfdtrinc)
