"""Products of a long matrix and a small one."""

from __future__ import annotations

import numpy as np

from ...machine import PIECE_MIN_ROWS, PRODUCTS_UNCOPIED


def multiply(
    a: np.ndarray,
    b: np.ndarray,
    out: np.ndarray,
) -> np.ndarray:
    """a @ b, written to `out`: (..., R, K) @ (..., K, F) -> (..., R, F), with many rows R.

    OpenBLAS multiplies matrices of up to a million products as they lie. It copies larger ones
    first, which takes a third of the time where K or F is small. So the rows go in pieces below
    that size, unless the pieces would be too short.
    """
    k, f = b.shape[-2:]
    rows = a.shape[-2]
    piece = PRODUCTS_UNCOPIED // max(1, k * f)
    piece -= piece % 16
    if piece < PIECE_MIN_ROWS or rows <= piece:
        return np.matmul(a, b, out=out)
    whole = rows - rows % piece
    pieces = cut(a[..., :whole, :], piece)
    products = cut(out[..., :whole, :], piece)
    np.matmul(pieces, b[..., None, :, :], out=products)
    rest = out[..., whole:, :]
    np.matmul(a[..., whole:, :], b, out=rest)
    return out


def cut(x: np.ndarray, piece: int) -> np.ndarray:
    """A view: (..., R, K) -> (..., pieces, piece, K)."""
    *leading, rows, k = x.shape
    return x.reshape(*leading, rows // piece, piece, k)
