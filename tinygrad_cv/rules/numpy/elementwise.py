"""The calculus table, element by element: arithmetic, powers, exponentials, trigonometry, choices.

Subgradients: abs'(0) = 0; ties of maximum and minimum share equally; clip has slope 1 at its bounds; where gives exact
zeros to the branch not taken. Formulas are safe where the derivative is finite, whatever their parts do.
"""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np

from ..table import definition, derivative, without_gradient

# Arithmetic.
derivative(np.add, x1=lambda g: g, x2=lambda g: g)
derivative(np.subtract, x1=lambda g: g, x2=lambda g: -g)
derivative(np.multiply, x1=lambda g, x2: g * x2, x2=lambda g, x1: g * x1)
derivative(np.true_divide, x1=lambda g, x2: g / x2, x2=lambda g, x2, y: -g * y / x2)
derivative(np.negative, x=lambda g: -g)
derivative(np.positive, x=lambda g: g)
derivative(np.reciprocal, x=lambda g, y: -g * y * y)
derivative(np.square, x=lambda g, x: g * (2 * x))
derivative(np.absolute, x=lambda g, x: g * np.sign(x))
derivative(np.fabs, x=lambda g, x: g * np.sign(x))
derivative(np.sqrt, x=lambda g, y: g / (2 * y))
derivative(np.cbrt, x=lambda g, y: g / (3 * y * y))
derivative(np.hypot, x1=lambda g, x1, y: g * _ratio(x1, y), x2=lambda g, x2, y: g * _ratio(x2, y))
derivative(np.fmod, x1=lambda g: g, x2=lambda g, x1, x2: -g * np.trunc(x1 / x2))
derivative(np.remainder, x1=lambda g: g, x2=lambda g, x1, x2: -g * np.floor(x1 / x2))
derivative(np.divmod, x1=lambda g: g[1], x2=lambda g, x1, x2: -g[1] * np.floor(x1 / x2))
derivative(np.modf, x=lambda g: g[0])
derivative(np.frexp, x=lambda g, x, y: g[0] * np.ldexp(np.ones_like(x), -y[1]))
derivative(np.ldexp, x1=lambda g, x2: np.ldexp(g, x2), x2=None)
derivative(
    np.copysign, x1=lambda g, x1, x2: g * (np.sign(x1) * np.copysign(np.ones_like(x2), x2)), x2=None
)


def _ratio(x: Any, y: Any) -> Any:
    """x / y, and 0 where y is 0."""
    return x / np.where(y == 0, 1, y)


# Powers. d x1^x2 / dx1 = x2 x1^(x2-1) is 0 for x2 = 0 even at x1 = 0; d / dx2 = x1^x2 log x1 is 0 at x1 = 0.
def _power_base(g: Any, x1: Any, x2: Any) -> Any:
    flat = np.equal(x2, 0)
    return g * np.where(flat, 0, x2 * np.power(np.where(flat, 1, x1), np.where(flat, 1, x2 - 1)))


def _power_exponent(g: Any, x1: Any, y: Any) -> Any:
    return g * y * np.log(np.where(np.equal(x1, 0), 1, x1))


derivative(np.power, x1=_power_base, x2=_power_exponent)
derivative(np.float_power, x1=_power_base, x2=_power_exponent)

# Exponentials and logarithms.
derivative(np.exp, x=lambda g, y: g * y)
derivative(np.exp2, x=lambda g, y: g * y * log(2))
derivative(np.expm1, x=lambda g, y: g * (y + 1))
derivative(np.log, x=lambda g, x: g / x)
derivative(np.log2, x=lambda g, x: g / (x * log(2)))
derivative(np.log10, x=lambda g, x: g / (x * log(10)))
derivative(np.log1p, x=lambda g, x: g / (1 + x))


def _share(g: Any, x1: Any, x2: Any, base: float) -> Any:
    """g / (1 + base^(x2 - x1)): the part of a log-sum that is x1's. No overflow; where both are -inf, half each."""
    both = np.isinf(x1) & np.equal(x1, x2)
    difference = np.where(both, 0, x2) - np.where(both, 0, x1)
    return g * (0.5 - 0.5 * np.tanh((0.5 * log(base)) * difference))


E1 = 2.718281828459045
derivative(
    np.logaddexp,
    x1=lambda g, x1, x2: _share(g, x1, x2, E1),
    x2=lambda g, x1, x2: _share(g, x2, x1, E1),
)
derivative(
    np.logaddexp2,
    x1=lambda g, x1, x2: _share(g, x1, x2, 2),
    x2=lambda g, x1, x2: _share(g, x2, x1, 2),
)

# Trigonometry.
derivative(np.sin, x=lambda g, x: g * np.cos(x))
derivative(np.cos, x=lambda g, x: -g * np.sin(x))
derivative(np.tan, x=lambda g, y: g * (1 + y * y))
derivative(np.arcsin, x=lambda g, x: g / np.sqrt(1 - x * x))
derivative(np.arccos, x=lambda g, x: -g / np.sqrt(1 - x * x))
derivative(np.arctan, x=lambda g, x: g / (1 + x * x))
derivative(
    np.arctan2,
    x1=lambda g, x1, x2: g * x2 / (x1 * x1 + x2 * x2),
    x2=lambda g, x1, x2: -g * x1 / (x1 * x1 + x2 * x2),
)
derivative(np.sinh, x=lambda g, x: g * np.cosh(x))
derivative(np.cosh, x=lambda g, x: g * np.sinh(x))
derivative(np.tanh, x=lambda g, y: g * (1 - y * y))
derivative(np.arcsinh, x=lambda g, x: g / np.sqrt(x * x + 1))
derivative(np.arccosh, x=lambda g, x: g / np.sqrt((x - 1) * (x + 1)))
derivative(np.arctanh, x=lambda g, x: g / ((1 - x) * (1 + x)))
for _degrees in (np.rad2deg, np.degrees):
    derivative(_degrees, x=lambda g: g * (180 / pi))
for _radians in (np.deg2rad, np.radians):
    derivative(_radians, x=lambda g: g * (pi / 180))


@definition(np.sinc)
def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x); near 0 its series 1 - z/6 + z^2/120 - ..., z = (pi x)^2, which has all derivatives."""
    z = (pi * x) ** 2
    small = z < 0.01
    safe = pi * np.where(small, 1, x)
    series = 1 - z / 6 * (1 - z / 20 * (1 - z / 42 * (1 - z / 72 * (1 - z / 110 * (1 - z / 156)))))
    return np.where(small, series, np.sin(safe) / safe)


# Choices.
def _chosen(g: Any, x: Any, y: Any, other: Any) -> Any:
    """g where x was chosen; where both were equal, half of it."""
    return g * np.where(np.equal(x, other), 0.5, np.equal(x, y)).astype(g.dtype)


for _choice in (np.maximum, np.minimum, np.fmax, np.fmin):
    derivative(
        _choice,
        x1=lambda g, x1, x2, y: _chosen(g, x1, y, x2),
        x2=lambda g, x1, x2, y: _chosen(g, x2, y, x1),
    )
derivative(
    np.where,
    signature="condition, x, y",
    condition=None,
    x=lambda g, condition: np.where(condition, g, 0),
    y=lambda g, condition: np.where(condition, 0, g),
).selects = True


@definition(np.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """a between two bounds, either of which may be missing; a has slope 1 at a bound, the bound itself 0."""
    low, high = min if a_min is None else a_min, max if a_max is None else a_max
    if low is not None:
        a = np.where(np.less(a, low), low, a)
    return np.where(np.greater(a, high), high, a) if high is not None else a


@definition(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    limits = np.finfo(x.dtype)
    x = np.where(np.isnan(x), nan, x)
    x = np.where(np.isposinf(x), limits.max if posinf is None else posinf, x)
    return np.where(np.isneginf(x), limits.min if neginf is None else neginf, x)


# The identity on real numbers.
for _identity in (np.real, np.real_if_close):
    definition(_identity)(lambda val, *rest, **options: +val)
derivative(np.conjugate, x=lambda g: g)

# Constant between jumps: arrays without gradient.
without_gradient(
    np.sign,
    np.floor,
    np.ceil,
    np.trunc,
    np.rint,
    np.fix,
    np.round,
    np.around,
    np.floor_divide,
    np.heaviside,
)
without_gradient(np.imag, np.angle, np.nextafter, np.spacing, np.signbit, np.isnan)
without_gradient(
    np.greater,
    np.greater_equal,
    np.less,
    np.less_equal,
    np.equal,
    np.not_equal,
    np.isfinite,
    np.isinf,
)
without_gradient(
    np.logical_and,
    np.logical_or,
    np.logical_not,
    np.logical_xor,
    np.isposinf,
    np.isneginf,
    np.isreal,
)
without_gradient(
    np.iscomplex,
    np.iscomplexobj,
    np.isrealobj,
    np.isclose,
    np.allclose,
    np.array_equal,
    np.array_equiv,
)
