"""Generative against discriminative: accuracy by the number of labels (Ng & Jordan 2002).

A generative model of each class classifies by Bayes' theorem, p(class | x) from p(x | class); a
discriminative one learns p(class | x), or the class alone. The first assumes more, and with few
labels an assumption is worth more than what it costs; with many, it is the other way round.

Every method is a task of the lab with some settings. A model enters the comparison with a line of
`METHODS`; its task needs a `predict`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv.data import Dataset
from tinygrad_cv.files import atomic_write

from .errors import RunError
from .progress import progress_bar
from .report.page import Section, write_page
from .report.plots import Curve, draw_learning_curves
from .settings import configure
from .tasks import TASKS

TITLE = "Generative against discriminative"
TEXT = (
    "A generative model knows what each class looks like, and classifies by Bayes' theorem; a "
    "discriminative one knows what tells classes apart. Settings are chosen by cross-validation on "
    "the labelled images alone."
)

Words = dict[str, str]  # settings, as `--set` has them

FOLDS = 5  # of cross-validation, or fewer if a class has fewer labels
VALIDATED = 2000  # labels at most with which settings are chosen
COUNTS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)  # labels, and all there are


def grid(**values: Sequence[object]) -> tuple[Words, ...]:
    """All combinations of values of settings; __ stands for a dot."""
    names = [name.replace("__", ".") for name in values]
    return tuple(
        {name: str(value) for name, value in zip(names, combination, strict=True)}
        for combination in product(*values.values())
    )


@dataclass(frozen=True)
class Method:
    """A task with settings, of which those in `candidates` are chosen by cross-validation.

    The first of them is taken where there is one label a class, and nothing to validate with.
    `panel` is the part of the figure that the method is drawn in. Settings of `per_label` are divided
    by the number of labels.
    """

    task: str
    panel: str
    generative: bool
    candidates: tuple[Words, ...]
    words: Words = field(default_factory=dict)
    per_label: tuple[str, ...] = ()


NAIVE = "linear boundaries, and Gaussians"
FLEXIBLE = "mixtures and kernels"
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
}


@dataclass(frozen=True)
class Result:
    """How good a method was with some labels, and the settings that validation chose."""

    accuracy: float
    settings: Words


def few_labels(dataset: Any, count: int, rng: np.random.Generator) -> Any:
    """As many images of each class, `count` in all; the data set itself if it has no more."""
    if count >= len(dataset):
        return dataset
    order = rng.permutation(len(dataset))
    each = count // len(dataset.classes)
    chosen = [order[dataset.labels[order] == c][:each] for c in range(len(dataset.classes))]
    return part(dataset, np.sort(np.concatenate(chosen)))


def part(dataset: Any, places: np.ndarray) -> Any:
    """Some images of a data set."""
    images, labels = dataset.images[places], dataset.labels[places]
    return Dataset(dataset.name, images, labels, dataset.classes)


def fitted(method: Method, words: Words, name: str, training: Any, seed: int) -> Any:
    """The task of a method after all its steps."""
    kind = TASKS[method.task]
    preset = name if name in kind.presets else list(kind.presets)[-1]
    if method.task == "svm":  # which has presets that take a part
        words = words | {"model.num_examples": str(len(training))}
    words = method.words | words
    for given in method.per_label:
        words = words | {given: str(float(words[given]) / len(training))}
    settings = configure(kind.presets, preset, training, words)
    task = kind(settings, training, rng=np.random.default_rng(seed))
    for step in range(settings.training.steps):
        task.step(step)
    return task


def accuracy(task: Any, test: Any) -> float:
    """The share of test images whose class is predicted."""
    return float(np.mean(task.predict(test.images) == test.labels))


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
    count = min(FOLDS, int(np.bincount(some.labels).min()))
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


def measure(method: Method, name: str, training: Any, test: Any, seed: int) -> Result:
    """Choose the settings, fit with all labels, and measure on the test images."""
    words = choose(method, name, training, seed)
    return Result(accuracy(fitted(method, words, name, training, seed), test), words)


# --------------------------------------------------------------------------------- the whole table


def compare(
    names: Sequence[str],
    data: str,
    training: Any,
    test: Any,
    counts: Sequence[int],
    seeds: int,
    folder: Path,
) -> Path:
    """Measure all methods with each number of labels and each seed; the page that shows them.

    What is measured stands in `results.json`, and is not measured again. The page grows with it.
    """
    path = folder / "results.json"
    folder.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {"data": data, "results": {}}
    if path.is_file():
        about = json.loads(path.read_text())
        if about["data"] != data:
            raise RunError(f"{folder} compares on {about['data']}; choose another --out")
    results: dict[str, Any] = about["results"]
    every = list(product(counts, range(seeds), names))
    with progress_bar(len(every), "comparing") as bar:
        for count, seed, name in every:
            key = f"{name}, {count} labels, seed {seed}"
            bar.set_postfix_str(key, refresh=True)
            if key not in results:
                some = few_labels(training, count, np.random.default_rng(seed))
                result = measure(METHODS[name], data, some, test, seed)
                results[key] = {"accuracy": result.accuracy, "settings": result.settings}
                with atomic_write(path) as file:
                    file.write(json.dumps(about, indent=1).encode())
                if name == names[-1]:
                    write(about, names, counts, seeds, folder)
            bar.update()
    return write(about, names, counts, seeds, folder)


def write(
    about: dict[str, Any],
    names: Sequence[str],
    counts: Sequence[int],
    seeds: int,
    folder: Path,
) -> Path:
    """The page of what is measured so far."""
    panels: dict[str, dict[str, Curve]] = {}
    rows = []
    for name in names:
        method, x, means, deviations = METHODS[name], [], [], []
        kind = "generative" if method.generative else "discriminative"
        row: dict[str, Any] = {"name": f"{name} ({kind})"}
        for count in counts:
            found = [
                about["results"].get(f"{name}, {count} labels, seed {s}") for s in range(seeds)
            ]
            accuracies = [result["accuracy"] for result in found if result]
            row[str(count)] = float(np.mean(accuracies)) if accuracies else None
            if accuracies:
                x.append(count)
                means.append(float(np.mean(accuracies)))
                deviations.append(float(np.std(accuracies)))
        rows.append(row)
        curve = Curve(x, means, deviations, dashed=not method.generative)
        panels.setdefault(method.panel, {})[name] = curve
    draw_learning_curves(panels, folder / "labels.png")
    section = Section(
        title=TITLE,
        text=TEXT,
        facts={"data": about["data"], "seeds": seeds},
        images=[],
        curves=[
            ("labels.png", "Error on the test images by the number of labels, mean and spread")
        ],
        rows=rows,
        metrics_help=(
            "The share of the test images that are classified rightly, by the number of labelled "
            "training images, the mean over the seeds, each of which draws other images."
        ),
    )
    return write_page(folder, TITLE, [section])
