"""JSON from files: parsed strictly, and checked against the schema that the reader declares.

A schema is a type: a TypedDict for an object with these keys and no others, `dict[str, T]` for one
with any keys, `list[T]`, `A | B`, int, float (whole numbers too), str, bool, None, `object` for
anything, and numbers with limits, `Annotated[int, 0, inf]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from math import inf, isfinite
from types import UnionType
from typing import Annotated, Any, NoReturn, get_args, get_origin, get_type_hints, is_typeddict

from .typing import PyTree

Natural = Annotated[int, 0, inf]

DEEPEST = 127  # objects and lists inside each other
LONGEST_SHOWN = 40  # characters of a wrong value in a message
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
CONTAINERS = (dict, list)
WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    dict: "an object",
    list: "a list",
}


def parse(content: bytes, hook: Callable[[dict[str, Any]], Any] | None = None) -> PyTree:
    """What JSON says. Raises ValueError where readers of JSON disagree, or give up.

    That is an object with two values of one name, NaN, numbers beyond float64, -0 in the place of
    a whole number, half of a surrogate pair, and anything nested more than DEEPEST levels deep.
    `hook` may make something else of each object, as it is read.
    """

    def unique(pairs: Iterable[tuple[str, Any]]) -> Any:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise ValueError(f"{shown(key)} stands there twice")
            result[key] = value
        return hook(result) if hook else result

    try:
        value: PyTree = json.loads(
            content.decode(),
            object_pairs_hook=unique,
            parse_int=whole_number,
            parse_float=finite_number,
            parse_constant=refuse_constant,
        )
    except RecursionError:
        raise ValueError(f"nested too deeply, over {DEEPEST} levels") from None
    if SURROGATE.search(content):  # written as an escape; the decoder above refuses others
        refuse_half_of_a_pair(value)
    if depth(value) > DEEPEST:
        raise ValueError(f"nested too deeply, over {DEEPEST} levels")
    return value


def whole_number(text: str) -> int:
    if text == "-0":
        raise ValueError("-0 is not a whole number")
    return int(text)


def finite_number(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:LONGEST_SHOWN]} is beyond the largest number")
    return number


def refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def refuse_half_of_a_pair(value: PyTree) -> None:
    """Raise ValueError for text that UTF-8 cannot hold."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise ValueError("it has half of a surrogate pair, which is no character") from None


def depth(value: PyTree) -> int:
    """How many objects and lists lie inside each other."""
    levels = 0
    level = [value] if isinstance(value, CONTAINERS) else []
    while level:
        levels += 1
        inner: list[Any] = []
        for container in level:
            values = container.values() if isinstance(container, dict) else container
            inner += [value for value in values if isinstance(value, CONTAINERS)]
        level = inner
    return levels


def check(value: PyTree, schema: Any, place: str) -> None:
    """Raise ValueError, which names the place, what is there and what belongs there."""
    if is_typeddict(schema):
        check_object(value, schema, place)
    elif get_origin(schema) is UnionType:
        check_alternatives(value, get_args(schema), place)
    elif get_origin(schema) is Annotated:
        kind, low, high = get_args(schema)
        check(value, kind, place)
        if not low <= value <= high:
            limits = f"from {low} on" if high == inf else f"from {low} to {high}"
            raise misfit(place, value, f"{WORDS[kind]} {limits}")
    elif get_origin(schema) in CONTAINERS:
        check_items(value, schema, place)
    elif schema is not object and not (
        type(value) is schema or (schema is float and type(value) is int)
    ):
        raise misfit(place, value, WORDS[schema])


def check_object(value: PyTree, schema: Any, place: str) -> None:
    """An object with the keys of a TypedDict."""
    hints = get_type_hints(schema, include_extras=True)
    if not isinstance(value, dict):
        raise misfit(place, value, f"an object with {', '.join(hints)}")
    lacking = [key for key in hints if key not in value]
    unknown = [key for key in value if key not in hints]
    if lacking:
        raise ValueError(f"{place} lacks {', '.join(lacking)}")
    if unknown:
        known = ", ".join(hints)
        raise ValueError(f"{place} has the unknown key {shown(unknown[0])}; known are {known}")
    for key, hint in hints.items():
        check(value[key], hint, f"{place}: {key}")


def check_alternatives(value: PyTree, schemas: Iterable[Any], place: str) -> None:
    """A value that one of several schemas describes."""
    for schema in schemas:
        try:
            return check(value, schema, place)
        except ValueError:
            continue
    raise misfit(place, value, " or ".join(WORDS[schema] for schema in schemas))


def check_items(value: PyTree, schema: Any, place: str) -> None:
    """An object or a list whose values have one schema."""
    kind = get_origin(schema)
    if not isinstance(value, kind):
        raise misfit(place, value, WORDS[kind])
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        check(item, get_args(schema)[-1], f"{place}: {shown(key)}")


def misfit(place: str, value: PyTree, expected: str) -> ValueError:
    """The error about a value that is not what belongs there."""
    kind = WORDS[type(value)] if isinstance(value, CONTAINERS) else shown(value)
    return ValueError(f"{place} is {kind}, where {expected} belongs")


def shown(value: PyTree) -> str:
    """A value in a message, shortened."""
    text = repr(value[:LONGEST_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
