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

Real images stand on both sides of L_D, so a second logit, which knows no caption, says whether an
image is real (StackGAN++, Zhang et al. 2018, arXiv 1710.10916); both losses are added.

A generator that draws one image of each caption, whatever z, would pass, since the captions of a
batch differ. So images come in groups of GROUP with the same caption, and the second logit also
sees the standard deviation in each group (Karras et al. 2018, section 3).

Deviations, on purpose: the two text encoders, one in each network, are trained along from random
weights, where the paper has one that was trained on its own before; the caption also scales and
shifts the generator's features (conditional batch norm, as in `cgan`), and meets the
discriminator's features in an inner product (its projection); without channels the networks are
dense; no interpolation of captions.
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
from .gan import SAMPLING_BATCH

GROUP = 2  # images of the same caption that stand one after the other in a batch


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
    generator_units: tuple[int, ...] = (256,)  # of the dense layers
    generator_channels: tuple[int, ...] = (64, 32)  # after them, coarsest first, each doubles it
    discriminator_channels: tuple[int, ...] = (32, 64)  # each halves the image
    discriminator_units: tuple[int, ...] = (256, 128)  # of the dense layers after them
    loss: Annotated[str, "non-saturating", "minimax"] = "non-saturating"  # of G, or minimax

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
    """Batch norm whose scale and shift follow from a vector (B, D): (B, C[, H, W]) -> the same."""

    def __init__(self, norm: nn.Module, config: TextGANConfig, width: int, *, rng: Any) -> None:
        self.norm = norm
        self.scale = nn.Linear(config.hidden_size, width, rng=rng)
        self.shift = nn.Linear(config.hidden_size, width, rng=rng)

    def forward(self, x: Array, text: Array) -> Any:
        scale = 1 + self.scale(text)  # (B, C)
        shift = self.shift(text)
        if x.ndim == 4:
            scale = scale[:, :, None, None]  # (B, C, 1, 1)
            shift = shift[:, :, None, None]
        return self.norm(x) * scale + shift


class TextGenerator(Pretrained):
    """Noise (B, Z) and captions (B, T) -> images in [0, 1], (B, H, W[, C])."""

    config_class = TextGANConfig

    def __init__(self, config: TextGANConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        self.encoder = TextEncoder(config, rng=rng)
        self.dense = nn.ModuleList()
        self.dense_norms = nn.ModuleList()
        width = config.latent_dim + config.hidden_size
        for units in config.generator_units:
            self.dense.append(nn.Linear(width, units, rng=rng))
            norm = nn.BatchNorm1d(units, affine=False)
            self.dense_norms.append(TextBatchNorm(norm, config, units, rng=rng))
            width = units
        channels = [*config.generator_channels, config.num_channels]
        self.coarse = config.coarse(len(config.generator_channels))
        self.places = nn.Linear(width, channels[0] * math.prod(self.coarse), rng=rng)
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        for channel, next_channel in pairwise(channels):
            norm = nn.BatchNorm2d(channel, affine=False)
            self.norms.append(TextBatchNorm(norm, config, channel, rng=rng))
            self.layers.append(nn.ConvTranspose2d(channel, next_channel, 4, 2, 1, rng=rng))

    def forward(self, z: Array, tokens: np.ndarray) -> Any:
        text = self.encoder(tokens)  # (B, D)
        h = np.concatenate([z, text], axis=1)
        for layer, norm in zip(self.dense, self.dense_norms, strict=True):
            h = kernels.relu(norm(layer(h), text))
        h = self.places(h).reshape(len(h), -1, *self.coarse)  # (B, C, h, w)
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
    """Images (B, H, W[, C]) and captions (B, T) -> logits (2, B).

    The first is that the image is real and shows its caption, the second that it is real.
    """

    def __init__(self, config: TextGANConfig, *, rng: np.random.Generator) -> None:
        if not config.discriminator_units:
            raise ValueError("discriminator_units=(): there is at least one dense layer")
        self.config = config
        self.encoder = TextEncoder(config, rng=rng)
        channels = [config.num_channels, *config.discriminator_channels]
        self.convolutions = nn.Sequential()
        for channel, next_channel in pairwise(channels):
            self.convolutions.append(nn.Conv2d(channel, next_channel, 4, 2, 1, rng=rng))
            self.convolutions.append(nn.LeakyReLU(0.2))
        places = math.prod(config.coarse(len(config.discriminator_channels)))
        first, *others = config.discriminator_units
        self.see = nn.Linear(channels[-1] * places, first, rng=rng)
        self.read = nn.Linear(config.hidden_size, first, bias=False, rng=rng)
        self.dense = nn.Sequential(nn.LeakyReLU(0.2))
        for units, next_units in pairwise([first, *others]):
            self.dense.append(nn.Linear(units, next_units, rng=rng))
            self.dense.append(nn.LeakyReLU(0.2))
        last = config.discriminator_units[-1]
        self.head = nn.Linear(last, 1, rng=rng)
        self.projection = nn.Linear(config.hidden_size, last, rng=rng)
        self.real = nn.Linear(first + 1, 1, rng=rng)

    def forward(self, x: Array, tokens: np.ndarray) -> Any:
        features = self.features(x)
        return np.stack([self.match(features, self.encoder(tokens)), self.realism(features)])

    def features(self, x: Array) -> Any:
        """What is seen of images, before the caption is read, (B, U)."""
        H, W = self.config.image_size
        h = np.moveaxis(x.reshape(len(x), H, W, -1), -1, 1)  # (B, C, H, W)
        h = self.convolutions(h)
        return self.see(h.reshape(len(h), -1))

    def match(self, features: Array, text: Array) -> Any:
        """The logits (B,) of a real image of its caption: features (B, U), phi(t) (B, D)."""
        h = self.dense(features + self.read(text))  # (B, V)
        projected = (self.projection(text) * h).sum(axis=1)
        return self.head(h)[:, 0] + projected / math.sqrt(h.shape[1])

    def realism(self, features: Array) -> Any:
        """The logits (B,) of a real image, of whatever caption, from features (B, U)."""
        h = kernels.leaky_relu(features, negative_slope=0.2)
        return self.real(np.concatenate([h, group_stddev(h)], axis=1))[:, 0]


def group_stddev(h: Any) -> Any:
    """The standard deviation of each feature in a group, and their mean: (B, D) -> (B, 1)."""
    groups = h.reshape(-1, GROUP, h.shape[1])  # (B / GROUP, GROUP, D)
    mean = groups.mean(axis=1, keepdims=True)
    variance = np.square(groups - mean).mean(axis=1)  # (B / GROUP, D)
    stddev = np.sqrt(variance + 1e-6).mean(axis=1)  # (B / GROUP,)
    return np.repeat(stddev, GROUP)[:, None]


def matching_aware_loss(right: Any, wrong: Any, fake: Any) -> Any:
    """L_D from the logits (B,) of real images, of them beside wrong captions, and of fakes."""
    matched = kernels.bce_with_logits(right, 1.0)
    mismatched = kernels.bce_with_logits(wrong, 0.0)
    return matched + 0.5 * (mismatched + kernels.bce_with_logits(fake, 0.0))
