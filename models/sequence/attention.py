"""Attention: a query decides how much is taken of each value.

The lecture's example: four words, each with a query, a key and a value of three numbers. Every
query is compared with every key, the scores are scaled by the root of the dimension, a softmax
turns each row into weights that add up to 1, and these mix the values: (4, 3) x (3, 4) -> (4, 4),
and (4, 4) x (4, 3) -> (4, 3).

>>> import numpy as np
>>> from tinygrad_cv import kernels, nn
>>> query = np.array([[1, 0, 1], [0, 2, 0], [1, 1, 0], [0, 0, 0]], float)
>>> key = np.array([[1, 0, 1], [0, 1, 0], [2, 0, 2], [0, 1, 1]], float)
>>> value = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], float)
>>> scores = query @ key.T
>>> scores
array([[2., 0., 4., 1.],
       [0., 2., 0., 2.],
       [1., 1., 2., 1.],
       [0., 0., 0., 0.]])
>>> scaled = scores / np.sqrt(3)
>>> scaled.round(3)
array([[1.155, 0.   , 2.309, 0.577],
       [0.   , 1.155, 0.   , 1.155],
       [0.577, 0.577, 1.155, 0.577],
       [0.   , 0.   , 0.   , 0.   ]])
>>> weights = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
>>> weights.round(3)
array([[0.198, 0.062, 0.628, 0.111],
       [0.12 , 0.38 , 0.12 , 0.38 ],
       [0.209, 0.209, 0.373, 0.209],
       [0.25 , 0.25 , 0.25 , 0.25 ]])
>>> output = weights @ value
>>> output.round(3)
array([[0.309, 0.174, 0.74 ],
       [0.5  , 0.76 , 0.5  ],
       [0.418, 0.418, 0.582],
       [0.5  , 0.5  , 0.5  ]])

The first word's query points where the third key does, and it gets mostly the third value; the
query of the last word is zero, and it gets the mean of all. All of this is one operation, and a
layer puts a linear map before each of the three. In self-attention they come from one sequence, in
cross-attention the queries from one, the keys and values from another:

>>> bool(np.allclose(kernels.attention(query, key, value), output))
True
>>> layer = nn.MultiheadAttention(6, num_heads=2, rng=np.random.default_rng(0))
>>> ours, theirs = np.ones((1, 4, 6), np.float32), np.ones((1, 9, 6), np.float32)
>>> layer(ours).shape, layer(ours, theirs).shape, layer.weights(ours, theirs).shape
((1, 4, 6), (1, 4, 6), (1, 2, 4, 9))

Before the Transformer, attention was a part of the recurrent encoder-decoder. Its two forms, which
differ in how a query is compared with a key, stand here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv import kernels, nn
from tinygrad_cv.nn import init, parameter
from tinygrad_cv.typing import Array, ArrayLike


def padding_mask(lengths: ArrayLike, size: int) -> np.ndarray:
    """Which of `size` places are not padding: lengths (B,) -> (B, 1, size), for attention."""
    ends = np.asarray(lengths)[:, None, None]
    return np.arange(size) < ends


class Attention(nn.Module):
    """query (B, L, Q) and memory (B, S, M) -> (B, L, M), the memory mixed for each query.

    Called with the query, `keys(memory)`, which are the same for all queries, the memory and a
    `mask` (B, 1, S): True takes part.
    """

    def __init__(self, query_size: int, memory_size: int, *, rng: np.random.Generator) -> None:
        raise NotImplementedError

    def keys(self, memory: Array) -> Array:
        """What queries are compared with: (B, S, M) -> (B, S, Q)."""
        raise NotImplementedError

    def weights(self, query: Array, keys: Array, mask: np.ndarray) -> Any:
        """How much of the memory each query gets: (B, L, S), each row adding up to 1."""
        identity = np.eye(keys.shape[1], dtype=keys.dtype)
        return self(query, keys, identity, mask)


class AdditiveAttention(Attention):
    """score = v . tanh(W query + U memory).

    Bahdanau et al. 2015, arXiv 1409.0473, appendix A.1.2.
    """

    def __init__(self, query_size: int, memory_size: int, *, rng: np.random.Generator) -> None:
        bound = query_size**-0.5
        self.W = nn.Linear(query_size, query_size, bias=False, rng=rng)
        self.U = nn.Linear(memory_size, query_size, rng=rng)
        self.v = parameter(init.uniform((query_size,), -bound, bound, rng=rng))

    def keys(self, memory: Array) -> Array:
        return self.U(memory)

    def forward(
        self,
        query: Array,
        keys: Array,
        memory: Array,
        mask: np.ndarray,
    ) -> Array:
        return kernels.additive_attention(self.W(query), keys, self.v, memory, mask)


class MultiplicativeAttention(Attention):
    """score = query . W memory (Luong et al. 2015, arXiv 1508.04025, equation 8, "general")."""

    def __init__(self, query_size: int, memory_size: int, *, rng: np.random.Generator) -> None:
        self.W = nn.Linear(memory_size, query_size, bias=False, rng=rng)

    def keys(self, memory: Array) -> Array:
        return self.W(memory)

    def forward(
        self,
        query: Array,
        keys: Array,
        memory: Array,
        mask: np.ndarray,
    ) -> Array:
        return kernels.attention(query, keys, memory, mask, scale=1.0)
