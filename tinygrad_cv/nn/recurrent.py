"""Recurrent layers: stacked, in one direction or both, over sequences of different lengths. Names are PyTorch's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import kernels
from . import init
from .layers import parameter
from .module import Module


class Recurrent(Module):
    """What RNN, GRU and LSTM share: `num_layers` of them on top of each other, each reading what the one below has said.

    x (T, N, I), or (N, T, I) with `batch_first`; a state (layers x directions, N, H), zeros if None. Returns the top
    layer's states at all times (T, N, directions x H) and the last state of every layer. Where `lengths` (N,) are given,
    states after a sequence's end are zeros, and its last state is that at its end. All weights start uniform in
    +- 1 / sqrt(H).
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        batch_first: bool = False,
        bidirectional: bool = False,
        rng: np.random.Generator,
        dtype: Any = np.float32,
    ) -> None:
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.batch_first, self.directions = batch_first, 2 if bidirectional else 1
        if min(input_size, hidden_size, num_layers) < 1:
            raise ValueError(
                f"{type(self).__name__} of sizes {(input_size, hidden_size, num_layers)}: each is at least 1"
            )
        bound = 1 / math.sqrt(hidden_size)
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * self.directions
            for ending in self.endings(layer):
                for name, shape in (
                    ("weight_ih", (width,)),
                    ("weight_hh", (hidden_size,)),
                    ("bias_ih", ()),
                    ("bias_hh", ()),
                ):
                    values = init.uniform(
                        (self.gates * hidden_size, *shape), -bound, bound, rng=rng, dtype=dtype
                    )
                    setattr(self, name + ending, parameter(values))

    def endings(self, layer: int) -> list[str]:
        """The endings of the parameters' names: `_l0`, and `_l0_reverse` for the way back."""
        return [f"_l{layer}", f"_l{layer}_reverse"][: self.directions]

    def run(self, x: Any, states: list[Any], weights: list[Any], lengths: Any) -> tuple[Any, ...]:
        """One layer in one direction: all hidden states, and (for the LSTM) all cells."""
        raise NotImplementedError

    def forward(self, x: Any, state: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        x = np.swapaxes(x, 0, 1) if self.batch_first else x  # (T, N, I)
        given = state if isinstance(state, tuple) else (state,) * self.state_count
        lengths = None if lengths is None else np.asarray(lengths)
        self.refuse_what_does_not_fit(x, given, lengths)
        last: list[list[Any]] = [[] for _ in range(self.state_count)]
        for layer in range(self.num_layers):
            sides = []
            for direction, ending in enumerate(self.endings(layer)):
                place = layer * self.directions + direction
                zeros = np.zeros((x.shape[1], self.hidden_size), x.dtype)
                states = [zeros if s is None else s[place] for s in given]
                weights = [
                    getattr(self, n + ending)
                    for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                ]
                read = reverse(x, lengths) if direction else x
                values = self.run(read, states, weights, lengths)
                for kept, value in zip(last, values, strict=True):
                    kept.append(value[-1])
                said = (
                    values[0]
                    if lengths is None
                    else values[0] * alive(lengths, len(x)).astype(x.dtype)
                )
                sides.append(reverse(said, lengths) if direction else said)
            x = (
                np.concatenate(sides, axis=-1) if len(sides) > 1 else sides[0]
            )  # (T, N, directions H)
        final = tuple(np.stack(kept) for kept in last)
        return np.swapaxes(x, 0, 1) if self.batch_first else x, final if len(final) > 1 else final[
            0
        ]

    state_count = 1

    def refuse_what_does_not_fit(self, x: Any, states: tuple[Any, ...], lengths: Any) -> None:
        """x is (T, N, I) here; ValueError names the argument and the shape that it should have."""
        name = type(self).__name__
        if x.ndim != 3 or x.shape[2] != self.input_size or 0 in x.shape:
            raise ValueError(
                f"{name}: the input, in the order (T, N, I), has shape {x.shape}; I is {self.input_size}"
            )
        wanted = (self.num_layers * self.directions, x.shape[1], self.hidden_size)
        if len(states) != self.state_count or any(
            s is not None and s.shape != wanted for s in states
        ):
            found = ", ".join(str(getattr(s, "shape", s)) for s in states)
            raise ValueError(
                f"{name}: the state consists of {self.state_count} arrays of shape {wanted}, not {found}"
            )
        if lengths is None:
            return
        right = lengths.shape == x.shape[1:2] and lengths.dtype.kind in "iu"
        if not right or lengths.min() < 1 or lengths.max() > len(x):
            raise ValueError(
                f"{name}: lengths is a whole number from 1 to T = {len(x)} for each of the {x.shape[1]} sequences, "
                f"not {lengths.tolist()}"
            )

    def describe(self) -> str:
        extra = f", num_layers={self.num_layers}" if self.num_layers > 1 else ""
        return f"{self.input_size}, {self.hidden_size}{extra}" + (
            ", bidirectional" if self.directions > 1 else ""
        )


class RNN(Recurrent):
    """The plain recurrent network: h_t = tanh(U x_t + W h_(t-1) + b) (Elman 1990), or relu."""

    def __init__(self, *sizes: int, nonlinearity: str = "tanh", **settings: Any) -> None:
        super().__init__(*sizes, **settings)
        self.nonlinearity = nonlinearity

    def run(self, x: Any, states: list[Any], weights: list[Any], lengths: Any) -> tuple[Any, ...]:
        return (kernels.rnn(x, *states, *weights, nonlinearity=self.nonlinearity, lengths=lengths),)


class GRU(Recurrent):
    """Gated recurrent units (Cho et al. 2014)."""

    gates = 3

    def run(self, x: Any, states: list[Any], weights: list[Any], lengths: Any) -> tuple[Any, ...]:
        return (kernels.gru(x, *states, *weights, lengths=lengths),)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997); the state is a pair (h, c)."""

    gates, state_count = 4, 2

    def run(self, x: Any, states: list[Any], weights: list[Any], lengths: Any) -> tuple[Any, ...]:
        return kernels.lstm(x, *states, *weights, lengths=lengths)  # type: ignore[no-any-return]


def alive(lengths: np.ndarray, steps: int) -> np.ndarray:
    """Which sequences go on at each step: (T, N, 1)."""
    return (np.arange(steps)[:, None] < lengths)[..., None]


def reverse(x: Any, lengths: Any) -> Any:
    """Each sequence backwards, what lies behind its end staying where it is: (T, N, ...)."""
    if lengths is None:
        return x[::-1]
    steps = np.arange(len(x))[:, None]
    order = np.where(steps < lengths, lengths - 1 - steps, steps)  # (T, N)
    return x[order, np.arange(x.shape[1])]
