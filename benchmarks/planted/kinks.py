"""Kinks: where slopes from the right and from the left differ, and mistakes at and beside them."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array, Gradients

from .functions import relu, relu_backward
from .pair import Room, normal

room = Room("kinks")

# ------------------------------------------------------------------------------ beyond the slopes

SIGNS = np.array([-1.0, 0.0, 2.0, 0.0])
control = room.control("relu at 0 twice", relu, SIGNS, right=relu_backward)
control.mistake("2 at 0", lambda g, y, x: g * np.where(x == 0, 2, x > 0))
control.mistake("-1/2 at 0", lambda g, y, x: g * np.where(x == 0, -0.5, x > 0))
control.mistake("factor 2 beside", lambda g, y, x: 2 * g * (x > 0))

control = room.control("|x| at 0 twice", np.abs, SIGNS, right=lambda g, y, x: g * np.sign(x))
control.mistake("3 at 0", lambda g, y, x: g * np.where(x == 0, 3, np.sign(x)))
control.mistake("1 everywhere", lambda g, y, x: g.copy())

control = room.control("relu at 1e-4", relu, np.array([1e-4, -1e-4, 1.0]), right=relu_backward)
control.mistake("a dead zone of 1e-3", lambda g, y, x: g * (x > 1e-3))


def length(x: Array) -> Array:
    return np.sqrt(np.sum(x * x, axis=-1))


def length_backward(g: Array, y: Array, x: Array) -> Array:
    safe = np.where(y == 0, 1, y)
    return (g / safe)[..., None] * x


def too_long_at_0(g: Array, y: Array, x: Array) -> Array:
    d = length_backward(g, y, x)
    d[y == 0, 0] = 2 * g[y == 0]
    return d


control = room.control(
    "length of vectors, one of them 0",
    length,
    np.array([[3.0, 4.0], [0.0, 0.0]]),
    right=length_backward,
)
control.mistake("longer than 1 at 0", too_long_at_0)

# ------------------------------------------------------------------------------------------- ties


def tied(g: Array, y: Array, x: Array) -> Array:
    hit = x == y
    return g * hit / hit.sum()


TIES = np.array([1.0, 3.0, 3.0, -2.0])
control = room.control("max with ties", np.max, TIES, right=tied)
control.mistake("each takes all", lambda g, y, x: g * (x == y))
control.mistake("none takes any", lambda g, y, x: g * (x == y) * ((x == y).sum() == 1))


def maximum_backward(g: Array, y: Array, a: Array, b: Array) -> Gradients:
    share = np.where(a == b, 0.5, a > b)
    return g * share, g * (1 - share)


EQUAL = (np.array([1.0, 2.0, -1.0]), np.array([1.0, -3.0, 4.0]))
control = room.control("maximum with a tie", np.maximum, *EQUAL, right=maximum_backward)
control.mistake("both take all", lambda g, y, a, b: (g * (a >= b), g * (b >= a)))
control.mistake("swapped", lambda g, y, a, b: maximum_backward(g, y, b, a))


def pool(x: Array) -> Array:
    h, w = x.shape
    return x.reshape(h // 2, 2, w // 2, 2).max(axis=(1, 3))


def hits(y: Array, x: Array) -> Array:
    return x == np.kron(y, np.ones((2, 2)))


def pool_backward(g: Array, y: Array, x: Array) -> Array:
    hit = hits(y, x)
    h, w = x.shape
    count = hit.reshape(h // 2, 2, w // 2, 2).sum(axis=(1, 3))
    return np.kron(g / count, np.ones((2, 2))) * hit


FLAT = np.array([[1.0, 1.0, 0.5, 2.0], [0.0, 1.0, -1.0, 0.3]])
control = room.control("max pooling with ties", pool, FLAT, right=pool_backward)
control.mistake("each takes all", lambda g, y, x: np.kron(g, np.ones((2, 2))) * hits(y, x))

# -------------------------------------------------------------------------- beside, and everywhere

ORDER = np.array([2.0, -1.0, 0.5, 3.0, 1.0])


def sort_backward(g: Array, y: Array, x: Array) -> Array:
    d = np.empty_like(g)
    d[np.argsort(x)] = g
    return d


control = room.control("sort", np.sort, ORDER, right=sort_backward)
control.mistake("permuted the wrong way", lambda g, y, x: g[np.argsort(x)])


def middle(x: Array, share: tuple[float, float]) -> Array:
    lower, upper = np.argsort(x)[len(x) // 2 - 1 : len(x) // 2 + 1]
    d = np.zeros_like(x)
    d[lower], d[upper] = share
    return d


EVEN = np.array([4.0, 1.0, 2.5, -3.0])
control = room.control(
    "median of four", np.median, EVEN, right=lambda g, y, x: g * middle(x, (0.5, 0.5))
)
control.mistake("the lower takes all", lambda g, y, x: g * middle(x, (1.0, 0.0)))

WIDE = np.array([-2.0, 0.3, 0.9, 1.7])
control = room.control(
    "clip",
    lambda x: np.clip(x, 0, 1),
    WIDE,
    right=lambda g, y, x: g * ((x > 0) & (x < 1)),
)
control.mistake("through outside", lambda g, y, x: g.copy())
control.mistake("through above", lambda g, y, x: g * (x > 0))

LABELS = np.array([1, -1, 1, -1])
control = room.control(
    "hinge loss, one at the margin",
    lambda s, t: np.maximum(0, 1 - t * s),
    np.array([0.2, 0.5, 1.0, -3.0]),
    LABELS,
    right=lambda g, y, s, t: -g * t * (y > 0),
)
control.mistake("sign wrong", lambda g, y, s, t: g * t * (y > 0))

control = room.control(
    "leaky relu at 0",
    lambda x: np.where(x > 0, x, 0.1 * x),
    SIGNS,
    right=lambda g, y, x: g * np.where(x > 0, 1, 0.1),
)
control.mistake("slope 1 below", lambda g, y, x: g.copy())

RESIDUALS = np.array([-1.0, 0.0, 2.0])
control = room.control(
    "quantile loss",
    lambda r: np.maximum(0.9 * r, -0.1 * r),
    RESIDUALS,
    right=lambda g, y, r: g * np.where(r > 0, 0.9, -0.1),
)
control.mistake("one slope for both", lambda g, y, r: 0.9 * g)


def top_two(x: Array) -> Array:
    return np.sort(x)[-2:]


def top_two_backward(g: Array, y: Array, x: Array) -> Array:
    d = np.zeros_like(x)
    d[np.argsort(x)[-2:]] = g
    return d


def top_two_reversed(g: Array, y: Array, x: Array) -> Array:
    return top_two_backward(g[::-1], y, x)


control = room.control("the two largest", top_two, ORDER, right=top_two_backward)
control.mistake("in the wrong order", top_two_reversed)

# ------------------------------------------------------------------------------------------ right


def layers(x: Array, w: Array, v: Array) -> Array:
    return relu(relu(x @ w) @ v)


def layers_backward(g: Array, y: Array, x: Array, w: Array, v: Array) -> Gradients:
    h = x @ w
    a = relu(h)
    g = g * (y > 0)
    dh = (g @ v.T) * (h > 0)
    return dh @ w.T, x.T @ dh, a.T @ g


DEAD = normal(3, 4)
DEAD[1] = 0
room.nasty(
    "hidden units at 0 through two relu layers",
    layers,
    DEAD,
    normal(4, 5, seed=1),
    normal(5, 2, seed=2),
    right=layers_backward,
)
room.nasty(
    "all inputs of two relu layers 0",
    layers,
    np.zeros((2, 3)),
    normal(3, 4, seed=1),
    normal(4, 2, seed=2),
    right=layers_backward,
)
room.nasty("relu at 0, slope 1", relu, SIGNS, right=lambda g, y, x: g * (x >= 0))
room.nasty("relu at 0, slope 1/2", relu, SIGNS, right=lambda g, y, x: g * (np.sign(x) + 1) / 2)
room.nasty("maximum with ties, shared", np.maximum, *EQUAL, right=maximum_backward)
room.nasty(
    "maximum with ties, the first takes all",
    np.maximum,
    *EQUAL,
    right=lambda g, y, a, b: (g * (a >= b), g * (b > a)),
)
room.nasty("max pooling with ties, shared", pool, FLAT, right=pool_backward)
room.nasty(
    "sort of equal numbers",
    np.sort,
    np.array([1.0, 1.0, 1.0, 0.0]),
    right=lambda g, y, x: g[np.argsort(np.argsort(x, kind="stable"))],
)


def median_with_ties(g: Array, y: Array, x: Array) -> Array:
    hit = x == y
    return g * hit / hit.sum()


# Each alone has slope 0 to either side; the gradients nearby are the unit vectors of the three.
room.nasty(
    "median with ties",
    np.median,
    np.array([2.0, 2.0, 2.0, 5.0, 0.0]),
    right=median_with_ties,
    reference=lambda g, x: g * np.array([1, 1, 1, 0, 0]) / 3,
)
room.nasty(
    "range of ties",
    np.ptp,
    np.array([1.0, 3.0, 3.0, 1.0]),
    right=lambda g, y, x: g * np.where(x == x.max(), 0.5, -0.5),
)
room.nasty("length of vectors at 0", length, np.zeros((2, 3)), right=length_backward)
room.nasty("relu(x)^2 at 0", lambda x: relu(x) ** 2, SIGNS, right=lambda g, y, x: 2 * g * relu(x))
room.nasty(
    "soft threshold at its thresholds",
    lambda x: np.sign(x) * relu(np.abs(x) - 0.5),
    np.array([0.5, -0.5, 0.0, 1.0]),
    right=lambda g, y, x: g * (np.abs(x) > 0.5),
)
room.nasty(
    "sum of |x_i - x_j|, all equal",
    lambda x: np.sum(np.abs(x[:, None] - x)),
    np.array([0.7, 0.7, 0.7]),
    right=lambda g, y, x: 2 * g * np.sign(x[:, None] - x).sum(axis=1),
)

control = room.control(
    "slopes 0.3 and 1",
    lambda x: np.where(x > 0, x, 0.3 * x),
    np.array([0.0, 1.0, -1.0]),
    right=lambda g, y, x: g * np.where(x > 0, 1, 0.3),
)
control.mistake("0 at 0", lambda g, y, x: g * np.where(x == 0, 0, np.where(x > 0, 1, 0.3)))

control = room.control(
    "squares with a small penalty |x|",
    lambda x: np.sum((x - 3) ** 2) + 0.01 * np.sum(np.abs(x)),
    np.array([0.1, 0.7]),
    right=lambda g, y, x: g * (2 * (x - 3) + 0.01 * np.sign(x)),
)
control.mistake("penalty forgotten", lambda g, y, x: 2 * g * (x - 3))


def windows(x: Array) -> list[tuple[slice, slice]]:
    """Of 3 x 3 around each element, cut at the border."""
    rows, columns = x.shape
    around = lambda k: slice(max(0, k - 1), k + 2)
    return [(around(i), around(j)) for i in range(rows) for j in range(columns)]


def pooled(x: Array) -> Array:
    return np.array([x[window].max() for window in windows(x)])


def first_of_each(g: Array, y: Array, x: Array) -> Array:
    """Of equal elements the first one of a window takes all."""
    places = np.arange(x.size).reshape(x.shape)
    chosen = [places[w].flat[np.argmax(x[w])] for w in windows(x)]
    return np.bincount(chosen, g, minlength=x.size).reshape(x.shape)


def of_a_slope_down(g: Array, x: Array) -> Array:
    """The gradient beside the tie, where earlier elements are larger."""
    places = np.arange(x.size).reshape(x.shape)
    return first_of_each(g, g, x - 1e-3 * places)


room.nasty(
    "overlapping max pooling of a constant image, the first takes all",
    pooled,
    np.ones((4, 4)),
    right=first_of_each,
    reference=of_a_slope_down,
)
room.nasty(
    "a sum of relu(x)^3, close to 0",
    lambda x: np.sum(np.maximum(x, 0) ** 3),
    np.array([0.0, 1e-5, -1e-5, 2.0]),
    right=lambda g, y, x: 3 * g * np.maximum(x, 0) ** 2,
    reference=lambda g, x: g * np.where(x > 0, 3 * x * x, 0),
)
