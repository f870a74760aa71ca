"""Boxes: overlap against counted pixels, its bounds, symmetries and gradient, boxes of no area."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from models.lab.report.images import PALETTE, with_boxes
from models.vision.boxes import Objects, cxcywh_to_xyxy, giou, iou, xyxy_to_cxcywh
from tinygrad_cv.testing import check_grad

SIDE = 12
seeds = st.integers(0, 2**32 - 1)


@st.composite
def whole_boxes(draw: Any) -> np.ndarray:
    """A box whose sides lie between pixels, xyxy; it may be empty."""
    x, y = (sorted(draw(st.tuples(*[st.integers(0, SIDE)] * 2))) for _ in range(2))
    return np.array([x[0], y[0], x[1], y[1]], float)


def pixels(box: np.ndarray) -> np.ndarray:
    left, top, right, bottom = box.astype(int)
    filled = np.zeros((SIDE, SIDE), bool)
    filled[top:bottom, left:right] = True
    return filled


def random_boxes(seed: int, *shape: int) -> np.ndarray:
    """Boxes (*shape, 4) xyxy whose sides are at least .05, in [0, 1]."""
    rng = np.random.default_rng(seed)
    first = rng.uniform(0, 0.5, (*shape, 2))
    return np.concatenate([first, first + rng.uniform(0.05, 0.5, (*shape, 2))], axis=-1)


@given(whole_boxes(), whole_boxes())
def test_overlap_counts_pixels(a: np.ndarray, b: np.ndarray) -> None:
    both, either = (pixels(a) & pixels(b)).sum(), (pixels(a) | pixels(b)).sum()
    expected = both / either if either else 0.0
    assert iou(a, b) == pytest.approx(expected, abs=1e-12)
    around = np.prod(np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2]))
    if around:
        assert giou(a, b) == pytest.approx(expected - (around - either) / around, abs=1e-12)


@given(seeds)
def test_both_notations_are_one_box(seed: int) -> None:
    boxes = random_boxes(seed, 3, 2)
    np.testing.assert_allclose(cxcywh_to_xyxy(xyxy_to_cxcywh(boxes)), boxes, atol=1e-15)
    np.testing.assert_allclose(xyxy_to_cxcywh(np.array([1.0, 2.0, 5.0, 4.0])), [3, 3, 4, 2])


@given(seeds)
def test_overlaps_are_symmetric_bounded_and_know_no_unit(seed: int) -> None:
    a, b = random_boxes(seed, 5), random_boxes(seed + 1, 4)
    one, two = iou(a[:, None], b), giou(a[:, None], b)
    assert one.shape == two.shape == (5, 4)
    assert np.all((one >= 0) & (one <= 1) & (two > -1) & (two <= one + 1e-12))  # rounding
    np.testing.assert_array_equal(one.T, iou(b[:, None], a))
    np.testing.assert_array_equal(two.T, giou(b[:, None], a))
    np.testing.assert_allclose(iou(a, a), 1, rtol=1e-12)
    np.testing.assert_allclose(giou(a, a), 1, rtol=1e-12)
    stretch, move = np.array([3.0, 0.5, 3.0, 0.5]), np.array([7.0, -2.0, 7.0, -2.0])
    for measure in (iou, giou):
        moved = measure(a[:, None] * stretch + move, b * stretch + move)
        np.testing.assert_allclose(moved, measure(a[:, None], b), atol=1e-12)


@pytest.mark.parametrize("measure", [iou, giou])
@given(seed=seeds)
def test_the_gradient_of_overlap(measure: Any, seed: int) -> None:
    check_grad(
        lambda a, b: measure(a[:, None], b), random_boxes(seed, 2), random_boxes(seed + 1, 3)
    )


def test_boxes_apart_are_drawn_together_by_giou_and_not_by_iou() -> None:
    a, b = np.array([0.0, 0.0, 0.2, 0.2]), np.array([0.6, 0.0, 0.8, 0.2])
    assert not np.any(tg.grad(iou)(a, b))
    assert tg.grad(giou)(a, b)[2] > 0  # the right side moves towards the other box


def test_boxes_without_area_have_finite_overlaps_and_gradients() -> None:
    point = np.array([0.3, 0.3, 0.3, 0.3], np.float32)
    for measure in (iou, giou):
        for other in (point, np.array([0.1, 0.1, 0.5, 0.5], np.float32)):
            assert np.isfinite(measure(point, other))
            assert np.all(np.isfinite(tg.grad(measure)(point, other)))
    assert iou(point, point) == 0


def test_objects_have_a_box_and_a_score_each() -> None:
    with pytest.raises(ValueError, match=r"for 2 labels it is \(2, 4\) and \(2,\)"):
        Objects.certain(np.array([1, 2]), np.zeros((3, 4)))


def test_a_box_is_drawn_on_its_border_in_the_colour_of_its_class() -> None:
    objects = Objects.certain(np.array([3]), np.array([[2.0, 1.0, 8.0, 9.0]]))
    drawn = with_boxes(np.zeros((10, 10)), objects, scale=4)
    assert drawn.shape == (40, 40, 3)
    colour = np.array([int(PALETTE[3][i : i + 2], 16) for i in (1, 3, 5)]) / 255
    border = np.zeros((40, 40), bool)
    border[4:36, 8:32] = True
    border[5:35, 9:31] = False
    np.testing.assert_allclose(
        drawn[border], np.broadcast_to(colour, drawn[border].shape), atol=1e-6
    )
    assert (
        not drawn[:4].any()
        and not drawn[36:].any()
        and not drawn[:, :8].any()
        and not drawn[:, 32:].any()
    )
