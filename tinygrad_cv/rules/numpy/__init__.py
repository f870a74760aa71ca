"""The calculus table of NumPy's functions, by room."""

from . import (
    elementwise,
    index,
    linalg,
    numeric,
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
    "numeric",
    "product",
    "rearrange",
    "reduce",
    "shape",
    "statistics",
    "unsupported",
]
