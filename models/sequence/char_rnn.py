"""A recurrent network that writes text character by character (Graves 2013, arXiv 1308.0850).

    p(text) = prod_t p(x_t | x_1, ..., x_(t-1)),      p(x_t | ...) = softmax(V h_t + c)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import data, kernels, nn

from ..config import Fraction, NonNegative
from .rnn import cell_named

WARM_UP_CHARACTERS = 512  # are read before those that are measured


@dataclass(frozen=True)
class CharRNNConfig:
    """What makes a character model: the cell, sizes, optimisation."""

    vocabulary: str = ""
    cell: str = "lstm"  # or gru, rnn
    hidden: int = 512
    layers: int = 1
    embedding: int = 64
    dropout: Fraction = 0.4  # of the states that are read out
    steps: int = 5000
    batch: int = 64  # streams
    length: int = 64  # of a chunk: gradients go back so far
    rate: float = 3e-3
    weight_decay: float = 0.01
    warm_up: NonNegative = 100
    clip: float = 1.0  # norm of the gradient
    average: Fraction = 0.998  # decay of the moving average of the weights


class CharRNN(nn.Module):
    """Characters to logits of the next ones: integers (T, N) and a state -> (T, N, characters) and the new state."""

    def __init__(self, config: CharRNNConfig, *, rng: np.random.Generator) -> None:
        self.vocabulary = config.vocabulary
        self.embedding = nn.Embedding(len(config.vocabulary), config.embedding, rng=rng)
        self.recurrent = cell_named(config.cell)(config.embedding, config.hidden, config.layers, rng=rng)
        self.dropout = nn.Dropout(config.dropout, batch_axis=1, rng=rng)
        self.V = nn.Linear(config.hidden, len(config.vocabulary), rng=rng)

    def forward(self, characters: np.ndarray, state: Any = None) -> tuple[Any, Any]:
        h, state = self.recurrent(self.embedding(characters), state)
        return self.V(self.dropout(h)), state

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
        with tg.no_grad():
            state = None
            for some in np.array_split(places, -(-len(places) // 256)):
                logits, state = self(text[some - 1], state)
                found[some] = kernels.cross_entropy(logits, text[some], reduction="none").numpy()
        return found[start:]

    def sample(self, n: int, *, rng: np.random.Generator, prompt: str = "\n", temperature: float = 1.0) -> str:
        """The prompt and n characters more, drawn at a temperature (below 1: safer, above: wilder)."""
        if temperature <= 0:
            raise ValueError(f"temperature={temperature}: it is above 0; small ones, such as 0.1, write what is likeliest")
        text = data.Text(np.empty(0, int), np.empty(0, int), self.vocabulary)
        written = list(text.encode(prompt or "\n"))
        with tg.no_grad():
            logits, state = self(np.array(written)[:, None])
            for _ in range(n):
                p = kernels.softmax(logits.numpy()[-1, 0].astype(np.float64) / temperature)
                written.append(int(rng.choice(len(p), p=p / p.sum())))
                logits, state = self(np.array([[written[-1]]]), state)
        return text.decode(np.array(written))
