"""Counting for naive Bayes, in one step, and showing what was counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...classical.naive_bayes import NaiveBayes, NaiveBayesConfig
from ..report.images import grid, write_png
from .em import EMSettings, EMTask, EMTraining


@dataclass(frozen=True)
class NaiveBayesSettings(EMSettings):
    """A naive Bayes classifier. There is one step, which counts."""

    model: NaiveBayesConfig = field(default_factory=NaiveBayesConfig)
    training: EMTraining = field(default_factory=lambda: EMTraining(steps=1))

    @property
    def unused(self) -> tuple[str, ...]:
        of_others = {"bernoulli": "model.threshold", "multinomial": "model.levels"}
        of_others.pop(self.model.distribution, None)
        return tuple(of_others.values())


PRESETS = {
    "tiny": NaiveBayesSettings(NaiveBayesConfig(distribution="bernoulli")),
    "digits": NaiveBayesSettings(),
    "mnist": NaiveBayesSettings(NaiveBayesConfig(image_size=(28, 28))),
}


class NaiveBayesTask(EMTask):
    """The counting of naive Bayes."""

    presets = PRESETS
    title = "Naive Bayes"

    settings: NaiveBayesSettings
    model: NaiveBayes

    def __init__(
        self, settings: NaiveBayesSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        super().__init__(NaiveBayes(settings.model), settings, training, rng=rng)

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        captions = super().show(folder, training, test)
        location = self.model.location / self.model.location.max(axis=1, keepdims=True)
        means = location.reshape(-1, *self.settings.model.image_shape)
        write_png(folder / "means.png", grid(means, 5))
        write_png(folder / "classes.png", grid(self.draw_classes(np.random.default_rng(4)), 10))
        return [
            ("means.png", "What was counted of each class: how bright each pixel is"),
            ("classes.png", "Drawn by class, a row each: no pixel knows of the others"),
            *captions,
        ]
