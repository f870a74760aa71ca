"""Training a DDPM, and measuring what it draws with classes and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv import data, parallel

from ...generative.ddpm import DDPM, DDPMConfig, known_pixels, to_images, to_network
from ..evaluation.generation import Evaluator, evaluate
from ..learner import Learner
from ..optional import progress_bar
from ..report.images import grid, write_png
from .images import SAMPLES, ImageGenerator

PRESETS = {
    "tiny": DDPMConfig(timesteps=20, base=8, heads=2, steps=200, batch=8, warm_up=10),
    "digits": DDPMConfig(),
    "mnist": DDPMConfig(
        (28, 28), base=16, multipliers=(1, 2, 4), attention=(2,), dropout=0.0, steps=6000, rate=1e-3,
        average=0.999,
    ),
}  # fmt: skip


class DDPMTask(ImageGenerator):
    """The training of a DDPM."""

    presets = PRESETS
    title = "DDPM"
    plots: ClassVar = {"loss": ("loss",)}
    options: ClassVar = {"label": -1, "guidance": 1.0, "sampling_steps": 50, "eta": 1.0}

    def __init__(self, config: DDPMConfig, training: Any, *, rng: np.random.Generator) -> None:
        self.config, self.rng = config, rng
        self.model = DDPM(config, rng=rng)
        self.learner = Learner(self.model, config)
        self.parts = self.learner.parts
        if training is not None:
            labels = np.zeros(len(training), int) if training.labels is None else training.labels
            pairs = (to_network(training.images), labels)
            self.batches = data.batches(pairs, min(config.batch, len(training)), rng=rng)

    def step(self, step: int) -> dict[str, float]:
        config, rng, (x0, labels) = self.config, self.rng, next(self.batches)
        t = rng.integers(1, config.timesteps + 1, len(x0))
        noise = rng.standard_normal(x0.shape, dtype=np.float32)
        labels = np.where(rng.random(len(x0)) < config.label_dropout, config.classes, labels)
        loss = self.model.loss(*map(parallel.team().shard, (x0, t, noise, labels)))
        self.learner.step(loss, step)
        return {"loss": loss.item()}

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> np.ndarray:
        """n pictures, by the averaged weights. Options: those of `DDPM.reverse`."""
        with self.learner.ema_weights() as model, progress_bar(n, "drawing", passing=True) as bar:
            drawn: np.ndarray = model.sample(n, rng=rng, observe=bar.update, **options)
        return drawn

    def inpaint(
        self, images: np.ndarray, known: np.ndarray, *, rng: np.random.Generator, sampling_steps: int = 250
    ) -> np.ndarray:
        """`DDPM.inpaint` by the averaged weights."""
        with self.learner.ema_weights() as model:
            filled: np.ndarray = model.inpaint(images, known, rng=rng, sampling_steps=sampling_steps)
        return filled

    def measured(self, n: int, training: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Of a model with classes n pictures whose classes are as frequent as in training."""
        if not self.config.classes:
            return super().measured(n, training)
        classes = np.sort(training.labels)[np.linspace(0, len(training) - 1, n).round().astype(int)]
        return self.sample(n, label=classes, rng=np.random.default_rng(1)), classes

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        """Besides, what it draws if it is not told a class."""
        rows = super().evaluate(name, training, test)
        if self.config.classes:
            samples, _ = super().measured(min(len(test), SAMPLES), training)
            metrics = evaluate(
                samples, training.images, test.images, Evaluator.load(name), rng=np.random.default_rng(2),
                train_labels=training.labels, test_labels=test.labels,
            )  # fmt: skip
            rows.insert(1, {"name": "generator, told no class", **metrics})
        return rows

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        """Samples of each class; the forward and the reverse process; missing pixels drawn."""
        rng = np.random.default_rng(4)
        pictures = super().show(folder, training, test)  # of which the samples are told no class
        if self.config.classes:
            by_class = np.repeat(np.arange(min(10, self.config.classes)), 10)
            write_png(folder / "classes.png", grid(self.sample(len(by_class), label=by_class, rng=rng), 10))
            pictures.append(("classes.png", "Drawn by class, a row each"))

        some = rng.permutation(test.images)[:8]
        x0, share = to_network(some), np.linspace(0, 1, 10)
        noise = rng.standard_normal(x0.shape, dtype=np.float32)
        timesteps = (share * self.config.timesteps).round().astype(int)
        forward = [self.model.diffusion.q_sample(x0, np.full(len(x0), t), noise) for t in timesteps]
        write_png(folder / "forward.png", grid(strip(forward, self.config.shape), len(timesteps)))

        start = self.model.noise(8, rng)
        with self.learner.ema_weights() as model:
            path = [start, *(x for x, _ in model.reverse(start, rng=rng))]
        chosen = [path[i] for i in np.linspace(0, len(path) - 1, 10).round().astype(int)]
        write_png(folder / "reverse.png", grid(strip(chosen, self.config.shape), len(chosen)))

        known = np.broadcast_to(known_pixels(some.shape[1:3], "lower"), some.shape[:3])
        seen = np.where(known.reshape(known.shape + (1,) * (some.ndim - 3)), some, 0.5).astype(np.float32)
        filled = [self.inpaint(some, known, rng=rng, sampling_steps=100) for _ in range(3)]
        write_png(folder / "inpainted.png", grid(np.concatenate([some, seen, *filled]), 8))
        return [
            *pictures,
            ("forward.png", "The forward process: a picture becomes noise"),
            ("reverse.png", "The reverse process: noise becomes a picture"),
            ("inpainted.png", "Missing pixels: the picture, what was left of it, three ways to fill it"),
        ]


def strip(path: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Batches along time -> pictures, those of one sample side by side."""
    return np.stack([to_images(x, shape) for x in path], axis=1).reshape(-1, *shape)  # (B timesteps, H, W)
