"""The calculus table of NumPy's and SciPy's functions, by room."""

from ..tensor import LAZY_ROOMS
from . import elementwise, index, linalg, nature, product, rearrange, reduce, shape, statistics
from .table import UNSUPPORTED, WITHOUT_GRADIENT, public_functions

__all__ = [
    "counts",
    "elementwise",
    "enter_scipy",
    "index",
    "linalg",
    "nature",
    "product",
    "rearrange",
    "reduce",
    "shape",
    "statistics",
]


def enter_scipy() -> None:
    """Enter the functions of scipy.special. That takes longer to import than all else together, so it is done when a
    tensor first meets a function that is not in the table."""
    from . import bessel, distributions, polynomials, special  # noqa: F401


LAZY_ROOMS.append(enter_scipy)


def counts() -> str:
    """How many public functions of each namespace are differentiated, without gradient by nature, or unsupported."""
    import numpy as np
    import scipy.special

    enter_scipy()
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
