"""Rows of a table, looked up by number."""

from __future__ import annotations

import numpy as np

from ..typing import Array
from .kernel import kernel


@kernel(selects=True)
def embedding(indices: np.ndarray, weight: Array) -> Array:
    """weight[indices]: integers (...) and a table (num_embeddings, embedding_dim).

    -> (..., embedding_dim). Raises ValueError for indices outside the table, negative ones too.
    """
    return weight[indices]


@embedding.forward
def _(
    indices: np.ndarray,
    weight: np.ndarray,
) -> tuple[np.ndarray, None]:
    if indices.dtype.kind not in "iu":
        raise TypeError(f"an embedding is looked up by integers, not {indices.dtype}")
    if indices.size and not 0 <= indices.min() <= indices.max() < len(weight):
        raise ValueError(
            f"indices from {indices.min()} to {indices.max()} do not fit a table of "
            f"{len(weight)} rows, 0 to {len(weight) - 1}"
        )
    return weight[indices], None


@embedding.backward
def _(
    g: np.ndarray,
    indices: np.ndarray,
    weight: np.ndarray,
) -> tuple[None, np.ndarray]:
    """Each row of the table collects the gradients of all positions where it was used.

    That is a product with the sparse one-hot matrix (positions, num_embeddings), transposed, which
    is far faster than `np.add.at`.
    """
    from scipy.sparse import csr_array  # when first used: nobody else waits for it

    ones = np.ones(indices.size, g.dtype)
    columns = indices.reshape(-1).astype(np.intp)
    starts = np.arange(indices.size + 1)  # of the rows, which have one element each
    one_hot = csr_array((ones, columns, starts), shape=(indices.size, len(weight)))
    return None, one_hot.T @ g.reshape(indices.size, weight.shape[1])


@embedding.jvp
def _(weight_dot: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """y' = weight'[indices]."""
    return weight_dot[indices]
