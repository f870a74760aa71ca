"""Text-to-image by a matching-aware GAN, GAN-CLS (Reed et al. 2016, arXiv 1605.05396).

    s_r = D(x, t)        a real image and its caption
    s_w = D(x, t')       a real image and a caption of something else
    s_f = D(G(z, t), t)  a fake image and the caption that it was drawn from
    L_D = -log s_r - (log(1 - s_w) + log(1 - s_f)) / 2                          (algorithm 1)
    L_G = -log s_f

A discriminator that sees s_r and s_f alone may overlook captions as long as fakes are bad; s_w
teaches it what belongs together. A recurrent network reads the caption, word by word. Its last
state phi(t) is appended to the noise z, and in the discriminator to the features at each place of
the coarsest grid (section 4.1).

Deviations, on purpose: the two text encoders, one in each network, are trained along from random
weights, where the paper has one that was trained on its own before; the caption also scales and
shifts the generator's features (conditional batch norm, as in `cgan`), and meets the
discriminator's features in an inner product (its projection); no interpolation of captions; the
standard deviation over the batch as in `gan`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn
from tinygrad_cv.typing import Array

from ..config import ImageConfig
from ..pretrained import Pretrained
from ..sequence.rnn import CellName, cell_named, last_hidden
from ..sequence.symbols import END, FIRST, encode
from .gan import SAMPLING_BATCH, mean_stddev


@dataclass(frozen=True)
class TextGANConfig(ImageConfig):
    """What makes the two networks, and what words they know."""

    model_type: ClassVar = "text-gan"

    image_size: tuple[int, int] = (24, 24)  # (H, W)
    words: str = ""  # of captions, separated by spaces
    cell: CellName = "gru"  # or lstm, rnn: what reads a caption
    embedding_size: int = 32  # of a word's vector
    hidden_size: int = 96  # of the network that reads a caption
    latent_dim: int = 48  # of z
    generator_units: int = 256  # of the dense layer that sees z and the caption
    generator_channels: tuple[int, ...] = (96, 48)  # coarsest grid first, each doubles it
    discriminator_channels: tuple[int, ...] = (32, 64)  # each halves the image
    discriminator_units: int = 128  # of the dense layer that sees all places
    loss: Annotated[str, "non-saturating", "minimax"] = "non-saturating"

    @property
    def vocabulary(self) -> list[str]:
        """The words that captions are made of."""
        return self.words.split()

    def coarse(self, layers: int) -> tuple[int, int]:
        """The size of an image that is halved by so many layers.

        Raises ValueError if it cannot be halved so often.
        """
        H, W = self.image_size
        if H % 2**layers or W % 2**layers:
            raise ValueError(f"images of {H} x {W} cannot be halved {layers} times")
        return H // 2**layers, W // 2**layers


def tokens_of(captions: Sequence[str], vocabulary: Sequence[str]) -> np.ndarray:
    """Captions as numbers of words, (B, T), padded with END.

    Raises ValueError for an empty caption, and for a word that is not in the vocabulary.
    """
    texts = [caption.lower().split() for caption in captions]
    for words in texts:
        if not words:
            raise ValueError("a caption is empty; it has at least one word")
        for word in words:
            if word not in vocabulary:
                known = ", ".join(vocabulary)
                raise ValueError(f"{word!r} is no word of these captions; there are {known}")
    tokens, _ = encode(texts, vocabulary)
    return tokens


class TextEncoder(nn.Module):
    """Captions (B, T) as numbers of words, END after the last -> vectors phi(t), (B, D)."""

    def __init__(self, config: TextGANConfig, *, rng: np.random.Generator) -> None:
        count = FIRST + len(config.vocabulary)
        self.embedding = nn.Embedding(count, config.embedding_size, rng=rng)
        cell = cell_named(config.cell)
        self.recurrent = cell(config.embedding_size, config.hidden_size, rng=rng)

    def forward(self, tokens: np.ndarray) -> Any:
        lengths = (tokens != END).sum(axis=1)
        words = self.embedding(tokens.T)  # (T, B, E)
        _, state = self.recurrent(words, lengths=lengths)
        return last_hidden(state, 1)


class TextBatchNorm(nn.Module):
    """Batch norm whose scale and shift follow from a vector: (B, C, H, W), (B, D) -> the same."""

    def __init__(self, channels: int, features: int, *, rng: np.random.Generator) -> None:
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Linear(features, channels, rng=rng)
        self.shift = nn.Linear(features, channels, rng=rng)

    def forward(self, x: Array, text: Array) -> Any:
        scale = 1 + self.scale(text)[:, :, None, None]  # (B, C, 1, 1)
        shift = self.shift(text)[:, :, None, None]
        return self.norm(x) * scale + shift


class TextGenerator(Pretrained):
    """Noise (B, Z) and captions (B, T) -> images in [0, 1], (B, H, W[, C])."""

    config_class = TextGANConfig

    def __init__(self, config: TextGANConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        channels = config.generator_channels
        if not channels:
            raise ValueError("generator_channels=(): there is at least one resolution")
        self.coarse = config.coarse(len(channels))
        self.encoder = TextEncoder(config, rng=rng)
        self.dense = nn.Linear(
            config.latent_dim + config.hidden_size, config.generator_units, rng=rng
        )
        self.dense_norm = nn.BatchNorm1d(config.generator_units)
        places = math.prod(self.coarse)
        self.first = nn.Linear(config.generator_units, channels[0] * places, rng=rng)
        self.norms = nn.ModuleList()
        self.layers = nn.ModuleList()
        for width, next_width in pairwise([*channels, config.num_channels]):
            self.norms.append(TextBatchNorm(width, config.hidden_size, rng=rng))
            self.layers.append(nn.ConvTranspose2d(width, next_width, 4, 2, 1, rng=rng))

    def forward(self, z: Array, tokens: np.ndarray) -> Any:
        text = self.encoder(tokens)  # (B, D)
        h = self.dense(np.concatenate([z, text], axis=1))
        h = self.first(kernels.relu(self.dense_norm(h)))
        h = h.reshape(len(h), -1, *self.coarse)  # (B, C, h, w)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            h = layer(kernels.relu(norm(h, text)))
        pixels = np.moveaxis(h, 1, -1)  # (B, H, W, C)
        return kernels.sigmoid(pixels.reshape(-1, *self.config.image_shape))

    def draw_latents(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """z ~ N(0, 1), (n, Z)."""
        shape = n, self.config.latent_dim
        return rng.standard_normal(shape, dtype=np.float32)

    def sample(
        self, n: int, caption: str | Sequence[str], *, rng: np.random.Generator
    ) -> np.ndarray:
        """n images in [0, 1] of a caption, or of those of all: (n, H, W[, C]).

        Raises ValueError for a caption with a word that the model does not know.
        """
        captions = [caption] * n if isinstance(caption, str) else list(caption)
        images = [np.zeros((0, *self.config.image_shape), np.float32)]
        with tg.no_grad():
            for start in range(0, n, SAMPLING_BATCH):
                some = captions[start : start + SAMPLING_BATCH]
                tokens = tokens_of(some, self.config.vocabulary)
                z = self.draw_latents(len(some), rng)
                images.append(self(tg.Tensor(z), tokens).numpy())
        return np.concatenate(images)


class TextDiscriminator(nn.Module):
    """Images (B, H, W[, C]) and captions (B, T) -> the logit that they are real and match, (B,)."""

    def __init__(self, config: TextGANConfig, *, rng: np.random.Generator) -> None:
        channels = config.discriminator_channels
        if not channels:
            raise ValueError("discriminator_channels=(): there is at least one layer")
        self.config = config
        layers: list[nn.Module] = []
        for width, next_width in pairwise([config.num_channels, *channels]):
            layers += [
                nn.Conv2d(width, next_width, 4, 2, 1, rng=rng),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers)
        self.encoder = TextEncoder(config, rng=rng)
        width, text, units = channels[-1], config.hidden_size, config.discriminator_units
        places = math.prod(config.coarse(len(channels)))
        self.joint = nn.Conv2d(width + text, width, 1, rng=rng)
        self.dense = nn.Linear(width * places, units, rng=rng)
        self.head = nn.Linear(units + 1, 1, rng=rng)
        self.projection = nn.Linear(text, units, rng=rng)

    def forward(self, x: Array, tokens: np.ndarray) -> Any:
        return self.verdict(self.features(x), self.encoder(tokens))

    def features(self, x: Array) -> Any:
        """What is seen of images at the places of the coarsest grid, (B, C, h, w)."""
        H, W = self.config.image_size
        channels = np.moveaxis(x.reshape(len(x), H, W, -1), -1, 1)  # (B, C, H, W)
        return self.layers(channels)

    def verdict(self, h: Array, text: Array) -> Any:
        """Logits (B,) from features (B, C, h, w) and phi(t), (B, D)."""
        B, _, height, width = h.shape
        planes = np.broadcast_to(text[:, :, None, None], (B, text.shape[1], height, width))
        joint = self.joint(np.concatenate([h, planes], axis=1))
        joint = kernels.leaky_relu(joint, negative_slope=0.2).reshape(B, -1)
        units = kernels.leaky_relu(self.dense(joint), negative_slope=0.2)  # (B, F)
        stddev = np.broadcast_to(mean_stddev(h.reshape(B, -1)), (B, 1))
        logits = self.head(np.concatenate([units, stddev], axis=1))[:, 0]
        projected = (self.projection(text) * units).sum(axis=1)
        return logits + projected / math.sqrt(units.shape[1])


def matching_aware_loss(right: Any, wrong: Any, fake: Any) -> Any:
    """L_D from the logits (B,) of real images, of them beside wrong captions, and of fakes."""
    matched = kernels.bce_with_logits(right, 1.0)
    mismatched = kernels.bce_with_logits(wrong, 0.0)
    return matched + 0.5 * (mismatched + kernels.bce_with_logits(fake, 0.0))
