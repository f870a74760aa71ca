"""Elliptic integrals, polynomials and distributions, where SciPy's own functions are good."""

from __future__ import annotations

from typing import Any

from mpmath import mp
from scipy import special as sp

from tests.accuracy.elementwise import POSITIVE
from tests.accuracy.measure import BY_DIFFERENCE, Case, Domain
from tests.accuracy.special import PROBABILITY, _beta_density, _gamma_density

CASES: list[Case] = []


def case(name: str, function: Any, *domains: Domain, **settings: Any) -> None:
    """Enter a function with its slopes, as `slope=` or `slopes=`, or its value."""
    settings.setdefault("count", 120)
    settings.setdefault("meet", False)
    stated = "value" in settings
    slope = settings.pop("slope", None)
    slopes = settings.pop("slopes", (BY_DIFFERENCE,) * len(domains) if stated else (slope,))
    CASES.append(Case(f"special.{name}", function, domains, slopes, **settings))


# -------------------------------------------------------------------------------- elliptic integrals
MODULUS = Domain(high=1, near=(0, 1, 0.5, -1))


def _k_slope(m: Any) -> Any:
    if m == 1:
        return mp.inf
    if abs(m) < 1e-9:
        return mp.pi / 8 * (1 + mp.mpf(9) / 8 * m)
    return (mp.ellipe(m) - (1 - m) * mp.ellipk(m)) / (2 * m * (1 - m))


def _e_slope(m: Any) -> Any:
    if m == 1:
        return mp.inf
    if abs(m) < 1e-9:
        return -mp.pi / 8 * (1 + mp.mpf(3) / 8 * m)
    return (mp.ellipe(m) - mp.ellipk(m)) / (2 * m)


case("ellipk", sp.ellipk, MODULUS, slope=_k_slope)
case("ellipkm1", sp.ellipkm1, POSITIVE, slope=lambda p: -_k_slope(1 - p), digits=400)
case("ellipe", sp.ellipe, MODULUS, slope=_e_slope)
ANGLE = Domain(-1.5, 1.5, near=(0, 1))
BELOW = Domain(-10, 0.99, near=(0,))
case(
    "ellipkinc",
    sp.ellipkinc,
    ANGLE,
    BELOW,
    slopes=(
        lambda p, m: 1 / mp.sqrt(1 - m * mp.sin(p) ** 2),
        lambda p, m: mp.diff(lambda t: mp.ellipf(p, t), m) if abs(p) > 1e-3 else None,
    ),
    count=60,
)
case(
    "ellipeinc",
    sp.ellipeinc,
    ANGLE,
    BELOW,
    slopes=(
        lambda p, m: mp.sqrt(1 - m * mp.sin(p) ** 2),
        lambda p, m: mp.diff(lambda t: mp.ellipe(p, t), m) if abs(p) > 1e-3 else None,
    ),
    count=60,
)
AXIS = Domain(1e-3, 1e3, near=(1, 2), least=1e-3)
THREE = (AXIS, AXIS, AXIS)


def _rd(x: Any, y: Any, z: Any) -> Any:
    return mp.elliprd(x, y, z)


case(
    "elliprf",
    sp.elliprf,
    *THREE,
    slopes=(
        lambda x, y, z: -_rd(y, z, x) / 6,
        lambda x, y, z: -_rd(z, x, y) / 6,
        lambda x, y, z: -_rd(x, y, z) / 6,
    ),
    count=60,
)
case(
    "elliprc",
    sp.elliprc,
    AXIS,
    AXIS,
    slopes=(lambda x, y: -_rd(y, y, x) / 6, lambda x, y: -_rd(x, y, y) / 3),
    count=60,
)
case("elliprg", sp.elliprg, *THREE, value=mp.elliprg, count=20, digits=90)
case(
    "elliprd",
    sp.elliprd,
    *THREE,
    value=mp.elliprd,
    count=40,
    digits=90,
    limit=1e5,
    because="the slope is a difference quotient, good to 1e-10 where two arguments nearly meet",
)
case(
    "agm",
    sp.agm,
    AXIS,
    AXIS,
    value=mp.agm,
    count=60,
)

# --------------------------------------------------------------------------------------- polynomials
INSIDE = Domain(-1, 1, near=(1, -1, 0.5), least=1e-6)
SHIFTED = Domain(1e-6, 1, near=(1, 0.5), least=1e-6)
for n in (0, 1, 5):
    case(
        f"eval_legendre({n})",
        lambda x, n=n: sp.eval_legendre(n, x),
        INSIDE,
        value=lambda x, n=n: mp.legendre(n, x),
    )
    case(
        f"eval_chebyt({n})",
        lambda x, n=n: sp.eval_chebyt(n, x),
        INSIDE,
        value=lambda x, n=n: mp.chebyt(n, x),
    )
    case(
        f"eval_chebyu({n})",
        lambda x, n=n: sp.eval_chebyu(n, x),
        INSIDE,
        value=lambda x, n=n: mp.chebyu(n, x),
    )
    case(
        f"eval_hermite({n})",
        lambda x, n=n: sp.eval_hermite(n, x),
        Domain(-10, 10, near=(1, -1), least=1e-6),
        value=lambda x, n=n: mp.hermite(n, x),
    )
    case(
        f"eval_laguerre({n})",
        lambda x, n=n: sp.eval_laguerre(n, x),
        Domain(1e-6, 20, near=(1,), least=1e-6),
        value=lambda x, n=n: mp.laguerre(n, 0, x),
    )
    case(
        f"eval_sh_legendre({n})",
        lambda x, n=n: sp.eval_sh_legendre(n, x),
        SHIFTED,
        value=lambda x, n=n: mp.legendre(n, 2 * x - 1),
        limit=16,
        because="2 x - 1 is rounded near the ends",
    )
    case(
        f"eval_jacobi({n})",
        lambda x, n=n: sp.eval_jacobi(n, 0.5, 1.5, x),
        INSIDE,
        value=lambda x, n=n: mp.jacobi(n, 0.5, 1.5, x),
    )
    case(
        f"eval_gegenbauer({n})",
        lambda x, n=n: sp.eval_gegenbauer(n, 1.5, x),
        INSIDE,
        value=lambda x, n=n: mp.gegenbauer(n, 1.5, x),
    )

# ------------------------------------------------------------------------------------- distributions
DEGREES = Domain(0.5, 50, near=(1, 2, 10))
case(
    "chdtr",
    sp.chdtr,
    DEGREES,
    Domain(0, 1e4, near=(0, 1, 10)),
    slopes=(None, lambda v, x: _gamma_density(v / 2, x / 2) / 2),
)
case(
    "pdtr",
    lambda m: sp.pdtr(3.0, m),
    Domain(0, 700, near=(0, 1)),
    slope=lambda m: -_gamma_density(mp.mpf(4), m),
)
case(
    "bdtr",
    lambda p: sp.bdtr(3.0, 10, p),
    PROBABILITY,
    slope=lambda p: -_beta_density(mp.mpf(4), mp.mpf(7), p),
)
case(
    "gdtr",
    sp.gdtr,
    DEGREES,
    DEGREES,
    Domain(0, 100, near=(0, 1)),
    slopes=(
        lambda a, b, x: x * _gamma_density(b, a * x) if x else None,
        None,
        lambda a, b, x: a * _gamma_density(b, a * x),
    ),
)


def _student(v: Any, t: Any) -> Any:
    log_b = mp.loggamma(v / 2) + mp.loggamma(mp.mpf(1) / 2) - mp.loggamma((v + 1) / 2)
    return mp.exp(-(v + 1) / 2 * mp.log1p(t * t / v) - log_b) / mp.sqrt(v)


case("stdtr", sp.stdtr, DEGREES, Domain(near=(0, 1, -1, 10)), slopes=(None, _student))


def _f_density(n: Any, d: Any, x: Any) -> Any:
    if not x:
        return mp.mpf(0) if n > 2 else (mp.mpf(1) if n == 2 else mp.inf)
    log_b = mp.loggamma(n / 2) + mp.loggamma(d / 2) - mp.loggamma((n + d) / 2)
    log_x = n / 2 * mp.log(n) + (n / 2 - 1) * mp.log(x) - (n + d) / 2 * mp.log1p(n * x / d)
    return mp.exp(log_x - n / 2 * mp.log(d) - log_b)


case(
    "fdtr",
    sp.fdtr,
    DEGREES,
    DEGREES,
    Domain(0, 1e6, near=(0, 1)),
    slopes=(None, None, _f_density),
)


def _voigt(x: Any, s: Any, g: Any) -> Any:
    z = (x + 1j * g) / (s * mp.sqrt(2))
    return (mp.exp(-z * z) * mp.erfc(-1j * z)).real / (s * mp.sqrt(2 * mp.pi))


WIDTH = Domain(0.1, 5, near=(1,))
case(
    "voigt_profile",
    sp.voigt_profile,
    Domain(-8, 8, near=(1,), least=1e-6),
    WIDTH,
    WIDTH,
    value=_voigt,
    digits=120,
    count=60,
    limit=1e4,
    because="below |z| = 7 the slopes of w(z) are differences: 2 z^2 and 4 z^4 eps",
)
case(
    "owens_t",
    sp.owens_t,
    Domain(near=(0, 1, -1, 5)),
    Domain(near=(0, 1, -1)),
    slopes=(
        lambda h, a: -mp.npdf(h) * mp.erf(h * a / mp.sqrt(2)) / 2,
        lambda h, a: mp.exp(-h * h * (1 + a * a) / 2) / (2 * mp.pi * (1 + a * a)),
    ),
)


def _tukey(p: Any, s: Any) -> Any:
    return p ** (s - 1) + (1 - p) ** (s - 1)


def _kolmogorov(x: Any) -> Any:
    """-4 sum (-1)^k ... of the limit's tail, whose slope is -8 x sum (-1)^(k-1) k^2 e^(-2 k^2 x^2)."""
    with mp.workdps(120):
        if x < 0.8:
            c = mp.pi**2 / (8 * x * x)
            terms = [mp.exp(-(k**2) * c) * (2 * k**2 * c - 1) for k in range(1, 40, 2)]
            return -mp.sqrt(2 * mp.pi) / x**2 * mp.fsum(terms)
        terms = [(-1) ** (k - 1) * k * k * mp.exp(-2 * k * k * x * x) for k in range(1, 40)]
        return -8 * x * mp.fsum(terms)


case("kolmogorov", sp.kolmogorov, Domain(0.05, 15, near=(0.8, 1)), slope=_kolmogorov)
