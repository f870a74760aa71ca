"""The Vision Transformer (Dosovitskiy et al. 2021, arXiv 2010.11929): an image as patches.

    z_0 = [x_class; x_1 E; ...; x_N E] + E_pos      patches x_i, embedded by E      (equation 1)
    z'_l = MSA(LN(z_(l-1))) + z_(l-1)               multi-head self-attention       (equation 2)
    z_l = MLP(LN(z'_l)) + z'_l                      two linear layers and a GELU    (equation 3)
    y = LN(z_L[0])                                  the class token                 (equation 4)

The names of the weights are timm's; patches are embedded by a linear layer, and queries, keys and
values are projected by one array, as in `nn.MultiheadAttention`.

Deviations, on purpose: stochastic depth (Huang et al. 2016) on the residual branches; GELU in its
tanh form where the configuration says so, because that takes a quarter less time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.nn import init, parameter
from tinygrad_cv.typing import Array

from ..config import Fraction, ImageConfig, Layers
from ..pretrained import Pretrained

Grid = tuple[int, int]  # patches of an image, downwards and across

ACTIVATIONS = {"gelu": "none", "gelu_pytorch_tanh": "tanh"}  # `approximate` of nn.GELU


@dataclass(frozen=True)
class EncoderConfig(ImageConfig):
    """What makes the encoder: its images, sizes and regularisation."""

    patch_size: int = 2  # height and width, in pixels
    hidden_size: int = 64  # of each token
    num_hidden_layers: Layers = 4  # blocks
    num_attention_heads: int = 4  # of each block
    intermediate_size: int = 128  # of the MLP
    hidden_act: Annotated[str, *ACTIVATIONS] = "gelu_pytorch_tanh"  # or "gelu", the exact one
    hidden_dropout_prob: Fraction = 0.0  # of tokens
    attention_probs_dropout_prob: Fraction = 0.0  # of attention weights
    drop_path_rate: Fraction = 0.1  # of the last block; grows linearly from 0
    qkv_bias: bool = True  # in the projections of attention
    layer_norm_eps: float = 1e-6  # added to the variance


@dataclass(frozen=True)
class ViTConfig(EncoderConfig):
    """What makes a ViT: the encoder and its classes."""

    model_type: ClassVar = "vit"

    num_labels: int = 10  # classes


def published(hidden_size: int, num_hidden_layers: int, num_attention_heads: int) -> ViTConfig:
    """A ViT for patches of 16 x 16 of ImageNet's images, with an MLP of four times its size."""
    return ViTConfig(
        image_size=(224, 224),
        num_channels=3,
        patch_size=16,
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=num_attention_heads,
        intermediate_size=4 * hidden_size,
        hidden_act="gelu",
        drop_path_rate=0.0,
        num_labels=1000,
    )


# Ti and S: Touvron et al. 2021 (DeiT, arXiv 2012.12877); B and L: table 1 of the paper.
SIZES = {
    "ViT-Ti/16": published(192, 12, 3),
    "ViT-S/16": published(384, 12, 6),
    "ViT-B/16": published(768, 12, 12),
    "ViT-L/16": published(1024, 24, 16),
}


def patches(images: Array, size: int) -> Array:
    """Images as sequences of flattened patches: (B, H, W[, C]) -> (B, H/P W/P, P P C)."""
    if images.ndim not in (3, 4):
        raise ValueError(
            f"images are (B, H, W) or (B, H, W, C), not of shape {images.shape}; "
            "one alone is images[None]"
        )
    B, H, W, *channels = images.shape
    rows, columns = patch_grid((H, W), size)
    blocks = images.reshape(B, rows, size, columns, size, *channels)
    blocks = np.swapaxes(blocks, 2, 3)  # (B, H/P, W/P, P, P[, C])
    return blocks.reshape(B, rows * columns, -1)  # (B, N, P P C)


def patch_grid(image_size: tuple[int, ...], size: int) -> Grid:
    """How many patches fill an image (H, W), downwards and across."""
    H, W = image_size
    if size < 1 or H % size or W % size:
        raise ValueError(f"patches of {size} x {size} do not fill images of {H} x {W}")
    return H // size, W // size


class MLP(nn.Module):
    """Two linear layers with a GELU between them: (B, T, D) -> (B, T, D)."""

    def __init__(self, config: EncoderConfig, *, rng: np.random.Generator) -> None:
        d, hidden = config.hidden_size, config.intermediate_size
        self.fc1 = nn.Linear(d, hidden, rng=rng)
        self.act = nn.GELU(ACTIVATIONS[config.hidden_act])
        self.fc2 = nn.Linear(hidden, d, rng=rng)
        self.dropout = nn.Dropout(config.hidden_dropout_prob, rng=rng)

    def forward(self, x: Array) -> Any:
        x = self.dropout(self.act(self.fc1(x)))
        return self.dropout(self.fc2(x))


class Block(nn.Module):
    """An encoder block, equations 2 and 3: (B, T, D) -> (B, T, D)."""

    def __init__(
        self,
        config: EncoderConfig,
        drop_path: float,
        *,
        rng: np.random.Generator,
    ) -> None:
        if config.hidden_act not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"hidden_act={config.hidden_act}: there are {known}")
        d, eps = config.hidden_size, config.layer_norm_eps
        heads, dropout = config.num_attention_heads, config.attention_probs_dropout_prob
        self.norm1 = nn.LayerNorm(d, eps=eps)
        self.attn = nn.MultiheadAttention(d, heads, dropout, rng=rng)
        if not config.qkv_bias:
            zeros = np.zeros(3 * d, np.float32)
            del self.attn.in_proj_bias
            self.attn.register_buffer("in_proj_bias", zeros)
        self.norm2 = nn.LayerNorm(d, eps=eps)
        self.mlp = MLP(config, rng=rng)
        self.drop_path = nn.StochasticDepth(drop_path, rng=rng)

    def forward(self, z: Array) -> Any:
        attended = self.attn(self.norm1(z))
        z = z + self.drop_path(attended)
        transformed = self.mlp(self.norm2(z))
        return z + self.drop_path(transformed)


class Encoder(Pretrained):
    """Equations 1 to 3: images as tokens, and the blocks.

    What is predicted from the tokens is left to the models built on it.
    """

    def __init__(self, config: EncoderConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        self.patch_size = config.patch_size
        self.grid = patch_grid(config.image_size, config.patch_size)
        d = config.hidden_size
        rows, columns = self.grid
        pixels = config.patch_size**2 * config.num_channels
        self.patch_embed = nn.Linear(pixels, d, rng=rng)
        self.cls_token = parameter(np.zeros((1, 1, d), np.float32))
        positions = (1, 1 + rows * columns, d)
        self.pos_embed = parameter(init.trunc_normal(positions, std=0.02, rng=rng))
        self.dropout = nn.Dropout(config.hidden_dropout_prob, rng=rng)
        rates = np.linspace(0, config.drop_path_rate, config.num_hidden_layers)
        self.blocks = nn.ModuleList()
        for rate in rates:
            self.blocks.append(Block(config, float(rate), rng=rng))
        self.norm = nn.LayerNorm(d, eps=config.layer_norm_eps)

    def embed(self, images: Array) -> Any:
        """Equation 1: (B, H, W[, C]) -> (B, 1 + N, D).

        For images of another size the position embedding is interpolated.
        """
        tokens = self.patch_embed(patches(images, self.patch_size))
        B, _, D = tokens.shape  # (B, N, D)
        cls_token = np.broadcast_to(self.cls_token, (B, 1, D))
        tokens = np.concatenate([cls_token, tokens], axis=1)  # (B, 1 + N, D)
        grid = patch_grid(images.shape[1:3], self.patch_size)
        positions = interpolate_positions(self.pos_embed, self.grid, grid)
        return self.dropout(tokens + positions)

    def encode(self, images: Array, extra_tokens: Array | None = None) -> Array:
        """The tokens after the last block, before the norm: (B, H, W[, C]) -> (B, 1 + N, D).

        The class token is the first. `extra_tokens` (1, M, D), learned ones, which bring their
        positions with them, follow the patches: (B, 1 + N + M, D).
        """
        z = self.embed(images)
        if extra_tokens is not None:
            _, M, D = extra_tokens.shape
            shape = (len(images), M, D)
            z = np.concatenate([z, np.broadcast_to(extra_tokens, shape)], axis=1)
        for block in self.blocks:
            z = block(z)
        return z

    def attention_maps(self, images: Array) -> np.ndarray:
        """How much each token attends to each other: (depth, B, heads, T, T)."""
        maps = []
        with tg.no_grad():
            z = self.embed(tg.Tensor(images))
            for block in self.blocks:
                weights = block.attn.weights(block.norm1(z))  # (B, heads, T, T)
                maps.append(weights.numpy())
                z = block(z)
        return np.stack(maps)


class ViT(Encoder):
    """Images to class logits: (B, H, W[, C]) -> (B, K)."""

    config_class = ViTConfig

    def __init__(self, config: ViTConfig, *, rng: np.random.Generator) -> None:
        super().__init__(config, rng=rng)
        self.head = nn.Linear(config.hidden_size, config.num_labels, rng=rng)

    def forward(self, images: Array) -> Any:
        cls_token = self.encode(images)[:, 0]  # (B, D)
        return self.head(self.norm(cls_token))


def interpolate_positions(positions: Array, old: Grid, new: Grid) -> Any:
    """A position embedding (1, 1 + N, D) for another grid of patches.

    Bicubic; the class token's part stays.
    """
    if new == old:
        return positions
    D = positions.shape[-1]
    table = positions[0, 1:].reshape(*old, D)  # (h, w, D)
    down, across = map(bicubic, old, new)
    down = down.astype(positions.dtype)
    across = across.astype(positions.dtype)
    table = np.einsum("ph,qw,hwd->pqd", down, across, table, optimize=True)
    table = table.reshape(1, -1, D)  # (1, h' w', D)
    return np.concatenate([positions[:, :1], table], axis=1)


def bicubic(old: int, new: int) -> np.ndarray:
    """The matrix (new, old) that interpolates `old` samples at `new` places.

    By the cubic kernel of Keys 1981 with a = -0.75, the centres of pixels at halves, the border
    repeated: as PyTorch does with align_corners=False.
    """
    a = -0.75
    rows = np.arange(new)
    centre = (rows + 0.5) * old / new - 0.5
    first = np.floor(centre).astype(int) - 1
    matrix = np.zeros((new, old))
    for sample in range(4):
        t = np.abs(centre - (first + sample))
        near = ((a + 2) * t - (a + 3)) * t * t + 1
        far = ((t - 5) * t + 8) * a * t - 4 * a
        weight = np.where(t <= 1, near, far)
        column = np.clip(first + sample, 0, old - 1)
        np.add.at(matrix, (rows, column), weight)
    return matrix


def rollout(maps: np.ndarray) -> np.ndarray:
    """How much of each patch reaches the class token through all blocks: (B, N).

    Attention rollout (Abnar & Zuidema 2020, arXiv 2005.00928) of maps (depth, B, heads, T, T): the
    product over the blocks of half the heads' mean plus half the identity, which is the residual
    connection.
    """
    identity = np.eye(maps.shape[-1])
    mixed = (maps.mean(axis=2) + identity) / 2  # (depth, B, T, T)
    reach = mixed[0]
    for block in mixed[1:]:
        reach = block @ reach
    parts = reach[:, 0, 1:]  # (B, N)
    return np.asarray(parts / parts.sum(axis=1, keepdims=True))


def fine_tune(
    model: ViT,
    state: Mapping[str, np.ndarray],
    old_grid: Grid,
) -> list[str]:
    """Load a trained model's weights, and name those that do not fit and stay as they are.

    That is the head if it has other classes. The position embedding is interpolated if the images
    have another size. Anything else must fit.
    """
    taken = dict(state)
    positions = np.asarray(taken["pos_embed"])
    taken["pos_embed"] = interpolate_positions(positions, old_grid, model.grid)
    own = model.state_dict()
    kept = []
    for name in ("head.weight", "head.bias"):
        if taken[name].shape != own[name].shape:
            taken[name] = own[name]
            kept.append(name)
    model.load_state_dict(taken)
    return kept
