"""The forty mistakes and twenty right gradients that the checker was first measured by."""

from __future__ import annotations

import numpy as np
from scipy import special

from tinygrad_cv.typing import Array, Gradients

from .functions import (
    deviation,
    exp_backward,
    layer_norm,
    layer_norm_backward,
    product,
    product_backward,
    relu,
    relu_backward,
    sine_backward,
    softmax,
    softmax_backward,
    square,
    square_backward,
    tanh_backward,
)
from .pair import MISTAKES, NASTY, Room, memory, normal

accumulation = Room("accumulation")
contract = Room("contract")
cotangents = Room("cotangents")
domains = Room("domains")
effects = Room("side effects")
formulas = Room("formulas")
kinks = Room("kinks")
many = Room("many elements")
precision = Room("precision")
scale = Room("scale")
small = Room("small gradients")
state = Room("state")
structure = Room("structure")

# ------------------------------------------------------------------------------ sizes and scales

control = small.control(
    "x^2 at a scale of 1e-6",
    lambda x: 1e-6 * x * x,
    normal(4),
    right=lambda g, y, x: 2e-6 * x * g,
)
control.mistake("factor 2 missing", lambda g, y, x: 1e-6 * x * g)

control = small.control(
    "x^2 at a scale of 1e-7",
    lambda x: 1e-7 * x * x,
    normal(4),
    right=lambda g, y, x: 2e-7 * x * g,
)
control.mistake("factor 2 missing", lambda g, y, x: 1e-7 * x * g)

SCALES = np.array([1e3, 1e-7])
control = small.control(
    "elements of 1e3 and 1e-7",
    lambda x: SCALES * x,
    normal(2),
    right=lambda g, y, x: SCALES * g,
)
control.mistake("the small one forgotten", lambda g, y, x: np.array([1e3, 0.0]) * g)


def wrong_by_a_percent(g: Array, y: Array, x: Array) -> Array:
    d = 2 * x * g
    d[1234] *= 1.01
    return d


def end_of_a_tile(g: Array, y: Array, x: Array) -> Array:
    d = 2 * x * g
    d[65_536] = 0
    return d


control = many.control("2,000 squares", square, normal(2000), right=square_backward)
control.mistake("one wrong by 1 %", wrong_by_a_percent)
control = many.control("200,000 squares", square, normal(200_000), right=square_backward)
control.mistake("the end of a tile is 0", end_of_a_tile)

# -------------------------------------------------------------------------------------- formulas

control = formulas.control("softmax", softmax, normal(3, 4), right=softmax_backward)
# For g = ones the true gradient is zero, too.
control.mistake("no gradient at all", lambda g, y, x: np.zeros_like(x))

control = formulas.control("softmax of a square", softmax, normal(4, 4), right=softmax_backward)
control.mistake("sum over the batch", lambda g, y, x: y * (g - (g * y).sum(axis=0, keepdims=True)))


def last_normalised_twice(g: Array, y: Array, x: Array) -> Array:
    d = softmax_backward(g, y, x)
    d[-1] = softmax_backward(g[-1] / 2, y[-1], x[-1])
    return d


control = formulas.control("softmax of a batch", softmax, normal(5, 3), right=softmax_backward)
control.mistake("the last one is normalised twice", last_normalised_twice)


def detached_mean(g: Array, y: Array, x: Array) -> Array:
    return (g - y * (g * y).mean(axis=-1, keepdims=True)) / deviation(x)


def variance_of_the_sample(g: Array, y: Array, x: Array) -> Array:
    wider = np.sqrt(x.var(axis=-1, keepdims=True, ddof=1) + 1e-5)
    return layer_norm_backward(g, y, x) * deviation(x) / wider


control = formulas.control("layer norm", layer_norm, normal(3, 5), right=layer_norm_backward)
control.mistake("no gradient at all", lambda g, y, x: np.zeros_like(x))
control.mistake("detached mean", detached_mean)
control.mistake("variance divided by N - 1", variance_of_the_sample)


def correlate(x: Array, w: Array, stride: int) -> Array:
    starts = range(0, len(x) - len(w) + 1, stride)
    return np.array([x[i : i + len(w)] @ w for i in starts])


def correlate_backward(g: Array, y: Array, x: Array, w: Array, stride: int) -> Gradients:
    dx = np.zeros_like(x)
    dw = np.zeros_like(w)
    for i, gi in enumerate(g):
        part = slice(i * stride, i * stride + len(w))
        dx[part] += gi * w
        dw += gi * x[part]
    return dx, dw


def stride_forgotten(g: Array, y: Array, x: Array, w: Array, stride: int) -> Gradients:
    dx, _ = correlate_backward(g, y, x, w, 1)
    _, dw = correlate_backward(g, y, x, w, stride)
    return dx, dw


control = formulas.control(
    "convolution with a stride",
    correlate,
    normal(9),
    normal(3, seed=1),
    2,
    right=correlate_backward,
)
control.mistake("stride forgotten", stride_forgotten)


def middle_of_an_even_axis(g: Array, y: Array, x: Array) -> Array:
    d = np.cumsum(g[::-1])[::-1].copy()
    if len(x) % 2:
        d[len(x) // 2] = g[len(x) // 2]
    return d


control = formulas.control(
    "cumsum",
    np.cumsum,
    normal(7),
    right=lambda g, y, x: np.cumsum(g[::-1])[::-1].copy(),
)
control.mistake("wrong at odd sizes", middle_of_an_even_axis)

control = formulas.control(
    "mean of squares",
    lambda x: np.mean(x * x),
    normal(6),
    right=lambda g, y, x: 2 * x * g / x.size,
)
control.mistake("off by 1/N", lambda g, y, x: 2 * x * g)

control = formulas.control(
    "product of square matrices",
    product,
    normal(3, 3),
    normal(3, 3, seed=1),
    right=product_backward,
)
control.mistake("transposed", lambda g, y, a, b: (g @ b, a.T @ g))

control = formulas.control(
    "|x|^1.5",
    lambda x: np.abs(x) ** 1.5,
    normal(6),
    right=lambda g, y, x: g * 1.5 * np.sqrt(np.abs(x)) * np.sign(x),
)
control.mistake("sign wrong for negative x", lambda g, y, x: g * 1.5 * np.sqrt(np.abs(x)))


def naive_sigmoid_backward(g: Array, y: Array, x: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(-x)
        return g * e / (1 + e) ** 2


control = formulas.control(
    "sigmoid at -800",
    special.expit,
    np.array([-2.0, 1.0, -800.0]),
    right=lambda g, y, x: g * y * (1 - y),
    reference=lambda g, x: g / (4 * np.cosh(x.clip(-700, 700) / 2) ** 2) * (x > -750),
)
control.mistake("overflow", naive_sigmoid_backward)


def without_the_maximum(g: Array, y: Array, x: Array) -> Array:
    e = np.exp(x)
    return g * e / (e.sum() + 1e-300)


control = formulas.control(
    "log-sum-exp at -800",
    np.logaddexp.reduce,
    np.array([-800.0, -801.0]),
    right=lambda g, y, x: g * np.exp(x - y),
    reference=lambda g, x: g * softmax(x),
)
control.mistake("underflow", without_the_maximum)

MASK = np.array([[True, False, True], [True, True, False]])
control = formulas.control(
    "dropout",
    lambda x: np.where(MASK, x / 0.5, 0),
    normal(2, 3),
    right=lambda g, y, x: np.where(MASK, g / 0.5, 0),
)
control.mistake("another mask", lambda g, y, x: np.where(np.roll(MASK, 1), g / 0.5, 0))

control = formulas.control(
    "x * s",
    lambda x, s: x * s,
    normal(4),
    np.full(4, 1.25),
    right=lambda g, y, x, s: (g * s, g * x),
)
control.mistake("scale forgotten", lambda g, y, x, s: (g.copy(), g * x))


def last_left_out(g: Array, y: Array, x: Array) -> Array:
    d = 2 * x * g
    d[-1] = 0
    return d


control = formulas.control("9 squares", square, normal(9), right=square_backward)
control.mistake("the last is left out", last_left_out)


def centre(x: Array) -> Array:
    return x - x.mean(axis=-1, keepdims=True)


control = formulas.control("rows centred", centre, normal(3, 4), right=lambda g, y, x: centre(g))
control.mistake("centred as a whole", lambda g, y, x: g - g.mean())

# ---------------------------------------------------------------------------------- accumulation

INDEX = np.array([0, 2, 2, 1])


def index_backward(g: Array, y: Array, x: Array) -> Array:
    d = np.zeros_like(x)
    np.add.at(d, INDEX, g)
    return d


def assigned(g: Array, y: Array, x: Array) -> Array:
    d = np.zeros_like(x)
    d[INDEX] = g
    return d


control = accumulation.control(
    "duplicated index", lambda x: x[INDEX], normal(4), right=index_backward
)
control.mistake("assigned, not added", assigned)

control = accumulation.control(
    "a row added to all",
    np.add,
    normal(3, 4),
    normal(1, 4, seed=1),
    right=lambda g, y, a, b: (g.copy(), g.sum(axis=0, keepdims=True)),
)
control.mistake("the first row only", lambda g, y, a, b: (g.copy(), g[:1].copy()))


def by_identity(g: Array, y: Array, a: Array, b: Array) -> Gradients:
    return (2 * g * b, 2 * g * a) if a is b else (g * b, g * a)


control = accumulation.control(
    "a * b",
    np.multiply,
    normal(4),
    normal(4, seed=1),
    right=lambda g, y, a, b: (g * b, g * a),
)
control.mistake("a shortcut if both are one array", by_identity, symptom="one array twice")

# ---------------------------------------------------------------------- state, effects, contract

KEPT: dict[str, Array] = memory({})


def keeping_tanh(x: Array) -> Array:
    KEPT["y"] = np.tanh(x)
    return KEPT["y"].copy()


control = state.control("tanh", keeping_tanh, normal(3, 4), right=tanh_backward)
control.mistake(
    "a value saved in the module, overwritten by the next call",
    lambda g, y, x: g * (1 - KEPT["y"] ** 2),
    symptom="calls in turn",
)

DRAWS = np.random.default_rng(5)
control = state.control("sin", np.sin, normal(5), right=sine_backward)
control.mistake(
    "noise of 1e-7",
    lambda g, y, x: g * np.cos(x) * (1 + 1e-7 * DRAWS.normal(size=x.shape)),
    size=1e-9,
)


def cotangent_in_place(g: Array, y: Array, x: Array) -> Array:
    g *= 1 - y * y
    return g


def value_in_place(g: Array, y: Array, x: Array) -> Array:
    np.multiply(y, y, out=y)
    return g * (1 - y)


def argument_in_place(g: Array, y: Array, x: Array) -> Array:
    x *= 1.0000001
    return g * np.cos(x)


control = effects.control("tanh", np.tanh, normal(3, 4), right=tanh_backward)
control.mistake("the cotangent changed", cotangent_in_place, symptom="mutation")
control.mistake("the value changed", value_in_place, symptom="mutation")
control = effects.control("sin", np.sin, normal(5), right=sine_backward)
control.mistake("the argument changed", argument_in_place, symptom="mutation")

control = contract.control(
    "2 x", lambda x: 2.0 * x, np.array([0.5, 1.0]), right=lambda g, y, x: 2 * g
)
control.mistake("float32", lambda g, y, x: (2.0 * g).astype(np.float32), symptom="contract")
control = contract.control("3 x", lambda x: x * 3, normal(4), right=lambda g, y, x: 3 * g)
control.mistake("(N, 1) for (N,)", lambda g, y, x: (3 * g)[:, None], symptom="contract")

control = cotangents.control("sin", np.sin, normal(5), right=sine_backward)
control.mistake(
    "clipped at 1.6", lambda g, y, x: np.clip(g, -1.6, 1.6) * np.cos(x), symptom="linearity"
)

# ------------------------------------------------------------------------------------- precision


def through_float32(g: Array, y: Array, x: Array) -> Array:
    return (g.astype(np.float32) * y.astype(np.float32)).astype(np.float64)


control = precision.control("exp", np.exp, normal(3, 4), right=exp_backward)
control.mistake("through float32", through_float32, size=1e-9)
control.mistake("off by 1e-4", lambda g, y, x: 1.0001 * g * y)
control = precision.control(
    "tanh near 1", np.tanh, np.array([3.0, 4.0, 5.0, -4.5]), right=tanh_backward
)
control.mistake(
    "1 - y^2 in float32", lambda g, y, x: g * (1 - y.astype(np.float32) ** 2).astype(float)
)
control = precision.control(
    "x sqrt(2 / pi)",
    lambda x: x * np.sqrt(2 / np.pi),
    normal(5),
    right=lambda g, y, x: np.sqrt(2 / np.pi) * g,
)
control.mistake("six digits of the constant", lambda g, y, x: 0.797885 * g, size=5e-7)


def zero_by_zero(g: Array, y: Array, x: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return 2 * g * y / x


control = domains.control(
    "x |x|",
    lambda x: x * np.abs(x),
    np.array([1.0, 0.0, -2.0]),
    right=lambda g, y, x: 2 * g * np.abs(x),
)
control.mistake("0 / 0 at 0", zero_by_zero)

# --------------------------------------------------------------- right, whatever it may look like


def shared(g: Array, y: Array, x: Array) -> Array:
    hit = (x == y).astype(float)
    return g * hit / hit.sum()


def first_takes_all(g: Array, y: Array, x: Array) -> Array:
    d = np.zeros_like(x)
    d[np.argmax(x)] = g
    return d


def stable_order(g: Array, y: Array, x: Array) -> Array:
    d = np.zeros_like(x)
    d[np.argsort(x, kind="stable")] = g
    return d


TIED = np.array([1.0, 3.0, 3.0])
SIGNS = np.array([-1.0, 0.0, 2.0])

kinks.nasty("relu at 0", relu, SIGNS, right=relu_backward)
kinks.nasty("abs at 0", np.abs, SIGNS, right=lambda g, y, x: g * np.sign(x))
kinks.nasty("max with ties, shared", np.max, TIED, right=shared)
kinks.nasty("max with ties, first takes all", np.max, TIED, right=first_takes_all)
kinks.nasty(
    "norm at 0",
    lambda x: np.sqrt(np.sum(x * x)),
    np.zeros(3),
    right=lambda g, y, x: g * x / (y if y else 1.0),
)
kinks.nasty(
    "clip at its bounds",
    lambda x: np.clip(x, 0, 1),
    np.array([0.0, 0.5, 1.0, 2.0]),
    right=lambda g, y, x: g * ((x >= 0) & (x <= 1)),
)
kinks.nasty("sort with ties", np.sort, np.array([2.0, 1.0, 2.0]), right=stable_order)
kinks.nasty("relu of 20,000 elements", relu, normal(20_000), right=relu_backward)
formulas.nasty(
    "softmax of distant logits",
    softmax,
    np.array([[30.0, 0.0, -30.0], [0.1, 0.2, 0.3]]),
    right=softmax_backward,
    tolerance=1e-8,
)
formulas.nasty("layer norm of (4, 6)", layer_norm, normal(4, 6), right=layer_norm_backward)
scale.nasty("values of 1e-9", lambda x: 1e-9 * x * x, normal(4), right=lambda g, y, x: 2e-9 * x * g)
scale.nasty("values of 1e9", lambda x: 1e9 * x * x, normal(4), right=lambda g, y, x: 2e9 * x * g)
scale.nasty(
    "exp(50 x)",
    lambda x: np.exp(50 * x),
    np.array([0.1, 0.3, -0.2]),
    right=lambda g, y, x: 50 * g * y,
)
scale.nasty(
    "sin(100 x)",
    lambda x: np.sin(100 * x),
    normal(4),
    right=lambda g, y, x: 100 * g * np.cos(100 * x),
)
domains.nasty("log at 1e-6", np.log, np.array([1e-6, 1e-3, 1.0]), right=lambda g, y, x: g / x)
structure.nasty("a constant", lambda x: 0 * x + 3.0, normal(4), right=lambda g, y, x: 0 * g)
structure.nasty("an empty array", square, np.zeros((0, 3)), right=square_backward)
structure.nasty("no axes", square, np.array(1.5), right=square_backward)

BUGS = list(MISTAKES)
CORRECT = list(NASTY)
