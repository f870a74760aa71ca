"""A class-conditional GAN (Miyato & Koyama 2018, arXiv 1802.05637), dense or convolutional.

    D(x, y) = w . f(x) + b + e_y . f(x)                                         (equation 3)
    h -> gamma_y (h - mean) / stddev + beta_y                                   (section 4)

The discriminator gives the logit of "x is a real image of class y". Its last hidden layer f(x)
meets a vector e_y of the class in an inner product, the projection; so one network judges both how
real an image is and whether it shows its class. The generator G(z, y) takes the class by
conditional batch norm (Dumoulin et al. 2017, arXiv 1610.07629): each class has a scale gamma_y and
a shift beta_y of its own after each hidden layer. The losses are those of `gan`.

The convolutional networks are those of DCGAN (Radford et al. 2016, arXiv 1511.06434): transposed
convolutions of 4 x 4 and stride 2 double the size of the image, convolutions of 4 x 4 and stride 2
halve it.

Deviations, on purpose: f(x) keeps its places (no sum over pixels), because where a stroke is says
which digit it is; neither spectral norm nor batch norm in D; the standard deviation over the batch
as in `gan`.
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

from ..pretrained import Pretrained
from .gan import SAMPLING_BATCH, GANConfig, mean_stddev

ARCHITECTURES = ("dense", "convolutional")


@dataclass(frozen=True)
class ConditionalGANConfig(GANConfig):
    """What makes a class-conditional GAN.

    The sizes are units of dense layers or channels of convolutional ones; each convolutional layer
    of the discriminator halves the image, each of the generator doubles it.
    """

    model_type: ClassVar = "cgan"

    architecture: Annotated[str, *ARCHITECTURES] = "dense"  # or convolutional
    num_labels: int = 10  # classes

    def coarse(self, layers: int) -> tuple[int, int]:
        """The size of an image that is halved by so many convolutional layers.

        Raises ValueError if it cannot be halved so often.
        """
        H, W = self.image_size
        if H % 2**layers or W % 2**layers:
            raise ValueError(f"images of {H} x {W} cannot be halved {layers} times")
        return H // 2**layers, W // 2**layers


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose scale and shift are those of a class: (B, C[, H, W]), (B,) -> the same."""

    def __init__(self, channels: int, config: ConditionalGANConfig) -> None:
        convolutional = config.architecture == "convolutional"
        kind = nn.BatchNorm2d if convolutional else nn.BatchNorm1d
        self.norm = kind(channels, affine=False)
        table = config.num_labels, channels
        self.weight = nn.parameter(np.ones(table, np.float32))
        self.bias = nn.parameter(np.zeros(table, np.float32))

    def forward(self, x: Array, labels: np.ndarray) -> Any:
        scale = kernels.embedding(labels, self.weight)  # (B, C)
        shift = kernels.embedding(labels, self.bias)
        if x.ndim == 4:
            scale = scale[:, :, None, None]  # (B, C, 1, 1)
            shift = shift[:, :, None, None]
        return self.norm(x) * scale + shift


class ConditionalGenerator(Pretrained):
    """Noise (B, Z) and classes (B,) -> images in [0, 1], (B, P)."""

    config_class = ConditionalGANConfig

    def __init__(self, config: ConditionalGANConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        sizes = config.generator_sizes
        if not sizes:
            raise ValueError("generator_sizes=(): there is at least one hidden layer")
        if config.architecture == "dense":
            self.coarse: tuple[int, ...] = ()
            widths = [*sizes, config.pixels]
        else:
            self.coarse = config.coarse(len(sizes))
            widths = [*sizes, config.num_channels]
        self.first = nn.Linear(config.latent_dim, sizes[0] * math.prod(self.coarse), rng=rng)
        self.norms = nn.ModuleList()
        self.layers = nn.ModuleList()
        for width, wider in pairwise(widths):
            self.norms.append(ConditionalBatchNorm(width, config))
            if config.architecture == "dense":
                self.layers.append(nn.Linear(width, wider, rng=rng))
            else:
                self.layers.append(nn.ConvTranspose2d(width, wider, 4, 2, 1, rng=rng))

    def forward(self, z: Array, labels: np.ndarray) -> Any:
        h = self.first(z)
        h = h.reshape(len(h), -1, *self.coarse)  # (B, D) or (B, C, h, w)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            h = layer(kernels.relu(norm(h, labels)))
        if self.coarse:
            h = np.moveaxis(h, 1, -1)  # (B, H, W, C)
        return kernels.sigmoid(h.reshape(len(h), -1))  # (B, P)

    def draw_latents(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """z ~ N(0, 1), (n, Z)."""
        shape = n, self.config.latent_dim
        return rng.standard_normal(shape, dtype=np.float32)

    def sample(
        self, n: int, *, rng: np.random.Generator, label: int | Sequence[int] | np.ndarray = -1
    ) -> np.ndarray:
        """n images in [0, 1]: (n, H, W[, C]). `label`: a class, or those of all; -1 draws them."""
        labels = self.draw_labels(n, label, rng)
        shape = self.config.image_shape
        images = [np.zeros((0, *shape), np.float32)]
        with tg.no_grad():
            for start in range(0, n, SAMPLING_BATCH):
                some = labels[start : start + SAMPLING_BATCH]
                z = self.draw_latents(len(some), rng)
                pixels = self(tg.Tensor(z), some).numpy()  # (B, P)
                images.append(pixels.reshape(-1, *shape))  # (B, H, W[, C])
        return np.concatenate(images)

    def draw_labels(
        self, n: int, label: int | Sequence[int] | np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """The classes of n images, (n,). Raises ValueError for a class that there is not."""
        classes = self.config.num_labels
        if np.ndim(label) == 0 and label == -1:
            return rng.integers(classes, size=n)
        labels = np.broadcast_to(np.asarray(label), n)
        if n and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(f"label={label}: the classes are 0 to {classes - 1}")
        return labels


class ProjectionDiscriminator(nn.Module):
    """Images (B, P) and classes (B,) -> a logit each, (B,)."""

    def __init__(self, config: ConditionalGANConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        sizes = config.discriminator_sizes
        dense = config.architecture == "dense"
        width = config.pixels if dense else config.num_channels
        layers: list[nn.Module] = []
        for size in sizes:
            if dense:
                layers.append(nn.Linear(width, size, rng=rng))
            else:
                layers.append(nn.Conv2d(width, size, 4, 2, 1, rng=rng))
            layers.append(nn.LeakyReLU(0.2))
            width = size
        features = width if dense else width * math.prod(config.coarse(len(sizes)))
        self.layers = nn.Sequential(*layers)
        # The gradient penalty is of each image alone: there, no statistics of the batch.
        self.minibatch_stddev = config.loss != "wgan-gp"
        self.head = nn.Linear(features + self.minibatch_stddev, 1, rng=rng)
        self.projection = nn.Embedding(config.num_labels, features, rng=rng)
        self.projection.weight.data[...] /= math.sqrt(features)

    def forward(self, x: Array, labels: np.ndarray) -> Any:
        if self.config.architecture == "convolutional":
            H, W = self.config.image_size
            x = np.moveaxis(x.reshape(len(x), H, W, -1), -1, 1)  # (B, C, H, W)
        h = self.layers(x)
        h = h.reshape(len(h), -1)  # (B, F)
        projected = (self.projection(labels) * h).sum(axis=1)  # (B,)
        if self.minibatch_stddev:
            stddev = np.broadcast_to(mean_stddev(h), (len(h), 1))
            h = np.concatenate([h, stddev], axis=1)  # (B, F + 1)
        return self.head(h)[:, 0] + projected
