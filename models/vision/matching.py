"""DETR's loss (Carion et al. 2020, arXiv 2005.12872, section 3.1): sets are compared with sets.

    sigma = argmin sum_i cost(y_i, y_sigma(i))                                      (equation 1)
    cost = 5 |b - b'|_1 - p(class) - 2 GIoU(b, b')
    L = cross-entropy + 5 |b - b'|_1 + 2 (1 - GIoU(b, b'))  at this assignment      (equation 2)

The Hungarian method assigns one query to each object. The other queries should predict "no object",
which weighs a tenth of a class because there are many of them. The loss of the boxes is divided by
the number of objects in the batch. Every decoder layer has an assignment and a loss of its own
(auxiliary losses), and the losses are added up. Boxes are cxcywh in units of the image's width and
height.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from tinygrad_cv import Tensor, kernels, parallel

from .boxes import Objects, cxcywh_to_xyxy, giou

L1 = 5.0  # weight of the boxes' L1 distance
GIOU = 2.0  # weight of their GIoU
NO_OBJECT = 0.1  # weight of the class "no object" in the cross-entropy

Indices = tuple[np.ndarray, ...]


def matching_cost(
    probabilities: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    truth: np.ndarray,
) -> np.ndarray:
    """The cost of assigning each query to each object: (..., Q, N).

    probabilities (..., Q, K + 1) and boxes (..., Q, 4): of the queries.
    labels (..., N) and truth (..., N, 4): classes and boxes of the objects.
    """
    boxes = boxes[..., :, None, :]  # (..., Q, 1, 4)
    truth = truth[..., None, :, :]  # (..., 1, N, 4)
    distance = np.abs(boxes - truth).sum(axis=-1)  # (..., Q, N)
    labels = np.broadcast_to(labels[..., None, :], distance.shape)
    p = np.take_along_axis(probabilities, labels, axis=-1)  # of the object's class, (..., Q, N)
    overlap = giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(truth))
    return np.asarray(L1 * distance - p - GIOU * overlap)


def padded(truths: Sequence[Objects]) -> tuple[np.ndarray, np.ndarray]:
    """Labels (B, N) and boxes (B, N, 4) of the objects of B images, zeros after the last."""
    shape = (len(truths), max(map(len, truths)))
    labels = np.zeros(shape, int)
    boxes = np.zeros((*shape, 4))
    for b, objects in enumerate(truths):
        n = len(objects)
        labels[b, :n] = objects.labels
        boxes[b, :n] = objects.boxes
    return labels, boxes


def match(
    logits: np.ndarray,
    boxes: np.ndarray,
    truths: Sequence[Objects],
) -> Indices:
    """The best assignment of each layer and image: logits (L, B, Q, K + 1), boxes (L, B, Q, 4).

    Returns four index arrays (M,), of the layer, image, query and object of each pair. If there are
    more objects than queries, the costliest objects get none.
    """
    layers, images, _, _ = logits.shape
    labels, truth = padded(truths)
    labels = np.broadcast_to(labels, (layers, *labels.shape))  # (L, B, N)
    probabilities = kernels.softmax.reference(logits)
    costs = matching_cost(probabilities, boxes, labels, truth)  # (L, B, Q, N)
    costs = np.nan_to_num(costs)  # a prediction that is not finite shows in the loss
    pairs = []
    for layer, image in np.ndindex(layers, images):
        n = len(truths[image])
        cost = costs[layer, image, :, :n]
        query, number = linear_sum_assignment(cost)
        place = np.full_like(query, layer), np.full_like(query, image)
        pairs.append(np.stack([*place, query, number]))
    return tuple(np.concatenate(pairs, axis=1))


def criterion(
    logits: Tensor,
    boxes: Tensor,
    truths: Sequence[Objects],
    *,
    class_weight: float = 1.0,
) -> tuple[Tensor, dict[str, float]]:
    """The loss of logits (L, B, Q, K + 1) and boxes (L, B, Q, 4), and its terms.

    The last of the K + 1 classes is "no object". The terms are means over the L layers.

    truths: the objects of each image, boxes cxcywh in units of its width and height.
    class_weight: weight of the cross-entropy, 1 in the paper.
    """
    layers, _, _, classes = logits.shape
    pairs = match(logits.numpy(), boxes.numpy(), truths)
    layer, image, query, number = pairs
    labels, all_boxes = padded(truths)
    true_boxes = all_boxes[image, number].astype(boxes.dtype)  # (M, 4)
    target = np.full(logits.shape[:-1], classes - 1)  # (L, B, Q)
    target[layer, image, query] = labels[image, number]
    weight = np.ones(classes, logits.dtype)
    weight[-1] = NO_OBJECT

    # The losses are divided by what the whole batch has; that is the same for each layer.
    count = sum(map(len, truths))
    target_weights = weight[target[0]]  # (B, Q)
    totals = np.array([count, target_weights.sum()])
    objects, weights = parallel.average(totals).tolist()
    objects = max(1, objects)

    entropy = kernels.cross_entropy(logits, target, weight, reduction="sum")
    predicted = boxes[layer, image, query]  # (M, 4)
    distance = np.abs(predicted - true_boxes)
    overlap = giou(cxcywh_to_xyxy(predicted), cxcywh_to_xyxy(true_boxes))
    terms = {
        "class": entropy / weights,
        "L1": distance.sum() / objects,
        "GIoU": (1 - overlap).sum() / objects,
    }
    loss = class_weight * terms["class"]
    loss = loss + L1 * terms["L1"] + GIOU * terms["GIoU"]
    means = {name: term.item() / layers for name, term in terms.items()}
    return loss, means


def predicted_objects(logits: np.ndarray, boxes: np.ndarray, sizes: np.ndarray) -> list[Objects]:
    """What each query predicts, as the most probable class that is not "no object".

    Logits (B, Q, K + 1) and boxes (B, Q, 4), cxcywh in units of the images' sizes (B, 4), which are
    width, height, width, height. The objects' boxes are xyxy in pixels.
    """
    p = kernels.softmax.reference(logits)[..., :-1]  # (B, Q, K)
    corners = cxcywh_to_xyxy(boxes) * sizes[:, None]  # (B, Q, 4)
    return list(map(Objects, p.argmax(axis=-1), corners, p.max(axis=-1)))
