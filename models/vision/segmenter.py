"""Segmentation with the Vision Transformer: which digit covers each pixel.

As in Segmenter with its linear decoder (Strudel et al. 2021, arXiv 2105.05633, section 3.2), the classes are read off the
encoder's patch tokens by one linear layer. Deviation, on purpose: it tells the class of each of a patch's pixels, instead
of one class that is interpolated between patches, so that thin strokes are not lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, parallel
from tinygrad_cv.data import IGNORE_INDEX

from ..lab.report.images import grid, paint, write_png
from ..lab.task import in_batches
from ..lab.tasks.detection import connected, nearest_digit
from ..lab.tasks.scenes import INK, TINY, Scenes, SceneTask, SceneTaskConfig
from .vit import Encoder, EncoderConfig


@dataclass(frozen=True)
class SegmenterConfig(EncoderConfig, SceneTaskConfig):
    """What makes a segmenter, besides its scenes and its training."""

    patch: int = 4
    stochastic_depth: float = 0.0


PRESETS: Mapping[str, SegmenterConfig] = {
    "tiny": SegmenterConfig(**TINY, dimension=8, depth=1, heads=2, hidden=16),
    "digits": SegmenterConfig(steps=16_000, rate=2e-3),
}


class Segmenter(Encoder):
    """Pictures to the logits of each pixel: (B, H, W) -> (B, H, W, K + 1), the last class "no digit"."""

    def __init__(self, config: SegmenterConfig, *, rng: np.random.Generator) -> None:
        super().__init__(config, (config.canvas, config.canvas), rng=rng)
        self.head = nn.Linear(config.dimension, config.patch**2 * (config.classes + 1), rng=rng)

    def forward(self, images: Any) -> Any:
        said = self.head(self.norm(self.encode(images)[:, 1:]))  # (B, N, P P (K + 1))
        return unpatch(said, self.patch, images.shape[1:3])


def unpatch(tokens: Any, size: int, shape: tuple[int, ...]) -> Any:
    """The inverse of `vit.patches`: (B, H/P W/P, P P C) -> (B, H, W, C)."""
    blocks = tokens.reshape(len(tokens), shape[0] // size, shape[1] // size, size, size, -1)
    return np.swapaxes(blocks, 2, 3).reshape(len(tokens), *shape, -1)  # (B, H, W, C)


def confusion(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """How many pixels of each true class (row) were given each class (column): (classes, classes)."""
    counts = np.bincount(true.ravel() * classes + predicted.ravel(), minlength=classes**2)
    return counts.reshape(classes, classes)


def segmentation_metrics(predicted: np.ndarray, true: np.ndarray, classes: int) -> dict[str, float]:
    """Mean over the classes of |predicted and true| / |predicted or true|, a class that is nowhere left out, and accuracy."""
    table = confusion(predicted, true, classes)
    both, either = table.diagonal(), table.sum(axis=0) + table.sum(axis=1) - table.diagonal()
    occurs = either > 0
    return {"mean IoU": float(np.mean(both[occurs] / either[occurs])), "accuracy": float(both.sum() / table.sum())}


class Segmentation(SceneTask):
    """The training of a segmenter."""

    presets = PRESETS
    title = "ViT segmentation"
    figures: ClassVar = {"loss": ("loss",), "accuracy": ("accuracy on the batch",)}
    meaning = (
        "mean IoU: pixels that are rightly given a class, by all that are given it or have it, the mean over ten digits and "
        "“no digit”. accuracy: share of the pixels given their class. The scenes are made of test digits only. Baselines: "
        "connected bright pixels with the class of the nearest training digit, and “no digit” everywhere."
    )

    def __init__(self, config: SegmenterConfig, training: Any, *, rng: np.random.Generator) -> None:
        super().__init__(Segmenter(config, rng=rng), config, training, rng=rng)

    def loss(self, drawn: Scenes) -> tuple[Any, dict[str, float]]:
        logits, labels = self.model(tg.Tensor(drawn.images)), np.where(drawn.mask, drawn.cover, IGNORE_INDEX)
        pixels = parallel.average(np.array(drawn.mask.sum(dtype=float))).item()
        loss = kernels.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction="sum") / pixels
        right = logits.numpy().argmax(axis=-1) == labels
        return loss, {"accuracy on the batch": float(right.sum() / pixels)}

    def predictions(self, drawn: Scenes) -> np.ndarray:
        """The class of each pixel (B, H, W), by the averaged weights."""
        with self.descent.averaged() as model:
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


def cover_connected(image: np.ndarray, classify: Any, none: int) -> np.ndarray:
    """Connected bright pixels, each group with the class of the nearest training digit: (H, W)."""
    places, number = ndimage.label(image >= INK, np.ones((3, 3)))
    cover = np.full(image.shape, none)
    for place in range(1, number + 1):
        boxes = connected(np.where(places == place, image, 0))
        if len(boxes):
            cover[places == place] = classify(image, boxes).labels[0]
    return cover
