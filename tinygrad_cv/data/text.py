"""Text as a sequence of characters."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import PathLike
from .source import PIECE, DamagedFile, read

# The longer ones first: that of UTF-16 begins that of UTF-32.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True, eq=False)
class Text:
    """A text as numbers.

    `train` and `test`, (T,), are indices of characters in `vocabulary`, which is sorted; their
    dtype is the smallest that holds them: a byte for each character of most texts.
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
    """Read a text, gzipped or not, as characters; its last tenth is held out for testing.

    It is UTF-8, or UTF-16 or UTF-32 with the mark that says so. Line ends become `\\n`, as Python
    reads them. Raises DamagedFile for a file that is empty or no text.
    """
    path = Path(path).expanduser()
    content = read(path)
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    known = np.zeros(sys.maxunicode + 1, bool)
    length = 0
    for codes in _pieces(content, encoding, path):
        known[codes] = True
        length += len(codes)
    if not length:
        raise DamagedFile(f"{path} is empty")
    if known[0]:
        raise DamagedFile(
            f"{path} is no text: it has the character 0; is it UTF-16 without a mark?"
        )
    vocabulary = np.flatnonzero(known)
    dtype = np.min_scalar_type(len(vocabulary))
    numbers = (np.cumsum(known) - 1).astype(dtype)  # the index of each character of the vocabulary
    ids = np.empty(length, dtype)
    start = 0
    for codes in _pieces(content, encoding, path):
        ids[start : start + len(codes)] = numbers[codes]
        start += len(codes)
    train = length * 9 // 10
    return Text(ids[:train], ids[train:], "".join(map(chr, vocabulary.tolist())))


def _pieces(content: bytes, encoding: str, path: Path) -> Iterator[np.ndarray]:
    """The code points of a text, piece by piece: whole, its characters take ten times its bytes."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    try:
        for start in range(0, len(content), PIECE):
            final = start + PIECE >= len(content)
            yield _codes(decoder.decode(content[start : start + PIECE], final=final))
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise DamagedFile(f"{path} is not {name} text: {error.reason}") from None


def _codes(text: str) -> np.ndarray:
    """The code points of a text's characters."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")
