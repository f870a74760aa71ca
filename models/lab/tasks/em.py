"""What tasks share whose models of each class are fitted by EM, draw images, and classify by Bayes.

A step is an iteration of EM on all training images; every rank makes it by itself. The first one
begins with the model's own start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np

from ...config import Config, Steps
from ..report.images import grid, write_png
from ..settings import changed
from ..task import GeneratedBatches
from .by_class import ClassConditionalGenerator, with_bayes
from .images import ImageSettings, check_classes

ALL = -1  # a label: of all classes
PER_CLASS = 10  # images of a class are shown


@dataclass(frozen=True)
class EMTraining(Config):
    """How a model is fitted by EM."""

    steps: Steps = 30  # iterations


@dataclass(frozen=True)
class EMSampling(Config):
    """How a model of each class draws."""

    label: Annotated[int, ALL, inf] = ALL  # the class of all images; -1: as frequent as in training


@dataclass(frozen=True)
class EMSettings(ImageSettings):
    """A model of each class, and its training. A data set decides how many classes there are."""

    model: Any
    training: EMTraining = field(default_factory=EMTraining)

    def fitted(self, dataset: Any) -> Self:
        if dataset is None:
            return self
        settings = super().fitted(dataset)
        fitted: Self = changed(settings, {"model.num_classes": len(dataset.classes)})
        return fitted

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        check_classes("model.num_classes", self.model.num_classes, dataset)


class EMTask(ClassConditionalGenerator):
    """The fitting of a model of each class.

    `model` has, besides what Bayes' theorem needs, `start(images, labels, rng=rng)`,
    `iterate(images, labels)`, which gives the mean objective before the iteration, and
    `sample(n, label=..., rng=rng)`.
    """

    plots: ClassVar = {"likelihood": ("objective",)}
    options: ClassVar = EMSampling()

    settings: EMSettings
    images: np.ndarray
    labels: np.ndarray

    def __init__(
        self, model: Any, settings: EMSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        self.settings, self.model, self.rng = settings, model, rng
        self.parts = {"model": model}
        self.batches = GeneratedBatches()
        self.begun = False  # the model comes from another run
        if training is not None:
            self.images, self.labels = training.images, np.zeros(len(training), int)
            if settings.model.num_classes:
                if training.labels is None:
                    raise ValueError(
                        f"{training.name} has no labels to learn from; a {self.title} of each "
                        "class needs classified images, or model.num_classes=0"
                    )
                self.labels = training.labels

    def start_from(self, other: Any) -> None:
        super().start_from(other)
        self.begun = True

    def step(self, step: int) -> dict[str, float]:
        if step == 0 and not self.begun:
            self.model.start(self.images, self.labels, rng=self.rng)
        return {"objective": float(self.model.iterate(self.images, self.labels))}

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> np.ndarray:
        """n images, (n, H, W[, C])."""
        images: np.ndarray = self.model.sample(n, rng=rng, **options)
        return images

    def class_log_likelihoods(self, images: np.ndarray) -> np.ndarray:
        log_p: np.ndarray = self.model.class_log_likelihoods(images)
        return log_p

    @property
    def log_prior(self) -> np.ndarray:
        """log p(class), (C,), as the model has learned it."""
        prior: np.ndarray = self.model.log_prior
        return prior

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        """Besides, how good a classifier it is by Bayes' theorem."""
        rows = super().evaluate(name, training, test)
        return with_bayes(rows, self, training, test) if self.num_classes else rows

    def show_classes(self, folder: Path, rng: np.random.Generator) -> list[tuple[str, str]]:
        """Write images of each class, if there are classes; name and caption."""
        if not self.num_classes:
            return []
        write_png(folder / "classes.png", grid(self.draw_classes(rng), 10))
        return [("classes.png", "Drawn by class, a row each")]

    def draw_classes(self, rng: np.random.Generator) -> np.ndarray:
        """Ten images of each class that there is, of at most ten classes."""
        classes = np.flatnonzero(np.isfinite(self.log_prior))[:10]
        labels = np.repeat(classes, PER_CLASS)
        return self.sample(len(labels), label=labels, rng=rng)
