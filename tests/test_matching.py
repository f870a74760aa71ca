"""DETR's matcher and criterion against an independent brute force over all assignments."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.vision.boxes import Objects
from models.vision.matching import criterion, match
from tinygrad_cv import Tensor
from tinygrad_cv.testing import check_grad

seeds = st.integers(0, 2**32 - 1)


def case(
    seed: int, counts: list[int], layers: int = 2, queries: int = 4, classes: int = 3
) -> tuple[Any, Any, Any]:
    """Logits (L, B, Q, K + 1), boxes (L, B, Q, 4), and as many objects in each image, float64."""
    rng = np.random.default_rng(seed)
    boxes = lambda *shape: np.concatenate(
        [rng.uniform(0.2, 0.8, (*shape, 2)), rng.uniform(0.1, 0.4, (*shape, 2))], -1
    )
    truths = [Objects.certain(rng.integers(classes, size=n), boxes(n)) for n in counts]
    return (
        rng.normal(size=(layers, len(counts), queries, classes + 1)),
        boxes(layers, len(counts), queries),
        truths,
    )


def box_terms(a: Any, b: Any) -> tuple[float, float]:
    """|a - b|_1 and GIoU of two cxcywh, in plain Python."""
    (left, top, right, bottom), (x0, y0, x1, y1) = (
        (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        for cx, cy, w, h in (map(float, a), map(float, b))
    )
    both = max(0.0, min(right, x1) - max(left, x0)) * max(0.0, min(bottom, y1) - max(top, y0))
    either = (right - left) * (bottom - top) + (x1 - x0) * (y1 - y0) - both
    around = (max(right, x1) - min(left, x0)) * (max(bottom, y1) - min(top, y0))
    return sum(abs(float(p) - float(q)) for p, q in zip(a, b, strict=True)), both / either - (
        around - either
    ) / around


def brute_force(logits: Any, boxes: Any, objects: Objects) -> dict[int, int]:
    """Query -> object, of one layer and image: the cheapest of all assignments, one by one."""
    best, chosen = math.inf, {}
    queries, n = len(logits), len(objects)
    p = [[math.exp(v) / sum(map(math.exp, row)) for v in row] for row in logits.tolist()]
    fewer = min(queries, n)
    pairs = (
        [tuple(zip(q, range(n), strict=True)) for q in permutations(range(queries), n)]
        if n <= queries
        else [tuple(zip(range(queries), o, strict=True)) for o in permutations(range(n), fewer)]
    )
    for pairing in pairs:
        cost = 0.0
        for q, o in pairing:
            distance, overlap = box_terms(boxes[q], objects.boxes[o])
            cost += 5 * distance - p[q][int(objects.labels[o])] - 2 * overlap
        if cost < best:
            best, chosen = cost, dict(pairing)
    return chosen


@given(seeds, st.lists(st.integers(0, 5), min_size=1, max_size=3))
def test_the_matcher_finds_the_cheapest_assignment(seed: int, counts: list[int]) -> None:
    logits, boxes, truths = case(seed, counts)
    layer, image, query, number = match(logits, boxes, truths)
    for i, b in np.ndindex(logits.shape[:2]):
        here = (layer == i) & (image == b)
        assert dict(zip(query[here], number[here], strict=True)) == brute_force(
            logits[i, b], boxes[i, b], truths[b]
        )


@given(seeds, st.lists(st.integers(0, 4), min_size=1, max_size=3))
def test_the_criterion_is_its_definition(seed: int, counts: list[int]) -> None:
    logits, boxes, truths = case(seed, counts)
    none, expected = logits.shape[-1] - 1, 0.0
    for i in range(len(logits)):
        entropy = weights = distances = overlaps = 0.0
        for b, objects in enumerate(truths):
            chosen = brute_force(logits[i, b], boxes[i, b], objects)
            for q, row in enumerate(logits[i, b].tolist()):
                label = int(objects.labels[chosen[q]]) if q in chosen else none
                weight = 0.1 if label == none else 1.0
                entropy += weight * (math.log(sum(map(math.exp, row))) - row[label])
                weights += weight
                if q in chosen:
                    distance, overlap = box_terms(boxes[i, b, q], objects.boxes[chosen[q]])
                    distances, overlaps = distances + distance, overlaps + 1 - overlap
        expected += entropy / weights + (5 * distances + 2 * overlaps) / max(1, sum(counts))
    loss, parts = criterion(Tensor(logits), Tensor(boxes), truths)
    assert loss.item() == pytest.approx(expected, rel=1e-10)
    total = len(logits) * (parts["class"] + 5 * parts["L1"] + 2 * parts["GIoU"])
    assert total == pytest.approx(expected, rel=1e-10)
    heavy, same = criterion(Tensor(logits), Tensor(boxes), truths, class_weight=3.0)
    assert (
        heavy.item() == pytest.approx(expected + 2 * len(logits) * parts["class"], rel=1e-10)
        and same == parts
    )


@given(seeds)
def test_a_set_has_no_order(seed: int) -> None:
    logits, boxes, truths = case(seed, [3, 2])
    loss = criterion(Tensor(logits), Tensor(boxes), truths)[0].item()
    order = np.random.default_rng(seed).permutation(4)
    assert criterion(Tensor(logits[:, :, order]), Tensor(boxes[:, :, order]), truths)[
        0
    ].item() == pytest.approx(loss)
    turned = [objects[::-1] for objects in truths]
    assert criterion(Tensor(logits), Tensor(boxes), turned)[0].item() == pytest.approx(loss)


@given(seeds)
def test_the_gradient_of_the_criterion(seed: int) -> None:
    logits, boxes, truths = case(seed, [2, 0], layers=1, queries=3, classes=2)
    tensor = lambda x: Tensor(x) if isinstance(x, np.ndarray) else x
    check_grad(
        lambda logits, boxes: criterion(tensor(logits), tensor(boxes), truths)[0], logits, boxes
    )


def test_images_without_objects_teach_the_classes_only() -> None:
    logits, boxes, truths = case(0, [0, 0])
    x, y = Tensor(logits, requires_grad=True), Tensor(boxes, requires_grad=True)
    loss, parts = criterion(x, y, truths)
    loss.backward()
    assert parts["L1"] == parts["GIoU"] == 0 and loss.item() > 0
    assert np.all(x.grad[..., -1] < 0)
    assert y.grad is None or not y.grad.any()


def test_a_perfect_prediction_costs_nothing() -> None:
    _, boxes, truths = case(0, [4], layers=1)
    logits = np.full((1, 1, 4, 4), -50.0)
    logits[0, 0, np.arange(4), truths[0].labels[::-1]] = 50
    boxes[0, 0] = truths[0].boxes[::-1]
    assert criterion(Tensor(logits), Tensor(boxes), truths)[0].item() == pytest.approx(0, abs=1e-9)


def test_a_prediction_that_is_not_finite_shows_in_the_loss() -> None:
    logits, boxes, truths = case(0, [2])
    boxes[0, 0] = np.nan
    with np.errstate(all="ignore"):
        assert math.isnan(criterion(Tensor(logits), Tensor(boxes), truths)[0].item())
