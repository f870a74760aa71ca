"""Products of a long matrix and a small one."""

from __future__ import annotations

from typing import Any

import numpy as np

SMALL, SHORT = 10**6, 96


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Any:
    """a @ b, written to `out`: (..., R, K) @ (..., K, F) -> (..., R, F), with many rows R.

    OpenBLAS multiplies matrices of up to a million products as they lie, and copies larger ones first, which takes a third
    of the time where K or F is small: so the rows go in pieces below that, unless those would be shorter than 96.
    """
    (r, k), f = a.shape[-2:], b.shape[-1]
    piece = SMALL // max(1, k * f) // 16 * 16
    if piece < SHORT or r <= piece:
        return np.matmul(a, b, out=out)
    whole = r - r % piece

    def cut(rows: np.ndarray) -> Any:
        """(..., R, K) -> (..., pieces, piece, K), a view."""
        return rows[..., :whole, :].reshape(*rows.shape[:-2], -1, piece, rows.shape[-1])

    np.matmul(cut(a), b[..., None, :, :], out=cut(out))
    np.matmul(a[..., whole:, :], b, out=out[..., whole:, :])
    return out
