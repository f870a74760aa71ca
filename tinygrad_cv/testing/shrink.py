"""Smaller arguments that fail in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..engine.pytrees import leaves, map_leaves
from .message import GradMismatch

TRIES = 80
LARGEST = 100_000  # arguments with more elements are left as they are: each try would take long


def shrink(
    found: GradMismatch, args: tuple[Any, ...], check: Callable[[tuple[Any, ...]], Any]
) -> GradMismatch:
    """The failure with the simplest arguments that were found: axes cut short, values rounded to few decimals.

    A cut is tried on all axes of one length at once, since axes that belong together have one length.
    """
    options = candidates(args)
    for _ in range(TRIES):
        smaller = next(options, None)
        if smaller is None:
            break
        try:
            with np.errstate(all="ignore"):
                check(smaller)
        except GradMismatch as again:
            if kind(again) == kind(found):
                found, args = again, smaller
                options = candidates(args)
        except Exception:  # the function does not take these arguments
            continue
    return found


def kind(mismatch: GradMismatch) -> str:
    """What sort of failure it is: the first words after the operation's name, and the pattern."""
    lines = str(mismatch).splitlines()
    patterns = [line.split(",")[0] for line in lines if line.startswith("  pattern:")]
    return " ".join([lines[0].partition(": ")[2][:20], *patterns])


def candidates(args: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Simpler arguments, the simplest first."""
    arrays = [leaf for leaf in leaves(list(args)) if isinstance(leaf, np.ndarray)]
    if sum(a.size for a in arrays) > LARGEST:
        return
    for length in sorted({n for a in arrays for n in a.shape if n > 1}, reverse=True):
        for kept in sorted({1, 2, length // 2, length - 1} - {0, length}):
            yield tuple(map_leaves(lambda v: cut(v, length, kept), list(args)))  # noqa: B023
    for decimals in (0, 1, 2):
        yield from changed(args, lambda v: np.round(v, decimals) + 0.0)  # noqa: B023
    if len(arrays) <= 4 and sum(a.size for a in arrays) <= 12:
        for which, array in enumerate(arrays):
            for place in np.ndindex(array.shape):
                if array.dtype.kind == "f" and array[place] not in (0.0, 1.0):
                    for simple in (0.0, 1.0):
                        yield replaced(args, which, place, simple)


def cut(value: Any, length: int, kept: int) -> Any:
    """An array with all its axes of a length cut to fewer elements."""
    if not isinstance(value, np.ndarray):
        return value
    return value[tuple(slice(kept if n == length else None) for n in value.shape)].copy()


def changed(args: tuple[Any, ...], change: Callable[[Any], Any]) -> Iterator[tuple[Any, ...]]:
    """The arguments with all floating-point arrays changed, if that changes anything."""
    floats = lambda v: isinstance(v, np.ndarray) and v.dtype.kind == "f"
    new = tuple(map_leaves(lambda v: change(v) if floats(v) else v, list(args)))
    pairs = zip(leaves(list(args)), leaves(list(new)), strict=True)
    if any(floats(a) and not np.array_equal(a, b) for a, b in pairs):
        yield new


def replaced(
    args: tuple[Any, ...], which: int, place: tuple[int, ...], number: float
) -> tuple[Any, ...]:
    """The arguments with one element of one array changed."""
    count = iter(range(10**9))

    def change(v: Any) -> Any:
        if not isinstance(v, np.ndarray) or next(count) != which:
            return v
        new = v.copy()
        new[place] = number
        return new

    return tuple(map_leaves(change, list(args)))
