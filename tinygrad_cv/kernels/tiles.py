"""Memory that suits the caches: element-wise work stretch by stretch, on buffers that begin at a cache line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

TILE = 1 << 16  # elements: a handful of float32 buffers of this size stay in a cache of 2 MB
LINE = 64  # bytes of a cache line; a vector that straddles two costs twice


def aligned(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Like `np.empty`, but beginning at a cache line."""
    memory = np.empty(math.prod((shape,) if isinstance(shape, int) else shape) * np.dtype(dtype).itemsize + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : memory.size - LINE + start].view(dtype).reshape(shape)


def tiles(*arrays: Any, buffers: int = 0) -> Iterator[list[Any]]:
    """The same stretch of each array (None stays None), flat, and so many buffers of its length and dtype.

    The arrays have one shape; those that are written to are contiguous.
    """
    flat = [None if a is None else a.reshape(-1) for a in arrays]
    size = min(TILE, len(flat[0]))
    rows = list(aligned((buffers, -(-size // 16) * 16), flat[0].dtype))  # each begins at a cache line
    for start in range(0, len(flat[0]), TILE):
        part = slice(start, start + TILE)
        yield [*(None if a is None else a[part] for a in flat), *(row[: len(flat[0]) - start][:size] for row in rows)]


def spans(rows: int, width: int) -> Iterator[slice]:
    """Slices of the rows of a matrix that are as large as a tile."""
    step = max(1, TILE // max(1, width))
    return (slice(start, start + step) for start in range(0, rows, step))
