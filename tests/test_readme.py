"""Every example in a README runs, and prints what it says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    p for p in ROOT.rglob("README.md") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts)
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def programs(page: Path) -> list[str]:
    """The blocks of Python that begin with their imports; the examples of a page may use their names."""
    return re.findall(r"^```python\n((?:from|import) .*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


@every_page
def test_examples(page: Path) -> None:
    names: dict[str, Any] = {}
    for program in programs(page):
        exec(compile(program, str(page), "exec"), names)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    parser = doctest.DocTestParser()
    text = page.read_text().replace("```python\n", "\n").replace("```\n", "\n")
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    runner.run(parser.get_doctest(text, names, page.name, str(page), 0))
    assert runner.summarize(verbose=False).failed == 0


def headings(page: Path) -> set[str]:
    """What a link may name behind its #."""
    lines = [line.lstrip("# ") for line in page.read_text().splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in lines}


@every_page
def test_files_and_headings_that_are_linked_exist(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if not link.startswith(("http://", "https://")):
            path, _, heading = link.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), link
            assert not heading or heading in headings(file), link


def test_the_main_page_shows_at_least_five_errors() -> None:
    assert (ROOT / "README.md").read_text().count("Traceback (most recent call last)") >= 5
