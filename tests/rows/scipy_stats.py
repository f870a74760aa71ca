"""Rows of `tinygrad_cv/rules/scipy/stats.py`: one a distribution, of all that it has.

Locations and scales are drawn with the shapes. A shape in which the distribution function has no
derivative is constant there, and differentiated in the density.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy import stats

import tinygrad_cv as tg
from tests.table import ROWS, row
from tinygrad_cv.rules.scipy.stats import CONTINUOUS, DISCRETE, OUTSIDE
from tinygrad_cv.testing.strategies import arrays
from tinygrad_cv.typing import Array

ours = tg.scipy.stats
REAL = "distributions are of real numbers"
DENSITIES = ("logpdf", "pdf")
CLOSED = {"lognorm", "weibull_min", "pareto"}  # whose shapes are differentiated in all methods
number = arrays((2,), domain=(-1.5, 1.5), avoid=(0,))
positive = arrays((2,), domain=(0.3, 2))
share = arrays((2,), domain=(0.15, 0.85), avoid=(0.5,))
location = arrays((), domain=(-0.5, 0.5))
scale = arrays((), domain=(0.6, 2))
shape = arrays((), domain=(1.2, 4))


def enter_once(distribution: Any, names: Sequence[str]) -> None:
    """Note that one row of the distribution tests these methods."""
    for name in names:
        ROWS.setdefault(getattr(distribution, name), [])


for name, family in CONTINUOUS.items():
    scipys, mirrored = getattr(stats, name), getattr(ours, name)
    methods = list(family.formulas())
    functions = [m for m in methods if m not in DENSITIES]
    quantiles = [m for m in ("ppf", "isf") if getattr(family, m) is not None]
    enter_once(scipys, methods + quantiles)
    count = len(scipys.shapes.split(", ")) if scipys.shapes else 0
    lower, upper = scipys.support(*[2.0] * count)
    z = positive.map(lambda z, lower=lower: z + lower) if np.isfinite(lower) else number
    z = share if np.isfinite(upper) else z
    fixed = () if name in CLOSED else tuple(range(1, count + 1))

    def at_point(z: Array, *rest: Any, names: list[str], mirrored: Any = mirrored) -> list[Any]:
        *shapes, loc, scale = rest
        x = z * scale + loc
        return [getattr(mirrored, m)(x, *shapes, loc, scale=scale) for m in names]

    def at_probability(q: Array, *rest: Any, names: list[str], mirrored: Any = mirrored) -> list[Any]:
        return [getattr(mirrored, m)(q, *rest) for m in names]

    parameters = [shape] * count + [location, scale]
    row(
        scipys.logpdf,
        z,
        *parameters,
        options=st.just({"names": list(DENSITIES)}),
        call=at_point,
        complex=REAL,
    )
    if functions:
        options = st.just({"names": functions})
        row(scipys.cdf, z, *parameters, options=options, call=at_point, constant=fixed, complex=REAL)
        options = st.just({"names": quantiles})
        row(scipys.ppf, share, *parameters, options=options, call=at_probability, constant=fixed, complex=REAL)

for name, discrete in DISCRETE.items():
    scipys, mirrored = getattr(stats, name), getattr(ours, name)
    enter_once(scipys, list(discrete.formulas()))
    shapes = scipys.shapes.split(", ")
    constant = tuple(i for i, s in enumerate(shapes) if s in discrete.constant)

    def at_number(*rest: Any, names: list[str], mirrored: Any = mirrored, k: Any = (0, 1, 2)) -> list[Any]:
        return [getattr(mirrored, m)(np.array(k), *rest) for m in names]

    draws = [arrays((), domain=(0.2, 0.8)) if s == "p" else st.just(4) if s == "n" else shape for s in shapes]
    k = [0] if name == "bernoulli" else [1, 2, 3]
    options = st.just({"names": list(discrete.formulas()), "k": k})
    row(scipys.logpmf, *draws, options=options, call=at_number, constant=constant, complex=REAL)

# Real n of the negative binomial distribution.
row(
    stats.nbinom.logpmf,
    shape,
    arrays((), domain=(0.2, 0.8)),
    call=lambda n, p: ours.nbinom.logpmf(np.array([0, 1, 5]), n, p),
    complex=REAL,
)


def covariance(a: Array) -> Array:
    return a @ a.mT + np.eye(np.shape(a)[-1])


normal = stats.multivariate_normal
enter_once(normal, ["pdf"])
row(
    normal.logpdf,
    arrays((2, 3)),
    arrays((3,)),
    arrays((3, 3), domain=(-1, 1)),
    st.sampled_from(["logpdf", "pdf"]),
    call=lambda x, m, a, name: getattr(ours.multivariate_normal, name)(x, m, covariance(a)),
    complex=REAL,
)
row(normal.logpdf, number, location, scale, call=ours.multivariate_normal.logpdf, complex=REAL)
row(
    normal.entropy,
    arrays((2, 2), domain=(-1, 1)),
    call=lambda a: ours.multivariate_normal.entropy(cov=covariance(a)),
    complex=REAL,
)
enter_once(stats.dirichlet, ["pdf"])
row(
    stats.dirichlet.logpdf,
    arrays((2,), domain=(0.15, 0.4)),
    arrays((3,), domain=(1.2, 3)),
    call=lambda x, a: [ours.dirichlet.logpdf(x, a), ours.dirichlet.pdf(x, a)],
    complex=REAL,
)
row(stats.dirichlet.entropy, arrays((3,), domain=(1.2, 3)), call=ours.dirichlet.entropy, complex=REAL)
weights = arrays((3, 2), domain=(0.3, 2))
row(stats.entropy, weights, call=ours.entropy, options=st.sampled_from([{}, {"base": 2}, {"axis": 1}]), complex=REAL)
row(stats.entropy, weights, weights, call=ours.entropy, complex=REAL)
