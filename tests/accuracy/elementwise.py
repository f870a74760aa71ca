"""NumPy's elementwise functions, and the derivative of each in mpmath."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpmath import mp

from tests.accuracy.measure import Case, Domain, Slope

REAL = Domain()
POSITIVE = Domain(low=0)
UNIT = Domain(-1, 1, near=(0, 1, -1, 0.5, -0.5))
ANGLES = Domain(near=(0, np.pi / 2, np.pi, -np.pi, 1e5, 1, 4.5))
INTEGERS = (0.0, 1.0, -1.0, 2.0, 3.0, -2.0, -5.0, 10.0)


CASES: list[Case] = []


def case(function: Any, *domains: Domain, **settings: Any) -> None:
    """Enter a function with its slopes, as `slope=` or `slopes=`."""
    slope = settings.pop("slope", None)
    slopes = settings.pop("slopes", (slope,))
    name = settings.pop("name", None) or function.__name__
    CASES.append(Case(name, function, domains, slopes, **settings))


def unless_zero(slope: Slope) -> Slope:
    """Nothing where the (first) argument is 0: there the function has a kink."""
    return lambda *args: slope(*args) if args[0] else None


# Arithmetic.
case(np.add, REAL, REAL, slopes=(lambda a, b: 1, lambda a, b: 1))
case(np.subtract, REAL, REAL, slopes=(lambda a, b: 1, lambda a, b: -1))
case(np.multiply, REAL, REAL, slopes=(lambda a, b: b, lambda a, b: a))
case(
    np.true_divide,
    REAL,
    REAL,
    slopes=(lambda a, b: 1 / b, lambda a, b: -a / b**2 if a or b else None),
)
case(np.negative, REAL, slope=lambda x: -1)
case(np.positive, REAL, slope=lambda x: 1)
case(np.reciprocal, REAL, slope=lambda x: -1 / x**2)
case(np.square, REAL, slope=lambda x: 2 * x)
case(np.absolute, REAL, slope=mp.sign)
case(np.fabs, REAL, slope=mp.sign)
case(np.sqrt, POSITIVE, slope=lambda x: 1 / (2 * mp.sqrt(x)))
case(np.cbrt, REAL, slope=lambda x: 1 / (3 * mp.cbrt(abs(x)) ** 2))


def _smooth_quotient(a: Any, b: Any, whole: Slope) -> Any:
    """Of a - b whole(a / b): nothing where it jumps, or where b is 0."""
    if not b:
        return None
    with mp.workdps(700):
        quotient = a / b
        return None if quotient == mp.nint(quotient) else -whole(quotient)


case(
    np.fmod,
    REAL,
    Domain(near=(0.1, 0.7)),
    slopes=(None, lambda a, b: _smooth_quotient(a, b, lambda q: mp.sign(q) * mp.floor(abs(q)))),
)
case(
    np.remainder,
    REAL,
    Domain(near=(0.1, 0.7)),
    slopes=(None, lambda a, b: _smooth_quotient(a, b, mp.floor)),
)
case(
    lambda a, b: np.divmod(a, b)[1],
    REAL,
    Domain(near=(0.1, 0.7)),
    slopes=(None, lambda a, b: _smooth_quotient(a, b, mp.floor)),
    name="divmod",
)
case(np.copysign, REAL, REAL, slopes=(lambda a, b: mp.sign(a) * mp.sign(b) if b else None, None))


# Powers.
def _power_base(a: Any, b: Any) -> Any:
    if b == 0:
        return 0
    if a < 0 and b != mp.nint(b):
        return None
    if a == 0:
        if b > 1:
            return 0
        return 1 if b == 1 else mp.inf
    return b * a ** (b - 1)


def _power_exponent(a: Any, b: Any) -> Any:
    if a < 0 or (a == 0 and b <= 0):
        return None
    return mp.mpf(0) if a == 0 else a**b * mp.log(a)


WHOLE = Domain(-40, 40, near=INTEGERS, whole=True)
for function in (np.power, np.float_power):
    if function is np.power:
        case(function, REAL, WHOLE, slopes=(_power_base, None), name="power, whole")
        case(function, POSITIVE, Domain(near=INTEGERS), slopes=(_power_base, _power_exponent))
    else:
        case(
            function,
            POSITIVE,
            Domain(near=INTEGERS),
            slopes=(_power_base, _power_exponent),
            dtypes=(np.float64,),
        )


def _hypot(a: Any, b: Any) -> Any:
    return a / mp.hypot(a, b) if a or b else 0


case(np.hypot, REAL, REAL, slopes=(_hypot, lambda a, b: _hypot(b, a)))

# Exponentials and logarithms.
EXPONENT = Domain(near=(0, 1, -1, 700, -700, -745, 80, -90, -40, 36, -36))
case(np.exp, EXPONENT, slope=mp.exp)
case(np.exp2, EXPONENT, slope=lambda x: mp.mpf(2) ** x * mp.log(2))
case(np.expm1, EXPONENT, slope=mp.exp)
case(np.log, POSITIVE, slope=lambda x: 1 / x)
case(np.log2, POSITIVE, slope=lambda x: 1 / (x * mp.log(2)))
case(np.log10, POSITIVE, slope=lambda x: 1 / (x * mp.log(10)))
case(np.log1p, Domain(low=-1), slope=lambda x: 1 / (1 + x))


def _share(base: Any) -> tuple[Slope, Slope]:
    """1 / (1 + base^(b - a))."""
    return (
        lambda a, b: 1 / (1 + mp.exp(mp.log(base) * (b - a))),
        lambda a, b: 1 / (1 + mp.exp(mp.log(base) * (a - b))),
    )


case(np.logaddexp, EXPONENT, EXPONENT, slopes=_share(mp.e))
case(np.logaddexp2, EXPONENT, EXPONENT, slopes=_share(2))

# Trigonometry.
case(np.sin, ANGLES, slope=mp.cos, digits=400)
case(np.cos, ANGLES, slope=lambda x: -mp.sin(x), digits=400)
case(np.tan, ANGLES, slope=lambda x: mp.sec(x) ** 2, digits=400)
case(np.arcsin, UNIT, slope=lambda x: 1 / mp.sqrt((1 - x) * (1 + x)))
case(np.arccos, UNIT, slope=lambda x: -1 / mp.sqrt((1 - x) * (1 + x)))
case(np.arctan, REAL, slope=lambda x: 1 / (1 + x * x))


def _arctan2(a: Any, b: Any) -> Any:
    return b / (a * a + b * b) if a or b else None


case(np.arctan2, REAL, REAL, slopes=(_arctan2, lambda a, b: -_arctan2(b, a) if a or b else None))
case(np.sinh, EXPONENT, slope=mp.cosh)
case(np.cosh, EXPONENT, slope=mp.sinh)
case(np.tanh, EXPONENT, slope=lambda x: mp.sech(x) ** 2)
case(np.arcsinh, REAL, slope=lambda x: 1 / mp.sqrt(1 + x * x))
case(np.arccosh, Domain(low=1, near=(1, 2)), slope=lambda x: 1 / mp.sqrt((x - 1) * (x + 1)))
case(np.arctanh, UNIT, slope=lambda x: 1 / ((1 - x) * (1 + x)))
for function in (np.rad2deg, np.degrees):
    case(function, REAL, slope=lambda x: 180 / mp.pi)
for function in (np.deg2rad, np.radians):
    case(function, REAL, slope=lambda x: mp.pi / 180)


def _sinc(x: Any) -> Any:
    z = mp.pi * x
    if abs(z) < 1e-3:
        return -mp.pi * z / 3 * (1 - z**2 / 10 + z**4 / 280 - z**6 / 15120 + z**8 / 1330560)
    return mp.pi * (mp.cospi(x) / z - mp.sinpi(x) / z**2)


case(np.sinc, Domain(near=(0, 1, -1, 0.5, 0.3, 1.43, 2, 7)), slope=_sinc, digits=400)
case(np.i0, EXPONENT, slope=lambda x: mp.besseli(1, x), count=120)

# Choices.
for function, better in (
    (np.maximum, max),
    (np.minimum, min),
    (np.fmax, max),
    (np.fmin, min),
):
    case(
        function,
        REAL,
        REAL,
        slopes=(
            lambda a, b, f=better: 0.5 if a == b else float(f(a, b) == a),
            lambda a, b, f=better: 0.5 if a == b else float(f(a, b) == b),
        ),
    )
case(lambda x: np.clip(x, -2.0, 3.0), REAL, slope=lambda x: float(-2 <= x <= 3), name="clip")
case(np.nan_to_num, REAL, slope=lambda x: 1)
case(lambda x: np.ldexp(x, 3), REAL, slope=lambda x: 8, name="ldexp")
case(lambda x: np.modf(x)[0], REAL, slope=lambda x: 1, name="modf")
