"""State: caches by shape and by identity, shared buffers, saved values of another call."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.typing import Array

from .functions import exp_backward, sine_backward, square, square_backward, tanh_backward
from .pair import Room, memory, normal

room = Room("state")

# ----------------------------------------------------------------------------------------- caches

BY_SHAPE: dict[Any, Array] = memory({})
BY_IDENTITY: dict[int, tuple[Array, Array]] = memory({})
BY_SUM: dict[float, Array] = memory({})
BY_ROUNDED: dict[bytes, Array] = memory({})
ONCE: list[Array] = memory([])


def by_shape(g: Array, y: Array, x: Array) -> Array:
    slope = BY_SHAPE.setdefault(x.shape, np.cos(x))
    return g * slope


def by_identity(g: Array, y: Array, x: Array) -> Array:
    if id(x) not in BY_IDENTITY:
        BY_IDENTITY[id(x)] = (x, np.cos(x))  # with x, so that nothing else has its identity
    return g * BY_IDENTITY[id(x)][1]


def by_sum(g: Array, y: Array, x: Array) -> Array:
    key = round(float(np.sum(x)), 9)
    return g * BY_SUM.setdefault(key, np.cos(x))


def by_rounded(g: Array, y: Array, x: Array) -> Array:
    key = np.round(x, 2).tobytes()
    return g * BY_ROUNDED.setdefault(key, np.cos(x))


def of_the_first_call(g: Array, y: Array, x: Array) -> Array:
    if not ONCE:
        ONCE.append(np.cos(x))
    slope = ONCE[0]
    return g * (slope if slope.shape == x.shape else np.cos(x))


X = normal(5, seed=8)
control = room.control("sin, cached", np.sin, X, right=sine_backward)
control.mistake("by shape", by_shape, symptom="calls in turn")
control.mistake("by identity", by_identity, symptom="rewritten in place")
control.mistake("by sum", by_sum, symptom="calls in turn")
control.mistake("by two decimals", by_rounded, symptom="nearby")
control.mistake("the first call's for all", of_the_first_call, symptom="calls in turn")

SEEN_FORWARD: dict[int, tuple[Array, Array]] = memory({})


def value_by_identity(x: Array) -> Array:
    if id(x) not in SEEN_FORWARD:
        SEEN_FORWARD[id(x)] = (x, np.exp(x))
    return SEEN_FORWARD[id(x)][1].copy()


control = room.control("exp, its value cached", np.exp, X, right=exp_backward)
control.mistake(
    "by identity", exp_backward, forward=value_by_identity, symptom="rewritten in place"
)

# ---------------------------------------------------------------------------------------- buffers

BUFFERS: dict[Any, Array] = memory({})


def added_to_the_last(g: Array, y: Array, x: Array) -> Array:
    d = BUFFERS.setdefault(x.shape, np.zeros_like(x))
    d += 2 * x * g
    return d.copy()


def in_one_buffer(g: Array, y: Array, x: Array) -> Array:
    d = BUFFERS.setdefault(("one", x.shape), np.zeros_like(x))
    np.multiply(2 * x, g, out=d)
    return d


def with_rests(g: Array, y: Array, x: Array) -> Array:
    """The sum over neighbours reads one element beyond what this call has written."""
    workspace = BUFFERS.setdefault("workspace", np.zeros(64))
    workspace[: x.size] = g
    return workspace[: x.size] + workspace[1 : x.size + 1]


def to_neighbours(g: Array, y: Array, x: Array) -> Array:
    padded = np.append(g, 0.0)
    return padded[:-1] + padded[1:]


control = room.control("x^2 with a buffer", square, X, right=square_backward)
control.mistake("added to the last call's", added_to_the_last, symptom="calls again")
control.mistake("a later call overwrites the result", in_one_buffer, symptom="results kept")
control = room.control(
    "sums of neighbours",
    lambda x: x + np.append(0.0, x[:-1]),
    X,
    right=to_neighbours,
)
control.mistake("rests of a longer call", with_rests, symptom="another size", door="invariants")

# ------------------------------------------------------------------------------------ saved values

LATEST: list[Array] = memory([])
STACK: list[Array] = memory([])
SAVED: dict[str, Array] = memory({})
CALLS: list[int] = memory([])


def keeping_the_latest(x: Array) -> Array:
    LATEST[:] = [x.copy()]
    return np.tanh(x)


def pushing(x: Array) -> Array:
    STACK.append(np.tanh(x))
    return np.tanh(x)


def popping(g: Array, y: Array, x: Array) -> Array:
    saved = STACK.pop() if len(STACK) > 1 else STACK[0]
    return g * (1 - saved**2)


def saving(x: Array) -> Array:
    SAVED["y"] = np.tanh(x)
    return np.tanh(x)


def freeing(g: Array, y: Array, x: Array) -> Array:
    saved = SAVED.pop("y", np.zeros_like(g))
    return g * (1 - saved**2)


def every_third_doubled(g: Array, y: Array, x: Array) -> Array:
    CALLS.append(0)
    return g * (1 - y * y) * (2 if len(CALLS) % 3 == 0 else 1)


control = room.control("tanh, its value saved", np.tanh, X, right=tanh_backward)
control.mistake(
    "the latest argument for this one",
    lambda g, y, x: g * (1 - np.tanh(LATEST[0]) ** 2),
    forward=keeping_the_latest,
    symptom="calls in turn",
)
control.mistake(
    "on a stack, the last call's first", popping, forward=pushing, symptom="calls in turn"
)
control.mistake(
    "freed by the first of two backward passes", freeing, forward=saving, symptom="calls again"
)
control.mistake("every third call doubled", every_third_doubled, symptom="calls again")

RUNNING: list[float] = memory([])


def centred_by_a_running_mean(x: Array) -> Array:
    before = RUNNING[-1] if RUNNING else 0.0
    RUNNING.append(0.9 * before + 0.1 * float(np.mean(x)))
    return x - RUNNING[-1]


control = room.control("less a running mean", lambda x: x - 0.25, X, right=lambda g, y, x: g.copy())
control.mistake(
    "that each call moves",
    control.twin.derivative,
    forward=centred_by_a_running_mean,
    symptom="values",
)

MASKS = np.random.default_rng(11)
KEEP = np.array([1.0, 0.0, 1.0, 1.0, 0.0])
control = room.control(
    "dropout by a fixed mask", lambda x: 2 * KEEP * x, X, right=lambda g, y, x: 2 * KEEP * g
)
control.mistake(
    "another mask is drawn on the way back",
    lambda g, y, x: 2 * g * (MASKS.random(x.shape) < 0.5),
)

# --------------------------------------------------------------------------------- of other doors

SEEN: dict[Any, Array] = memory({})


def seen(x: Array, slope: Array) -> Array:
    return SEEN.setdefault(x.shape, slope)


def ends(x: Array) -> Any:
    return x.shape, x[0], x[-1]


BY_ENDS: dict[Any, Array] = memory({})
control = room.control("sine of 20", np.sin, normal(20), right=lambda g, y, x: g * np.cos(x))
control.mistake(
    "by its ends",
    lambda g, y, x: g * BY_ENDS.setdefault(ends(x), np.cos(x)),
    symptom="another middle",
)
control = room.control(
    "tangent of a sine", np.sin, normal(4), right=lambda args, t: np.cos(args[0]) * t[0], door="jvp"
)
control.mistake(
    "by shape", lambda args, t: seen(args[0], np.cos(args[0])) * t[0], symptom="calls in turn"
)
