"""Scenes: digits of several sizes on a canvas, among fragments of others, with their boxes.

As in the cluttered MNIST of Mnih et al. 2014 (arXiv 1406.6247), the clutter is made of pieces of
digits, so strokes alone prove nothing. Every scene is drawn anew, from the digits of one part of a
data set: those of the test part are not in any scene of the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Annotated, Any, Self

import numpy as np

from tinygrad_cv import nn, parallel
from tinygrad_cv.data import Dataset
from tinygrad_cv.data.state import jsonable

from ...config import Config, Fraction, NonNegative, Steps
from ...vision.boxes import Objects, area, overlap
from ..evaluation.connected import INK, ink, resize
from ..learner import Learner, TrainingConfig
from ..settings import Settings, check_grey
from ..task import Task

TRIES = 20  # to find a free place for a digit, which is left out if there is none


@dataclass(frozen=True)
class SceneConfig(Config):
    """What scenes look like; sizes in pixels."""

    canvas: int = 48  # height and width of the images
    smallest: int = 48  # height and width of what is filled, at least; the rest is padding
    digits: int = 6  # at most; at least 1
    digit: tuple[int, int] = (12, 22)  # smallest and largest height of a digit's own image
    touching: Fraction = 0.1  # share of a digit's box that another's may cover
    fragments: NonNegative = 8  # pieces of other digits, at most
    fragment: Annotated[int, 2, inf] = 6  # largest height and width of one; the smallest is 2
    noise: float = 0.05  # standard deviation
    measured_scenes: int = 500  # scenes of test digits, by which a model is evaluated


@dataclass(frozen=True, eq=False)
class Scenes:
    """A batch of scenes.

    images (B, H, W): in [0, 1].
    mask (B, H, W): False on padding.
    objects: those of each image.
    cover (B, H, W): the class of the digit that covers each pixel, or the number of classes.
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
        """Width, height, width, height of each image without its padding, (B, 4).

        The unit of relative boxes.
        """
        width = self.mask[:, 0].sum(axis=1)
        height = self.mask[:, :, 0].sum(axis=1)
        return np.stack([width, height, width, height], axis=1)


def draw_scenes(source: Dataset, config: SceneConfig, seeds: Any) -> Scenes:
    """A scene for each seed (B,), with digits of a data set. The same seed gives the same scene.

    Raises ValueError for a data set without labels or grey images, and for sizes that do not fit.
    """
    check_source(source)
    check_sizes(config)
    shape = (len(seeds), config.canvas, config.canvas)
    images = np.zeros(shape, np.float32)
    mask = np.zeros(shape, bool)
    cover = np.full(shape, len(source.classes))
    objects = []
    for i, seed in enumerate(seeds):
        rng = np.random.default_rng(seed)
        height, width = rng.integers(config.smallest, config.canvas + 1, 2)
        inside = (i, slice(height), slice(width))
        image = images[inside]
        mask[inside] = True
        scatter_fragments(image, source, config, rng=rng)
        objects.append(scatter_digits(image, cover[inside], source, config, rng=rng))
        noise = rng.normal(0, config.noise, (height, width)).astype(np.float32)
        images[inside] = np.clip(image + noise, 0, 1)
    return Scenes(images, mask, objects, cover)


def check_source(source: Dataset) -> None:
    """Raise ValueError for a data set that scenes cannot be made of."""
    if source.labels is None:
        kind = "without labels"
    elif source.images.ndim != 3:
        kind = f"of shape {source.images.shape[1:]}"
    else:
        return
    raise ValueError(
        f"{source.name}: scenes are made of grey images (H, W) with labels, not of images {kind}"
    )


def check_sizes(config: SceneConfig) -> None:
    """Raise ValueError if a digit may be larger than an image, or an image than the canvas."""
    small, large = config.digit
    if not small <= large <= config.smallest <= config.canvas:
        raise ValueError(
            f"digits of {small} to {large} pixels, images of {config.smallest} or more, "
            f"a canvas of {config.canvas}: each must fit into the next"
        )


def scatter_digits(
    image: np.ndarray,
    cover: np.ndarray,
    source: Dataset,
    config: SceneConfig,
    *,
    rng: np.random.Generator,
) -> Objects:
    """Write digits into an image (H, W) and its cover; the digits, with boxes tight around them."""
    labels: list[int] = []
    boxes = np.zeros((0, 4))
    for _ in range(rng.integers(1, config.digits + 1)):
        digit, label = some_digit(source, config, rng=rng)
        if digit.max() < INK:
            continue
        left, top, right, bottom = ink(digit)
        digit = digit[top:bottom, left:right]
        box = free_place(image.shape, digit.shape, boxes, config, rng=rng)
        if box is None:
            continue
        left, top, right, bottom = box
        place = slice(top, bottom), slice(left, right)
        image[place] = np.maximum(image[place], digit)
        cover[place][digit >= INK] = label
        labels.append(label)
        boxes = np.concatenate([boxes, np.array([box], float)])
    return Objects.certain(np.array(labels, int), boxes)


def free_place(
    image: tuple[int, ...],
    digit: tuple[int, ...],
    boxes: np.ndarray,
    config: SceneConfig,
    *,
    rng: np.random.Generator,
) -> tuple[int, int, int, int] | None:
    """A box xyxy for a digit (h, w) in an image (H, W) that hardly touches the boxes (n, 4)."""
    height, width = digit
    size = np.array([width, height])
    for _ in range(TRIES):
        x, y = rng.integers(0, np.array(image[::-1]) - size + 1)
        box = np.array([x, y, x + width, y + height], float)
        shared, _ = overlap(box, boxes)
        smaller = np.minimum(area(box), area(boxes))
        if np.all(shared <= config.touching * smaller):
            return x, y, x + width, y + height
    return None


def scatter_fragments(
    image: np.ndarray, source: Dataset, config: SceneConfig, *, rng: np.random.Generator
) -> None:
    """Write pieces of digits into an image (H, W)."""
    for _ in range(config.fragments):
        digit, _ = some_digit(source, config, rng=rng)
        size = np.minimum(rng.integers(2, config.fragment + 1, 2), digit.shape)
        height, width = size
        top, left = rng.integers(0, np.array(digit.shape) - size + 1)
        piece = digit[top : top + height, left : left + width]
        y, x = rng.integers(0, np.array(image.shape) - size + 1)
        place = slice(y, y + height), slice(x, x + width)
        image[place] = np.maximum(image[place], piece)


def some_digit(
    source: Dataset, config: SceneConfig, *, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """A digit in a size, proportion and brightness of its own, (h, w), and its class."""
    assert source.labels is not None
    small, large = config.digit
    index = rng.integers(len(source.images))
    height = int(rng.integers(small, large + 1))
    width = max(1, round(height * rng.uniform(0.75, 1)))
    image = resize(source.images[index], height, width)
    brightness = rng.uniform(0.6, 1) / max(image.max(), INK)
    return image * np.float32(brightness), int(source.labels[index])


class scenes:  # named as a function, like batches
    """An endless iterator over batches of scenes, all of them new.

    Each rank draws its share of a batch. `state()` and `restore(state)` are those of `batches`.
    Raises ValueError, before the first batch, as `draw_scenes` does.
    """

    def __init__(
        self, source: Dataset, config: SceneConfig, size: int, *, rng: np.random.Generator
    ) -> None:
        self.source = source
        self.config = config
        self.size = size
        self.rng = rng
        draw_scenes(source, config, [])

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Scenes:
        return draw_scenes(self.source, self.config, parallel.team().shard(self.seeds()))

    def seeds(self) -> np.ndarray:
        """Those of the scenes of the next batch."""
        return self.rng.integers(2**63, size=self.size)

    def whole(self) -> Scenes:
        """The next batch, all of it on each rank."""
        return draw_scenes(self.source, self.config, self.seeds())

    def state(self) -> dict[str, Any]:
        """Where the iteration stands: plain numbers and strings, for `restore`."""
        return jsonable({"rng": self.rng.bit_generator.state})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, and set `rng` to what it was then."""
        self.rng.bit_generator.state = state["rng"]


# ---------------------------------------------------------------------------------------- the task


@dataclass(frozen=True)
class SceneTraining(TrainingConfig):
    """How a model is trained on scenes."""

    steps: Steps = 10_000
    batch_size: int = 16
    weight_decay: float = 1e-4


@dataclass(frozen=True)
class SceneSettings(Settings):
    """Settings of a model of scenes. A data set decides the classes."""

    model: Any
    training: SceneTraining = field(default_factory=SceneTraining)
    data: SceneConfig = field(default_factory=SceneConfig)

    def fitted(self, dataset: Any) -> Self:
        if dataset is None:
            return self
        return replace(self, model=replace(self.model, num_labels=len(dataset.classes)))

    def check(self, dataset: Any) -> None:
        check_canvas(self.model, self.data)
        if dataset is not None and self.model.num_labels != len(dataset.classes):
            raise ValueError(
                f"model.num_labels={self.model.num_labels}: "
                f"{dataset.name} has {len(dataset.classes)}"
            )


def check_canvas(model: Any, config: SceneConfig) -> None:
    """Raise ValueError for a model of other images than scenes, and for sizes that do not fit."""
    check_grey(model, "scenes")
    check_sizes(config)
    canvas = (config.canvas, config.canvas)
    size = getattr(model, "image_size", canvas)
    if size != canvas:
        raise ValueError(f"model.image_size={size}: scenes have data.canvas={canvas[0]}")


# Scenes, and a training on them, for tests.
TINY = SceneConfig(
    canvas=24, smallest=20, digits=2, digit=(12, 16), fragments=2, measured_scenes=20
)
TINY_TRAINING = {"steps": 200, "batch_size": 4, "warmup_steps": 10}


class SceneTask(Task):
    """A task whose model sees scenes. It has a loss, and other numbers for the log."""

    settings: SceneSettings

    def __init__(
        self,
        model: nn.Module,
        settings: SceneSettings,
        training: Dataset | None,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.model = model
        self.settings = settings
        self.rng = rng
        self.learner = Learner(model, settings.training)
        self.parts = self.learner.parts
        if training is not None:
            size = settings.training.batch_size
            self.batches = scenes(training, settings.data, size, rng=rng)

    def loss(self, batch: Scenes) -> tuple[Any, dict[str, float]]:
        """The loss of a batch, and what else the log shows of it."""
        raise NotImplementedError

    def step(self, step: int) -> dict[str, float]:
        loss, metrics = self.loss(next(self.batches))
        self.learner.step(loss, step)
        return {"loss": loss.item(), **metrics}

    def held_out(self, test: Dataset, number: int) -> Scenes:
        """The first of the scenes by which a model is evaluated."""
        return draw_scenes(test, self.settings.data, range(number))
