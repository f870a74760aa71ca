"""Training pix2pix to draw digits from their outlines or skeletons.

Deviations from the paper, on purpose: those of the other GANs here, instance noise and a moving
average of G's weights. With `training.lambda_adv=0` it is a plain network trained by L1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from ...config import Config, Steps
from ...generative.gan import generator_loss
from ...generative.pix2pix import PatchDiscriminator, Pix2PixConfig, Pix2PixGenerator
from ..evaluation.generation import Evaluator, report
from ..report.images import grid, write_png
from .gan import AdversarialTask, AdversarialTraining
from .images import SAMPLES, ImageGenerator, ImageSettings
from .outlines import outlines, skeletons

CONDITIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "outline": outlines,
    "skeleton": skeletons,
}
SHOWN = 10  # images


@dataclass(frozen=True)
class Pix2PixTraining(AdversarialTraining):
    """How pix2pix is trained."""

    steps: Steps = 3000
    batch_size: Annotated[int, 2, 10**6] = 64
    generator_lr: float = 5e-4
    lambda_l1: float = 5.0  # weight of the mean absolute difference
    lambda_adv: float = 1.0  # weight of the discriminator's verdict; 0: a plain network of L1


@dataclass(frozen=True)
class Pix2PixData(Config):
    """What images are drawn from."""

    condition: Annotated[str, *CONDITIONS] = "outline"  # or skeleton


@dataclass(frozen=True)
class Pix2PixSettings(ImageSettings):
    """The networks of pix2pix, their training, and what images are drawn from."""

    model: Pix2PixConfig = field(default_factory=Pix2PixConfig)
    training: Pix2PixTraining = field(default_factory=Pix2PixTraining)
    data: Pix2PixData = field(default_factory=Pix2PixData)

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        if self.model.condition_channels != 1:
            given = f"model.condition_channels={self.model.condition_channels}"
            raise ValueError(f"{given}: an outline or a skeleton has 1")


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


class Remembered:
    """Arrays of one kind, the last that were seen, as a part of a checkpoint."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"array": self.array}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.array = np.array(state["array"])


class Pix2PixTask(AdversarialTask):
    """The training of pix2pix. `sample` translates what the last batch was drawn from."""

    presets = PRESETS
    title = "pix2pix"
    memory = ("conditions",)
    plots: ClassVar = {
        "losses": ("generator loss", "discriminator loss"),
        "L1": ("L1",),
        "accuracy": ("accuracy on real", "accuracy on fake"),
    }
    metrics_help = (
        f"{ImageGenerator.metrics_help} Images are drawn from the outlines or skeletons of test "
        "images. agreement: the share that the frozen classifier takes for the class of that test "
        "image. L1: mean absolute difference from it. Baseline: the outlines or skeletons as they "
        "are."
    )

    settings: Pix2PixSettings

    def __init__(
        self, settings: Pix2PixSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        generator = Pix2PixGenerator(settings.model, rng=rng)
        discriminator = PatchDiscriminator(settings.model, rng=rng)
        pairs = None if training is None else (training.images,)
        super().__init__(generator, discriminator, settings, pairs, rng=rng)
        H, W = settings.model.image_size
        self.conditions = Remembered(np.zeros((settings.training.batch_size, H, W), np.float32))
        self.parts["conditions"] = self.conditions

    def drawn_from(self, images: np.ndarray) -> np.ndarray:
        """The outlines or skeletons of images: (N, H, W[, C]) -> (N, H, W)."""
        grey = images if images.ndim == 3 else images.mean(axis=-1)
        return CONDITIONS[self.settings.data.condition](grey)

    def seen(self, images: np.ndarray) -> np.ndarray:
        """What images are drawn from, as images themselves: (N, H, W[, C])."""
        conditions = self.drawn_from(images)
        channels = conditions.reshape(conditions.shape + (1,) * (images.ndim - 3))
        return np.broadcast_to(channels, images.shape)

    def next_batch(self) -> tuple[np.ndarray, ...]:
        """Images (B, C, H, W) and what they are drawn from, (B, 1, H, W)."""
        (images,) = next(self.batches)
        conditions = self.drawn_from(images)
        self.conditions.array = conditions
        channels = images.reshape(*images.shape[:3], -1)  # (B, H, W, C)
        return np.moveaxis(channels, -1, 1), conditions[:, None]

    def generator_objective(
        self, logits: Any, real: np.ndarray, fake: Any
    ) -> tuple[Any, dict[str, float]]:
        config = self.settings.training
        adversarial = generator_loss(logits, self.settings.model.loss)
        distance = np.abs(fake - real).mean()
        loss = config.lambda_adv * adversarial + config.lambda_l1 * distance
        return loss, {"generator loss": adversarial.item(), "L1": distance.item()}

    def translate(self, conditions: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """An image (n, H, W[, C]) for each outline or skeleton (n, H, W), by averaged weights."""
        with self.ema.applied() as generator:
            images = generator.translate(conditions[:, None], rng=rng)  # (n, C, H, W)
        shape = self.settings.model.image_shape
        return np.asarray(np.moveaxis(images, 1, -1).reshape(-1, *shape))

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> np.ndarray:
        remembered = self.conditions.array
        return self.translate(remembered[np.arange(n) % len(remembered)], rng=rng)

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        evaluator = Evaluator.load(name)
        images, labels = test.images[:SAMPLES], test.labels[:SAMPLES]
        conditions = self.drawn_from(images)
        samples = self.translate(conditions, rng=np.random.default_rng(1))

        def as_they_are(real: np.ndarray, _: Any, n: int, rng: np.random.Generator) -> np.ndarray:
            return self.seen(real[rng.choice(len(real), n, replace=False)])

        rows = report(
            samples,
            training.images,
            images,
            evaluator,
            baselines={f"{self.settings.data.condition}s": as_they_are},
            rng=np.random.default_rng(2),
            train_labels=training.labels,
            test_labels=labels,
            sample_labels=labels,
        )
        rows[0]["agreement"] = evaluator.accuracy(samples, labels)
        rows[1]["agreement"] = evaluator.accuracy(images, labels)
        rows[0]["L1"] = float(np.abs(samples - images).mean())
        return rows

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        rng = np.random.default_rng(4)
        images = rng.permutation(test.images)[:SHOWN]
        conditions = self.drawn_from(images)
        drawn = [self.translate(conditions, rng=rng) for _ in range(2)]
        rows = np.concatenate([self.seen(images), *drawn, images])
        write_png(folder / "translated.png", grid(rows, len(images)))
        given = self.settings.data.condition
        caption = f"The {given} of test images, drawn from it twice, and the images themselves"
        return [("translated.png", caption)]
