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
    size = math.prod((shape,) if isinstance(shape, int) else shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return np.asarray(memory[start : start + size].view(dtype).reshape(shape))


def tiles(first: Any, *others: Any, buffers: int = 0) -> Iterator[list[Any]]:
    """The same stretch of each array (None stays None), flat, and so many buffers of its length and dtype.

    The arrays have one shape; those that are written to are contiguous.
    """
    x = first.reshape(-1)
    flat = [x, *(None if a is None else a.reshape(-1) for a in others)]
    rows = aligned((buffers, -(-min(TILE, x.size) // 16) * 16), x.dtype)  # each row begins at a cache line
    for start in range(0, x.size, TILE):
        part = slice(start, start + TILE)
        yield [*(None if a is None else a[part] for a in flat), *rows[:, : min(TILE, x.size - start)]]


def spans(rows: int, width: int, size: int = TILE) -> Iterator[slice]:
    """Slices of the rows of a matrix that have `size` elements or somewhat fewer."""
    step = max(1, size // max(1, width))
    return (slice(start, start + step) for start in range(0, rows, step))
