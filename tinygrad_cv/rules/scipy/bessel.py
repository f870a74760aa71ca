"""The calculus table of Bessel functions and their kin, in their argument.

Source: DLMF, chapters 9 to 12.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numpy as np
from scipy import special as sp

from ...engine.operands import is_complex
from ...tensor import Rule, unwrap
from ...typing import Array
from ..table import definition, derivative
from .special import at_pole, safe

Several = list[Array]  # the values of a function with several, or their gradients

# --------------------------------------------------- Bessel functions (DLMF 10.6, 10.29); e: scaled

derivative(sp.j0, x=lambda g, x: -g * sp.j1(x))
derivative(sp.j1, x=lambda g, x: g * (sp.j0(x) - sp.jv(2.0, x)) / 2)
derivative(sp.y0, x=lambda g, x: -g * sp.y1(x))
derivative(sp.y1, x=lambda g, x, y: g * (sp.y0(x) - y / x))
derivative(sp.i0, x=lambda g, x: g * sp.i1(x))
derivative(sp.i1, x=lambda g, x: g * (sp.i0(x) + sp.iv(2.0, x)) / 2)
derivative(sp.k0, x=lambda g, x: -g * sp.k1(x))
derivative(sp.k1, x=lambda g, x, y: -g * (sp.k0(x) + y / x))


def _scaled_slope(v: Array | float, x: Array, direct: Array, turn: complex) -> Array:
    """The slope of exp(-x) I_v (turn i), for x > 20, or exp(x) K_v (turn 1), for x > 2.

    There the direct difference cancels.
    It is that of the integral of cosh(v s) exp(-2 x |sinh(s / 2)|^2) over s = turn t, t > 0, over
    pi for I_v (DLMF 10.32.3, 10.32.9; the rest of 10.32.4 has vanished), by trapezoids.
    """
    start = 2 if turn == 1 else 20
    large = np.greater(x, start)
    far = np.expand_dims(np.where(large, x, start), -1)
    v = np.expand_dims(v, -1)
    step = 0.2 / np.sqrt(far)
    angle = turn * step * np.arange(60)
    growth = 2 * np.abs(np.sinh(angle / 2)) ** 2  # (...) -> (..., t); 0 at t = 0, where half counts
    terms = growth * np.real(np.cosh(v * angle)) * np.exp(-far * growth)
    integral = np.sum(terms * step, axis=-1)
    return np.where(large, -integral / (pi if turn == 1j else 1), direct)


def _i0e(x: Array, y: Array) -> Array:
    size = np.abs(x)
    return np.sign(x) * _scaled_slope(0.0, size, sp.i1e(size) - y, 1j)


def _i1e(x: Array, y: Array) -> Array:
    size = np.abs(x)
    return _scaled_slope(1.0, size, (sp.i0e(x) + sp.ive(2.0, x)) / 2 - np.abs(y), 1j)


derivative(sp.i0e, x=lambda g, x, y: g * _i0e(x, y))
derivative(sp.i1e, x=lambda g, x, y: g * _i1e(x, y))
derivative(sp.k0e, x=lambda g, x, y: g * _scaled_slope(0.0, x, y - sp.k1e(x), 1))
derivative(sp.k1e, x=lambda g, x, y: g * _scaled_slope(1.0, x, y - sp.k0e(x) - y / x, 1))


def _gap(function: Callable[..., Array], v: Array, z: Array) -> Array:
    """Half the difference of the neighbouring orders."""
    return (function(v - 1, z) - function(v + 1, z)) / 2


def _mean(function: Callable[..., Array], v: Array, z: Array) -> Array:
    """Half the sum of the neighbouring orders."""
    return (function(v - 1, z) + function(v + 1, z)) / 2


derivative(sp.jv, signature="v, z", z=lambda g, v, z: g * _gap(sp.jv, v, z))
derivative(sp.yv, signature="v, z", z=lambda g, v, z: g * _gap(sp.yv, v, z))
derivative(sp.iv, signature="v, z", z=lambda g, v, z: g * _mean(sp.iv, v, z))
derivative(sp.kv, signature="v, z", z=lambda g, v, z: -g * _mean(sp.kv, v, z))
derivative(sp.hankel1, signature="v, z", z=lambda g, v, z: g * _gap(sp.hankel1, v, z))
derivative(sp.hankel2, signature="v, z", z=lambda g, v, z: g * _gap(sp.hankel2, v, z))
derivative(  # scaled by exp(-iz), and by exp(iz)
    sp.hankel1e, signature="v, z", z=lambda g, v, z, y: g * (_gap(sp.hankel1e, v, z) - 1j * y)
)
derivative(
    sp.hankel2e, signature="v, z", z=lambda g, v, z, y: g * (_gap(sp.hankel2e, v, z) + 1j * y)
)


# Scaled by exp(-|Im z|), or by exp(-|Re z|): real functions of a complex z, which have one formula
# for each direction.
def _enter_scaled_by_imaginary_part(function: Any) -> None:
    def gradient(g: Array, v: Array, z: Array, y: Array) -> Array:
        holomorphic = g * _gap(function, v, z)
        if not is_complex(z):
            return holomorphic
        return holomorphic + 1j * (np.sign(np.imag(z)) * np.real(g * y))

    def tangent(t: Array, v: Array, z: Array, y: Array) -> Array:
        return t * _gap(function, v, z) - y * (np.sign(np.imag(z)) * np.imag(t))

    derivative(function, signature="v, z", z=gradient).tangent(z=tangent)


_enter_scaled_by_imaginary_part(sp.jve)
_enter_scaled_by_imaginary_part(sp.yve)


def _ive_gradient(g: Array, v: Array, z: Array, y: Array) -> Array:
    if not is_complex(z):
        return g * _scaled_slope(v, z, _mean(sp.ive, v, z) - np.sign(z) * y, 1j)
    return g * _mean(sp.ive, v, z) - np.sign(np.real(z)) * np.real(g * y)


def _ive_tangent(t: Array, v: Array, z: Array, y: Array) -> Array:
    if not is_complex(z):
        return _ive_gradient(t, v, z, y)
    return t * _mean(sp.ive, v, z) - y * (np.sign(np.real(z)) * np.real(t))


derivative(sp.ive, signature="v, z", z=_ive_gradient).tangent(z=_ive_tangent)


def _kve_slope(v: Array, z: Array, y: Array) -> Array:
    direct = y - _mean(sp.kve, v, z)
    return direct if is_complex(z) else _scaled_slope(v, z, direct, 1)


derivative(sp.kve, signature="v, z", z=lambda g, v, z, y: g * _kve_slope(v, z, y))

if sp.jn is not sp.jv:

    @definition(sp.jn, signature="v, z")
    def jn(v: Array, z: Array) -> Array:
        """jv under an older name."""
        return sp.jv(v, z)


@definition(sp.yn, signature="n, x")
def yn(n: Array, x: Array) -> Array:
    """yv of a whole order."""
    return sp.yv(np.trunc(unwrap(n)), x)


@definition(sp.kn, signature="n, x")
def kn(n: Array, x: Array) -> Array:
    """kv of a whole order."""
    return sp.kv(np.trunc(unwrap(n)), x)


def _next_order(function: Any) -> None:
    """Derivatives of order n have that of order n + 1."""
    rule: Rule = derivative(function, z=lambda g, v, z, n: g * rule(v, z, n + 1))


for _prime in (sp.jvp, sp.yvp, sp.ivp, sp.kvp, sp.h1vp, sp.h2vp):
    _next_order(_prime)


def _spherical(function: Any, sign: float) -> None:
    """z^2 f'' + 2 z f' = (n (n + 1) + sign z^2) f: -1 for j and y, 1 for i and k (DLMF 10.47)."""

    def slope(
        g: Array,
        n: Array,
        z: Array,
        derivative: bool,
    ) -> Array:
        if not derivative:
            return g * rule(n, z, True)
        factor = sign + n * (n + 1) / (z * z)
        return g * (factor * rule(n, z) - 2 / z * rule(n, z, True))

    rule = derivative(function, z=slope)


_spherical(sp.spherical_jn, -1.0)
_spherical(sp.spherical_yn, -1.0)
_spherical(sp.spherical_in, 1.0)
_spherical(sp.spherical_kn, 1.0)

# ------------------------------------- Airy functions: Ai, Ai', Bi, Bi', where f'' = z f (DLMF 9.2)


def _airy(g: Several, z: Array, y: Several) -> Array:
    ai, ai_slope, bi, bi_slope = y
    return g[0] * ai_slope + g[1] * z * ai + g[2] * bi_slope + g[3] * z * bi


def _airye(g: Several, z: Array, y: Several) -> Array:
    """Ai and Ai' are scaled by exp(w), Bi and Bi' by exp(-|Re w|), w = 2/3 z^(3/2).

    The slope of w is sqrt(z), which a real z < 0 does not have: Ai is not scaled there, nor Bi.
    """
    root = np.sqrt(z if is_complex(z) else np.maximum(z, 0))
    ai, ai_slope, bi, bi_slope = y
    first = g[0] * (ai_slope + root * ai) + g[1] * (z * ai + root * ai_slope)
    second = g[2] * bi_slope + g[3] * z * bi
    scaled = g[2] * bi + g[3] * bi_slope
    if is_complex(z):
        scaled = np.sign(np.real(z * root)) * np.real(scaled)
    return first + second - root * scaled


def _airye_tangent(t: Array, z: Array, y: Several) -> Several:
    root = np.sqrt(z if is_complex(z) else np.maximum(z, 0))
    ai, ai_slope, bi, bi_slope = y
    growth = root * t  # of w
    decay = np.sign(np.real(z * root)) * np.real(growth) if is_complex(z) else growth
    return [
        t * ai_slope + growth * ai,
        t * z * ai + growth * ai_slope,
        t * bi_slope - decay * bi,
        t * z * bi - decay * bi_slope,
    ]


derivative(sp.airy, signature="z", z=_airy)
derivative(sp.airye, signature="z", z=_airye).tangent(z=_airye_tangent)


# ------------------------------ Kelvin functions; ber and bei, ker and kei are coupled (DLMF 10.63)


def _over(y: Array, x: Array, limit: float) -> Array:
    """y / x, with its limit at 0."""
    return np.where(np.equal(x, 0), limit, y / safe(x))


derivative(sp.ber, x=lambda g, x: g * sp.berp(x))
derivative(sp.bei, x=lambda g, x: g * sp.beip(x))
derivative(sp.ker, x=lambda g, x: g * sp.kerp(x))
derivative(sp.kei, x=lambda g, x: g * sp.keip(x))
derivative(sp.berp, x=lambda g, x, y: -g * (sp.bei(x) + _over(y, x, 0)))
derivative(sp.beip, x=lambda g, x, y: g * (sp.ber(x) - _over(y, x, 0.5)))
derivative(sp.kerp, x=lambda g, x, y: -g * (sp.kei(x) + y / x))
derivative(sp.keip, x=lambda g, x, y: g * (sp.ker(x) - y / x))


def _kelvin(g: Several, x: Array, y: Several) -> Array:
    """Be = ber + i bei, Ke = ker + i kei, and their slopes: f'' = i f - f' / x."""
    be, ke, be_slope, ke_slope = y
    of_values = g[0] * be_slope + g[1] * ke_slope
    return of_values + g[2] * (1j * be - be_slope / x) + g[3] * (1j * ke - ke_slope / x)


derivative(sp.kelvin, x=_kelvin)

# --------------------------------------------------------------------- Struve functions (DLMF 11.4)


def _struve_slope(function: Any, neighbours: Array, v: Array, x: Array, y: Array) -> Array:
    """f_(v-1) - v f / x; near 0 half the neighbouring orders and a power, which have no 0 / 0."""
    near = np.less(np.abs(x), 1)
    power = np.power(np.where(near, x, 1) / 2, v) * (sp.rgamma(v + 1.5) / (2 * sqrt(pi)))
    return np.where(near, neighbours + power, function(v - 1, x) - v * y / np.where(near, 1, x))


derivative(
    sp.struve,
    signature="v, x",
    x=lambda g, v, x, y: g * _struve_slope(sp.struve, _gap(sp.struve, v, x), v, x, y),
)
derivative(
    sp.modstruve,
    signature="v, x",
    x=lambda g, v, x, y: g * _struve_slope(sp.modstruve, _mean(sp.modstruve, v, x), v, x, y),
)


# ------------------------------------------ functions that come with their slope, by their equation


def _by_equation(g: Several, y: Several, factor: Array) -> Array:
    """Of f and f', where f'' is a factor times f."""
    return g[0] * y[1] + g[1] * factor * y[0]


# Parabolic cylinder functions: f'' = (x^2 / 4 + a) f, where a = -v - 1/2; W'' = (a - x^2 / 4) W
# (DLMF 12.2, 12.14).
derivative(sp.pbdv, signature="v, x", x=lambda g, v, x, y: _by_equation(g, y, x * x / 4 - v - 0.5))
derivative(sp.pbvv, signature="v, x", x=lambda g, v, x, y: _by_equation(g, y, x * x / 4 - v - 0.5))
derivative(sp.pbwa, signature="a, x", x=lambda g, a, x, y: _by_equation(g, y, a - x * x / 4))


def _mathieu(function: Any, characteristic: Callable[..., Array]) -> None:
    """f'' = (2 q cos 2x - a) f, x in degrees (DLMF 28.2)."""

    def slope(
        g: Several,
        m: Array,
        q: Array,
        x: Array,
        y: Several,
    ) -> Array:
        factor = 2 * q * np.cos(x * (pi / 90)) - characteristic(m, q)
        return (pi / 180) * _by_equation(g, y, factor)

    derivative(function, signature="m, q, x", x=slope)


def _modified_mathieu(function: Any, characteristic: Callable[..., Array]) -> None:
    """f'' = (a - 2 q cosh 2x) f (DLMF 28.20)."""

    def slope(
        g: Several,
        m: Array,
        q: Array,
        x: Array,
        y: Several,
    ) -> Array:
        factor = characteristic(m, q) - 2 * q * np.cosh(2 * x)
        return _by_equation(g, y, factor)

    derivative(function, signature="m, q, x", x=slope)


_mathieu(sp.mathieu_cem, sp.mathieu_a)
_mathieu(sp.mathieu_sem, sp.mathieu_b)
_modified_mathieu(sp.mathieu_modcem1, sp.mathieu_a)
_modified_mathieu(sp.mathieu_modcem2, sp.mathieu_a)
_modified_mathieu(sp.mathieu_modsem1, sp.mathieu_b)
_modified_mathieu(sp.mathieu_modsem2, sp.mathieu_b)

# ---------------------------------------------------------------------- integrals: their integrands


def _less_one_over(
    f: Callable[[Array], Array],
    sign: int,
    x: Array,
) -> Array:
    """(f(x) - 1) / x for J_0 (sign -1) and I_0 (sign 1), near 0 by their series."""
    small = np.less(np.abs(x), 0.05)
    far = np.where(small, 1, x)
    s = sign * x * x
    series = sign * x / 4 * (1 + s / 16 * (1 + s / 36))
    return np.where(small, series, (f(far) - 1) / far)


def _itairy(g: Several, x: Array) -> Array:
    """The integrals of Ai and Bi from 0 to x, and from -x to 0."""
    ai, _, bi, _ = sp.airy(x)
    ai_of_minus, _, bi_of_minus, _ = sp.airy(-x)
    return g[0] * ai + g[1] * bi + g[2] * ai_of_minus + g[3] * bi_of_minus


derivative(  # the integral of x^lmb J_nu(2 a x) from 0 to 1
    sp.besselpoly,
    signature="a, lmb, nu",
    a=lambda g, a, lmb, nu, y: g * (nu / a * y - 2 * sp.besselpoly(a, lmb + 1, nu + 1)),
)
derivative(sp.itairy, x=_itairy)
derivative(sp.itj0y0, x=lambda g, x: g[0] * sp.j0(x) + at_pole(g[1], sp.y0(x)))
derivative(sp.iti0k0, x=lambda g, x: g[0] * sp.i0(x) + at_pole(g[1], sp.k0(x)))
derivative(
    sp.it2j0y0,
    x=lambda g, x: -g[0] * _less_one_over(sp.j0, -1, x) - at_pole(g[1], sp.y0(x) / x),
)
derivative(
    sp.it2i0k0,
    x=lambda g, x: g[0] * _less_one_over(sp.i0, 1, x) - at_pole(g[1], sp.k0(x) / x),
)
derivative(sp.itstruve0, x=lambda g, x: g * sp.struve(0.0, x))
derivative(sp.it2struve0, x=lambda g, x: -g * _over(sp.struve(0.0, x), x, 2 / pi))
derivative(sp.itmodstruve0, x=lambda g, x: g * sp.modstruve(0.0, x))
