"""Nearest neighbours by Euclidean distance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK_ELEMENTS = 4_000_000  # distances are held in blocks of this many elements


def flatten(images: np.ndarray) -> np.ndarray:
    """(N, ...) -> (N, D) floating point; float32 stays float32.

    Raises ValueError if there is no image, or no axis to count them along.
    """
    images = np.asarray(images)
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(
            f"expected images of shape (N, ...) with N >= 1, got an array of shape {images.shape}"
        )
    floating = np.result_type(images, np.float32)
    return images.reshape(len(images), -1).astype(floating, copy=False)  # (N, D)


def distance_blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances of the rows of `a` (N, D) to all of `b` (M, D), a block of rows at a time.

    |a - b|^2 = |a|^2 - 2 a.b + |b|^2 is one matrix product, but it rounds relative to the norms,
    not to the distance.
    """
    rows = max(1, BLOCK_ELEMENTS // len(b))
    b_norms = np.einsum("md,md->m", b, b)
    for start in range(0, len(a), rows):
        block = a[start : start + rows]
        distances = block @ b.T  # (rows, M)
        distances *= -2
        distances += b_norms
        distances += np.einsum("nd,nd->n", block, block)[:, None]
        np.maximum(distances, 0, out=distances)
        yield slice(start, start + len(block)), distances


def nearest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The index in `b` (M, D) of the row nearest to each row of `a` (N, D): (N,) integers."""
    indices = [distances.argmin(axis=1) for _, distances in distance_blocks(a, b)]
    return np.concatenate(indices)
