"""Counting: the probability of a symbol given the few before it, which a network has to beat."""

from __future__ import annotations

import numpy as np


def witten_bell(
    contexts: np.ndarray,
    symbols: np.ndarray,
    new_contexts: np.ndarray,
    new_symbols: np.ndarray,
    vocabulary: int,
) -> np.ndarray:
    """p(symbol | context) of new pairs (M',), from the counts of others.

    contexts (M, K) and symbols (M,) are integers below `vocabulary`. Witten & Bell 1991,
    interpolated: a context that occurs n times, with t different symbols after it, gives
    (count + t p') / (n + t), where p' is what the context without its first symbol gives. The
    context of no symbols at all falls back on p' = 1 / vocabulary.
    """
    order = contexts.shape[1]
    p = np.full(len(new_symbols), 1 / vocabulary)
    for length in range(order + 1):
        seen = _as_numbers(contexts[:, order - length :], vocabulary)
        new = _as_numbers(new_contexts[:, order - length :], vocabulary)
        pairs, counts = np.unique(seen * vocabulary + symbols, return_counts=True)
        known, first = np.unique(pairs // vocabulary, return_index=True)
        totals = np.add.reduceat(counts, first)
        types = np.diff(first, append=len(pairs))
        n = _look_up(known, new, totals)
        t = _look_up(known, new, types)
        count = _look_up(pairs, new * vocabulary + new_symbols, counts)
        interpolated = (count + t * p) / np.maximum(n + t, 1)
        p = np.where(n > 0, interpolated, p)
    return p


def windows(sequence: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The contexts (M, length) and symbols (M,) of sequences (..., T).

    A symbol at place `length` or later has the `length` symbols before it as its context.
    """
    views = np.lib.stride_tricks.sliding_window_view(sequence, length + 1, axis=-1)
    flat = views.reshape(-1, length + 1)  # (M, length + 1)
    return flat[:, :-1], flat[:, -1]


def markov_bits(
    train: np.ndarray,
    test: np.ndarray,
    levels: int,
    order: int,
) -> float:
    """Bits per dimension of test images (N, H W) of integers below `levels`.

    The model counts, in training images, what follows the last `order` pixels, row by row. A
    level of its own stands before the first pixel.
    """
    padding = [(0, 0), (order, 0)]
    train = np.pad(train, padding, constant_values=levels)
    test = np.pad(test, padding, constant_values=levels)
    contexts, symbols = windows(train, order)
    new_contexts, new_symbols = windows(test, order)
    p = witten_bell(contexts, symbols, new_contexts, new_symbols, levels + 1)
    return float(-np.log2(p).mean())


def _as_numbers(contexts: np.ndarray, vocabulary: int) -> np.ndarray:
    """Each context (M, K) as one number (M,), its symbols as digits."""
    length = contexts.shape[1]
    if vocabulary ** (length + 1) >= 2**63:
        raise ValueError(f"contexts of {length} symbols out of {vocabulary} do not fit 64 bits")
    return contexts @ vocabulary ** np.arange(length, dtype=np.int64)


def _look_up(
    keys: np.ndarray,
    wanted: np.ndarray,
    values: np.ndarray,
) -> np.ndarray:
    """values where `wanted` is among the sorted keys, else 0."""
    at = np.searchsorted(keys, wanted)
    at = np.minimum(at, len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
