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

from ...engine.operands import is_complex
from ...tensor import unwrap
from ...typing import Array, Axis, DTypeLike, Shape
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
    obj: int,
    values: Array,
    axis: int | None = None,
) -> Array:
    """Values put in before one position along an axis."""
    if np.ndim(obj) or not isinstance(obj, (int, np.integer)):
        raise NotImplementedError(
            "np.insert on tensors takes one integer position; join the parts with np.concatenate"
        )
    arr = as_array(arr)
    if axis is None:
        arr, axis = np.ravel(arr), 0
    arr = np.moveaxis(arr, axis, 0)
    length, *rest = np.shape(arr)
    if not -length <= obj <= length:
        raise IndexError(f"np.insert: position {obj} along an axis of length {length}")
    if not is_complex(arr):
        refuse_complex(np.insert, values=values)
    values = at_least(values, np.ndim(arr))
    values = np.broadcast_to(values, (np.shape(values)[0], *rest))
    at = obj + length if obj < 0 else obj
    joined = np.concatenate([arr[:at], values, arr[at:]])
    return np.moveaxis(joined, 0, axis)


# Splitting.
@definition(np.array_split)
def array_split(
    ary: Array,
    indices_or_sections: int | Sequence[int],
    axis: int = 0,
) -> list[Array]:
    """Parts of (nearly) equal length, or between given ends."""
    length = np.shape(ary)[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        each, more = divmod(length, indices_or_sections)
        fewer = indices_or_sections - more
        ends = list(itertools.accumulate([each + 1] * more + [each] * fewer))
    else:
        ends = [*indices_or_sections, None]
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


# Padding.
@definition(
    np.pad,
    signature="array, pad_width, mode='constant', *, constant_values=0, reflect_type='even', "
    "end_values=None, stat_length=None",
)
def pad(
    array: Array,
    pad_width: Any,
    mode: str = "constant",
    constant_values: Any = 0,
    reflect_type: str = "even",
) -> Array:
    """A border of constants or of copies of elements, by the number of each."""
    numbers = np.arange(np.size(array)).reshape(np.shape(array))
    if mode == "constant":
        frame = np.zeros(np.shape(array), array.dtype)
        frame = np.pad(frame, pad_width, constant_values=constant_values)
        if np.size(array) == 0:
            return frame
        places = np.pad(numbers, pad_width, constant_values=-1)
        inside = np.ravel(array)[np.maximum(places, 0)]
        return np.where(places < 0, frame, inside)
    if mode not in ("edge", "reflect", "symmetric", "wrap") or reflect_type != "even":
        raise NotImplementedError(
            f"np.pad on tensors knows constant, edge, wrap, and (even) reflect and symmetric, "
            f"not {mode!r} with reflect_type={reflect_type!r}"
        )
    if np.any(np.not_equal(constant_values, 0)):
        raise ValueError(f"np.pad: constant_values are of the mode 'constant', not of {mode!r}")
    return np.ravel(array)[np.pad(numbers, pad_width, mode)]  # type: ignore[call-overload]
