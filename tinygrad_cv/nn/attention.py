"""Multi-head attention, and the dropping of whole residual branches. Names are PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels, parallel
from . import init
from .layers import Linear, parameter
from .module import Module

PARTS = ("query", "key", "value")  # in the order of their rows in the weights


class MultiheadAttention(Module):
    """Attention in H heads side by side, each in D / H dimensions of its own (Vaswani et al. 2017, section 3.2.2).

    query (B, L, D), key and value (B, S, D) -> (B, L, D). Without a key the query attends to itself; without a value
    the key is the value. `mask` (broadcast to (B, H, L, S)) and `causal` are those of `kernels.attention`.
    """

    def __init__(
        self,
        dimension: int,
        heads: int,
        dropout: float = 0.0,
        *,
        rng: np.random.Generator,
        dtype: Any = np.float32,
    ) -> None:
        if dimension % heads:
            raise ValueError(f"{heads} heads do not divide {dimension} dimensions evenly")
        self.heads, self.dropout, self.rng = heads, dropout, rng
        self.in_proj_weight = parameter(
            init.xavier_uniform((3 * dimension, dimension), rng=rng, dtype=dtype)
        )
        self.in_proj_bias = parameter(np.zeros(3 * dimension, dtype))
        self.out_proj = Linear(dimension, dimension, rng=rng, dtype=dtype)
        self.out_proj.bias = parameter(np.zeros(dimension, dtype))

    def forward(
        self, query: Any, key: Any = None, value: Any = None, mask: Any = None, causal: bool = False
    ) -> Any:
        if key is None and value is None:
            packed = kernels.linear(query, self.in_proj_weight, self.in_proj_bias)  # (B, L, 3 D)
            keep = self._keep(len(query), query.shape[1], query.shape[1])
            return self.out_proj(
                kernels.self_attention(
                    packed, mask, keep, num_heads=self.heads, causal=causal, p=self.dropout
                )
            )
        q, k, v = self.project_all(query, key, value)
        return self.attend(q, k, v, mask, causal)

    def project_all(self, query: Any, key: Any = None, value: Any = None) -> list[Any]:
        """Query, key and value of each head: (B, H, L, D/H) and twice (B, H, S, D/H)."""
        key = query if key is None else key
        return [
            self.project(*pair)
            for pair in zip(PARTS, (query, key, key if value is None else value), strict=True)
        ]

    def project(self, part: str, x: Any) -> Any:
        """The "query", "key" or "value" of each head: (B, T, D) -> (B, H, T, D/H)."""
        d = x.shape[-1]
        rows = slice(PARTS.index(part) * d, (PARTS.index(part) + 1) * d)
        y = kernels.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows])
        return np.swapaxes(y.reshape(*y.shape[:2], self.heads, -1), 1, 2)  # (B, H, T, D/H)

    def attend(self, q: Any, k: Any, v: Any, mask: Any = None, causal: bool = False) -> Any:
        """What the heads have gathered, put together: q (B, H, L, D/H), k and v (B, H, S, D/H) -> (B, L, D)."""
        keep = self._keep(len(q), q.shape[2], k.shape[2])
        heads = kernels.attention(
            q, k, v, mask, keep, causal=causal, p=self.dropout
        )  # (B, H, L, D/H)
        return self.out_proj(
            np.swapaxes(heads, 1, 2).reshape(q.shape[0], q.shape[2], -1)
        )  # (B, L, D)

    def _keep(self, size: int, queries: int, keys: int) -> Any:
        """Which weights survive dropout in training: (B, H, L, S)."""
        if not (self.training and self.dropout):
            return None
        looks = (size, self.heads, queries, keys)
        kept: np.ndarray = (
            parallel.team().draw(self.rng.random, looks, dtype=np.float32) >= self.dropout
        )
        return kept

    def weights(self, query: Any, key: Any = None, mask: Any = None, causal: bool = False) -> Any:
        """How much each query looks at each key in each head: (B, H, L, S), each row adding up to 1."""
        q, k = self.project("query", query), self.project("key", query if key is None else key)
        identity = np.broadcast_to(np.eye(k.shape[-2], dtype=k.dtype), (*k.shape[:-1], k.shape[-2]))
        return kernels.attention(q, k, identity, mask, causal=causal)

    def describe(self) -> str:
        return f"{self.in_proj_weight.shape[1]}, heads={self.heads}"


class StochasticDepth(Module):
    """In training, all of a sample's branch is dropped with probability p, the others scaled by 1 / (1 - p).

    Put around a residual branch it makes the network shallower at random (Huang et al. 2016).
    """

    def __init__(self, p: float, *, rng: np.random.Generator) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"p is a probability below 1, not {p}")
        self.p, self.rng = p, rng

    def forward(self, branch: Any) -> Any:
        if not self.training or self.p == 0:
            return branch
        keep = (
            parallel.team().draw(self.rng.random, (len(branch), *[1] * (branch.ndim - 1))) >= self.p
        )
        return branch * (keep / (1 - self.p)).astype(branch.dtype)

    def describe(self) -> str:
        return f"{self.p:g}"
