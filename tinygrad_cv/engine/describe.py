"""What a rule of the calculus table looks like in print."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from typing import Any

from ..typing import Function
from . import errors


def describe_rule(rule: Any) -> str:
    """The row as it stands: `np.exp: x <- g * y   keeps y`, a line for each argument.

    Formulas for the tangent t of an argument follow, where there are any.
    """
    name = errors.name_of(rule.function)
    lines = []
    for argument, formula in rule.formulas.items():
        text = "0" if formula is None else formula_text(formula)
        needs = [n for n in rule.needs[argument] if n != "g"]
        lines.append((f"{argument} <- {text}", ", ".join(needs) if needs else "nothing"))
    width = max((len(text) for text, _ in lines), default=0)
    indent = "\n" + " " * (len(name) + 2)
    rows = [f"{text:{width}}   keeps {kept}" for text, kept in lines]
    for argument, formula in rule.tangents.items():
        rows.append(f"tangent of {argument} -> {formula_text(formula)}")
    return f"{name}: " + indent.join(rows)


def formula_text(formula: Function) -> str:
    """The expression that a formula returns, or its name and parameters if it is more than that."""
    tree = _definition(formula)
    if isinstance(tree, ast.Lambda):
        return ast.unparse(tree.body)
    name = getattr(formula, "__name__", repr(formula))
    parameters = ", ".join(inspect.signature(formula).parameters)
    return f"{name}({parameters})"


def _definition(formula: Function) -> ast.AST | None:
    """The lambda in its source file, found by the place of its code."""
    code = getattr(formula, "__code__", None)
    if code is None or code.co_name != "<lambda>":
        return None
    places = [p for p in code.co_positions() if None not in p and p[2:] != (0, 0)]
    if not places:
        return None
    first, last = min(p[:1] + p[2:3] for p in places), max((p[1], p[3]) for p in places)
    found = None
    for tree in _lambdas(code.co_filename):
        body = tree.body
        begins = (body.lineno, body.col_offset) <= first
        ends = (body.end_lineno, body.end_col_offset) >= last
        if begins and ends and (found is None or body.col_offset > found.body.col_offset):
            found = tree
    return found


@cache
def _lambdas(filename: str) -> list[ast.Lambda]:
    """The lambdas of a source file; none where it cannot be read, as at a prompt."""
    import linecache

    try:
        tree = ast.parse("".join(linecache.getlines(filename)))
    except SyntaxError:
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
