"""Training a segmenter on scenes of digits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, parallel
from tinygrad_cv.data import IGNORE_INDEX

from ...vision.segmenter import Segmenter, SegmenterConfig
from ..evaluation.connected import cover_connected, nearest_digit
from ..evaluation.segmentation import segmentation_metrics
from ..report.images import grid, paint, write_png
from ..task import in_batches
from .scenes import TINY, TINY_TRAINING, Scenes, SceneSettings, SceneTask, SceneTraining


@dataclass(frozen=True)
class SegmentationSettings(SceneSettings):
    """A segmenter, its training and its scenes."""

    model: SegmenterConfig = field(default_factory=SegmenterConfig)


PRESETS = {
    "tiny": SegmentationSettings(
        SegmenterConfig(
            image_size=(24, 24),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
        ),
        SceneTraining(**TINY_TRAINING),
        TINY,
    ),
    "digits": SegmentationSettings(training=SceneTraining(steps=16_000, lr=2e-3)),
}


class Segmentation(SceneTask):
    """The training of a segmenter."""

    presets = PRESETS
    title = "ViT segmentation"
    plots: ClassVar = {"loss": ("loss",), "accuracy": ("accuracy on the batch",)}
    metrics_help = (
        "mean IoU: pixels that are rightly given a class, by all that are given it or have it, the "
        "mean over ten digits and “no digit”. accuracy: share of the pixels given their class. The "
        "scenes are made of test digits only. Baselines: connected bright pixels with the class of "
        "the nearest training digit, and “no digit” everywhere."
    )

    def __init__(
        self, settings: SegmentationSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        super().__init__(Segmenter(settings.model, rng=rng), settings, training, rng=rng)

    def loss(self, batch: Scenes) -> tuple[Any, dict[str, float]]:
        logits = self.model(tg.Tensor(batch.images))  # (B, H, W, K + 1)
        labels = np.where(batch.mask, batch.cover, IGNORE_INDEX)
        pixels = parallel.average(np.array(batch.mask.sum(dtype=float))).item()
        entropy = kernels.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction="sum")
        right = logits.numpy().argmax(axis=-1) == labels
        return entropy / pixels, {"accuracy on the batch": float(right.sum() / pixels)}

    def predictions(self, batch: Scenes) -> np.ndarray:
        """The class of each pixel (B, H, W), by the averaged weights."""
        predicted = []
        with self.learner.ema_weights() as model:
            for images in in_batches(batch.images, 100):
                logits = model(tg.Tensor(images)).numpy()
                predicted.append(logits.argmax(axis=-1))
        return np.concatenate(predicted)

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        scenes = self.held_out(test, self.settings.data.measured_scenes)
        inside = scenes.mask
        none = len(test.classes)
        classify = nearest_digit(training)
        covers = [cover_connected(image, classify, none) for image in scenes.images]
        predictions = {
            self.title: self.predictions(scenes),
            "connected pixels": np.stack(covers),
            "no digit anywhere": np.full_like(scenes.cover, none),
        }
        rows = []
        for who, predicted in predictions.items():
            metrics = segmentation_metrics(predicted[inside], scenes.cover[inside], none + 1)
            rows.append({"name": who, **metrics})
        return rows

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        scenes = self.held_out(test, 8)
        rows = [
            paint(scenes.images),
            paint(scenes.images, self.predictions(scenes)),
            paint(scenes.images, scenes.cover),
        ]
        write_png(folder / "segmented.png", grid(np.concatenate(rows), len(scenes)))
        caption = "Scenes of test digits; the predicted digit that covers each pixel; the truth"
        return [("segmented.png", caption)]
