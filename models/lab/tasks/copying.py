"""The copying task: what a recurrent network can remember.

A few symbols, then a delay of blanks, then a marker, after which the symbols are to be repeated
(Hochreiter & Schmidhuber 1997; here as in Arjovsky et al. 2016). A network that cannot carry them
over the delay can only guess: the plain one, whose gradient vanishes on the way back
(`models.sequence.rnn.gradient_norms`), before the gated ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, optim, parallel
from tinygrad_cv.typing import Array

from ...config import Config, ModelConfig, NonNegative, Steps
from ...sequence.rnn import CellName, cell_named, open_gates
from ..settings import Settings
from ..task import GeneratedBatches, Task
from .gradients import GRADIENTS, plot_gradient_norms

SEQUENCES = 1000  # on which copying is measured


@dataclass(frozen=True)
class CopierConfig(ModelConfig):
    """What makes a network that copies."""

    model_type: ClassVar = "copier"

    cell: CellName = "lstm"  # or gru, rnn
    hidden_size: int = 64  # of the recurrent state


@dataclass(frozen=True)
class CopyingTraining(Config):
    """How it is trained: by Adam, at a constant rate."""

    steps: Steps = 3000  # updates of the weights
    batch_size: int = 64  # sequences of an update
    lr: float = 1e-2  # learning rate
    max_grad_norm: float = 1.0  # the gradients' norm is cut there


@dataclass(frozen=True)
class CopyingData(Config):
    """What is to be copied."""

    num_symbols: int = 8  # to choose from
    length: int = 5  # symbols to remember
    delay: NonNegative = 40  # blanks between the last symbol and the marker

    @property
    def num_inputs(self) -> int:
        """The symbols, the blank and the marker."""
        return self.num_symbols + 2


@dataclass(frozen=True)
class CopyingSettings(Settings):
    """A network that copies, its training, and what it copies."""

    model: CopierConfig = field(default_factory=CopierConfig)
    training: CopyingTraining = field(default_factory=CopyingTraining)
    data: CopyingData = field(default_factory=CopyingData)


PRESETS = {
    "tiny": CopyingSettings(
        CopierConfig(hidden_size=8),
        CopyingTraining(steps=50, batch_size=8),
        CopyingData(delay=3),
    ),
    "copying": CopyingSettings(),
}


def copying(
    config: CopyingData, n: int, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """n sequences: inputs (T, n), and what to repeat at their end (length, n).

    0 is the blank, `num_symbols` + 1 the marker.
    """
    length, marker = config.length, config.num_symbols + 1
    targets = rng.integers(1, marker, (length, n))
    inputs = np.zeros((length + config.delay + length, n), int)
    inputs[:length] = targets
    inputs[length + config.delay] = marker
    return inputs, targets


class Copier(nn.Module):
    """Symbols (T, N) to logits of what stands where, (T, N, num_symbols + 2).

    Its gates start open for as long as symbols must be remembered.
    """

    def __init__(
        self, config: CopierConfig, data: CopyingData, *, rng: np.random.Generator
    ) -> None:
        count = data.num_inputs
        self.one_hot = np.eye(count, dtype=np.float32)
        self.recurrent = cell_named(config.cell)(count, config.hidden_size, rng=rng)
        open_gates(self.recurrent, data.delay + 2 * data.length, rng=rng)
        self.V = nn.Linear(config.hidden_size, count, rng=rng)

    def forward(self, symbols: np.ndarray) -> Array:
        h, _ = self.recurrent(self.one_hot[symbols])  # (T, N, H)
        logits: Array = self.V(h)
        return logits


class Copying(Task):
    """The training of a network to copy."""

    title = "Copying after a delay"
    presets = PRESETS
    dataset_kind = "nothing"
    plots: ClassVar = {"loss": ("loss",), "accuracy": ("accuracy",)}
    metrics_help = (
        "accuracy: share of the symbols that are repeated correctly after the delay; "
        "a guess is right by chance."
    )
    settings: CopyingSettings

    def __init__(
        self, settings: CopyingSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        self.settings, self.rng, self.batches = settings, rng, GeneratedBatches()
        self.model = Copier(settings.model, settings.data, rng=rng)
        self.optimizer = optim.Adam(self.model.parameters(), settings.training.lr)
        self.parts = {"model": self.model, "optimizer": self.optimizer}

    def logits(self, inputs: np.ndarray) -> Array:
        """What the network repeats: (length, N, num_symbols + 2)."""
        repeated: Array = self.model(inputs)[-self.settings.data.length :]
        return repeated

    def step(self, step: int) -> dict[str, float]:
        config, team = self.settings.training, parallel.team()
        drawn = copying(self.settings.data, config.batch_size, rng=self.rng)
        inputs, targets = (team.shard(array, axis=1) for array in drawn)
        logits = self.logits(inputs)
        loss = kernels.cross_entropy(logits, targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.average_gradients()
        optim.clip_grad_norm_(self.optimizer.parameters, config.max_grad_norm)
        self.optimizer.step()
        return {"loss": loss.item(), "accuracy": share_copied(logits, targets)}

    def accuracy(self) -> float:
        """On fresh sequences."""
        inputs, targets = copying(self.settings.data, SEQUENCES, rng=np.random.default_rng(1))
        with tg.no_grad():
            return share_copied(self.logits(inputs), targets)

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        return [
            {"name": self.title, "accuracy": self.accuracy()},
            {"name": "chance", "accuracy": 1 / self.settings.data.num_symbols},
        ]

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        plot_gradient_norms(folder / "gradients.png", rng=np.random.default_rng(0))
        return [GRADIENTS]


def share_copied(logits: Any, targets: np.ndarray) -> float:
    """The share of the symbols whose logit is the largest."""
    predicted = logits.numpy().argmax(axis=-1)
    return float(np.mean(predicted == targets))
