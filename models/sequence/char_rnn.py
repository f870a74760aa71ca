"""A recurrent network that writes text character by character (Graves 2013, arXiv 1308.0850).

    p(text) = prod_t p(x_t | x_1, ..., x_(t-1))
    p(x_t | x_1, ..., x_(t-1)) = softmax(V h_(t-1) + c)

h_(t-1) is the state of an RNN, GRU or LSTM that has read the characters before x_t. Deviations, on
purpose: characters are embedded rather than one-hot, and they go to the lowest layer only, as the
top one alone is read out (in Graves's network each layer has both, equations 2 and 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import data, kernels, nn
from tinygrad_cv.typing import Array

from ..config import Fraction, Layers, ModelConfig
from ..pretrained import Pretrained
from .rnn import CellName, State, cell_named

WARM_UP_CHARACTERS = 512  # are read before those that are measured
CHUNK_LENGTH = 256  # characters of a stream that are measured at once


@dataclass(frozen=True)
class CharRNNConfig(ModelConfig):
    """What makes a character model."""

    model_type: ClassVar = "char-rnn"

    vocabulary: str = ""  # its characters, by number
    cell: CellName = "lstm"  # or gru, rnn
    hidden_size: int = 512  # of each layer
    num_layers: Layers = 1  # of the recurrent network
    embedding_size: int = 64  # of a character
    dropout: Fraction = 0.4  # of the states that are read out


# The letters and marks of Shakespeare's plays, on which Karpathy's char-rnn was shown (2015). There
# characters are one-hot: an embedding as wide as the vocabulary is one more matrix of its square.
SHAKESPEARE = "\n !$&',-.3:;?" + ascii_uppercase + ascii_lowercase
SIZES = {
    "char-rnn": CharRNNConfig(SHAKESPEARE, "lstm", 128, 2, len(SHAKESPEARE), 0.0),
    "char-rnn-shakespeare": CharRNNConfig(SHAKESPEARE, "lstm", 512, 3, len(SHAKESPEARE), 0.5),
}


class CharRNN(Pretrained):
    """Characters to logits of the next ones.

    Numbers of characters (T, N) and a state -> logits (T, N, V), V the size of the vocabulary, and
    the new state. A state of None is that before the first character.
    """

    config_class = CharRNNConfig

    def __init__(self, config: CharRNNConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        vocab_size = len(config.vocabulary)
        self.embedding = nn.Embedding(vocab_size, config.embedding_size, rng=rng)
        self.recurrent = cell_named(config.cell)(
            config.embedding_size, config.hidden_size, config.num_layers, rng=rng
        )
        self.dropout = nn.Dropout(config.dropout, batch_axis=1, rng=rng)
        self.V = nn.Linear(config.hidden_size, vocab_size, rng=rng)

    def forward(self, characters: np.ndarray, state: State | None = None) -> tuple[Array, State]:
        x = self.embedding(characters)  # (T, N, E)
        h, state = self.recurrent(x, state)  # (T, N, H)
        return self.V(self.dropout(h)), state

    def losses(self, text: np.ndarray, start: int, streams: int = 64) -> np.ndarray:
        """-log p of each character of a text (L,) from place `start` on, given those before it.

        The rest of the text is cut into streams that are read side by side; each has read the
        `WARM_UP_CHARACTERS` before it.
        """
        (L,) = text.shape
        stretch = -(-(L - start) // streams)
        begins = start + stretch * np.arange(streams)
        begins = np.minimum(begins, L - stretch)
        early = min(WARM_UP_CHARACTERS, int(begins[0]) - 1)
        places = begins - early + np.arange(stretch + early)[:, None]  # (T, N)
        losses = np.full(L, np.nan)
        chunks = np.array_split(places, -(-len(places) // CHUNK_LENGTH))
        state = None
        with tg.no_grad():
            for chunk in chunks:
                targets = text[chunk].astype(np.int64)
                logits, state = self(text[chunk - 1].astype(np.int64), state)
                loss = kernels.cross_entropy(logits, targets, reduction="none")
                losses[chunk] = loss.numpy()
        return losses[start:]

    def sample(
        self,
        n: int,
        *,
        rng: np.random.Generator,
        prompt: str = "",
        temperature: float = 1.0,
        observe: Callable[[int], object] | None = None,
    ) -> str:
        """The prompt and n characters more, drawn at a temperature (below 1: safer, above: wilder).

        Without a prompt it begins with a new line, or with the first character of a vocabulary that
        has none. `observe` is called with 1 after each character. Raises ValueError for a
        temperature that is not above 0, and for a prompt with a character that is not in the
        vocabulary.
        """
        if temperature <= 0:
            raise ValueError(
                f"temperature={temperature}: it must be above 0; "
                "small ones, such as 0.1, write what is likeliest"
            )
        text = data.Text(np.empty(0, int), np.empty(0, int), self.config.vocabulary)
        first = "\n" if "\n" in self.config.vocabulary else self.config.vocabulary[:1]
        characters = list(text.encode(prompt or first))
        with tg.no_grad():
            logits, state = self(np.array(characters)[:, None])
            for _ in range(n):
                last = logits.numpy()[-1, 0].astype(np.float64)
                p = kernels.softmax(last / temperature)
                drawn = int(rng.choice(len(p), p=p / p.sum()))
                characters.append(drawn)
                logits, state = self(np.array([[drawn]]), state)
                if observe is not None:
                    observe(1)
        return text.decode(np.array(characters))
