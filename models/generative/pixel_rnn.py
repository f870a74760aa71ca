"""A recurrent network that draws a picture pixel by pixel, after PixelRNN (van den Oord et al. 2016, arXiv 1601.06759).

    p(x) = prod_i p(x_i | x_1, ..., x_(i-1))                                                             (equation 1)

Pixels are taken row by row; each is one of a few grey levels, and its probabilities are a softmax (section 3.3). The state of
a GRU or LSTM stands for all pixels before; besides, the network sees the left and the upper neighbours and its place.

The likelihood is exact, so models can be compared by it: bits per dimension, the mean of -log2 p(x_i | ...) over pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import nn

from ..config import Fraction, NonNegative
from ..sequence.rnn import cell_named

NEIGHBOURS = ((0, -1), (-1, -1), (-1, 0), (-1, 1))  # down, across: left, above left, above, above right


@dataclass(frozen=True)
class PixelRNNConfig:
    """What makes a pixel model: grey levels, the cell, sizes, optimisation."""

    shape: tuple[int, ...] = (8, 8)  # of a picture: (H, W)
    levels: Annotated[int, 2, inf] = 17  # 0, 1/16, ..., 1
    cell: str = "lstm"  # or gru, rnn
    hidden: int = 128
    layers: int = 1
    embedding: int = 16  # of a neighbour's level
    dropout: Fraction = 0.6  # of the states; with more steps or less dropout the 1,200 digits are learned by heart
    steps: int = 600
    batch: int = 64
    rate: float = 3e-3
    weight_decay: float = 0.05
    warm_up: NonNegative = 100
    average: Fraction = 0.98  # decay of the moving average of the weights


class PixelRNN(nn.Module):
    """Levels of the pixels before, with their neighbours, to logits of each pixel's level: (T, N, levels)."""

    def __init__(self, config: PixelRNNConfig, *, rng: np.random.Generator) -> None:
        height, width = config.shape
        self.config = config
        self.width, self.nothing = width, config.levels  # the level of neighbours outside the picture
        self.level = nn.ModuleList(nn.Embedding(config.levels + 1, config.embedding, rng=rng) for _ in NEIGHBOURS)
        self.place = nn.Embedding(height * width, config.embedding, rng=rng)
        inputs = (len(NEIGHBOURS) + 1) * config.embedding
        self.recurrent = cell_named(config.cell)(inputs, config.hidden, config.layers, rng=rng)
        self.dropout = nn.Dropout(config.dropout, batch_axis=1, rng=rng)
        self.V = nn.Linear(config.hidden + inputs, config.levels, rng=rng)

    def forward(self, levels: np.ndarray, start: int = 0, stop: int | None = None, state: Any = None) -> tuple[Any, Any]:
        """levels (N, H W) -> logits of the pixels from `start` to `stop`, (T, N, levels), and the state after them."""
        places = np.arange(start, levels.shape[1] if stop is None else stop)
        around = self.neighbours(levels)[places]  # (T, N, neighbours)
        seen = [embed(around[..., i]) for i, embed in enumerate(self.level)]
        here = np.broadcast_to(self.place(places)[:, None], seen[0].shape)
        x = np.concatenate([*seen, here], axis=-1)  # (T, N, inputs)
        h, state = self.recurrent(x, state)
        return self.V(np.concatenate([self.dropout(h), x], axis=-1)), state

    def neighbours(self, levels: np.ndarray) -> np.ndarray:
        """The levels left, above left, above, above right of each pixel: (N, H W) -> (H W, N, neighbours)."""
        picture = levels.reshape(len(levels), -1, self.width)  # (N, H, W)
        padded = np.pad(picture, [(0, 0), (1, 0), (1, 1)], constant_values=self.nothing)
        height = picture.shape[1]
        around = [padded[:, 1 + y : 1 + y + height, 1 + x : 1 + x + self.width] for y, x in NEIGHBOURS]
        return np.stack(around, axis=-1).reshape(len(levels), -1, len(NEIGHBOURS)).swapaxes(0, 1)

    def sample(self, n: int, *, rng: np.random.Generator, observe: Callable[[int], object] | None = None) -> np.ndarray:
        """n pictures, (n, H, W) in [0, 1], a pixel of all at a time; `observe` is called with 1 after each."""
        height, width = self.config.shape
        levels, state = np.zeros((n, height * width), np.int64), None
        with tg.no_grad():
            for i in range(height * width):
                logits, state = self(levels, i, i + 1, state)
                levels[:, i] = draw(logits.numpy()[0], rng)
                if observe is not None:
                    observe(1)
        return np.asarray(levels / (self.config.levels - 1), np.float32).reshape(n, height, width)


def quantise(images: np.ndarray, levels: int) -> np.ndarray:
    """Grey values in [0, 1] as the nearest of so many levels: (N, H, W) -> integers (N, H W)."""
    found: np.ndarray = np.round(images.reshape(len(images), -1) * (levels - 1)).astype(np.int64)
    return found


def draw(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One draw for each row of logits (N, levels), by the Gumbel maximum (Gumbel 1954)."""
    found: np.ndarray = np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1)
    return found
