"""The calculus table of scipy.special's distribution functions, in their last argument: a derivative is a density, and
that of an inverse is one over the density. The shape of a distribution has no closed derivative."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np
from scipy import special as sp

from ..tensor import derivative
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
derivative(sp.bdtr, x3=lambda g, x1, x2, x3: -g * beta_density(np.floor(x1) + 1, x2 - np.floor(x1), x3))
derivative(sp.bdtrc, x3=lambda g, x1, x2, x3: g * beta_density(np.floor(x1) + 1, x2 - np.floor(x1), x3))
derivative(sp.bdtri, x3=lambda g, x1, x2, y: -g / beta_density(np.floor(x1) + 1, x2 - np.floor(x1), y))
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

# Owen's T (Owen 1956): the integral of exp(-h^2 (1 + x^2) / 2) / (1 + x^2) / (2 pi) from 0 to a.
derivative(
    sp.owens_t,
    x1=lambda g, x1, x2: -g * np.exp(-x1 * x1 / 2) * sp.erf(x1 * x2 / sqrt(2)) / (2 * sqrt(2 * pi)),
    x2=lambda g, x1, x2: g * np.exp(-x1 * x1 * (1 + x2 * x2) / 2) / (2 * pi * (1 + x2 * x2)),
)
