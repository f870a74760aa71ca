"""The parameters of functions by name: which ones a function has, what each stands for in a call, how to hand them on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from types import FunctionType
from typing import Any

import numpy as np

VARIADIC = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


def read_signature(
    function: Any, signature: str | None = None
) -> tuple[dict[str, Any], int | None]:
    """The parameters of a function with their defaults, and the position of `*args` if it has them."""
    if isinstance(function, np.ufunc) and signature is None:  # x, or x1, x2, ..., as NumPy has them
        return dict.fromkeys(
            ["x"] if function.nin == 1 else [f"x{i + 1}" for i in range(function.nin)]
        ), None
    visible = function if signature is None else eval(f"lambda {signature}: 0")
    if (
        type(visible) is FunctionType
        and not hasattr(visible, "__wrapped__")
        and not visible.__code__.co_flags & VARIADIC
    ):
        return _plain(visible), None
    named = [
        p for p in inspect.signature(visible).parameters.values() if p.kind is not p.VAR_KEYWORD
    ]
    variadic = next((i for i, p in enumerate(named) if p.kind is p.VAR_POSITIONAL), None)
    return {
        p.name: None if p.default in (p.empty, np._NoValue) else p.default for p in named
    }, variadic


def _plain(function: FunctionType) -> dict[str, Any]:
    """The same of a Python function without `*args` or `**kwargs`: fifty times as fast, and there are a thousand formulas."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    last = function.__defaults__ or ()
    given = dict(
        zip(code.co_varnames[code.co_argcount - len(last) : code.co_argcount], last, strict=True)
    )
    given |= function.__kwdefaults__ or {}
    return {name: None if given.get(name) is np._NoValue else given.get(name) for name in names}


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
