"""Cotangents in unusual memory or dtypes, and those that are clipped or ignored."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array

from .functions import sine_backward, square_backward
from .pair import Room, normal

room = Room("cotangents")
layout = {"symptom": "cotangent layouts"}

# ------------------------------------------------------------------------------ memory and dtype

X = normal(4, 3, seed=1)
control = room.control("squares of a matrix", np.square, X, right=square_backward)


def through_bytes(g: Array, y: Array, x: Array) -> Array:
    numbers = np.frombuffer(g.tobytes(order="A"), g.dtype).reshape(g.shape)
    return 2 * x * numbers


def result_like_g(g: Array, y: Array, x: Array) -> Array:
    d = np.empty_like(g)
    np.multiply(2 * x, g, out=d, casting="unsafe")
    return d.astype(x.dtype)


def halving_in_place(g: Array, y: Array, x: Array) -> Array:
    g += g
    d = x * g
    g /= 2
    return d


def whole_row_from_one(g: Array, y: Array, x: Array) -> Array:
    if 0 in g.strides:
        g = np.ones_like(g)
    return 2 * x * g


def absolute_strides(g: Array, y: Array, x: Array) -> Array:
    if any(s < 0 for s in g.strides):
        g = np.flip(g)
    return 2 * x * g


control.mistake(
    "in the order of memory", lambda g, y, x: 2 * x * g.ravel("K").reshape(x.shape), **layout
)
control.mistake("through bytes", through_bytes, **layout)
control.mistake("the result in g's dtype", result_like_g, **layout)
control.mistake("doubled in place, and halved again", halving_in_place, **layout)
control.mistake("a broadcast one taken for ones", whole_row_from_one, **layout)
control.mistake("negative strides ignored", absolute_strides, **layout)

control = room.control("half of x", lambda x: x / 2, normal(5), right=lambda g, y, x: g / 2)
control.mistake("in g's dtype", lambda g, y, x: (g / 2).astype(g.dtype), **layout)

# -------------------------------------------------------------------------------- not linear in g

control = room.control("sine", np.sin, normal(5, seed=2), right=sine_backward)
linear = {"symptom": "linearity"}
control.mistake("small ones dropped", lambda g, y, x: g * np.cos(x) * (np.abs(g) > 1e-3), **linear)
control.mistake("clipped at 100", lambda g, y, x: np.clip(g, -100, 100) * np.cos(x), **linear)
control.mistake(
    "norm clipped", lambda g, y, x: g * np.cos(x) / max(1, np.linalg.norm(g) / 10), **linear
)
control.mistake("its size only", lambda g, y, x: np.abs(g) * np.cos(x))
control.mistake("the first for all", lambda g, y, x: g.flat[0] * np.cos(x))
control.mistake("its mean for all", lambda g, y, x: g.mean() * np.cos(x))
control.mistake("ignored", lambda g, y, x: np.cos(x))
control.mistake(
    "1e-8 added", lambda g, y, x: (g + 1e-8) * np.cos(x), symptom="linearity", size=1e-9
)


def row_maxima_backward(g: Array, y: Array, x: Array) -> Array:
    return g[:, None] * (x == x.max(axis=1, keepdims=True))


control = room.control(
    "x^2 of 30,000",
    lambda x: x * x,
    normal(30_000),
    right=lambda g, y, x: 2 * g * x,
)
control.mistake(
    "1e-3 counts as 0",
    lambda g, y, x: 2 * x * np.where(abs(g) < 1e-3, 0, g),
    symptom="faint cotangents",
)
control = room.control(
    "row maxima", lambda x: x.max(axis=1), normal(3, 4), right=row_maxima_backward
)
control.mistake(
    "1 where the cotangent is 0",
    lambda g, y, x: row_maxima_backward(np.where(g == 0, 1, g), y, x),
    symptom="faint cotangents",
)
