"""Nothing is forgotten: every public function of NumPy and scipy.special is in the table."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from tests import test_table  # noqa: F401  (enters the rows)
from tests.table import ROWS
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.rules import counts
from tinygrad_cv.rules.table import DEFINITIONS, UNSUPPORTED, WITHOUT_GRADIENT, public_functions
from tinygrad_cv.tensor import TABLE, USER_RULES, Rule

NAMESPACES = {
    "numpy": np,
    "numpy.linalg": np.linalg,
    "numpy.fft": np.fft,
    "scipy.special": scipy.special,
}


@pytest.mark.parametrize("name", NAMESPACES)
def test_every_public_function_is_classified_once(name: str) -> None:
    functions = public_functions(NAMESPACES[name])
    assert len(functions) > 15
    places = {
        n: [
            isinstance(TABLE.get(f), Rule) or f in DEFINITIONS,
            f in WITHOUT_GRADIENT,
            f in UNSUPPORTED,
        ]
        for n, f in functions.items()
    }
    assert [n for n, p in places.items() if not any(p)] == [], (
        "without a place in the calculus table"
    )
    assert [n for n, p in places.items() if sum(p) > 1] == [], "in several places"


def test_no_function_has_a_rule_and_a_definition() -> None:
    """Two names of NumPy's may be one function, as transpose and permute_dims are."""
    assert [name_of(f) for f in DEFINITIONS if isinstance(TABLE[f], Rule)] == []


def test_counts_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = counts()
    with capsys.disabled():
        print("\n" + lines)
    assert "numpy.linalg" in lines


def test_every_differentiated_function_has_a_row() -> None:
    rules = {f for f, entry in TABLE.items() if isinstance(entry, Rule)} | set(DEFINITIONS)
    inner = {f for f in rules if str(getattr(f, "__module__", "")).startswith("tinygrad_cv")}
    assert (
        sorted(repr(f) for f in rules - inner - USER_RULES - set(ROWS)) == []
    )  # USER_RULES: by other tests and by examples


def test_refusals_have_a_reason_of_a_few_words() -> None:
    for function, reason in UNSUPPORTED.items():
        assert 3 <= len(reason) <= 60, function
