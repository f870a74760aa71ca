"""Generative models of each class as classifiers, by Bayes' theorem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

from ..evaluation.baselines import kernel_regression, nearest_neighbour
from ..evaluation.bayes import METRICS_HELP, STRANGERS, bayes_metrics, posterior_metrics
from .fitting import (
    DDPM,
    GAUSSIANS,
    HMM,
    MIXTURE,
    PIXEL_RNN_OF_CLASSES,
    VAE_OF_CLASSES,
    Model,
    trained,
)
from .subject import Given, Measurement, Record, Subject, in_order, means

GENERATIVE = {
    "Gaussians": GAUSSIANS,
    "GMM": MIXTURE,
    "HMM": HMM,
    "VAE": VAE_OF_CLASSES,
    "pixel RNN": PIXEL_RNN_OF_CLASSES,
    "DDPM": DDPM,
}
STRANGE = 200  # strangers of each kind are measured
NETWORK = Model("mlp")
BASELINES = {"nearest neighbour": nearest_neighbour, "kernel regression": kernel_regression}


class Bayes(Subject):
    """Accuracy, calibration, and what is noticed of strangers."""

    title = "Classification by Bayes' theorem"
    text = (
        "A generative model that knows p(image | class), or a bound on it, is a classifier, and "
        "its p(image) is small where an image is like none of the classes."
    )
    metrics_help = (
        METRICS_HELP + "VAE and DDPM have bounds, the others exact likelihoods. Means over seeds; "
        "spread: the standard deviation of the accuracy."
    )
    names = (*GENERATIVE, "MLP", *BASELINES)

    def measurements(self, given: Given) -> Iterator[Measurement]:
        for name, seed in product(given.names, range(given.seeds)):
            if name in BASELINES and seed:
                continue  # they draw nothing
            yield Measurement(
                {"name": name, "seed": seed},
                partial(measure, name, given, seed),
            )

    def rows(self, records: Sequence[Record]) -> list[Record]:
        metrics = ("accuracy", "cross-entropy", "ECE", *STRANGERS)
        rows = []
        for name in in_order(self.names, records):
            mine = [record for record in records if record["name"] == name]
            rows.append({"name": name, **means(mine, metrics)})
        return rows


def measure(name: str, given: Given, seed: int) -> Record:
    """All metrics of a model that is trained with a seed."""
    images, labels = given.test.images, given.test.labels
    if name in BASELINES:
        predicted = BASELINES[name](given.training, images)
        return {"accuracy": float((predicted == labels).mean())}
    task: Any = trained(GENERATIVE.get(name, NETWORK), given, seed)
    if name in GENERATIVE:
        return bayes_metrics(task, images, labels, STRANGE)
    return posterior_metrics(task.log_probabilities(images), labels)
