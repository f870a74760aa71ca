"""Expressions of a printed program: what they consist of, and how they are written."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..engine import errors
from ..typing import Function

ATOM, POWER, SIGN, PRODUCT, SUM, AND, XOR, OR, COMPARISON = 18, 16, 15, 14, 13, 11, 10, 9, 8
ANY = 0  # where no parentheses are needed

# How tightly operators bind: as a whole, and what each side has to be at least.
OPERATORS: dict[str, tuple[int, int, int]] = {
    "+": (SUM, SUM, SUM + 1),
    "-": (SUM, SUM, SUM + 1),
    "*": (PRODUCT, PRODUCT, PRODUCT + 1),
    "/": (PRODUCT, PRODUCT, PRODUCT + 1),
    "//": (PRODUCT, PRODUCT, PRODUCT + 1),
    "%": (PRODUCT, PRODUCT, PRODUCT + 1),
    "@": (PRODUCT, PRODUCT, PRODUCT + 1),
    "**": (POWER, POWER + 1, SIGN),
    "&": (AND, AND, AND + 1),
    "^": (XOR, XOR, XOR + 1),
    "|": (OR, OR, OR + 1),
    "==": (COMPARISON, COMPARISON + 1, COMPARISON + 1),
    "!=": (COMPARISON, COMPARISON + 1, COMPARISON + 1),
    "<": (COMPARISON, COMPARISON + 1, COMPARISON + 1),
    "<=": (COMPARISON, COMPARISON + 1, COMPARISON + 1),
    ">": (COMPARISON, COMPARISON + 1, COMPARISON + 1),
    ">=": (COMPARISON, COMPARISON + 1, COMPARISON + 1),
}

# The operators that are the same as a ufunc, to the last bit. (`**` is not: it has short cuts.)
SYMBOLS: dict[Any, str] = {
    np.add: "+",
    np.subtract: "-",
    np.multiply: "*",
    np.true_divide: "/",
    np.floor_divide: "//",
    np.remainder: "%",
    np.matmul: "@",
    np.bitwise_and: "&",
    np.bitwise_or: "|",
    np.bitwise_xor: "^",
    np.equal: "==",
    np.not_equal: "!=",
    np.less: "<",
    np.less_equal: "<=",
    np.greater: ">",
    np.greater_equal: ">=",
}
FUNCTIONS_OF_SYMBOLS: dict[str, Function] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "@": operator.matmul,
    "**": operator.pow,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Expression:
    """A piece of a program: a template with `{}` for each part, and how tightly it binds.

    `kind` and `details` say what it is to who looks for patterns, such as ("broadcast", shape).
    """

    __slots__ = ("details", "kind", "needs", "parts", "precedence", "template")

    def __init__(
        self,
        template: str,
        parts: Iterable[Expression] = (),
        precedence: int = ATOM,
        needs: Iterable[int] | None = None,
        kind: str = "",
        details: Any = None,
    ) -> None:
        self.template = template
        self.parts = tuple(parts)
        self.precedence = precedence
        self.needs = tuple(needs) if needs is not None else (ANY,) * len(self.parts)
        self.kind, self.details = kind, details

    def text(self, names: Mapping[int, str] | None = None) -> str:
        """The expression as it is written; parts that have a name in `names` (by id) by their
        name."""
        return self.within(ANY, names or {})

    def within(self, need: int, names: Mapping[int, str]) -> str:
        """The same where a precedence is needed."""
        if id(self) in names:
            return names[id(self)]
        if not self.parts:
            text = self.template
        else:
            pairs = zip(self.parts, self.needs, strict=True)
            texts = [part.within(least, names) for part, least in pairs]
            text = fill(self.template, texts)
        return text if self.precedence >= need else f"({text})"

    @property
    def is_atom(self) -> bool:
        """Whether this is a name or a literal."""
        return not self.parts

    def __repr__(self) -> str:
        return f"<{self.text()}>"


def interned(expression: Expression, pool: dict[Any, Expression]) -> Expression:
    """The same expression, in which parts that read the same are one part."""
    done: dict[int, Expression] = {}  # a part that is met again is not walked again

    def as_one(part: Expression) -> Expression:
        if id(part) not in done:
            parts = [as_one(p) for p in part.parts]
            key = (part.template, part.precedence, part.needs, *map(id, parts))
            if key not in pool:
                pool[key] = Expression(
                    part.template, parts, part.precedence, part.needs, part.kind, part.details
                )
            done[id(part)] = pool[key]
        return done[id(part)]

    return as_one(expression)


def fill(template: str, texts: Iterable[str]) -> str:
    """A template with its places filled in."""
    pieces = template.split("{}")
    filled = [pieces[0]]
    for text, piece in zip(texts, pieces[1:], strict=True):
        filled += [text, piece]
    return "".join(filled)


def name(text: str) -> Expression:
    """A variable."""
    return Expression(text, kind="name")


def binary(symbol: str, left: Expression, right: Expression) -> Expression:
    """`left + right`."""
    if symbol == "+":
        positive = without_minus(right)
        symbol, right = ("+", right) if positive is None else ("-", positive)
    whole, of_left, of_right = OPERATORS[symbol]
    template = f"{{}} {symbol} {{}}"
    return Expression(template, (left, right), whole, (of_left, of_right), "binary", symbol)


def without_minus(x: Expression) -> Expression | None:
    """`g * a / y` for `-g * a / y`, to the same bits; None if there is no minus."""
    if x.kind == "unary" and x.details == "-":
        return x.parts[0]
    if x.kind != "binary" or x.details not in ("*", "/"):
        return None
    left = without_minus(x.parts[0])
    return None if left is None else binary(x.details, left, x.parts[1])


def unary(symbol: str, x: Expression) -> Expression:
    """`-x`."""
    return Expression(symbol + "{}", (x,), SIGN, (SIGN,), "unary", symbol)


def call(function: str, args: Iterable[Expression], kwargs: Mapping[str, Expression]) -> Expression:
    """`function(x, axis=0)`."""
    given = list(args)
    places = ["{}"] * len(given) + [f"{key}={{}}" for key in kwargs]
    template = f"{function}({', '.join(places)})"
    return Expression(template, (*given, *kwargs.values()), kind="call", details=function)


def method(
    x: Expression, what: str, args: Iterable[Expression], kwargs: Mapping[str, Expression]
) -> Expression:
    """`x.sum(axis=0)`."""
    given = list(args)
    places = ["{}"] * len(given) + [f"{key}={{}}" for key in kwargs]
    template = f"{{}}.{what}({', '.join(places)})"
    needs = (ATOM, *[ANY] * (len(places)))
    return Expression(template, (x, *given, *kwargs.values()), ATOM, needs, "method", what)


def attribute(x: Expression, what: str) -> Expression:
    """`x.T`."""
    if what in ("T", "mT") and (x.kind, x.details) == ("attribute", what):
        return x.parts[0]  # transposed twice
    return Expression(f"{{}}.{what}", (x,), ATOM, (ATOM,), "attribute", what)


def item(x: Expression, index: Expression) -> Expression:
    """`x[index]`."""
    return Expression("{}[{}]", (x, index), ATOM, (ATOM, ANY), "item")


def sequence(kind: type, items: Iterable[Expression]) -> Expression:
    """`(a, b)` or `[a, b]`."""
    parts = tuple(items)
    inside = ", ".join(["{}"] * len(parts))
    if kind is tuple and len(parts) == 1:
        inside += ","
    template = f"({inside})" if kind is tuple else f"[{inside}]"
    return Expression(template, parts, kind="sequence", details=kind)


def mapping(items: Mapping[str, Expression]) -> Expression:
    """`{"a": a}`."""
    entries = [f"{key!r}: {{}}" for key in items]
    template = "{" + ", ".join(entries).replace("'", '"') + "}"
    return Expression(template, items.values(), kind="mapping")


# -------------------------------------------------------------------------------- values, written


def literal(value: object) -> Expression | None:
    """A plain value as it is written; None if it cannot be."""
    if isinstance(value, (tuple, list)) and type(value) in (tuple, list):
        items = [literal(v) for v in value]
        known = [i for i in items if i is not None]
        return sequence(type(value), known) if len(known) == len(items) else None
    if type(value) is dict and all(type(key) is str for key in value):
        entries = {key: literal(v) for key, v in value.items()}
        found = {key: e for key, e in entries.items() if e is not None}
        return mapping(found) if len(found) == len(entries) else None
    text = _text(value)
    if text is None:
        return None
    precedence = SIGN if text.startswith("-") else ATOM
    return Expression(text, precedence=precedence, kind="literal", details=value)


def _text(value: object) -> str | None:
    """A value that is no container, as it is written."""
    if value is Ellipsis:
        return "..."
    if value is None or type(value) in (bool, int):
        return repr(value)
    if type(value) is str:
        text = repr(value)
        plain = text[1:-1]
        return text if '"' in plain or "\\" in plain else f'"{plain}"'
    if type(value) in (float, complex):
        return _number(repr(value))
    if isinstance(value, np.dtype):
        return f"np.{value.type.__name__}" if value == np.dtype(value.type) else None
    if isinstance(value, type):
        return _type(value)
    if isinstance(value, (np.number, np.bool_)):
        return _number(f"np.{value.dtype.type.__name__}({value.item()!r})")
    if isinstance(value, slice):
        parts = [_text(p) for p in (value.start, value.stop, value.step)]
        return None if None in parts else f"slice({', '.join(map(str, parts))})"
    return None


def _type(value: type) -> str | None:
    if value in (float, int, bool, complex):
        return value.__name__
    text = f"np.{value.__name__}"
    return text if getattr(np, value.__name__, None) is value else None


def _number(text: str) -> str:
    """Infinity and NaN have names in NumPy."""
    return text.replace("inf", "np.inf").replace("nan", "np.nan")


def index_text(index: object, write: Callable[[Any], Expression]) -> Expression:
    """What stands in the brackets of `x[...]`: `1:, None`."""
    if type(index) is not tuple or not index:
        return _index_part(index, write)
    parts = [_index_part(i, write) for i in index]
    if len(parts) == 1 and type(index[0]) is not tuple:
        return parts[0]
    inside = ", ".join(["{}"] * len(parts))
    return Expression(inside + ("," if len(parts) == 1 else ""), parts)


def _index_part(index: object, write: Callable[[Any], Expression]) -> Expression:
    if isinstance(index, slice):
        bounds = ["" if b is None else str(_text(b)) for b in (index.start, index.stop)]
        step = "" if index.step is None else f":{_text(index.step)}"
        return Expression(":".join(bounds) + step)
    return write(index)


# ------------------------------------------------------------------------------- functions, named

_PLACES: dict[int, str] = {}


def function_name(function: Function) -> str | None:
    """`np.tanh`, `scipy.special.erf`, ...: where a program finds a function. None if nowhere."""
    if not _PLACES:
        _find_functions()
    return _PLACES.get(id(function)) or _place_in_scipy(function)


def _place_in_scipy(function: Function) -> str | None:
    """The place of a function in a namespace of SciPy's that has been imported."""
    name = errors.name_of(function)
    namespace, _, key = name.rpartition(".")
    module = sys.modules.get(namespace)
    found = namespace.startswith("scipy.") and getattr(module, key, None) is function
    return name if found else None


def _find_functions() -> None:
    import scipy.special

    spaces = {
        "np": np,
        "np.linalg": np.linalg,
        "np.fft": np.fft,
        "np.lib.stride_tricks": np.lib.stride_tricks,
        "scipy.special": scipy.special,
        "operator": operator,
    }
    for prefix, space in spaces.items():
        for key, value in vars(space).items():
            if callable(value) and not key.startswith("_"):
                own = getattr(value, "__name__", key)
                known = _PLACES.get(id(value))
                if known is None or (own == key and known.startswith(f"{prefix}.")):
                    _PLACES[id(value)] = f"{prefix}.{key}"
