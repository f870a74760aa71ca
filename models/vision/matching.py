"""DETR's loss (Carion et al. 2020, arXiv 2005.12872, section 3.1): predictions are a set, compared with the objects as a set.

    sigma = argmin sum_i cost(y_i, y_sigma(i))              each object gets one query, by the Hungarian method  (equation 1)
    cost = 5 |b - b'|_1 - p(class) - 2 GIoU(b, b')
    L = cross-entropy + 5 |b - b'|_1 + 2 (1 - GIoU(b, b'))  at the best assignment                               (equation 2)

Queries that got no object are to say "no object", which weighs a tenth of a class because there are many of them. The loss
of the boxes is divided by the number of objects in the batch. Every decoder layer is judged, each by an assignment of its own
(auxiliary losses), and their losses are added up. Boxes are cxcywh in units of the picture's width and height.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from tinygrad_cv import kernels, parallel

from .boxes import Objects, cxcywh_to_xyxy, giou

L1, GIOU, NO_OBJECT = 5.0, 2.0, 0.1  # the weights


def matching_cost(probabilities: np.ndarray, boxes: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The cost of giving each query each object: (..., Q, N).

    probabilities (..., Q, K + 1) and boxes (..., Q, 4) of the queries; labels (..., N) and boxes (..., N, 4) of the objects.
    """
    here, there = boxes[..., :, None, :], truth[..., None, :, :]  # (..., Q, 1, 4), (..., 1, N, 4)
    distance = np.abs(here - there).sum(axis=-1)
    rows = np.broadcast_to(labels[..., None, :], distance.shape)
    right = np.take_along_axis(probabilities, rows, axis=-1)
    return np.asarray(L1 * distance - right - GIOU * giou(cxcywh_to_xyxy(here), cxcywh_to_xyxy(there)))


def match(logits: np.ndarray, boxes: np.ndarray, truths: Sequence[Objects]) -> tuple[np.ndarray, ...]:
    """The best assignment for each layer and picture: four index arrays (M,), of layer, picture, query and object.

    logits (L, B, Q, K + 1), boxes (L, B, Q, 4). Of more objects than queries the costliest go without.
    """
    most = max(map(len, truths))
    labels, truth = np.zeros((len(truths), most), int), np.zeros((len(truths), most, 4))
    for b, objects in enumerate(truths):
        labels[b, : len(objects)], truth[b, : len(objects)] = objects.labels, objects.boxes
    probabilities = kernels.softmax.reference(logits)
    cost = matching_cost(probabilities, boxes, np.broadcast_to(labels, (len(logits), *labels.shape)), truth)
    cost = np.nan_to_num(cost)  # a prediction that is not finite shows in the loss
    found = []
    for layer, picture in np.ndindex(cost.shape[:2]):
        query, number = linear_sum_assignment(cost[layer, picture, :, : len(truths[picture])])
        found.append(np.stack([np.full_like(query, layer), np.full_like(query, picture), query, number]))
    return tuple(np.concatenate(found, axis=1))


def criterion(
    logits: Any, boxes: Any, truths: Sequence[Objects], *, class_weight: float = 1.0
) -> tuple[Any, dict[str, float]]:
    """The loss of predictions (L, B, Q, K + 1) and (L, B, Q, 4), and its parts as a layer has them on average.

    The last of the K + 1 classes is "no object". `truths`: of each picture labels, and boxes cxcywh in units of its size.
    `class_weight` weighs the cross-entropy, which has no weight in the paper.
    """
    layers, _, _, classes = logits.shape
    layer, picture, query, number = match(logits.numpy(), boxes.numpy(), truths)
    starts = np.cumsum([0, *map(len, truths)])
    row = starts[picture] + number  # of each query's object among those of all pictures
    truth = np.concatenate([objects.boxes for objects in truths])[row].astype(boxes.dtype)  # (M, 4)
    target = np.full(logits.shape[:-1], classes - 1)
    target[layer, picture, query] = np.concatenate([objects.labels for objects in truths])[row]
    weight = np.ones(classes, logits.dtype)
    weight[-1] = NO_OBJECT

    # What the losses are divided by is that of the whole batch; each layer has the same.
    objects, weights = parallel.average(np.array([starts[-1], weight[target[0]].sum()])).tolist()
    found, objects = boxes[layer, picture, query], max(1, objects)  # (M, 4)
    parts = {
        "class": kernels.cross_entropy(logits, target, weight, reduction="sum") / weights,
        "L1": np.abs(found - truth).sum() / objects,
        "GIoU": (1 - giou(cxcywh_to_xyxy(found), cxcywh_to_xyxy(truth))).sum() / objects,
    }
    loss = class_weight * parts["class"] + L1 * parts["L1"] + GIOU * parts["GIoU"]
    return loss, {name: part.item() / layers for name, part in parts.items()}
