"""Training an RNN that draws pixel by pixel, and comparing its likelihood with simpler models'."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Any, ClassVar

import numpy as np

from tinygrad_cv import data, kernels, parallel

from ...classical.bayes import log_evidence
from ...classical.gaussians import gaussian_bits
from ...classical.ngram import markov_bits
from ...config import Config, Fraction, NonNegative, Steps
from ...generative.pixel_rnn import PixelRNN, PixelRNNConfig, quantise
from ..errors import RunError
from ..learner import Learner, TrainingConfig
from ..progress import progress_bar
from ..task import in_batches
from .by_class import ClassConditionalGenerator, with_bayes
from .images import ImageSettings, check_classes


@dataclass(frozen=True)
class PixelRNNTraining(TrainingConfig):
    """How a pixel model is trained. In more steps it learns the 1,200 digits by heart."""

    steps: Steps = 600
    batch_size: int = 64
    lr: float = 3e-3
    weight_decay: float = 0.05
    warmup_steps: NonNegative = 100
    ema_decay: Fraction = 0.98


@dataclass(frozen=True)
class PixelRNNSampling(Config):
    """How a pixel model draws."""

    label: Annotated[int, -1, inf] = -1  # the class of all images; -1 for any


@dataclass(frozen=True)
class PixelRNNSettings(ImageSettings):
    """A pixel model and its training."""

    model: PixelRNNConfig = field(default_factory=PixelRNNConfig)
    training: PixelRNNTraining = field(default_factory=PixelRNNTraining)

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        check_classes("model.num_classes", self.model.num_classes, dataset)
        if dataset is not None and self.model.num_classes and dataset.labels is None:
            raise ValueError(f"model.num_classes: {dataset.name} has no labels; leave it out")


PRESETS = {
    "tiny": PixelRNNSettings(
        PixelRNNConfig(hidden_size=8, embedding_size=4),
        PixelRNNTraining(steps=100, batch_size=8, warmup_steps=5),
    ),
    "digits": PixelRNNSettings(),
    "mnist": PixelRNNSettings(
        PixelRNNConfig(image_size=(28, 28), num_levels=8, hidden_size=256, dropout=0.2),
        PixelRNNTraining(steps=6000, ema_decay=0.998),
    ),
}


class PixelRNNTask(ClassConditionalGenerator):
    """The training of a pixel model."""

    presets = PRESETS
    title = "RNN that draws pixel by pixel"
    plots: ClassVar = {"loss": ("bits per dimension",)}
    options: ClassVar = PixelRNNSampling()
    metrics_help = (
        "bits/dim: mean of -log2 p(pixel | the pixels before) on the test images. The Gaussian of "
        "each class gives a level the probability of its interval, given the pixels before and "
        "mixed over the classes; the Markov model counts what follows three pixels. "
        + ClassConditionalGenerator.metrics_help
    )

    settings: PixelRNNSettings

    def __init__(
        self, settings: PixelRNNSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        self.settings, self.rng = settings, rng
        self.model = PixelRNN(settings.model, rng=rng)
        self.learner = Learner(self.model, settings.training)
        self.parts = self.learner.parts
        if training is not None:
            levels = self.quantise(training.images)
            labels = np.zeros(len(levels), int)
            if self.num_classes:
                labels = training.labels
                self.count_classes(labels)
            size = min(settings.training.batch_size, len(levels))
            self.batches = data.batches((levels, labels), size, rng=rng)

    def quantise(self, images: np.ndarray) -> np.ndarray:
        """Images (N, H, W) as levels (N, H W)."""
        return quantise(images, self.settings.model.num_levels)

    def step(self, step: int) -> dict[str, float]:
        levels, labels = map(parallel.team().shard, next(self.batches))  # (N, H W), (N,)
        logits, _ = self.model(levels, labels=labels)
        loss = kernels.cross_entropy(logits, levels.T)
        self.learner.step(loss, step)
        return {"bits per dimension": loss.item() / float(np.log(2))}

    def bits(self, images: np.ndarray) -> float:
        """Bits per dimension of images (N, H, W), whose class is not known."""
        if self.num_classes:
            nats = log_evidence(self.class_log_likelihoods(images), self.log_prior)
        else:
            with self.learner.ema_weights() as model:
                each = [model.log_likelihoods(part) for part in in_batches(self.quantise(images))]
            nats = np.concatenate(each)
        return -float(nats.sum() / images.size / np.log(2))

    def class_log_likelihoods(self, images: np.ndarray) -> np.ndarray:
        with self.learner.ema_weights() as model:
            parts = in_batches(self.quantise(images))
            return np.concatenate([model.class_log_likelihoods(part) for part in parts])

    def sample(
        self, n: int, *, label: int | np.ndarray = -1, rng: np.random.Generator
    ) -> np.ndarray:
        """n images, (n, H, W), by the averaged weights; `label` of all, or of each (n,)."""
        H, W = self.settings.model.image_size
        labels = None if np.all(np.equal(label, -1)) else np.broadcast_to(label, n)
        progress = progress_bar(H * W, "drawing", passing=True)
        with progress as bar, self.learner.ema_weights() as model:
            images: np.ndarray = model.sample(n, labels, rng=rng, observe=bar.update)
        return images

    def inpaint(
        self, images: np.ndarray, known: np.ndarray, *, rng: np.random.Generator
    ) -> np.ndarray:
        """`PixelRNN.inpaint` by the averaged weights.

        Raises RunError for a model with classes, which would have to be given.
        """
        if self.num_classes:
            without = "train one with model.num_classes=0 to fill in pixels"
            raise RunError(f"this model is told the class of each image; {without}")
        progress = progress_bar(known[0].size, "filling in", passing=True)
        with progress as bar, self.learner.ema_weights() as model:
            filled: np.ndarray = model.inpaint(images, known, rng=rng, observe=bar.update)
        return filled

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        """Besides, the likelihood, also of two simpler models."""
        rows = super().evaluate(name, training, test)
        if self.num_classes:
            rows = with_bayes(rows, self, training, test)
        num_levels = self.settings.model.num_levels
        known = self.quantise(training.images)
        levels = self.quantise(test.images)
        bits = {
            "generator": self.bits(test.images),
            "10 class Gaussians": gaussian_bits(known, training.labels, levels, num_levels),
            "order-3 Markov": markov_bits(known, levels, num_levels, 3),
        }
        rows.append({"name": "order-3 Markov"})
        return [with_bits(row, bits) for row in rows]


def with_bits(row: dict[str, Any], bits: dict[str, float]) -> dict[str, Any]:
    """A row of `evaluate` with the bits of its model, if they are known, before the others."""
    name = row["name"]
    known = {"bits/dim": bits[name]} if name in bits else {}
    return {"name": name, **known, **row}
