"""The names that values have in the source: from `h = np.tanh(x @ w)` the name `h`."""

from __future__ import annotations

import keyword
import linecache
import re
import sys
from collections.abc import Sequence
from functools import cache, lru_cache
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

Frames = tuple[tuple[CodeType, int], ...]  # code and instruction, the innermost first

if TYPE_CHECKING:
    import ast

Targets: TypeAlias = Any  # a name, a tuple of names and None, or None
ROOM = __name__.rpartition(".")[0] + "."
PACKAGE = __name__.partition(".")[0]
KERNELS = f"{PACKAGE}.kernels."
HIDDEN = ("tensor", "engine", "rules", "kernels", "transforms", "checkpoint", "tape", "scipy")
DEPTH = 8  # frames that are looked at
LETTERS = "abcdefhkmnpqrsuvwz"
TAKEN = {"np", "scipy", "operator", "kernels", "optim", "parallel", "tg", "tinygrad_cv", "program"}
TAKEN |= {"dict", "slice", "float", "int", "bool", "complex"}
_HIDDEN: dict[Any, bool] = {}
_RETURNED: dict[tuple[CodeType, int], bool] = {}  # whether a function returns what is there


def is_hidden(module: object) -> bool:
    """Whether a module is of the engine, whose lines give no names."""
    found = _HIDDEN.get(module)
    if found is None:
        package, _, rest = str(module).partition(".")
        found = package == PACKAGE and rest.partition(".")[0] in HIDDEN
        _HIDDEN[module] = found
    return found


def calls() -> Frames:
    """The calls that led to the operation that is being carried out, the innermost first; up to
    where the engine calls."""
    frame: FrameType | None = sys._getframe(1)
    found: list[tuple[CodeType, int]] = []
    while frame is not None and len(found) < DEPTH:
        if not is_hidden(frame.f_globals.get("__name__")):
            found.append((frame.f_code, frame.f_lasti))
        elif found:
            break
        frame = frame.f_back
    return tuple(found)


def is_of_tape(module: object) -> bool:
    """Whether a module is of this room, which calls the function that a tape is of."""
    return str(module).startswith(ROOM)


def places(within: bool = False) -> Frames:
    """Where the operation that is being carried out stands in the source; and, as long as what
    stands there returns it, where it is returned to.

    `within`: the source of kernels, too.
    """
    frame: FrameType | None = sys._getframe(2)
    found: list[tuple[CodeType, int]] = []
    while frame is not None and len(found) < DEPTH:
        module = frame.f_globals.get("__name__")
        hidden = _HIDDEN.get(module)
        if hidden is None:
            hidden = is_hidden(module)
        if hidden and is_of_tape(module):
            break
        if not hidden or (within and str(module).startswith(KERNELS)):
            place = (frame.f_code, frame.f_lasti)
            found.append(place)
            returned = _RETURNED.get(place)
            if returned is None:
                returned = _RETURNED[place] = site_of(*place).returned
            if not returned:
                break
        frame = frame.f_back
    return tuple(found)


# ------------------------------------------------------------------------------- the source's AST


class Site(NamedTuple):
    """What becomes of a value where it is computed."""

    targets: Any  # a name, or a tuple of names and None
    returned: bool  # whether the function returns it as it is


RETURNED = ...  # in place of a name: the value of the function that the tape is of
NOWHERE = Site(None, False)


def assigned_name(frames: Frames) -> Targets:
    """The name, or the tuple of names, that a value is assigned to; through `return`s, outwards."""
    for code, instruction in frames:
        site = site_of(code, instruction)
        if site.targets is not None:
            return site.targets
        if not site.returned:
            return None
    return RETURNED if 0 < len(frames) < DEPTH else None


@cache
def site_of(code: CodeType, instruction: int) -> Site:
    """What the line does with the value of an instruction."""
    for placed in _placed_at(code, instruction):
        site = _site(placed)
        if site is not NOWHERE:
            return site
    return NOWHERE


def node_at(code: CodeType, instruction: int) -> ast.AST | None:
    """The expression that an instruction carries out; None where the source cannot be read."""
    placed = _placed_at(code, instruction)
    return placed[0].node if placed else None


def _placed_at(code: CodeType, instruction: int) -> list[_Placed]:
    position = list(code.co_positions())[instruction // 2]
    if None in position:
        return []
    line, last, column, end = position
    nodes = _nodes(code.co_filename)
    exact = nodes.get((line, column, last, end))
    return exact or nodes.get((None, None, last, end), [])


class _Placed(NamedTuple):
    node: ast.AST
    parents: Sequence[ast.AST]  # the nearest first


def _nodes(filename: str) -> dict[Any, list[_Placed]]:
    """The expressions of a source file by their position; none where it cannot be read."""
    return _nodes_of("".join(linecache.getlines(filename)))


@lru_cache(maxsize=256)
def _nodes_of(text: str) -> dict[Any, list[_Placed]]:
    import ast  # only here: `import tinygrad_cv` is to be quick

    try:
        tree = ast.parse(text)
    except SyntaxError:
        return {}
    found: dict[Any, list[_Placed]] = {}
    stack: list[tuple[ast.AST, tuple[ast.AST, ...]]] = [(tree, ())]
    while stack:
        node, parents = stack.pop()
        if isinstance(node, (ast.expr, ast.AugAssign)):
            placed = _Placed(node, parents)
            first = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
            found.setdefault(first, []).append(placed)
            if isinstance(node, ast.Call):
                found.setdefault((None, None, *first[2:]), []).append(placed)
        for child in ast.iter_child_nodes(node):
            stack.append((child, (node, *parents[:6])))
    return found


def _site(placed: _Placed) -> Site:
    """What the statement around an expression does with its value."""
    import ast

    node = placed.node
    if isinstance(node, ast.AugAssign):
        return Site(_target(node.target), False)
    for parent in placed.parents:
        if isinstance(parent, ast.Assign) and parent.value is node:
            return Site(_target(parent.targets[0]), False)
        if isinstance(parent, (ast.AnnAssign, ast.NamedExpr)) and parent.value is node:
            return Site(_target(parent.target), False)
        if isinstance(parent, ast.Return) or (
            isinstance(parent, ast.Lambda) and parent.body is node
        ):
            return Site(None, True)
        if not (isinstance(parent, ast.IfExp) and node is not parent.test):
            return NOWHERE
        node = parent
    return NOWHERE


def _target(target: ast.AST) -> Targets:
    import ast

    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Attribute):
        return target.attr
    if isinstance(target, (ast.Tuple, ast.List)):
        return tuple(_target(t) for t in target.elts)
    return None


# --------------------------------------------------------------------------------- names, given out


class Names:
    """Names that do not clash."""

    def __init__(self) -> None:
        self.used = set(TAKEN)
        self.counts: dict[str, int] = {}

    def give(self, wish: str) -> str:
        """The wish itself, or with a number behind it."""
        base = identifier(wish)
        if base not in self.used:
            self.used.add(base)
            return base
        while True:
            self.counts[base] = self.counts.get(base, 0) + 1
            found = f"{base}_{self.counts[base]}"
            if found not in self.used:
                self.used.add(found)
                return found

    def fresh(self) -> str:
        """A short name."""
        for letter in LETTERS:
            if letter not in self.used:
                return self.give(letter)
        return self.give("t")


def identifier(text: str) -> str:
    """A text as a name of a variable: `layers.0.weight` is `layers_0_weight`."""
    found = re.sub(r"\W+", "_", text).strip("_") or "x"
    if found[0].isdigit():
        found = f"p{found}"
    return f"{found}_" if keyword.iskeyword(found) else found
