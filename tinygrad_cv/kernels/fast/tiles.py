"""Work on one block after the other, so that what is worked on stays in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...machine import CACHE_LINE, TILE, aligned


def blocks(
    count: int,
    elements: int = 1,
    limit: int = TILE,
) -> Iterator[slice]:
    """Slices of `count` items that have so many `elements` each, at most `limit` elements a slice.

    An item with more elements than that goes alone.
    """
    step = max(1, limit // max(1, elements))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def tiles(
    first: np.ndarray,
    *others: np.ndarray | None,
    buffers: int = 0,
) -> Iterator[list[Any]]:
    """The same stretch of each array (None stays None), flat, and so many buffers of its length.

    The arrays have one shape; those that are written to are contiguous. The buffers have the dtype
    of the first array, and each begins at a cache line.
    """
    arrays = [None if a is None else a.reshape(-1) for a in (first, *others)]
    line = CACHE_LINE // first.itemsize  # elements
    lines = -(-min(TILE, first.size) // line)
    scratch = aligned((buffers, lines * line), first.dtype)
    for part in blocks(first.size):
        length = part.stop - part.start
        stretches = [None if a is None else a[part] for a in arrays]
        yield [*stretches, *scratch[:, :length]]
