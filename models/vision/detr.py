"""DETR (Carion et al. 2020, arXiv 2005.12872): detection as the prediction of a set, without anchors or suppression.

    picture -> convolutional backbone -> 1x1 convolution -> a sequence of places                       (section 3.2)
    -> Transformer encoder, with sine positions in two dimensions added to queries and keys              (appendix A)
    -> Transformer decoder: learned object queries look at each other, and at the places               (figure 10)
    -> of each query the class, or "no object", and by a small network the box, cxcywh in units of the picture's size

The loss is in `matching.py`, the Transformer's layers are those of `sequence/transformer.py`. Pictures of different sizes
are padded at their lower and right border; no place of the padding is looked at.

Deviations, on purpose: batch normalisation learns, as the backbone is trained from its own start (`frozen` otherwise); the
padding is kept silent inside the backbone too, so that a picture's objects do not depend on its neighbours in the batch
(`silent` False: as published); the positions' wavelengths end sooner (`temperature`), for grids of a few places; and
the Transformer's norms stand before its branches (`pre_norm`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn

from ..config import Fraction
from ..sequence.transformer import Decoder, Encoder
from .resnet import ResNet, ResNetConfig


@dataclass(frozen=True)
class DETRConfig:
    """What makes a DETR.

    The paper's, on a ResNet-50: queries=100, channels=3, stem=64, stem_size=7, pool=True, widths=(256, 512, 1024, 2048),
    depths=(3, 4, 6, 3), block="bottleneck", frozen=True, silent=False, dimension=256, heads=8, hidden=2048, encoders=6,
    decoders=6, dropout=0.1, pre_norm=False, temperature=10000.0.
    """

    classes: int = 10
    queries: int = 12  # so many objects can be found at most
    channels: int = 1  # of the pictures
    stem: int = 16  # what follows, to `frozen`, is the backbone's: see `ResNetConfig`
    stem_size: int = 3
    pool: bool = False
    widths: tuple[int, ...] = (32, 64)
    depths: tuple[int, ...] = (1, 1)
    block: str = "basic"
    frozen: bool = False
    silent: bool = True  # padding in the backbone
    dimension: int = 64
    heads: int = 4
    hidden: int = 128
    encoders: int = 2
    decoders: int = 3
    dropout: Fraction = 0.0
    pre_norm: bool = True  # the paper's is not
    temperature: float = 20.0  # the paper's is 10000


def sine_positions(mask: np.ndarray, dimension: int, temperature: float = 10_000.0) -> np.ndarray:
    """The encoding of places in two dimensions: mask (B, h, w), False on padding -> (B, h w, D).

    The first half of D tells how far down a place is in its picture, as an angle up to 2 pi, the second half how far to
    the right: sines and cosines in turn, at wavelengths from 2 pi to 2 pi temperature (appendix A, and the authors' program).
    """
    if dimension % 4:
        raise ValueError(f"sines and cosines of two coordinates fill multiples of 4 dimensions, not {dimension}")
    rates = temperature ** (-np.arange(0, dimension // 2, 2) / (dimension // 2))  # (D / 4,)
    halves = []
    for axis in (1, 2):
        place = mask.cumsum(axis=axis, dtype=np.float32)
        place = place / (np.take(place, [-1], axis=axis) + 1e-6) * (2 * math.pi)
        angles = place[..., None] * rates  # (B, h, w, D / 4)
        halves.append(np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(*mask.shape, dimension // 2))
    return np.concatenate(halves, axis=-1).reshape(len(mask), -1, dimension).astype(np.float32)  # (B, h w, D)


def thinned(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask (B, H, W) at the nearest of fewer places: (B, height, width)."""
    down, across = (np.arange(n) * m // n for n, m in zip((height, width), mask.shape[1:], strict=True))
    return mask[:, down[:, None], across]


class MLP(nn.Module):
    """Three linear layers with ReLUs between them, and a sigmoid: (..., D) -> boxes cxcywh (..., 4) in (0, 1)."""

    def __init__(self, dimension: int, *, rng: np.random.Generator) -> None:
        sizes = (dimension, dimension, dimension, 4)
        self.layers = nn.ModuleList(nn.Linear(*pair, rng=rng) for pair in pairwise(sizes))

    def forward(self, x: Any) -> Any:
        *hidden, last = self.layers
        for layer in hidden:
            x = kernels.relu(layer(x))
        return kernels.sigmoid(last(x))


class DETR(nn.Module):
    """Pictures to sets: (B, H, W[, C]) and a mask (B, H, W), False on padding -> logits (L, B, Q, K + 1) and boxes (L, B, Q, 4).

    The L predictions are those of the decoder's layers; the last is what counts.
    """

    def __init__(self, config: DETRConfig, *, rng: np.random.Generator) -> None:
        d = config.dimension
        sine_positions(np.ones((1, 1, 1), bool), d)  # complains now about a dimension that does not fit
        sizes = (d, config.heads, config.hidden, config.dropout, config.pre_norm)
        self.config = config
        self.backbone = ResNet(ResNetConfig.of(config), rng=rng)
        self.input_proj = nn.Conv2d(config.widths[-1], d, 1, rng=rng)
        self.query_embed = nn.Embedding(config.queries, d, rng=rng)
        self.encoder = Encoder(config.encoders, *sizes, rng=rng)
        self.decoder = Decoder(config.decoders, *sizes, final_norm=True, rng=rng)
        self.class_embed = nn.Linear(d, config.classes + 1, rng=rng)
        self.bbox_embed = MLP(d, rng=rng)

    def forward(self, images: Any, mask: np.ndarray) -> tuple[Any, Any]:
        memory, places, visible = self.encode(images, mask)
        layers = [self.decoder.finish(y) for y, _ in self.decode(memory, places, visible)]
        said = np.stack(layers)  # (L, B, Q, D)
        return self.class_embed(said), self.bbox_embed(said)

    def encode(self, images: Any, mask: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray | None]:
        """What the encoder says of each place, (B, h w, D), the places' positions, and which may be looked at."""
        channels = images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1)  # (B, C, H, W)
        padded = not mask.all()
        features = self.input_proj(self.backbone(channels, mask if padded and self.config.silent else None))
        b, d, height, width = features.shape
        mask = thinned(mask, height, width)
        places = sine_positions(mask, d, self.config.temperature)
        visible = mask.reshape(b, 1, 1, -1) if padded else None  # (B, 1, 1, h w)
        tokens = np.swapaxes(features.reshape(b, d, height * width), 1, 2)  # (B, h w, D)
        return self.encoder(tokens, visible, places), places, visible

    def decode(self, memory: Any, places: np.ndarray, visible: np.ndarray | None) -> Iterator[tuple[Any, Any]]:
        """What each decoder layer makes of the queries, (B, Q, D), and what it was given."""
        queries = self.query_embed.weight
        y = np.zeros((len(memory), *queries.shape), memory.dtype)
        for layer in self.decoder.layers:
            before = y
            y = layer(y, memory, memory_mask=visible, position=queries, memory_position=places)
            yield y, before

    def attention_maps(self, images: Any, mask: np.ndarray) -> np.ndarray:
        """How much each query looks at each place in the last decoder layer, over all heads: (B, Q, h, w)."""
        with tg.no_grad():
            memory, places, visible = self.encode(images, mask)
            *_, (_, y) = self.decode(memory, places, visible)
            *_, layer = self.decoder.layers
            queries = self.query_embed.weight
            weights = layer.weights(y, memory, None, visible, position=queries, memory_position=places).numpy()
        stride = self.backbone.config.stride
        height, width = (-(-n // stride) for n in images.shape[1:3])
        return np.asarray(weights.mean(axis=1).reshape(len(images), -1, height, width))  # of (B, heads, Q, h w)
