"""Accumulation: what is used several times, or broadcast, adds its gradients up."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array, Gradients

from .pair import Room, normal

room = Room("accumulation")

control = room.control(
    "x sin(x), x used twice",
    lambda x: x * np.sin(x),
    normal(4),
    right=lambda g, y, x: g * (np.sin(x) + x * np.cos(x)),
)
control.mistake("the second use overwrites", lambda g, y, x: g * x * np.cos(x))
control.mistake("the first use only", lambda g, y, x: g * np.sin(x))

control = room.control(
    "x x', x used on both sides",
    lambda x: x @ x.T,
    normal(3, 2),
    right=lambda g, y, x: (g + g.T) @ x,
)
control.mistake("one side twice", lambda g, y, x: 2 * g @ x)


def recurrent(x: Array, w: Array) -> Array:
    h = np.zeros(w.shape[0])
    for t in range(len(x)):
        h = np.tanh(w @ h + x[t])
    return h


def recurrent_states(x: Array, w: Array) -> list[Array]:
    states = [np.zeros(w.shape[0])]
    for t in range(len(x)):
        states.append(np.tanh(w @ states[-1] + x[t]))
    return states


def recurrent_backward(g: Array, y: Array, x: Array, w: Array) -> Gradients:
    states = recurrent_states(x, w)
    dx = np.zeros_like(x)
    dw = np.zeros_like(w)
    for t in reversed(range(len(x))):
        g = g * (1 - states[t + 1] ** 2)
        dx[t] = g
        dw += np.outer(g, states[t])
        g = w.T @ g
    return dx, dw


def last_step_only(g: Array, y: Array, x: Array, w: Array) -> Gradients:
    states = recurrent_states(x, w)
    dx, _ = recurrent_backward(g, y, x, w)
    return dx, np.outer(g * (1 - y * y), states[-2])


def truncated(g: Array, y: Array, x: Array, w: Array) -> Gradients:
    dx, dw = recurrent_backward(g, y, x, w)
    dx[:-2] = 0
    return dx, dw


control = room.control(
    "a recurrence of five steps",
    recurrent,
    normal(5, 3),
    0.5 * normal(3, 3, seed=1),
    right=recurrent_backward,
)
control.mistake("weights of the last step only", last_step_only)
control.mistake("truncated after two steps", truncated)


def affine_backward(g: Array, y: Array, x: Array, w: Array, b: Array) -> Gradients:
    return g @ w.T, x.T @ g, g.sum(axis=0)


control = room.control(
    "affine layer",
    lambda x, w, b: x @ w + b,
    normal(4, 3),
    normal(3, 2, seed=1),
    normal(2, seed=2),
    right=affine_backward,
)
control.mistake(
    "bias averaged over the batch", lambda g, y, x, w, b: (g @ w.T, x.T @ g, g.mean(axis=0))
)
control.mistake("bias of the last one", lambda g, y, x, w, b: (g @ w.T, x.T @ g, g[-1].copy()))

control = room.control(
    "a column times a row",
    np.multiply,
    normal(3, 1),
    normal(1, 4, seed=1),
    right=lambda g, y, a, b: (
        (g * b).sum(axis=1, keepdims=True),
        (g * a).sum(axis=0, keepdims=True),
    ),
)
control.mistake(
    "summed before it is multiplied",
    lambda g, y, a, b: (g.sum(axis=1, keepdims=True) * b.sum(), (g * a).sum(axis=0, keepdims=True)),
)

SEGMENTS = np.array([0, 1, 0, 2, 1, 0])


def segment_sum(x: Array) -> Array:
    y = np.zeros((3, x.shape[1]))
    np.add.at(y, SEGMENTS, x)
    return y


control = room.control(
    "sum of segments", segment_sum, normal(6, 2), right=lambda g, y, x: g[SEGMENTS]
)
control.mistake(
    "shared by the segment's size",
    lambda g, y, x: g[SEGMENTS] / np.bincount(SEGMENTS)[SEGMENTS, None],
)
