"""Training pix2pix to draw digits from their outlines or skeletons.

Deviations from the paper, on purpose: those of the other GANs here, instance noise and a moving
average of G's weights. With `training.lambda_adv=0` it is a plain network trained by L1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np

from ...config import Steps
from ...generative.gan import generator_loss
from ...generative.pix2pix import PatchDiscriminator, Pix2PixConfig, Pix2PixGenerator
from .gan import AdversarialTraining
from .translation import OutlineSettings, OutlineTranslation, Translation, channels_first


@dataclass(frozen=True)
class Pix2PixTraining(AdversarialTraining):
    """How pix2pix is trained."""

    steps: Steps = 3000
    batch_size: Annotated[int, 2, 10**6] = 64
    generator_lr: float = 5e-4
    lambda_l1: float = 5.0  # weight of the mean absolute difference
    lambda_adv: float = 1.0  # weight of the discriminator's verdict; 0: a plain network of L1


@dataclass(frozen=True)
class Pix2PixSettings(OutlineSettings):
    """The networks of pix2pix, their training, and what images are drawn from."""

    model: Pix2PixConfig = field(default_factory=Pix2PixConfig)
    training: Pix2PixTraining = field(default_factory=Pix2PixTraining)


PRESETS = {
    "tiny": Pix2PixSettings(
        Pix2PixConfig(generator_channels=(8, 8), discriminator_channels=(8,)),
        Pix2PixTraining(steps=200, batch_size=8),
    ),
    "digits": Pix2PixSettings(),
    "mnist": Pix2PixSettings(
        Pix2PixConfig(image_size=(28, 28), generator_channels=(16, 32, 64)),
        Pix2PixTraining(steps=4000, batch_size=32, ema_decay=0.998),
    ),
}


class PairedTranslation(Translation):
    """A task of pix2pix: each x comes with its y."""

    plots: ClassVar = {
        "losses": ("generator loss", "discriminator loss"),
        "L1": ("L1",),
        "accuracy": ("accuracy on real", "accuracy on fake"),
    }

    def __init__(
        self, settings: Any, pairs: tuple[np.ndarray, ...] | None, *, rng: np.random.Generator
    ) -> None:
        model = settings.model
        generator = Pix2PixGenerator(model, rng=rng)
        channels = model.num_channels + model.condition_channels
        discriminator = PatchDiscriminator(channels, model, rng=rng)
        super().__init__(generator, discriminator, settings, pairs, rng=rng)

    def generator_objective(
        self, logits: Any, real: np.ndarray, fake: Any
    ) -> tuple[Any, dict[str, float]]:
        config = self.settings.training
        adversarial = generator_loss(logits, self.settings.model.loss)
        distance = np.abs(fake - real).mean()
        loss = config.lambda_adv * adversarial + config.lambda_l1 * distance
        return loss, {"generator loss": adversarial.item(), "L1": distance.item()}


class Pix2PixTask(PairedTranslation, OutlineTranslation):
    """The training of pix2pix. `sample` translates what the last batch was drawn from."""

    presets = PRESETS
    title = "pix2pix"

    settings: Pix2PixSettings

    def __init__(
        self, settings: Pix2PixSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        pairs = None if training is None else (training.images,)
        super().__init__(settings, pairs, rng=rng)

    def next_batch(self) -> tuple[np.ndarray, ...]:
        """Images (B, C, H, W) and what they are drawn from, (B, 1, H, W)."""
        (images,) = next(self.batches)
        self.conditions.arrays["x"] = self.drawn_from(images)
        return channels_first(images), self.conditions.arrays["x"]
