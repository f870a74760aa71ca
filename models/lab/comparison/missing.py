"""Who fills in missing pixels best?

All fill in the same pixels of the same test images, and none is told the class. Generators draw
what was likely; the mean of several draws is nearer to the image than each of them, and blurred.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv.files import atomic_write

from ...classical.missing import grey_out, known_in, to_mask
from ...classical.nearest import flatten, nearest
from ..evaluation.generation import Evaluator
from ..report.images import grid, write_png
from .fitting import DDPM, MIXTURE_OF_PIXELS, PIXEL_RNN, VAE, trained
from .subject import Figures, Given, Measurement, Record, Subject, in_order, means, of

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]  # images, known -> images

GENERATORS = {
    "GMM": MIXTURE_OF_PIXELS,
    "VAE": VAE,
    "pixel RNN": PIXEL_RNN,
    "DDPM": DDPM,
}
REAL = "the image itself"
MEAN = "mean of training images"
NEAREST = "nearest training image"
DRAWS = 3  # of a generator
MEASURED = 300  # test images at most
SHOWN = 16  # of them


class Missing(Subject):
    """How near to the image is what was filled in, and what a classifier makes of it."""

    title = "Missing data"
    text = (
        "The same part of the same test images is missing, and each method fills it in, without "
        "knowing the class: with the mean of the training images, the training image that is "
        "nearest in the pixels that are left, or by drawing from a generative model."
    )
    metrics_help = (
        "By the part that is missing. PSNR: peak signal-to-noise ratio on the missing pixels, in "
        f"dB, of one draw; of mean: of the mean of {DRAWS} draws. accuracy: the share of the "
        "images, filled in by one draw, that a frozen classifier gives their class. Means over the "
        "seeds."
    )
    names = (REAL, MEAN, NEAREST, *GENERATORS)
    uses = ("missing",)

    def measurements(self, given: Given) -> Iterator[Measurement]:
        evaluator = Evaluator.load(given.data)
        for seed, name, where in product(range(given.seeds), given.names, given.missing):
            if seed and name not in GENERATORS:
                continue
            yield Measurement(
                {"name": name, "missing": where, "seed": seed},
                partial(measure, name, where, given, seed, evaluator),
            )

    def rows(self, records: Sequence[Record]) -> list[Record]:
        rows = []
        for name in in_order(self.names, records):
            row: Record = {"name": name}
            for where in parts(records):
                found = means(of(records, name=name, missing=where), METRICS)
                row |= {f"{where}: {metric}": found[metric] for metric in METRICS}
            rows.append(row)
        return rows

    def draw(self, records: Sequence[Record], folder: Path) -> tuple[Figures, Figures]:
        images = []
        for where in parts(records):
            names = in_order(self.names, of(records, missing=where, seed=0))
            filled = [np.load(filled_by(name, where, folder)) for name in names]
            left = grey_out(filled[0], known_in(filled[0], where))
            every = np.concatenate([left, *filled])
            write_png(folder / f"missing-{where}.png", grid(every, SHOWN))
            caption = f"What is left of images; filled in by, a row each: {', '.join(names)}"
            images.append((f"missing-{where}.png", caption))
        return images, []


METRICS = ("PSNR", "PSNR of mean", "accuracy")


def parts(records: Sequence[Record]) -> list[str]:
    """The parts of an image that were missing, in the order of their measurement."""
    return list(dict.fromkeys(record["missing"] for record in records))


def measure(name: str, where: str, given: Given, seed: int, evaluator: Evaluator) -> Record:
    """The metrics of one method; what it makes of some images goes into a file."""
    order = np.random.default_rng(0).permutation(len(given.test))[:MEASURED]
    images, labels = given.test.images[order], given.test.labels[order]
    known = known_in(images, where)
    fill = filler(name, given, seed)
    draws = [fill(images, known) for _ in range(DRAWS if name in GENERATORS else 1)]
    if seed == 0:
        with atomic_write(filled_by(name, where, given.folder)) as file:
            np.save(file, draws[0][:SHOWN])
    record = {"accuracy": evaluator.accuracy(draws[0], labels)}
    if name != REAL:
        record["PSNR"] = psnr(draws[0], images, known)
    if len(draws) > 1:
        record["PSNR of mean"] = psnr(np.mean(draws, axis=0), images, known)
    return record


def filler(name: str, given: Given, seed: int) -> Fill:
    """What fills in the missing pixels."""
    training = given.training.images
    if name == REAL:
        return lambda images, known: images
    if name == MEAN:
        return lambda images, known: put_in(images, known, training.mean(axis=0))
    if name == NEAREST:
        return lambda images, known: put_in(images, known, look_up(images, known, training))
    task: Any = trained(GENERATORS[name], given, seed)
    rng = np.random.default_rng(seed)
    return lambda images, known: task.inpaint(grey_out(images, known), known, rng=rng)


def put_in(images: np.ndarray, known: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Images whose pixels that are not known (N, H, W) come from others."""
    return np.where(to_mask(known, images), images, others)


def look_up(images: np.ndarray, known: np.ndarray, training: np.ndarray) -> np.ndarray:
    """For each image the training image that is nearest in what is known, alike in all images."""
    places = nearest(flatten(images[:, known[0]]), flatten(training[:, known[0]]))
    return np.asarray(training[places])


def psnr(filled: np.ndarray, images: np.ndarray, known: np.ndarray) -> float:
    """The peak signal-to-noise ratio on the pixels that are not known, in dB."""
    error = np.mean(np.square(filled - images)[~known])
    return float(-10 * np.log10(error))


def filled_by(name: str, where: str, folder: Path) -> Path:
    """Where some images are kept that a method has filled in."""
    return folder / f"missing-{where}-{name.replace(' ', '-')}.npy"
