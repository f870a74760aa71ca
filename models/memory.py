"""What a recurrent network can remember: the lesson of vanishing gradients, and the copying task that shows it.

Backwards through time a gradient is multiplied by the same matrix at each step (Hochreiter 1991; Bengio et al. 1994; Pascanu
et al. 2013, equation 5), so in the plain network it vanishes or explodes with the distance. A gated cell has a path on
which it is only multiplied by how far a gate is open.

Copying (Hochreiter & Schmidhuber 1997; here as in Arjovsky et al. 2016): a few symbols, then a delay of blanks, then a
marker, after which the symbols are to be repeated. A network that cannot carry them over the delay can only guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, optim

from .page import plot
from .rnn import CELLS, cell_named
from .task import Task

DISTANCE = 100  # steps over which the gradient is looked at
SEQUENCES = 1000  # on which copying is measured


@dataclass(frozen=True)
class CopyingConfig:
    """What makes a copying task, and the network that learns it."""

    cell: str = "lstm"  # or gru, rnn
    symbols: int = 8
    length: int = 5  # symbols to remember
    delay: int = 40  # blanks between the last symbol and the marker
    hidden: int = 64
    steps: int = 3000
    batch: int = 64
    rate: float = 3e-3
    clip: float = 1.0  # norm of the gradient


PRESETS = {"tiny": CopyingConfig(hidden=8, delay=3, steps=50, batch=8), "copying": CopyingConfig()}


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


def plot_gradient_norms(path: Path, *, rng: np.random.Generator) -> None:
    """The norms for each cell, the median of 20 networks, against the distance."""
    lines = {}
    for cell in CELLS:
        norms = np.median([gradient_norms(cell, rng=rng) for _ in range(20)], axis=0)
        lines[cell.upper()] = (list(range(len(norms))), norms.tolist())
    plot(lines, "distance in time", path, log=True)


def copying(config: CopyingConfig, n: int, *, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n sequences: inputs (T, n), where 0 is the blank and `symbols` + 1 the marker, and what to repeat (length, n)."""
    wanted = rng.integers(1, config.symbols + 1, (config.length, n))
    blanks = np.zeros((config.delay, n), int)
    marker = np.full((1, n), config.symbols + 1)
    return np.concatenate([wanted, blanks, marker, np.zeros((config.length - 1, n), int)]), wanted


class Copier(nn.Module):
    """Symbols (T, N) to logits of what stands where, (T, N, symbols + 2)."""

    def __init__(self, config: CopyingConfig, *, rng: np.random.Generator) -> None:
        count = config.symbols + 2
        self.one_hot = np.eye(count, dtype=np.float32)
        self.recurrent = cell_named(config.cell)(count, config.hidden, rng=rng)
        open_gates(self.recurrent, config.delay + 2 * config.length, rng=rng)
        self.V = nn.Linear(config.hidden, count, rng=rng)

    def forward(self, symbols: np.ndarray) -> Any:
        return self.V(self.recurrent(self.one_hot[symbols])[0])


class Endless:
    """Batches that are drawn as they are needed: their state is the generator's."""

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Any) -> None:
        """Nothing to go back to."""


class Copying(Task):
    """The training of a network to copy."""

    title = "Copying after a delay"
    presets = PRESETS
    reads = "nothing"
    figures: ClassVar = {"loss": ("loss",), "accuracy": ("accuracy",)}
    meaning = "accuracy: share of the symbols that are repeated correctly after the delay; a guess is right by chance."

    def __init__(self, config: CopyingConfig, training: Any, *, rng: np.random.Generator) -> None:
        self.config, self.rng, self.batches = config, rng, Endless()
        self.model = Copier(config, rng=rng)
        self.optimizer = optim.Adam(self.model.parameters(), config.rate)
        self.parts = {"model": self.model, "optimizer": self.optimizer}

    def step(self, step: int) -> dict[str, float]:
        symbols, wanted = copying(self.config, self.config.batch, rng=self.rng)
        logits = self.model(symbols)[-self.config.length :]  # (length, N, symbols + 2)
        loss = kernels.cross_entropy(logits, wanted)
        self.optimizer.zero_grad()
        loss.backward()
        optim.clip_gradients_by_norm(self.optimizer.parameters, self.config.clip)
        self.optimizer.step()
        return {"loss": loss.item(), "accuracy": float(np.mean(logits.numpy().argmax(axis=-1) == wanted))}

    def accuracy(self) -> float:
        """On fresh sequences."""
        symbols, wanted = copying(self.config, SEQUENCES, rng=np.random.default_rng(1))
        with tg.no_grad():
            logits = self.model(symbols)[-self.config.length :]
        return float(np.mean(logits.numpy().argmax(axis=-1) == wanted))

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        return [
            {"name": self.title, "accuracy": self.accuracy()},
            {"name": "chance", "accuracy": 1 / self.config.symbols},
        ]

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        plot_gradient_norms(folder / "gradients.png", rng=np.random.default_rng(0))
        return [("gradients.png", "The gradient's norm against the distance in time, at the start of training")]
