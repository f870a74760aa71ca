"""An image as a sequence: a small convolutional network makes a vector of every few columns.

As in Shi et al. 2017, arXiv 1507.05717, section 2.1.
"""

from __future__ import annotations

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.typing import Array

from ..sequence.attention import padding_mask
from .resnet import ResNet, ResNetConfig


class Columns(nn.Module):
    """Images, column by column, as sequences of vectors: (B, S, H) -> (B, S / stride, D).

    The last vector may stand for fewer columns. The convolutions see zeros after a strip's end, so
    that its vectors do not depend on how far it is padded.
    """

    def __init__(
        self,
        config: ResNetConfig,
        height: int,
        embed_dim: int,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.backbone = ResNet(config, rng=rng)
        rows = -(-height // config.stride)
        self.linear = nn.Linear(config.hidden_sizes[-1] * rows, embed_dim, rng=rng)

    def forward(self, source: np.ndarray, lengths: np.ndarray) -> tuple[Array, np.ndarray]:
        """The vectors, and how many of them each source of some lengths (B,) has."""
        B, S, H = source.shape
        images = np.swapaxes(source, 1, 2)[:, None]  # (B, 1, H, S)
        mask = np.broadcast_to(padding_mask(lengths, S), (B, H, S))
        features = self.backbone(tg.Tensor(images), mask)  # (B, C, H / stride, S / stride)
        columns = np.moveaxis(features, 3, 1)  # (B, S / stride, C, H / stride)
        vectors = columns.reshape(B, columns.shape[1], -1)  # (B, S / stride, C H / stride)
        return self.linear(vectors), -(-lengths // self.backbone.config.stride)
