"""A recurrent network that writes text character by character (Graves 2013, arXiv 1308.0850).

    p(text) = prod_t p(x_t | x_1, ..., x_(t-1)),      p(x_t | ...) = softmax(V h_t + c)

The text is read in streams side by side; the state goes on from chunk to chunk, its gradient does not: truncated
back-propagation through time (Williams & Peng 1990).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv import data, kernels, nn, parallel

from ..classical.ngram import windows, witten_bell
from ..lab.learner import Descent
from ..lab.task import Natural, Share, Task
from .rnn import cell_named

WARM_UP_CHARACTERS = 512  # are read before those that are measured
ORDERS = (1, 2, 3, 4, 5, 6)  # of the n-grams beside the network


@dataclass(frozen=True)
class CharRNNConfig:
    """What makes a character model: the cell, sizes, optimisation."""

    vocabulary: str = ""
    cell: str = "lstm"  # or gru, rnn
    hidden: int = 512
    layers: int = 1
    embedding: int = 64
    dropout: Share = 0.4  # of the states that are read out
    steps: int = 5000
    batch: int = 64  # streams
    length: int = 64  # of a chunk: gradients go back so far
    rate: float = 3e-3
    weight_decay: float = 0.01
    warm_up: Natural = 100
    clip: float = 1.0  # norm of the gradient
    average: Share = 0.998  # decay of the moving average of the weights


PRESETS = {
    "tiny": CharRNNConfig(hidden=16, embedding=8, steps=50, batch=4, length=8, warm_up=5),
    "text": CharRNNConfig(),
}


class CharRNN(nn.Module):
    """Characters to logits of the next ones: integers (T, N) and a state -> (T, N, characters) and the new state."""

    def __init__(self, config: CharRNNConfig, *, rng: np.random.Generator) -> None:
        self.embedding = nn.Embedding(len(config.vocabulary), config.embedding, rng=rng)
        self.recurrent = cell_named(config.cell)(config.embedding, config.hidden, config.layers, rng=rng)
        self.dropout = nn.Dropout(config.dropout, batch_axis=1, rng=rng)
        self.V = nn.Linear(config.hidden, len(config.vocabulary), rng=rng)

    def forward(self, characters: np.ndarray, state: Any = None) -> tuple[Any, Any]:
        h, state = self.recurrent(self.embedding(characters), state)
        return self.V(self.dropout(h)), state


class Carried(nn.Module):
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
    reads = "text"
    options: ClassVar = {"prompt": "\n", "temperature": 1.0}
    figures: ClassVar = {"loss": ("nats per character",)}
    meaning = (
        "nats/char: mean of -log p(next character | all before it) on the last tenth of the text, which was not trained "
        "on; bits/char: the same by log 2. Baselines count: n-grams, interpolated after Witten & Bell."
    )

    def __init__(self, config: CharRNNConfig, training: Any, *, rng: np.random.Generator) -> None:
        self.config, self.rng = config, rng
        self.model, self.carried = CharRNN(config, rng=rng), Carried(config)
        self.descent = Descent(self.model, config, clip=config.clip)
        self.parts = self.descent.parts | {"carried": self.carried}
        if training is not None:
            self.batches = data.streams(training.train, config.batch, config.length, rng=rng)

    def step(self, step: int) -> dict[str, float]:
        *streams, fresh = next(self.batches)
        inputs, targets = (parallel.team().shard(stream, axis=1) for stream in streams)  # (T, N)
        if fresh:
            self.carried.forget()
        logits, state = self.model(inputs, self.carried.state)
        loss = kernels.cross_entropy(logits, targets)
        self.descent.step(loss, step)
        self.carried.keep(state)
        return {"nats per character": loss.item()}

    def losses(self, text: np.ndarray, start: int, streams: int = 64) -> np.ndarray:
        """-log p of each character of a text (L,) from place `start` on, given those before it.

        The stretch is cut into streams that are read side by side; each has read the 512 characters before it.
        """
        count = len(text) - start
        stretch = -(-count // streams)
        begins = np.minimum(start + stretch * np.arange(streams), len(text) - stretch)
        early = min(WARM_UP_CHARACTERS, int(begins[0]) - 1)
        places = begins - early + np.arange(stretch + early)[:, None]  # (T, N)
        found = np.full(len(text), np.nan)
        with self.descent.averaged() as model:
            state = None
            for some in np.array_split(places, -(-len(places) // 256)):
                logits, state = model(text[some - 1], state)
                found[some] = kernels.cross_entropy(logits, text[some], reduction="none").numpy()
        return found[start:]

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        whole = np.concatenate([test.train, test.test])
        rows = [row(self.title, float(self.losses(whole, len(test.train)).mean()))]
        for order in ORDERS:
            counted = windows(test.train, order - 1)
            asked = windows(whole[len(test.train) - order + 1 :], order - 1)
            p = witten_bell(*counted, *asked, vocabulary=len(test.vocabulary))
            rows.append(row(f"{order}-gram", float(-np.log(p).mean())))
        return [*rows, row("uniform", float(np.log(len(test.vocabulary))))]

    def sample(self, n: int, *, rng: np.random.Generator, prompt: str = "\n", temperature: float = 1.0) -> str:
        """The prompt and n characters more, drawn at a temperature (below 1: safer, above: wilder)."""
        if temperature <= 0:
            raise ValueError(f"temperature={temperature}: it is above 0; small ones, such as 0.1, write what is likeliest")
        text = data.Text(np.empty(0, int), np.empty(0, int), self.config.vocabulary)
        written = list(text.encode(prompt or "\n"))
        with self.descent.averaged() as model:
            logits, state = model(np.array(written)[:, None])
            for _ in range(n):
                p = kernels.softmax(logits.numpy()[-1, 0].astype(np.float64) / temperature)
                written.append(int(rng.choice(len(p), p=p / p.sum())))
                logits, state = model(np.array([[written[-1]]]), state)
        return text.decode(np.array(written))

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        (folder / "sample.txt").write_text(self.sample(2000, rng=np.random.default_rng(4)))
        return []


def row(name: str, nats: float) -> dict[str, Any]:
    return {"name": name, "nats/char": nats, "bits/char": nats / float(np.log(2))}
