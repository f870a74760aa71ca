"""What is timed: sizes and data of each workload, as every contender gets them.

A step is forward, backward and Adam (rate 1e-3) in float32; a GAN's step is one of the discriminator and one of the
generator. W6 is inference alone. Single operations are forward and backward.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.generative.unet import UNetConfig
from models.vision.vit import ViTConfig

BATCHES = 8  # different ones, taken in turn
RATE = 1e-3  # of Adam


@dataclass(frozen=True)
class GANSizes:
    """Widths from input to output; `norm`: batch normalisation in the generator."""

    generator: tuple[int, ...]
    discriminator: tuple[int, ...]
    batch: int
    norm: bool


@dataclass(frozen=True)
class ViTSizes:
    """A pre-norm ViT with exact GELU, no dropout; `training` or inference."""

    shape: tuple[int, ...]
    patch: int
    dimension: int
    depth: int
    heads: int
    batch: int
    classes: int = 10
    training: bool = True

    @property
    def config(self) -> ViTConfig:
        return ViTConfig(
            image_size=(self.shape[0], self.shape[1]),
            num_channels=self.shape[2] if len(self.shape) == 3 else 1,
            patch_size=self.patch,
            hidden_size=self.dimension,
            num_hidden_layers=self.depth,
            num_attention_heads=self.heads,
            intermediate_size=4 * self.dimension,
            hidden_act="gelu",
            drop_path_rate=0.0,
            num_labels=self.classes,
        )


@dataclass(frozen=True)
class UNetSizes:
    """The noise predictor of a diffusion model, one channel, attention at its lowest height only."""

    side: int = 28
    base: int = 32
    multipliers: tuple[int, ...] = (1, 2, 4)
    blocks: int = 2
    batch: int = 32

    @property
    def config(self) -> UNetConfig:
        return UNetConfig(1, self.base, self.multipliers, self.blocks, attention=(), dropout=0.0)


@dataclass(frozen=True)
class RecurrentSizes:
    """Embedding, one recurrent layer, logits at every step."""

    cell: str
    characters: int = 96
    inputs: int = 64
    hidden: int = 256
    length: int = 64
    batch: int = 64


@dataclass(frozen=True)
class Operation:
    """A single operation on arrays of these shapes, forward and backward with a given gradient."""

    name: str
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Chain:
    """`length` products on eight numbers, one after the other: what is left is the cost of an operation as such."""

    backward: bool
    length: int = 1000


Sizes = GANSizes | ViTSizes | UNetSizes | RecurrentSizes | Operation | Chain

WORKLOADS: dict[str, Sizes] = {
    "W1s": GANSizes((16, 64, 128, 64), (64, 128, 64, 1), 64, False),
    "W1": GANSizes((10, 128, 256, 512, 1024, 784), (784, 512, 256, 128, 1), 128, True),
    "W2s": ViTSizes((8, 8), 2, 32, 2, 4, 64),
    "W2": ViTSizes((32, 32, 3), 4, 192, 6, 3, 64),
    "W3": UNetSizes(),
    "RNN": RecurrentSizes("RNN"),
    "LSTM": RecurrentSizes("LSTM"),
    "W6": ViTSizes((224, 224, 3), 16, 768, 12, 12, 1, 1000, training=False),
}
TITLES = {
    "W1s": "GAN, 8 x 8",
    "W1": "GAN, 28 x 28",
    "W2s": "ViT, 8 x 8",
    "W2": "ViT, 32 x 32 x 3",
    "W3": "UNet, 28 x 28",
    "RNN": "64 characters",
    "LSTM": "64 characters",
    "W6": "ViT-B/16, inference",
}
CONVOLUTIONS = ((28, 32, 32), (28, 64, 32), (14, 64, 64), (14, 128, 64), (7, 128, 128), (7, 256, 128))  # side, C, C'
OPERATIONS: dict[str, Sizes] = {
    "softmax 12480x65": Operation("softmax", ((12480, 65),)),
    "layer norm 4160x192": Operation("layer_norm", ((4160, 192), (192,), (192,))),
    "GELU, tanh, 4160x768": Operation("gelu_tanh", ((4160, 768),)),
    "GELU, erf, 4160x768": Operation("gelu", ((4160, 768),)),
    "attention 64x3x65x64": Operation("attention", ((64, 3, 65, 64),) * 3),
    "attention 64x4x17x8": Operation("attention", ((64, 4, 17, 8),) * 3),
    "cross-entropy 64x10": Operation("cross_entropy", ((64, 10),)),
    "GroupNorm + SiLU 32x32x28x28": Operation("group_norm_silu", ((32, 32, 28, 28), (32,), (32,))),
    **{
        f"conv 3x3, {side}x{side}, {inputs} to {outputs}": Operation(
            "conv", ((32, inputs, side, side), (outputs, inputs, 3, 3), (outputs,))
        )
        for side, inputs, outputs in CONVOLUTIONS
    },
    "chain, forward": Chain(False),
    "chain, forward and backward": Chain(True),
}


def sizes_of(name: str) -> Sizes:
    """The sizes of a workload by name; `W2s batch=128 depth=4` is one with some of them changed."""
    base, *changes = (name,) if name in OPERATIONS else name.split(" ")
    sizes = (WORKLOADS | OPERATIONS)[base]
    return replace(sizes, **{key: int(value) for key, _, value in (c.partition("=") for c in changes)})


def batches(name: str) -> list[tuple[np.ndarray, ...]]:
    """The data of a workload, a few batches.

    (real, noise for D, noise for G), (images, labels), (noisy images, times, noise) or (characters, next characters);
    for an operation the gradient that backward begins with, or labels.
    """
    sizes, rng = sizes_of(name), np.random.default_rng(0)
    return [_batch(sizes, rng) for _ in range(1 if isinstance(sizes, Operation | Chain) else BATCHES)]


def _batch(sizes: Sizes, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    if isinstance(sizes, GANSizes):
        noise = rng.standard_normal((2, sizes.batch, sizes.generator[0]), np.float32)
        return rng.random((sizes.batch, sizes.generator[-1]), np.float32), noise[0], noise[1]
    if isinstance(sizes, ViTSizes):
        return rng.random((sizes.batch, *sizes.shape), np.float32), rng.integers(0, sizes.classes, sizes.batch)
    if isinstance(sizes, UNetSizes):
        noisy, noise = rng.standard_normal((2, sizes.batch, 1, sizes.side, sizes.side), np.float32)
        return noisy, rng.integers(1, 1001, sizes.batch), noise
    if isinstance(sizes, RecurrentSizes):
        text = rng.integers(0, sizes.characters, (sizes.length + 1, sizes.batch))
        return text[:-1], text[1:]
    if isinstance(sizes, Chain):
        return (np.ones(8, np.float32),)
    shape = sizes.shapes[0]
    if sizes.name == "cross_entropy":
        return (rng.integers(0, shape[1], shape[0]),)
    if sizes.name == "conv":
        shape = (shape[0], sizes.shapes[1][0], *shape[2:])  # of the value: (N, C', H, W)
    return (rng.standard_normal(shape, np.float32),)


def fingerprints(arrays: list[np.ndarray]) -> list[float]:
    """A number for each array that depends on each element and its place, without cancellation."""
    flat = [np.asarray(a, np.float64).reshape(-1) for a in arrays]
    return [float(np.sqrt(np.dot(a * a, np.linspace(1, 2, a.size)))) for a in flat]
