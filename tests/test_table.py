"""Every function of the calculus table, through its row."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.rows
from tests.table import ELSEWHERE, LINALG, ROWS, THEIR_WARNINGS, Row, check, operation, turned
from tinygrad_cv.engine.errors import name_of

pytestmark = THEIR_WARNINGS

for _module in pkgutil.iter_modules(tests.rows.__path__):
    importlib.import_module(f"tests.rows.{_module.name}")

CASES = [(f"{name_of(f)}-{i}", r) for f, rows in ROWS.items() for i, r in enumerate(rows)]


@pytest.mark.parametrize("case", [r for _, r in CASES], ids=[name for name, _ in CASES])
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_row(case: Row, data: Any, seed: int) -> None:
    check(case, data.draw(case.arguments), data.draw(case.options), seed)


OF_COMPLEX = [(name, r) for name, r in CASES if not isinstance(r.complex, str)]
OF_REAL = [
    (name, r)
    for name, r in CASES
    if isinstance(r.complex, str) and not r.complex.startswith(ELSEWHERE)
]
NAMES = r"np\.|scipy\.special|complex"
FEW = max(1, settings.default.max_examples // 10)


@pytest.mark.parametrize("case", [r for _, r in OF_COMPLEX], ids=[name for name, _ in OF_COMPLEX])
@settings(max_examples=FEW)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_row_of_complex_numbers(case: Row, data: Any, seed: int) -> None:
    check(case, data.draw(turned(case)), data.draw(case.options), seed)


@pytest.mark.parametrize("case", [r for _, r in OF_REAL], ids=[name for name, _ in OF_REAL])
@settings(max_examples=1)
@given(data=st.data())
def test_a_row_of_real_numbers_refuses_complex_ones(case: Row, data: Any) -> None:
    """By the value or by the gradient, with an error that names a function."""
    one = operation(case, data.draw(turned(case)), data.draw(case.options))
    with pytest.raises((TypeError, ValueError, NotImplementedError), match=NAMES):
        values, pull = one.pull(one.inputs)
        pull(values)


def test_every_row_states_whether_it_takes_complex_numbers() -> None:
    linalg = Path(LINALG.removeprefix(ELSEWHERE)).read_text()
    for name, case in CASES:
        if case.complex == LINALG:
            assert case.function.__name__ in linalg, name
        elif isinstance(case.complex, str):
            assert len(case.complex) > 10, name
        else:
            assert case.complex is True or len(case.complex) > 0, name
