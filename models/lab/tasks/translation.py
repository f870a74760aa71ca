"""Image to image: what the tasks share whose models turn images into others.

They sample from what the last batch of the training was drawn from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from tinygrad_cv import nn

from ...config import Config
from ...generative.pix2pix import TranslationConfig
from ..evaluation.generation import Evaluator, report
from ..report.images import grid, write_png
from ..task import in_batches
from .gan import AdversarialTask
from .images import SAMPLES, ImageGenerator, ImageSettings, Remembered
from .outlines import outlines, skeletons

CONDITIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "outline": outlines,
    "skeleton": skeletons,
}
SHOWN = 10  # images
TRANSLATED = 250  # so many images are translated at a time


class Translation(AdversarialTask):
    """A task whose generator turns images into others.

    It has `translate(x, rng=rng)`: images x (n, C', H, W) -> images y (n, C, H, W).
    """

    memory: ClassVar[tuple[str, ...]] = ("conditions",)

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        settings: Any,
        pairs: tuple[np.ndarray, ...] | None,
        *,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(generator, discriminator, settings, pairs, rng=rng)
        size = settings.training.batch_size
        shape = (size, settings.model.condition_channels, *settings.model.image_size)
        self.conditions = Remembered(x=np.zeros(shape, np.float32))
        self.parts["conditions"] = self.conditions

    def translate(self, conditions: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """Images y (n, H, W[, C]) of images x (n, C', H, W), by the averaged weights."""
        parts = []
        with self.ema.applied() as generator:
            for part in in_batches(conditions, TRANSLATED, "translating"):
                parts.append(generator.translate(part, rng=rng))
        return channels_last(np.concatenate(parts))

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> np.ndarray:
        remembered = self.conditions.arrays["x"]
        return self.translate(remembered[np.arange(n) % len(remembered)], rng=rng)


def channels_first(images: np.ndarray) -> np.ndarray:
    """Images as networks have them: (N, H, W[, C]) -> (N, C, H, W)."""
    channels = images.reshape(*images.shape[:3], -1)  # (N, H, W, C)
    return np.moveaxis(channels, -1, 1)


def channels_last(images: np.ndarray) -> np.ndarray:
    """Images as data sets have them: (N, C, H, W) -> (N, H, W) if C is 1, else (N, H, W, C)."""
    return images[:, 0] if images.shape[1] == 1 else np.moveaxis(images, 1, -1)


# ------------------------------------------------------------- digits from outlines or skeletons


@dataclass(frozen=True)
class OutlineData(Config):
    """What images are drawn from."""

    condition: Annotated[str, *CONDITIONS] = "outline"  # or skeleton


@dataclass(frozen=True)
class OutlineSettings(ImageSettings):
    """The networks, their training, and what images are drawn from."""

    model: TranslationConfig
    data: OutlineData = field(default_factory=OutlineData)

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        if self.model.condition_channels != 1:
            given = f"model.condition_channels={self.model.condition_channels}"
            raise ValueError(f"{given}: an outline or a skeleton has 1")


class OutlineTranslation(Translation):
    """A task whose model draws digits from their outlines or skeletons."""

    metrics_help = (
        f"{ImageGenerator.metrics_help} Images are drawn from the outlines or skeletons of test "
        "images. agreement: the share that the frozen classifier takes for the class of that test "
        "image. L1: mean absolute difference from it. Baseline: the outlines or skeletons as they "
        "are."
    )

    settings: OutlineSettings

    def drawn_from(self, images: np.ndarray) -> np.ndarray:
        """The outlines or skeletons of images: (N, H, W[, C]) -> (N, 1, H, W)."""
        grey = images if images.ndim == 3 else images.mean(axis=-1)
        return CONDITIONS[self.settings.data.condition](grey)[:, None]

    def seen(self, images: np.ndarray) -> np.ndarray:
        """What images are drawn from, as images themselves: (N, H, W[, C])."""
        conditions = channels_last(self.drawn_from(images))
        channels = conditions.reshape(conditions.shape + (1,) * (images.ndim - 3))
        return np.broadcast_to(channels, images.shape)

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        evaluator = Evaluator.load(name)
        images, labels = test.images[:SAMPLES], test.labels[:SAMPLES]
        samples = self.translate(self.drawn_from(images), rng=np.random.default_rng(1))

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
