"""A recurrent network that draws a picture pixel by pixel, after PixelRNN (van den Oord et al. 2016, arXiv 1601.06759).

    p(x) = prod_i p(x_i | x_1, ..., x_(i-1))                                                             (equation 1)

Pixels are taken row by row; each is one of a few grey levels, and its probabilities are a softmax (section 3.3). The state of
a GRU or LSTM stands for all pixels before; besides, the network sees the left and the upper neighbours and its place.

The likelihood is exact, so models can be compared by it: bits per dimension, the mean of -log2 p(x_i | ...) over pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Annotated, Any, ClassVar

import numpy as np
from scipy.special import log_ndtr, logsumexp

from tinygrad_cv import data, kernels, nn, parallel

from ..classical.ngram import windows, witten_bell
from ..lab.learner import Descent
from ..lab.task import Natural, PictureGenerator, Share, in_batches
from ..lab.train import progress_bar
from ..sequence.rnn import cell_named

Array = np.ndarray
NEIGHBOURS = ((0, -1), (-1, -1), (-1, 0), (-1, 1))  # down, across: left, above left, above, above right
RIDGES = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # added to a Gaussian's variances; the best on a fifth of the pictures is taken


@dataclass(frozen=True)
class PixelRNNConfig:
    """What makes a pixel model: grey levels, the cell, sizes, optimisation."""

    shape: tuple[int, ...] = (8, 8)  # of a picture: (H, W)
    levels: Annotated[int, 2, inf] = 17  # 0, 1/16, ..., 1
    cell: str = "lstm"  # or gru, rnn
    hidden: int = 128
    layers: int = 1
    embedding: int = 16  # of a neighbour's level
    dropout: Share = 0.6  # of the states; with more steps or less dropout the 1,200 digits are learned by heart
    steps: int = 600
    batch: int = 64
    rate: float = 3e-3
    weight_decay: float = 0.05
    warm_up: Natural = 100
    average: Share = 0.98  # decay of the moving average of the weights


PRESETS = {
    "tiny": PixelRNNConfig(hidden=8, embedding=4, steps=100, batch=8, warm_up=5),
    "digits": PixelRNNConfig(),
    "mnist": PixelRNNConfig((28, 28), 8, hidden=256, dropout=0.2, steps=6000, average=0.998),
}


class PixelRNN(nn.Module):
    """Levels of the pixels before, with their neighbours, to logits of each pixel's level: (T, N, levels)."""

    def __init__(self, config: PixelRNNConfig, *, rng: np.random.Generator) -> None:
        height, width = config.shape
        self.width, self.nothing = width, config.levels  # the level of neighbours outside the picture
        self.level = nn.ModuleList(nn.Embedding(config.levels + 1, config.embedding, rng=rng) for _ in NEIGHBOURS)
        self.place = nn.Embedding(height * width, config.embedding, rng=rng)
        inputs = (len(NEIGHBOURS) + 1) * config.embedding
        self.recurrent = cell_named(config.cell)(inputs, config.hidden, config.layers, rng=rng)
        self.dropout = nn.Dropout(config.dropout, batch_axis=1, rng=rng)
        self.V = nn.Linear(config.hidden + inputs, config.levels, rng=rng)

    def forward(self, levels: Array, start: int = 0, stop: int | None = None, state: Any = None) -> tuple[Any, Any]:
        """levels (N, H W) -> logits of the pixels from `start` to `stop`, (T, N, levels), and the state after them."""
        places = np.arange(start, levels.shape[1] if stop is None else stop)
        around = self.neighbours(levels)[places]  # (T, N, neighbours)
        seen = [embed(around[..., i]) for i, embed in enumerate(self.level)]
        here = np.broadcast_to(self.place(places)[:, None], seen[0].shape)
        x = np.concatenate([*seen, here], axis=-1)  # (T, N, inputs)
        h, state = self.recurrent(x, state)
        return self.V(np.concatenate([self.dropout(h), x], axis=-1)), state

    def neighbours(self, levels: Array) -> Array:
        """The levels left, above left, above, above right of each pixel: (N, H W) -> (H W, N, neighbours)."""
        picture = levels.reshape(len(levels), -1, self.width)  # (N, H, W)
        padded = np.pad(picture, [(0, 0), (1, 0), (1, 1)], constant_values=self.nothing)
        height = picture.shape[1]
        around = [padded[:, 1 + y : 1 + y + height, 1 + x : 1 + x + self.width] for y, x in NEIGHBOURS]
        return np.stack(around, axis=-1).reshape(len(levels), -1, len(NEIGHBOURS)).swapaxes(0, 1)


class PixelRNNTask(PictureGenerator):
    """The training of a pixel model."""

    presets = PRESETS
    title = "RNN that draws pixel by pixel"
    figures: ClassVar = {"loss": ("bits per dimension",)}
    meaning = (
        "bits/dim: mean of -log2 p(pixel | the pixels before) on the test pictures. The Gaussian of each class gives a "
        "level the probability of its interval, given the pixels before and mixed over the classes; the Markov model "
        "counts what follows three pixels. " + PictureGenerator.meaning
    )

    def __init__(self, config: PixelRNNConfig, training: Any, *, rng: np.random.Generator) -> None:
        if len(config.shape) != 2:
            raise ValueError(f"a pixel model draws grey pictures (H, W), not {config.shape}")
        self.config, self.rng = config, rng
        self.model = PixelRNN(config, rng=rng)
        self.descent = Descent(self.model, config)
        self.parts = self.descent.parts
        if training is not None:
            levels = quantise(training.images, config.levels)
            self.batches = data.batches(levels, min(config.batch, len(levels)), rng=rng)

    def step(self, step: int) -> dict[str, float]:
        levels = parallel.team().shard(next(self.batches))  # (N, H W)
        logits, _ = self.model(levels)
        loss = kernels.cross_entropy(logits, levels.T)
        self.descent.step(loss, step)
        return {"bits per dimension": loss.item() / float(np.log(2))}

    def bits(self, images: Array) -> float:
        """Bits per dimension of pictures (N, H, W)."""
        losses = []
        with self.descent.averaged() as model:
            for some in in_batches(quantise(images, self.config.levels)):
                losses.append(kernels.cross_entropy(model(some)[0], some.T, reduction="none").numpy().ravel())
        return float(np.concatenate(losses).mean() / np.log(2))

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> Array:
        """n pictures, (n, H, W)."""
        levels = np.zeros((n, int(np.prod(self.config.shape))), np.int64)
        with self.descent.averaged() as model:
            state = None
            with progress_bar(levels.shape[1], "drawing", passing=True) as bar:
                for i in range(levels.shape[1]):
                    logits, state = model(levels, i, i + 1, state)
                    levels[:, i] = draw(logits.numpy()[0], rng)
                    bar.update()
        return np.asarray(levels / (self.config.levels - 1), np.float32).reshape(n, *self.config.shape)

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


def quantise(images: Array, levels: int) -> Array:
    """Grey values in [0, 1] as the nearest of so many levels: (N, H, W) -> integers (N, H W)."""
    found: Array = np.round(images.reshape(len(images), -1) * (levels - 1)).astype(np.int64)
    return found


def draw(logits: Array, rng: np.random.Generator) -> Array:
    """One draw for each row of logits (N, levels), by the Gumbel maximum (Gumbel 1954)."""
    found: Array = np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1)
    return found


# ------------------------------------------------------------------------------------- what the likelihood stands beside


def markov_bits(known: Array, asked: Array, levels: int, order: int) -> float:
    """Bits per dimension of a model that counts what follows the last `order` pixels, row by row: levels (N, H W)."""
    before = [np.pad(x, [(0, 0), (order, 0)], constant_values=levels) for x in (known, asked)]
    p = witten_bell(*windows(before[0], order), *windows(before[1], order), vocabulary=levels + 1)
    return float(-np.log2(p).mean())


def gaussian_bits(known: Array, labels: Array, asked: Array, levels: int) -> float:
    """Bits per dimension of a Gaussian for each class, discretised: a level has the probability of its interval.

    The intervals of the first and last level are open, so the probabilities add up to 1, and each pixel is conditioned on
    those before, so p(x) is exact for the discretised model; p(x) is the mixture over the classes. A ridge on the
    variances, the best of five on a fifth of the training pictures, stands against too few pictures.
    """
    held_out = np.arange(len(known)) % 5 == 0
    tried = [discretised(known[~held_out], labels[~held_out], known[held_out], levels, ridge) for ridge in RIDGES]
    return discretised(known, labels, asked, levels, RIDGES[int(np.argmin(tried))])


def discretised(known: Array, labels: Array, asked: Array, levels: int, ridge: float) -> float:
    x, new = known / (levels - 1), asked / (levels - 1)
    log_p = []
    for label in np.unique(labels):
        members = x[labels == label]
        mean, covariance = members.mean(axis=0), np.cov(members.T) + ridge * np.eye(x.shape[1])
        factor = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(factor, (new - mean).T).T  # (N, D)
        deviation = np.diagonal(factor)
        centre = new - whitened * deviation  # of pixel i given those before: x_i - L_ii z_i
        low, high = (np.where(open_end, np.inf * side, (new + side * 0.5 / (levels - 1) - centre) / deviation)
                     for open_end, side in ((asked == 0, -1.0), (asked == levels - 1, 1.0)))  # fmt: skip
        log_p.append(np.log(len(members) / len(x)) + log_interval(low, high).sum(axis=1))
    return float(-logsumexp(log_p, axis=0).mean() / np.log(2) / x.shape[1])


def log_interval(low: Array, high: Array) -> Array:
    """log(Phi(high) - Phi(low)), in the tail where nothing cancels."""
    flipped = low > 0
    low, high = np.where(flipped, -high, low), np.where(flipped, -low, high)
    upper, lower = log_ndtr(high), log_ndtr(low)
    return np.asarray(upper + np.log1p(-np.exp(np.minimum(lower - upper, -1e-12))))
