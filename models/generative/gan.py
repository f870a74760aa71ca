"""A generative adversarial network (Goodfellow et al. 2014) of dense layers.

    min_G max_D  E_x log D(x) + E_z log(1 - D(G(z)))                                              (equation 1)

The generator G turns noise z ~ N(0, 1) into pictures; the discriminator D gives the logit of "this picture is real".
D learns real -> 1, fake -> 0 and sees the fakes detached; G is pushed to fake -> 1 *through* the discriminator.

Losses of G: non-saturating -log D(G(z)) (section 3, the default), minimax log(1 - D(G(z))), or, as "wgan-gp", the
critic of Gulrajani et al. 2017: E D(fake) - E D(real) + lambda E (|grad D(x_hat)| - 1)^2, which needs second derivatives.

Deviations, on purpose: an exponential moving average of G's weights draws the samples; both networks see noise of a
falling size on their pictures (instance noise, Sonderby et al. 2017); and D's last hidden layer is followed by the
standard deviation over the batch (Karras et al. 2018, section 3), against a generator that draws one digit only. The
batch is that of all ranks (`tinygrad_cv.parallel`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import data, kernels, nn, optim, parallel

from ..lab.task import PictureGenerator, Share


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
    average: Share = 0.995  # decay of the moving average of G's weights
    instance_noise: float = 0.2  # standard deviation at the start; falls to 0 over the run
    penalty: float = 10.0  # lambda of wgan-gp


PRESETS = {
    "tiny": GANConfig(noise=4, generator=(8,), discriminator=(8,), steps=200, batch=16),
    "digits": GANConfig(),
    "mnist": GANConfig(
        (28, 28), 64, (256, 512), (512, 256), steps=20_000, generator_rate=4e-4, discriminator_rate=4e-4
    ),
}
LOSSES = ("non-saturating", "minimax", "wgan-gp")


class Generator(nn.Module):
    """Blocks Linear -> BatchNorm -> ReLU from noise, then Linear -> Sigmoid: (B, noise) -> (B, pixels)."""

    def __init__(self, config: GANConfig, *, rng: np.random.Generator) -> None:
        layers: list[nn.Module] = []
        width = config.noise
        for size in config.generator:
            layers += [nn.Linear(width, size, rng=rng), nn.BatchNorm1d(size), nn.ReLU()]
            width = size
        layers += [nn.Linear(width, int(np.prod(config.shape)), rng=rng), nn.Sigmoid()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Any) -> Any:
        return self.layers(z)


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


class GAN(PictureGenerator):
    """Generator and discriminator with their optimisers: the task that `models.lab.train` carries out step by step."""

    presets = PRESETS
    title = "GAN"
    figures: ClassVar = {
        "losses": ("generator loss", "discriminator loss"),
        "accuracy": ("accuracy on real", "accuracy on fake"),
    }

    def __init__(self, config: GANConfig, training: Any, *, rng: np.random.Generator) -> None:
        if config.loss not in LOSSES:
            raise ValueError(f"no loss is called {config.loss!r}; there are {', '.join(LOSSES)}")
        self.config, self.rng = config, rng
        self.generator = Generator(config, rng=rng)
        self.discriminator = Discriminator(config, rng=rng)
        self.generator_optimizer = optim.Adam(self.generator.parameters(), config.generator_rate, config.betas)
        self.discriminator_optimizer = optim.Adam(
            self.discriminator.parameters(), config.discriminator_rate, config.betas
        )
        self.average = optim.ExponentialMovingAverage(self.generator, config.average)
        if training is not None:
            pictures = training.images.reshape(len(training.images), -1)  # (N, pixels)
            self.batches = data.batches(pictures, min(config.batch, len(pictures)), rng=rng)
        self.parts = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            "average": self.average,
        }

    def step(self, step: int) -> dict[str, float]:
        """One update of the discriminator, then one of the generator; what the log shows of them."""
        config, rng, team = self.config, self.rng, parallel.team()
        real = next(self.batches)
        real, noise = team.shard(real), team.shard(self.draw_noise(len(real), rng))  # (B, pixels), (B, noise)
        blurred = config.instance_noise * max(0.0, 1 - step / config.steps) * (config.loss != "wgan-gp")

        def blur(x: Any) -> Any:
            return x + blurred * team.draw(rng.standard_normal, x.shape, dtype=np.float32)

        fake = self.generator(tg.Tensor(noise))  # (B, pixels)

        shown_real, shown_fake = blur(real), blur(fake.numpy())
        real_logits, fake_logits = self.discriminator(tg.Tensor(shown_real)), self.discriminator(tg.Tensor(shown_fake))
        loss = discriminator_loss(real_logits, fake_logits, config.loss)
        if config.loss == "wgan-gp":
            loss = loss + config.penalty * gradient_penalty(self.discriminator, real, fake.numpy(), rng=rng)
        self.discriminator_optimizer.zero_grad()
        loss.backward()
        self.discriminator_optimizer.step()

        self.discriminator.requires_grad_(False)
        pushed = generator_loss(self.discriminator(blur(fake)), config.loss)
        self.discriminator.requires_grad_(True)
        self.generator_optimizer.zero_grad()
        pushed.backward()
        self.generator_optimizer.step()
        self.average.update()
        return {
            "discriminator loss": loss.item(),
            "generator loss": pushed.item(),
            "accuracy on real": float(np.mean(real_logits.numpy() > 0)),
            "accuracy on fake": float(np.mean(fake_logits.numpy() <= 0)),
        }

    def draw_noise(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_normal((n, self.config.noise), dtype=np.float32)

    def sample(self, n: int, *, rng: np.random.Generator) -> np.ndarray:
        """n pictures in [0, 1] from the averaged generator: (n, *shape)."""
        return np.concatenate([*self._drawn(n, rng)]) if n else np.zeros((0, *self.config.shape), np.float32)

    def _drawn(self, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        with tg.no_grad(), self.average.applied() as generator:
            generator.eval()
            for start in range(0, n, 1000):
                pixels = generator(tg.Tensor(self.draw_noise(min(1000, n - start), rng))).numpy()
                yield pixels.reshape(-1, *self.config.shape)  # (B, H, W)
            generator.train()
