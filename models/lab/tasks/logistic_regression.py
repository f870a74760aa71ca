"""Fitting logistic regression by one of four optimisers, and showing its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from tinygrad_cv import kernels

from ...classical.logistic_regression import (
    LARGEST_HESSIAN,
    LogisticRegression,
    LogisticRegressionConfig,
    ProximalGradient,
    lbfgs,
    lipschitz,
    logits,
    newton,
    num_rows,
    smooth_objective,
)
from ...config import Config, Steps
from ..report.images import grid, write_png
from .fitted import FittedClassifier
from .images import ImageSettings

LBFGS_ITERATIONS = 20  # of a step, after which L-BFGS forgets what it knew of the curvature
PROXIMAL = ("ista", "fista")


@dataclass(frozen=True)
class LogisticRegressionTraining(Config):
    """How logistic regression is fitted."""

    steps: Steps = 25  # iterations; of lbfgs 20 times as many
    method: Annotated[str, "lbfgs", "newton", "ista", "fista"] = "lbfgs"  # the last two also for l1
    l2: float = 3e-4  # of |W|^2 / 2
    l1: float = 0.0  # of the sum of |W|, which makes weights 0


@dataclass(frozen=True)
class LogisticRegressionSettings(ImageSettings):
    """A logistic regression, and how it is fitted."""

    model: LogisticRegressionConfig = field(default_factory=LogisticRegressionConfig)
    training: LogisticRegressionTraining = field(default_factory=LogisticRegressionTraining)

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        method, model = self.training.method, self.model
        if self.training.l1 and method not in PROXIMAL:
            known = " or ".join(PROXIMAL)
            raise ValueError(
                f"training.l1={self.training.l1}: training.method={method} needs a gradient "
                f"everywhere, and |W| has a kink at 0; take training.method={known}"
            )
        weights = num_rows(model.num_labels) * (1 + int(np.prod(model.image_shape)))
        if method == "newton" and weights > LARGEST_HESSIAN:
            raise ValueError(
                f"training.method=newton: the Hessian of {weights} weights is too large, the limit "
                f"is {LARGEST_HESSIAN}; take training.method=lbfgs"
            )


PRESETS = {
    "tiny": LogisticRegressionSettings(
        training=LogisticRegressionTraining(steps=50, method="fista", l1=1e-3)
    ),
    "digits": LogisticRegressionSettings(),
    "mnist": LogisticRegressionSettings(LogisticRegressionConfig(image_size=(28, 28))),
}


class LogisticRegressionTask(FittedClassifier):
    """The fitting of logistic regression."""

    presets = PRESETS
    title = "Logistic regression"
    plots: ClassVar = {"objective": ("objective",), "accuracy": ("accuracy in training",)}

    settings: LogisticRegressionSettings
    model: LogisticRegression

    def __init__(
        self,
        settings: LogisticRegressionSettings,
        training: Any,
        *,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(LogisticRegression(settings.model), settings, training, rng=rng)
        method = settings.training.method
        if method in PROXIMAL:
            start = self.model.parameters_as_arrays
            self.parts["momentum"] = ProximalGradient(start, momentum=method == "fista")
        if training is not None:
            bound = lipschitz(self.x, settings.model.num_labels, settings.training.l2)
            self.size = 1 / bound  # of a proximal step

    def step(self, step: int) -> dict[str, float]:
        self.found = (None, None)
        config, before = self.settings.training, self.model.parameters_as_arrays

        def smooth(parameters: Any) -> Any:
            return smooth_objective(parameters, self.x, self.labels, config.l2)

        if config.method == "lbfgs":
            after = lbfgs(smooth, before, LBFGS_ITERATIONS)
        elif config.method == "newton":
            after = newton(smooth, before)
        else:
            after = self.parts["momentum"].iterate(smooth, before, self.size, config.l1)
        self.model.parameters_as_arrays = after
        kinks = config.l1 * np.abs(after["weight"]).sum()
        accuracy = self.accuracy(np.asarray(logits(after, self.x)))
        return {"objective": float(smooth(after) + kinks), "accuracy in training": accuracy}

    def scores(self, images: np.ndarray) -> np.ndarray:
        """log p(class | image), (N, K)."""
        x = images.reshape(len(images), -1)
        log_p: np.ndarray = kernels.log_softmax(logits(self.model.parameters_as_arrays, x))
        return log_p

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        weights = self.model.parameters_as_arrays["weight"]
        largest = np.abs(weights).max() or 1.0
        images = weights.reshape(-1, *self.settings.model.image_shape) / (2 * largest) + 0.5
        write_png(folder / "weights.png", grid(images, 5))
        zero = f", {np.mean(weights == 0):.0%} of them 0" if self.settings.training.l1 else ""
        caption = f"The weights of each class: light where a bright pixel speaks for it{zero}"
        return [("weights.png", caption), *super().show(folder, training, test)]
