"""A generative adversarial network (Goodfellow et al. 2014, arXiv 1406.2661) of dense layers.

    min_G max_D  E_x log D(x) + E_z log(1 - D(G(z)))                            (equation 1)

The generator G turns noise z ~ N(0, 1) into images; the discriminator D gives the logit of "this
image is real". D learns real -> 1, fake -> 0 and sees the fakes detached; G learns fake -> 1
*through* the discriminator.

Losses of G: non-saturating -log D(G(z)) (section 3, the default), minimax log(1 - D(G(z))), or, as
"wgan-gp", the critic of Gulrajani et al. 2017 (arXiv 1704.00028), which needs second derivatives:

    L_D = E D(fake) - E D(real) + lambda E (|grad D(x_hat)| - 1)^2              (equation 3)

"hinge" (Lim & Ye 2017, arXiv 1705.02894) stops where D is sure enough, and G raises D(fake):

    L_D = E max(0, 1 - D(real)) + E max(0, 1 + D(fake)),    L_G = -E D(fake)

"least-squares" (Mao et al. 2017, arXiv 1611.04076, equation 9) takes verdicts D = (1 + logit) / 2:

    L_D = E (D(real) - 1)^2 + E D(fake)^2,  L_G = E (D(fake) - 1)^2

Deviation, on purpose: D's last hidden layer is followed by the standard deviation over the batch
(Karras et al. 2018, section 3), against a generator that draws one digit only. The batch is that of
all ranks (`tinygrad_cv.parallel`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, parallel
from tinygrad_cv.typing import Array

from ..config import ImageConfig
from ..pretrained import Pretrained

LOSSES = ("non-saturating", "minimax", "wgan-gp", "hinge", "least-squares")
SAMPLING_BATCH = 1000  # so many images are drawn at a time


@dataclass(frozen=True)
class GANConfig(ImageConfig):
    """What makes a GAN: its images, the widths of its layers, its loss."""

    model_type: ClassVar = "gan"

    latent_dim: int = 32  # of z
    generator_sizes: tuple[int, ...] = (256, 256)  # of the hidden layers
    discriminator_sizes: tuple[int, ...] = (256, 128)  # of the hidden layers
    loss: Annotated[str, *LOSSES] = "non-saturating"  # or minimax, wgan-gp, hinge, least-squares

    @property
    def pixels(self) -> int:
        """How many numbers an image has."""
        return int(np.prod(self.image_shape))


class Generator(Pretrained):
    """Blocks Linear -> BatchNorm -> ReLU from noise, then Linear -> Sigmoid: (B, Z) -> (B, P).

    Z is the number of latent dimensions, P that of pixels, whose values are in [0, 1].
    """

    config_class = GANConfig

    def __init__(self, config: GANConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        layers: list[nn.Module] = []
        width = config.latent_dim
        for size in config.generator_sizes:
            layers += [
                nn.Linear(width, size, rng=rng),
                nn.BatchNorm1d(size),
                nn.ReLU(),
            ]
            width = size
        layers += [
            nn.Linear(width, config.pixels, rng=rng),
            nn.Sigmoid(),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Array) -> Any:
        return self.layers(z)

    def draw_latents(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """z ~ N(0, 1), (n, Z)."""
        shape = n, self.config.latent_dim
        return rng.standard_normal(shape, dtype=np.float32)

    def sample(self, n: int, *, rng: np.random.Generator) -> np.ndarray:
        """n images in [0, 1]: (n, H, W[, C])."""
        shape = self.config.image_shape
        none = np.zeros((0, *shape), np.float32)
        images = [none]
        with tg.no_grad():
            for start in range(0, n, SAMPLING_BATCH):
                count = min(SAMPLING_BATCH, n - start)
                z = self.draw_latents(count, rng)
                pixels = self(tg.Tensor(z)).numpy()  # (B, P)
                images.append(pixels.reshape(-1, *shape))  # (B, H, W[, C])
        return np.concatenate(images)


class Discriminator(nn.Module):
    """Blocks Linear -> LeakyReLU(0.2), then Linear to one logit: (B, P) -> (B,)."""

    def __init__(self, config: GANConfig, *, rng: np.random.Generator) -> None:
        if config.loss not in LOSSES:
            known = ", ".join(LOSSES)
            raise ValueError(f"no loss is called {config.loss!r}; there are {known}")
        layers: list[nn.Module] = []
        width = config.pixels
        for size in config.discriminator_sizes:
            layers += [
                nn.Linear(width, size, rng=rng),
                nn.LeakyReLU(0.2),
            ]
            width = size
        self.layers = nn.Sequential(*layers)
        # The gradient penalty is of each image alone: there, no statistics of the batch.
        self.minibatch_stddev = config.loss != "wgan-gp"
        self.head = nn.Linear(width + self.minibatch_stddev, 1, rng=rng)

    def forward(self, x: Array) -> Any:
        h = self.layers(x)  # (B, D)
        if self.minibatch_stddev:
            stddev = np.broadcast_to(mean_stddev(h), (len(h), 1))
            h = np.concatenate([h, stddev], axis=1)  # (B, D + 1)
        return self.head(h)[:, 0]


def mean_stddev(h: Any) -> Any:
    """The standard deviation of each feature over the batch, and their mean: (B, D) -> ()."""
    mean = parallel.average(np.mean(h, axis=0))  # (D,)
    squares = np.square(h - mean)
    variance = parallel.average(np.mean(squares, axis=0))
    return np.sqrt(variance + 1e-6).mean()


def discriminator_loss(real: Any, fake: Any, loss: str) -> Any:
    """From the logits (B,) of real and of (detached) fake images."""
    if loss == "wgan-gp":
        return fake.mean() - real.mean()
    if loss == "hinge":
        return kernels.relu(1 - real).mean() + kernels.relu(1 + fake).mean()
    if loss == "least-squares":
        return squared_distance(real, 1.0) + squared_distance(fake, -1.0)
    return kernels.bce_with_logits(real, 1.0) + kernels.bce_with_logits(fake, 0.0)


def squared_distance(logits: Any, sign: float) -> Any:
    """The mean squared distance of verdicts (1 + logit) / 2 from 1, or from 0 if the sign is -1."""
    return np.square((logits - sign) / 2).mean()


def generator_loss(fake: Any, loss: str) -> Any:
    """From the logits (B,) that the discriminator gives to fake images."""
    if loss in ("wgan-gp", "hinge"):
        return -fake.mean()
    if loss == "least-squares":
        return squared_distance(fake, 1.0)
    if loss == "minimax":
        return -kernels.bce_with_logits(fake, 0.0)
    return kernels.bce_with_logits(fake, 1.0)


def gradient_penalty(
    discriminator: Callable[[Array], Any],
    real: np.ndarray,
    fake: np.ndarray,
    *,
    rng: np.random.Generator,
) -> Any:
    """E (|grad D(x_hat)| - 1)^2 at points x_hat between real and fake images (B, P)."""
    team, shape = parallel.team(), (len(real), 1)
    share = team.draw(rng.random, shape, dtype=np.float32)
    x_hat = tg.Tensor(share * real + (1 - share) * fake)
    slopes = tg.grad(lambda x: discriminator(x).sum())(x_hat)  # (B, P)
    norms = np.linalg.norm(slopes, axis=1)  # (B,)
    return np.square(norms - 1).mean()
