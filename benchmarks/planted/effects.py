"""Side effects: what a forward or a backward pass writes into, without being asked to."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.typing import Array

from .functions import relu, relu_backward
from .pair import Room, normal

room = Room("side effects")
effect = {"symptom": "mutation"}

# -------------------------------------------------------------------------- in the forward pass


def look_up(table: Array, index: Array) -> Array:
    return table[index]


def look_up_backward(g: Array, y: Array, table: Array, index: Array) -> Array:
    d = np.zeros_like(table)
    np.add.at(d, index, g)
    return d


def made_positive(table: Array, index: Array) -> Array:
    index[index < 0] += len(table)
    return table[index]


def sorting_the_index(g: Array, y: Array, table: Array, index: Array) -> Array:
    d = look_up_backward(g, y, table, index)
    index.sort()
    return d


FROM_THE_END = np.array([0, -1, 2, -3])
control = room.control(
    "rows of a table", look_up, normal(5, 2), FROM_THE_END, right=look_up_backward
)
control.mistake("the index made positive", look_up_backward, forward=made_positive, **effect)
control.mistake("the index sorted on the way back", sorting_the_index, **effect)


def unit_rows(table: Array, index: Array) -> Array:
    norms = np.sqrt(np.sum(table**2, axis=1, keepdims=True))
    return (table / norms)[index]


def unit_rows_in_place(table: Array, index: Array) -> Array:
    table /= np.sqrt(np.sum(table**2, axis=1, keepdims=True))
    return table[index]


def unit_rows_backward(g: Array, y: Array, table: Array, index: Array) -> Array:
    d = look_up_backward(g, y, table, index)
    norms = np.sqrt(np.sum(table**2, axis=1, keepdims=True))
    unit = table / norms
    return (d - unit * np.sum(d * unit, axis=1, keepdims=True)) / norms


control = room.control(
    "rows of length 1", unit_rows, normal(4, 3), np.array([0, 2, 2]), right=unit_rows_backward
)
control.mistake("the table rescaled", unit_rows_backward, forward=unit_rows_in_place, **effect)


def relu_in_place(x: Array) -> Array:
    x[x < 0] = 0
    return x.copy()


control = room.control("relu", relu, normal(6, seed=2), right=relu_backward)
control.mistake("negative numbers cleared", relu_backward, forward=relu_in_place, **effect)


def sorted_by_itself(x: Array) -> Array:
    x.sort()
    return x.copy()


def sort_backward(g: Array, y: Array, x: Array) -> Array:
    d = np.empty_like(g)
    d[np.argsort(x, kind="stable")] = g
    return d


control = room.control("sort", np.sort, normal(5, seed=3), right=sort_backward)
control.mistake("the argument sorted", sort_backward, forward=sorted_by_itself, **effect)

NO_LABEL = np.array([2, -1, 0])


def picked(x: Array, labels: Array) -> Array:
    rows = np.arange(len(labels))
    return np.where(labels >= 0, x[rows, labels], 0.0)


def picked_backward(g: Array, y: Array, x: Array, labels: Array) -> Array:
    d = np.zeros_like(x)
    rows = np.flatnonzero(labels >= 0)
    d[rows, labels[rows]] = g[rows]
    return d


def labels_cleaned(x: Array, labels: Array) -> Array:
    y = picked(x, labels)
    labels[labels < 0] = 0
    return y


control = room.control(
    "logits of the labels", picked, normal(3, 4), NO_LABEL, right=picked_backward
)
control.mistake(
    "missing labels set to 0",
    lambda g, y, x, labels: picked_backward(g, y, x, NO_LABEL),
    forward=labels_cleaned,
    **effect,
)


def split(x: Array, sizes: list[int]) -> Array:
    return np.array([part.sum() for part in np.split(x, np.cumsum(sizes)[:-1])])


def split_emptying(x: Array, sizes: list[int]) -> Array:
    y = split(x, sizes)
    sizes.pop()
    return y


SIZES = [2, 3, 1]
control = room.control(
    "sums of parts", split, normal(6), SIZES, right=lambda g, y, x, sizes: np.repeat(g, SIZES)
)
control.mistake("a list is emptied", control.twin.derivative, forward=split_emptying, **effect)


def scaled(x: Array, settings: dict[str, Any]) -> Array:
    return settings["scale"] * x


def counting(x: Array, settings: dict[str, Any]) -> Array:
    settings["calls"] = settings.get("calls", 0) + 1
    return settings["scale"] * x


control = room.control(
    "scale from a dict",
    scaled,
    normal(3),
    {"scale": 3},
    right=lambda g, y, x, settings: 3 * g,
)
control.mistake("a key is added", control.twin.derivative, forward=counting, **effect)


def variance(x: Array) -> Array:
    return np.mean((x - np.mean(x)) ** 2)


def variance_and_back(x: Array) -> Array:
    mean = np.mean(x)
    x -= mean
    y = np.mean(x * x)
    x += mean
    return y


control = room.control(
    "variance",
    variance,
    0.3 + 10 * normal(7),
    right=lambda g, y, x: 2 * g * (x - np.mean(x)) / x.size,
)
control.mistake(
    "the mean subtracted and added again",
    control.twin.derivative,
    forward=variance_and_back,
    symptom="mutation",
    size=1e-18,
)

# -------------------------------------------------------------------------- in the backward pass

VALID = np.array([True, False, True, True])


def masking_g(g: Array, y: Array, x: Array) -> Array:
    g[~VALID] = 0
    return 2 * x * g


control = room.control(
    "masked squares",
    lambda x: np.where(VALID, x * x, 0),
    normal(4, seed=4),
    right=lambda g, y, x: np.where(VALID, 2 * x * g, 0),
)
control.mistake("the cotangent masked", masking_g, **effect)


def flattening(g: Array, y: Array, x: Array) -> Array:
    g.shape = (-1,)
    return (2 * x.reshape(-1) * g).reshape(x.shape)


control = room.control(
    "squares of a matrix", lambda x: x * x, normal(2, 3), right=lambda g, y, x: 2 * x * g
)
control.mistake("the cotangent's shape changed", flattening, **effect)
