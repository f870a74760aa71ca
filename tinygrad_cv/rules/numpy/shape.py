"""The calculus table of moving elements about: reshaping, joining, repeating, sorting. Each is a linear map."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tensor import node_of
from ..table import definition, derivative, without_gradient

# Reshaping: the adjoint is the way back.
derivative(np.reshape, a=lambda g, a_shape, order: np.reshape(g, a_shape, order=order))
derivative(np.ravel, a=lambda g, a_shape, order: np.reshape(g, a_shape, order=order))
derivative(np.broadcast_to, array=lambda g: g)
derivative(np.squeeze, a=lambda g, a_shape: np.reshape(g, a_shape))
derivative(np.expand_dims, a=lambda g, a_shape: np.reshape(g, a_shape))
derivative(
    np.transpose,
    a=lambda g, axes: np.transpose(
        g, None if axes is None else np.argsort([i % g.ndim for i in axes])
    ),
)
derivative(np.matrix_transpose, x=lambda g: g.mT)
derivative(np.swapaxes, a=lambda g, axis1, axis2: np.swapaxes(g, axis1, axis2))
derivative(np.moveaxis, a=lambda g, source, destination: np.moveaxis(g, destination, source))
derivative(np.flip, m=lambda g, axis: np.flip(g, axis))
derivative(
    np.roll,
    a=lambda g, shift, axis: np.roll(
        g, tuple(-s for s in shift) if isinstance(shift, tuple) else -shift, axis
    ),
)
derivative(np.copy, a=lambda g: g)


@definition(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """A cast; one to integers leaves the graph, and must be asked for on t.detach()."""
    if np.dtype(dtype).kind != "f" and node_of(x) is not None:
        raise TypeError(
            f"a cast to {np.dtype(dtype)} has no gradient; write t.detach().astype({np.dtype(dtype)})"
        )
    return _cast(x, dtype)


def cast(x: Any, dtype: Any) -> Any:
    return x.astype(dtype)


_cast_rule = derivative(cast, x=lambda g: g)


def _cast(x: Any, dtype: Any) -> Any:
    return _cast_rule(x, dtype)


# Joining and splitting.
def _split(g: Any, shapes: list[tuple[int, ...]], axis: Any) -> list[Any]:
    """The parts of g that belong to the arrays that were joined."""
    if axis is None:
        ends = np.cumsum([int(np.prod(s, dtype=int)) for s in shapes])
        return [
            np.reshape(g[end - int(np.prod(s, dtype=int)) : end], s)
            for end, s in zip(ends, shapes, strict=True)
        ]
    before = (slice(None),) * (axis % g.ndim)
    ends = np.cumsum([s[axis] for s in shapes])
    return [g[(*before, slice(end - s[axis], end))] for end, s in zip(ends, shapes, strict=True)]


for _join in {np.concatenate, np.concat}:
    derivative(
        _join,
        signature="arrays, axis=0",
        arrays=lambda g, arrays_shape, axis: _split(g, arrays_shape, axis),
    )


@definition(np.stack)
def stack(arrays: Any, axis: int = 0, out: None = None, **options: Any) -> Any:
    return np.concatenate([np.expand_dims(a, axis) for a in arrays], axis=axis)


# Diagonals and triangles.
@definition(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    a = np.moveaxis(a, (axis1, axis2), (-2, -1))
    rows, columns = np.shape(a)[-2:]
    n = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    start = np.arange(n)
    return a[..., start + max(-offset, 0), start + max(offset, 0)]


@definition(np.trace)
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


@definition(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    if np.ndim(v) == 2:
        return np.diagonal(v, k)
    n = np.shape(v)[0] + abs(k)
    padded = np.concatenate([np.zeros(max(k, 0), v.dtype), v, np.zeros(max(-k, 0), v.dtype)])
    return np.eye(n, n, k, v.dtype) * padded


@definition(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    return diag(np.ravel(v), k)


def _lower(m: Any, k: int) -> Any:
    rows, columns = np.shape(m)[-2:]
    return np.tri(rows, columns, k, bool)


@definition(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    return np.where(_lower(m, k), m, 0)


@definition(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    return np.where(_lower(m, k - 1), 0, m)


without_gradient(np.shape, np.ndim, np.size)
without_gradient(
    np.zeros_like, np.ones_like, np.full_like, np.empty_like, np.result_type, np.shares_memory
)
