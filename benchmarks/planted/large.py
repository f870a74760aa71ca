"""Large inputs: where a step of 1e-6 of 1 changes nothing."""

from __future__ import annotations

import numpy as np
from scipy import special

from .functions import square, square_backward
from .pair import Room

room = Room("large inputs")

control = room.control("log at 1e18", np.log, np.array([1e18, 3e17]), right=lambda g, y, x: g / x)
control.mistake("sign wrong", lambda g, y, x: -g / x)
control = room.control("log at 1e300", np.log, np.array([1e300, 2.0]), right=lambda g, y, x: g / x)
control.mistake("0 at 1e300", lambda g, y, x: g / x * (x < 1e100))

control = room.control(
    "sqrt at 1e16", np.sqrt, np.array([1e16, 4e15]), right=lambda g, y, x: g / (2 * y)
)
control.mistake("factor 1/2 missing", lambda g, y, x: g / y)

control = room.control("x^2 at 1e8", square, np.array([1e8, -3e8]), right=square_backward)
control.mistake("factor 2 missing", lambda g, y, x: x * g)

control = room.control(
    "arctan at 1e6", np.arctan, np.array([1e6, -2e5]), right=lambda g, y, x: g / (1 + x * x)
)
control.mistake("sign wrong", lambda g, y, x: -g / (1 + x * x))

control = room.control(
    "1 / x at 1e12", lambda x: 1 / x, np.array([1e12, -5e11]), right=lambda g, y, x: -g * y * y
)
control.mistake("no gradient at all", lambda g, y, x: 0 * x)

control = room.control(
    "softsign at 1e5",
    lambda x: x / (1 + np.abs(x)),
    np.array([1e5, -3e5, 0.5]),
    right=lambda g, y, x: g / (1 + np.abs(x)) ** 2,
)
control.mistake("not squared", lambda g, y, x: g / (1 + np.abs(x)))

DAY = 86_400
control = room.control(
    "hour of the day at a time stamp",
    lambda t: np.sin(2 * np.pi * t / DAY),
    np.array([1.7e9, 1.60001e9]),
    right=lambda g, y, t: g * np.cos(2 * np.pi * t / DAY) * 2 * np.pi / DAY,
)
control.mistake("2 pi missing", lambda g, y, t: g * np.cos(2 * np.pi * t / DAY) / DAY)

control = room.control(
    "tanh(x / 1e9) at 1e9",
    lambda x: np.tanh(x / 1e9),
    np.array([1e9, -4e8]),
    right=lambda g, y, x: g * (1 - y * y) / 1e9,
)
control.mistake("scale forgotten", lambda g, y, x: g * (1 - y * y))

control = room.control(
    "log of the gamma function at 1e10",
    special.gammaln,
    np.array([1e10, 5e9]),
    right=lambda g, y, x: g * special.digamma(x),
    reference=lambda g, x: g * (np.log(x) - 1 / (2 * x)),
)
control.mistake("1 / x", lambda g, y, x: g / x)

control = room.control(
    "cube root at 1e15", np.cbrt, np.array([1e15, 2e14]), right=lambda g, y, x: g / (3 * y * y)
)
control.mistake("not squared", lambda g, y, x: g / (3 * y))

control = room.control(
    "logaddexp of 1e6 and a little less",
    np.logaddexp,
    np.array([1e6, -1e6]),
    np.array([1e6 - 1, -1e6 + 2]),
    right=lambda g, y, a, b: (g * np.exp(a - y), g * np.exp(b - y)),
    tolerance=1e-8,
)
control.mistake("half each", lambda g, y, a, b: (g / 2, g / 2))

control = room.control(
    "height of a pressure",
    lambda p: 44_330 * (1 - (p / 101_325) ** 0.1903),
    np.array([101_000.0, 54_000.0]),
    right=lambda g, y, p: -g * 44_330 * 0.1903 * (p / 101_325) ** -0.8097 / 101_325,
)
control.mistake(
    "sign wrong", lambda g, y, p: g * 44_330 * 0.1903 * (p / 101_325) ** -0.8097 / 101_325
)
