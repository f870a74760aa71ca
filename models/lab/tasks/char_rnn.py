"""Training a character model.

The text is read in streams side by side; the state goes on from chunk to chunk, its gradient does not: truncated
back-propagation through time (Williams & Peng 1990).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv import data, kernels, nn, parallel

from ...classical.ngram import windows, witten_bell
from ...sequence.char_rnn import CharRNN, CharRNNConfig
from ..learner import Learner
from ..task import Task

ORDERS = (1, 2, 3, 4, 5, 6)  # of the n-grams beside the network


PRESETS = {
    "tiny": CharRNNConfig(hidden=16, embedding=8, steps=50, batch=4, length=8, warm_up=5),
    "text": CharRNNConfig(),
}


class HiddenState(nn.Module):
    """The state between two chunks, as a part of a task, so that a run is resumed with it: that of all ranks' streams."""

    def __init__(self, config: CharRNNConfig) -> None:
        shape = (config.layers, config.batch, config.hidden)
        for name in ("h", "c") if config.cell == "lstm" else ("h",):
            self.register_buffer(name, np.zeros(shape, np.float32))

    @property
    def state(self) -> Any:
        found = tuple(parallel.team().shard(array, axis=1) for _, array in self.named_buffers())
        return found if len(found) > 1 else found[0]

    def keep(self, state: Any) -> None:
        for (_, buffer), value in zip(
            self.named_buffers(), state if isinstance(state, tuple) else [state], strict=True
        ):
            buffer[...] = parallel.team().gather(value.numpy(), axis=1)

    def forget(self) -> None:
        for _, buffer in self.named_buffers():
            buffer[...] = 0


class CharRNNTask(Task):
    """The training of a character model."""

    title = "RNN that writes text"
    presets = PRESETS
    dataset_kind = "text"
    options: ClassVar = {"prompt": "\n", "temperature": 1.0}
    plots: ClassVar = {"loss": ("nats per character",)}
    metrics_help = (
        "nats/char: mean of -log p(next character | all before it) on the last tenth of the text, which was not trained "
        "on; bits/char: the same by log 2. Baselines count: n-grams, interpolated after Witten & Bell."
    )

    def __init__(self, config: CharRNNConfig, training: Any, *, rng: np.random.Generator) -> None:
        self.config, self.rng = config, rng
        self.model, self.carried = CharRNN(config, rng=rng), HiddenState(config)
        self.learner = Learner(self.model, config)
        self.parts = self.learner.parts | {"carried": self.carried}
        if training is not None:
            self.batches = data.streams(training.train, config.batch, config.length, rng=rng)

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
        whole = np.concatenate([test.train, test.test])
        rows = [row(self.title, float(self.losses(whole, len(test.train)).mean()))]
        for order in ORDERS:
            counted = windows(test.train, order - 1)
            asked = windows(whole[len(test.train) - order + 1 :], order - 1)
            p = witten_bell(*counted, *asked, vocabulary=len(test.vocabulary))
            rows.append(row(f"{order}-gram", float(-np.log(p).mean())))
        return [*rows, row("uniform", float(np.log(len(test.vocabulary))))]

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> str:
        """`CharRNN.sample` by the averaged weights."""
        with self.learner.ema_weights() as model:
            return str(model.sample(n, rng=rng, **options))

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        (folder / "sample.txt").write_text(self.sample(2000, rng=np.random.default_rng(4)))
        return []


def row(name: str, nats: float) -> dict[str, Any]:
    return {"name": name, "nats/char": nats, "bits/char": nats / float(np.log(2))}
