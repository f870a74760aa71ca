"""What the source calls an argument of an operation: read off the calls that hand it down."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from types import CodeType
from typing import NamedTuple

from .names import Frames, node_at

MODULES = {"np", "numpy", "linalg", "fft", "kernels", "tg", "tinygrad_cv"}
MODULES |= {"scipy", "special", "sp", "signal", "integrate", "stats"}
SIDES = {"x1": 0, "x2": 1}  # of operators


class Argument(NamedTuple):
    """An argument of the operation that a chain of calls ends in."""

    name: str
    positional: Sequence[str]  # the operation's parameters
    frames: Frames  # the calls, the innermost first


def source_name(argument: Argument) -> str | None:
    """The outermost name of an argument, None where the source has none: it was computed there."""
    if not argument.frames:
        return None
    node = node_at(*argument.frames[0])
    expression = None if node is None else operand(node, argument)
    return None if expression is None else name_of(expression, argument.frames)


def operand(node: ast.AST, argument: Argument) -> ast.AST | None:
    """The expression that stands for an argument of an operation."""
    if isinstance(node, ast.Call):
        return operand_of_call(node, argument)
    sides: list[ast.AST] = []
    if isinstance(node, ast.BinOp):
        sides = [node.left, node.right]
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
    elif isinstance(node, ast.AugAssign):
        sides = [node.target, node.value]
    elif isinstance(node, ast.Subscript):
        sides = [node.value, node.slice]
    elif isinstance(node, ast.UnaryOp):
        sides = [node.operand]
    elif isinstance(node, ast.Attribute):
        sides = [node.value]
    position = SIDES.get(argument.name)
    if position is None and argument.name in argument.positional:
        position = argument.positional.index(argument.name)
    return None if position is None or position >= len(sides) else sides[position]


def operand_of_call(node: ast.Call, argument: Argument) -> ast.AST | None:
    """The same in a call of a function, or of a method."""
    for keyword in node.keywords:
        if keyword.arg == argument.name:
            return keyword.value
    given: list[ast.expr] = list(node.args)
    if isinstance(node.func, ast.Attribute) and root_of(node.func) not in MODULES:
        given.insert(0, node.func.value)
    if argument.name not in argument.positional:
        return None
    position = argument.positional.index(argument.name)
    starred = any(isinstance(g, ast.Starred) for g in given[: position + 1])
    return None if starred or position >= len(given) else given[position]


def root_of(node: ast.expr) -> str | None:
    """`np` in `np.linalg.inv`."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def name_of(expression: ast.AST, frames: Frames) -> str | None:
    """The name of an expression; of a parameter, what its caller calls it."""
    if isinstance(expression, ast.Attribute):
        return expression.attr
    if not isinstance(expression, ast.Name):
        return None
    name, code = expression.id, frames[0][0]
    position = position_of(name, code)
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if name not in parameters:
        return name
    return handed_down(position, name, frames[1:]) or name


def position_of(name: str, code: CodeType) -> int | None:
    """The position of a parameter, without `self`; None if it has none."""
    parameters = list(code.co_varnames[: code.co_argcount])
    if name not in parameters:
        return None
    return parameters.index(name) - (parameters[0] in ("self", "cls"))


def handed_down(position: int | None, keyword: str | None, frames: Frames) -> str | None:
    """What a caller calls the argument at a position, or with a keyword."""
    if not frames:
        return None
    node = node_at(*frames[0])
    if not isinstance(node, ast.Call):
        return None
    for given in node.keywords:
        if given.arg is not None and given.arg == keyword:
            return name_of(given.value, frames)
    if position is None:
        return None
    for i, expression in enumerate(node.args[: position + 1]):
        if isinstance(expression, ast.Starred):
            return starred(expression, position - i, frames)
    return name_of(node.args[position], frames) if position < len(node.args) else None


def starred(expression: ast.Starred, number: int, frames: Frames) -> str | None:
    """What `*args` has at a position, where a function hands on its own `*args`."""
    code = frames[0][0]
    count = code.co_argcount + code.co_kwonlyargcount
    variadic = code.co_flags & inspect.CO_VARARGS and code.co_varnames[count]
    if not isinstance(expression.value, ast.Name) or expression.value.id != variadic:
        return None
    parameters = code.co_varnames[: code.co_argcount]
    own = len(parameters) - (parameters[:1] in (("self",), ("cls",)))
    return handed_down(own + number, None, frames[1:])
