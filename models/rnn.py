"""Recurrent networks, and reading a picture row by row.

The plain network (Elman 1990; the equations are 10.8 and 10.9 of Goodfellow, Bengio & Courville 2016) has three weights:

    h_t = tanh(U x_t + W h_(t-1) + b)            U: input to hidden, W: hidden to hidden
    o_t = V h_t + c                              V: hidden to output

The gated ones, GRU (Cho et al. 2014) and LSTM (Hochreiter & Schmidhuber 1997), replace the first line by a state that is
kept unless a gate says otherwise; `models.memory` shows what that is good for. In all of them one layer over all time
steps is one operation of the engine, `tinygrad_cv.kernels.rnn`, `gru` and `lstm`, whose references are the plain loops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_cv import kernels, nn
from tinygrad_cv.nn import init
from tinygrad_cv.nn.layers import parameter

from .task import PictureClassifier

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
    dropout: float = 0.3  # of the last states
    steps: int = 3000
    batch: int = 128
    rate: float = 3e-3
    weight_decay: float = 0.05
    warm_up: int = 100
    average: float = 0.998  # decay of the moving average of the weights
    label_smoothing: float = 0.1
    shift: int = 1  # pixels
    flip: bool = False
    mixup: float = 0.2  # alpha of the Beta distribution; 0 for none


ROW_PRESETS = {
    "tiny": RowRNNConfig(hidden=8, bidirectional=False, steps=200, batch=16, warm_up=10),
    "digits": RowRNNConfig(),
    "mnist": RowRNNConfig((28, 28), shift=2, steps=6000),
}


class RowRNN(nn.Module):
    """The rows of a picture are the steps of a sequence; the last states give the class: (N, H, W[, C]) -> (N, classes)."""

    def __init__(self, config: RowRNNConfig, *, rng: np.random.Generator) -> None:
        width = int(np.prod(config.shape[1:]))
        self.recurrent = cell_named(config.cell)(
            width, config.hidden, config.layers, bidirectional=config.bidirectional, rng=rng
        )
        self.dropout = nn.Dropout(config.dropout, rng=rng)
        self.head = nn.Linear(config.hidden * self.recurrent.directions, config.classes, rng=rng)

    def forward(self, images: Any, lengths: Any = None) -> Any:
        """`lengths` (N,): how many rows of each picture there are, where pictures differ in height."""
        rows = np.swapaxes(images.reshape(*images.shape[:2], -1), 0, 1)  # (T, N, I)
        _, state = self.recurrent(rows, lengths=lengths)
        last = state[0] if isinstance(state, tuple) else state  # (layers directions, N, H)
        top = [last[i] for i in range(-self.recurrent.directions, 0)]
        return self.head(self.dropout(np.concatenate(top, axis=-1)))


class RowRNNClassifier(PictureClassifier):
    """The training of a network that reads rows."""

    presets = ROW_PRESETS
    title = "RNN that reads rows"

    def __init__(self, config: RowRNNConfig, training: Any, *, rng: np.random.Generator) -> None:
        super().__init__(RowRNN(config, rng=rng), config, training, rng=rng)
