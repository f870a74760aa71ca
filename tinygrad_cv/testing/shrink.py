"""Smaller arguments that fail in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..engine.operands import DIFFERENTIABLE
from ..engine.pytrees import leaves, map_leaves
from ..typing import PyTree
from .message import GradMismatch
from .operation import Arguments

TRIES = 80
LARGEST = 100_000  # more elements are left as they are: each try would take long
FEW = 12  # of at most so many elements, each is tried alone


def shrink(
    mismatch: GradMismatch, args: Arguments, check: Callable[[Arguments], object]
) -> GradMismatch:
    """The same failure with the simplest arguments: axes cut short, values of few decimals.

    A cut is tried on all axes of one length at once, since axes that belong together have one
    length.
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
            if kind(again) == kind(mismatch):
                mismatch = again
                options = candidates(smaller)
        except Exception:  # the function does not take these arguments
            continue
    return mismatch


def kind(mismatch: GradMismatch) -> str:
    """The sort of a failure: the first words after the operation's name, and the pattern."""
    lines = str(mismatch).splitlines()
    patterns = [line.split(",")[0] for line in lines if line.startswith("  pattern:")]
    first_words = lines[0].partition(": ")[2][:20]
    return " ".join([first_words, *patterns])


def candidates(args: Arguments) -> Iterator[Arguments]:
    """Simpler arguments, the simplest first."""
    arrays = [leaf for leaf in leaves(list(args)) if isinstance(leaf, np.ndarray)]
    if sum(a.size for a in arrays) > LARGEST:
        return
    yield from _shorter(args, arrays)
    for decimals in (0, 1, 2):
        yield from _rounded(args, decimals)
    if len(arrays) <= 4 and sum(a.size for a in arrays) <= FEW:
        yield from _with_simple_elements(args, arrays)


def _shorter(args: Arguments, arrays: list[np.ndarray]) -> Iterator[Arguments]:
    """The arguments with all axes of one length cut short, the longest ones first."""
    lengths = {n for a in arrays for n in a.shape if n > 1}
    for length in sorted(lengths, reverse=True):
        for kept in sorted({1, 2, length // 2, length - 1} - {0, length}):
            shorten = lambda leaf: cut(leaf, length, kept)  # noqa: B023
            yield tuple(map_leaves(shorten, list(args)))


def cut(leaf: PyTree, length: int, kept: int) -> PyTree:
    """An array with all its axes of a length cut to fewer elements; other things as they are."""
    if not isinstance(leaf, np.ndarray):
        return leaf
    index = tuple(slice(kept if n == length else None) for n in leaf.shape)
    return leaf[index].copy()


def _rounded(args: Arguments, decimals: int) -> Iterator[Arguments]:
    """The arguments with all floating-point arrays rounded, if that changes anything."""
    new = map_leaves(lambda leaf: rounded(leaf, decimals), list(args))
    pairs = zip(leaves(list(args)), leaves(new), strict=True)
    if any(is_float(old) and not np.array_equal(old, other) for old, other in pairs):
        yield tuple(new)


def rounded(leaf: PyTree, decimals: int) -> PyTree:
    """A floating-point array with few decimals, and no -0.0; other things as they are."""
    return np.round(leaf, decimals) + 0.0 if is_float(leaf) else leaf


def is_float(leaf: object) -> bool:
    """Whether this is an array of real or complex floating-point numbers."""
    return isinstance(leaf, np.ndarray) and leaf.dtype.kind in DIFFERENTIABLE


def _with_simple_elements(args: Arguments, arrays: list[np.ndarray]) -> Iterator[Arguments]:
    """The arguments with one element of a floating-point array set to 0 or 1."""
    for which, array in enumerate(arrays):
        if not is_float(array):
            continue
        for index in np.ndindex(array.shape):
            if array[index] not in (0.0, 1.0):
                for simple in (0.0, 1.0):
                    yield replaced(args, which, index, simple)


def replaced(args: Arguments, which: int, index: tuple[int, ...], number: float) -> Arguments:
    """The arguments with one element of one array changed."""
    seen = -1

    def change(leaf: PyTree) -> PyTree:
        nonlocal seen
        if not isinstance(leaf, np.ndarray):
            return leaf
        seen += 1
        if seen != which:
            return leaf
        new = leaf.copy()
        new[index] = number
        return new

    return tuple(map_leaves(change, list(args)))
