"""The calculus table of scipy.special's distribution functions, in their last argument.

A derivative is a density, and that of an inverse is one over the density. The shape of a
distribution has no closed derivative.
"""

from __future__ import annotations

from math import log, pi, sqrt
from typing import Any

import numpy as np
from scipy import special as sp

from ...typing import Array, Scalar
from ..table import definition, derivative, refuse_complex
from .special import beta_density, gamma_density, wofz_curvature, wofz_slope

# -------------------------------------------------------------------- densities of the central ones


def _binomial(k: Array, n: Array, p: Array) -> Array:
    """Of at most k of n: 1 - I_p(k + 1, n - k); 0 if that is sure."""
    k, n = np.floor(k), np.trunc(n)
    sure = np.equal(k, n) | np.less(k, 0)
    density = beta_density(np.where(sure, 0, k) + 1, np.where(sure, 1, n - k), p)
    return np.where(sure, 0, density)


def _negative_binomial(k: Array, n: Array, p: Array) -> Array:
    """Of at most k failures before n successes: I_p(n, k + 1)."""
    return beta_density(n, np.floor(k) + 1, p)


def _poisson(k: Array, m: Array) -> Array:
    """Of at most k: 1 - P(k + 1, m)."""
    return gamma_density(np.floor(k) + 1, m)


def _chi_square(v: Array, x: Array) -> Array:
    return gamma_density(v / 2, x / 2) / 2


def _f(dfn: Array, dfd: Array, x: Array) -> Array:
    """The density of the beta distribution at u = dfn x / (dfn x + dfd), times du/dx."""
    total = dfn * x + dfd
    density = beta_density(dfn / 2, dfd / 2, dfn * x / total, dfd / total)
    return density * (dfn / total) * (dfd / total)


def _student(df: Array, t: Array) -> Array:
    exponent = -(df + 1) / 2 * np.log1p(t * t / df)
    return np.exp(exponent - sp.betaln(df / 2, 0.5)) / np.sqrt(df)


derivative(sp.bdtr, signature="k, n, p", p=lambda g, k, n, p: -g * _binomial(k, n, p))
derivative(sp.bdtrc, signature="k, n, p", p=lambda g, k, n, p: g * _binomial(k, n, p))
derivative(
    sp.bdtri,
    signature="k, n, y",
    y=lambda g, k, n, y: -g / _binomial(k, n, sp.bdtri(k, n, y)),
)
derivative(sp.nbdtr, signature="k, n, p", p=lambda g, k, n, p: g * _negative_binomial(k, n, p))
derivative(sp.nbdtrc, signature="k, n, p", p=lambda g, k, n, p: -g * _negative_binomial(k, n, p))
derivative(
    sp.nbdtri,
    signature="k, n, y",
    y=lambda g, k, n, y: g / _negative_binomial(k, n, sp.nbdtri(k, n, y)),
)
derivative(sp.pdtr, signature="k, m", m=lambda g, k, m: -g * _poisson(k, m))
derivative(sp.pdtrc, signature="k, m", m=lambda g, k, m: g * _poisson(k, m))
derivative(sp.pdtri, signature="k, y", y=lambda g, k, y: -g / _poisson(k, sp.pdtri(k, y)))
derivative(sp.chdtr, signature="v, x", x=lambda g, v, x: g * _chi_square(v, x))
derivative(sp.chdtrc, signature="v, x", x=lambda g, v, x: -g * _chi_square(v, x))
derivative(sp.chdtri, signature="v, p", p=lambda g, v, y: -g / _chi_square(v, y))
derivative(sp.fdtr, signature="dfn, dfd, x", x=lambda g, dfn, dfd, x: g * _f(dfn, dfd, x))
derivative(sp.fdtrc, signature="dfn, dfd, x", x=lambda g, dfn, dfd, x: -g * _f(dfn, dfd, x))
derivative(sp.fdtri, signature="dfn, dfd, p", p=lambda g, dfn, dfd, y: g / _f(dfn, dfd, y))
derivative(sp.stdtr, signature="df, t", t=lambda g, df, t: g * _student(df, t))
derivative(sp.stdtrit, signature="df, p", p=lambda g, df, y: g / _student(df, y))

# The gamma distribution of rate a and shape b: P(b, a x). gdtria is the rate and gdtrix the x of
# given probability.
derivative(
    sp.gdtr,
    signature="a, b, x",
    a=lambda g, a, b, x: g * x * gamma_density(b, a * x),
    x=lambda g, a, b, x: g * a * gamma_density(b, a * x),
)
derivative(
    sp.gdtrc,
    signature="a, b, x",
    a=lambda g, a, b, x: -g * x * gamma_density(b, a * x),
    x=lambda g, a, b, x: -g * a * gamma_density(b, a * x),
)
derivative(
    sp.gdtria,
    signature="p, b, x",
    p=lambda g, b, x, y: g / (x * gamma_density(b, x * y)),
    x=lambda g, x, y: -g * y / x,
)
derivative(
    sp.gdtrix,
    signature="a, b, p",
    a=lambda g, a, y: -g * y / a,
    p=lambda g, a, b, y: g / (a * gamma_density(b, a * y)),
)

if hasattr(sp, "btdtr"):  # up to SciPy 1.13

    @definition(sp.btdtr, signature="a, b, x")
    def btdtr(a: Array, b: Array, x: Array) -> Array:
        """betainc under an older name."""
        return sp.betainc(a, b, x)

    @definition(sp.btdtri, signature="a, b, p")
    def btdtri(a: Array, b: Array, p: Array) -> Array:
        """betaincinv under an older name."""
        return sp.betaincinv(a, b, p)


@definition(sp.nrdtrimn, signature="p, std, x")
def nrdtrimn(p: Array, std: Array, x: Array) -> Array:
    """The mean of the normal distribution for which P(X <= x) = p."""
    refuse_complex(sp.nrdtrimn, p=p, std=std, x=x)
    return x - np.multiply(std, sp.ndtri(p))


@definition(sp.nrdtrisd, signature="mn, p, x")
def nrdtrisd(mn: Array, p: Array, x: Array) -> Array:
    """The standard deviation of the normal distribution for which P(X <= x) = p."""
    refuse_complex(sp.nrdtrisd, mn=mn, p=p, x=x)
    return np.subtract(x, mn) / sp.ndtri(p)


# ------------------------------------------------------------------------ non-central distributions

# They are Poisson mixtures of central ones; their series are hypergeometric functions (Johnson,
# Kotz and Balakrishnan 1995, chapters 29 to 31).


def _noncentral_chi_square(x: Array, df: Array, nc: Array) -> Array:
    """The density: for large nc x by a scaled Bessel function, else by 0F1, also at nc = 0."""
    large = np.greater(nc * x, 1)
    far_x, far_nc = np.where(large, x, 1), np.where(large, nc, 1)
    root_x, root_nc = np.sqrt(far_x), np.sqrt(far_nc)
    scaled = np.exp(-0.5 * (root_x - root_nc) ** 2)
    power = np.power(far_x / far_nc, df / 4 - 0.5)
    bessel = power * scaled * sp.ive(df / 2 - 1, root_nc * root_x) / 2
    near = np.where(large, 0, nc * x)
    mixed = sp.hyp0f1(df / 2, near / 4)
    series = _chi_square(df, x) * np.exp(-nc / 2) * mixed
    return np.where(large, bessel, series)


def _noncentral_f(
    dfn: Array,
    dfd: Array,
    nc: Array,
    f: Array,
) -> Array:
    """The density."""
    u = dfn * f / (dfn * f + dfd)
    mixed = sp.hyp1f1((dfn + dfd) / 2, dfn / 2, nc / 2 * u)
    return _f(dfn, dfd, f) * np.exp(-nc / 2) * mixed


def _noncentral_f_in_nc(
    dfn: Array,
    dfd: Array,
    nc: Array,
    f: Array,
) -> Array:
    """The derivative of the distribution function in nc."""
    u = dfn * f / (dfn * f + dfd)
    a, b = dfn / 2, dfd / 2
    powers = sp.xlogy(a, u) + sp.xlog1py(b, -u)
    exponent = powers - sp.betaln(a, b) - nc / 2
    mixed = sp.hyp1f1(a + b, a + 1, nc / 2 * u)
    return -np.exp(exponent) / dfn * mixed


def _noncentral_student(df: Array, nc: Array, t: Array) -> Array:
    """The density, by an even and an odd part in t."""
    w = t * t + df
    z = nc * nc * t * t / (2 * w)
    a, b = (df + 1) / 2, df / 2 + 1
    even = sp.hyp1f1(a, 0.5, z) / (np.sqrt(w) * sp.gamma(b))
    odd = sp.hyp1f1(b, 1.5, z) / (w * sp.gamma(a))
    gammas = sp.gammaln(df + 1) - sp.gammaln(df / 2)
    scale = df / 2 * np.log(df / w) + gammas - df * log(2)
    return np.exp(scale - nc * nc / 2) * (even + sqrt(2) * nc * t * odd)


derivative(
    sp.chndtr,
    signature="x, df, nc",
    x=lambda g, x, df, nc: g * _noncentral_chi_square(x, df, nc),
    nc=lambda g, x, df, nc: -g * _noncentral_chi_square(x, df + 2, nc),
)
derivative(
    sp.chndtrix,
    signature="p, df, nc",
    p=lambda g, df, nc, y: g / _noncentral_chi_square(y, df, nc),
)


def _chndtrinc_in_p(x: Array, df: Array, nc: Array) -> Array:
    """How far nc moves with the probability; not at all if it would have to be negative."""
    slope = -1 / _noncentral_chi_square(x, df + 2, nc)
    return np.where(np.less(nc, np.finfo(float).tiny), 0, slope)


def _chndtrinc_in_x(x: Array, df: Array, nc: Array) -> Array:
    """How far nc moves with x at a constant probability."""
    return -_chndtrinc_in_p(x, df, nc) * _noncentral_chi_square(x, df, nc)


derivative(
    sp.chndtrinc,
    signature="x, df, p",
    x=lambda g, x, df, y: g * _chndtrinc_in_x(x, df, y),
    p=lambda g, x, df, y: g * _chndtrinc_in_p(x, df, y),
)
derivative(
    sp.ncfdtr,
    signature="dfn, dfd, nc, f",
    nc=lambda g, dfn, dfd, nc, f: g * _noncentral_f_in_nc(dfn, dfd, nc, f),
    f=lambda g, dfn, dfd, nc, f: g * _noncentral_f(dfn, dfd, nc, f),
)
derivative(
    sp.ncfdtri,
    signature="dfn, dfd, nc, p",
    p=lambda g, dfn, dfd, nc, y: g / _noncentral_f(dfn, dfd, nc, y),
)
derivative(
    sp.nctdtr,
    signature="df, nc, t",
    t=lambda g, df, nc, t: g * _noncentral_student(df, nc, t),
)
derivative(
    sp.nctdtrit,
    signature="df, nc, p",
    p=lambda g, df, nc, y: g / _noncentral_student(df, nc, y),
)

# ------------------------------------------------ Tukey's lambda distribution, given by its inverse

# x = (p^s - q^s) / s with q = 1 - p, at s = 0 log(p / q).


def _tukey_in_p(s: Array, p: Array) -> Array:
    """dx/dp, infinite outside the support."""
    inside = np.logical_and(np.greater(p, 0), np.less(p, 1))
    p = np.where(inside, p, 0.5)
    powers = np.power(p, s - 1) + np.power(1 - p, s - 1)
    return np.where(inside, powers, np.inf)


def _tukey_in_s(x: Array, s: Array, p: Array) -> Array:
    """dx/ds."""
    inside = np.logical_and(np.greater(p, 0), np.less(p, 1))
    p = np.where(inside, p, 0.5)
    q = 1 - p
    log_p, log_q = np.log(p), np.log1p(-p)
    powers = np.power(p, s) * log_p - np.power(q, s) * log_q
    limit = (log_p**2 - log_q**2) / 2
    zero = np.equal(s, 0)
    return np.where(zero, limit, (powers - x) / np.where(zero, 1, s))


derivative(
    sp.tklmbda,
    signature="x, lmbda",
    x=lambda g, lmbda, y: g / _tukey_in_p(lmbda, y),
    lmbda=lambda g, x, lmbda, y: -g * _tukey_in_s(x, lmbda, y) / _tukey_in_p(lmbda, y),
)

# ----------------------------------------------- Kolmogorov's and Smirnov's distributions, P(D > x)


def _kolmogorov(x: Array) -> Array:
    """The density of the limit: the series in exp(-2 k^2 x^2).

    For small x that of the theta function's other form.
    """
    small = np.less(x, 0.8)
    near = np.where(small, np.maximum(x, 0.01), 1.0)
    far = np.where(small, 1.0, x)
    direct: Any = 0.0
    other: Any = 0.0
    for k in range(1, 8):
        sign = (-1.0) ** (k - 1)
        square = far * far
        direct = direct + sign * 8 * k * k * far * np.exp(-2.0 * k * k * square)
        c = (2 * k - 1) ** 2 * pi**2 / 8
        square = near * near
        other = other + np.exp(-c / square) * (2 * c / square - 1) / square
    in_range = np.where(np.greater(x, 0.01), sqrt(2 * pi) * other, 0)
    return np.where(small, in_range, direct)


def _smirnov(n: Array | Scalar, x: Array) -> Array:
    """The density for a sample of n: minus the slope of
    x sum_j C(n, j) (1 - x - j/n)^(n - j) (x + j/n)^(j - 1)."""
    j = np.arange(int(np.max(n)) + 1)
    n, x = (
        np.expand_dims(n, -1),
        np.expand_dims(x, -1),
    )  # (...) -> (..., 1), summed over the last axis
    left, right = 1 - x - j / n, x + j / n
    present = np.logical_and(np.greater(left, 0), np.greater(right, 0))
    left, right = np.where(present, left, 1), np.where(present, right, 1)
    rest = np.maximum(n - j, 0)
    count = sp.gammaln(n + 1.0) - sp.gammaln(j + 1.0) - sp.gammaln(rest + 1.0)
    powers = (n - j) * np.log(left) + (j - 1) * np.log(right)
    slope = 1 - x * (n - j) / left + x * (j - 1) / right
    terms = np.exp(count + powers) * slope
    return -np.sum(np.where(present, terms, 0), axis=-1)


derivative(sp.kolmogorov, signature="y", y=lambda g, y: -g * _kolmogorov(y))
derivative(sp.kolmogi, signature="p", p=lambda g, y: -g / _kolmogorov(y))
derivative(sp.smirnov, signature="n, d", d=lambda g, n, d: -g * _smirnov(n, d))
derivative(sp.smirnovi, signature="n, p", p=lambda g, n, y: -g / _smirnov(n, y))

# ------------------------------------------------------------------------ Voigt's profile, Owen's T


# The profile is Re w(z) / (sigma sqrt(2 pi)), z = (x + i gamma) / (sigma sqrt 2) (DLMF 7.19). As a
# Lorentz profile that diffuses, it changes with sigma^2 / 2 as its second derivative in x says.
def _voigt_plane(x: Array, sigma: Array, gamma: Array) -> tuple[Array, Array]:
    """w' and w'' at z, in float64: they are differences."""
    z = ((x + 1j * gamma) / (sqrt(2) * sigma)).astype(complex)
    w = sp.wofz(z)
    slope = wofz_slope(z, w)
    return slope, wofz_curvature(z, w, slope)


def _voigt(x: Array, sigma: Array, gamma: Array) -> tuple[Array, Array]:
    """The derivatives in x and gamma."""
    slope, _ = _voigt_plane(x, sigma, gamma)
    scale = 2 * sqrt(pi) * sigma * sigma
    return np.real(slope) / scale, -np.imag(slope) / scale


def _voigt_in_sigma(x: Array, sigma: Array, gamma: Array) -> Array:
    """The derivative in sigma."""
    _, curvature = _voigt_plane(x, sigma, gamma)
    return np.real(curvature) / (2 * sqrt(2 * pi) * sigma * sigma)


derivative(
    sp.voigt_profile,
    signature="x, sigma, gamma",
    x=lambda g, x, sigma, gamma: g * _voigt(x, sigma, gamma)[0],
    sigma=lambda g, x, sigma, gamma: g * _voigt_in_sigma(x, sigma, gamma),
    gamma=lambda g, x, sigma, gamma: g * _voigt(x, sigma, gamma)[1],
)


def _owens_t_in_h(h: Array, a: Array) -> Array:
    """-exp(-h^2 / 2) erf(a h / sqrt 2) / (2 sqrt(2 pi))."""
    bell = np.exp(-h * h / 2) / sqrt(2 * pi)
    return -bell * sp.erf(h * a / sqrt(2)) / 2


def _owens_t_in_a(h: Array, a: Array) -> Array:
    """exp(-h^2 (1 + a^2) / 2) / (2 pi (1 + a^2)): the integrand (Owen 1956)."""
    square = 1 + a * a
    return np.exp(-h * h * square / 2) / (2 * pi * square)


derivative(
    sp.owens_t,
    signature="h, a",
    h=lambda g, h, a: g * _owens_t_in_h(h, a),
    a=lambda g, h, a: g * _owens_t_in_a(h, a),
)
