"""Formulas of everyday layers, with the mistakes of those who derive them by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from tinygrad_cv.typing import Array, Gradients, PyTree

from .first import correlate as strided
from .first import correlate_backward as strided_backward
from .functions import sigmoid, softmax, softmax_backward, square, square_backward
from .pair import Room, normal, uniform

room = Room("formulas")

# -------------------------------------------------------------------------- softmax and its kin

LABELS = np.array([2, 0, 3])
ROWS = np.arange(3)


def cross_entropy(x: Array, labels: Array) -> Array:
    rows = np.arange(len(labels))
    shifted = x - x.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, labels])


def cross_entropy_backward(g: Array, y: Array, x: Array, labels: Array) -> Array:
    target = np.eye(x.shape[1])[labels]
    return g * (softmax(x) - target) / len(labels)


def one_hot_missing(g: Array, y: Array, x: Array, labels: Array) -> Array:
    return g * softmax(x) / len(labels)


def wrong_labels(g: Array, y: Array, x: Array, labels: Array) -> Array:
    return cross_entropy_backward(g, y, x, np.roll(labels, 1))


control = room.control(
    "cross-entropy", cross_entropy, normal(3, 4), LABELS, right=cross_entropy_backward
)
control.mistake("one-hot term missing", one_hot_missing)
control.mistake("mean forgotten", lambda g, y, x, t: 3 * cross_entropy_backward(g, y, x, t))
control.mistake("labels shifted", wrong_labels)

control = room.control(
    "log-softmax",
    lambda x: np.log(softmax(x)),
    normal(3, 4),
    right=lambda g, y, x: g - softmax(x) * g.sum(axis=1, keepdims=True),
)
control.mistake("sum of g forgotten", lambda g, y, x: g - softmax(x))
control.mistake("softmax's", lambda g, y, x: softmax_backward(g, softmax(x), x))

control = room.control(
    "log-sum-exp",
    lambda x: np.log(np.sum(np.exp(x), axis=1)),
    normal(3, 4),
    right=lambda g, y, x: g[:, None] * softmax(x),
)
control.mistake("softmax of all", lambda g, y, x: g[:, None] * np.exp(x) / np.exp(x).sum())

control = room.control(
    "softmax at a temperature",
    lambda x, t: softmax(x / t),
    normal(2, 3),
    np.array(0.7),
    right=lambda g, y, x, t: (
        softmax_backward(g, y, x) / t,
        -np.sum(softmax_backward(g, y, x) * x) / t**2,
    ),
)
control.mistake("temperature detached", lambda g, y, x, t: (softmax_backward(g, y, x) / t, 0 * t))
control.mistake(
    "not divided",
    lambda g, y, x, t: (softmax_backward(g, y, x), -np.sum(softmax_backward(g, y, x) * x) / t**2),
)

TARGETS = np.array([0.0, 1.0, 1.0, 0.0])
control = room.control(
    "binary cross-entropy of logits",
    lambda x: np.logaddexp(0, x) - TARGETS * x,
    normal(4),
    right=lambda g, y, x: g * (sigmoid(x) - TARGETS),
)
control.mistake("sign of the target", lambda g, y, x: g * (sigmoid(x) + TARGETS))
control.mistake(
    "divided by p (1 - p)",
    lambda g, y, x: g * (sigmoid(x) - TARGETS) / (sigmoid(x) * (1 - sigmoid(x))),
)

P = np.array([0.2, 0.5, 0.3])
control = room.control(
    "divergence of q from p",
    lambda q: np.sum(P * np.log(P / q)),
    np.array([0.3, 0.3, 0.4]),
    right=lambda g, y, q: -g * P / q,
)
control.mistake("log p / q + 1", lambda g, y, q: g * (np.log(q / P) + 1))

# ------------------------------------------------------------------------------------ activations


def gelu(x: Array) -> Array:
    return x * 0.5 * (1 + special.erf(x / np.sqrt(2)))


def gelu_backward(g: Array, y: Array, x: Array) -> Array:
    density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    return g * (0.5 * (1 + special.erf(x / np.sqrt(2))) + x * density)


def of_the_approximation(g: Array, y: Array, x: Array) -> Array:
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    inner = c * (1 + 3 * 0.044715 * x**2)
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner)


control = room.control("gelu", gelu, normal(5), right=gelu_backward)
control.mistake(
    "the density's x missing",
    lambda g, y, x: (
        gelu_backward(g, y, x) - g * ((x - 1) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi))
    ),
)
control.mistake("of tanh's approximation", of_the_approximation)

control = room.control(
    "silu",
    lambda x: x * sigmoid(x),
    normal(5),
    right=lambda g, y, x: g * (sigmoid(x) + y * (1 - sigmoid(x))),
)
control.mistake("product rule forgotten", lambda g, y, x: g * sigmoid(x))
control.mistake("y for x", lambda g, y, x: g * (sigmoid(y) + y * (1 - sigmoid(y))))

control = room.control("tanh", np.tanh, normal(5), right=lambda g, y, x: g * (1 - y * y))
control.mistake("1 - y", lambda g, y, x: g * (1 - y))
control.mistake("1 - x^2", lambda g, y, x: g * (1 - x * x))
control = room.control("sigmoid", sigmoid, normal(5), right=lambda g, y, x: g * y * (1 - y))
control.mistake("x (1 - x)", lambda g, y, x: g * x * (1 - x))

control = room.control(
    "elu",
    lambda x: np.where(x > 0, x, np.exp(x) - 1),
    normal(6),
    right=lambda g, y, x: g * np.where(x > 0, 1, np.exp(x)),
)
control.mistake("y for y + 1", lambda g, y, x: g * np.where(x > 0, 1, y))

control = room.control(
    "softplus with beta",
    lambda x, b: np.logaddexp(0, b * x) / b,
    normal(4),
    np.array(2.0),
    right=lambda g, y, x, b: (g * sigmoid(b * x), np.sum(g * (x * sigmoid(b * x) - y)) / b),
)
control.mistake(
    "beta squared",
    lambda g, y, x, b: (g * sigmoid(b * x), np.sum(g * (x * sigmoid(b * x) - y)) / b**2),
)

# -------------------------------------------------------------------------------------- norms


def norm(x: Array, scale: Array, shift: Array, axis: int) -> Array:
    d = x - x.mean(axis=axis, keepdims=True)
    return scale * d / np.sqrt((d * d).mean(axis=axis, keepdims=True) + 1e-3) + shift


def batch_norm(x: Array, scale: Array, shift: Array) -> Array:
    return norm(x, scale, shift, 0)


def normalised(x: Array) -> tuple[Array, Array]:
    deviation = np.sqrt(x.var(axis=0) + 1e-3)
    return (x - x.mean(axis=0)) / deviation, deviation


def batch_norm_backward(g: Array, y: Array, x: Array, scale: Array, shift: Array) -> Gradients:
    n, deviation = normalised(x)
    s = g * scale
    dx = (s - s.mean(axis=0) - n * (s * n).mean(axis=0)) / deviation
    return dx, (g * n).sum(axis=0), g.sum(axis=0)


def as_in_evaluation(g: Array, y: Array, x: Array, scale: Array, shift: Array) -> Gradients:
    n, deviation = normalised(x)
    return g * scale / deviation, (g * n).sum(axis=0), g.sum(axis=0)


def scale_left_out(g: Array, y: Array, x: Array, scale: Array, shift: Array) -> Gradients:
    _, dscale, dshift = batch_norm_backward(g, y, x, scale, shift)
    dx, _, _ = batch_norm_backward(g, y, x, np.ones_like(scale), shift)
    return dx, dscale, dshift


def scale_of_x(g: Array, y: Array, x: Array, scale: Array, shift: Array) -> Gradients:
    dx, _, dshift = batch_norm_backward(g, y, x, scale, shift)
    return dx, (g * x).sum(axis=0), dshift


AFFINE = (uniform(0.5, 2, 3), normal(3, seed=2))
control = room.control("batch norm", batch_norm, normal(6, 3), *AFFINE, right=batch_norm_backward)
control.mistake("as in evaluation", as_in_evaluation)
control.mistake("scale left out of dx", scale_left_out)
control.mistake("x for the normalised x in the scale's", scale_of_x)


def rms_norm(x: Array) -> Array:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6)


def rms_norm_backward(g: Array, y: Array, x: Array) -> Array:
    size = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6)
    return (g - y * np.mean(g * y, axis=-1, keepdims=True)) / size


control = room.control("RMS norm", rms_norm, normal(3, 4), right=rms_norm_backward)
control.mistake("size detached", lambda g, y, x: g * y / x)
control.mistake(
    "sum for mean", lambda g, y, x: (g - y * np.sum(g * y, axis=-1, keepdims=True)) * y / x
)

control = room.control(
    "unit vectors",
    lambda x: x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True)),
    normal(3, 4),
    right=lambda g, y, x: (
        (g - y * np.sum(g * y, axis=-1, keepdims=True)) / np.linalg.norm(x, axis=-1, keepdims=True)
    ),
)
control.mistake(
    "norm squared",
    lambda g, y, x: (
        (g - y * np.sum(g * y, axis=-1, keepdims=True)) / np.sum(x * x, axis=-1, keepdims=True)
    ),
)

# ----------------------------------------------------------------------- attention and recurrence


def attention(q: Array, k: Array, v: Array) -> Array:
    return softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v


def attention_backward(g: Array, y: Array, q: Array, k: Array, v: Array) -> Gradients:
    scale = 1 / np.sqrt(q.shape[-1])
    p = softmax(q @ k.T * scale)
    s = softmax_backward(g @ v.T, p, p) * scale
    return s @ k, s.T @ q, p.T @ g


def not_scaled(g: Array, y: Array, q: Array, k: Array, v: Array) -> Gradients:
    dq, dk, dv = attention_backward(g, y, q, k, v)
    return dq * np.sqrt(q.shape[-1]), dk * np.sqrt(q.shape[-1]), dv


def keys_from_keys(g: Array, y: Array, q: Array, k: Array, v: Array) -> Gradients:
    dq, _, dv = attention_backward(g, y, q, k, v)
    return dq, dq.copy(), dv


def probabilities_detached(g: Array, y: Array, q: Array, k: Array, v: Array) -> Gradients:
    _, _, dv = attention_backward(g, y, q, k, v)
    return 0 * q, 0 * k, dv


HEADS = (normal(3, 4), normal(3, 4, seed=1), normal(3, 4, seed=2))
control = room.control("attention", attention, *HEADS, right=attention_backward)
control.mistake("scale forgotten", not_scaled)
control.mistake("the keys' gradient is the queries'", keys_from_keys)
control.mistake("probabilities detached", probabilities_detached)


def lstm(x: Array, h: Array, c: Array, w: Array) -> tuple[Array, Array]:
    i, f, o, z = np.split(np.concatenate([x, h]) @ w, 4)
    new = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
    return sigmoid(o) * np.tanh(new), new


def lstm_pull(
    g: tuple[Array, Array], x: Array, h: Array, c: Array, w: Array, forgets: bool = True
) -> tuple[Array, Array, Array, Array]:
    joined = np.concatenate([x, h])
    i, f, o, z = np.split(joined @ w, 4)
    i, f, o = sigmoid(i), sigmoid(f), sigmoid(o)
    z = np.tanh(z)
    tanh_c = np.tanh(f * c + i * z)
    dc = g[0] * o * (1 - tanh_c**2) + g[1]
    df = dc * c * f * (1 - f) if forgets else 0 * f
    gates = [dc * z * i * (1 - i), df, g[0] * tanh_c * o * (1 - o), dc * i * (1 - z * z)]
    da = np.concatenate(gates)
    dxh = w @ da
    return dxh[: len(x)], dxh[len(x) :], dc * f, np.outer(joined, da)


def lstm_backward(g: PyTree, y: PyTree, x: Array, h: Array, c: Array, w: Array) -> Gradients:
    return lstm_pull(g, x, h, c, w)


def forget_gate_detached(g: PyTree, y: PyTree, x: Array, h: Array, c: Array, w: Array) -> Gradients:
    return lstm_pull(g, x, h, c, w, forgets=False)


def cell_from_above_only(g: PyTree, y: PyTree, x: Array, h: Array, c: Array, w: Array) -> Gradients:
    return lstm_pull((g[0], 0 * g[1]), x, h, c, w)


CELL = (normal(2), normal(3, seed=1), normal(3, seed=2), 0.5 * normal(5, 12, seed=3))
control = room.control("LSTM cell", lstm, *CELL, right=lstm_backward)
control.mistake("forget gate detached", forget_gate_detached)
control.mistake("the cell's cotangent ignored", cell_from_above_only)

# ------------------------------------------------------------------------------------ convolution


def conv2d(x: Array, w: Array) -> Array:
    """Cross-correlation of an image (H, W) with a kernel (h, w)."""
    h, k = w.shape
    rows, columns = x.shape[0] - h + 1, x.shape[1] - k + 1
    y = np.zeros((rows, columns))
    for i in range(h):
        for j in range(k):
            y = y + w[i, j] * x[i : i + rows, j : j + columns]
    return y


def conv2d_backward(g: Array, y: Array, x: Array, w: Array) -> Gradients:
    rows, columns = g.shape
    dx = np.zeros_like(x)
    dw = np.zeros_like(w)
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            part = np.s_[i : i + rows, j : j + columns]
            dx[part] += w[i, j] * g
            dw[i, j] = np.sum(g * x[part])
    return dx, dw


def kernel_turned(g: Array, y: Array, x: Array, w: Array) -> Gradients:
    dx, _ = conv2d_backward(g, y, x, w[::-1, ::-1])
    _, dw = conv2d_backward(g, y, x, w)
    return dx, dw


def kernel_transposed(g: Array, y: Array, x: Array, w: Array) -> Gradients:
    dx, dw = conv2d_backward(g, y, x, w)
    return dx, dw.T.copy()


def border_left_out(g: Array, y: Array, x: Array, w: Array) -> Gradients:
    dx, dw = conv2d_backward(g, y, x, w)
    dx[0] = 0
    return dx, dw


control = room.control(
    "2-d convolution", conv2d, normal(5, 6), normal(3, 3, seed=1), right=conv2d_backward
)
control.mistake("kernel turned", kernel_turned)
control.mistake("kernel's gradient transposed", kernel_transposed)
control.mistake("first row left out", border_left_out)


def averaged(x: Array) -> Array:
    h, w = x.shape
    return x.reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3))


control = room.control(
    "average pooling",
    averaged,
    normal(4, 6),
    right=lambda g, y, x: np.kron(g, np.full((2, 2), 0.25)),
)
control.mistake("not divided by 4", lambda g, y, x: np.kron(g, np.ones((2, 2))))

# ------------------------------------------------------------------- linear algebra and reductions

control = room.control(
    "einsum: a bilinear form of batches",
    lambda x, a, z: np.einsum("bi,ij,bj->b", x, a, z),
    normal(4, 2),
    normal(2, 3, seed=1),
    normal(4, 3, seed=2),
    right=lambda g, y, x, a, z: (
        np.einsum("b,ij,bj->bi", g, a, z),
        np.einsum("b,bi,bj->ij", g, x, z),
        np.einsum("b,bi,ij->bj", g, x, a),
    ),
)
control.mistake(
    "summed over the batch first",
    lambda g, y, x, a, z: (
        np.einsum("b,ij,bj->bi", g, a, z),
        np.einsum("b,i,j->ij", g, x.sum(0), z.sum(0)),
        np.einsum("b,bi,ij->bj", g, x, a),
    ),
)


def solve_backward(g: Array, y: Array, a: Array, b: Array) -> Gradients:
    db = np.linalg.solve(a.T, g)
    return -np.outer(db, y), db


control = room.control(
    "linear system",
    np.linalg.solve,
    normal(3, 3) + 3 * np.eye(3),
    normal(3, seed=1),
    right=solve_backward,
)
control.mistake(
    "not transposed",
    lambda g, y, a, b: (-np.outer(np.linalg.solve(a, g), y), np.linalg.solve(a, g)),
)
control.mistake(
    "sign wrong", lambda g, y, a, b: (np.outer(np.linalg.solve(a.T, g), y), np.linalg.solve(a.T, g))
)


def inverse_backward(g: Array, y: Array, a: Array) -> Array:
    return -y.T @ g @ y.T


control = room.control(
    "inverse", np.linalg.inv, normal(3, 3) + 3 * np.eye(3), right=inverse_backward
)
control.mistake("not transposed", lambda g, y, a: -y @ g @ y)

control = room.control(
    "determinant",
    np.linalg.det,
    normal(3, 3),
    right=lambda g, y, a: g * y * np.linalg.inv(a).T,
)
control.mistake("log-determinant's", lambda g, y, a: g * np.linalg.inv(a).T)
control = room.control(
    "log-determinant",
    lambda a: np.linalg.slogdet(a)[1],
    normal(3, 3, seed=1),
    right=lambda g, y, a: g * np.linalg.inv(a).T,
)
control.mistake("not transposed", lambda g, y, a: g * np.linalg.inv(a))


def cholesky_of(a: Array) -> Array:
    """Cholesky factor of a a' + 1, for any a."""
    return np.linalg.cholesky(a @ a.T + np.eye(len(a)))


def half_of_lower(a: Array) -> Array:
    return np.tril(a) - 0.5 * np.diag(np.diag(a))


def cholesky_pull(g: Array, lower: Array) -> Array:
    """The symmetric gradient of a Cholesky decomposition (Murray 2016)."""
    inner = half_of_lower(lower.T @ np.tril(g))
    inverse = np.linalg.inv(lower)
    s = inverse.T @ inner @ inverse
    return (s + s.T) / 2


def not_halved(g: Array, y: Array, a: Array) -> Array:
    inverse = np.linalg.inv(y)
    s = inverse.T @ np.tril(y.T @ np.tril(g)) @ inverse
    return (s + s.T) @ a


control = room.control(
    "Cholesky decomposition",
    cholesky_of,
    normal(3, 3),
    right=lambda g, y, a: 2 * cholesky_pull(g, y) @ a,
)
control.mistake("diagonal not halved", not_halved)
control.mistake("not symmetrised", lambda g, y, a: cholesky_pull(g, y) @ a)

control = room.control(
    "standard deviation",
    lambda x: np.std(x, axis=0),
    normal(5, 2),
    right=lambda g, y, x: g * (x - x.mean(axis=0)) / (len(x) * y),
)
control.mistake("of the sample", lambda g, y, x: g * (x - x.mean(axis=0)) / ((len(x) - 1) * y))

control = room.control(
    "cumulative product",
    np.cumprod,
    uniform(0.5, 2, 5),
    right=lambda g, y, x: np.cumsum((g * y)[::-1])[::-1] / x,
)
control.mistake("cumsum not reversed", lambda g, y, x: np.cumsum(g * y) / x)

control = room.control(
    "a^b",
    np.power,
    uniform(0.5, 2, 4),
    normal(4),
    right=lambda g, y, a, b: (g * b * a ** (b - 1), g * y * np.log(a)),
)
control.mistake(
    "log of the exponent's base forgotten", lambda g, y, a, b: (g * b * a ** (b - 1), g * y)
)
control.mistake("power not lowered", lambda g, y, a, b: (g * b * y, g * y * np.log(a)))

control = room.control(
    "a / b",
    np.divide,
    normal(4),
    uniform(0.5, 2, 4),
    right=lambda g, y, a, b: (g / b, -g * y / b),
)
control.mistake("sign of b's", lambda g, y, a, b: (g / b, g * y / b))
control.mistake("a missing in b's", lambda g, y, a, b: (g / b, -g / b**2))

control = room.control(
    "arctan2",
    np.arctan2,
    normal(4),
    normal(4, seed=1),
    right=lambda g, y, a, b: (g * b / (a * a + b * b), -g * a / (a * a + b * b)),
)
control.mistake(
    "arguments swapped", lambda g, y, a, b: (-g * b / (a * a + b * b), g * a / (a * a + b * b))
)


def cosine(a: Array, b: Array) -> Array:
    return a @ b / np.sqrt((a @ a) * (b @ b))


def cosine_backward(g: Array, y: Array, a: Array, b: Array) -> Gradients:
    sizes = np.linalg.norm(a) * np.linalg.norm(b)
    return g * (b / sizes - y * a / (a @ a)), g * (a / sizes - y * b / (b @ b))


control = room.control(
    "cosine of an angle", cosine, normal(4), normal(4, seed=1), right=cosine_backward
)
control.mistake(
    "sizes detached",
    lambda g, y, a, b: (
        g * b / np.linalg.norm(a) / np.linalg.norm(b),
        g * a / np.linalg.norm(a) / np.linalg.norm(b),
    ),
)

# ------------------------------------------------ mistakes that the given arguments cannot show


def floats(*shape: int, low: float = -3, high: float = 3) -> Any:
    """Hypothesis' arrays of such a shape."""
    from tinygrad_cv.testing import arrays

    return arrays(shape, domain=(low, high))


control = room.control(
    "|x|^3 at positive x",
    lambda x: np.abs(x) ** 3,
    uniform(0.5, 2, 4),
    right=(lambda g, y, x: 3 * g * x * np.abs(x)),
)
control.mistake("sign", lambda g, y, x: 3 * g * x * x, strategy=lambda: floats(4))
control = room.control(
    "leaky relu at positive x",
    lambda x: np.where(x > 0, x, 0.2 * x),
    (uniform(0.5, 2, 4)),
    right=lambda g, y, x: g * np.where(x > 0, 1, 0.2),
)
control.mistake("slope below 0", lambda g, y, x: g.copy(), strategy=lambda: floats(4))
control = room.control(
    "product with a symmetric matrix",
    lambda a, x: a @ x,
    np.ones((3, 3)),
    normal(3),
    right=(lambda g, y, a, x: (np.outer(g, x), a.T @ g)),
)
control.mistake(
    "not transposed",
    lambda g, y, a, x: (np.outer(g, x), a @ g),
    strategy=lambda: pairs(floats(3, 3), floats(3)),
)


def pairs(*strategies: Any) -> Any:
    from hypothesis import strategies as st

    return st.tuples(*strategies)


control = room.control(
    "log(1 + e^x) at small x",
    lambda x: np.logaddexp(0, x),
    normal(3),
    right=lambda g, y, x: g * np.exp(x - y),
)
control.mistake(
    "overflow beyond 700",
    lambda g, y, x: g * np.exp(x) / (1 + np.exp(x)),
    strategy=(lambda: floats(3, low=-1000, high=1000)),
)
control = room.control(
    "clip within its bounds",
    lambda x: np.clip(x, -1, 1),
    uniform(-0.5, 0.5, 4),
    right=lambda g, y, x: g * (np.abs(x) < 1),
)
control.mistake("through outside", lambda g, y, x: g.copy(), strategy=lambda: floats(4))
control = room.control("squares of four", square, normal(4), right=square_backward)


def four_at_a_time(g: Array, y: Array, x: Array) -> Array:
    d = np.zeros_like(x)
    whole = x.size - x.size % 4
    d[:whole] = 2 * x[:whole] * g[:whole]
    return d


def of_any_length() -> Any:
    from hypothesis import strategies as st

    return st.integers(1, 9).flatmap(lambda n: floats(n))


control.mistake("a rest of three left out", four_at_a_time, strategy=of_any_length)


def index_pull(g: Array, y: Array, x: Array, index: Array) -> Array:
    d = np.zeros_like(x)
    np.add.at(d, index, g)
    return d


def index_assign(g: Array, y: Array, x: Array, index: Array) -> Array:
    d = np.zeros_like(x)
    d[index] = g
    return d


def indices() -> Any:
    from hypothesis import strategies as st

    index = st.lists(st.integers(0, 4), min_size=3, max_size=3).map(np.array)
    return pairs(floats(5), index)


control = room.control(
    "index without duplicates", lambda x, i: x[i], normal(5), np.array([3, 0, 1]), right=index_pull
)
control.mistake("assigned, not added", index_assign, strategy=indices)

SPREAD = np.array([0.3, 2.0, -1.0])
control = room.control(
    "max without ties", np.max, SPREAD, right=lambda g, y, x: g * (x == y) / (x == y).sum()
)
control.mistake(
    "each of the tied takes all",
    lambda g, y, x: g * (x == y),
    strategy=lambda: floats(3).map(np.round),
)
control = room.control(
    "cosine of x", np.cos, np.array([0.5, 1.0, 1.5]), right=lambda g, y, x: -g * np.sin(x)
)
control.mistake(
    "from the value: sqrt(1 - y^2)",
    lambda g, y, x: -g * np.sqrt(1 - y * y),
    strategy=(lambda: floats(3)),
)


def integers(low: int, high: int) -> Any:
    from hypothesis import strategies as st

    return st.integers(low, high)


def power_backward(g: Array, y: Array, x: Array, n: int) -> Array:
    return g * n * x ** max(n - 1, 0)


control = room.control("x^n at n = 2", lambda x, n: x**n, normal(4), 2, right=power_backward)
control.mistake(
    "2 x for every n",
    lambda g, y, x, n: 2 * g * x,
    strategy=lambda: pairs(floats(4), integers(0, 4)),
)


def mean_backward(g: Array, y: Array, x: Array, axis: int) -> Array:
    return np.ones_like(x) * np.expand_dims(g, axis) / x.shape[axis]


def mean_of_a_square(g: Array, y: Array, x: Array, axis: int) -> Array:
    return np.ones_like(x) * np.expand_dims(g, axis) / x.shape[0]


control = room.control(
    "mean over an axis of a square", np.mean, normal(3, 3), 1, right=mean_backward
)
control.mistake(
    "divided by the first axis",
    mean_of_a_square,
    strategy=lambda: pairs(floats(2, 3), integers(0, 1)),
)
control = room.control(
    "rolled by 0", np.roll, normal(5), 0, right=lambda g, y, x, shift: np.roll(g, -shift)
)
control.mistake(
    "rolled the same way",
    lambda g, y, x, shift: np.roll(g, shift),
    strategy=lambda: pairs(floats(5), integers(-4, 4)),
)
control = room.control(
    "convolution with stride 1", strided, normal(9), normal(3, seed=1), 1, right=strided_backward
)
control.mistake(
    "stride forgotten",
    lambda g, y, x, w, stride: (
        strided_backward(g, y, x, w, 1)[0],
        strided_backward(g, y, x, w, stride)[1],
    ),
    strategy=lambda: pairs(floats(9), floats(3), integers(1, 3)),
)
