"""The UNet of diffusion models (Ronneberger et al. 2015, arXiv 1505.04597, as in Ho et al. 2020).

An image goes down a ladder of resolutions, its levels, and up again; on the way up each residual
block also sees the output of its counterpart on the way down (a skip connection). Residual blocks
take the time t, and the class if there is one, as one vector; at chosen levels each pixel attends
to all others (Nichol & Dhariwal 2021, arXiv 2102.09672).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any

import numpy as np

from tinygrad_cv import kernels, nn
from tinygrad_cv.typing import Array

from ..config import Config, Fraction, Layers, NonNegative


@dataclass(frozen=True)
class UNetConfig(Config):
    """What makes a UNet. Level 0 is the top of the ladder."""

    in_channels: int = 1  # of the images
    base_channels: int = 32  # at the top
    channel_multipliers: tuple[int, ...] = (1, 2)  # channels at each level, by `base_channels`
    num_res_blocks: Layers = 1  # at each level on the way down; one more on the way up
    attention_levels: Annotated[tuple[int, ...], 0, inf] = (1,)  # 0 at the top
    num_heads: int = 4  # of attention
    num_groups: int = 8  # of group normalisation
    dropout: Fraction = 0.1  # in each residual block
    num_classes: NonNegative = 0  # 0: unconditional


def time_embedding(t: np.ndarray, embed_dim: int) -> np.ndarray:
    """sin and cos of t at frequencies that fall from 1 to 1/10000: (B,) -> (B, embed_dim).

    Vaswani et al. 2017, section 3.5.
    """
    half = embed_dim // 2
    steps = np.arange(half)
    frequencies = np.exp(-math.log(10_000) * steps / half)
    angles = t[:, None] * frequencies  # (B, embed_dim / 2)
    parts = [np.sin(angles), np.cos(angles)]
    embedding = np.concatenate(parts, axis=1)
    return embedding.astype(np.float32)


class Timed(nn.Module):
    """A module that takes the time embedding besides: (B, C, H, W), (B, T) -> (B, C', H', W')."""

    def forward(self, x: Array, time: Array) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward")


class TimedSequential(nn.ModuleList, Timed):
    """Modules one after the other. Those that are `Timed` take the time embedding."""

    def forward(self, x: Array, time: Array) -> Any:
        for layer in self:
            x = layer(x, time) if isinstance(layer, Timed) else layer(x)
        return x


class ResidualBlock(Timed):
    """Twice GroupNorm -> SiLU -> convolution, around a shortcut: (B, C, H, W) -> (B, C', H, W).

    The time is added between the two.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        time_dim: int,
        config: UNetConfig,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.norm1 = group_norm(in_channels, config)
        self.conv1 = conv3x3(in_channels, out_channels, rng=rng)
        self.time = nn.Linear(time_dim, out_channels, rng=rng)
        self.norm2 = group_norm(out_channels, config)
        self.dropout = nn.Dropout(config.dropout, rng=rng)
        conv2 = conv3x3(out_channels, out_channels, rng=rng)
        self.conv2 = zero_init(conv2)
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, rng=rng)

    def forward(self, x: Array, time: Array) -> Any:
        h = self.norm1(x, activation="silu")
        h = self.conv1(h, self.time(time))  # (B, C', H, W)
        h = self.norm2(h, activation="silu")
        h = self.conv2(self.dropout(h))
        if self.shortcut is not None:
            x = self.shortcut(x)
        return h + x


class PixelAttention(nn.Module):
    """Each pixel attends to all pixels of its image: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, config: UNetConfig, *, rng: np.random.Generator) -> None:
        self.norm = group_norm(channels, config)
        self.attention = nn.MultiheadAttention(channels, config.num_heads, rng=rng)
        zero_init(self.attention.out_proj)

    def forward(self, x: Array) -> Any:
        B, C, H, W = x.shape
        pixels = self.norm(x).reshape(B, C, H * W)  # (B, C, H W)
        pixels = np.swapaxes(pixels, 1, 2)  # (B, H W, C)
        attended = self.attention(pixels)
        attended = np.swapaxes(attended, 1, 2)  # (B, C, H W)
        return x + attended.reshape(B, C, H, W)


class Downsample(nn.Module):
    """A convolution of stride 2: half the height and width, rounded up."""

    def __init__(self, channels: int, *, rng: np.random.Generator) -> None:
        self.conv = conv3x3(channels, channels, stride=2, rng=rng)

    def forward(self, x: Array) -> Any:
        return self.conv(x)


class Upsample(nn.Module):
    """Each pixel becomes four, then a convolution."""

    def __init__(self, channels: int, *, rng: np.random.Generator) -> None:
        self.conv = conv3x3(channels, channels, rng=rng)

    def forward(self, x: Array) -> Any:
        return self.conv(kernels.upsample_nearest2d(x))


class UNet(nn.Module):
    """Noisy images (B, C, H, W), timesteps (B,), classes (B,) -> a prediction (B, C, H, W).

    Class number `num_classes` stands for "none given". H and W are multiples of 2^(levels - 1).
    """

    def __init__(self, config: UNetConfig, *, rng: np.random.Generator) -> None:
        check_levels(config)
        self.config = config
        base, time_dim = config.base_channels, 4 * config.base_channels
        widths = [base * multiplier for multiplier in config.channel_multipliers]
        self.time_mlp = nn.Sequential(
            nn.Linear(base, time_dim, rng=rng),
            nn.SiLU(),
            nn.Linear(time_dim, time_dim, rng=rng),
        )
        self.class_embedding = None
        if config.num_classes:
            self.class_embedding = nn.Embedding(config.num_classes + 1, time_dim, rng=rng)
        self.conv_in = conv3x3(config.in_channels, base, rng=rng)

        def stage(in_channels: int, level: int) -> TimedSequential:
            """A residual block, and attention if there is any at this level."""
            width = widths[level]
            residual = ResidualBlock(in_channels, width, time_dim, config, rng=rng)
            block = TimedSequential([residual])
            if level in config.attention_levels:
                block.append(PixelAttention(width, config, rng=rng))
            return block

        self.down = nn.ModuleList()
        skips = [base]  # channels of what each block on the way up sees besides
        for level, width in enumerate(widths):
            for _ in range(config.num_res_blocks):
                self.down.append(stage(skips[-1], level))
                skips.append(width)
            if level < len(widths) - 1:
                self.down.append(TimedSequential([Downsample(width, rng=rng)]))
                skips.append(width)

        channels = widths[-1]
        self.middle = TimedSequential(
            [
                ResidualBlock(channels, channels, time_dim, config, rng=rng),
                PixelAttention(channels, config, rng=rng),
                ResidualBlock(channels, channels, time_dim, config, rng=rng),
            ]
        )

        self.up = nn.ModuleList()
        for level in reversed(range(len(widths))):
            width = widths[level]
            for _ in range(config.num_res_blocks + 1):
                self.up.append(stage(channels + skips.pop(), level))
                channels = width
            if level > 0:
                self.up[-1].append(Upsample(width, rng=rng))

        self.norm_out = group_norm(channels, config)
        conv_out = conv3x3(channels, config.in_channels, rng=rng)
        self.conv_out = zero_init(conv_out)

    def forward(self, x: Array, t: np.ndarray, labels: np.ndarray | None = None) -> Any:
        self.check_shapes(x.shape, np.shape(t))
        time = self.embed(t, labels)  # (B, T)
        h = self.conv_in(x)
        skips = [h]
        for block in self.down:
            h = block(h, time)
            skips.append(h)
        h = self.middle(h, time)
        for block in self.up:
            h = np.concatenate([h, skips.pop()], axis=1)
            h = block(h, time)
        return self.conv_out(self.norm_out(h, activation="silu"))

    def embed(self, t: np.ndarray, labels: np.ndarray | None) -> Any:
        """Timesteps and classes, one vector for each image: (B,), (B,) -> (B, T)."""
        time = self.time_mlp(time_embedding(t, self.config.base_channels))
        if self.class_embedding is not None:
            if labels is None:
                labels = np.full(len(t), self.config.num_classes)
            time = time + self.class_embedding(labels)
        return kernels.silu(time)

    def check_shapes(self, images: tuple[int, ...], timesteps: tuple[int, ...]) -> None:
        """Raise ValueError for images or timesteps of shapes that `forward` does not take."""
        if len(images) != 4 or timesteps != images[:1]:
            raise ValueError(
                "images are (B, C, H, W) and timesteps (B,), "
                f"not of shapes {images} and {timesteps}"
            )
        H, W = images[2:]
        blocks = 2 ** (len(self.config.channel_multipliers) - 1)
        if H % blocks or W % blocks:
            raise ValueError(f"images of {H} x {W} cannot be halved to {blocks} x {blocks} blocks")


def check_levels(config: UNetConfig) -> None:
    """Raise ValueError if there are no levels, or if attention is at others."""
    levels = len(config.channel_multipliers)
    if levels == 0:
        raise ValueError("channel_multipliers=(): there is at least one level")
    if config.base_channels % 2:
        raise ValueError(f"base_channels={config.base_channels} must be even")
    if not set(config.attention_levels) <= set(range(levels)):
        given = f"attention_levels={config.attention_levels}"
        raise ValueError(f"{given}: the levels are 0 to {levels - 1}")


def conv3x3(
    in_channels: int, out_channels: int, stride: int = 1, *, rng: np.random.Generator
) -> nn.Conv2d:
    """A convolution of 3 x 3 pixels, padded so that the image keeps its size."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, rng=rng)


def group_norm(channels: int, config: UNetConfig) -> nn.GroupNorm:
    """Of `num_groups` groups, or fewer if there are fewer channels."""
    return nn.GroupNorm(min(config.num_groups, channels), channels)


def zero_init(layer: Any) -> Any:
    """A layer whose output is 0 at the start, so that a residual branch begins as the identity."""
    layer.weight.data[...] = 0
    layer.bias.data[...] = 0
    return layer
