"""`scipy.special` for tensors: `from tinygrad_cv import special; special.logsumexp(t, axis=1)`.

SciPy's ufuncs see tensors by themselves, so `scipy.special.erf(t)` is differentiated as it stands. Its Python functions
(`logsumexp`, `softmax`, `polygamma`, ...) turn their arguments into arrays first. This module stands in for
`scipy.special`: it has the same names; ufuncs are SciPy's own objects, and those Python functions that are in the
calculus table go to the table when an argument is, or holds, a tensor, and straight to SciPy otherwise.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import scipy.special

from .tensor import TABLE, Tensor, record


def _holds_tensor(value: Any) -> bool:
    return type(value) is Tensor or (isinstance(value, (list, tuple)) and any(map(_holds_tensor, value)))


@functools.cache
def _stand_in(function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        on_tensors = any(map(_holds_tensor, (*args, *kwargs.values())))
        return record(function, args, kwargs) if on_tensors else function(*args, **kwargs)

    return call


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(scipy.special, name)
    return _stand_in(value) if not isinstance(value, (np.ufunc, type)) and callable(value) and value in TABLE else value


def __dir__() -> list[str]:
    return sorted(scipy.special.__all__)
