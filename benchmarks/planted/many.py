"""Many elements: one of them wrong, or a small group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.typing import Array, Gradients

from .functions import (
    product,
    product_backward,
    relu,
    relu_backward,
    softmax,
    softmax_backward,
    square,
    square_backward,
)
from .pair import Room, normal

room = Room("many elements")


def spoiled(right: Callable[..., Any], index: Any, factor: float) -> Callable[..., Any]:
    """A right backward pass of one argument, of which some elements are multiplied by a factor."""

    def wrong(g: Array, y: Array, *args: Any) -> Array:
        d = np.array(right(g, y, *args))
        d[index] *= factor
        return d

    return wrong


LOUD = np.where(np.arange(5000) == 3210, 1.0, 1e6)
scaled = lambda g, y, x: g * LOUD * np.cos(x)
control = room.control(
    "5,000 elements, one a million times smaller",
    lambda x: LOUD * np.sin(x),
    normal(5000),
    right=scaled,
)
control.mistake("that one doubled", spoiled(scaled, 3210, 2))
control.mistake("that one 0", spoiled(scaled, 3210, 0))

QUIET = np.where(np.arange(5000) % 5 == 0, 1.0, 1e-6)
quiet = lambda g, y, x: 2 * g * QUIET * x
control = room.control(
    "4,000 small elements beside 1,000 large ones",
    lambda x: QUIET * x * x,
    normal(5000),
    right=quiet,
)
control.mistake("factor 2 missing in the small", spoiled(quiet, QUIET < 1, 0.5))

THIRD = np.where(np.arange(3000) % 3 == 0, 0.0, normal(3000))
control = room.control("relu, a third exactly 0", relu, THIRD, right=relu_backward)
POSITIVE = int(np.flatnonzero(THIRD > 0.5)[400])
control.mistake("one of 3,000 doubled", spoiled(relu_backward, POSITIVE, 2))

SPARSE = np.where(np.arange(2000) % 20 == 0, normal(2000, seed=3), 0.0)
absolute = lambda g, y, x: g * np.sign(x)
control = room.control("|x|, nearly all exactly 0", np.abs, SPARSE, right=absolute)
control.mistake("one sign wrong", spoiled(absolute, 1240, -1))

control = room.control("10,000 squares", square, normal(10_000, seed=2), right=square_backward)
control.mistake("one off by 0.1 %", spoiled(square_backward, 7, 1.001))
control.mistake("a gap of 64 in a tile", spoiled(square_backward, slice(4096, 4160), 0))


def two_swapped(g: Array, y: Array, x: Array) -> Array:
    d = 2 * x * g
    d[[100, 2900]] = d[[2900, 100]]
    return d


control.mistake("two swapped", two_swapped)


def one_entry(g: Array, y: Array, a: Array, b: Array) -> Gradients:
    da, db = product_backward(g, y, a, b)
    da[17, 42] *= 0.9
    return da, db


control = room.control(
    "product of (60, 80) and (80, 70)",
    product,
    normal(60, 80),
    normal(80, 70, seed=1),
    right=product_backward,
)
control.mistake("one entry off by 10 %", one_entry)

WORDS = np.random.default_rng(1).integers(0, 500, 900)


def lookup_backward(g: Array, y: Array, table: Array) -> Array:
    d = np.zeros_like(table)
    np.add.at(d, WORDS, g)
    return d


control = room.control(
    "embedding of 500 words", lambda table: table[WORDS], normal(500, 16), right=lookup_backward
)
control.mistake("one word without gradient", spoiled(lookup_backward, WORDS[5], 0))

control = room.control("softmax of (50, 100)", softmax, normal(50, 100), right=softmax_backward)
control.mistake("one row halved", spoiled(softmax_backward, 31, 0.5))

control = room.control(
    "100 rows of 61", np.sin, normal(100, 61), right=lambda g, y, x: g * np.cos(x)
)
control.mistake(
    "the rest of each row is 0", spoiled(lambda g, y, x: g * np.cos(x), np.s_[:, 60:], 0)
)

control = room.control(
    "mean of 20,000 squares",
    lambda x: np.mean(x * x),
    normal(20_000),
    right=lambda g, y, x: 2 * g * x / x.size,
)
control.mistake("N - 1 for N", lambda g, y, x: 2 * g * x / (x.size - 1))

control = room.control(
    "a million cubes", lambda x: x**3, normal(1_000_000), right=lambda g, y, x: 3 * g * x * x
)
control.mistake("one of them 0", spoiled(lambda g, y, x: 3 * g * x * x, 765_432, 0))


def same_for_all(g: Array, y: Array, x: Array) -> Array:
    return np.full(x.shape, g)


for count in (1000, 100_000):
    control = room.control(f"sum of {count}", np.sum, normal(count), right=same_for_all)
    control.mistake("both ends 0", spoiled(same_for_all, [0, -1], 0))

DECAY = 2.0 ** -np.linspace(0, 40, 500)
control = room.control(
    "500 values of one number",
    lambda x: x * DECAY,
    np.array(0.7),
    right=lambda g, y, x: np.sum(g * DECAY),
)
control.mistake("small ones forgotten", lambda g, y, x: np.sum((g * DECAY)[:250]))
