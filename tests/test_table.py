"""Every function of the calculus table, through its row."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.rows
from tests.table import ROWS, Row, check
from tinygrad_cv.engine.errors import name_of

for _module in pkgutil.iter_modules(tests.rows.__path__):
    importlib.import_module(f"tests.rows.{_module.name}")

CASES = [(f"{name_of(f)}-{i}", r) for f, rows in ROWS.items() for i, r in enumerate(rows)]


@pytest.mark.parametrize("case", [r for _, r in CASES], ids=[name for name, _ in CASES])
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_row(case: Row, data: Any, seed: int) -> None:
    check(case, data.draw(case.arguments), data.draw(case.options), seed)
