"""The tests are tested: every rule and kernel is broken in the usual ways, and its row must see it."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import test_table  # noqa: F401  (enters the rows)
from tests.table import ROWS, Row, check
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.engine.pytrees import leaves
from tinygrad_cv.kernels import Kernel
from tinygrad_cv.tensor import TABLE, Rule
from tinygrad_cv.testing import assert_kills, check_grad, mutants
from tinygrad_cv.testing.mutation import Kills, try_mutants

RULES: dict[str, Rule | Kernel] = {name_of(f): f for f in ROWS if isinstance(f, Kernel)}
RULES |= {name_of(f): rule for f, rule in TABLE.items() if isinstance(rule, Rule) and ROWS.get(f)}

# Mutants that survive, and why.
SUMMED = "the row's argument is broadcast, and the engine sums over the axis that is reversed"
STARTING = {  # a starting value is one number for all that is reduced
    f"np.{name}, initial: {mistake}": SUMMED
    for name in ("prod", "max", "min", "amax", "amin", "nanmax", "nanmin")
    for mistake in ("transposed", "reversed axis")
}
EQUIVALENT = STARTING | {
    "np.linalg.eigvalsh, a: transposed": "the gradient is symmetric; only its rounding changes",
    "scipy.linalg.eigvalsh, a: transposed": "the gradient is symmetric; only its rounding changes",
    "scipy.special.gdtrix, a: transposed": SUMMED,
    "scipy.special.itairy, x: wrong by 1e-6": "SciPy's values have six digits, and so has the row's tolerance",
}


DRAWN = 10  # times as many draws as are kept


@functools.cache
def cases(row: Row, number: int) -> list[tuple[Any, Any, int]]:
    """The same draws of a row each time, of as many different shapes as there are."""
    drawn: dict[Any, list[tuple[Any, Any, int]]] = {}

    @settings(max_examples=DRAWN * number, derandomize=True, database=None, phases=[Phase.generate], deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(row.arguments, row.options, st.integers(0, 99))
    def collect(arguments: Any, options: Any, seed: int) -> None:
        shapes = tuple(np.shape(leaf) for leaf in leaves(list(arguments)))
        drawn.setdefault(shapes, []).append((arguments, options, seed))

    collect()
    rounds = itertools.zip_longest(*[of_shape[::-1] for of_shape in drawn.values()])
    found = [case for group in rounds for case in group if case is not None]
    return found[:number][::-1]  # the first draws are the simplest, and kill the least


def suite(function: Any, number: int) -> Callable[[], None]:
    """All rows of a function, at some draws of each; what has failed before comes first."""
    every = [(row, case) for row in ROWS[function] for case in cases(row, number)]

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for k, (row, case) in enumerate(every):
                try:
                    check(row, *case)
                except Exception:
                    every.insert(0, every.pop(k))
                    raise

    return run


def survivors(name: str, number: int) -> Kills:
    rule = RULES[name]
    return try_mutants(suite(rule if isinstance(rule, Kernel) else rule.function, number), rule)


@pytest.mark.parametrize("name", ["np.multiply", "np.matmul", "np.sum", "np.where", "softmax", "linear", "layer_norm"])
def test_mutants_of_a_few_rules_are_killed(name: str) -> None:
    kills = survivors(name, 12)
    assert not kills.survivors, list(map(str, kills.survivors))
    assert len(kills.killed) >= 8


@pytest.mark.slow
def test_at_least_99_percent_of_all_mutants_are_killed(capsys: Any) -> None:
    totals = Kills()
    for name in RULES:
        kills = survivors(name, 20)
        totals.killed += kills.killed
        totals.survivors += kills.survivors
        totals.equivalent += kills.equivalent
    with capsys.disabled():
        print(f"\n{totals}", *map(str, totals.survivors), sep="\n  ")
    assert len(totals.survivors) <= 0.01 * len(totals.killed)
    assert {str(m) for m in totals.survivors} <= EQUIVALENT.keys()


def test_a_mutant_is_undone() -> None:
    rule = RULES["np.sin"]
    check_grad(np.sin, np.array([1.0]))
    for mutant in mutants(rule):
        with pytest.raises(AssertionError), mutant.applied():
            check_grad(np.sin, np.array([[1.0, -2.0], [0.5, 3.0]]))
    check_grad(np.sin, np.array([1.0]))


def test_a_check_that_sees_nothing_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"mutants survive this check:\n  np\.sin, x: factor 2"):
        assert_kills(lambda: check_grad(np.sin, np.array([1.0]), rtol=100.0), RULES["np.sin"])
