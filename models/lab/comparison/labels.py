"""Generative against discriminative: accuracy by the number of labels (Ng & Jordan 2002).

A generative model of each class classifies by Bayes' theorem, p(class | x) from p(x | class); a
discriminative one learns p(class | x), or the class alone. The first assumes more, and with few
labels an assumption is worth more than what it costs; with many, it is the other way round.

Every method is a task of the lab with some settings. A model enters the comparison with a line of
`METHODS`; its task needs a `predict`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..report.plots import Curve, draw_learning_curves
from .fitting import Model, Words, accuracy, few_labels, grid, part
from .subject import Figures, Given, Measurement, Record, Subject, in_order, means, of

FOLDS = 5  # of cross-validation, or fewer if a class has fewer labels
VALIDATED = 2000  # labels at most with which settings are chosen
COUNTS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)  # labels, and all there are


@dataclass(frozen=True)
class Method:
    """A task with settings, of which those in `candidates` are chosen by cross-validation.

    The first of them is taken where there is one label a class, and nothing to validate with.
    `panel` is the part of the figure that the method is drawn in. Settings of `per_label` are
    divided by the number of labels; a model with `classes` is told those of the data set.
    """

    task: str
    panel: str
    generative: bool
    candidates: tuple[Words, ...]
    words: Words = field(default_factory=dict)
    per_label: tuple[str, ...] = ()
    folds: int = FOLDS
    classes: bool = False


NAIVE = "linear boundaries, and Gaussians"
FLEXIBLE = "mixtures and kernels"
NETWORKS = "networks of one size"
METHODS = {
    "naive Bayes": Method(
        "naive-bayes",
        NAIVE,
        generative=True,
        candidates=(
            *grid(model__distribution=["gaussian"], model__smoothing=[0.1, 0.03, 0.01, 0.3]),
            *grid(model__distribution=["bernoulli"], model__smoothing=[1.0, 0.1]),
            *grid(model__distribution=["multinomial"], model__smoothing=[1.0]),
        ),
    ),
    "Gaussians": Method(
        "gmm",
        NAIVE,
        generative=True,
        candidates=(
            *grid(model__covariance=["full"], model__floor=[0.03, 0.01, 0.003, 0.1]),
            *grid(model__covariance=["tied"], model__floor=[0.01]),
        ),
        words={"model.num_components": "1", "training.steps": "1"},
    ),
    "logistic regression": Method(
        "logistic-regression",
        NAIVE,
        generative=False,
        candidates=grid(training__l2=[1.0, 0.3, 0.1, 3.0, 10.0]),
        per_label=("training.l2",),  # a prior of the weights, which counts less the more labels
    ),
    "GMM": Method(
        "gmm",
        FLEXIBLE,
        generative=True,
        candidates=grid(model__num_components=[2, 4], model__floor=[0.03, 0.01]),
        words={"training.steps": "20"},
    ),
    "SVM": Method(
        "svm",
        FLEXIBLE,
        generative=False,
        candidates=grid(model__gamma=[0.05, 0.02, 0.1, 0.2, 0.5], training__C=[10.0, 1.0]),
        words={"training.steps": "20", "training.updates": "1000"},
    ),
    "VAE": Method(
        "vae",
        NETWORKS,
        generative=True,
        candidates=grid(training__weight_decay=[0.1, 1.0]),
        words={
            "model.num_levels": "17",
            "training.steps": "1500",
            "training.lr": "0.003",
        },
        folds=2,
        classes=True,
    ),
    "MLP": Method(
        "mlp",
        NETWORKS,
        generative=False,
        candidates=grid(training__weight_decay=[0.1, 1.0]),
        words={"training.steps": "1500", "training.shift": "0", "training.mixup": "0.0"},
        folds=2,
    ),
}


def fitted(method: Method, words: Words, name: str, training: Any, seed: int) -> Any:
    """The task of a method after all its steps."""
    if method.task == "svm":  # which has presets that take a part
        words = words | {"model.num_examples": str(len(training))}
    words = method.words | words
    for given in method.per_label:
        words = words | {given: str(float(words[given]) / len(training))}
    return Model(method.task, words, method.classes).fit(name, training, seed)


def folds(labels: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """For each fold which labels (N,) are held out, of each class as many: (N,) booleans."""
    order = rng.permutation(len(labels))
    fold = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        fold[members] = np.arange(len(members)) % count
    for number in range(count):
        yield fold == number


def choose(method: Method, name: str, training: Any, seed: int) -> Words:
    """The candidate that is right most often in cross-validation on the labelled images alone."""
    rng = np.random.default_rng(seed)
    some = few_labels(training, VALIDATED, rng)
    count = min(method.folds, int(np.bincount(some.labels).min()))
    if count < 2 or len(method.candidates) == 1:
        return method.candidates[0]
    right = np.zeros(len(method.candidates))
    for held_out in folds(some.labels, count, rng):
        rest, validation = (
            part(some, np.flatnonzero(~held_out)),
            part(some, np.flatnonzero(held_out)),
        )
        for i, words in enumerate(method.candidates):
            task = fitted(method, words, name, rest, seed)
            right[i] += accuracy(task, validation) * len(validation)
    return method.candidates[int(np.argmax(right))]


def measure(name: str, count: int, given: Given, seed: int) -> Record:
    """Choose the settings, fit with all labels, and measure on the test images."""
    method = METHODS[name]
    some = few_labels(given.training, count, np.random.default_rng(seed))
    words = choose(method, given.data, some, seed)
    task = fitted(method, words, given.data, some, seed)
    return {"accuracy": accuracy(task, given.test), "settings": words}


class Labels(Subject):
    """Accuracy by the number of labels."""

    title = "Generative against discriminative"
    text = (
        "A generative model knows what each class looks like, and classifies by Bayes' theorem; a "
        "discriminative one knows what tells classes apart. Settings are chosen by "
        "cross-validation on the labelled images alone."
    )
    metrics_help = (
        "The share of the test images that are classified rightly, by the number of labelled "
        "training images, the mean over the seeds, each of which draws other images."
    )
    names = tuple(METHODS)
    seeds = 5
    uses = ("labels",)

    def usual_labels(self, classes: int, total: int) -> list[int]:
        return [*(count for count in COUNTS if classes <= count < total), total]

    def measurements(self, given: Given) -> Iterator[Measurement]:
        for count, seed, name in product(given.labels, range(given.seeds), given.names):
            yield Measurement(
                {"name": name, "labels": count, "seed": seed},
                partial(measure, name, count, given, seed),
            )

    def rows(self, records: Sequence[Record]) -> list[Record]:
        counts = sorted({record["labels"] for record in records})
        rows = []
        for name in in_order(self.names, records):
            kind = "generative" if METHODS[name].generative else "discriminative"
            row: Record = {"name": f"{name} ({kind})"}
            for count in counts:
                found = means(of(records, name=name, labels=count), ["accuracy"])
                row[str(count)] = found["accuracy"]
            rows.append(row)
        return rows

    def draw(self, records: Sequence[Record], folder: Path) -> tuple[Figures, Figures]:
        panels: dict[str, dict[str, Curve]] = {}
        for name in in_order(self.names, records):
            mine = of(records, name=name)
            counts = sorted({record["labels"] for record in mine})
            each = [means(of(mine, labels=count), ["accuracy"]) for count in counts]
            curve = Curve(
                counts,
                [found["accuracy"] for found in each],
                [found["spread"] or 0.0 for found in each],
                dashed=not METHODS[name].generative,
            )
            panels.setdefault(METHODS[name].panel, {})[name] = curve
        draw_learning_curves(panels, folder / "labels.png")
        caption = "Error on the test images by the number of labels, mean and spread"
        return [], [("labels.png", caption)]
