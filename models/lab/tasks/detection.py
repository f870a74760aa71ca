"""Finding digits in scenes: the task that detectors share, its figures, and the classical way beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn
from tinygrad_cv.data import Dataset

from ...vision.boxes import Objects, cxcywh_to_xyxy, xyxy_to_cxcywh
from ...vision.matching import criterion
from ..evaluation.detection import detection_metrics
from ..evaluation.generation import flatten, nearest
from ..report.images import grid, with_boxes, write_png
from ..task import in_batches
from .scenes import INK, Scenes, SceneTask, SceneTaskConfig, ink, resize

SHOWN = 0.5  # a found object as sure as this is drawn


@dataclass(frozen=True)
class DetectorConfig(SceneTaskConfig):
    """What a detector needs besides its scenes and its training."""

    queries: int = 12  # so many objects can be found at most
    classification: float = 5.0  # weight of the cross-entropy; the paper's is 1


class Detection(SceneTask):
    """A task whose model gives to pictures (B, H, W) and masks (B, H, W) logits (L, B, Q, K + 1) and boxes (L, B, Q, 4)."""

    figures: ClassVar = {"loss": ("loss",), "parts": ("class", "L1", "GIoU")}
    meaning = (
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
        return criterion(logits, boxes, relative(drawn), classification=self.config.classification)

    def predictions(self, drawn: Scenes) -> list[Objects]:
        """What each query found, with its surest class, by the averaged weights."""
        found: list[Objects] = []
        with self.descent.averaged() as model:
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


# ------------------------------------------------------------------------------------------------- the classical way


def connected(image: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) around connected bright pixels, diagonals included, that are at least 6 pixels high."""
    places, _ = ndimage.label(image >= INK, np.ones((3, 3)))
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(places) if y.stop - y.start >= 6]
    return np.array(boxes, float).reshape(-1, 4)


def nearest_digit(training: Dataset, most: int = 5000) -> Any:
    """A function (picture, boxes) -> objects with the class of the training digit that each box's content is nearest to.

    Both are cut to the ink and stretched to one size; the score falls with the distance.
    """
    assert training.labels is not None
    some, size = np.random.default_rng(0).permutation(len(training))[:most], training.images.shape[1:3]
    images, labels = training.images[some], training.labels[some]
    known = np.stack([normal(image, ink(image), size) for image in images])

    def classify(image: np.ndarray, boxes: np.ndarray) -> Objects:
        if not len(boxes):
            return Objects(np.zeros(0, int), boxes, np.zeros(0))
        cut = np.stack([normal(image, box, size) for box in boxes])
        chosen = nearest(flatten(cut), flatten(known))
        distance = np.linalg.norm(flatten(cut) - flatten(known[chosen]), axis=1)
        return Objects(labels[chosen], boxes, 1 / (1 + distance))

    return classify


def normal(image: np.ndarray, box: Any, size: tuple[int, ...]) -> np.ndarray:
    """A box's content stretched to one size and brightness: (height, width)."""
    left, top, right, bottom = (int(n) for n in box)
    picture = resize(image[top:bottom, left:right], *size)
    return picture / max(float(picture.max()), INK)
