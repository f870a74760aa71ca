"""Multi-head attention, and the dropping of whole residual branches. Names are PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels, parallel
from . import init
from .layers import Linear, parameter
from .module import Module


class MultiheadAttention(Module):
    """Attention in H heads side by side, each in D / H dimensions of its own (Vaswani et al. 2017, section 3.2.2).

    query (B, L, D), key and value (B, S, D) -> (B, L, D). Without a key the query attends to itself; without a value
    the key is the value. `mask` (broadcast to (B, H, L, S)) and `causal` are those of `kernels.attention`.
    """

    def __init__(
        self, dimension: int, heads: int, dropout: float = 0.0, *, rng: np.random.Generator, dtype: Any = np.float32
    ) -> None:
        if dimension % heads:
            raise ValueError(f"{heads} heads do not divide {dimension} dimensions evenly")
        self.heads, self.dropout, self.rng = heads, dropout, rng
        self.in_proj_weight = parameter(init.xavier_uniform((3 * dimension, dimension), rng=rng, dtype=dtype))
        self.in_proj_bias = parameter(np.zeros(3 * dimension, dtype))
        self.out_proj = Linear(dimension, dimension, rng=rng, dtype=dtype)
        self.out_proj.bias = parameter(np.zeros(dimension, dtype))

    def forward(self, query: Any, key: Any = None, value: Any = None, mask: Any = None, causal: bool = False) -> Any:
        keep = None
        if self.training and self.dropout:
            looks = (len(query), self.heads, query.shape[1], (query if key is None else key).shape[1])  # (B, H, L, S)
            keep = parallel.team().draw(self.rng.random, looks, dtype=np.float32) >= self.dropout
        if key is None and value is None:
            packed = kernels.linear(query, self.in_proj_weight, self.in_proj_bias)  # (B, L, 3 D)
            y = kernels.self_attention(packed, mask, keep, heads=self.heads, causal=causal, p=self.dropout)
            return self.out_proj(y)
        heads = kernels.attention(*self.project(query, key, value), mask, keep, causal=causal, p=self.dropout)
        return self.out_proj(np.swapaxes(heads, 1, 2).reshape(query.shape))  # (B, L, D)

    def project(self, query: Any, key: Any = None, value: Any = None) -> list[Any]:
        """Query, key and value of each head: three of (B, H, L or S, D/H)."""
        key = query if key is None else key
        value = key if value is None else value
        d, projected = query.shape[-1], []
        for i, x in enumerate((query, key, value)):
            rows = slice(i * d, (i + 1) * d)
            y = kernels.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows])
            projected.append(np.swapaxes(y.reshape(*y.shape[:2], self.heads, -1), 1, 2))  # (B, H, L, D/H)
        return projected

    def weights(self, query: Any, key: Any = None, mask: Any = None, causal: bool = False) -> Any:
        """How much each query looks at each key in each head: (B, H, L, S), each row adding up to 1."""
        q, k, _ = self.project(query, key)
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
        keep = parallel.team().draw(self.rng.random, (len(branch), *[1] * (branch.ndim - 1))) >= self.p
        return branch * (keep / (1 - self.p)).astype(branch.dtype)

    def describe(self) -> str:
        return f"{self.p:g}"
