"""The copying task: what a recurrent network can remember.

A few symbols, then a delay of blanks, then a marker, after which the symbols are to be repeated (Hochreiter & Schmidhuber
1997; here as in Arjovsky et al. 2016). A network that cannot carry them over the delay can only guess: the plain one,
whose gradient vanishes on the way back (`models.sequence.rnn.gradient_norms`), before the gated ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, optim, parallel

from ...config import NonNegative
from ...sequence.rnn import cell_named, open_gates
from ..task import GeneratedBatches, Task
from .gradients import GRADIENTS, plot_gradient_norms

SEQUENCES = 1000  # on which copying is measured


@dataclass(frozen=True)
class CopyingConfig:
    """What makes a copying task, and the network that learns it."""

    cell: str = "lstm"  # or gru, rnn
    symbols: int = 8
    length: int = 5  # symbols to remember
    delay: NonNegative = 40  # blanks between the last symbol and the marker
    hidden: int = 64
    steps: int = 3000
    batch: int = 64
    rate: float = 1e-2
    clip: float = 1.0  # norm of the gradient


PRESETS = {"tiny": CopyingConfig(hidden=8, delay=3, steps=50, batch=8), "copying": CopyingConfig()}


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


class Copying(Task):
    """The training of a network to copy."""

    title = "Copying after a delay"
    presets = PRESETS
    dataset_kind = "nothing"
    plots: ClassVar = {"loss": ("loss",), "accuracy": ("accuracy",)}
    metrics_help = "accuracy: share of the symbols that are repeated correctly after the delay; a guess is right by chance."

    def __init__(self, config: CopyingConfig, training: Any, *, rng: np.random.Generator) -> None:
        self.config, self.rng, self.batches = config, rng, GeneratedBatches()
        self.model = Copier(config, rng=rng)
        self.optimizer = optim.Adam(self.model.parameters(), config.rate)
        self.parts = {"model": self.model, "optimizer": self.optimizer}

    def step(self, step: int) -> dict[str, float]:
        team, drawn = parallel.team(), copying(self.config, self.config.batch, rng=self.rng)
        symbols, wanted = (team.shard(array, axis=1) for array in drawn)
        logits = self.model(symbols)[-self.config.length :]  # (length, N, symbols + 2)
        loss = kernels.cross_entropy(logits, wanted)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.average_gradients()
        optim.clip_grad_norm_(self.optimizer.parameters, self.config.clip)
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
        return [GRADIENTS]
