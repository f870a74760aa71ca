"""The calculus table of Bessel functions and their kin, in their argument. Source: DLMF, chapters 9 to 12."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np
from scipy import special as sp

from ..table import definition, derivative
from .special import at_pole, safe

# Bessel functions in their argument (DLMF 10.6, 10.29); e: scaled.
derivative(sp.j0, x=lambda g, x: -g * sp.j1(x))
derivative(sp.j1, x=lambda g, x: g * (sp.j0(x) - sp.jv(2.0, x)) / 2)
derivative(sp.y0, x=lambda g, x: -g * sp.y1(x))
derivative(sp.y1, x=lambda g, x, y: g * (sp.y0(x) - y / x))
derivative(sp.i0, x=lambda g, x: g * sp.i1(x))
derivative(sp.i1, x=lambda g, x: g * (sp.i0(x) + sp.iv(2.0, x)) / 2)
derivative(sp.k0, x=lambda g, x: -g * sp.k1(x))
derivative(sp.k1, x=lambda g, x, y: -g * (sp.k0(x) + y / x))
derivative(sp.i0e, x=lambda g, x, y: g * (sp.i1e(x) - np.sign(x) * y))
derivative(sp.i1e, x=lambda g, x, y: g * ((sp.i0e(x) + sp.ive(2.0, x)) / 2 - np.sign(x) * y))
derivative(sp.k0e, x=lambda g, x, y: g * (y - sp.k1e(x)))
derivative(sp.k1e, x=lambda g, x, y: g * (y - sp.k0e(x) - y / x))
derivative(sp.jv, x2=lambda g, x1, x2: g * (sp.jv(x1 - 1, x2) - sp.jv(x1 + 1, x2)) / 2)
derivative(sp.yv, x2=lambda g, x1, x2: g * (sp.yv(x1 - 1, x2) - sp.yv(x1 + 1, x2)) / 2)
if sp.jn is not sp.jv:
    definition(sp.jn)(lambda n, x: sp.jv(n, x))
derivative(sp.iv, x2=lambda g, x1, x2: g * (sp.iv(x1 - 1, x2) + sp.iv(x1 + 1, x2)) / 2)
derivative(sp.kv, x2=lambda g, x1, x2: -g * (sp.kv(x1 - 1, x2) + sp.kv(x1 + 1, x2)) / 2)
derivative(
    sp.ive,
    x2=lambda g, x1, x2, y: g * ((sp.ive(x1 - 1, x2) + sp.ive(x1 + 1, x2)) / 2 - np.sign(x2) * y),
)
derivative(sp.kve, x2=lambda g, x1, x2, y: g * (y - (sp.kve(x1 - 1, x2) + sp.kve(x1 + 1, x2)) / 2))
for _integer, _real in ((sp.yn, sp.yv), (sp.kn, sp.kv)):
    definition(_integer)(lambda n, x, f=_real: f(np.asarray(n, x.dtype), x))
derivative(sp.jve, x2=lambda g, x1, x2: g * (sp.jve(x1 - 1, x2) - sp.jve(x1 + 1, x2)) / 2)
derivative(sp.yve, x2=lambda g, x1, x2: g * (sp.yve(x1 - 1, x2) - sp.yve(x1 + 1, x2)) / 2)


# Derivatives of order n have that of order n + 1.
def _next_order(function: Any) -> None:
    derivative(function, z=lambda g, v, z, n: g * function(v, z, (1 if n is None else n) + 1))


for _prime in (sp.jvp, sp.yvp, sp.ivp, sp.kvp):
    _next_order(_prime)


def _spherical(function: Any, sign: float) -> None:
    """z^2 f'' + 2 z f' = (n (n + 1) + sign z^2) f: -1 for j and y, 1 for i and k (DLMF 10.47)."""

    def slope(g: Any, n: Any, z: Any, derivative: Any) -> Any:
        if not derivative:
            return g * rule(n, z, True)
        return g * ((sign + n * (n + 1) / (z * z)) * rule(n, z) - 2 / z * rule(n, z, True))

    rule = derivative(function, z=slope)


for _function, _sign in (
    (sp.spherical_jn, -1.0),
    (sp.spherical_yn, -1.0),
    (sp.spherical_in, 1.0),
    (sp.spherical_kn, 1.0),
):
    _spherical(_function, _sign)

# Airy functions: Ai, Ai', Bi, Bi', where f'' = x f (DLMF 9.2).
derivative(sp.airy, x=lambda g, x, y: g[0] * y[1] + g[1] * x * y[0] + g[2] * y[3] + g[3] * x * y[2])
# e: Ai and Ai' times exp(z), Bi and Bi' times exp(-z), z = 2/3 x^(3/2); for x < 0 SciPy leaves the last two as they are.
derivative(
    sp.airye,
    x=lambda g, x, y: (
        g[0] * (y[1] + _root(x) * y[0])
        + g[1] * (x * y[0] + _root(x) * y[1])
        + g[2] * (y[3] - _root(x) * y[2])
        + g[3] * (x * y[2] - _root(x) * y[3])
    ),
)


def _root(x: Any) -> Any:
    return np.sqrt(np.maximum(x, 0))


# Kelvin functions; ber and bei, ker and kei are coupled (DLMF 10.63).
derivative(sp.ber, x=lambda g, x: g * sp.berp(x))
derivative(sp.bei, x=lambda g, x: g * sp.beip(x))
derivative(sp.ker, x=lambda g, x: g * sp.kerp(x))
derivative(sp.kei, x=lambda g, x: g * sp.keip(x))
derivative(sp.berp, x=lambda g, x, y: -g * (sp.bei(x) + np.where(np.equal(x, 0), 0, y / safe(x))))
derivative(sp.beip, x=lambda g, x, y: g * (sp.ber(x) - np.where(np.equal(x, 0), 0.5, y / safe(x))))
derivative(sp.kerp, x=lambda g, x, y: -g * (sp.kei(x) + y / x))
derivative(sp.keip, x=lambda g, x, y: g * (sp.ker(x) - y / x))

# Struve functions (DLMF 11.4).
derivative(
    sp.struve,
    x2=lambda g, x1, x2: (
        g * (sp.struve(x1 - 1, x2) - sp.struve(x1 + 1, x2) + _struve_power(x1, x2)) / 2
    ),
)
derivative(
    sp.modstruve,
    x2=lambda g, x1, x2: (
        g * (sp.modstruve(x1 - 1, x2) + sp.modstruve(x1 + 1, x2) + _struve_power(x1, x2)) / 2
    ),
)


def _struve_power(v: Any, x: Any) -> Any:
    """(x / 2)^v / (sqrt(pi) Gamma(v + 3/2))."""
    return np.power(x / 2, v) * (sp.rgamma(v + 1.5) / sqrt(pi))


# Parabolic cylinder functions come with their slope: f'' = (x^2 / 4 + a) f, where a = -v - 1/2; W'' = (a - x^2 / 4) W
# (DLMF 12.2, 12.14).
for _pair in (sp.pbdv, sp.pbvv):
    derivative(_pair, x2=lambda g, x1, x2, y: g[0] * y[1] + g[1] * (x2 * x2 / 4 - x1 - 0.5) * y[0])
derivative(sp.pbwa, x2=lambda g, x1, x2, y: g[0] * y[1] + g[1] * (x1 - x2 * x2 / 4) * y[0])


# Mathieu functions come with their slope too: f'' = (2 q cos 2x - a) f, x in degrees; the modified ones have cosh, and the
# other sign (DLMF 28.2, 28.20).
def _mathieu(function: Any, value: Any) -> None:
    derivative(
        function,
        x3=lambda g, x1, x2, x3, y: (
            (pi / 180)
            * (g[0] * y[1] + g[1] * (2 * x2 * np.cos(x3 * (pi / 90)) - value(x1, x2)) * y[0])
        ),
    )


def _modified_mathieu(function: Any, value: Any) -> None:
    derivative(
        function,
        x3=lambda g, x1, x2, x3, y: (
            g[0] * y[1] + g[1] * (value(x1, x2) - 2 * x2 * np.cosh(2 * x3)) * y[0]
        ),
    )


_mathieu(sp.mathieu_cem, sp.mathieu_a)
_mathieu(sp.mathieu_sem, sp.mathieu_b)
for _function in (sp.mathieu_modcem1, sp.mathieu_modcem2):
    _modified_mathieu(_function, sp.mathieu_a)
for _function in (sp.mathieu_modsem1, sp.mathieu_modsem2):
    _modified_mathieu(_function, sp.mathieu_b)

# Integrals: their integrands; besselpoly(a, l, v) is the integral of x^l J_v(2 a x) from 0 to 1.
derivative(
    sp.besselpoly,
    x1=lambda g, x1, x2, x3, y: g * (x3 / x1 * y - 2 * sp.besselpoly(x1, x2 + 1, x3 + 1)),
)
derivative(
    sp.itairy,
    x=lambda g, x: (
        g[0] * sp.airy(x)[0] + g[1] * sp.airy(x)[2] + g[2] * sp.airy(-x)[0] + g[3] * sp.airy(-x)[2]
    ),
)
derivative(sp.itj0y0, x=lambda g, x: g[0] * sp.j0(x) + at_pole(g[1], sp.y0(x)))
derivative(sp.iti0k0, x=lambda g, x: g[0] * sp.i0(x) + at_pole(g[1], sp.k0(x)))
derivative(sp.it2j0y0, x=lambda g, x: -g[0] * _over_x(sp.j0, -1, x) - at_pole(g[1], sp.y0(x) / x))
derivative(sp.it2i0k0, x=lambda g, x: g[0] * _over_x(sp.i0, 1, x) - at_pole(g[1], sp.k0(x) / x))


def _over_x(f: Any, sign: int, x: Any) -> Any:
    """(f(x) - 1) / x for J_0 (sign -1) and I_0 (sign 1), near 0 by their series."""
    small = np.less(np.abs(x), 0.05)
    far, s = np.where(small, 1, x), sign * x * x
    return np.where(small, sign * x / 4 * (1 + s / 16 * (1 + s / 36)), (f(far) - 1) / far)


derivative(sp.itstruve0, x=lambda g, x: g * sp.struve(0.0, x))
derivative(
    sp.it2struve0, x=lambda g, x: -g * np.where(np.equal(x, 0), 2 / pi, sp.struve(0.0, x) / safe(x))
)
derivative(sp.itmodstruve0, x=lambda g, x: g * sp.modstruve(0.0, x))
