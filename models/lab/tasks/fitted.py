"""What classifiers share that are fitted to all training images at once.

A step is an iteration of their optimiser; every rank makes it by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv import nn

from ...classical.nearest import flatten
from ..settings import Settings
from ..task import GeneratedBatches
from .images import Classifier


class FittedClassifier(Classifier):
    """A classifier without batches: x (N, D) are all training images, float64."""

    x: np.ndarray
    labels: np.ndarray

    def __init__(
        self, model: nn.Module, settings: Settings, training: Any, *, rng: np.random.Generator
    ) -> None:
        self.model, self.settings, self.rng = model, settings, rng
        self.parts = {"model": model}
        self.batches = GeneratedBatches()
        if training is not None:
            self.labels = self.labels_of(training)
            self.x = flatten(training.images).astype(np.float64)

    def accuracy(self, scores: np.ndarray) -> float:
        """The share of the training images whose class has the largest score."""
        return float(np.mean(scores.argmax(axis=1) == self.labels))
