"""The calculus table of rearrangements that are put together from reshaping, joining and indexing."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ...tensor import unwrap
from ..table import definition


@definition(np.permute_dims)
def permute_dims(a: Any, axes: Any = None) -> Any:
    return np.transpose(a, axes)


definition(np.rollaxis)(
    lambda a, axis, start=0: np.moveaxis(a, axis, start - (start > axis % np.ndim(a)))
)
definition(np.fliplr)(lambda m: np.flip(m, 1))
definition(np.flipud)(lambda m: np.flip(m, 0))


@definition(np.rot90)
def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    for _ in range(k % 4):
        m = np.flip(np.swapaxes(m, *axes), axes[0])
    return m


def _at_least(n: int) -> Any:
    """Axes of length 1 where NumPy puts them: in front, but a matrix gets its third axis behind."""

    def one(a: Any) -> Any:
        shape = np.shape(a)
        if len(shape) == 2 and n == 3:
            return np.reshape(a, (*shape, 1))
        if len(shape) == 1 and n == 3:
            return np.reshape(a, (1, *shape, 1))
        return np.reshape(a, (1,) * (n - len(shape)) + shape)

    return lambda *arrays: one(arrays[0]) if len(arrays) == 1 else tuple(map(one, arrays))


for _n, _function in enumerate((np.atleast_1d, np.atleast_2d, np.atleast_3d), start=1):
    definition(_function)(_at_least(_n))


@definition(np.hstack)
def hstack(tup: Any, **options: Any) -> Any:
    arrays = [np.atleast_1d(a) for a in tup]
    return np.concatenate(arrays, axis=0 if np.ndim(arrays[0]) == 1 else 1)


@definition(*{np.vstack, getattr(np, "row_stack", np.vstack)})
def vstack(tup: Any, **options: Any) -> Any:
    return np.concatenate([np.atleast_2d(a) for a in tup], axis=0)


definition(np.dstack)(lambda tup: np.concatenate([np.atleast_3d(a) for a in tup], axis=2))
definition(np.column_stack)(
    lambda tup: np.concatenate([a if np.ndim(a) > 1 else np.atleast_2d(a).T for a in tup], axis=1)
)


@definition(np.block)
def block(arrays: Any) -> Any:
    """Nested lists are joined along the last axis innermost, then along the one before, and so on."""

    def depth_of(nested: Any) -> int:
        return 1 + max(map(depth_of, nested)) if isinstance(nested, list) else 0

    def arrays_in(nested: Any) -> list[Any]:
        return (
            [a for part in nested for a in arrays_in(part)]
            if isinstance(nested, list)
            else [nested]
        )

    depth = depth_of(arrays)
    ndim = max(depth, *(np.ndim(a) for a in arrays_in(arrays)))

    def join(nested: Any, level: int) -> Any:
        if not isinstance(nested, list):
            return np.reshape(nested, (1,) * (ndim - np.ndim(nested)) + np.shape(nested))
        return np.concatenate([join(part, level - 1) for part in nested], axis=-level)

    return join(arrays, depth)


definition(np.append)(
    lambda arr, values, axis=None: np.concatenate(
        [np.ravel(arr), np.ravel(values)] if axis is None else [arr, values], axis=axis or 0
    )
)


@definition(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    length, before = np.shape(ary)[axis], (slice(None),) * (axis % np.ndim(ary))
    if isinstance(indices_or_sections, (int, np.integer)):
        each, more = divmod(length, indices_or_sections)
        ends = np.cumsum([0] + more * [each + 1] + (indices_or_sections - more) * [each]).tolist()
    else:
        ends = [0, *indices_or_sections, None]
    return [ary[(*before, slice(a, b))] for a, b in itertools.pairwise(ends)]


@definition(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    length = np.shape(ary)[axis]
    if isinstance(indices_or_sections, (int, np.integer)) and length % indices_or_sections:
        raise ValueError(
            f"np.split: {length} along axis {axis} does not divide into {indices_or_sections}; see np.array_split"
        )
    return array_split(ary, indices_or_sections, axis)


definition(np.hsplit)(
    lambda ary, indices_or_sections: split(ary, indices_or_sections, 1 if np.ndim(ary) > 1 else 0)
)
definition(np.vsplit)(lambda ary, indices_or_sections: split(ary, indices_or_sections, 0))
definition(np.dsplit)(lambda ary, indices_or_sections: split(ary, indices_or_sections, 2))
if hasattr(np, "unstack"):
    definition(np.unstack)(lambda x, /, *, axis=0: tuple(np.moveaxis(x, axis, 0)))


@definition(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(np.broadcast_to(a, shape) for a in args)


@definition(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    n = len(xi)
    grids = [np.reshape(x, [-1 if j == i else 1 for j in range(n)]) for i, x in enumerate(xi)]
    grids = [np.swapaxes(g, 0, 1) for g in grids] if indexing == "xy" and n > 1 else grids
    return tuple(grids) if sparse else broadcast_arrays(*grids)


@definition(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    a, axis = (np.ravel(a), 0) if axis is None else (np.atleast_1d(a), axis)
    return np.take(a, np.repeat(np.arange(np.shape(a)[axis]), repeats), axis=axis)


@definition(np.tile)
def tile(A: Any, reps: Any) -> Any:
    reps = tuple(np.ravel(reps).tolist())
    shape = (1,) * (len(reps) - np.ndim(A)) + np.shape(A)
    reps = (1,) * (len(shape) - len(reps)) + reps
    spread = np.reshape(A, [k for n in shape for k in (1, n)])  # (1, n, 1, m, ...)
    full = np.broadcast_to(spread, [k for r, n in zip(reps, shape, strict=True) for k in (r, n)])
    return np.reshape(full, [r * n for r, n in zip(reps, shape, strict=True)])


@definition(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    size = int(np.prod(new_shape, dtype=int))
    if np.size(a) == 0:
        return np.zeros(new_shape, a.dtype)
    return np.reshape(np.ravel(a)[np.arange(size) % np.size(a)], new_shape)


@definition(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", **options: Any) -> Any:
    """Padding that copies elements, by the index of each; constant padding by zeros beside the array."""
    positions = np.arange(np.size(array)).reshape(np.shape(array))
    if mode == "constant":
        frame = np.pad(np.zeros(np.shape(array), array.dtype), pad_width, **options)
        if np.size(array) == 0:
            return frame
        places = np.pad(positions, pad_width, constant_values=-1)
        return np.where(places < 0, frame, np.ravel(array)[np.maximum(places, 0)])
    if (
        mode not in ("edge", "reflect", "symmetric", "wrap")
        or options.get("reflect_type", "even") != "even"
    ):
        raise NotImplementedError(
            f"np.pad on tensors knows constant, edge, reflect, symmetric and wrap, not {mode} {options}"
        )
    return np.ravel(array)[np.pad(positions, pad_width, mode)]  # type: ignore[call-overload]


@definition(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    arr, axis = (np.ravel(arr), 0) if axis is None else (arr, axis)
    return np.take(arr, np.delete(np.arange(np.shape(arr)[axis]), obj), axis=axis)


@definition(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    arr, axis = (np.ravel(arr), 0) if axis is None else (arr, axis)
    if np.ndim(obj) > 1 or not isinstance(obj, (int, np.integer)):
        raise NotImplementedError(
            "np.insert on tensors takes one integer position; join the parts with np.concatenate"
        )
    arr = np.moveaxis(arr, axis, 0)
    values = (
        np.expand_dims(values, 0)
        if np.ndim(values) < np.ndim(arr)
        else np.moveaxis(values, axis, 0)
    )
    values = np.broadcast_to(values, (np.shape(values)[0], *np.shape(arr)[1:]))
    at = int(obj) % (np.shape(arr)[0] + 1) if obj >= 0 else np.shape(arr)[0] + int(obj)
    return np.moveaxis(np.concatenate([arr[:at], values, arr[at:]]), 0, axis)


@definition(np.trim_zeros)
def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """The box around what is not 0, along the axes."""
    places = np.nonzero(np.atleast_1d(unwrap(filt)))
    index = [slice(None)] * np.ndim(filt)
    for k in range(np.ndim(filt)) if axis is None else np.ravel(axis).tolist():
        kept = places[k] if len(places[k]) else np.array([np.shape(filt)[k], -1])
        first = int(kept.min()) if "f" in trim.lower() else None
        index[k] = slice(first, int(kept.max()) + 1 if "b" in trim.lower() else None)
    return filt[tuple(index)]


@definition(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    n = np.shape(x)[0] if N is None else N
    powers = [np.ones_like(x)]
    for _ in range(n - 1):
        powers.append(powers[-1] * x)
    return (
        np.stack(powers if increasing else powers[::-1], axis=-1)
        if n
        else np.zeros((np.shape(x)[0], 0), x.dtype)
    )


# Sorting is indexing at places that come from the values.
@definition(np.sort)
def sort(
    a: Any, axis: Any = -1, kind: Any = None, order: None = None, *, stable: Any = None
) -> Any:
    return np.take_along_axis(
        a,
        np.argsort(
            np.ravel(a) if axis is None else a,
            axis=0 if axis is None else axis,
            kind=kind,
            stable=stable,
        ),
        axis,
    )


@definition(np.partition)
def partition(
    a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: None = None
) -> Any:
    return np.take_along_axis(a, np.argpartition(a, kth, axis=axis), axis)


@definition(np.compress)
def compress(condition: Any, a: Any, axis: Any = None, out: None = None) -> Any:
    return np.take(a, np.flatnonzero(condition), axis=axis)


@definition(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    return np.ravel(arr)[np.flatnonzero(condition)]


@definition(np.choose)
def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    n = len(choices)
    a = a % n if mode == "wrap" else np.clip(a, 0, n - 1) if mode == "clip" else a
    if np.any((a < 0) | (a >= n)):
        raise ValueError(f"np.choose: choices are numbered 0 to {n - 1}")
    return np.select([a == i for i in range(n)], list(choices))


@definition(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """The first choice whose condition holds."""
    result = default
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        result = np.where(condition, choice, result)
    return result


definition(np.fft.fftshift)(lambda x, axes=None: _shift(x, axes, 1))
definition(np.fft.ifftshift)(lambda x, axes=None: _shift(x, axes, -1))


def _shift(x: Any, axes: Any, sign: int) -> Any:
    axes = (
        tuple(range(np.ndim(x)))
        if axes is None
        else (axes,)
        if isinstance(axes, int)
        else tuple(axes)
    )
    halves = tuple(sign * (np.shape(x)[i] // 2) for i in axes)
    return np.roll(x, halves, axes)
