"""How the functions of NumPy and SciPy are entered into the calculus table: by formulas, by definition, without a derivative,
or as not supported. A rule that a user has given before stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..engine.errors import name_of
from ..tensor import TABLE, USER_RULES, Rule, unwrap

DEFINITIONS: dict[Any, Callable[..., Any]] = {}
WITHOUT_GRADIENT: set[Any] = set()
UNSUPPORTED: dict[Any, str] = {}


def enter(function: Any, row: Any) -> None:
    if function not in USER_RULES:
        TABLE[function] = row


def derivative(
    function: Any,
    /,
    *,
    signature: str | None = None,
    inert: Sequence[str] = (),
    selects: bool = False,
    **formulas: Callable[..., Any] | None,
) -> Rule:
    """`tinygrad_cv.derivative`, but a rule that a user has given before stays."""
    rule = Rule(function, formulas, signature, inert, selects)
    enter(function, rule)
    return rule


def definition(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter functions by writing them in terms of functions that are in the table already."""

    def define(body: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            DEFINITIONS[function] = body
            enter(function, body)
        return body

    return define


def without_gradient(*functions: Any) -> None:
    """Enter functions whose derivative is zero or meaningless by nature: they work on the arrays and return arrays."""
    for function in functions:
        WITHOUT_GRADIENT.add(function)
        enter(function, _plain(function))


def _plain(function: Any) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    return lambda *args, **kwargs: function(
        *map(unwrap, args), **{name: unwrap(value) for name, value in kwargs.items()}
    )


def unsupported(reason: str, *functions: Any) -> None:
    """Enter functions that tensors refuse, with a reason of a few words."""
    for function in functions:
        UNSUPPORTED[function] = reason
        enter(function, _refusal(function, reason))


def _refusal(function: Any, reason: str) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        name = name_of(function)
        raise NotImplementedError(
            f"{name} does not work on tensors ({reason}); call it on t.detach().numpy()"
        )

    return refuse


def public_functions(namespace: Any) -> dict[str, Any]:
    """The public functions of a namespace by name: callables that are no classes, submodules or exceptions."""
    names = namespace.__all__ if namespace.__name__ == "scipy.special" else dir(namespace)
    found = {
        name: getattr(namespace, name)
        for name in names
        if not name.startswith("_") and name != "test"
    }
    return {name: f for name, f in found.items() if callable(f) and not isinstance(f, type)}
