"""The Transformer (Vaswani et al. 2017, arXiv 1706.03762): an encoder and a decoder of attention.

    encoder layer      x = LN(x + SelfAttention(x))                             (section 3.1)
                       x = LN(x + FFN(x))
    decoder layer      y = LN(y + SelfAttention(y))
                       y = LN(y + Attention(y, memory))
                       y = LN(y + FFN(y))
    FFN(x) = max(0, x W_1 + b_1) W_2 + b_2                                      (equation 2)
    PE(t, 2i)     = sin(t / 10000^(2i / D))                                     (section 3.5)
    PE(t, 2i + 1) = cos(t / 10000^(2i / D))

The names are PyTorch's, so that weights interchange with `torch.nn.Transformer`, and its choices
are taken where the paper says nothing: dropout on the attention's weights and inside the FFN as
well. With `pre_norm` the norm stands before each branch, x = x + Branch(LN(x)), and once more at
the end (Xiong et al. 2020, arXiv 2002.04745), which trains without a warm-up.

Deviations, on purpose (section 3.4): embeddings are not multiplied by sqrt(D), and no weights are
shared. In the paper one matrix (37,000 symbols, D) embeds sources and targets, and its transpose
gives the logits; here these are three, and the logits have a bias. So the paper's 65 million
parameters (base) are the 44.1 million of our encoder and decoder and 18.9 million of that matrix;
its 213 million (big) are 176.4 and 37.9 million.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from tinygrad_cv import nn
from tinygrad_cv.tensor import Tensor
from tinygrad_cv.typing import Array

from ..config import Fraction, Layers, ModelConfig
from .attention import padding_mask
from .decoding import Transducer

KVCache = tuple[Array, Array]  # the keys and the values of each head, both (B, H, S, D/H)
Mask = np.ndarray | None  # which keys each query attends to; None: all


@dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """What makes a Transformer."""

    model_type: ClassVar = "transformer"

    d_model: int = 128  # D
    encoder_layers: Layers = 2  # blocks
    decoder_layers: Layers = 2  # blocks
    encoder_attention_heads: int = 4  # of each block
    decoder_attention_heads: int = 4  # of each block
    encoder_ffn_dim: int = 256  # hidden units of its MLPs
    decoder_ffn_dim: int = 256  # hidden units of its MLPs
    dropout: Fraction = 0.1  # in each block
    pre_norm: bool = False  # normalise before each part of a block, not after it

    @classmethod
    def of_size(cls, layers: int, d_model: int, heads: int, ffn_dim: int, dropout: float) -> Self:
        """The same sizes for encoder and decoder."""
        return cls(
            d_model=d_model,
            encoder_layers=layers,
            decoder_layers=layers,
            encoder_attention_heads=heads,
            decoder_attention_heads=heads,
            encoder_ffn_dim=ffn_dim,
            decoder_ffn_dim=ffn_dim,
            dropout=dropout,
        )


SIZES = {  # table 3 of the paper
    "base": TransformerConfig.of_size(6, 512, 8, 2048, 0.1),
    "big": TransformerConfig.of_size(6, 1024, 16, 4096, 0.3),
}


def sinusoids(length: int, d_model: int) -> np.ndarray:
    """The encoding of positions (section 3.5): (length, D), sines and cosines in turn."""
    frequencies = 10000.0 ** (-np.arange(0, d_model, 2) / d_model)
    angles = np.arange(length)[:, None] * frequencies  # (length, D / 2)
    pairs = np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # (length, D / 2, 2)
    positions = pairs.reshape(length, -1)  # (length, D), or D + 1 for an odd D
    return positions[:, :d_model].astype(np.float32)


def with_pos_embed(x: Array, position: Array | None) -> Array:
    """x + position, or x where it has its positions already."""
    return x if position is None else x + position


class Layer(nn.Module):
    """What the layers share: self-attention, the feed-forward network, Add & Norm.

    d_model, nhead, dim_feedforward, dropout: those of PyTorch's layers.
    pre_norm: whether the norm stands before each branch, not after it.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float = 0.1,
        pre_norm: bool = False,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.pre_norm = pre_norm
        self.self_attn = nn.MultiheadAttention(d_model, nhead, dropout, rng=rng)
        self.linear1 = nn.Linear(d_model, dim_feedforward, rng=rng)
        self.linear2 = nn.Linear(dim_feedforward, d_model, rng=rng)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout, rng=rng)

    def branch_input(self, x: Array, norm: nn.Module) -> Any:
        """x, or LN(x) with `pre_norm`."""
        return norm(x) if self.pre_norm else x

    def add_and_norm(self, x: Array, branch: Array, norm: nn.Module) -> Any:
        """LN(x + branch), or x + branch with `pre_norm`."""
        x = x + self.dropout(branch)
        return x if self.pre_norm else norm(x)

    def self_attention(self, x: Array, mask: Mask, causal: bool, position: Array | None) -> Array:
        """`position` is added to queries and keys, not to values."""
        if position is None:
            return self.self_attn(x, mask=mask, causal=causal)
        at = x + position
        return self.self_attn(at, at, x, mask, causal)

    def feed_forward(self, x: Array) -> Array:
        """FFN(x), equation 2."""
        inner = self.linear1(x, activation="relu")
        return self.linear2(self.dropout(inner))


class EncoderLayer(Layer):
    """Self-attention, then a feed-forward network: (B, S, D) -> (B, S, D).

    `mask` is that of `kernels.attention`, broadcast to (B, H, S, S). A `position`, broadcast to
    (B, S, D), is added to queries and keys but not to values (Carion et al. 2020); where x has its
    positions already, leave it out.
    """

    def forward(self, x: Array, mask: Mask = None, position: Array | None = None) -> Array:
        z = self.branch_input(x, self.norm1)
        x = self.add_and_norm(x, self.self_attention(z, mask, False, position), self.norm1)
        z = self.branch_input(x, self.norm2)
        return self.add_and_norm(x, self.feed_forward(z), self.norm2)


class DecoderLayer(Layer):
    """Self-attention, attention to the encoder's memory, and a feed-forward network.

    y (B, L, D) and memory (B, S, D) -> (B, L, D). `mask`, broadcast to (B, H, L, L), and `causal`
    are for self-attention; `memory_mask`, broadcast to (B, H, L, S), hides padding of the memory.
    `position` is added to all queries, and to the keys of self-attention, `memory_position` to the
    keys of the memory; neither to values.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float = 0.1,
        pre_norm: bool = False,
        *,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(d_model, nhead, dim_feedforward, dropout, pre_norm, rng=rng)
        self.multihead_attn = nn.MultiheadAttention(d_model, nhead, dropout, rng=rng)
        self.norm3 = nn.LayerNorm(d_model)

    def forward(
        self,
        y: Array,
        memory: Array,
        mask: Mask = None,
        memory_mask: Mask = None,
        causal: bool = False,
        position: Array | None = None,
        memory_position: Array | None = None,
    ) -> Array:
        y = self.self_attend(y, mask, causal, position)
        memory_cache = self.project_memory(memory, memory_position)
        return self.cross_attend(y, memory_cache, memory_mask, position)

    def self_attend(self, y: Array, mask: Mask, causal: bool, position: Array | None) -> Array:
        """The first branch: self-attention."""
        z = self.branch_input(y, self.norm1)
        return self.add_and_norm(y, self.self_attention(z, mask, causal, position), self.norm1)

    def cross_attend(
        self,
        y: Array,
        memory_cache: KVCache,
        memory_mask: Mask,
        position: Array | None = None,
    ) -> Array:
        """The other two: attention to the memory, and the feed-forward network."""
        attention = self.multihead_attn
        z = with_pos_embed(self.branch_input(y, self.norm2), position)
        q = attention.project("query", z)  # (B, H, L, D/H)
        y = self.add_and_norm(y, attention.attend(q, *memory_cache, memory_mask), self.norm2)
        z = self.branch_input(y, self.norm3)
        return self.add_and_norm(y, self.feed_forward(z), self.norm3)

    def project_memory(self, memory: Array, position: Array | None = None) -> KVCache:
        """What the queries of `cross_attend` are compared with, the same at every step."""
        attention = self.multihead_attn
        keys = attention.project("key", with_pos_embed(memory, position))
        return keys, attention.project("value", memory)

    def step(
        self,
        y: Array,
        memory_cache: KVCache,
        past: KVCache | None,
        mask: Mask,
        memory_mask: Mask,
    ) -> tuple[Array, KVCache]:
        """The layer for places y (B, L, D) after `past` ones, whose keys and values are at hand.

        `mask` (L, past + L) says which of all these places each of y attends to. Returns the
        layer's output, and the keys and values of all places.
        """
        q, k, v = self.self_attn.project_all(self.branch_input(y, self.norm1))  # (B, H, L, D/H)
        if past is not None:
            k = np.concatenate([past[0], k], axis=2)  # (B, H, past + L, D/H)
            v = np.concatenate([past[1], v], axis=2)
        y = self.add_and_norm(y, self.self_attn.attend(q, k, v, mask), self.norm1)
        return self.cross_attend(y, memory_cache, memory_mask), (k, v)

    def weights(
        self,
        y: Array,
        memory: Array,
        mask: Mask = None,
        memory_mask: Mask = None,
        causal: bool = False,
        position: Array | None = None,
        memory_position: Array | None = None,
    ) -> Any:
        """How much each place attends to each of the memory, in each head: (B, H, L, S)."""
        y = self.self_attend(y, mask, causal, position)
        queries = with_pos_embed(self.branch_input(y, self.norm2), position)
        keys = with_pos_embed(memory, memory_position)
        return self.multihead_attn.weights(queries, keys, memory_mask)


class Stack(nn.Module):
    """Layers of one kind on top of each other.

    num_layers: N; the other sizes are those of a layer.
    final_norm: whether there is a norm at the end; with `pre_norm` there is one if None.
    """

    kind: ClassVar[type[Layer]]

    def __init__(
        self,
        num_layers: int,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float = 0.1,
        pre_norm: bool = False,
        *,
        final_norm: bool | None = None,
        rng: np.random.Generator,
    ) -> None:
        sizes = (d_model, nhead, dim_feedforward, dropout, pre_norm)
        self.layers = nn.ModuleList(self.kind(*sizes, rng=rng) for _ in range(num_layers))
        if final_norm is None:
            final_norm = pre_norm
        self.norm = nn.LayerNorm(d_model) if final_norm else None

    def finish(self, x: Array) -> Array:
        """The norm at the end, if there is one."""
        return x if self.norm is None else self.norm(x)


class Encoder(Stack):
    """N encoder layers; the arguments are those of `EncoderLayer`."""

    kind = EncoderLayer

    def forward(self, x: Array, mask: Mask = None, position: Array | None = None) -> Array:
        for layer in self.layers:
            x = layer(x, mask, position)
        return self.finish(x)


class Decoder(Stack):
    """N decoder layers; the arguments are those of `DecoderLayer`."""

    kind = DecoderLayer

    def forward(self, y: Array, memory: Array, *masks: Any, **settings: Any) -> Array:
        for layer in self.layers:
            y = layer(y, memory, *masks, **settings)
        return self.finish(y)


class Transformer(Transducer):
    """Sources to targets, from embedded places to logits.

    source: embeds a batch of sources, `source(x, lengths)` -> (B, S, D) and the lengths of these.
    num_outputs: V, how many symbols there are to write.

    The state is, for each decoder layer, the keys and values of the memory, and those of all places
    written so far; and which places of the memory are not padding, (B, 1, 1, S).
    """

    def __init__(
        self,
        source: nn.Module,
        num_outputs: int,
        config: TransformerConfig,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.source = source
        self.target = nn.Embedding(num_outputs, config.d_model, rng=rng)
        self.encoder = Encoder(
            config.encoder_layers,
            config.d_model,
            config.encoder_attention_heads,
            config.encoder_ffn_dim,
            config.dropout,
            config.pre_norm,
            rng=rng,
        )
        self.decoder = Decoder(
            config.decoder_layers,
            config.d_model,
            config.decoder_attention_heads,
            config.decoder_ffn_dim,
            config.dropout,
            config.pre_norm,
            rng=rng,
        )
        self.head = nn.Linear(config.d_model, num_outputs, rng=rng)
        self.dropout = nn.Dropout(config.dropout, rng=rng)

    def embed(self, x: Array, start: int = 0) -> Array:
        """x (B, T, D) with the positions of places from `start` on."""
        _, T, D = x.shape
        return self.dropout(x + sinusoids(start + T, D)[start:])

    def encode_source(
        self,
        source: np.ndarray,
        lengths: np.ndarray,
    ) -> tuple[Array, np.ndarray]:
        """The memory (B, S, D), and which places of it are not padding (B, 1, 1, S)."""
        x, lengths = self.source(source, lengths)  # (B, S, D)
        mask = padding_mask(lengths, x.shape[1])[:, None]
        return self.encoder(self.embed(x), mask), mask

    def forward(
        self,
        source: np.ndarray,
        lengths: np.ndarray,
        inputs: np.ndarray,
    ) -> Tensor:
        memory, mask = self.encode_source(source, lengths)
        y = self.embed(self.target(inputs))  # (B, L, D)
        return self.head(self.decoder(y, memory, None, mask, causal=True))

    def encode(self, source: np.ndarray, lengths: np.ndarray) -> Any:
        memory, mask = self.encode_source(source, lengths)
        memory_caches = tuple(layer.project_memory(memory) for layer in self.decoder.layers)
        return memory_caches, (None,) * len(memory_caches), mask

    def step(self, symbols: np.ndarray, state: Any) -> tuple[Tensor, Any]:
        memory_caches, caches, memory_mask = state
        _, L = symbols.shape
        past = 0 if caches[0] is None else caches[0][0].shape[2]
        mask = None if L == 1 else np.tri(L, past + L, past, dtype=bool)
        y = self.embed(self.target(symbols), past)
        extended = []
        for layer, memory_cache, cache in zip(
            self.decoder.layers, memory_caches, caches, strict=True
        ):
            y, cache = layer.step(y, memory_cache, cache, mask, memory_mask)
            extended.append(cache)
        logits = self.head(self.decoder.finish(y))
        return logits, (memory_caches, tuple(extended), memory_mask)

    def alignment(
        self,
        source: np.ndarray,
        lengths: np.ndarray,
        inputs: np.ndarray,
    ) -> np.ndarray:
        """The weights of the last layer, averaged over the heads."""
        memory, mask = self.encode_source(source, lengths)
        y = self.embed(self.target(inputs))
        *lower, last = self.decoder.layers
        for layer in lower:
            y = layer(y, memory, None, mask, causal=True)
        weights = last.weights(y, memory, None, mask, causal=True)  # (B, H, L, S)
        return np.asarray(weights.numpy().mean(axis=1))
