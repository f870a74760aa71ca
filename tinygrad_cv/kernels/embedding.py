"""Rows of a table, looked up by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kernel import kernel


@kernel
def embedding(indices: Any, weight: Any) -> Any:
    """weight[indices]: integers (...) and a table (number, dimension) -> (..., dimension)."""
    return weight[indices]


@embedding.forward
def _(indices: Any, weight: Any) -> Any:
    if indices.dtype.kind not in "iu":
        raise TypeError(f"an embedding is looked up by integers, not {indices.dtype}")
    if indices.size and not 0 <= indices.min() <= indices.max() < len(weight):
        raise ValueError(
            f"indices from {indices.min()} to {indices.max()} do not fit a table of {len(weight)} rows, 0 to {len(weight) - 1}"
        )
    return weight[indices], None


@embedding.backward
def _(g: Any, indices: Any, weight: Any) -> Any:
    """Each row collects the gradients of all places where it was used: the product with the sparse one-hot matrix
    (places, number), transposed, which is far faster than `np.add.at`."""
    from scipy.sparse import csr_array  # when first used: nobody else waits for it

    ones, places = np.ones(indices.size, g.dtype), np.arange(indices.size + 1)
    one_hot = csr_array(
        (ones, indices.reshape(-1).astype(np.intp), places), shape=(indices.size, len(weight))
    )
    return None, one_hot.T @ g.reshape(indices.size, weight.shape[1])
