"""The calculus table of NumPy's and SciPy's functions, by room."""

from . import elementwise, index, linalg, nature, product, reduce, shape, special

__all__ = ["elementwise", "index", "linalg", "nature", "product", "reduce", "shape", "special"]
