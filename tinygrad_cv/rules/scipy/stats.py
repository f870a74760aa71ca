"""The calculus table of scipy.stats: probability distributions.

A continuous distribution with a location and a scale is a family of one standardised variable z =
(x - loc) / scale: a row of CONTINUOUS, with its log-density, its distribution function and their
kin as functions of z and of the distribution's shapes. One mechanism enters SciPy's methods: the
supports and the valid shapes are SciPy's own, what lies outside a support is constant, and where a
parameter is not valid, value and gradient are NaN. A discrete distribution is a row of DISCRETE,
differentiated in its parameters.

What a formula is made of is in the calculus table, and so are the derivatives. Those of gammainc in
its shape, say, are missing there: a row names the shapes of which the density alone has a
derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from math import e, log, pi, sqrt
from typing import Any, NamedTuple

import numpy as np
from scipy import special as sp
from scipy import stats

from ...engine.operands import refuse_foreign
from ...tensor import unwrap
from ...typing import Array, Function, Operand
from ..table import DEFINITIONS, INERT, Definition, as_array, definition, enter, refuse_complex
from .linalg import cholesky, solve_triangular

LOG_ROOT_TAU = log(2 * pi) / 2


class Method(Definition):
    """A method of a distribution; its body takes every parameter that the method has."""

    @cached_property
    def parameters(self) -> frozenset[str]:
        """The names of the method's own parameters."""
        return frozenset(self.signature.defaults)


def _enter(
    distribution: Any,
    name: str,
    body: Function,
    signature: str,
    refused: Sequence[str],
) -> None:
    method = getattr(distribution, name)
    DEFINITIONS[method] = Method(method, body, signature, (), False, refused)
    INERT[method] = frozenset()
    enter(method, DEFINITIONS[method])


def _shapes_of(distribution: Any) -> list[str]:
    """The names of a distribution's shapes."""
    return distribution.shapes.split(", ") if distribution.shapes else []


# ------------------------------------------------------------------------- continuous distributions


class Family(NamedTuple):
    """A distribution of location 0 and scale 1: formulas of z, or of a probability q, and of the
    shapes. What is not given follows from the others."""

    log_density: Function
    cdf: Function | None = None
    sf: Function | None = None  # 1 - cdf
    ppf: Function | None = None  # the inverse of cdf
    isf: Function | None = None  # the inverse of sf
    density: Function | None = None
    logcdf: Function | None = None
    logsf: Function | None = None
    open: bool = False  # whether the ends of the support do not belong to it
    in_density: tuple[str, ...] = ()  # the shapes of which the density alone has a derivative

    def formulas(self) -> dict[str, Function]:
        """Those of SciPy's methods of a point, by name."""
        found = {
            "logpdf": self.log_density,
            "pdf": self.density or _composed(np.exp, self.log_density),
            "cdf": self.cdf,
            "sf": self.sf,
            "logcdf": self.logcdf or _composed(np.log, self.cdf),
            "logsf": self.logsf or _composed(np.log, self.sf),
        }
        return {name: formula for name, formula in found.items() if formula is not None}

    def quantiles(self) -> dict[str, Function]:
        """Those of SciPy's methods of a probability, by name."""
        found = {"ppf": self.ppf, "isf": self.isf}
        return {name: formula for name, formula in found.items() if formula is not None}

    def refused(self, name: str) -> tuple[str, ...]:
        """The arguments of which a method has no derivative."""
        return () if name in ("logpdf", "pdf") else self.in_density


def _composed(outer: Function, inner: Function | None) -> Function | None:
    if inner is None:
        return None
    return lambda *args: outer(inner(*args))


OUTSIDE = {  # the values below and above the support
    "logpdf": (-np.inf, -np.inf),
    "pdf": (0.0, 0.0),
    "cdf": (0.0, 1.0),
    "sf": (1.0, 0.0),
    "logcdf": (-np.inf, 0.0),
    "logsf": (0.0, -np.inf),
}


def _student(z: Array, df: Array) -> Array:
    """With infinitely many degrees of freedom it is the normal distribution."""
    finite = np.where(np.isinf(df), 1, df)
    factor = np.log(sp.poch(finite / 2, 0.5)) - (np.log(finite) + log(pi)) / 2
    value = factor - (finite + 1) / 2 * np.log1p(z * z / finite)
    return np.where(np.isinf(df), _normal(z), value)


def _normal(z: Array) -> Array:
    return -z * z / 2 - LOG_ROOT_TAU


def _gamma(z: Array, a: Array) -> Array:
    return sp.xlogy(a - 1, z) - z - sp.gammaln(a)


def _beta(z: Array, a: Array, b: Array) -> Array:
    return sp.xlog1py(b - 1, -z) + sp.xlogy(a - 1, z) - sp.betaln(a, b)


def _chi_square(z: Array, df: Array) -> Array:
    return sp.xlogy(df / 2 - 1, z) - z / 2 - sp.gammaln(df / 2) - log(2) / 2 * df


def _f(z: Array, dfn: Array, dfd: Array) -> Array:
    """Of the ratio of two chi-square variables over their degrees of freedom."""
    powers = dfd / 2 * np.log(dfd) + dfn / 2 * np.log(dfn) + sp.xlogy(dfn / 2 - 1, z)
    return powers - ((dfn + dfd) / 2 * np.log(dfd + dfn * z) + sp.betaln(dfn / 2, dfd / 2))


def _log_normal(z: Array, s: Array) -> Array:
    return -(np.log(z) ** 2) / (2 * s * s) - np.log(s * z * sqrt(2 * pi))


def _cauchy(z: Array) -> Array:
    """log (1 + z^2) without the square of a large number."""
    far = np.abs(z) >= 1
    large = np.where(far, z, 1)
    small = np.where(far, 0, z)
    tail = 2 * np.log(np.abs(large)) + np.log1p(1 / (large * large))
    return -log(pi) - np.where(far, tail, np.log1p(small * small))


def _student_quantile(q: Array, df: Array) -> Array:
    """At 0 by symmetry: SciPy's function is +inf there."""
    return np.where(np.equal(q, 0), -sp.stdtrit(df, 1 - q), sp.stdtrit(df, q))


def _cauchy_quantile(q: Array) -> Array:
    """-cot(pi q), from the nearest of 0, 1/2 and 1."""
    middle = np.tan(pi * (q - 0.5))
    ends = np.where(q < 0.5, -1 / np.tan(pi * q), 1 / np.tan(pi * (1 - q)))
    return np.where(np.abs(q - 0.5) < 0.25, middle, ends)


def _laplace_cdf(z: Array) -> Array:
    return np.where(z > 0, 1 - np.exp(-z) / 2, np.exp(z) / 2)


def _laplace_quantile(q: Array) -> Array:
    return np.where(q > 0.5, -np.log(2 * (1 - q)), np.log(2 * q))


CONTINUOUS = {
    "norm": Family(
        _normal,
        cdf=sp.ndtr,
        sf=lambda z: sp.ndtr(-z),
        ppf=sp.ndtri,
        isf=lambda q: -sp.ndtri(q),
        density=lambda z: np.exp(-z * z / 2) / sqrt(2 * pi),
        logcdf=sp.log_ndtr,
        logsf=lambda z: sp.log_ndtr(-z),
    ),
    "halfnorm": Family(
        lambda z: log(2 / pi) / 2 - z * z / 2,
        cdf=lambda z: sp.erf(z / sqrt(2)),
        sf=lambda z: 2 * sp.ndtr(-z),
        ppf=lambda q: sp.ndtri((1 + q) / 2),
        isf=lambda q: -sp.ndtri(q / 2),
        density=lambda z: sqrt(2 / pi) * np.exp(-z * z / 2),
    ),
    "lognorm": Family(
        _log_normal,
        cdf=lambda z, s: sp.ndtr(np.log(z) / s),
        sf=lambda z, s: sp.ndtr(-np.log(z) / s),
        ppf=lambda q, s: np.exp(s * sp.ndtri(q)),
        isf=lambda q, s: np.exp(-s * sp.ndtri(q)),
        logcdf=lambda z, s: sp.log_ndtr(np.log(z) / s),
        logsf=lambda z, s: sp.log_ndtr(-np.log(z) / s),
        open=True,
    ),
    "expon": Family(
        lambda z: -z,
        cdf=lambda z: -np.expm1(-z),
        sf=lambda z: np.exp(-z),
        ppf=lambda q: -np.log1p(-q),
        isf=lambda q: -np.log(q),
        logsf=lambda z: -z,
    ),
    "gamma": Family(
        _gamma,
        cdf=lambda z, a: sp.gammainc(a, z),
        sf=lambda z, a: sp.gammaincc(a, z),
        ppf=lambda q, a: sp.gammaincinv(a, q),
        isf=lambda q, a: sp.gammainccinv(a, q),
        in_density=("a",),
    ),
    "invgamma": Family(
        lambda z, a: -(a + 1) * np.log(z) - sp.gammaln(a) - 1 / z,
        cdf=lambda z, a: sp.gammaincc(a, 1 / z),
        sf=lambda z, a: sp.gammainc(a, 1 / z),
        ppf=lambda q, a: 1 / sp.gammainccinv(a, q),
        isf=lambda q, a: 1 / sp.gammaincinv(a, q),
        open=True,
        in_density=("a",),
    ),
    "chi2": Family(
        _chi_square,
        cdf=lambda z, df: sp.chdtr(df, z),
        sf=lambda z, df: sp.chdtrc(df, z),
        ppf=lambda q, df: 2 * sp.gammaincinv(df / 2, q),
        isf=lambda q, df: sp.chdtri(df, q),
        in_density=("df",),
    ),
    "beta": Family(
        _beta,
        cdf=lambda z, a, b: sp.betainc(a, b, z),
        sf=lambda z, a, b: sp.betaincc(a, b, z),
        ppf=lambda q, a, b: sp.betaincinv(a, b, q),
        isf=lambda q, a, b: sp.betainccinv(a, b, q),
        in_density=("a", "b"),
    ),
    "f": Family(
        _f,
        cdf=lambda z, dfn, dfd: sp.fdtr(dfn, dfd, z),
        sf=lambda z, dfn, dfd: sp.fdtrc(dfn, dfd, z),
        ppf=lambda q, dfn, dfd: sp.fdtri(dfn, dfd, q),
        in_density=("dfn", "dfd"),
    ),
    "t": Family(
        _student,
        cdf=lambda z, df: sp.stdtr(df, z),
        sf=lambda z, df: sp.stdtr(df, -z),
        ppf=_student_quantile,
        isf=lambda q, df: -_student_quantile(q, df),
        in_density=("df",),
    ),
    "cauchy": Family(
        _cauchy,
        cdf=lambda z: np.arctan2(1, -z) / pi,
        sf=lambda z: np.arctan2(1, z) / pi,
        ppf=_cauchy_quantile,
        isf=lambda q: -_cauchy_quantile(q),
        density=lambda z: 1 / pi / (1 + z * z),
    ),
    "laplace": Family(
        lambda z: -log(2) - np.abs(z),
        cdf=_laplace_cdf,
        sf=lambda z: _laplace_cdf(-z),
        ppf=_laplace_quantile,
        isf=lambda q: -_laplace_quantile(q),
        density=lambda z: np.exp(-np.abs(z)) / 2,
    ),
    "logistic": Family(
        lambda z: sp.log_expit(z) + sp.log_expit(-z),
        cdf=sp.expit,
        sf=lambda z: sp.expit(-z),
        ppf=sp.logit,
        isf=lambda q: -sp.logit(q),
        logcdf=sp.log_expit,
        logsf=lambda z: sp.log_expit(-z),
    ),
    "gumbel_r": Family(
        lambda z: -z - np.exp(-z),
        cdf=lambda z: np.exp(-np.exp(-z)),
        sf=lambda z: -np.expm1(-np.exp(-z)),
        ppf=lambda q: -np.log(-np.log(q)),
        isf=lambda q: -np.log(-np.log1p(-q)),
        logcdf=lambda z: -np.exp(-z),
    ),
    "gumbel_l": Family(
        lambda z: z - np.exp(z),
        cdf=lambda z: -np.expm1(-np.exp(z)),
        sf=lambda z: np.exp(-np.exp(z)),
        ppf=lambda q: np.log(-np.log1p(-q)),
        isf=lambda q: np.log(-np.log(q)),
        logsf=lambda z: -np.exp(z),
    ),
    "weibull_min": Family(
        lambda z, c: np.log(c) + sp.xlogy(c - 1, z) - z**c,
        cdf=lambda z, c: -np.expm1(-(z**c)),
        sf=lambda z, c: np.exp(-(z**c)),
        ppf=lambda q, c: (-np.log1p(-q)) ** (1 / c),
        isf=lambda q, c: (-np.log(q)) ** (1 / c),
        density=lambda z, c: c * z ** (c - 1) * np.exp(-(z**c)),
        logsf=lambda z, c: -(z**c),
    ),
    "rayleigh": Family(
        lambda z: np.log(z) - z * z / 2,
        cdf=lambda z: -np.expm1(-z * z / 2),
        sf=lambda z: np.exp(-z * z / 2),
        ppf=lambda q: np.sqrt(-2 * np.log1p(-q)),
        isf=lambda q: np.sqrt(-2 * np.log(q)),
        density=lambda z: z * np.exp(-z * z / 2),
        logsf=lambda z: -z * z / 2,
        open=True,
    ),
    "pareto": Family(
        lambda z, b: np.log(b) - (b + 1) * np.log(z),
        cdf=lambda z, b: 1 - z ** (-b),
        sf=lambda z, b: z ** (-b),
        ppf=lambda q, b: (1 - q) ** (-1 / b),
        isf=lambda q, b: q ** (-1 / b),
        density=lambda z, b: b * z ** (-b - 1),
    ),
    "uniform": Family(
        lambda z: 0 * z,
        cdf=lambda z: z,
        sf=lambda z: 1 - z,
        ppf=lambda q: q,
        isf=lambda q: 1 - q,
    ),
    "vonmises": Family(
        lambda z, kappa: kappa * sp.cosm1(z) - 2 * LOG_ROOT_TAU - np.log(sp.i0e(kappa)),
        density=lambda z, kappa: np.exp(kappa * sp.cosm1(z)) / (2 * pi * sp.i0e(kappa)),
    ),
}


def _support(distribution: Any, shapes: Sequence[Array]) -> tuple[Array, Array]:
    """The ends of the support of z; NaN where a shape is not valid."""
    return distribution.support(*map(unwrap, shapes))


def _at_point(
    distribution: Any,
    name: str,
    family: Family,
    x: Operand,
    loc: Operand = 0,
    scale: Operand = 1,
    **given: Operand,
) -> Array:
    """A method of a point x, by its formula in z."""
    refuse_complex(getattr(distribution, name), x=x, loc=loc, scale=scale, **given)
    shapes = [_as_number(given[shape]) for shape in _shapes_of(distribution)]
    lower, upper = _support(distribution, shapes)
    with np.errstate(all="ignore"):
        z = _standardised(x, loc, scale)
        bounded = not (np.all(np.isinf(lower)) and np.all(np.isinf(upper)))
        if bounded:
            below, above = _outside(z, lower, upper, family.open)
            z = np.where(np.logical_or(below, above), _inside(lower, upper), z)
        value = family.formulas()[name](z, *shapes)
        if name == "logpdf" and not _is(scale, 1):
            value = value - np.log(as_array(scale))
        elif name == "pdf" and not _is(scale, 1):
            value = value / as_array(scale)
        if bounded:
            before, behind = OUTSIDE[name]
            value = np.where(below, before, np.where(above, behind, value))
        return _valid(value, np.isnan(lower), scale)


def _as_number(x: Operand) -> Array:
    """An operand as an array, True as 1."""
    x = as_array(x)
    return x.astype(float) if x.dtype == bool else x


def _is(value: Operand, number: int) -> bool:
    """Whether an argument has its default value, which changes nothing."""
    return type(value) is int and value == number


def _standardised(x: Operand, loc: Operand, scale: Operand) -> Array:
    """(x - loc) / scale, of double precision at least, as SciPy has it."""
    z = as_array(x)
    if not _is(loc, 0):
        z = z - as_array(loc)
    if not _is(scale, 1):
        z = z / as_array(scale)
    dtype = np.promote_types(z.dtype, float)
    return z if z.dtype == dtype else z.astype(dtype)


def _outside(
    z: Array,
    lower: Array,
    upper: Array,
    open: bool,
) -> tuple[Array, Array]:
    """Whether z lies below, and above the support."""
    if open:
        return np.less_equal(z, lower), np.greater_equal(z, upper)
    return np.less(z, lower), np.greater(z, upper)


def _inside(lower: Array, upper: Array) -> Array:
    """A point within the support."""
    least = np.where(np.isfinite(lower), lower, 0)
    return np.where(np.isfinite(upper), (least + upper) / 2, least + 1)


def _valid(value: Array, invalid: Array, scale: Operand) -> Array:
    """NaN where a parameter is not valid, and NaN for its gradient."""
    invalid = np.logical_or(invalid, np.logical_not(np.greater(unwrap(scale), 0)))
    return value * np.where(invalid, np.nan, 1) if np.any(invalid) else value


def _at_probability(
    distribution: Any,
    name: str,
    formula: Function,
    q: Operand,
    loc: Operand = 0,
    scale: Operand = 1,
    **given: Operand,
) -> Array:
    """A quantile: where cdf (ppf) or sf (isf) is q."""
    refuse_complex(getattr(distribution, name), q=q, loc=loc, scale=scale, **given)
    q, loc, scale = _as_number(q), as_array(loc), as_array(scale)
    shapes = [_as_number(given[shape]) for shape in _shapes_of(distribution)]
    with np.errstate(all="ignore"):
        outside = np.logical_or(np.less(q, 0), np.greater(q, 1))
        z = formula(np.where(outside, 0.5, q), *shapes)
        value = np.where(outside, np.nan, z * scale + loc)
        return _valid(value, np.isnan(_support(distribution, shapes)[0]), scale)


def _text(first: str, distribution: Any, *last: str) -> str:
    """The signature of a method."""
    return ", ".join([first, *_shapes_of(distribution), *last])


for _name, _family in CONTINUOUS.items():
    _distribution = getattr(stats, _name)
    for _method in _family.formulas():
        _body = partial(_at_point, _distribution, _method, _family)
        _signature = _text("x", _distribution, "loc=0", "scale=1")
        _enter(_distribution, _method, _body, _signature, _family.refused(_method))
    for _method, _formula in _family.quantiles().items():
        _body = partial(_at_probability, _distribution, _method, _formula)
        _signature = _text("q", _distribution, "loc=0", "scale=1")
        _enter(_distribution, _method, _body, _signature, _family.refused(_method))

# --------------------------------------------------------------------------- discrete distributions


class Discrete(NamedTuple):
    """A distribution of whole numbers: formulas of k and of the shapes."""

    log_mass: Function
    cdf: Function
    sf: Function
    constant: tuple[str, ...] = ()  # the shapes that are whole numbers
    in_mass: tuple[str, ...] = ()  # the shapes of which the mass alone has a derivative

    def formulas(self) -> dict[str, Function]:
        """Those of SciPy's methods, by name."""
        return {
            "logpmf": self.log_mass,
            "pmf": lambda *args: np.exp(self.log_mass(*args)),
            "cdf": self.cdf,
            "sf": self.sf,
            "logcdf": lambda *args: np.log(self.cdf(*args)),
            "logsf": lambda *args: np.log(self.sf(*args)),
        }

    def refused(self, name: str) -> tuple[str, ...]:
        """The arguments of which a method has no derivative: whole numbers, and the shapes."""
        shapes = () if name in ("logpmf", "pmf") else self.in_mass
        return ("k", "loc", *self.constant, *shapes)


def _binomial(k: Array, n: Array, p: Array) -> Array:
    ways = sp.gammaln(n + 1) - (sp.gammaln(k + 1) + sp.gammaln(n - k + 1))
    return ways + sp.xlogy(k, p) + sp.xlog1py(n - k, -p)


def _negative_binomial(k: Array, n: Array, p: Array) -> Array:
    ways = sp.gammaln(n + k) - sp.gammaln(k + 1) - sp.gammaln(n)
    return ways + n * np.log(p) + sp.xlog1py(k, -p)


DISCRETE = {
    "bernoulli": Discrete(
        lambda k, p: sp.xlogy(k, p) + sp.xlog1py(1 - k, -p),
        cdf=lambda k, p: 1 - p,
        sf=lambda k, p: p,
    ),
    "binom": Discrete(
        _binomial,
        cdf=lambda k, n, p: sp.betaincc(k + 1, n - k, p),
        sf=lambda k, n, p: sp.betainc(k + 1, n - k, p),
        constant=("n",),
    ),
    "geom": Discrete(
        lambda k, p: sp.xlog1py(k - 1, -p) + np.log(p),
        cdf=lambda k, p: -np.expm1(np.log1p(-p) * k),
        sf=lambda k, p: np.exp(np.log1p(-p) * k),
    ),
    "nbinom": Discrete(
        _negative_binomial,
        cdf=lambda k, n, p: sp.betainc(n, k + 1, p),
        sf=lambda k, n, p: sp.betaincc(n, k + 1, p),
        in_mass=("n",),
    ),
    "poisson": Discrete(
        lambda k, mu: sp.xlogy(k, mu) - sp.gammaln(k + 1) - mu,
        cdf=lambda k, mu: sp.pdtr(k, mu),
        sf=lambda k, mu: sp.pdtrc(k, mu),
    ),
}
MASSES = {"logpmf": (-np.inf, -np.inf), "pmf": (0.0, 0.0), **OUTSIDE}


def _at_number(
    distribution: Any,
    name: str,
    family: Discrete,
    k: Operand,
    loc: Operand = 0,
    **given: Operand,
) -> Array:
    """A method of a whole number k."""
    refuse_complex(getattr(distribution, name), k=k, loc=loc, **given)
    shapes = [_as_number(given[shape]) for shape in _shapes_of(distribution)]
    lower, upper = _support(distribution, shapes)
    with np.errstate(all="ignore"):
        number = np.asarray(unwrap(k)) - unwrap(loc)
        whole = np.floor(number)
        below, above = whole < lower, whole > upper
        if name in ("pmf", "logpmf"):
            below = below | (whole != number)
        else:
            above = whole >= upper  # all of it lies below
        inside = np.where(np.isfinite(lower), lower, 0)
        number = np.where(below | above, inside, whole)
        value = family.formulas()[name](number, *shapes)
        before, behind = MASSES[name]
        value = np.where(below, before, np.where(above, behind, value))
        return _valid(value, np.isnan(lower), 1)


for _name, _discrete in DISCRETE.items():
    _distribution = getattr(stats, _name)
    for _method in _discrete.formulas():
        _body = partial(_at_number, _distribution, _method, _discrete)
        _signature = _text("k", _distribution, "loc=0")
        _enter(_distribution, _method, _body, _signature, _discrete.refused(_method))

# ----------------------------------------------------------------- distributions of several numbers


def _covariance(mean: Array | None, cov: Operand | None) -> tuple[Array, Array]:
    """Mean and covariance, (n,) and (n, n); a number is the variance of each, a vector of all."""
    refuse_foreign(cov, stats.multivariate_normal.logpdf, "cov")
    refuse_complex(stats.multivariate_normal.logpdf, mean=mean, cov=cov)
    cov = as_array(1.0 if cov is None else cov)
    if mean is None:
        n = 1 if np.ndim(cov) < 2 else np.shape(cov)[0]
        mean = np.zeros(n)
    mean = np.ravel(mean)
    n = np.size(mean)
    if np.ndim(cov) < 2:
        cov = np.eye(n) * cov  # a vector stands along the diagonal
    return mean, np.reshape(cov, (n, n))


def _log_determinant(factor: Array) -> Array:
    """log det A of its Cholesky factor."""
    return 2 * np.sum(np.log(np.diagonal(factor)))


@definition(stats.multivariate_normal.logpdf, inert=("allow_singular",))
def normal_logpdf(
    x: Array,
    mean: Array | None = None,
    cov: Operand | None = 1,
) -> Array:
    """-(n log 2 pi + log det S + |L^-1 (x - m)|^2) / 2 for S = L L^T.

    Raises LinAlgError for a singular covariance, of which the density has no derivative.
    """
    mean, cov = _covariance(mean, cov)
    n = np.size(mean)
    refuse_complex(stats.multivariate_normal.logpdf, x=x)
    x = as_array(x)
    if np.ndim(x) < 2:
        x = np.reshape(x, (-1, 1) if n == 1 else (1, -1))  # a row of numbers, or one point
    *batch, _ = np.shape(x)
    points = np.reshape(x - mean, (-1, n))  # (batch, n)
    factor = cholesky(cov, lower=True)
    whitened = solve_triangular(factor, points.mT, lower=True, check_finite=False)  # (n, batch)
    squares = np.sum(whitened * whitened, axis=0)
    value = -(n * 2 * LOG_ROOT_TAU + _log_determinant(factor) + squares) / 2
    return np.squeeze(np.reshape(value, batch))


@definition(stats.multivariate_normal.pdf, inert=("allow_singular",))
def normal_pdf(
    x: Array,
    mean: Array | None = None,
    cov: Operand | None = 1,
) -> Array:
    """exp of logpdf."""
    return np.exp(normal_logpdf(x, mean, cov))


@definition(stats.multivariate_normal.entropy)
def normal_entropy(mean: Array | None = None, cov: Operand | None = 1) -> Array:
    """(n log 2 pi e + log det S) / 2; the mean has no influence."""
    mean, cov = _covariance(mean, cov)
    return (np.size(mean) * log(2 * pi * e) + _log_determinant(cholesky(cov))) / 2


def _log_beta(alpha: Array) -> Array:
    return np.sum(sp.gammaln(alpha)) - sp.gammaln(np.sum(alpha))


@definition(stats.dirichlet.logpdf)
def dirichlet_logpdf(x: Array, alpha: Array) -> Array:
    """sum (alpha_i - 1) log x_i - log B(alpha); a last x that is left out is 1 - sum x."""
    refuse_complex(stats.dirichlet.logpdf, x=x, alpha=alpha)
    x, alpha = as_array(x), as_array(alpha)
    if np.shape(x)[0] + 1 == np.size(alpha):
        last = 1 - np.sum(x, axis=0, keepdims=True)
        x = np.concatenate([x, last])
    exponents = np.reshape(alpha - 1, (-1,) + (1,) * (np.ndim(x) - 1))
    terms = np.sum(sp.xlogy(exponents, x), axis=0)
    return np.squeeze(terms - _log_beta(alpha))


@definition(stats.dirichlet.pdf)
def dirichlet_pdf(x: Array, alpha: Array) -> Array:
    """exp of logpdf."""
    return np.exp(dirichlet_logpdf(x, alpha))


@definition(stats.dirichlet.entropy)
def dirichlet_entropy(alpha: Array) -> Array:
    """log B(alpha) + (sum alpha - n) psi(sum alpha) - sum (alpha_i - 1) psi(alpha_i)."""
    alpha = as_array(alpha)
    total = np.sum(alpha)
    spread = (total - np.size(alpha)) * sp.psi(total)
    return _log_beta(alpha) + spread - np.sum((alpha - 1) * sp.psi(alpha))


@definition(stats.entropy)
def entropy(
    pk: Array,
    qk: Array | None = None,
    base: Operand | None = None,
    axis: int | None = 0,
    keepdims: bool = False,
) -> Array:
    """-sum p log p, or sum p log(p / q), of weights that are made to sum to 1."""
    if qk is None:
        terms = sp.entr(_shares(pk, axis))
    else:
        pk, qk = np.broadcast_arrays(pk, qk)
        terms = sp.rel_entr(_shares(pk, axis), _shares(qk, axis))
    total = np.sum(terms, axis=axis, keepdims=keepdims)
    return total if base is None else total / np.log(np.reshape(base, ()))


def _shares(weights: Array, axis: int | None) -> Array:
    return weights / np.sum(weights, axis=axis, keepdims=True)
