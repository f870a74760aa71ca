"""How a namespace of SciPy's is mirrored: its functions, with a door for tensors."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..rules import enter_scipy
from ..tensor import MIRRORED, TABLE, dispatch, is_tensor
from ..typing import Function


def mirror(namespace: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and the `__dir__` of the module that mirrors scipy.`namespace`."""
    enter_scipy(namespace)
    original = importlib.import_module(f"scipy.{namespace}")

    def get(name: str) -> Any:
        """A function of SciPy's, fit for tensors."""
        return with_door(getattr(original, name))

    def names() -> list[str]:
        return list(original.__all__)

    return get, names


def with_door(function: Any) -> Any:
    """A function with a row in the table for tensors, and as it is for arrays.

    Anything else comes back unchanged: ufuncs work on tensors as they stand.
    """
    if isinstance(function, (type, np.ufunc)) or not callable(function):
        return function
    return _door(function) if function in TABLE else function


@functools.cache
def _door(function: Function) -> Function:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(map(is_tensor, (*args, *kwargs.values()))):
            return dispatch(function, *without_overwriting(function, args, kwargs))
        return function(*args, **kwargs)

    MIRRORED[call] = function
    return call


def without_overwriting(
    function: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """A call without `overwrite_a=True` and its kin: they permit writing into an operand, which a
    record may need as it was."""
    signature = getattr(TABLE[function], "signature", None)
    if signature is None:
        return args, kwargs
    permissions = [name for name in signature.defaults if name.startswith("overwrite_")]
    if not permissions:
        return args, kwargs
    bound = signature.bind(args, kwargs)
    for name in permissions:
        bound.pop(name, None)
    return (), bound
