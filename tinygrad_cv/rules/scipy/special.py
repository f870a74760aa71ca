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
from ..numpy.axes import restore
from ..numpy.elementwise import one_power_less, sinc
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
    unused = np.equal(g, 0) & ~np.isfinite(slope)
    return g * np.where(unused, 0, slope)


# --------------------------------------------------- logistic functions and the normal distribution


def _bell(x: Array) -> Array:
    """2 / sqrt(pi) exp(-x^2), the slope of erf."""
    return (2 / ROOT_PI) * np.exp(-x * x)


def _over_bell(x: Array) -> Array:
    """sqrt(pi) / 2 exp(x^2), the slope of erf's inverse where its value is x."""
    return (ROOT_PI / 2) * np.exp(x * x)


def _over_bell_by_tail(x: Array, tail: Array) -> Array:
    """The same by the smaller tail, erfc(|x|), and erfcx, its ratio to the bell.

    In exp(x^2) the rounding of x would count 2 x^2 times.
    """
    x = np.minimum(np.abs(x), 40)  # where the tail is 0, x is infinite
    return (ROOT_PI / 2) * sp.erfcx(x) / tail


def _over_density(x: Array, tail: Array) -> Array:
    """sqrt(2 pi) exp(x^2 / 2), one over the normal density, by the smaller tail."""
    return sqrt(8) * _over_bell_by_tail(x / sqrt(2), 2 * tail)


def _erfcx_slope(x: Array, y: Array) -> Array:
    """2 x y - 2 / sqrt(pi), and for large x its continued fraction, where that cancels.

    y is x / (sqrt(pi) (x + t)), t = (1/2) / (x + 1 / (x + (3/2) / (x + ...))) (DLMF 7.9.3).
    """
    large = np.greater(x, 2)
    far = np.where(large, x, 2)
    t: Any = 0
    for k in range(60, 0, -1):
        t = 0.5 * k / (far + t)
    return np.where(large, -2 / ROOT_PI * t / (far + t), 2 * x * y - 2 / ROOT_PI)


FAR = 7  # from here on the asymptotic series of w and its kin has all digits


def _far_series(z: Array) -> Array:
    """sqrt(pi) z w(z) / i - 1 for large z: u + 3 u^2 + 15 u^3 + ..., u = 1 / (2 z^2).

    DLMF 7.12.
    """
    u = 0.5 / z / z
    series: Any = 1
    for k in range(24, 1, -1):
        series = 1 + (2 * k - 1) * u * series
    return u * series


def wofz_slope(z: Array, y: Array) -> Array:
    """w' = 2 i / sqrt(pi) - 2 z w, which for large z in the upper half plane cancels."""
    large = np.greater(np.abs(z), FAR) & np.greater_equal(np.imag(z), 0)
    far = -2j / ROOT_PI * _far_series(np.where(large, z, FAR))
    return np.where(large, far, 2j / ROOT_PI - 2 * z * y)


def wofz_curvature(z: Array, y: Array, slope: Array) -> Array:
    """w'' = -2 w - 2 z w', for large z the slope of the series."""
    large = np.greater(np.abs(z), FAR) & np.greater_equal(np.imag(z), 0)
    far = np.where(large, z, FAR)
    u = 0.5 / far / far
    series: Any = 1
    for k in range(24, 1, -1):  # u + 2 * 3 u^2 + 3 * 15 u^3 + ...
        series = 1 + k / (k - 1) * (2 * k - 1) * u * series
    return np.where(large, 4j / ROOT_PI * (u * series / far), -2 * y - 2 * z * slope)


def _dawsn_slope(x: Array) -> Array:
    """1 - 2 x D(x), which cancels for large x: by Rybicki's sum for D, then by a series.

    D(x) is the sum of exp(-(x - n h)^2) / (n sqrt(pi)) over odd n, to exp(-(pi / 2 h)^2) (Rybicki
    1989).
    """
    large = np.greater(np.abs(x), FAR)
    h = 0.2
    near: Any = 0
    for n in range(-67, 68, 2):
        apart = np.where(large, 0, x) - n * h
        near = near - 2 / ROOT_PI / n * (apart * np.exp(-apart * apart))
    return np.where(large, -_far_series(np.where(large, x, FAR)), near)


derivative(sp.expit, x=lambda g, x, y: g * y * sp.expit(-x))
derivative(sp.logit, x=lambda g, x: g / (x * (1 - x)))
derivative(sp.log_expit, x=lambda g, x: g * sp.expit(-x))
derivative(sp.erf, signature="z", z=lambda g, z: g * _bell(z))
derivative(sp.erfc, x=lambda g, x: -g * _bell(x))
derivative(sp.erfi, signature="z", z=lambda g, z: g * (2 / ROOT_PI) * np.exp(z * z))
derivative(sp.erfcx, x=lambda g, x, y: g * _erfcx_slope(x, y))
derivative(sp.dawsn, x=lambda g, x: g * _dawsn_slope(x))
derivative(sp.erfinv, signature="y", y=lambda g, y: g * _over_bell(sp.erfinv(y)))
derivative(
    sp.erfcinv,
    signature="y",
    y=lambda g, y: -g * _over_bell_by_tail(sp.erfcinv(y), np.minimum(y, 2 - y)),
)
derivative(sp.ndtr, x=lambda g, x: g * np.exp(-0.5 * x * x) / sqrt(2 * pi))
derivative(sp.wofz, signature="z", z=lambda g, z, y: g * wofz_slope(z, y))
derivative(
    sp.ndtri,
    signature="y",
    y=lambda g, y: g * _over_density(sp.ndtri(y), np.minimum(y, 1 - y)),
)


def _mills(x: Array) -> Array:
    """The distribution function over the density: sqrt(pi / 2) exp(x^2 / 2) erfc(-x / sqrt(2))."""
    return sqrt(pi / 2) * sp.erfcx(-x / sqrt(2))


def _ndtri_exp_slope(y: Array) -> Array:
    """exp(y) over the density at the value, above 0 by the upper tail, -expm1(y)."""
    value = sp.ndtri_exp(y)
    upper = np.greater(value, 0)
    above = np.exp(y) * _over_density(np.where(upper, value, 0), np.where(upper, -np.expm1(y), 1))
    lower = np.where(upper, 0, value)
    error = sp.log_ndtr(lower) - np.where(upper, -log(2), y)  # SciPy's value is good to 1e-13
    return np.where(upper, above, _mills(lower - error * _mills(lower)))


derivative(sp.log_ndtr, x=lambda g, x: g / _mills(x))
derivative(sp.ndtri_exp, signature="y", y=lambda g, y: g * _ndtri_exp_slope(y))

if hasattr(sp, "softplus"):  # SciPy 1.17

    @definition(sp.softplus, signature="x")
    def softplus(x: Array) -> Array:
        """log(1 + exp(x))."""
        return np.logaddexp(0.0, x)


# ---------------------------------------------------------------------------------- gamma functions


BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)  # B_2, B_4, ...
LARGE = 10  # from here on the asymptotic series with these numbers have all digits


def _psi_rise(a: Array, rise: Array) -> Array:
    """psi(a + rise) - psi(a), where the difference does not cancel for a, a + rise > 0.

    Ten steps of the recurrence psi(a) = psi(a + 1) - 1 / a, then the difference, term by term, of
    psi(a) = log a - 1 / (2 a) - sum B_2k / (2 k a^2k) (DLMF 5.5.2, 5.11.2).
    """
    right = np.greater(a, 0) & np.greater(a + rise, 0)
    difference = sp.psi(a + rise) - sp.psi(a)
    a, rise = np.where(right, a, 1), np.where(right, rise, 0)
    total: Any = 0
    for k in range(LARGE):
        total = total + rise / (a + k + rise) / (a + k)
    a = a + LARGE
    end = a + rise
    total = total + np.log1p(rise / a) + 0.5 * rise / end / a
    p, q = 1 / (end * end), 1 / (a * a)
    gap = -rise / end / a * (1 / end + 1 / a)  # p - q
    sums: Any = 1.0  # (p^k - q^k) / (p - q)
    power: Any = 1.0
    for k, number in enumerate(BERNOULLI, start=1):
        total = total - number / (2 * k) * gap * sums
        power = power * q
        sums = p * sums + power
    return np.where(right, total, difference)


def _psi_gap(a: Array, b: Array) -> Array:
    """psi(a) - psi(a + b), the slope of log B in a."""
    return -_psi_rise(a, b)


def _log_ratio(x: Array, y: Array) -> Array:
    """log(x / y), without the rounding of x / y where it is close to 1, nor its overflow."""
    excess = (x - y) / y
    close = np.abs(excess) < 0.5
    extreme = np.isinf(x / y) | np.isinf(y / x)
    apart = np.where(extreme, np.log(x) - np.log(y), np.log(x / y))
    return np.where(close, np.log1p(np.where(close, excess, 0)), apart)


def _stirling_rest(a: Array) -> Array:
    """gammaln(a) less Stirling's (a - 1/2) log a - a + log(2 pi) / 2, for large a (DLMF 5.11.1)."""
    total: Any = 0
    for k in range(len(BERNOULLI), 0, -1):
        total = total / (a * a) + BERNOULLI[k - 1] / (2 * k * (2 * k - 1))
    return total / a


def _less_log(x: Array, peak: Array) -> Array:
    """u - log(1 + u) for u = x / peak - 1, which is 0 at the peak."""
    u = (x - peak) / peak
    close = np.less(np.abs(u), 0.5)
    return u - np.where(close, np.log1p(np.where(close, u, 0)), np.log(x / peak))


def gamma_density(a: Array, x: Array) -> Array:
    """x^(a - 1) e^-x / Gamma(a); for large a about its peak, where the exponents cancel.

    For small x the power stands outside of the exponential: its exponent would be large.
    """
    large = np.greater(a, LARGE) & np.greater(x, 0)
    small_a, small_x = np.where(large, 1, a), np.where(large, 1, x)
    outside = np.less(small_x, 1)
    power = np.where(outside, one_power_less(np.where(outside, small_x, 1), small_a), 1)
    exponent = sp.xlogy(small_a - 1, np.where(outside, 1, small_x)) - small_x - sp.gammaln(small_a)
    a, x = np.where(large, a, LARGE), np.where(large, x, LARGE)
    peak = -a * _less_log(x, a) - _stirling_rest(a)
    about_peak = np.sqrt(a / (2 * pi)) / x * np.exp(peak)
    return np.where(large, about_peak, power * np.exp(exponent))


def beta_density(a: Array, b: Array, x: Array, rest: Array | None = None) -> Array:
    """x^(a - 1) (1 - x)^(b - 1) / B(a, b); for large a and b about its peak.

    `rest` is 1 - x, if it is known to more digits.
    """
    rest = 1 - x if rest is None else rest
    large = np.greater(a, LARGE) & np.greater(b, LARGE) & np.greater(x, 0) & np.greater(rest, 0)
    small_a, small_b = np.where(large, 1, a), np.where(large, 1, b)
    first, first_log = _power_less_one(x, small_a)
    second, second_log = _power_less_one(rest, small_b)
    direct = first * second * np.exp(first_log + second_log - sp.betaln(small_a, small_b))
    a, b = np.where(large, a, LARGE), np.where(large, b, LARGE)
    x, rest = np.where(large, x, 0.5), np.where(large, rest, 0.5)
    total = a + b
    exponent = -a * _less_log(x, a / total) - b * _less_log(rest, b / total)
    exponent = exponent + _stirling_rest(total) - _stirling_rest(a) - _stirling_rest(b)
    scale = np.sqrt(a / total * b / (2 * pi)) / (x * rest)
    return np.where(large, scale * np.exp(exponent), direct)


def _power_less_one(x: Array, a: Array) -> tuple[Array, Array]:
    """A factor and a logarithm that make x^(a - 1): the power, or if a is large, its logarithm."""
    large = np.greater(a, LARGE)
    factor = one_power_less(np.where(large, 1, x), np.where(large, 1, a))
    return factor, sp.xlogy(np.where(large, a, 1) - 1, x)


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


def _rgamma_slope(z: Array, y: Array) -> Array:
    """-psi(z) / Gamma(z); on the left, with the poles of psi, by its reflection.

    There psi(z) is psi(1 - z) - pi cot(pi z), and 1 / Gamma(z) is Gamma(1 - z) sin(pi z) / pi (DLMF
    5.5.3, 5.5.4).
    """
    left = np.less(np.real(z), 0.5) & np.isfinite(y)
    mirrored = 1 - np.where(left, z, 0)
    reflected = sp.gamma(mirrored) * np.cos(pi * z) - y * sp.psi(mirrored)
    return np.where(left, reflected, -y * sp.psi(np.where(left, 1, z)))


derivative(sp.rgamma, signature="z", z=lambda g, z, y: g * _rgamma_slope(z, y))
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


# Gamma(x + 1) / (Gamma(y + 1) Gamma(x - y + 1)). Left of the last one's poles, y > x, it is
# B(x + 1, y - x) sin(pi (y - x)) / pi, by the reflection of that factor.
def _waves(x: Array, y: Array) -> tuple[Array, Array]:
    """sin(pi (y - x)) / pi and cos(pi (y - x)): whole turns are taken off before the rounding."""
    whole_x, whole_y = np.rint(x), np.rint(y)
    sign = 1 - 2 * np.mod(whole_y - whole_x, 2)
    angle = pi * ((y - whole_y) - (x - whole_x))
    return sign * np.sin(angle) / pi, sign * np.cos(angle)


def _binom_x(x: Array, y: Array) -> Array:
    """binom (psi(x + 1) - psi(x - y + 1))."""
    left = np.greater(y, x + 0.5)
    sine, cosine = _waves(x, y)
    gap = np.where(left, y - x, 1)
    mirrored = sp.beta(x + 1, gap) * (_psi_rise(gap, x + 1 - gap) * sine - cosine)
    apart = _psi_rise(np.where(left, 1, x - y + 1), np.where(left, 0, y))
    return np.where(left, mirrored, sp.binom(x, y) * apart)


def _binom_y(x: Array, y: Array) -> Array:
    """binom (psi(x - y + 1) - psi(y + 1))."""
    left = np.greater(y, x + 0.5)
    sine, cosine = _waves(x, y)
    gap = np.where(left, y - x, 1)
    mirrored = sp.beta(x + 1, gap) * (cosine - _psi_rise(gap, x + 1) * sine)
    apart = _psi_rise(y + 1, np.where(left, 0, x - 2 * y))
    return np.where(left, mirrored, sp.binom(x, y) * apart)


derivative(
    sp.binom,
    signature="x, y",
    x=lambda g, x, y: g * _binom_x(x, y),
    y=lambda g, x, y: g * _binom_y(x, y),
)


def _poch_z(z: Array, m: Array, y: Array) -> Array:
    """poch (psi(z + m) - psi(z)) for Gamma(z + m) / Gamma(z).

    For z < 1/2, where psi(z) has poles and 1 / Gamma(z) zeros, by the slope of that; if both
    factors have poles, by reflection.
    """
    left, end = np.less(z, 0.5), z + m
    both = left & np.less_equal(end, 0) & np.equal(end, np.rint(end))
    place = np.where(left, z, 0)
    end = np.where(left & ~both, end, 1)
    by_slope = sp.gamma(end) * _rgamma_slope(place, sp.rgamma(place)) + y * sp.psi(end)
    mirrored = -y * _psi_rise(np.where(both, 1 - z - m, 1), np.where(both, m, 0))
    right = y * _psi_rise(np.where(left, 1, z), np.where(left, 0, m))
    return np.where(both, mirrored, np.where(left, by_slope, right))


derivative(
    sp.poch,
    signature="z, m",
    z=lambda g, z, m, y: g * _poch_z(z, m, y),
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


def _share(x: Array, y: Array) -> Array:
    """x / y, and 0 where both are 0."""
    nothing = np.logical_and(np.equal(x, 0), np.equal(y, 0))
    return x / np.where(nothing, 1, y)


# x log y is 0 at x = 0 whatever y.
derivative(
    sp.xlogy,
    signature="x, y",
    x=lambda g, x, y: g * np.log(_beside(x, y)),
    y=lambda g, x, y: g * _share(x, y),
)
derivative(
    sp.xlog1py,
    signature="x, y",
    x=lambda g, x, y: g * np.log1p(_beside(x, y)),
    y=lambda g, x, y: g * _share(x, 1 + y),
)
derivative(sp.entr, x=lambda g, x: -g * (np.log(x) + 1))
derivative(
    sp.rel_entr,
    signature="x, y",
    x=lambda g, x, y: g * (_log_ratio(x, y) + 1),
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
    """(h - delta)^2 / h for h = hypot(delta, r), where h - delta is r^2 / (h + delta)."""
    h = np.hypot(delta, r)
    slope = r / safe(h + delta)
    return g * (r * slope * (slope * (r / safe(h))))


def _pseudo_huber_r(g: Array, delta: Array, r: Array) -> Array:
    """delta r / h; the larger of the two is divided, so that nothing overflows or vanishes."""
    h = safe(np.hypot(delta, r))
    return g * np.where(np.greater(delta, np.abs(r)), delta / h * r, delta * (r / h))


derivative(sp.pseudo_huber, signature="delta, r", delta=_pseudo_huber_delta, r=_pseudo_huber_r)
derivative(sp.boxcox, signature="x, lmbda", x=lambda g, x, lmbda: g * one_power_less(x, lmbda))
derivative(
    sp.boxcox1p, signature="x, lmbda", x=lambda g, x, lmbda: g * one_power_less(1 + x, lmbda)
)


def _inv_boxcox_slope(y: Array, lmbda: Array) -> Array:
    """(1 + lmbda y)^(1 / lmbda - 1): the value over 1 + lmbda y, unless it overflows."""
    value = sp.inv_boxcox(y, lmbda)
    overflows = np.isinf(value) & np.not_equal(lmbda, 0)
    power = np.exp((1 / safe(lmbda) - 1) * np.log1p(lmbda * y))
    return np.where(overflows, power, value / (1 + lmbda * y))


derivative(
    sp.inv_boxcox, signature="y, lmbda", y=lambda g, y, lmbda: g * _inv_boxcox_slope(y, lmbda)
)
derivative(
    sp.inv_boxcox1p, signature="y, lmbda", y=lambda g, y, lmbda: g * _inv_boxcox_slope(y, lmbda)
)
derivative(
    sp.powm1,
    signature="x, y",
    x=lambda g, x, y: g * y * one_power_less(x, y),
    y=lambda g, x, y: g * np.power(x, y) * np.log(x),
)


# ------------------------------------------------------------------------------ softmax and its kin


def _shares(a: Array, b: Array | None, axis: Axis) -> Array:
    """b exp(a) / sum b exp(a). Nothing overflows; entries of -inf have the share 0."""
    with np.errstate(divide="ignore"):  # b may be 0
        exponents = a if b is None else a + np.log(np.abs(b))
    top = np.max(np.real(unwrap(exponents)), axis=axis, keepdims=True, initial=-np.inf)
    terms = np.exp(exponents - np.where(np.isfinite(top), top, 0))
    if b is not None:
        terms = np.sign(b) * terms
    return terms / np.sum(terms, axis=axis, keepdims=True)


def _logsumexp_a(
    g: Array,
    a: Array,
    b: Array | None,
    axis: Axis,
    keepdims: bool,
) -> Array:
    shares = _shares(a, b, axis)
    return restore(g, shares.shape, axis, keepdims) * shares


def _logsumexp_a_tangent(
    t: Array,
    a: Array,
    b: Array | None,
    axis: Axis,
    keepdims: bool,
) -> Array:
    return np.sum(t * _shares(a, b, axis), axis=axis, keepdims=keepdims)


def _logsumexp_b_slope(a: Array, b: Array, y: Array, axis: Axis, keepdims: bool) -> Array:
    """exp(a - y), where b is not 0 as the share of b."""
    shares = _shares(a, b, axis)
    each = np.exp(a - restore(y, shares.shape, axis, keepdims))
    return np.where(np.equal(b, 0), each, shares / safe(b))


def _logsumexp_b(
    g: Array,
    a: Array,
    b: Array,
    y: Array,
    axis: Axis,
    keepdims: bool,
) -> Array:
    slope = _logsumexp_b_slope(a, b, y, axis, keepdims)
    return at_pole(restore(g, slope.shape, axis, keepdims), slope)


def _logsumexp_b_tangent(
    t: Array,
    a: Array,
    b: Array,
    y: Array,
    axis: Axis,
    keepdims: bool,
) -> Array:
    moved = at_pole(t, _logsumexp_b_slope(a, b, y, axis, keepdims))
    return np.reshape(np.sum(moved, axis=axis), np.shape(y))


derivative(sp.logsumexp, a=_logsumexp_a, b=_logsumexp_b).tangent(
    a=_logsumexp_a_tangent, b=_logsumexp_b_tangent
)


# The gradients of a row's elements add up to 0: where one share is nearly 1, its gradient is minus
# the sum of the others, without the cancellation in 1 - share. Where no share is, it is as it is.
def _large(shares: Array) -> np.ndarray:
    """Whether a share is nearly 1; of complex numbers, which add up to 1 by other ways, none."""
    return np.zeros(shares.shape, bool) if is_complex(shares) else np.greater(shares, 0.75)


def _balanced(dx: Array, shares: Array, axis: Axis) -> Array:
    large = _large(shares)
    others = np.where(large, 0, dx)
    return np.where(large, -np.sum(others, axis, keepdims=True), others)


def _softmax(g: Array, y: Array, axis: Axis) -> Array:
    """y (g - sum g y): the Jacobian is symmetric, and serves both directions."""
    return _balanced(y * (g - np.sum(g * y, axis, keepdims=True)), y, axis)


def _log_softmax(g: Array, y: Array, axis: Axis) -> Array:
    """g - softmax(x) sum g."""
    shares = np.exp(y)
    return _balanced(g - shares * np.sum(g, axis, keepdims=True), shares, axis)


def _log_softmax_tangent(t: Array, y: Array, axis: Axis) -> Array:
    """t - sum softmax(x) t, where t is counted from that of a large share."""
    shares = np.exp(y)
    t = t - np.sum(np.where(_large(shares), t, 0), axis, keepdims=True)
    return t - np.sum(shares * t, axis, keepdims=True)


derivative(sp.softmax, x=_softmax).tangent(x=lambda t, y, axis: _softmax(t, y, axis))
derivative(sp.log_softmax, x=_log_softmax).tangent(x=_log_softmax_tangent)


# ----------------------------------------------------------------------------- elementary functions

derivative(sp.cbrt, x=lambda g, y: g / (3 * y * y))
derivative(sp.exp2, x=lambda g, y: g * y * log(2))
derivative(sp.exp10, x=lambda g, y: g * y * log(10))
derivative(sp.expm1, x=lambda g, x: g * np.exp(x))
derivative(sp.log1p, x=lambda g, x: g / (1 + x))
derivative(sp.cosm1, x=lambda g, x: -g * np.sin(x))
derivative(sp.sindg, x=lambda g, x: g * (pi / 180) * sp.cosdg(x))
derivative(sp.cosdg, x=lambda g, x: -g * (pi / 180) * sp.sindg(x))
derivative(sp.tandg, x=lambda g, y: g * (pi / 180) * (1 + y * y))
derivative(sp.cotdg, x=lambda g, x: -g * (pi / 180) / sp.sindg(x) ** 2)
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
    direct = ((1 - 1 / far) * np.exp(far) + 1 / far) / far
    return np.where(small, series, direct)


derivative(sp.exprel, x=lambda g, x: g * _exprel_slope(x))


@definition(sp.factorial)
def factorial(n: Array, exact: bool = False, extend: str = "zero") -> Array:
    """gamma(n + 1); 0 for negative n, unless it is to be extended."""
    if exact:
        return sp.factorial(unwrap(n), exact=True, extend=extend)
    value = sp.gamma(n + 1)
    return np.where(np.less(n, 0), 0, value) if extend == "zero" else value


@definition(sp.comb)
def comb(
    N: Array,
    k: Array,
    exact: bool = False,
    repetition: bool = False,
) -> Array:
    """The binomial coefficient, where 0 <= k <= N, and 0 elsewhere."""
    if exact:
        return sp.comb(unwrap(N), unwrap(k), exact=True, repetition=repetition)
    if repetition:
        nothing = np.equal(k, 0) & np.greater_equal(N, 0)
        return np.where(nothing, 1, sp.binom(N + k - 1, k))
    return np.where(_is_choice(N, k), sp.binom(N, k), 0)


@definition(sp.perm)
def perm(N: Array, k: Array, exact: bool = False) -> Array:
    """N (N - 1) ... (N - k + 1), where 0 <= k <= N, and 0 elsewhere."""
    if exact:
        return sp.perm(unwrap(N), unwrap(k), exact=True)  # a whole number of whole numbers
    return np.where(_is_choice(N, k), sp.poch(N - k + 1, k), 0)


def _is_choice(N: Array, k: Array) -> np.ndarray:
    """Whether 0 <= k <= N."""
    return np.less_equal(0, k) & np.less_equal(k, N)


@definition(sp.diric)
def diric(x: Array, n: Array) -> Array:
    """sin(n x / 2) / (n sin(x / 2)) as the mean of n cosines, which has no 0 / 0. n is whole."""
    refuse_complex(sp.diric, x=x)
    n = unwrap(n)
    is_whole = np.isfinite(n) & np.greater(n, 0) & np.equal(n, np.trunc(n))
    n = np.expand_dims(np.where(is_whole, n, 1), -1)  # (..., 1)
    number = np.arange(np.max(n, initial=1))
    cosines = np.cos(np.expand_dims(x, -1) * (number - (n - 1) / 2))  # (..., largest n)
    return np.sum(np.where(number < n, cosines / n, 0), axis=-1)


# ---------------------------------------------------------------- integrals of elementary functions


def _expn_slope(n: Array, x: Array, y: Array) -> Array:
    """E_(n-1), which for n = 0 is (e^-x + E_0) / x. SciPy takes the whole part of n."""
    n = np.trunc(n)
    lower = sp.expn(np.maximum(n - 1, 0), x)
    lowest = (np.exp(-x) + y) / safe(x)
    return np.where(np.equal(n, 0), lowest, lower)


def _sinhc(x: Array) -> Array:
    """sinh(x) / x, and 1 at 0; in halves, which overflow no sooner than it does."""
    half = x / 2
    return np.where(np.equal(x, 0), 1, np.sinh(half) / safe(half)) * np.cosh(half)


def _coshc(x: Array) -> Array:
    """cosh(x) / x, in halves."""
    half = np.cosh(x / 2)
    return (2 - 1 / half / half) * half * (half / x)


def _sinc(x: Array) -> Array:
    """sin(x) / x, and 1 at 0."""
    return np.where(np.equal(x, 0), 1, np.sin(x) / safe(x))


def _fresnel(g: list[Array], z: Array) -> Array:
    """The integrands are sin(pi z^2 / 2) and cos(pi z^2 / 2).

    With the whole number n next to z and z = n + r, z^2 is r (z + n), and 1 more if n is odd, up
    to a multiple of 4, which is a whole turn.
    """
    n = np.rint(np.real(z))
    r = z - n
    angle = pi / 2 * (np.mod(n, 2) + r * z + r * n)
    return g[0] * np.sin(angle) + g[1] * np.cos(angle)


derivative(sp.exp1, signature="z", z=lambda g, z: -g * np.exp(-z) / z)
derivative(sp.expi, x=lambda g, x: g * (np.exp(x / 2) / x * np.exp(x / 2)))
derivative(sp.expn, signature="n, x", n=None, x=lambda g, n, x, y: -g * _expn_slope(n, x, y))
derivative(sp.sici, x=lambda g, x: g[0] * _sinc(x) + at_pole(g[1], np.cos(x) / x))
derivative(sp.shichi, x=lambda g, x: at_pole(g[0], _sinhc(x)) + at_pole(g[1], _coshc(x)))
derivative(sp.fresnel, signature="z", z=_fresnel)
derivative(sp.wrightomega, signature="z", z=lambda g, y: g * y / (1 + y))
derivative(
    sp.lambertw,
    z=lambda g, z, y: g * np.where(np.equal(z, 0), np.exp(-y), y / safe(z)) / (1 + y),
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
