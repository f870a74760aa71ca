"""The words that annotations are written in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = [
    "Array",
    "ArrayLike",
    "Axis",
    "DTypeLike",
    "Gradients",
    "Operand",
    "PyTree",
    "Scalar",
    "Shape",
]

Scalar: TypeAlias = bool | int | float | np.generic  # a single number
Array: TypeAlias = Union[np.ndarray, "Tensor"]  # a formula or a reference runs on both
Operand: TypeAlias = Union[np.ndarray, "Tensor", Scalar]  # what arithmetic takes
Shape: TypeAlias = tuple[int, ...]
Axis: TypeAlias = int | tuple[int, ...] | None  # None: all axes
Gradients: TypeAlias = tuple[np.ndarray | None, ...]  # one for each array argument of a kernel
PyTree: TypeAlias = Any  # nested dicts, lists and tuples of arrays, tensors and numbers
