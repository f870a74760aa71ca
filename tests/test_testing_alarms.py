"""Right gradients that a check may refuse by mistake, and mistakes that look like them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.testing import (
    GradMismatch,
    arrays,
    check_grad,
    check_invariants,
    check_jvp,
    check_vjp,
)

X = np.array([[0.5, -1.25, 2.0], [1.5, 0.25, -0.75]])


def forward_mode(f: Any) -> Any:
    """The jvp that the engine gives."""
    return lambda args, tangents: tg.jvp(f, args, tangents)[1]


@pytest.mark.parametrize("f", [lambda x: x[:0], lambda x: 0 * x], ids=["empty", "zero"])
def test_a_function_that_stands_still_has_no_gradient(f: Any) -> None:
    assert check_vjp(f, lambda g, y, x: np.zeros_like(x), X).unresolved == 0
    with pytest.raises(GradMismatch):
        check_vjp(f, lambda g, y, x: 1e-9 * np.ones_like(x), X)


@given(stop=arrays((2,)), seed=st.integers(0, 2**16))
def test_a_tangent_may_be_the_rounding_of_terms_that_cancel(stop: Any, seed: int) -> None:
    """The last value of linspace is `stop`, its tangent by way of `start`."""
    line = lambda start, stop: np.linspace(start, stop, 4)
    start = np.zeros(2, complex)
    check_jvp(line, forward_mode(line), start, stop, rng=seed)


@given(x=st.floats(0.125, 8), seed=st.integers(0, 2**16))
def test_a_gradient_that_cancels_to_nothing_passes_all_checks(x: float, seed: int) -> None:
    """The condition of a number is |x| |1 / x|."""
    condition = lambda x: np.linalg.cond(x, "fro")
    a = np.array([[x]])
    check_jvp(condition, forward_mode(condition), a, rng=seed)
    check_grad(condition, a, order=2, rng=seed)
    check_invariants(condition, a, rng=seed)


def test_a_tangent_that_is_hardly_not_linear_is_refused() -> None:
    """By less than the differences show."""
    with pytest.raises(GradMismatch, match="not linear"):
        check_jvp(np.sin, lambda args, t: np.cos(args[0]) * t[0] + 1e-10 * t[0] ** 2, X)


def test_slopes_that_cancel_along_a_line_are_no_stale_state() -> None:
    where = np.array([[True, False, True], [True, True, False]])
    for seed in range(8):
        check_invariants(lambda x: np.sum(x, where=where), X, rng=seed)  # noqa: B023
