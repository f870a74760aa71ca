"""Finding digits in scenes: the task that detectors share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn

from ...vision.boxes import Objects, cxcywh_to_xyxy, xyxy_to_cxcywh
from ...vision.matching import criterion
from ..evaluation.connected import connected, nearest_digit
from ..evaluation.detection import detection_metrics
from ..report.images import grid, with_boxes, write_png
from ..task import in_batches
from .scenes import Scenes, SceneTask, SceneTaskConfig

SHOWN = 0.5  # a found object as sure as this is drawn


@dataclass(frozen=True)
class DetectorConfig(SceneTaskConfig):
    """The scenes that a detector learns from, and how it learns.

    The cross-entropy weighs more than in the paper (`class_weight`), as the detectors do not know the classes beforehand.
    """

    class_weight: float = 5.0  # weight of the cross-entropy; the paper's is 1


class Detection(SceneTask):
    """A task whose model gives to pictures (B, H, W) and masks (B, H, W) logits (L, B, Q, K + 1) and boxes (L, B, Q, 4)."""

    plots: ClassVar = {"loss": ("loss",), "parts": ("class", "L1", "GIoU")}
    metrics_help = (
        "AP50, AP75: average precision as the COCO benchmark defines it, where a found digit is right if it has the class "
        "of a true one and their boxes' intersection over union reaches .5 or .75. mAP: the mean over ten such thresholds, "
        ".5 to .95. The scenes are made of test digits only. Baselines: the boxes of connected bright pixels, and the true "
        "boxes, each with the class of the nearest training digit."
    )

    def __init__(self, model: nn.Module, config: Any, training: Any, *, rng: np.random.Generator) -> None:
        if config.queries < config.digits:
            raise ValueError(f"queries={config.queries}: each finds one object, and a scene has up to {config.digits} digits")
        super().__init__(model, config, training, rng=rng)

    def loss(self, drawn: Scenes) -> tuple[Any, dict[str, float]]:
        logits, boxes = self.model(tg.Tensor(drawn.images), drawn.mask)
        return criterion(logits, boxes, relative(drawn), class_weight=self.config.class_weight)

    def predictions(self, drawn: Scenes) -> list[Objects]:
        """What each query found, with its surest class, by the averaged weights."""
        found: list[Objects] = []
        with self.learner.ema_weights() as model:
            for some in in_batches(drawn, 100):
                logits, boxes = model(tg.Tensor(some.images), some.mask)
                probabilities = kernels.softmax(logits[-1]).numpy()[..., :-1]  # (B, Q, K)
                corners = cxcywh_to_xyxy(boxes[-1].numpy()) * some.sizes[:, None]
                found += map(Objects, probabilities.argmax(-1), corners, probabilities.max(-1))
        return found

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        drawn, classes = self.held_out(test, self.config.scenes), self.config.classes
        classify = nearest_digit(training)
        rows = {
            self.title: self.predictions(drawn),
            "connected pixels": [classify(image, connected(image)) for image in drawn.images],
            "told the boxes": [classify(i, o.boxes) for i, o in zip(drawn.images, drawn.objects, strict=True)],
        }
        return [{"name": who, **detection_metrics(found, drawn.objects, classes)} for who, found in rows.items()]

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        drawn = self.held_out(test, 8)
        seen = [with_boxes(i, o[o.scores > SHOWN]) for i, o in zip(drawn.images, self.predictions(drawn), strict=True)]
        true = [with_boxes(i, o) for i, o in zip(drawn.images, drawn.objects, strict=True)]
        for file, pictures in (("found.png", seen), ("true.png", true)):
            write_png(folder / file, grid(np.stack(pictures), 4, scale=1))
        return [
            ("found.png", f"Found with a probability above {SHOWN:g}, in scenes of digits that were never seen"),
            ("true.png", "What there was to find"),
        ]


def relative(drawn: Scenes) -> list[Objects]:
    """The objects of scenes with boxes as cxcywh, in units of each picture's width and height."""
    pairs = zip(drawn.objects, drawn.sizes, strict=True)
    return [Objects.certain(objects.labels, xyxy_to_cxcywh(objects.boxes / size)) for objects, size in pairs]
