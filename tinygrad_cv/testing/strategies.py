"""Hypothesis strategies for the arguments of array functions; their values shrink to short ones."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st

from ..typing import Axis, DTypeLike, Shape

Draw: TypeAlias = st.DrawFn
Shapes: TypeAlias = st.SearchStrategy[Shape]
Index: TypeAlias = int | slice | np.ndarray | EllipsisType | None  # None: a new axis

APART = 0.05  # no value comes nearer to a point that is to be avoided
SMALL = st.integers(1, 2)
SIDE = st.integers(1, 3)


def shapes(
    min_dims: int = 0,
    max_dims: int = 3,
    min_side: int = 1,
    max_side: int = 3,
) -> Shapes:
    """Shapes: `shapes(2, 2)` draws (1, 1), (3, 2), ..."""
    side = st.integers(min_side, max_side)
    sides = st.lists(side, min_size=min_dims, max_size=max_dims)
    return sides.map(tuple)


# ---------------------------------------------------------------------------------------- arrays


@st.composite
def arrays(
    draw: Draw,
    /,
    shape: Shape | Shapes | None = None,
    dtype: DTypeLike = np.float64,
    domain: tuple[float, float] = (-2.0, 2.0),
    avoid: Sequence[float] = (),
    min_gap: float = 0.0,
    decimals: int = 3,
) -> np.ndarray:
    """Arrays of short decimals in a closed domain: `arrays((2, 3), domain=(0, 5), avoid=[1])`.

    `shape` is a tuple, a strategy, or None for `shapes()`. Values keep .05 away from the points of
    `avoid`, and with `min_gap` at least so far from each other. They shrink to 0, 1, -1, .5, ...,
    as far as those are allowed. With a complex `dtype` both parts are drawn so. Raises ValueError
    if no numbers are allowed, or too few.
    """
    shape = _drawn(draw, shape)
    if np.dtype(dtype).kind == "c":
        real = arrays(shape, domain=domain, avoid=avoid, min_gap=min_gap, decimals=decimals)
        return (draw(real) + 1j * draw(real)).astype(dtype)
    size = int(np.prod(shape))
    low, high = map(float, domain)
    grid, ends = _grid(low, high, tuple(map(float, avoid)), decimals)
    if not len(grid):
        raise ValueError(
            f"no number of {decimals} decimals lies in {domain} away from {list(avoid)}"
        )
    if min_gap:
        grid = grid[_apart(grid, min_gap)]
        if len(grid) < size:
            raise ValueError(
                f"{size} numbers that differ by {min_gap} do not fit into {domain}; widen it"
            )
    # Three bytes an element: how many decimals (a small byte: few), and which of the numbers that
    # have no more.
    number = 3 * size
    content = draw(st.binary(min_size=number, max_size=number))
    raw = np.frombuffer(content, np.uint8).reshape(size, 3)
    few, coarse, fine = raw.astype(int).T
    which = coarse * 256 + fine
    if min_gap:
        left = grid.tolist()
        values = np.array([left.pop(k % len(left)) for k in which.tolist()])
    else:
        digits = np.searchsorted((0, 4, 16), few)
        values = grid[which % ends[np.minimum(digits, decimals)]]
    return values.reshape(shape).astype(dtype)


def _drawn(draw: Draw, shape: Shape | Shapes | None) -> Shape:
    """A shape that is given, or drawn from a strategy, None from `shapes()`."""
    if shape is None:
        shape = shapes()
    if isinstance(shape, st.SearchStrategy):
        return draw(shape)
    return tuple(shape)


@functools.lru_cache(maxsize=256)
def _grid(
    low: float,
    high: float,
    avoid: tuple[float, ...],
    decimals: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The decimals in a domain, the simplest first: with few digits, small, positive.

    Also how many of them have at most 0, 1, 2, ... digits behind the point (all, where there are
    none).
    """
    unit = 10**decimals
    first = int(np.ceil(low * unit - 1e-9))
    last = int(np.floor(high * unit + 1e-9))
    ticks = np.arange(first, last + 1)
    values = ticks / unit
    points = np.array([*avoid, np.inf])
    clear = np.all(abs(values[:, None] - points) >= APART, axis=1)
    ticks = ticks[clear]
    values = values[clear]

    # The last k digits of a decimal are zeros where its tick divides by 10^k.
    divides = [ticks % 10**k == 0 for k in range(1, decimals + 1)]
    digits = decimals - np.sum(divides, axis=0)
    simplest_first = np.lexsort((values < 0, abs(values), digits))
    ends = []
    for k in range(decimals + 1):
        at_most = int(np.sum(digits <= k))
        ends.append(at_most or len(values))
    return values[simplest_first], np.array(ends)


def _apart(grid: np.ndarray, gap: float) -> np.ndarray:
    """The indices of elements, from the least upwards, that all differ by a gap."""
    kept = []
    last = -np.inf
    for i in np.argsort(grid):
        if grid[i] - last >= gap - 1e-9:
            kept.append(i)
            last = grid[i]
    return np.sort(np.array(kept, int))


@st.composite
def broadcastable(
    draw: Draw,
    /,
    n: int = 2,
    shape: Shapes | None = None,
    **settings: Any,
) -> tuple[np.ndarray, ...]:
    """n arrays whose shapes broadcast: each drops leading axes, or has some of length 1."""
    full = _drawn(draw, shape)
    drawn = []
    for _ in range(n):
        part = _subshape(draw, full)
        drawn.append(draw(arrays(part, **settings)))
    return tuple(drawn)


def _subshape(draw: Draw, full: Shape) -> Shape:
    """A shape that broadcasts with another: in half of the draws that itself."""
    if not draw(st.booleans()):
        return full
    dropped = draw(st.integers(0, len(full)))
    return _with_ones(draw, full[dropped:])


def _with_ones(draw: Draw, shape: Shape) -> Shape:
    """A shape in which some lengths are replaced by 1."""
    return tuple(1 if draw(st.booleans()) else length for length in shape)


# -------------------------------------------------------------------------------------- products


@st.composite
def matmul_shapes(
    draw: Draw,
    /,
    max_side: int = 3,
) -> tuple[Shape, Shape]:
    """Two shapes for `@`: vectors, matrices, and batches of matrices that broadcast."""
    side = st.integers(1, max_side)
    rows = draw(side)
    inner = draw(side)
    columns = draw(side)
    batch = draw(shapes(0, 2, 1, 2))
    left = _subshape(draw, batch)
    right = _subshape(draw, batch)
    first = (*left, rows, inner)
    if not left and draw(st.booleans()):
        first = (inner,)
    second = (*right, inner, columns)
    if not right and draw(st.booleans()):
        second = (inner,)
    return first, second


@st.composite
def matmul_inputs(
    draw: Draw,
    /,
    **settings: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays for `@`."""
    first, second = draw(matmul_shapes())
    left = draw(arrays(first, **settings))
    right = draw(arrays(second, **settings))
    return left, right


@st.composite
def einsum_cases(
    draw: Draw,
    /,
    **settings: Any,
) -> tuple[str | np.ndarray, ...]:
    """Arguments of np.einsum: subscripts and operands.

    With repeated letters, sums, an ellipsis, and output that is given or left to the rule.
    """
    letters = "ijk"
    sizes = {letter: draw(SIDE) for letter in letters}
    dots = "..." if draw(st.booleans()) else ""
    extra = draw(shapes(1, 1)) if dots else ()
    terms = []
    operands = []
    for _ in range(draw(SIDE)):
        term = draw(st.lists(st.sampled_from(letters), min_size=1, max_size=3))
        leading = _with_ones(draw, extra)
        sides = [sizes[letter] for letter in term]
        terms.append(dots + "".join(term))
        operands.append(draw(arrays((*leading, *sides), **settings)))
    subscripts = ",".join(terms)
    if draw(st.booleans()):
        present = {letter for letter in letters if letter in subscripts}
        kept = draw(st.permutations(sorted(present)).flatmap(_first_ones))
        subscripts += "->" + dots + "".join(kept)
    return (subscripts, *operands)


def _first_ones(order: Sequence[str]) -> st.SearchStrategy[Sequence[str]]:
    """The first n of a sequence, for any n."""
    number = st.integers(0, len(order))
    return number.map(lambda n: order[:n])


# ------------------------------------------------------------------------------- axes and indices


def axes(
    ndim: int,
    *,
    none: bool = True,
    several: bool = True,
) -> st.SearchStrategy[Axis]:
    """The axis argument of a reduction of `ndim` axes.

    None, one axis, counted from either end, or a tuple of them.
    """
    kinds: list[st.SearchStrategy[Axis]] = []
    if none or not ndim:
        kinds.append(st.none())
    if ndim:
        kinds.append(st.integers(-ndim, ndim - 1))
    if ndim and several:
        axis = st.integers(0, ndim - 1)
        lists = st.lists(axis, min_size=1, max_size=ndim, unique=True)
        kinds.append(lists.map(tuple))
    return st.one_of(*kinds)


@st.composite
def array_and_axis(
    draw: Draw,
    /,
    shape: Shape | Shapes | None = None,
    *,
    none: bool = True,
    several: bool = True,
    **settings: Any,
) -> tuple[np.ndarray, Axis]:
    """An array and an axis of it."""
    if shape is None:
        shape = shapes(1)
    array = draw(arrays(shape, **settings))
    axis = draw(axes(array.ndim, none=none, several=several))
    return array, axis


@st.composite
def indices(
    draw: Draw,
    /,
    shape: Shape,
) -> Index | tuple[Index, ...]:
    """What may stand in a[...].

    Integers, slices of either direction, ..., newaxis, integer arrays with duplicates and negative
    entries, masks, and tuples of these.
    """
    if shape and _seldom(draw):
        mask = _booleans(draw, int(np.prod(shape)))
        return mask.reshape(shape)
    parts: list[Index] = []
    advanced = draw(shapes(1, 2, 1, 3))  # one shape for all integer arrays, so that they broadcast
    used = draw(st.integers(0, len(shape)))
    ellipsis = draw(st.booleans())
    for length in shape[:used]:
        parts.append(_index_of_axis(draw, length, advanced))
        if _seldom(draw):
            parts.append(None)
    if ellipsis:
        parts.append(...)
    if len(parts) == 1 and draw(st.booleans()):
        return parts[0]
    return tuple(parts)


def _seldom(draw: Draw) -> bool:
    """True once in six times."""
    return draw(st.integers(0, 5)) == 0


def _index_of_axis(draw: Draw, length: int, advanced: Shape) -> Index:
    """An integer, a slice or an integer array of a shape, for an axis of a length."""
    position = st.integers(-length, length - 1)
    kind = draw(st.sampled_from(["slice", "integer", "array", "whole"]))
    if kind == "integer":
        return draw(position)
    if kind == "slice":
        edge = st.none() | st.integers(-length, length)
        start = draw(edge)
        stop = draw(edge)
        step = draw(st.sampled_from([None, 1, 2, -1, -2]))
        return slice(start, stop, step)
    if kind == "array":
        size = int(np.prod(advanced))
        chosen = draw(st.lists(position, min_size=size, max_size=size))
        return np.array(chosen, int).reshape(advanced)
    return slice(None)


def _booleans(draw: Draw, size: int) -> np.ndarray:
    """A boolean array (size,)."""
    values = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    return np.array(values, bool)


# ----------------------------------------------------------------------------------------- layers


@st.composite
def attention_inputs(
    draw: Draw,
    /,
    **settings: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Query (..., L, D), key (..., S, D), value (..., S, E), and a mask (L, S) or None.

    The mask leaves each query a key.
    """
    leading = draw(shapes(0, 2, 1, 2))
    queries = draw(SIDE)
    keys = draw(SIDE)
    width = draw(SIDE)
    value_width = draw(SIDE)
    query = draw(arrays((*leading, queries, width), **settings))
    key = draw(arrays((*leading, keys, width), **settings))
    value = draw(arrays((*leading, keys, value_width), **settings))
    if draw(st.booleans()):
        return query, key, value, None
    mask = _booleans(draw, queries * keys)
    mask = mask.reshape(queries, keys)  # (L, S)
    mask[:, 0] |= ~mask.any(axis=1)
    return query, key, value, mask


@st.composite
def conv_inputs(
    draw: Draw,
    /,
    **settings: Any,
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Input (N, C, H, W), weight (F, C / groups, kh, kw), and options.

    The options are stride, padding, dilation and groups.
    """
    n = draw(SMALL)
    groups = draw(SMALL)
    channels = draw(SMALL)
    filters = draw(SMALL)
    kernel = (draw(SIDE), draw(SIDE))
    stride = draw(SMALL)
    padding = draw(st.integers(0, 2))
    dilation = draw(SMALL)
    image = []
    for side in kernel:
        covered = dilation * (side - 1) + 1
        least = max(1, covered - 2 * padding)
        more = draw(st.integers(0, 3))
        image.append(least + more)
    x = draw(arrays((n, groups * channels, *image), **settings))
    weight = draw(arrays((groups * filters, channels, *kernel), **settings))
    options = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }
    return x, weight, options


@st.composite
def labels(
    draw: Draw,
    /,
    shape: Shape,
    classes: int,
) -> np.ndarray:
    """Class numbers below `classes`: integers of a shape."""
    size = int(np.prod(shape))
    label = st.integers(0, classes - 1)
    drawn = draw(st.lists(label, min_size=size, max_size=size))
    return np.array(drawn, int).reshape(shape)


# --------------------------------------------------------------------------------------- matrices


@st.composite
def well_conditioned(
    draw: Draw,
    /,
    batch: Shape = (),
    side: int | None = None,
) -> np.ndarray:
    """Square matrices that are far from singular: (*batch, n, n), with a dominant diagonal."""
    n = draw(SIDE) if side is None else side
    shape = (*batch, n, n)
    a = draw(arrays(shape, domain=(-1.0, 1.0)))
    return a + (n + 1) * np.eye(n)


@st.composite
def positive_definite(
    draw: Draw,
    /,
    batch: Shape = (),
    side: int | None = None,
) -> np.ndarray:
    """Symmetric positive definite matrices: (*batch, n, n)."""
    n = draw(SIDE) if side is None else side
    shape = (*batch, n, n)
    a = draw(arrays(shape, domain=(-1.0, 1.0), decimals=1))
    product: np.ndarray = a @ np.swapaxes(a, -1, -2)
    return np.round(product, 3) + np.eye(n)
