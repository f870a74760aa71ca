"""Average precision: an example worked by hand, and what must hold of it. COCO's own program is asked in the parity tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.lab.evaluation.detection import average_precision, detection_metrics
from models.vision.boxes import Objects

seeds = st.integers(0, 2**32 - 1)


def objects(*rows: tuple[float, int, list[float]]) -> Objects:
    """Objects from (score, label, box)."""
    scores, labels, boxes = zip(*rows, strict=True) if rows else ((), (), np.zeros((0, 4)))
    return Objects(np.array(labels, int), np.array(boxes, float).reshape(-1, 4), np.array(scores, float))


def random_objects(rng: np.random.Generator, most: int = 5, classes: int = 3) -> Objects:
    n = rng.integers(1, most + 1)
    first = rng.uniform(0, 30, (n, 2))
    boxes = np.concatenate([first, first + rng.uniform(4, 15, (n, 2))], axis=1)
    return Objects.certain(rng.integers(classes, size=n), boxes)


def test_an_example_worked_by_hand() -> None:
    """Three true objects; by falling score: right, wrong, wrong, right up to IoU .72, right, and the first once more.

    Up to .7 right is 1 0 0 1 1 0: recall 1/3 at precision 1, 2/3 at 2/4, 1 at 3/5, so 2/3 as well is had at 3/5: 34 of the
    101 recalls have 1 and 67 have 3/5. From .75 on right is 1 0 0 0 1 0: 34 have 1, 33 have 2/5, the rest is never reached.
    """
    truths = [
        Objects.certain(np.array([0, 0]), np.array([[0.0, 0, 10, 10], [20, 20, 30, 30]])),
        Objects.certain(np.array([0]), np.array([[5.0, 5, 15, 15]])),
    ]
    seen = [
        objects(
            (0.9, 0, [0, 0, 10, 10]), (0.2, 0, [0, 0, 10, 9.9]), (0.6, 0, [20, 20, 30, 27.2]), (0.7, 0, [40, 0, 50, 9])
        ),
        objects((0.8, 0, [30, 30, 40, 40]), (0.5, 0, [5, 5, 15, 15])),
    ]
    expected = [(34 + 67 * 0.6) / 101] * 5 + [(34 + 33 * 0.4) / 101] * 5
    np.testing.assert_allclose(average_precision(seen, truths, 0), expected, rtol=1e-12)
    figures = detection_metrics(seen, truths, 1)
    assert figures == pytest.approx({"mAP": np.mean(expected), "AP50": expected[0], "AP75": expected[-1]})


@given(seeds)
def test_the_detected_truth_is_perfect_and_the_wrong_classes_are_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths = [random_objects(rng) for _ in range(4)]
    assert detection_metrics(truths, truths, 3) == {"mAP": 1, "AP50": 1, "AP75": 1}
    wrong = [Objects(objects.labels + 3, objects.boxes, objects.scores) for objects in truths]
    assert detection_metrics(wrong, truths, 6)["AP50"] == 0


@given(seeds)
def test_more_that_is_less_sure_never_harms_and_order_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths, seen = ([random_objects(rng) for _ in range(4)] for _ in range(2))
    seen = [Objects(o.labels, o.boxes, rng.uniform(0.5, 1, len(o))) for o in seen]
    figures = detection_metrics(seen, truths, 3)
    more = [
        Objects(np.r_[o.labels, t.labels], np.r_[o.boxes, t.boxes], np.r_[o.scores, rng.uniform(0, 0.5, len(t))])
        for o, t in zip(seen, truths, strict=True)
    ]
    better = detection_metrics(more, truths, 3)
    assert all(better[name] >= figures[name] for name in figures)
    assert detection_metrics([o[::-1] for o in more], truths, 3) == better


def test_a_class_that_does_not_occur_does_not_count() -> None:
    truths = [Objects.certain(np.array([1]), np.array([[0.0, 0, 5, 5]]))]
    assert detection_metrics(truths, truths, 10)["mAP"] == 1
    nothing = [objects()]
    assert all(np.isnan(v) for v in detection_metrics(nothing, nothing, 10).values())
    assert detection_metrics(nothing, truths, 10)["mAP"] == 0


def test_what_was_detected_belongs_to_the_same_images() -> None:
    with pytest.raises(ValueError, match="2 images with detected objects, but 1 with true ones"):
        detection_metrics([objects(), objects()], [objects()], 1)
