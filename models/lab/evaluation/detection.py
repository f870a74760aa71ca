"""How good are found objects? Average precision as the COCO benchmark measures it (Lin et al. 2014; cocodataset.org).

A found object is right if it has the class of a true one and their IoU reaches a threshold; each true object may be found
once, by the surest first. Going from the surest to the least sure, precision is the share of the found that is right and
recall the share of the true that is found. AP is the mean, over 101 recalls 0, .01, ... 1, of the best precision that
is had at that recall or a higher one. AP50 and AP75 have the threshold .5 and .75; mAP is the mean of ten, .5 to .95. All
are means over the classes that occur.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...vision.boxes import Objects, iou

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST = 100  # of the surest found objects of a class in a picture count


def detection_metrics(found: Sequence[Objects], truths: Sequence[Objects], classes: int) -> dict[str, float]:
    """mAP, AP50 and AP75 of what was found in each picture; NaN if there is nothing to find."""
    if len(found) != len(truths):
        raise ValueError(f"{len(found)} pictures with found objects, but {len(truths)} with true ones")
    occurring = [c for c in range(classes) if any(np.any(objects.labels == c) for objects in truths)]
    if not occurring:
        return dict.fromkeys(("mAP", "AP50", "AP75"), float("nan"))
    each = np.array([average_precision(found, truths, label) for label in occurring])  # (classes, thresholds)
    over = each.mean(axis=0)
    return {"mAP": float(over.mean()), "AP50": float(over[0]), "AP75": float(over[5])}


def average_precision(found: Sequence[Objects], truths: Sequence[Objects], label: int) -> np.ndarray:
    """AP of one class at each threshold, (10,)."""
    scores, right, total = [np.zeros(0)], [np.zeros((len(THRESHOLDS), 0), bool)], 0
    for seen, true in zip(found, truths, strict=True):
        seen, true = seen[seen.labels == label], true[true.labels == label]
        surest = np.argsort(-seen.scores, kind="stable")[:MOST]
        scores.append(seen.scores[surest])
        right.append(claim(iou(seen.boxes[surest][:, None], true.boxes[None])))
        total += len(true)
    surest = np.argsort(-np.concatenate(scores), kind="stable")
    return interpolate(np.concatenate(right, axis=1)[:, surest], total)


def claim(overlaps: np.ndarray) -> np.ndarray:
    """Which of the found objects are right at each threshold, (T, D), from the IoU (D, G) with all true ones.

    In turn each claims the true object that it overlaps most among those that are free; the last of equals, as COCO's
    own program does.
    """
    right = np.zeros((len(THRESHOLDS), len(overlaps)), bool)
    if not overlaps.shape[1]:
        return right
    free, rows = np.ones((len(THRESHOLDS), overlaps.shape[1]), bool), np.arange(len(THRESHOLDS))
    for d, overlap in enumerate(overlaps):
        open_to_it = np.where(free, overlap, -1.0)  # (T, G)
        best = overlaps.shape[1] - 1 - open_to_it[:, ::-1].argmax(axis=1)  # (T,)
        right[:, d] = open_to_it[rows, best] >= THRESHOLDS
        free[rows, best] &= ~right[:, d]
    return right


def interpolate(right: np.ndarray, total: int) -> np.ndarray:
    """AP (T,) from which of the found objects, surest first, are right (T, D), and the number of true ones."""
    hits = right.cumsum(axis=1)
    precision = hits / np.arange(1, right.shape[1] + 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.pad(best, ((0, 0), (0, 1)))  # a recall that is never reached has precision 0
    return np.array([b[np.searchsorted(r, RECALLS)].mean() for b, r in zip(best, hits / total, strict=True)])
