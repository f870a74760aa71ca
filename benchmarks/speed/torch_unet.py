"""The UNet of `models/generative/unet.py` in PyTorch: the same layers under the same names, so that a state_dict fits both."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from models.generative.unet import UNetConfig


def time_embedding(t: Any, dimension: int) -> Any:
    """(B,) -> (B, dimension), float32."""
    frequencies = torch.exp(-math.log(10_000) * torch.arange(dimension // 2, dtype=torch.float64) / (dimension // 2))
    angles = t[:, None] * frequencies
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1).to(torch.float32)


class ResidualBlock(nn.Module):  # type: ignore[misc]
    def __init__(self, inputs: int, outputs: int, width: int, config: UNetConfig) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(min(config.groups, inputs), inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(width, outputs)
        self.norm2 = nn.GroupNorm(min(config.groups, outputs), outputs)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Any, time: Any) -> Any:
        h = self.conv1(F.silu(self.norm1(x))) + self.time(time)[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return h + (x if self.shortcut is None else self.shortcut(x))


class Attention(nn.Module):  # type: ignore[misc]
    def __init__(self, dimension: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dimension, dimension))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * dimension))
        self.out_proj = nn.Linear(dimension, dimension)

    def forward(self, x: Any) -> Any:
        b, length, d = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias).view(b, length, 3, self.heads, -1)
        heads = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4).unbind(0))  # (B, heads, L, D / heads)
        return self.out_proj(heads.transpose(1, 2).reshape(b, length, d))


class PixelAttention(nn.Module):  # type: ignore[misc]
    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(min(config.groups, channels), channels)
        self.attention = Attention(channels, config.heads)

    def forward(self, x: Any, time: Any) -> Any:
        pixels = self.norm(x).flatten(2).transpose(1, 2)  # (B, H W, C)
        return x + self.attention(pixels).transpose(1, 2).reshape(x.shape)


class Downsample(nn.Module):  # type: ignore[misc]
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Any, time: Any) -> Any:
        return self.conv(x)


class Upsample(nn.Module):  # type: ignore[misc]
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Any, time: Any) -> Any:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Stage(nn.Module):  # type: ignore[misc]
    def __init__(self, inputs: int, outputs: int, height: int, width: int, config: UNetConfig) -> None:
        super().__init__()
        self.block = ResidualBlock(inputs, outputs, width, config)
        self.attention = PixelAttention(outputs, config) if height in config.attention else None

    def forward(self, x: Any, time: Any) -> Any:
        x = self.block(x, time)
        return x if self.attention is None else self.attention(x, time)


class UNet(nn.Module):  # type: ignore[misc]
    """Noisy images (B, C, H, W), times (B,) and classes (B,) -> a prediction (B, C, H, W)."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config, width = config, 4 * config.base
        self.time_mlp = nn.Sequential(nn.Linear(config.base, width), nn.SiLU(), nn.Linear(width, width))
        self.class_embedding = nn.Embedding(config.classes + 1, width) if config.classes else None
        self.conv_in = nn.Conv2d(config.channels, config.base, 3, padding=1)
        heights = list(enumerate(config.multipliers))
        here, skips = config.base, [config.base]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for height, multiplier in heights:
            for _ in range(config.blocks):
                self.down.append(Stage(here, here := config.base * multiplier, height, width, config))
                skips.append(here)
            if height < len(heights) - 1:
                self.down.append(Downsample(here))
                skips.append(here)
        middle = [ResidualBlock(here, here, width, config) for _ in range(2)]
        self.middle = nn.ModuleList([middle[0], PixelAttention(here, config), middle[1]])
        for height, multiplier in reversed(heights):
            for _ in range(config.blocks + 1):
                self.up.append(Stage(here + skips.pop(), here := config.base * multiplier, height, width, config))
            if height:
                self.up.append(Upsample(here))
        self.norm_out = nn.GroupNorm(min(config.groups, here), here)
        self.conv_out = nn.Conv2d(here, config.channels, 3, padding=1)

    def forward(self, x: Any, t: Any, labels: Any = None) -> Any:
        time = self.time_mlp(time_embedding(t, self.config.base).to(self.conv_in.weight.dtype))  # (B, 4 base)
        if self.class_embedding is not None:
            none = torch.full((len(t),), self.config.classes)
            time = time + self.class_embedding(none if labels is None else labels)
        time = F.silu(time)
        h = self.conv_in(x)
        skips = [h]
        for part in self.down:
            h = part(h, time)
            skips.append(h)
        for part in self.middle:
            h = part(h, time)
        for part in self.up:
            h = part(h if isinstance(part, Upsample) else torch.cat([h, skips.pop()], dim=1), time)
        return self.conv_out(F.silu(self.norm_out(h)))
