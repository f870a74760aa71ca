"""Counting: the probability of a symbol given the few before it, which a network has to beat."""

from __future__ import annotations

import numpy as np


def witten_bell(
    contexts: np.ndarray, symbols: np.ndarray, new_contexts: np.ndarray, new_symbols: np.ndarray, vocabulary: int
) -> np.ndarray:  # fmt: skip
    """p(symbol | context) of new pairs, counted on others: (M',).

    contexts (M, K) and symbols (M,) are integers below `vocabulary`. Witten & Bell 1991, interpolated: a context seen n
    times, with t different symbols after it, gives (count + t p') / (n + t), where p' is what the context without its
    first symbol gives; at last 1 / vocabulary.
    """
    p = np.full(len(new_symbols), 1 / vocabulary)
    for length in range(contexts.shape[1] + 1):
        seen, asked = (_numbered(c[:, c.shape[1] - length :], vocabulary) for c in (contexts, new_contexts))
        pairs, counts = np.unique(seen * vocabulary + symbols, return_counts=True)
        known, first = np.unique(pairs // vocabulary, return_index=True)
        totals, types = np.add.reduceat(counts, first), np.diff(first, append=len(pairs))
        n, t = _look_up(known, asked, totals), _look_up(known, asked, types)
        count = _look_up(pairs, asked * vocabulary + new_symbols, counts)
        p = np.where(n > 0, (count + t * p) / np.maximum(n + t, 1), p)
    return p


def windows(sequence: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Each symbol (M,) of a sequence from place `length` on, and the `length` symbols before it (M, length)."""
    views = np.lib.stride_tricks.sliding_window_view(sequence, length + 1, axis=-1)
    flat = views.reshape(-1, length + 1)
    return flat[:, :-1], flat[:, -1]


def _numbered(contexts: np.ndarray, vocabulary: int) -> np.ndarray:
    """Each context (M, K) as one number."""
    if vocabulary ** (contexts.shape[1] + 1) >= 2**63:
        raise ValueError(f"contexts of {contexts.shape[1]} symbols out of {vocabulary} do not fit 64 bits")
    return contexts @ vocabulary ** np.arange(contexts.shape[1], dtype=np.int64)


def _look_up(keys: np.ndarray, asked: np.ndarray, values: np.ndarray) -> np.ndarray:
    """values where asked is among the sorted keys, else 0."""
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[at] == asked, values[at], 0)


def markov_bits(known: np.ndarray, asked: np.ndarray, levels: int, order: int) -> float:
    """Bits per dimension of a model that counts what follows the last `order` pixels, row by row: levels (N, H W)."""
    before = [np.pad(x, [(0, 0), (order, 0)], constant_values=levels) for x in (known, asked)]
    p = witten_bell(*windows(before[0], order), *windows(before[1], order), vocabulary=levels + 1)
    return float(-np.log2(p).mean())
