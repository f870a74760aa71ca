"""Training CycleGAN to draw digits from outlines or skeletons, without a pair of the two.

One half of the training images gives the outlines, the other half the digits.

Deviations from the paper, on purpose: those of the other GANs here, instance noise and a moving
average of the generators' weights; a constant learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np

from tinygrad_cv import parallel

from ...config import NonNegative, Steps
from ...generative.cyclegan import (
    CycleDiscriminators,
    CycleGANConfig,
    CycleGenerators,
    cycle_loss,
)
from ...generative.gan import generator_loss
from .gan import AdversarialTraining
from .translation import OutlineSettings, OutlineTranslation, channels_first


@dataclass(frozen=True)
class CycleGANTraining(AdversarialTraining):
    """How CycleGAN is trained."""

    steps: Steps = 3000
    batch_size: Annotated[int, 2, 10**6] = 32
    generator_lr: float = 5e-4
    lambda_cycle: float = 10.0  # weight of the way there and back
    pool_size: NonNegative = 50  # earlier fake images, which the discriminators see again


@dataclass(frozen=True)
class CycleGANSettings(OutlineSettings):
    """The networks of CycleGAN, their training, and what images are drawn from."""

    model: CycleGANConfig = field(default_factory=CycleGANConfig)
    training: CycleGANTraining = field(default_factory=CycleGANTraining)


PRESETS = {
    "tiny": CycleGANSettings(
        CycleGANConfig(generator_channels=(8, 8), discriminator_channels=(8,)),
        CycleGANTraining(steps=200, batch_size=8, pool_size=8),
    ),
    "digits": CycleGANSettings(),
    "mnist": CycleGANSettings(
        CycleGANConfig(image_size=(28, 28), generator_channels=(16, 32, 64)),
        CycleGANTraining(steps=4000, ema_decay=0.998),
    ),
}


class ImagePool:
    """Earlier fake images, as a part of a checkpoint (Shrivastava et al. 2017, section 2.3)."""

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        self.size = size
        self.images = np.zeros((0, *shape), np.float32)

    def exchange(self, images: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """As many images (B, ...), of which about half are earlier ones, once the pool is full.

        Where an earlier one is given, the new one takes its place.
        """
        space = self.size - len(self.images)
        self.images = np.concatenate([self.images, images[:space]])
        given = images.copy()
        if not self.size:
            return given
        for i in range(min(space, len(images)), len(images)):
            if rng.random() < 0.5:
                place = rng.integers(self.size)
                given[i] = self.images[place]
                self.images[place] = images[i]
        return given

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"images": self.images}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.images = np.array(state["images"])


class CycleGANTask(OutlineTranslation):
    """The training of CycleGAN. `sample` translates what the last batch had of outlines."""

    presets = PRESETS
    title = "CycleGAN"
    memory = ("conditions", "pool")
    plots: ClassVar = {
        "losses": ("generator loss", "discriminator loss"),
        "cycle": ("cycle L1",),
        "accuracy": ("accuracy on real", "accuracy on fake"),
    }

    settings: CycleGANSettings

    def __init__(
        self, settings: CycleGANSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        model = settings.model
        generators = CycleGenerators(model, rng=rng)
        discriminators = CycleDiscriminators(model, rng=rng)
        unpaired = None
        if training is not None:
            half = len(training.images) // 2
            unpaired = (training.images[:half], training.images[half : 2 * half])
        super().__init__(generators, discriminators, settings, unpaired, rng=rng)
        channels = model.condition_channels + model.num_channels
        self.pool = ImagePool(settings.training.pool_size, (channels, *model.image_size))
        self.parts["pool"] = self.pool

    def next_batch(self) -> tuple[np.ndarray, ...]:
        """Outlines beside images that are not theirs, (B, 1 + C, H, W)."""
        others, images = next(self.batches)
        self.conditions.arrays["x"] = self.drawn_from(others)
        pair = [self.conditions.arrays["x"], channels_first(images)]
        return (np.concatenate(pair, axis=1),)

    def fake(self, n: int, real: np.ndarray, *condition: np.ndarray) -> Any:
        return self.generator(real)

    def discriminator_step(
        self, real: np.ndarray, fake: np.ndarray, condition: Sequence[np.ndarray], noise: float
    ) -> dict[str, float]:
        """Learn to tell real images from fake ones, some of which are earlier ones."""
        team = parallel.team()
        fake = team.shard(self.pool.exchange(team.gather(fake), rng=self.rng))
        return super().discriminator_step(real, fake, condition, noise)

    def generator_objective(
        self, logits: Any, real: np.ndarray, fake: Any
    ) -> tuple[Any, dict[str, float]]:
        model = self.settings.model
        adversarial = generator_loss(logits, model.loss)
        cycle = cycle_loss(self.generator(fake), real, model)
        loss = adversarial + self.settings.training.lambda_cycle * cycle
        return loss, {"generator loss": adversarial.item(), "cycle L1": cycle.item()}
