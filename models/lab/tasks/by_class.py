"""What generators share that know p(image | class): they classify by Bayes' theorem."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...classical.bayes import ClassConditional
from ...classical.gmm import GMMConfig, ImageMixture
from ..evaluation.baselines import discriminative
from ..evaluation.bayes import METRICS_HELP, bayes_metrics
from .images import ImageGenerator


class ClassConditionalGenerator(ImageGenerator):
    """A generator with a likelihood of each class, or a bound on it."""

    metrics_help = METRICS_HELP + ImageGenerator.metrics_help

    frequencies: np.ndarray | None = None  # of the classes in training, (C,)

    def count_classes(self, labels: np.ndarray) -> None:
        """Note how frequent the classes are in training, (N,)."""
        counts = np.bincount(labels, minlength=self.num_classes)
        self.frequencies = counts / len(labels)

    @property
    def log_prior(self) -> np.ndarray:
        """log p(class), (C,): as frequent as in training. Raises ValueError without training."""
        if self.frequencies is None:
            raise ValueError(f"{self.title}: how frequent classes are, training data would say")
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.frequencies))

    def class_log_likelihoods(self, images: np.ndarray) -> np.ndarray:
        """log p(image | class), (N, C), in nats."""
        raise NotImplementedError

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The most probable class of each image, (N,), by Bayes' theorem."""
        log_joint = self.class_log_likelihoods(images) + self.log_prior
        return np.asarray(log_joint.argmax(axis=1))


def with_bayes(
    rows: list[dict[str, Any]], model: ClassConditional, training: Any, test: Any
) -> list[dict[str, Any]]:
    """The rows of a generator with classes, with what it and others are as classifiers."""
    gaussians = class_gaussians(training)
    known: dict[str, dict[str, Any]] = {
        "generator": bayes_metrics(model, test.images, test.labels),
        "10 class Gaussians": bayes_metrics(gaussians, test.images, test.labels),
    }
    merged = []
    for row in rows:
        metrics = known.get(row["name"], {})
        merged.append({"name": row["name"], **metrics, **row})
    return merged + discriminative(training, test)


def class_gaussians(training: Any) -> ImageMixture:
    """A Gaussian for each class, of at most 100 principal components if there are more pixels."""
    shape = training.images.shape
    pixels = int(np.prod(shape[1:]))
    config = GMMConfig(
        shape[1:3],
        shape[3] if len(shape) > 3 else 1,
        num_classes=len(training.classes),
        num_components=1,
        principal_components=100 if pixels > 100 else 0,
    )
    gaussians = ImageMixture(config)
    gaussians.start(training.images, training.labels, rng=np.random.default_rng(0))
    return gaussians
