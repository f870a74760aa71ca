"""Pairs of sequences, from which transduction is learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinygrad_cv.data import IGNORE_INDEX

from ...sequence.symbols import END, START

ORDERS = {"same": slice(None), "reversed": slice(None, None, -1)}


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


def in_order(order: str, text: str) -> str:
    """A text as it is, or reversed."""
    if order not in ORDERS:
        raise ValueError(f"the order is one of {', '.join(ORDERS)}, not {order!r}")
    return text[ORDERS[order]]
