"""The Vision Transformer (Dosovitskiy et al. 2021, arXiv 2010.11929): a picture is a sequence of patches.

    z_0 = [x_class; x_1 E; ...; x_N E] + E_pos                  patches x_i, linearly embedded by E             (equation 1)
    z'_l = MSA(LN(z_(l-1))) + z_(l-1)                           multi-head self-attention, pre-norm             (equation 2)
    z_l = MLP(LN(z'_l)) + z'_l                                  two linear layers with a GELU between them      (equation 3)
    y = LN(z_L[0])                                              what the class token has gathered               (equation 4)

Deviations, on purpose: stochastic depth (Huang et al. 2016) on the residual branches; GELU in its tanh form where the
configuration says so, because it takes a quarter less time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.nn import init, parameter

from ..config import Fraction, ImageConfig
from ..pretrained import Pretrained

ACTIVATIONS = {"gelu": "none", "gelu_pytorch_tanh": "tanh"}  # what nn.GELU approximates them by


@dataclass(frozen=True)
class EncoderConfig(ImageConfig):
    """What makes the encoder: its images, sizes and regularisation."""

    patch_size: int = 2
    hidden_size: int = 64
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 128  # of the MLP
    hidden_act: str = "gelu_pytorch_tanh"  # or "gelu", the exact one
    hidden_dropout_prob: Fraction = 0.0
    attention_probs_dropout_prob: Fraction = 0.0
    drop_path_rate: Fraction = 0.1  # of the last block; grows linearly from 0
    qkv_bias: bool = True
    layer_norm_eps: float = 1e-6


@dataclass(frozen=True)
class ViTConfig(EncoderConfig):
    """What makes a ViT: the encoder and its classes."""

    model_type: ClassVar = "vit"

    num_labels: int = 10


def patches(images: Any, size: int) -> Any:
    """Pictures as sequences of flattened patches: (B, H, W[, C]) -> (B, H/P W/P, P P C)."""
    if images.ndim not in (3, 4):
        raise ValueError(f"pictures are (B, H, W) or (B, H, W, C), not of shape {images.shape}; one alone is images[None]")
    b, h, w, *channels = images.shape
    rows, columns = patch_grid((h, w), size)
    blocks = images.reshape(b, rows, size, columns, size, *channels)
    return np.swapaxes(blocks, 2, 3).reshape(b, rows * columns, -1)  # (B, N, P P C)


def patch_grid(shape: tuple[int, ...], size: int) -> tuple[int, int]:
    """How many patches fill a picture (H, W), downwards and across."""
    h, w = shape
    if h % size or w % size:
        raise ValueError(f"patches of {size} x {size} do not fill pictures of {h} x {w}")
    return h // size, w // size


class Block(nn.Module):
    """An encoder block, equations 2 and 3: (B, T, D) -> (B, T, D)."""

    def __init__(
        self, config: EncoderConfig, drop_path: float, *, rng: np.random.Generator
    ) -> None:
        if config.hidden_act not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"hidden_act={config.hidden_act}: there are {known}")
        d, eps = config.hidden_size, config.layer_norm_eps
        heads, dropout = config.num_attention_heads, config.attention_probs_dropout_prob
        self.norm1 = nn.LayerNorm(d, eps=eps)
        self.attention = nn.MultiheadAttention(d, heads, dropout, rng=rng)
        if not config.qkv_bias:
            del self.attention.in_proj_bias
            zeros = np.zeros(3 * d, np.float32)
            self.attention.register_buffer("in_proj_bias", zeros)
        self.norm2 = nn.LayerNorm(d, eps=eps)
        self.mlp = nn.Sequential(
            nn.Linear(d, config.intermediate_size, rng=rng),
            nn.GELU(ACTIVATIONS[config.hidden_act]),
            nn.Dropout(config.hidden_dropout_prob, rng=rng),
            nn.Linear(config.intermediate_size, d, rng=rng),
            nn.Dropout(config.hidden_dropout_prob, rng=rng),
        )
        self.drop_path = nn.StochasticDepth(drop_path, rng=rng)

    def forward(self, z: Any) -> Any:
        z = z + self.drop_path(self.attention(self.norm1(z)))
        return z + self.drop_path(self.mlp(self.norm2(z)))


class Encoder(Pretrained):
    """Equations 1 to 3: pictures as tokens, and the blocks. What is read off the tokens is left to those who build on it."""

    def __init__(self, config: EncoderConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        self.patch_size = config.patch_size
        self.grid = patch_grid(config.image_size, config.patch_size)
        d, pixels = config.hidden_size, config.patch_size**2 * config.num_channels
        self.patch_embed = nn.Linear(pixels, d, rng=rng)
        self.cls_token = parameter(np.zeros((1, 1, d), np.float32))
        positions = (1, 1 + self.grid[0] * self.grid[1], d)
        self.pos_embed = parameter(init.trunc_normal(positions, std=0.02, rng=rng))
        self.dropout = nn.Dropout(config.hidden_dropout_prob, rng=rng)
        rates = np.linspace(0, config.drop_path_rate, config.num_hidden_layers)
        self.blocks = nn.ModuleList(Block(config, float(rate), rng=rng) for rate in rates)
        self.norm = nn.LayerNorm(d, eps=config.layer_norm_eps)

    def embed(self, images: Any) -> Any:
        """Equation 1; for pictures of another size the position embedding is interpolated: (B, 1 + N, D)."""
        tokens = self.patch_embed(patches(images, self.patch_size))  # (B, N, D)
        first = np.broadcast_to(self.cls_token, (len(images), 1, tokens.shape[-1]))
        positions = self.pos_embed
        now = patch_grid(images.shape[1:3], self.patch_size)
        if now != self.grid:
            positions = interpolate_positions(positions, self.grid, now)
        return self.dropout(np.concatenate([first, tokens], axis=1) + positions)

    def encode(self, images: Any, extra_tokens: Any = None) -> Any:
        """What the last block makes of the tokens, before the norm: (B, H, W[, C]) -> (B, 1 + N, D), the class token first.

        `extra_tokens` learned tokens (1, M, D), which bring their positions with them, follow the patches: (B, 1 + N + M, D).
        """
        z = self.embed(images)
        if extra_tokens is not None:
            z = np.concatenate([z, np.broadcast_to(extra_tokens, (len(images), *extra_tokens.shape[1:]))], axis=1)
        for block in self.blocks:
            z = block(z)
        return z

    def attention_maps(self, images: Any) -> np.ndarray:
        """How much each token looks at each other, in every block and head: (depth, B, heads, T, T)."""
        maps = []
        with tg.no_grad():
            z = self.embed(tg.Tensor(images))
            for block in self.blocks:
                maps.append(block.attention.weights(block.norm1(z)).numpy())
                z = block(z)
        return np.stack(maps)


class ViT(Encoder):
    """Pictures to class logits: (B, H, W[, C]) -> (B, K)."""

    config_class = ViTConfig

    def __init__(self, config: ViTConfig, *, rng: np.random.Generator) -> None:
        super().__init__(config, rng=rng)
        self.head = nn.Linear(config.hidden_size, config.num_labels, rng=rng)

    def forward(self, images: Any) -> Any:
        return self.head(self.norm(self.encode(images)[:, 0]))


def interpolate_positions(positions: Any, old: tuple[int, int], new: tuple[int, int]) -> Any:
    """A position embedding (1, 1 + N, D) for another grid of patches: bicubic, the class token's part unchanged."""
    d = positions.shape[-1]
    table = positions[0, 1:].reshape(*old, d)  # (h, w, D)
    down, across = (bicubic(a, b).astype(positions.dtype) for a, b in zip(old, new, strict=True))
    table = np.einsum("ph,qw,hwd->pqd", down, across, table, optimize=True)
    return np.concatenate([positions[:, :1], table.reshape(1, -1, d)], axis=1)


def bicubic(old: int, new: int) -> np.ndarray:
    """The matrix (new, old) that interpolates `old` samples at `new` places by Keys's cubic kernel with a = -0.75.

    Keys 1981, with the centres of pixels at halves and the border repeated: as PyTorch does with align_corners=False.
    """
    centre = (np.arange(new) + 0.5) * old / new - 0.5
    first, a = np.floor(centre).astype(int) - 1, -0.75
    matrix = np.zeros((new, old))
    for tap in range(4):
        t = np.abs(centre - (first + tap))
        near, far = ((a + 2) * t - (a + 3)) * t * t + 1, ((t - 5) * t + 8) * a * t - 4 * a
        np.add.at(matrix, (np.arange(new), np.clip(first + tap, 0, old - 1)), np.where(t <= 1, near, far))
    return matrix


def rollout(maps: np.ndarray) -> np.ndarray:
    """How much of each patch reaches the class token through all blocks (Abnar & Zuidema 2020): (B, N).

    The heads' mean and the identity (the residual connection), half of each, multiplied up: maps (depth, B, heads, T, T).
    """
    mixed = (maps.mean(axis=2) + np.eye(maps.shape[-1])) / 2  # (depth, B, T, T)
    reach = mixed[0]
    for block in mixed[1:]:
        reach = block @ reach
    seen = reach[:, 0, 1:]
    return np.asarray(seen / seen.sum(axis=1, keepdims=True))


def fine_tune(model: ViT, state: Mapping[str, np.ndarray], old_grid: tuple[int, int]) -> list[str]:
    """Take over a trained model's weights; what stays as it is: the head if it has other classes.

    The position embedding is interpolated if the pictures have another size. Anything else must fit.
    """
    taken = {name: np.asarray(array) for name, array in state.items()}
    if old_grid != model.grid:
        taken["pos_embed"] = interpolate_positions(taken["pos_embed"], old_grid, model.grid)
    own = model.state_dict()
    kept = [n for n in ("head.weight", "head.bias") if taken[n].shape != own[n].shape]
    model.load_state_dict(taken | {name: own[name] for name in kept})
    return kept
