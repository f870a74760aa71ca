"""Residual networks (He et al. 2016, arXiv 1512.03385): pictures become features on a coarser grid.

    basic block         y = ReLU(x + BN(conv3x3(ReLU(BN(conv3x3(x))))))                          (equation 1, figure 5 left)
    bottleneck          1x1 to a quarter of the channels, 3x3, 1x1 back, with the same shortcut               (figure 5 right)

Where the shape changes, the shortcut is a 1x1 convolution (equation 2). A stage's first block halves the height and width,
but for the first stage's; its stride is on the 3x3 convolution, as in PyTorch's networks, not on the 1x1 of the paper. Names
are PyTorch's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from tinygrad_cv import kernels, nn
from tinygrad_cv.nn import init


@dataclass(frozen=True)
class ResNetConfig:
    """What makes a ResNet. ResNet-50 is ResNetConfig(3, 64, 7, 2, True, (256, 512, 1024, 2048), (3, 4, 6, 3), "bottleneck")."""

    channels: int = 1  # of the pictures
    stem: int = 16  # channels of the first convolution,
    stem_size: int = 3  # its height and width,
    stem_stride: int = 2
    pool: bool = False  # max-pooling of stride 2 behind the stem
    widths: tuple[int, ...] = (16, 32)  # channels of each stage
    depths: tuple[int, ...] = (1, 1)  # blocks of each stage
    block: str = "basic"  # or "bottleneck"
    frozen: bool = False  # batch normalisation by stored numbers, which are not trained

    @classmethod
    def of(cls, config: Any) -> ResNetConfig:
        """The part of a larger configuration that has the same names."""
        return cls(**{f.name: getattr(config, f.name) for f in fields(cls) if hasattr(config, f.name)})

    @property
    def stride(self) -> int:
        """How many pixels lie between the places of the features."""
        return int(self.stem_stride * (1 + self.pool) * 2 ** (len(self.widths) - 1))


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
        norm = FrozenBatchNorm2d if config.frozen else nn.BatchNorm2d
        inner = outputs // 4 if config.block == "bottleneck" else outputs
        shapes = {  # inputs, outputs, size and stride of each convolution
            "basic": [(inputs, inner, 3, stride), (inner, outputs, 3, 1)],
            "bottleneck": [(inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1)],
        }
        if config.block not in shapes:
            raise ValueError(f"no block is called {config.block!r}; there are {', '.join(shapes)}")
        self.layers, self.stride = len(shapes[config.block]), stride
        for i, shape in enumerate(shapes[config.block], 1):
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
        if len(config.widths) != len(config.depths):
            raise ValueError(f"widths {config.widths} and depths {config.depths} tell of different numbers of stages")
        self.config = config
        self.conv1 = convolution(config.channels, config.stem, config.stem_size, config.stem_stride, rng=rng)
        self.bn1 = (FrozenBatchNorm2d if config.frozen else nn.BatchNorm2d)(config.stem)
        inputs = config.stem
        for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True), 1):
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
        if self.config.pool:
            x = kernels.max_pool2d(x, kernel_size=3, stride=2, padding=1)
            silence = thin(silence, 2)
        for stage in range(1, len(self.config.widths) + 1):
            for block in getattr(self, f"layer{stage}"):
                x, silence = block(x, silence), thin(silence, block.stride)
        return x
