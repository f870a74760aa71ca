"""What layers ask of their arguments when they are built.

Errors name the layer and the argument: TypeError for a wrong kind, ValueError for a value out of
range.
"""

from __future__ import annotations

import math
import operator
from typing import SupportsIndex

from .module import Module

Pair = SupportsIndex | tuple[SupportsIndex, SupportsIndex]  # one number for both axes, or two


def whole_number(layer: Module, name: str, value: SupportsIndex, least: int = 1) -> int:
    """An integer, Python's or NumPy's, as an int; at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{type(layer).__name__}: {name} is a whole number, not {value!r}"
        ) from None
    if number < least:
        raise ValueError(f"{type(layer).__name__}: {name} is at least {least}, not {number}")
    return number


def pair(layer: Module, name: str, value: Pair, least: int = 1) -> tuple[int, int]:
    """One integer for the height and the width, or one for each, as two ints; at least `least`."""
    if not isinstance(value, (tuple, list)):
        number = whole_number(layer, name, value, least)
        return number, number
    if len(value) != 2:
        raise ValueError(
            f"{type(layer).__name__}: {name} is one number, or two, for the height and the width, "
            f"not {value}"
        )
    height = whole_number(layer, name, value[0], least)
    width = whole_number(layer, name, value[1], least)
    return height, width


def number(
    layer: Module,
    name: str,
    value: float,
    *,
    least: float = 0.0,
    most: float = math.inf,
    below: float = math.inf,
) -> float:
    """A number as a float, from `least` to `most` and below `below`."""
    owner = type(layer).__name__
    try:
        fits = least <= value <= most and value < below
    except TypeError:
        raise TypeError(f"{owner}: {name} is a number, not {value!r}") from None
    if not fits:
        limits = f"at least {least:g}"
        if most < math.inf:
            limits += f" and at most {most:g}"
        if below < math.inf:
            limits += f" and below {below:g}"
        raise ValueError(f"{owner}: {name} is {limits}, not {value}")
    return float(value)
