"""What chooses gives exactly 0 to what was not chosen, whatever the gradient, to any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg

NAN, INF = np.nan, np.inf
X = np.array([1.0, 4.0, 2.0, 3.0])
HOLES = np.array([1.0, NAN, 2.0, NAN])
OTHER = np.array([0.0, 9.0, 0.0, 9.0])
FIRST = np.array([True, False, True, False])

# A function, where it is taken, and the elements of the argument that it chooses.
CHOICES: dict[str, tuple[Any, np.ndarray, list[int]]] = {
    "maximum": (lambda x: np.maximum(x, OTHER), X, [0, 2]),
    "minimum": (lambda x: np.minimum(x, -OTHER), -X, [0, 2]),
    "minimum of others": (lambda x: np.minimum(OTHER, x), X, [1, 3]),
    "fmax": (lambda x: np.fmax(x, OTHER), X, [0, 2]),
    "fmin": (lambda x: np.fmin(OTHER, x), X, [1, 3]),
    "max": (np.max, X, [1]),
    "min": (np.min, X, [0]),
    "amax": (lambda x: np.amax(x, axis=0), X, [1]),
    "amin": (lambda x: np.amin(x, axis=0, keepdims=True), X, [0]),
    "max with a start": (lambda x: np.max(x, initial=9.0), X, []),
    "ptp": (np.ptp, X, [0, 1]),
    "abs": (np.abs, np.array([1.0, 0.0, -2.0, 0.0]), [0, 2]),
    "fabs": (np.fabs, np.array([1.0, 0.0, -2.0, 0.0]), [0, 2]),
    "copysign": (lambda x: np.copysign(x, [1, -1, -1, 1]), np.array([1.0, 0.0, -2.0, 0.0]), [0, 2]),
    "hypot": (lambda x: np.hypot(x, 0.0), np.array([1.0, 0.0, -2.0, 0.0]), [0, 2]),
    "norm": (
        lambda x: np.linalg.norm(np.reshape(x, (2, 2)), axis=1),
        np.array([3.0, 4.0, 0.0, 0.0]),
        [0, 1],
    ),
    "clip": (lambda x: np.clip(x, 1.5, 3.5), X, [2, 3]),
    "where": (lambda x: np.where(FIRST, x, 7.0), X, [0, 2]),
    "select": (lambda x: np.select([FIRST, ~FIRST], [x, OTHER]), X, [0, 2]),
    "choose": (lambda x: np.choose([0, 1, 0, 1], [x, OTHER]), X, [0, 2]),
    "getitem": (lambda x: x[1:3], X, [1, 2]),
    "take": (lambda x: np.take(x, [3, 3]), X, [3]),
    "compress": (lambda x: np.compress(FIRST, x), X, [0, 2]),
    "extract": (lambda x: np.extract(FIRST, x), X, [0, 2]),
    "sort": (lambda x: np.sort(x)[:2], X, [0, 2]),
    "partition": (lambda x: np.partition(x, 1)[:1], X, [0]),
    "median": (lambda x: np.median(x[:3]), X, [2]),
    "quantile": (lambda x: np.quantile(x, 1 / 3), X, [2]),
    "percentile": (lambda x: np.percentile(x, [0, 100]), X, [0, 1]),
    "tril": (lambda x: np.tril(np.reshape(x, (2, 2))), X, [0, 2, 3]),
    "triu": (lambda x: np.triu(np.reshape(x, (2, 2)), 1), X, [1]),
    "diagonal": (lambda x: np.diagonal(np.reshape(x, (2, 2))), X, [0, 3]),
    "trim_zeros": (np.trim_zeros, np.array([0.0, 1.0, 2.0, 0.0]), [1, 2]),
    "delete": (lambda x: np.delete(x, 1), X, [0, 2, 3]),
    "nan_to_num": (np.nan_to_num, HOLES, [0, 2]),
    "nansum": (np.nansum, HOLES, [0, 2]),
    "nanprod": (np.nanprod, HOLES, [0, 2]),
    "nanmean": (np.nanmean, HOLES, [0, 2]),
    "nanvar": (np.nanvar, HOLES, [0, 2]),
    "nanstd": (np.nanstd, HOLES, [0, 2]),
    "nanmax": (np.nanmax, HOLES, [2]),
    "nanmin": (np.nanmin, HOLES, [0]),
    "nanmedian": (np.nanmedian, HOLES, [0, 2]),
    "nanquantile": (lambda x: np.nanquantile(x, 1.0), HOLES, [2]),
    "nancumsum": (lambda x: np.nancumsum(x), HOLES, [0, 2]),
    "nancumprod": (lambda x: np.nancumprod(x), HOLES, [0, 2]),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("bad", [INF, -INF, NAN])
def test_what_was_not_chosen_has_gradient_zero_whatever_comes_in(name: str, bad: float) -> None:
    function, x, chosen = CHOICES[name]
    dropped = [i for i in range(4) if i not in chosen]
    value, pullback = tg.vjp(function, x)
    np.testing.assert_array_equal(pullback(np.full(np.shape(value), bad))[0][dropped], 0)
    ones = pullback(np.ones(np.shape(value)))[0]
    assert np.all(ones[chosen] != 0) or name in ("nanvar", "nanstd"), ones


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", [name for name in CHOICES if name not in ("norm", "hypot")])
@pytest.mark.parametrize("bad", [INF, NAN])
def test_what_was_not_chosen_has_second_derivative_zero_whatever_comes_in(
    name: str, bad: float
) -> None:
    function, x, chosen = CHOICES[name]
    dropped = [i for i in range(4) if i not in chosen]
    shape = np.shape(function(x))
    slope = lambda x: tg.vjp(function, x)[1](np.full(shape, bad))[0]
    _, pullback = tg.vjp(lambda x: slope(x) + 0 * np.where(np.isnan(x), 0, x), x)
    weights = np.zeros(4)
    weights[dropped] = 1
    np.testing.assert_array_equal(pullback(weights)[0][dropped], 0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "f, x",
    [
        (lambda x: np.sqrt(np.maximum(x, 0.0)), -1.0),
        (lambda x: np.log(np.maximum(x, 0.0)), -1.0),
        (lambda x: np.sqrt(np.clip(x, 0.0, 1.0)), -1.0),
        (lambda x: np.minimum(np.exp(x), 1.0), 800.0),
        (lambda x: np.clip(np.exp(x), None, 1.0), 800.0),
        (lambda x: np.fmin(np.exp(x), 1.0), 800.0),
        (lambda x: np.min(np.stack([np.exp(x), x])), 800.0),
        (lambda x: np.stack([x, np.sqrt(x)])[0], 0.0),
        (lambda x: np.sort(np.stack([x, np.exp(x)]))[0], 800.0),
    ],
)
def test_a_branch_that_was_not_chosen_may_be_infinite(f: Callable[[Any], Any], x: float) -> None:
    """The gradient is that of the branch that was: 0, or 1 for x itself."""
    right = float(f(x) == x)
    assert tg.grad(f)(x) == right
    assert tg.grad(tg.grad(f))(x) == 0
    assert tg.grad(tg.grad(tg.grad(f)))(x) == 0


BOTH = np.array([1.0, NAN, 2.0, NAN])
SPOILED: dict[str, tuple[Any, list[float]]] = {
    "max": (np.max, [0, 0.5, 0, 0.5]),
    "min": (np.min, [0, 0.5, 0, 0.5]),
    "amax": (np.amax, [0, 0.5, 0, 0.5]),
    "amin": (np.amin, [0, 0.5, 0, 0.5]),
    "max with a start": (lambda x: np.max(x, initial=9.0), [0, 0.5, 0, 0.5]),
    "max with the start NaN": (lambda x: np.max(x, initial=NAN), [0, 1 / 3, 0, 1 / 3]),
    "max of a part": (lambda x: np.max(np.reshape(x, (2, 2)), axis=1)[0], [0, 1, 0, 0]),
    "maximum": (lambda x: np.sum(np.maximum(x, 1.5)), [0, 1, 1, 1]),
    "minimum": (lambda x: np.sum(np.minimum(1.5, x)), [1, 1, 0, 1]),
    "maximum of NaN twice": (lambda x: np.maximum(x[1], x[3]), [0, 0.5, 0, 0.5]),
    "fmax of NaN twice": (lambda x: np.fmax(x[1], x[3]), [0, 0.5, 0, 0.5]),
    "fmin of a number": (lambda x: np.fmin(x[0], x[1]), [1, 0, 0, 0]),
    "median": (np.median, [0, 0.5, 0, 0.5]),
    "quantile": (lambda x: np.quantile(x, 0.1), [0, 0.5, 0, 0.5]),
    "percentile": (lambda x: np.sum(np.percentile(x, [10, 90])), [0, 1, 0, 1]),
    "sort": (lambda x: np.sum(np.sort(x)[2:]), [0, 1, 0, 1]),
    "partition": (lambda x: np.sum(np.partition(x, 1)[2:]), [0, 1, 0, 1]),
    "clip": (lambda x: np.sum(np.clip(x, 0.0, 1.5)), [1, 1, 0, 1]),
    "clip at NaN below": (lambda x: np.sum(np.clip([3.0, 4.0], x[1], 9.0)), [0, 2, 0, 0]),
    "clip at NaN above": (lambda x: np.sum(np.clip([3.0, 4.0], None, x[3])), [0, 0, 0, 2]),
    "cumsum": (lambda x: np.cumsum(x)[-1], [1, 1, 1, 1]),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_nan_was_chosen_and_has_the_gradient(name: str) -> None:
    """NaN equals nothing: it shall not lose its gradient in silence for that."""
    function, expected = SPOILED[name]
    value, slope = tg.value_and_grad(function)(BOTH)
    np.testing.assert_array_equal(value, function(BOTH))
    np.testing.assert_allclose(slope, expected)
    np.testing.assert_array_equal(tg.hvp(function, BOTH, np.ones(4)), np.zeros(4))


def test_a_start_that_is_nan_shares_the_gradient() -> None:
    slope = tg.grad(lambda s: np.max(tg.Tensor(BOTH), initial=s))
    np.testing.assert_allclose(slope(NAN), 1 / 3)


DROPS = np.array([False, True])
USED_TWICE: dict[
    str, tuple[Callable[[Any], Any], bool]
] = {  # and whether the first element matters
    "dropped by both": (lambda s: np.where(DROPS, s, 0.0) + np.where(DROPS, s, 1.0), False),
    "dropped by the first": (lambda s: np.where(DROPS, s, 0.0) + s * 0, True),
    "dropped by the second": (lambda s: s * 0 + np.where(DROPS, s, 0.0), True),
    "either side of a choice": (lambda s: np.where(DROPS, s, s * 0), True),
    "both sides are one": (lambda s: np.where(DROPS, s, s) * 0, True),
    "through a sum": (lambda s: np.where(DROPS, (s + s) * 0, 0.0), False),
    "through a product": (lambda s: np.where(DROPS, s * s * s, 0.0), False),
    "through broadcasting": (lambda s: np.where(DROPS, s[:1] * np.ones(2), 0.0) * 0, True),
    "through a row of which all is dropped": (
        lambda s: np.where(DROPS, 0.0, s[1:] + [0, 0]),
        False,
    ),
    "through another shape": (lambda s: np.where(DROPS, s.reshape(1, 2)[0], 0.0), False),
    "through a difference": (lambda s: np.diff(np.where(DROPS, s, 0.0)), False),
    "before a difference": (lambda s: np.diff(np.stack([s, s + 1, s + 2]), axis=0)[0] * 0, True),
    "through a stack": (lambda s: np.stack([s, s])[:, 1], False),
    "through a stack and more": (lambda s: np.stack([s, s])[:, 1] + 0 * s, True),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", USED_TWICE)
def test_an_infinite_derivative_matters_if_anyone_keeps_the_element(name: str) -> None:
    f, matters = USED_TWICE[name]
    gradient = tg.grad(lambda x: np.sum(f(np.sqrt(x) + 0.0)))(np.array([0.0, 4.0]))
    assert bool(np.isnan(gradient[0]) or np.isinf(gradient[0])) == matters, gradient
