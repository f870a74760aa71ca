"""Boxes around objects: their two notations, how far they overlap, and the objects of a picture.

    IoU = |A and B| / |A or B|
    GIoU = IoU - (|C| - |A or B|) / |C|        C: the smallest box around both          (Rezatofighi et al. 2019, algorithm 1)

GIoU lies in (-1, 1] and, unlike IoU, has a gradient where boxes do not meet. The functions are plain NumPy, for arrays and
tensors (..., 4) alike; leading axes broadcast, so that `iou(a[:, None], b)` compares every a with every b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

TINY = 1e-12  # a box of no area is taken to have this one, so that nothing is divided by 0


@dataclass(frozen=True, eq=False)
class Objects:
    """What is in a picture, or was found there: classes (n,), boxes (n, 4), and how sure it is, scores (n,).

    Boxes are xyxy in pixels, but where a function says otherwise.
    """

    labels: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    @classmethod
    def certain(cls, labels: np.ndarray, boxes: np.ndarray) -> Objects:
        """Objects that are there: their scores are 1."""
        return cls(labels, boxes, np.ones(len(labels)))

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,):
            raise ValueError(
                f"boxes have shape {self.boxes.shape} and scores {self.scores.shape}; for {n} labels it is ({n}, 4) and ({n},)"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> Objects:
        return Objects(self.labels[rows], self.boxes[rows], self.scores[rows])


def cxcywh_to_xyxy(boxes: Any) -> Any:
    """(centre x, centre y, width, height) -> (left, top, right, bottom)."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def xyxy_to_cxcywh(boxes: Any) -> Any:
    """(left, top, right, bottom) -> (centre x, centre y, width, height)."""
    first, last = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([(first + last) / 2, last - first], axis=-1)


def area(boxes: Any) -> Any:
    """Areas (...) of boxes (..., 4) as xyxy."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return sides[..., 0] * sides[..., 1]


def overlap(a: Any, b: Any) -> tuple[Any, Any]:
    """The areas of intersection and union, each (...)."""
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    intersection = sides[..., 0] * sides[..., 1]
    return intersection, area(a) + area(b) - intersection


def iou(a: Any, b: Any) -> Any:
    """Intersection over union of boxes (..., 4) as xyxy, in [0, 1]; 0 for two boxes without area."""
    intersection, union = overlap(a, b)
    return intersection / np.maximum(union, TINY)


def giou(a: Any, b: Any) -> Any:
    """Generalised intersection over union of boxes (..., 4) as xyxy."""
    intersection, union = overlap(a, b)
    sides = np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])
    around = np.maximum(sides[..., 0] * sides[..., 1], TINY)
    return intersection / np.maximum(union, TINY) - (around - union) / around
