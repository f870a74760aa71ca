"""How good are detected objects? Average precision as the COCO benchmark measures it.

A detected object is right if it has the class of a true one and their IoU reaches a threshold. Each
true object counts once, for the detection of the highest score that claims it. With the detections
in order of their scores, precision is the share of those so far that are right, and recall the
share of the true objects that they include. AP is the mean, over 101 recalls 0, .01, ... 1, of the
best precision at that recall or a higher one. AP50 and AP75 have the threshold .5 and .75; mAP is
the mean of ten, .5 to .95. All are means over the classes that occur (Lin et al. 2014;
cocodataset.org).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...vision.boxes import Objects, iou

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # T of them
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = 100  # of a class in an image: those of the highest scores


def detection_metrics(
    detected: Sequence[Objects],
    truths: Sequence[Objects],
    classes: int,
) -> dict[str, float]:
    """mAP, AP50 and AP75 of the objects detected in each image; NaN if no true object exists.

    Raises ValueError if `detected` and `truths` are not of equally many images.
    """
    if len(detected) != len(truths):
        raise ValueError(
            f"{len(detected)} images with detected objects, but {len(truths)} with true ones"
        )
    labels = np.concatenate([objects.labels for objects in truths]) if truths else np.zeros(0)
    occurring = [label for label in range(classes) if np.any(labels == label)]
    if not occurring:
        return {"mAP": np.nan, "AP50": np.nan, "AP75": np.nan}
    each = [average_precision(detected, truths, label) for label in occurring]
    mean = np.mean(each, axis=0)  # (T,)
    return {"mAP": float(mean.mean()), "AP50": float(mean[0]), "AP75": float(mean[5])}


def average_precision(
    detected: Sequence[Objects],
    truths: Sequence[Objects],
    label: int,
) -> np.ndarray:
    """AP of one class at each threshold, (T,)."""
    scores = [np.zeros(0)]
    right = [np.zeros((len(THRESHOLDS), 0), bool)]
    total = 0
    for objects, true in zip(detected, truths, strict=True):
        objects = objects[objects.labels == label]
        objects = objects[by_score(objects.scores)[:MAX_DETECTIONS]]
        true = true[true.labels == label]
        overlaps = iou(objects.boxes[:, None], true.boxes[None])  # (D, G)
        scores.append(objects.scores)
        right.append(claim(overlaps))
        total += len(true)
    order = by_score(np.concatenate(scores))
    return interpolate(np.concatenate(right, axis=1)[:, order], total)


def by_score(scores: np.ndarray) -> np.ndarray:
    """The order of falling scores; equals stay in theirs."""
    return np.argsort(-scores, kind="stable")


def claim(overlaps: np.ndarray) -> np.ndarray:
    """Which detections are right at each threshold, (T, D), from the IoU (D, G) with all true ones.

    In turn each claims the true object that it overlaps most among those that are free; the last of
    equals, as COCO's own program does.
    """
    detections, true = overlaps.shape
    right = np.zeros((len(THRESHOLDS), detections), bool)
    if not true:
        return right
    free = np.ones((len(THRESHOLDS), true), bool)
    rows = np.arange(len(THRESHOLDS))
    for d, overlap in enumerate(overlaps):
        candidates = np.where(free, overlap, -1.0)  # (T, G)
        best = true - 1 - candidates[:, ::-1].argmax(axis=1)  # (T,)
        right[:, d] = candidates[rows, best] >= THRESHOLDS
        free[rows, best] &= ~right[:, d]
    return right


def interpolate(right: np.ndarray, total: int) -> np.ndarray:
    """AP (T,) from which detections are right (T, D), highest score first, of `total` true ones."""
    hits = right.cumsum(axis=1)
    recalls = hits / total
    precision = hits / np.arange(1, right.shape[1] + 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.pad(best, ((0, 0), (0, 1)))  # a recall that is never reached has precision 0
    means = []
    for row, recall in zip(best, recalls, strict=True):
        at = np.searchsorted(recall, RECALLS)
        means.append(row[at].mean())
    return np.array(means)
