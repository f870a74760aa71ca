"""The Transformer (Vaswani et al. 2017, arXiv 1706.03762): an encoder and a decoder that are attention only.

    encoder layer      x = LN(x + SelfAttention(x)),  x = LN(x + FFN(x))                                      (section 3.1)
    decoder layer      y = LN(y + SelfAttention(y)),  y = LN(y + Attention(y, memory)),  y = LN(y + FFN(y))
    FFN(x) = max(0, x W_1 + b_1) W_2 + b_2                                                                     (equation 2)
    PE(t, 2i) = sin(t / 10000^(2i / D)),  PE(t, 2i + 1) = cos(t / 10000^(2i / D))                              (section 3.5)

Names are PyTorch's, so that weights interchange with `torch.nn.Transformer`, and its choices are taken where the paper
says nothing: dropout on the attention's weights and inside the FFN as well. With `pre_norm` the norm stands before each
branch, x = x + Branch(LN(x)), and once more at the end (Xiong et al. 2020, arXiv 2002.04745), which trains without a warm-up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv import nn

from .attention import padding_mask
from .decoding import Transducer

Keys = tuple[Any, Any]  # the keys and the values of each head, (B, H, S, D/H) each


def sinusoids(length: int, dimension: int) -> np.ndarray:
    """The positions' encoding of section 3.5: (length, dimension), sines at even places, cosines at odd ones."""
    rates = 10000.0 ** (-np.arange(0, dimension, 2) / dimension)
    angles = np.arange(length)[:, None] * rates  # (length, dimension / 2)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, -1)[:, :dimension].astype(np.float32)


def with_pos_embed(x: Any, position: Any) -> Any:
    return x if position is None else x + position


class Layer(nn.Module):
    """What the encoder's and the decoder's layer share: self-attention, the feed-forward network, Add & Norm."""

    def __init__(
        self, dimension: int, heads: int, hidden: int, dropout: float = 0.1, pre_norm: bool = False,
        *, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.pre_norm = pre_norm
        self.self_attn = nn.MultiheadAttention(dimension, heads, dropout, rng=rng)
        self.linear1 = nn.Linear(dimension, hidden, rng=rng)
        self.linear2 = nn.Linear(hidden, dimension, rng=rng)
        self.norm1, self.norm2 = nn.LayerNorm(dimension), nn.LayerNorm(dimension)
        self.dropout = nn.Dropout(dropout, rng=rng)

    def add_and_norm(self, x: Any, branch: Any, norm: nn.Module) -> Any:
        """LN(x + branch(x)), or x + branch(LN(x)) with `pre_norm`."""
        if self.pre_norm:
            return x + self.dropout(branch(norm(x)))
        return norm(x + self.dropout(branch(x)))

    def self_attention(self, x: Any, mask: Any, causal: bool, position: Any) -> Any:
        if position is None:
            return self.self_attn(x, mask=mask, causal=causal)
        at = x + position
        return self.self_attn(at, at, x, mask, causal)

    def feed_forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.linear1(x, activation="relu")))


class EncoderLayer(Layer):
    """Self-attention, then a feed-forward network: (B, S, D) -> (B, S, D).

    `mask` is that of `kernels.attention`, broadcast to (B, H, S, S): True may be looked at. A `position`, broadcast to
    (B, S, D), is added to queries and keys but not to values (Carion et al. 2020); where it is part of x already, leave
    it out.
    """

    def forward(self, x: Any, mask: Any = None, position: Any = None) -> Any:
        x = self.add_and_norm(x, lambda x: self.self_attention(x, mask, False, position), self.norm1)
        return self.add_and_norm(x, self.feed_forward, self.norm2)


class DecoderLayer(Layer):
    """Self-attention, attention to the encoder's memory, a feed-forward network: (B, L, D) and (B, S, D) -> (B, L, D).

    `mask`, broadcast to (B, H, L, L), and `causal` are for self-attention, `memory_mask`, broadcast to (B, H, L, S), hides
    padding of the memory. `position` is added to the queries, and to the keys of self-attention, `memory_position` to the
    keys of the memory; neither to values.
    """

    def __init__(self, dimension: int, heads: int, *sizes: Any, rng: np.random.Generator, **settings: Any) -> None:
        super().__init__(dimension, heads, *sizes, rng=rng, **settings)
        self.multihead_attn = nn.MultiheadAttention(dimension, heads, self.self_attn.dropout, rng=rng)
        self.norm3 = nn.LayerNorm(dimension)

    def forward(
        self, y: Any, memory: Any, mask: Any = None, memory_mask: Any = None, causal: bool = False,
        position: Any = None, memory_position: Any = None,
    ) -> Any:  # fmt: skip
        y = self.self_attend(y, mask, causal, position)
        return self.cross_attend(y, self.memory_keys(memory, memory_position), memory_mask, position)

    def self_attend(self, y: Any, mask: Any, causal: bool, position: Any) -> Any:
        """The first branch: self-attention."""
        return self.add_and_norm(y, lambda y: self.self_attention(y, mask, causal, position), self.norm1)

    def cross_attend(self, y: Any, memory_keys: Keys, memory_mask: Any, position: Any = None) -> Any:
        """The other two: attention to the memory, and the feed-forward network."""

        def attention(y: Any) -> Any:
            q = self.multihead_attn.project("query", with_pos_embed(y, position))
            return self.multihead_attn.attend(q, *memory_keys, memory_mask)

        y = self.add_and_norm(y, attention, self.norm2)
        return self.add_and_norm(y, self.feed_forward, self.norm3)

    def memory_keys(self, memory: Any, position: Any = None) -> Keys:
        """What this layer looks at in the memory; it is the same at every step of decoding."""
        attention = self.multihead_attn
        return attention.project("key", with_pos_embed(memory, position)), attention.project("value", memory)

    def extend(self, y: Any, memory_keys: Keys, past: Keys | None, mask: Any, memory_mask: Any) -> tuple[Any, Keys]:
        """The layer for places y behind others, whose keys and values are `past`: its value, and `past` with theirs.

        `mask` (L, past + L) says which of all these places each of y may look at.
        """
        present: Any = None

        def attention(y: Any) -> Any:
            nonlocal present
            q, k, v = self.self_attn.project_all(y)
            if past is not None:
                k, v = np.concatenate([past[0], k], axis=2), np.concatenate([past[1], v], axis=2)  # (B, H, T, D/H)
            present = k, v
            return self.self_attn.attend(q, k, v, mask)

        y = self.add_and_norm(y, attention, self.norm1)
        return self.cross_attend(y, memory_keys, memory_mask), present

    def weights(
        self, y: Any, memory: Any, mask: Any = None, memory_mask: Any = None, causal: bool = False,
        position: Any = None, memory_position: Any = None,
    ) -> Any:  # fmt: skip
        """How much each place looks at each of the memory, in each head: (B, H, L, S)."""
        y = self.self_attend(y, mask, causal, position)
        at = with_pos_embed(self.norm2(y) if self.pre_norm else y, position)
        return self.multihead_attn.weights(at, with_pos_embed(memory, memory_position), memory_mask)


class Stack(nn.Module):
    """Layers of one kind on top of each other; a norm at the end, with `pre_norm` unless said otherwise."""

    kind: type[Layer]

    def __init__(
        self, depth: int, dimension: int, heads: int, hidden: int, dropout: float = 0.1, pre_norm: bool = False,
        *, final_norm: bool | None = None, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        sizes = (dimension, heads, hidden, dropout, pre_norm)
        self.layers = nn.ModuleList(self.kind(*sizes, rng=rng) for _ in range(depth))
        self.norm = nn.LayerNorm(dimension) if (pre_norm if final_norm is None else final_norm) else None

    def finish(self, x: Any) -> Any:
        return x if self.norm is None else self.norm(x)


class Encoder(Stack):
    """N encoder layers; the arguments are those of `EncoderLayer`."""

    kind = EncoderLayer

    def forward(self, x: Any, mask: Any = None, position: Any = None) -> Any:
        for layer in self.layers:
            x = layer(x, mask, position)
        return self.finish(x)


class Decoder(Stack):
    """N decoder layers; the arguments are those of `DecoderLayer`."""

    kind = DecoderLayer

    def forward(self, y: Any, memory: Any, *masks: Any, **settings: Any) -> Any:
        for layer in self.layers:
            y = layer(y, memory, *masks, **settings)
        return self.finish(y)


class Transformer(Transducer):
    """Sources to targets, from embedded places to logits.

    `source(x, lengths)` embeds a batch of sources: (B, S', D) and their lengths then. The state of the writing is, for each
    decoder layer, the keys of the memory and those of all symbols written; and where the memory counts (B, 1, 1, S).
    """

    def __init__(
        self, source: nn.Module, outputs: int, dimension: int, heads: int, hidden: int, encoders: int = 2,
        decoders: int = 2, dropout: float = 0.1, pre_norm: bool = False, *, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        sizes = (dimension, heads, hidden, dropout, pre_norm)
        self.source = source
        self.target = nn.Embedding(outputs, dimension, rng=rng)
        self.encoder, self.decoder = Encoder(encoders, *sizes, rng=rng), Decoder(decoders, *sizes, rng=rng)
        self.head = nn.Linear(dimension, outputs, rng=rng)
        self.dropout = nn.Dropout(dropout, rng=rng)

    def embed(self, x: Any, start: int = 0) -> Any:
        """With the positions of places from `start` on: (B, T, D)."""
        return self.dropout(x + sinusoids(start + x.shape[1], x.shape[2])[start:])

    def encode_source(self, source: np.ndarray, lengths: np.ndarray) -> tuple[Any, np.ndarray]:
        """The memory (B, S, D), and where it counts."""
        x, lengths = self.source(source, lengths)  # (B, S, D)
        mask = padding_mask(lengths, x.shape[1])[:, None]
        return self.encoder(self.embed(x), mask), mask

    def forward(self, source: np.ndarray, lengths: np.ndarray, inputs: np.ndarray) -> Any:
        memory, mask = self.encode_source(source, lengths)
        return self.head(self.decoder(self.embed(self.target(inputs)), memory, None, mask, causal=True))

    def begin(self, source: np.ndarray, lengths: np.ndarray) -> Any:
        memory, mask = self.encode_source(source, lengths)
        keys = tuple(layer.memory_keys(memory) for layer in self.decoder.layers)
        return keys, (None,) * len(keys), mask

    def go_on(self, symbols: np.ndarray, state: Any) -> tuple[Any, Any]:
        keys, past, mask = state
        start = 0 if past[0] is None else past[0][0].shape[2]
        count = symbols.shape[1]
        before = None if count == 1 else np.tri(count, start + count, start, dtype=bool)
        y, present = self.embed(self.target(symbols), start), []
        for layer, memory_keys, known in zip(self.decoder.layers, keys, past, strict=True):
            y, now = layer.extend(y, memory_keys, known, before, mask)
            present.append(now)
        return self.head(self.decoder.finish(y)), (keys, tuple(present), mask)

    def alignment(self, source: np.ndarray, lengths: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """The mean over the heads of the last layer."""
        memory, mask = self.encode_source(source, lengths)
        y = self.embed(self.target(inputs))
        *below, last = self.decoder.layers
        for layer in below:
            y = layer(y, memory, None, mask, True)
        return np.asarray(last.weights(y, memory, None, mask, True).numpy().mean(axis=1))
