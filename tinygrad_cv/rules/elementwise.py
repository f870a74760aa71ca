"""The calculus table, element by element: arithmetic, powers, exponentials, trigonometry, choices.

Subgradients chosen at kinks: abs, fabs and copysign have 0 at 0, hypot and arctan2 have 0 at the origin; equal arguments
of maximum, minimum, fmax and fmin share equally; clip passes the whole gradient on within its bounds and at them;
interp has the slope to the right at a knot. Piecewise constant functions (floor, rint, sign, ...) have no gradient: they
return plain arrays, as comparisons do.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import expit, i1

from .. import special
from ..tensor import Tensor, derivative, unwrap
from .table import definition, without_gradient

LN2, LN10, DEGREE = math.log(2), math.log(10), math.pi / 180

# ---------------------------------------------------------------------------------------------------------- arithmetic

derivative(np.add, x1=lambda g: g, x2=lambda g: g)
derivative(np.subtract, x1=lambda g: g, x2=lambda g: -g)
derivative(np.multiply, x1=lambda g, x2: g * x2, x2=lambda g, x1: g * x1)
derivative(np.true_divide, x1=lambda g, x2: g / x2, x2=lambda g, x2, y: -g * y / x2)
derivative(np.negative, x=lambda g: -g)
derivative(np.positive, x=lambda g: g)
derivative(np.conjugate, x=lambda g: g)
derivative(np.reciprocal, x=lambda g, y: -g * y * y)
derivative(np.square, x=lambda g, x: 2 * g * x)
derivative(np.absolute, x=lambda g, x: g * np.sign(x))
derivative(np.fabs, x=lambda g, x: g * np.sign(x))
derivative(np.copysign, x1=lambda g, x1, x2: g * np.sign(x1) * np.copysign(1.0, x2), x2=None)
derivative(np.ldexp, x1=lambda g, x2: np.ldexp(g, x2), x2=None)
derivative(np.frexp, x=lambda g, x: np.ldexp(g[0], -np.frexp(unwrap(x))[1]))
derivative(np.modf, x=lambda g: g[0])
derivative(np.heaviside, x1=None, x2=lambda g, x1: np.where(x1 == 0, g, 0.0))

# x1 - n x2 with a whole number n that is constant nearly everywhere: the quotient, rounded down or towards zero.
derivative(np.remainder, x1=lambda g: g, x2=lambda g, x1, x2: -g * np.floor_divide(x1, x2))
derivative(np.fmod, x1=lambda g: g, x2=lambda g, x1, x2, y: -g * np.rint((x1 - y) / x2))
derivative(np.divmod, x1=lambda g: g[1], x2=lambda g, x1, x2: -g[1] * np.floor_divide(x1, x2))

# -------------------------------------------------------------------------------------------------------------- powers


def _power_base(g: Any, x1: Any, x2: Any) -> Any:
    """g x2 x1^(x2 - 1), which is 0 at 0^0."""
    if isinstance(x2, (int, float)):
        return g * (x2 * np.power(x1, x2 - 1 if x2 else 1))
    return g * (x2 * np.power(x1, np.where((x1 == 0) & (x2 == 0), 1, x2 - 1)))


def _power_exponent(g: Any, x1: Any, y: Any) -> Any:
    """g x1^x2 log x1, which is 0 at base 0."""
    return g * y * np.log(np.where(x1 == 0, 1, x1))


for _power in (np.power, np.float_power):
    derivative(_power, x1=_power_base, x2=_power_exponent)
derivative(np.sqrt, x=lambda g, y: 0.5 * g / y)
derivative(np.cbrt, x=lambda g, y: g / (3 * y * y))

# ------------------------------------------------------------------------------------------ exponentials and logarithms

derivative(np.exp, x=lambda g, y: g * y)
derivative(np.exp2, x=lambda g, y: g * y * LN2)
derivative(np.expm1, x=lambda g, x: g * np.exp(x))
derivative(np.log, x=lambda g, x: g / x)
derivative(np.log2, x=lambda g, x: g / (x * LN2))
derivative(np.log10, x=lambda g, x: g / (x * LN10))
derivative(np.log1p, x=lambda g, x: g / (1 + x))


def _share(x1: Any, x2: Any, base: float = 1.0) -> Any:
    """e^x1 / (e^x1 + e^x2), the part of x1 in logaddexp(x1, x2); equal infinities share equally."""
    tie = np.isinf(x1) & (x1 == x2)
    return expit(base * (np.where(tie, 0.0, x1) - np.where(tie, 0.0, x2)))


derivative(np.logaddexp, x1=lambda g, x1, x2: g * _share(x1, x2), x2=lambda g, x1, x2: g * _share(x2, x1))
derivative(np.logaddexp2, x1=lambda g, x1, x2: g * _share(x1, x2, LN2), x2=lambda g, x1, x2: g * _share(x2, x1, LN2))

# -------------------------------------------------------------------------------------------------------- trigonometry

derivative(np.sin, x=lambda g, x: g * np.cos(x))
derivative(np.cos, x=lambda g, x: -g * np.sin(x))
derivative(np.tan, x=lambda g, y: g * (1 + y * y))
derivative(np.arcsin, x=lambda g, x: g / np.sqrt((1 - x) * (1 + x)))
derivative(np.arccos, x=lambda g, x: -g / np.sqrt((1 - x) * (1 + x)))
derivative(np.arctan, x=lambda g, x: g / (1 + x * x))
derivative(np.sinh, x=lambda g, x: g * np.cosh(x))
derivative(np.cosh, x=lambda g, x: g * np.sinh(x))
derivative(np.tanh, x=lambda g, y: g * (1 - y * y))
derivative(np.arcsinh, x=lambda g, x: g / np.hypot(x, 1.0))
derivative(np.arccosh, x=lambda g, x: g / np.sqrt((x - 1) * (x + 1)))
derivative(np.arctanh, x=lambda g, x: g / ((1 - x) * (1 + x)))
for _to_radians in (np.radians, np.deg2rad):
    derivative(_to_radians, x=lambda g: g * DEGREE)
for _to_degrees in (np.degrees, np.rad2deg):
    derivative(_to_degrees, x=lambda g: g / DEGREE)


def _off_origin(radius: Any) -> Any:
    """A radius to divide by: at the origin 1, so that the gradient there is 0."""
    return np.where(radius == 0, 1.0, radius)


def _angle_slope(g: Any, x: Any, x1: Any, x2: Any) -> Any:
    """g x / (x1^2 + x2^2)."""
    radius = _off_origin(np.hypot(x1, x2))
    return g * (x / radius) / radius


derivative(np.hypot, x1=lambda g, x1, y: g * x1 / _off_origin(y), x2=lambda g, x2, y: g * x2 / _off_origin(y))
derivative(
    np.arctan2,
    x1=lambda g, x1, x2: _angle_slope(g, x2, x1, x2),
    x2=lambda g, x1, x2: -_angle_slope(g, x1, x1, x2),
)
# sinc(x) = j0(pi x): spherical Bessel functions have no quotient that fails at 0, in any order.
derivative(np.sinc, x=lambda g, x: g * special.spherical_jn(1, math.pi * x) * -math.pi)
derivative(np.i0, x=lambda g, x: g * i1(x))
derivative(np.unwrap, p=lambda g: g)

# ------------------------------------------------------------------------------------------------------------- choices


def _chosen(g: Any, y: Any, mine: Any, other: Any) -> Any:
    """The gradient of the argument that was chosen; half of it if both were."""
    return np.where(mine == y, np.where(other == y, 0.5 * g, g), 0.0)


for _choice in (np.maximum, np.minimum, np.fmax, np.fmin):
    derivative(_choice, x1=lambda g, y, x1, x2: _chosen(g, y, x1, x2), x2=lambda g, y, x1, x2: _chosen(g, y, x2, x1))

derivative(
    np.where,
    signature="condition, x=None, y=None",
    condition=None,
    x=lambda g, condition: np.where(condition, g, 0.0),
    y=lambda g, condition: np.where(condition, 0.0, g),
)


@definition(np.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """Within the bounds, and at them, the element itself has the gradient; outside the bound has it."""
    if (a_min is not None or a_max is not None) and (min is not None or max is not None):
        raise ValueError("np.clip takes its bounds as a_min and a_max or as min and max, not both")
    low, high = (min if a_min is None else a_min), (max if a_max is None else a_max)
    a = np.positive(a) if low is None else np.where(np.greater_equal(a, low), a, np.maximum(a, low))
    return a if high is None else np.where(np.less_equal(a, high), a, np.minimum(a, high))


@definition(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """The choice of the first condition that holds."""
    if len(condlist) != len(choicelist):
        raise ValueError(f"np.select: {len(condlist)} conditions do not fit {len(choicelist)} choices")
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        default = np.where(condition, choice, default)
    return default


@definition(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """The replaced elements have gradient 0."""
    if not copy:
        raise TypeError("np.nan_to_num(copy=False) writes in place, which tensors do not: assign the result instead")
    return np.where(np.isfinite(x), x, np.nan_to_num(unwrap(x), nan=nan, posinf=posinf, neginf=neginf))


@definition(np.real)
def real(val: Any) -> Any:
    return np.positive(val)


@definition(np.real_if_close)
def real_if_close(a: Any, tol: float = 100) -> Any:
    return np.positive(a)


@definition(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: float | None = None) -> Any:
    """Piecewise linear interpolation, as NumPy has it, differentiated with respect to points, knots and values."""
    x, xp, fp = (v if isinstance(v, Tensor) else np.asarray(v, float) for v in (x, xp, fp))
    if xp.ndim != 1 or fp.shape != xp.shape or not len(xp):
        raise ValueError(f"np.interp: xp {xp.shape} and fp {fp.shape} must be 1-D, of one length, and not empty")
    if period is not None:
        period, left, right = abs(period), None, None
        x, xp = np.remainder(x, period), np.remainder(xp, period)
        order = np.argsort(xp)
        xp, fp = xp[order], fp[order]
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
    last = len(xp) - 1
    end = np.minimum(np.maximum(np.searchsorted(unwrap(xp), unwrap(x), side="right"), min(1, last)), last)
    start = np.maximum(end - 1, 0)
    width = xp[end] - xp[start]
    inner = fp[start] + (fp[end] - fp[start]) * ((x - xp[start]) / np.where(width == 0, 1.0, width))
    inner = np.where(x > xp[-1], fp[-1] if right is None else right, inner)
    return np.where(x < xp[0], fp[0] if left is None else left, inner)


# --------------------------------------------------------------------------------------------------- without a gradient

without_gradient(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)
without_gradient(np.logical_and, np.logical_or, np.logical_xor, np.logical_not)
without_gradient(np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.left_shift, np.right_shift, np.bitwise_count)
without_gradient(np.isfinite, np.isinf, np.isnan, np.isnat, np.signbit, np.isneginf, np.isposinf, np.iscomplex, np.isreal)
without_gradient(np.iscomplexobj, np.isrealobj, np.isclose, np.allclose, np.array_equal, np.array_equiv)
without_gradient(np.sign, np.floor, np.ceil, np.trunc, np.rint, np.fix, np.round, np.around, np.floor_divide)
without_gradient(np.spacing, np.nextafter, np.gcd, np.lcm)
without_gradient(np.imag, np.angle)  # of real numbers: 0, and 0 or pi
