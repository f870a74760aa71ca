"""Right gradients of noisy functions: solvers, float32 inside, rounded values."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import integrate, interpolate, optimize

from tinygrad_cv.typing import Array

from .pair import Room, normal

room = Room("noise")

room.nasty(
    "float32 inside",
    lambda x: np.sin(x.astype(np.float32)).astype(np.float64),
    normal(4),
    right=lambda g, y, x: g * np.cos(x),
    reference=lambda g, x: g * np.cos(x),
)


def product_in_float32(a: Array, b: Array) -> Array:
    return (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float64)


room.nasty(
    "a matrix product in float32",
    product_in_float32,
    normal(3, 4),
    normal(4, 2, seed=1),
    right=lambda g, y, a, b: (g @ b.T, a.T @ g),
    reference=lambda g, a, b: (np.einsum("ik,jk->ij", g, b), np.einsum("ij,ik->jk", a, g)),
)

room.nasty(
    "values rounded to six digits",
    lambda x: np.round(np.exp(x), 6),
    normal(3),
    right=lambda g, y, x: g * y,
    reference=lambda g, x: g * np.exp(x),
    tolerance=1e-4,
)
room.nasty(
    "values in steps of 1e-4",
    lambda x: np.round(x**3, 4),
    normal(3, seed=1),
    right=lambda g, y, x: 3 * g * x * x,
    reference=lambda g, x: 3 * g * x**2,
)


def cube_root(a: Array, tolerance: float) -> Array:
    """Newton's method until a step is shorter than the tolerance."""
    x = np.ones_like(a)
    for i, value in enumerate(a):
        step = 1.0
        while abs(step) > tolerance:
            step = (x[i] - value / x[i] ** 2) / 3
            x[i] -= step
    return x


POSITIVE = np.array([2.0, 0.7, 30.0])
room.nasty(
    "Newton's method to 1e-3",
    lambda a: cube_root(a, 1e-3),
    POSITIVE,
    right=lambda g, y, a: g / (3 * a ** (2 / 3)),
    reference=lambda g, a: g / (3 * np.cbrt(a) ** 2),
)


def kepler(mean: Array) -> Array:
    """The eccentric anomaly by fixed-point iteration to 1e-6."""
    e = mean.copy()
    for _ in range(200):
        new = mean + 0.3 * np.sin(e)
        if np.max(np.abs(new - e)) < 1e-6:
            break
        e = new
    return new


room.nasty(
    "Kepler's equation to 1e-6",
    kepler,
    np.array([0.5, 2.0]),
    right=lambda g, y, m: g / (1 - 0.3 * np.cos(y)),
    tolerance=1e-5,
    reference=lambda g, m: g / (1 - 0.3 * np.cos(exact_kepler(m))),
)


def exact_kepler(mean: Array) -> Array:
    gap = lambda e, m: e - 0.3 * np.sin(e) - m
    return np.array([optimize.brentq(gap, 0, 4, args=(m,), xtol=1e-14) for m in mean])


def decay(rate: Array) -> Array:
    """y' = -rate y, y(0) = 1, at t = 2, by solve_ivp with its usual tolerances."""
    slope = lambda t, y, r: -r * y
    found = [integrate.solve_ivp(slope, (0, 2), [1.0], args=(r,)) for r in rate]
    return np.array([solution.y[0, -1] for solution in found])


RATES = np.array([0.5, 1.3])
room.nasty(
    "solve_ivp",
    decay,
    RATES,
    right=lambda g, y, r: -2 * g * np.exp(-2 * r),
    reference=lambda g, r: -2 * g * np.exp(-2 * r),
)


def linear_decay(start: Array) -> Array:
    """y' = -rate y at t = 2: what the solver makes of it is a linear map, too, but another one.

    No differences can show that, so the error of its usual tolerances is stated: `rtol`.
    """
    found = integrate.solve_ivp(lambda t, y: -RATES * y, (0, 2), start)
    return found.y[:, -1]


SHARES = np.exp(-2 * RATES)
room.nasty(
    "solve_ivp of a linear system, by its start",
    linear_decay,
    np.array([0.3, -1.2]),
    options={"rtol": 1e-2},
    right=lambda g, y, x: g * SHARES,
    reference=lambda g, x: g * SHARES,
)


def pendulum(start: Array) -> Array:
    slope = lambda y, t: [y[1], -y[0]]
    return integrate.odeint(slope, start, [0.0, 1.5])[-1]


TURNED = np.array([[np.cos(1.5), np.sin(1.5)], [-np.sin(1.5), np.cos(1.5)]])
room.nasty(
    "odeint of a pendulum",
    pendulum,
    np.array([0.3, -0.1]),
    right=lambda g, y, x: TURNED.T @ g,
    reference=lambda g, x: np.array(
        [g[0] * np.cos(1.5) - g[1] * np.sin(1.5), g[0] * np.sin(1.5) + g[1] * np.cos(1.5)]
    ),
)


def area(x: Array) -> Array:
    """The integral of exp(-t^2) from 0 to x by the trapezoid rule with steps of about 0.01."""
    found = []
    for end in x:
        t = np.linspace(0, end, int(100 * end) + 2)
        found.append(np.trapezoid(np.exp(-t * t), t))
    return np.array(found)


room.nasty(
    "an integral with a number of steps that depends on x",
    area,
    np.array([0.755, 1.313]),
    right=lambda g, y, x: g * np.exp(-x * x),
    reference=lambda g, x: g * np.exp(-(x**2)),
)


def power_iteration(a: Array) -> Array:
    """The largest eigenvalue, to 1e-8 of itself."""
    v = np.ones(len(a))
    last = 0.0
    for _ in range(500):
        v = a @ v
        size = np.linalg.norm(v)
        v = v / size
        if abs(size - last) < 1e-8 * size:
            break
        last = size
    return np.asarray(v @ a @ v)


SPREAD = np.array([[3.0, 0.5, 0.2], [0.5, 1.0, 0.1], [0.2, 0.1, 0.5]])


def power_backward(g: Array, y: Array, a: Array) -> Array:
    _, vectors = np.linalg.eigh(a)
    return g * np.outer(vectors[:, -1], vectors[:, -1])


room.nasty(
    "power iteration to 1e-8",
    power_iteration,
    SPREAD,
    right=power_backward,
    reference=lambda g, a: g * np.outer(np.linalg.svd(a)[0][:, 0], np.linalg.svd(a)[2][0]),
    tolerance=1e-8,
)


def from_a_table(x: Array) -> Array:
    return interpolate.CubicSpline(GRID, np.sin(GRID))(x)


GRID = np.linspace(-3, 3, 200)
room.nasty(
    "a spline for the sine",
    from_a_table,
    np.array([0.3, -1.7]),
    right=lambda g, y, x: g * interpolate.CubicSpline(GRID, np.sin(GRID))(x, 1),
    reference=lambda g, x: g * np.cos(x),
    tolerance=1e-4,
)


def minimum(t: Array) -> Any:
    """The minimiser of (x - t)^4 + x^2 by a golden-section search to 1e-6."""
    found = []
    for value in t:
        low, high = -5.0, 5.0
        ratio = (np.sqrt(5) - 1) / 2
        while high - low > 1e-6:
            left, right = high - ratio * (high - low), low + ratio * (high - low)
            if (left - value) ** 4 + left**2 < (right - value) ** 4 + right**2:
                high = right
            else:
                low = left
        found.append((low + high) / 2)
    return np.array(found)


def minimum_backward(g: Array, y: Array, t: Array) -> Array:
    bend = 12 * (y - t) ** 2
    return g * bend / (bend + 2)


def minimum_reference(g: Array, t: Array) -> Array:
    """By the root of the slope, 4 (x - t)^3 + 2 x, to full precision."""
    slope = lambda x, s: 4 * (x - s) ** 3 + 2 * x
    x = np.array([optimize.brentq(slope, -5, 5, args=(s,), xtol=1e-15) for s in t])
    return g * 12 * (x - t) ** 2 / (12 * (x - t) ** 2 + 2)


room.nasty(
    "a minimiser to 1e-6",
    minimum,
    np.array([1.0, -2.0]),
    right=minimum_backward,
    reference=minimum_reference,
    tolerance=1e-5,
)
