"""The parameters of functions by name: which ones a function has, what each stands for in a call, how to hand them on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np


def read_signature(function: Any, signature: str | None = None) -> tuple[dict[str, Any], int | None]:
    """The parameters of a function with their defaults, and the position of `*args` if it has them."""
    if isinstance(function, np.ufunc):  # x, or x1, x2, ..., as NumPy calls them
        return dict.fromkeys(["x"] if function.nin == 1 else [f"x{i + 1}" for i in range(function.nin)]), None
    visible = function if signature is None else eval(f"lambda {signature}: 0")
    named = [p for p in inspect.signature(visible).parameters.values() if p.kind is not p.VAR_KEYWORD]
    variadic = next((i for i, p in enumerate(named) if p.kind is p.VAR_POSITIONAL), None)
    return {p.name: None if p.default in (p.empty, np._NoValue) else p.default for p in named}, variadic


def look_up(name: str, bound: Mapping[str, Any], value: Any) -> Any:
    """What a formula's parameter stands for: an argument of the call, `y`, its value, or the shape of either."""
    if name in bound:
        return bound[name]
    if name == "y":
        return value
    source = bound.get(name.removesuffix("_shape"), value)
    return [np.shape(v) for v in source] if type(source) in (list, tuple) else np.shape(source)


def picker(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """A function that takes the items at some places out of a tuple, as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))
