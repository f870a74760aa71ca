"""The parts of expressions: which names are in them, and which parts deserve a line of their
own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .expression import Expression


def names_in(expression: Expression, named: Mapping[int, str] | None = None) -> tuple[str, ...]:
    """The variables in an expression."""
    found: dict[str, None] = {}
    seen: set[int] = set()
    stack = [expression]
    while stack:
        part = stack.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if named and id(part) in named:
            found[named[id(part)]] = None
        elif part.kind == "name":
            found[part.template] = None
        else:
            stack.extend(reversed(part.parts))
    return tuple(found)


def parts_of(expression: Expression) -> Iterable[Expression]:
    """All parts of an expression, the innermost first, each once."""
    seen: set[int] = set()
    order: list[Expression] = []
    stack: list[tuple[Expression, bool]] = [(expression, False)]
    while stack:
        part, done = stack.pop()
        if done:
            order.append(part)
        elif id(part) not in seen:
            seen.add(id(part))
            stack.append((part, True))
            stack.extend((p, False) for p in reversed(part.parts))
    return order


WORTH_A_NAME = ("binary", "unary", "call", "method", "item", "full", "broadcast", "single")


def is_worth_a_name(part: Expression) -> bool:
    """Whether a part is a value, and no name, literal or shape."""
    if part.is_atom or part.kind in ("sequence", "mapping", "attribute", "false"):
        return False
    return part.kind in WORTH_A_NAME and part.kind != "" and bool(names_in(part))


def shared_parts(expressions: Iterable[Expression], named: Mapping[int, str]) -> set[int]:
    """The parts that are used more than once, by id."""
    counts: dict[int, int] = {}
    seen: set[int] = set()
    stack = list(expressions)
    for root in stack:
        counts[id(root)] = counts.get(id(root), 0) + 1
    found = set()
    while stack:
        part = stack.pop()
        if id(part) in seen or id(part) in named:
            continue
        seen.add(id(part))
        for child in part.parts:
            counts[id(child)] = counts.get(id(child), 0) + 1
            if counts[id(child)] > 1 and is_worth_a_name(child):
                found.add(id(child))
            stack.append(child)
    return found


def heaviest(expression: Expression, named: Mapping[int, str]) -> Expression | None:
    """The part of a long expression that a line of its own relieves most."""
    whole = len(expression.text(named))
    best: tuple[int, Expression] | None = None
    for part in parts_of(expression):
        if part is expression or id(part) in named or not is_worth_a_name(part):
            continue
        length = len(part.text(named))
        if length < 20:
            continue
        distance = abs(length - whole // 2)
        if best is None or distance < best[0]:
            best = (distance, part)
    return None if best is None else best[1]
