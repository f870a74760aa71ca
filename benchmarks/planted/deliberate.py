"""Gradients that are meant to be another function's: `instead_of` is that function."""

from __future__ import annotations

import numpy as np

from .functions import sigmoid, softmax, softmax_backward
from .pair import Room, normal

room = Room("deliberate")
X = 2 * normal(5)

room.nasty(
    "straight-through rounding",
    np.round,
    X,
    right=lambda g, y, x: g.copy(),
    reference=lambda g, x: g,
    options={"instead_of": lambda x: x.copy()},
)
room.nasty(
    "straight through a sign, clipped",
    np.sign,
    X,
    right=lambda g, y, x: g * (np.abs(x) < 1),
    reference=lambda g, x: g * ((x > -1) & (x < 1)),
    options={"instead_of": lambda x: np.clip(x, -1, 1)},
)
room.nasty(
    "gradient reversal",
    lambda x: x.copy(),
    X,
    right=lambda g, y, x: -0.5 * g,
    reference=lambda g, x: -g / 2,
    options={"instead_of": lambda x: -0.5 * x},
)
room.nasty(
    "a spike with a sigmoid's gradient",
    lambda x: (x > 0).astype(float),
    X,
    right=lambda g, y, x: g * sigmoid(x) * (1 - sigmoid(x)),
    reference=lambda g, x: g / (2 + 2 * np.cosh(x)),
    options={"instead_of": sigmoid},
)
room.nasty(
    "one-hot with a softmax's gradient",
    lambda x: (x == x.max()).astype(float),
    X,
    right=lambda g, y, x: softmax_backward(g, softmax(x), x),
    reference=lambda g, x: softmax(x) * g - softmax(x) * np.sum(softmax(x) * g),
    options={"instead_of": softmax},
)
room.nasty(
    "no gradient on purpose",
    np.sin,
    X,
    right=lambda g, y, x: 0 * g,
    reference=lambda g, x: 0 * x,
    options={"instead_of": lambda x: 0 * x},
)
