"""A recurrent network that draws an image pixel by pixel.

After PixelRNN (van den Oord et al. 2016, arXiv 1601.06759):

    p(x) = prod_i p(x_i | x_1, ..., x_(i-1))                                    (equation 1)

Pixels are taken row by row; each is one of a few grey levels, and its probabilities are a softmax
(section 3.3). The likelihood is exact, so models can be compared by it: bits per dimension, the
mean of -log2 p(x_i | ...) over pixels. With classes all of it is given the class (section 3.4 of
van den Oord et al. 2016b, arXiv 1606.05328), and so classifies by Bayes' theorem.

Missing pixels are drawn from what the others leave of them. The network knows only those before a
pixel; so several draws of an image, its particles, are weighted by the probability that they give
to each known pixel as it comes, and the likely ones go on in the place of the others (sequential
Monte Carlo: Gordon, Salmond & Smith 1993).

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
from tinygrad_cv import kernels, nn

from ..classical.missing import to_mask
from ..config import Fraction, ImageConfig, Layers, NonNegative, no_class
from ..pretrained import Pretrained
from ..sequence.rnn import CellName, State, cell_named

# Down and across: left, above left, above, above right.
NEIGHBOURS = (
    (0, -1),
    (-1, -1),
    (-1, 0),
    (-1, 1),
)
BATCH = 500  # so many images are read at a time where no gradient is wanted


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
    num_classes: NonNegative = 0  # of which the network is told one; 0 for none


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
        if config.num_classes:
            self.label = nn.Embedding(config.num_classes, size, rng=rng)
            inputs += size
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
        labels: np.ndarray | None = None,
    ) -> tuple[Any, Any]:
        """Logits (T, N, K) of the pixels from `start` to `stop`, and the state after them.

        `levels` (N, H W) are those of all pixels; each counts for the pixels after it only.
        `labels` (N,) are the classes, of a model that has classes.
        """
        if stop is None:
            stop = levels.shape[1]
        places = np.arange(start, stop)
        around = self.neighbours(levels)[places]  # (T, N, neighbours)
        seen = [embed(around[..., i]) for i, embed in enumerate(self.level)]
        place = self.place(places)[:, None]  # (T, 1, E)
        seen.append(np.broadcast_to(place, seen[0].shape))
        if self.config.num_classes:
            label = self.label(self.checked_labels(labels))  # (N, E)
            seen.append(np.broadcast_to(label, place.shape[:1] + label.shape))
        x = np.concatenate(seen, axis=-1)  # (T, N, inputs)
        h, state = self.recurrent(x, state)
        h = np.concatenate([self.dropout(h), x], axis=-1)
        return self.V(h), state

    def checked_labels(self, labels: np.ndarray | None) -> np.ndarray:
        """The classes, if they are there. Raises ValueError for one that the model lacks."""
        classes = self.config.num_classes
        if labels is None:
            raise ValueError(f"num_classes={classes}: this model tells classes apart: give labels")
        for label in labels[(labels < 0) | (labels >= classes)]:
            raise no_class(label, classes)
        return labels

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

    def log_likelihoods(self, levels: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """log p(x), or log p(x | class), of images with levels (N, H W), in nats: (N,).

        Nothing is recorded, and only some images are taken at a time.
        """
        found = [np.zeros(0, np.float32)]
        with tg.no_grad():
            for start in range(0, len(levels), BATCH):
                some = levels[start : start + BATCH]
                classes = None if labels is None else labels[start : start + BATCH]
                logits, _ = self(some, labels=classes)
                nats = kernels.cross_entropy(logits, some.T, reduction="none")  # (T, N)
                found.append(-nats.numpy().sum(axis=0))
        return np.concatenate(found)

    def class_log_likelihoods(self, levels: np.ndarray) -> np.ndarray:
        """log p(x | class) for each class, in nats: (N, C). For arguments see above.

        Raises ValueError for a model without classes.
        """
        classes = range(self.config.num_classes)
        if not classes:
            raise ValueError("this model has no classes; train one with num_classes")
        each = [self.log_likelihoods(levels, np.full(len(levels), label)) for label in classes]
        return np.stack(each, axis=1)

    def sample(
        self,
        n: int,
        labels: np.ndarray | None = None,
        *,
        rng: np.random.Generator,
        observe: Callable[[int], object] | None = None,
    ) -> np.ndarray:
        """n images in [0, 1], (n, H, W), a pixel of all at a time.

        Without `labels` (n,) a model that has classes draws any. `observe` is called with 1 after
        each pixel.
        """
        if labels is not None and not self.config.num_classes:
            raise no_class(labels.min(initial=0), 0)
        if labels is None and self.config.num_classes:
            labels = rng.integers(self.config.num_classes, size=n)
        H, W = self.config.image_size
        levels = np.zeros((n, H * W), np.int64)
        state = None
        with tg.no_grad():
            for i in range(H * W):
                logits, state = self(levels, i, i + 1, state, labels)
                levels[:, i] = draw(logits.numpy()[0], rng)
                if observe is not None:
                    observe(1)
        return self.to_images(levels)

    def to_images(self, levels: np.ndarray) -> np.ndarray:
        """Levels (N, H W) as images in [0, 1], (N, H, W)."""
        grey = levels / (self.config.num_levels - 1)
        return np.asarray(grey, np.float32).reshape(-1, *self.config.image_size)

    def inpaint(
        self,
        images: np.ndarray,
        known: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        particles: int = 32,
        rng: np.random.Generator,
        observe: Callable[[int], object] | None = None,
    ) -> np.ndarray:
        """Draw the pixels where `known` (N, H, W) is False; the others stay exactly as they are.

        The draws are exact in the limit of many `particles` for each image, and with any number
        where all known pixels come first. `observe` is called with 1 after each pixel.
        """
        N, R = len(images), particles
        given = known.reshape(N, -1)  # (N, T)
        levels = quantise(images, self.config.num_levels).repeat(R, axis=0)  # (N R, T)
        classes = None if labels is None else labels.repeat(R)
        log_w = np.zeros((N, R))
        state = None
        with tg.no_grad():
            for i in range(given.shape[1]):
                logits, state = self(levels, i, i + 1, state, classes)
                here = given[:, i]
                drawn = draw(logits.numpy()[0], rng)
                levels[:, i] = np.where(here.repeat(R), levels[:, i], drawn)
                nats = kernels.cross_entropy(logits[0], levels[:, i], reduction="none")
                log_w -= np.where(here[:, None], nats.numpy().reshape(N, R), 0)
                chosen, log_w = resample(log_w, rng)  # (N, R)
                places = (np.arange(N)[:, None] * R + chosen).ravel()
                levels, state = levels[places], of_sequences(state, places)
                if observe is not None:
                    observe(1)
        best = draw(log_w, rng)  # of each image one particle, by its weight
        filled = self.to_images(levels[np.arange(N) * R + best])
        return np.where(to_mask(known, images), images, filled)


def quantise(images: np.ndarray, num_levels: int) -> np.ndarray:
    """Grey values in [0, 1] as the nearest of so many levels: (N, H, W) -> integers (N, H W)."""
    pixels = images.reshape(len(images), -1)  # (N, H W)
    return np.round(pixels * (num_levels - 1)).astype(np.int64)


def draw(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One level for each row of logits (N, K), by the Gumbel maximum (Gumbel 1954): (N,)."""
    noise = rng.gumbel(size=logits.shape)
    return np.asarray(np.argmax(logits + noise, axis=-1))


def resample(log_weights: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Which particle goes on in the place of each, (N, R), and their log weights then.

    Where the weights of an image are worth fewer than half its particles, these are drawn anew by
    their weights, at even distances (Kitagawa 1996), and count alike; otherwise all stay.
    """
    N, R = log_weights.shape
    largest = log_weights.max(axis=1, keepdims=True)
    weights = np.exp(log_weights - largest)
    weights /= weights.sum(axis=1, keepdims=True)
    poor = 1 / np.square(weights).sum(axis=1) < R / 2  # the effective number of particles
    positions = (rng.random((N, 1)) + np.arange(R)) / R
    edges = weights.cumsum(axis=1)[:, :-1]
    chosen = (positions[:, :, None] > edges[:, None, :]).sum(axis=2)
    chosen = np.where(poor[:, None], chosen, np.arange(R))
    return chosen, np.where(poor[:, None], 0, log_weights - largest)


def of_sequences(state: State, places: np.ndarray) -> State:
    """The recurrent states of some sequences: of each part (layers, N, H) those at `places`."""
    if isinstance(state, tuple):
        h, c = state
        return h[:, places], c[:, places]
    return state[:, places]
