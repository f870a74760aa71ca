"""The gradient checker: what it catches, what it lets pass, and what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from benchmarks.planted import Pair
from benchmarks.planted.first import BUGS, CORRECT
from benchmarks.planted.functions import (
    layer_norm,
    layer_norm_backward,
    softmax,
    softmax_backward,
)
from tinygrad_cv.testing import (
    GradMismatch,
    arrays,
    check_adjoint,
    check_grad,
    check_invariants,
    check_jvp,
    check_vjp,
    gradtest,
)
from tinygrad_cv.testing.numeric import slopes

X = np.random.default_rng(0).normal(size=(3, 4))
named = {"ids": lambda pair: pair.name}


def message(*args: Any, check: Any = check_vjp, **settings: Any) -> str:
    with pytest.raises(GradMismatch) as caught:
        check(*args, **settings)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("pair", BUGS, **named)  # type: ignore[arg-type]
def test_a_planted_bug_is_caught(pair: Pair) -> None:
    args = [a.copy() if isinstance(a, np.ndarray) else a for a in pair.args]
    message(pair.forward, pair.derivative, *args)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("pair", CORRECT, **named)  # type: ignore[arg-type]
@pytest.mark.parametrize("rng", range(5))
def test_a_correct_gradient_passes(pair: Pair, rng: int) -> None:
    args = [a.copy() if isinstance(a, np.ndarray) else a for a in pair.args]
    report = check_vjp(pair.forward, pair.derivative, *args, rng=rng)
    assert report.worst <= 1


@given(
    st.sampled_from([np.sin, np.tanh, np.square, np.arctan, lambda x: x * np.exp(-x * x)]),
    arrays((3,)), st.integers(0, 2), st.sampled_from([1e-2, 1e-4, 1e-6, -1e-7]), st.integers(-8, 8),
)  # fmt: skip
def test_a_relative_error_is_caught_at_every_scale(f: Any, x: Any, at: int, error: float, decimal: int) -> None:
    scale = 10.0**decimal
    slope = tg.grad(lambda v: f(v).sum())
    forward = lambda v: scale * f(v)
    check_vjp(forward, lambda g, y, v: scale * g * slope(v), x)
    if abs(slope(x)[at]) > 1e-2:
        factor = 1 + error * (np.arange(3) == at)
        with pytest.raises(GradMismatch):
            check_vjp(forward, lambda g, y, v: scale * g * slope(v) * (factor if np.array_equal(v, x) else 0), x)


@pytest.mark.parametrize("size", [401, 2000, 50_000])
def test_few_wrong_elements_of_many_are_named(size: int) -> None:
    x = np.random.default_rng(size).normal(size=size)
    guilty = [size // 3, size - 1]

    def backward(g: Any, y: Any, x: Any) -> Any:
        d = g * np.cos(x)
        d[guilty] *= 1.001
        return d

    with pytest.raises(GradMismatch) as caught:
        check_vjp(np.sin, lambda g, y, v: backward(g, y, v) if v.size == size else g * np.cos(v), x)
    text = str(caught.value)
    assert f"2 of {size} elements wrong" in text
    assert all(f"at [{k}]" in text for k in guilty)


def test_second_derivatives_are_checked_on_request() -> None:
    slope = tg.derivative(_three_squares, x=lambda g, x: g * 5 * x)  # 6 would be right
    rule = tg.derivative(_cube, x=lambda g, x: g * (slope(x) if type(x) is tg.Tensor else _three_squares(x)))
    f = lambda x: rule(x)
    check_grad(f, X)
    text = message(f, X, check=check_grad, order=2)
    assert "second derivatives" in text
    assert "constant factor 0.833333" in text or "wrong" in text


def _cube(x: Any) -> Any:
    return x**3


def _three_squares(x: Any) -> Any:
    return 3 * x * x


# --------------------------------------------------------------------------------------------------- kinks, NaN, noise


def test_every_subgradient_at_a_kink_is_accepted_and_counted_and_no_other() -> None:
    x = np.array([-1.0, 0.0, 2.0])
    relu = lambda x: np.maximum(x, 0)
    for at_zero in (0.0, 0.3, 1.0):
        report = check_vjp(relu, lambda g, y, x, s=at_zero: g * np.where(x == 0, s, x > 0), x)
        assert report.kinks == 1
    for at_zero in (-0.1, 1.1):
        message(relu, lambda g, y, x, s=at_zero: g * np.where(x == 0, s, x > 0), x)
    assert "elements at a kink" in message(relu, lambda g, y, x: g * (x > 0), x, kinks="error")


@pytest.mark.parametrize(
    "f",
    [np.abs, np.linalg.norm, np.max, np.min, np.sort, lambda x: np.clip(x, 0, 1), tg.kernels.relu, np.median,
     lambda x: np.maximum(x, 0) ** 2, lambda x: np.abs(x) * x],
)  # fmt: skip
@pytest.mark.parametrize("x", [np.zeros(3), np.array([0.0, 1.0, 1.0]), np.array([-1.0, 0.0, 1.0])])
def test_kinks_raise_no_false_alarm(f: Any, x: np.ndarray) -> None:
    for rng in range(10):
        check_grad(f, x, rng=rng)


def test_nan_is_refused_and_traced() -> None:
    with np.errstate(invalid="ignore"):
        text = message(lambda x: np.log(x) * 2, np.array([1.0, -1.0]), check=check_grad)
    assert "the value is nan at" in text
    assert "began: np.log made 1 NaN" in text
    text = message(lambda x: x * x, lambda g, y, x: g * np.where(x == 1, np.inf, 2 * x), np.array([1.0, 0.5]))
    assert "the gradient with respect to argument 0 'x' is" in text
    assert "inf at" in text


def test_an_infinite_slope_has_an_infinite_gradient() -> None:
    with np.errstate(divide="ignore", invalid="ignore"):
        assert check_grad(lambda x: np.sqrt(x), np.array([1.0, 0.0])).not_finite == 1


def test_a_function_too_rough_for_differences_says_so() -> None:
    text = message(lambda x: np.round(x * 1e9) / 1e9 + 0.1 * np.sin(1e9 * x), lambda g, y, x: g, X)
    assert "too rough" in text or "wrong" in text


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_ties_of_a_maximum_share_one_gradient(share: float) -> None:
    """Each alone may have any share; both in full, or neither, is a mistake."""
    a, b = np.array([1.0, 2.0, 0.0]), np.array([1.0, 1.0, 3.0])

    def halves(first: float, second: float) -> Any:
        return lambda g, y, a, b: [g * ((a > b) + first * (a == b)), g * ((b > a) + second * (a == b))]

    assert check_vjp(np.maximum, halves(share, 1 - share), a, b).kinks == 2
    assert "1 of 1 elements wrong" in message(np.maximum, halves(round(share), round(share)), a, b)
    x = np.array([1.0, 0.0, 1.0, 1.0])
    check_vjp(np.max, lambda g, y, x: g * (x == y) / np.sum(x == y), x)
    assert "elements wrong" in message(np.max, lambda g, y, x: g * (x == y), x)
    assert "zero, the gradient is missing" in message(np.max, lambda g, y, x: g * 0 * x, x)


@pytest.mark.parametrize(
    "f",
    [
        np.sort, np.median, np.ptp, np.abs, np.linalg.norm, tg.kernels.relu, lambda x: np.clip(x, 0, 1),
        lambda x: np.abs(x[:, None] - x).sum(), lambda x: np.maximum(0, 1 - x).sum(), lambda x: np.max(x) - np.min(x),
    ],
)  # fmt: skip
@pytest.mark.parametrize("x", [np.zeros(4), np.ones(4), np.array([0.0, 0, 1, 1, 1, 0.5])])
def test_many_ties_raise_no_false_alarm(f: Any, x: np.ndarray) -> None:
    assert check_grad(f, x).worst <= 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("bound", [10.0, 100.0])
def test_a_gradient_clipped_far_away_is_seen(bound: float, dtype: Any) -> None:
    x = X.astype(dtype)
    for cut in (lambda g: np.clip(g, -bound, bound), lambda g: np.where(np.abs(g) < 1 / bound, 0, g)):
        text = message(np.sin, lambda g, y, x: (cut(g) * np.cos(x)).astype(g.dtype), x)  # noqa: B023
        assert "not linear in the cotangent" in text
    with np.errstate(over="ignore"):
        check_vjp(lambda x: x * 1e305, lambda g, y, x: g * 1e305, np.array([0.5, -1.0]))  # would overflow


@pytest.mark.parametrize("value", [None, "text", 3, np.arange(3)])
def test_a_check_of_nothing_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="the value holds no floating-point numbers"):
        check_vjp(lambda x: value, lambda g, y, x: 0 * x, X)
    with pytest.raises(ValueError, match="order is 1 or higher, not 0"):
        check_grad(np.tanh, X, order=0)
    for wrt in (1, -2, [0, 1], 0.5):
        with pytest.raises(ValueError, match="positions among 1 arguments"):
            check_grad(np.tanh, X, wrt=wrt)
    assert check_grad(np.multiply, X, X + 1, wrt=-1).elements == X.size


def test_discontinuities_are_no_mistakes() -> None:
    check_vjp(np.floor, lambda g, y, x: 0 * g, np.array([0.5, 1.0, -2.0]))


# ------------------------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    "pattern, forward, backward, args",
    [
        ("a factor 2 too much", np.sin, lambda g, y, x: 2 * g * np.cos(x), (X,)),
        ("a factor 1/2", np.square, lambda g, y, x: g * x, (X,)),
        ("the sign is wrong", np.cos, lambda g, y, x: g * np.sin(x), (X,)),
        ("transposed", np.matmul, lambda g, y, a, b: (b @ g.T, a.T @ g), (X[:3, :3], X[:3, 1:])),
        ("zero, the gradient is missing", np.multiply, lambda g, y, a, b: (g * b, 0 * b), (X, X + 1)),
        ("missing sum over the broadcast axes (0,)", np.add, lambda g, y, a, b: (g, g), (X, X[0])),
        ("off by 1/N, N = 12", np.sum, lambda g, y, x: g / 12 * np.ones_like(x), (X,)),
        ("off by N = 12", np.mean, lambda g, y, x: g * np.ones_like(x), (X,)),
        ("reversed along axis 0", np.cumsum, lambda g, y, x: np.cumsum(g[::-1]), (X[0],)),
        ("one-hot term missing", None, None, (X, np.array([1, 0, 3]))),
        ("a small relative error", np.exp, lambda g, y, x: g * y * (1 + 1e-6 * np.arange(12).reshape(3, 4)), (X,)),
        ("only where the input is negative", np.sin, lambda g, y, x: g * np.cos(x) * np.where(x < 0, 3.1, 1), (X,)),
        ("only at index 2 of axis 0", np.sin, None, (X,)),
    ],
)  # fmt: skip
def test_the_pattern_is_recognised(pattern: str, forward: Any, backward: Any, args: Any) -> None:
    if "one-hot" in pattern:
        forward = lambda x, labels: -np.log(softmax(x)[np.arange(3), labels]).sum()
        backward = lambda g, y, x, labels: g * softmax(x)
    if "index 2" in pattern:
        backward = lambda g, y, x: g * np.cos(x) * np.where(np.arange(len(x)) == 2, 1.7, 1)[:, None]
    assert pattern in message(forward, backward, *args)


def test_a_gradient_that_mistreats_the_cotangent_is_not_linear() -> None:
    for backward in (lambda g, y, x: g * g * np.cos(x), lambda g, y, x: np.cos(x), lambda g, y, x: np.abs(g) * np.cos(x)):
        assert "not linear in the cotangent" in message(np.sin, backward, X)


def test_the_message_can_be_pasted_and_fails_again() -> None:
    text = message(softmax, double_softmax, X)
    line = re.search(r"reproduce: (.*)", text)
    assert line
    scope = {"np": np, "check_vjp": check_vjp, "softmax": softmax, "double_softmax": double_softmax}
    with pytest.raises(GradMismatch, match="a factor 2 too much"):
        eval(line.group(1), scope)
    for part in ("argument 0 'x'", "backward=", "numeric=", "±", "held: shape, dtype", "test_testing.py:", "cotangent:"):
        assert part in text


def double_softmax(g: Any, y: Any, x: Any) -> Any:
    return 2 * softmax_backward(g, y, x)


def test_the_inputs_are_shrunk() -> None:
    text = message(np.sin, lambda g, y, x: 2 * g * np.cos(x), np.random.default_rng(1).normal(size=(4, 5)))
    assert re.search(r"reproduce: .*np\.array\(\[\[-?[01]\.0\]\]\)", text)


def test_both_numbers_are_shown_with_the_digits_that_differ() -> None:
    text = message(np.sin, lambda g, y, x: g * np.cos(x) * (1 + 1e-7), np.array([0.3]))
    one, two = re.findall(r"(?:backward|numeric)=(\S+)", text)[:2]
    assert one != two


def test_bad_calls_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="mode is one of auto, elements, probes, holomorphic, not 'fast'"):
        check_grad(np.sin, X, mode="fast")
    with pytest.raises(TypeError, match="nothing to check"):
        check_grad(np.sin, np.arange(3))
    with pytest.raises(TypeError, match="returned 1 gradients for 2 floating-point inputs"):
        check_vjp(np.add, lambda g, y, a, b: g, X, X)
    with pytest.raises(ValueError, match="cotangents have shapes"):
        check_grad(np.sin, X, cotangent=np.ones(3))
    with pytest.raises(TypeError, match="which wrt names"):
        check_grad(lambda x, n: x * n, X, 3, wrt=1)


# ----------------------------------------------------------------------------------------------------------- invariants


@pytest.mark.parametrize(
    "said, pair, args",
    [
        ("changed argument 0 'x' in place", (lambda x: np.negative(x, out=x), lambda g, y, x: -g), (X,)),
        ("shares memory with the gradient", (np.add, lambda g, y, a, b: (g, g)), (X, X + 1)),
        ("wrong for Fortran-ordered inputs", (np.sin, lambda g, y, x: g * np.cos(x) * (1 + x.flags.f_contiguous)), (X,)),
        ("wrong for negative-stride inputs", (np.sin, lambda g, y, x: g * np.cos(x) * (1 + (x.strides[0] < 0))), (X,)),
        ("float32 loses more than it must", (lambda x: np.log(1 + np.exp(x)) - x, None), (np.array([9.0, 12.0]),)),
        ("is float64, the argument float32", (np.sin, lambda g, y, x: g.astype(float) * np.cos(x.astype(float))), (X,)),
    ],
)  # fmt: skip
def test_a_broken_invariant_is_named(said: str, pair: Any, args: Any) -> None:
    if "float32 loses" in said:
        pair = pair[0], lambda g, y, x: g * ((np.exp(x) / (1 + np.exp(x))) - 1)
    args = [a.copy() for a in args]
    assert said in message(pair, *args, check=check_invariants)


TABLE = np.array([0.5, 2.0, 3.0])


@pytest.mark.parametrize(
    "right, forward, backward",
    [
        (True, lambda x: np.where(x > 0, x, 0.1 * x), lambda g, y, x: g * np.where(x > 0, 1, 0.1)),
        (True, np.max, lambda g, y, x: g * (x == y) / (x == y).sum()),
        (True, np.fft.rfft, lambda g, y, x: np.fft.fft(np.concatenate([g, np.zeros(len(x) - len(g))]).conj()).real),
        (True, lambda x: x[[0, 2, 0, 0]], lambda g, y, x: np.bincount([0, 2, 0, 0], g)),
        (True, lambda x: x * TABLE, lambda g, y, x: g * TABLE),
        (False, lambda x: x * TABLE.astype(x.dtype), lambda g, y, x: g * TABLE),
        (False, np.exp, lambda g, y, x: g.astype(float) * np.exp(x.astype(float))),
    ],
)
def test_a_constant_may_widen_a_gradient_but_the_backward_pass_may_not(
    right: bool, forward: Any, backward: Any
) -> None:
    x = np.array([0.3, -1.7, 0.9])
    if right:
        check_invariants((forward, backward), x)
    else:
        assert "is float64, the argument float32" in message((forward, backward), x, check=check_invariants)


def test_of_a_gradient_that_cancels_to_nothing_only_rounding_is_left() -> None:
    """The sign of a matrix with positive eigenvalues is the identity, whatever the matrix."""
    f = tg.scipy.linalg.signm
    for x in np.random.default_rng(3).normal(size=(20, 2, 2)):
        a = np.eye(2) + 0.3 * x
        check_invariants(f, a)
        check_grad(f, a)


def test_a_fan_out_that_does_not_accumulate_is_seen() -> None:
    seen: list[Any] = []

    def once(g: Any, x: Any) -> Any:
        seen.append(None)
        return g * np.cos(x) * (len(seen) % 7 != 0 or len(seen) < 6)

    rule = tg.derivative(_sine, x=once)
    with pytest.raises(GradMismatch):
        check_invariants(lambda x: rule(x), X)


def _sine(x: Any) -> Any:
    return np.sin(x)


def test_a_right_gradient_keeps_every_invariant() -> None:
    report = check_invariants((layer_norm, layer_norm_backward), X)
    for what in ("no aliasing", "Fortran-ordered inputs", "read-only inputs", "float32", "empty", "one element"):
        assert what in report.held
    assert "fan-out" in check_invariants(tg.kernels.softmax, X).held


# ----------------------------------------------------------------------------------- forward derivatives, adjoint pairs


def test_forward_derivatives() -> None:
    assert check_jvp(np.sin, lambda x, t: np.cos(x[0]) * t[0], X).elements == 36
    big = np.random.default_rng(0).normal(size=20_000)
    text = message(np.sin, lambda x, t: 1.05 * np.cos(x[0]) * t[0], big, check=check_jvp)
    assert "elements of the tangent are wrong" in text
    scaled = lambda x, n: n * x
    check_jvp(scaled, lambda args, t: args[1] * t[0], X, 3)
    assert "shapes" in message(np.sum, lambda x, t: t[0], X, check=check_jvp)


def test_adjoint_pairs() -> None:
    pad, cut = lambda x: np.pad(x, 2), lambda v: v[2:-2]
    check_adjoint(pad, cut, X[0])
    text = message(pad, lambda v: v[1:-3], X[0], check=check_adjoint)
    assert "from input [0] to output [2]: A has 1, the adjoint 0" in text
    assert "not linear" in message(np.sin, lambda v: v, X, check=check_adjoint)
    assert "gives shape" in message(pad, lambda v: v, X[0], check=check_adjoint)


@given(arrays((4,)), arrays((2, 3)))
def test_gather_and_scatter_are_adjoint(x: np.ndarray, w: np.ndarray) -> None:
    index = np.array([0, 2, 2, 1])
    scatter = lambda v: np.bincount(index, v, 4)
    check_adjoint(lambda x: x[index], scatter, x)
    check_adjoint(lambda x: w @ x, lambda v: w.T @ v, x[:3])


# ------------------------------------------------------------------------------------------------ numerics, decorator


def test_differences_are_precise_and_know_it() -> None:
    x = 0.7
    for f, slope in ((np.exp, np.exp(x)), (np.sin, np.cos(x)), (lambda t: 1 / t, -1 / x**2), (lambda t: t**5, 5 * x**4)):
        found = slopes(lambda i, t, f=f: (f(x + t) - f(x), abs(f(x))), 1)  # type: ignore[misc]
        assert abs(found["value"][0] - slope) <= found["error"][0]
        assert found["error"][0] < 1e-11 * abs(slope)


@given(st.floats(-8, -1.2), st.floats(0.1, 10), st.floats(1, 10) | st.floats(-10, -1))
def test_what_lies_behind_jumps_on_both_sides_is_no_slope(exponent: float, slope: float, plateau: float) -> None:
    """As where the loss of another assignment is the least: differences agree there, by symmetry."""
    width = 10.0**exponent
    f = lambda t: slope * t if abs(t) < width else plateau
    found = slopes(lambda i, t: (f(t), abs(f(t))), 1)
    assert abs(found["value"][0] - slope) <= 10 * found["error"][0] + 1e-12 * slope


def test_the_complex_step_is_exact() -> None:
    report = check_grad(lambda x: np.exp(x) * np.sin(x), X, mode="holomorphic")
    assert report.worst < 1e-3


COMPLEX = np.array([0.6 + 0.8j, -0.3 + 0.4j, 0.5j])
COMPLEX_PAIRS: dict[str, tuple[Any, Any, Any]] = {  # forward, the right backward, a wrong one
    "square": (lambda z: z * z, lambda g, y, z: g * np.conj(2 * z), lambda g, y, z: g * 2 * z),
    "abs": (np.abs, lambda g, y, z: g * z / y, lambda g, y, z: g * np.conj(z) / y),
    "conj": (np.conj, lambda g, y, z: np.conj(g), lambda g, y, z: g + 0),
    "real": (np.real, lambda g, y, z: g + 0j, lambda g, y, z: g * 1j),
    "exp": (np.exp, lambda g, y, z: g * np.conj(y), lambda g, y, z: np.conj(g) * y),
}


@pytest.mark.parametrize("name", COMPLEX_PAIRS)
def test_complex_arguments_move_along_both_parts(name: str) -> None:
    forward, right, wrong = COMPLEX_PAIRS[name]
    assert check_vjp(forward, right, COMPLEX).elements == 6
    text = message(forward, wrong, COMPLEX)
    assert "imaginary part" in text or "real part" in text


def test_the_engines_complex_gradients_hold_to_second_order_and_in_every_layout() -> None:
    f = lambda z, x: np.exp(z) * x + np.real(z) * np.conj(z)
    check_grad(f, COMPLEX, np.array([1.0, 2.0, 3.0]), order=2)
    check_invariants(f, COMPLEX, np.array([1.0, 2.0, 3.0]))
    check_jvp(f, lambda args, tangents: tg.jvp(f, args, tangents)[1], COMPLEX, np.array([1.0, 2.0, 3.0]))


def test_a_complex_step_from_a_complex_point_is_refused() -> None:
    with pytest.raises(ValueError, match="holomorphic"):
        check_grad(lambda z: z * z, COMPLEX, mode="holomorphic")


@gradtest(arrays(), arrays(()), order=2)
def test_a_decorated_function_is_a_property_test(x: Any, bias: Any) -> Any:
    return np.logaddexp(0, x + bias)


@gradtest(arrays((2, 3)), backward=softmax_backward)
def test_a_decorated_pair_too(x: Any) -> Any:
    return softmax(x)


def test_gradtest_finds_shrinks_and_refuses_kinks() -> None:
    wrong = lambda g, y, x: g * np.cos(x) * (1 + (x > 1).astype(x.dtype))
    with pytest.raises(GradMismatch, match="elements wrong"):  # four examples have no x > 1, once in ten runs
        gradtest(arrays((3,)), backward=wrong, examples=100)(np.sin)()
    with pytest.raises(GradMismatch, match="stand on a kink"):
        gradtest(arrays((3,)).map(lambda x: 0 * x))(np.abs)()


def test_the_checks_need_no_hypothesis() -> None:
    code = "import sys; sys.modules['hypothesis'] = None; import numpy as np; from tinygrad_cv.testing import check_grad; "
    done = subprocess.run([sys.executable, "-c", code + "print(check_grad(np.sin, np.ones(3)))"], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"np.sin: 3 derivatives agree" in done.stdout


def test_the_same_rng_gives_the_same_check() -> None:
    one, two = (check_grad(tg.kernels.softmax, X, rng=7) for _ in range(2))
    assert (one.worst, one.evaluations) == (two.worst, two.evaluations)
