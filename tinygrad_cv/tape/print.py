"""The text of a program, in columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .lines import Line
from .program import Program

WIDTH = 100
MAX_CODE = 52  # columns of code before the comments, if longer lines do not stand out


def text_of(program: Program, value: str | None) -> str:
    """The whole program."""
    result = returned(program, value)
    program.shown = program.alive_lines(" ".join(result))
    lines = []
    if "tg" in program.imports:
        lines.append("import tinygrad_cv as tg")
    rooms = sorted(program.imports - {"tg"})
    if rooms:
        lines.append(f"from tinygrad_cv import {', '.join(rooms)}")
    lines += body_imports(program)
    if lines:
        lines += ["", ""]
    for body in program.bodies.values():
        lines += [*body, "", ""]
    lines += signature(program.inputs)
    body = [*body_of(program.shown), *result]
    lines += ["    " + line if line else "" for line in body]
    return "\n".join(lines)


def body_imports(program: Program) -> list[str]:
    """What the bodies of kernels call, from their modules."""
    modules: dict[str, list[str]] = {}
    for name, (module, _) in sorted(program.body_names.items()):
        modules.setdefault(module, []).append(name)
    lines = []
    for module, names in sorted(modules.items()):
        line = f"from {module} import {', '.join(names)}"
        if len(line) <= WIDTH:
            lines.append(line)
        else:
            lines += [f"from {module} import (", *wrapped(names, 4), ")"]
    return lines


def signature(names: Iterable[str]) -> list[str]:
    """`def program(x, w):`, in several lines where it is long."""
    inputs = list(names)
    line = f"def program({', '.join(inputs)}):"
    if len(line) <= WIDTH:
        return [line]
    return ["def program(", *wrapped(inputs, 4), "):"]


def wrapped(parts: Iterable[str], indent: int) -> list[str]:
    """Parts with commas, in lines."""
    lines = []
    line = " " * indent
    for part in parts:
        if len(line) + len(part) + 1 > WIDTH - 4 and line.strip():
            lines.append(line.rstrip())
            line = " " * indent
        line += f"{part}, "
    lines.append(line.rstrip())
    return lines


def body_of(lines: list[Line]) -> Iterator[str]:
    """The lines with headings, and comments in a column."""
    codes = [code_of(line) for line in lines]
    lengths = [len(c) for c, line in zip(codes, lines, strict=True) if line.phase == "forward"]
    column = min(max(lengths, default=0), MAX_CODE) + 1
    shapes = [shape_of(line.value) for line in lines if line.phase == "forward"]
    width = max([len("shape"), *map(len, shapes)])
    phase = ""
    section: tuple[str, ...] = ()
    for code, line in zip(codes, lines, strict=True):
        if line.phase != phase:
            phase = line.phase
            section = ()
            yield heading(phase, column, width)
        if line.section != section:
            yield from sections(section, line.section)
            section = line.section
        comment = ""
        if phase == "forward":
            comment = f" # {shape_of(line.value):{width}}  {', '.join(line.kept)}".rstrip()
        length = max(len(code), column) + len(comment) if comment else len(code)
        *before, last = broken(code) if length > WIDTH - 4 else [code]
        yield from before
        padding = max(column, len(last) + 1)
        yield f"{last:{padding}}{comment}" if comment else last


def heading(phase: str, column: int, width: int) -> str:
    """What stands above a phase."""
    if phase == "forward":
        return f"{'# forward':{column}}   {'shape':{width}}  kept for the way back"
    return f"# {'update' if phase == 'step' else phase}"


def sections(before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[str]:
    """A heading for each scope that was entered; the end of one that was left."""
    common = 0
    for a, b in zip(before, after, strict=False):
        if a != b:
            break
        common += 1
    if len(after) == common and after != before:
        yield f"# {'  ' * (len(after) - 1)}{after[-1]}" if after else ""
    for depth in range(common, len(after)):
        yield f"# {'  ' * depth}{after[depth]}"


def code_of(line: Line) -> str:
    """`h = np.tanh(a)`."""
    targets = ", ".join(line.targets)
    return f"{targets} = {line.text}" if targets else line.text


def broken(code: str) -> list[str]:
    """A long line in several, broken at the commas in its outermost parentheses."""
    start = code.find("(", code.find(" = "))
    if (
        start < 0
        or not code.endswith(")")
        or not (code[start - 1].isalnum() or code[start - 1] == "_")
    ):
        return [code]  # no call
    parts = []
    depth = 0
    begin = start + 1
    quoted = ""
    for i in range(begin, len(code) - 1):
        character = code[i]
        if quoted:
            quoted = "" if character == quoted else quoted
        elif character in "\"'":
            quoted = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(code[begin:i].strip())
            begin = i + 1
        if depth < 0:  # the first parenthesis is not the last one's
            return [code]
    parts.append(code[begin:-1].strip())
    lines = []
    for part in parts:
        lines += long_list(part) if len(part) > WIDTH - 12 else [f"    {part},"]
    flat = wrapped(parts, 4) if not any(len(p) > WIDTH - 12 for p in parts) else lines
    head = code[: start + 1]
    if len(head) <= WIDTH - 4:
        return [head, *flat, ")"]
    targets, _, call = head.partition(" = ")
    return ["(", *wrapped(targets.split(", "), 4), f") = {call}", *flat, ")"]


def long_list(text: str) -> list[str]:
    """A list that is too long for a line."""
    if not text.startswith("[") or not text.endswith("]"):
        return [f"    {text},"]
    return ["    [", *wrapped(text[1:-1].split(", "), 8), "    ],"]


def shape_of(value: Any) -> str:
    """The shape of a value; of several one after the other."""
    if isinstance(value, list):
        return " ".join(map(shape_of, value))
    return str(np.shape(value))


def returned(program: Program, value: str | None) -> list[str]:
    """The `return`."""
    parts = [value or "None"]
    dictionaries = [entries for _, entries in program.returns()]
    for entries in dictionaries:
        inside = [f'"{name}": {e.text()}' for name, e in entries.items()]
        parts.append("{" + ", ".join(inside) + "}")
    line = f"return {', '.join(parts)}"
    if len(line) <= WIDTH - 4:
        return [line]
    lines = [f"return {parts[0]}, {{"]
    for number, entries in enumerate(dictionaries):
        if number:
            lines.append("}, {")
        inside = [f'"{name}": {e.text()}' for name, e in entries.items()]
        lines += wrapped(inside, 4)
    return [*lines, "}"]
