"""Probabilities of finitely many outcomes: their logarithms, estimates from counts, and draws."""

from __future__ import annotations

import numpy as np


def log(probabilities: np.ndarray) -> np.ndarray:
    """The logarithm of probabilities, of which some may be 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probabilities))


def shares(
    counts: np.ndarray,
    pseudo_count: float,
    unseen: np.ndarray,
) -> np.ndarray:
    """Probabilities (..., S) that sum to 1, from counts; without any count those of `unseen`."""
    counts = counts + pseudo_count
    total = counts.sum(axis=-1, keepdims=True)
    seen = total > 0
    return np.where(seen, counts / np.where(seen, total, 1), unseen)


def log_dirichlet(probabilities: np.ndarray, pseudo_count: float) -> float:
    """The logarithm of a Dirichlet prior, but for a constant: pseudo_count sum log p."""
    if pseudo_count == 0:
        return 0.0
    return pseudo_count * float(np.log(probabilities).sum())


def draw(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A number from each row of probabilities (M, V): (M,)."""
    below = probabilities.cumsum(axis=1)[:, :-1]  # the last would be 1
    u = rng.random((len(below), 1))
    return np.asarray((u >= below).sum(axis=1))
