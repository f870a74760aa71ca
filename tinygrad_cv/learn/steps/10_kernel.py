"""A kernel: many operations as one, with its backward by hand.

RMS norm divides a row by the root of its mean square. As NumPy code it is four operations, each of
which keeps something. With pencil and paper it is one: y = x / r, so dx = (g - y mean(g y)) / r,
which keeps y and r. A kernel stands in one place: the reference is the definition and the judge,
forward is fast, backward is yours. The second derivative comes from the reference.
"""

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv.testing import check_grad


@tg.kernel
def rms_norm(x):
    """x / sqrt(mean(x**2)), row by row (Zhang and Sennrich 2019)."""
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True))


@rms_norm.forward
def _(x):
    r = np.sqrt(np.mean(x**2, axis=-1, keepdims=True))
    return x / r, r  # the value, and what backward needs besides


@rms_norm.backward
def _(g, y, saved):
    return (g - y * np.mean(g * y, axis=-1, keepdims=True)) / saved


x = np.array([[1.0, -2.0, 0.5], [0.1, 0.2, 0.3]])
g = np.array([[1.0, 0.5, -1.0], [2.0, 0.0, 1.0]])


def loss(x):
    return np.sum(g * rms_norm(x))


def loss_of_reference(x):
    return np.sum(g * rms_norm.reference(x))


by_hand = tg.grad(loss)(x)
by_reference = tg.grad(loss_of_reference)(x)
print(f"by hand\n{by_hand}")
print(f"by the engine, through the reference\n{by_reference}")

report = check_grad(rms_norm, x, order=2)
print(f"against differences: {report.elements} derivatives agree, first and second")

fused = len(tg.tape(loss, x).table())
unfused = len(tg.tape(loss_of_reference, x).table())
print(f"lines of the program, forward and backward: {fused} as a kernel, {unfused} without")

look = loss, x
print("\nQuestion: x and the gradient of x are at right angles: (x * dx).sum(axis=-1) is 0. Why?")
