"""Few-shot talking heads (Zakharov et al. 2019, arXiv 1905.08233).

    e_i = mean_k E(x_i(s_k), y_i(s_k))                  the embedding of person i        (equation 2)
    x^_i(t) = G(y_i(t), P e_i)                          a head of this person in pose t
    D(x, y, i) = V(x, y) . (W_i + w_0) + b              realism score                    (equation 6)

The embedder E sees K pictures x of a person, each with an outline y of its pose, and writes down
what does not depend on the pose. The generator G draws the outline of another pose as this person:
each adaptive instance norm takes scale and shift from P e_i (Huang & Belongie 2017, arXiv
1703.06868). The discriminator's vector W_i of each person is what e_i is to match:

    L_CNT = |x - x^|                                                                     (3)
    L_ADV = -D(x^, y, i) + lambda_FM sum_l |D_l(x, y) - D_l(x^, y)|                      (equation 5)
    L_MCH = |e_i - W_i|                                                                  (3.3)
    L_DSC = max(0, 1 + D(x^, y, i)) + max(0, 1 - D(x, y, i))                             (equation 7)

Meta-learning takes K pictures of a person and another one, again and again. A person never seen
before is learned from K pictures by fine-tuning (section 3.4): P e becomes weights of this person's
own generator (`PersonalHead`), w_0 + e those of its discriminator (`PersonalDiscriminator`), and
both go on learning from the K pictures, without L_MCH.

Deviations, on purpose, for small images: L_CNT is the L1 distance of pixels, where the paper has
features of VGG19 and VGGFace; the embedder ends in a mean over pixels and a linear layer, where the
paper has a sum and ReLU; neither spectral norm nor self-attention; stride 2 instead of residual
blocks on the way down and up.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn
from tinygrad_cv.typing import Array

from ..config import ImageConfig, Stages
from ..pretrained import Pretrained
from .unet import conv3x3

DRAWN = 250  # so many heads are drawn at a time


@dataclass(frozen=True)
class TalkingHeadsConfig(ImageConfig):
    """What makes the three networks of talking heads."""

    model_type: ClassVar = "talking-heads"

    num_labels: int = 10  # people in all, of whom a part is learned from
    embedding_dim: int = 64  # N, of e
    embedder_channels: Stages = (16, 32, 64)  # full resolution, half, a quarter, ...
    generator_channels: Stages = (32, 64, 64)  # full resolution, half, a quarter, ...
    num_residual_blocks: Annotated[int, 0, 100] = 2  # of the generator, at its coarsest
    discriminator_channels: Stages = (16, 32, 64)  # full resolution, half, a quarter, ...
    loss: Annotated[str, "hinge", "non-saturating", "minimax"] = "hinge"  # or others of GANs

    def __post_init__(self) -> None:
        super().__post_init__()
        H, W = self.image_size
        for name in ("embedder", "generator", "discriminator"):
            halvings = len(getattr(self, f"{name}_channels")) - 1
            if H % 2**halvings or W % 2**halvings:
                message = f"images of {H} x {W} cannot be halved {halvings} times"
                raise ValueError(f"{name}_channels: {message}")


def halving(wide: int, narrow: int, *, bias: bool = True, rng: np.random.Generator) -> nn.Conv2d:
    """A convolution that halves height and width. Instance norm behind it takes a bias off."""
    return nn.Conv2d(wide, narrow, 4, 2, 1, bias=bias, rng=rng)


def beside(images: Array, outlines: np.ndarray) -> Any:
    """Images with their outlines as another channel: (B, C, H, W), (B, H, W) -> (B, C + 1, H, W)"""
    return np.concatenate([images, tg.Tensor(outlines[:, None])], axis=1)


class Embedder(nn.Module):
    """Images (B, C, H, W) and their outlines (B, H, W) -> embeddings (B, N)."""

    def __init__(self, config: TalkingHeadsConfig, *, rng: np.random.Generator) -> None:
        widths = config.embedder_channels
        layers: list[nn.Module] = [
            conv3x3(config.num_channels + 1, widths[0], rng=rng),
            nn.LeakyReLU(0.2),
        ]
        for wide, narrow in pairwise(widths):
            layers += [halving(wide, narrow, rng=rng), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(widths[-1], config.embedding_dim, rng=rng)

    def forward(self, images: Array, outlines: np.ndarray) -> Any:
        h = self.layers(beside(images, outlines))  # (B, F, h, w)
        return self.out(h.mean(axis=(2, 3)))


class AdaptiveInstanceNorm(nn.Module):
    """Instance norm with a scale and a shift for each image: (B, C, H, W), (B, 2 C) -> the same."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.norm = nn.InstanceNorm2d(channels)

    def forward(self, x: Array, style: Array) -> Any:
        pairs = style.reshape(len(style), 2, self.channels, 1, 1)
        return self.norm(x) * (1 + pairs[:, 0]) + pairs[:, 1]


class AdaptiveBlock(nn.Module):
    """A residual block whose norms are adaptive: (B, C, H, W), (B, 4 C) -> (B, C, H, W)."""

    def __init__(self, channels: int, *, rng: np.random.Generator) -> None:
        self.norm1 = AdaptiveInstanceNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False, rng=rng)
        self.norm2 = AdaptiveInstanceNorm(channels)
        self.conv2 = conv3x3(channels, channels, rng=rng)

    def forward(self, x: Array, style: Array) -> Any:
        half = style.shape[1] // 2
        h = self.conv1(kernels.relu(self.norm1(x, style[:, :half])))
        h = self.conv2(kernels.relu(self.norm2(h, style[:, half:])))
        return x + h


class HeadGenerator(nn.Module):
    """Outlines (B, H, W) and styles (B, S) -> images in [0, 1], (B, C, H, W)."""

    def __init__(self, config: TalkingHeadsConfig, *, rng: np.random.Generator) -> None:
        widths = config.generator_channels
        layers: list[nn.Module] = [conv3x3(1, widths[0], rng=rng), nn.ReLU()]
        for wide, narrow in pairwise(widths):
            norm = nn.InstanceNorm2d(narrow, affine=True)
            layers += [halving(wide, narrow, bias=False, rng=rng), norm, nn.ReLU()]
        self.down = nn.Sequential(*layers)
        self.blocks = nn.ModuleList()
        self.up = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.sizes: tuple[int, ...] = ()  # of the part of a style that each takes
        for _ in range(config.num_residual_blocks):
            self.blocks.append(AdaptiveBlock(widths[-1], rng=rng))
            self.sizes += (4 * widths[-1],)
        for narrow, wide in pairwise(widths[::-1]):
            self.up.append(nn.ConvTranspose2d(narrow, wide, 4, 2, 1, bias=False, rng=rng))
            self.norms.append(AdaptiveInstanceNorm(wide))
            self.sizes += (2 * wide,)
        self.conv_out = conv3x3(widths[0], config.num_channels, rng=rng)

    def forward(self, outlines: np.ndarray, styles: Array) -> Any:
        ends = np.cumsum([0, *self.sizes]).tolist()
        parts = iter([styles[:, start:end] for start, end in pairwise(ends)])
        h = self.down(tg.Tensor(outlines[:, None]))
        for block in self.blocks:
            h = block(h, next(parts))
        for layer, norm in zip(self.up, self.norms, strict=True):
            h = kernels.relu(norm(layer(h), next(parts)))
        return kernels.sigmoid(self.conv_out(h))


class TalkingHeads(Pretrained):
    """Outlines (B, H, W), and K images of a person each with theirs -> images (B, C, H, W)."""

    config_class = TalkingHeadsConfig

    def __init__(self, config: TalkingHeadsConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        self.embedder = Embedder(config, rng=rng)
        self.generator = HeadGenerator(config, rng=rng)
        self.projection = nn.Linear(config.embedding_dim, sum(self.generator.sizes), rng=rng)

    def embed(self, given: np.ndarray, outlines: np.ndarray) -> Any:
        """K images of each person (B, K, C, H, W) and their outlines (B, K, H, W) -> e (B, N)."""
        B, K = given.shape[:2]
        images = tg.Tensor(given.reshape(B * K, *given.shape[2:]))
        each = self.embedder(images, outlines.reshape(B * K, *outlines.shape[2:]))
        return each.reshape(B, K, -1).mean(axis=1)

    def embedding_of(self, given: np.ndarray, outlines: np.ndarray) -> np.ndarray:
        """e (N,) of one person, from K images (K, C, H, W) and their outlines (K, H, W)."""
        with tg.no_grad():
            embedding: np.ndarray = self.embed(given[None], outlines[None]).numpy()[0]
        return embedding

    def draw(self, outlines: np.ndarray, embeddings: Array) -> Any:
        """Heads (B, C, H, W) of people with these embeddings (B, N)."""
        return self.generator(outlines, self.projection(embeddings))

    def forward(self, outlines: np.ndarray, given: np.ndarray, given_outlines: np.ndarray) -> Any:
        return self.draw(outlines, self.embed(given, given_outlines))


class HeadDiscriminator(nn.Module):
    """Images (B, C, H, W), outlines (B, H, W) and people (B,) -> a logit each, (B,)."""

    def __init__(self, config: TalkingHeadsConfig, *, rng: np.random.Generator) -> None:
        widths, size = config.discriminator_channels, config.embedding_dim
        self.layers = nn.ModuleList([conv3x3(config.num_channels + 1, widths[0], rng=rng)])
        for wide, narrow in pairwise(widths):
            self.layers.append(halving(wide, narrow, rng=rng))
        self.out = nn.Linear(widths[-1], size, rng=rng)
        self.people = nn.Embedding(config.num_labels, size, rng=rng)  # W
        self.people.weight.data[...] /= math.sqrt(size)
        self.everybody = nn.parameter(np.zeros(size, np.float32))  # w_0
        self.bias = nn.parameter(np.zeros(1, np.float32))  # b

    def features(self, images: Array, outlines: np.ndarray) -> list[Any]:
        """What each layer makes of an image: D_1, ..., D_L."""
        h = beside(images, outlines)
        features = []
        for layer in self.layers:
            h = kernels.leaky_relu(layer(h), negative_slope=0.2)
            features.append(h)
        return features

    def score(self, features: list[Any], vectors: Array) -> Any:
        """Realism scores (B,) by features, and by a vector (B, N) or (N,) for the person."""
        v = self.out(features[-1].mean(axis=(2, 3)))  # V(x, y), (B, N)
        return (v * vectors).sum(axis=1) + self.bias

    def vectors(self, people: np.ndarray) -> Any:
        """W_i + w_0 of people (B,): (B, N)."""
        return self.people(people) + self.everybody

    def forward(self, images: Array, outlines: np.ndarray, people: np.ndarray) -> Any:
        return self.score(self.features(images, outlines), self.vectors(people))


def feature_matching_loss(real: list[Any], fake: list[Any]) -> Any:
    """The mean absolute difference of the discriminator's features, summed over its layers."""
    pairs = zip(real, fake, strict=True)
    return sum(np.abs(tg.Tensor(a.numpy()) - b).mean() for a, b in pairs)


def match_loss(embeddings: Any, vectors: np.ndarray) -> Any:
    """The mean absolute difference of e_i from W_i, (B, N) each."""
    return np.abs(embeddings - vectors).mean()


# ------------------------------------------------------------------------- one person's networks


class PersonalHead(nn.Module):
    """The generator of a person with embedding e (N,): outlines (B, H, W) -> images (B, C, H, W).

    The person's style, P e, is a weight.
    """

    def __init__(self, model: TalkingHeads, embedding: np.ndarray) -> None:
        self.generator = copy.deepcopy(model.generator)
        with tg.no_grad():
            style = model.projection(embedding[None]).numpy()[0]  # (S,)
        self.style = nn.parameter(style.copy())

    def forward(self, outlines: np.ndarray) -> Any:
        styles = np.broadcast_to(self.style, (len(outlines), self.style.size))
        return self.generator(outlines, styles)

    def draw(self, outlines: np.ndarray) -> np.ndarray:
        """Heads in [0, 1], (n, C, H, W)."""
        with tg.no_grad():
            parts = range(0, len(outlines), DRAWN)
            heads = [self(outlines[start : start + DRAWN]).numpy() for start in parts]
        return np.concatenate(heads)


class PersonalDiscriminator(nn.Module):
    """The discriminator of a person with embedding e (N,).

    Images (B, C, H, W), outlines (B, H, W) -> logits (B,).
    """

    def __init__(self, discriminator: HeadDiscriminator, embedding: np.ndarray) -> None:
        self.discriminator = copy.deepcopy(discriminator)
        self.vector = nn.parameter(embedding + discriminator.everybody.numpy())  # w'

    def features(self, images: Array, outlines: np.ndarray) -> list[Any]:
        """What each layer makes of an image."""
        return self.discriminator.features(images, outlines)

    def score(self, features: list[Any]) -> Any:
        """Realism scores (B,) by features."""
        return self.discriminator.score(features, self.vector)

    def forward(self, images: Array, outlines: np.ndarray) -> Any:
        return self.score(self.features(images, outlines))
