"""The UNet of `models/generative/unet.py` in PyTorch.

The same layers under the same names, so that a state_dict fits both.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from models.generative.unet import UNetConfig


def time_embedding(t: Any, embed_dim: int) -> Any:
    """(B,) -> (B, embed_dim), float32."""
    half = embed_dim // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float64) / half)
    angles = t[:, None] * frequencies
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1).to(torch.float32)


class TimedSequential(nn.ModuleList):  # type: ignore[misc]
    """Modules one after the other. Residual blocks take the time embedding."""

    def forward(self, x: Any, time: Any) -> Any:
        for layer in self:
            x = layer(x, time) if isinstance(layer, ResidualBlock) else layer(x)
        return x


class ResidualBlock(nn.Module):  # type: ignore[misc]
    def __init__(
        self, in_channels: int, out_channels: int, time_dim: int, config: UNetConfig
    ) -> None:
        super().__init__()
        self.norm1 = group_norm(in_channels, config)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time = nn.Linear(time_dim, out_channels)
        self.norm2 = group_norm(out_channels, config)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Any, time: Any) -> Any:
        h = self.conv1(F.silu(self.norm1(x))) + self.time(time)[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return h + (x if self.shortcut is None else self.shortcut(x))


class Attention(nn.Module):  # type: ignore[misc]
    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * embed_dim))
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: Any) -> Any:
        b, length, d = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias).view(
            b, length, 3, self.num_heads, -1
        )
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, L, D / heads)
        heads = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(heads.transpose(1, 2).reshape(b, length, d))


class PixelAttention(nn.Module):  # type: ignore[misc]
    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.norm = group_norm(channels, config)
        self.attention = Attention(channels, config.num_heads)

    def forward(self, x: Any) -> Any:
        pixels = self.norm(x).flatten(2).transpose(1, 2)  # (B, H W, C)
        return x + self.attention(pixels).transpose(1, 2).reshape(x.shape)


class Downsample(nn.Module):  # type: ignore[misc]
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Any) -> Any:
        return self.conv(x)


class Upsample(nn.Module):  # type: ignore[misc]
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Any) -> Any:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class UNet(nn.Module):  # type: ignore[misc]
    """Noisy images (B, C, H, W), timesteps (B,) and classes (B,) -> a prediction (B, C, H, W)."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        base, time_dim = config.base_channels, 4 * config.base_channels
        widths = [base * multiplier for multiplier in config.channel_multipliers]
        self.time_mlp = nn.Sequential(
            nn.Linear(base, time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim)
        )
        self.class_embedding = None
        if config.num_classes:
            self.class_embedding = nn.Embedding(config.num_classes + 1, time_dim)
        self.conv_in = nn.Conv2d(config.in_channels, base, 3, padding=1)

        def stage(in_channels: int, level: int) -> TimedSequential:
            width = widths[level]
            block = TimedSequential([ResidualBlock(in_channels, width, time_dim, config)])
            if level in config.attention_levels:
                block.append(PixelAttention(width, config))
            return block

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips = [base]
        for level, width in enumerate(widths):
            for _ in range(config.num_res_blocks):
                self.down.append(stage(skips[-1], level))
                skips.append(width)
            if level < len(widths) - 1:
                self.down.append(TimedSequential([Downsample(width)]))
                skips.append(width)
        channels = widths[-1]
        middle = [ResidualBlock(channels, channels, time_dim, config) for _ in range(2)]
        attention = PixelAttention(channels, config)
        self.middle = TimedSequential([middle[0], attention, middle[1]])
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(config.num_res_blocks + 1):
                self.up.append(stage(channels + skips.pop(), level))
                channels = width
            if level > 0:
                self.up[-1].append(Upsample(width))
        self.norm_out = group_norm(channels, config)
        self.conv_out = nn.Conv2d(channels, config.in_channels, 3, padding=1)

    def forward(self, x: Any, t: Any, labels: Any = None) -> Any:
        embedding = time_embedding(t, self.config.base_channels)
        time = self.time_mlp(embedding.to(self.conv_in.weight.dtype))  # (B, T)
        if self.class_embedding is not None:
            none = torch.full((len(t),), self.config.num_classes)
            time = time + self.class_embedding(none if labels is None else labels)
        time = F.silu(time)
        h = self.conv_in(x)
        skips = [h]
        for block in self.down:
            h = block(h, time)
            skips.append(h)
        h = self.middle(h, time)
        for block in self.up:
            h = block(torch.cat([h, skips.pop()], dim=1), time)
        return self.conv_out(F.silu(self.norm_out(h)))


def group_norm(channels: int, config: UNetConfig) -> Any:
    return nn.GroupNorm(min(config.num_groups, channels), channels)
