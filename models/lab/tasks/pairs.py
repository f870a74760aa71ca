"""Pairs of sequences, from which transduction is learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinygrad_cv.data import IGNORE_INDEX

from ...sequence.symbols import END, START

ORDERS = {"same": slice(None), "reversed": slice(None, None, -1)}


@dataclass(frozen=True, eq=False)
class Pairs:
    """Sequences, and what they are to be turned into.

    source: numbers of symbols (B, S), or columns of images (B, S, H).
    lengths: how many places of each source are not padding, (B,).
    target: numbers of symbols (B, L), END after the last one and up to the longest.
    """

    source: np.ndarray
    lengths: np.ndarray
    target: np.ndarray

    @property
    def inputs(self) -> np.ndarray:
        """What a decoder reads in training: START, then the target but its last symbol."""
        start = np.full_like(self.target[:, :1], START)
        return np.concatenate([start, self.target[:, :-1]], axis=1)

    @property
    def labels(self) -> np.ndarray:
        """What it is to predict: the target up to its first END; what follows is ignored."""
        ended = np.cumsum(self.target == END, axis=1) > 1
        return np.where(ended, IGNORE_INDEX, self.target)


def in_order(order: str, text: str) -> str:
    """A text as it is, or reversed. Raises ValueError for an order that is not in ORDERS."""
    check_order(order)
    return text[ORDERS[order]]


def check_order(order: str) -> None:
    if order not in ORDERS:
        raise ValueError(f"the order is one of {', '.join(ORDERS)}, not {order!r}")
