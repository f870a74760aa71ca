"""The calculus table, element by element: arithmetic, powers, exponentials, trigonometry, choices.

Subgradients: abs'(0) = 0, and its second derivative at 0 is 0 too (of complex numbers it does not
exist); the root of a norm has slope 0 at 0; ties of maximum and minimum share equally, and NaN ties
with NaN; clip has slope 1 at its bounds. What chooses gives exact zeros to what was not chosen,
even where the incoming gradient is infinite or NaN. Formulas are safe where the derivative is
finite, whatever their parts do.
"""

from __future__ import annotations

from math import log, pi

import numpy as np

from ...engine.operands import conjugate, is_complex
from ...tensor import unwrap
from ...typing import Array, Operand
from ..table import definition, derivative, refuse_complex, without_gradient


@definition(np.sign, signature="x, /")
def sign(x: Array) -> Array:
    """-1, 0 or 1, an array without gradient; of complex numbers x / |x|, and 0 at 0."""
    return direction(x, np.abs(x)) if is_complex(x) else np.sign(unwrap(x))


def _signed(g: Array, x: Array) -> Array:
    """g times the sign of x, of a complex x the conjugate of x / |x|, and 0 at 0."""
    slope = conjugate(sign(x)) if is_complex(x) else np.sign(x)
    return np.where(np.equal(x, 0), 0, g) * slope


def _along(t: Array, x: Array) -> Array:
    """How fast |x| changes as x moves along t."""
    return np.real(_signed(t, x))


def squared_size(x: Array) -> Array:
    """|x|^2, which is real: x x, of complex numbers the real part of conj(x) x."""
    return np.real(np.conjugate(x) * x) if is_complex(x) else np.square(x)


# Arithmetic.
derivative(np.add, x1=lambda g: g, x2=lambda g: g)
derivative(np.subtract, x1=lambda g: g, x2=lambda g: -g)
derivative(np.multiply, x1=lambda g, x2: g * x2, x2=lambda g, x1: g * x1)
derivative(np.true_divide, x1=lambda g, x2: g / x2, x2=lambda g, x2, y: -g * y / x2)
derivative(np.negative, x=lambda g: -g)
derivative(np.positive, x=lambda g: g)
derivative(np.reciprocal, x=lambda g, y: -g * y * y)
derivative(np.square, x=lambda g, x: g * (2 * x))
derivative(np.absolute, x=_signed).tangent(x=_along)
derivative(np.fabs, x=_signed)
derivative(np.sqrt, x=lambda g, y: g / (2 * y))
derivative(np.cbrt, x=lambda g, y: g / (3 * y * y))


def _whole(x1: Array, x2: Array, rest: Array) -> Array:
    """How many times x2 was taken from x1 to leave the rest.

    The floor of x1 / x2 may be another number: 1 / 0.1 is rounded to 10, and 0.1 goes 9 times
    into 1.
    """
    return np.rint(x1 / x2 - rest / x2)


derivative(np.fmod, x1=lambda g: g, x2=lambda g, x1, x2, y: -g * _whole(x1, x2, y))
derivative(np.remainder, x1=lambda g: g, x2=lambda g, x1, x2, y: -g * _whole(x1, x2, y))
derivative(np.divmod, x1=lambda g: g[1], x2=lambda g, x1, x2, y: -g[1] * _whole(x1, x2, y[1]))
derivative(np.modf, x=lambda g: g[0])
derivative(np.frexp, x=lambda g, x, y: g[0] * np.ldexp(np.ones_like(x), -y[1]))
derivative(np.ldexp, x1=lambda g, x2: np.ldexp(g, x2), x2=None)
derivative(
    np.copysign,
    x1=lambda g, x1, x2: _signed(g, x1) * np.copysign(np.ones_like(x2), x2),
    x2=None,
)


# Powers. d x1^x2 / dx1 = x2 x1^(x2-1) is 0 for x2 = 0 even at x1 = 0; d / dx2 = x1^x2 log x1 is 0
# at x1 = 0.
def one_power_less(x1: Array, x2: Array | float) -> Array:
    """x1^(x2 - 1); where x2 - 1 would lose digits of a small x2, x1^x2 / x1."""
    power = np.power(x1, x2 - 1)
    if isinstance(x2, (int, float)) and abs(x2) >= 0.5:
        return power
    small = np.less(np.abs(x2), 0.5) & np.not_equal(x1, 0)
    return np.where(small, np.power(x1, x2) / np.where(small, x1, 1), power)


def _power_base(g: Array, x1: Array, x2: Array) -> Array:
    constant = np.equal(x2, 0) & ~np.greater(np.abs(x1), 0)  # 0^0, and NaN^0, which is 1 too
    return g * (x2 * one_power_less(np.where(constant, 1, x1), x2))


def _power_exponent(g: Array, x1: Array, y: Array) -> Array:
    base = np.where(np.equal(x1, 0), 1, x1)
    if is_complex(y):
        base = base.astype(y.dtype)  # a negative number has a logarithm among complex ones
    return g * y * np.log(base)


derivative(np.power, x1=_power_base, x2=_power_exponent)
derivative(np.float_power, x1=_power_base, x2=_power_exponent)


# Norms and standard deviations, with a choice of slope at 0.
def refuse_second_derivative(y: Array) -> None:
    """Raise FloatingPointError where the value y of a norm is 0: there it has a kink.

    It is raised whether or not the incoming gradient is 0: a formula does not know if the elements
    are dropped later.
    """
    if np.any(unwrap(y) == 0):
        raise FloatingPointError(
            "a norm or a standard deviation has no second derivative at 0. For its square write "
            "np.sum(x * x) in place of np.linalg.norm(x)**2, x * x + y * y in place of "
            "np.hypot(x, y)**2, np.var(x) in place of np.std(x)**2, and np.real(np.conj(z) * z) in "
            "place of np.abs(z)**2 of complex numbers; elsewhere put "
            "np.where(zero, 1, x) into it, and drop the result there"
        )


def root(x: Array) -> Array:
    """The square root, with derivative 0 at 0.

    It stands behind norms and standard deviations, which have a kink there. A second derivative at
    0 does not exist: `root_slope` raises where it is asked for.
    """
    return np.sqrt(x)


def root_slope(y: Array) -> Array:
    """1 / (2 y), the slope of the root whose value is y, and 0 where y is 0."""
    zero = np.equal(y, 0)
    return np.where(zero, 0, 0.5 / np.where(zero, 1, y))


def _root_curvature(g: Array, y: Array) -> Array:
    """-1 / (2 y^2)."""
    refuse_second_derivative(y)
    return -g / (2 * y * y)


def _root_gradient(g: Array, y: Array) -> Array:
    return np.where(np.equal(y, 0), 0, g) * root_slope(y)


root_slope = derivative(root_slope, y=_root_curvature, elementwise=True)
root = derivative(root, x=_root_gradient, elementwise=True)


def direction(x: Array, norm: Array) -> Array:
    """x / norm, a component of a unit vector, and 0 where the norm is 0."""
    zero = np.equal(norm, 0)
    return np.where(zero, 0, x) / np.where(zero, 1, norm)


def _direction_in_x(g: Array, norm: Array) -> Array:
    refuse_second_derivative(norm)
    return g / norm


def _direction_in_norm(g: Array, norm: Array, y: Array) -> Array:
    refuse_second_derivative(norm)
    return -g * y / norm


direction = derivative(direction, x=_direction_in_x, norm=_direction_in_norm, elementwise=True)
derivative(
    np.hypot,
    x1=lambda g, x1, y: np.where(np.equal(y, 0), 0, g) * direction(x1, y),
    x2=lambda g, x2, y: np.where(np.equal(y, 0), 0, g) * direction(x2, y),
)

# Exponentials and logarithms.
derivative(np.exp, x=lambda g, y: g * y)
derivative(np.exp2, x=lambda g, y: g * y * log(2))
derivative(np.expm1, x=lambda g, x: g * np.exp(x))
derivative(np.log, x=lambda g, x: g / x)
derivative(np.log2, x=lambda g, x: g / (x * log(2)))
derivative(np.log10, x=lambda g, x: g / (x * log(10)))
derivative(np.log1p, x=lambda g, x: g / (1 + x))


def _gap(x1: Array, x2: Array) -> Array:
    """x1 - x2, and 0 where both are the same infinity."""
    both = np.isinf(x1) & np.equal(x1, x2)
    return np.where(both, 0, x1) - np.where(both, 0, x2)


# The share of x1 is 1 / (1 + exp(x2 - x1)): as an exponential of its logarithm, nothing overflows.
derivative(
    np.logaddexp,
    x1=lambda g, x1, x2: g * np.exp(-np.logaddexp(0, _gap(x2, x1))),
    x2=lambda g, x1, x2: g * np.exp(-np.logaddexp(0, _gap(x1, x2))),
)
derivative(
    np.logaddexp2,
    x1=lambda g, x1, x2: g * np.exp2(-np.logaddexp2(0, _gap(x2, x1))),
    x2=lambda g, x1, x2: g * np.exp2(-np.logaddexp2(0, _gap(x1, x2))),
)


# Trigonometry. On a branch cut of a function of complex numbers the sign of a zero decides, which
# 1 - x^2 loses, and the value keeps. Products stand for differences of squares, which overflow, and
# lose digits where the squares are close.
def _cosine(x: Array, y: Array) -> Array:
    """The cosine of the arc sine y of x: sqrt(1 - x^2)."""
    return np.cos(y) if is_complex(x) else np.sqrt((1 - x) * (1 + x))


def _sine(x: Array, y: Array) -> Array:
    """The sine of the arc cosine y of x: sqrt(1 - x^2)."""
    return np.sin(y) if is_complex(x) else np.sqrt((1 - x) * (1 + x))


def _hyperbolic_cosine(x: Array, y: Array) -> Array:
    """The hyperbolic cosine of y, whose hyperbolic sine is x: sqrt(1 + x^2)."""
    return np.cosh(y) if is_complex(x) else np.hypot(1, x)


def _hyperbolic_sine(x: Array, y: Array) -> Array:
    """The hyperbolic sine of y, whose hyperbolic cosine is x: sqrt(x^2 - 1)."""
    return np.sinh(y) if is_complex(x) else np.sqrt(x - 1) * np.sqrt(x + 1)


def sech(x: Array) -> Array:
    """1 / cosh(x), where exp(-|x|) cannot overflow."""
    size = np.where(np.real(x) < 0, -x, x) if is_complex(x) else np.abs(x)
    decay = np.exp(-size)
    return 2 * decay / (1 + decay * decay)


sech = derivative(sech, x=lambda g, x, y: -g * y * np.tanh(x), elementwise=True)
derivative(np.sin, x=lambda g, x: g * np.cos(x))
derivative(np.cos, x=lambda g, x: -g * np.sin(x))
derivative(np.tan, x=lambda g, y: g * (1 + y * y))
derivative(np.arcsin, x=lambda g, x, y: g / _cosine(x, y))
derivative(np.arccos, x=lambda g, x, y: -g / _sine(x, y))
derivative(np.arctan, x=lambda g, x: g / (1 + x * x))
derivative(
    np.arctan2,
    x1=lambda g, x1, x2: g * (x2 / np.hypot(x1, x2)) / np.hypot(x1, x2),
    x2=lambda g, x1, x2: -g * (x1 / np.hypot(x1, x2)) / np.hypot(x1, x2),
)
derivative(np.sinh, x=lambda g, x: g * np.cosh(x))
derivative(np.cosh, x=lambda g, x: g * np.sinh(x))
derivative(np.tanh, x=lambda g, x: g * sech(x) ** 2)
derivative(np.arcsinh, x=lambda g, x, y: g / _hyperbolic_cosine(x, y))
derivative(np.arccosh, x=lambda g, x, y: g / _hyperbolic_sine(x, y))
derivative(np.arctanh, x=lambda g, x: g / ((1 - x) * (1 + x)))
derivative(np.rad2deg, x=lambda g: g * (180 / pi))
derivative(np.degrees, x=lambda g: g * (180 / pi))
derivative(np.deg2rad, x=lambda g: g * (pi / 180))
derivative(np.radians, x=lambda g: g * (pi / 180))


@definition(np.sinc)
def sinc(x: Array) -> Array:
    """sin(pi x) / (pi x). Near 0 its series in z = (pi x)^2, which has all derivatives.

    Whole turns are taken off before the product with pi is rounded.
    """
    small = np.abs(unwrap(x)) < 0.3
    z = (pi * np.where(small, x, 0)) ** 2
    series = 1 - z / 342
    for divisor in (272, 210, 156, 110, 72, 42, 20, 6):  # 1 - z/6 (1 - z/20 (1 - ...))
        series = 1 - z / divisor * series
    far = np.where(small, 1, x)
    turn = far - 2 * np.rint(np.real(far) / 2)
    return np.where(small, series, np.sin(pi * turn) / pi / far)


def _i1(x: Array) -> Array:
    from scipy.special import i1

    return i1(x)


derivative(np.i0, x=lambda g, x: g * _i1(x))


# Choices.
def same(x: Operand, y: Array) -> np.ndarray:
    """Where x equals y, NaN and NaN being equal."""
    equal = np.equal(x, y)
    undefined = np.isnan(y)
    return equal | (undefined & np.isnan(x)) if np.any(undefined) else equal


def _chosen(
    g: Array,
    x: Array,
    y: Array,
    other: Array,
) -> Array:
    """g where x was chosen, half of it where both were the same, else 0."""
    tied = same(x, other)
    whole = np.where(same(x, y), g, 0)
    return np.where(tied, g * 0.5, whole)


for _choice in (np.maximum, np.minimum, np.fmax, np.fmin):
    derivative(
        _choice,
        x1=lambda g, x1, x2, y: _chosen(g, x1, y, x2),
        x2=lambda g, x1, x2, y: _chosen(g, x2, y, x1),
        selects=True,
    )
derivative(
    np.where,
    signature="condition, x=None, y=None, /",
    condition=None,
    x=lambda g, condition: np.where(condition, g, 0),
    y=lambda g, condition: np.where(condition, 0, g),
    selects=True,
    elementwise=True,
)


@definition(np.clip, signature="a, a_min=None, a_max=None, out=None, *, min=None, max=None")
def clip(
    a: Array,
    a_min: Operand | None = None,
    a_max: Operand | None = None,
    min: Operand | None = None,
    max: Operand | None = None,
) -> Array:
    """a between two bounds, either of which may be missing; NaN where a bound is NaN.

    a has slope 1 at a bound, the bound itself 0.
    """
    low = min if a_min is None else a_min
    high = max if a_max is None else a_max
    if low is not None:
        a = np.where(np.less(a, low) | np.isnan(low), low, a)
    if high is not None:
        a = np.where(np.greater(a, high) | np.isnan(high), high, a)
    return a


@definition(np.nan_to_num, inert=("copy",))
def nan_to_num(
    x: Array,
    nan: Operand = 0.0,
    posinf: Operand | None = None,
    neginf: Operand | None = None,
) -> Array:
    """NaN and infinities, which have gradient 0, replaced by numbers; in both parts of a complex
    number."""
    if is_complex(x):
        real, imaginary = np.real(x), np.imag(x)
        return complex_number(
            nan_to_num(real, nan, posinf, neginf), nan_to_num(imaginary, nan, posinf, neginf)
        )
    limits = np.finfo(x.dtype)
    largest = limits.max if posinf is None else posinf
    smallest = limits.min if neginf is None else neginf
    replaced = np.where(np.isnan(x), _fill(nan, x), x)
    replaced = np.where(np.isposinf(x), _fill(largest, x), replaced)
    return np.where(np.isneginf(x), _fill(smallest, x), replaced)


def _fill(value: Operand, x: Array) -> Operand:
    """A fill value without the axes of length 1 that it has in front and x has not."""
    shape = np.shape(value)
    return np.reshape(value, shape[max(len(shape) - x.ndim, 0) :]) if shape else value


# Real and imaginary parts. What moves along i moves the imaginary part only: on the way back, where
# the conjugate of the gradient is carried, its slope is 1 / i.
def real_part(z: Array) -> Array:
    """The real part of complex numbers."""
    return np.real(z)


def imaginary_part(z: Array) -> Array:
    """The imaginary part of complex numbers."""
    return np.imag(z)


real_part = derivative(real_part, z=lambda g: g, elementwise=True).tangent(z=lambda t: np.real(t))
imaginary_part = derivative(imaginary_part, z=lambda g: -1j * g, elementwise=True).tangent(
    z=lambda t: np.imag(t)
)
derivative(np.conjugate, x=lambda g: conjugate(g)).tangent(x=lambda t: conjugate(t))


def complex_number(real: Array, imaginary: Array) -> Array:
    """Complex numbers of their parts; i times an infinite number would be NaN."""
    refuse_complex(complex_number, real=real, imaginary=imaginary)
    value = np.empty(np.shape(real), np.result_type(real, np.complex64))
    value.real, value.imag = real, imaginary
    return value


complex_number = derivative(
    complex_number, real=lambda g: g, imaginary=lambda g: 1j * g, elementwise=True
)


@definition(np.real)
def real(val: Array) -> Array:
    """The real part; of a real number, itself."""
    return real_part(val) if is_complex(val) else +val


@definition(np.imag)
def imag(val: Array) -> Array:
    """The imaginary part; of real numbers, zeros."""
    return imaginary_part(val) if is_complex(val) else np.zeros(val.shape, val.dtype)


@definition(np.real_if_close)
def real_if_close(a: Array, tol: Array | float = 100) -> Array:
    """The real part, if all imaginary parts are below `tol`, in units of rounding if above 1."""
    if not is_complex(a):
        return +a
    bound = tol * np.finfo(a.dtype).eps if tol > 1 else tol
    return np.real(a) if np.all(np.abs(np.imag(unwrap(a))) < bound) else +a


@definition(np.angle)
def angle(z: Array, deg: bool = False) -> Array:
    """The angle from the positive real axis, in radians or degrees.

    That of a real number, 0 or pi, is an array without gradient.
    """
    if not is_complex(z):
        return np.angle(unwrap(z), deg)
    radians = np.arctan2(np.imag(z), np.real(z))
    return np.degrees(radians) if deg else radians


# Steps in their first argument, and the identity to rounding.
derivative(np.heaviside, x1=None, x2=lambda g, x1: np.where(np.equal(x1, 0), g, 0), selects=True)
derivative(np.nextafter, x1=lambda g: g, x2=None)

# Constant between jumps: arrays without gradient.
without_gradient(np.floor, np.ceil, np.trunc, np.rint, np.fix, np.round, np.around)
without_gradient(np.floor_divide, np.spacing)
without_gradient(np.signbit, np.isnan, np.isfinite, np.isinf, np.isposinf, np.isneginf, np.isreal)
without_gradient(np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal)
without_gradient(np.logical_and, np.logical_or, np.logical_not, np.logical_xor)
without_gradient(np.iscomplex, np.iscomplexobj, np.isrealobj)
without_gradient(np.isclose, np.allclose, np.array_equal, np.array_equiv)
