"""Rows of a table, looked up by number."""

from __future__ import annotations

from typing import Any

from ..rules.index import scatter
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
    """Each row collects the gradients of all places where it was used."""
    return None, scatter(g, indices, weight.shape)
