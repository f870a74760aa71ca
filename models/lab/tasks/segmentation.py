"""Training a segmenter on scenes of digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from .scenes import TINY, Scenes, SceneTask, SceneTaskConfig


@dataclass(frozen=True)
class SegmentationConfig(SegmenterConfig, SceneTaskConfig):
    """A segmenter, its scenes and its training."""


PRESETS: Mapping[str, SegmentationConfig] = {
    "tiny": SegmentationConfig(**TINY, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16),
    "digits": SegmentationConfig(steps=16_000, rate=2e-3),
}


class Segmentation(SceneTask):
    """The training of a segmenter."""

    presets = PRESETS
    title = "ViT segmentation"
    plots: ClassVar = {"loss": ("loss",), "accuracy": ("accuracy on the batch",)}
    metrics_help = (
        "mean IoU: pixels that are rightly given a class, by all that are given it or have it, the mean over ten digits and "
        "“no digit”. accuracy: share of the pixels given their class. The scenes are made of test digits only. Baselines: "
        "connected bright pixels with the class of the nearest training digit, and “no digit” everywhere."
    )

    def __init__(self, config: SegmentationConfig, training: Any, *, rng: np.random.Generator) -> None:
        super().__init__(Segmenter(config, rng=rng), config, training, rng=rng)

    def loss(self, drawn: Scenes) -> tuple[Any, dict[str, float]]:
        logits, labels = self.model(tg.Tensor(drawn.images)), np.where(drawn.mask, drawn.cover, IGNORE_INDEX)
        pixels = parallel.average(np.array(drawn.mask.sum(dtype=float))).item()
        loss = kernels.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction="sum") / pixels
        right = logits.numpy().argmax(axis=-1) == labels
        return loss, {"accuracy on the batch": float(right.sum() / pixels)}

    def predictions(self, drawn: Scenes) -> np.ndarray:
        """The class of each pixel (B, H, W), by the averaged weights."""
        with self.learner.ema_weights() as model:
            said = [model(tg.Tensor(some)).numpy().argmax(-1) for some in in_batches(drawn.images, 100)]
        return np.concatenate(said)

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        drawn, none = self.held_out(test, self.config.scenes), self.config.classes
        classify, inside = nearest_digit(training), drawn.mask
        rows = {
            self.title: self.predictions(drawn),
            "connected pixels": np.stack([cover_connected(image, classify, none) for image in drawn.images]),
            "no digit anywhere": np.full_like(drawn.cover, none),
        }
        return [
            {"name": who, **segmentation_metrics(said[inside], drawn.cover[inside], none + 1)}
            for who, said in rows.items()
        ]

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        drawn = self.held_out(test, 8)
        layers = [paint(drawn.images), *(paint(drawn.images, c) for c in (self.predictions(drawn), drawn.cover))]
        write_png(folder / "segmented.png", grid(np.concatenate(layers), len(drawn)))
        return [("segmented.png", "Scenes of digits that were never seen; the digit that covers each pixel; the truth")]
