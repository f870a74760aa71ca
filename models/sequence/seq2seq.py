"""The recurrent encoder-decoder: one network reads a sequence, another writes the answer.

    h_1, ..., h_S = Encoder(x_1, ..., x_S)      in both directions: h_i knows what is around x_i
    s_0 = tanh(W [h_S forwards; h_1 backwards])

    plain              c = [h_S forwards; h_1 backwards]              (Cho et al. 2014)
                       s_t = RNN([y_(t-1); c], s_(t-1))
    additive           c_t = Attention(s_(t-1), h)                    (Bahdanau et al. 2015)
                       s_t = RNN([y_(t-1); c_t], s_(t-1))
    multiplicative     s_t = RNN(y_(t-1), s_(t-1))                    (Luong et al. 2015)
                       c_t = Attention(s_t, h)

    p(y_t | ...) = softmax(V tanh(W_c [c_t; s_t]))                    (Luong, equations 5 and 6)

In the plain one everything goes through a vector c of a fixed size, as in Sutskever et al. (2014),
and long sequences don't fit. With attention the decoder gets a c of its own at each step.

Deviations, on purpose: all three are read out as Luong's is, so that they differ in where c comes
from and in nothing else. Luong's own decoder gets the last c~ as well ("input feeding"), here it
does not. So its recurrence does not depend on the attention: the attention is one product for all
steps, and the recurrence one operation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv import nn
from tinygrad_cv.tensor import Tensor
from tinygrad_cv.typing import Array

from ..config import Fraction, Layers, ModelConfig
from .attention import AdditiveAttention, Attention, MultiplicativeAttention, padding_mask
from .decoding import Transducer
from .rnn import CellName, cell_named, last_hidden

Memory = tuple[Array, Array | None, np.ndarray, Array]  # values, keys, mask, summary
States = tuple[Array, ...]  # of the decoder's layers, (B, layers, H); an LSTM has two


@dataclass(frozen=True)
class Seq2SeqConfig(ModelConfig):
    """What makes a recurrent encoder-decoder."""

    model_type: ClassVar = "seq2seq"

    hidden_size: int = 128  # H, of the states and of embedded symbols
    cell: CellName = "gru"  # or lstm, rnn
    num_layers: Layers = 1  # of the encoder and of the decoder
    dropout: Fraction = 0.1  # of embedded symbols and states


class Symbols(nn.Module):
    """Numbers of symbols as vectors: (B, S) -> (B, S, D)."""

    def __init__(self, num_embeddings: int, embed_dim: int, *, rng: np.random.Generator) -> None:
        self.embedding = nn.Embedding(num_embeddings, embed_dim, rng=rng)

    def forward(
        self,
        source: np.ndarray,
        lengths: np.ndarray,
    ) -> tuple[Array, np.ndarray]:
        return self.embedding(source), lengths


class Seq2Seq(Transducer):
    """What the three have in common.

    source: embeds a batch of sources, `source(x, lengths)` -> (B, S, H) and the lengths of these.
    num_outputs: V, how many symbols there are to write.

    The state is (values, keys, mask, summary, states): h (B, S, 2 H), what queries are compared
    with, which places of h are no padding (B, 1, S), c of the plain one (B, 2 H), and the states of
    the decoder.
    """

    attention_kind: ClassVar[type[Attention] | None] = None
    feeds_context: ClassVar = True  # whether c is an input of the recurrence
    attention: Any

    def __init__(
        self,
        source: nn.Module,
        num_outputs: int,
        config: Seq2SeqConfig,
        *,
        rng: np.random.Generator,
    ) -> None:
        H, layers, cell = config.hidden_size, config.num_layers, cell_named(config.cell)
        self.source = source
        self.encoder = cell(H, H, layers, batch_first=True, bidirectional=True, rng=rng)
        self.bridge = nn.Linear(2 * H, layers * H, rng=rng)
        self.target = nn.Embedding(num_outputs, H, rng=rng)
        inputs = 3 * H if self.feeds_context else H
        self.decoder = cell(inputs, H, layers, batch_first=True, rng=rng)
        self.attention = None
        if self.attention_kind is not None:
            self.attention = self.attention_kind(H, 2 * H, rng=rng)
        self.combine = nn.Linear(3 * H, H, rng=rng)
        self.V = nn.Linear(H, num_outputs, rng=rng)
        self.dropout = nn.Dropout(config.dropout, rng=rng)

    def encode(self, source: np.ndarray, lengths: np.ndarray) -> Any:
        x, lengths = self.source(source, lengths)  # (B, S, H)
        B, S, H = x.shape
        values, last = self.encoder(self.dropout(x), lengths=lengths)  # (B, S, 2 H)
        keys = None if self.attention is None else self.attention.keys(values)
        mask = padding_mask(lengths, S)
        summary = last_hidden(last, self.encoder.num_directions)  # (B, 2 H)
        h = self.bridge(summary, activation="tanh")
        h = h.reshape(B, self.decoder.num_layers, H)  # (B, layers, H)
        c = (np.zeros(h.shape, h.dtype),) * (self.decoder.num_states - 1)  # of an LSTM
        return values, keys, mask, summary, (h, *c)

    def step(self, symbols: np.ndarray, state: Any) -> tuple[Tensor, Any]:
        *memory, states = state
        h, contexts, states = self.decode(self.target(symbols), tuple(memory), states)
        both = np.concatenate([contexts, h], axis=-1)  # (B, L, 3 H)
        combined = self.combine(both, activation="tanh")  # (B, L, H)
        return self.V(self.dropout(combined)), (*memory, states)

    def decode(
        self,
        y: Array,
        memory: Memory,
        states: States,
    ) -> tuple[Array, Array, States]:
        """Embedded symbols (B, L, H) -> all s (B, L, H), all c (B, L, 2 H), and the last states."""
        raise NotImplementedError

    def recur(self, x: Array, states: States) -> tuple[Array, States]:
        """The decoder's recurrence over inputs (B, L, I): all s (B, L, H), and the last states."""
        first = tuple(np.swapaxes(s, 0, 1) for s in states)  # (layers, B, H)
        h, last = self.decoder(x, first if len(first) > 1 else first[0])
        last = last if isinstance(last, tuple) else (last,)
        return h, tuple(np.swapaxes(s, 0, 1) for s in last)

    def queries(self, h: Array, states: States) -> Array:
        """What attends to the source at each step, of all s and the states before: (B, L, H)."""
        return h

    def alignment(
        self,
        source: np.ndarray,
        lengths: np.ndarray,
        inputs: np.ndarray,
    ) -> np.ndarray | None:
        if self.attention is None:
            return None
        *memory, states = self.encode(source, lengths)
        h, _, _ = self.decode(self.target(inputs), tuple(memory), states)
        _, keys, mask, _ = memory
        weights = self.attention.weights(self.queries(h, states), keys, mask)
        return np.asarray(weights.numpy())


class Plain(Seq2Seq):
    """No attention: c is the same summary of the source at every step."""

    def decode(
        self,
        y: Array,
        memory: Memory,
        states: States,
    ) -> tuple[Array, Array, States]:
        B, L, H = y.shape
        *_, summary = memory
        contexts = np.broadcast_to(summary[:, None], (B, L, 2 * H))
        h, states = self.recur(np.concatenate([y, contexts], axis=-1), states)
        return h, contexts, states


class Additive(Seq2Seq):
    """Each step attends to the source with the state before it, and c is an input of the step."""

    attention_kind = AdditiveAttention

    def decode(
        self,
        y: Array,
        memory: Memory,
        states: States,
    ) -> tuple[Array, Array, States]:
        _, L, _ = y.shape
        values, keys, mask, _ = memory
        outputs, contexts = [], []
        for symbol in np.split(y, L, axis=1):  # (B, 1, H) each
            query = states[0][:, -1:]  # of the top layer
            context = self.attention(query, keys, values, mask)  # (B, 1, 2 H)
            h, states = self.recur(np.concatenate([symbol, context], axis=-1), states)
            outputs.append(h)
            contexts.append(context)
        return np.concatenate(outputs, axis=1), np.concatenate(contexts, axis=1), states

    def queries(self, h: Array, states: States) -> Array:
        return np.concatenate([states[0][:, -1:], h[:, :-1]], axis=1)


class Multiplicative(Seq2Seq):
    """The recurrence runs by itself; each of its states attends to the source."""

    attention_kind = MultiplicativeAttention
    feeds_context = False

    def decode(
        self,
        y: Array,
        memory: Memory,
        states: States,
    ) -> tuple[Array, Array, States]:
        values, keys, mask, _ = memory
        h, states = self.recur(y, states)
        return h, self.attention(h, keys, values, mask), states
