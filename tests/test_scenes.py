"""Scenes: tight boxes, true labels, blank padding, an unseen test part, and that they repeat."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.lab.evaluation.connected import INK, resize
from models.lab.tasks.scenes import SceneConfig, Scenes, draw_scenes, scenes
from models.vision.boxes import overlap
from tinygrad_cv import data

TRAINING, TEST = data.digits(), data.digits("test")
CLEAN = SceneConfig(fragments=0, noise=0.0, touching=0.0)
configs = st.builds(
    SceneConfig,
    smallest=st.sampled_from([24, 40, 48]),
    digits=st.integers(1, 8),
    touching=st.sampled_from([0.0, 0.3]),
    fragments=st.integers(0, 9),
)
seeds = st.integers(0, 2**32 - 1)


def draw(
    config: SceneConfig, seed: int, number: int = 3, source: data.Dataset = TRAINING
) -> Scenes:
    return draw_scenes(source, config, np.random.default_rng(seed).integers(2**63, size=number))


@given(seeds)
def test_boxes_are_tight_around_all_ink_there_is(seed: int) -> None:
    drawn = draw(CLEAN, seed)
    for image, cover, objects in zip(drawn.images, drawn.cover, drawn.objects, strict=True):
        left = image >= INK
        for label, (x0, y0, x1, y1) in zip(objects.labels, objects.boxes.astype(int), strict=True):
            inside = cover[y0:y1, x0:x1]
            assert set(np.unique(inside)) <= {label, 10}
            digit = inside == label
            assert digit[0].any() and digit[-1].any() and digit[:, 0].any() and digit[:, -1].any()
            np.testing.assert_array_equal(digit, image[y0:y1, x0:x1] >= INK)
            left[y0:y1, x0:x1] = False
        assert not left.any()


@given(configs, seeds)
def test_scenes_are_what_their_configuration_says(config: SceneConfig, seed: int) -> None:
    drawn = draw(config, seed)
    assert drawn.images.shape == drawn.mask.shape == drawn.cover.shape == (3, 48, 48)
    assert drawn.images.dtype == np.float32 and 0 <= drawn.images.min() <= drawn.images.max() <= 1
    assert not drawn.images[~drawn.mask].any() and np.all(drawn.cover[~drawn.mask] == 10)
    for mask, (width, height, *_), objects in zip(
        drawn.mask, drawn.sizes, drawn.objects, strict=True
    ):
        assert config.smallest <= min(width, height)
        assert mask[:height, :width].all() and mask.sum() == width * height
        assert 1 <= len(objects) <= config.digits
        assert np.all((objects.boxes >= 0) & (objects.boxes <= [width, height, width, height]))
        sizes = objects.boxes[:, 2:] - objects.boxes[:, :2]
        assert np.all(sizes <= max(config.digit))
        shared, _ = overlap(objects.boxes[:, None], objects.boxes)
        area = sizes.prod(axis=1)
        np.fill_diagonal(shared, 0)
        assert np.all(shared <= config.touching * np.minimum(area[:, None], area) + 1e-9)


def test_every_class_size_and_number_comes() -> None:
    drawn = draw(SceneConfig(), 0, 200)
    assert {int(n) for o in drawn.objects for n in o.labels} == set(range(10))
    assert {len(o) for o in drawn.objects} == {1, 2, 3, 4, 5, 6}
    heights = np.concatenate([o.boxes[:, 3] - o.boxes[:, 1] for o in drawn.objects])
    assert heights.min() <= 12 and heights.max() >= 22


def test_scenes_are_made_of_the_digits_of_their_source_alone() -> None:
    """The source has black images but for one white block.

    Every bright pixel, also of fragments, must come from it.
    """
    images = np.zeros((5, 8, 8), np.float32)
    images[3, 2:6, 2:6] = 1
    source = data.Dataset("blocks", images, np.arange(5), tuple("01234"))
    drawn = draw(replace(CLEAN, fragments=0), 0, 30, source)
    assert {int(n) for o in drawn.objects for n in o.labels} == {3}
    assert not set(map(bytes, TRAINING.images)) & set(map(bytes, TEST.images))


@given(st.integers(1, 30), st.integers(1, 30))
def test_images_are_resized_as_pillow_does(height: int, width: int) -> None:
    pillow = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(0).random((8, 13), np.float32)
    expected = pillow.fromarray(image).resize((width, height), pillow.Resampling.BILINEAR)
    np.testing.assert_allclose(resize(image, height, width), np.asarray(expected), atol=1e-6)


def test_same_seed_same_scenes_and_a_stopped_stream_goes_on() -> None:
    one, two = (scenes(TRAINING, SceneConfig(), 2, rng=np.random.default_rng(5)) for _ in range(2))
    next(one)
    state = json.loads(json.dumps(one.state()))
    expected = next(one)
    two.restore(state)
    drawn = next(two)
    for name in ("images", "mask", "cover"):
        np.testing.assert_array_equal(getattr(drawn, name), getattr(expected, name))
    np.testing.assert_array_equal(drawn.objects[1].boxes, expected.objects[1].boxes)
    assert not np.array_equal(next(two).images, drawn.images)


@pytest.mark.parametrize(
    ("source", "config", "message"),
    [
        (
            replace(TRAINING, labels=None),
            SceneConfig(),
            "digits: scenes are made of .* not of images without labels",
        ),
        (
            replace(TRAINING, images=np.zeros((1200, 8, 8, 3))),
            SceneConfig(),
            r"of shape \(8, 8, 3\)",
        ),
        (
            TRAINING,
            SceneConfig(smallest=20),
            "pixels, images of 20 or more, a canvas of 48: each must fit",
        ),
        (TRAINING, SceneConfig(canvas=40), "a canvas of 40: each must fit"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_training(
    source: Any, config: SceneConfig, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        scenes(source, config, 2, rng=np.random.default_rng(0))
