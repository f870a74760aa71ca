"""The calculus table of NumPy's and SciPy's functions, by room."""

import numpy as np

from . import elementwise, reduce, shape
from .table import without_gradient

without_gradient(np.shape, np.ndim, np.size)

__all__ = ["elementwise", "reduce", "shape"]
