"""The calculus table of shapes: all elements stay, in another shape or order, or broadcast.

Reshaping, axes, flips and rolls, copies and casts. What picks elements stands in `index`, what
joins, splits or repeats them in `rearrange`. Each function is a linear map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engine.operands import DIFFERENTIABLE
from ...tensor import unwrap
from ...typing import Array, ArrayLike, DTypeLike, Operand, Shape
from ..table import as_array, definition, derivative
from .axes import at_least

# Reshaping: the adjoint is the way back.


def _index_order(order: str, *shapes: Shape) -> Any:
    """ "C" or "F", the order in which elements are read.

    "A" and "K" mean the order in memory, which a gradient need not share; without influence where
    there is one axis only. Raises ValueError elsewhere.
    """
    if order in ("C", "F"):
        return order
    if all(sum(n != 1 for n in shape) <= 1 for shape in shapes):
        return "C"
    raise ValueError(
        f"order={order!r} depends on how an array lies in memory, and so has no gradient; "
        'write order="C" or order="F"'
    )


def _reshape_back(g: Array, a_shape: Shape, order: str) -> Array:
    return np.reshape(g, a_shape, order=_index_order(order, a_shape, g.shape))


def _same_elements(g: Array, a_shape: Shape) -> Array:
    return np.reshape(g, a_shape)


derivative(np.reshape, a=_reshape_back, linear="a", inert=("shape", "newshape", "copy"))
derivative(np.ravel, a=_reshape_back, linear="a")
derivative(np.squeeze, a=_same_elements, linear="a", inert=("axis",))
derivative(np.expand_dims, a=_same_elements, linear="a", inert=("axis",))
derivative(np.broadcast_to, array=lambda g: g, linear=["array"], inert=("shape", "subok"))


def _transpose_back(g: Array, axes: Sequence[int] | None) -> Array:
    if axes is None:
        return np.transpose(g)
    positions = [i % g.ndim for i in axes]
    return np.transpose(g, np.argsort(positions))


# Axes and order.
derivative(np.transpose, a=_transpose_back, linear="a")  # and np.permute_dims, which is the same
derivative(np.matrix_transpose, x=lambda g: g.mT, linear="x")
derivative(np.swapaxes, linear="a", a=lambda g, axis1, axis2: np.swapaxes(g, axis1, axis2))
derivative(
    np.moveaxis, linear="a", a=lambda g, source, destination: np.moveaxis(g, destination, source)
)
derivative(np.flip, linear="m", m=lambda g, axis: np.flip(g, axis))
derivative(np.roll, linear="a", a=lambda g, shift, axis: np.roll(g, np.negative(shift), axis))


@definition(np.rollaxis)
def rollaxis(a: Array, axis: int, start: int = 0) -> Array:
    """One axis moved to before another."""
    start = start + np.ndim(a) if start < 0 else start
    passed = start > axis % np.ndim(a)
    return np.moveaxis(a, axis, start - passed)


@definition(np.fliplr)
def fliplr(m: Array) -> Array:
    """The columns in reverse order."""
    return np.flip(m, 1)


@definition(np.flipud)
def flipud(m: Array) -> Array:
    """The rows in reverse order."""
    return np.flip(m, 0)


@definition(np.rot90, refused=("k",))
def rot90(m: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """k quarter turns, from the first axis towards the second."""
    first, second = axes
    if k % 4 == 2:
        return np.flip(np.flip(m, first), second)
    if k % 4 == 1:
        return np.swapaxes(np.flip(m, second), first, second)
    return m if k % 4 == 0 else np.flip(np.swapaxes(m, first, second), second)


# More axes, more of the same.
def _one_or_several(arrays: list[Array]) -> Any:
    """One array by itself, several as a tuple."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


@definition(np.atleast_1d)
def atleast_1d(arys: tuple[Array, ...]) -> Any:
    """A number becomes (1,)."""
    return _one_or_several([at_least(a, 1) for a in arys])


@definition(np.atleast_2d)
def atleast_2d(arys: tuple[Array, ...]) -> Any:
    """(n,) becomes (1, n)."""
    return _one_or_several([at_least(a, 2) for a in arys])


@definition(np.atleast_3d)
def atleast_3d(arys: tuple[Array, ...]) -> Any:
    """(n,) becomes (1, n, 1) and (m, n) becomes (m, n, 1)."""
    results = []
    for a in arys:
        a = at_least(a, 2)
        results.append(np.expand_dims(a, -1) if a.ndim == 2 else a)
    return _one_or_several(results)


@definition(np.broadcast_arrays, inert=("subok",))
def broadcast_arrays(args: tuple[Array, ...]) -> tuple[Array, ...]:
    """All arrays in their common shape."""
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(np.broadcast_to(a, shape) for a in args)


@definition(np.meshgrid, inert=("copy",))
def meshgrid(
    xi: tuple[Array, ...], sparse: bool = False, indexing: str = "xy"
) -> tuple[Array, ...]:
    """Coordinate vectors as grids: the i-th varies along axis i.

    With "xy" the first two axes change places.
    """
    n = len(xi)
    grids = []
    for i, x in enumerate(xi):
        behind = (1,) * (n - 1 - i)
        grid = np.reshape(x, (1,) * i + (-1, *behind))  # (1, ..., len(x), ..., 1)
        if indexing == "xy" and n > 1:
            grid = np.swapaxes(grid, 0, 1)
        grids.append(grid)
    return tuple(grids) if sparse else np.broadcast_arrays(*grids)


@definition(np.ix_)
def ix_(args: tuple[Array, ...]) -> tuple[Array, ...]:
    """Sequences as an open mesh: the i-th along axis i."""
    grids = []
    for i, x in enumerate(args):
        behind = (1,) * (len(args) - 1 - i)
        grids.append(np.reshape(x, (1,) * i + (-1, *behind)))  # (1, ..., n, ..., 1)
    return tuple(grids)


# Copies and casts.
derivative(np.copy, a=lambda g: g, elementwise=True, inert=("order", "subok"))


def cast(x: Array, dtype: DTypeLike) -> Array:
    """x in another floating-point type; the engine casts the gradient back."""
    return x.astype(dtype)


cast = derivative(cast, x=lambda g: g, elementwise=True, inert=("dtype",))


@definition(np.astype, inert=("copy", "device"))
def astype(x: Array, dtype: DTypeLike) -> Array:
    """A cast. Raises TypeError where one to integers would leave the graph in silence, and where
    imaginary parts would be lost."""
    new = np.dtype(dtype)
    if new.kind not in DIFFERENTIABLE and getattr(x, "requires_grad", False):
        raise TypeError(f"a cast to {new} has no gradient; write t.detach().astype({new})")
    if x.dtype.kind == "c" and new.kind != "c":
        raise TypeError(f"a cast of {x.dtype} to {new} loses the imaginary part; write t.real")
    return cast(x, new)


@definition(np.full, inert=("order", "device", "like"))
def full(
    shape: Any,
    fill_value: Operand,
    dtype: DTypeLike | None = None,
) -> Array:
    """One value, or an array that broadcasts, in another shape."""
    values = as_array(fill_value)
    values = np.reshape(values, values.shape[max(0, values.ndim - np.size(shape)) :])
    return np.broadcast_to(values, shape).astype(values.dtype if dtype is None else dtype)


@definition(np.full_like, inert=("order", "subok", "device"))
def full_like(
    a: ArrayLike,
    fill_value: Operand,
    dtype: DTypeLike | None = None,
    shape: Any = None,
) -> Array:
    """The same in the shape and dtype of a."""
    like = np.empty_like(unwrap(a), dtype=dtype, shape=shape)
    return full(like.shape, fill_value, like.dtype)
