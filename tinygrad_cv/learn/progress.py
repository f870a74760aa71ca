"""How far a reader has come, in a file of the reader's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypedDict

from ..files import PathLike, atomic_write
from ..schema import Natural, check, parse
from .errors import LearnError

VARIABLE = "TINYGRAD_CV_PROGRESS"
DEFAULT = "~/.tinygrad_cv/learn.json"
VERSION = 1


class Schema(TypedDict):
    """What the file holds."""

    version: Annotated[int, VERSION, VERSION]
    steps: list[Natural]
    exercises: list[str]


@dataclass
class Progress:
    """The numbers of the steps that were run, and the names of the exercises that passed."""

    steps: set[int] = field(default_factory=set)
    exercises: set[str] = field(default_factory=set)


def place(given: PathLike | None = None) -> Path:
    """The file: the one that is given, or that TINYGRAD_CV_PROGRESS names, or one at home.

    Raises LearnError if its ~ is nobody's home.
    """
    path = given or os.environ.get(VARIABLE) or DEFAULT
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise LearnError(f"{path}: {error}; give --progress FILE") from None


def read(path: Path) -> Progress:
    """What the file says; nothing yet if there is none. Raises LearnError if it is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Progress()
    except OSError as error:
        raise unusable(path, f"cannot be read: {error.strerror}") from None
    try:
        stored = parse(content)
        check(stored, Schema, "it")
    except ValueError as error:
        reason = f"is damaged: {error}"
        raise unusable(path, reason, "delete it to begin anew") from None
    return Progress(set(stored["steps"]), set(stored["exercises"]))


def add(path: Path, steps: Iterable[int] = (), exercises: Iterable[str] = ()) -> Progress:
    """Note steps and exercises in the file, and return all that it holds then.

    The folder of the default place is made. Raises LearnError if the file cannot be written.
    """
    progress = read(path)
    progress.steps |= {*steps}
    progress.exercises |= {*exercises}
    stored = {
        "version": VERSION,
        "steps": sorted(progress.steps),
        "exercises": sorted(progress.exercises),
    }
    try:
        if path.parent.name == Path(DEFAULT).parent.name:
            path.parent.mkdir(exist_ok=True)
        with atomic_write(path) as file:
            file.write(f"{json.dumps(stored)}\n".encode())
    except OSError as error:
        reason = error.strerror or f"there is no folder {path.parent}"
        raise unusable(path, f"cannot be written: {reason}") from None
    return progress


def unusable(path: Path, reason: str, fix: str = "") -> LearnError:
    """The error about a progress file."""
    other = f"give another by --progress FILE or {VARIABLE}"
    return LearnError(f"the progress file {path} {reason}; {fix + ', or ' if fix else ''}{other}")
