"""The calculus table of NumPy's and SciPy's functions, by room."""

import importlib

from ..engine import errors
from ..engine.errors import name_of
from ..tensor import LAZY_ROOMS, TABLE, Rule
from . import numpy as numpy
from .table import DEFINITIONS, INERT, UNSUPPORTED, WITHOUT_GRADIENT, public_functions

__all__ = ["counts", "enter_scipy", "refused_options"]


SCIPY = ("special", "linalg", "signal", "integrate", "stats")  # the namespaces in the table


def enter_scipy(*namespaces: str) -> None:
    """Enter the functions of these namespaces of SciPy's, or of all.

    They take longer to import than all else together, so it is done when a tensor first meets a
    function that is not in the table.
    """
    for namespace in namespaces or SCIPY:
        importlib.import_module(f".scipy.{namespace}", __name__)


def is_mirrored(name: str) -> bool:
    """Whether tg.scipy has a function for tensors: "scipy.linalg.expm", "scipy.stats.norm.pdf"."""
    _, namespace, *path = name.split(".")
    if namespace not in SCIPY:
        return False
    enter_scipy(namespace)
    found = importlib.import_module(f"scipy.{namespace}")
    for part in path:
        found = getattr(found, part, None)
    return found in TABLE


LAZY_ROOMS.append(enter_scipy)  # the last is tried first
LAZY_ROOMS.append(lambda: enter_scipy("special"))
errors.MIRRORS.append(is_mirrored)


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
    for namespace in SCIPY[1:]:  # which are differentiated as far as people use them
        prefix = f"scipy.{namespace}"
        count = sum(name_of(function).startswith(f"{prefix}.") for function in TABLE)
        lines.append(f"{prefix:15} {count:2} differentiated")
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
