"""The steps: files in `steps` that run by themselves, and how one becomes a page."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "steps"
WIDTH = 80  # of a rule on a page


@dataclass(frozen=True)
class Step:
    """A file that shows one idea.

    Its docstring says the idea, its last lines ask a question, and its variable `look` is a
    function and arguments that the microscope opens.
    """

    number: int
    path: Path

    @functools.cached_property
    def text(self) -> str:
        """The file."""
        return self.path.read_text(encoding="utf-8")

    @functools.cached_property
    def docstring(self) -> str:
        """The idea."""
        return ast.get_docstring(ast.parse(self.text)) or ""

    @property
    def title(self) -> str:
        """The first line."""
        return self.docstring.partition("\n")[0].rstrip(".")

    @property
    def code(self) -> str:
        """What stands behind the docstring."""
        _, _, code = self.text.partition('"""\n')
        return code.strip("\n")

    def run(self) -> dict[str, Any]:
        """Execute the file, which prints; its variables."""
        names: dict[str, Any] = {"__name__": self.path.stem, "__file__": str(self.path)}
        exec(compile(self.text, str(self.path), "exec"), names)
        return names

    def show(self) -> dict[str, Any]:
        """Print the step as a page: the idea, the code, what it prints; its variables."""
        print(f"Step {self.number} of {len(STEPS)}: {self.docstring}\n")
        print(ruled(str(self.path)))
        print(f"{self.code}\n")
        print(ruled("it prints"))
        return self.run()


def ruled(title: str) -> str:
    """A line across the page."""
    return f"--- {title} ".ljust(WIDTH, "-") + "\n"


def steps_of(folder: Path) -> dict[int, Step]:
    """The steps by number; a file's name begins with it."""
    paths = sorted(folder.glob("[0-9]*.py"))
    numbers = [int(path.name.partition("_")[0]) for path in paths]
    return {number: Step(number, path) for number, path in zip(numbers, paths, strict=True)}


STEPS = steps_of(FOLDER)
