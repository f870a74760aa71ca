"""Products of a long matrix and a small one."""

from __future__ import annotations

import numpy as np

from ...machine import PIECE_MIN_ROWS, PRODUCTS_UNCOPIED


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """a @ b, written to `out`: (..., R, K) @ (..., K, F) -> (..., R, F), with many rows R.

    OpenBLAS multiplies matrices of up to a million products as they lie. It copies larger ones first,
    which takes a third of the time where K or F is small. So the rows go in pieces below that size,
    unless the pieces would be too short.
    """
    r, k = a.shape[-2:]
    f = b.shape[-1]
    piece = PRODUCTS_UNCOPIED // max(1, k * f) // 16 * 16  # rows
    if piece < PIECE_MIN_ROWS or r <= piece:
        return np.matmul(a, b, out=out)
    whole = r - r % piece
    small = b[..., None, :, :]
    np.matmul(_pieces(a[..., :whole, :], piece), small, out=_pieces(out[..., :whole, :], piece))
    np.matmul(a[..., whole:, :], b, out=out[..., whole:, :])
    return out


def _pieces(x: np.ndarray, rows: int) -> np.ndarray:
    """A view: (..., R, K) -> (..., pieces, rows, K)."""
    return x.reshape(*x.shape[:-2], -1, rows, x.shape[-1])
