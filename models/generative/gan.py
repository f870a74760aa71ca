"""A generative adversarial network (Goodfellow et al. 2014) of dense layers.

    min_G max_D  E_x log D(x) + E_z log(1 - D(G(z)))                                              (equation 1)

The generator G turns noise z ~ N(0, 1) into pictures; the discriminator D gives the logit of "this picture is real".
D learns real -> 1, fake -> 0 and sees the fakes detached; G is pushed to fake -> 1 *through* the discriminator.

Losses of G: non-saturating -log D(G(z)) (section 3, the default), minimax log(1 - D(G(z))), or, as "wgan-gp", the
critic of Gulrajani et al. 2017: E D(fake) - E D(real) + lambda E (|grad D(x_hat)| - 1)^2, which needs second derivatives.

Deviation, on purpose: D's last hidden layer is followed by the standard deviation over the batch (Karras et al. 2018,
section 3), against a generator that draws one digit only. The batch is that of all ranks (`tinygrad_cv.parallel`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, parallel

from ..config import Fraction


@dataclass(frozen=True)
class GANConfig:
    """What makes a GAN: sizes, loss, optimisation."""

    shape: tuple[int, ...] = (8, 8)  # of a picture
    noise: int = 32
    generator: tuple[int, ...] = (256, 256)
    discriminator: tuple[int, ...] = (256, 128)
    loss: str = "non-saturating"  # or minimax, wgan-gp
    steps: int = 6000
    batch: int = 128
    generator_rate: float = 1e-3
    discriminator_rate: float = 1e-3
    betas: Annotated[tuple[float, float], 0, 1] = (0.5, 0.99)
    average: Fraction = 0.995  # decay of the moving average of G's weights
    instance_noise: float = 0.2  # standard deviation at the start; falls to 0 over the run
    penalty: float = 10.0  # lambda of wgan-gp


LOSSES = ("non-saturating", "minimax", "wgan-gp")


class Generator(nn.Module):
    """Blocks Linear -> BatchNorm -> ReLU from noise, then Linear -> Sigmoid: (B, noise) -> (B, pixels)."""

    def __init__(self, config: GANConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        layers: list[nn.Module] = []
        width = config.noise
        for size in config.generator:
            layers += [nn.Linear(width, size, rng=rng), nn.BatchNorm1d(size), nn.ReLU()]
            width = size
        layers += [nn.Linear(width, int(np.prod(config.shape)), rng=rng), nn.Sigmoid()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Any) -> Any:
        return self.layers(z)

    def draw_noise(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """z, (n, noise)."""
        return rng.standard_normal((n, self.config.noise), dtype=np.float32)

    def sample(self, n: int, *, rng: np.random.Generator) -> np.ndarray:
        """n pictures in [0, 1], a thousand at a time: (n, *shape)."""
        drawn = [np.zeros((0, *self.config.shape), np.float32)]
        with tg.no_grad():
            for start in range(0, n, 1000):
                pixels = self(tg.Tensor(self.draw_noise(min(1000, n - start), rng))).numpy()
                drawn.append(pixels.reshape(-1, *self.config.shape))  # (B, H, W)
        return np.concatenate(drawn)


class Discriminator(nn.Module):
    """Blocks Linear -> LeakyReLU(0.2), then Linear to one logit: (B, pixels) -> (B,)."""

    def __init__(self, config: GANConfig, *, rng: np.random.Generator) -> None:
        layers: list[nn.Module] = []
        width = int(np.prod(config.shape))
        for size in config.discriminator:
            layers += [nn.Linear(width, size, rng=rng), nn.LeakyReLU(0.2)]
            width = size
        self.layers = nn.Sequential(*layers)
        self.spread = config.loss != "wgan-gp"  # the gradient penalty is per picture: no statistics of the batch
        self.head = nn.Linear(width + self.spread, 1, rng=rng)

    def forward(self, x: Any) -> Any:
        h = self.layers(x)  # (B, width)
        if self.spread:
            centred = h - parallel.average(np.mean(h, axis=0))
            deviation = np.sqrt(parallel.average(np.mean(np.square(centred), axis=0)) + 1e-6).mean()
            h = np.concatenate([h, np.broadcast_to(deviation, (len(h), 1))], axis=1)
        return self.head(h)[:, 0]


def discriminator_loss(real: Any, fake: Any, loss: str) -> Any:
    """From the logits of real and (detached) fake pictures."""
    if loss == "wgan-gp":
        return fake.mean() - real.mean()
    return kernels.bce_with_logits(real, 1.0) + kernels.bce_with_logits(fake, 0.0)


def generator_loss(fake: Any, loss: str) -> Any:
    """From the logits that the discriminator gives to fake pictures."""
    if loss == "wgan-gp":
        return -fake.mean()
    return -kernels.bce_with_logits(fake, 0.0) if loss == "minimax" else kernels.bce_with_logits(fake, 1.0)


def gradient_penalty(discriminator: Any, real: Any, fake: Any, *, rng: np.random.Generator) -> Any:
    """E (|grad D(x_hat)| - 1)^2 at points x_hat between real and fake pictures (Gulrajani et al. 2017, equation 3)."""
    share = parallel.team().draw(rng.random, (len(real), 1), dtype=np.float32)
    between = tg.Tensor(share * real + (1 - share) * fake)
    slopes = tg.grad(lambda x: discriminator(x).sum())(between)  # (B, pixels)
    return np.square(np.linalg.norm(slopes, axis=1) - 1).mean()
