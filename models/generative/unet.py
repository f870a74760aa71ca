"""The UNet of diffusion models (Ronneberger et al. 2015 in the form of Ho et al. 2020 and Nichol & Dhariwal 2021).

A picture goes down a ladder of resolutions and up again; on the way up each block also sees what the block of its height
on the way down has said (the skip connection). Residual blocks are told the time t, and the class if there is one, as one
vector; at chosen heights each pixel attends to all others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_cv import kernels, nn


@dataclass(frozen=True)
class UNetConfig:
    """What makes a UNet."""

    channels: int = 1  # of the pictures
    base: int = 32  # channels at the top of the ladder
    multipliers: tuple[int, ...] = (1, 2)  # channels at each height, in units of `base`
    blocks: int = 1  # residual blocks at each height
    attention: tuple[int, ...] = (1,)  # the heights (0 is the top) with self-attention
    heads: int = 4
    groups: int = 8  # of group normalisation
    dropout: float = 0.1
    classes: int = 0  # 0: unconditional


def time_embedding(t: np.ndarray, dimension: int) -> np.ndarray:
    """sin and cos of t at geometrically falling frequencies 1 ... 1/10000 (Vaswani et al. 2017): (B,) -> (B, dimension)."""
    frequencies = np.exp(-math.log(10_000) * np.arange(dimension // 2) / (dimension // 2))
    angles = t[:, None] * frequencies  # (B, dimension / 2)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


class ResidualBlock(nn.Module):
    """Twice GroupNorm -> SiLU -> convolution, with the time between them, around a shortcut: (B, C, H, W) -> (B, C', H, W)."""

    def __init__(self, inputs: int, outputs: int, width: int, config: UNetConfig, *, rng: np.random.Generator) -> None:
        self.norm1 = nn.GroupNorm(min(config.groups, inputs), inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, rng=rng)
        self.time = nn.Linear(width, outputs, rng=rng)
        self.norm2 = nn.GroupNorm(min(config.groups, outputs), outputs)
        self.dropout = nn.Dropout(config.dropout, rng=rng)
        self.conv2 = silent(nn.Conv2d(outputs, outputs, 3, padding=1, rng=rng))
        self.shortcut = nn.Conv2d(inputs, outputs, 1, rng=rng) if inputs != outputs else None

    def forward(self, x: Any, time: Any) -> Any:
        h = self.conv1(self.norm1(x, activation="silu"), self.time(time))
        h = self.conv2(self.dropout(self.norm2(h, activation="silu")))
        return h + (x if self.shortcut is None else self.shortcut(x))


class PixelAttention(nn.Module):
    """Each pixel attends to all pixels of its picture: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, config: UNetConfig, *, rng: np.random.Generator) -> None:
        self.norm = nn.GroupNorm(min(config.groups, channels), channels)
        self.attention = nn.MultiheadAttention(channels, config.heads, rng=rng)
        silent(self.attention.out_proj)

    def forward(self, x: Any, time: Any) -> Any:
        b, c, h, w = x.shape
        pixels = np.swapaxes(self.norm(x).reshape(b, c, h * w), 1, 2)  # (B, H W, C)
        return x + np.swapaxes(self.attention(pixels), 1, 2).reshape(b, c, h, w)


class Downsample(nn.Module):
    """A convolution of stride 2: half the height and width, rounded up."""

    def __init__(self, channels: int, *, rng: np.random.Generator) -> None:
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1, rng=rng)

    def forward(self, x: Any, time: Any) -> Any:
        return self.conv(x)


class Upsample(nn.Module):
    """Each pixel becomes four, then a convolution."""

    def __init__(self, channels: int, *, rng: np.random.Generator) -> None:
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, rng=rng)

    def forward(self, x: Any, time: Any) -> Any:
        return self.conv(kernels.upsample_nearest2d(x))


class Stage(nn.Module):
    """A residual block, and attention if there is any at this height."""

    def __init__(
        self, inputs: int, outputs: int, height: int, width: int, config: UNetConfig, *, rng: np.random.Generator
    ) -> None:
        self.block = ResidualBlock(inputs, outputs, width, config, rng=rng)
        self.attention = PixelAttention(outputs, config, rng=rng) if height in config.attention else None

    def forward(self, x: Any, time: Any) -> Any:
        x = self.block(x, time)
        return x if self.attention is None else self.attention(x, time)


class UNet(nn.Module):
    """Noisy pictures (B, C, H, W), times (B,) and classes (B,) -> a prediction (B, C, H, W).

    Class number `classes` stands for "none given". H and W are multiples of 2^(heights - 1).
    """

    def __init__(self, config: UNetConfig, *, rng: np.random.Generator) -> None:
        if config.base % 2 or not config.multipliers:
            raise ValueError(f"base={config.base} must be even, and multipliers={config.multipliers} not empty")
        if not all(0 <= height < len(config.multipliers) for height in config.attention):
            raise ValueError(f"attention={config.attention}: the heights are 0 to {len(config.multipliers) - 1}")
        self.config, width = config, 4 * config.base
        self.time_mlp = nn.Sequential(
            nn.Linear(config.base, width, rng=rng), nn.SiLU(), nn.Linear(width, width, rng=rng)
        )
        self.class_embedding = nn.Embedding(config.classes + 1, width, rng=rng) if config.classes else None
        self.conv_in = nn.Conv2d(config.channels, config.base, 3, padding=1, rng=rng)

        down: list[nn.Module] = []
        here, skips = config.base, [config.base]
        for height, multiplier in enumerate(config.multipliers):
            for _ in range(config.blocks):
                down.append(Stage(here, here := config.base * multiplier, height, width, config, rng=rng))
                skips.append(here)
            if height < len(config.multipliers) - 1:
                down.append(Downsample(here, rng=rng))
                skips.append(here)
        self.down = nn.ModuleList(down)

        self.middle = nn.ModuleList(
            [
                ResidualBlock(here, here, width, config, rng=rng),
                PixelAttention(here, config, rng=rng),
                ResidualBlock(here, here, width, config, rng=rng),
            ]
        )

        up: list[nn.Module] = []
        for height, multiplier in reversed(list(enumerate(config.multipliers))):
            for _ in range(config.blocks + 1):
                up.append(Stage(here + skips.pop(), here := config.base * multiplier, height, width, config, rng=rng))
            if height:
                up.append(Upsample(here, rng=rng))
        self.up = nn.ModuleList(up)

        self.norm_out = nn.GroupNorm(min(config.groups, here), here)
        self.conv_out = silent(nn.Conv2d(here, config.channels, 3, padding=1, rng=rng))

    def forward(self, x: Any, t: np.ndarray, labels: np.ndarray | None = None) -> Any:
        heights = 2 ** (len(self.config.multipliers) - 1)
        if x.ndim != 4 or np.shape(t) != x.shape[:1]:
            raise ValueError(f"pictures are (B, C, H, W) and times (B,), not of shapes {x.shape} and {np.shape(t)}")
        if x.shape[2] % heights or x.shape[3] % heights:
            raise ValueError(
                f"pictures of {x.shape[2]} x {x.shape[3]} cannot be halved to {heights} x {heights} blocks"
            )
        time = self.time_mlp(time_embedding(t, self.config.base))  # (B, 4 base)
        if self.class_embedding is not None:
            none = np.full(len(t), self.config.classes)
            time = time + self.class_embedding(none if labels is None else labels)
        time = kernels.silu(time)

        h = self.conv_in(x)
        skips = [h]
        for part in self.down:
            h = part(h, time)
            skips.append(h)
        for part in self.middle:
            h = part(h, time)
        for part in self.up:
            h = part(h if isinstance(part, Upsample) else np.concatenate([h, skips.pop()], axis=1), time)
        return self.conv_out(self.norm_out(h, activation="silu"))


def silent(layer: Any) -> Any:
    """A layer that says 0 at the start, so that each residual branch begins as the identity."""
    layer.weight.data[...] = 0
    layer.bias.data[...] = 0
    return layer
