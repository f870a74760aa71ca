"""Texts as numbers of symbols."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# What ends and what starts a sequence, and the number of the first symbol of an alphabet.
END = 0
START = 1
FIRST = 2


def encode(
    texts: Sequence[Sequence[str]], alphabet: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Texts as numbers of symbols, padded with END, and their lengths (B,).

    A symbol is a character of a string, or a word of a list. The numbers are (B, L + 1), L the
    longest text's length: each has at least one END.
    Raises ValueError for a symbol that is not in the alphabet.
    """
    number = {symbol: i for i, symbol in enumerate(alphabet, FIRST)}
    lengths = np.array([len(text) for text in texts])
    symbols = np.full((len(texts), lengths.max() + 1), END)
    for row, text in zip(symbols, texts, strict=True):
        for place, symbol in enumerate(text):
            if symbol not in number:
                raise ValueError(f"{symbol!r} in {text!r} is none of the symbols {alphabet!r}")
            row[place] = number[symbol]
    return symbols, lengths


def decode(symbols: np.ndarray, alphabet: str) -> list[str]:
    """Numbers of symbols (B, L) as texts, each up to its END; a START is shown as "?"."""
    table = "\0?" + alphabet
    texts = ("".join(table[i] for i in row) for row in symbols)
    return [text.partition("\0")[0] for text in texts]
