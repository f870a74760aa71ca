"""The parameters of functions by name: which ones there are, and what a call gives to each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import numpy as np

NOT_GIVEN = {"where": True}  # what NumPy's `_NoValue` stands for, if not for None
UFUNC_OPTIONS = ("dtype", "casting", "order", "subok", "signature", "sig")
VARIADIC = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


class Signature:
    """The parameters of a function. `text`, as "a, axis=0", where Python cannot see them."""

    def __init__(self, function: Any, text: str | None = None) -> None:
        self.defaults: dict[str, Any] = {}  # by name; mostly None where there is no default
        self.positional: tuple[str, ...] = ()  # that may be given by position, in order
        self.variadic: str | None = None  # the name behind the star, as in `*operands`
        self.keywords: str | None = None  # the name behind two stars, as in `**options`
        self.required: tuple[str, ...] = ()  # that have no default
        if isinstance(function, np.ufunc) and text is None:
            self._read_ufunc(function)
        else:
            self._read(function if text is None else _function_of(text))

    def _read_ufunc(self, function: np.ufunc) -> None:
        """x, or x1, x2, ..., as NumPy calls them."""
        numbered = [f"x{i + 1}" for i in range(function.nin)]
        self.positional = ("x",) if function.nin == 1 else tuple(numbered)
        self.required = self.positional
        self.defaults = dict.fromkeys((*self.positional, *UFUNC_OPTIONS))

    def _read(self, function: Any) -> None:
        if _is_plain(function):
            self._read_code(function)
            return
        positional, required = [], []
        for p in inspect.signature(function).parameters.values():
            if p.kind is p.VAR_KEYWORD:
                self.keywords = p.name
                continue
            missing = p.default in (p.empty, np._NoValue)
            self.defaults[p.name] = NOT_GIVEN.get(p.name) if missing else p.default
            if p.kind is p.VAR_POSITIONAL:
                self.variadic = p.name
            elif p.kind is not p.KEYWORD_ONLY:
                positional.append(p.name)
            if p.default is p.empty and p.kind is not p.VAR_POSITIONAL:
                required.append(p.name)
        self.positional, self.required = tuple(positional), tuple(required)

    def _read_code(self, function: FunctionType) -> None:
        """The same for a Python function without stars, fifty times as fast: formulas are a
        thousand."""
        code = function.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        last = function.__defaults__ or ()
        with_default = names[code.co_argcount - len(last) : code.co_argcount]
        given = dict(zip(with_default, last, strict=True)) | (function.__kwdefaults__ or {})
        self.positional = names[: code.co_argcount]
        self.required = tuple(name for name in names if name not in given)
        for name in names:
            default = given.get(name)
            self.defaults[name] = NOT_GIVEN.get(name) if default is np._NoValue else default

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """What a call gives, by name. What it leaves out is left out."""
        count = len(self.positional)
        bound = dict(zip(self.positional, args))  # noqa: B905 (on the hot path)
        if len(args) > count or self.variadic is not None:
            if self.variadic is None:
                raise TypeError(f"{len(args)} arguments where there are {count}: {self.positional}")
            bound[self.variadic] = args[count:]
        if kwargs:
            for name in kwargs:
                if name in bound:
                    raise TypeError(f"the argument {name!r} is given twice")
            bound.update(kwargs)
            if self.keywords is not None:
                known = self.defaults.keys()
                bound[self.keywords] = {n: bound.pop(n) for n in kwargs if n not in known}
        return bound

    def is_default(self, name: str, value: Any) -> bool:
        """Whether an option was given its default value, so that it says nothing."""
        default = self.defaults.get(name)
        if value is default or value is np._NoValue:
            return True
        plain = isinstance(value, (bool, int, float, str))
        return type(value) is type(default) and plain and bool(value == default)

    def call(self, function: Callable[..., Any], bound: Mapping[str, Any]) -> Any:
        """`function` with arguments by name, in the form that it takes."""
        args: list[Any] = []
        rest = dict(bound)
        for name in self.positional:
            if name not in rest:
                break
            args.append(rest.pop(name))
        if self.variadic is not None:
            args.extend(rest.pop(self.variadic, ()))
        if self.keywords is not None:
            rest |= rest.pop(self.keywords, {})
        return function(*args, **rest)


def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's parameters, in order."""
    return tuple(Signature(function).defaults)


def _is_plain(function: Any) -> bool:
    """Whether this is a Python function without `*args` or `**kwargs`."""
    if type(function) is not FunctionType or hasattr(function, "__wrapped__"):
        return False
    return not function.__code__.co_flags & VARIADIC


def _function_of(text: str) -> Any:
    return eval(f"lambda {text}: 0")
