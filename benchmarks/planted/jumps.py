"""Jumps: functions of steps, whose gradient is 0 or that of the pieces between them."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array

from .functions import sigmoid
from .pair import Room, normal

room = Room("jumps")
X = 3 * normal(6, seed=4)
zero = lambda g, y, x: 0 * g

control = room.control("floor", np.floor, X, right=zero)
control.mistake("1", lambda g, y, x: g.copy())
control = room.control("round", np.round, X, right=zero)
control.mistake("straight through, undeclared", lambda g, y, x: g.copy())
control = room.control("sign", np.sign, X, right=zero)
control.mistake("2", lambda g, y, x: 2 * g)
control = room.control("ceil(4 x) / 4", lambda x: np.ceil(4 * x) / 4, X, right=zero)
control.mistake("1", lambda g, y, x: g.copy())

control = room.control("step", lambda x: (x > 0).astype(float), X, right=zero)
control.mistake("a sigmoid's", lambda g, y, x: g * sigmoid(x) * (1 - sigmoid(x)))

control = room.control(
    "x floor(x)", lambda x: x * np.floor(x), X, right=lambda g, y, x: g * np.floor(x)
)
control.mistake("product rule with floor' = 1", lambda g, y, x: g * (np.floor(x) + x))

control = room.control("x - floor(x)", lambda x: x - np.floor(x), X, right=lambda g, y, x: g.copy())
control.mistake("0", zero)

control = room.control(
    "remainder",
    lambda x, d: np.mod(x, d),
    X,
    np.array([2.0, 1.5, 0.7, 3.0, 1.1, 2.5]),
    right=lambda g, y, x, d: (g.copy(), -g * np.floor(x / d)),
)
control.mistake("divisor without gradient", lambda g, y, x, d: (g.copy(), 0 * d))

control = room.control(
    "a drop by 1 at 0",
    lambda x: np.where(x > 0, x, 2 * x - 1),
    X,
    right=lambda g, y, x: g * np.where(x > 0, 1, 2),
)
control.mistake("one slope for both", lambda g, y, x: g.copy())


def one_hot(x: Array) -> Array:
    return (x == x.max(axis=-1, keepdims=True)).astype(float)


control = room.control("one-hot of the largest", one_hot, X.reshape(2, 3), right=zero)
control.mistake("1", lambda g, y, x: g.copy())

control = room.control(
    "what rounding to 1/256 leaves",
    lambda x: x - np.round(256 * x) / 256,
    np.array([0.123, 0.7, -0.4]),
    right=lambda g, y, x: g.copy(),
)
control.mistake("0, as of the rounding", zero)

control = room.control(
    "a squared step, at the step",
    lambda x: np.where(x >= 1, x * x, 0.0),
    np.array([1.0, 2.0]),
    right=lambda g, y, x: 2 * g * x * (x >= 1),
)
control.mistake("doubled at 1", lambda g, y, x: 2 * g * x * (x >= 1) * np.where(x == 1, 2, 1))
