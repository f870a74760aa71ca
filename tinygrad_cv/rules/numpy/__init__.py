"""The calculus table of NumPy's functions, by room."""

from . import (
    elementwise,
    index,
    linalg,
    product,
    rearrange,
    reduce,
    shape,
    statistics,
    unsupported,
)

__all__ = [
    "elementwise",
    "index",
    "linalg",
    "product",
    "rearrange",
    "reduce",
    "shape",
    "statistics",
    "unsupported",
]
