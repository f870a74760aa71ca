"""Tasks with settings, fitted to a data set or to a few images of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from tinygrad_cv.data import Dataset

from ...config import stored
from ..errors import RunError
from ..progress import progress_bar
from ..run import Run, origin
from ..settings import configure
from ..tasks import TASKS
from ..train import train
from .subject import Given

Words = dict[str, str]  # settings, as `--set` has them


@dataclass(frozen=True)
class Model:
    """A task with settings; with `classes` it is told those of the data set.

    Its runs stand in folders of a name, which is the task's if there is no other.
    """

    task: str
    words: Words = field(default_factory=dict)
    classes: bool = False
    name: str = ""

    def settings(self, data: str, training: Any) -> Any:
        """Those of the preset for a data set, or of the last one, changed."""
        presets, words = TASKS[self.task].presets, self.words
        preset = data if data in presets else list(presets)[-1]
        if self.classes:
            words = words | {"model.num_classes": str(len(training.classes))}
        return configure(presets, preset, training, words)

    def fit(self, data: str, training: Any, seed: int) -> Any:
        """The task after all its steps, in memory."""
        settings = self.settings(data, training)
        task = TASKS[self.task](settings, training, rng=np.random.default_rng(seed))
        with progress_bar(settings.training.steps, f"fitting {self.task}", passing=True) as bar:
            for step in range(settings.training.steps):
                task.step(step)
                bar.update()
        return task


# How the generators of the comparisons are trained: the presets, but for what is in words.
GAUSSIANS = Model("gmm", {"model.num_components": "1", "training.steps": "1"}, name="gaussians")
MIXTURE = Model("gmm")
MIXTURE_OF_PIXELS = Model("gmm", {"model.principal_components": "0"}, name="gmm-of-pixels")
HMM = Model("hmm")
VAE_OF_CLASSES = Model(
    "vae", {"model.num_levels": "17", "training.weight_decay": "0.3"}, classes=True
)
VAE = Model("vae", {"model.num_levels": "17", "training.beta": "4.0"})
PIXEL_RNN_OF_CLASSES = Model("pixel-rnn", classes=True)
PIXEL_RNN = Model("pixel-rnn")
GAN = Model("cgan")
DDPM = Model("ddpm", {"training.steps": "1500", "model.unet.base_channels": "16"})


def grid(**values: Sequence[object]) -> tuple[Words, ...]:
    """All combinations of values of settings; __ stands for a dot."""
    names = [name.replace("__", ".") for name in values]
    return tuple(
        {name: str(value) for name, value in zip(names, combination, strict=True)}
        for combination in product(*values.values())
    )


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


def accuracy(task: Any, test: Any) -> float:
    """The share of test images whose class is predicted."""
    return float(np.mean(task.predict(test.images) == test.labels))


def trained(model: Model, given: Given, seed: int) -> Any:
    """A task after its training on all images, in a run's folder, where it goes on if stopped."""
    settings = model.settings(given.data, given.training)
    name = model.name or model.task
    run = Run(given.folder / f"{name}{'-of-classes' * model.classes}-{seed}")
    config = {
        "task": model.task,
        **origin(given.data, given.root, seed),
        "config": stored(settings),
    }
    task = TASKS[model.task](settings, given.training, rng=np.random.default_rng(seed))
    with run.held():
        if not (run.folder / "config.json").is_file():
            run.create(config)
        if run.config != config:
            raise RunError(f"{run.folder} was trained with other settings; choose another --out")
        if run.restore(task) < settings.training.steps:
            train(task, run, settings.training.steps)
    return task
