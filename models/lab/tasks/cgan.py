"""Training a class-conditional GAN, and measuring whether it draws what it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from ...config import Config
from ...generative.cgan import (
    ConditionalGANConfig,
    ConditionalGenerator,
    ProjectionDiscriminator,
)
from ..evaluation.generation import Evaluator
from ..report.images import grid, write_png
from .gan import AdversarialTask, GANSettings, GANTraining
from .images import SAMPLES, ImageGenerator, as_frequent


@dataclass(frozen=True)
class ConditionalGANSampling(Config):
    """How a class-conditional GAN draws."""

    label: Annotated[int, -1, inf] = -1  # the class of all images; -1 draws the classes too


@dataclass(frozen=True)
class ConditionalGANSettings(GANSettings):
    """A class-conditional GAN and its training. A data set decides the classes too."""

    model: ConditionalGANConfig = field(default_factory=ConditionalGANConfig)


PRESETS = {
    "tiny": ConditionalGANSettings(
        ConditionalGANConfig(latent_dim=4, generator_sizes=(8,), discriminator_sizes=(8,)),
        GANTraining(steps=200, batch_size=16),
    ),
    "digits": ConditionalGANSettings(training=GANTraining(steps=8000)),
    "mnist": ConditionalGANSettings(
        ConditionalGANConfig(
            image_size=(28, 28),
            latent_dim=64,
            architecture="convolutional",
            generator_sizes=(64, 32),
            discriminator_sizes=(32, 64),
        ),
        GANTraining(
            steps=10_000,
            batch_size=64,
            generator_lr=4e-4,
            discriminator_lr=4e-4,
            ema_decay=0.998,
        ),
    ),
}


class ConditionalGANTask(AdversarialTask):
    """The training of a class-conditional GAN."""

    presets = PRESETS
    title = "Conditional GAN"
    options: ClassVar = ConditionalGANSampling()
    metrics_help = (
        f"{ImageGenerator.metrics_help} agreement: the share of the images that the frozen "
        "classifier takes for the class that was asked for; “real”: for their label."
    )

    settings: ConditionalGANSettings

    def __init__(
        self, settings: ConditionalGANSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        generator = ConditionalGenerator(settings.model, rng=rng)
        discriminator = ProjectionDiscriminator(settings.model, rng=rng)
        pairs = None
        if training is not None:
            pixels = training.images.reshape(len(training.images), -1)  # (N, P)
            pairs = (pixels, training.labels)
        super().__init__(generator, discriminator, settings, pairs, rng=rng)

    def measured(self, n: int, training: Any) -> tuple[np.ndarray, np.ndarray]:
        """n images whose classes are as frequent as in training, and these classes."""
        classes = as_frequent(training.labels, n)
        return self.sample(n, label=classes, rng=np.random.default_rng(1)), classes

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        """Besides, how often the evaluator sees the class that was asked for."""
        rows = super().evaluate(name, training, test)
        evaluator = Evaluator.load(name)
        samples, classes = self.measured(min(len(test.images), SAMPLES), training)
        rows[0]["agreement"] = evaluator.accuracy(samples, classes)
        rows[1]["agreement"] = evaluator.accuracy(test.images, test.labels)
        return rows

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        """Besides, samples of each class."""
        captions = super().show(folder, training, test)
        labels = np.repeat(np.arange(min(10, self.settings.model.num_labels)), 10)
        images = self.sample(len(labels), label=labels, rng=np.random.default_rng(4))
        write_png(folder / "classes.png", grid(images, 10))
        return [("classes.png", "Drawn by class, a row each"), *captions]
