"""scipy.special for tensors: `from tinygrad_cv import special; special.logsumexp(t, axis=1)`.

SciPy's ufuncs work on tensors as they stand, and are handed out unchanged. Its Python functions
turn their input into ndarrays, which a tensor refuses; those in the calculus table are handed out
with a door for tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .rules import enter_scipy
from .tensor import TABLE, dispatch, is_tensor


def __getattr__(name: str) -> Any:
    """A function of scipy.special, fit for tensors."""
    from scipy import special

    enter_scipy()
    function = getattr(special, name)
    if function not in TABLE or isinstance(function, np.ufunc):
        return function
    return _with_door(function)


def _with_door(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself for arrays, its row of the table for tensors."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(is_tensor(a) for a in (*args, *kwargs.values())):
            return dispatch(function, args, kwargs)
        return function(*args, **kwargs)

    return call


def __dir__() -> list[str]:
    from scipy import special

    return list(special.__all__)
