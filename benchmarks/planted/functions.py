"""Functions with their right gradients that several rooms plant mistakes in."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array


def softmax(x: Array) -> Array:
    """Along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(g: Array, y: Array, x: Array) -> Array:
    return y * (g - (g * y).sum(axis=-1, keepdims=True))


def layer_norm(x: Array) -> Array:
    """Along the last axis, without scale and shift."""
    d = x - x.mean(axis=-1, keepdims=True)
    return d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + 1e-5)


def deviation(x: Array) -> Array:
    return np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)


def layer_norm_backward(g: Array, y: Array, x: Array) -> Array:
    along = (g * y).mean(axis=-1, keepdims=True)
    return (g - g.mean(axis=-1, keepdims=True) - y * along) / deviation(x)


def square(x: Array) -> Array:
    return x * x


def square_backward(g: Array, y: Array, x: Array) -> Array:
    return 2 * x * g


def product(a: Array, b: Array) -> Array:
    return a @ b


def product_backward(g: Array, y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return g @ b.T, a.T @ g


def sine_backward(g: Array, y: Array, x: Array) -> Array:
    return g * np.cos(x)


def exp_backward(g: Array, y: Array, x: Array) -> Array:
    return g * y


def tanh_backward(g: Array, y: Array, x: Array) -> Array:
    return g * (1 - y * y)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def relu_backward(g: Array, y: Array, x: Array) -> Array:
    return g * (x > 0)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def sigmoid_backward(g: Array, y: Array, x: Array) -> Array:
    return g * y * (1 - y)
