"""Nearest neighbours by Euclidean distance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK_ELEMENTS = 4_000_000  # distances are held in blocks of this many elements


def flatten(images: np.ndarray) -> np.ndarray:
    """(N, ...) -> (N, D) floating point; float32 stays float32."""
    images = np.asarray(images)
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(f"expected pictures of shape (N, ...) with N >= 1, got an array of shape {images.shape}")
    return images.reshape(len(images), -1).astype(np.result_type(images, np.float32), copy=False)


def distance_blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances of the rows of `a` (N, D) to all of `b` (M, D), a block of rows at a time.

    |a - b|^2 = |a|^2 - 2 a.b + |b|^2 is one matrix product, but rounds relative to the norms, not the distance.
    """
    rows = max(1, BLOCK_ELEMENTS // len(b))
    b_norms = np.einsum("md,md->m", b, b)
    for start in range(0, len(a), rows):
        block = a[start : start + rows]
        distances = block @ b.T  # (rows, M)
        distances *= -2
        distances += b_norms
        distances += np.einsum("nd,nd->n", block, block)[:, None]
        yield slice(start, start + len(block)), np.maximum(distances, 0, out=distances)


def nearest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The index in `b` (M, D) of the row nearest to each row of `a` (N, D): (N,) integers."""
    return np.concatenate([distances.argmin(axis=1) for _, distances in distance_blocks(a, b)])


