"""Unpaired image-to-image translation, CycleGAN (Zhu et al. 2017, arXiv 1703.10593).

    L_cyc = E |F(G(x)) - x|_1 + E |G(F(y)) - y|_1                               (equation 2)
    L = L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda L_cyc                            (equation 3)

The generator G turns images of a kind x, say outlines, into images of a kind y, say digits; F turns
them back. No x comes with its y: the discriminators D_X and D_Y, each of patches, see only whether
an image is one of its kind. What comes out has to do with what went in because it must lead back
there. The losses of the discriminators are least squares (section 4), those of `gan`.

Here x and y stand side by side, as the channels of one array. So the two generators are one network
(x, y) -> (F(y), G(x)), which twice applied should change nothing, and the two discriminators one
that has the logits of both.

Deviation, on purpose: the generators are the U-Nets of `pix2pix`, not residual networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.typing import Array

from ..pretrained import Pretrained
from .pix2pix import LOSSES, PatchDiscriminator, TranslationConfig, UNetGenerator


@dataclass(frozen=True)
class CycleGANConfig(TranslationConfig):
    """What makes the four networks of CycleGAN."""

    model_type: ClassVar = "cyclegan"

    loss: Annotated[str, *LOSSES] = "least-squares"  # or non-saturating, minimax


class CycleGenerators(Pretrained):
    """Images x beside y -> F(y) beside G(x), in [0, 1]: (B, C' + C, H, W) -> the same."""

    config_class = CycleGANConfig

    def __init__(self, config: CycleGANConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        x, y = config.condition_channels, config.num_channels
        self.G = UNetGenerator(x, y, config, rng=rng)
        self.F = UNetGenerator(y, x, config, rng=rng)

    def forward(self, pair: Array) -> Any:
        x, y = halves(pair, self.config)
        return np.concatenate([self.F(y), self.G(x)], axis=1)

    def translate(self, x: np.ndarray, *, rng: np.random.Generator | None = None) -> np.ndarray:
        """G(x), (n, C', H, W) -> (n, C, H, W). Nothing is random in it."""
        with tg.no_grad():
            y: np.ndarray = self.G(tg.Tensor(x)).numpy()
        return y


class CycleDiscriminators(nn.Module):
    """Images x beside y -> the logits of D_X beside those of D_Y, (B, 2, h, w)."""

    def __init__(self, config: CycleGANConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        self.D_X = PatchDiscriminator(config.condition_channels, config, rng=rng)
        self.D_Y = PatchDiscriminator(config.num_channels, config, rng=rng)

    def forward(self, pair: Array) -> Any:
        x, y = halves(pair, self.config)
        return np.stack([self.D_X(x), self.D_Y(y)], axis=1)


def halves(pair: Array, config: CycleGANConfig) -> tuple[Array, Array]:
    """The x and the y of images that stand side by side."""
    channels = config.condition_channels
    return pair[:, :channels], pair[:, channels:]


def cycle_loss(there_and_back: Array, pair: Array, config: CycleGANConfig) -> Any:
    """L_cyc / 2, equation 2, from F(G(x)) beside G(F(y)), and x beside y."""
    x, y = halves(pair, config)
    x_again, y_again = halves(there_and_back, config)
    return (np.abs(x_again - x).mean() + np.abs(y_again - y).mean()) / 2
