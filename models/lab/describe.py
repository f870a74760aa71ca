"""The help of a task: its presets, and each value of its configuration with default and meaning.

A value's meaning is the comment behind its field.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import Any

from ..config import Config, named_values, shown
from .task import Task

COLUMN = 40  # where meanings begin


def described(name: str, task: type[Task]) -> str:
    """The text behind the options of `train NAME --help`."""
    usual = default_preset(task)
    presets = [line for preset in task.presets for line in differences(task, preset)]
    lines = [
        f"{name}: {task.title}. {summary(task)}",
        "",
        "presets (--preset):",
        *presets,
        "",
        f"values (--set NAME=VALUE), as in the preset {usual}:",
        *table(task.presets[usual]),
    ]
    if fields(task.options):
        lines += ["", "values of `sample RUN --set NAME=VALUE`:", *table(task.options)]
    return "\n".join(lines)


def default_preset(task: type[Task]) -> str:
    """The preset of the embedded digits, or the last one."""
    return "digits" if "digits" in task.presets else list(task.presets)[-1]


def differences(task: type[Task], preset: str) -> list[str]:
    """A preset, with its values that are not those of the usual one."""
    usual = default_preset(task)
    before = dict(named_values(task.presets[usual]))
    values = named_values(task.presets[preset])
    changes = [f"{name}={shown(value)}" for name, value in values if value != before[name]]
    text = ", ".join(changes) or "as below"
    return textwrap.wrap(text, 96, initial_indent=f"  {preset:8}  ", subsequent_indent=" " * 12)


def table(config: Config, prefix: str = "") -> Iterator[str]:
    """A line for each value: its name with the default, and its meaning."""
    for field in fields(config):
        name, value = f"{prefix}{field.name}", getattr(config, field.name)
        if isinstance(value, Config):
            if fields(value):
                yield f"  {name}: {summary(type(value))}"
                yield from table(value, f"{name}.")
            continue
        left = f"    {name}={shown(value)}"
        yield f"{left:{COLUMN}}  {meaning(type(config), field.name)}".rstrip()


def summary(kind: type) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def meaning(kind: type[Config], name: str) -> str:
    """The comment behind a field: that of its class, or of the nearest one above with a comment."""
    for owner in kind.__mro__:
        if comment := comments(owner).get(name):
            return comment
    return ""


@cache
def comments(kind: type) -> dict[str, str]:
    """The comments behind the fields of a class, by their names."""
    if not issubclass(kind, Config):
        return {}
    lines: Any = re.findall(r"^    (\w+):.*?  # (.*)$", inspect.getsource(kind), re.MULTILINE)
    return dict(lines)
