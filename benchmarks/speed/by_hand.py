"""The limit: three workloads in NumPy without any engine.

Every gradient is derived by hand and every buffer reused.

What is done here to be fast, and what an engine could not know: parameters, gradients and moments
are flat buffers that begin on cache lines; weights lie as (in, out), so that the forward product
needs no transposition; long element-wise chains run in tiles that stay in the cache; sums are
products with ones; a sigmoid or softmax takes no maximum first unless numbers are large; batches
that meet the same weights go through them together; subnormal moments count as zero.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.machine import subnormals_as_zero

from .workloads import RATE, GANSizes, RecurrentSizes, ViTSizes, batches, sizes_of

TILE = 1 << 15  # elements; a few arrays of them lie in the second cache
LINE = 16  # float32 numbers in a cache line
Array = np.ndarray


def buffer(*shape: int) -> Array:
    """Zeros that begin on a cache line."""
    size = math.prod(shape)
    raw = np.zeros(size + LINE, np.float32)
    start = -(raw.ctypes.data // 4) % LINE
    return raw[start : start + size].reshape(shape)


class Parameters:
    """Weights, gradients and Adam's moments, each in one flat buffer.

    `p` and `g` are views by name.
    """

    def __init__(self, weights: dict[str, Array]) -> None:
        arrays = {n: a.T if a.ndim == 2 and "embedding" not in n else a for n, a in weights.items()}
        places = [0, *np.cumsum([-(-a.size // LINE) * LINE for a in arrays.values()]).tolist()]
        self.values, self.gradients, self.mean, self.square = (buffer(places[-1]) for _ in range(4))
        self.scratch, self.steps = buffer(TILE), 0
        self.p, self.g = (
            {
                n: flat[i : i + a.size].reshape(a.shape)
                for i, (n, a) in zip(places, arrays.items(), strict=False)
            }
            for flat in (self.values, self.gradients)
        )
        for name, array in arrays.items():
            self.p[name][...] = array

    def adam(self) -> None:
        """The moments lack their factors 1 - beta; the rate is divided into the denominator."""
        self.steps += 1
        factor = (1 - 0.9**self.steps) / (RATE * (1 - 0.9))
        scale, eps = factor * math.sqrt((1 - 0.999) / (1 - 0.999**self.steps)), factor * 1e-8
        with subnormals_as_zero():
            for low in range(0, self.values.size, TILE):
                tile = slice(low, low + TILE)
                p, g, m, v = (
                    self.values[tile],
                    self.gradients[tile],
                    self.mean[tile],
                    self.square[tile],
                )
                t = self.scratch[: p.size]
                m *= 0.9
                m += g
                v *= 0.999
                v += np.multiply(g, g, out=t)
                np.sqrt(v, out=t)
                t *= scale
                t += eps
                p -= np.divide(m, t, out=t)


def cross_entropy(logits: Array, targets: Array) -> float:
    """The mean loss; the logits (N, K) become its gradient."""
    n, rows = len(logits), np.arange(len(logits))
    chosen = logits[rows, targets]
    p, sums = exp_and_sums(logits)
    loss = float(np.add.reduce(np.log(sums)) - np.add.reduce(chosen)) / n
    p *= (1 / (n * sums))[:, None]
    p[rows, targets] -= 1 / n
    return loss


def exp_and_sums(x: Array) -> tuple[Array, Array]:
    """exp(x), in place, and its sums over the last axis: what a softmax is made of.

    x has at least two axes.
    """
    if max(x.max(), -x.min()) > 60:
        raise FloatingPointError(
            "numbers above 60: a softmax would have to take the maximum off first"
        )
    np.exp(x, out=x)
    return x, np.dot(x.reshape(-1, x.shape[-1]), np.ones(x.shape[-1], np.float32)).reshape(
        x.shape[:-1]
    )


# ---------------------------------------------------------------------------------------------- GAN


class GAN:
    """Dense layers without normalisation (W1s).

    G's two batches go through it together, so do D's.
    """

    def __init__(self, sizes: GANSizes, weights: dict[str, Array]) -> None:
        parts = [{n: a for n, a in weights.items() if n.startswith(f"{k}.")} for k in range(2)]
        self.G, self.D = (Parameters(part) for part in parts)
        b = self.batch = sizes.batch
        self.g_layers = [f"0.{2 * i}" for i in range(len(sizes.generator_sizes) - 1)]
        self.d_layers = [f"1.{2 * i}" for i in range(len(sizes.discriminator_sizes) - 1)]
        self.g_act = [buffer(2 * b, width) for width in sizes.generator_sizes]
        self.d_act = [buffer(2 * b, width) for width in sizes.discriminator_sizes]
        self.ones = np.ones(2 * b, np.float32)
        self.signs = np.repeat(np.float32([-1, 1]), b)[:, None]

    def step(self, real: Array, noise_d: Array, noise_g: Array) -> float:
        b, G, D = self.batch, self.G, self.D
        g_act, d_act = self.g_act, self.d_act
        g_act[0][:b], g_act[0][b:] = noise_d, noise_g
        for i, layer in enumerate(self.g_layers):
            z = np.matmul(g_act[i], G.p[layer + ".weight"], out=g_act[i + 1])
            z += G.p[layer + ".bias"]
            if i < len(self.g_layers) - 1:
                np.maximum(z, 0, out=z)
        np.tanh(np.multiply(z, 0.5, out=z), out=z)  # sigmoid(z) = (1 + tanh(z / 2)) / 2
        z *= 0.5
        z += 0.5
        d_act[0][:b], d_act[0][b:] = real, z[:b]
        loss, gradient = logistic(self.forward_d(d_act), self.signs)
        self.backward(D, self.d_layers, d_act, gradient / b, 0.2, through=False)
        D.adam()
        d_half = [a[:b] for a in d_act]
        np.copyto(d_half[0], z[b:])
        pushed, gradient = logistic(self.forward_d(d_half), self.signs[:b])
        g = self.backward(D, self.d_layers, d_half, gradient / b, 0.2, through=True, weights=False)
        fake = z[b:]
        g *= fake
        g *= 1 - fake
        self.backward(G, self.g_layers, [a[b:] for a in g_act], g, 0.0, through=False)
        G.adam()
        return float((loss + pushed) / b)

    def forward_d(self, act: list[Array]) -> Array:
        for i, layer in enumerate(self.d_layers):
            z = np.matmul(act[i], self.D.p[layer + ".weight"], out=act[i + 1])
            z += self.D.p[layer + ".bias"]
            if i < len(self.d_layers) - 1:
                np.maximum(z, 0.2 * z, out=z)
        return z

    def backward(
        self,
        P: Parameters,
        layers: list[str],
        act: list[Array],
        g: Array,
        slope: float,
        through: bool,
        weights: bool = True,
    ) -> Array:
        """From the last pre-activation's gradient to all weights, and (`through`) to the input."""
        for i in reversed(range(len(layers))):
            weight, bias = layers[i] + ".weight", layers[i] + ".bias"
            if weights:
                np.matmul(act[i].T, g, out=P.g[weight])
                np.dot(self.ones[: len(g)], g, out=P.g[bias])
            if i or through:
                g = g @ P.p[weight].T
            if i:
                mask = act[i] > 0
                g *= mask if not slope else mask * np.float32(1 - slope) + np.float32(slope)
        return g


def logistic(z: Array, sign: Array) -> tuple[float, Array]:
    """The sum of log(1 + exp(sign z)) and its gradient."""
    signed = sign * z
    return float(np.logaddexp(0, signed).sum()), sign / (1 + np.exp(-signed))


# ---------------------------------------------------------------------------------------------- ViT

ERF = (
    0.254829592,
    -0.284496736,
    1.421413741,
    -1.453152027,
    1.061405429,
)  # Abramowitz & Stegun 1964, 7.1.26
ERF_P = 0.3275911


def gelu(z: Array, derivative: Array) -> None:
    """x Phi(x) in place and its derivative, tile by tile.

    Phi(-|x|) = exp(-x^2 / 2) poly(t) / 2 with t = 1 / (1 + p |x| / sqrt(2)), off by at most
    7.5e-8; the same exponential gives the density.
    """
    flat, slopes = z.reshape(-1), derivative.reshape(-1)
    a1, a2, a3, a4, a5 = (np.float32(a / 2) for a in ERF)
    for low in range(0, flat.size, TILE):
        x, d = flat[low : low + TILE], slopes[low : low + TILE]
        e = x * x
        e *= -0.5
        np.exp(e, out=e)
        t = np.abs(x)
        t *= ERF_P / math.sqrt(2)
        t += 1
        np.reciprocal(t, out=t)
        q = t * a5
        for a in (a4, a3, a2, a1):
            q += a
            q *= t
        q *= e
        np.subtract(0.5, q, out=q)
        np.copysign(q, x, out=q)
        q += 0.5  # Phi(x)
        e *= 1 / math.sqrt(2 * math.pi)
        np.multiply(x, e, out=d)
        d += q
        x *= q


class ViT:
    """Pre-norm encoder blocks (W2s); rows are tokens of all images, one after the other."""

    def __init__(self, sizes: ViTSizes, weights: dict[str, Array]) -> None:
        self.sizes, self.P = sizes, Parameters(weights)
        self.tokens = 1 + math.prod(n // sizes.patch_size for n in sizes.image_shape[:2])
        rows, d = sizes.batch * self.tokens, sizes.hidden_size
        self.heads = (
            sizes.batch,
            self.tokens,
            sizes.num_attention_heads,
            d // sizes.num_attention_heads,
        )
        self.ones, self.mean = np.ones(rows, np.float32), np.full(d, 1 / d, np.float32)
        self.slopes = [buffer(rows, 4 * d) for _ in range(sizes.num_hidden_layers)]

    def linear(self, x: Array, name: str, weight: str = ".weight", bias: str = ".bias") -> Array:
        y = x @ self.P.p[name + weight]
        y += self.P.p[name + bias]
        return y

    def linear_back(
        self, g: Array, x: Array, name: str, weight: str = ".weight", bias: str = ".bias"
    ) -> Array:
        """Gradients of the weights, and that of x."""
        np.matmul(x.T, g, out=self.P.g[name + weight])
        np.dot(self.ones[: len(g)], g, out=self.P.g[name + bias])
        return g @ self.P.p[name + weight].T

    def norm(self, x: Array, name: str) -> tuple[Array, Array, Array]:
        """Layer norm; besides what backward needs."""
        normal = x - np.dot(x, self.mean)[:, None]
        scale = 1 / np.sqrt(np.vecdot(normal, normal) * self.mean[0] + np.float32(1e-6))[:, None]
        normal *= scale
        y = normal * self.P.p[name + ".weight"]
        y += self.P.p[name + ".bias"]
        return y, normal, scale

    def norm_back(self, g: Array, normal: Array, scale: Array, name: str) -> Array:
        np.dot(self.ones[: len(g)], g, out=self.P.g[name + ".bias"])
        product = g * normal
        np.dot(self.ones[: len(g)], product, out=self.P.g[name + ".weight"])
        weight = self.P.p[name + ".weight"] * self.mean[0]
        along = np.dot(product, weight)[:, None]
        dx = g * self.P.p[name + ".weight"]
        dx -= np.dot(g, weight)[:, None]
        dx -= np.multiply(normal, along, out=product)
        dx *= scale
        return dx

    def attention(self, x: Array, name: str) -> tuple[Array, Any]:
        b, t, h, k = self.heads
        qkv = self.linear(x, name, ".in_proj_weight", ".in_proj_bias")
        qkv[:, : h * k] *= 1 / math.sqrt(k)  # the queries
        q, key, v = qkv.reshape(b, t, 3, h, k).transpose(2, 0, 3, 1, 4)  # each (B, H, T, K)
        e, sums = exp_and_sums(q @ key.swapaxes(-1, -2))  # (B, H, T, T)
        joined = np.empty_like(x)
        y = np.matmul(e, v, out=joined.reshape(b, t, h, k).swapaxes(1, 2))
        inverse = (1 / sums)[..., None]
        y *= inverse
        return self.linear(joined, name + ".out_proj"), (x, q, key, v, e, inverse, joined)

    def attention_back(self, g: Array, saved: Any, name: str) -> Array:
        """With E = exp(QK'), R = 1 / its sums, Y = R E V:

        dV = E'(R dY), d(QK') = E (R dY V' - sum(R dY Y)).
        """
        x, q, key, v, e, inverse, joined = saved
        b, t, h, k = self.heads
        g = self.linear_back(g, joined, name + ".out_proj").reshape(b, t, h, k).swapaxes(1, 2)
        g *= inverse
        y = joined.reshape(b, t, h, k).swapaxes(1, 2)
        dqkv = np.empty((b * t, 3 * h * k), np.float32)
        dq, dkey, dv = dqkv.reshape(b, t, 3, h, k).transpose(2, 0, 3, 1, 4)
        np.matmul(e.swapaxes(-1, -2), g, out=dv)
        ds = g @ v.swapaxes(-1, -2)
        ds -= np.vecdot(g, y)[..., None]
        ds *= e
        np.matmul(ds, key, out=dq)
        np.matmul(ds.swapaxes(-1, -2), q, out=dkey)
        dqkv[:, : h * k] *= 1 / math.sqrt(k)
        return self.linear_back(dqkv, x, name, ".in_proj_weight", ".in_proj_bias")

    def step(self, images: Array, labels: Array) -> float:
        p, (b, t, *_), d, size = self.P.p, self.heads, self.sizes.hidden_size, self.sizes.patch_size
        height, width = (n // size for n in images.shape[1:3])
        blocks = (
            images.reshape(b, height, size, width, size, -1).swapaxes(2, 3).reshape(b * (t - 1), -1)
        )
        z = np.empty((b, t, d), np.float32)
        z[:, :1] = p["cls_token"]
        z[:, 1:] = self.linear(blocks, "patch_embed").reshape(b, t - 1, d)
        z += p["pos_embed"]
        z = z.reshape(b * t, d)
        saved = []
        for i, slope in enumerate(self.slopes):
            name = f"blocks.{i}."
            x, *norm1 = self.norm(z, name + "norm1")
            y, attention = self.attention(x, name + "attn")
            y += z
            x, *norm2 = self.norm(y, name + "norm2")
            hidden = self.linear(x, name + "mlp.fc1")
            gelu(hidden, slope)
            z = self.linear(hidden, name + "mlp.fc2")
            z += y
            saved.append((norm1, attention, norm2, x, hidden))
        x, *norm = self.norm(z[::t], "norm")  # the class tokens
        logits = self.linear(x, "head")
        loss = cross_entropy(logits, labels)
        g = np.zeros((b * t, d), np.float32)
        g[::t] = self.norm_back(self.linear_back(logits, x, "head"), *norm, "norm")
        for i, slope in reversed(list(enumerate(self.slopes))):
            name, (norm1, attention, norm2, x, hidden) = f"blocks.{i}.", saved[i]
            inner = self.linear_back(g, hidden, name + "mlp.fc2")
            inner *= slope
            g += self.norm_back(self.linear_back(inner, x, name + "mlp.fc1"), *norm2, name + "norm2")
            g += self.norm_back(
                self.attention_back(g, attention, name + "attn"), *norm1, name + "norm1"
            )
        np.dot(self.ones[:b], g.reshape(b, -1), out=self.P.g["pos_embed"].reshape(-1))
        self.P.g["cls_token"][...] = self.P.g["pos_embed"][:, :1]
        self.linear_back(g.reshape(b, t, d)[:, 1:].reshape(b * (t - 1), d), blocks, "patch_embed")
        self.P.adam()
        return loss


# ---------------------------------------------------------------------------------------------- RNN


class RNN:
    """The character model with a tanh layer.

    The input's part of the state is a table with a row for each character.
    """

    def __init__(self, sizes: RecurrentSizes, weights: dict[str, Array]) -> None:
        self.sizes, self.P = sizes, Parameters(weights)
        t, n, h = sizes.length, sizes.batch, sizes.hidden_size
        self.h, self.dz = buffer(t + 1, n, h), buffer(t, n, h)  # h[0] is the zeros before the text
        self.given, self.to_state = buffer(t, n, h), buffer(t, n, h)
        self.ones, self.logits = np.ones(t * n, np.float32), buffer(t * n, sizes.characters)
        self.transposed, self.one_hot = buffer(h, h), buffer(t * n, sizes.characters)

    def step(self, characters: Array, targets: Array) -> float:
        p, g, h, dz = self.P.p, self.P.g, self.h, self.dz
        E, U, W, V = (
            p[n]
            for n in (
                "embedding.weight",
                "recurrent.weight_ih_l0",
                "recurrent.weight_hh_l0",
                "head.weight",
            )
        )
        flat = characters.reshape(-1)
        table = E @ U
        table += p["recurrent.bias_ih_l0"] + p["recurrent.bias_hh_l0"]
        np.take(table, flat, axis=0, out=self.given.reshape(len(flat), -1), mode="clip")
        for z, before, now in zip(self.given, h, h[1:], strict=False):
            np.matmul(before, W, out=now)
            now += z
            np.tanh(now, out=now)
        states = h[1:].reshape(len(flat), -1)
        logits = np.matmul(states, V, out=self.logits)
        logits += p["head.bias"]
        loss = cross_entropy(logits, targets.reshape(-1))
        np.matmul(states.T, logits, out=g["head.weight"])
        np.dot(self.ones, logits, out=g["head.bias"])
        to_state = np.matmul(logits, V.T, out=self.to_state.reshape(len(flat), -1)).reshape(
            h[1:].shape
        )
        np.copyto(self.transposed, W.T)
        for t in reversed(range(len(dz))):
            if t < len(dz) - 1:
                np.matmul(dz[t + 1], self.transposed, out=dz[t])
                dz[t] += to_state[t]
            else:
                np.copyto(dz[t], to_state[t])
            slope = np.multiply(h[t + 1], h[t + 1], out=self.given[t])
            dz[t] *= np.subtract(1, slope, out=slope)
        rows = dz.reshape(len(flat), -1)
        np.matmul(h[:-1].reshape(rows.shape).T, rows, out=g["recurrent.weight_hh_l0"])
        self.one_hot[...] = 0
        self.one_hot[np.arange(len(flat)), flat] = 1
        dtable = self.one_hot.T @ rows
        np.matmul(dtable, U.T, out=g["embedding.weight"])
        np.matmul(E.T, dtable, out=g["recurrent.weight_ih_l0"])
        for bias in ("recurrent.bias_ih_l0", "recurrent.bias_hh_l0"):
            np.add.reduce(dtable, axis=0, out=g[bias])
        self.P.adam()
        return loss


class Contender:
    """One workload, ready to step."""

    def __init__(self, name: str, weights: dict[str, Array]) -> None:
        sizes = sizes_of(name)
        kind: Any = {GANSizes: GAN, ViTSizes: ViT, RecurrentSizes: RNN}[type(sizes)]
        self.work, self.batches = kind(sizes, weights), batches(name)

    def step(self, i: int) -> float:
        return float(self.work.step(*self.batches[i % len(self.batches)]))
