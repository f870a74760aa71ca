"""Products with a factor that chooses: what is not chosen is exactly zero, never 0 times infinity."""

from __future__ import annotations

import numpy as np


def is_finite(x: np.ndarray) -> bool:
    """Whether no element is infinite or NaN."""
    return bool(np.logical_and.reduce(np.isfinite(x), axis=None))


def choose(g: np.ndarray, factor: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """g * factor, but 0 wherever the factor is 0, even if g is infinite or NaN there. In plain NumPy:

        np.where(factor == 0, 0, g * factor)

    That takes 3 to 5 ns an element, since nobody can predict which side is taken; the product takes 0.1,
    and to see that g is finite, so that the product is right, as much again. `out` may be the factor.
    """
    if is_finite(g):
        return np.asarray(np.multiply(g, factor, out=out))
    zero = factor == 0
    with np.errstate(invalid="ignore"):  # 0 times infinity
        product = np.asarray(np.multiply(g, factor, out=out))
    np.copyto(product, 0, where=zero)
    return product


def choose_sum(weights: np.ndarray, g: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """weights^T g, where a weight of 0 counts for nothing, even if g is infinite or NaN there.

    weights (..., L, S), g (..., L, E) -> (..., S, E). In plain NumPy:

        np.sum(np.where(weights[..., None] == 0, 0, weights[..., None] * g[..., None, :]), axis=-3)

    The finite part of g is one product; what is infinite or NaN is added row by row.
    """
    finite = np.isfinite(g)
    total = np.matmul(weights.mT, np.where(finite, g, 0), out=out)
    infinite = np.where(finite, 0, g)
    for row in np.flatnonzero(~finite.all(axis=(*range(g.ndim - 2), -1))):
        total += choose(infinite[..., row, None, :], weights[..., row, :, None])  # (..., S, E)
    return total
