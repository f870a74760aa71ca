"""Training a variational autoencoder, measuring its bounds, and looking into its latent space.

Where pixels are binary, the training images are binarised anew in each batch, and the test images
once, with a seed of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from tinygrad_cv import data, parallel

from ...config import Config, Steps
from ...generative.vae import VAE, Labels, VAEConfig, between, plane
from ..errors import RunError
from ..learner import Learner, TrainingConfig
from ..report.images import grid, write_png
from .by_class import ClassConditionalGenerator, with_bayes
from .images import ImageSettings, check_classes

TIGHT = 50  # draws of the tighter bound
BY_CLASS = 10  # draws of the bound of each class, by which images are classified
WALK = 20  # images along each side of a walk
PATH = 10  # images from one to another


@dataclass(frozen=True)
class VAETraining(TrainingConfig):
    """How a VAE is trained. Gradients are of nats an image, and so are their norms."""

    steps: Steps = 4000
    batch_size: int = 128
    lr: float = 1e-3
    beta: float = 1.0  # weight of the divergence; above 1: a simpler code, below: sharper images
    max_grad_norm: float = 200.0


@dataclass(frozen=True)
class VAESampling(Config):
    """How a VAE draws."""

    label: Annotated[int, -1, inf] = -1  # the class of all images; -1 for any
    drawn: bool = False  # pixels drawn from the likelihood, not its mean


@dataclass(frozen=True)
class VAESettings(ImageSettings):
    """A VAE and its training."""

    model: VAEConfig = field(default_factory=VAEConfig)
    training: VAETraining = field(default_factory=VAETraining)

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        check_classes("model.num_classes", self.model.num_classes, dataset)
        if dataset is not None and self.model.num_classes and dataset.labels is None:
            raise ValueError(f"model.num_classes: {dataset.name} has no labels; leave it out")


PRESETS = {
    "tiny": VAESettings(
        VAEConfig(latent_dim=2, hidden_sizes=(8,)),
        VAETraining(steps=200, batch_size=16, warmup_steps=10),
    ),
    "digits": VAESettings(),
    "mnist": VAESettings(
        VAEConfig(image_size=(28, 28), latent_dim=40, hidden_sizes=(500, 500)),
        VAETraining(steps=20_000, ema_decay=0.999),
    ),
}


class VAETask(ClassConditionalGenerator):
    """The training of a VAE."""

    presets = PRESETS
    title = "VAE"
    plots: ClassVar = {"loss": ("loss",), "terms": ("reconstruction", "divergence")}
    options: ClassVar = VAESampling()
    metrics_help = (
        f"ELBO: the bound on log p(x) of a test image, in nats; IWAE-{TIGHT}: the tighter one of "
        f"{TIGHT} draws. Of a Bernoulli likelihood x is binarised, each pixel 1 with a probability "
        "of its grey value; a Gaussian one is a density. A model with classes bounds "
        "log p(x | class). " + ClassConditionalGenerator.metrics_help
    )

    settings: VAESettings

    def __init__(self, settings: VAESettings, training: Any, *, rng: np.random.Generator) -> None:
        self.settings, self.rng = settings, rng
        self.model = VAE(settings.model, rng=rng)
        self.learner = Learner(self.model, settings.training)
        self.parts = self.learner.parts
        if training is not None:
            labels = np.zeros(len(training), int)
            if self.num_classes:
                labels = training.labels
                self.count_classes(labels)
            size = min(settings.training.batch_size, len(training))
            self.batches = data.batches((training.images, labels), size, rng=rng)

    def seen(self, labels: np.ndarray) -> Labels:
        """The classes of images if the model has classes, otherwise None."""
        return labels if self.num_classes else None

    def step(self, step: int) -> dict[str, float]:
        """One update; each image is seen with new pixels and a new z."""
        images, labels = next(self.batches)
        x = self.model.observed(images, rng=self.rng)  # (B, P)
        shape = len(x), self.settings.model.latent_dim
        noise = self.rng.standard_normal(shape, dtype=np.float32)
        x, noise, labels = map(parallel.team().shard, (x, noise, labels))
        log_likelihood, divergence = self.model.elbo(x, noise, self.seen(labels))
        reconstruction, divergence = -log_likelihood.mean(), divergence.mean()
        loss = reconstruction + self.settings.training.beta * divergence
        self.learner.step(loss, step)
        return {
            "loss": loss.item(),
            "reconstruction": reconstruction.item(),
            "divergence": divergence.item(),
        }

    def sample(
        self,
        n: int,
        *,
        label: int | np.ndarray = -1,
        drawn: bool = False,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """n images by the averaged weights, (n, H, W[, C]); `label` of all, or of each (n,)."""
        labels = None if np.all(np.equal(label, -1)) else np.broadcast_to(label, n)
        with self.learner.ema_weights() as model:
            images: np.ndarray = model.sample(n, labels, drawn=drawn, rng=rng)
        return images

    def inpaint(
        self, images: np.ndarray, known: np.ndarray, *, rng: np.random.Generator
    ) -> np.ndarray:
        """`VAE.inpaint` by the averaged weights.

        Raises RunError for a model with classes, which would have to be given.
        """
        if self.num_classes:
            without = "train one with model.num_classes=0 to fill in pixels"
            raise RunError(f"this VAE is told the class of each image; {without}")
        with self.learner.ema_weights():
            return self.model.inpaint(images, known, rng=rng)

    # ---------------------------------------------------------------------------------- likelihood

    def bounds(self, test: Any, k: int = 0) -> np.ndarray:
        """The ELBO of each test image, or with k > 0 its bound of k draws, in nats: (N,)."""
        rng = np.random.default_rng(6)
        x = self.model.observed(test.images, rng=rng)
        with self.learner.ema_weights() as model:
            bounds: np.ndarray = model.bounds(x, self.seen(test.labels), k=k, rng=rng)
        return bounds

    def class_log_likelihoods(self, images: np.ndarray) -> np.ndarray:
        """Bounds on log p(image | class), (N, K), by the averaged weights."""
        rng = np.random.default_rng(6)
        x = self.model.observed(images, rng=rng)
        with self.learner.ema_weights() as model:
            bounds: np.ndarray = model.class_bounds(x, k=BY_CLASS, rng=rng)
        return bounds

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        """Besides, the bounds, and how well those of each class classify."""
        rows = super().evaluate(name, training, test)
        generator, *others = with_bayes(rows, self, training, test) if self.num_classes else rows
        own = {"name": generator["name"]}
        own["ELBO"] = float(self.bounds(test).mean())
        own[f"IWAE-{TIGHT}"] = float(self.bounds(test, TIGHT).mean())
        return [own | generator, *others]

    # -------------------------------------------------------------------------------------- to see

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        """Samples of each class; reconstructions; ways between images; a walk."""
        captions = super().show(folder, training, test)
        rng = np.random.default_rng(8)
        chosen = rng.permutation(len(test))[:20]
        x = self.model.observed(test.images[chosen], rng=rng)
        labels = test.labels[chosen] if self.num_classes else None
        with self.learner.ema_weights():
            model = self.model
            if self.num_classes:
                write_png(folder / "classes.png", grid(self.draw_classes(model, rng), 10))
                captions.append(("classes.png", "A row for each class, a column for each code"))
            reconstructed = self.draw_reconstructed(model, x, labels)
            write_png(folder / "reconstructed.png", grid(reconstructed, len(x)))
            write_png(folder / "interpolated.png", grid(self.draw_paths(model, x, labels), PATH))
            write_png(folder / "walk.png", grid(self.draw_walk(model, x, labels), WALK))
        return [
            *captions,
            ("reconstructed.png", "Test images, and under each what its code has kept"),
            ("interpolated.png", "From one image to another, along the line between their codes"),
            ("walk.png", "The plane of the two latent dimensions that say most about images"),
        ]

    def draw_classes(self, model: VAE, rng: np.random.Generator) -> np.ndarray:
        """Of at most ten classes, the images of the same ten latent vectors."""
        classes = min(10, self.num_classes)
        z = rng.standard_normal((10, self.settings.model.latent_dim), dtype=np.float32)
        labels = np.repeat(np.arange(classes), len(z))
        return model.means(np.tile(z, (classes, 1)), labels)

    def draw_reconstructed(self, model: VAE, x: np.ndarray, labels: Labels) -> np.ndarray:
        """Images (N, P) as the model sees them, then what it makes of their latent means."""
        images = x.reshape(-1, *self.settings.model.image_shape)
        return np.concatenate([images, model.reconstruct(x, labels)])

    def draw_paths(self, model: VAE, x: np.ndarray, labels: Labels) -> np.ndarray:
        """From each of the first half of some images to one of the second half.

        The class changes halfway.
        """
        z = model.latent_means(x, labels)
        half = len(z) // 2
        path = between(z[:half], z[half:], PATH).reshape(-1, z.shape[1])
        if labels is not None:
            ends = np.stack([labels[:half], labels[half:]], axis=1)  # (half, 2)
            labels = ends.repeat(PATH // 2, axis=1).ravel()
        return model.means(path, labels)

    def draw_walk(self, model: VAE, x: np.ndarray, labels: Labels) -> np.ndarray:
        """A plane through the latent space, of the class of the first image if there are any."""
        Z = self.settings.model.latent_dim
        order = np.argsort(-model.divergences(x, labels))
        first, second = order[0], order[min(1, Z - 1)]
        z = plane(Z, first, second, WALK).reshape(-1, Z)
        if labels is not None:
            labels = np.full(len(z), labels[0])
        return model.means(z, labels)
