"""Small gradients: at small arguments, in the tails of functions, beside large ones."""

from __future__ import annotations

import numpy as np
from scipy import special

from tinygrad_cv.typing import Array

from .functions import softmax, softmax_backward, square, square_backward
from .pair import Room, normal

room = Room("small gradients")

# ------------------------------------------------------------------------------- small arguments

control = room.control("x^2 at 1e-6", square, 1e-6 * normal(4), right=square_backward)
control.mistake("factor 2 missing", lambda g, y, x: x * g)
control.mistake("no gradient at all", lambda g, y, x: 0 * x)

control = room.control(
    "x^4 at 1e-3", lambda x: x**4, 1e-3 * normal(4), right=lambda g, y, x: 4 * x**3 * g
)
control.mistake("3 for 4", lambda g, y, x: 3 * x**3 * g)

DECAY = 1e-4
TINY_WEIGHTS = 1e-5 * normal(3, 2)
control = room.control(
    "weight decay of tiny weights",
    lambda w: 0.5 * DECAY * np.sum(w * w),
    TINY_WEIGHTS,
    right=lambda g, y, w: DECAY * w * g,
)
control.mistake("halved", lambda g, y, w: 0.5 * DECAY * w * g)

control = room.control(
    "weights of 1 and of 1e-6 decayed",
    lambda w: DECAY * w * w,
    np.array([1.0, -0.5, 1e-6, 3e-7]),
    right=lambda g, y, w: 2 * DECAY * w * g,
)
control.mistake("not below 1e-5", lambda g, y, w: 2 * DECAY * w * g * (np.abs(w) > 1e-5))


def huber(r: Array) -> Array:
    return np.where(np.abs(r) < 1e-3, r * r / 2e-3, np.abs(r) - 5e-4)


def huber_backward(g: Array, y: Array, r: Array) -> Array:
    return g * np.where(np.abs(r) < 1e-3, r / 1e-3, np.sign(r))


control = room.control(
    "Huber loss of residuals of 1e-6",
    huber,
    np.array([1e-6, -2e-6, 0.5]),
    right=huber_backward,
)
control.mistake("none inside", lambda g, y, r: g * np.where(np.abs(r) < 1e-3, 0, np.sign(r)))

control = room.control(
    "cosh(x) - 1 at 1e-4",
    lambda x: np.cosh(x) - 1,
    np.array([1e-4, -3e-4]),
    right=lambda g, y, x: g * np.sinh(x),
)
control.mistake("no gradient at all", lambda g, y, x: 0 * x)

control = room.control(
    "product of eight probabilities",
    np.prod,
    np.linspace(0.005, 0.02, 8),
    right=lambda g, y, p: g * y / p,
)
control.mistake("the last factor kept", lambda g, y, p: g * y / p * np.where(p == p[-1], p, 1))

# ----------------------------------------------------------------------------------------- tails

FAR = np.array([1.0, 40.0])
control = room.control(
    "exp(-x) at 40 beside 1", lambda x: np.exp(-x), FAR, right=lambda g, y, x: -g * y
)
control.mistake("factor 2 at 40", lambda g, y, x: -g * y * np.where(x > 30, 2, 1))
control.mistake("none at 40", lambda g, y, x: -g * y * (x < 30))


def expit_backward(g: Array, y: Array, x: Array) -> Array:
    return g * special.expit(x) * special.expit(-x)


control = room.control(
    "saturated sigmoid",
    special.expit,
    np.array([-20.0, 0.5, 22.0]),
    right=expit_backward,
)
control.mistake("0 beyond 15", lambda g, y, x: expit_backward(g, y, x) * (np.abs(x) < 15))

control = room.control(
    "saturated tanh",
    np.tanh,
    np.array([0.3, 9.0, -12.0]),
    right=lambda g, y, x: g / np.cosh(x) ** 2,
)
control.mistake("0 beyond 8", lambda g, y, x: g / np.cosh(x) ** 2 * (np.abs(x) < 8))

control = room.control(
    "tail of a Gaussian",
    lambda x: np.exp(-x * x / 2),
    np.array([0.5, 6.0, -8.0]),
    right=lambda g, y, x: -g * y * x,
)
control.mistake("cut at 5", lambda g, y, x: -g * y * x * (np.abs(x) < 5))

control = room.control(
    "softplus at -30",
    lambda x: np.log1p(np.exp(x)),
    np.array([-30.0, 1.0, -25.0]),
    right=lambda g, y, x: g / (1 + np.exp(-x)),
)
control.mistake("0 below -20", lambda g, y, x: g / (1 + np.exp(-x)) * (x > -20))

SLOPE_OF_ERF = 2 / np.sqrt(np.pi)
control = room.control(
    "erfc at 5",
    special.erfc,
    np.array([0.2, 5.0]),
    right=lambda g, y, x: -g * SLOPE_OF_ERF * np.exp(-x * x),
    reference=lambda g, x: -g * SLOPE_OF_ERF * np.exp(-x * x),
)
control.mistake(
    "a constant forgotten in the tail",
    lambda g, y, x: -g * np.exp(-x * x) * np.where(x > 3, 1, SLOPE_OF_ERF),
)


def rare_ones_dropped(g: Array, y: Array, x: Array) -> Array:
    return softmax_backward(g, y, x) * (y > 1e-6)


control = room.control(
    "softmax with rare classes",
    softmax,
    np.array([20.0, 0.0, -3.0, 19.0]),
    right=softmax_backward,
)
control.mistake("rare ones dropped", rare_ones_dropped)

# ---------------------------------------------------------------------------- beside large values

LOUD_AND_SOFT = (1e8, 1e-6)


def loud_and_soft(x: Array) -> tuple[Array, Array]:
    loud, soft = LOUD_AND_SOFT
    return loud * np.sin(x), soft * np.cos(x)


def loud_and_soft_backward(g: tuple[Array, Array], y: tuple[Array, Array], x: Array) -> Array:
    loud, soft = LOUD_AND_SOFT
    return g[0] * loud * np.cos(x) - g[1] * soft * np.sin(x)


control = room.control(
    "outputs of 1e8 and 1e-6", loud_and_soft, normal(3), right=loud_and_soft_backward
)
control.mistake(
    "the small one's forgotten",
    lambda g, y, x: g[0] * 1e8 * np.cos(x),
    symptom="single cotangents",
)
control.mistake(
    "the small one's sign wrong",
    lambda g, y, x: g[0] * 1e8 * np.cos(x) + g[1] * 1e-6 * np.sin(x),
    symptom="single cotangents",
)

LADDER = np.array([1e6, 1.0, 1e-6, 1e-12])
control = room.control(
    "scales from 1e6 to 1e-12 in one array",
    lambda x: LADDER * np.sin(x),
    normal(4),
    right=lambda g, y, x: g * LADDER * np.cos(x),
)
control.mistake("the smallest doubled", lambda g, y, x: g * LADDER * np.cos(x) * [1, 1, 1, 2])
control.mistake("the smallest forgotten", lambda g, y, x: g * LADDER * np.cos(x) * [1, 1, 1, 0])

control = room.control(
    "x^3 at 10, 1e-3 and 1e-5",
    lambda x: x**3,
    np.array([10.0, 1e-3, 1e-5]),
    right=lambda g, y, x: 3 * g * x * x,
)
control.mistake("sign wrong for the small", lambda g, y, x: 3 * g * x * x * np.sign(x - 1e-2))

control = room.control(
    "a large loss beside a small penalty",
    lambda b, w: 1e4 * np.sum((b - 2) ** 2) + 1e-5 * np.sum(w * w),
    normal(2),
    normal(3, seed=1),
    right=lambda g, y, b, w: (2e4 * (b - 2) * g, 2e-5 * w * g),
)
control.mistake("the penalty forgotten", lambda g, y, b, w: (2e4 * (b - 2) * g, 0 * w))

# ------------------------------------------------------------------------------------------ units

GRAVITY = 6.6743e-11
control = room.control(
    "gravity between two kilograms",
    lambda m, r: GRAVITY * m * m / r**2,
    np.array([1.0, 2.0]),
    np.array([0.5, 3.0]),
    right=lambda g, y, m, r: (2 * g * y / m, -2 * g * y / r),
)
control.mistake("factor 2 of r missing", lambda g, y, m, r: (2 * g * y / m, -g * y / r))

BOLTZMANN = 1.380649e-23
control = room.control(
    "kT log p",
    lambda t, p: BOLTZMANN * t * np.log(p),
    np.array([300.0]),
    np.array([0.2]),
    right=lambda g, y, t, p: (g * BOLTZMANN * np.log(p), g * BOLTZMANN * t / p),
)
control.mistake("no gradient of p", lambda g, y, t, p: (g * BOLTZMANN * np.log(p), 0 * p))
control.mistake(
    "sign wrong for p", lambda g, y, t, p: (g * BOLTZMANN * np.log(p), -g * BOLTZMANN * t / p)
)
