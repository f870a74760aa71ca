"""How arrays lie in memory.

Images are (N, C, H, W), as in PyTorch. In memory the channels of a pixel lie side by side, as the
kernels leave them: the arrays are views of (N, H, W, C). NumPy's element-wise functions keep that
order, so it costs nothing to stay in it. Arrays in another order give the same values, but are
copied.
"""

from __future__ import annotations

import math

import numpy as np

from .geometry import Size


def as_rows(x: np.ndarray) -> np.ndarray:
    """(..., C) -> (rows, C); a matrix as it is."""
    if x.ndim == 2:
        return x
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])  # not -1: there may be no columns


def channels_last(x: np.ndarray) -> np.ndarray:
    """A view: (N, C, ...) -> (N, ..., C)."""
    image_axes = range(2, x.ndim)
    return x.transpose(0, *image_axes, 1)


def channels_first(x: np.ndarray) -> np.ndarray:
    """A view: (N, ..., C) -> (N, C, ...)."""
    last = x.ndim - 1
    return x.transpose(0, last, *range(1, last))


def framed(
    x: np.ndarray,
    size: Size,
    corner: Size,
) -> np.ndarray:
    """Images (n, H, W, C) inside zeros (n, height, width, C), with their first pixel at `corner`.

    Images that have that size already are given back as they are.
    """
    n, h, w, c = x.shape
    if (h, w) == size:
        return x
    top, left = corner
    frame = np.zeros((n, *size, c), x.dtype)
    frame[:, top : top + h, left : left + w] = x
    return frame


def add_bias(
    y: np.ndarray,
    bias: np.ndarray | None,
) -> None:
    """Add (F,), or (n, F) for each image its own, to outputs (n, H, W, F), in place.

    A line of pixels is one row, since NumPy is slow on rows of a few channels.
    """
    if bias is None:
        return
    n, h, w, f = y.shape
    lines = y.reshape(n, h, w * f)
    along_line = np.tile(bias, w)  # (W F,) or (n, W F)
    lines += along_line.reshape(-1, 1, w * f)
