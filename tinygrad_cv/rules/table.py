"""How the functions of NumPy and SciPy are entered into the calculus table.

By formulas (`derivative`), by definition in terms of other functions (`definition`), as functions
without a gradient, or as not supported. A rule that a user has given before stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..engine import errors
from ..engine.modes import SWITCHED, is_recording
from ..engine.observers import Call, now, observers, scope
from ..engine.operands import project
from ..engine.pytrees import map_leaves
from ..engine.signatures import Signature, parameter_names
from ..tensor import TABLE, USER_RULES, Rule, Tensor, place_of, unwrap
from ..typing import Array

Function = Any  # a function of NumPy's or SciPy's: a Python function, a builtin or a ufunc

DEFINITIONS: dict[Function, Definition] = {}
INERT: dict[Function, frozenset[str]] = {}  # the options without influence
WITHOUT_GRADIENT: set[Function] = set()
UNSUPPORTED: dict[Function, str] = {}
IN_PLACE = ("copy", "overwrite_input")  # options that let a function write into its argument
MAY_BE_TENSORS = ("Array", "Operand", "Limits", "Any", "bool")  # in annotations of bodies


def enter(function: Function, row: Any) -> None:
    """Put a row into the table, unless a user has given one."""
    if function not in USER_RULES:
        TABLE[function] = row


def derivative(
    function: Function,
    /,
    *,
    signature: str | None = None,
    inert: Sequence[str] = (),
    selects: bool | str = False,
    linear: Sequence[str] = (),
    elementwise: bool = False,
    **formulas: Callable[..., Any] | None,
) -> Rule:
    """`tinygrad_cv.derivative`, but a rule that a user has given before stays.

    `inert` names the options that have no influence on the gradient. `selects`: the value drops
    elements of the arguments, as np.where does, and these have gradient 0 whatever their own
    derivative is; `selects="where"`: where this option is given.
    """
    rule = Rule(function, formulas, signature, inert, selects, linear, elementwise)
    INERT[function] = frozenset(inert)
    enter(function, rule)
    return rule


class Definition:
    """A function that is written in terms of functions in the table.

    A call is bound by the function's own signature. The body is handed, by keyword, what was given
    for each of its parameters; `*args` comes as a tuple, `**kwargs` as a dict. An option that the
    body does not have is refused by name, unless it is inert or has its default value.

    The function itself is called first, on the arrays: what it refuses is refused, and the value
    has its shape and dtype. One that calls a function of a user's (`calls`) is not.

    The body's annotations say what is differentiated. A tensor that requires a gradient is refused
    by name in the place of a size or an axis: `k: int`, `axis: Axis`.
    """

    def __init__(
        self,
        function: Function,
        body: Callable[..., Any],
        signature: str | None,
        inert: Sequence[str],
        calls: bool,
    ) -> None:
        self.function = function
        self.body = body
        self.text = signature
        self.inert = frozenset(inert)
        self.calls = calls

    @cached_property
    def signature(self) -> Signature:
        """The function's own signature, read when it is first called: that takes long."""
        return Signature(self.function, self.text)

    @cached_property
    def parameters(self) -> frozenset[str]:
        """The names of the body's parameters."""
        return frozenset(parameter_names(self.body))

    @cached_property
    def constants(self) -> frozenset[str]:
        """The parameters that are no operands."""
        annotations = getattr(self.body, "__annotations__", {}).items()
        return frozenset(n for n, text in annotations if not any(w in text for w in MAY_BE_TENSORS))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = self.signature.bind(args, kwargs)
        self.refuse_tensors(given)
        bound = self.for_body(given)
        if self.calls:
            return self._body_value(bound)
        arrays = {n: map_leaves(unwrap, v) for n, v in given.items() if n not in IN_PLACE}
        try:
            with np.errstate(all="ignore"):
                expected = self.signature.call(self.function, arrays)
        except Exception as error:
            self._body_value(bound)  # whose own error says more
            raise errors.explain(error, self.function, arrays, {}) from None
        return self._conform(self._body_value(bound), expected)

    def refuse_tensors(self, given: Mapping[str, Any]) -> None:
        """Raise NotImplementedError for one that requires a gradient, and is no operand."""
        for name in self.constants.intersection(given):
            value = given[name]
            empty = isinstance(value, Tensor) and value.size == 0
            if place_of(value) is not None and not empty and is_recording():
                raise errors.no_derivative(self.function, name)

    def for_body(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the body is handed, by name. Raises for an option that it does not have."""
        if self.parameters.issuperset(given):
            return given
        for name in given.keys() - self.parameters - self.inert:
            if name not in self.signature.defaults:
                raise TypeError(f"{errors.name_of(self.function)} has no argument {name!r}")
            if not self.signature.is_default(name, given[name]):
                raise errors.unread_option(self.function, name, given[name])
        return {name: value for name, value in given.items() if name in self.parameters}

    def _body_value(self, bound: Mapping[str, Any]) -> Any:
        if not SWITCHED["observer"]:
            return self.body(**bound)
        with scope("definition", errors.name_of(self.function), self.function):
            return self.body(**bound)

    def _conform(self, value: Any, expected: Any) -> Any:
        """The body's value in the dtype of the function's own."""
        if isinstance(value, (list, tuple)):
            parts = [self._conform(v, e) for v, e in zip(value, expected, strict=True)]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        if type(value) is not Tensor:
            return expected
        if np.shape(expected) != value.shape:
            raise AssertionError(
                f"{errors.name_of(self.function)} on tensors gave shape {value.shape} where "
                f"NumPy gives {np.shape(expected)}; please report this"
            )
        return project(value, np.asarray(expected).dtype)


def definition(
    *functions: Function,
    signature: str | None = None,
    inert: Sequence[str] = (),
    calls: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter functions by writing them in terms of functions that are in the table already.

    The body has the parameters that it honours, under NumPy's names. `signature="a, axis=0"`: where
    Python cannot see it. `inert` names the options that have no influence on the result. `calls`
    says that the function calls one of a user's.
    """

    def define(body: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            DEFINITIONS[function] = Definition(function, body, signature, inert, calls)
            INERT[function] = frozenset(inert)
            enter(function, DEFINITIONS[function])
        return body

    return define


def without_gradient(
    *functions: Function, signature: str | None = None, refused: Sequence[str] = ()
) -> None:
    """Enter functions whose derivative is zero or meaningless by nature: they return arrays.

    `refused` names the arguments for which it is neither: a tensor that requires a gradient raises
    NotImplementedError there. `signature="start, stop=None"`: where Python cannot see it.
    """
    for function in functions:
        WITHOUT_GRADIENT.add(function)
        enter(function, _on_arrays(function, signature, refused))


def _on_arrays(
    function: Function, signature: str | None, refused: Sequence[str]
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if refused and is_recording():
            given = Signature(function, signature).bind(args, kwargs)
            for name in refused:
                if place_of(given.get(name)) is not None:
                    raise errors.no_derivative(function, name)
        started = now()
        options = {name: unwrap(value) for name, value in kwargs.items()}
        value = function(*map(unwrap, args), **options)
        for observer in observers():
            row = Rule(function, {}, signature)
            bound = row.bind(args, kwargs)
            observer.forward(Call(function, bound, None, value, started, row))
        return value

    return call


def unsupported(reason: str, *functions: Function) -> None:
    """Enter functions that tensors refuse, with a reason of a few words."""
    for function in functions:
        UNSUPPORTED[function] = reason
        enter(function, _refusal(function, reason))


def _refusal(function: Function, reason: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise errors.unsupported(function, reason)

    return refuse


def as_array(x: Any) -> Array:
    """An operand that has axes and a dtype: a tensor as it is, all else as an ndarray."""
    return x if isinstance(x, (Tensor, np.ndarray)) else np.asarray(x)


def refuse_complex(function: Function, **arguments: Any) -> None:
    """Raise TypeError for a complex argument of a function of real numbers."""
    for name, value in arguments.items():
        dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
        if dtype.kind == "c":
            raise errors.real_only(function, name, dtype)


def named(names: str, namespace: Any) -> list[Function]:
    """The functions of these names, as far as this version of the namespace has them."""
    return [getattr(namespace, name) for name in names.split() if hasattr(namespace, name)]


def public_functions(namespace: Any) -> dict[str, Function]:
    """The public functions of a namespace by name: callables that are no classes or exceptions."""
    names = namespace.__all__ if namespace.__name__ == "scipy.special" else dir(namespace)
    found = {
        name: getattr(namespace, name)
        for name in names
        if not name.startswith("_") and name != "test"
    }
    return {name: f for name, f in found.items() if callable(f) and not isinstance(f, type)}
