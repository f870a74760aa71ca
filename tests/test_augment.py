"""Augmentation: windows of the padded image, mirrored images, mixtures; each by its own draw of the generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cv import data

channels = st.sampled_from([(), (3,)])
seeds = st.integers(0, 2**32 - 1)


def numbered(n: int, h: int, w: int, extra: tuple[int, ...]) -> np.ndarray:
    """Images without two equal pixels, and without a zero."""
    return np.arange(1, 1 + n * h * w * int(np.prod(extra)), dtype=np.float32).reshape(n, h, w, *extra)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2), channels, st.data(), seeds)
def test_a_crop_is_a_window_of_the_padded_image(n: int, h: int, w: int, p: int, extra: Any, data_: Any, seed: int) -> None:
    images = numbered(n, h, w, extra)
    size = data_.draw(st.integers(1, h + 2 * p)), data_.draw(st.integers(1, w + 2 * p))
    cropped = data.crop(images, size, padding=p, rng=np.random.default_rng(seed))
    assert cropped.shape == (n, *size, *extra)
    padded = np.pad(images, [(0, 0), (p, p), (p, p), *[(0, 0)] * len(extra)])
    for one, whole in zip(cropped, padded, strict=True):
        places = np.ndindex(h + 2 * p - size[0] + 1, w + 2 * p - size[1] + 1)
        assert any(np.array_equal(one, whole[y : y + size[0], x : x + size[1]]) for y, x in places)


def test_images_are_shifted_each_by_itself_to_all_places() -> None:
    images = numbered(1, 3, 3, ()).repeat(400, axis=0)
    shifted = data.shift(images, 1, rng=np.random.default_rng(0))
    assert len(np.unique(shifted.reshape(400, -1), axis=0)) == 9
    np.testing.assert_array_equal(data.shift(images, 0, rng=np.random.default_rng(0)), images)


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), channels, seeds)
def test_an_affine_map_of_no_size_changes_nothing(n: int, h: int, w: int, extra: Any, seed: int) -> None:
    images = numbered(n, h, w, extra)
    np.testing.assert_array_equal(data.affine(images, rng=np.random.default_rng(seed)), images)


@pytest.mark.parametrize("change", [{"rotation": 90.0}, {"shear": 2.0}, {"scaling": 0.7}])
def test_affine_maps_are_those_of_scipy(change: dict[str, float]) -> None:
    from scipy.ndimage import affine_transform

    images = np.random.default_rng(0).random((3, 7, 5)).astype(np.float32)

    class Most:  # a generator whose uniform numbers are the highest
        def uniform(self, low: float, high: float, size: Any) -> np.ndarray:
            return np.full(size, high)

    angle, slant, factor = np.radians(change.get("rotation", 0)), change.get("shear", 0), np.exp(change.get("scaling", 0))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ [[factor, 0], [slant, factor]]
    centre = np.array([3, 2])
    moved = data.affine(images, **change, rng=Most())  # type: ignore[arg-type]
    assert not np.allclose(moved, images)
    for one, image in zip(moved, images, strict=True):
        wanted = affine_transform(image, matrix, centre - matrix @ centre, order=1, mode="grid-constant")
        np.testing.assert_allclose(one, wanted, atol=1e-5)


@given(st.floats(0, 1), channels, seeds)
def test_a_flip_mirrors_left_and_right(probability: float, extra: Any, seed: int) -> None:
    images = numbered(6, 2, 3, extra)
    flipped = data.flip(images, probability=probability, rng=np.random.default_rng(seed))
    for one, whole in zip(flipped, images, strict=True):
        assert np.array_equal(one, whole) or np.array_equal(one, whole[:, ::-1])
    if probability in (0, 1):
        np.testing.assert_array_equal(flipped, images[:, :, ::-1] if probability else images)


@given(st.floats(0.1, 3), seeds)
def test_mixup_shares_images_and_labels_alike(alpha: float, seed: int) -> None:
    images, labels = np.eye(5, dtype=np.float32).reshape(5, 5, 1), np.arange(5)
    mixed, others, share = data.mixup(images, labels, alpha, rng=np.random.default_rng(seed))
    assert mixed.dtype == np.float32
    wanted = share * np.eye(5)[labels] + (1 - share) * np.eye(5)[others]
    np.testing.assert_allclose(mixed[..., 0], wanted, atol=1e-6)


def test_a_window_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a window of \(9, 8\) does not fit images of \(8, 8\)"):
        data.crop(np.zeros((2, 8, 8)), (9, 8), rng=np.random.default_rng(0))
