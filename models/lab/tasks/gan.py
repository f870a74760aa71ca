"""Training a GAN: the discriminator and the generator take turns.

Deviations from the paper, on purpose: an exponential moving average of G's weights draws the samples, and both networks
see noise of a falling size on their pictures (instance noise, Sonderby et al. 2017).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import data, optim, parallel

from ...generative.gan import (
    LOSSES,
    Discriminator,
    GANConfig,
    Generator,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
)
from .images import ImageGenerator

PRESETS = {
    "tiny": GANConfig(noise=4, generator=(8,), discriminator=(8,), steps=200, batch=16),
    "digits": GANConfig(),
    "mnist": GANConfig(
        (28, 28), 64, (256, 512), (512, 256), steps=20_000, generator_rate=4e-4, discriminator_rate=4e-4
    ),
}


class GANTask(ImageGenerator):
    """Generator and discriminator with their optimisers."""

    presets = PRESETS
    title = "GAN"
    plots: ClassVar = {
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
        real, noise = team.shard(real), team.shard(self.generator.draw_noise(len(real), rng))  # (B, pixels), (B, noise)
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

    def sample(self, n: int, *, rng: np.random.Generator) -> np.ndarray:
        """n pictures in [0, 1] from the averaged generator: (n, *shape)."""
        with self.average.applied() as generator:
            generator.eval()
            drawn: np.ndarray = generator.sample(n, rng=rng)
            generator.train()
        return drawn
