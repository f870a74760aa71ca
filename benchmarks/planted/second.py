"""Second derivatives, by way of what a backward pass does to the cotangent.

A rule is backward(g, x), and `second(h, g, x)` are the gradients of <h, backward(g, x)> with
respect to g and x. A rule that detaches g has the right first derivative and loses the second
through anything that comes after it.
"""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array, Function, Gradients

from .functions import relu, sigmoid, softmax
from .pair import Control, Room, normal

room = Room("second order")


def elementwise(name: str, f: Function, slope: Function, bend: Function, x: Array) -> Control:
    """A function of each element by itself, with its first and second derivative."""
    return room.control(
        name,
        f,
        x,
        right=lambda g, x: g * slope(x),
        second=lambda h, g, x: (h * slope(x), h * g * bend(x)),
        door="grad2",
    )


def detaching(control: Control) -> None:
    """Plant the same rule without a gradient with respect to g."""
    twin = control.twin
    second = twin.second
    assert second is not None
    control.mistake(
        "detaches g",
        twin.derivative,
        second=lambda h, g, x: (0 * h, second(h, g, x)[1]),
    )


def square_second(factor: float) -> Function:
    return lambda h, g, x: (h * 2 * x, factor * h * g)


control = elementwise("x^2", np.square, lambda x: 2 * x, lambda x: 2 + 0 * x, normal(4))
detaching(control)
control.mistake("3 for 2", control.twin.derivative, second=square_second(3))
control.mistake("no second derivative", control.twin.derivative, second=square_second(0))

control = elementwise(
    "x^3", lambda x: x**3, lambda x: 3 * x * x, lambda x: 6 * x, normal(4, seed=1)
)
control.mistake(
    "5 for 6", control.twin.derivative, second=lambda h, g, x: (3 * h * x * x, 5 * h * g * x)
)

control = elementwise("exp", np.exp, np.exp, np.exp, normal(4, seed=2))
detaching(control)
control.mistake(
    "with respect to g off by 1e-6",
    control.twin.derivative,
    second=lambda h, g, x: (h * np.exp(x) * (1 + 1e-6), h * g * np.exp(x)),
    size=1e-7,
)

control = elementwise("sin", np.sin, np.cos, lambda x: -np.sin(x), normal(4, seed=3))
detaching(control)
control.mistake(
    "sign wrong",
    control.twin.derivative,
    second=lambda h, g, x: (h * np.cos(x), h * g * np.sin(x)),
)


def bend_of_tanh(x: Array) -> Array:
    y = np.tanh(x)
    return -2 * y * (1 - y * y)


control = elementwise("tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2, bend_of_tanh, normal(5))
detaching(control)
control.mistake(
    "slope taken for a constant",
    control.twin.derivative,
    second=lambda h, g, x: (h * (1 - np.tanh(x) ** 2), 0 * x),
)

control = elementwise(
    "softplus",
    lambda x: np.logaddexp(0, x),
    sigmoid,
    lambda x: sigmoid(x) * (1 - sigmoid(x)),
    normal(4),
)
detaching(control)


def softmax_pull(g: Array, x: Array) -> Array:
    y = softmax(x)
    return y * (g - (g * y).sum(axis=-1, keepdims=True))


def softmax_second(h: Array, g: Array, x: Array) -> Gradients:
    y = softmax(x)
    inner = (h * y).sum(axis=-1, keepdims=True)
    along = (g * y).sum(axis=-1, keepdims=True)
    dg = y * (h - inner)
    dy = h * (g - along) - g * inner
    return dg, y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def value_detached(h: Array, g: Array, x: Array) -> Gradients:
    y = softmax(x)
    return y * (h - (h * y).sum(axis=-1, keepdims=True)), 0 * x


control = room.control(
    "softmax", softmax, normal(2, 3), right=softmax_pull, second=softmax_second, door="grad2"
)
detaching(control)
control.mistake("value detached", softmax_pull, second=value_detached)

FORM = normal(3, 3, seed=6)
control = room.control(
    "quadratic form",
    lambda x: x @ FORM @ x,
    normal(3),
    right=lambda g, x: g * ((FORM + FORM.T) @ x),
    second=lambda h, g, x: (h @ ((FORM + FORM.T) @ x), g * ((FORM + FORM.T) @ h)),
    door="grad2",
)
control.mistake(
    "2 A for A + A'",
    control.twin.derivative,
    second=lambda h, g, x: (h @ ((FORM + FORM.T) @ x), 2 * g * (FORM @ h)),
)

nasty = {"door": "grad2"}
room.nasty(
    "2 x",
    lambda x: 2 * x,
    normal(3),
    right=lambda g, x: 2 * g,
    second=lambda h, g, x: (2 * h, 0 * x),
    **nasty,
)
room.nasty(
    "relu",
    relu,
    np.array([-1.0, 0.5, 2.0]),
    right=lambda g, x: g * (x > 0),
    second=lambda h, g, x: (h * (x > 0), 0 * x),
    **nasty,
)
room.nasty(
    "exp(30 x)",
    lambda x: np.exp(30 * x),
    0.2 * normal(3),
    right=lambda g, x: 30 * g * np.exp(30 * x),
    second=lambda h, g, x: (30 * h * np.exp(30 * x), 900 * h * g * np.exp(30 * x)),
    **nasty,
)
room.nasty(
    "log at 1e-3",
    np.log,
    np.array([1e-3, 2.0]),
    right=lambda g, x: g / x,
    second=lambda h, g, x: (h / x, -h * g / x**2),
    **nasty,
)
