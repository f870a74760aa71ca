"""Text as a sequence of characters."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .source import DamagedFile, read


@dataclass(frozen=True, eq=False)
class Text:
    """A text as numbers: `train` and `test`, int64 (T,), are indices of characters in `vocabulary` (sorted)."""

    train: np.ndarray
    test: np.ndarray
    vocabulary: str

    def encode(self, text: str) -> np.ndarray:
        """The indices of a text's characters, int64 (T,). Raises ValueError for one that the vocabulary lacks."""
        known, codes = _codes(self.vocabulary), _codes(text)
        ids = np.searchsorted(known, codes).clip(max=len(known) - 1)
        unknown = np.flatnonzero(known[ids] != codes)
        if unknown.size:
            at = int(unknown[0])
            raise ValueError(
                f"{text[at]!r} at {at} is not among the {len(known)} characters of the vocabulary"
            )
        return ids

    def decode(self, ids: np.ndarray) -> str:
        """The text with these indices, (T,); the inverse of `encode`. Raises ValueError for one out of range."""
        ids = np.asarray(ids)
        unknown = np.flatnonzero((ids < 0) | (ids >= len(self.vocabulary)))
        if unknown.size:
            at = int(unknown[0])
            raise ValueError(
                f"{ids[at]} at {at} is not the index of one of the {len(self.vocabulary)} characters"
            )
        return "".join(self.vocabulary[i] for i in ids)


def text(path: str | os.PathLike[str]) -> Text:
    """Read a UTF-8 text, gzipped or not, as characters; the last tenth of it is held out for testing."""
    path = Path(path).expanduser()
    try:
        content = read(path).decode()
    except UnicodeDecodeError as error:
        raise DamagedFile(f"{path} is not UTF-8 text: {error}") from None
    if not content:
        raise DamagedFile(f"{path} is empty")
    vocabulary, ids = np.unique(_codes(content), return_inverse=True)
    train = len(ids) * 9 // 10
    return Text(ids[:train], ids[train:], "".join(map(chr, vocabulary.tolist())))


def _codes(text: str) -> np.ndarray:
    """The code points of a text's characters."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")
