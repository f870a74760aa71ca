"""Bessel functions and their kin, at the orders and arguments where SciPy's own are good."""

from __future__ import annotations

from typing import Any

from mpmath import mp
from scipy import special as sp

from tests.accuracy.measure import Case, Domain, Slope

CASES: list[Case] = []


def case(name: str, function: Any, domain: Domain, slope: Slope, **settings: Any) -> None:
    """Enter a function of one argument with its slope."""
    settings.setdefault("count", 60 if "k" not in name else 12)
    CASES.append(Case(f"special.{name}", function, (domain,), (slope,), **settings))


WAVES = Domain(-1e3, 1e3, near=(0, 1, -1, 2.404825557695773, 3.8317, 10))
POSITIVE_WAVES = Domain(0, 1e3, near=(0, 1, 0.8935769662791675, 2.197, 10))
GROWING = Domain(-700, 700, near=(0, 1, -1, 10, 80, 700))
FALLING = Domain(0, near=(0, 1, 2, 10, 30, 700))
DIFFERENCE: Any = {"limit": 100, "because": "below x = 20 the slope is a difference of 2 x eps"}
LATE = Domain(1e-9, 1e9, near=(1, 10, 19, 21, 700))
SCALED = Domain(-1e9, 1e9, near=(0, 1, -1, 10, 30, -30, 700))


def _scaled(function: Any, growth: int) -> Slope:
    """Of exp(growth |x|) f(x), from f and f' in more digits."""

    def slope(x: Any) -> Any:
        with mp.workdps(60 + 2 * max(0, int(mp.log10(abs(x) or 1)))):
            f = function(abs(x) if growth > 0 else x)
            sign = 1 if growth > 0 else mp.sign(x)
            return mp.exp(growth * abs(x)) * (f[1] + growth * sign * f[0])

    return slope


def _half(a: Any, b: Any) -> Any:
    return (a + b) / 2


def _i(v: Any, x: Any) -> tuple[Any, Any]:
    return mp.besseli(v, x), _half(mp.besseli(v - 1, x), mp.besseli(v + 1, x))


def _k(v: Any, x: Any) -> tuple[Any, Any]:
    return mp.besselk(v, x), -_half(mp.besselk(v - 1, x), mp.besselk(v + 1, x))


case("j0", sp.j0, WAVES, lambda x: -mp.besselj(1, x))
case("j1", sp.j1, WAVES, lambda x: _half(mp.besselj(0, x), -mp.besselj(2, x)))
case("y0", sp.y0, POSITIVE_WAVES, lambda x: -mp.bessely(1, x))
case("y1", sp.y1, POSITIVE_WAVES, lambda x: _half(mp.bessely(0, x), -mp.bessely(2, x)))
case("i0", sp.i0, GROWING, lambda x: mp.besseli(1, x))
case("i1", sp.i1, GROWING, lambda x: _i(1, x)[1])
case("k0", sp.k0, FALLING, lambda x: -mp.besselk(1, x))
case("k1", sp.k1, FALLING, lambda x: _k(1, x)[1])
case("i0e", sp.i0e, SCALED, _scaled(lambda x: _i(0, x), -1), **DIFFERENCE)
case("i1e", sp.i1e, SCALED, _scaled(lambda x: _i(1, x), -1), **DIFFERENCE)
case("k0e", sp.k0e, LATE, _scaled(lambda x: _k(0, x), 1))
case("k1e", sp.k1e, LATE, _scaled(lambda x: _k(1, x), 1))
FIRM = Domain(1e-3, 300, near=(1, 2, 10, 30), least=1e-3)
for v in (0.0, 1.0, 2.5, 7.0):
    case(
        f"jv({v:g})",
        lambda x, v=v: sp.jv(v, x),
        FIRM,
        lambda x, v=v: _half(mp.besselj(v - 1, x), -mp.besselj(v + 1, x)),
        limit=20,
        because="SciPy's jv of a broken order (AMOS)",
    )
    case(
        f"yv({v:g})",
        lambda x, v=v: sp.yv(v, x),
        FIRM,
        lambda x, v=v: _half(mp.bessely(v - 1, x), -mp.bessely(v + 1, x)),
    )
    case(f"iv({v:g})", lambda x, v=v: sp.iv(v, x), FIRM, lambda x, v=v: _i(v, x)[1])
    case(f"kv({v:g})", lambda x, v=v: sp.kv(v, x), FIRM, lambda x, v=v: _k(v, x)[1])
    case(
        f"ive({v:g})",
        lambda x, v=v: sp.ive(v, x),
        FIRM,
        _scaled(lambda x, v=v: _i(v, x), -1),
        **DIFFERENCE,
    )
    case(
        f"kve({v:g})",
        lambda x, v=v: sp.kve(v, x),
        FIRM,
        _scaled(lambda x, v=v: _k(v, x), 1),
    )

AMOS: Any = {"limit": 100, "because": "SciPy's functions of Airy and of broken orders (AMOS)"}
AIRY = Domain(-50, 20, near=(0, 1, -1, -1.0187929716, -2.3381))
case("airy Ai", lambda x: sp.airy(x)[0], AIRY, lambda x: mp.airyai(x, derivative=1), **AMOS)
case("airy Ai'", lambda x: sp.airy(x)[1], AIRY, lambda x: x * mp.airyai(x), **AMOS)
case("airy Bi", lambda x: sp.airy(x)[2], AIRY, lambda x: mp.airybi(x, derivative=1), **AMOS)
case("airy Bi'", lambda x: sp.airy(x)[3], AIRY, lambda x: x * mp.airybi(x), **AMOS)
KELVIN_LIMIT: Any = {"limit": 1e6, "because": "SciPy's Kelvin functions are good to 1e-10"}
KELVIN = Domain(1e-3, 30, near=(1, 2, 8), least=1e-3)
for name, f, exact in (
    ("ber", sp.ber, mp.ber),
    ("bei", sp.bei, mp.bei),
    ("ker", sp.ker, mp.ker),
    ("kei", sp.kei, mp.kei),
):
    case(
        name, f, KELVIN, lambda x, f=exact: mp.diff(lambda t: f(0, t), x), count=20, **KELVIN_LIMIT
    )
STRUVE = Domain(1e-3, 100, near=(1, 2, 8), least=1e-3)
for v in (0.0, 1.0, 2.5):
    case(
        f"struve({v:g})",
        lambda x, v=v: sp.struve(v, x),
        STRUVE,
        lambda x, v=v: mp.diff(lambda t: mp.struveh(v, t), x),
        count=60,
        limit=1e3,
        because="SciPy's struve is good to 1e-14, absolutely",
    )
    case(
        f"modstruve({v:g})",
        lambda x, v=v: sp.modstruve(v, x),
        STRUVE,
        lambda x, v=v: mp.diff(lambda t: mp.struvel(v, t), x),
        count=60,
    )
