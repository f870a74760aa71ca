"""How arrays lie in memory.

Images are (N, C, H, W), as in PyTorch. In memory the channels of a pixel lie side by side, as the
kernels leave them: the arrays are views of (N, H, W, C). NumPy's element-wise functions keep that
order, so it costs nothing to stay in it. Arrays in another order give the same values, but are copied.
"""

from __future__ import annotations

import numpy as np


def as_rows(x: np.ndarray) -> np.ndarray:
    """(..., C) -> (rows, C); a matrix as it is."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def channels_last(x: np.ndarray) -> np.ndarray:
    """A view: (N, C, ...) -> (N, ..., C)."""
    return x.transpose(0, *range(2, x.ndim), 1)


def channels_first(x: np.ndarray) -> np.ndarray:
    """A view: (N, ..., C) -> (N, C, ...)."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def framed(x: np.ndarray, size: tuple[int, int], corner: tuple[int, int]) -> np.ndarray:
    """Images (n, H, W, C) inside zeros (n, height, width, C), with their first pixel at `corner`."""
    n, h, w, c = x.shape
    if (h, w) == size:
        return x
    top, left = corner
    frame = np.zeros((n, *size, c), x.dtype)
    frame[:, top : top + h, left : left + w] = x
    return frame


def add_bias(y: np.ndarray, bias: np.ndarray | None) -> None:
    """Add (F,), or (n, F) for each image its own, to outputs (n, H, W, F), in place.

    A line of pixels is one row, since NumPy is slow on rows of a few channels.
    """
    if bias is None:
        return
    n, h, w, f = y.shape
    lines = y.reshape(n, h, w * f)
    lines += np.tile(bias, w).reshape(-1, 1, w * f)
