"""The models as plain functions of a dictionary of weights.

For the libraries that differentiate such functions. `Maths` is what they need of a library, under
NumPy's names. The steps through time and the convolution are parts of it, because libraries have
their own for them. Running statistics of batch normalisation, which no loss depends on, are not
kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.generative.unet import UNetConfig, time_embedding

from .workloads import RATE, GANSizes, RecurrentSizes, Sizes, UNetSizes, ViTSizes, sizes_of

Weights = dict[str, Any]


def loop(xp: Any) -> Callable[..., Any]:
    """Steps through time as a plain loop: the outputs of each step, stacked."""

    def scan(step: Any, state: Any, inputs: Any) -> Any:
        outputs = []
        for i in range(inputs.shape[0]):
            state, y = step(state, inputs[i])
            outputs.append(y)
        return xp.stack(outputs)

    return scan


@dataclass(frozen=True)
class Maths:
    """A library's arithmetic: its NumPy-like namespace, and what is not in it."""

    xp: Any
    scan: Callable[..., Any]
    erf: Callable[..., Any] | None = None
    conv: Callable[..., Any] | None = (
        None  # (x, weight, bias, stride), (N, C, H, W), padded by half the kernel
    )
    number: Callable[[float], Any] = np.float32  # a Python number would be float64 to mygrad
    array: Callable[[np.ndarray], Any] = np.asarray  # a constant


def linear(w: Weights, name: str, x: Any, kind: str = "weight", bias: str = "bias") -> Any:
    return x @ w[f"{name}.{kind}"].T + w[f"{name}.{bias}"]


def cross_entropy(m: Maths, logits: Any, targets: Any) -> Any:
    """The mean of -log softmax at the targets (N,), of logits (N, K)."""
    xp = m.xp
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    chosen = shifted[m.array(np.arange(logits.shape[0])), targets]
    return xp.mean(xp.log(xp.sum(xp.exp(shifted), axis=-1)) - chosen)


def bce(m: Maths, logits: Any, sign: float) -> Any:
    """The mean of log(1 + exp(sign z))."""
    return m.xp.mean(m.xp.logaddexp(m.number(0), m.number(sign) * logits))


def normalise(m: Maths, x: Any, axis: Any, eps: float) -> Any:
    centred = x - m.xp.mean(x, axis=axis, keepdims=True)
    return centred / m.xp.sqrt(
        m.xp.mean(centred * centred, axis=axis, keepdims=True) + m.number(eps)
    )


def sigmoid(m: Maths, x: Any) -> Any:
    half = m.number(0.5)
    return half * (m.xp.tanh(half * x) + m.number(1))


# ------------------------------------------------------------------------------------------- models


def dense(
    m: Maths, w: Weights, part: int, sizes: tuple[int, ...], norm: bool, activation: Any, x: Any
) -> Any:
    """Layers of `ours.dense`, numbered as there."""
    stride = 3 if norm else 2
    for i in range(len(sizes) - 1):
        x = linear(w, f"{part}.{stride * i}", x)
        if i < len(sizes) - 2:
            if norm:
                name = f"{part}.{stride * i + 1}"
                x = normalise(m, x, 0, 1e-5) * w[name + ".weight"] + w[name + ".bias"]
            x = activation(x)
    return x


def generator(m: Maths, sizes: GANSizes, w: Weights, noise: Any) -> Any:
    return sigmoid(
        m,
        dense(
            m,
            w,
            0,
            sizes.generator_sizes,
            sizes.norm,
            lambda x: m.xp.maximum(x, m.number(0)),
            noise,
        ),
    )


def discriminator(m: Maths, sizes: GANSizes, w: Weights, images: Any) -> Any:
    return dense(
        m,
        w,
        1,
        sizes.discriminator_sizes,
        False,
        lambda x: m.xp.maximum(x, m.number(0.2) * x),
        images,
    )


def attention(m: Maths, w: Weights, name: str, x: Any, heads: int) -> Any:
    """Self-attention: (B, T, D) -> (B, T, D)."""
    xp, (b, t, d) = m.xp, x.shape
    qkv = linear(w, name, x, "in_proj_weight", "in_proj_bias").reshape(b, t, 3, heads, d // heads)
    q, k, v = (xp.swapaxes(qkv[:, :, i], 1, 2) for i in range(3))  # (B, H, T, D/H)
    scores = q @ xp.swapaxes(k, 2, 3) * m.number(1 / math.sqrt(d // heads))
    e = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
    y = xp.swapaxes(e / xp.sum(e, axis=-1, keepdims=True) @ v, 1, 2)
    return linear(w, name + ".out_proj", y.reshape(b, t, d))


def vit(m: Maths, sizes: ViTSizes, w: Weights, images: Any) -> Any:
    xp, p = m.xp, sizes.patch_size
    b, height, width = images.shape[:3]
    blocks = xp.swapaxes(images.reshape(b, height // p, p, width // p, p, -1), 2, 3)
    tokens = linear(w, "patch_embed", blocks.reshape(b, (height // p) * (width // p), -1))
    first = w["cls_token"] + m.array(np.zeros((b, 1, 1), np.float32))
    z = xp.concatenate([first, tokens], axis=1) + w["pos_embed"]

    def norm(name: str, x: Any) -> Any:
        return normalise(m, x, -1, 1e-6) * w[name + ".weight"] + w[name + ".bias"]

    for i in range(sizes.num_hidden_layers):
        name = f"blocks.{i}."
        z = z + attention(
            m, w, name + "attn", norm(name + "norm1", z), sizes.num_attention_heads
        )
        h = linear(w, name + "mlp.fc1", norm(name + "norm2", z))
        erf = m.erf(h * m.number(math.sqrt(0.5)))  # type: ignore[misc]
        h = m.number(0.5) * h * (m.number(1) + erf)
        z = z + linear(w, name + "mlp.fc2", h)
    return linear(w, "head", norm("norm", z[:, 0]))


def recurrent(m: Maths, sizes: RecurrentSizes, w: Weights, characters: Any) -> Any:
    """Logits (T N, characters); the input's part is one product for all steps."""
    xp, name = m.xp, "recurrent."
    from_input = w["embedding.weight"][characters.reshape(-1)] @ w[name + "weight_ih_l0"].T
    from_input = from_input + (w[name + "bias_ih_l0"] + w[name + "bias_hh_l0"])
    from_input = from_input.reshape(sizes.length, sizes.batch, -1)  # (T, N, gates H)
    back, zeros = (
        w[name + "weight_hh_l0"].T,
        m.array(np.zeros((sizes.batch, sizes.hidden_size), np.float32)),
    )

    def rnn(h: Any, x: Any) -> Any:
        h = xp.tanh(x + h @ back)
        return h, h

    def lstm(state: Any, x: Any) -> Any:
        h, c = state
        z, n = x + h @ back, sizes.hidden_size
        i, f, o = (sigmoid(m, z[:, k * n : (k + 1) * n]) for k in (0, 1, 3))
        c = f * c + i * xp.tanh(z[:, 2 * n : 3 * n])
        h = o * xp.tanh(c)
        return (h, c), h

    states = (
        m.scan(rnn, zeros, from_input)
        if sizes.cell == "RNN"
        else m.scan(lstm, (zeros, zeros), from_input)
    )
    return linear(w, "head", states.reshape(sizes.length * sizes.batch, -1))


def unet(m: Maths, config: UNetConfig, w: Weights, x: Any, t: Any) -> Any:
    """`models/generative/unet.py`, layer by layer, without classes: (B, C, H, W)."""
    xp = m.xp
    silu: Callable[[Any], Any] = lambda h: h * sigmoid(m, h)

    def conv(name: str, h: Any, stride: int = 1) -> Any:
        return m.conv(h, w[name + ".weight"], w[name + ".bias"], stride)  # type: ignore[misc]

    def norm(name: str, h: Any) -> Any:
        b, c = h.shape[:2]
        rows = h.reshape(b, min(config.num_groups, c), -1)
        shape = (1, c, 1, 1)
        normal = normalise(m, rows, -1, 1e-5).reshape(*h.shape)
        return normal * w[name + ".weight"].reshape(shape) + w[name + ".bias"].reshape(shape)

    def residual(name: str, h: Any) -> Any:
        inner = conv(name + ".conv1", silu(norm(name + ".norm1", h)))
        inner = inner + linear(w, name + ".time", time).reshape(*inner.shape[:2], 1, 1)
        inner = conv(name + ".conv2", silu(norm(name + ".norm2", inner)))
        return inner + (conv(name + ".shortcut", h) if name + ".shortcut.weight" in w else h)

    def pixel_attention(name: str, h: Any) -> Any:
        b, c, height, width = h.shape
        pixels = xp.swapaxes(norm(name + ".norm", h).reshape(b, c, height * width), 1, 2)
        attended = attention(m, w, name + ".attention", pixels, config.num_heads)
        return h + xp.swapaxes(attended, 1, 2).reshape(b, c, height, width)

    def layer(name: str, h: Any) -> Any:
        if name + ".conv.weight" in w:  # to another level
            down = name.startswith("down")
            return conv(name + ".conv", h, 2) if down else conv(name + ".conv", doubled(m, h))
        return residual(name, h) if name + ".conv1.weight" in w else pixel_attention(name, h)

    def block(name: str, h: Any) -> Any:
        for i in range(count(name + ".")):
            h = layer(f"{name}.{i}", h)
        return h

    def count(prefix: str) -> int:
        """How many numbered members there are."""
        return len({n.removeprefix(prefix).partition(".")[0] for n in w if n.startswith(prefix)})

    time = silu(linear(w, "time_mlp.2", silu(linear(w, "time_mlp.0", t))))
    h = conv("conv_in", x)
    skips = [h]
    for i in range(count("down.")):
        h = block(f"down.{i}", h)
        skips.append(h)
    h = block("middle", h)
    for i in range(count("up.")):
        h = block(f"up.{i}", xp.concatenate([h, skips.pop()], axis=1))
    return conv("conv_out", silu(norm("norm_out", h)))


def doubled(m: Maths, h: Any) -> Any:
    """Each pixel becomes four."""
    b, c, height, width = h.shape
    wide = h.reshape(b, c, height, 1, width, 1) + m.array(np.zeros((1, 1, 1, 2, 1, 2), np.float32))
    return wide.reshape(b, c, 2 * height, 2 * width)


# ------------------------------------------------------------------------------------------- losses


def losses(m: Maths, name: str) -> list[tuple[str, Callable[..., Any]]]:
    """What a step minimises, in order: (prefix of the weights to change, loss(w, batch))."""
    sizes: Sizes = sizes_of(name)
    match sizes:
        case GANSizes():

            def judged(w: Weights, real: Any, noise_d: Any, noise_g: Any, fake: Any) -> Any:
                return bce(m, discriminator(m, sizes, w, real), -1.0) + bce(
                    m, discriminator(m, sizes, w, fake), 1.0
                )

            def pushed(w: Weights, real: Any, noise_d: Any, noise_g: Any, fake: Any) -> Any:
                return bce(m, discriminator(m, sizes, w, generator(m, sizes, w, noise_g)), -1.0)

            return [("1.", judged), ("0.", pushed)]
        case ViTSizes():
            return [
                ("", lambda w, images, labels: cross_entropy(m, vit(m, sizes, w, images), labels))
            ]
        case UNetSizes():

            def error(w: Weights, noisy: Any, timesteps: Any, noise: Any) -> Any:
                difference = unet(m, sizes.config, w, noisy, timesteps) - noise
                return m.xp.mean(difference * difference)

            return [("", error)]
        case RecurrentSizes():
            return [
                (
                    "",
                    lambda w, text, after: cross_entropy(
                        m, recurrent(m, sizes, w, text), after.reshape(-1)
                    ),
                )
            ]
    raise NotImplementedError(f"{name} is not written as a function")


def trained(w: Weights, begins: str) -> Weights:
    """The weights whose names begin so, without the buffers of batch normalisation."""
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    return {n: a for n, a in w.items() if n.startswith(begins) and not n.endswith(buffers)}


def prepared(name: str, batch: tuple[Any, ...]) -> tuple[Any, ...]:
    """A batch as the functions take it.

    A UNet's timesteps are already embedded, as nothing learns there.
    """
    sizes = sizes_of(name)
    if isinstance(sizes, UNetSizes):
        return batch[0], time_embedding(batch[1], sizes.base_channels), batch[2]
    return batch


def adam(xp: Any, p: Any, g: Any, mean: Any, square: Any, step: Any) -> tuple[Any, Any, Any]:
    """The new parameter and moments, `step` counted from 1."""
    mean = 0.9 * mean + 0.1 * g
    square = 0.999 * square + 0.001 * g * g
    scale, rate = 1 / (1 - 0.999**step) ** 0.5, RATE / (1 - 0.9**step)
    return p - rate * mean / (xp.sqrt(square) * scale + 1e-8), mean, square
