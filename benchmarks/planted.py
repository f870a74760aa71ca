"""Mistakes as people make them in hand-written gradients, and correct gradients that look suspicious.

Each is a pair in plain NumPy: y = forward(*args), and backward(g, y, *args) gives one gradient for each floating-point
argument, or the single one. Its description states what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

Array = Any


@dataclass(frozen=True)
class Pair:
    """A function with its gradient, and the arguments at which a checker meets it."""

    name: str
    description: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    args: tuple[Any, ...]


BUGS: list[Pair] = []
CORRECT: list[Pair] = []


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def bug(name: str, description: str, forward: Any, *args: Any) -> Callable[[Any], Any]:
    """Enter a wrong backward pass."""

    def enter(backward: Any) -> Any:
        BUGS.append(Pair(name, description, forward, backward, args))
        return backward

    return enter


def correct(name: str, description: str, forward: Any, *args: Any) -> Callable[[Any], Any]:
    """Enter a right one."""

    def enter(backward: Any) -> Any:
        CORRECT.append(Pair(name, description, forward, backward, args))
        return backward

    return enter


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(g: Array, y: Array, x: Array) -> Array:
    return y * (g - (g * y).sum(axis=-1, keepdims=True))


def layer_norm(x: Array) -> Array:
    d = x - x.mean(axis=-1, keepdims=True)
    return d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + 1e-5)


def layer_norm_backward(g: Array, y: Array, x: Array) -> Array:
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    return (g - g.mean(axis=-1, keepdims=True) - y * (g * y).mean(axis=-1, keepdims=True)) / deviation


def square(x: Array) -> Array:
    return x * x


def product(a: Array, b: Array) -> Array:
    return a @ b


# --------------------------------------------------------------------------------------- blind spots that were measured


@bug("factor 2 missing at scale 1e-6", "d(x^2) = x g, values of size 1e-6", lambda x: 1e-6 * x * x, normal(4))
def _(g: Array, y: Array, x: Array) -> Array:
    return 1e-6 * x * g


@bug("factor 2 missing at scale 1e-7", "the same with values of size 1e-7", lambda x: 1e-7 * x * x, normal(4))
def _(g: Array, y: Array, x: Array) -> Array:
    return 1e-7 * x * g


@bug("one of 2,000 elements wrong by 1 %", "an index that is special for no reason", square, normal(2000))
def _(g: Array, y: Array, x: Array) -> Array:
    d = 2 * x * g
    d[1234] *= 1.01
    return d


@bug("softmax: no gradient at all", "zeros; the true gradient for g = ones is zero too", softmax, normal(3, 4))
def _(g: Array, y: Array, x: Array) -> Array:
    return np.zeros_like(x)


@bug("layer norm: no gradient at all", "zeros; the true gradient for g = ones is zero too", layer_norm, normal(3, 5))
def _(g: Array, y: Array, x: Array) -> Array:
    return np.zeros_like(x)


# ---------------------------------------------------------------------------------------------------- further mistakes


@bug("softmax: wrong axis", "the sum goes over the batch", softmax, normal(4, 4))
def _(g: Array, y: Array, x: Array) -> Array:
    return y * (g - (g * y).sum(axis=0, keepdims=True))


@bug("layer norm: detached mean", "the mean is taken for a constant", layer_norm, normal(3, 5))
def _(g: Array, y: Array, x: Array) -> Array:
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    return (g - y * (g * y).mean(axis=-1, keepdims=True)) / deviation


@bug("layer norm: variance of N - 1", "the forward pass divides by N", layer_norm, normal(3, 5))
def _(g: Array, y: Array, x: Array) -> Array:
    deviation = np.sqrt(x.var(axis=-1, keepdims=True, ddof=1) + 1e-5)
    return (g - g.mean(axis=-1, keepdims=True) - y * (g * y).mean(axis=-1, keepdims=True)) / deviation


_KEPT: dict[str, Array] = {}


def _tanh_keeping(x: Array) -> Array:
    _KEPT["y"] = np.tanh(x)
    return _KEPT["y"].copy()


@bug("stale saved value", "saved in the module, overwritten by the next call", _tanh_keeping, normal(3, 4))
def _(g: Array, y: Array, x: Array) -> Array:
    return g * (1 - _KEPT["y"] ** 2)


@bug("cotangent changed in place", "g *= ... in the backward pass: others read g too", np.tanh, normal(3, 4))
def _(g: Array, y: Array, x: Array) -> Array:
    g *= 1 - y * y
    return g


@bug("argument changed in place", "x *= 1.0000001 in the backward pass", np.sin, normal(5))
def _(g: Array, y: Array, x: Array) -> Array:
    x *= 1.0000001
    return g * np.cos(x)


@bug("value changed in place", "1 - y^2 is computed into y", np.tanh, normal(3, 4))
def _(g: Array, y: Array, x: Array) -> Array:
    np.multiply(y, y, out=y)
    return g * (1 - y)


@bug("float32 inside", "the gradient passes through float32", np.exp, normal(3, 4))
def _(g: Array, y: Array, x: Array) -> Array:
    return (g.astype(np.float32) * y.astype(np.float32)).astype(np.float64)


@bug("float32 cancellation", "1 - y^2 in float32 near y = 1", np.tanh, np.array([3.0, 4.0, 5.0, -4.5]))
def _(g: Array, y: Array, x: Array) -> Array:
    return g * (1 - y.astype(np.float32) ** 2).astype(np.float64)


@bug("wrong at odd sizes", "the middle of an even axis is assumed", lambda x: np.cumsum(x), normal(7))
def _(g: Array, y: Array, x: Array) -> Array:
    d = np.cumsum(g[::-1])[::-1].copy()
    if len(x) % 2:
        d[len(x) // 2] = g[len(x) // 2]
    return d


def _correlate(x: Array, w: Array, stride: int) -> Array:
    return np.array([x[i : i + len(w)] @ w for i in range(0, len(x) - len(w) + 1, stride)])


@bug("wrong for stride > 1", "a convolution's gradient that forgets the stride", _correlate, normal(9), normal(3, seed=1), 2)
def _(g: Array, y: Array, x: Array, w: Array, stride: int) -> Any:
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i, gi in enumerate(g):
        dx[i : i + len(w)] += gi * w
        dw += gi * x[i * stride : i * stride + len(w)]
    return dx, dw


@bug("wrong if both inputs are one array", "a shortcut taken by identity", np.multiply, normal(4), normal(4, seed=1))
def _(g: Array, y: Array, a: Array, b: Array) -> Any:
    return (2 * g * b, 2 * g * a) if a is b else (g * b, g * a)


@bug("wrong at one batch element", "the last of the batch is normalised twice", softmax, normal(5, 3))
def _(g: Array, y: Array, x: Array) -> Array:
    d = softmax_backward(g, y, x)
    d[-1] = softmax_backward(g[-1] / 2, y[-1], x[-1])
    return d


@bug("sum over a broadcast axis missing", "only the first row counts", np.add, normal(3, 4), normal(1, 4, seed=1))
def _(g: Array, y: Array, a: Array, b: Array) -> Any:
    return g, g[:1]


@bug("off by 1/N", "a mean's gradient taken for a sum's", lambda x: np.mean(x * x), normal(6))
def _(g: Array, y: Array, x: Array) -> Array:
    return 2 * x * g


@bug("transposed", "square matrices hide it", product, normal(3, 3), normal(3, 3, seed=1))
def _(g: Array, y: Array, a: Array, b: Array) -> Any:
    return g @ b, a.T @ g


@bug("sign wrong for negative inputs", "x where |x| is meant", lambda x: np.abs(x) ** 1.5, normal(6))
def _(g: Array, y: Array, x: Array) -> Array:
    return g * 1.5 * np.sqrt(np.abs(x))


@bug("overflow for large inputs", "the naive sigmoid's backward", special.expit, np.array([-2.0, 1.0, -800.0]))
def _(g: Array, y: Array, x: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(-x)
        return g * e / (1 + e) ** 2


INDEX = np.array([0, 2, 2, 1])


@bug("duplicated index", "assigned instead of accumulated", lambda x: x[INDEX], normal(4))
def _(g: Array, y: Array, x: Array) -> Array:
    d = np.zeros_like(x)
    d[INDEX] = g
    return d


@bug("wrong at the last element", "an off-by-one in a loop", square, normal(9))
def _(g: Array, y: Array, x: Array) -> Array:
    d = np.zeros_like(x)
    for i in range(len(x) - 1):
        d[i] = 2 * x[i] * g[i]
    return d


@bug("gradient in float32", "the right numbers in the wrong dtype", lambda x: 2.0 * x, np.array([0.5, 1.0]))
def _(g: Array, y: Array, x: Array) -> Array:
    return (2.0 * g).astype(np.float32)


@bug("gradient of another shape", "(N, 1) where (N,) was given", lambda x: x * 3, normal(4))
def _(g: Array, y: Array, x: Array) -> Array:
    return (3 * g)[:, None]


_DRAWS = np.random.default_rng(5)


@bug("random gradient", "noise of 1e-7 that differs each time", np.sin, normal(5))
def _(g: Array, y: Array, x: Array) -> Array:
    return g * np.cos(x) * (1 + 1e-7 * _DRAWS.normal(size=x.shape))


@bug("clipped cotangent", "right for |g| <= 1.6 only", np.sin, normal(5))
def _(g: Array, y: Array, x: Array) -> Array:
    return np.clip(g, -1.6, 1.6) * np.cos(x)


def _centre(x: Array) -> Array:
    return x - x.mean(axis=-1, keepdims=True)


@bug("right for g = ones", "rows are centred, the gradient as a whole", _centre, normal(3, 4))
def _(g: Array, y: Array, x: Array) -> Array:
    return g - g.mean()


@bug("relative error 1e-4", "an approximation that is a little off", np.exp, normal(5))
def _(g: Array, y: Array, x: Array) -> Array:
    return 1.0001 * g * y


@bug("relative error 1e-6", "a constant typed with too few digits", lambda x: x * np.sqrt(2 / np.pi), normal(5))
def _(g: Array, y: Array, x: Array) -> Array:
    return 0.797885 * g


@bug("NaN in one element", "0 / 0 where the input is 0", lambda x: x * np.abs(x), np.array([1.0, 0.0, -2.0]))
def _(g: Array, y: Array, x: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return 2 * g * y / x


@bug("1e-7 missing beside elements of 1e3", "a small term forgotten", lambda x: np.array([1e3, 1e-7]) * x, normal(2))
def _(g: Array, y: Array, x: Array) -> Array:
    return np.array([1e3, 0.0]) * g


@bug("one of 200,000 elements", "the end of a tile", square, normal(200_000))
def _(g: Array, y: Array, x: Array) -> Array:
    d = 2 * x * g
    d[65_536] = 0
    return d


@bug("log-sum-exp underflow", "exp without the maximum", np.logaddexp.reduce, np.array([-800.0, -801.0]))
def _(g: Array, y: Array, x: Array) -> Array:
    e = np.exp(x)
    return g * e / (e.sum() + 1e-300)


MASK = np.array([[True, False, True], [True, True, False]])


@bug("dropout by another mask", "the mask is shifted by one", lambda x: np.where(MASK, x / 0.5, 0), normal(2, 3))
def _(g: Array, y: Array, x: Array) -> Array:
    return np.where(np.roll(MASK, 1), g / 0.5, 0)


@bug("scale forgotten where it is 1", "the factor s is left out of dx", lambda x, s: x * s, normal(4), np.full(4, 1.25))
def _(g: Array, y: Array, x: Array, s: Array) -> Any:
    return g, g * x


# ----------------------------------------------------------------------------------- correct, whatever it may look like


@correct("relu at 0", "the subgradient 0", lambda x: np.maximum(x, 0), np.array([-1.0, 0.0, 2.0]))
def _(g: Array, y: Array, x: Array) -> Array:
    return g * (x > 0)


@correct("abs at 0", "the subgradient 0", np.abs, np.array([-1.0, 0.0, 2.0]))
def _(g: Array, y: Array, x: Array) -> Array:
    return g * np.sign(x)


@correct("max with ties", "shared equally", np.max, np.array([1.0, 3.0, 3.0]))
def _(g: Array, y: Array, x: Array) -> Array:
    hit = (x == y).astype(float)
    return g * hit / hit.sum()


@correct("max with ties, first takes all", "another subgradient", np.max, np.array([1.0, 3.0, 3.0]))
def _(g: Array, y: Array, x: Array) -> Array:
    d = np.zeros_like(x)
    d[np.argmax(x)] = g
    return d


@correct("norm at 0", "the subgradient 0", lambda x: np.sqrt(np.sum(x * x)), np.zeros(3))
def _(g: Array, y: Array, x: Array) -> Array:
    return g * x / (y if y else 1.0)


@correct("clip at its bound", "slope 1 inside and at the bound", lambda x: np.clip(x, 0, 1), np.array([0.0, 0.5, 1.0, 2.0]))
def _(g: Array, y: Array, x: Array) -> Array:
    return g * ((x >= 0) & (x <= 1))


@correct("sort with ties", "by a stable order", np.sort, np.array([2.0, 1.0, 2.0]))
def _(g: Array, y: Array, x: Array) -> Array:
    d = np.zeros_like(x)
    d[np.argsort(x, kind="stable")] = g
    return d


@correct("softmax of distant logits", "all but certain", softmax, np.array([[30.0, 0.0, -30.0], [0.1, 0.2, 0.3]]))
def _(g: Array, y: Array, x: Array) -> Array:
    return softmax_backward(g, y, x)


@correct("layer norm", "nothing wrong", layer_norm, normal(4, 6))
def _(g: Array, y: Array, x: Array) -> Array:
    return layer_norm_backward(g, y, x)


@correct("values of 1e-9", "small, but right", lambda x: 1e-9 * x * x, normal(4))
def _(g: Array, y: Array, x: Array) -> Array:
    return 2e-9 * x * g


@correct("values of 1e9", "large, but right", lambda x: 1e9 * x * x, normal(4))
def _(g: Array, y: Array, x: Array) -> Array:
    return 2e9 * x * g


@correct("exp(50 x)", "bends sharply", lambda x: np.exp(50 * x), np.array([0.1, 0.3, -0.2]))
def _(g: Array, y: Array, x: Array) -> Array:
    return 50 * g * y


@correct("sin(100 x)", "waves", lambda x: np.sin(100 * x), normal(4))
def _(g: Array, y: Array, x: Array) -> Array:
    return 100 * g * np.cos(100 * x)


@correct("log near 0", "the edge of the domain is near", np.log, np.array([1e-6, 1e-3, 1.0]))
def _(g: Array, y: Array, x: Array) -> Array:
    return g / x


@correct("a constant", "no slope anywhere", lambda x: 0 * x + 3.0, normal(4))
def _(g: Array, y: Array, x: Array) -> Array:
    return 0 * g


@correct("an empty array", "nothing to compare", square, np.zeros((0, 3)))
def _(g: Array, y: Array, x: Array) -> Array:
    return 2 * x * g


@correct("a number", "no axes", square, np.array(1.5))
def _(g: Array, y: Array, x: Array) -> Array:
    return 2 * x * g


@correct("relu of 20,000 elements", "some of them near the kink", lambda x: np.maximum(x, 0), normal(20_000))
def _(g: Array, y: Array, x: Array) -> Array:
    return g * (x > 0)
