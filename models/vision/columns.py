"""A picture as a sequence: a small convolutional network makes a vector of every few columns.

As in Shi et al. 2017, arXiv 1507.05717, section 2.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import nn

from ..sequence.attention import padding_mask
from .resnet import ResNet, ResNetConfig


class Columns(nn.Module):
    """Pictures, column by column, as sequences of vectors: (B, S, H) -> (B, S / stride, D), rounded up.

    What lies behind a strip's end is silent in the convolutions, so that a strip reads the same beside any others.
    """

    def __init__(self, config: ResNetConfig, height: int, dimension: int, *, rng: np.random.Generator) -> None:
        self.backbone = ResNet(config, rng=rng)
        self.linear = nn.Linear(config.hidden_sizes[-1] * -(-height // config.stride), dimension, rng=rng)

    def forward(self, source: np.ndarray, lengths: np.ndarray) -> tuple[Any, np.ndarray]:
        pictures = np.swapaxes(source, 1, 2)  # (B, H, S)
        inside = np.broadcast_to(padding_mask(lengths, pictures.shape[2]), pictures.shape)
        features = np.moveaxis(self.backbone(tg.Tensor(pictures[:, None]), inside), 3, 1)  # (B, S / stride, C, H / stride)
        return self.linear(features.reshape(*features.shape[:2], -1)), -(-lengths // self.backbone.config.stride)
