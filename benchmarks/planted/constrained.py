"""Right gradients on a constrained set: simplex, symmetric and triangular matrices, rotations.

A step along one element leaves the set, where the function raises or the gradient means something
else. `project` is the map of any array to the set; the gradient is right along the set.
"""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array

from .pair import Room, normal

room = Room("constrained")

P = np.array([0.2, 0.5, 0.3])


def cross_entropy_of(p: Array) -> Array:
    if abs(p.sum() - 1) > 1e-9:
        raise ValueError("probabilities sum to 1")
    return -np.sum(p * np.log(p))


def entropy_backward(g: Array, y: Array, p: Array) -> Array:
    return -g * (np.log(p) + 1)


simplex = {"options": {"project": "simplex"}}
room.nasty("entropy that checks its sum", cross_entropy_of, P, right=entropy_backward, **simplex)
room.nasty(
    "entropy, its gradient centred",
    cross_entropy_of,
    P,
    right=lambda g, y, p: -g * (np.log(p) - np.log(p).mean()),
    reference=lambda g, p: entropy_backward(g, 0 * g, p) - entropy_backward(g, 0 * g, p).mean(),
    **simplex,
)


def last_by_the_others(p: Array) -> Array:
    """Reads all probabilities but the last, which is 1 less their sum."""
    rest = 1 - p[:-1].sum()
    return -np.sum(p[:-1] * np.log(p[:-1])) - rest * np.log(rest)


room.nasty(
    "the last probability is the rest",
    last_by_the_others,
    P,
    right=entropy_backward,
    reference=lambda g, p: -g * (np.log(p) + 1),
    **simplex,
)

HALF = normal(3, 3)
S = HALF + HALF.T
symmetric = {"options": {"project": "symmetric"}}


def eigenvalues(a: Array) -> Array:
    """Reads the lower triangle only."""
    return np.linalg.eigvalsh(a)


def eigenvalues_backward(g: Array, y: Array, a: Array) -> Array:
    _, vectors = np.linalg.eigh(a)
    return (vectors * g) @ vectors.T


def numeric_symmetric(g: Array, a: Array) -> Array:
    """First-order perturbation theory, eigenvector by eigenvector."""
    _, vectors = np.linalg.eigh(a)
    return sum(g[k] * np.outer(vectors[:, k], vectors[:, k]) for k in range(len(g)))


room.nasty(
    "eigenvalues, of one triangle",
    eigenvalues,
    S,
    right=eigenvalues_backward,
    reference=numeric_symmetric,
    **symmetric,
)

POSITIVE = HALF @ HALF.T + np.eye(3)


def lower_factor(a: Array) -> Array:
    if not np.allclose(a, a.T, rtol=1e-12, atol=1e-14):
        raise ValueError("the matrix is not symmetric")
    return np.linalg.cholesky(a)


def factor_backward(g: Array, y: Array, a: Array) -> Array:
    inner = np.tril(y.T @ np.tril(g))
    inner -= 0.5 * np.diag(np.diag(inner))
    inverse = np.linalg.inv(y)
    s = inverse.T @ inner @ inverse
    return (s + s.T) / 2


def factor_reference(g: Array, a: Array) -> Array:
    """Along each symmetric direction E: <g, L half(L^-1 E L^-T)>, by solving (Smith 1995)."""
    lower = np.linalg.cholesky(a)
    n = len(a)
    d = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            e = np.zeros((n, n))
            e[i, j] = e[j, i] = 1
            inner = np.linalg.solve(lower, np.linalg.solve(lower, e).T)
            half = np.tril(inner, -1) + 0.5 * np.diag(np.diag(inner))
            d[i, j] = d[j, i] = np.sum(g * (lower @ half)) / (1 if i == j else 2)
    return d


room.nasty(
    "Cholesky that checks for symmetry",
    lower_factor,
    POSITIVE,
    right=factor_backward,
    reference=factor_reference,
    **symmetric,
)


def log_density(a: Array) -> Array:
    """x' a^-1 x + log|a| of a symmetric covariance."""
    if not np.allclose(a, a.T, rtol=1e-12, atol=1e-14):
        raise ValueError("a covariance is symmetric")
    x = np.array([0.5, -1.0, 2.0])
    return x @ np.linalg.solve(a, x) + np.linalg.slogdet(a)[1]


def log_density_backward(g: Array, y: Array, a: Array) -> Array:
    inverse = np.linalg.inv(a)
    z = inverse @ np.array([0.5, -1.0, 2.0])
    return g * (inverse - np.outer(z, z))


room.nasty(
    "a Gaussian's density of its covariance",
    log_density,
    POSITIVE,
    right=log_density_backward,
    reference=lambda g, a: (
        g
        * (
            np.linalg.inv(a).T
            - np.linalg.inv(a).T
            @ np.outer(np.array([0.5, -1.0, 2.0]), np.array([0.5, -1.0, 2.0]))
            @ np.linalg.inv(a).T
        )
    ),
    **symmetric,
)

LOWER = np.tril(HALF) + 2 * np.eye(3)
room.nasty(
    "a triangular matrix, its upper triangle refused",
    lambda a: strictly_lower(a) @ np.array([1.0, -2.0, 0.5]),
    LOWER,
    right=lambda g, y, a: np.tril(np.outer(g, [1.0, -2.0, 0.5])),
    reference=lambda g, a: np.outer(g, [1.0, -2.0, 0.5]) * np.tri(3),
    options={"project": "lower_triangular"},
)


def strictly_lower(a: Array) -> Array:
    if np.any(np.triu(a, 1)):
        raise ValueError("the matrix is not lower triangular")
    return a


ANGLE = 0.7
TURN = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])


def angle_of(r: Array) -> Array:
    if not np.allclose(r @ r.T, np.eye(2), atol=1e-9):
        raise ValueError("not a rotation")
    return np.arctan2(r[1, 0], r[0, 0])


def tangent_of_rotations(r: Array) -> list[Array]:
    """A rotation in the plane can move in one direction only."""
    return [np.array([[0.0, -1.0], [1.0, 0.0]]) @ r]


def rotated(r: Array) -> Array:
    """Of a rotation, to any matrix nearby the nearest one (Kabsch 1976)."""
    u, _, v = np.linalg.svd(r)
    turn: Array = u @ v
    return turn


room.nasty(
    "the angle of a rotation",
    angle_of,
    TURN,
    right=lambda g, y, r: g * np.array([[0, 0], [1 / r[0, 0], 0]]),
    reference=lambda g, r: g * np.array([[0, 0], [1 / np.cos(ANGLE), 0]]),
    options={"project": rotated},
)
room.nasty(
    "the first row of a rotation read",
    lambda r: np.arctan2(-r[0, 1], r[0, 0]),
    TURN,
    right=lambda g, y, r: g * np.array([[0, 0], [1 / r[0, 0], 0]]),
    reference=lambda g, r: g * np.array([[0, 0], [1 / np.cos(ANGLE), 0]]),
    options={"along": tangent_of_rotations(TURN)},
)


def unit_only(x: Array) -> Array:
    if abs(x @ x - 1) > 1e-9:
        raise ValueError("not on the sphere")
    return x[0] ** 2 - x[1] * x[2]


SPHERE = np.array([0.6, 0.0, 0.8])
room.nasty(
    "a function on the sphere",
    unit_only,
    SPHERE,
    right=lambda g, y, x: g * np.array([2 * x[0], -x[2], -x[1]]),
    reference=lambda g, x: g * np.array([1.2, -0.8, 0.0]),
    options={"project": lambda x: x / np.linalg.norm(x)},
)
