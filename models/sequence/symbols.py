"""Texts as the numbers of their symbols."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

END, START, FIRST = 0, 1, 2  # what ends and starts a sequence, and the number of the first symbol of an alphabet


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
