"""The calculus table of norms, and of the condition number, which is made of two.

A norm at 0 has gradient 0. The 2-norm, Frobenius' norm and those of other powers, which are roots,
have no second derivative there: it is refused, since 0 would be wrong for their squares. Those made
of |x| by sums and extremes have 0, as |x| has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import linalg

from ...tensor import unwrap
from ...typing import Array, Axis
from ..table import definition
from .elementwise import root, squared_size

Order = float | str | None  # of a norm


@definition(linalg.vector_norm)
def vector_norm(
    x: Array,
    axis: Axis = None,
    keepdims: bool = False,
    ord: Order = 2,
) -> Array:
    """(sum |x|^p)^(1/p), the largest and smallest |x|, the number of x that are not 0.

    At x = 0 the gradient is 0, and so it is in elements that are 0. The 2-norm has no second
    derivative at 0; its square is np.sum(x * x). Nor have those of other powers.
    """
    axis = axis if axis is None or isinstance(axis, tuple) else int(axis)
    if ord is None or ord == 2:
        return root(np.sum(squared_size(x), axis=axis, keepdims=keepdims))
    if ord == 0:
        return np.sum(unwrap(x) != 0, axis=axis, keepdims=keepdims, dtype=unwrap(x).real.dtype)
    size = np.abs(x)
    if ord == np.inf:
        return np.max(size, axis=axis, keepdims=keepdims, initial=0)
    if ord == -np.inf:
        return np.min(size, axis=axis, keepdims=keepdims)
    if ord == 1:
        return np.sum(size, axis=axis, keepdims=keepdims)
    if np.ndim(ord):  # one for each element, which makes no norm
        p = np.asarray(ord, size.dtype)
        return np.sum(size**p, axis=axis, keepdims=keepdims) ** (1 / p)
    return _power_norm(size, axis, keepdims, float(ord))


def _power_norm(
    size: Array,
    axis: Axis,
    keepdims: bool,
    p: float,
) -> Array:
    """(sum |x|^p)^(1/p), with zeros and infinite sums as constants.

    Where all is 0 it has a kink, as `root` has: a second derivative is refused.
    """
    zero = np.equal(size, 0)
    power_of_zero = 0.0 if p > 0 else np.inf
    powers = np.where(zero, power_of_zero, np.where(zero, 1, size) ** p)
    total = np.sum(powers, axis=axis, keepdims=keepdims)
    flat = np.equal(total, 0) | np.isinf(total)
    constant = unwrap(total) ** (1 / p)
    result = np.where(flat, constant, np.where(flat, 1, total) ** (1 / p))
    kink = np.equal(total, 0) & (p > 0)
    return np.where(kink, root(np.where(kink, total, 1)), result) if np.any(kink) else result


@definition(linalg.matrix_norm)
def matrix_norm(
    x: Array,
    keepdims: bool = False,
    ord: Order = "fro",
) -> Array:
    """The norm of the last two axes: Frobenius, nuclear, or induced (1, -1, 2, -2, inf, -inf)."""
    if ord in ("fro", "f", None):
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in ("nuc", 2, -2):
        parts = linalg.svdvals(x)
    elif ord in (1, -1):
        parts = np.sum(np.abs(x), axis=-2)
    else:
        parts = np.sum(np.abs(x), axis=-1)
    if ord == "nuc":
        result = np.sum(parts, axis=-1)
    elif float(ord) < 0:
        result = np.min(parts, axis=-1)
    else:
        result = np.max(parts, axis=-1, initial=0)
    return np.expand_dims(result, (-2, -1)) if keepdims else result


@definition(linalg.norm)
def norm(
    x: Array,
    ord: Order = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Array:
    """The norm of vectors or matrices, by the number of axes; without an order, of all."""
    if axis is None and (ord is None or np.ndim(x) == 1):
        return vector_norm(x, ord=ord, keepdims=keepdims)
    axis = tuple(range(np.ndim(x))) if axis is None else axis
    axis = axis if isinstance(axis, tuple) else (int(axis),)
    if len(axis) == 1:
        return vector_norm(x, ord=ord, axis=axis, keepdims=keepdims)
    moved = np.moveaxis(x, axis, (-2, -1))
    result = matrix_norm(moved, ord=ord, keepdims=keepdims)
    return np.moveaxis(result, (-2, -1), axis) if keepdims else result


@definition(linalg.cond)
def cond(x: Array, p: Any = None) -> Array:
    """The norm of x times that of its inverse: for the 2-norm, a ratio of singular values.

    That of a singular matrix is infinite, a constant.
    """
    value = linalg.cond(unwrap(x), p)
    regular = np.expand_dims(np.isfinite(value), (-2, -1))
    if not np.all(regular):
        identity = np.eye(*np.shape(x)[-2:], dtype=x.dtype)
        return np.where(regular[..., 0, 0], cond(np.where(regular, x, identity), p), value)
    if p in (None, 2, -2):
        s = linalg.svdvals(x)
        largest, smallest = s[..., 0], s[..., -1]
        return smallest / largest if p == -2 else largest / smallest
    return matrix_norm(x, ord=p) * matrix_norm(linalg.inv(x), ord=p)
