"""Forward derivatives: jvp(args, tangents), where the tangent of an argument may be None."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array, Function, PyTree

from .functions import relu, softmax
from .pair import Control, Room, normal

room = Room("jvp")


def control(name: str, forward: Function, *args: PyTree, right: Function) -> Control:
    return room.control(name, forward, *args, right=right, door="jvp")


def push_sine(args: PyTree, tangents: PyTree) -> Array:
    return np.cos(args[0]) * tangents[0]


def one_of_many(args: PyTree, tangents: PyTree) -> Array:
    t = push_sine(args, tangents)
    t[4321] *= 1.01
    return t


def writing(args: PyTree, tangents: PyTree) -> Array:
    tangents[0][...] *= np.cos(args[0])
    return tangents[0].copy()


sine = control("sin", np.sin, normal(5), right=push_sine)
sine.mistake("zero", lambda args, t: 0 * t[0])
sine.mistake("clipped", lambda args, t: np.cos(args[0]) * np.clip(t[0], -2, 2), symptom="linearity")
sine.mistake("float32", lambda args, t: push_sine(args, t).astype(np.float32), symptom="contract")
sine.mistake("objects", lambda args, t: push_sine(args, t).astype(object), symptom="contract")
sine.mistake("(1, N) for (N,)", lambda args, t: push_sine(args, t)[None], symptom="contract")
sine.mistake("None", lambda args, t: None, symptom="contract")
sine.mistake("sign wrong", lambda args, t: -push_sine(args, t))
sine.mistake("the size of the tangent only", lambda args, t: np.cos(args[0]) * abs(t[0]))
sine.mistake("the tangent squared", lambda args, t: np.cos(args[0]) * t[0] ** 2)
sine.mistake("the tangent changed in place", writing, symptom="mutation")
sine.mistake(
    "small tangents dropped",
    lambda args, t: np.cos(args[0]) * np.where(abs(t[0]) > 1e-3, t[0], 0),
    symptom="linearity",
)

many = control("20,000 sines", np.sin, normal(20_000), right=push_sine)
many.mistake("one off by 1 %", one_of_many)
many.mistake("all off by 5 %", lambda args, t: 1.05 * push_sine(args, t))

LADDER = np.array([1e6, 1.0, 1e-6])
ladder = control(
    "scales from 1e6 to 1e-6",
    lambda x: LADDER * x * x,
    normal(3),
    right=lambda args, t: 2 * LADDER * args[0] * t[0],
)
ladder.mistake("the smallest doubled", lambda args, t: 2 * LADDER * args[0] * t[0] * [1, 1, 2])


def push_product(args: PyTree, tangents: PyTree) -> Array:
    a, b = args
    da, db = tangents
    t = np.zeros_like(a * b)
    if da is not None:
        t = t + da * b
    if db is not None:
        t = t + a * db
    return t


def first_needed(args: PyTree, tangents: PyTree) -> Array:
    return np.zeros_like(args[0]) if tangents[0] is None else push_product(args, tangents)


def second_needed(args: PyTree, tangents: PyTree) -> Array:
    return args[0] * 0 if tangents[1] is None else push_product(args, tangents)


product = control("a b", np.multiply, normal(4), normal(4, seed=1), right=push_product)
product.mistake("b's tangent ignored", lambda args, t: push_product(args, (t[0], None)))
product.mistake("0 where a's is None", first_needed, symptom="tangents left out")
product.mistake("0 where b's is None", second_needed, symptom="tangents left out")


def push_softmax(args: PyTree, tangents: PyTree) -> Array:
    y = softmax(args[0])
    t = tangents[0]
    return y * (t - (y * t).sum(axis=-1, keepdims=True))


normalised = control("softmax", softmax, normal(3, 4), right=push_softmax)
normalised.mistake(
    "sum over the batch",
    lambda args, t: softmax(args[0]) * (t[0] - (softmax(args[0]) * t[0]).sum(axis=0)),
)
normalised.mistake("the sum forgotten", lambda args, t: softmax(args[0]) * t[0])


def sine_and_cosine(x: Array) -> tuple[Array, Array]:
    return np.sin(x), 1e-6 * np.cos(x)


both = control(
    "sin and 1e-6 cos",
    sine_and_cosine,
    normal(3),
    right=lambda args, t: (np.cos(args[0]) * t[0], -1e-6 * np.sin(args[0]) * t[0]),
)
both.mistake("the small one's zero", lambda args, t: (np.cos(args[0]) * t[0], 0 * t[0]))

taken = control(
    "rows of a table",
    lambda table, index: table[index],
    normal(4, 2),
    np.array([2, 0, 1]),
    right=lambda args, t: t[0][args[1]],
)
taken.mistake("other rows", lambda args, t: t[0][args[1][::-1]])

nasty = {"door": "jvp"}
room.nasty(
    "a jvp that takes no None",
    np.multiply,
    normal(4),
    normal(4, seed=1),
    right=lambda args, t: t[0] * args[1] + args[0] * t[1],
    **nasty,
)
SIGNS = np.array([-1.0, 0.0, 2.0])
room.nasty("relu at 0", relu, SIGNS, right=lambda args, t: t[0] * (args[0] > 0), **nasty)
room.nasty(
    "log at 1e-12", np.log, np.array([1e-12, 1.0]), right=lambda args, t: t[0] / args[0], **nasty
)
room.nasty(
    "sin(1e8 x)",
    lambda x: np.sin(1e8 * x),
    normal(3),
    right=lambda args, t: 1e8 * np.cos(1e8 * args[0]) * t[0],
    **nasty,
)
room.nasty(
    "values of 1e-9 and 1e9",
    lambda x: np.array([1e-9, 1e9]) * np.exp(x),
    normal(2),
    right=lambda args, t: np.array([1e-9, 1e9]) * np.exp(args[0]) * t[0],
    **nasty,
)

room.nasty(
    "x log x at 1e-200, 1e-3 and 1e50",
    lambda x: x * np.log(x),
    np.array([1e-200, 1e-3, 1e50]),
    right=lambda args, t: (np.log(args[0]) + 1) * t[0],
    **nasty,
)
