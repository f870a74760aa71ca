"""Layouts: arguments that are Fortran-ordered, reversed, with gaps, read-only."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array, Gradients

from .functions import product, product_backward, square, square_backward
from .pair import Room, normal

room = Room("layouts")
layout = {"symptom": "argument layouts"}

X = normal(3, 4, seed=5)
control = room.control("squares of a matrix", square, X, right=square_backward)


def transposed_if_fortran(g: Array, y: Array, x: Array) -> Array:
    d = 2 * x * g
    if x.flags.f_contiguous and not x.flags.c_contiguous:
        return d.reshape(x.shape, order="F").T.reshape(x.shape)
    return d


def touching(g: Array, y: Array, x: Array) -> Array:
    np.add(x, 0, out=x)  # nothing changes, but a read-only array raises
    return 2 * x * g


def reversed_if_negative(g: Array, y: Array, x: Array) -> Array:
    return 2 * (np.flip(x) if x.strides[-1] < 0 else x) * g


def from_the_base(g: Array, y: Array, x: Array) -> Array:
    whole = x if x.base is None else x.base
    numbers = np.asarray(whole).reshape(-1)[: x.size]
    return 2 * numbers.reshape(x.shape) * g


control.mistake(
    "in the order of memory", lambda g, y, x: 2 * x.ravel("K").reshape(x.shape) * g, **layout
)
control.mistake(
    "through bytes",
    lambda g, y, x: 2 * np.frombuffer(x.tobytes("A")).reshape(x.shape) * g,
    **layout,
)
control.mistake("transposed if Fortran-ordered", transposed_if_fortran, **layout)
control.mistake("writes where it reads", touching, **layout)
control.mistake("reversed if negative-stride", reversed_if_negative, **layout)
control.mistake("the memory that a view belongs to", from_the_base, **layout)


def by_a_flag(g: Array, y: Array, a: Array, b: Array) -> Gradients:
    transposed = a if a.flags.f_contiguous else a.T
    return g @ b.T, transposed @ g


control = room.control(
    "product of square matrices",
    product,
    normal(3, 3),
    normal(3, 3, seed=1),
    right=product_backward,
)
control.mistake("a Fortran-ordered one taken for its transpose", by_a_flag, **layout)


def cumulated(x: Array) -> Array:
    return np.cumsum(x, axis=0)


def cumulated_backward(g: Array, y: Array, x: Array) -> Array:
    return np.cumsum(g[::-1], axis=0)[::-1].copy()


def along_memory(g: Array, y: Array, x: Array) -> Array:
    axis = int(np.argmax(np.abs(x.strides)))
    return np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis).copy()


control = room.control("cumsum along rows", cumulated, X, right=cumulated_backward)
control.mistake("along the slowest axis in memory", along_memory, **layout)
