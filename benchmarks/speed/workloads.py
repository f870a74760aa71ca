"""What is timed: sizes and data of each workload, as every contender gets them.

W1s, W1: a GAN of dense layers, 8 x 8 and 28 x 28. W2s: a ViT on 8 x 8 pictures. RNN, LSTM: a character model, 64 steps
through time. A step is forward, backward and Adam (rate 1e-3) in float32; a GAN's step is one of the discriminator and one of
the generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BATCHES = 8  # different ones, taken in turn


@dataclass(frozen=True)
class GANSizes:
    """Widths from input to output; `norm`: batch normalisation in the generator."""

    generator: tuple[int, ...]
    discriminator: tuple[int, ...]
    batch: int
    norm: bool


@dataclass(frozen=True)
class ViTSizes:
    """A pre-norm ViT with exact GELU, no dropout."""

    shape: tuple[int, ...]
    patch: int
    dimension: int
    depth: int
    heads: int
    batch: int
    classes: int = 10


@dataclass(frozen=True)
class RecurrentSizes:
    """Embedding, one recurrent layer, logits at every step."""

    cell: str
    characters: int = 96
    inputs: int = 64
    hidden: int = 256
    length: int = 64
    batch: int = 64


WORKLOADS: dict[str, GANSizes | ViTSizes | RecurrentSizes] = {
    "W1s": GANSizes((16, 64, 128, 64), (64, 128, 64, 1), 64, False),
    "W1": GANSizes((10, 128, 256, 512, 1024, 784), (784, 512, 256, 128, 1), 128, True),
    "W2s": ViTSizes((8, 8), 2, 32, 2, 4, 64),
    "RNN": RecurrentSizes("RNN"),
    "LSTM": RecurrentSizes("LSTM"),
}


def batches(name: str) -> list[tuple[np.ndarray, ...]]:
    """The data of a workload: (real, noise for D, noise for G), (pictures, labels) or (characters, next characters)."""
    sizes, rng = WORKLOADS[name], np.random.default_rng(0)
    found: list[tuple[np.ndarray, ...]] = []
    for _ in range(BATCHES):
        if isinstance(sizes, GANSizes):
            noise = rng.standard_normal((2, sizes.batch, sizes.generator[0]), np.float32)
            found.append((rng.random((sizes.batch, sizes.generator[-1]), np.float32), noise[0], noise[1]))
        elif isinstance(sizes, ViTSizes):
            pictures = rng.random((sizes.batch, *sizes.shape), np.float32)
            found.append((pictures, rng.integers(0, sizes.classes, sizes.batch)))
        else:
            text = rng.integers(0, sizes.characters, (sizes.length + 1, sizes.batch))
            found.append((text[:-1], text[1:]))
    return found
