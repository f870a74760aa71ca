"""Right gradients of functions of dicts, lists, numbers and integers, with several outputs."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array, Gradients

from .functions import softmax
from .pair import Room, normal

room = Room("structure")

# ------------------------------------------------------------------------------ arguments


def affine(x: Array, p: dict[str, Array]) -> Array:
    return x @ p["w"] + p["b"]


def affine_backward(g: Array, y: Array, x: Array, p: dict[str, Array]) -> Gradients:
    return g @ p["w"].T, {"w": x.T @ g, "b": g.sum(axis=0)}


PARAMETERS = {"w": normal(3, 2, seed=1), "b": normal(2, seed=2)}
room.nasty("a dict of parameters", affine, normal(4, 3), PARAMETERS, right=affine_backward)

LAYERS = [
    {"w": normal(2, 3, seed=3), "b": normal(3, seed=4)},
    {"w": normal(3, 1, seed=5), "b": normal(1, seed=6)},
]


def network(x: Array, layers: list[dict[str, Array]]) -> Array:
    return np.tanh(x @ layers[0]["w"] + layers[0]["b"]) @ layers[1]["w"] + layers[1]["b"]


def network_backward(g: Array, y: Array, x: Array, layers: list[dict[str, Array]]) -> Gradients:
    first, second = layers
    h = np.tanh(x @ first["w"] + first["b"])
    da = (g @ second["w"].T) * (1 - h * h)
    one = {"w": x.T @ da, "b": da.sum(axis=0)}
    two = {"w": h.T @ g, "b": g.sum(axis=0)}
    return da @ first["w"].T, [one, two]


room.nasty("a list of dicts", network, normal(4, 2), LAYERS, right=network_backward)


def mean_loss(x: Array, labels: Array) -> Array:
    p = softmax(x)
    return -np.mean(np.log(p[np.arange(len(labels)), labels]))


def mean_loss_backward(g: Array, y: Array, x: Array, labels: Array) -> Gradients:
    return g * (softmax(x) - np.eye(x.shape[1])[labels]) / len(labels), None


room.nasty(
    "None for integers", mean_loss, normal(3, 4), np.array([1, 3, 0]), right=mean_loss_backward
)
room.nasty(
    "labels that are not differentiated",
    lambda x, t: np.mean((x - t) ** 2),
    normal(4),
    np.array([0.0, 1.0, 1.0, 0.0]),
    right=lambda g, y, x, t: 2 * g * (x - t) / x.size,
    options={"wrt": 0},
    reference=lambda g, x, t: g * (x - t) / 2,
)
room.nasty(
    "None for labels in floats",
    lambda x, t: np.mean((x - t) ** 2),
    normal(4),
    np.array([0.0, 1.0, 1.0, 0.0]),
    right=lambda g, y, x, t: (2 * g * (x - t) / x.size, None),
    options={"wrt": 0},
    reference=lambda g, x, t: g * (x - t) / 2,
)
room.nasty(
    "Python floats",
    lambda a, b: a * b + a**2,
    1.5,
    -0.25,
    right=lambda g, y, a, b: (g * (b + 2 * a), g * a),
)
room.nasty(
    "a Python float beside an array",
    lambda x, s: x * s,
    normal(3),
    2.5,
    right=lambda g, y, x, s: g * s,
    reference=lambda g, x, s: 2.5 * g,
)
room.nasty(
    "words and flags",
    lambda x, mode, sign: sign * (np.sin(x) if mode == "sin" else x),
    normal(3),
    "sin",
    True,
    right=lambda g, y, x, mode, sign: g * np.cos(x),
    reference=lambda g, x, m, s: g * np.cos(x),
)
room.nasty(
    "a boolean mask",
    lambda x, mask: x[mask] ** 2,
    normal(5),
    np.array([True, False, True, True, False]),
    right=lambda g, y, x, mask: 2 * x * scattered(g, mask),
)


def scattered(g: Array, mask: Array) -> Array:
    d = np.zeros(mask.shape)
    d[mask] = g
    return d


room.nasty(
    "a tuple of arrays",
    lambda pair: pair[0] * pair[1],
    (normal(3), normal(3, seed=1)),
    right=lambda g, y, pair: (g * pair[1], g * pair[0]),
)
room.nasty(
    "float32 arguments",
    np.tanh,
    normal(3, 4).astype(np.float32),
    right=lambda g, y, x: g * (1 - y * y),
    tolerance=1e-5,
)
room.nasty(
    "float32 beside float64",
    lambda a, b: a * b,
    normal(3).astype(np.float32),
    normal(3, seed=1),
    right=lambda g, y, a, b: ((g * b).astype(np.float32), g * a),
    tolerance=1e-5,
)

# -------------------------------------------------------------------------------- values

room.nasty(
    "two outputs",
    lambda x: (np.sin(x), np.cos(x)),
    normal(3),
    right=lambda g, y, x: g[0] * y[1] - g[1] * y[0],
)
room.nasty(
    "a dict of outputs",
    lambda x: {"mean": x.mean(), "square": x * x},
    normal(3),
    right=lambda g, y, x: g["mean"] / x.size + 2 * x * g["square"],
)
room.nasty(
    "an output of integers beside",
    lambda x: (np.sort(x), np.argsort(x)),
    normal(4),
    right=lambda g, y, x: g[0][np.argsort(y[1])],
)


def in_place_outputs(x: Array) -> Array:
    y = np.empty((2, *x.shape))
    np.sin(x, out=y[0])
    np.cos(x, out=y[1])
    return y


room.nasty(
    "outputs written in place",
    in_place_outputs,
    normal(3),
    right=lambda g, y, x: g[0] * y[1] - g[1] * y[0],
    reference=lambda g, x: g[0] * np.cos(x) - g[1] * np.sin(x),
)
room.nasty(
    "a view of the argument", lambda x: x[1:], normal(4), right=lambda g, y, x: np.append(0.0, g)
)
room.nasty("the argument itself", lambda x: x, normal(4), right=lambda g, y, x: g.copy())
room.nasty(
    "a Python float as value",
    lambda x: float(np.sum(x * x)),
    normal(3),
    right=(lambda g, y, x: 2 * g * x),
    reference=lambda g, x: 2 * g * x,
)
room.nasty(
    "a list as gradient of one array", np.sin, normal(3), right=lambda g, y, x: ([g * np.cos(x)])
)
