"""Stiff functions: they change within a small part of their arguments' size."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array

from .pair import Room

room = Room("stiff")

control = room.control(
    "exp(2000 x) at 1e-3",
    lambda x: np.exp(2000 * x),
    np.array([1e-3, -2e-3, 3e-3]),
    right=lambda g, y, x: 2000 * g * y,
)
control.mistake("no gradient at all", lambda g, y, x: 0 * x)
control.mistake("factor 2000 missing", lambda g, y, x: g * y)

ENERGY = 1e5 / 8.314
TEMPERATURES = np.array([300.0, 450.0])
control = room.control(
    "Arrhenius' rate",
    lambda t: 1e13 * np.exp(-ENERGY / t),
    TEMPERATURES,
    right=lambda g, y, t: g * y * ENERGY / t**2,
)
control.mistake("sign wrong", lambda g, y, t: -g * y * ENERGY / t**2)
control.mistake("1 / T for 1 / T^2", lambda g, y, t: g * y * ENERGY / t)

control = room.control(
    "exp(-x / 1e-4)",
    lambda x: np.exp(-x / 1e-4),
    np.array([1e-4, 3e-4]),
    right=lambda g, y, x: -g * y / 1e-4,
)
control.mistake("sign wrong", lambda g, y, x: g * y / 1e-4)

THERMAL = 0.02585  # volts
control = room.control(
    "current of a diode",
    lambda v: 1e-12 * np.expm1(v / THERMAL),
    np.array([0.6, 0.45]),
    right=lambda g, y, v: g * 1e-12 * np.exp(v / THERMAL) / THERMAL,
)
control.mistake("voltage forgotten", lambda g, y, v: g * 1e-12 * np.exp(v / THERMAL))

control = room.control(
    "tanh(1e5 (x - 0.3)) near 0.3",
    lambda x: np.tanh(1e5 * (x - 0.3)),
    np.array([0.3 + 1e-6, 0.3 - 7e-6]),
    right=lambda g, y, x: 1e5 * g * (1 - y * y),
)
control.mistake("no gradient at all", lambda g, y, x: 0 * x)

control = room.control(
    "sigmoid(500 x)",
    lambda x: 1 / (1 + np.exp(-500 * x)),
    np.array([1e-3, -4e-3]),
    right=lambda g, y, x: 500 * g * y * (1 - y),
)
control.mistake("factor 500 missing", lambda g, y, x: g * y * (1 - y))

control = room.control(
    "x^200 near 1",
    lambda x: x**200,
    np.array([0.99, 1.01, 0.9]),
    right=lambda g, y, x: 200 * g * x**199,
)
control.mistake("power not lowered", lambda g, y, x: 200 * g * y)


def lennard_jones_backward(g: Array, y: Array, r: Array) -> Array:
    return 4 * g * (6 * r**-7 - 12 * r**-13)


control = room.control(
    "Lennard-Jones potential",
    lambda r: 4 * (r**-12 - r**-6),
    np.array([0.5, 0.9, 1.5]),
    right=lennard_jones_backward,
)
control.mistake("attraction's sign wrong", lambda g, y, r: 4 * g * (-6 * r**-7 - 12 * r**-13))

WIDTH = 1e-4
control = room.control(
    "a bump of width 1e-4",
    lambda x: np.exp(-(((x - 0.5) / WIDTH) ** 2)),
    np.array([0.5 + 5e-5, 0.5 - 9e-5]),
    right=lambda g, y, x: -2 * g * y * (x - 0.5) / WIDTH**2,
    tolerance=1e-8,
)
control.mistake("no gradient at all", lambda g, y, x: 0 * x)

QUANTUM = 6.62607015e-34 / (1.380649e-23 * 5800)  # h / kT, seconds
control = room.control(
    "Planck's law",
    lambda nu: nu**3 / np.expm1(QUANTUM * nu),
    np.array([5e14, 2e14]),
    right=lambda g, y, nu: (
        g * (3 * y / nu - QUANTUM * y * np.exp(QUANTUM * nu) / np.expm1(QUANTUM * nu))
    ),
)
control.mistake("exponential detached", lambda g, y, nu: g * 3 * y / nu)

control = room.control(
    "exp(exp(x))",
    lambda x: np.exp(np.exp(x)),
    np.array([2.5, 3.2]),
    right=lambda g, y, x: g * y * np.exp(x),
)
control.mistake("inner factor missing", lambda g, y, x: g * y)

control = room.control(
    "sin(1e4 x)",
    lambda x: np.sin(1e4 * x),
    np.array([0.3, -1.2]),
    right=lambda g, y, x: 1e4 * g * np.cos(1e4 * x),
)
control.mistake("sign wrong", lambda g, y, x: -1e4 * g * np.cos(1e4 * x))
