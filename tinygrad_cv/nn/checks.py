"""What layers ask of their arguments when they are built.

Errors name the layer and the argument: TypeError for a wrong kind, ValueError for a value out of
range.
"""

from __future__ import annotations

import math
from typing import SupportsIndex

from ..kernels.fast import geometry
from ..kernels.fast.geometry import Pair
from .module import Module

__all__ = ["Pair", "number", "pair", "whole_number"]


def whole_number(layer: Module, name: str, value: SupportsIndex, least: int = 1) -> int:
    """An integer, Python's or NumPy's, as an int; at least `least`."""
    return geometry.whole(f"{type(layer).__name__}: {name}", value, least)


def pair(layer: Module, name: str, value: Pair, least: int = 1) -> tuple[int, int]:
    """One integer for the height and the width, or one for each, as two ints; at least `least`."""
    return geometry.pair(f"{type(layer).__name__}: {name}", value, least)


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
