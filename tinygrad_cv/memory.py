"""How the C library treats memory that arrays have given back."""

from __future__ import annotations

import ctypes

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
