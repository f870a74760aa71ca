"""Text as a sequence of characters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import PathLike
from .source import DamagedFile, read


@dataclass(frozen=True, eq=False)
class Text:
    """A text as numbers.

    `train` and `test`, int64 (T,), are indices of characters in `vocabulary`, which is sorted.
    """

    train: np.ndarray
    test: np.ndarray
    vocabulary: str

    def encode(self, text: str) -> np.ndarray:
        """The indices of a text's characters, int64 (T,).

        Raises ValueError for a character that the vocabulary lacks.
        """
        known = _codes(self.vocabulary)
        codes = _codes(text)
        ids = np.searchsorted(known, codes).clip(max=len(known) - 1)
        unknown = np.flatnonzero(known[ids] != codes)
        if unknown.size:
            at = int(unknown[0])
            raise ValueError(
                f"{text[at]!r} at {at} is not among the {len(known)} characters of the vocabulary"
            )
        return ids

    def decode(self, ids: np.ndarray) -> str:
        """The text with these indices, (T,); the inverse of `encode`.

        Raises ValueError for an index out of range.
        """
        ids = np.asarray(ids)
        number = len(self.vocabulary)
        unknown = np.flatnonzero((ids < 0) | (ids >= number))
        if unknown.size:
            at = int(unknown[0])
            raise ValueError(
                f"{ids[at]} at {at} is not the index of one of the {number} characters"
            )
        return "".join(self.vocabulary[i] for i in ids)


def text(path: PathLike) -> Text:
    """Read a UTF-8 text, gzipped or not, as characters; its last tenth is held out for testing.

    Raises DamagedFile for a file that is empty or no text.
    """
    path = Path(path).expanduser()
    try:
        content = read(path).decode()
    except UnicodeDecodeError as error:
        raise DamagedFile(f"{path} is not UTF-8 text: {error}") from None
    if not content:
        raise DamagedFile(f"{path} is empty")
    vocabulary, ids = np.unique(_codes(content), return_inverse=True)
    train = len(ids) * 9 // 10
    characters = "".join(map(chr, vocabulary.tolist()))
    return Text(ids[:train], ids[train:], characters)


def _codes(text: str) -> np.ndarray:
    """The code points of a text's characters."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")
