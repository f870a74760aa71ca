"""The calculus table of scipy.special.

Logistic, normal, gamma and hypergeometric functions, entropies, softmax, elementary functions.

Arguments have the names of SciPy's documentation. Where one of them is called y, a formula computes
the function's value again, for y means that argument there. Where a derivative with respect to a
parameter has no closed form (the order of a Bessel function, the shape of a distribution) it is
left out, and the engine says so when it is asked for.

Source of the formulas: NIST Digital Library of Mathematical Functions (DLMF).
"""

from __future__ import annotations

from math import log, pi, sqrt
from typing import Any

import numpy as np
from scipy import special as sp

from ...engine.operands import is_complex
from ...tensor import Rule, unwrap
from ...typing import Array, Axis
from ..numpy.elementwise import sinc
from ..table import definition, derivative, refuse_complex

ROOT_PI = sqrt(pi)


def safe(x: Array) -> Array:
    """x, with 1 in place of 0."""
    return np.where(np.equal(x, 0), 1, x)


def at_pole(g: Array, slope: Array) -> Array:
    """g times a slope, and 0 where g is 0 and the slope has a pole.

    Of a function's several values one may have a pole where the others are smooth; if it is not
    used, its g is 0.
    """
    unused = np.logical_and(np.equal(g, 0), np.isinf(slope))
    return g * np.where(unused, 0, slope)


# --------------------------------------------------- logistic functions and the normal distribution


def _bell(x: Array) -> Array:
    """2 / sqrt(pi) exp(-x^2), the slope of erf."""
    return (2 / ROOT_PI) * np.exp(-x * x)


def _over_bell(x: Array) -> Array:
    """sqrt(pi) / 2 exp(x^2), the slope of erf's inverse where its value is x."""
    return (ROOT_PI / 2) * np.exp(x * x)


def _over_density(x: Array) -> Array:
    """sqrt(2 pi) exp(x^2 / 2), one over the normal density."""
    return sqrt(2 * pi) * np.exp(0.5 * x * x)


derivative(sp.expit, x=lambda g, y: g * y * (1 - y))
derivative(sp.logit, x=lambda g, x: g / (x * (1 - x)))
derivative(sp.log_expit, x=lambda g, x: g * sp.expit(-x))
derivative(sp.erf, signature="z", z=lambda g, z: g * _bell(z))
derivative(sp.erfc, x=lambda g, x: -g * _bell(x))
derivative(sp.erfi, signature="z", z=lambda g, z: g * (2 / ROOT_PI) * np.exp(z * z))
derivative(sp.erfcx, x=lambda g, x, y: g * (2 * x * y - 2 / ROOT_PI))
derivative(sp.dawsn, x=lambda g, x, y: g * (1 - 2 * x * y))
derivative(sp.erfinv, signature="y", y=lambda g, y: g * _over_bell(sp.erfinv(y)))
derivative(sp.erfcinv, signature="y", y=lambda g, y: -g * _over_bell(sp.erfcinv(y)))
derivative(sp.ndtr, x=lambda g, x: g * np.exp(-0.5 * x * x) / sqrt(2 * pi))
derivative(sp.wofz, signature="z", z=lambda g, z, y: g * (2j / ROOT_PI - 2 * z * y))
derivative(sp.log_ndtr, x=lambda g, x, y: g * np.exp(-0.5 * x * x - y - 0.5 * log(2 * pi)))
derivative(sp.ndtri, signature="y", y=lambda g, y: g * _over_density(sp.ndtri(y)))


def _ndtri_exp_slope(y: Array) -> Array:
    """exp(y) over the density at the value, in one exponential."""
    value = sp.ndtri_exp(y)
    return np.exp(y + 0.5 * value * value) * sqrt(2 * pi)


derivative(sp.ndtri_exp, signature="y", y=lambda g, y: g * _ndtri_exp_slope(y))

if hasattr(sp, "softplus"):  # SciPy 1.17

    @definition(sp.softplus, signature="x")
    def softplus(x: Array) -> Array:
        """log(1 + exp(x))."""
        return np.logaddexp(0.0, x)


# ---------------------------------------------------------------------------------- gamma functions


def _psi_gap(a: Array, b: Array) -> Array:
    """psi(a) - psi(a + b), the slope of log B in a."""
    return sp.psi(a) - sp.psi(a + b)


def _psi_difference(a: Array, b: Array) -> Array:
    """psi(a + 1) - psi(b + 1)."""
    return sp.psi(a + 1) - sp.psi(b + 1)


def _log_ratio(x: Array, y: Array) -> Array:
    """log(x / y), without the rounding of x / y where it is close to 1."""
    excess = (x - y) / y
    close = np.abs(excess) < 0.5
    return np.where(close, np.log1p(np.where(close, excess, 0)), np.log(x / y))


def gamma_density(a: Array, x: Array) -> Array:
    """x^(a - 1) e^-x / Gamma(a)."""
    return np.exp(sp.xlogy(a - 1, x) - x - sp.gammaln(a))


def beta_density(a: Array, b: Array, x: Array) -> Array:
    """x^(a - 1) (1 - x)^(b - 1) / B(a, b)."""
    powers = sp.xlogy(a - 1, x) + sp.xlog1py(b - 1, -x)
    return np.exp(powers - sp.betaln(a, b))


BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)  # B_2, B_4, ...


def _trigamma(z: Array) -> Array:
    """psi'. SciPy's is of real numbers; of complex ones it is the sum of (z + k)^-2.

    The asymptotic series gives the sum from Re(z + k) >= 15 on (DLMF 5.15.1, 5.15.8).
    """
    if not is_complex(z):
        return polygamma(1, z)
    least = np.min(np.real(unwrap(z)), initial=15)
    first = np.arange(max(0, np.ceil(15 - least)))
    total = np.sum(1 / np.square(np.expand_dims(z, -1) + first), axis=-1)  # (..., k) -> (...)
    w = 1 / (z + len(first))
    total = total + w + w * w / 2
    power = w
    for number in BERNOULLI:
        power = power * w * w
        total = total + number * power
    return total


derivative(sp.gammaln, x=lambda g, x: g * sp.psi(x))
derivative(sp.loggamma, signature="z", z=lambda g, z: g * sp.psi(z))
derivative(sp.gamma, signature="z", z=lambda g, z, y: g * y * sp.psi(z))
derivative(sp.rgamma, signature="z", z=lambda g, z, y: -g * y * sp.psi(z))
derivative(sp.psi, signature="z", z=lambda g, z: g * _trigamma(z))
polygamma: Rule = derivative(sp.polygamma, x=lambda g, n, x: g * polygamma(n + 1, x))
derivative(
    sp.beta,
    signature="a, b",
    a=lambda g, a, b, y: g * y * _psi_gap(a, b),
    b=lambda g, a, b, y: g * y * _psi_gap(b, a),
)
derivative(
    sp.betaln,
    signature="a, b",
    a=lambda g, a, b: g * _psi_gap(a, b),
    b=lambda g, a, b: g * _psi_gap(b, a),
)
derivative(
    sp.binom,
    signature="x, y",
    x=lambda g, x, y: g * sp.binom(x, y) * _psi_difference(x, x - y),
    y=lambda g, x, y: g * sp.binom(x, y) * _psi_difference(x - y, y),
)
derivative(
    sp.poch,
    signature="z, m",
    z=lambda g, z, m, y: g * y * (sp.psi(z + m) - sp.psi(z)),
    m=lambda g, z, m, y: g * y * sp.psi(z + m),
)

derivative(sp.gammainc, signature="a, x", x=lambda g, a, x: g * gamma_density(a, x))
derivative(sp.gammaincc, signature="a, x", x=lambda g, a, x: -g * gamma_density(a, x))
derivative(
    sp.gammaincinv,
    signature="a, y",
    y=lambda g, a, y: g / gamma_density(a, sp.gammaincinv(a, y)),
)
derivative(
    sp.gammainccinv,
    signature="a, y",
    y=lambda g, a, y: -g / gamma_density(a, sp.gammainccinv(a, y)),
)
derivative(sp.betainc, signature="a, b, x", x=lambda g, a, b, x: g * beta_density(a, b, x))
derivative(
    sp.betaincinv,
    signature="a, b, y",
    y=lambda g, a, b, y: g / beta_density(a, b, sp.betaincinv(a, b, y)),
)
derivative(sp.betaincc, signature="a, b, x", x=lambda g, a, b, x: -g * beta_density(a, b, x))
derivative(
    sp.betainccinv,
    signature="a, b, y",
    y=lambda g, a, b, y: -g / beta_density(a, b, sp.betainccinv(a, b, y)),
)


@definition(sp.multigammaln)
def multigammaln(a: Array, d: int) -> Array:
    """The logarithm of the multivariate gamma function of dimension d."""
    total: Any = d * (d - 1) / 4 * log(pi)
    for j in range(d):
        total = total + sp.gammaln(a - j / 2)
    return total


# ---------------------------------------------------------------------- entropies and robust losses


def _beside(x: Array, y: Array) -> Array:
    """y, among complex numbers if x is one: there a negative number has a logarithm."""
    return y.astype(x.dtype) if is_complex(x) and not is_complex(y) else y


# x log y is 0 at x = 0 whatever y.
derivative(
    sp.xlogy,
    signature="x, y",
    x=lambda g, x, y: g * np.log(_beside(x, y)),
    y=lambda g, x, y: g * np.where(np.equal(x, 0), 0, x / safe(y)),
)
derivative(
    sp.xlog1py,
    signature="x, y",
    x=lambda g, x, y: g * np.log1p(_beside(x, y)),
    y=lambda g, x, y: g * np.where(np.equal(x, 0), 0, x / safe(1 + y)),
)
derivative(sp.entr, x=lambda g, x: -g * (np.log(x) + 1))
derivative(
    sp.rel_entr,
    signature="x, y",
    x=lambda g, x, y: g * (np.log(x / y) + 1),
    y=lambda g, x, y: -g * x / y,
)
derivative(
    sp.kl_div,
    signature="x, y",
    x=lambda g, x, y: g * _log_ratio(x, y),
    y=lambda g, x, y: g * (y - x) / y,
)
derivative(
    sp.huber,
    signature="delta, r",
    delta=lambda g, delta, r: np.where(np.abs(r) <= delta, 0, g * (np.abs(r) - delta)),
    r=lambda g, delta, r: g * np.clip(r, -delta, delta),
)


def _pseudo_huber_delta(g: Array, delta: Array, r: Array) -> Array:
    """(h - delta)^2 / h for h = hypot(delta, r)."""
    h = np.hypot(delta, r)
    return g * (h - delta) ** 2 / h


derivative(
    sp.pseudo_huber,
    signature="delta, r",
    delta=_pseudo_huber_delta,
    r=lambda g, delta, r: g * delta * r / np.hypot(delta, r),
)
derivative(sp.boxcox, signature="x, lmbda", x=lambda g, x, lmbda: g * np.power(x, lmbda - 1))
derivative(sp.boxcox1p, signature="x, lmbda", x=lambda g, x, lmbda: g * np.power(1 + x, lmbda - 1))
derivative(
    sp.inv_boxcox,
    signature="y, lmbda",
    y=lambda g, y, lmbda: g * np.power(sp.inv_boxcox(y, lmbda), 1 - lmbda),
)
derivative(
    sp.inv_boxcox1p,
    signature="y, lmbda",
    y=lambda g, y, lmbda: g * np.power(1 + sp.inv_boxcox1p(y, lmbda), 1 - lmbda),
)
derivative(
    sp.powm1,
    signature="x, y",
    x=lambda g, x, y: g * y * np.power(x, y) / x,
    y=lambda g, x, y: g * np.power(x, y) * np.log(x),
)


# ------------------------------------------------------------------------------ softmax and its kin


@definition(sp.logsumexp)
def logsumexp(
    a: Array,
    axis: Axis = None,
    b: Array | None = None,
    keepdims: bool = False,
) -> Array:
    """log sum b exp(a). Nothing overflows; entries of -inf have gradient 0."""
    if np.ndim(a) == 0:  # SciPy's versions differ in the shape that they give
        shape = np.shape(sp.logsumexp(0.0, axis=axis, keepdims=keepdims))
        return np.reshape(a if b is None else a + np.log(b), shape)
    top = np.max(np.real(unwrap(a)), axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    terms = np.exp(a - top)
    if b is not None:
        terms = b * terms
    total = np.log(np.sum(terms, axis=axis, keepdims=True)) + top
    if keepdims:
        return total
    return np.squeeze(total, tuple(range(np.ndim(a))) if axis is None else axis)


@definition(sp.log_softmax)
def log_softmax(x: Array, axis: Axis = None) -> Array:
    """x - logsumexp(x)."""
    return np.reshape(x - logsumexp(x, axis, keepdims=True), np.shape(x))


@definition(sp.softmax)
def softmax(x: Array, axis: Axis = None) -> Array:
    """exp(x) / sum exp(x)."""
    return np.exp(log_softmax(x, axis))


# ----------------------------------------------------------------------------- elementary functions

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
derivative(
    sp.radian,
    signature="d, m, s",
    d=lambda g: g * (pi / 180),
    m=lambda g: g * (pi / 10800),
    s=lambda g: g * (pi / 648000),
)
if sp.sinc is not np.sinc:
    definition(sp.sinc)(sinc)


def _exprel_slope(x: Array) -> Array:
    """((x - 1) e^x + 1) / x^2, near 0 its series sum x^k / (k! (k + 2))."""
    small = np.abs(x) < 0.5
    near, far = np.where(small, x, 0), np.where(small, 1, x)
    series: Any = 0.5
    factorial = 1.0
    power = near
    for k in range(1, 16):
        factorial *= k
        series = series + power / (factorial * (k + 2))
        power = power * near
    direct = ((far - 1) * np.exp(far) + 1) / (far * far)
    return np.where(small, series, direct)


derivative(sp.exprel, x=lambda g, x: g * _exprel_slope(x))


@definition(sp.diric)
def diric(x: Array, n: int) -> Array:
    """sin(n x / 2) / (n sin(x / 2)) as the mean of n cosines, which has no 0 / 0."""
    refuse_complex(sp.diric, x=x)
    frequencies = np.arange(n) - (n - 1) / 2
    return np.mean(np.cos(np.expand_dims(x, -1) * frequencies), axis=-1)  # (..., n) -> (...)


# ---------------------------------------------------------------- integrals of elementary functions


def _expn_slope(n: Array, x: Array, y: Array) -> Array:
    """E_(n-1), which for n = 0 is (e^-x + E_0) / x. SciPy takes the whole part of n."""
    n = np.trunc(n)
    lower = sp.expn(np.maximum(n - 1, 0), x)
    lowest = (np.exp(-x) + y) / safe(x)
    return np.where(np.equal(n, 0), lowest, lower)


def _sinhc(x: Array) -> Array:
    """sinh(x) / x, and 1 at 0."""
    return np.where(np.equal(x, 0), 1, np.sinh(x) / safe(x))


def _fresnel(g: list[Array], z: Array) -> Array:
    """The integrands are sin(pi z^2 / 2) and cos(pi z^2 / 2)."""
    angle = pi / 2 * z * z
    return g[0] * np.sin(angle) + g[1] * np.cos(angle)


derivative(sp.exp1, signature="z", z=lambda g, z: -g * np.exp(-z) / z)
derivative(sp.expi, x=lambda g, x: g * np.exp(x) / x)
derivative(sp.expn, signature="n, x", n=None, x=lambda g, n, x, y: -g * _expn_slope(n, x, y))
derivative(sp.sici, x=lambda g, x: g[0] * np.sinc(x / pi) + at_pole(g[1], np.cos(x) / x))
derivative(sp.shichi, x=lambda g, x: g[0] * _sinhc(x) + at_pole(g[1], np.cosh(x) / x))
derivative(sp.fresnel, signature="z", z=_fresnel)
derivative(sp.wrightomega, signature="z", z=lambda g, y: g * y / (1 + y))
derivative(
    sp.lambertw,
    z=lambda g, y: g * np.exp(-y) / (1 + y),
    inert=("k", "tol"),
    elementwise=True,
)


def _modified_fresnel(sign: int, g: list[Array], x: Array, y: list[Array]) -> Array:
    """F(x) is the integral of exp(i s t^2) from x on, s the sign, and K the scaled
    exp(-i s (x^2 + pi / 4)) F(x) / sqrt(pi)."""
    turn = sign * 1j
    slope = -np.exp(turn * x * x)
    scaled_slope = -2 * turn * x * y[1] - np.exp(-turn * pi / 4) / ROOT_PI
    return g[0] * slope + g[1] * scaled_slope


derivative(sp.modfresnelp, x=lambda g, x, y: _modified_fresnel(1, g, x, y))
derivative(sp.modfresnelm, x=lambda g, x, y: _modified_fresnel(-1, g, x, y))


def _spence_slope(z: Array) -> Array:
    """-log z / (z - 1), near 1 its series."""
    small = np.less(np.abs(z - 1), 0.01)
    far = np.where(small, 2, z)
    series: Any = 1
    for k in range(1, 9):
        series = series + (1 - z) ** k / (k + 1)
    return -np.where(small, series, np.log(far) / (far - 1))


derivative(sp.spence, signature="z", z=lambda g, z: g * _spence_slope(z))

# -------------------------------- hypergeometric functions in their last argument (DLMF 15.5, 16.3)

derivative(sp.hyp0f1, signature="v, z", z=lambda g, v, z: g * sp.hyp0f1(v + 1, z) / v)
derivative(
    sp.hyp1f1,
    signature="a, b, x",
    x=lambda g, a, b, x: g * sp.hyp1f1(a + 1, b + 1, x) * (a / b),
)
derivative(
    sp.hyp2f1,
    signature="a, b, c, z",
    z=lambda g, a, b, c, z: g * sp.hyp2f1(a + 1, b + 1, c + 1, z) * (a * b / c),
)
derivative(
    sp.hyperu,
    signature="a, b, x",
    x=lambda g, a, b, x: -g * a * sp.hyperu(a + 1, b + 1, x),
)
derivative(  # sum x^k / (k! Gamma(a k + b)), term by term
    sp.wright_bessel,
    signature="a, b, x",
    x=lambda g, a, b, x: g * sp.wright_bessel(a, a + b, x),
)
if hasattr(sp, "log_wright_bessel"):  # SciPy 1.14
    derivative(
        sp.log_wright_bessel,
        signature="a, b, x",
        x=lambda g, a, b, x, y: g * np.exp(sp.log_wright_bessel(a, a + b, x) - y),
    )
zeta: Rule = derivative(
    sp.zeta, q=lambda g, x, q: -g * x * zeta(x + 1, q)
)  # Hurwitz; DLMF 25.11.17
