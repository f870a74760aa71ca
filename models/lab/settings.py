"""The words behind `--set`: a preset with changes that are written as text."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from tinygrad_cv import data

from ..config import checked


def configure(presets: Mapping[str, Any], name: str, training: Any, changes: Mapping[str, str]) -> Any:
    """A preset with changes, which are text, for a data set: its pictures' shape and classes, or its characters."""
    if name not in presets:
        raise ValueError(f"no preset is called {name!r}; there are {', '.join(presets)}")
    preset = presets[name]
    known = {field.name: getattr(preset, field.name) for field in fields(preset)}
    unknown = [key for key in changes if key not in known]
    if unknown:
        raise ValueError(f"{type(preset).__name__} has no {unknown[0]!r}; there are {', '.join(known)}")
    given: dict[str, Any] = {}
    if isinstance(training, data.Text):
        given = {"vocabulary": training.vocabulary}
    elif training is not None:
        given = {"shape": training.images.shape[1:], "classes": len(training.classes)}
    given = {key: value for key, value in given.items() if key in known}
    config = replace(preset, **(given | {key: parse(key, text, known[key]) for key, text in changes.items()}))
    if "shape" in given and config.shape != given["shape"]:
        raise ValueError(f"shape={config.shape}: the pictures of {training.name} are {given['shape']}")
    if 0 < getattr(config, "classes", 0) < given.get("classes", 0):
        raise ValueError(f"classes={config.classes}: {training.name} has {given['classes']}")
    return checked(config, preset)


def parse(name: str, text: str, like: Any) -> Any:
    """A value written as text, of the type of another value."""
    if isinstance(like, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None
    value = float(value) if isinstance(like, float) and isinstance(value, int) else value
    if type(value) is not type(like):
        raise ValueError(f"{name}={text}: a value like {like!r} is expected")
    return value
