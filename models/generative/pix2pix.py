"""Image-to-image translation, pix2pix (Isola et al. 2017, arXiv 1611.07004).

    G* = arg min_G max_D  L_cGAN(G, D) + lambda_L1 E |y - G(x, z)|_1            (equation 4)

The generator G turns an image x, say an outline, into another one: a U-Net, whose decoder also
sees the encoder's output at each resolution. The discriminator D sees x beside a real or a fake y,
and gives a logit to each patch (PatchGAN, section 3.2.2): L1 answers for the coarse of an image, D
for the fine. L1 alone gives the median of what is possible, which is blurred.

Deviations, on purpose: noise z is a vector that is added to the input as constant channels, where
the paper has dropout at test time; group norm instead of batch norm of one image; a first and a
last convolution at full resolution, since the images are small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn
from tinygrad_cv.typing import Array

from ..config import ImageConfig
from ..pretrained import Pretrained
from .unet import conv3x3

GROUP = 8  # channels of a group of group norm, at most
TRANSLATED = 250  # so many images are translated at a time


@dataclass(frozen=True)
class Pix2PixConfig(ImageConfig):
    """What makes the two networks of pix2pix."""

    model_type: ClassVar = "pix2pix"

    condition_channels: int = 1  # of x
    latent_dim: int = 4  # of z
    generator_channels: tuple[int, ...] = (32, 64, 64)  # full resolution, half, a quarter, ...
    discriminator_channels: tuple[int, ...] = (32, 64)  # half resolution, a quarter, ...
    loss: Annotated[str, "non-saturating", "minimax"] = "non-saturating"  # or minimax


def normalised(channels: int) -> nn.GroupNorm:
    """Group norm, of as large groups as divide the channels."""
    return nn.GroupNorm(channels // math.gcd(GROUP, channels), channels)


class Pix2PixGenerator(Pretrained):
    """Noise (B, Z) and images x (B, C', H, W) -> images y in [0, 1], (B, C, H, W)."""

    config_class = Pix2PixConfig

    def __init__(self, config: Pix2PixConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        widths = config.generator_channels
        if not widths:
            raise ValueError("generator_channels=(): there is at least one resolution")
        halvings = len(widths) - 1
        H, W = config.image_size
        if H % 2**halvings or W % 2**halvings:
            raise ValueError(f"images of {H} x {W} cannot be halved {halvings} times")
        self.conv_in = conv3x3(config.condition_channels + config.latent_dim, widths[0], rng=rng)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for wide, narrow in pairwise(widths):
            block = nn.Sequential(
                nn.Conv2d(wide, narrow, 4, 2, 1, rng=rng), normalised(narrow), nn.LeakyReLU(0.2)
            )
            self.down.append(block)
        width = widths[-1]
        for skip in reversed(widths[:-1]):
            block = nn.Sequential(
                nn.ConvTranspose2d(width, skip, 4, 2, 1, rng=rng), normalised(skip), nn.ReLU()
            )
            self.up.append(block)
            width = 2 * skip  # with the encoder's output at this resolution
        self.conv_out = conv3x3(width, config.num_channels, rng=rng)

    def forward(self, z: Array, x: np.ndarray) -> Any:
        B, _, H, W = x.shape
        planes = np.broadcast_to(z[:, :, None, None], (B, z.shape[1], H, W))
        h = self.conv_in(np.concatenate([tg.Tensor(x), planes], axis=1))
        h = kernels.leaky_relu(h, negative_slope=0.2)
        skips = []
        for block in self.down:
            skips.append(h)
            h = block(h)
        for block in self.up:
            h = np.concatenate([block(h), skips.pop()], axis=1)
        return kernels.sigmoid(self.conv_out(h))

    def draw_latents(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """z ~ N(0, 1), (n, Z)."""
        shape = n, self.config.latent_dim
        return rng.standard_normal(shape, dtype=np.float32)

    def translate(self, x: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """An image y in [0, 1] for each x: (n, C', H, W) -> (n, C, H, W)."""
        H, W = self.config.image_size
        images = [np.zeros((0, self.config.num_channels, H, W), np.float32)]
        with tg.no_grad():
            for start in range(0, len(x), TRANSLATED):
                some = x[start : start + TRANSLATED]
                z = self.draw_latents(len(some), rng)
                images.append(self(tg.Tensor(z), some).numpy())
        return np.concatenate(images)


class PatchDiscriminator(nn.Module):
    """Images y (B, C, H, W) beside x (B, C', H, W) -> a logit for each patch, (B, h, w)."""

    def __init__(self, config: Pix2PixConfig, *, rng: np.random.Generator) -> None:
        width = config.num_channels + config.condition_channels
        layers: list[nn.Module] = []
        for size in config.discriminator_channels:
            layers.append(nn.Conv2d(width, size, 4, 2, 1, rng=rng))
            if len(layers) > 1:
                layers.append(normalised(size))
            layers.append(nn.LeakyReLU(0.2))
            width = size
        layers.append(conv3x3(width, 1, rng=rng))
        self.layers = nn.Sequential(*layers)

    def forward(self, y: Array, x: np.ndarray) -> Any:
        pair = np.concatenate([y, tg.Tensor(x)], axis=1)
        return self.layers(pair)[:, 0]
