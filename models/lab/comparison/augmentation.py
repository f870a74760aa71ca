"""Does a classifier with few labels learn from what a generator draws?

The generator sees the same few images and no others; one that was trained on all images shows what
it could do at most. Each classifier is the same network, trained for as many steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv.data import Dataset
from tinygrad_cv.files import atomic_write

from ..report.images import grid, write_png
from ..report.plots import draw_dots
from .fitting import (
    DDPM,
    GAN,
    MIXTURE,
    VAE_OF_CLASSES,
    Model,
    accuracy,
    few_labels,
    trained,
)
from .subject import Figures, Given, Measurement, Record, Subject, in_order, means, of

GENERATORS = {
    "GMM": MIXTURE,
    "VAE": VAE_OF_CLASSES,
    "GAN": GAN,
    "DDPM": DDPM,
}
OF_ALL = " of all images"  # the generator was trained on more than the classifier sees
PLAIN = "nothing"
GEOMETRIC = "shifted images"
SAMPLES = 2000  # images that are drawn
SHOWN = 10  # of each generator
CLASSIFIER = {"training.shift": "0", "training.mixup": "0.0"}


class Augmentation(Subject):
    """The accuracy of a classifier with few labels, with and without images that are drawn."""

    title = "Augmentation"
    text = (
        "The same network, trained for as many steps on few labelled images, alone or beside as "
        "many that were shifted by a pixel or drawn by a generator; each generator has seen the "
        "same few images only, except where it says “of all images”."
    )
    metrics_help = (
        "The share of the test images that are classified rightly, by the number of labelled "
        "images, the mean over the seeds; each seed draws other images. spread: its standard "
        "deviation, with the first number of labels."
    )
    names = (PLAIN, GEOMETRIC, *GENERATORS, *(f"{name}{OF_ALL}" for name in GENERATORS))
    uses = ("labels",)

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
            row: Record = {"name": name}
            for count in counts:
                found = means(of(records, name=name, labels=count), ["accuracy"])
                row[str(count)] = found["accuracy"]
                row.setdefault("spread", found["spread"])
            rows.append(row)
        return rows

    def draw(self, records: Sequence[Record], folder: Path) -> tuple[Figures, Figures]:
        images, curves = [], []
        names = in_order(self.names, records)
        for count in sorted({record["labels"] for record in records}):
            accuracies = {}
            for name in names:
                accuracies[name] = [r["accuracy"] for r in of(records, name=name, labels=count)]
            draw_dots(accuracies, "accuracy", folder / f"augmentation-{count}.png")
            caption = f"Each dot is a seed: {count} labelled images, beside them ..."
            curves.append((f"augmentation-{count}.png", caption))
            there = [name for name in names if drawn_by(name, count, folder).is_file()]
            if there:
                drawn = [np.load(drawn_by(name, count, folder)) for name in there]
                write_png(folder / f"drawn-{count}.png", grid(np.concatenate(drawn), SHOWN))
                caption = f"Drawn after {count} images, a row each: {', '.join(there)}"
                images.append((f"drawn-{count}.png", caption))
        return images, curves


def measure(name: str, count: int, given: Given, seed: int) -> Record:
    """The accuracy of a classifier that was trained on few images, augmented in one way."""
    some = few_labels(given.training, count, np.random.default_rng(seed))
    words = dict(CLASSIFIER)
    if name == GEOMETRIC:
        words["training.shift"] = "1"
    seen = some
    if name not in (PLAIN, GEOMETRIC):
        drawn = samples(name, some, given, seed)
        seen = half_and_half(some, drawn)
        if seed == 0:
            with atomic_write(drawn_by(name, count, given.folder)) as file:
                np.save(file, drawn.images[:SHOWN])
    classifier = Model("mlp", words).fit(given.data, seen, seed)
    return {"accuracy": accuracy(classifier, given.test)}


def samples(name: str, some: Any, given: Given, seed: int) -> Any:
    """Images of each class, drawn by a generator that was trained on some images, or on all."""
    model = GENERATORS[name.removesuffix(OF_ALL)]
    task = (
        trained(model, given, seed) if name.endswith(OF_ALL) else model.fit(given.data, some, seed)
    )
    classes = np.arange(SAMPLES) % len(some.classes)
    images = task.sample(SAMPLES, label=classes, rng=np.random.default_rng(seed))
    return Dataset(some.name, images, classes, some.classes)


def half_and_half(some: Any, drawn: Any) -> Any:
    """As many real images, each of them repeated, as drawn ones."""
    places = np.arange(len(drawn)) % len(some)
    images = np.concatenate([some.images[places], drawn.images])
    labels = np.concatenate([some.labels[places], drawn.labels])
    return Dataset(some.name, images, labels, some.classes)


def drawn_by(name: str, count: int, folder: Path) -> Path:
    """Where some images are kept that a generator has drawn."""
    return folder / f"drawn-{name.replace(' ', '-')}-{count}.npy"
