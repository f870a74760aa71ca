"""A multilayer perceptron (Rumelhart, Hinton & Williams 1986): fully connected layers.

    h_i = relu(W_i h_(i-1) + b_i),  h_0 = x      x: the pixels
    y = W h + b                                  logits of the classes

It does not know which pixels are neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv import nn
from tinygrad_cv.typing import Array

from ..config import ImageConfig
from ..pretrained import Pretrained


@dataclass(frozen=True)
class MLPConfig(ImageConfig):
    """What makes the network: its images, the units of its hidden layers, its classes."""

    model_type: ClassVar = "mlp"

    hidden_sizes: tuple[int, ...] = (256, 256)  # units of the hidden layers
    num_labels: int = 10  # classes


def dense(inputs: int, sizes: tuple[int, ...], outputs: int, rng: np.random.Generator) -> Any:
    """Blocks Linear -> ReLU of these sizes, then Linear: (..., inputs) -> (..., outputs)."""
    layers: list[nn.Module] = []
    for size in sizes:
        layers += [nn.Linear(inputs, size, rng=rng), nn.ReLU()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, outputs, rng=rng))


class MLP(Pretrained):
    """Logits (N, K) of images (N, H, W[, C])."""

    config_class = MLPConfig

    def __init__(self, config: MLPConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        pixels = math.prod(config.image_shape)
        self.layers = dense(pixels, config.hidden_sizes, config.num_labels, rng)

    def forward(self, images: Array) -> Any:
        x = images.reshape(len(images), -1)  # (N, H W C)
        return self.layers(x)
