"""Recurrent layers: stacked, in one direction or both, over sequences of different lengths.

Names are PyTorch's.
"""

from __future__ import annotations

import math
from typing import NamedTuple, SupportsIndex

import numpy as np

from .. import kernels, parallel
from ..tensor import Tensor
from ..typing import Array, ArrayLike, DTypeLike
from . import init
from .checks import REQUIRED, generator, number, switch, whole_number, word
from .module import Module, parameter

State = Array | tuple[Array, ...]  # of the LSTM: the pair (h, c)


class Weights(NamedTuple):
    """The parameters of one layer in one direction; G is 1 (RNN), 3 (GRU) or 4 (LSTM).

    Zeros stand for biases that are not there.
    """

    weight_ih: Tensor  # (G H, I)
    weight_hh: Tensor  # (G H, H)
    bias_ih: Array  # (G H,)
    bias_hh: Array  # (G H,)


class Recurrent(Module):
    """What RNN, GRU and LSTM share: layers, each of which reads the hidden states of the one below.

    x is (T, N, I), or (N, T, I) with `batch_first`: N sequences of T steps. `state`, from which the
    sequences go on, is (num_layers num_directions, N, H), zeros if None. Returns the top layer's
    hidden states at all steps, (T, N, num_directions H) or (N, T, num_directions H), and the last
    state of every layer.

    Where `lengths` (N,) are given, the states after a sequence's end are zeros, and its last state
    is that at its end.

    input_size, hidden_size: I and H.
    num_layers: layers on top of each other.
    bias: whether there are biases.
    batch_first: whether the axis of x for the sequences comes before that for the steps.
    dropout: in training, the probability that an element of what a layer hands to the next one is
        dropped; below 1.
    bidirectional: whether a second set of weights reads each sequence from its end to its start.
    rng, dtype: draw all weights uniformly in +- 1 / sqrt(H); in training rng draws what is dropped.
    """

    gates = 1  # G: how many hidden sizes a layer's weights have as rows
    num_states = 1  # arrays that make a state

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        rng: np.random.Generator = REQUIRED,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.input_size = whole_number(self, "input_size", input_size)
        self.hidden_size = whole_number(self, "hidden_size", hidden_size)
        self.num_layers = whole_number(self, "num_layers", num_layers)
        self.bias = switch(self, "bias", bias)
        self.batch_first = switch(self, "batch_first", batch_first)
        self.bidirectional = switch(self, "bidirectional", bidirectional)
        self.dropout = number(self, "dropout", dropout, below=1)
        self.rng = generator(self, rng)
        self.num_directions = 2 if bidirectional else 1
        for layer in range(self.num_layers):
            inputs = self.hidden_size * self.num_directions if layer else self.input_size
            for suffix in self._suffixes(layer):
                self._add_weights(suffix, inputs, rng, dtype)

    def _suffixes(self, layer: int) -> list[str]:
        """How the names of a layer's parameters end: "_l0", and "_l0_reverse" for the way back."""
        suffixes = [f"_l{layer}", f"_l{layer}_reverse"]
        return suffixes[: self.num_directions]

    def _add_weights(
        self, suffix: str, inputs: int, rng: np.random.Generator, dtype: DTypeLike
    ) -> None:
        """The parameters of one layer in one direction: "weight_ih_l0", ..."""
        bound = 1 / math.sqrt(self.hidden_size)
        rows = self.gates * self.hidden_size

        def drawn(*shape: int) -> Tensor:
            return parameter(init.uniform(shape, -bound, bound, rng=rng, dtype=dtype))

        self.register_parameter("weight_ih" + suffix, drawn(rows, inputs))
        self.register_parameter("weight_hh" + suffix, drawn(rows, self.hidden_size))
        if self.bias:
            self.register_parameter("bias_ih" + suffix, drawn(rows))
            self.register_parameter("bias_hh" + suffix, drawn(rows))

    def _weights(self, suffix: str) -> Weights:
        """The parameters whose names end so."""
        weight_ih: Tensor = getattr(self, "weight_ih" + suffix)
        weight_hh: Tensor = getattr(self, "weight_hh" + suffix)
        if not self.bias:
            zeros = np.zeros(len(weight_ih), weight_ih.dtype)
            return Weights(weight_ih, weight_hh, zeros, zeros)
        bias_ih: Tensor = getattr(self, "bias_ih" + suffix)
        bias_hh: Tensor = getattr(self, "bias_hh" + suffix)
        return Weights(weight_ih, weight_hh, bias_ih, bias_hh)

    def run(
        self, x: Array, states: list[Array], weights: Weights, lengths: np.ndarray | None
    ) -> tuple[Array, ...]:
        """One layer in one direction, from states (N, H): hidden states, and an LSTM's cells.

        x (T, N, I) -> (T, N, H) each.
        """
        raise NotImplementedError

    def forward(
        self, x: Array, state: State | None = None, lengths: ArrayLike | None = None
    ) -> tuple[Array, State]:
        x = np.swapaxes(x, 0, 1) if self.batch_first else x  # (T, N, I)
        starts = state if isinstance(state, tuple) else (state,) * self.num_states
        lengths = None if lengths is None else np.asarray(lengths)
        self._check_input(x)
        self._check_state(x, starts)
        if lengths is not None:
            self._check_lengths(x, lengths)

        last: list[list[Array]] = [[] for _ in range(self.num_states)]
        for layer in range(self.num_layers):
            x = self._drop(x) if layer else x
            hidden = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                index = layer * self.num_directions + direction
                states = self._states_at(index, starts, x)
                inputs = x if direction == 0 else reverse(x, lengths)
                values = self.run(inputs, states, self._weights(suffix), lengths)
                for ends, value in zip(last, values, strict=True):
                    ends.append(value[-1])
                h = values[0] if lengths is None else values[0] * inside(lengths, x)
                hidden.append(h if direction == 0 else reverse(h, lengths))
            x = hidden[0] if len(hidden) == 1 else np.concatenate(hidden, axis=-1)

        final = tuple(np.stack(ends) for ends in last)  # (num_layers num_directions, N, H)
        output = np.swapaxes(x, 0, 1) if self.batch_first else x
        return output, final if len(final) > 1 else final[0]

    def _drop(self, x: Array) -> Array:
        """What is left in training of a layer's hidden states (T, N, I)."""
        if not self.training or self.dropout == 0:
            return x
        drawn = parallel.team().draw(self.rng.random, x.shape, 1, dtype=np.float32)
        return kernels.dropout(x, drawn >= self.dropout, p=self.dropout)

    def _states_at(self, index: int, starts: tuple[Array | None, ...], x: Array) -> list[Array]:
        """The states (N, H) from which one layer goes on in one direction."""
        zeros = np.zeros((x.shape[1], self.hidden_size), x.dtype)
        return [zeros if start is None else start[index] for start in starts]

    def _check_input(self, x: Array) -> None:
        """Raise ValueError unless x is (T, N, I), of one step or more."""
        if x.ndim != 3 or x.shape[2] != self.input_size or len(x) == 0:
            raise ValueError(
                f"{type(self).__name__}: the input, in the order (T, N, I), has shape {x.shape}; "
                f"I is {self.input_size} and T at least 1"
            )

    def _check_state(self, x: Array, states: tuple[Array | None, ...]) -> None:
        """Raise ValueError unless the states have the right number and shape."""
        shape = (self.num_layers * self.num_directions, x.shape[1], self.hidden_size)
        fits = [state is None or state.shape == shape for state in states]
        if len(states) != self.num_states or not all(fits):
            shapes = ", ".join(str(getattr(state, "shape", state)) for state in states)
            raise ValueError(
                f"{type(self).__name__}: the state consists of {self.num_states} arrays "
                f"of shape {shape}, not {shapes}"
            )

    def _check_lengths(self, x: Array, lengths: np.ndarray) -> None:
        """Raise ValueError unless lengths (N,) are whole numbers from 1 to T."""
        steps, sequences, _ = x.shape
        whole = lengths.shape == (sequences,) and lengths.dtype.kind in "iu"
        if not whole or np.any(lengths < 1) or np.any(lengths > steps):
            raise ValueError(
                f"{type(self).__name__}: lengths is a whole number from 1 to T = {steps} "
                f"for each of the {sequences} sequences, not {lengths.tolist()}"
            )

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.num_layers > 1:
            text += f", num_layers={self.num_layers}"
        if not self.bias:
            text += ", bias=False"
        if self.batch_first:
            text += ", batch_first=True"
        if self.dropout:
            text += f", dropout={self.dropout:g}"
        if self.bidirectional:
            text += ", bidirectional=True"
        return text


class RNN(Recurrent):
    """The plain recurrent network: h_t = tanh(U x_t + W h_(t-1) + b) (Elman 1990), or relu.

    nonlinearity: "tanh" or "relu". All other arguments, and the shapes, are those of `Recurrent`.
    """

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex = 1,
        nonlinearity: str = "tanh",
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        rng: np.random.Generator = REQUIRED,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.nonlinearity = word(self, "nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            rng=rng,
            dtype=dtype,
        )

    def run(
        self, x: Array, states: list[Array], weights: Weights, lengths: np.ndarray | None
    ) -> tuple[Array, ...]:
        h = kernels.rnn(x, *states, *weights, nonlinearity=self.nonlinearity, lengths=lengths)
        return (h,)


class GRU(Recurrent):
    """Gated recurrent units (Cho et al. 2014). Arguments and shapes are those of `Recurrent`."""

    gates = 3

    def run(
        self, x: Array, states: list[Array], weights: Weights, lengths: np.ndarray | None
    ) -> tuple[Array, ...]:
        return (kernels.gru(x, *states, *weights, lengths=lengths),)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997); the state is a pair (h, c).

    Arguments and shapes are those of `Recurrent`.
    """

    gates = 4
    num_states = 2

    def run(
        self, x: Array, states: list[Array], weights: Weights, lengths: np.ndarray | None
    ) -> tuple[Array, ...]:
        return kernels.lstm(x, *states, *weights, lengths=lengths)


def inside(lengths: np.ndarray, x: Array) -> np.ndarray:
    """1 at the steps of each sequence and 0 after its end, in the dtype of x: (T, N, 1)."""
    steps = np.arange(len(x))[:, None]
    before_end = steps < lengths  # (T, N)
    return before_end[..., None].astype(x.dtype)


def reverse(x: Array, lengths: np.ndarray | None) -> Array:
    """Each sequence (T, N, ...) from its end to its start; what comes after its end stays."""
    if lengths is None:
        return x[::-1]
    steps = np.arange(len(x))[:, None]
    order = np.where(steps < lengths, lengths - 1 - steps, steps)  # (T, N)
    return x[order, np.arange(x.shape[1])]
