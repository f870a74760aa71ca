"""Segmentation with the Vision Transformer: the class of each pixel.

As in Segmenter with its linear decoder (Strudel et al. 2021, arXiv 2105.05633, section 3.2), one
linear layer predicts the classes from the encoder's patch tokens. Deviation, on purpose: it
predicts the class of each pixel of a patch, instead of one class that is interpolated between
patches, so that thin strokes are not lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinygrad_cv import nn
from tinygrad_cv.typing import Array

from ..config import Fraction
from .vit import Encoder, EncoderConfig, patch_grid


@dataclass(frozen=True)
class SegmenterConfig(EncoderConfig):
    """What makes a segmenter: the encoder, and the classes of pixels."""

    model_type: ClassVar = "segmenter"

    num_labels: int = 10  # and one more for the background
    image_size: tuple[int, int] = (48, 48)
    patch_size: int = 4
    drop_path_rate: Fraction = 0.0


class Segmenter(Encoder):
    """Images to logits of each pixel: (B, H, W[, C]) -> (B, H, W, K + 1), the background last."""

    config_class = SegmenterConfig

    def __init__(self, config: SegmenterConfig, *, rng: np.random.Generator) -> None:
        super().__init__(config, rng=rng)
        outputs = config.patch_size**2 * (config.num_labels + 1)
        self.head = nn.Linear(config.hidden_size, outputs, rng=rng)

    def forward(self, images: Array) -> Array:
        _, H, W, *_ = images.shape
        tokens = self.encode(images)[:, 1:]  # (B, N, D)
        logits = self.head(self.norm(tokens))  # (B, N, P P (K + 1))
        return unpatch(logits, self.patch_size, (H, W))


def unpatch(tokens: Array, size: int, shape: tuple[int, int]) -> Array:
    """The inverse of `vit.patches`: (B, H/P W/P, P P C) -> (B, H, W, C)."""
    B = len(tokens)
    H, W = shape
    rows, columns = patch_grid(shape, size)
    blocks = tokens.reshape(B, rows, columns, size, size, -1)  # (B, H/P, W/P, P, P, C)
    blocks = np.swapaxes(blocks, 2, 3)  # (B, H/P, P, W/P, P, C)
    return blocks.reshape(B, H, W, -1)  # (B, H, W, C)
