"""Training an RNN that draws pixel by pixel, and comparing its likelihood with simpler models'."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv import data, kernels, parallel

from ...classical.gaussians import gaussian_bits
from ...classical.ngram import markov_bits
from ...config import Fraction, NonNegative, Steps
from ...generative.pixel_rnn import PixelRNN, PixelRNNConfig, quantise
from ..learner import Learner, TrainingConfig
from ..progress import progress_bar
from ..task import in_batches
from .images import ImageGenerator, ImageSettings


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
class PixelRNNSettings(ImageSettings):
    """A pixel model and its training."""

    model: PixelRNNConfig = field(default_factory=PixelRNNConfig)
    training: PixelRNNTraining = field(default_factory=PixelRNNTraining)


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


class PixelRNNTask(ImageGenerator):
    """The training of a pixel model."""

    presets = PRESETS
    title = "RNN that draws pixel by pixel"
    plots: ClassVar = {"loss": ("bits per dimension",)}
    metrics_help = (
        "bits/dim: mean of -log2 p(pixel | the pixels before) on the test images. The Gaussian of "
        "each class gives a level the probability of its interval, given the pixels before and "
        "mixed over the classes; the Markov model counts what follows three pixels. "
        + ImageGenerator.metrics_help
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
            size = min(settings.training.batch_size, len(levels))
            self.batches = data.batches(levels, size, rng=rng)

    def quantise(self, images: np.ndarray) -> np.ndarray:
        """Images (N, H, W) as levels (N, H W)."""
        return quantise(images, self.settings.model.num_levels)

    def step(self, step: int) -> dict[str, float]:
        levels = parallel.team().shard(next(self.batches))  # (N, H W)
        logits, _ = self.model(levels)
        loss = kernels.cross_entropy(logits, levels.T)
        self.learner.step(loss, step)
        return {"bits per dimension": loss.item() / float(np.log(2))}

    def bits(self, images: np.ndarray) -> float:
        """Bits per dimension of images (N, H, W)."""
        losses = []
        with self.learner.ema_weights() as model:
            for levels in in_batches(self.quantise(images)):
                logits, _ = model(levels)
                loss = kernels.cross_entropy(logits, levels.T, reduction="none")
                losses.append(loss.numpy().ravel())
        return float(np.concatenate(losses).mean() / np.log(2))

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> np.ndarray:
        """n images, (n, H, W), by the averaged weights."""
        H, W = self.settings.model.image_size
        progress = progress_bar(H * W, "drawing", passing=True)
        with progress as bar, self.learner.ema_weights() as model:
            images: np.ndarray = model.sample(n, rng=rng, observe=bar.update)
        return images

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        """Besides, the likelihood, also of two simpler models."""
        rows = super().evaluate(name, training, test)
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
