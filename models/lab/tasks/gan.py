"""Training a GAN: the discriminator and the generator take turns.

Deviations from the paper, on purpose: an exponential moving average of G's weights draws the
samples, and both networks see noise of a falling size on their images (instance noise, Sonderby
et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import data, nn, optim, parallel

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
class AdversarialTraining(Config):
    """How a generator and a discriminator are trained: by Adam, with constant learning rates."""

    steps: Steps = 6000  # updates of each network
    batch_size: Annotated[int, 2, inf] = 128  # images of an update
    generator_lr: float = 1e-3  # Adam's learning rate
    discriminator_lr: float = 1e-3  # Adam's learning rate
    betas: Annotated[tuple[float, float], 0, 0.999_999] = (0.5, 0.99)  # Adam's
    ema_decay: Fraction = 0.995  # of the moving average of G's weights
    instance_noise: float = 0.2  # standard deviation at the start; falls to 0 over the run


@dataclass(frozen=True)
class GANTraining(AdversarialTraining):
    """How the two networks of a GAN are trained."""

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


class AdversarialTask(ImageGenerator):
    """Generator and discriminator with their optimisers, which take turns.

    A batch is images, as the networks have them, and what they are conditioned on: nothing, or
    arrays that the discriminator takes besides.
    """

    plots: ClassVar = {
        "losses": ("generator loss", "discriminator loss"),
        "accuracy": ("accuracy on real", "accuracy on fake"),
    }

    settings: Any

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        settings: Any,
        pairs: tuple[np.ndarray, ...] | None,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.settings, self.rng = settings, rng
        config = settings.training
        self.generator, self.discriminator = generator, discriminator
        self.generator_optimizer = optim.Adam(
            self.generator.parameters(), config.generator_lr, config.betas
        )
        self.discriminator_optimizer = optim.Adam(
            self.discriminator.parameters(), config.discriminator_lr, config.betas
        )
        self.ema = optim.ExponentialMovingAverage(self.generator, config.ema_decay)
        if pairs is not None:
            self.batches = data.batches(pairs, min(config.batch_size, len(pairs[0])), rng=rng)
        self.parts = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            "ema": self.ema,
        }

    def fake(self, n: int, *condition: np.ndarray) -> Any:
        """This rank's share of n images by the generator, which are recorded."""
        z = parallel.team().shard(self.generator.draw_latents(n, self.rng))  # (B, Z)
        return self.generator(tg.Tensor(z), *condition)

    def next_batch(self) -> tuple[np.ndarray, ...]:
        """The next real images, and what they are conditioned on; the same on all ranks."""
        batch: tuple[np.ndarray, ...] = next(self.batches)
        return batch

    def step(self, step: int) -> dict[str, float]:
        """One update of the discriminator, then one of the generator; what the log shows."""
        batch = self.next_batch()
        real, *condition = map(parallel.team().shard, batch)
        noise = self.noise_level(step)
        fake = self.fake(len(batch[0]), *condition)
        metrics = self.discriminator_step(real, fake.numpy(), condition, noise)
        return metrics | self.generator_step(real, fake, condition, noise)

    def noise_level(self, step: int) -> float:
        """The standard deviation of the instance noise, which the critic does without."""
        config: GANTraining = self.settings.training
        if self.settings.model.loss == "wgan-gp":
            return 0.0
        return config.instance_noise * max(0.0, 1 - step / config.steps)

    def blur(self, images: Any, noise: float) -> Any:
        """Images with instance noise, of the same shape."""
        drawn = parallel.team().draw(self.rng.standard_normal, images.shape, dtype=np.float32)
        return images + noise * drawn

    def discriminator_step(
        self, real: np.ndarray, fake: np.ndarray, condition: Sequence[np.ndarray], noise: float
    ) -> dict[str, float]:
        """Learn to tell real images from fake ones, which are detached."""
        model, config = self.settings.model, self.settings.training
        blurred_real, blurred_fake = self.blur(real, noise), self.blur(fake, noise)
        real_logits = self.discriminator(tg.Tensor(blurred_real), *condition)
        fake_logits = self.discriminator(tg.Tensor(blurred_fake), *condition)
        loss = discriminator_loss(real_logits, fake_logits, model.loss)
        if model.loss == "wgan-gp":

            def critic(x: Any) -> Any:
                return self.discriminator(x, *condition)

            penalty = gradient_penalty(critic, real, fake, rng=self.rng)
            loss = loss + config.gradient_penalty * penalty
        self.discriminator_optimizer.zero_grad()
        loss.backward()
        self.discriminator_optimizer.step()
        return {
            "discriminator loss": loss.item(),
            "accuracy on real": float(np.mean(real_logits.numpy() > 0)),
            "accuracy on fake": float(np.mean(fake_logits.numpy() <= 0)),
        }

    def generator_step(
        self, real: np.ndarray, fake: Any, condition: Sequence[np.ndarray], noise: float
    ) -> dict[str, float]:
        """Learn to make the discriminator, which stays, take fake images for real ones."""
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(self.blur(fake, noise), *condition)
        loss, metrics = self.generator_objective(logits, real, fake)
        self.discriminator.requires_grad_(True)
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()
        self.ema.update()
        return metrics

    def generator_objective(
        self, logits: Any, real: np.ndarray, fake: Any
    ) -> tuple[Any, dict[str, float]]:
        """What the generator lowers, and what the log shows of it; the logits are of the fakes."""
        loss = generator_loss(logits, self.settings.model.loss)
        return loss, {"generator loss": loss.item()}

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> np.ndarray:
        """n images in [0, 1] by the averaged weights of the generator: (n, H, W[, C])."""
        with self.ema.applied() as generator:
            generator.eval()
            images: np.ndarray = generator.sample(n, rng=rng, **options)
            generator.train()
        return images


class GANTask(AdversarialTask):
    """The training of a GAN."""

    presets = PRESETS
    title = "GAN"

    settings: GANSettings

    def __init__(self, settings: GANSettings, training: Any, *, rng: np.random.Generator) -> None:
        generator = Generator(settings.model, rng=rng)
        discriminator = Discriminator(settings.model, rng=rng)
        pairs = None
        if training is not None:
            pairs = (training.images.reshape(len(training.images), -1),)  # (N, P)
        super().__init__(generator, discriminator, settings, pairs, rng=rng)
