"""Boxes around objects: their two notations, how far they overlap, and the objects of an image.

    IoU = |A and B| / |A or B|
    GIoU = IoU - (|C| - |A or B|) / |C|         C: the smallest box around both
                                                (Rezatofighi et al. 2019, algorithm 1)

GIoU lies in (-1, 1] and, unlike IoU, has a gradient where boxes do not meet. The functions are
plain NumPy, for arrays and tensors (..., 4) alike; leading axes broadcast, so that
`iou(a[:, None], b)` compares every a with every b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_cv.typing import Array

TINY = 1e-12  # a box of no area is taken to have this one, so that nothing is divided by 0


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of an image, true or predicted: labels (n,), boxes (n, 4) and scores (n,).

    A score is the probability of the label. Boxes are xyxy in pixels, unless a function says
    otherwise.
    """

    labels: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    @classmethod
    def certain(cls, labels: np.ndarray, boxes: np.ndarray) -> Objects:
        """True objects: their scores are 1."""
        return cls(labels, boxes, np.ones(len(labels)))

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,):
            raise ValueError(
                f"boxes have shape {self.boxes.shape} and scores {self.scores.shape}; "
                f"for {n} labels it is ({n}, 4) and ({n},)"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> Objects:
        return Objects(self.labels[rows], self.boxes[rows], self.scores[rows])


def halves(boxes: Array) -> tuple[Any, Any]:
    """The first and the last two numbers of boxes (..., 4): two arrays (..., 2)."""
    return boxes[..., :2], boxes[..., 2:]


def cxcywh_to_xyxy(boxes: Array) -> Any:
    """(centre x, centre y, width, height) -> (left, top, right, bottom)."""
    centre, size = halves(boxes)
    corners = [centre - size / 2, centre + size / 2]
    return np.concatenate(corners, axis=-1)


def xyxy_to_cxcywh(boxes: Array) -> Any:
    """(left, top, right, bottom) -> (centre x, centre y, width, height)."""
    first, last = halves(boxes)
    return np.concatenate([(first + last) / 2, last - first], axis=-1)


def area(boxes: Array) -> Any:
    """Areas (...) of boxes (..., 4) as xyxy."""
    first, last = halves(boxes)
    return product(last - first)


def product(sides: Array) -> Any:
    """Width times height: (..., 2) -> (...)."""
    return sides[..., 0] * sides[..., 1]


def overlap(a: Array, b: Array) -> tuple[Any, Any]:
    """The areas of intersection and union, each (...)."""
    a_first, a_last = halves(a)
    b_first, b_last = halves(b)
    first = np.maximum(a_first, b_first)
    last = np.minimum(a_last, b_last)
    intersection = product(np.maximum(last - first, 0))
    return intersection, area(a) + area(b) - intersection


def iou(a: Array, b: Array) -> Any:
    """Intersection over union of boxes (..., 4) as xyxy, in [0, 1]; 0 for two boxes of no area."""
    intersection, union = overlap(a, b)
    return intersection / np.maximum(union, TINY)


def giou(a: Array, b: Array) -> Any:
    """Generalised intersection over union of boxes (..., 4) as xyxy."""
    intersection, union = overlap(a, b)
    a_first, a_last = halves(a)
    b_first, b_last = halves(b)
    first = np.minimum(a_first, b_first)
    last = np.maximum(a_last, b_last)
    around = np.maximum(product(last - first), TINY)
    return intersection / np.maximum(union, TINY) - (around - union) / around
