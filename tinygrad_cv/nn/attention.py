"""Multi-head attention, and the dropping of whole residual branches. Names are PyTorch's."""

from __future__ import annotations

from typing import Literal, SupportsIndex

import numpy as np

from .. import kernels, parallel
from ..typing import Array, DTypeLike
from . import init
from .checks import REQUIRED, generator, number, whole_number
from .layers import Linear
from .module import Module, parameter

PARTS = ("query", "key", "value")  # in the order of their rows in the weights
Part = Literal["query", "key", "value"]


class MultiheadAttention(Module):
    """Attention in H heads side by side, each in D / H dimensions of its own.

    Vaswani et al. 2017, section 3.2.2.

    query (B, L, D), key and value (B, S, D) -> (B, L, D). Without a key the query attends to
    itself; without a value the key is the value. `mask` (broadcast to (B, H, L, S)) and `causal`
    are those of `kernels.attention`.

    embed_dim: D.
    num_heads: H, which divides D.
    dropout: in training, the probability that a query's weight for a key is dropped; below 1.
    rng: draws the weights now, and in training what is dropped.
    dtype: of in_proj_weight (3 D, D), in_proj_bias (3 D,), out_proj.weight (D, D) and out_proj.bias
        (D,). The former starts as `init.xavier_uniform`, out_proj.weight as that of `Linear`, the
        biases at 0.
    """

    def __init__(
        self,
        embed_dim: SupportsIndex,
        num_heads: SupportsIndex,
        dropout: float = 0.0,
        *,
        rng: np.random.Generator = REQUIRED,
        dtype: DTypeLike = np.float32,
    ) -> None:
        d = whole_number(self, "embed_dim", embed_dim)
        self.embed_dim = d
        self.num_heads = whole_number(self, "num_heads", num_heads)
        if d % self.num_heads:
            raise ValueError(
                f"MultiheadAttention: {self.num_heads} heads do not divide {d} dimensions evenly"
            )
        self.dropout = number(self, "dropout", dropout, below=1)
        self.rng = generator(self, rng)
        self.in_proj_weight = parameter(init.xavier_uniform((3 * d, d), rng=rng, dtype=dtype))
        self.in_proj_bias = parameter(np.zeros(3 * d, dtype))
        self.out_proj = Linear(d, d, rng=rng, dtype=dtype)
        self.out_proj.bias = parameter(np.zeros(d, dtype))

    def forward(
        self,
        query: Array,
        key: Array | None = None,
        value: Array | None = None,
        mask: Array | None = None,
        causal: bool = False,
    ) -> Array:
        if key is None and value is None:
            return self.attend_to_itself(query, mask, causal)
        q, k, v = self.project_all(query, key, value)
        return self.attend(q, k, v, mask, causal)

    def attend_to_itself(self, x: Array, mask: Array | None = None, causal: bool = False) -> Array:
        """Self-attention, its three projections as one product: (B, L, D) -> (B, L, D)."""
        packed = kernels.linear(x, self.in_proj_weight, self.in_proj_bias)  # (B, L, 3 D)
        batch, length, _ = x.shape
        keep = self._keep(batch, length, length)
        mixed = kernels.self_attention(
            packed, mask, keep, num_heads=self.num_heads, causal=causal, p=self.dropout
        )  # (B, L, D)
        return self.out_proj(mixed)

    def project_all(
        self, query: Array, key: Array | None = None, value: Array | None = None
    ) -> tuple[Array, Array, Array]:
        """Query, key and value of each head: (B, H, L, D/H) and twice (B, H, S, D/H)."""
        key = query if key is None else key
        value = key if value is None else value
        return (
            self.project("query", query),
            self.project("key", key),
            self.project("value", value),
        )

    def project(self, part: Part, x: Array) -> Array:
        """The "query", "key" or "value" of each head: (B, T, D) -> (B, H, T, D/H)."""
        batch, length, d = x.shape
        start = PARTS.index(part) * d
        rows = slice(start, start + d)
        y = kernels.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows])  # (B, T, D)
        heads = y.reshape(batch, length, self.num_heads, d // self.num_heads)  # (B, T, H, D/H)
        return np.swapaxes(heads, 1, 2)  # (B, H, T, D/H)

    def attend(
        self, q: Array, k: Array, v: Array, mask: Array | None = None, causal: bool = False
    ) -> Array:
        """What the heads gather, put together, from projected queries, keys and values.

        q (B, H, L, D/H), k and v (B, H, S, D/H) -> (B, L, D).
        """
        batch, _, length, _ = q.shape
        keep = self._keep(batch, length, k.shape[2])
        heads = kernels.attention(q, k, v, mask, keep, causal=causal, p=self.dropout)
        rows = np.swapaxes(heads, 1, 2)  # (B, L, H, D/H)
        return self.out_proj(rows.reshape(batch, length, self.embed_dim))  # (B, L, D)

    def _keep(self, batch: int, queries: int, keys: int) -> np.ndarray | None:
        """Which weights survive dropout in training: (B, H, L, S)."""
        if not self.training or self.dropout == 0:
            return None
        shape = (batch, self.num_heads, queries, keys)
        drawn = parallel.team().draw(self.rng.random, shape, dtype=np.float32)
        return drawn >= self.dropout

    def weights(
        self,
        query: Array,
        key: Array | None = None,
        mask: Array | None = None,
        causal: bool = False,
    ) -> Array:
        """How much each query attends to each key in each head: (B, H, L, S); rows add up to 1."""
        q = self.project("query", query)  # (B, H, L, D/H)
        k = self.project("key", query if key is None else key)  # (B, H, S, D/H)
        keys = k.shape[2]
        identity = np.eye(keys, dtype=k.dtype)
        identity = np.broadcast_to(identity, (*k.shape[:2], keys, keys))  # (B, H, S, S)
        return kernels.attention(q, k, identity, mask, causal=causal)

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}"


class StochasticDepth(Module):
    """In training, all of a sample's branch is dropped with probability p.

    The other samples' branches are scaled by 1 / (1 - p).

    Put around a residual branch (B, ...) it makes the network shallower at random (Huang et al.
    2016); the shape stays.

    p: a probability below 1.
    rng: draws what is dropped.
    """

    def __init__(self, p: float, *, rng: np.random.Generator = REQUIRED) -> None:
        self.p = number(self, "p", p, below=1)
        self.rng = generator(self, rng)

    def forward(self, branch: Array) -> Array:
        if not self.training or self.p == 0:
            return branch
        shape = (len(branch), *[1] * (branch.ndim - 1))  # (B, 1, ...)
        drawn = parallel.team().draw(self.rng.random, shape)
        factor = (drawn >= self.p) / (1 - self.p)
        return branch * factor.astype(branch.dtype)

    def extra_repr(self) -> str:
        return f"{self.p:g}"
