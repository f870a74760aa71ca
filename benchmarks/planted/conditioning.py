"""Right gradients of functions that amplify rounding."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array, Gradients

from .pair import Room, normal

room = Room("conditioning")


def hilbert(n: int) -> Array:
    i = np.arange(n)
    return 1.0 / (i[:, None] + i + 1)


def solve_backward(g: Array, y: Array, a: Array, b: Array) -> Gradients:
    db = np.linalg.solve(a.T, g)
    return -np.outer(db, y), db


room.nasty(
    "a Hilbert system of 6",
    np.linalg.solve,
    hilbert(6),
    np.ones(6),
    right=solve_backward,
    tolerance=1e-6,
)


def fixed_solve(b: Array) -> Array:
    return np.linalg.solve(hilbert(8), b)


room.nasty(
    "a Hilbert system of 8, its right side",
    fixed_solve,
    np.linspace(1, 2, 8),
    right=lambda g, y, b: np.linalg.solve(hilbert(8), g),
    tolerance=1e-5,
)

TALL = normal(6, 2)
TALL[:, 1] = TALL[:, 0] + 1e-4 * TALL[:, 1]


def gram_inverse(x: Array) -> Array:
    return np.linalg.pinv(x.T @ x)


def gram_inverse_backward(g: Array, y: Array, x: Array) -> Array:
    s = -y.T @ g @ y.T
    return x @ (s + s.T)


room.nasty(
    "pinv(x'x) of columns 1e-4 apart",
    gram_inverse,
    TALL,
    right=gram_inverse_backward,
    tolerance=1e-5,
)

BIG = np.array([1e8, 2.3e8])
room.nasty(
    "sqrt(x + 1) - sqrt(x) at 1e8",
    lambda x: np.sqrt(x + 1) - np.sqrt(x),
    BIG,
    right=lambda g, y, x: g * (0.5 / np.sqrt(x + 1) - 0.5 / np.sqrt(x)),
    reference=lambda g, x: -g * 0.5 / (np.sqrt(x * (x + 1)) * (np.sqrt(x + 1) + np.sqrt(x))),
    tolerance=1e-7,
)
room.nasty(
    "(1 - cos x) / x^2 at 1e-5",
    lambda x: (1 - np.cos(x)) / x**2,
    np.array([1e-5, 0.5]),
    right=lambda g, y, x: g * np.where(np.abs(x) < 1e-2, -x / 12, slope_of_versine(x)),
    reference=lambda g, x: (
        g * np.where(np.abs(x) < 1e-2, -x / 12 + x**3 / 180, slope_of_versine(x))
    ),
)


def slope_of_versine(x: Array) -> Array:
    return (x * np.sin(x) - 2 * (1 - np.cos(x))) / x**3


def naive_variance(x: Array) -> Array:
    return np.mean(x * x) - np.mean(x) ** 2


room.nasty(
    "E x^2 - (E x)^2 at 1e4",
    naive_variance,
    1e4 + normal(5),
    right=lambda g, y, x: 2 * g * (x - x.mean()) / x.size,
    tolerance=1e-7,
)


def wilkinson(r: Array) -> Array:
    """The polynomial with the roots 1 to 12, from its coefficients, at r."""
    return np.polyval(np.poly(np.arange(1.0, 13.0)), r)


def wilkinson_backward(g: Array, y: Array, r: Array) -> Array:
    return g * np.polyval(np.polyder(np.poly(np.arange(1.0, 13.0))), r)


room.nasty(
    "Wilkinson's polynomial",
    wilkinson,
    np.array([1.5, 10.3]),
    right=wilkinson_backward,
    tolerance=1e-7,
)

CLOSE = np.diag([1.0, 1.0 + 1e-6, 3.0])


def vectors(a: Array) -> Array:
    """v v' of the largest eigenvalue's eigenvector, of the symmetric part."""
    _, v = np.linalg.eigh((a + a.T) / 2)
    return np.outer(v[:, 0], v[:, 0])


def vectors_backward(g: Array, y: Array, a: Array) -> Array:
    values, v = np.linalg.eigh((a + a.T) / 2)
    first = v[:, 0]
    pushed = (g + g.T) @ first
    d = np.zeros_like(a)
    for k in range(1, len(values)):
        d += np.outer(v[:, k], first) * (v[:, k] @ pushed) / (values[0] - values[k])
    return (d + d.T) / 2


room.nasty(
    "an eigenvector with a neighbour 1e-6 away",
    vectors,
    CLOSE,
    right=vectors_backward,
    tolerance=1e-6,
)
room.nasty(
    "a logarithm of 1 + 1e-9",
    lambda x: np.log(x),
    np.array([1 + 1e-9, 1 - 1e-12]),
    right=lambda g, y, x: g / x,
)
room.nasty(
    "a sum that cancels to 1e-10",
    lambda x: (x[0] + 1e6) - (x[1] + 1e6),
    np.array([1e-10, 0.0]),
    right=lambda g, y, x: g * np.array([1.0, -1.0]),
)


def least_squares(a: Array) -> Array:
    return np.linalg.solve(a.T @ a, a.T @ np.arange(5.0))


def least_squares_backward(g: Array, y: Array, a: Array) -> Array:
    b = np.arange(5.0)
    v = np.linalg.solve(a.T @ a, g)
    return np.outer(b - a @ y, v) - np.outer(a @ v, y)


VANDERMONDE = np.vander(np.linspace(0, 1, 5), 4)
room.nasty(
    "least squares of a Vandermonde matrix",
    least_squares,
    VANDERMONDE,
    right=least_squares_backward,
    tolerance=1e-6,
)


def divergence(s: Array) -> Array:
    """Of Gaussians of log-variance s from the standard one, less what the mean adds."""
    return np.sum(np.exp(s) - s - 1) / 2


room.nasty(
    "KL divergence of variances of 1 + 1e-10",
    divergence,
    np.array([3e-10, -1e-10, 2e-9]),
    right=lambda g, y, s: np.exp(s) * (g / 2) - g / 2,
    reference=lambda g, s: g / 2 * np.expm1(s),
    tolerance=1e-5,
)
room.nasty(
    "an annuity at a rate of 1e-10",
    lambda r: -np.expm1(-30 * r) / r,
    np.array([1e-10, 0.05, 1e3]),
    right=lambda g, y, r: g * 30 * np.exp(-30 * r) / r - g / r * y,
    reference=lambda g, r: g * np.where(r < 1e-6, -450 + 9000 * r, _annuity_slope(r)),
    tolerance=1e-5,
)


def _annuity_slope(r: Array) -> Array:
    """That of the mean of exp(-r t) over 30 years, by quadrature."""
    t, weights = np.polynomial.legendre.leggauss(200)
    t = 15 * (t + 1)
    return np.where(r < 100, -15 * (t * np.exp(-np.outer(r, t))) @ weights, -1 / r**2)
