"""The one door for operands that are no tensors: they become arrays, or are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import errors

NUMBERS = "biufc"  # kinds of dtype that a tensor holds
DIFFERENTIABLE = "fc"  # kinds of dtype that gradients have
PYTHON_NUMBERS = (bool, int, float, complex)  # they take the dtype of what they meet
ADVICE = {
    "pandas": "give its .to_numpy()",
    "scipy": "give its .toarray()",
    "masked": "give its .filled(value), and choose with np.where",
    "matrix": "give np.asarray of it",
    "dtype": "give an array of numbers",
}


def as_operand(value: Any, function: Any, name: str) -> Any:
    """An operand as an array; a single number stays as it is, since it takes the tensor's dtype.

    Raises TypeError, with the function's name, the operand's and a way out, for masked arrays,
    sparse matrices, pandas objects, and arrays of anything but numbers.
    """
    if type(value) is np.ndarray:
        return _checked(value, function, name)
    if value is None or isinstance(value, (bool, int, float, complex, np.generic)):
        return value
    refuse_foreign(value, function, name)
    return _checked(np.asarray(value), function, name)


def as_numbers(value: Any, function: Any, name: str) -> np.ndarray:
    """An array of numbers, as a tensor may hold them. Raises TypeError for anything else."""
    if type(value) is np.ndarray and value.dtype.kind in NUMBERS:
        return value
    return _checked(np.asarray(as_operand(value, function, name)), function, name)


def fit(array: Any, dtype: np.dtype[Any], function: Any, name: str) -> Any:
    """An array or tensor in another dtype. Raises TypeError if its imaginary part would be lost."""
    if is_complex(array) and dtype.kind != "c":
        where = "" if function is None else f"{errors.name_of(function)}: "
        raise TypeError(
            f"{where}{name!r} is {array.dtype}, but stands for {dtype}; give its real part"
        )
    return array if array.dtype == dtype else array.astype(dtype)


def project(value: Any, dtype: np.dtype[Any]) -> Any:
    """An array or tensor in another dtype; of complex numbers the real part, if that is real."""
    if is_complex(value) and dtype.kind != "c":
        value = np.real(value)
    return value if value.dtype == dtype else value.astype(dtype)


def is_complex(value: Any) -> bool:
    """Whether an array or a tensor holds complex numbers."""
    return bool(value.dtype.kind == "c")


def is_differentiable(value: Any) -> bool:
    """Whether this holds floating-point numbers, in a dtype of its own."""
    dtype = getattr(value, "dtype", None)
    return dtype is not None and dtype.kind in DIFFERENTIABLE


def conjugate(value: Any) -> Any:
    """The complex conjugate; what is real stays itself."""
    return np.conjugate(value) if is_complex(value) else value


def refuse_foreign(value: Any, function: Any, name: str) -> None:
    """Raise TypeError for what is more than an array, of which something would be lost."""
    if isinstance(value, np.ma.MaskedArray):
        raise errors.not_an_operand(function, name, "a masked array", ADVICE["masked"])
    if isinstance(value, np.matrix):
        raise errors.not_an_operand(function, name, "a matrix", ADVICE["matrix"])
    library = type(value).__module__.partition(".")[0]
    if library in ("pandas", "scipy") and not isinstance(value, np.ndarray):
        what = f"a {library} {type(value).__name__}"
        raise errors.not_an_operand(function, name, what, ADVICE[library])


def _checked(array: np.ndarray, function: Any, name: str) -> np.ndarray:
    if array.dtype.kind not in NUMBERS:
        what = f"an array of {array.dtype}"
        raise errors.not_an_operand(function, name, what, ADVICE["dtype"])
    return array
