"""Recurrent networks, and reading an image row by row.

The plain network (Elman 1990; equations 10.8 and 10.9 of Goodfellow, Bengio & Courville 2016) has
three weights:

    h_t = tanh(U x_t + W h_(t-1) + b)            U: input to hidden, W: hidden to hidden
    o_t = V h_t + c                              V: hidden to output

The gated ones, GRU (Cho et al. 2014) and LSTM (Hochreiter & Schmidhuber 1997), replace the first
line by a state that is kept unless a gate says otherwise. In all of them one layer over all time
steps is one operation of the engine, `tinygrad_cv.kernels.rnn`, `gru` and `lstm`, whose references
are the plain loops.

What the gates are good for: backwards through time a gradient is multiplied by the same matrix at
each step (Hochreiter 1991; Bengio et al. 1994; Pascanu et al. 2013, equation 5), so in the plain
network it vanishes or explodes with the distance. A gated cell has a path on which it is only
multiplied by how far a gate is open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn
from tinygrad_cv.nn import init, parameter
from tinygrad_cv.typing import Array

from ..config import Fraction, ImageConfig, Layers
from ..pretrained import Pretrained

Cell = nn.RNN | nn.GRU | nn.LSTM
State = Array | tuple[Array, Array]  # (layers directions, N, H); an LSTM has two: (h, c)

CellName = Annotated[str, "rnn", "gru", "lstm"]
CELLS: dict[str, type[Cell]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
DISTANCE = 100  # steps over which `gradient_norms` follows a gradient


@dataclass(frozen=True)
class RowRNNConfig(ImageConfig):
    """What makes a network that reads the rows of images."""

    model_type: ClassVar = "row-rnn"

    num_labels: int = 10  # classes
    cell: CellName = "gru"  # or lstm, rnn
    hidden_size: int = 128  # of each layer and direction
    num_layers: Layers = 1  # of the recurrent network
    bidirectional: bool = True  # reads downwards and upwards
    dropout: Fraction = 0.3  # of the last states


class ElmanRNN(nn.Module):
    """The plain recurrent network with its weights by name.

    x (T, N, I) -> o (T, N, O) and the states h (T, N, H); `h0` (N, H) is zeros if None.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        nonlinearity: str = "tanh",
        *,
        rng: np.random.Generator,
    ) -> None:
        bound = 1 / math.sqrt(hidden_size)

        def drawn(*shape: int) -> tg.Tensor:
            return parameter(init.uniform(shape, -bound, bound, rng=rng))

        self.U = drawn(hidden_size, input_size)
        self.W = drawn(hidden_size, hidden_size)
        self.b = drawn(hidden_size)
        self.V = drawn(output_size, hidden_size)
        self.c = parameter(np.zeros(output_size, np.float32))
        self.nonlinearity = nonlinearity

    def forward(self, x: Array, h0: Array | None = None) -> tuple[Array, Array]:
        _, N, _ = x.shape
        (H,) = self.b.shape
        second_bias = np.zeros(H, self.b.dtype)  # the kernel has two, as PyTorch's has
        if h0 is None:
            h0 = np.zeros((N, H), self.b.dtype)
        h = kernels.rnn(
            x, h0, self.U, self.W, self.b, second_bias, nonlinearity=self.nonlinearity
        )  # (T, N, H)
        return kernels.linear(h, self.V, self.c), h


def cell_named(name: str) -> type[Cell]:
    """One of `CELLS`. Raises ValueError for another name, with those that there are."""
    if name not in CELLS:
        raise ValueError(f"no cell is called {name!r}; there are {', '.join(CELLS)}")
    return CELLS[name]


def last_hidden(state: State, directions: int) -> Array:
    """The last hidden states of the top layer, its directions side by side: (N, directions H)."""
    h = state[0] if isinstance(state, tuple) else state  # (layers directions, N, H)
    top = [h[i] for i in range(-directions, 0)]
    return np.concatenate(top, axis=-1)


class RowRNN(Pretrained):
    """The rows of an image are the steps of a sequence, whose last states give the class.

    Images (N, H, W[, C]) -> class logits (N, K).
    """

    config_class = RowRNNConfig

    def __init__(self, config: RowRNNConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        _, width = config.image_size
        self.recurrent = cell_named(config.cell)(
            width * config.num_channels,
            config.hidden_size,
            config.num_layers,
            bidirectional=config.bidirectional,
            rng=rng,
        )
        self.dropout = nn.Dropout(config.dropout, rng=rng)
        features = config.hidden_size * self.recurrent.num_directions
        self.head = nn.Linear(features, config.num_labels, rng=rng)

    def forward(self, images: Array, lengths: np.ndarray | None = None) -> Array:
        """`lengths` (N,): how many rows each image has, where images differ in height."""
        N, H = images.shape[:2]
        rows = images.reshape(N, H, -1)  # (N, H, W C)
        _, state = self.recurrent(np.swapaxes(rows, 0, 1), lengths=lengths)
        features = last_hidden(state, self.recurrent.num_directions)
        return self.head(self.dropout(features))


# ----------------------------------------------------------------- how far back gradients reach


def open_gates(layer: Cell, longest: int, *, rng: np.random.Generator) -> None:
    """Let the gates of a GRU or LSTM keep their state for 1 ... longest steps at the start.

    The forget gate's bias is log(u), u uniform in [1, longest - 1], the input gate's -log(u); the
    GRU's update gate is its forget gate (Tallec & Ollivier 2018, arXiv 1804.11188, equation 16). A
    plain RNN has no gates, and stays as it is.
    """
    H = layer.hidden_size
    timescales = rng.uniform(1, max(2, longest - 1), H)
    bias = np.log(timescales).astype(np.float32)
    if isinstance(layer, nn.LSTM):  # gates: input, forget, cell, output
        layer.bias_ih_l0.data[:H] = -bias
        layer.bias_ih_l0.data[H : 2 * H] = bias
        layer.bias_hh_l0.data[: 2 * H] = 0
    elif isinstance(layer, nn.GRU):  # gates: reset, update, new
        layer.bias_ih_l0.data[H : 2 * H] = bias
        layer.bias_hh_l0.data[H : 2 * H] = 0


def gradient_norms(
    cell: str,
    *,
    hidden_size: int = 64,
    distance: int = DISTANCE,
    rng: np.random.Generator,
) -> np.ndarray:
    """|d v'h_T / d x_(T-k)| for k = 0 ... distance, at the start of training.

    The inputs and the direction v are random.
    """
    layer = cell_named(cell)(hidden_size, hidden_size, rng=rng)
    open_gates(layer, distance, rng=rng)
    inputs = rng.standard_normal((distance + 1, 1, hidden_size))
    x = tg.Tensor(inputs.astype(np.float32), requires_grad=True)
    states, _ = layer(x)
    v = rng.standard_normal(hidden_size).astype(np.float32)
    np.sum(states[-1] * v).backward()
    assert x.grad is not None
    return np.asarray(np.linalg.norm(x.grad[::-1, 0], axis=1))
