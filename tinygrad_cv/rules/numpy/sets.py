"""The calculus table of sets: their elements are picked from the arguments.

An element that occurs several times is the first of these, which has the gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tensor import unwrap
from ...typing import Array
from ..table import as_array, definition


def _pick(values: Any, *arrays: Array) -> Array:
    """The first elements of the arrays that equal these values of NumPy's, in their order."""
    pool = np.concatenate([np.ravel(a) for a in arrays])
    plain = unwrap(pool)
    order = np.argsort(plain, kind="stable")
    places = np.searchsorted(plain[order], values)
    return pool[order[places]]


@definition(np.unique)
def unique(
    ar: Array,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """The elements, or the slices along an axis, once each; and where they were, and how often."""
    ar = as_array(ar)
    numpys: Any = np.unique
    given = (unwrap(ar), True, return_inverse, return_counts, axis)
    _, index, *others = numpys(*given, equal_nan=equal_nan, sorted=sorted)
    if axis is not None:
        picked = np.take(ar, index, axis=axis)
    elif return_index or others or sorted is True:
        picked = np.ravel(ar)[index]
    else:  # without the places NumPy may give another order
        picked = _pick(numpys(unwrap(ar), equal_nan=equal_nan, sorted=sorted), ar)
    if return_index:
        others = [index, *others]
    return (picked, *others) if others else picked


@definition(np.union1d)
def union1d(ar1: Array, ar2: Array) -> Array:
    """The elements of both arrays."""
    return _pick(np.union1d(unwrap(ar1), unwrap(ar2)), ar1, ar2)


@definition(np.intersect1d)
def intersect1d(
    ar1: Array,
    ar2: Array,
    assume_unique: bool = False,
    return_indices: bool = False,
) -> Any:
    """The elements that both arrays have; they are those of the first.

    Where an array has one twice, although it is assumed to be unique, they may be of the second.
    """
    _, *where = np.intersect1d(unwrap(ar1), unwrap(ar2), assume_unique, return_indices=True)
    picked = np.concatenate([np.ravel(ar1), np.ravel(ar2)])[where[0]]
    return (picked, *where) if return_indices else picked


@definition(np.setdiff1d)
def setdiff1d(ar1: Array, ar2: Array, assume_unique: bool = False) -> Array:
    """The elements of the first array that the second does not have."""
    return _pick(np.setdiff1d(unwrap(ar1), unwrap(ar2), assume_unique), ar1)


@definition(np.setxor1d)
def setxor1d(ar1: Array, ar2: Array, assume_unique: bool = False) -> Array:
    """The elements that one of the arrays has, and the other does not."""
    return _pick(np.setxor1d(unwrap(ar1), unwrap(ar2), assume_unique), ar1, ar2)


# By the names of the array API: NaN counts each time.
@definition(np.unique_values)
def unique_values(x: Array) -> Array:
    """The elements once each, in an order of NumPy's."""
    return _pick(np.unique_values(unwrap(x)), as_array(x))


def _enter_with_fields(function: Any) -> None:
    @definition(function)
    def unique_fields(x: Array) -> Any:
        """The elements once each, and what else the function counts."""
        result = function(unwrap(x))
        return type(result)(_pick(result[0], as_array(x)), *result[1:])


_enter_with_fields(np.unique_all)
_enter_with_fields(np.unique_counts)
_enter_with_fields(np.unique_inverse)
