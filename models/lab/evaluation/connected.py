"""Finding digits in the classical way: connected bright pixels, and the training digit that is nearest to them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy import ndimage

from tinygrad_cv.data import Dataset

from ...classical.nearest import flatten, nearest
from ...vision.boxes import Objects

INK = 0.3  # a pixel as bright as this belongs to its digit


def ink(image: np.ndarray) -> tuple[int, int, int, int]:
    """The box around all pixels that belong to a digit; the whole picture if there are none."""
    rows, columns = (np.flatnonzero((image >= INK).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return 0, 0, image.shape[1], image.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """A grey picture in another size, bilinear, averaged where it shrinks: (H, W) -> (height, width)."""
    return np.asarray(resampling(image.shape[0], height) @ image @ resampling(image.shape[1], width).T)


@cache
def resampling(old: int, new: int) -> np.ndarray:
    """The matrix (new, old) that interpolates linearly, or where there are fewer than before, averages under a triangle."""
    centre = (np.arange(new) + 0.5) * old / new - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(old) - centre[:, None]) / max(1, old / new))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def connected(image: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) around connected bright pixels, diagonals included, that are at least 6 pixels high."""
    places, _ = ndimage.label(image >= INK, np.ones((3, 3)))
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(places) if y.stop - y.start >= 6]
    return np.array(boxes, float).reshape(-1, 4)


def nearest_digit(training: Dataset, most: int = 5000) -> Any:
    """A function (picture, boxes) -> objects with the class of the training digit that each box's content is nearest to.

    Both are cut to the ink and stretched to one size; the score falls with the distance.
    """
    assert training.labels is not None
    some, size = np.random.default_rng(0).permutation(len(training))[:most], training.images.shape[1:3]
    images, labels = training.images[some], training.labels[some]
    known = np.stack([normal(image, ink(image), size) for image in images])

    def classify(image: np.ndarray, boxes: np.ndarray) -> Objects:
        if not len(boxes):
            return Objects(np.zeros(0, int), boxes, np.zeros(0))
        cut = np.stack([normal(image, box, size) for box in boxes])
        chosen = nearest(flatten(cut), flatten(known))
        distance = np.linalg.norm(flatten(cut) - flatten(known[chosen]), axis=1)
        return Objects(labels[chosen], boxes, 1 / (1 + distance))

    return classify


def normal(image: np.ndarray, box: Any, size: tuple[int, ...]) -> np.ndarray:
    """A box's content stretched to one size and brightness: (height, width)."""
    left, top, right, bottom = (int(n) for n in box)
    picture = resize(image[top:bottom, left:right], *size)
    return picture / max(float(picture.max()), INK)


def cover_connected(image: np.ndarray, classify: Any, none: int) -> np.ndarray:
    """Connected bright pixels, each group with the class of the nearest training digit: (H, W)."""
    places, number = ndimage.label(image >= INK, np.ones((3, 3)))
    cover = np.full(image.shape, none)
    for place in range(1, number + 1):
        boxes = connected(np.where(places == place, image, 0))
        if len(boxes):
            cover[places == place] = classify(image, boxes).labels[0]
    return cover
