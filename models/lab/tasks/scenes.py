"""Scenes: real digits of several sizes scattered over a canvas, among fragments of others, with what there is to find.

As in the cluttered MNIST of Mnih et al. (2014), the clutter is made of pieces of digits, so strokes alone tell nothing. Every
scene is drawn anew, from the digits of one part of a data set: those of the test part have never been seen in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any, Self

import numpy as np

from tinygrad_cv import nn, parallel
from tinygrad_cv.data import Dataset
from tinygrad_cv.data.state import jsonable

from ...config import Fraction, NonNegative
from ...vision.boxes import Objects, area, overlap
from ..evaluation.connected import INK, ink, resize
from ..learner import Learner
from ..task import Task

TRIES = 20  # to find a free place for a digit, which is left out if there is none


@dataclass(frozen=True)
class SceneConfig:
    """What scenes look like; sizes in pixels."""

    classes: int = 10
    canvas: int = 48  # pictures have this height and width,
    smallest: int = 48  # filled from here upwards: what is not filled is padding
    digits: int = 6  # at most; at least 1
    digit: tuple[int, int] = (12, 22)  # smallest and largest height of a digit's own picture
    touching: Fraction = 0.1  # share of a digit's box that another's may cover
    fragments: NonNegative = 8
    fragment: Annotated[int, 2, inf] = 6  # largest height and width of one; the smallest is 2
    noise: float = 0.05  # standard deviation


@dataclass(frozen=True, eq=False)
class Scenes:
    """A batch of scenes.

    images (B, H, W) in [0, 1]; mask (B, H, W), False on padding; the objects of each; and which digit covers each pixel,
    cover (B, H, W), with the number of classes where there is none.
    """

    images: np.ndarray
    mask: np.ndarray
    objects: list[Objects]
    cover: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> Scenes:
        return Scenes(self.images[rows], self.mask[rows], self.objects[rows], self.cover[rows])

    @property
    def sizes(self) -> np.ndarray:
        """Width, height, width, height of each picture without its padding, (B, 4): the unit of relative boxes."""
        width, height = self.mask[:, 0].sum(axis=1), self.mask[:, :, 0].sum(axis=1)
        return np.stack([width, height, width, height], axis=1)


def draw_scenes(source: Dataset, config: SceneConfig, seeds: Any) -> Scenes:
    """A scene for each seed (B,), with digits of a data set. The same seed gives the same scene."""
    if source.labels is None or source.images.ndim != 3:
        kind = "without labels" if source.labels is None else f"of shape {source.images.shape[1:]}"
        raise ValueError(f"{source.name}: scenes are made of grey pictures (H, W) with labels, not of pictures {kind}")
    if not config.digit[0] <= config.digit[1] <= config.smallest <= config.canvas:
        raise ValueError(
            f"digits of {config.digit[0]} to {config.digit[1]} pixels, pictures of {config.smallest} or more, a canvas of "
            f"{config.canvas}: each must fit into the next"
        )
    shape = (len(seeds), config.canvas, config.canvas)
    images, mask = np.zeros(shape, np.float32), np.zeros(shape, bool)
    cover, objects = np.full(shape, config.classes), []
    for i, seed in enumerate(seeds):
        rng = np.random.default_rng(seed)
        height, width = rng.integers(config.smallest, config.canvas + 1, 2)
        inside = (i, slice(height), slice(width))
        mask[inside] = True
        scatter_fragments(images[inside], source, config, rng=rng)
        objects.append(scatter_digits(images[inside], cover[inside], source, config, rng=rng))
        noise = rng.normal(0, config.noise, (height, width)).astype(np.float32)
        images[inside] = np.clip(images[inside] + noise, 0, 1)
    return Scenes(images, mask, objects, cover)


def scatter_digits(
    image: np.ndarray, cover: np.ndarray, source: Dataset, config: SceneConfig, *, rng: np.random.Generator
) -> Objects:
    """Write digits into a picture (H, W) and into its cover; where they are, their boxes tight around the ink."""
    labels: list[int] = []
    boxes = np.zeros((0, 4))
    for _ in range(rng.integers(1, config.digits + 1)):
        drawn, label = some_digit(source, config, rng=rng)
        if drawn.max() < INK:
            continue
        left, top, right, bottom = ink(drawn)
        drawn, size = drawn[top:bottom, left:right], np.array([right - left, bottom - top])
        for _ in range(TRIES):
            x, y = rng.integers(0, np.array(image.shape[::-1]) - size + 1)
            box = np.array([x, y, x + size[0], y + size[1]], float)
            shared, _ = overlap(box, boxes)
            if np.all(shared <= config.touching * np.minimum(area(box), area(boxes))):
                place = slice(y, y + size[1]), slice(x, x + size[0])
                image[place] = np.maximum(image[place], drawn)
                cover[place][drawn >= INK] = label
                labels.append(label)
                boxes = np.concatenate([boxes, box[None]])
                break
    return Objects.certain(np.array(labels, int), boxes)


def scatter_fragments(image: np.ndarray, source: Dataset, config: SceneConfig, *, rng: np.random.Generator) -> None:
    """Write pieces of digits into a picture (H, W)."""
    for _ in range(config.fragments):
        drawn, _ = some_digit(source, config, rng=rng)
        size = np.minimum(rng.integers(2, config.fragment + 1, 2), drawn.shape)
        top, left = rng.integers(0, np.array(drawn.shape) - size + 1)
        y, x = rng.integers(0, np.array(image.shape) - size + 1)
        place = slice(y, y + size[0]), slice(x, x + size[1])
        image[place] = np.maximum(image[place], drawn[top : top + size[0], left : left + size[1]])


def some_digit(source: Dataset, config: SceneConfig, *, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """A digit in a size, proportion and brightness of its own, (h, w), and its class."""
    assert source.labels is not None
    index = rng.integers(len(source.images))
    height = int(rng.integers(config.digit[0], config.digit[1] + 1))
    width = max(1, round(height * rng.uniform(0.75, 1)))
    picture = resize(source.images[index], height, width)
    return picture * np.float32(rng.uniform(0.6, 1) / max(picture.max(), INK)), int(source.labels[index])


class scenes:  # named as a function, like batches
    """An endless iterator over batches of scenes, all of them new; each rank draws its share of a batch.

    `state()` and `restore(state)` are those of `batches`.
    """

    def __init__(self, source: Dataset, config: SceneConfig, size: int, *, rng: np.random.Generator) -> None:
        self.source, self.config, self.size, self.rng = source, config, size, rng
        draw_scenes(source, config, [])  # complains now about what does not fit

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Scenes:
        return draw_scenes(self.source, self.config, parallel.team().shard(self.rng.integers(2**63, size=self.size)))

    def state(self) -> dict[str, Any]:
        """Where the iteration stands: plain numbers and strings, for `restore`."""
        return jsonable({"rng": self.rng.bit_generator.state})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, and set `rng` to what it was then."""
        self.rng.bit_generator.state = state["rng"]


# ------------------------------------------------------------------------------------------------------------ the task


@dataclass(frozen=True)
class SceneTaskConfig(SceneConfig):
    """The scenes that a model learns from, and how it learns."""

    scenes: int = 500  # held out, that are measured
    steps: int = 10_000
    batch: int = 16
    rate: float = 1e-3
    weight_decay: float = 1e-4
    warm_up: NonNegative = 200
    average: Fraction = 0.998  # decay of the moving average of the weights


TINY: dict[str, Any] = {  # scenes, and a training on them, for tests
    "canvas": 24, "smallest": 20, "digits": 2, "digit": (12, 16), "fragments": 2, "scenes": 20, "steps": 200, "batch": 4,
    "warm_up": 10,
}  # fmt: skip


class SceneTask(Task):
    """A task whose model looks at scenes. It has a loss, and other numbers for the log."""

    def __init__(self, model: nn.Module, config: Any, training: Any, *, rng: np.random.Generator) -> None:
        self.model, self.config, self.rng = model, config, rng
        self.learner = Learner(model, config)
        self.parts = self.learner.parts
        if training is not None:
            self.batches = scenes(training, config, config.batch, rng=rng)

    def loss(self, drawn: Scenes) -> tuple[Any, dict[str, float]]:
        raise NotImplementedError

    def step(self, step: int) -> dict[str, float]:
        loss, metrics = self.loss(next(self.batches))
        self.learner.step(loss, step)
        return {"loss": loss.item(), **metrics}

    def held_out(self, test: Dataset, number: int) -> Scenes:
        """The first scenes of those that are measured."""
        return draw_scenes(test, self.config, range(number))
