"""What the checker says: patterns, smaller arguments, what to paste, and how long it takes."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.planted import MISTAKES, Pair
from tinygrad_cv.testing import GradMismatch, arrays, check_grad, check_vjp, gradtest, shrink

ARRAYS = re.compile(r"np\.array\((\[.*?\])\)")
FORMULAS = {f"{pair.kind}, {pair.name}": pair for pair in MISTAKES if pair.kind == "formulas"}
NAMED = {  # the pattern of a planted mistake
    "tanh: 1 - y": "the gradient is g * (1 - y) where it should be g * (1 - y * y)",
    "tanh: 1 - x^2": "the gradient is g * (1 - x * x) where it should be g * (1 - y * y)",
    "sigmoid: x (1 - x)": "the gradient is g * x * (1 - x) where it should be g * y * (1 - y)",
    "determinant: log-determinant's": "a factor y is missing",
    "a^b: power not lowered": "a factor x1 too much",
    "a^b: log of the exponent's base forgotten": "a factor np.log(x1) is missing",
    "a / b: a missing in b's": "a factor x1 is missing",
    "a / b: sign of b's": "the sign is wrong",
    "softmax at a temperature: not divided": "a factor t too much",
    "softmax at a temperature: temperature detached": "zero, the gradient is missing",
    "standard deviation: of the sample": "off by N / (N - 1)",
    "cross-entropy: mean forgotten": "off by N = 3",
    "cross-entropy: one-hot term missing": "one-hot term missing?",
    "log-sum-exp: softmax of all": "off by a factor, one number for each line along axis 1",
    "unit vectors: norm squared": "off by a factor, one number for each line along axis 1",
    "RMS norm: size detached": "a multiple of y, one number for each line along axis 1",
    "cosine of an angle: sizes detached": "a multiple of b, one number for the whole array",
    "batch norm: as in evaluation": "a multiple of 1 and of y, one number for each line along axis 0",
    "batch norm: scale left out of dx": "a factor scale is missing",
    "attention: the keys' gradient is the queries'": "the gradient with respect to argument 0 'q'",
    "inverse: not transposed": "has y in place of its transpose",
    "linear system: not transposed": "has a in place of its transpose",
    "log-determinant: not transposed": "transposed",
    "2-d convolution: kernel turned": "has w in place of w reversed",
    "product of square matrices: transposed": "has b in place of its transpose",
}
UNNAMED = [  # mistakes that no pattern describes: none may be claimed
    "gelu: the density's x missing",
    "silu: product rule forgotten",
    "silu: y for x",
    "binary cross-entropy of logits: sign of the target",
    "cross-entropy: labels shifted",
    "Cholesky decomposition: diagonal not halved",
]


def message(*args: Any, **options: Any) -> str:
    with pytest.raises(GradMismatch) as caught:
        check_vjp(*args, **options)
    return str(caught.value)


def patterns(text: str) -> list[str]:
    return re.findall(r"^  pattern: (.*)$", text, re.MULTILINE)


def planted(name: str) -> Pair:
    return next(pair for pair in FORMULAS.values() if pair.name == name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_the_pattern_of_a_planted_mistake_is_named(name: str) -> None:
    pair = planted(name)
    found = patterns(message(pair.forward, pair.derivative, *pair.args))
    assert any(NAMED[name] in pattern for pattern in found), found


@pytest.mark.slow
@pytest.mark.parametrize("name", UNNAMED)
def test_no_pattern_is_claimed_that_does_not_hold(name: str) -> None:
    pair = planted(name)
    assert patterns(message(pair.forward, pair.derivative, *pair.args)) == []


X = np.random.default_rng(0).normal(size=5)


@pytest.fixture
def at_once() -> Iterator[None]:
    """Failures are not made smaller, which takes most of the time of a failure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shrink, "TRIES", 0)
        yield


@pytest.mark.parametrize(
    "pattern, forward, backward, args",
    [
        (NAMED["tanh: 1 - y"], np.tanh, lambda g, y, x: g * (1 - y), (X,)),
        ("g * 3 * x where it should be g * 3 * x * x", lambda x: x**3, lambda g, y, x: g * 3 * x, (X,)),
        ("a factor 2 * np.sqrt(y) is missing", lambda x: np.sum(x * x) ** 2, lambda g, y, x: g * 2 * x, (X,)),
        ("a and b are exchanged", lambda a, b: np.sin(a) * b,
         lambda g, y, a, b: (g * a * np.cos(b), g * np.sin(b)), (X, X[::-1] + 1)),
        ("shifted by 1 along axis 0", np.sin, lambda g, y, x: np.roll(g * np.cos(x), 1), (X,)),
        ("the gradient with respect to argument 1", lambda a, b: np.exp(a) * np.sin(b),
         lambda g, y, a, b: (g * np.exp(a) * np.cos(b), g * np.exp(a) * np.cos(b)), (X, X[::-1] + 1)),
        ("one number for the whole array", lambda x: x / np.linalg.norm(x), lambda g, y, x: g / np.linalg.norm(x), (X,)),
    ],
)  # fmt: skip
def test_a_pattern_is_named_for_its_mistake(
    pattern: str, forward: Any, backward: Any, args: Any, at_once: None
) -> None:
    assert pattern in "; ".join(patterns(message(forward, backward, *args)))


RANDOM = st.integers(0, 10**6).map(lambda seed: np.random.default_rng(seed).normal(size=(3, 4)))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RANDOM, st.integers(0, 10**6))
def test_a_random_mistake_has_no_pattern(at_once: None, x: np.ndarray, seed: int) -> None:
    """Whatever is claimed of a gradient without any rule in it would be read by accident."""
    spoil = np.random.default_rng(seed).uniform(1.2, 3, x.shape)
    wrong = lambda g, y, x: g * np.cos(x) * spoil[: len(x), : x.shape[1]]
    assert patterns(message(np.sin, wrong, x)) == []


@settings(deadline=None)
@given(RANDOM)
def test_shrinking_keeps_elements_apart(x: np.ndarray) -> None:
    """What differed still does; without a pattern nothing becomes 0 or 1."""
    spoil = np.random.default_rng(0).uniform(1.2, 3, x.shape)
    wrong = lambda g, y, x: g * np.cos(x) * spoil[: len(x), : x.shape[1]]
    for backward, pattern in ((wrong, False), (lambda g, y, x: 2 * g * np.cos(x), True)):
        line = message(np.sin, backward, x).splitlines()[-1]
        found = np.array(eval(ARRAYS.findall(line)[0]))
        assert found.size <= 2
        assert len(np.unique(found)) == found.size
        assert pattern or not np.isin(found, (0, 1)).any()


def test_a_pattern_needs_the_first_arguments() -> None:
    """From one element on, anything is a constant factor; the five that were given say no."""
    text = message(np.tanh, lambda g, y, x: g * (1 - y), X)
    assert "constant factor" not in text
    assert len(np.unique(eval(ARRAYS.findall(text.splitlines()[-1])[0]))) >= 3


def test_gradtest_shrinks_in_bounded_time() -> None:
    calls = 0

    def forward(x: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return np.tanh(x)

    wrong = lambda g, y, x: g * (1 - y)
    start = time.perf_counter()
    with pytest.raises(GradMismatch) as caught:
        gradtest(arrays((3, 3)), backward=wrong, invariants=False)(forward)()
    assert "reproduce: check_vjp" in str(caught.value).splitlines()[-1]
    assert not hasattr(caught.value, "__notes__")
    assert calls < 60_000
    assert time.perf_counter() - start < 30


def test_a_try_ends_in_the_middle_when_the_time_is_over() -> None:
    def slow(x: np.ndarray) -> np.ndarray:
        time.sleep(0.002)
        return np.sin(x)

    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = message(slow, lambda g, y, x: 2 * g * np.cos(x), X[:1], budget=0.3)
    assert "elements wrong" in text
    assert time.perf_counter() - start < 6


def test_a_budget_is_kept_and_what_it_leaves_out_is_reported() -> None:
    calls = 0

    def slow(x: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        time.sleep(0.002)
        return np.sin(x)

    right = lambda g, y, x: g * np.cos(x)
    x = np.random.default_rng(0).normal(size=250)
    report = check_vjp(slow, right, x, budget=0.5)
    assert report.left_out == ["argument 0 'x': 250 elements compared in few probes"]
    assert "left out for want of time" in str(report)
    assert calls < 250
    spoiled = lambda g, y, x: g * np.cos(x) * np.where(np.arange(len(x)) == 7, 2, 1)
    text = message(slow, spoiled, x, budget=0.5)
    assert "1 of 250 elements wrong" in text
    assert text.splitlines()[-1].endswith("x, budget=0.5)")


def test_a_slow_check_says_so_beforehand() -> None:
    calls = 0

    def slow(x: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt  # enough was seen
        time.sleep(0.2)
        return np.sin(x)

    with (
        pytest.warns(UserWarning, match=r"a call takes 0\.\d+ s, and the check some 68 calls"),
        pytest.raises(KeyboardInterrupt),
    ):
        check_vjp(slow, lambda g, y, x: g * np.cos(x), X[:4])


def test_a_large_array_is_described_and_named_in_what_to_paste(at_once: None) -> None:
    spoil = np.where(np.arange(300) == 250, 2.0, 1.0)
    x = np.random.default_rng(0).normal(size=300)
    text = message(np.sin, lambda g, y, x: g * np.cos(x) * spoil, x)
    assert "x: your array, float64 of shape (300,), from -" in text
    assert text.splitlines()[-1] == "  reproduce: check_vjp(np.sin, <lambda>, x)"
    full = message(np.tanh, lambda g, y, x: g * (1 - y * y) * spoil, np.full(300, 0.5))
    assert "np.full((300,), 0.5, np.float64)" in full.splitlines()[-1]


@pytest.mark.parametrize("check", ["check_vjp", "check_grad", "gradtest"])
def test_pytest_shows_nothing_above_the_message(check: str, at_once: None) -> None:
    wrong = lambda g, y, x: 2 * g * np.cos(x)
    with pytest.raises(GradMismatch) as caught:
        if check == "check_vjp":
            check_vjp(np.sin, wrong, X[:2])
        elif check == "check_grad":
            check_grad(lambda x: x * 2, X[:2], instead_of=np.sin)
        else:
            gradtest(arrays((2,)), backward=wrong, invariants=False)(np.sin)()
    assert caught.value.__context__ is None
    shown = str(caught.getrepr(style="long", tbfilter=True))
    assert "tinygrad_cv/testing" not in shown.replace("benchmarks", "")
    assert shown.count("reproduce:") == 1


def test_a_forgotten_cotangent_is_named(at_once: None) -> None:
    text = message(np.sin, lambda g, y, x: np.cos(x), X)
    assert patterns(text) == ["the incoming gradient g is forgotten: it is the same for all g"]
    squared = message(np.sin, lambda g, y, x: g * g * np.cos(x), X)
    assert "clipped, squared or added to" in patterns(squared)[0]


def test_without_a_budget_all_probes_are_taken() -> None:
    report = check_vjp(np.sin, lambda g, y, x: g * np.cos(x), np.linspace(-2, 2, 2000))
    assert report.left_out == []
    assert report.evaluations > 64
