"""Captioned scenes: images of one digit or two, as a caption says, on a dark canvas.

Each scene is drawn anew, with digits of one part of a data set. Beside its caption stands another
one, which the scene contradicts: half of these differ in one thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tinygrad_cv.data import Dataset
from tinygrad_cv.data.state import jsonable

from ...config import Config, NonNegative
from ...vision.boxes import Objects
from ..evaluation.captions import (
    RELATIONS,
    SIZES,
    Caption,
    altered,
    compared,
    draw_caption,
    one_of,
    relation_between,
)
from ..evaluation.connected import INK, ink, resize
from .scenes import check_source

HEIGHTS = {"large": (11, 12), "small": (7, 8)}  # pixels, of the smallest and the largest digit


@dataclass(frozen=True)
class CaptionConfig(Config):
    """What captioned scenes look like."""

    canvas: int = 24  # height and width of the images
    jitter: NonNegative = 2  # pixels at most by which digits are moved away from their places
    noise: float = 0.02  # standard deviation
    measured_captions: int = 500  # of each kind, by which a model is evaluated


def check_canvas(config: CaptionConfig) -> None:
    """Raise ValueError if two large digits do not fit into an image."""
    least = 2 * HEIGHTS["large"][1]
    if config.canvas < least:
        raise ValueError(f"data.canvas={config.canvas}: two large digits take {least} pixels")


class Digits:
    """The digits of a data set by class, cut to their ink."""

    def __init__(self, source: Dataset) -> None:
        check_source(source)
        assert source.labels is not None
        if len(source.classes) != 10:
            raise ValueError(f"{source.name}: captions are of ten digits, not {source.classes}")
        self.of_class: list[list[np.ndarray]] = [[] for _ in source.classes]
        for image, label in zip(source.images, source.labels, strict=True):
            left, top, right, bottom = ink(image)
            self.of_class[label].append(image[top:bottom, left:right])
        for label, images in enumerate(self.of_class):
            if not images:
                raise ValueError(f"{source.name} has no image of a {label} to draw scenes with")

    def draw(self, label: int, size: str, *, rng: np.random.Generator) -> np.ndarray:
        """A digit of a class and size, in a proportion and brightness of its own: (h, w)."""
        images = self.of_class[label]
        image = one_of(images, rng)
        smallest, largest = HEIGHTS[size]
        height = int(rng.integers(smallest, largest + 1))
        proportion = image.shape[1] / image.shape[0] * rng.uniform(0.9, 1.1)
        width = min(largest, max(2, round(height * proportion)))
        resized = resize(image, height, width)
        return resized * np.float32(rng.uniform(0.8, 1) / max(resized.max(), INK))


def draw_scene(
    caption: Caption, digits: Digits, config: CaptionConfig, *, rng: np.random.Generator
) -> tuple[np.ndarray, Objects]:
    """An image (H, W) in [0, 1] of what a caption says, and its objects in the caption's order.

    What the caption leaves open is drawn: sizes, and on which side of the second digit the first
    is.
    """
    canvas = config.canvas
    drawn = []
    for mention in caption.digits:
        size = mention.size or one_of(tuple(SIZES), rng)
        drawn.append(digits.draw(mention.label, size, rng=rng))
    sizes = np.array([digit.shape for digit in drawn])  # (n, 2)
    if len(drawn) == 1:
        corners = moved((canvas - sizes) // 2, sizes, config, rng=rng)
    else:
        relation = caption.relation or one_of(tuple(RELATIONS), rng)
        corners = places(relation, sizes, config, rng=rng)
    image = np.zeros((canvas, canvas), np.float32)
    boxes = []
    for digit, (top, left) in zip(drawn, corners, strict=True):
        height, width = digit.shape
        image[top : top + height, left : left + width] = digit
        boxes.append((left, top, left + width, top + height))
    noise = rng.normal(0, config.noise, image.shape).astype(np.float32)
    labels = np.array([mention.label for mention in caption.digits])
    objects = Objects.certain(labels, np.array(boxes, float))
    return np.clip(image + noise, 0, 1), objects


def places(
    relation: str, sizes: np.ndarray, config: CaptionConfig, *, rng: np.random.Generator
) -> np.ndarray:
    """Where two digits of sizes (2, 2), (h, w) each, begin: the first is as the relation says.

    They share no row, or no column, whichever the relation is about.
    """
    axis = 1 if relation in ("left of", "right of") else 0
    first, second = (0, 1) if relation in ("left of", "above") else (1, 0)
    middle = config.canvas // 2
    while True:
        corners = (config.canvas - sizes) // 2
        corners[first, axis] = middle - sizes[first, axis]
        corners[second, axis] = middle
        corners = moved(corners, sizes, config, rng=rng)
        apart = corners[second, axis] - corners[first, axis] >= sizes[first, axis]
        ends = corners + sizes
        boxes = np.concatenate([corners[:, ::-1], ends[:, ::-1]], axis=1)  # xyxy
        if apart and relation_between(*boxes) == relation:
            return corners


def moved(
    corners: np.ndarray, sizes: np.ndarray, config: CaptionConfig, *, rng: np.random.Generator
) -> np.ndarray:
    """Corners (n, 2) of digits moved at random, but not out of the image."""
    jitter = rng.integers(-config.jitter, config.jitter + 1, corners.shape)
    return np.clip(corners + jitter, 0, config.canvas - sizes)


@dataclass(frozen=True, eq=False)
class Captioned:
    """Scenes (B, H, W) with their captions, and with captions that they contradict."""

    images: np.ndarray
    captions: list[Caption]
    wrong: list[Caption]


def draw_captioned(
    digits: Digits,
    config: CaptionConfig,
    number: int,
    part: str = "training",
    *,
    group: int = 1,
    rng: np.random.Generator,
) -> Captioned:
    """So many captioned scenes, with pairs of digits of a part.

    group: scenes of the same caption, one after the other.
    """
    images = np.zeros((number, config.canvas, config.canvas), np.float32)
    captions, wrong = [], []
    for i, image in enumerate(images):
        if i % group == 0:
            caption = draw_caption(part, rng=rng)
        image[...], objects = draw_scene(caption, digits, config, rng=rng)
        captions.append(caption)
        wrong.append(contradicted(caption, objects, part, rng=rng))
    return Captioned(images, captions, wrong)


def contradicted(
    caption: Caption, objects: Objects, part: str, *, rng: np.random.Generator
) -> Caption:
    """A caption that is not true of these objects: a slightly other one, or any other."""
    slightly = rng.random() < 0.5
    while True:
        other = altered(caption, rng=rng) if slightly else draw_caption(part, rng=rng)
        if not compared(other, objects)["all"]:
            return other


class captioned:  # named as a function, like batches
    """An endless iterator over batches of captioned scenes, all of them new.

    `state()` and `restore(state)` are those of `batches`.
    """

    def __init__(
        self,
        source: Dataset,
        config: CaptionConfig,
        size: int,
        *,
        group: int = 1,
        rng: np.random.Generator,
    ) -> None:
        self.digits = Digits(source)
        self.config = config
        self.size = size
        self.group = group
        self.rng = rng

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Captioned:
        size, group = self.size, self.group
        return draw_captioned(self.digits, self.config, size, group=group, rng=self.rng)

    def state(self) -> dict[str, Any]:
        """Where the iteration stands: plain numbers and strings, for `restore`."""
        return jsonable({"rng": self.rng.bit_generator.state})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, and set `rng` to what it was then."""
        self.rng.bit_generator.state = state["rng"]
