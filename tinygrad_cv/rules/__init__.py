"""The calculus table of NumPy's and SciPy's functions, by room."""

from . import elementwise, index, nature, product, reduce, shape, special

__all__ = ["elementwise", "index", "nature", "product", "reduce", "shape", "special"]
