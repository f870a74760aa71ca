"""What layers ask of their arguments when they are built; errors name the layer and the argument.

TypeError for a wrong kind, ValueError for a value out of range (`engine.arguments`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np

from ..engine import arguments
from ..engine.first_words import LAYER
from ..kernels.fast import geometry
from ..kernels.fast.geometry import Pair
from .module import Module

__all__ = [
    "REQUIRED",
    "Pair",
    "generator",
    "lengths",
    "number",
    "pair",
    "switch",
    "whole_number",
    "word",
]


class Required:
    """The default of an argument that has none, so that its check can say what to give."""

    def __repr__(self) -> str:
        return "<required>"


REQUIRED: Any = Required()


def whole_number(layer: Module, name: str, value: SupportsIndex, least: float = 1) -> int:
    """An integer, Python's or NumPy's, as an int; at least `least`."""
    return arguments.whole(full_name(layer, name), value, least)


def pair(layer: Module, name: str, value: Pair, least: int = 1) -> tuple[int, int]:
    """One integer for the height and the width, or one for each, as two ints; at least `least`."""
    return geometry.pair(full_name(layer, name), value, least)


def lengths(
    layer: Module,
    name: str,
    value: SupportsIndex | Iterable[SupportsIndex],
    least: int = 1,
) -> tuple[int, ...]:
    """One integer, or one for each of several axes, as a tuple of ints; each at least `least`."""
    sizes = tuple(value) if isinstance(value, Iterable) else (value,)
    if not sizes:
        raise ValueError(f"{full_name(layer, name)} has at least one axis, not {value!r}")
    return tuple(whole_number(layer, name, size, least) for size in sizes)


def number(
    layer: Module,
    name: str,
    value: float,
    *,
    least: float = 0.0,
    most: float = math.inf,
    below: float = math.inf,
) -> float:
    """A finite number as a float, from `least` to `most` and below `below`."""
    return arguments.real(full_name(layer, name), value, least=least, most=most, below=below)


def switch(layer: Module, name: str, value: bool) -> bool:
    """True or False."""
    return arguments.switch(full_name(layer, name), value)


def word(layer: Module, name: str, value: str, known: Sequence[str]) -> str:
    """One of the words that are known."""
    if isinstance(value, str) and value in known:
        return value
    words = ", ".join(known)
    raise ValueError(f"{full_name(layer, name)} is one of {words}, not {value!r}")


def generator(layer: Module, value: np.random.Generator) -> np.random.Generator:
    """The layer's `rng`."""
    if value is REQUIRED:
        raise TypeError(
            f"{full_name(layer, 'rng')} is missing; {LAYER}: rng=np.random.default_rng(seed)"
        )
    return arguments.generator(full_name(layer, "rng"), value)


def full_name(layer: Module, name: str) -> str:
    """An argument with its layer, as "Dropout: p"."""
    return f"{type(layer).__name__}: {name}"
