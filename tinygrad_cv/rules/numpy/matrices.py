"""What the rules of numpy.linalg say of matrices in stacks (..., m, n)."""

from __future__ import annotations

import numpy as np
from numpy import linalg

from ...engine.operands import conjugate
from ...tensor import unwrap
from ...typing import Array


def as_number(x: Array) -> Array:
    """(...) -> (..., 1, 1)."""
    return np.expand_dims(x, (-2, -1))


def as_row(x: Array) -> Array:
    """(..., n) -> (..., 1, n)."""
    return np.expand_dims(x, -2)


def as_column(x: Array) -> Array:
    """(..., n) -> (..., n, 1)."""
    return np.expand_dims(x, -1)


def identity(n: int, like: Array) -> np.ndarray:
    """The identity matrix in the dtype of another array."""
    return np.eye(n, dtype=like.dtype)


def diagonal_matrix(x: Array) -> Array:
    """(..., n) -> (..., n, n) with x on the diagonal."""
    return as_column(x) * identity(np.shape(x)[-1], x)


def diagonal_of(x: Array) -> Array:
    """(..., n, n) -> (..., n), the diagonal."""
    return np.diagonal(x, axis1=-2, axis2=-1)


def mh(x: Array) -> Array:
    """x^H, the conjugate transpose of a matrix; of a real one the transpose."""
    return conjugate(x).mT


def hermitian_part(x: Array) -> Array:
    """The Hermitian part of a matrix; of a real one the symmetric part."""
    return (x + mh(x)) / 2


def skew_part(x: Array) -> Array:
    """The skew-Hermitian part of a matrix."""
    return (x - mh(x)) / 2


def sizes(a: Array) -> tuple[int, int]:
    """Rows and columns of a matrix. Raises LinAlgError if it has fewer axes."""
    shape = np.shape(a)
    if len(shape) < 2:
        raise linalg.LinAlgError(
            f"a matrix, or a batch of matrices, is needed, not an array of shape {shape}"
        )
    return shape[-2], shape[-1]


def is_negligible(difference: Array, size: Array, n: int) -> np.ndarray:
    """Whether a number is 0 up to the rounding of n numbers of a size."""
    plain = unwrap(difference)
    return np.abs(plain) <= n * np.finfo(plain.dtype).eps * unwrap(size)


def largest_of(m: Array) -> np.ndarray:
    """(..., m, n) -> (..., 1, 1), the size of the largest element."""
    return np.max(np.abs(unwrap(m)), axis=(-2, -1), keepdims=True, initial=0)


def refuse_where(where: np.ndarray, used: Array, error: str) -> None:
    """Raise LinAlgError if there are elements in which `used` is more than rounding."""
    if np.any(where & ~is_negligible(used, largest_of(used), np.shape(used)[-1])):
        raise linalg.LinAlgError(error)
