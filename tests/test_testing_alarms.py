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


@pytest.mark.parametrize("seed", [64, 172, 213])
def test_slopes_that_cancel_along_a_line_are_no_stale_state(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = 0.05 * rng.integers(-40, 40, (2, 3, 2))
    where = rng.random(x.shape) < 0.6
    check_invariants(lambda x: np.sum(x, where=where), x, rng=seed)


@given(angle=st.floats(0.1, 3), seed=st.integers(0, 2**16))
def test_a_part_of_a_complex_number_has_the_rounding_of_the_number(angle: float, seed: int) -> None:
    """The imaginary part of |x|^2 is what rounding leaves."""
    square = lambda x: x * np.exp(1j * angle) * np.conj(x) * np.exp(-1j * angle)
    x = X + 1j * X[::-1]
    check_jvp(square, forward_mode(square), x, rng=seed)
    check_grad(square, x, rng=seed)


@given(x=st.complex_numbers(min_magnitude=0.5, max_magnitude=5), seed=st.integers(0, 2**16))
def test_a_value_that_is_rounding_alone_says_nothing_of_its_gradient(x: complex, seed: int) -> None:
    check_invariants(lambda x: np.var(np.repeat(x, 3)), np.array([x]), rng=seed)


@pytest.mark.parametrize("seed", range(4))
def test_a_value_of_0_is_not_rounding_alone(seed: int) -> None:
    clipped = lambda g, y, x: np.minimum(g, 1) / x
    with pytest.raises(GradMismatch, match="not linear"):
        check_vjp(np.log, clipped, np.ones(3), rng=seed)


@given(seed=st.integers(0, 2**16))
def test_each_element_of_a_tangent_gets_a_second_look(seed: int) -> None:
    """All are rounded to nine decimals, more than the first look can tell."""
    f = lambda x: np.round(np.sin(x), 9)
    check_jvp(f, lambda args, t: np.cos(args[0]) * t[0], np.linspace(0.1, 1.4, 8), rng=seed)


def test_where_the_value_has_another_shape_a_tangent_has_no_slope() -> None:
    """The eigenvalues of a matrix nearby are complex, and take two numbers each."""
    a = np.array([[1.0, 0.01], [0.01, 1.0]])
    eigenvalues = lambda a: np.linalg.eig(a)[0]
    for seed in range(4):
        check_jvp(eigenvalues, forward_mode(eigenvalues), a, rng=seed)


@given(power=st.integers(6, 10), seed=st.integers(0, 2**16))
def test_a_gradient_of_terms_that_cancel_is_linear_up_to_their_rounding(
    power: int, seed: int
) -> None:
    """(exp(x) - 1) g, as exp(x) g - g: of both terms nearly nothing is left."""
    x = np.array([3.0, -1.0, 2.0]) * 10.0**-power
    f = lambda x: np.sum(np.exp(x) - 1 - x)
    check_vjp(f, lambda g, y, x: np.exp(x) * g - g, x, rng=seed)
    with pytest.raises(GradMismatch, match="not linear"):
        check_vjp(f, lambda g, y, x: np.expm1(x) * np.minimum(g, 0.4), x, rng=seed)


REFUSED = pytest.mark.xfail(strict=True, reason="rounding is refused as not linear")


@pytest.mark.parametrize("power", [11, pytest.param(12, marks=REFUSED)])
def test_where_rounding_hides_the_slope_the_check_says_so(power: int) -> None:
    """Of (exp(x) - 1) nothing is left that differences of exp(x) - 1 - x resolve to 1 %."""
    x = np.array([3.0, -1.0, 2.0]) * 10.0**-power
    with pytest.raises(GradMismatch, match="can't tell the slope"):
        check_vjp(lambda x: np.sum(np.exp(x) - 1 - x), lambda g, y, x: np.exp(x) * g - g, x)


@given(seed=st.integers(0, 2**16))
def test_who_comes_first_of_many_ties_may_take_all(seed: int) -> None:
    def windows(x: Any) -> Any:
        return np.lib.stride_tricks.sliding_window_view(x, 3)

    def first(g: Any, y: Any, x: Any) -> Any:
        chosen = np.arange(len(g)) + windows(x).argmax(axis=1)
        return np.bincount(chosen, g, minlength=x.size)

    check_vjp(lambda x: windows(x).max(axis=1), first, np.ones(8), rng=seed)


@pytest.mark.parametrize("factor", [1, 2])
def test_a_large_value_hides_a_tangent_but_no_mistake_where_it_can_be_seen(factor: int) -> None:
    f = lambda x: x * np.log(x)
    x = np.array([1e-200, 1e-3, 1e50])
    tangent = lambda args, t: (np.log(args[0]) + np.array([1, factor, 1])) * t[0]
    if factor == 1:
        check_jvp(f, tangent, x)
        return
    with pytest.raises(GradMismatch):
        check_jvp(f, tangent, x)


def test_numbers_that_float32_hardly_tells_apart_are_too_ill_conditioned_for_it() -> None:
    x = 1 + 1e-7 * np.array([0.3, -1.2, 0.9, 2.1, -0.4])
    deviation = lambda g, y, x: g * (x - x.mean()) / (x.size * y)
    for seed in range(3):
        check_invariants((np.std, deviation), x, rng=seed)
