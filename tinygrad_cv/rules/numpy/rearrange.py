"""The calculus table of joining, splitting, repeating and padding arrays.

concatenate has a rule; the others are written in it and in indexing. What leaves all elements in
one array stands in `shape`, what picks some of them in `index`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ...engine.operands import DIFFERENTIABLE, is_complex
from ...tensor import unwrap
from ...typing import Array, ArrayLike, Axis, DTypeLike, Operand, Shape
from ..table import as_array, definition, derivative, refuse_complex
from .axes import along, at_least, axes_of

# Joining.


def _parts(g: Array, arrays_shape: Any, axis: int | None) -> Any:
    """The parts of g that belong to the arrays that were joined.

    A list; or an array, if the rows of one array were joined.
    """
    if type(arrays_shape) is not list:
        rows, *rest = arrays_shape
        return np.stack(_parts(g, [tuple(rest)] * rows, axis))
    lengths = [prod(shape) if axis is None else shape[axis] for shape in arrays_shape]
    ends = itertools.accumulate(lengths)
    parts = []
    for shape, length, end in zip(arrays_shape, lengths, ends, strict=True):
        own = slice(end - length, end)
        if axis is None:
            parts.append(np.reshape(g[own], shape))
        else:
            parts.append(g[along(axis, g.ndim, own)])
    return parts


for _join in dict.fromkeys((np.concatenate, np.concat)):
    derivative(
        _join,
        signature="arrays, /, axis=0, out=None, *, dtype=None, casting='same_kind'",
        arrays=_parts,
        linear=["arrays"],
        inert=("dtype", "casting"),
    )


@definition(np.stack)
def stack(
    arrays: Sequence[Array],
    axis: int = 0,
    dtype: DTypeLike | None = None,
    casting: Any = "same_kind",
) -> Array:
    """Arrays of one shape along a new axis."""
    expanded = [np.expand_dims(a, axis) for a in arrays]
    return np.concatenate(expanded, axis=axis, dtype=dtype, casting=casting)


@definition(np.hstack)
def hstack(
    tup: Sequence[Array], dtype: DTypeLike | None = None, casting: Any = "same_kind"
) -> Array:
    """Joined along the second axis, vectors along their only one."""
    arrays = [np.atleast_1d(a) for a in tup]
    axis = 0 if np.ndim(arrays[0]) == 1 else 1
    return np.concatenate(arrays, axis=axis, dtype=dtype, casting=casting)


@definition(*dict.fromkeys((np.vstack, getattr(np, "row_stack", np.vstack))))
def vstack(
    tup: Sequence[Array], dtype: DTypeLike | None = None, casting: Any = "same_kind"
) -> Array:
    """Joined along the first axis, vectors as rows."""
    rows = [np.atleast_2d(a) for a in tup]
    return np.concatenate(rows, axis=0, dtype=dtype, casting=casting)


@definition(np.dstack)
def dstack(tup: Sequence[Array]) -> Array:
    """Joined along the third axis."""
    return np.concatenate([np.atleast_3d(a) for a in tup], axis=2)


@definition(np.column_stack)
def column_stack(tup: Sequence[Array]) -> Array:
    """Matrices, and vectors as columns, side by side."""
    columns = []
    for a in tup:
        columns.append(a if np.ndim(a) > 1 else np.reshape(a, (-1, 1)))
    return np.concatenate(columns, axis=1)


@definition(np.block)
def block(arrays: Any) -> Array:
    """Nested lists are joined along the last axis innermost, then along the one before."""
    depth = _depth(arrays)
    ndim = max(depth, *(np.ndim(a) for a in _flattened(arrays)))

    def join(nested: Any, level: int) -> Array:
        if not isinstance(nested, list):
            return at_least(nested, ndim)
        return np.concatenate([join(part, level - 1) for part in nested], axis=-level)

    return join(arrays, depth)


def _depth(nested: Any) -> int:
    """How many lists lie in each other."""
    return 1 + max(map(_depth, nested)) if isinstance(nested, list) else 0


def _flattened(nested: Any) -> list[Array]:
    """The arrays in nested lists."""
    if not isinstance(nested, list):
        return [nested]
    return [a for part in nested for a in _flattened(part)]


@definition(np.append)
def append(arr: Array, values: Array, axis: int | None = None) -> Array:
    """One array behind another."""
    if axis is None:
        return np.concatenate([np.ravel(arr), np.ravel(values)])
    return np.concatenate([arr, values], axis=axis)


@definition(np.insert)
def insert(
    arr: Array,
    obj: ArrayLike | slice,
    values: Array,
    axis: int | None = None,
) -> Array:
    """Values put in before positions, along an axis or into the flattened array.

    NumPy inserts the numbers of the values among those of the elements; these are then picked.
    """
    arr, values = as_array(arr), as_array(values)
    if not is_complex(arr):
        refuse_complex(np.insert, values=values)
    own = np.arange(arr.size).reshape(arr.shape)
    new = np.arange(arr.size, arr.size + values.size).reshape(values.shape)
    both = np.concatenate([np.ravel(arr), np.ravel(values).astype(arr.dtype)])
    return both[np.insert(own, unwrap(obj), new, axis)]


# Splitting.
@definition(np.array_split)
def array_split(
    ary: Array,
    indices_or_sections: int | Sequence[int],
    axis: int = 0,
) -> list[Array]:
    """Parts of (nearly) equal length, or between given ends."""
    length = np.shape(ary)[axis]
    given: Any = indices_or_sections
    if np.ndim(given) == 0:
        each, more = divmod(length, int(given))
        fewer = int(given) - more
        ends = list(itertools.accumulate([each + 1] * more + [each] * fewer))
    else:
        ends = [*given, None]
    parts = []
    for start, end in itertools.pairwise([0, *ends]):
        parts.append(ary[along(axis, np.ndim(ary), slice(start, end))])
    return parts


@definition(np.split)
def split(
    ary: Array,
    indices_or_sections: int | Sequence[int],
    axis: int = 0,
) -> list[Array]:
    """Parts of equal length, or between given ends."""
    return array_split(ary, indices_or_sections, axis)


@definition(np.hsplit)
def hsplit(ary: Array, indices_or_sections: int | Sequence[int]) -> list[Array]:
    """Split along the second axis, vectors along their only one."""
    return split(ary, indices_or_sections, 1 if np.ndim(ary) > 1 else 0)


@definition(np.vsplit)
def vsplit(ary: Array, indices_or_sections: int | Sequence[int]) -> list[Array]:
    """Split along the first axis."""
    return split(ary, indices_or_sections, 0)


@definition(np.dsplit)
def dsplit(ary: Array, indices_or_sections: int | Sequence[int]) -> list[Array]:
    """Split along the third axis."""
    return split(ary, indices_or_sections, 2)


if hasattr(np, "unstack"):  # NumPy 2.1

    @definition(np.unstack)
    def unstack(x: Array, axis: int = 0) -> tuple[Array, ...]:
        """The slices along an axis."""
        return tuple(np.moveaxis(x, axis, 0))


# Repeating and leaving out, by the numbers of the elements.
@definition(np.repeat)
def repeat(
    a: Array,
    repeats: int | Sequence[int],
    axis: int | None = None,
) -> Array:
    """Each element several times, one behind the other."""
    if axis is None:
        a, axis = np.ravel(a), 0
    a = np.atleast_1d(a)
    numbers = np.arange(a.shape[axis])
    return np.take(a, np.repeat(numbers, repeats), axis=axis)


@definition(np.tile)
def tile(A: Array, reps: int | Sequence[int]) -> Array:
    """The whole array several times along its axes."""
    times = tuple(np.ravel(reps).tolist())
    A = at_least(A, len(times))
    times = (1,) * (A.ndim - len(times)) + times
    shape = A.shape
    spread = np.expand_dims(A, tuple(range(0, 2 * A.ndim, 2)))  # (1, n, 1, m, ...)
    pairs = list(zip(times, shape, strict=True))
    repeated = np.broadcast_to(spread, [k for pair in pairs for k in pair])  # (r, n, s, m, ...)
    return np.reshape(repeated, [r * n for r, n in pairs])


@definition(np.resize)
def resize(a: Array, new_shape: int | Shape) -> Array:
    """Another shape, filled with the elements as often as it takes."""
    if np.size(a) == 0:
        return np.zeros(new_shape, a.dtype)
    size = int(np.prod(unwrap(new_shape), dtype=int))
    numbers = np.arange(size) % np.size(a)
    return np.reshape(np.ravel(a)[numbers], new_shape)


@definition(np.delete)
def delete(arr: Array, obj: Any, axis: int | None = None) -> Array:
    """What is left without the slices of the given numbers."""
    if axis is None:
        arr, axis = np.ravel(arr), 0
    numbers = np.arange(np.shape(arr)[axis])
    return np.take(arr, np.delete(numbers, unwrap(obj)), axis=axis)


@definition(np.trim_zeros, signature="filt, trim='fb', axis=None")
def trim_zeros(
    filt: Array,
    trim: str = "fb",
    axis: Axis = None,
) -> Array:
    """The box around what is not 0, along the axes."""
    trim = trim.lower()
    numbers = np.nonzero(np.atleast_1d(unwrap(filt)))
    index = [slice(None)] * np.ndim(filt)
    for k in axes_of(axis, np.ndim(filt)):
        first, last = filt.shape[k], -1
        if len(numbers[k]):
            first, last = int(numbers[k].min()), int(numbers[k].max())
        start = first if "f" in trim else None
        end = last + 1 if "b" in trim else None
        index[k] = slice(start, end)
    return filt[tuple(index)]


# Padding: one axis after the other, so that a corner is the border of the last one.
STATISTICS = {"maximum": np.max, "minimum": np.min, "mean": np.mean, "median": np.median}
COPYING = ("edge", "reflect", "symmetric", "wrap")


@definition(
    np.pad,
    signature="array, pad_width, mode='constant', *, constant_values=0, reflect_type='even', "
    "end_values=0, stat_length=None",
)
def pad(
    array: Array,
    pad_width: int | Sequence[int],
    mode: Any = "constant",
    constant_values: Operand = 0,
    reflect_type: str = "even",
    end_values: Operand = 0,
    stat_length: int | Sequence[int] | None = None,
) -> Array:
    """A border of constants, of copies of elements, of ramps or of statistics.

    Raises NotImplementedError for the mode "empty", and for a function.
    """
    array = as_array(array)
    if callable(mode) or mode == "empty":
        raise NotImplementedError(
            f"np.pad on tensors has no mode {mode!r}: a border that is left empty has no value, "
            "and a function would write into it; join it to the array with np.concatenate"
        )
    if mode in COPYING and (reflect_type != "odd" or mode in ("edge", "wrap")):
        numbers = np.arange(np.size(array)).reshape(np.shape(array))
        return np.ravel(array)[np.pad(numbers, unwrap(pad_width), mode)]
    widths = _widths(pad_width, array.ndim)
    values = _pairs(end_values if mode == "linear_ramp" else constant_values, array)
    lengths = np.broadcast_to(np.array(stat_length, object), (array.ndim, 2)).tolist()
    for axis, (before, after) in enumerate(widths):
        if before == after == 0:
            continue
        if mode == "constant":
            border = (values[axis, 0], values[axis, 1])
        elif mode == "linear_ramp":
            border = _ramps(array, axis, (before, after), values[axis])
        elif mode in STATISTICS:
            border = _statistics(array, axis, lengths[axis], STATISTICS[mode])
        else:
            array = _reflected(array, axis, (before, after), mode == "symmetric")
            continue
        array = _framed(array, axis, (before, after), border)
    return array


def _widths(pad_width: Any, ndim: int) -> list[list[int]]:
    """How many elements come before and behind along each axis."""
    if not isinstance(pad_width, dict):
        return np.broadcast_to(unwrap(pad_width), (ndim, 2)).tolist()
    widths = np.zeros((ndim, 2), int)
    for axis, width in pad_width.items():
        widths[axis] = width
    return widths.tolist()


def _pairs(values: Any, array: Array) -> Array:
    """A value for each end of each axis, which must not be complex if the array is real."""
    if isinstance(values, (list, tuple)):
        values = np.stack(np.broadcast_arrays(*(_pairs_of_one(v) for v in values)))
    if not is_complex(array):
        refuse_complex(np.pad, values=values)
    return np.broadcast_to(values, (array.ndim, 2))


def _pairs_of_one(values: Any) -> Array:
    """A number, or several in a list, among which may be tensors."""
    several = isinstance(values, (list, tuple))
    return np.stack([as_array(v) for v in values]) if several else as_array(values)


def _framed(
    array: Array,
    axis: int,
    widths: tuple[int, int],
    border: tuple[Operand, Operand],
) -> Array:
    """An array between two borders along an axis, which are broadcast to their widths."""
    parts = []
    for width, value in zip(widths, border, strict=True):
        shape = list(array.shape)
        shape[axis] = width
        parts.append(np.broadcast_to(value, shape).astype(array.dtype))
    before, behind = parts
    return np.concatenate([before, array, behind], axis=axis)


def _ramps(
    array: Array,
    axis: int,
    widths: tuple[int, int],
    ends: Array,
) -> tuple[Array, Array]:
    """From a value at each end in equal steps to the element at the edge."""
    ramps = []
    for edge, width, end in zip((0, -1), widths, ends, strict=True):
        inner = np.take(array, edge, axis=axis)
        ramp = np.linspace(end, inner, width, endpoint=False, axis=axis)
        ramps.append(ramp if array.dtype.kind in DIFFERENTIABLE else np.floor(ramp))
    return ramps[0], np.flip(ramps[1], axis)


def _statistics(
    array: Array,
    axis: int,
    lengths: Sequence[int | None],
    statistic: Any,
) -> tuple[Array, Array]:
    """A statistic of the first elements, and one of the last, or twice that of all."""
    n = array.shape[axis]
    first, last = (n if length is None else min(length, n) for length in lengths)
    head = array[along(axis, array.ndim, slice(None, first))]
    tail = array[along(axis, array.ndim, slice(n - last, None))]
    both = [statistic(part, axis=axis, keepdims=True) for part in (head, tail)]
    if array.dtype.kind not in DIFFERENTIABLE:
        both = [np.round(value) for value in both]
    return both[0], both[0] if first == last == n else both[1]


def _reflected(
    array: Array,
    axis: int,
    widths: tuple[int, int],
    with_edge: bool,
) -> Array:
    """Reflected in the point at each edge, as often as it takes; a single element is repeated."""
    n = array.shape[axis]
    if n < 2:
        return _framed(array, axis, widths, (array, array))
    before, after = widths
    period = n if with_edge else n - 1
    rest = 1 - with_edge  # an edge that is not repeated
    while before > 0 or after > 0:
        length = (array.shape[axis] - rest) // period * period
        left, right = max(min(before, length), 0), max(min(after, length), 0)
        parts = [array]
        if left:
            first = array[along(axis, array.ndim, slice(None, 1))]
            inner = array[along(axis, array.ndim, slice(rest, rest + left))]
            parts.insert(0, 2 * first - np.flip(inner, axis))
        if right:
            end = array.shape[axis] - rest
            last = array[along(axis, array.ndim, slice(-1, None))]
            inner = array[along(axis, array.ndim, slice(end - right, end))]
            parts.append(2 * last - np.flip(inner, axis))
        array = np.concatenate(parts, axis=axis)
        before, after = before - left, after - right
    return array
