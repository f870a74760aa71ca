"""DETR (Carion et al. 2020, arXiv 2005.12872): detection as the prediction of a set.

It has no anchors and no non-maximum suppression:

    image -> convolutional backbone -> 1x1 convolution -> a sequence of features   (section 3.2)
    -> Transformer encoder, with sine positions in two dimensions                  (appendix A)
    -> Transformer decoder: learned object queries attend to each other, and to the features
                                                                                   (figure 10)
    -> for each query a class, or "no object", and a box, cxcywh in units of the image's size

The loss is in `matching.py`, the layers are those of `sequence/transformer.py`. Images of different
sizes are padded at their lower and right border; no query attends to the padding. The names of the
weights are the authors', except that their backbone is called `backbone.0.body`.

Deviations, on purpose. What the authors do is in the parentheses:
- batch normalisation learns, as the backbone is trained from scratch (`frozen_batch_norm`);
- padding is masked in the backbone too, so that the prediction for an image does not depend on the
  other images of its batch (no `mask_padding`);
- the wavelengths of the positions end sooner, for grids of a few features (`position_temperature`);
- the Transformer's norms stand before its branches (no `pre_norm`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn
from tinygrad_cv.typing import Array

from ..config import Fraction, Layers, ModelConfig
from ..pretrained import Pretrained
from ..sequence.transformer import Decoder, Encoder
from .resnet import SIZES as RESNETS
from .resnet import ResNet, ResNetConfig


def small_backbone() -> ResNetConfig:
    """A backbone for images of a few digits."""
    return ResNetConfig(hidden_sizes=(32, 64))


@dataclass(frozen=True)
class DETRConfig(ModelConfig):
    """What makes a DETR."""

    model_type: ClassVar = "detr"

    num_labels: int = 10  # classes; one more is for no object
    num_queries: int = 12  # at most so many objects are detected
    backbone_config: ResNetConfig = field(default_factory=small_backbone)
    mask_padding: bool = True  # in the backbone
    d_model: int = 64  # size of the vectors
    encoder_layers: Layers = 2  # blocks
    decoder_layers: Layers = 3  # blocks
    encoder_attention_heads: int = 4  # of each block
    decoder_attention_heads: int = 4  # of each block
    encoder_ffn_dim: int = 128  # hidden units of its MLPs
    decoder_ffn_dim: int = 128  # hidden units of its MLPs
    dropout: Fraction = 0.0  # in each block
    pre_norm: bool = True  # normalise before each part of a block, not after it
    position_temperature: Annotated[float, 0.001, 1e9] = 20.0  # of the sines and cosines


SIZES = {
    "DETR-R50": DETRConfig(
        num_labels=91,
        num_queries=100,
        backbone_config=replace(RESNETS["ResNet-50"], frozen_batch_norm=True),
        mask_padding=False,
        d_model=256,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
        dropout=0.1,
        pre_norm=False,
        position_temperature=10_000.0,
    ),
}


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask (B, H, W) at the nearest of fewer places: (B, height, width)."""
    _, H, W = mask.shape
    down = np.arange(height) * H // height
    across = np.arange(width) * W // width
    return mask[:, down[:, None], across]


def sine_positions(mask: np.ndarray, d_model: int, temperature: float = 10_000.0) -> np.ndarray:
    """The encoding of places in two dimensions: mask (B, h, w), False on padding -> (B, h w, D).

    The first half of D encodes how far down in its image a place is, as an angle up to 2 pi, the
    second half how far to the right: sines and cosines in turn, of wavelengths from 2 pi to 2 pi
    temperature (appendix A, and the authors' program).
    """
    check_d_model(d_model)
    half = d_model // 2
    rates = temperature ** (-np.arange(0, half, 2) / half)  # (D / 4,)
    B, h, w = mask.shape
    halves = []
    for axis in (1, 2):
        count = mask.cumsum(axis=axis, dtype=np.float32)  # (B, h, w)
        last = np.take(count, [-1], axis=axis)
        angle = count / (last + 1e-6) * (2 * math.pi)
        angles = angle[..., None] * rates  # (B, h, w, D / 4)
        pairs = np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # (B, h, w, D / 4, 2)
        halves.append(pairs.reshape(B, h * w, half))  # (B, h w, D / 2)
    return np.concatenate(halves, axis=-1).astype(np.float32)  # (B, h w, D)


def check_d_model(d_model: int) -> None:
    """Raise ValueError for a number of dimensions that two coordinates do not fill."""
    if d_model % 4:
        raise ValueError(
            f"d_model={d_model}: the sines and cosines of two coordinates fill multiples of 4"
        )


class Transformer(nn.Module):
    """DETR's encoder and decoder (figure 10)."""

    def __init__(self, config: DETRConfig, *, rng: np.random.Generator) -> None:
        d, dropout, pre_norm = config.d_model, config.dropout, config.pre_norm
        self.encoder = Encoder(
            config.encoder_layers,
            d,
            config.encoder_attention_heads,
            config.encoder_ffn_dim,
            dropout,
            pre_norm,
            rng=rng,
        )
        self.decoder = Decoder(
            config.decoder_layers,
            d,
            config.decoder_attention_heads,
            config.decoder_ffn_dim,
            dropout,
            pre_norm,
            final_norm=True,
            rng=rng,
        )


class MLP(nn.Module):
    """Three linear layers with ReLUs between them: (..., D) -> boxes cxcywh (..., 4) in (0, 1)."""

    def __init__(self, d_model: int, *, rng: np.random.Generator) -> None:
        self.layers = nn.ModuleList()
        for outputs in (d_model, d_model, 4):
            self.layers.append(nn.Linear(d_model, outputs, rng=rng))

    def forward(self, x: Array) -> Any:
        *hidden, last = self.layers
        for layer in hidden:
            x = kernels.relu(layer(x))
        return kernels.sigmoid(last(x))


class DETR(Pretrained):
    """Images to sets of predictions, of each of the L decoder layers; the last is what counts.

    Images (B, H, W[, C]) and their mask (B, H, W), False on padding -> logits (L, B, Q, K + 1), the
    last class "no object", and boxes (L, B, Q, 4).
    """

    config_class = DETRConfig

    def __init__(self, config: DETRConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        d = config.d_model
        check_d_model(d)
        self.backbone = ResNet(config.backbone_config, rng=rng)
        self.input_proj = nn.Conv2d(config.backbone_config.hidden_sizes[-1], d, 1, rng=rng)
        self.query_embed = nn.Embedding(config.num_queries, d, rng=rng)
        self.transformer = Transformer(config, rng=rng)
        self.class_embed = nn.Linear(d, config.num_labels + 1, rng=rng)
        self.bbox_embed = MLP(d, rng=rng)

    def forward(self, images: Array, mask: np.ndarray) -> tuple[Array, Array]:
        memory, positions, visible = self.encode(images, mask)
        norm = self.transformer.decoder.finish
        hidden = [norm(y) for y, _ in self.decode(memory, positions, visible)]
        hidden = np.stack(hidden)  # (L, B, Q, D)
        return self.class_embed(hidden), self.bbox_embed(hidden)

    def encode(self, images: Any, mask: np.ndarray) -> tuple[Array, np.ndarray, np.ndarray | None]:
        """The memory (B, h w, D), its positions, and what is visible: (B, 1, 1, h w), or None."""
        if images.ndim == 3:
            images = images[..., None]  # (B, H, W, 1)
        padded = not mask.all()
        inside = mask if padded and self.config.mask_padding else None
        channels = np.moveaxis(images, -1, 1)  # (B, C, H, W)
        features = self.input_proj(self.backbone(channels, inside))
        B, D, h, w = features.shape
        mask = resize_mask(mask, h, w)
        positions = sine_positions(mask, D, self.config.position_temperature)
        visible = mask.reshape(B, 1, 1, h * w) if padded else None
        tokens = np.swapaxes(features.reshape(B, D, h * w), 1, 2)  # (B, h w, D)
        return self.transformer.encoder(tokens, visible, positions), positions, visible

    def decode(
        self, memory: Array, positions: np.ndarray, visible: np.ndarray | None
    ) -> Iterator[tuple[Array, Array]]:
        """The output (B, Q, D) of each decoder layer, before the norm, and its input."""
        queries = self.query_embed.weight  # (Q, D)
        y = np.zeros((len(memory), *queries.shape), memory.dtype)
        for layer in self.transformer.decoder.layers:
            inputs = y
            y = layer(
                inputs,
                memory,
                memory_mask=visible,
                position=queries,
                memory_position=positions,
            )
            yield y, inputs

    def attention_maps(self, images: Array, mask: np.ndarray) -> np.ndarray:
        """How much each query attends to each feature in the last decoder layer: (B, Q, h, w).

        The mean over all heads.
        """
        B, H, W = mask.shape
        with tg.no_grad():
            memory, positions, visible = self.encode(images, mask)
            *_, (_, inputs) = self.decode(memory, positions, visible)
            *_, layer = self.transformer.decoder.layers
            weights = layer.weights(
                inputs,
                memory,
                memory_mask=visible,
                position=self.query_embed.weight,
                memory_position=positions,
            )  # (B, heads, Q, h w)
        stride = self.config.backbone_config.stride
        h, w = -(-H // stride), -(-W // stride)
        maps = weights.numpy().mean(axis=1)
        return np.asarray(maps.reshape(B, -1, h, w))  # (B, Q, h, w)
