"""Memory that suits the machine: where arrays begin, and what becomes of it when they are given back."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np

LINE = 64  # bytes of a cache line; a vector that straddles two costs twice
TILE = 1 << 16  # elements: a handful of float32 buffers of this size stay in a second-level cache of 2 MB
KEEP = 1 << 30  # bytes
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # the parameters of mallopt(3)


def keep_freed_memory() -> bool:
    """Let the process keep the memory of freed arrays for the next ones; whether the C library could be told so.

    A training step allocates the same large arrays again and again. By default glibc returns each one to the system,
    which then hands out, zeroes and maps fresh pages at the next allocation: a third of the time of a small ViT's step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library
        return False
    return all([mallopt(TRIM_THRESHOLD, KEEP), mallopt(MMAP_THRESHOLD, KEEP), mallopt(TOP_PAD, KEEP >> 4)])


def aligned(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Like `np.empty`, but beginning at a cache line."""
    size = math.prod((shape,) if isinstance(shape, int) else shape) * np.dtype(dtype).itemsize
    return np.asarray(on_a_line(np.empty(size + LINE, np.uint8), size).view(dtype).reshape(shape))


def on_a_line(memory: np.ndarray, size: int) -> np.ndarray:
    """So many bytes of a longer array of bytes, beginning at a cache line."""
    start = -memory.ctypes.data % LINE
    return memory[start : start + size]
