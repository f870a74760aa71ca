"""Training a DDPM, and measuring what it draws with classes and without."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np

from tinygrad_cv import data, parallel

from ...config import Config, Fraction, Steps
from ...generative.ddpm import DDPM, DDPMConfig, to_images, to_network
from ...generative.unet import UNetConfig
from ..evaluation.generation import Evaluator, evaluate
from ..learner import Learner, TrainingConfig
from ..progress import progress_bar
from ..report.images import grid, write_png
from ..settings import changed
from .by_class import ClassConditionalGenerator
from .images import SAMPLES, ImageGenerator, ImageSettings, check_classes, draw_inpainted

MOMENTS = 10  # of a process are shown


@dataclass(frozen=True)
class DDPMTraining(TrainingConfig):
    """How a DDPM is trained."""

    steps: Steps = 5000
    batch_size: int = 64
    lr: float = 2e-3
    label_dropout: Fraction = 0.3  # share of the training images whose class is withheld


@dataclass(frozen=True)
class DDPMSampling(Config):
    """How a DDPM draws."""

    label: Annotated[int, -1, inf] = -1  # the class of all images; -1 for none
    guidance: Annotated[float, -100, 100] = 1.0  # above 1: more of the class, less variety
    sampling_steps: int = 50  # from noise to image, at most the model's timesteps
    eta: Fraction = 1.0  # the noise of each step: 0 is DDIM, 1 DDPM


@dataclass(frozen=True)
class DDPMSettings(ImageSettings):
    """A DDPM and its training. A data set decides the UNet's channels and classes too."""

    model: DDPMConfig = field(default_factory=DDPMConfig)
    training: DDPMTraining = field(default_factory=DDPMTraining)

    def fitted(self, dataset: Any) -> Self:
        if dataset is None:
            return self
        settings = super().fitted(dataset)
        unet = {
            "model.unet.in_channels": settings.model.num_channels,
            "model.unet.num_classes": len(dataset.classes),
        }
        fitted: Self = changed(settings, unet)
        return fitted

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        check_classes("model.unet.num_classes", self.model.unet.num_classes, dataset)


PRESETS = {
    "tiny": DDPMSettings(
        DDPMConfig(timesteps=20, unet=UNetConfig(base_channels=8, num_heads=2, num_classes=10)),
        DDPMTraining(steps=200, batch_size=8, warmup_steps=10),
    ),
    "digits": DDPMSettings(),
    "mnist": DDPMSettings(
        DDPMConfig(
            image_size=(28, 28),
            unet=UNetConfig(
                base_channels=16,
                channel_multipliers=(1, 2, 4),
                attention_levels=(2,),
                dropout=0.0,
                num_classes=10,
            ),
        ),
        DDPMTraining(steps=6000, lr=1e-3, ema_decay=0.999),
    ),
}


class DDPMTask(ClassConditionalGenerator):
    """The training of a DDPM."""

    presets = PRESETS
    title = "DDPM"
    plots: ClassVar = {"loss": ("loss",)}
    options: ClassVar = DDPMSampling()
    metrics_help = ImageGenerator.metrics_help

    settings: DDPMSettings

    def __init__(self, settings: DDPMSettings, training: Any, *, rng: np.random.Generator) -> None:
        self.settings, self.rng = settings, rng
        self.model = DDPM(settings.model, rng=rng)
        self.learner = Learner(self.model, settings.training)
        self.parts = self.learner.parts
        if training is not None:
            labels = training.labels
            if labels is None:
                labels = np.zeros(len(training), int)
            self.count_classes(labels)
            pairs = (to_network(training.images), labels)
            size = min(settings.training.batch_size, len(training))
            self.batches = data.batches(pairs, size, rng=rng)

    @property
    def num_classes(self) -> int:
        """0 for a model without."""
        return self.settings.model.unet.num_classes

    def step(self, step: int) -> dict[str, float]:
        """One update; each image has a timestep of its own."""
        rng, (x0, labels) = self.rng, next(self.batches)
        t = rng.integers(1, self.settings.model.timesteps + 1, len(x0))
        noise = rng.standard_normal(x0.shape, dtype=np.float32)
        withheld = rng.random(len(x0)) < self.settings.training.label_dropout
        labels = np.where(withheld, self.num_classes, labels)
        loss = self.model.loss(*map(parallel.team().shard, (x0, t, noise, labels)))
        self.learner.step(loss, step)
        return {"loss": loss.item()}

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> np.ndarray:
        """n images by the averaged weights, (n, H, W[, C]). Options: those of `DDPM.reverse`."""
        with progress_bar(n, "drawing", passing=True) as bar, self.learner.ema_weights() as model:
            images: np.ndarray = model.sample(n, rng=rng, observe=bar.update, **options)
        return images

    def inpaint(
        self,
        images: np.ndarray,
        known: np.ndarray,
        *,
        rng: np.random.Generator,
        sampling_steps: int = 50,
        **options: Any,
    ) -> np.ndarray:
        """`DDPM.inpaint` by the averaged weights."""
        steps = min(sampling_steps, self.settings.model.timesteps)
        progress = progress_bar(steps, "filling in", passing=True)
        with progress as bar, self.learner.ema_weights() as model:
            filled: np.ndarray = model.inpaint(
                images, known, rng=rng, sampling_steps=steps, observe=bar.update, **options
            )
        return filled

    def class_log_likelihoods(self, images: np.ndarray) -> np.ndarray:
        """Bounds on log p(image | class), (N, K), by the averaged weights."""
        rng = np.random.default_rng(6)
        progress = progress_bar(len(images), "bounding", passing=True)
        with progress as bar, self.learner.ema_weights() as model:
            bounds: np.ndarray = model.class_bounds(images, rng=rng, observe=bar.update)
        return bounds

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        """Besides, what it draws without a class."""
        rows = super().evaluate(name, training, test)
        if self.num_classes:
            n = min(len(test), SAMPLES)
            samples = self.sample(n, rng=np.random.default_rng(1))
            metrics = evaluate(
                samples,
                training.images,
                test.images,
                Evaluator.load(name),
                rng=np.random.default_rng(2),
                train_labels=training.labels,
                test_labels=test.labels,
            )
            rows.insert(1, {"name": "generator, without classes", **metrics})
        return rows

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        """Samples of each class; the forward and the reverse process; missing pixels drawn."""
        rng = np.random.default_rng(4)
        captions = super().show(folder, training, test)  # of which the samples have no class
        if self.num_classes:
            write_png(folder / "classes.png", grid(self.draw_classes(rng), 10))
            captions.append(("classes.png", "Drawn by class, a row each"))
        images = rng.permutation(test.images)[:8]
        write_png(folder / "forward.png", grid(self.draw_forward(images, rng), MOMENTS))
        write_png(folder / "reverse.png", grid(self.draw_reverse(8, rng), MOMENTS))
        inpainted = draw_inpainted(self, images, rng)
        write_png(folder / "inpainted.png", grid(inpainted, len(images)))
        filled = "Missing pixels: the image, what was left of it, three ways to fill it"
        return [
            *captions,
            ("forward.png", "The forward process: an image becomes noise"),
            ("reverse.png", "The reverse process: noise becomes an image"),
            ("inpainted.png", filled),
        ]

    def draw_classes(self, rng: np.random.Generator) -> np.ndarray:
        """Ten images of each class, of at most ten classes."""
        labels = np.repeat(np.arange(min(10, self.num_classes)), 10)
        return self.sample(len(labels), label=labels, rng=rng)

    def draw_forward(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Images with more and more noise, those of one image side by side."""
        x0 = to_network(images)
        noise = rng.standard_normal(x0.shape, dtype=np.float32)
        share = np.linspace(0, 1, MOMENTS)
        timesteps = (share * self.settings.model.timesteps).round().astype(int)
        diffusion = self.model.diffusion
        path = [diffusion.q_sample(x0, np.full(len(x0), t), noise) for t in timesteps]
        return self.side_by_side(path)

    def draw_reverse(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """From noise to n images, the moments of each side by side."""
        start = self.model.noise(n, rng)
        with self.learner.ema_weights() as model:
            path = [start, *(x for x, _ in model.reverse(start, rng=rng))]
        places = np.linspace(0, len(path) - 1, MOMENTS).round().astype(int)
        return self.side_by_side([path[place] for place in places])

    def side_by_side(self, path: list[np.ndarray]) -> np.ndarray:
        """Batches (B, C, H, W) of T moments -> images (B T, H, W[, C]), those of one together."""
        shape = self.settings.model.image_shape
        images = [to_images(x, shape) for x in path]
        return np.stack(images, axis=1).reshape(-1, *shape)
