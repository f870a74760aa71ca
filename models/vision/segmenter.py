"""Segmentation with the Vision Transformer: which digit covers each pixel.

As in Segmenter with its linear decoder (Strudel et al. 2021, arXiv 2105.05633, section 3.2), the classes are read off the
encoder's patch tokens by one linear layer. Deviation, on purpose: it tells the class of each of a patch's pixels, instead
of one class that is interpolated between patches, so that thin strokes are not lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_cv import nn

from ..config import Fraction
from .vit import Encoder, EncoderConfig


@dataclass(frozen=True)
class SegmenterConfig(EncoderConfig):
    """What makes a segmenter: the encoder, the size of its pictures, and their classes."""

    classes: int = 10
    canvas: int = 48  # height and width of the pictures
    patch_size: int = 4
    drop_path_rate: Fraction = 0.0


class Segmenter(Encoder):
    """Pictures to the logits of each pixel: (B, H, W) -> (B, H, W, K + 1), the last class "no digit"."""

    def __init__(self, config: SegmenterConfig, *, rng: np.random.Generator) -> None:
        config = replace(config, image_size=(config.canvas, config.canvas))
        super().__init__(config, rng=rng)
        self.head = nn.Linear(config.hidden_size, config.patch_size**2 * (config.classes + 1), rng=rng)

    def forward(self, images: Any) -> Any:
        said = self.head(self.norm(self.encode(images)[:, 1:]))  # (B, N, P P (K + 1))
        return unpatch(said, self.patch_size, images.shape[1:3])


def unpatch(tokens: Any, size: int, shape: tuple[int, ...]) -> Any:
    """The inverse of `vit.patches`: (B, H/P W/P, P P C) -> (B, H, W, C)."""
    blocks = tokens.reshape(len(tokens), shape[0] // size, shape[1] // size, size, size, -1)
    return np.swapaxes(blocks, 2, 3).reshape(len(tokens), *shape, -1)  # (B, H, W, C)
