"""Products with a factor that chooses: what is not chosen is exactly 0, never 0 times infinity."""

from __future__ import annotations

import math

import numpy as np


def is_finite(x: np.ndarray) -> bool:
    """Whether no element is infinite or NaN.

    Then the sum of squares is finite, which BLAS takes faster than NumPy looks at each element. It
    may overflow where all elements are finite: then this is False, and what follows only slower.
    `np.vdot` does not warn of that.
    """
    flat = x.ravel(order="K")
    return math.isfinite(np.vdot(flat, flat))


def choose(
    g: np.ndarray,
    factor: np.ndarray,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """g * factor, but 0 wherever the factor is 0, even if g is infinite or NaN there.

    In plain NumPy: np.where(factor == 0, 0, g * factor). That takes 3 to 5 ns an element, since no
    processor can predict which side is taken. The product takes 0.1 ns, and to see that g is
    finite, so that the product is right, takes less. `out` may be the factor.
    """
    if is_finite(g):
        return np.multiply(g, factor, out=out)
    zero = factor == 0
    with np.errstate(invalid="ignore"):  # 0 times infinity
        product = np.asarray(np.multiply(g, factor, out=out))
    np.copyto(product, 0, where=zero)
    return product


def choose_sum(
    weights: np.ndarray,
    g: np.ndarray,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """weights^T g, where a weight of 0 counts for nothing, even if g is infinite or NaN there.

    weights (..., L, S), g (..., L, E) -> (..., S, E). In plain NumPy:

        weights, g = weights[..., None], g[..., None, :]    # (..., L, S, 1), (..., L, 1, E)
        np.sum(np.where(weights == 0, 0, weights * g), axis=-3)

    What is finite goes by one product, and the few rows that have more are added one by one.
    """
    finite = np.isfinite(g)
    total = np.matmul(weights.mT, np.where(finite, g, 0), out=out)
    infinite = np.where(finite, 0, g)
    other_axes = (*range(g.ndim - 2), g.ndim - 1)
    for row in np.flatnonzero(~finite.all(axis=other_axes)):
        weight = weights[..., row, :, None]  # (..., S, 1)
        total += choose(infinite[..., row, None, :], weight)
    return total
