"""Residual networks (He et al. 2016, arXiv 1512.03385): features of images on a coarser grid.

    basic block     y = ReLU(x + BN(conv3x3(ReLU(BN(conv3x3(x))))))     (equation 1, figure 5 left)
    bottleneck      1x1 to a quarter of the channels, 3x3, 1x1 back             (figure 5 right)

Where the shape changes, the shortcut is a 1x1 convolution (equation 2). The first block of a stage
halves height and width, except in the first stage. The names are torchvision's.

Deviations, on purpose: the stride of a bottleneck is on its 3x3 convolution, as in torchvision, not
on the 1x1 of the paper; a mask can keep padding out of the features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from tinygrad_cv import kernels, nn
from tinygrad_cv.nn import init, parameter
from tinygrad_cv.typing import Array

from ..config import ModelConfig, Stages

STAGES = 4  # at most


@dataclass(frozen=True)
class ResNetConfig(ModelConfig):
    """What makes a ResNet."""

    model_type: ClassVar = "resnet"

    num_channels: int = 1  # of the images
    embedding_size: int = 16  # channels of the stem, which is the first convolution
    stem_kernel_size: int = 3  # height and width
    stem_stride: int = 2  # pixels between two places of the stem
    stem_pool: bool = False  # max-pooling of stride 2 after the stem
    hidden_sizes: tuple[int, ...] = (16, 32)  # channels of each stage
    depths: Stages = (1, 1)  # blocks of each stage
    layer_type: Annotated[str, "basic", "bottleneck"] = "basic"  # or "bottleneck"
    frozen_batch_norm: bool = False  # normalise by stored statistics, which are not trained

    @property
    def stride(self) -> int:
        """How many pixels lie between two neighbouring features."""
        pool = 2 if self.stem_pool else 1
        halvings = len(self.depths) - 1
        return int(self.stem_stride * pool * 2**halvings)


SIZES = {
    "ResNet-50": ResNetConfig(
        num_channels=3,
        embedding_size=64,
        stem_kernel_size=7,
        stem_pool=True,
        hidden_sizes=(256, 512, 1024, 2048),
        depths=(3, 4, 6, 3),
        layer_type="bottleneck",
    ),
}


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation that learns nothing: (B, C, H, W) -> (B, C, H, W).

    Scale, shift and statistics are buffers, which stay as they were loaded.
    """

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        zeros = np.zeros(num_features, np.float32)
        ones = np.ones(num_features, np.float32)
        self.eps = eps
        self.register_buffer("weight", ones)
        self.register_buffer("bias", zeros)
        self.register_buffer("running_mean", zeros.copy())
        self.register_buffer("running_var", ones.copy())

    def forward(self, x: Array) -> Any:
        statistics = {"mean": self.running_mean, "variance": self.running_var}
        return kernels.batch_norm(x, self.weight, self.bias, eps=self.eps, **statistics)


def batch_norm(channels: int, config: ResNetConfig) -> nn.Module:
    """The normalisation of a configuration."""
    return FrozenBatchNorm2d(channels) if config.frozen_batch_norm else nn.BatchNorm2d(channels)


def convolution(
    inputs: int,
    outputs: int,
    size: int,
    stride: int = 1,
    *,
    rng: np.random.Generator,
) -> nn.Conv2d:
    """A convolution with "same" padding, and without a bias, which batch normalisation has.

    The weights are drawn as He et al. 2015 (arXiv 1502.01852) do, by the fan-out.
    """
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False, rng=rng)
    std = math.sqrt(2 / (outputs * size * size))
    weight = init.normal(layer.weight.shape, std=std, rng=rng)
    layer.weight = parameter(weight)
    return layer


def shortcut(
    inputs: int,
    outputs: int,
    stride: int,
    config: ResNetConfig,
    *,
    rng: np.random.Generator,
) -> nn.Module | None:
    """The projection of equation 2, or None where the shape stays and x itself is added."""
    if inputs == outputs and stride == 1:
        return None
    return nn.Sequential(
        convolution(inputs, outputs, 1, stride, rng=rng),
        batch_norm(outputs, config),
    )


def mask_padding(x: Array, mask: np.ndarray | None) -> Array:
    """Features (B, C, H, W) with zeros where the mask (B, 1, H, W) is 0.

    Zeros are what convolutions see beyond a border.
    """
    return x if mask is None else x * mask


def downsample_mask(mask: np.ndarray | None, stride: int) -> np.ndarray | None:
    """The mask (B, 1, H, W) of the features of a convolution with a stride."""
    return None if mask is None else mask[..., ::stride, ::stride]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the shortcut: (B, C, H, W) -> (B, C', H / stride, W / stride)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        config: ResNetConfig,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.stride = stride
        self.conv1 = convolution(inputs, outputs, 3, stride, rng=rng)
        self.bn1 = batch_norm(outputs, config)
        self.conv2 = convolution(outputs, outputs, 3, rng=rng)
        self.bn2 = batch_norm(outputs, config)
        self.downsample = shortcut(inputs, outputs, stride, config, rng=rng)

    def forward(self, x: Array, mask: np.ndarray | None = None) -> Array:
        """`mask` (B, 1, H, W) is 0 on the padding of x."""
        identity = x if self.downsample is None else self.downsample(x)
        mask = downsample_mask(mask, self.stride)
        y = mask_padding(kernels.relu(self.bn1(self.conv1(x))), mask)
        y = self.bn2(self.conv2(y))
        return mask_padding(kernels.relu(y + identity), mask)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, shortcut: (B, C, H, W) -> (B, C', H / stride, W / stride)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        config: ResNetConfig,
        *,
        rng: np.random.Generator,
    ) -> None:
        inner = outputs // 4
        self.stride = stride
        self.conv1 = convolution(inputs, inner, 1, rng=rng)
        self.bn1 = batch_norm(inner, config)
        self.conv2 = convolution(inner, inner, 3, stride, rng=rng)
        self.bn2 = batch_norm(inner, config)
        self.conv3 = convolution(inner, outputs, 1, rng=rng)
        self.bn3 = batch_norm(outputs, config)
        self.downsample = shortcut(inputs, outputs, stride, config, rng=rng)

    def forward(self, x: Array, mask: np.ndarray | None = None) -> Array:
        """`mask` (B, 1, H, W) is 0 on the padding of x."""
        identity = x if self.downsample is None else self.downsample(x)
        y = mask_padding(kernels.relu(self.bn1(self.conv1(x))), mask)
        mask = downsample_mask(mask, self.stride)
        y = mask_padding(kernels.relu(self.bn2(self.conv2(y))), mask)
        y = self.bn3(self.conv3(y))
        return mask_padding(kernels.relu(y + identity), mask)


BLOCKS: dict[str, type[BasicBlock | Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


def make_stage(number: int, config: ResNetConfig, *, rng: np.random.Generator) -> nn.ModuleList:
    """The blocks of a stage, counted from 1; none if the configuration has fewer stages."""
    blocks = nn.ModuleList()
    if number > len(config.depths):
        return blocks
    block = BLOCKS[config.layer_type]
    sizes = (config.embedding_size, *config.hidden_sizes)
    inputs, outputs = sizes[number - 1], sizes[number]
    stride = 1 if number == 1 else 2
    blocks.append(block(inputs, outputs, stride, config, rng=rng))
    for _ in range(config.depths[number - 1] - 1):
        blocks.append(block(outputs, outputs, 1, config, rng=rng))
    return blocks


class ResNet(nn.Module):
    """The features of images: (B, C, H, W) -> (B, C', H / stride, W / stride), rounded up."""

    def __init__(self, config: ResNetConfig, *, rng: np.random.Generator) -> None:
        check(config)
        self.config = config
        channels = config.embedding_size
        kernel_size, stride = config.stem_kernel_size, config.stem_stride
        self.conv1 = convolution(config.num_channels, channels, kernel_size, stride, rng=rng)
        self.bn1 = batch_norm(channels, config)
        self.layer1 = make_stage(1, config, rng=rng)
        self.layer2 = make_stage(2, config, rng=rng)
        self.layer3 = make_stage(3, config, rng=rng)
        self.layer4 = make_stage(4, config, rng=rng)

    def forward(self, x: Array, mask: np.ndarray | None = None) -> Array:
        """`mask` (B, H, W), False on padding, keeps padding out of every layer.

        So an image has the same features however far it is padded at its lower and right border.
        Published networks compute on the padding too: for them leave the mask out.
        """
        inside = None if mask is None else mask[:, None].astype(np.float32)  # (B, 1, H, W)
        x = self.bn1(self.conv1(mask_padding(x, inside)))
        inside = downsample_mask(inside, self.config.stem_stride)
        x = mask_padding(kernels.relu(x), inside)
        if self.config.stem_pool:
            x = kernels.max_pool2d(x, kernel_size=3, stride=2, padding=1)
            inside = downsample_mask(inside, 2)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                x = block(x, inside)
                inside = downsample_mask(inside, block.stride)
        return x


def check(config: ResNetConfig) -> None:
    """Raise ValueError for sizes that make no ResNet."""
    sizes, depths = config.hidden_sizes, config.depths
    if len(sizes) != len(depths):
        raise ValueError(f"hidden_sizes={sizes} and depths={depths}: one of each for every stage")
    if not 1 <= len(depths) <= STAGES:
        raise ValueError(f"depths={depths}: a ResNet has 1 to {STAGES} stages")
    if config.stem_kernel_size % 2 == 0:
        raise ValueError(f"stem_kernel_size={config.stem_kernel_size}: must be odd")
    if config.layer_type not in BLOCKS:
        known = ", ".join(BLOCKS)
        raise ValueError(f"no block is called {config.layer_type!r}; there are {known}")
