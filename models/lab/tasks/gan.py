"""Training a GAN: the discriminator and the generator take turns.

Deviations from the paper, on purpose: an exponential moving average of G's weights draws the
samples, and both networks see noise of a falling size on their images (instance noise, Sonderby
et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import data, optim, parallel

from ...config import Config, Fraction, Steps
from ...generative.gan import (
    Discriminator,
    GANConfig,
    Generator,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
)
from .images import ImageGenerator, ImageSettings


@dataclass(frozen=True)
class GANTraining(Config):
    """How the two networks of a GAN are trained: by Adam, with constant learning rates."""

    steps: Steps = 6000  # updates of each network
    batch_size: Annotated[int, 2, inf] = 128  # images of an update
    generator_lr: float = 1e-3  # Adam's learning rate
    discriminator_lr: float = 1e-3  # Adam's learning rate
    betas: Annotated[tuple[float, float], 0, 0.999_999] = (0.5, 0.99)  # Adam's
    ema_decay: Fraction = 0.995  # of the moving average of G's weights
    instance_noise: float = 0.2  # standard deviation at the start; falls to 0 over the run
    gradient_penalty: float = 10.0  # lambda of wgan-gp


@dataclass(frozen=True)
class GANSettings(ImageSettings):
    """A GAN and its training."""

    model: GANConfig = field(default_factory=GANConfig)
    training: GANTraining = field(default_factory=GANTraining)

    @property
    def unused(self) -> tuple[str, ...]:
        return () if self.model.loss == "wgan-gp" else ("training.gradient_penalty",)


PRESETS = {
    "tiny": GANSettings(
        GANConfig(latent_dim=4, generator_sizes=(8,), discriminator_sizes=(8,)),
        GANTraining(steps=200, batch_size=16),
    ),
    "digits": GANSettings(),
    "mnist": GANSettings(
        GANConfig(
            image_size=(28, 28),
            latent_dim=64,
            generator_sizes=(256, 512),
            discriminator_sizes=(512, 256),
        ),
        GANTraining(steps=20_000, generator_lr=4e-4, discriminator_lr=4e-4),
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

    settings: GANSettings

    def __init__(self, settings: GANSettings, training: Any, *, rng: np.random.Generator) -> None:
        self.settings, self.rng = settings, rng
        config = settings.training
        self.generator = Generator(settings.model, rng=rng)
        self.discriminator = Discriminator(settings.model, rng=rng)
        self.generator_optimizer = optim.Adam(
            self.generator.parameters(), config.generator_lr, config.betas
        )
        self.discriminator_optimizer = optim.Adam(
            self.discriminator.parameters(), config.discriminator_lr, config.betas
        )
        self.ema = optim.ExponentialMovingAverage(self.generator, config.ema_decay)
        if training is not None:
            pixels = training.images.reshape(len(training.images), -1)  # (N, P)
            self.batches = data.batches(pixels, min(config.batch_size, len(pixels)), rng=rng)
        self.parts = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            "ema": self.ema,
        }

    def step(self, step: int) -> dict[str, float]:
        """One update of the discriminator, then one of the generator; what the log shows."""
        team = parallel.team()
        real = next(self.batches)
        z = team.shard(self.generator.draw_latents(len(real), self.rng))  # (B, Z)
        real = team.shard(real)  # (B, P)
        noise = self.noise_level(step)
        fake = self.generator(tg.Tensor(z))  # (B, P)
        metrics = self.discriminator_step(real, fake.numpy(), noise)
        return metrics | self.generator_step(fake, noise)

    def noise_level(self, step: int) -> float:
        """The standard deviation of the instance noise, which the critic does without."""
        config = self.settings.training
        if self.settings.model.loss == "wgan-gp":
            return 0.0
        return config.instance_noise * max(0.0, 1 - step / config.steps)

    def blur(self, images: Any, noise: float) -> Any:
        """Images with instance noise, (B, P)."""
        drawn = parallel.team().draw(self.rng.standard_normal, images.shape, dtype=np.float32)
        return images + noise * drawn

    def discriminator_step(
        self, real: np.ndarray, fake: np.ndarray, noise: float
    ) -> dict[str, float]:
        """Learn to tell real images from fake ones, which are detached."""
        model, config = self.settings.model, self.settings.training
        blurred_real, blurred_fake = self.blur(real, noise), self.blur(fake, noise)
        real_logits = self.discriminator(tg.Tensor(blurred_real))
        fake_logits = self.discriminator(tg.Tensor(blurred_fake))
        loss = discriminator_loss(real_logits, fake_logits, model.loss)
        if model.loss == "wgan-gp":
            penalty = gradient_penalty(self.discriminator, real, fake, rng=self.rng)
            loss = loss + config.gradient_penalty * penalty
        self.discriminator_optimizer.zero_grad()
        loss.backward()
        self.discriminator_optimizer.step()
        return {
            "discriminator loss": loss.item(),
            "accuracy on real": float(np.mean(real_logits.numpy() > 0)),
            "accuracy on fake": float(np.mean(fake_logits.numpy() <= 0)),
        }

    def generator_step(self, fake: tg.Tensor, noise: float) -> dict[str, float]:
        """Learn to make the discriminator, which stays, take fake images for real ones."""
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(self.blur(fake, noise))
        loss = generator_loss(logits, self.settings.model.loss)
        self.discriminator.requires_grad_(True)
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()
        self.ema.update()
        return {"generator loss": loss.item()}

    def sample(self, n: int, *, rng: np.random.Generator) -> np.ndarray:
        """n images in [0, 1] by the averaged weights of the generator: (n, H, W[, C])."""
        with self.ema.applied() as generator:
            generator.eval()
            images: np.ndarray = generator.sample(n, rng=rng)
            generator.train()
        return images
