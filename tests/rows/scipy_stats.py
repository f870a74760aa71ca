"""Rows of `tinygrad_cv/rules/scipy/stats.py`: one a distribution, of all that it has.

Every distribution is compared with SciPy, and its gradients with differences, in
tests/test_scipy.py, at a hundredth of the time; the rows of most are for the thorough profile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from scipy import stats

import tinygrad_cv as tg
from tests.table import ROWS, row
from tinygrad_cv.rules.scipy.stats import CONTINUOUS, DISCRETE
from tinygrad_cv.testing.strategies import arrays
from tinygrad_cv.typing import Array

ours = tg.scipy.stats
REAL = "distributions are of real numbers"
THOROUGH = settings.get_current_profile_name() == "thorough"
ORDER = 2 if THOROUGH else 1
SAMPLE = ("norm",)  # in every run
positive = arrays((2,), domain=(0.3, 2))
share = arrays((2,), domain=(0.15, 0.85), avoid=(0.5,))
location = arrays((), domain=(-0.1, 0.1))
scale = arrays((), domain=(1, 2))
shape = arrays((), domain=(1.2, 4), avoid=(2,))
FIXED = 2.5  # a shape where a distribution function has no derivative in it


def of_point(z: Array, q: Array, *parameters: Any, distribution: str) -> list[Any]:
    """All methods of a continuous distribution; z is positive, and below 1 for a share."""
    family, mirrored = CONTINUOUS[distribution], getattr(ours, distribution)
    *shapes, loc, scale = parameters
    fixed = [*[FIXED] * len(shapes), loc, scale]
    x = z if distribution != "pareto" else z + 2 + scale
    found = [mirrored.logpdf(x, *parameters), mirrored.pdf(x, *parameters)]
    found += [getattr(mirrored, name)(x, *fixed) for name in family.formulas() if "pdf" not in name]
    return found + [getattr(mirrored, name)(q, *fixed) for name in family.quantiles()]


def of_number(*parameters: Any, distribution: str) -> list[Any]:
    """All methods of a discrete distribution."""
    mirrored = getattr(ours, distribution)
    k = np.array([0, 1] if distribution == "bernoulli" else [1, 2, 3])[:-1]
    fixed = [FIXED, *parameters[1:]] if distribution == "nbinom" else parameters
    masses = [mirrored.logpmf(k, *parameters), mirrored.pmf(k, *parameters)]
    return masses + [getattr(mirrored, name)(k, *fixed) for name in ("cdf", "sf", "logcdf", "logsf")]


def shapes_of(distribution: Any) -> list[str]:
    return distribution.shapes.split(", ") if distribution.shapes else []


for name in (*CONTINUOUS, *DISCRETE):
    scipys = getattr(stats, name)
    continuous = name in CONTINUOUS
    methods = [*CONTINUOUS[name].formulas(), *CONTINUOUS[name].quantiles()] if continuous else DISCRETE[name].formulas()
    for method in methods:
        ROWS.setdefault(getattr(scipys, method), [])
    if name not in SAMPLE and not THOROUGH:
        continue
    options = st.just({"distribution": name})
    names = shapes_of(scipys)
    if continuous:
        points = positive if np.isinf(scipys.support(*[2.0] * len(names))[1]) else share
        drawn = [points, share, *[shape] * len(names), location, scale]
        row(scipys.logpdf, *drawn, options=options, call=of_point, complex=REAL, order=ORDER)
    else:
        kinds = {"p": arrays((), domain=(0.2, 0.8)), "n": st.just(4) if name == "binom" else shape, "mu": shape}
        row(scipys.logpmf, *[kinds[s] for s in names], options=options, call=of_number, complex=REAL, order=ORDER)


def covariance(a: Array) -> Array:
    return a @ a.mT + np.eye(np.shape(a)[-1])


normal = stats.multivariate_normal
ROWS.setdefault(normal.pdf, [])
row(
    normal.logpdf,
    arrays((2, 2)),
    arrays((2,)),
    arrays((2, 2), domain=(-1, 1)),
    call=lambda x, m, a: [f(x, m, covariance(a)) for f in (ours.multivariate_normal.logpdf, ours.multivariate_normal.pdf)],
    complex=REAL,
    order=ORDER,
)
ROWS.setdefault(stats.dirichlet.pdf, [])
row(
    stats.dirichlet.logpdf,
    arrays((2,), domain=(0.15, 0.4)),
    arrays((3,), domain=(1.2, 3)),
    call=lambda x, a: [ours.dirichlet.logpdf(x, a), ours.dirichlet.pdf(x, a)],
    complex=REAL,
    order=ORDER,
)
weights = arrays((3, 2), domain=(0.3, 2))
UNEVEN = np.array([[1, 2], [3, 1], [2, 5]])


def divergence(p: Array, q: Array, **options: Any) -> list[Any]:
    """The entropy of p, and its divergence from q, of no distributions that are equal."""
    return [ours.entropy(p * UNEVEN, **options), ours.entropy(p * UNEVEN, q, **options)]


options = st.sampled_from([{}, {"base": 2}, {"axis": 1}])
for function in (normal.entropy, stats.dirichlet.entropy, stats.entropy):
    ROWS.setdefault(function, [])
if THOROUGH:
    row(
        normal.entropy,
        arrays((2, 2), domain=(-1, 1)),
        call=lambda a: ours.multivariate_normal.entropy(cov=covariance(a)),
        complex=REAL,
    )
    row(
        stats.dirichlet.entropy,
        arrays((2,), domain=(1.2, 3)),
        call=lambda a: ours.dirichlet.entropy(np.append(a, 1.5)),
        complex=REAL,
    )
    row(stats.entropy, weights, weights, call=divergence, options=options, complex=REAL, order=ORDER)
