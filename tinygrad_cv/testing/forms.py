"""Gradients that are recognised as formulas: `g * (1 - y)` where it should be `g * (1 - y * y)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

Variables: TypeAlias = Mapping[str, np.ndarray]  # what a formula may name, like the gradient
Fits: TypeAlias = Callable[[np.ndarray], bool]  # whether a gradient is the one to be named

DISTINCT = 3  # so many values of a variable it takes to tell one formula from another
FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "{}": lambda u: u,
    "{} * {}": lambda u: u * u,
    "{}**3": lambda u: u * u * u,
    "(1 - {})": lambda u: 1 - u,
    "(1 + {})": lambda u: 1 + u,
    "(1 - {} * {})": lambda u: 1 - u * u,
    "(1 + {} * {})": lambda u: 1 + u * u,
    "{} * (1 - {})": lambda u: u * (1 - u),
    "np.sqrt({})": np.sqrt,
    "np.exp({})": np.exp,
    "np.log({})": np.log,
    "np.sin({})": np.sin,
    "np.cos({})": np.cos,
}
CONSTANTS = {
    "": 1.0,
    "-": -1.0,
    "2 * ": 2.0,
    "-2 * ": -2.0,
    "3 * ": 3.0,
    "4 * ": 4.0,
    "0.5 * ": 0.5,
    "-0.5 * ": -0.5,
}


def powers(variables: Variables) -> Iterator[tuple[str, np.ndarray, bool]]:
    """All forms of all variables and their reciprocals: name, array, whether it is a reciprocal."""
    for name, u in variables.items():
        for form, function in FORMS.items():
            text = form.replace("{}", name)
            with np.errstate(all="ignore"):
                array = function(u)
                yield text, array, False
                yield text, 1 / array, True


def formula(fits: Fits, variables: Variables, cotangent: np.ndarray) -> str:
    """The gradient that fits as a formula of the cotangent and one variable; "" for none."""
    varied = {name: u for name, u in variables.items() if len(np.unique(u)) >= DISTINCT}
    for text, array, reciprocal in powers(varied):
        for constant, number in CONSTANTS.items():
            with np.errstate(all="ignore"):
                expected = cotangent * number * array
            if fits(expected):
                sign = constant.removesuffix(" * ")
                if reciprocal:
                    return f"{sign if sign == '-' else constant}g / ({text})"
                return f"{sign}g * {text}" if sign in ("", "-") else f"g * {constant}{text}"
    return ""


def factor(numeric: np.ndarray, fits: Fits, variables: Variables) -> str:
    """What was multiplied too much, or not at all; "" if no form of a variable explains it."""
    for text, array, reciprocal in powers(variables):
        if np.all(abs(abs(array) - 1) < 1e-3):
            continue
        for constant, number in (("", 1), ("-", -1), ("2 * ", 2), ("0.5 * ", 0.5)):
            with np.errstate(all="ignore"):
                expected = number * array * numeric
            if fits(expected) and reciprocal:
                other = {"2 * ": "0.5 * ", "0.5 * ": "2 * "}.get(constant, constant)
                return f"a factor {other}{text} is missing"
            if fits(expected):
                return f"a factor {constant}{text} too much"
    return ""
