"""The Vision Transformer beyond classes: YOLOS, the segmenter, and the metrics of segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.lab.evaluation.connected import cover_connected, nearest_digit
from models.lab.evaluation.segmentation import confusion, segmentation_metrics
from models.lab.tasks.scenes import draw_scenes
from models.lab.tasks.segmentation import PRESETS, Segmentation
from models.lab.tasks.yolos import PRESETS as YOLOS_PRESETS
from models.vision import segmenter, vit, yolos
from tinygrad_cv import data

DIGITS = data.digits()


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))
def test_patches_become_pixels_again(size: int, down: int, across: int, channels: int) -> None:
    images = np.random.default_rng(1).random((2, down * size, across * size, channels))
    np.testing.assert_array_equal(
        segmenter.unpatch(vit.patches(images, size), size, images.shape[1:3]), images
    )


def test_detection_tokens_are_a_set_and_see_the_image() -> None:
    model = yolos.YOLOS(YOLOS_PRESETS["tiny"].model, rng=np.random.default_rng(0)).eval()
    model.detection_tokens.data *= 50
    images, mask = (
        np.random.default_rng(1).random((2, 24, 24), np.float32),
        np.ones((2, 24, 24), bool),
    )
    logits, boxes = (y.numpy() for y in model(images, mask))
    assert logits.shape == (1, 2, 4, 11) and boxes.shape == (1, 2, 4, 4)
    assert np.ptp(logits, axis=2).max() > 1e-2 and np.ptp(logits, axis=1).max() > 1e-3
    order = np.array([2, 0, 3, 1])
    model.detection_tokens.data[...] = model.detection_tokens.data[:, order]
    turned = [y.numpy() for y in model(images, mask)]
    np.testing.assert_allclose(turned[0], logits[:, :, order], atol=1e-5)
    np.testing.assert_allclose(turned[1], boxes[:, :, order], atol=1e-5)


def test_mean_iou_of_an_example_worked_by_hand() -> None:
    """Class 0: 2 rightly of 4 in either. Class 1: 1 of 3. Class 2 is nowhere. Class 3: 1 of 1."""
    true = np.array([[0, 0, 0], [1, 1, 3]])
    predicted = np.array([[0, 0, 1], [0, 1, 3]])
    figures = segmentation_metrics(predicted, true, 4)
    assert figures == pytest.approx({"mean IoU": (2 / 4 + 1 / 3 + 1) / 3, "accuracy": 4 / 6})


@given(st.integers(0, 2**32 - 1))
def test_confusion_counts_pixels(seed: int) -> None:
    true, predicted = np.random.default_rng(seed).integers(4, size=(2, 3, 5))
    table = confusion(predicted, true, 4)
    for row, column in np.ndindex(4, 4):
        assert table[row, column] == np.sum((true == row) & (predicted == column))


def test_each_patch_token_tells_of_the_pixels_of_its_patch() -> None:
    model = segmenter.Segmenter(PRESETS["tiny"].model, rng=np.random.default_rng(0))
    images = np.random.default_rng(1).random((2, 24, 24), np.float32)
    tokens = model.norm(model.encode(images)).numpy()  # (B, 1 + 36, D)
    logits = model(images).numpy()
    for n in range(36):
        y, x = divmod(n, 6)
        expected = model.head(tokens[:, 1 + n]).numpy().reshape(2, 4, 4, 11)
        np.testing.assert_allclose(
            logits[:, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4], expected, rtol=1e-4, atol=1e-5
        )


def test_the_loss_is_the_mean_over_all_pixels_but_padding() -> None:
    task: Any = Segmentation(PRESETS["tiny"], DIGITS, rng=np.random.default_rng(0))
    drawn = draw_scenes(DIGITS, task.settings.data, range(4))
    assert not drawn.mask.all()
    logits = task.model(drawn.images).numpy().astype(float)[drawn.mask]
    logp = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -np.take_along_axis(logp, drawn.cover[drawn.mask][:, None], axis=1).mean()
    loss, figures = task.loss(drawn)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    right = np.mean(logits.argmax(axis=-1) == drawn.cover[drawn.mask])
    assert figures["accuracy on the batch"] == pytest.approx(right)


def test_connected_pixels_are_covered_by_their_digit() -> None:
    digit = np.kron(DIGITS.images[5], np.ones((2, 2), np.float32))
    image = np.zeros((24, 24), np.float32)
    image[4:20, 4:20] = digit
    cover = cover_connected(image, nearest_digit(DIGITS), 10)
    np.testing.assert_array_equal(cover == DIGITS.labels[5], image >= 0.3)
    assert set(np.unique(cover)) == {DIGITS.labels[5], 10}
