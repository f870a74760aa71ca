"""The recurrent encoder-decoder: one network reads a sequence, another writes the answer, without attention and with it.

    h_1, ..., h_S = Encoder(x_1, ..., x_S)          in both directions, so h_i knows what stands before and after x_i
    s_0 = tanh(W [h_S forwards; h_1 backwards])
    plain               c   = [h_S forwards; h_1 backwards]        s_t = RNN([y_(t-1); c], s_(t-1))           (Cho et al. 2014)
    additive            c_t = Attention(s_(t-1), h)                s_t = RNN([y_(t-1); c_t], s_(t-1))    (Bahdanau et al. 2015)
    multiplicative      s_t = RNN(y_(t-1), s_(t-1))                c_t = Attention(s_t, h)                  (Luong et al. 2015)
    p(y_t | ...) = softmax(V tanh(W_c [c_t; s_t]))                                                 (Luong, equations 5 and 6)

In the plain one everything goes through a vector c of a fixed size, as in Sutskever et al. (2014), and long sequences don't
fit. Attention lets the decoder look back, at each step anew.

Deviations, on purpose: all three are read out as Luong's is, so that they differ in where c comes from and in nothing else;
Luong's own decoder is told the last c~ as well ("input feeding"), here it is not: so what the recurrence does not
depend on, the attention, is one product for all steps, and the recurrence one operation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv import nn

from .attention import AdditiveAttention, Attention, MultiplicativeAttention, padding_mask
from .decoding import Transducer
from .rnn import cell_named, last_hidden


class Seq2Seq(Transducer):
    """What the three have in common.

    `source(x, lengths)` embeds a batch of sources: (B, S', size) and their lengths then. The state of the writing is
    (values, keys, mask, summary, recurrent): h (B, S, 2 H), what queries are compared with, where h counts (B, 1, S), c
    (B, 2 H), and the states of the decoder's layers (B, layers, H).
    """

    attention_kind: type[Attention] | None = None
    attention: Any
    feeds_context = True  # whether the recurrence is told c

    def __init__(
        self, source: nn.Module, embedded: int, outputs: int, hidden: int, layers: int = 1, cell: str = "gru",
        dropout: float = 0.0, *, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.source = source
        self.encoder = cell_named(cell)(embedded, hidden, layers, batch_first=True, bidirectional=True, rng=rng)
        self.bridge = nn.Linear(2 * hidden, layers * hidden, rng=rng)
        self.target = nn.Embedding(outputs, embedded, rng=rng)
        inputs = embedded + (2 * hidden if self.feeds_context else 0)
        self.decoder = cell_named(cell)(inputs, hidden, layers, batch_first=True, rng=rng)
        self.attention = self.attention_kind(hidden, 2 * hidden, rng=rng) if self.attention_kind else None
        self.combine = nn.Linear(3 * hidden, hidden, rng=rng)
        self.V = nn.Linear(hidden, outputs, rng=rng)
        self.dropout = nn.Dropout(dropout, rng=rng)

    def begin(self, source: np.ndarray, lengths: np.ndarray) -> Any:
        x, lengths = self.source(source, lengths)  # (B, S, E)
        values, last = self.encoder(self.dropout(x), lengths=lengths)  # (B, S, 2 H)
        summary = last_hidden(last, self.encoder.num_directions)  # (B, 2 H)
        start = self.bridge(summary, activation="tanh").reshape(len(summary), self.decoder.num_layers, -1)
        recurrent = (start,) + (np.zeros(start.shape, start.dtype),) * (self.decoder.num_states - 1)
        keys = None if self.attention is None else self.attention.keys(values)
        return values, keys, padding_mask(lengths, values.shape[1]), summary, recurrent

    def go_on(self, symbols: np.ndarray, state: Any) -> tuple[Any, Any]:
        *memory, recurrent = state
        states, contexts, recurrent = self.decode(self.target(symbols), memory, recurrent)
        combined = self.combine(np.concatenate([contexts, states], axis=-1), activation="tanh")  # (B, L, H)
        return self.V(self.dropout(combined)), (*memory, recurrent)

    def decode(self, y: Any, memory: Any, recurrent: Any) -> tuple[Any, Any, Any]:
        """Embedded symbols (B, L, E) -> the decoder's states s (B, L, H), its contexts c (B, L, 2 H), its state then."""
        raise NotImplementedError

    def queries(self, states: Any, recurrent: Any) -> Any:
        """With what it looks at the source at each step, from all its states and the one before: (B, L, H)."""
        return states

    def alignment(self, source: np.ndarray, lengths: np.ndarray, inputs: np.ndarray) -> np.ndarray | None:
        if self.attention is None:
            return None
        *memory, recurrent = self.begin(source, lengths)
        states, _, _ = self.decode(self.target(inputs), memory, recurrent)
        weights = self.attention.weights(self.queries(states, recurrent), *memory[1:3])
        return np.asarray(weights.numpy())

    def recur(self, x: Any, recurrent: Any) -> tuple[Any, Any]:
        """The decoder's recurrence over inputs (B, L, I): states (B, L, H), and the layers' last ones."""
        swapped = tuple(np.swapaxes(s, 0, 1) for s in recurrent)  # (layers, B, H)
        states, last = self.decoder(x, swapped if len(swapped) > 1 else swapped[0])
        return states, tuple(np.swapaxes(s, 0, 1) for s in (last if isinstance(last, tuple) else (last,)))


class Plain(Seq2Seq):
    """No attention: every step is told the same summary of the source."""

    def decode(self, y: Any, memory: Any, recurrent: Any) -> tuple[Any, Any, Any]:
        summary = memory[-1]
        contexts = np.broadcast_to(summary[:, None], (*y.shape[:2], summary.shape[-1]))
        states, recurrent = self.recur(np.concatenate([y, contexts], axis=-1), recurrent)
        return states, contexts, recurrent


class Additive(Seq2Seq):
    """Each step looks at the source with the state before it, and is told what it saw."""

    attention_kind = AdditiveAttention

    def decode(self, y: Any, memory: Any, recurrent: Any) -> tuple[Any, Any, Any]:
        values, keys, mask, _ = memory
        states, contexts = [], []
        for symbol in np.split(y, y.shape[1], axis=1):  # (B, 1, E) each
            contexts.append(self.attention(recurrent[0][:, -1:], keys, values, mask))  # (B, 1, 2 H)
            state, recurrent = self.recur(np.concatenate([symbol, contexts[-1]], axis=-1), recurrent)
            states.append(state)
        return np.concatenate(states, axis=1), np.concatenate(contexts, axis=1), recurrent

    def queries(self, states: Any, recurrent: Any) -> Any:
        return np.concatenate([recurrent[0][:, -1:], states[:, :-1]], axis=1)


class Multiplicative(Seq2Seq):
    """The recurrence runs by itself; each of its states looks at the source."""

    attention_kind = MultiplicativeAttention
    feeds_context = False

    def decode(self, y: Any, memory: Any, recurrent: Any) -> tuple[Any, Any, Any]:
        values, keys, mask, _ = memory
        states, recurrent = self.recur(y, recurrent)
        return states, self.attention(states, keys, values, mask), recurrent


class Symbols(nn.Module):
    """Numbers of symbols as vectors: (B, S) -> (B, S, D)."""

    def __init__(self, number: int, dimension: int, *, rng: np.random.Generator) -> None:
        self.embedding = nn.Embedding(number, dimension, rng=rng)

    def forward(self, source: np.ndarray, lengths: np.ndarray) -> tuple[Any, np.ndarray]:
        return self.embedding(source), lengths
