"""The calculus table of scipy.special's distribution functions, in their last argument: a derivative is a density, and
that of an inverse is one over the density. The shape of a distribution has no closed derivative."""

from __future__ import annotations

from math import log, pi, sqrt
from typing import Any

import numpy as np
from scipy import special as sp

from ..table import definition, derivative
from .special import beta_density, gamma_density


def _chi_square(df: Any, x: Any) -> Any:
    return gamma_density(df / 2, x / 2) / 2


def _f(dfn: Any, dfd: Any, x: Any) -> Any:
    """The density of F: that of the beta distribution at u = dfn x / (dfn x + dfd), times du/dx."""
    total = dfn * x + dfd
    return beta_density(dfn / 2, dfd / 2, dfn * x / total) * dfn * dfd / (total * total)


def _student(df: Any, t: Any) -> Any:
    return np.exp(-(df + 1) / 2 * np.log1p(t * t / df) - sp.betaln(df / 2, 0.5)) / np.sqrt(df)


# Binomial, at most k of n: 1 - I_p(k + 1, n - k); negative binomial: I_p(n, k + 1); Poisson: 1 - P(k + 1, m).
derivative(
    sp.bdtr, x3=lambda g, x1, x2, x3: -g * beta_density(np.floor(x1) + 1, x2 - np.floor(x1), x3)
)
derivative(
    sp.bdtrc, x3=lambda g, x1, x2, x3: g * beta_density(np.floor(x1) + 1, x2 - np.floor(x1), x3)
)
derivative(
    sp.bdtri, x3=lambda g, x1, x2, y: -g / beta_density(np.floor(x1) + 1, x2 - np.floor(x1), y)
)
derivative(sp.nbdtr, x3=lambda g, x1, x2, x3: g * beta_density(x2, np.floor(x1) + 1, x3))
derivative(sp.nbdtrc, x3=lambda g, x1, x2, x3: -g * beta_density(x2, np.floor(x1) + 1, x3))
derivative(sp.nbdtri, x3=lambda g, x1, x2, y: g / beta_density(x2, np.floor(x1) + 1, y))
derivative(sp.pdtr, x2=lambda g, x1, x2: -g * gamma_density(np.floor(x1) + 1, x2))
derivative(sp.pdtrc, x2=lambda g, x1, x2: g * gamma_density(np.floor(x1) + 1, x2))
derivative(sp.pdtri, x2=lambda g, x1, y: -g / gamma_density(np.floor(x1) + 1, y))

# Chi-square, F, gamma (rate a, shape b), Student's t.
derivative(sp.chdtr, x2=lambda g, x1, x2: g * _chi_square(x1, x2))
derivative(sp.chdtrc, x2=lambda g, x1, x2: -g * _chi_square(x1, x2))
derivative(sp.chdtri, x2=lambda g, x1, y: -g / _chi_square(x1, y))
derivative(sp.fdtr, x3=lambda g, x1, x2, x3: g * _f(x1, x2, x3))
derivative(sp.fdtrc, x3=lambda g, x1, x2, x3: -g * _f(x1, x2, x3))
derivative(sp.fdtri, x3=lambda g, x1, x2, y: g / _f(x1, x2, y))
derivative(
    sp.gdtr,
    x1=lambda g, x1, x2, x3: g * x3 * gamma_density(x2, x1 * x3),
    x3=lambda g, x1, x2, x3: g * x1 * gamma_density(x2, x1 * x3),
)
derivative(
    sp.gdtrc,
    x1=lambda g, x1, x2, x3: -g * x3 * gamma_density(x2, x1 * x3),
    x3=lambda g, x1, x2, x3: -g * x1 * gamma_density(x2, x1 * x3),
)
derivative(sp.stdtr, x2=lambda g, x1, x2: g * _student(x1, x2))
derivative(sp.stdtrit, x2=lambda g, x1, y: g / _student(x1, y))

# gdtria is the rate, gdtrix the x of given probability: of their product u, P(b, u) = p.
derivative(
    sp.gdtria,
    x1=lambda g, x2, x3, y: g / (x3 * gamma_density(x2, x3 * y)),
    x3=lambda g, x3, y: -g * y / x3,
)
derivative(
    sp.gdtrix,
    x1=lambda g, x1, y: -g * y / x1,
    x3=lambda g, x1, x2, y: g / (x1 * gamma_density(x2, x1 * y)),
)
if hasattr(sp, "btdtr"):
    definition(sp.btdtr)(lambda a, b, x: sp.betainc(a, b, x))
    definition(sp.btdtri)(lambda a, b, p: sp.betaincinv(a, b, p))

# Mean and standard deviation of the normal distribution for which P(X <= x) = p.
definition(sp.nrdtrimn)(lambda p, std, x: x - std * sp.ndtri(p))
definition(sp.nrdtrisd)(lambda mn, p, x: (x - mn) / sp.ndtri(p))


# Non-central distributions are Poisson mixtures of central ones; their series are hypergeometric functions
# (Johnson, Kotz and Balakrishnan 1995, chapters 29 to 31).
def _noncentral_chi_square(x: Any, df: Any, nc: Any) -> Any:
    """The density: for large nc x by a scaled Bessel function, for small by 0F1, which holds at nc = 0."""
    large = np.greater(nc * x, 1)
    x_far, nc_far, near = np.where(large, x, 1), np.where(large, nc, 1), np.where(large, 0, nc * x)
    bessel = (
        np.exp(-0.5 * (np.sqrt(x_far) - np.sqrt(nc_far)) ** 2)
        * sp.ive(df / 2 - 1, np.sqrt(nc_far * x_far))
        / 2
    )
    series = _chi_square(df, x) * np.exp(-nc / 2) * sp.hyp0f1(df / 2, near / 4)
    return np.where(large, np.power(x_far / nc_far, df / 4 - 0.5) * bessel, series)


def _noncentral_f(dfn: Any, dfd: Any, nc: Any, x: Any) -> Any:
    u = dfn * x / (dfn * x + dfd)
    return _f(dfn, dfd, x) * np.exp(-nc / 2) * sp.hyp1f1((dfn + dfd) / 2, dfn / 2, nc / 2 * u)


def _noncentral_f_in_nc(dfn: Any, dfd: Any, nc: Any, x: Any) -> Any:
    """The derivative of the distribution function in nc."""
    u, a, b = dfn * x / (dfn * x + dfd), dfn / 2, dfd / 2
    power = np.exp(sp.xlogy(a, u) + sp.xlog1py(b, -u) - sp.betaln(a, b) - nc / 2)
    return -power / dfn * sp.hyp1f1(a + b, a + 1, nc / 2 * u)


def _noncentral_student(df: Any, nc: Any, t: Any) -> Any:
    """The density, by an even and an odd part in t."""
    w = t * t + df
    z = nc * nc * t * t / (2 * w)
    even = sp.hyp1f1((df + 1) / 2, 0.5, z) / (np.sqrt(w) * sp.gamma(df / 2 + 1))
    odd = sqrt(2) * nc * t * sp.hyp1f1(df / 2 + 1, 1.5, z) / (w * sp.gamma((df + 1) / 2))
    scale = df / 2 * np.log(df / w) + sp.gammaln(df + 1) - sp.gammaln(df / 2) - df * log(2)
    return np.exp(scale - nc * nc / 2) * (even + odd)


derivative(
    sp.chndtr,
    x1=lambda g, x1, x2, x3: g * _noncentral_chi_square(x1, x2, x3),
    x3=lambda g, x1, x2, x3: -g * _noncentral_chi_square(x1, x2 + 2, x3),
)
derivative(sp.chndtrix, x1=lambda g, x2, x3, y: g / _noncentral_chi_square(y, x2, x3))
derivative(
    sp.chndtrinc,
    x1=lambda g, x1, x2, y: (
        g * _noncentral_chi_square(x1, x2, y) / _noncentral_chi_square(x1, x2 + 2, y)
    ),
    x3=lambda g, x1, x2, y: -g / _noncentral_chi_square(x1, x2 + 2, y),
)
derivative(
    sp.ncfdtr,
    x3=lambda g, x1, x2, x3, x4: g * _noncentral_f_in_nc(x1, x2, x3, x4),
    x4=lambda g, x1, x2, x3, x4: g * _noncentral_f(x1, x2, x3, x4),
)
derivative(sp.ncfdtri, x4=lambda g, x1, x2, x3, y: g / _noncentral_f(x1, x2, x3, y))
derivative(sp.nctdtr, x3=lambda g, x1, x2, x3: g * _noncentral_student(x1, x2, x3))
derivative(sp.nctdtrit, x3=lambda g, x1, x2, y: g / _noncentral_student(x1, x2, y))


# Tukey's lambda distribution is given by its inverse, x = (p^s - q^s) / s with q = 1 - p, at s = 0 log(p / q).
def _tukey(x: Any, s: Any, p: Any) -> tuple[Any, Any]:
    """dx/dp, infinite outside the support, and dx/ds."""
    inside = np.logical_and(np.greater(p, 0), np.less(p, 1))
    p = np.where(inside, p, 0.5)
    upper, lower = np.power(p, s - 1), np.power(1 - p, s - 1)
    divisor = np.where(np.equal(s, 0), 1, s)
    shape = (p * upper * np.log(p) - (1 - p) * lower * np.log1p(-p) - x) / divisor
    limit = (np.log(p) ** 2 - np.log1p(-p) ** 2) / 2
    return np.where(inside, upper + lower, np.inf), np.where(np.equal(s, 0), limit, shape)


derivative(
    sp.tklmbda,
    x1=lambda g, x1, x2, y: g / _tukey(x1, x2, y)[0],
    x2=lambda g, x1, x2, y: -g * _tukey(x1, x2, y)[1] / _tukey(x1, x2, y)[0],
)


# Kolmogorov's and Smirnov's distributions, P(D > x).
def _kolmogorov(x: Any) -> Any:
    """The density of the limit: the series in exp(-2 k^2 x^2), for small x that of the theta function's other form."""
    small = np.less(x, 0.8)
    near, far = np.where(small, np.maximum(x, 0.01), 1.0), np.where(small, 1.0, x)
    direct, other = 0.0, 0.0
    for k in range(1, 8):
        direct = direct + (-1.0) ** (k - 1) * 8 * k * k * far * np.exp(-2.0 * k * k * far * far)
        c = (2 * k - 1) ** 2 * pi**2 / 8
        other = other + sqrt(2 * pi) * np.exp(-c / (near * near)) * (2 * c / near**4 - 1 / near**2)
    return np.where(small, np.where(np.greater(x, 0.01), other, 0), direct)


def _smirnov(n: Any, x: Any) -> Any:
    """The density for a sample of n: minus the slope of x sum_j C(n, j) (1 - x - j/n)^(n - j) (x + j/n)^(j - 1)."""
    j = np.arange(int(np.max(n)) + 1)
    n, x = (
        np.expand_dims(n, -1),
        np.expand_dims(x, -1),
    )  # (...) -> (..., 1), the sum is over the last axis
    left, right = 1 - x - j / n, x + j / n
    present = np.logical_and(np.greater(left, 0), np.greater(right, 0))
    left, right = np.where(present, left, 1), np.where(present, right, 1)
    count = sp.gammaln(n + 1.0) - sp.gammaln(j + 1.0) - sp.gammaln(np.maximum(n - j, 0) + 1.0)
    term = np.exp(count + (n - j) * np.log(left) + (j - 1) * np.log(right))
    return -np.sum(
        np.where(present, term * (1 - x * (n - j) / left + x * (j - 1) / right), 0), axis=-1
    )


derivative(sp.kolmogorov, x=lambda g, x: -g * _kolmogorov(x))
derivative(sp.kolmogi, x=lambda g, y: -g / _kolmogorov(y))
derivative(sp.smirnov, x2=lambda g, x1, x2: -g * _smirnov(x1, x2))
derivative(sp.smirnovi, x2=lambda g, x1, y: -g / _smirnov(x1, y))


# The Voigt profile is Re w(z) / (sigma sqrt(2 pi)), z = (x + i gamma) / (sigma sqrt 2); w' = 2 i / sqrt(pi) - 2 z w
# (DLMF 7.19, 7.10).
def _faddeeva(a: Any, b: Any) -> tuple[Any, Any]:
    """The real and the imaginary part of w(a + i b)."""
    w = sp.wofz(a + 1j * b)
    return w.real, w.imag


def _faddeeva_slope(a: Any, b: Any, w: Any) -> tuple[Any, Any]:
    return -2 * (a * w[0] - b * w[1]), 2 / sqrt(pi) - 2 * (a * w[1] + b * w[0])


def _analytic(g: Any, slope: tuple[Any, Any]) -> tuple[Any, Any]:
    """The gradients in a and b of a function of a + i b (Cauchy and Riemann)."""
    return g[0] * slope[0] + g[1] * slope[1], g[1] * slope[0] - g[0] * slope[1]


_w = derivative(
    _faddeeva,
    a=lambda g, y, a, b: _analytic(g, _faddeeva_slope(a, b, y))[0],
    b=lambda g, y, a, b: _analytic(g, _faddeeva_slope(a, b, y))[1],
)


def _voigt(x: Any, sigma: Any, gamma: Any) -> tuple[Any, Any]:
    """The derivatives in x and gamma."""
    a, b = x / (sqrt(2) * sigma), gamma / (sqrt(2) * sigma)
    real, imaginary = _faddeeva_slope(a, b, _w(a, b))
    return real / (2 * sqrt(pi) * sigma * sigma), -imaginary / (2 * sqrt(pi) * sigma * sigma)


def _voigt_in_sigma(x: Any, sigma: Any, gamma: Any, y: Any) -> Any:
    """The profile is homogeneous of degree -1."""
    in_x, in_gamma = _voigt(x, sigma, gamma)
    return -(y + x * in_x + gamma * in_gamma) / sigma


derivative(
    sp.voigt_profile,
    x1=lambda g, x1, x2, x3: g * _voigt(x1, x2, x3)[0],
    x2=lambda g, x1, x2, x3, y: g * _voigt_in_sigma(x1, x2, x3, y),
    x3=lambda g, x1, x2, x3: g * _voigt(x1, x2, x3)[1],
)

# Owen's T (Owen 1956): the integral of exp(-h^2 (1 + x^2) / 2) / (1 + x^2) / (2 pi) from 0 to a.
derivative(
    sp.owens_t,
    x1=lambda g, x1, x2: -g * np.exp(-x1 * x1 / 2) * sp.erf(x1 * x2 / sqrt(2)) / (2 * sqrt(2 * pi)),
    x2=lambda g, x1, x2: g * np.exp(-x1 * x1 * (1 + x2 * x2) / 2) / (2 * pi * (1 + x2 * x2)),
)
