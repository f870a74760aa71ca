"""The calculus table of NumPy's functions, by room."""

from . import (
    elementwise,
    fft,
    index,
    linalg,
    norm,
    numeric,
    polynomials,
    product,
    rearrange,
    reduce,
    sets,
    shape,
    statistics,
    ufuncs,
    unsupported,
)

__all__ = [
    "elementwise",
    "fft",
    "index",
    "linalg",
    "norm",
    "numeric",
    "polynomials",
    "product",
    "rearrange",
    "reduce",
    "sets",
    "shape",
    "statistics",
    "ufuncs",
    "unsupported",
]
