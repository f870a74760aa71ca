"""The calculus table of NumPy's and SciPy's functions, by room."""

from ..tensor import LATER
from . import numpy as numpy
from .table import UNSUPPORTED, WITHOUT_GRADIENT, public_functions

__all__ = ["counts", "enter_scipy"]


def enter_scipy() -> None:
    """Enter the functions of scipy.special.

    That takes longer to import than all else together, so it is done when a tensor first meets a
    function that is not in the table.
    """
    from . import scipy  # noqa: F401


LATER.append(enter_scipy)


def counts() -> str:
    """How many public functions of each namespace are differentiated, without gradient, unsupported."""
    import numpy as np
    import scipy.special

    enter_scipy()
    lines = []
    for namespace in (np, np.linalg, np.fft, scipy.special):
        functions = set(public_functions(namespace).values())
        without = functions & WITHOUT_GRADIENT
        refused = functions & set(UNSUPPORTED)
        differentiated = len(functions - without - refused)
        lines.append(
            f"{namespace.__name__:14} {differentiated:3} differentiated, "
            f"{len(without):3} without a gradient by nature, {len(refused):3} unsupported"
        )
    return "\n".join(lines)
