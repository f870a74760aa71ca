"""Element-wise work stretch by stretch, so that what is worked on stays in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..machine import TILE, aligned


def tiles(first: Any, *others: Any, buffers: int = 0) -> Iterator[list[Any]]:
    """The same stretch of each array (None stays None), flat, and so many buffers of its length and dtype.

    The arrays have one shape; those that are written to are contiguous.
    """
    x = first.reshape(-1)
    flat = [x, *(None if a is None else a.reshape(-1) for a in others)]
    rows = aligned(
        (buffers, -(-min(TILE, x.size) // 16) * 16), x.dtype
    )  # each row begins at a cache line
    for start in range(0, x.size, TILE):
        part = slice(start, start + TILE)
        yield [
            *(None if a is None else a[part] for a in flat),
            *rows[:, : min(TILE, x.size - start)],
        ]


def spans(rows: int, width: int, size: int = TILE) -> Iterator[slice]:
    """Slices of the rows of a matrix that have `size` elements or somewhat fewer."""
    step = max(1, size // max(1, width))
    return (slice(start, start + step) for start in range(0, rows, step))
