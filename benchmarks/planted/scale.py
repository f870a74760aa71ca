"""Right gradients at scales of nature: waves of light, decays, subnormal numbers, large phases."""

from __future__ import annotations

import numpy as np

from .functions import square, square_backward
from .pair import Room, normal

room = Room("scale")
LIGHT = 500e-9  # metres

room.nasty(
    "a wave of light",
    lambda x: np.sin(2 * np.pi * x / LIGHT),
    np.array([1.3e-7, 2e-6, -4.1e-7]),
    right=lambda g, y, x: g * np.cos(2 * np.pi * x / LIGHT) * 2 * np.pi / LIGHT,
)
room.nasty(
    "a decay in picoseconds",
    lambda t: np.exp(-t / 1e-12),
    np.array([5e-13, 2e-12]),
    right=lambda g, y, t: -g * y / 1e-12,
)
room.nasty(
    "2 x of subnormal numbers",
    lambda x: 2 * x,
    np.array([5e-310, -3e-315]),
    right=(lambda g, y, x: 2 * g),
)
room.nasty(
    "sin of subnormal numbers", np.sin, np.array([1e-310, 0.5]), right=lambda g, y, x: g * np.cos(x)
)
room.nasty("cos at 1e12", np.cos, np.array([1e12, 3.1e11]), right=lambda g, y, x: -g * np.sin(x))
room.nasty(
    "sin(1e8 x)",
    lambda x: np.sin(1e8 * x),
    normal(4),
    right=lambda g, y, x: 1e8 * g * np.cos(1e8 * x),
)
room.nasty("x^2 at 1e150", square, np.array([1e150, -1e149]), right=square_backward)
room.nasty("x^2 at 1e-150", square, np.array([1e-150, 2.0]), right=square_backward)
room.nasty("exp at 700", np.exp, np.array([700.0, -700.0, 0.0]), right=lambda g, y, x: g * y)
room.nasty(
    "exp at -740", np.exp, np.array([-740.0, 0.5]), right=lambda g, y, x: g * y, tolerance=1e-2
)
room.nasty(
    "energy in joules",
    lambda f: 6.62607015e-34 * f,
    np.array([5e14]),
    right=lambda g, y, f: 6.62607015e-34 * g,
)
room.nasty(
    "distances between stars",
    lambda x: np.sqrt(x[0] ** 2 + x[1] ** 2),
    np.array([4e16, -9e15]),
    right=lambda g, y, x: g * x / y,
)
room.nasty(
    "arguments of 1e-9 and 1e9",
    lambda a, b: a * b,
    1e-9 * normal(3),
    1e9 * normal(3, seed=1),
    right=lambda g, y, a, b: (g * b, g * a),
)
room.nasty(
    "elements of 1e-8, 1 and 1e8 in one array",
    np.log1p,
    np.array([1e-8, 1.0, 1e8]),
    right=lambda g, y, x: g / (1 + x),
)
room.nasty(
    "3 + 1e-12 sin(x)",
    lambda x: 3 + 1e-12 * np.sin(x),
    normal(3),
    right=lambda g, y, x: 1e-12 * g * np.cos(x),
)
room.nasty(
    "a sharp peak",
    lambda x: 1 / (1e-10 + (x - 0.5) ** 2),
    np.array([0.5 + 2e-5, 0.5 - 1e-5]),
    right=lambda g, y, x: -2 * g * y * y * (x - 0.5),
    tolerance=1e-8,
)
room.nasty(
    "tanh(1e6 x) beside its step",
    lambda x: np.tanh(1e6 * x),
    np.array([1e-6, -2e-7, 1.0]),
    right=lambda g, y, x: 1e6 * g / np.cosh(np.minimum(1e6 * abs(x), 700)) ** 2,
)
room.nasty("sin at 0 beside 1e6", np.sin, np.array([0.0, 1e6]), right=lambda g, y, x: g * np.cos(x))
room.nasty(
    "gradients of 1e12 beside 1e-12",
    lambda x: np.array([1e12, 1e-12]) * np.sin(x),
    normal(2),
    right=lambda g, y, x: g * np.array([1e12, 1e-12]) * np.cos(x),
)

room.nasty(
    "the norm of 1e150 beside 1e140",
    lambda x: np.sqrt(np.sum(x * x)),
    np.array([1e150, -2e150, 1e140]),
    right=lambda g, y, x: g * x / y,
    reference=lambda g, x: g * (x / 1e150) / np.linalg.norm(x / 1e150),
)
