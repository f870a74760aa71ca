"""Training a character model.

The text is read in streams side by side; the state goes on from chunk to chunk, its gradient does
not: truncated back-propagation through time (Williams & Peng 1990).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import log
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np

from tinygrad_cv import data, kernels, nn, parallel
from tinygrad_cv.files import atomic_write

from ...classical.ngram import windows, witten_bell
from ...config import Config, NonNegative, Steps, shown
from ...sequence.char_rnn import CharRNN, CharRNNConfig
from ...sequence.rnn import State
from ..errors import RunError
from ..learner import Learner, TrainingConfig
from ..progress import progress_bar
from ..settings import Settings
from ..task import Task

ORDERS = (1, 2, 3, 4, 5, 6)  # of the n-grams beside the network


@dataclass(frozen=True)
class CharTraining(TrainingConfig):
    """How a character model is trained."""

    steps: Steps = 5000
    batch_size: int = 64  # streams
    chunk_length: int = 64  # characters, over which gradients go back
    lr: float = 3e-3
    weight_decay: float = 0.01
    warmup_steps: NonNegative = 100


@dataclass(frozen=True)
class Writing(Config):
    """How a character model writes."""

    prompt: str = ""  # what the text begins with; without one a new line
    temperature: Annotated[float, 0.001, 1000] = 1.0  # below 1: safer, above: wilder


@dataclass(frozen=True)
class CharRNNSettings(Settings):
    """A character model and its training. A text decides its vocabulary."""

    model: CharRNNConfig = field(default_factory=CharRNNConfig)
    training: CharTraining = field(default_factory=CharTraining)

    def fitted(self, dataset: data.Text | None) -> Self:
        if dataset is None:
            return self
        return replace(self, model=replace(self.model, vocabulary=dataset.vocabulary))

    def check(self, dataset: data.Text | None) -> None:
        if dataset is None:
            return
        if dataset.vocabulary != self.model.vocabulary:
            raise ValueError(
                f"model.vocabulary={shown(self.model.vocabulary)}: "
                f"the characters of the text are {shown(dataset.vocabulary)}"
            )
        size, length = self.training.batch_size, self.training.chunk_length
        if len(dataset.train) < (size + 1) * length + 1:
            raise ValueError(
                f"training.batch_size={size}, training.chunk_length={length}: the text has "
                f"{len(dataset.train)} characters to train on, too few for so many streams in "
                "chunks of this length; take smaller ones, or a longer text"
            )


PRESETS = {
    "tiny": CharRNNSettings(
        CharRNNConfig(hidden_size=16, embedding_size=8),
        CharTraining(steps=50, batch_size=4, chunk_length=8, warmup_steps=5),
    ),
    "text": CharRNNSettings(),
}


class HiddenState(nn.Module):
    """The state between two chunks, that of all ranks' streams.

    It is a part of the task, so that a run is resumed with it.
    """

    def __init__(self, config: CharRNNConfig, streams: int) -> None:
        shape = (config.num_layers, streams, config.hidden_size)
        for name in ("h", "c") if config.cell == "lstm" else ("h",):
            self.register_buffer(name, np.zeros(shape, np.float32))

    @property
    def state(self) -> State:
        """That of this rank's streams."""
        team = parallel.team()
        h, *c = (team.shard(buffer, axis=1) for _, buffer in self.named_buffers())
        return (h, c[0]) if c else h

    def keep(self, state: Any) -> None:
        """Take over a `State` of tensors, without its graph."""
        values = state if isinstance(state, tuple) else (state,)
        for (_, buffer), value in zip(self.named_buffers(), values, strict=True):
            buffer[...] = parallel.team().gather(value.numpy(), axis=1)

    def forget(self) -> None:
        for _, buffer in self.named_buffers():
            buffer[...] = 0


class CharRNNTask(Task):
    """The training of a character model."""

    title = "RNN that writes text"
    presets = PRESETS
    dataset_kind = "text"
    draws = "text"
    options: ClassVar = Writing()
    memory = ("carried",)
    plots: ClassVar = {"loss": ("nats per character",)}
    metrics_help = (
        "nats/char: mean of -log p(next character | all before it) on the last tenth of the text, "
        "which was not trained on; bits/char: the same by log 2. Baselines count: n-grams, "
        "interpolated after Witten & Bell."
    )
    settings: CharRNNSettings

    def __init__(
        self, settings: CharRNNSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        self.settings, self.rng = settings, rng
        config = settings.training
        self.model = CharRNN(settings.model, rng=rng)
        self.carried = HiddenState(settings.model, config.batch_size)
        self.learner = Learner(self.model, config)
        self.parts = self.learner.parts | {"carried": self.carried}
        if training is not None:
            self.batches = data.streams(
                training.train, config.batch_size, config.chunk_length, rng=rng
            )

    def step(self, step: int) -> dict[str, float]:
        *streams, fresh = next(self.batches)
        inputs, targets = (parallel.team().shard(stream, axis=1) for stream in streams)  # (T, N)
        if fresh:
            self.carried.forget()
        logits, state = self.model(inputs, self.carried.state)
        loss = kernels.cross_entropy(logits, targets)
        self.learner.step(loss, step)
        self.carried.keep(state)
        return {"nats per character": loss.item()}

    def losses(self, text: np.ndarray, start: int, streams: int = 64) -> np.ndarray:
        """`CharRNN.losses` by the averaged weights."""
        with self.learner.ema_weights() as model:
            losses: np.ndarray = model.losses(text, start, streams)
        return losses

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        text, start = np.concatenate([test.train, test.test]), len(test.train)
        vocab_size = len(test.vocabulary)
        rows = [row(self.title, float(self.losses(text, start).mean()))]
        for order in ORDERS:
            counted = windows(test.train, order - 1)
            asked = windows(text[start - order + 1 :], order - 1)
            p = witten_bell(*counted, *asked, vocabulary=vocab_size)
            rows.append(row(f"{order}-gram", float(-np.log(p).mean())))
        return [*rows, row("uniform", log(vocab_size))]

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> str:
        """`CharRNN.sample` by the averaged weights."""
        with progress_bar(n, "writing", passing=True) as bar, self.learner.ema_weights() as model:
            return str(model.sample(n, rng=rng, observe=bar.update, **options))

    def start_from(self, other: CharRNNTask) -> None:
        mine, theirs = self.settings.model.vocabulary, other.settings.model.vocabulary
        if mine != theirs:
            raise RunError(
                f"the other text has {len(theirs)} characters, {shown(theirs)}, "
                f"this one {len(mine)}, {shown(mine)}: one model cannot read both"
            )
        super().start_from(other)

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        text = self.sample(2000, rng=np.random.default_rng(4))
        with atomic_write(folder / "sample.txt") as file:
            file.write(text.encode())
        return []


def row(name: str, nats: float) -> dict[str, Any]:
    """A row of the report, in both units."""
    return {"name": name, "nats/char": nats, "bits/char": nats / log(2)}
