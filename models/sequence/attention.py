"""Attention: a query decides how much is taken of each value.

The lecture's example: four words, each with a query, a key and a value of three numbers. Every query is compared with every
key, the scores are scaled by the root of the dimension, a softmax turns each row into shares of 1, and the shares mix the
values: (4, 3) x (3, 4) -> (4, 4), and (4, 4) x (4, 3) -> (4, 3).

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

The first word's query points where the third key does, and it gets mostly the third value; the last word asks for nothing
and gets the mean of all. All of it is one operation, and a layer puts a linear map before each of the three. In
self-attention they come from one sequence, in cross-attention the queries from one, the keys and values from another:

>>> bool(np.allclose(kernels.attention(query, key, value), output))
True
>>> layer = nn.MultiheadAttention(6, num_heads=2, rng=np.random.default_rng(0))
>>> ours, theirs = np.ones((1, 4, 6), np.float32), np.ones((1, 9, 6), np.float32)
>>> layer(ours).shape, layer(ours, theirs).shape, layer.weights(ours, theirs).shape
((1, 4, 6), (1, 4, 6), (1, 2, 4, 9))

Before the Transformer took it for everything, attention mended the recurrent encoder-decoder; the two forms of then, which
differ in how a query is compared with a key, stand here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv import kernels, nn
from tinygrad_cv.nn import init, parameter


def padding_mask(lengths: Any, size: int) -> np.ndarray:
    """Which of `size` places lie before each sequence's end, as attention takes it: lengths (B,) -> (B, 1, size)."""
    inside: np.ndarray = np.arange(size) < np.asarray(lengths)[:, None, None]
    return inside


class Attention(nn.Module):
    """query (B, L, Q) and memory (B, S, M) -> (B, L, M), the memory mixed as each query asks.

    `keys(memory)` is what queries are compared with, and the same for all of them. `mask` (B, 1, S): True may be looked at.
    """

    def __init__(self, query: int, memory: int, *, rng: np.random.Generator) -> None:
        raise NotImplementedError

    def keys(self, memory: Any) -> Any:
        raise NotImplementedError

    def weights(self, query: Any, keys: Any, mask: Any) -> Any:
        """The shares of the memory in what each query gets: (B, L, S), each row adding up to 1."""
        return self(query, keys, np.eye(keys.shape[1], dtype=keys.dtype), mask)


class AdditiveAttention(Attention):
    """score = v . tanh(W query + U memory) (Bahdanau et al. 2015, arXiv 1409.0473, appendix A.1.2)."""

    def __init__(self, query: int, memory: int, *, rng: np.random.Generator) -> None:
        self.W = nn.Linear(query, query, bias=False, rng=rng)
        self.U = nn.Linear(memory, query, rng=rng)
        self.v = parameter(init.uniform((query,), -(query**-0.5), query**-0.5, rng=rng))

    def keys(self, memory: Any) -> Any:
        return self.U(memory)  # (B, S, Q)

    def forward(self, query: Any, keys: Any, memory: Any, mask: Any) -> Any:
        return kernels.additive_attention(self.W(query), keys, self.v, memory, mask)


class MultiplicativeAttention(Attention):
    """score = query . W memory (Luong et al. 2015, arXiv 1508.04025, equation 8, "general")."""

    def __init__(self, query: int, memory: int, *, rng: np.random.Generator) -> None:
        self.W = nn.Linear(memory, query, bias=False, rng=rng)

    def keys(self, memory: Any) -> Any:
        return self.W(memory)  # (B, S, Q)

    def forward(self, query: Any, keys: Any, memory: Any, mask: Any) -> Any:
        return kernels.attention(query, keys, memory, mask, scale=1.0)
