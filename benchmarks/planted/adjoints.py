"""Adjoints of linear maps: adjoint(v, *args[1:]) of forward(x, *args[1:])."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.typing import Array, Function, PyTree

from .pair import Control, Room, normal

room = Room("adjoint")


def control(name: str, forward: Function, *args: PyTree, right: Function) -> Control:
    return room.control(name, forward, *args, right=right, door="adjoint")


MATRIX = normal(200, 200, seed=9)


def one_entry(v: Array) -> Array:
    x = MATRIX.T @ v
    x[17] -= 0.5 * MATRIX[123, 17] * v[123]
    return x


dense = control(
    "a matrix of 40,000", lambda x: MATRIX @ x, normal(200), right=lambda v: MATRIX.T @ v
)
dense.mistake("one entry halved", one_entry)
dense.mistake("not transposed", lambda v: MATRIX @ v)
dense.mistake("in float32", lambda v: (MATRIX.T @ v).astype(np.float32), symptom="contract")

LONG = normal(40_000, seed=2)


def one_element(v: Array) -> Array:
    x = LONG * v
    x[31_415] *= 1.01
    return x


diagonal = control("40,000 weights", lambda x: LONG * x, normal(40_000), right=lambda v: LONG * v)
diagonal.mistake("one off by 1 %", one_element)
diagonal.mistake("one zero", lambda v: LONG * v * (np.arange(v.size) != 12_345))


def pad(x: Array) -> Array:
    return np.pad(x, 2)


def writing(v: Array) -> Array:
    v[:2] = 0
    v[-2:] = 0
    return v[2:-2].copy()


padding = control("padding by 2", pad, normal(6), right=lambda v: v[2:-2].copy())
padding.mistake("off by one", lambda v: v[1:-3].copy())
padding.mistake("zero", lambda v: 0 * v[2:-2])
padding.mistake("(N + 4,) for (N,)", lambda v: v.copy(), symptom="contract")
padding.mistake("writes into its argument", writing, symptom="mutation")

INDEX = np.array([3, 0, 3, 2])


def add_at(v: Array, index: Array) -> Array:
    x = np.zeros(5)
    np.add.at(x, index, v)
    return x


def assign_at(v: Array, index: Array) -> Array:
    x = np.zeros(5)
    x[index] = v
    return x


def sorting(v: Array, index: Array) -> Array:
    x = add_at(v, index)
    index.sort()
    return x


taking = control("taken by an index", lambda x, index: x[index], normal(5), INDEX, right=add_at)
taking.mistake("assigned, not added", assign_at)
taking.mistake("the index sorted", sorting, symptom="mutation")

transform = control(
    "FFT", np.fft.fft, normal(8) + 1j * normal(8, seed=1), right=lambda v: np.fft.ifft(v) * 8
)
transform.mistake("the inverse", np.fft.ifft)
transform.mistake("the transpose", np.fft.fft)

summed = control("cumsum", np.cumsum, normal(6), right=lambda v: np.cumsum(v[::-1])[::-1].copy())
summed.mistake("not reversed", np.cumsum)

KERNEL = np.array([0.5, -1.0, 2.0])
smoothed = control(
    "full convolution",
    lambda x: np.convolve(x, KERNEL),
    normal(7),
    right=lambda v: np.correlate(v, KERNEL, "valid"),
)
smoothed.mistake("kernel not reversed", lambda v: np.convolve(v, KERNEL, "valid"))

clipped = control("2 x", lambda x: 2 * x, normal(4), right=lambda v: 2 * v)
clipped.mistake("clipped", lambda v: np.clip(2 * v, -20, 20), symptom="linearity")
clipped.mistake("1e-6 beside 1", lambda v: 2 * v + 1e-6 * v[::-1], size=1e-7)

SCALES = np.array([1e9, 1.0, 1e-9])
scaled = control(
    "scales from 1e9 to 1e-9", lambda x: SCALES * x, normal(3), right=lambda v: SCALES * v
)
scaled.mistake("the smallest doubled", lambda v: SCALES * v * [1, 1, 2])

nasty: dict[str, Any] = {"door": "adjoint"}
room.nasty("the identity", lambda x: x.copy(), normal(3), right=lambda v: v.copy(), **nasty)
room.nasty("zero", lambda x: 0 * x[:2], normal(3), right=lambda v: np.zeros(3), **nasty)
room.nasty(
    "scales from 1e12 to 1e-12",
    lambda x: np.array([1e12, 1.0, 1e-12]) * x,
    normal(3),
    right=lambda v: np.array([1e12, 1.0, 1e-12]) * v,
    **nasty,
)
room.nasty(
    "differences of 100,000 numbers",
    np.diff,
    normal(100_000),
    right=lambda v: np.append(0.0, v) - np.append(v, 0.0),
    **nasty,
)
