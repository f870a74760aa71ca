"""A formula as the NumPy expression that it comes to, with its choices made for the shapes at hand.

A formula runs on `Traced` arrays, which compute like arrays and note every call. What depends on
numbers, not on shapes, cannot be written as one expression: `Untraceable` is raised there.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from threading import RLock
from typing import Any, TypeAlias

import numpy as np

from .. import tensor
from ..rules.numpy.index import scatter
from ..tensor import PLAIN, Rule
from ..typing import Function, Shape
from . import expression as ex
from .expression import Expression

Value: TypeAlias = Any  # what formulas compute with: traced, an array, a number, a list of these
Options: TypeAlias = Mapping[str, Any]  # of a call, by name


class Untraceable(Exception):
    """A formula does something that is no NumPy expression."""


# Functions that only ask for shapes or types: what they give is no value.
QUESTIONS = (np.shape, np.ndim, np.size, np.result_type, np.iscomplexobj, np.isrealobj)
METHODS = {
    *(
        "sum",
        "mean",
        "max",
        "min",
        "prod",
        "cumsum",
        "cumprod",
        "any",
        "all",
        "trace",
        "std",
        "var",
    ),
    *("reshape", "transpose", "swapaxes", "ravel", "flatten", "squeeze", "diagonal", "repeat"),
    *("astype", "copy", "conj", "conjugate", "clip", "round", "take", "dot"),
    *("argmax", "argmin", "argsort", "nonzero"),
}
FACTS = {"shape", "ndim", "size", "dtype", "itemsize", "nbytes"}
PARTS = {"real", "imag"}


class Traced:
    """An array that computes like an array, and has the expression that it comes from."""

    __slots__ = ("array", "expression")
    __hash__ = object.__hash__
    __array_priority__ = 1e9

    def __init__(self, array: Any, expression: Expression) -> None:
        self.array, self.expression = array, expression

    def __array_ufunc__(self, ufunc: np.ufunc, how: str, *args: Any, **kwargs: Options) -> Value:
        if how != "__call__" or kwargs.get("out") is not None:
            if how not in ("reduce", "accumulate", "outer") or kwargs.get("out") is not None:
                raise Untraceable(f"np.{ufunc.__name__}.{how} in place")
            return traced_call(getattr(ufunc, how), args, kwargs)
        return traced_call(ufunc, args, kwargs)

    def __array_function__(
        self, function: Function, types: Collection[type], args: tuple[Value, ...], kwargs: Options
    ) -> Value:
        if kwargs.get("out") is not None:
            raise Untraceable(f"{function.__name__} in place")
        return traced_call(function, args, kwargs)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise Untraceable("np.asarray of a value")

    def __getitem__(self, index: Value) -> Value:
        return traced_call(operator.getitem, (self, index), {})

    def __setitem__(self, index: Value, value: Value) -> None:
        raise Untraceable("a write into an array")

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self.array)))

    def __bool__(self) -> bool:
        """Of whether there is a NaN, as it was; what else depends on values is no expression."""
        if self.expression.text().startswith("np.any(np.isnan("):
            return bool(self.array)
        raise Untraceable("a branch that depends on values")

    def __index__(self) -> int:
        raise Untraceable("a number that depends on values")

    __float__ = __int__ = __complex__ = __index__

    def __neg__(self) -> Value:
        return Traced(-self.array, ex.unary("-", self.expression))

    def __pos__(self) -> Value:
        return Traced(+self.array, ex.unary("+", self.expression))

    def __invert__(self) -> Value:
        return Traced(~self.array, ex.unary("~", self.expression))

    def __abs__(self) -> Value:
        return traced_call(np.absolute, (self,), {})

    @property
    def T(self) -> Value:
        """The axes in reverse order."""
        return Traced(self.array.T, ex.attribute(self.expression, "T"))

    @property
    def mT(self) -> Value:
        """The last two axes exchanged."""
        what = "T" if self.array.ndim == 2 else "mT"
        return Traced(self.array.mT, ex.attribute(self.expression, what))

    def __getattr__(self, key: str) -> Value:
        if key in FACTS:
            return getattr(self.array, key)
        if key in PARTS:
            return Traced(getattr(self.array, key), ex.attribute(self.expression, key))
        if key in METHODS:
            return lambda *args, **kwargs: traced_method(self, key, args, kwargs)
        raise Untraceable(f".{key} of an array")


def _operator(symbol: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: traced_operator(symbol, self, other)


def _reflected(symbol: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: traced_operator(symbol, other, self)


for _symbol, _name in {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "truediv",
    "//": "floordiv",
    "%": "mod",
    "@": "matmul",
    "**": "pow",
    "&": "and",
    "|": "or",
    "^": "xor",
}.items():
    setattr(Traced, f"__{_name}__", _operator(_symbol))
    setattr(Traced, f"__r{_name}__", _reflected(_symbol))
for _symbol, _name in {
    "==": "eq",
    "!=": "ne",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
}.items():
    setattr(Traced, f"__{_name}__", _operator(_symbol))


# ------------------------------------------------------------------------------------- the calls


def plain(value: Value) -> Value:
    """What a traced value stands for; in lists, too."""
    if type(value) is Traced:
        return value.array
    if isinstance(value, (list, tuple)):
        parts = [plain(v) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if type(value) is slice:
        return slice(plain(value.start), plain(value.stop), plain(value.step))
    return value


def write(value: Value) -> Expression:
    """The expression of an argument."""
    if type(value) is Traced:
        return value.expression
    if isinstance(value, (list, tuple)):
        return ex.sequence(list if type(value) is list else tuple, [write(v) for v in value])
    if isinstance(value, np.ndarray):
        return write_array(value)
    found = ex.literal(value)
    if found is None:
        name = ex.function_name(value) if callable(value) else None
        if name is None:
            raise Untraceable(f"{value!r} as an argument")
        return ex.name(name)
    return found


def write_array(array: np.ndarray) -> Expression:
    """An array that a formula has made itself: of one number, a range, a unit matrix, or small."""
    shape, dtype = write(array.shape), ex.literal(array.dtype)
    if dtype is None:
        raise Untraceable(f"an array of {array.dtype}")
    kind = {} if array.dtype == np.float64 else {"dtype": dtype}
    if array.size and bool(np.all(array == array.flat[0])) and array.ndim:
        first = array.flat[0]
        if first == 0 and not np.any(np.signbit(array.real)):
            return ex.call("np.zeros", [shape, *kind.values()], {})
        if first == 1:
            return ex.call("np.ones", [shape, *kind.values()], {})
        return ex.call("np.full", [shape, write(first)], {})
    length = len(array) if array.ndim else 0
    if array.shape == (length, length) and np.array_equal(array, np.eye(length)):
        return ex.call("np.eye", [write(length)], kind)
    whole = array.dtype == np.int64 and array.size > 4
    if whole and array.shape == (length,) and np.array_equal(array, np.arange(length)):
        return ex.call("np.arange", [write(length)], {})
    if array.size > 16 or array.dtype.kind not in "biuf":
        raise Untraceable("an array that the formula made")
    kind = {"dtype": dtype} if np.array(array.tolist()).dtype != array.dtype else {}
    if array.size == 0:
        return ex.call("np.zeros", [shape, dtype], {})
    return ex.call("np.array", [write(array.tolist())], kind)


def traced(value: Value, expression: Expression) -> Value:
    """A value of a call as a traced one; several with their numbers."""
    if isinstance(value, (np.ndarray, np.generic)):
        return Traced(value, expression)
    if isinstance(value, (tuple, list)):
        parts: list[Any] = []
        for i, part in enumerate(value):
            item = ex.item(expression, write(i))
            parts.append(None if part is None else traced(part, item))
        if hasattr(value, "_fields"):
            return type(value)(*parts)
        return type(value)(parts)
    if isinstance(value, (bool, int, float, complex)):
        return Traced(value, expression)
    raise Untraceable(f"a {type(value).__name__} as a value")


def traced_call(function: Function, args: tuple[Value, ...], kwargs: Options) -> Value:
    """Carry out a function of NumPy, and note it."""
    given = {k: v for k, v in kwargs.items() if v is not np._NoValue}
    arrays = [plain(a) for a in args]
    options = {k: plain(v) for k, v in given.items()}
    if function in QUESTIONS:
        return function(*arrays, **options)
    value = function(*arrays, **options)
    return traced(value, express(function, args, given, value))


def traced_method(self: Traced, what: str, args: tuple[Value, ...], kwargs: Options) -> Value:
    """Carry out a method of an array, and note it."""
    if kwargs.get("out") is not None:
        raise Untraceable(f".{what} of an array")
    value = getattr(self.array, what)(*map(plain, args), **{k: plain(v) for k, v in kwargs.items()})
    arguments = {key: write(v) for key, v in kwargs.items()}
    return traced(value, ex.method(self.expression, what, map(write, args), arguments))


def traced_operator(symbol: str, left: Value, right: Value) -> Value:
    """Carry out an operator, and note it."""
    try:
        value = ex.FUNCTIONS_OF_SYMBOLS[symbol](plain(left), plain(right))
    except TypeError:
        return NotImplemented
    shorter = simplified(symbol, left, right, value)
    if shorter is not None:
        return shorter
    of_array = type(left) is Traced and isinstance(left.array, np.ndarray)
    if symbol == "**" and of_array and left.array.ndim == 0:
        return traced(value, power_of_number(left, right))
    return traced(value, operation_on(symbol, left, right, value))


def operation_on(symbol: str, left: Value, right: Value, value: Value) -> Expression:
    """Two sides and an operator. What broadcasts by itself is not broadcast before."""
    sides = [bare(left, right), bare(right, left)]
    if symbol == "@":
        return ex.binary(symbol, *sides)
    for i, side in enumerate(sides):
        if side.kind != "broadcast":
            continue
        inner, shape = side.details
        other = plain((left, right)[1 - i])
        if np.shape(other) == np.shape(value):
            sides[i] = inner
        elif np.broadcast_shapes(shape, np.shape(other)) == shape:
            sides[i] = inner
            return broadcasted(ex.binary(symbol, *sides), shape, np.shape(value))
    return ex.binary(symbol, *sides)


def bare(value: Value, other: Value) -> Expression:
    """One side of an operator: a number of NumPy's as Python's, where that is the same."""
    other = plain(other)
    if type(value) is np.float64 and getattr(other, "dtype", None) == np.float64:
        return write(float(value))
    return write(value)


def broadcasted(inner: Expression, before: Shape, shape: Shape) -> Expression:
    """`np.broadcast_to(x, shape)`; `before` is the shape of x."""
    parts = (inner, write(shape))
    return Expression("np.broadcast_to({}, {})", parts, kind="broadcast", details=(inner, before))


# ------------------------------------------------------------------------- how a call is written


def express(
    function: Function, args: tuple[Value, ...], kwargs: Options, value: Value = None
) -> Expression:
    """A call as a person writes it. `value`, where it is known, is what it gives."""
    if not kwargs:
        found = short_form(function, args, value)
        if found is not None:
            return found
    if function is np.where and len(args) == 3 and is_false(args[0]):
        chosen = np.asarray(plain(args[2]))
        same_type = chosen.dtype == getattr(value, "dtype", None)
        if same_type and chosen.shape == np.shape(value):
            return write(args[2])
        if same_type and chosen.ndim == 0:
            return full(write(args[2]), np.shape(value))
    if function is np.where and len(args) == 3 and not kwargs:
        return choice(args, value)
    name = ex.function_name(function)
    if name is None:
        name = method_of_ufunc(function)
    if name is None:
        raise Untraceable(f"{function!r} has no name in NumPy")
    defaults = defaults_of(function)
    told = {key: v for key, v in kwargs.items() if not is_default(v, defaults.get(key, Ellipsis))}
    options = {key: write(v) for key, v in told.items()}
    if function is np.astype:
        return ex.method(write(args[0]), "astype", map(write, args[1:]), options)
    return ex.call(name, map(write, args), options)


def choice(args: tuple[Value, ...], value: Value) -> Expression:
    """`np.where(condition, x, y)`. What broadcasts by itself is not broadcast before."""
    parts = [write(a) for a in args]
    for i, part in enumerate(parts):
        others = [np.shape(plain(a)) for j, a in enumerate(args) if j != i]
        if part.kind == "broadcast" and np.shape(value) in others:
            parts[i] = part.details[0]
    return ex.call("np.where", parts, {})


@cache
def defaults_of(function: Function) -> dict[str, Any]:
    """The defaults of a function's options; none where Python cannot see them."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return {}
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def is_default(value: Value, default: Value) -> bool:
    """Whether an option says nothing."""
    return type(value) is type(default) and type(value) in PLAIN and bool(value == default)


def method_of_ufunc(function: Function) -> str | None:
    """`np.add.reduce`."""
    owner = getattr(function, "__self__", None)
    known = ex.function_name(owner) if isinstance(owner, np.ufunc) else None
    return None if known is None else f"{known}.{function.__name__}"


def short_form(function: Function, args: tuple[Value, ...], value: Value) -> Expression | None:
    """Operators, `.T`, indexing, and what falls away."""
    if function in ex.SYMBOLS and len(args) == 2:
        shorter = simplified(ex.SYMBOLS[function], *args, value)
        if shorter is not None:
            return shorter.expression
        if any(isinstance(plain(a), (np.ndarray, np.generic)) for a in args):
            return operation_on(ex.SYMBOLS[function], *args, value)
    if function is np.negative and type(args[0]) is Traced:
        return ex.unary("-", args[0].expression)
    if function is np.power and len(args) == 2:
        return power(*args, value)
    if function is np.float_power and len(args) == 2:
        return None
    if function is operator.getitem:
        return ex.item(write(args[0]), ex.index_text(args[1], write))
    if type(args[0]) is not Traced:
        return None
    x: Traced = args[0]
    if function is np.transpose and (len(args) == 1 or args[1] is None):
        return ex.attribute(x.expression, "T")
    if function is np.matrix_transpose:
        return ex.attribute(x.expression, "T" if x.array.ndim == 2 else "mT")
    if function is np.reshape and len(args) == 2 and np.shape(x.array) == shape_of(args[1]):
        return x.expression
    if function is np.expand_dims:
        return expanded(x, plain(args[1]))
    if function is np.broadcast_to:
        return broadcast(x, shape_of(args[1]))
    return None


def shape_of(given: Value) -> Shape:
    """A shape, from a number too."""
    return (int(given),) if isinstance(given, (int, np.integer)) else tuple(given)


def power(base: Value, exponent: Value, value: Value) -> Expression | None:
    """`x ** 2`, where the operator gives the same bits as np.power: on arrays that have axes."""
    if type(exponent) not in (int, float) or type(base) is not Traced:
        return None
    same_type = base.array.dtype == getattr(value, "dtype", None)
    if exponent == 1 and same_type:
        return base.expression
    if exponent in (2, 3) and np.ndim(base.array):
        return ex.binary("**", base.expression, write(exponent))
    return None


SHORT_CUTS = {2: "np.square", 0.5: "np.sqrt", -1: "np.reciprocal", 1: "np.positive"}


def power_of_number(base: Traced, exponent: Value) -> Expression:
    """What `**` comes to on an array of one number, where a number of NumPy's has another way."""
    if type(exponent) in (int, float) and exponent in SHORT_CUTS:
        return ex.call(SHORT_CUTS[exponent], [base.expression], {})
    return ex.call("np.power", [base.expression, write(exponent)], {})


def expanded(x: Traced, axis: Value) -> Expression:
    """`x[:, None]`."""
    axes = [axis] if isinstance(axis, (int, np.integer)) else list(axis)
    if not axes:
        return x.expression
    ndim = np.ndim(x.array) + len(axes)
    new = {a % ndim for a in axes}
    index = ["None" if i in new else ":" for i in range(ndim)]
    while index and index[-1] == ":":
        index.pop()
    if x.expression.kind == "full" or np.ndim(x.array) == 0:
        return Expression(
            "np.reshape({}, {})",
            (x.expression, write((1,) * ndim)),
            kind="single",
            details=x.expression,
        )
    return ex.item(x.expression, Expression(", ".join(index)))


def broadcast(x: Traced, shape: Shape) -> Expression:
    """`np.full(shape, g)` of a number, `np.broadcast_to(x, shape)` of an array."""
    if np.shape(x.array) == shape:
        return x.expression
    inner = x.expression
    if inner.kind == "single":
        inner = inner.details
    of_number = inner.details == "np.reshape" and np.size(x.array) == 1
    if of_number and inner.parts[0].kind == "name":
        return full(inner.parts[0], shape)  # a number, given axes
    if inner is not x.expression or np.ndim(x.array) == 0:
        return full(inner, shape)
    return broadcasted(inner, np.shape(x.array), shape)


def full(number: Expression, shape: Shape) -> Expression:
    """An array of one number."""
    return Expression("np.full({}, {})", (write(shape), number), kind="full", details=shape)


def simplified(symbol: str, left: Value, right: Value, value: Value) -> Traced | None:
    """Shorter ways to write an operator; None if there is none."""
    if symbol == "&" and (is_false(left) or is_false(right)):
        nowhere = write(np.zeros(np.shape(value), bool))
        return Traced(value, Expression(nowhere.text(), kind="false"))
    whole = left.expression if type(left) is Traced else None
    if symbol in "*/" and whole is not None and whole.kind == "full":
        if type(right) not in (int, float):
            return None
        inside = ex.binary(symbol, whole.parts[1], write(right))
        return Traced(value, full(inside, whole.details))
    return None


def is_false(value: Value) -> bool:
    """Whether a condition is False whatever the arrays hold."""
    if type(value) is Traced:
        return value.expression.kind == "false"
    return isinstance(value, (bool, np.bool_)) and not value


# ---------------------------------------------------------------------- arguments as they are given


@cache
def by_position_only(function: Function) -> frozenset[str] | None:
    """The parameters that have no keyword; None if Python cannot see them."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return None
    return frozenset(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY)


def arranged(operation: Rule, bound: Mapping[str, Any]) -> tuple[tuple[Value, ...], dict[str, Any]]:
    """The arguments of a call by position and by keyword, as a person gives them."""
    signature = operation.signature
    args: list[Any] = []
    rest = dict(bound)
    without_keyword = by_position_only(operation.function)
    for name in signature.positional:
        if name not in rest:
            break
        needed = name in signature.required or without_keyword is None or signature.variadic
        unnamed = name in (without_keyword or ()) or name in operation.operands
        if not needed and not unnamed:
            break
        args.append(rest.pop(name))
    if signature.variadic is not None:
        args.extend(rest.pop(signature.variadic, ()))
    if signature.keywords is not None:
        rest |= rest.pop(signature.keywords, {})
    if rest.get("keepdims") is False:
        del rest["keepdims"]
    return tuple(args), rest


# --------------------------------------------------------------------- rules that formulas call

_LOCK = RLock()


@contextmanager
def tracing() -> Iterator[None]:
    """Inside this context rules that meet traced arrays are carried out by their functions."""
    with _LOCK:
        record = tensor.record

        def traced_record(operation: Any, args: tuple[Value, ...], kwargs: Options) -> Value:
            if not any(type(a) is Traced for a in (*args, *kwargs.values())):
                return record(operation, args, kwargs)
            function = INSTEAD.get(operation.function, operation.function)
            return function(*args, **kwargs)

        tensor.record = traced_record
        try:
            yield
        finally:
            tensor.record = record


def trace(formula: Function, arguments: list[Any]) -> Value:
    """What a formula gives, as traced values."""
    with tracing(), np.errstate(all="ignore"):
        try:
            return formula(*arguments)
        except (TypeError, ValueError, AttributeError) as error:
            raise Untraceable(str(error)) from error


SCATTER: Any = getattr(scatter, "function", scatter)  # without its rule


def scattered(values: Value, index: Value, shape: Shape) -> Traced:
    """Zeros with values added at an index: two lines of a program, an array and a write into it."""
    array = SCATTER(plain(values), plain(index), shape)
    where = ex.index_text(index, write)
    zeros = [write(shape)] if array.dtype == np.float64 else [write(shape), write(array.dtype)]
    parts = index if isinstance(index, tuple) else (index,)
    once = all(part is None or part is Ellipsis or isinstance(part, ONCE) for part in parts)
    form = "{}[{}] = {}" if once else "np.add.at({}, {}, {})"
    if not once:
        where = write(index)
    parts_of = (ex.call("np.zeros", zeros, {}), where, write(values))
    return Traced(array, Expression("scatter({}, {}, {})", parts_of, kind="scatter", details=form))


ONCE = (int, np.integer, slice)
INSTEAD: dict[Any, Function] = {SCATTER: scattered}  # of functions that write into arrays
