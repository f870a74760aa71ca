"""The calculus table of NumPy's and SciPy's functions, by room."""

import importlib

from ..engine import errors
from ..engine.errors import name_of
from ..tensor import LAZY_ROOMS, TABLE, Rule
from . import numpy as numpy
from .table import (
    DEFINITIONS,
    INERT,
    REFUSED_ARGUMENTS,
    UNSUPPORTED,
    WITHOUT_GRADIENT,
    public_functions,
)

__all__ = ["REFUSED", "counts", "enter_scipy", "refusals", "refused_arguments", "refused_options"]

NOT_UNIQUE = {
    "linalg.qr": "mode='raw' is LAPACK's own",
}

# What depends on the values or shapes of a call.
REFUSED = {
    **{f"np.{name}": reason for name, reason in NOT_UNIQUE.items()},
    **{f"scipy.{name}": reason for name, reason in NOT_UNIQUE.items()},
    "np.nan_to_num": "NumPy sees a posinf= or neginf= that is a tensor only where x is one",
    "np.full_like": "NumPy hands a fill_value that is a tensor over only where `a` is one too",
    **dict.fromkeys(
        [f"scipy.stats.multivariate_normal.{name}" for name in ("logpdf", "pdf", "entropy")],
        "a singular covariance has no derivative here",
    ),
    "scipy.stats.entropy": "SciPy takes any base where a share is NaN",
    "np.select": "NumPy hands a default that is a tensor over only where another argument is one",
}


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


def refused_arguments() -> dict[str, list[str]]:
    """The arguments of each function in which it has no derivative here, by the function's name.

    Most are orders and degrees of special functions, in which their derivatives have no closed
    form.
    """
    enter_scipy()
    refused = {}
    for function, row in TABLE.items():
        names = list(REFUSED_ARGUMENTS.get(function, ()))
        if isinstance(row, Rule) and not name_of(function).startswith(("np.linalg", "np.fft")):
            special = hasattr(function, "nin") or name_of(function).startswith("scipy")
            names = [n for n in row.signature.positional if special and n not in row.formulas]
        if names:
            refused[name_of(function)] = names
    return refused


def refusals() -> str:
    """All that tensors refuse although NumPy or SciPy has it, a line for each reason.

    Beside these, a value of whole numbers, truth values or text has no gradient: a tensor that
    requires one is refused where it would be lost, as by `dtype=int`.
    """
    lines = [f"{name}: {reason}" for name, reason in REFUSED.items()]
    for name, options in refused_options().items():
        lines.append(f"{name}: {', '.join(options)}: options that its derivative does not read")
    for name, arguments in refused_arguments().items():
        lines.append(f"{name}: {', '.join(arguments)}: no derivative in these")
    for function, reason in UNSUPPORTED.items():
        lines.append(f"{name_of(function)}: {reason}")
    return "\n".join(lines)
