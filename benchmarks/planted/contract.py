"""The contract: shape, dtype, number and order of what is returned, and whose memory it is."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array, Gradients

from .pair import Room, normal

room = Room("contract")
kept = {"symptom": "contract"}

control = room.control(
    "sum of squares", lambda x: np.sum(x * x), normal(4), right=lambda g, y, x: 2 * x * g
)
control.mistake("(1, N) for (N,)", lambda g, y, x: (2 * x * g)[None], **kept)
control.mistake("a sum of its own", lambda g, y, x: np.sum(2 * x * g), **kept)
control.mistake("None", lambda g, y, x: None, **kept)
control.mistake("float16", lambda g, y, x: (2 * x * g).astype(np.float16), **kept)
control.mistake("complex", lambda g, y, x: 2 * x * g + 0j, **kept)
control.mistake("objects", lambda g, y, x: (2 * x * g).astype(object), **kept)
control.mistake("a masked array", lambda g, y, x: np.ma.masked_less(2 * x * g, 0), **kept)

control = room.control("a sum", np.sum, normal(2, 3), right=lambda g, y, x: np.full_like(x, g))
control.mistake(
    "a read-only view of one number",
    lambda g, y, x: np.broadcast_to(g, x.shape),
    door="invariants",
    **kept,
)

control = room.control(
    "a + 2 b",
    lambda a, b: a + 2 * b,
    normal(3),
    normal(3, seed=1),
    right=lambda g, y, a, b: (g.copy(), 2 * g),
)
control.mistake("one of two gradients", lambda g, y, a, b: g.copy(), **kept)
control.mistake("a third gradient", lambda g, y, a, b: (g.copy(), 2 * g, 0 * g), **kept)
control.mistake("in the wrong order", lambda g, y, a, b: (2 * g, g.copy()))
control.mistake("no gradient of b: None", lambda g, y, a, b: (g.copy(), None), **kept)

control = room.control(
    "a + b",
    np.add,
    normal(3),
    normal(3, seed=1),
    right=lambda g, y, a, b: (g.copy(), g.copy()),
)


def one_array(g: Array, y: Array, a: Array, b: Array) -> Gradients:
    d = g.copy()
    return d, d


control.mistake("one array for both", one_array, door="invariants", **kept)
control.mistake("the cotangent itself, twice", lambda g, y, a, b: (g, g), door="invariants", **kept)

HALVES = 0.5 * normal(4, seed=3)
control = room.control("x^2 / 2", lambda x: 0.5 * x @ x, HALVES, right=lambda g, y, x: g * x)


def argument_itself(g: Array, y: Array, x: Array) -> Array:
    np.multiply(x, g, out=x)
    return x


control.mistake("the argument itself, rescaled", argument_itself, symptom="mutation")

TABLE = np.array([0.5, 2.0, 3.0])
control = room.control(
    "x times a table in x's dtype",
    lambda x: x * TABLE.astype(x.dtype),
    normal(3),
    right=lambda g, y, x: g * TABLE.astype(x.dtype),
)
control.mistake(
    "float64 for x of float32", lambda g, y, x: g * TABLE, symptom="in float32", door="invariants"
)
