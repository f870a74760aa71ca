"""Digits in scenes without a network: connected bright pixels, and the training digit that is
nearest to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from scipy import ndimage

from tinygrad_cv.data import Dataset

from ...classical.nearest import flatten, nearest
from ...vision.boxes import Objects

INK = 0.3  # a pixel as bright as this belongs to its digit
DIAGONALS_TOO = np.ones((3, 3))  # a pixel hangs together with all eight around it
MIN_HEIGHT = 6  # pixels; lower ones are fragments
TRAINING_DIGITS = 5000  # nearest_digit compares with at most so many

Classify = Callable[[np.ndarray, np.ndarray], Objects]  # (image, boxes) -> objects


def ink(image: np.ndarray) -> tuple[int, int, int, int]:
    """The box around all pixels that belong to a digit; the whole image if there are none."""
    bright = image >= INK
    rows = np.flatnonzero(bright.any(axis=1))
    columns = np.flatnonzero(bright.any(axis=0))
    if not len(rows):
        return 0, 0, image.shape[1], image.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """A grey image (H, W) in another size (height, width): bilinear, averaged where it shrinks."""
    rows = resampling(image.shape[0], height)
    columns = resampling(image.shape[1], width)
    return np.asarray(rows @ image @ columns.T)


@cache
def resampling(old: int, new: int) -> np.ndarray:
    """The matrix (new, old) that resamples an axis.

    It interpolates linearly, or where there are fewer pixels than before, averages under a
    triangle.
    """
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    distances = np.abs(np.arange(old) - centres[:, None])  # (new, old)
    weights = np.maximum(0, 1 - distances / max(1, old / new))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def connected(image: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) around connected bright pixels that are at least 6 pixels high."""
    groups, _ = ndimage.label(image >= INK, DIAGONALS_TOO)
    boxes = []
    for y, x in ndimage.find_objects(groups):
        if y.stop - y.start >= MIN_HEIGHT:
            boxes.append((x.start, y.start, x.stop, y.stop))
    return np.array(boxes, float).reshape(-1, 4)


def nearest_digit(training: Dataset) -> Classify:
    """A function (image, boxes) -> objects.

    Each box gets the class of the training digit that is nearest to what is in it. Both are cut to
    the ink and stretched to one size; the score falls with the distance.
    """
    assert training.labels is not None
    chosen = np.random.default_rng(0).permutation(len(training))[:TRAINING_DIGITS]
    images = training.images[chosen]
    labels = training.labels[chosen]
    size = images.shape[1:3]
    known = flatten(np.stack([normal(image, ink(image), size) for image in images]))

    def classify(image: np.ndarray, boxes: np.ndarray) -> Objects:
        if not len(boxes):
            return Objects(np.zeros(0, int), boxes, np.zeros(0))
        contents = flatten(np.stack([normal(image, box, size) for box in boxes]))
        indices = nearest(contents, known)
        distances = np.linalg.norm(contents - known[indices], axis=1)
        return Objects(labels[indices], boxes, 1 / (1 + distances))

    return classify


def normal(
    image: np.ndarray,
    box: Sequence[int] | np.ndarray,
    size: tuple[int, ...],
) -> np.ndarray:
    """A box's content stretched to one size (height, width) and brightness."""
    left, top, right, bottom = (int(edge) for edge in box)
    height, width = size
    content = resize(image[top:bottom, left:right], height, width)
    return content / max(float(content.max()), INK)


def cover_connected(image: np.ndarray, classify: Classify, none: int) -> np.ndarray:
    """The class of each pixel, (H, W): connected bright ones have that of their nearest digit.

    All others, and groups that are too low for a digit, have the class `none`.
    """
    groups, number = ndimage.label(image >= INK, DIAGONALS_TOO)
    cover = np.full(image.shape, none)
    for group in range(1, number + 1):
        inside = groups == group
        boxes = connected(np.where(inside, image, 0))
        if len(boxes):
            cover[inside] = classify(image, boxes).labels[0]
    return cover
