"""Detecting digits in scenes: the task that detectors share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import tinygrad_cv as tg

from ...vision.boxes import Objects, xyxy_to_cxcywh
from ...vision.matching import criterion, predicted_objects
from ..evaluation.connected import connected, nearest_digit
from ..evaluation.detection import detection_metrics
from ..report.images import grid, with_boxes, write_png
from ..task import in_batches
from .scenes import Scenes, SceneSettings, SceneTask, SceneTraining

THRESHOLD = 0.5  # predicted objects of a higher score are drawn


@dataclass(frozen=True)
class DetectionTraining(SceneTraining):
    """How a detector is trained.

    The cross-entropy weighs more than in the paper, because the detectors do not know the classes
    beforehand.
    """

    class_weight: float = 5.0  # weight of the cross-entropy; the paper's is 1


@dataclass(frozen=True)
class DetectionSettings(SceneSettings):
    """Settings of a detector. It needs as many queries as a scene has digits."""

    queries: ClassVar[str] = "num_queries"  # what the model calls their number

    training: DetectionTraining = field(default_factory=DetectionTraining)

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        queries = getattr(self.model, self.queries)
        if queries < self.data.digits:
            raise ValueError(
                f"model.{self.queries}={queries}: each detects one object, "
                f"and a scene has up to {self.data.digits} digits"
            )


class Detection(SceneTask):
    """A task whose model predicts sets.

    Images (B, H, W) and masks (B, H, W) -> logits (L, B, Q, K + 1) and boxes (L, B, Q, 4).
    """

    settings: DetectionSettings
    plots: ClassVar = {"loss": ("loss",), "parts": ("class", "L1", "GIoU")}
    metrics_help = (
        "AP50, AP75: average precision as the COCO benchmark defines it, where a predicted digit "
        "is right if it has the class of a true one and their boxes' intersection over union "
        "reaches .5 or .75. mAP: the mean over ten such thresholds, .5 to .95. The scenes are made "
        "of test digits only. Baselines: the boxes of connected bright pixels, and the true boxes, "
        "each with the class of the nearest training digit."
    )

    def loss(self, batch: Scenes) -> tuple[Any, dict[str, float]]:
        logits, boxes = self.model(tg.Tensor(batch.images), batch.mask)
        weight = self.settings.training.class_weight
        return criterion(logits, boxes, relative(batch), class_weight=weight)

    def predictions(self, batch: Scenes) -> list[Objects]:
        """The object of each query, with its most probable class, by the averaged weights."""
        predicted: list[Objects] = []
        with self.learner.ema_weights() as model:
            for part in in_batches(batch, 100):
                logits, boxes = model(tg.Tensor(part.images), part.mask)
                last = logits[-1].numpy(), boxes[-1].numpy()  # (B, Q, K + 1), (B, Q, 4)
                predicted += predicted_objects(*last, part.sizes)
        return predicted

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        scenes = self.held_out(test, self.settings.data.measured_scenes)
        classify = nearest_digit(training)
        pairs = list(zip(scenes.images, scenes.objects, strict=True))
        predictions = {
            self.title: self.predictions(scenes),
            "connected pixels": [classify(image, connected(image)) for image, _ in pairs],
            "true boxes": [classify(image, objects.boxes) for image, objects in pairs],
        }
        rows = []
        for who, predicted in predictions.items():
            metrics = detection_metrics(predicted, scenes.objects, len(test.classes))
            rows.append({"name": who, **metrics})
        return rows

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        scenes = self.held_out(test, 8)
        predicted = [likely[likely.scores > THRESHOLD] for likely in self.predictions(scenes)]
        for file, sets in (("predicted.png", predicted), ("true.png", scenes.objects)):
            pairs = zip(scenes.images, sets, strict=True)
            images = [with_boxes(image, objects) for image, objects in pairs]
            write_png(folder / file, grid(np.stack(images), 4, scale=1))
        return [
            (
                "predicted.png",
                f"Detected with a probability above {THRESHOLD:g}, in scenes of test digits",
            ),
            ("true.png", "The digits of these scenes"),
        ]


def relative(batch: Scenes) -> list[Objects]:
    """The objects of scenes with boxes as cxcywh, in units of each image's width and height."""
    result = []
    for objects, size in zip(batch.objects, batch.sizes, strict=True):
        boxes = xyxy_to_cxcywh(objects.boxes / size)
        result.append(Objects.certain(objects.labels, boxes))
    return result
