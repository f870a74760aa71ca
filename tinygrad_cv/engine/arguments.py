"""Numbers that are asked for by name: sizes, rates, probabilities, switches, generators.

What is wrong is refused where it is given: TypeError for a wrong kind, ValueError for a value out
of range. `name` says in the error whose argument it is: "lr", or "Dropout: p".
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any, SupportsIndex

import numpy as np


def whole(name: str, value: SupportsIndex, least: float = 1) -> int:
    """An integer, Python's or NumPy's, as an int; at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is a whole number, not {value!r}") from None
    if number < least:
        raise ValueError(f"{name} is at least {least}, not {number}")
    return number


def real(
    name: str,
    value: float,
    *,
    least: float = 0.0,
    most: float = math.inf,
    below: float = math.inf,
) -> float:
    """A finite number as a float, from `least` to `most` and below `below`."""
    try:
        fits = bool(-math.inf < value < below and least <= value <= most)
    except (TypeError, ValueError):  # as for text and arrays
        raise TypeError(f"{name} is a number, not {value!r}") from None
    if fits:
        return float(value)
    limits = "finite" if least == -math.inf else f"at least {least:g}"
    if most < math.inf:
        limits += f" and at most {most:g}"
    elif below < math.inf:
        limits += f" and below {below:g}"
    elif least > -math.inf:
        limits = f"finite and {limits}"
    raise ValueError(f"{name} is {limits}, not {value}")


def choice(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """One of the choices: words, perhaps None."""
    choices = list(choices)
    if (value is not None and not isinstance(value, str)) or value not in choices:
        words = [repr(word) for word in choices]
        raise ValueError(f"{name} is {', '.join(words[:-1])} or {words[-1]}, not {value!r}")
    return value


def function(name: str, value: Any) -> Any:
    """Something to be called."""
    if not callable(value):
        raise TypeError(f"{name} is a function, not {value!r}")
    return value


def switch(name: str, value: bool) -> bool:
    """True or False, Python's or NumPy's: not "False", which counts as true, nor a number."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is True or False, not {value!r}")
    return bool(value)


def generator(name: str, value: np.random.Generator) -> np.random.Generator:
    """A generator of random numbers."""
    if not isinstance(value, np.random.Generator):
        raise TypeError(f"{name} is a np.random.Generator, not {value!r}")
    return value
