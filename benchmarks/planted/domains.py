"""Right gradients near the edge of a domain, and of functions that raise beyond it."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_cv.typing import Array, Gradients

from .pair import Room, normal

room = Room("domains")

room.nasty("log at 1e-12", np.log, np.array([1e-12, 1.0, 3e-9]), right=lambda g, y, x: g / x)
room.nasty("log at 1e-300", np.log, np.array([1e-300, 2.0]), right=lambda g, y, x: g / x)
room.nasty(
    "sqrt at 1e-20", np.sqrt, np.array([1e-20, 1e-9, 4.0]), right=lambda g, y, x: g / (2 * y)
)
room.nasty(
    "1 / x at 1e-8", lambda x: 1 / x, np.array([1e-8, -2e-8, 1.0]), right=lambda g, y, x: -g * y * y
)
room.nasty(
    "arcsin at 1 - 1e-12",
    np.arcsin,
    np.array([1 - 1e-12, -1 + 1e-9, 0.3]),
    right=lambda g, y, x: g / np.sqrt((1 - x) * (1 + x)),
)
room.nasty(
    "arccosh at 1 + 1e-10",
    np.arccosh,
    np.array([1 + 1e-10, 2.0]),
    right=lambda g, y, x: g / np.sqrt((x - 1) * (x + 1)),
)
room.nasty(
    "arctanh at 1 - 1e-9",
    np.arctanh,
    np.array([1 - 1e-9, -0.5]),
    right=lambda g, y, x: g / ((1 - x) * (1 + x)),
)
room.nasty(
    "log1p at -1 + 1e-8", np.log1p, np.array([-1 + 1e-8, 0.5]), right=lambda g, y, x: g / (1 + x)
)
room.nasty(
    "x log x at 1e-10",
    lambda x: x * np.log(x),
    np.array([1e-10, 0.3]),
    right=lambda g, y, x: g * (np.log(x) + 1),
)
room.nasty(
    "logit at 1e-9",
    lambda p: np.log(p) - np.log1p(-p),
    np.array([1e-9, 0.5, 1 - 1e-9]),
    right=lambda g, y, p: g / (p * (1 - p)),
)
room.nasty(
    "x^0.1 at 1e-15",
    lambda x: x**0.1,
    np.array([1e-15, 1.0]),
    right=lambda g, y, x: 0.1 * g * x**-0.9,
)
room.nasty(
    "tan near pi / 2", np.tan, np.array([1.57, -1.5707]), right=lambda g, y, x: g * (1 + y * y)
)


def square_root(x: Array) -> Array:
    """math.sqrt raises ValueError below 0."""
    return np.array([math.sqrt(v) for v in x])


def logarithm(x: Array) -> Array:
    return np.array([math.log(v) for v in x])


TINY = np.array([1e-9, 2.0])
room.nasty(
    "math.sqrt at 1e-9",
    square_root,
    TINY,
    right=lambda g, y, x: g / (2 * y),
    reference=(lambda g, x: 0.5 * g * x**-0.5),
)
room.nasty(
    "math.log at 1e-9",
    logarithm,
    TINY,
    right=lambda g, y, x: g / x,
    reference=(lambda g, x: g * x**-1.0),
)


def checked_log(x: Array) -> Array:
    if np.any(x <= 0):
        raise ValueError("log of a number that is not positive")
    return np.log(x)


def probability(p: Array) -> Array:
    assert np.all((p >= 0) & (p <= 1)), "a probability"
    return p * (1 - p)


room.nasty(
    "log that raises, at 1e-7", checked_log, np.array([1e-7, 1.0]), right=lambda g, y, x: g / x
)
room.nasty(
    "a probability of exactly 0 and 1, asserted",
    probability,
    np.array([0.0, 1.0, 0.4]),
    right=lambda g, y, p: g * (1 - 2 * p),
    reference=lambda g, p: g * (1 - p) - g * p,
)


def interpolated(x: Array) -> Array:
    """Linear interpolation in a table of squares, which raises outside."""
    i = np.floor(x).astype(int)
    if np.any((i < 0) | (i > 3)):
        raise IndexError("outside the table")
    return i**2 + (x - i) * (2 * i + 1)


room.nasty(
    "a table's first entry",
    interpolated,
    np.array([1e-9, 2.5]),
    right=lambda g, y, x: g * (2 * np.floor(x) + 1),
    reference=lambda g, x: g * np.array([1.0, 5.0]),
)

NEARLY_SINGULAR = np.diag([1.0, 0.5, 1e-10])


def factor(a: Array) -> Array:
    """Of the symmetric part; raises LinAlgError if it is not positive definite."""
    return np.linalg.cholesky((a + a.T) / 2)


def factor_backward(g: Array, y: Array, a: Array) -> Array:
    inner = np.tril(y.T @ np.tril(g))
    inner -= 0.5 * np.diag(np.diag(inner))
    inverse = np.linalg.inv(y)
    s = inverse.T @ inner @ inverse
    return (s + s.T) / 2


room.nasty(
    "Cholesky of a nearly singular matrix",
    factor,
    NEARLY_SINGULAR,
    right=factor_backward,
    tolerance=1e-6,
)


def log_determinant(a: Array) -> Array:
    return 2 * np.sum(np.log(np.diag(factor(a))))


def log_determinant_backward(g: Array, y: Array, a: Array) -> Array:
    inverse = np.linalg.inv((a + a.T) / 2)
    return g * inverse


room.nasty(
    "log-determinant by Cholesky, nearly singular",
    log_determinant,
    np.array([[2.0, 1.0], [1.0, 0.5 + 1e-8]]),
    right=log_determinant_backward,
    tolerance=1e-6,
)


def entropy_backward(g: Array, y: Array, x: Array) -> Gradients:
    return -g * (np.log(x) + 1)


room.nasty(
    "entropy of weights of 1e-14",
    lambda x: -np.sum(x * np.log(x)),
    np.array([1e-14, 0.4, 0.6]),
    right=entropy_backward,
)
room.nasty(
    "distance of points 1e-7 apart",
    lambda a, b: np.sqrt(np.sum((a - b) ** 2)),
    np.array([0.5, 0.25]),
    np.array([0.5 + 3e-7, 0.25 - 4e-7]),
    right=lambda g, y, a, b: (g * (a - b) / y, g * (b - a) / y),
    tolerance=1e-8,
)
room.nasty(
    "log of uniform numbers",
    lambda x: np.sum(np.log(x)),
    np.abs(normal(200)) ** 4,
    right=lambda g, y, x: g / x,
)
