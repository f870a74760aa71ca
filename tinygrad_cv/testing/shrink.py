"""Smaller arguments that fail in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from ..engine.operands import DIFFERENTIABLE
from ..engine.pytrees import leaves, map_leaves
from ..typing import PyTree
from .clock import Clock, OutOfTime
from .message import GradMismatch
from .operation import Arguments
from .patterns import claim

TRIES = 60
SECONDS = 2.0  # the longest that is spent
MULTIPLE = 10  # of the first check's time: no longer than this, but at least half of SECONDS
LARGEST = 100_000  # more elements are left as they are: each try would take long
SHORT = 12  # a longer axis is not cut by a single element
FEW = 12  # of at most so many elements, each is tried alone

Check: TypeAlias = Callable[[Arguments, Clock], object]


def shrink(mismatch: GradMismatch, args: Arguments, check: Check, first: Clock) -> GradMismatch:
    """The same failure with the simplest arguments: axes cut short, values of few decimals.

    A cut is tried on all axes of one length at once, since axes that belong together have one
    length. Elements that differ stay apart, and become 0 or 1 only where the failure has a pattern,
    so that nothing is read from numbers that are the same by accident. A pattern is claimed only
    if the first arguments show it, too.

    first: the clock of the check that failed.
    """
    if first.over:
        left_out = "  left out for want of time: smaller arguments, second looks"
        text = str(mismatch).replace("\n  reproduce:", f"\n{left_out}\n  reproduce:")
        return mismatch.with_text(text)
    seconds = min(SECONDS, max(MULTIPLE * first.passed, SECONDS / 2), first.left)
    clock = Clock(seconds, strict=True)
    options = candidates(args)
    for _ in range(TRIES):
        smaller = next(options, None)
        if smaller is None or clock.over:
            break
        if not apart(args, smaller, bool(mismatch.patterns)):
            continue
        try:
            with np.errstate(all="ignore"):
                check(smaller, clock)
        except GradMismatch as again:
            if same_failure(mismatch, again):
                mismatch = again
                args = smaller
                options = candidates(smaller)
        except OutOfTime:
            break
        except Exception:  # the function does not take these arguments
            continue
    return mismatch


def same_failure(one: GradMismatch, other: GradMismatch) -> bool:
    """Whether two failures begin with the same words, and the second claims what the first does.

    It may claim more if the first compared some elements only, and no place where all are wrong.
    """
    if first_words(one) != first_words(other):
        return False
    more = other.whole and not one.whole
    of_one = [claim(pattern, not more) for pattern in one.patterns]
    of_other = [claim(pattern, not more) for pattern in other.patterns]
    if more:
        return {name for name, _ in of_one} <= {name for name, _ in of_other}
    if len(of_one) != len(of_other):
        return False
    pairs = zip(of_one, of_other, strict=True)
    return all(a == b and place in ("", there) for (a, there), (b, place) in pairs)


def first_words(mismatch: GradMismatch) -> str:
    """The first words after the operation's name."""
    return str(mismatch).splitlines()[0].partition(": ")[2][:20]


def apart(args: Arguments, others: Arguments, simple: bool) -> bool:
    """Whether elements that differ still do, in arrays of the same shapes.

    simple: whether they may become 0 or 1.
    """
    for one, other in zip(leaves(list(args)), leaves(list(others)), strict=True):
        if not is_float(one) or np.shape(one) != np.shape(other):
            continue
        became_simple = np.isin(other, (0, 1)) & ~np.isin(one, (0, 1))
        if became_simple.any() and not simple:
            return False
        if len(np.unique(one)) != len(np.unique(other)):
            return False
    return True


def candidates(args: Arguments) -> Iterator[Arguments]:
    """Simpler arguments, the simplest first."""
    arrays = [leaf for leaf in leaves(list(args)) if isinstance(leaf, np.ndarray)]
    if sum(a.size for a in arrays) > LARGEST:
        return
    yield from _shorter(args, arrays)
    for decimals in (0, 1, 2, 3):
        yield from _rounded(args, decimals)
    if len(arrays) <= 4 and sum(a.size for a in arrays) <= FEW:
        yield from _with_simple_elements(args, arrays)


def _shorter(args: Arguments, arrays: list[np.ndarray]) -> Iterator[Arguments]:
    """The arguments with all axes of one length cut short, the longest ones first."""
    lengths = {n for a in arrays for n in a.shape if n > 1}
    for length in sorted(lengths, reverse=True):
        slightly = length - 1 if length <= SHORT else 3 * length // 4
        for kept in sorted({1, 2, 3, length // 2, slightly} - {0, length}):
            if kept > length:
                continue
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
