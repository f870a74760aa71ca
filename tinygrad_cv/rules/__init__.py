"""The calculus table of NumPy's and SciPy's functions, by room."""

from ..engine.errors import name_of
from ..tensor import LAZY_ROOMS, TABLE, Rule
from . import numpy as numpy
from .table import DEFINITIONS, INERT, UNSUPPORTED, WITHOUT_GRADIENT, public_functions

__all__ = ["counts", "enter_scipy", "refused_options"]


def enter_scipy() -> None:
    """Enter the functions of scipy.special.

    That takes longer to import than all else together, so it is done when a tensor first meets a
    function that is not in the table.
    """
    from . import scipy  # noqa: F401


LAZY_ROOMS.append(enter_scipy)


def counts() -> str:
    """How many public functions each namespace has of each kind, a line for each."""
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


def refused_options() -> dict[str, list[str]]:
    """The options of each function that tensors refuse, by the function's name.

    All others are read by a formula, honoured by a definition, or without influence. `out` is
    refused of every function, and `where` of every ufunc.
    """
    enter_scipy()
    refused = {}
    for function, row in TABLE.items():
        if function in DEFINITIONS:
            known = DEFINITIONS[function].parameters
            options = DEFINITIONS[function].signature.defaults
        elif isinstance(row, Rule) and not hasattr(function, "nin"):
            known = row.honoured
            options = row.signature.defaults
        else:
            continue
        harmless = {*known, *INERT.get(function, ()), "out"}
        names = [name for name in options if name not in harmless]
        if names:
            refused[name_of(function)] = names
    return refused
