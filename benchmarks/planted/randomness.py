"""Right gradients of functions that draw numbers from a Generator among their arguments."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array

from .pair import Room, normal

room = Room("randomness")

# Forward and backward each get a generator in the same state, and draw the same numbers.


def dropout(x: Array, rng: np.random.Generator) -> Array:
    return np.where(rng.random(x.shape) < 0.5, 2 * x, 0)


def dropout_backward(g: Array, y: Array, x: Array, rng: np.random.Generator) -> Array:
    return np.where(rng.random(x.shape) < 0.5, 2 * g, 0)


def same(seed: int, shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(seed).random(shape)


room.nasty(
    "dropout",
    dropout,
    normal(3, 4),
    np.random.default_rng(3),
    right=dropout_backward,
    reference=lambda g, x, rng: 2 * g * (same(3, x.shape) < 0.5),
)


def sampled(mean: Array, spread: Array, rng: np.random.Generator) -> Array:
    return mean + np.exp(spread) * rng.normal(size=mean.shape)


def sampled_backward(
    g: Array, y: Array, mean: Array, spread: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    return g.copy(), g * np.exp(spread) * rng.normal(size=mean.shape)


room.nasty(
    "a reparametrised sample",
    sampled,
    normal(3),
    normal(3, seed=1),
    np.random.default_rng(4),
    right=sampled_backward,
    reference=lambda g, m, s, rng: (
        g,
        g * np.exp(s) * np.random.default_rng(4).normal(size=m.shape),
    ),
)


def noisy_square(x: Array, rng: np.random.Generator) -> Array:
    return (x + 0.1 * rng.normal(size=x.shape)) ** 2


def noisy_square_backward(g: Array, y: Array, x: Array, rng: np.random.Generator) -> Array:
    return 2 * g * (x + 0.1 * rng.normal(size=x.shape))


room.nasty(
    "noise added to the input",
    noisy_square,
    normal(4),
    np.random.default_rng(5),
    right=noisy_square_backward,
    reference=lambda g, x, rng: 2 * g * (x + 0.1 * np.random.default_rng(5).normal(size=x.shape)),
)


def gumbel_softmax(x: Array, rng: np.random.Generator) -> Array:
    z = x + rng.gumbel(size=x.shape)
    e = np.exp(z - z.max())
    return e / e.sum()


room.nasty(
    "softmax with Gumbel noise",
    gumbel_softmax,
    normal(4),
    np.random.default_rng(6),
    right=lambda g, y, x, rng: y * (g - np.sum(g * y)),
    reference=lambda g, x, rng: (lambda p: p * g - p * np.sum(p * g))(
        gumbel_softmax(x, np.random.default_rng(6))
    ),
)


def permuted(x: Array, rng: np.random.Generator) -> Array:
    return x[rng.permutation(len(x))] * np.arange(1.0, 1 + len(x))


def permuted_backward(g: Array, y: Array, x: Array, rng: np.random.Generator) -> Array:
    d = np.zeros_like(x)
    d[rng.permutation(len(x))] = g * np.arange(1.0, 1 + len(x))
    return d


room.nasty(
    "a random permutation",
    permuted,
    normal(5),
    np.random.default_rng(7),
    right=permuted_backward,
    reference=lambda g, x, rng: (g * np.arange(1.0, 6.0))[
        np.argsort(np.random.default_rng(7).permutation(5))
    ],
)
