"""A recurrent network that draws an image pixel by pixel.

After PixelRNN (van den Oord et al. 2016, arXiv 1601.06759):

    p(x) = prod_i p(x_i | x_1, ..., x_(i-1))                                    (equation 1)

Pixels are taken row by row; each is one of a few grey levels, and its probabilities are a softmax
(section 3.3). The likelihood is exact, so models can be compared by it: bits per dimension, the
mean of -log2 p(x_i | ...) over pixels.

Deviations, on purpose: the state of a GRU or LSTM stands for all pixels before, where the paper has
convolutions along rows or diagonals; besides, the network sees the left and the upper neighbours of
a pixel, and its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import nn

from ..config import Fraction, ImageConfig, Layers
from ..pretrained import Pretrained
from ..sequence.rnn import CellName, cell_named

# Down and across: left, above left, above, above right.
NEIGHBOURS = (
    (0, -1),
    (-1, -1),
    (-1, 0),
    (-1, 1),
)


@dataclass(frozen=True)
class PixelRNNConfig(ImageConfig):
    """What makes a pixel model: its images, which are grey, their levels, the recurrent network."""

    model_type: ClassVar = "pixel-rnn"

    num_levels: Annotated[int, 2, inf] = 17  # 0, 1/16, ..., 1
    cell: CellName = "lstm"  # or gru, rnn
    hidden_size: int = 128  # of the recurrent state
    num_layers: Layers = 1  # of the recurrent network
    embedding_size: int = 16  # of a neighbour's level, and of the pixel's place
    dropout: Fraction = 0.6  # of the states; with less, 1,200 digits are learned by heart


class PixelRNN(Pretrained):
    """Levels of the pixels before, and of the neighbours, to logits of each pixel's level.

    Shapes have time first: T pixels, N images, K levels.
    """

    config_class = PixelRNNConfig

    def __init__(self, config: PixelRNNConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        if config.num_channels != 1:
            shape = config.image_shape
            raise ValueError(f"a pixel model draws grey images (H, W), not {shape}")
        H, W = config.image_size
        size = config.embedding_size
        self.outside = config.num_levels  # the level of neighbours outside the image
        self.level = nn.ModuleList(
            nn.Embedding(config.num_levels + 1, size, rng=rng) for _ in NEIGHBOURS
        )
        self.place = nn.Embedding(H * W, size, rng=rng)
        inputs = (len(NEIGHBOURS) + 1) * size
        cell = cell_named(config.cell)
        self.recurrent = cell(inputs, config.hidden_size, config.num_layers, rng=rng)
        self.dropout = nn.Dropout(config.dropout, batch_axis=1, rng=rng)
        self.V = nn.Linear(config.hidden_size + inputs, config.num_levels, rng=rng)

    def forward(
        self,
        levels: np.ndarray,
        start: int = 0,
        stop: int | None = None,
        state: Any = None,
    ) -> tuple[Any, Any]:
        """Logits (T, N, K) of the pixels from `start` to `stop`, and the state after them.

        `levels` (N, H W) are those of all pixels; each counts for the pixels after it only.
        """
        if stop is None:
            stop = levels.shape[1]
        places = np.arange(start, stop)
        around = self.neighbours(levels)[places]  # (T, N, neighbours)
        seen = [embed(around[..., i]) for i, embed in enumerate(self.level)]
        place = self.place(places)[:, None]  # (T, 1, E)
        place = np.broadcast_to(place, seen[0].shape)
        x = np.concatenate([*seen, place], axis=-1)  # (T, N, inputs)
        h, state = self.recurrent(x, state)
        h = np.concatenate([self.dropout(h), x], axis=-1)
        return self.V(h), state

    def neighbours(self, levels: np.ndarray) -> np.ndarray:
        """The levels of the neighbours of each pixel: (N, H W) -> (H W, N, neighbours)."""
        N, (H, W) = len(levels), self.config.image_size
        images = levels.reshape(N, H, W)
        padding = [(0, 0), (1, 0), (1, 1)]  # above; left and right
        padded = np.pad(images, padding, constant_values=self.outside)
        around = []
        for down, across in NEIGHBOURS:
            top, left = 1 + down, 1 + across
            around.append(padded[:, top : top + H, left : left + W])
        stacked = np.stack(around, axis=-1).reshape(N, H * W, -1)  # (N, H W, neighbours)
        return stacked.swapaxes(0, 1)

    def sample(
        self,
        n: int,
        *,
        rng: np.random.Generator,
        observe: Callable[[int], object] | None = None,
    ) -> np.ndarray:
        """n images in [0, 1], (n, H, W), a pixel of all at a time.

        `observe` is called with 1 after each pixel.
        """
        H, W = self.config.image_size
        levels = np.zeros((n, H * W), np.int64)
        state = None
        with tg.no_grad():
            for i in range(H * W):
                logits, state = self(levels, i, i + 1, state)
                levels[:, i] = draw(logits.numpy()[0], rng)
                if observe is not None:
                    observe(1)
        grey = levels / (self.config.num_levels - 1)
        return np.asarray(grey, np.float32).reshape(n, H, W)


def quantise(images: np.ndarray, num_levels: int) -> np.ndarray:
    """Grey values in [0, 1] as the nearest of so many levels: (N, H, W) -> integers (N, H W)."""
    pixels = images.reshape(len(images), -1)  # (N, H W)
    return np.round(pixels * (num_levels - 1)).astype(np.int64)


def draw(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One level for each row of logits (N, K), by the Gumbel maximum (Gumbel 1954): (N,)."""
    noise = rng.gumbel(size=logits.shape)
    return np.asarray(np.argmax(logits + noise, axis=-1))
