"""Right gradients where arguments, values or gradients are not finite by design."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array

from .functions import softmax, softmax_backward
from .pair import Room, normal

room = Room("not finite")
INF = np.inf

MASKED = np.array([[0.5, -INF, 1.0], [-INF, 0.2, -1.0]])
room.nasty(
    "softmax of masked logits of -inf",
    softmax,
    MASKED,
    right=softmax_backward,
    reference=lambda g, x: (
        softmax(x) * g - softmax(x) * np.sum(softmax(x) * g, axis=1, keepdims=True)
    ),
)


def masked_attention(q: Array, k: Array) -> Array:
    scores = np.where(np.tri(3, dtype=bool), q @ k.T, -INF)
    return softmax(scores)


def masked_attention_backward(g: Array, y: Array, q: Array, k: Array) -> tuple[Array, Array]:
    s = softmax_backward(g, y, y)
    return s @ k, s.T @ q


room.nasty(
    "causal attention with -inf inside",
    masked_attention,
    normal(3, 2),
    normal(3, 2, seed=1),
    right=masked_attention_backward,
)

MISSING = np.array([1.0, np.nan, -2.0, 0.5])
room.nasty(
    "mean of squares where data are missing",
    lambda x: np.nanmean(x * x),
    MISSING,
    right=lambda g, y, x: g * np.where(np.isnan(x), 0, 2 * x / 3),
    reference=lambda g, x: g * np.array([2 / 3, 0, -4 / 3, 1 / 3]),
)
room.nasty(
    "a weight per item, data missing",
    lambda w, x: np.nansum(w * x),
    normal(4),
    MISSING,
    right=lambda g, y, w, x: g * np.where(np.isnan(x), 0, x),
    options={"wrt": 0},
    reference=lambda g, w, x: g * np.array([1.0, 0.0, -2.0, 0.5]),
)
room.nasty(
    "NaN passed on",
    lambda x: x * x,
    MISSING,
    right=lambda g, y, x: 2 * x * g,
    reference=lambda g, x: 2 * x * g,
)


def root_backward(g: Array, y: Array, x: Array) -> Array:
    with np.errstate(divide="ignore"):
        return g / (2 * y)


room.nasty(
    "sqrt at 0, gradient infinite",
    np.sqrt,
    np.array([0.0, 4.0]),
    right=root_backward,
    reference=lambda g, x: np.array([np.sign(g[0]) * INF, g[1] / 4]),
)
room.nasty(
    "log at 0",
    np.log,
    np.array([0.0, 2.0]),
    right=lambda g, y, x: g / x,
    reference=lambda g, x: np.array([np.sign(g[0]) * INF, g[1] / 2]),
)
room.nasty(
    "cube root at 0",
    np.cbrt,
    np.array([0.0, 8.0]),
    right=lambda g, y, x: g / (3 * y * y),
    reference=lambda g, x: np.array([np.sign(g[0]) * INF, g[1] / 12]),
)
room.nasty(
    "1 / x at 0 and infinity",
    lambda x: 1 / x,
    np.array([INF, 2.0]),
    right=lambda g, y, x: -g * y * y,
    reference=lambda g, x: np.array([-0.0, -g[1] / 4]),
)
room.nasty(
    "exp at -inf",
    np.exp,
    np.array([-INF, 0.5]),
    right=lambda g, y, x: g * y,
    reference=lambda g, x: np.array([0.0, g[1] * np.exp(0.5)]),
)
room.nasty(
    "max with -inf",
    np.max,
    np.array([-INF, 2.0, 1.0]),
    right=lambda g, y, x: g * (x == y),
    reference=lambda g, x: g * np.array([0, 1, 0]),
)
room.nasty(
    "log-sum-exp with -inf",
    lambda x: np.log(np.sum(np.exp(x - x.max()))) + x.max(),
    np.array([-INF, 0.3, 1.0]),
    right=lambda g, y, x: g * np.exp(x - y),
    reference=lambda g, x: g * softmax(x),
)
room.nasty(
    "overflow in one element",
    np.exp,
    np.array([710.0, 1.0]),
    right=lambda g, y, x: g * y,
    reference=lambda g, x: np.array([np.sign(g[0]) * INF, g[1] * np.e]),
)
