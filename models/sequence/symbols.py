"""Pairs of sequences, and texts as the numbers of their symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinygrad_cv.data import IGNORE_INDEX

ORDERS = {"same": slice(None), "reversed": slice(None, None, -1)}
END, START, FIRST = 0, 1, 2  # what ends and starts a sequence, and the number of the first symbol of an alphabet


@dataclass(frozen=True, eq=False)
class Pairs:
    """Sequences, and what is to become of them.

    source: numbers of symbols (B, S), or columns of pictures (B, S, H[, C]); its first `lengths` (B,) places count.
    target: numbers of symbols (B, L), END behind the last one and up to the longest.
    """

    source: np.ndarray
    lengths: np.ndarray
    target: np.ndarray

    @property
    def inputs(self) -> np.ndarray:
        """What a decoder is told in training: START, then the target but its last symbol."""
        return np.concatenate([np.full_like(self.target[:, :1], START), self.target[:, :-1]], axis=1)

    @property
    def labels(self) -> np.ndarray:
        """What it is to answer: the target to the first END; behind it nothing counts."""
        ended = np.cumsum(self.target == END, axis=1) > 1
        return np.where(ended, IGNORE_INDEX, self.target)


def encode(texts: Sequence[str], alphabet: str) -> tuple[np.ndarray, np.ndarray]:
    """Texts as numbers of symbols with END behind them, (B, longest + 1), and their lengths without it, (B,)."""
    number = {symbol: FIRST + i for i, symbol in enumerate(alphabet)}
    lengths = np.array([len(text) for text in texts])
    symbols = np.full((len(texts), lengths.max() + 1), END)
    for row, text in zip(symbols, texts, strict=True):
        unknown = [symbol for symbol in text if symbol not in number]
        if unknown:
            raise ValueError(f"{unknown[0]!r} in {text!r} is none of the symbols {alphabet!r}")
        row[: len(text)] = [number[symbol] for symbol in text]
    return symbols, lengths


def decode(symbols: np.ndarray, alphabet: str) -> list[str]:
    """Numbers of symbols (B, L) as texts, each up to its END; a START that was written among them is shown as '?'."""
    table = "\0?" + alphabet
    return ["".join(table[i] for i in row).partition("\0")[0] for row in symbols]


def in_order(order: str, text: str) -> str:
    """A text as it is, or reversed."""
    if order not in ORDERS:
        raise ValueError(f"the order is one of {', '.join(ORDERS)}, not {order!r}")
    return text[ORDERS[order]]
