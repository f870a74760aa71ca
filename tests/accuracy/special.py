"""SciPy's special functions: logistic, normal, gamma, entropies, elementary, integrals."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpmath import mp
from scipy import special as sp

import tinygrad_cv as tg
from tests.accuracy.elementwise import ANGLES, EXPONENT, POSITIVE, REAL
from tests.accuracy.measure import BY_DIFFERENCE, POLE, Case, Domain, Slope

CASES: list[Case] = []


def case(function: Any, *domains: Domain, **settings: Any) -> None:
    """Enter a function with its slopes, as `slope=` or `slopes=`."""
    slope = settings.pop("slope", None)
    stated = "value" in settings
    slopes = settings.pop("slopes", (BY_DIFFERENCE,) * len(domains) if stated else (slope,))
    name = "special." + (settings.pop("name", None) or function.__name__)
    CASES.append(Case(name, function, domains, slopes, **settings))


# ------------------------------------------------------ logistic functions, the normal distribution
BELL = Domain(near=(0, 1, -1, 5, -5, 9, -9, 26, -26, 38, -38))
PROBABILITY = Domain(0, 1, near=(0, 1, 0.5))


def _npdf(x: Any) -> Any:
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def _erfcx(x: Any) -> Any:
    """2 x erfcx(x) - 2 / sqrt(pi); for a large x the sum that does not cancel."""
    if x > 1e3:
        total, term = mp.mpf(0), mp.mpf(1)
        for k in range(1, 25):
            term *= -(2 * k - 1) / (2 * x * x)
            total += term
        return 2 / mp.sqrt(mp.pi) * total
    with mp.workdps(100):
        return 2 * x * mp.exp(x * x) * mp.erfc(x) - 2 / mp.sqrt(mp.pi)


def _dawsn(x: Any) -> Any:
    """1 - 2 x D(x)."""
    if abs(x) > 1e3:
        total, term = mp.mpf(0), mp.mpf(1)
        for k in range(1, 25):
            term *= (2 * k - 1) / (2 * x * x)
            total -= term
        return total
    with mp.workdps(100):
        return 1 - 2 * x * mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x)


def _log_ndtr(x: Any) -> Any:
    """phi / Phi."""
    if x < -1e3:
        total, term = mp.mpf(1), mp.mpf(1)
        for k in range(1, 25):
            term *= -(2 * k - 1) / (x * x)
            total += term
        return -x / total
    with mp.workdps(100):
        return _npdf(x) / (mp.erfc(-x / mp.sqrt(2)) / 2)


def _ndtri(p: Any) -> Any:
    """1 / phi(Phi^-1(p)), by Newton's method on log Phi from SciPy's value."""
    if p <= 0 or p >= 1:
        return mp.inf
    if p > 0.5:
        return _ndtri(1 - p)
    x = mp.mpf(float(sp.ndtri_exp(float(mp.log(p)))))
    with mp.workdps(120):
        for _ in range(6):
            x -= (mp.erfc(-x / mp.sqrt(2)) / 2 - p) / _npdf(x)
        return 1 / _npdf(x)


def _erfinv(y: Any) -> Any:
    """erfinv(y) = ndtri((1 + y) / 2) / sqrt(2)."""
    with mp.workdps(120):
        return _ndtri((1 + y) / 2) / (2 * mp.sqrt(2))


def _erfcinv(y: Any) -> Any:
    with mp.workdps(120):
        return -_ndtri(y / 2) / (2 * mp.sqrt(2))


def _ndtri_exp(y: Any) -> Any:
    """exp(y) / phi(x), where log Phi(x) = y."""
    if y == 0:
        return mp.inf
    with mp.workdps(120):
        x = mp.mpf(float(sp.ndtri_exp(float(y))))
        if y > -1e-16:
            x = mp.mpf(float(-sp.ndtri(float(-y))))
        if x < -1e3:
            for _ in range(8):  # log Phi = -x^2/2 - log(-x sqrt(2 pi)) + log(series)
                series, term = mp.mpf(1), mp.mpf(1)
                for k in range(1, 25):
                    term *= -(2 * k - 1) / (x * x)
                    series += term
                value = -x * x / 2 - mp.log(-x * mp.sqrt(2 * mp.pi)) + mp.log(series)
                x -= (value - y) * series / -x
            return 1 / _log_ndtr(x)
        for _ in range(8):
            below = mp.erfc(-x / mp.sqrt(2)) / 2
            above = mp.erfc(x / mp.sqrt(2)) / 2
            value = mp.log1p(-above) if x > 0 else mp.log(below)
            x -= (value - y) * below / _npdf(x)
        return mp.exp(y) / _npdf(x)


case(sp.expit, EXPONENT, slope=lambda x: mp.sech(x / 2) ** 2 / 4)
case(sp.logit, PROBABILITY, slope=lambda x: 1 / (x * (1 - x)))
case(sp.log_expit, EXPONENT, slope=lambda x: 1 / (1 + mp.exp(x)))
if hasattr(sp, "softplus"):
    case(tg.special.softplus, EXPONENT, slope=lambda x: 1 / (1 + mp.exp(-x)), name="softplus")
case(sp.erf, BELL, slope=lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x))
case(sp.erfc, BELL, slope=lambda x: -2 / mp.sqrt(mp.pi) * mp.exp(-x * x))
case(sp.erfi, BELL, slope=lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(x * x))
case(sp.erfcx, BELL, slope=_erfcx)
case(sp.dawsn, BELL, slope=_dawsn)
case(sp.ndtr, BELL, slope=_npdf)
case(sp.log_ndtr, BELL, slope=_log_ndtr)
case(sp.ndtri, PROBABILITY, slope=_ndtri)
case(sp.erfinv, Domain(-1, 1), slope=_erfinv)
case(sp.erfcinv, Domain(0, 2, near=(0, 1, 2)), slope=_erfcinv)
case(sp.ndtri_exp, Domain(high=0, near=(0, -1, -0.7, -1e4)), slope=_ndtri_exp)

# ---------------------------------------------------------------------------------- gamma functions
INTEGERS = (0.0, 1.0, -1.0, 2.0, 3.0, -2.0, -5.0, 10.0, -20.0)
POLES = Domain(near=(*INTEGERS, 1.4616321449683622, -0.504083, 170.0, -170.0, 35.0))
FACTORIAL = Domain(-200, 200, near=(*INTEGERS, 1.4616321449683622, 170.5, -170.5))
SHAPE = Domain(low=1e-3, high=100, near=(1, 2, 10, 0.5), least=1e-3)


def _pole(slope: Slope) -> Slope:
    """The derivative, with poles at 0 and the negative whole numbers."""
    return lambda x: POLE if x <= 0 and x == mp.nint(x) else slope(x)


def _psi(x: Any) -> Any:
    """digamma by its reflection, which mpmath does not use for a large negative number."""
    if x < -1e5:
        return mp.digamma(1 - x) - mp.pi * mp.cospi(x) / mp.sinpi(x)
    return mp.digamma(x)


def _trigamma(x: Any) -> Any:
    if x < -1e5:
        return -mp.psi(1, 1 - x) + (mp.pi / mp.sinpi(x)) ** 2
    return mp.psi(1, x)


def _polygamma(n: int) -> Slope:
    return lambda x: mp.inf if x == 0 else mp.psi(n + 1, x)


case(sp.gammaln, POLES, slope=_pole(_psi))
case(sp.loggamma, POSITIVE, slope=_pole(_psi))
case(sp.psi, POLES, slope=_pole(_trigamma))
case(sp.gamma, FACTORIAL, slope=_pole(lambda x: mp.gamma(x) * mp.digamma(x)))


def _rgamma(x: Any) -> Any:
    """-psi / Gamma, which at -n is (-1)^n n!."""
    if x <= 0 and x == mp.nint(x):
        return (-1) ** int(-x) * mp.factorial(-x)
    return -mp.rgamma(x) * mp.digamma(x)


case(sp.rgamma, FACTORIAL, slope=_rgamma)
for order in (0, 1, 2, 5):
    case(
        lambda x, n=order: tg.special.polygamma(n, x),
        Domain(low=0, high=1e40),  # beyond, SciPy's polygamma has subnormal factors
        slope=_polygamma(order),
        name=f"polygamma({order})",
    )
case(
    lambda q: tg.special.zeta(2.5, q),
    POSITIVE,
    slope=lambda q: -2.5 * mp.zeta(mp.mpf(3.5), q),
    name="zeta(2.5)",
    count=80,
)


def _psi_gap(a: Any, b: Any) -> Any:
    """psi(a) - psi(a + b)."""
    if b < a * mp.mpf(10) ** -50:
        return -b * mp.psi(1, a)
    with mp.workdps(120):
        return mp.digamma(a) - mp.digamma(a + b)


case(
    sp.betaln,
    POSITIVE,
    POSITIVE,
    slopes=(
        lambda a, b: _psi_gap(a, b) if a else (mp.inf if b else None),
        lambda a, b: _psi_gap(b, a) if b else (mp.inf if a else None),
    ),
)


def _beta_slope(a: Any, b: Any) -> Any:
    return mp.beta(a, b) * _psi_gap(a, b)


case(
    sp.beta,
    SHAPE,
    SHAPE,
    slopes=(_beta_slope, lambda a, b: _beta_slope(b, a)),
    limit=100,
    because="SciPy's beta is good to 150 eps for shapes up to 100",
)


def _binom(x: Any, y: Any) -> Any:
    return mp.rgamma(y + 1) * mp.gammaprod([x + 1], [x - y + 1])


MODERATE = Domain(-20, 20, near=INTEGERS[:-1], least=1e-3)
COUNT = Domain(0, 40, near=(0, 1, 2, 5, 10), least=1e-3)
case(
    sp.binom,
    COUNT,
    COUNT,
    value=_binom,
    limit=200,
    because="SciPy's binom is good to 2000 eps for arguments up to 40",
)


def _poch_z(z: Any, m: Any) -> Any:
    if not z:
        return mp.gamma(m) if m else None
    return mp.gammaprod([z + m], [z]) * (mp.digamma(z + m) - mp.digamma(z))


def _poch_m(z: Any, m: Any) -> Any:
    if not z:
        return mp.mpf(0) if m else None
    return mp.gammaprod([z + m], [z]) * mp.digamma(z + m)


case(
    sp.poch,
    COUNT,
    COUNT,
    slopes=(_poch_z, _poch_m),
    limit=100,
    because="SciPy's poch is good to 150 eps for arguments up to 40",
)


def _gamma_density(a: Any, x: Any) -> Any:
    if x == 0:
        return mp.mpf(0) if a > 1 else (mp.mpf(1) if a == 1 else mp.inf)
    return mp.exp((a - 1) * mp.log(x) - x - mp.loggamma(a))


case(sp.gammainc, SHAPE, POSITIVE, slopes=(None, _gamma_density))
case(sp.gammaincc, SHAPE, POSITIVE, slopes=(None, lambda a, x: -_gamma_density(a, x)))


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    with mp.workdps(100):
        y = 1 - x
        if x == 0 or y == 0:
            p, other = (a, b) if x == 0 else (b, a)
            return mp.mpf(0) if p > 1 else (other if p == 1 else mp.inf)
        return mp.exp(
            (a - 1) * mp.log(x)
            + (b - 1) * mp.log(y)
            + mp.loggamma(a + b)
            - mp.loggamma(a)
            - mp.loggamma(b)
        )


case(
    sp.betainc,
    SHAPE,
    SHAPE,
    PROBABILITY,
    slopes=(None, None, _beta_density),
    meet=False,
    limit=100,
    because="SciPy's betaln is good to 100 eps of its terms, for shapes up to 100",
)
case(
    sp.betaincc,
    SHAPE,
    SHAPE,
    PROBABILITY,
    slopes=(None, None, lambda a, b, x: -_beta_density(a, b, x)),
    meet=False,
    limit=100,
    because="SciPy's betaln is good to 100 eps of its terms, for shapes up to 100",
)
case(
    lambda a: tg.special.multigammaln(a, 3) if isinstance(a, tg.Tensor) else None,
    Domain(low=1.001, near=(1.5, 2)),
    slope=lambda a: mp.fsum(mp.digamma(a - mp.mpf(j) / 2) for j in range(3)),
    name="multigammaln(3)",
)

# ---------------------------------------------------------------------- entropies and robust losses
case(
    sp.xlogy,
    REAL,
    POSITIVE,
    slopes=(lambda x, y: mp.log(y) if y else None, lambda x, y: x / y if x else 0),
)
case(
    sp.xlog1py,
    REAL,
    Domain(low=-1),
    slopes=(
        lambda x, y: mp.log1p(y) if y > -1 else None,
        lambda x, y: x / (1 + y) if x else 0,
    ),
)
case(sp.entr, POSITIVE, slope=lambda x: -mp.log(x) - 1 if x else mp.inf)
case(
    sp.rel_entr,
    POSITIVE,
    POSITIVE,
    slopes=(
        lambda x, y: mp.log(x / y) + 1 if x and y else None,
        lambda x, y: -x / y if y else None,
    ),
)
case(
    sp.kl_div,
    POSITIVE,
    POSITIVE,
    slopes=(
        lambda x, y: mp.log(x / y) if x and y else None,
        lambda x, y: 1 - x / y if y else None,
    ),
)
case(
    sp.huber,
    POSITIVE,
    REAL,
    slopes=(
        lambda d, r: max(abs(r) - d, 0),
        lambda d, r: min(max(r, -d), d),
    ),
)


def _pseudo_huber(d: Any, r: Any) -> Any:
    """d^2 (sqrt(1 + (r / d)^2) - 1)."""
    return d * d * (mp.sqrt(1 + (r / d) ** 2) - 1)


def _pseudo_huber_delta(d: Any, r: Any) -> Any:
    if not d:
        return abs(r)
    with mp.workdps(700):
        h = mp.sqrt(d * d + r * r)
        return (h - d) ** 2 / h


case(
    sp.pseudo_huber,
    POSITIVE,
    REAL,
    slopes=(
        _pseudo_huber_delta,
        lambda d, r: d * r / mp.hypot(d, r) if d or r else 0,
    ),
)
POWER = Domain(-50, 50, near=(0, 1, -1, 2, 0.5))
case(
    sp.boxcox,
    POSITIVE,
    POWER,
    slopes=(lambda x, p: x ** (p - 1) if x else None, None),
)
case(
    sp.boxcox1p,
    Domain(low=-1),
    POWER,
    slopes=(lambda x, p: (1 + x) ** (p - 1) if x > -1 else None, None),
)


def _inv_boxcox(y: Any, p: Any) -> Any:
    """(1 + p y)^(1/p - 1)."""
    if p == 0:
        return mp.exp(y)
    base = p * y
    return mp.exp(mp.log1p(base) * (1 / p - 1)) if base > -1 else None


case(sp.inv_boxcox, REAL, POWER, slopes=(_inv_boxcox, None), digits=700)
case(sp.inv_boxcox1p, REAL, POWER, slopes=(_inv_boxcox, None), digits=700)
case(
    sp.powm1,
    POSITIVE,
    POWER,
    slopes=(
        lambda x, y: (y * x ** (y - 1) if y else 0) if x else None,
        lambda x, y: x**y * mp.log(x) if x else None,
    ),
)

# ----------------------------------------------------------------------------- elementary functions
DEGREES = Domain(-1e13, 1e13, near=(0, 90, 180, -90, 45, 360))
case(sp.cbrt, REAL, slope=lambda x: 1 / (3 * mp.cbrt(abs(x)) ** 2))
case(sp.exp2, EXPONENT, slope=lambda x: mp.mpf(2) ** x * mp.log(2))
case(sp.exp10, EXPONENT, slope=lambda x: mp.mpf(10) ** x * mp.log(10))
case(sp.expm1, EXPONENT, slope=mp.exp)
case(sp.log1p, Domain(low=-1), slope=lambda x: 1 / (1 + x))
case(sp.cosm1, ANGLES, slope=lambda x: -mp.sin(x), digits=400)


def _degrees(function: Any) -> Slope:
    """Of an angle in degrees, whose whole turns are taken off exactly."""
    return lambda x: function(mp.pi / 180 * (x - 360 * mp.floor(x / 360))) * mp.pi / 180


def _tandg(x: Any) -> Any:
    rest = x - 180 * mp.floor(x / 180)
    return mp.inf if rest == 90 else mp.sec(mp.pi / 180 * rest) ** 2 * mp.pi / 180


def _cotdg(x: Any) -> Any:
    rest = x - 180 * mp.floor(x / 180)
    return mp.inf if rest == 0 else -(mp.csc(mp.pi / 180 * rest) ** 2) * mp.pi / 180


case(sp.sindg, DEGREES, slope=_degrees(mp.cos), digits=400)
case(sp.cosdg, DEGREES, slope=_degrees(lambda x: -mp.sin(x)), digits=400)
case(sp.tandg, DEGREES, slope=_tandg, digits=400)
case(sp.cotdg, DEGREES, slope=_cotdg, digits=400)
case(
    sp.radian,
    REAL,
    REAL,
    REAL,
    slopes=(lambda *_: mp.pi / 180, lambda *_: mp.pi / 10800, lambda *_: mp.pi / 648000),
)


def _exprel(x: Any) -> Any:
    if abs(x) < 1e-3:
        return mp.fsum(x**k / (mp.factorial(k) * (k + 2)) for k in range(25))
    return ((x - 1) * mp.exp(x) + 1) / x**2


case(sp.exprel, EXPONENT, slope=_exprel)
case(
    lambda x: tg.special.diric(x, 5),
    Domain(-100, 100, near=(0, np.pi, 2 * np.pi)),
    slope=lambda x: -mp.fsum(k * mp.sin(k * x) for k in (-2, -1, 0, 1, 2)) / 5,
    name="diric(5)",
)

# ---------------------------------------------------------------- integrals of elementary functions
case(sp.exp1, POSITIVE, slope=lambda x: -mp.exp(-x) / x)
case(sp.expi, Domain(near=(0, 1, -1, 713, 91, -700)), slope=lambda x: mp.exp(x) / x)
for order in (0, 1, 2, 5):
    case(
        lambda x, n=order: sp.expn(n, x),
        POSITIVE,
        slope=lambda x, n=order: (
            -mp.expint(n - 1, x) if x else (mp.inf if n < 3 else -mp.mpf(1) / (n - 2))
        ),
        name=f"expn({order})",
    )
case(
    lambda x: sp.sici(x)[0],
    ANGLES,
    slope=lambda x: mp.sin(x) / x if x else 1,
    name="si",
    digits=400,
)
case(lambda x: sp.sici(x)[1], POSITIVE, slope=lambda x: mp.cos(x) / x, name="ci", digits=400)
case(
    lambda x: sp.shichi(x)[0],
    EXPONENT,
    slope=lambda x: mp.sinh(x) / x if x else 1,
    name="shi",
)
case(lambda x: sp.shichi(x)[1], POSITIVE, slope=lambda x: mp.cosh(x) / x, name="chi")
FRESNEL = Domain(near=(0, 1, -1, 2, 20, 100))


def _quarter(function: Any) -> Slope:
    """Of pi / 2 x^2, of which whole turns are taken off exactly."""

    def slope(x: Any) -> Any:
        with mp.workdps(1000):
            half = x * x / 2
            rest = half - 2 * mp.floor(half / 2)
        return function(mp.pi * rest)

    return slope


case(lambda x: sp.fresnel(x)[0], FRESNEL, slope=_quarter(mp.sin), name="fresnel S", digits=400)
case(lambda x: sp.fresnel(x)[1], FRESNEL, slope=_quarter(mp.cos), name="fresnel C", digits=400)


def _wrightomega(x: Any) -> Any:
    w = mp.lambertw(mp.exp(x)).real
    return w / (1 + w)


case(
    sp.wrightomega,
    Domain(-800, 1e8, near=(0, 1, -1)),
    slope=_wrightomega,
)
case(
    lambda x: np.real(tg.special.lambertw(x)),
    Domain(low=-float(np.exp(-1)), near=(-float(np.exp(-1)), 0, 1)),
    slope=lambda x: 1 / (mp.exp(mp.lambertw(x)) * (1 + mp.lambertw(x))),
    name="lambertw",
)


def _spence(z: Any) -> Any:
    if z == 1:
        return mp.mpf(-1)
    if z == 0:
        return mp.inf
    return mp.log1p(z - 1) / (1 - z) if abs(z - 1) < 0.5 else mp.log(z) / (1 - z)


case(sp.spence, POSITIVE, slope=_spence)

# -------------------------------------------------------------------------- hypergeometric functions
BETWEEN = Domain(-30, 30, near=(0, 1, -1), least=1e-6)
FIRM = Domain(0.5, 8, near=(1, 2))
case(
    sp.hyp0f1,
    FIRM,
    BETWEEN,
    slopes=(None, lambda v, z: mp.hyp0f1(v + 1, z) / v),
    meet=False,
    limit=100,
    because="SciPy's hyp0f1 is good to 100 eps at moderate arguments",
)
case(
    sp.hyp1f1,
    FIRM,
    FIRM,
    BETWEEN,
    slopes=(None, None, lambda a, b, x: mp.hyp1f1(a + 1, b + 1, x) * a / b),
    meet=False,
    limit=100,
    because="SciPy's hyp1f1 is good to 100 eps at moderate arguments",
    count=120,
)
case(
    sp.hyp2f1,
    FIRM,
    FIRM,
    FIRM,
    Domain(-0.9, 0.9, near=(0,)),
    slopes=(
        None,
        None,
        None,
        lambda a, b, c, z: mp.hyp2f1(a + 1, b + 1, c + 1, z) * a * b / c,
    ),
    meet=False,
    count=120,
)
case(
    sp.hyperu,
    FIRM,
    Domain(0.2, 0.8),  # near whole numbers SciPy's hyperu is wrong
    Domain(0.01, 50),
    slopes=(None, None, lambda a, b, x: -a * mp.hyperu(a + 1, b + 1, x)),
    meet=False,
    limit=1e9,
    because="SciPy's hyperu is good to 1e-7, and near whole b to nothing",
    count=80,
)
