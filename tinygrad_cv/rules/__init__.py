"""The calculus table of NumPy's and SciPy's functions, by room."""

from . import (
    bessel,
    distributions,
    elementwise,
    index,
    linalg,
    nature,
    polynomials,
    product,
    rearrange,
    reduce,
    shape,
    special,
    statistics,
)
from .table import UNSUPPORTED, WITHOUT_GRADIENT, public_functions

__all__ = [
    "bessel",
    "counts",
    "distributions",
    "elementwise",
    "index",
    "linalg",
    "nature",
    "polynomials",
    "product",
    "rearrange",
    "reduce",
    "shape",
    "special",
    "statistics",
]


def counts() -> str:
    """How many public functions of each namespace are differentiated, without gradient by nature, or unsupported."""
    import numpy as np
    import scipy.special

    lines = []
    for namespace in (np, np.linalg, np.fft, scipy.special):
        functions = set(public_functions(namespace).values())
        nature, refused = functions & WITHOUT_GRADIENT, functions & set(UNSUPPORTED)
        rest = functions - nature - refused
        lines.append(
            f"{namespace.__name__:14} {len(rest):3} differentiated, {len(nature):3} without a gradient by nature, "
            f"{len(refused):3} unsupported"
        )
    return "\n".join(lines)
