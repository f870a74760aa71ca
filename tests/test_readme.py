"""Every example in a README runs, and prints what it says."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    p for p in ROOT.rglob("README.md") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples(page: Path) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    parser = doctest.DocTestParser()
    text = page.read_text().replace("```python\n", "\n").replace("```\n", "\n")
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    runner.run(parser.get_doctest(text, {}, page.name, str(page), 0))
    assert runner.summarize(verbose=False).failed == 0


def test_the_main_page_shows_at_least_five_errors() -> None:
    assert (ROOT / "README.md").read_text().count("Traceback (most recent call last)") >= 5
