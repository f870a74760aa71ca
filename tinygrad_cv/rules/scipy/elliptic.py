"""The calculus table of elliptic integrals and functions (DLMF, chapters 19 and 22).

Legendre's integrals of the parameter m have their derivatives through Carlson's symmetric ones,
which have no 0 / 0 at m = 0 (DLMF 19.25).
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

import numpy as np
from scipy import special as sp

from ...typing import Array, Operand
from ..table import derivative

# ----------------------------------------------------------------------------- Legendre's integrals

derivative(sp.ellipk, signature="m", m=lambda g, m: g * sp.elliprd(0.0, 1.0, 1 - m) / 6)
derivative(sp.ellipkm1, signature="p", p=lambda g, p: -g * sp.elliprd(0.0, 1.0, p) / 6)
derivative(sp.ellipe, signature="m", m=lambda g, m: -g * sp.elliprd(0.0, 1 - m, 1.0) / 6)


def _incomplete(phi: Array, slope: Callable[[Operand, Operand], Array]) -> Array:
    """sin^3 times a slope of cos^2 and sin^2, for angles up to a quarter turn.

    Each half turn adds the slope from end to end.
    """
    turns = np.round(phi / pi)
    rest = phi - pi * turns
    sine, cosine = np.sin(rest), np.cos(rest)
    from_turns = 2 * turns * slope(0.0, 1.0)
    return from_turns + sine**3 * slope(cosine * cosine, sine * sine)


def _ellipkinc_slope(phi: Array, m: Array) -> Array:
    return _incomplete(phi, lambda c, s: sp.elliprd(c, 1.0, 1 - m * s) / 6)


def _ellipeinc_slope(phi: Array, m: Array) -> Array:
    return -_incomplete(phi, lambda c, s: sp.elliprd(c, 1 - m * s, 1.0) / 6)


derivative(
    sp.ellipkinc,
    signature="phi, m",
    phi=lambda g, phi, m: g / np.sqrt(1 - m * np.sin(phi) ** 2),
    m=lambda g, phi, m: g * _ellipkinc_slope(phi, m),
)
derivative(
    sp.ellipeinc,
    signature="phi, m",
    phi=lambda g, phi, m: g * np.sqrt(1 - m * np.sin(phi) ** 2),
    m=lambda g, phi, m: g * _ellipeinc_slope(phi, m),
)


def _ellipj(g: list[Array], m: Array, y: list[Array]) -> Array:
    """Of sn, cn, dn and the amplitude, in u (DLMF 22.13)."""
    sn, cn, dn, _ = y
    return g[0] * cn * dn - g[1] * sn * dn - g[2] * m * sn * cn + g[3] * dn


derivative(sp.ellipj, signature="u, m", u=_ellipj)

# ------------------------------------------------------- Carlson's symmetric integrals (DLMF 19.16)

# Derivatives under the integral sign, then partial fractions. The last derivatives of R_D and R_J
# follow from the others, for both are homogeneous of degree -3/2.


def _times(x: Array, slope: Array) -> Array:
    """x times a slope that at x = 0 is infinite, but more slowly than 1 / x."""
    return x * np.where(np.equal(x, 0), 0, slope)


def _elliprg(x: Array, y: Array, z: Array) -> Array:
    """dR_G/dx = (R_F - x R_D(y, z, x) / 3) / 4."""
    part_of_d = _times(x, sp.elliprd(y, z, x)) / 3
    return (sp.elliprf(x, y, z) - part_of_d) / 4


def _near(a: Array, b: Array) -> np.ndarray:
    """Whether two arguments meet."""
    return np.abs(a - b) < 1e-5 * np.abs(b)


def _elliprd(x: Array, y: Array, z: Array) -> Array:
    """dR_D/dx = (R_D(y, z, x) - R_D(x, y, z)) / (2 (x - z)).

    It is symmetric in x and z; where they meet, its value at their mean is right to first order,
    and follows from homogeneity; so where y meets them too.
    """
    together = _near(x, z)
    difference = sp.elliprd(y, z, x) - sp.elliprd(x, y, z)
    apart = difference / (2 * np.where(together, 1, x - z))
    middle = np.where(together, (x + z) / 2, 2 * y + 1)
    return np.where(together, _elliprd_meeting(x, y, z, middle), apart)


def _elliprd_meeting(
    x: Array,
    y: Array,
    z: Array,
    middle: Array,
) -> Array:
    """dR_D/dx where x and z are both `middle`, and perhaps y too."""
    all_meet = _near(y, middle)
    pair = sp.elliprd(y, middle, middle)
    difference = sp.elliprd(middle, middle, y) - pair
    slope = difference / (2 * np.where(all_meet, 1, y - middle))
    two_meet = -(1.5 * pair + _times(y, slope)) / (4 * middle)
    mean = (3 * x + y + 3 * z) / 7
    return np.where(all_meet, -0.3 * np.power(mean, -2.5), two_meet)


def _elliprd_last(x: Array, y: Array, z: Array) -> Array:
    """dR_D/dz."""
    in_x = _times(x, _elliprd(x, y, z))
    in_y = _times(y, _elliprd(y, x, z))
    return -(1.5 * sp.elliprd(x, y, z) + in_x + in_y) / z


def _elliprj(
    x: Array,
    y: Array,
    z: Array,
    p: Array,
) -> Array:
    """dR_J/dx = (R_J - R_D(y, z, x)) / (2 (p - x)).

    Where x and p meet, it is a third of dR_D/dz at their weighted mean.
    """
    together = _near(x, p)
    difference = sp.elliprj(x, y, z, p) - sp.elliprd(y, z, x)
    apart = difference / (2 * np.where(together, 1, p - x))
    mean = np.where(together, (3 * x + 2 * p) / 5, 1)
    return np.where(together, _elliprd_last(y, z, mean) / 3, apart)


def _elliprj_last(
    x: Array,
    y: Array,
    z: Array,
    p: Array,
) -> Array:
    """dR_J/dp."""
    total = 1.5 * sp.elliprj(x, y, z, p)
    for first, second, third in ((x, y, z), (y, z, x), (z, x, y)):
        total = total + _times(first, _elliprj(first, second, third, p))
    return -total / p


derivative(
    sp.elliprf,
    signature="x, y, z",
    x=lambda g, x, y, z: -g * sp.elliprd(y, z, x) / 6,
    y=lambda g, x, y, z: -g * sp.elliprd(z, x, y) / 6,
    z=lambda g, x, y, z: -g * sp.elliprd(x, y, z) / 6,
)
derivative(  # R_F(x, y, y)
    sp.elliprc,
    signature="x, y",
    x=lambda g, x, y: -g * sp.elliprd(y, y, x) / 6,
    y=lambda g, x, y: -g * sp.elliprd(x, y, y) / 3,
)
derivative(
    sp.elliprg,
    signature="x, y, z",
    x=lambda g, x, y, z: g * _elliprg(x, y, z),
    y=lambda g, x, y, z: g * _elliprg(y, z, x),
    z=lambda g, x, y, z: g * _elliprg(z, x, y),
)
derivative(
    sp.elliprd,
    signature="x, y, z",
    x=lambda g, x, y, z: g * _elliprd(x, y, z),
    y=lambda g, x, y, z: g * _elliprd(y, x, z),
    z=lambda g, x, y, z: g * _elliprd_last(x, y, z),
)
derivative(
    sp.elliprj,
    signature="x, y, z, p",
    x=lambda g, x, y, z, p: g * _elliprj(x, y, z, p),
    y=lambda g, x, y, z, p: g * _elliprj(y, z, x, p),
    z=lambda g, x, y, z, p: g * _elliprj(z, x, y, p),
    p=lambda g, x, y, z, p: g * _elliprj_last(x, y, z, p),
)


def _agm_slope(a: Array, b: Array, y: Array) -> Array:
    """The derivative in a of pi / (2 R_F(0, a^2, b^2)), whose value is y."""
    return y * y * np.abs(a) * sp.elliprd(0.0, b * b, a * a) * (2 / (3 * pi))


derivative(
    sp.agm,
    signature="a, b",
    a=lambda g, a, b, y: g * _agm_slope(a, b, y),
    b=lambda g, a, b, y: g * _agm_slope(b, a, y),
)
