"""How the functions of NumPy and SciPy are entered into the calculus table.

By formulas (`derivative`), by definition in terms of other functions (`definition`), as functions
without a gradient, or as not supported. A rule that a user has given before stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np

from ..engine import errors
from ..engine.modes import SWITCHED, is_recording
from ..engine.observers import Call, now, observers, scope
from ..engine.operands import DIFFERENTIABLE, is_complex, refuse_foreign
from ..engine.pytrees import leaves, map_leaves, rebuild
from ..engine.signatures import Signature, parameter_names
from ..tensor import (
    PLAIN,
    TABLE,
    USER_RULES,
    Node,
    Rule,
    Tensor,
    described,
    place_of,
    unwrap,
    wrap,
)
from ..typing import Array

Function = Any  # a function of NumPy's or SciPy's: a Python function, a builtin or a ufunc

DEFINITIONS: dict[Function, Definition] = {}
INERT: dict[Function, frozenset[str]] = {}  # the options without influence
WITHOUT_GRADIENT: set[Function] = set()
REFUSED_ARGUMENTS: dict[Function, tuple[str, ...]] = {}  # of which they have no derivative here
UNSUPPORTED: dict[Function, str] = {}
LARGE = 8192  # bytes of an array that is not worth a copy
IN_PLACE = ("copy", "overwrite_input")  # options that let a function write into its argument
MAY_BE_TENSORS = ("Array", "Operand", "Limits", "Any", "bool")  # in annotations of bodies
NUMBERED = ("axis", "k", "reps", "repeats", "offset", "num")  # True and 1.0 are 1
SWITCHES = ("keepdims", "rowvar")  # whatever is true is True


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
    kind: type[Rule] = Rule,
    **formulas: Callable[..., Any] | None,
) -> Rule:
    """`tinygrad_cv.derivative`, but a rule that a user has given before stays.

    `inert` names the options that have no influence on the gradient. `selects`: the value drops
    elements of the arguments, as np.where does, and these have gradient 0 whatever their own
    derivative is; `selects="where"`: where this option is given.
    """
    rule = kind(function, formulas, signature, inert, selects, linear, elementwise)
    INERT[function] = frozenset(inert)
    enter(function, rule)
    return rule


class Definition:
    """A function that is written in terms of functions in the table.

    A call is bound by the function's own signature. The body is handed, by keyword, what was given
    for each of its parameters; `*args` comes as a tuple, `**kwargs` as a dict. An option that the
    body does not have is refused by name, unless it is inert or has its default value.

    The value is the function's own, which is called on the arrays, and so is every refusal; the
    body says how the value depends on tensors. Where the two differ in a bit, as they round
    differently or the body meets 0 times infinity, the function's own stands in the graph behind
    the body's (`own_value`). A function that calls one of a user's (`calls`) is its body. So is the
    value of a call that NumPy is known to compute wrong (`mistaken`, of the bound arguments).

    Where the tensors or the value have no elements, NumPy takes whatever options; if the body does
    not, the value is a constant.

    The body's annotations say what is differentiated. A tensor that requires a gradient is refused
    by name in the place of a size or an axis: `k: int`, `axis: Axis`. So it is in the place of the
    arguments of which what the body calls has no derivative (`refused`).
    """

    def __init__(
        self,
        function: Function,
        body: Callable[..., Any],
        signature: str | None,
        inert: Sequence[str],
        calls: bool,
        refused: Sequence[str] = (),
        mistaken: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> None:
        self.function = function
        self.body = body
        self.text = signature
        self.inert = frozenset(inert)
        self.calls = calls
        self.refused = frozenset(refused)
        self.mistaken = mistaken
        REFUSED_ARGUMENTS[function] = tuple(refused)

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

    @cached_property
    def own_value(self) -> Rule:
        """The row of a call whose value is the function's own: the gradient is the body's."""
        row = Rule(self.function, {"value": lambda g: g}, "value", elementwise=True)
        row.signature = self.signature
        return row

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        started = now()
        given = self.signature.bind(args, kwargs)
        if is_recording():
            refuse_tensors(self.function, given, self.constants, empty_ones=False)
            refuse_tensors(self.function, given, self.refused)
        bound = self.for_body(normalized(given))
        if self.calls:
            return self._body_value(bound)
        arrays = self._arrays(given)
        try:
            with np.errstate(all="ignore"):
                own = self.signature.call(self.function, arrays)
        except Exception as error:
            if any(is_complex(a) for a in leaves(arrays) if isinstance(a, np.ndarray)):
                self._body_value(bound)  # which names the argument that must be real
            raise errors.explain(error, self.function, arrays, {}) from None
        try:
            value = self._body_value(bound)
            is_own = self._is_own(value, own)
        except Exception:
            tensors = [leaf for leaf in leaves(given) if type(leaf) is Tensor]
            if is_empty(tensors) or is_empty(leaves(own)):
                return wrap(own)
            raise
        if is_own or (self.mistaken is not None and self.mistaken(given)):
            return value
        return self._in_place_of(value, own, given, started)

    def _arrays(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as arrays, without the options to overwrite them."""
        arrays = {}
        for name, value in given.items():
            if type(value) is Tensor:
                arrays[name] = unwrap(value)
            elif type(value) in PLAIN:
                arrays[name] = value
            else:
                for leaf in leaves(value):
                    refuse_foreign(leaf, self.function, name)
                arrays[name] = map_leaves(unwrap, value)
        return {name: value for name, value in arrays.items() if name not in IN_PLACE}

    def _is_own(self, value: Any, own: Any) -> bool:
        """Whether the body's value is the function's own to the last bit.

        Raises AssertionError if it has not even its shape.
        """
        if isinstance(own, (list, tuple)):
            parts = [self._is_own(*pair) for pair in zip(value, own, strict=True)]
            return all(parts)
        is_constant = type(value) is not Tensor
        value, own = np.asarray(unwrap(value)), np.asarray(own)
        if is_constant and value.shape != own.shape:
            return False
        if value.shape != own.shape:
            raise AssertionError(
                f"{errors.name_of(self.function)} on tensors gave shape {value.shape} where NumPy "
                f"gives {own.shape}; please report this"
            )
        return value.dtype == own.dtype and has_bits_of(value, own)

    def _in_place_of(self, value: Any, own: Any, given: Mapping[str, Any], started: float) -> Any:
        """The function's own value, in the graph behind the body's; of several values each."""
        if not any(type(v) is Tensor for v in leaves(value)):
            return own
        is_one = not isinstance(own, (list, tuple))
        arrays: Any = np.array(own) if is_one else list(map(np.array, leaves(own)))
        place = place_of(value) if is_one else place_of(leaves(value))
        node = None
        if place is not None:
            shape, dtype = described(arrays, self.function)
            if is_one and dtype.kind not in DIFFERENTIABLE:
                raise errors.no_float(self.function, dtype)
            line = errors.calling_line()
            node = Node(self.own_value, {"value": place}, {}, shape, dtype, line)
        tensors = leaves(wrap(arrays, node))
        parts = map(_kind_of_body, tensors, leaves(own), leaves(value))
        result = rebuild(own, parts)
        for observer in observers():
            observer.forward(Call(self.function, given, node, result, started, self.own_value))
        return result

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


def refuse_tensors(
    function: Function, given: Mapping[str, Any], names: Iterable[str], empty_ones: bool = True
) -> None:
    """Raise NotImplementedError for arguments of these names that require a gradient."""
    for name in names:
        value = given.get(name)
        if place_of(value) is not None and (empty_ones or np.size(unwrap(value))):
            raise errors.no_derivative(function, name)


def is_empty(values: Iterable[Any]) -> bool:
    """Whether none of these tensors and arrays has elements."""
    return all(np.size(unwrap(value)) == 0 for value in values)


def has_bits_of(a: Array, b: Array) -> bool:
    """Whether two arrays of one shape and dtype have the same bits."""
    if a.nbytes < LARGE or a.itemsize > 8:
        return a.tobytes() == b.tobytes()
    if a.ctypes.data == b.ctypes.data and a.strides == b.strides:
        return True
    bits = f"u{a.itemsize}"
    return bool(np.all(a.view(bits) == b.view(bits)))  # without copies


def normalized(given: dict[str, Any]) -> dict[str, Any]:
    """Options as bodies read them: numbers and truth values, in whatever form NumPy takes these."""
    changed: dict[str, Any] = {}
    for name in NUMBERED:
        value = given.get(name)
        if type(value) is bool or (type(value) is float and value.is_integer()):
            changed[name] = int(value)
    if type(given.get("axis")) is list:
        changed["axis"] = tuple(given["axis"])
    for name in SWITCHES:
        if name in given and type(given[name]) is not bool:
            changed[name] = given[name] is not np._NoValue and bool(given[name])
    return {**given, **changed} if changed else given


def _kind_of_body(tensor: Tensor, array: Array, value: Any) -> Any:
    """A tensor for one, an array for what depends on no tensor, such as a count."""
    return tensor if type(value) is Tensor else array


def definition(
    *functions: Function,
    signature: str | None = None,
    inert: Sequence[str] = (),
    calls: bool = False,
    refused: Sequence[str] = (),
    mistaken: Callable[[Mapping[str, Any]], bool] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter functions by writing them in terms of functions that are in the table already.

    The body has the parameters that it honours, under NumPy's names. `signature="a, axis=0"`: where
    Python cannot see it. `inert` names the options that have no influence on the result. `calls`
    says that the function calls one of a user's. `refused` names the arguments that are no
    operands, although NumPy takes arrays of real numbers there. `mistaken` says of which calls
    NumPy's own value is wrong.
    """

    def define(body: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            row = Definition(function, body, signature, inert, calls, refused, mistaken)
            DEFINITIONS[function] = row
            INERT[function] = frozenset(inert)
            enter(function, row)
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
        REFUSED_ARGUMENTS[function] = tuple(refused)
        enter(function, _on_arrays(function, signature, refused))


def _on_arrays(
    function: Function, signature: str | None, refused: Sequence[str]
) -> Callable[..., Any]:
    @cache
    def own_signature() -> Signature:
        return Signature(function, signature)  # which takes long to read

    def call(*args: Any, **kwargs: Any) -> Any:
        if refused and is_recording():
            refuse_tensors(function, own_signature().bind(args, kwargs), refused)
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
