"""Recurrent networks, and reading a picture row by row.

The plain network (Elman 1990; the equations are 10.8 and 10.9 of Goodfellow, Bengio & Courville 2016) has three weights:

    h_t = tanh(U x_t + W h_(t-1) + b)            U: input to hidden, W: hidden to hidden
    o_t = V h_t + c                              V: hidden to output

The gated ones, GRU (Cho et al. 2014) and LSTM (Hochreiter & Schmidhuber 1997), replace the first line by a state that is
kept unless a gate says otherwise. In all of them one layer over all time steps is one operation of the engine,
`tinygrad_cv.kernels.rnn`, `gru` and `lstm`, whose references are the plain loops.

What the gates are good for: backwards through time a gradient is multiplied by the same matrix at each step (Hochreiter
1991; Bengio et al. 1994; Pascanu et al. 2013, equation 5), so in the plain network it vanishes or explodes with the
distance. A gated cell has a path on which it is only multiplied by how far a gate is open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn
from tinygrad_cv.nn import init, parameter

from ..config import Fraction, NonNegative

DISTANCE = 100  # steps over which the gradient is looked at
CELLS: dict[str, type[nn.RNN | nn.GRU | nn.LSTM]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class ElmanRNN(nn.Module):
    """The plain recurrent network with its weights by name: x (T, N, I) -> o (T, N, O) and the states h (T, N, H)."""

    def __init__(
        self, inputs: int, hidden: int, outputs: int, nonlinearity: str = "tanh", *, rng: np.random.Generator
    ) -> None:
        bound = 1 / math.sqrt(hidden)
        for name, shape in {
            "U": (hidden, inputs),
            "W": (hidden, hidden),
            "b": (hidden,),
            "V": (outputs, hidden),
        }.items():
            setattr(self, name, parameter(init.uniform(shape, -bound, bound, rng=rng)))
        self.c = parameter(np.zeros(outputs, np.float32))
        self.nonlinearity = nonlinearity

    def forward(self, x: Any, h0: Any = None) -> tuple[Any, Any]:
        nothing = np.zeros(self.b.shape, self.b.dtype)  # the kernel's second bias
        h0 = np.zeros((x.shape[1], len(self.b)), self.b.dtype) if h0 is None else h0
        h = kernels.rnn(x, h0, self.U, self.W, self.b, nothing, nonlinearity=self.nonlinearity)  # (T, N, H)
        return kernels.linear(h, self.V, self.c), h


def cell_named(name: str) -> type[nn.RNN | nn.GRU | nn.LSTM]:
    if name not in CELLS:
        raise ValueError(f"no cell is called {name!r}; there are {', '.join(CELLS)}")
    return CELLS[name]


def last_hidden(state: Any, directions: int) -> Any:
    """The hidden states that a recurrent network's top layer ends with, its directions side by side: (N, directions H)."""
    last = state[0] if isinstance(state, tuple) else state  # (layers directions, N, H)
    return np.concatenate([last[i] for i in range(-directions, 0)], axis=-1)


# -------------------------------------------------------------------------------------- how far back gradients reach


def open_gates(layer: Any, longest: int, *, rng: np.random.Generator) -> None:
    """Let the gates of a GRU or LSTM keep their state for 1 ... longest steps at the start.

    The forget gate's bias is log(u), u uniform in [1, longest - 1], the input gate's -log(u); the GRU's update gate is its
    forget gate (Tallec & Ollivier 2018, arXiv 1804.11188, equation 16). A plain RNN has no gates, and stays as it is.
    """
    size = layer.hidden_size
    bias = np.log(rng.uniform(1, max(2, longest - 1), size)).astype(np.float32)
    if isinstance(layer, nn.LSTM):
        layer.bias_ih_l0.data[:size], layer.bias_ih_l0.data[size : 2 * size] = -bias, bias
        layer.bias_hh_l0.data[: 2 * size] = 0
    elif isinstance(layer, nn.GRU):
        layer.bias_ih_l0.data[size : 2 * size] = bias
        layer.bias_hh_l0.data[size : 2 * size] = 0


def gradient_norms(cell: str, *, hidden: int = 64, distance: int = DISTANCE, rng: np.random.Generator) -> np.ndarray:
    """|d v'h_T / d x_(T-k)| for k = 0 ... distance, at the start of training, for random inputs and directions v."""
    layer = cell_named(cell)(hidden, hidden, rng=rng)
    open_gates(layer, distance, rng=rng)
    x = tg.Tensor(rng.standard_normal((distance + 1, 1, hidden)).astype(np.float32), requires_grad=True)
    states, _ = layer(x)
    np.sum(states[-1] * rng.standard_normal(hidden).astype(np.float32)).backward()
    assert x.grad is not None
    return np.asarray(np.linalg.norm(x.grad[::-1, 0], axis=1))


# --------------------------------------------------------------------------------------- reading a picture row by row


@dataclass(frozen=True)
class RowRNNConfig:
    """What makes a network that reads rows: the cell, sizes, optimisation."""

    shape: tuple[int, ...] = (8, 8)  # of a picture: (H, W) or (H, W, C)
    classes: int = 10
    cell: str = "gru"  # or lstm, rnn
    hidden: int = 128
    layers: int = 1
    bidirectional: bool = True
    dropout: Fraction = 0.3  # of the last states
    steps: int = 3000
    batch: int = 128
    rate: float = 3e-3
    weight_decay: float = 0.05
    warm_up: NonNegative = 100
    average: Fraction = 0.998  # decay of the moving average of the weights
    label_smoothing: Fraction = 0.1
    shift: NonNegative = 1  # pixels
    flip: bool = False
    mixup: float = 0.2  # alpha of the Beta distribution; 0 for none


class RowRNN(nn.Module):
    """The rows of a picture are the steps of a sequence; the last states give the class: (N, H, W[, C]) -> (N, classes)."""

    def __init__(self, config: RowRNNConfig, *, rng: np.random.Generator) -> None:
        width = int(np.prod(config.shape[1:]))
        self.recurrent = cell_named(config.cell)(
            width, config.hidden, config.layers, bidirectional=config.bidirectional, rng=rng
        )
        self.dropout = nn.Dropout(config.dropout, rng=rng)
        self.head = nn.Linear(config.hidden * self.recurrent.num_directions, config.classes, rng=rng)

    def forward(self, images: Any, lengths: Any = None) -> Any:
        """`lengths` (N,): how many rows of each picture there are, where pictures differ in height."""
        rows = np.swapaxes(images.reshape(*images.shape[:2], -1), 0, 1)  # (T, N, I)
        _, state = self.recurrent(rows, lengths=lengths)
        return self.head(self.dropout(last_hidden(state, self.recurrent.num_directions)))
