"""Residual networks (He et al. 2016, arXiv 1512.03385): pictures become features on a coarser grid.

    basic block         y = ReLU(x + BN(conv3x3(ReLU(BN(conv3x3(x))))))                          (equation 1, figure 5 left)
    bottleneck          1x1 to a quarter of the channels, 3x3, 1x1 back, with the same shortcut               (figure 5 right)

Where the shape changes, the shortcut is a 1x1 convolution (equation 2). A stage's first block halves the height and width,
but for the first stage's; its stride is on the 3x3 convolution, as in PyTorch's networks, not on the 1x1 of the paper. Names
are PyTorch's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv import kernels, nn
from tinygrad_cv.nn import init

from ..config import ModelConfig

FLAT = {
    "channels": "num_channels",
    "stem": "embedding_size",
    "stem_size": "stem_kernel_size",
    "stem_stride": "stem_stride",
    "pool": "stem_pool",
    "widths": "hidden_sizes",
    "depths": "depths",
    "block": "layer_type",
    "frozen": "frozen_batch_norm",
}


@dataclass(frozen=True)
class ResNetConfig(ModelConfig):
    """What makes a ResNet. ResNet-50 is ResNetConfig(3, 64, 7, 2, True, (256, 512, 1024, 2048), (3, 4, 6, 3), "bottleneck")."""

    model_type: ClassVar = "resnet"

    num_channels: int = 1  # of the images
    embedding_size: int = 16  # channels of the stem, which is the first convolution
    stem_kernel_size: int = 3
    stem_stride: int = 2
    stem_pool: bool = False  # max-pooling of stride 2 after the stem
    hidden_sizes: tuple[int, ...] = (16, 32)  # channels of each stage
    depths: tuple[int, ...] = (1, 1)  # blocks of each stage
    layer_type: str = "basic"  # or "bottleneck"
    frozen_batch_norm: bool = False  # normalise by stored statistics, which are not trained

    @classmethod
    def of(cls, config: Any) -> ResNetConfig:
        """The part of a detector's configuration, which is still in one piece."""
        return cls(**{new: getattr(config, old) for old, new in FLAT.items() if hasattr(config, old)})

    @property
    def stride(self) -> int:
        """How many pixels lie between the places of the features."""
        return int(self.stem_stride * (1 + self.stem_pool) * 2 ** (len(self.hidden_sizes) - 1))


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation whose scale, shift and statistics stay as they were loaded: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        self.eps = eps
        for name, value in {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}.items():
            self.register_buffer(name, np.full(channels, value, np.float32))

    def forward(self, x: Any) -> Any:
        statistics = {"mean": self.running_mean, "variance": self.running_var}
        return kernels.batch_norm(x, self.weight, self.bias, eps=self.eps, **statistics)


def convolution(inputs: int, outputs: int, size: int, stride: int = 1, *, rng: np.random.Generator) -> nn.Conv2d:
    """Same padding, no bias (batch normalisation has one), He's initialisation by the outputs."""
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False, rng=rng)
    layer.weight.data[...] = init.normal(layer.weight.shape, std=math.sqrt(2 / (outputs * size * size)), rng=rng)
    return layer


def quiet(x: Any, mask: np.ndarray | None) -> Any:
    """Features (B, C, H, W) with zeros where the mask (B, 1, H, W) is 0: what convolutions see beyond a border."""
    return x if mask is None else x * mask


def thin(mask: np.ndarray | None, stride: int) -> np.ndarray | None:
    """The mask that belongs to features of a convolution with a stride."""
    return None if mask is None else mask[..., ::stride, ::stride]


class Block(nn.Module):
    """A residual block: (B, C, H, W) -> (B, C', H / stride, W / stride)."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, config: ResNetConfig, *, rng: np.random.Generator
    ) -> None:
        norm = FrozenBatchNorm2d if config.frozen_batch_norm else nn.BatchNorm2d
        inner = outputs // 4 if config.layer_type == "bottleneck" else outputs
        shapes = {  # inputs, outputs, size and stride of each convolution
            "basic": [(inputs, inner, 3, stride), (inner, outputs, 3, 1)],
            "bottleneck": [(inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1)],
        }
        if config.layer_type not in shapes:
            raise ValueError(f"no block is called {config.layer_type!r}; there are {', '.join(shapes)}")
        self.layers, self.stride = len(shapes[config.layer_type]), stride
        for i, shape in enumerate(shapes[config.layer_type], 1):
            setattr(self, f"conv{i}", convolution(*shape, rng=rng))
            setattr(self, f"bn{i}", norm(shape[1]))
        changed = inputs != outputs or stride > 1
        self.downsample = (
            nn.Sequential(convolution(inputs, outputs, 1, stride, rng=rng), norm(outputs)) if changed else None
        )

    def forward(self, x: Any, mask: np.ndarray | None = None) -> Any:
        y, shortcut = x, x if self.downsample is None else self.downsample(x)
        for i in range(1, self.layers + 1):
            conv = getattr(self, f"conv{i}")
            y, mask = getattr(self, f"bn{i}")(conv(y)), thin(mask, conv.stride[0])
            y = quiet(kernels.relu(y), mask) if i < self.layers else y
        return quiet(kernels.relu(y + shortcut), mask)


class ResNet(nn.Module):
    """The features of pictures: (B, C, H, W) -> (B, C', H / stride, W / stride), rounded up.

    `mask` (B, H, W), False on padding, keeps padding silent in every layer, so that a picture has the same features however
    far it is padded at its lower and right border. Published networks let the padding speak: for them leave the mask out.
    """

    def __init__(self, config: ResNetConfig, *, rng: np.random.Generator) -> None:
        if len(config.hidden_sizes) != len(config.depths):
            raise ValueError(f"widths {config.hidden_sizes} and depths {config.depths} tell of different numbers of stages")
        self.config = config
        self.conv1 = convolution(config.num_channels, config.embedding_size, config.stem_kernel_size, config.stem_stride, rng=rng)
        self.bn1 = (FrozenBatchNorm2d if config.frozen_batch_norm else nn.BatchNorm2d)(config.embedding_size)
        inputs = config.embedding_size
        for stage, (width, depth) in enumerate(zip(config.hidden_sizes, config.depths, strict=True), 1):
            blocks = nn.ModuleList()
            for i in range(depth):
                blocks.append(Block(inputs, width, 2 if stage > 1 and i == 0 else 1, config, rng=rng))
                inputs = width
            setattr(self, f"layer{stage}", blocks)

    def forward(self, x: Any, mask: np.ndarray | None = None) -> Any:
        silence = None if mask is None else mask[:, None].astype(np.float32)  # (B, 1, H, W)
        x = self.bn1(self.conv1(quiet(x, silence)))
        silence = thin(silence, self.config.stem_stride)
        x = quiet(kernels.relu(x), silence)
        if self.config.stem_pool:
            x = kernels.max_pool2d(x, kernel_size=3, stride=2, padding=1)
            silence = thin(silence, 2)
        for stage in range(1, len(self.config.hidden_sizes) + 1):
            for block in getattr(self, f"layer{stage}"):
                x, silence = block(x, silence), thin(silence, block.stride)
        return x
