"""Training an RNN that draws pixel by pixel, and comparing its likelihood with those of simpler models."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tinygrad_cv import data, kernels, parallel

from ...classical.gaussians import gaussian_bits
from ...classical.ngram import markov_bits
from ...generative.pixel_rnn import PixelRNN, PixelRNNConfig, quantise
from ..learner import Learner
from ..optional import progress_bar
from ..task import in_batches
from .images import ImageGenerator

PRESETS = {
    "tiny": PixelRNNConfig(hidden=8, embedding=4, steps=100, batch=8, warm_up=5),
    "digits": PixelRNNConfig(),
    "mnist": PixelRNNConfig((28, 28), 8, hidden=256, dropout=0.2, steps=6000, average=0.998),
}


class PixelRNNTask(ImageGenerator):
    """The training of a pixel model."""

    presets = PRESETS
    title = "RNN that draws pixel by pixel"
    plots: ClassVar = {"loss": ("bits per dimension",)}
    metrics_help = (
        "bits/dim: mean of -log2 p(pixel | the pixels before) on the test pictures. The Gaussian of each class gives a "
        "level the probability of its interval, given the pixels before and mixed over the classes; the Markov model "
        "counts what follows three pixels. " + ImageGenerator.metrics_help
    )

    def __init__(self, config: PixelRNNConfig, training: Any, *, rng: np.random.Generator) -> None:
        if len(config.shape) != 2:
            raise ValueError(f"a pixel model draws grey pictures (H, W), not {config.shape}")
        self.config, self.rng = config, rng
        self.model = PixelRNN(config, rng=rng)
        self.learner = Learner(self.model, config)
        self.parts = self.learner.parts
        if training is not None:
            levels = quantise(training.images, config.levels)
            self.batches = data.batches(levels, min(config.batch, len(levels)), rng=rng)

    def step(self, step: int) -> dict[str, float]:
        levels = parallel.team().shard(next(self.batches))  # (N, H W)
        logits, _ = self.model(levels)
        loss = kernels.cross_entropy(logits, levels.T)
        self.learner.step(loss, step)
        return {"bits per dimension": loss.item() / float(np.log(2))}

    def bits(self, images: np.ndarray) -> float:
        """Bits per dimension of pictures (N, H, W)."""
        losses = []
        with self.learner.ema_weights() as model:
            for some in in_batches(quantise(images, self.config.levels)):
                losses.append(kernels.cross_entropy(model(some)[0], some.T, reduction="none").numpy().ravel())
        return float(np.concatenate(losses).mean() / np.log(2))

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> np.ndarray:
        """n pictures, (n, H, W), by the averaged weights."""
        pixels = int(np.prod(self.config.shape))
        with self.learner.ema_weights() as model, progress_bar(pixels, "drawing", passing=True) as bar:
            drawn: np.ndarray = model.sample(n, rng=rng, observe=bar.update)
        return drawn

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        rows = super().evaluate(name, training, test)
        known, asked = (quantise(part.images, self.config.levels) for part in (training, test))
        bits = {
            "generator": self.bits(test.images),
            "10 class Gaussians": gaussian_bits(known, training.labels, asked, self.config.levels),
            "order-3 Markov": markov_bits(known, asked, self.config.levels, 3),
        }
        named = {row["name"]: row for row in [*rows, {"name": "order-3 Markov"}]}
        return [
            {"name": n, **({"bits/dim": bits[n]} if n in bits else {}), **{k: v for k, v in row.items() if k != "name"}}
            for n, row in named.items()
        ]
