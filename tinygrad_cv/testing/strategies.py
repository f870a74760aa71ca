"""Hypothesis strategies for the arguments of array functions, whose values read well once they are shrunk."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

Array = Any  # an ndarray
Strategy = st.SearchStrategy[Any]

APART = 0.05  # no value comes nearer to a point that is to be avoided


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 1, max_side: int = 3) -> Strategy:
    """Shapes: `shapes(2, 2)` draws (1, 1), (3, 2), ..."""
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(
        tuple
    )


@functools.lru_cache(maxsize=256)
def _grid(low: float, high: float, avoid: tuple[float, ...], decimals: int) -> tuple[Array, Array]:
    """The decimals in a domain, the simplest first: with few digits, small, positive. And how many of them have at most
    0, 1, 2, ... digits behind the point (all, where there are none)."""
    unit = 10**decimals
    ticks = np.arange(int(np.ceil(low * unit - 1e-9)), int(np.floor(high * unit + 1e-9)) + 1)
    values = ticks / unit
    clear = np.all(np.abs(values[:, None] - np.array([*avoid, np.inf])) >= APART, axis=1)
    ticks, values = ticks[clear], values[clear]
    digits = sum((ticks % 10**k != 0).astype(int) for k in range(1, decimals + 1))
    ends = np.array([np.sum(digits <= k) or len(values) for k in range(decimals + 1)])
    return values[np.lexsort((values < 0, np.abs(values), digits))], ends


@st.composite
def arrays(
    draw: Any,
    /,
    shape: Any = None,
    dtype: Any = np.float64,
    domain: tuple[float, float] = (-2.0, 2.0),
    avoid: Sequence[float] = (),
    min_gap: float = 0.0,
    decimals: int = 3,
) -> Array:
    """Arrays of short decimals in a closed domain: `arrays((2, 3), domain=(0, 5), avoid=[1])`.

    `shape` is a tuple, a strategy, or None for `shapes()`. Values keep .05 away from the points of `avoid`, and with
    `min_gap` at least so far from each other. They shrink to 0, 1, -1, .5, ..., as far as those are allowed.
    """
    shape = shapes() if shape is None else shape
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else tuple(shape)
    size = int(np.prod(shape))
    grid, ends = _grid(float(domain[0]), float(domain[1]), tuple(map(float, avoid)), decimals)
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
    # Three bytes an element: how many decimals (a small byte: few), and which of the numbers that have no more.
    raw = (
        np.frombuffer(draw(st.binary(min_size=3 * size, max_size=3 * size)), np.uint8)
        .reshape(size, 3)
        .astype(int)
    )
    which = raw[:, 1] * 256 + raw[:, 2]
    if min_gap:
        left = grid.tolist()
        return np.array([left.pop(k % len(left)) for k in which.tolist()], dtype).reshape(shape)
    coarse = np.minimum(np.searchsorted((0, 4, 16), raw[:, 0]), decimals)
    return grid[which % ends[coarse]].reshape(shape).astype(dtype)


def _apart(grid: Array, gap: float) -> Array:
    """Which elements to keep, the first first, so that all differ by a gap. Where they'd lie too loosely, evenly."""
    order = np.argsort(grid)
    kept, last = [], -np.inf
    for i in order:
        if grid[i] - last >= gap - 1e-9:
            kept.append(i)
            last = grid[i]
    return np.sort(np.array(kept, int))


@st.composite
def broadcastable(
    draw: Any, /, n: int = 2, shape: Any = None, **settings: Any
) -> tuple[Array, ...]:
    """n arrays whose shapes broadcast: each drops leading axes, or has some of length 1."""
    full = draw(shapes() if shape is None else shape)
    result = []
    for _ in range(n):
        kept = full[draw(st.integers(0, len(full))) :]
        result.append(
            draw(arrays(tuple(1 if draw(st.booleans()) else k for k in kept), **settings))
        )
    return tuple(result)


@st.composite
def matmul_shapes(draw: Any, /, max_side: int = 3) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes for `@`: vectors, matrices, and batches of matrices that broadcast."""
    side = st.integers(1, max_side)
    rows, inner, columns = draw(side), draw(side), draw(side)
    batch = draw(shapes(0, 2, 1, 2))
    left, right = (
        tuple(1 if draw(st.booleans()) else k for k in batch[draw(st.integers(0, len(batch))) :])
        for _ in range(2)
    )
    first = (inner,) if not left and draw(st.booleans()) else (*left, rows, inner)
    second = (inner,) if not right and draw(st.booleans()) else (*right, inner, columns)
    return first, second


@st.composite
def matmul_inputs(draw: Any, /, **settings: Any) -> tuple[Array, Array]:
    """Two arrays for `@`."""
    first, second = draw(matmul_shapes())
    return draw(arrays(first, **settings)), draw(arrays(second, **settings))


def axes(ndim: int, *, none: bool = True, several: bool = True) -> Strategy:
    """The axis argument of a reduction of `ndim` axes: None, one axis, counted from either end, or a tuple of them."""
    kinds: list[Strategy] = [st.none()] if none else []
    if ndim:
        kinds.append(st.integers(-ndim, ndim - 1))
        if several:
            kinds.append(
                st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True).map(
                    tuple
                )
            )
    return st.one_of(*kinds) if kinds else st.none()


@st.composite
def array_and_axis(
    draw: Any, /, shape: Any = None, *, none: bool = True, several: bool = True, **settings: Any
) -> Any:
    """An array and an axis of it."""
    array = draw(arrays(shapes(1) if shape is None else shape, **settings))
    return array, draw(axes(array.ndim, none=none, several=several))


@st.composite
def indices(draw: Any, /, shape: tuple[int, ...]) -> Any:
    """What may stand in a[...]: integers, slices of either direction, ..., newaxis, integer arrays with duplicates and
    negative entries, masks, and tuples of these."""
    if shape and draw(st.integers(0, 5)) == 0:
        return draw(
            st.lists(st.booleans(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).map(
                lambda mask: np.array(mask).reshape(shape)
            )
        )
    parts: list[Any] = []
    advanced = draw(shapes(1, 2, 1, 3))  # one shape for all integer arrays, so that they broadcast
    used, skipped = draw(st.integers(0, len(shape))), draw(st.booleans())
    for length in shape[:used]:
        kind = draw(st.sampled_from(["slice", "integer", "array", "mask"]))
        if kind == "slice":
            edge = st.none() | st.integers(-length, length)
            parts.append(slice(draw(edge), draw(edge), draw(st.sampled_from([None, 1, 2, -1, -2]))))
        elif kind == "integer":
            parts.append(draw(st.integers(-length, length - 1)))
        elif kind == "array":
            size = int(np.prod(advanced))
            chosen = draw(st.lists(st.integers(-length, length - 1), min_size=size, max_size=size))
            parts.append(np.array(chosen, int).reshape(advanced))
        else:
            parts.append(slice(None))
        if draw(st.integers(0, 5)) == 0:
            parts.append(None)
    if skipped:
        parts.append(...)
    return parts[0] if len(parts) == 1 and draw(st.booleans()) else tuple(parts)


@st.composite
def einsum_cases(draw: Any, /, **settings: Any) -> tuple[Any, ...]:
    """Arguments of np.einsum: repeated letters, sums, an ellipsis, and output that is given or left to the rule."""
    letters = "ijk"
    sizes = {letter: draw(st.integers(1, 3)) for letter in letters}
    ellipsis = draw(st.booleans())
    extra = draw(shapes(1, 1)) if ellipsis else ()
    terms, operands = [], []
    for _ in range(draw(st.integers(1, 3))):
        term = "".join(draw(st.lists(st.sampled_from(letters), min_size=1, max_size=3)))
        front = tuple(1 if draw(st.booleans()) else n for n in extra)
        terms.append(("..." if ellipsis else "") + term)
        operands.append(draw(arrays((*front, *(sizes[letter] for letter in term)), **settings)))
    subscripts = ",".join(terms)
    if draw(st.booleans()):
        present = sorted(set("".join(terms)) - {"."})
        kept = draw(
            st.permutations(present).flatmap(lambda p: st.integers(0, len(p)).map(lambda n: p[:n]))
        )
        subscripts += "->" + ("..." if ellipsis else "") + "".join(kept)
    return (subscripts, *operands)


@st.composite
def attention_inputs(draw: Any, /, **settings: Any) -> tuple[Array, Array, Array, Array | None]:
    """Query (..., L, D), key (..., S, D), value (..., S, E), and a mask (L, S) that leaves each query a key, or None."""
    side = st.integers(1, 3)
    leading, queries, keys, width, out = (
        draw(shapes(0, 2, 1, 2)),
        draw(side),
        draw(side),
        draw(side),
        draw(side),
    )
    q, k, v = (
        draw(arrays((*leading, *s), **settings))
        for s in ((queries, width), (keys, width), (keys, out))
    )
    if draw(st.booleans()):
        return q, k, v, None
    mask = np.array(
        draw(st.lists(st.booleans(), min_size=queries * keys, max_size=queries * keys)), bool
    )
    mask = mask.reshape(queries, keys)
    mask[:, 0] |= ~mask.any(axis=1)
    return q, k, v, mask


@st.composite
def conv_inputs(draw: Any, /, **settings: Any) -> tuple[Array, Array, dict[str, Any]]:
    """Input (N, C, H, W), weight (F, C / groups, kh, kw), and the options stride, padding, dilation, groups."""
    small = st.integers(1, 2)
    n, groups, channels, filters = draw(small), draw(small), draw(small), draw(small)
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    options = {
        "stride": draw(small),
        "padding": draw(st.integers(0, 2)),
        "dilation": draw(small),
        "groups": groups,
    }
    least = [max(1, options["dilation"] * (k - 1) + 1 - 2 * options["padding"]) for k in kernel]
    height, width = (low + draw(st.integers(0, 3)) for low in least)
    x = draw(arrays((n, groups * channels, height, width), **settings))
    return x, draw(arrays((groups * filters, channels, *kernel), **settings)), options


@st.composite
def labels(draw: Any, /, shape: Any, classes: int) -> Array:
    """Class numbers below `classes`: integers of a shape."""
    size = int(np.prod(shape))
    return np.array(
        draw(st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)), int
    ).reshape(shape)


@st.composite
def well_conditioned(draw: Any, /, batch: tuple[int, ...] = (), side: Any = None) -> Array:
    """Square matrices that are far from singular: (*batch, n, n), with a diagonal that dominates."""
    n = draw(st.integers(1, 3)) if side is None else side
    a = draw(arrays((*batch, n, n), domain=(-1.0, 1.0)))
    return a + (n + 1) * np.eye(n)


@st.composite
def positive_definite(draw: Any, /, batch: tuple[int, ...] = (), side: Any = None) -> Array:
    """Symmetric positive definite matrices: (*batch, n, n)."""
    n = draw(st.integers(1, 3)) if side is None else side
    a = draw(arrays((*batch, n, n), domain=(-1.0, 1.0), decimals=1))
    return np.round(a @ np.swapaxes(a, -1, -2), 3) + np.eye(n)
