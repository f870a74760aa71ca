"""The calculus table of orthogonal polynomials in x (DLMF 18.9).

The derivative is one of the next kind and of one degree less. Degree and parameters are constants.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special as sp

from ...tensor import Rule, unwrap
from ...typing import Array, Shape
from ..table import definition, derivative


def _less(n: Array) -> Array:
    """The degree of the derivative: n - 1, and 0 for a constant. n need not be whole."""
    return np.subtract(n, np.not_equal(n, 0))


def _some(n: Array) -> Array:
    """1, and 0 for a constant."""
    return np.not_equal(n, 0) * 1.0


def _chebyshev_second(n: Array, x: Array) -> Array:
    """U_n' = 2 C_(n-1)^(2)."""
    return 2 * _some(n) * sp.eval_gegenbauer(_less(n), 2.0, x)


def _legendre(n: Array, x: Array) -> Array:
    """P_n' = (n + 1) / 2 P_(n-1)^(1, 1)."""
    return _some(n) * (np.add(n, 1) / 2) * sp.eval_jacobi(_less(n), 1.0, 1.0, x)


def _gegenbauer(n: Array, alpha: Array, x: Array) -> Array:
    """C_n^(a)' = 2 a C_(n-1)^(a+1)."""
    return 2 * alpha * _some(n) * sp.eval_gegenbauer(_less(n), alpha + 1, x)


def _laguerre(n: Array, alpha: Array | float, x: Array) -> Array:
    """L_n^(a)' = -L_(n-1)^(a+1)."""
    return -_some(n) * sp.eval_genlaguerre(_less(n), alpha + 1, x)


def _jacobi(
    n: Array,
    alpha: Array,
    beta: Array,
    x: Array,
) -> Array:
    """P_n^(a, b)' = (n + a + b + 1) / 2 P_(n-1)^(a+1, b+1)."""
    factor = _some(n) * ((n + alpha + beta + 1) / 2)
    return factor * sp.eval_jacobi(_less(n), alpha + 1, beta + 1, x)


def _shifted_jacobi(
    n: Array,
    p: Array,
    q: Array,
    x: Array,
) -> Array:
    """Of P_n^(p-q, q-1)(2 x - 1) / binom(2 n + p - 1, n)."""
    return 2 * _jacobi(n, p - q, q - 1, 2 * x - 1) / sp.binom(2 * n + p - 1, n)


derivative(sp.eval_legendre, signature="n, x", x=lambda g, n, x: g * _legendre(n, x))
derivative(sp.eval_sh_legendre, signature="n, x", x=lambda g, n, x: g * 2 * _legendre(n, 2 * x - 1))
derivative(sp.eval_chebyt, signature="n, x", x=lambda g, n, x: g * n * sp.eval_chebyu(_less(n), x))
derivative(sp.eval_chebyu, signature="n, x", x=lambda g, n, x: g * _chebyshev_second(n, x))
derivative(
    sp.eval_chebyc, signature="n, x", x=lambda g, n, x: g * n * sp.eval_chebyu(_less(n), x / 2)
)
derivative(sp.eval_chebys, signature="n, x", x=lambda g, n, x: g * _chebyshev_second(n, x / 2) / 2)
derivative(
    sp.eval_sh_chebyt,
    signature="n, x",
    x=lambda g, n, x: g * 2 * n * sp.eval_chebyu(_less(n), 2 * x - 1),
)
derivative(
    sp.eval_sh_chebyu, signature="n, x", x=lambda g, n, x: g * 2 * _chebyshev_second(n, 2 * x - 1)
)
derivative(
    sp.eval_gegenbauer,
    signature="n, alpha, x",
    x=lambda g, n, alpha, x: g * _gegenbauer(n, alpha, x),
)
derivative(
    sp.eval_jacobi,
    signature="n, alpha, beta, x",
    x=lambda g, n, alpha, beta, x: g * _jacobi(n, alpha, beta, x),
)
derivative(
    sp.eval_sh_jacobi,
    signature="n, p, q, x",
    x=lambda g, n, p, q, x: g * _shifted_jacobi(n, p, q, x),
)
derivative(sp.eval_laguerre, signature="n, x", x=lambda g, n, x: g * _laguerre(n, 0.0, x))
derivative(
    sp.eval_genlaguerre,
    signature="n, alpha, x",
    x=lambda g, n, alpha, x: g * _laguerre(n, alpha, x),
)
derivative(
    sp.eval_hermite,
    signature="n, x",
    x=lambda g, n, x: g * 2 * n * sp.eval_hermite(_less(n), x),
)
derivative(
    sp.eval_hermitenorm,
    signature="n, x",
    x=lambda g, n, x: g * n * sp.eval_hermitenorm(_less(n), x),
)


def _lpmv_slope(
    m: Array,
    v: Array,
    x: Array,
    y: Array,
) -> Array:
    """Of the associated Legendre function of order m and degree v (DLMF 14.10.4)."""
    next_degree = (v - m + 1) * sp.lpmv(m, v + 1, x)
    return ((v + 1) * x * y - next_degree) / (1 - x * x)


derivative(sp.lpmv, signature="m, v, x", x=lambda g, m, v, x, y: g * _lpmv_slope(m, v, x, y))


# SciPy's newer functions give the value and derivatives up to order `diff_n` themselves, in rows:
# the slope of rows 0 to k is rows 1 to k + 1.
def _rows_below(
    rule: Rule,
    y_shape: Shape,
    *args: Array,
    diff_n: int,
    **options: Any,
) -> Array:
    """Rows 1 to diff_n + 1."""
    rows = rule(*args, **options, diff_n=diff_n + 1)
    return np.reshape(rows[1:], y_shape)


def _enter_legendre(function: Any) -> None:
    """Legendre polynomials."""

    def slope(
        g: Array,
        y_shape: Shape,
        n: Array,
        z: Array,
        diff_n: int,
    ) -> Array:
        return g * _rows_below(rule, y_shape, n, z, diff_n=diff_n)

    rule = derivative(function, signature="n, z, *, diff_n=0", z=slope)


def _enter_associated(function: Any) -> None:
    """Associated Legendre functions."""

    def slope(
        g: Array,
        y_shape: Shape,
        n: Array,
        m: Array,
        z: Array,
        branch_cut: int,
        norm: bool,
        diff_n: int,
    ) -> Array:
        below = _rows_below(rule, y_shape, n, m, z, branch_cut=branch_cut, norm=norm, diff_n=diff_n)
        return g * below

    signature = "n, m, z, *, branch_cut=2, norm=False, diff_n=0"
    rule = derivative(function, signature=signature, z=slope)


def _enter_spherical(function: Any) -> None:
    """Spherical Legendre functions."""

    def slope(
        g: Array,
        y_shape: Shape,
        n: Array,
        m: Array,
        theta: Array,
        diff_n: int,
    ) -> Array:
        return g * _rows_below(rule, y_shape, n, m, theta, diff_n=diff_n)

    rule = derivative(function, signature="n, m, theta, *, diff_n=0", theta=slope)


# Spherical harmonics, by the operators that move the order m up and down (DLMF 14.30).
def _polar_slope(n: Array, m: Array, theta: Array, phi: Array) -> Array:
    """Half the difference of the next order and the one before, each turned back to this one.

    Beyond the degree there is no order, and SciPy gives 0.
    """
    up = np.sqrt(np.maximum((n - m) * (n + m + 1), 0))
    down = np.sqrt(np.maximum((n + m) * (n - m + 1), 0))
    turn = np.exp(1j * phi)
    above = up * spherical_harmonic(n, m + 1, theta, phi) / turn
    below = down * spherical_harmonic(n, m - 1, theta, phi) * turn
    return (above - below) / 2


def _enter_harmonics(function: Any, every: Any) -> Rule:
    """Spherical harmonics of polar angles theta and azimuths phi: one, and those up to (n, m)."""
    rule = derivative(
        function,
        signature="n, m, theta, phi, *, diff_n=0",
        theta=lambda g, n, m, theta, phi: g * _polar_slope(n, m, theta, phi),
        phi=lambda g, m, y: g * (np.multiply(1j, m) * y),
        elementwise=True,
    )

    @definition(every, signature="n, m, theta, phi, *, diff_n=0")
    def harmonics(n: int, m: int, theta: Array, phi: Array) -> Array:
        """(n + 1, 2 m + 1, ...): the degrees from 0 to n, the orders 0 to m and -m to -1."""
        m = abs(m)
        ndim = np.broadcast(unwrap(theta), unwrap(phi)).ndim
        behind = (1,) * ndim
        degrees = np.reshape(np.arange(n + 1), (-1, 1, *behind))
        orders = np.array([*range(m + 1), *range(-m, 0)], int)
        return spherical_harmonic(degrees, np.reshape(orders, (-1, *behind)), theta, phi)

    return rule


if hasattr(sp, "legendre_p"):  # SciPy 1.15
    spherical_harmonic = _enter_harmonics(sp.sph_harm_y, sp.sph_harm_y_all)
    for _ending in ("", "_all"):
        _enter_legendre(getattr(sp, "legendre_p" + _ending))
        _enter_associated(getattr(sp, "assoc_legendre_p" + _ending))
        _enter_spherical(getattr(sp, "sph_legendre_p" + _ending))
