"""float16: kernels, clipping and optimisers compute in float32 or wider and round once."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests import test_table  # noqa: F401  (enters the rows)
from tests.table import ROWS, Row, operation
from tests.test_kernels import twin
from tinygrad_cv import Tensor, kernels, optim
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.kernels import Kernel
from tinygrad_cv.optim import flat
from tinygrad_cv.optim.clipping import clip_grad_norm_, clipped_norm
from tinygrad_cv.tensor import unwrap

CASES = [(f, i, row) for f, rows in ROWS.items() if isinstance(f, Kernel) for i, row in enumerate(rows)]
NAMES = [f"{name_of(f)}-{i}" for f, i, _ in CASES]


def is_float(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def assert_rounded(found: np.ndarray, exact: np.ndarray, atol: float = 1e-6) -> None:
    """float16, within two units in the last place of numbers in float64."""
    assert found.dtype == np.float16
    np.testing.assert_allclose(found.astype(float), exact, rtol=2e-3, atol=atol)


@pytest.mark.parametrize("kernel, row", [(k, r) for k, _, r in CASES], ids=NAMES)
@given(data=st.data())
def test_kernels_of_float16_round_once(kernel: Kernel, row: Row, data: Any) -> None:
    """Value, gradients, tangents, and those of the reference, against float64 of the same numbers."""
    drawn, options = data.draw(row.arguments), data.draw(row.options)
    half = [a.astype(np.float16) if is_float(a) else a for a in drawn]
    whole = [a.astype(np.float64) if is_float(a) else a for a in half]
    exact = operation(row, whole, options)
    values, pull = exact.pull(exact.inputs)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    weights = [rng.normal(size=v.shape).astype(np.float16) for v in values]
    expected = pull([w.astype(np.float64) for w in weights])
    for call in (row.call, twin(kernel, row)):
        way = operation(row, half, options, call)
        found, pull = way.pull(way.inputs)
        for got, want in zip(found, values, strict=True):
            assert_rounded(got, want, 1e-6)
        for got, want in zip(pull(weights), expected, strict=True):
            # The value y is kept in float16, and 1 - y * y has its error.
            assert_rounded(got, want, 2e-3 * max(1, np.max(np.abs(want), initial=0)))
        tangents = [rng.normal(size=a.shape).astype(np.float16) for a in way.inputs]
        moved = tg.jvp(way.outputs, way.inputs, tangents)[1]
        exactly = tg.jvp(exact.outputs, exact.inputs, [t.astype(np.float64) for t in tangents])[1]
        for got, want in zip(moved, exactly, strict=True):
            assert_rounded(got, want, 2e-3 * max(1, np.max(np.abs(want), initial=0)))


def two_values(*shape: int) -> np.ndarray:
    """150 and 50 in turn along the last axis, whose squares float16 does not hold."""
    return np.broadcast_to(np.where(np.arange(shape[-1]) % 2, 50, 150), shape).astype(np.float16)


NORMS: dict[str, Any] = {
    "layer": (kernels.layer_norm, (2, 2000)),
    "batch": (lambda x: kernels.batch_norm(x.T), (2, 2000)),
    "group": (lambda x: kernels.group_norm(x, groups=1), (1, 2, 1000)),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms_of_float16_do_not_overflow(name: str) -> None:
    norm, shape = NORMS[name]
    x = two_values(*shape)
    expected = np.where(x == 150, 1.0, -1.0)
    expected = expected.T if name == "batch" else expected
    np.testing.assert_array_equal(norm(x), expected)
    tensor = Tensor(x, requires_grad=True)
    y = norm(tensor)
    np.testing.assert_array_equal(y.numpy(), expected)
    g = np.random.default_rng(0).normal(size=y.shape).astype(np.float16)
    y.backward(g)
    _, pull = tg.vjp(norm, x.astype(np.float64))
    assert_rounded(tensor.grad, pull(g.astype(np.float64))[0], 1e-5)
    _, moved = tg.jvp(norm, (x,), (g.T.reshape(shape),))
    _, exact = tg.jvp(norm, (x.astype(np.float64),), (g.T.reshape(shape).astype(np.float64),))
    assert_rounded(moved, exact, 1e-5)


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("dtype, size", [(np.float32, 1e20), (np.float32, 1e30), (np.float64, 1e200)])
@given(seed=st.integers(0, 99))
def test_norms_of_numbers_whose_squares_overflow(name: str, dtype: Any, size: float, seed: int) -> None:
    """norm(s x) = norm(x) without eps, and its derivatives are those at x over s: by hand and by the reference."""
    norm, (*leading, _) = NORMS[name]
    rng = np.random.default_rng(seed)
    base, moved = rng.normal(size=(2, *leading, 6))
    y, pull = tg.vjp(norm, base)
    g = rng.normal(size=y.shape)
    tangent = tg.jvp(norm, (base,), (moved,))[1]
    x = (base * size).astype(dtype)
    close = {"rtol": 1e-3, "atol": 1e-3}  # eps counts for something in `base`, for nothing in x
    with np.errstate(all="raise", under="ignore"):
        found, pull_huge = tg.vjp(norm, x)
        np.testing.assert_allclose(found, y, **close)
        (gradient,) = pull_huge(g.astype(dtype))
        np.testing.assert_allclose(gradient * dtype(size), pull(g)[0], **close)
        found = tg.jvp(norm, (x,), ((moved * size).astype(dtype),))[1]
        np.testing.assert_allclose(found, tangent, **close)
        # With a leaf that requires a gradient itself, the gradient is that of the reference.
        recorded = tg.grad(lambda x: np.sum(norm(x) * g.astype(dtype)))(Tensor(x, requires_grad=True))
        np.testing.assert_allclose(unwrap(recorded) * dtype(size), pull(g)[0], **close)


@pytest.mark.parametrize("detail", ["call", "body", "reference"])
def test_a_tape_of_float16_runs(detail: str) -> None:
    x = Tensor(two_values(2, 8) / np.float16(8), requires_grad=True)
    w = Tensor(np.full(8, 0.3, np.float16), requires_grad=True)

    def loss(x: Any, w: Any) -> Any:
        return kernels.softmax(kernels.layer_norm(x, w))[:, 0].sum()

    t = tg.tape(loss, x, w)
    assert "kernels.layer_norm" in t.text("call")
    found = t.run(detail=detail)
    assert "layer_norm_forward" not in t.text("body")  # whose own lines are those of wide arrays
    np.testing.assert_allclose(found.value, t.result.numpy(), rtol=2e-3)
    _, pull = tg.vjp(loss, x.detach(), w.detach())
    for name, expected in zip(found.gradients, map(unwrap, pull(np.float16(1))), strict=True):
        gradient = found.gradients[name]
        assert gradient.dtype == np.float16
        np.testing.assert_allclose(gradient, expected, rtol=2e-2, atol=1e-4)


# ------------------------------------------------------------------------------------------------------------- clipping


@given(
    dtype=st.sampled_from([np.float16, np.float32, np.float64, np.complex64]),
    exponent=st.floats(-1, 1),
    shapes=st.lists(st.sampled_from([(), (3,), (2, 0), (40, 50)]), max_size=3),
    seed=st.integers(0, 99),
)
def test_clipping_at_every_scale_of_the_dtype(dtype: Any, exponent: float, shapes: Any, seed: int) -> None:
    """The norm in exact numbers, and afterwards the limit; the same by `clipped_norm`."""
    info = np.finfo(dtype)
    size = float(info.max if exponent > 0 else info.smallest_normal) ** abs(exponent) / 100
    rng = np.random.default_rng(seed)
    gradients = [np.asarray(rng.uniform(-1, 1, size=s) * size).astype(dtype) for s in shapes]
    unit = max((float(np.max(np.abs(g), initial=0)) for g in gradients), default=0) or 1.0
    exact = unit * math.sqrt(sum(float(np.sum(np.abs(g.astype(complex) / unit) ** 2)) for g in gradients))
    parameters = [Tensor(np.zeros_like(g), requires_grad=True) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g.copy()
    limit = exact / 4
    as_arrays = clipped_norm(gradients, limit)
    norm = clip_grad_norm_(parameters, limit)
    np.testing.assert_allclose(norm, exact, rtol=1e-5)
    for p, g, array in zip(parameters, gradients, as_arrays, strict=True):
        want = g.astype(complex) / 4
        np.testing.assert_allclose(p.grad, want, rtol=2 * info.eps, atol=2 * float(info.smallest_subnormal))
        np.testing.assert_array_equal(p.grad, array)
        assert p.grad.dtype == array.dtype == dtype


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_gradients_that_are_not_finite_stay_as_they_are(value: float) -> None:
    p = Tensor(np.zeros(3, np.float16), requires_grad=True)
    p.grad = np.array([1, value, 2], np.float16)
    assert not math.isfinite(clip_grad_norm_([p], 1.0))
    np.testing.assert_array_equal(p.grad, np.array([1, value, 2], np.float16))


# ------------------------------------------------------------------------------------------------------------ optimisers

OPTIMISERS: dict[str, Any] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.0),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.1),
    "RMSprop, centred": lambda p: optim.RMSprop(p, lr=0.1, centered=True, momentum=0.9),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_gradient_of_zero_leaves_float16_parameters_as_they_are(name: str) -> None:
    p = Tensor(np.array([0.5, -3, 1000], np.float16), requires_grad=True)
    optimiser = OPTIMISERS[name]([p])
    for _ in range(3):
        p.grad = np.zeros(3, np.float16)
        optimiser.step()
    np.testing.assert_array_equal(p.numpy(), np.array([0.5, -3, 1000], np.float16))
    assert p.dtype == np.float16


@pytest.mark.parametrize("name", OPTIMISERS)
@given(size=st.sampled_from([1e-6, 1e-3, 1.0, 300.0, 6e4]), tile=st.sampled_from([3, 1 << 16]), seed=st.integers(0, 99))
def test_an_optimiser_of_float16_steps_as_in_float64(name: str, size: float, tile: int, seed: int) -> None:
    """Whatever the size of the gradients: their squares need not fit into float16."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0.5, 2, size=7).astype(np.float16)
    size = min(size, 100.0) if name == "SGD" else size
    half, whole = (Tensor(start.astype(t), requires_grad=True) for t in (np.float16, np.float64))
    with mock.patch.object(flat, "TILE", tile):
        optimisers = [OPTIMISERS[name]([half]), OPTIMISERS[name]([whole])]
    for _ in range(4):
        g = (rng.uniform(0.5, 1, size=7) * rng.choice([-1, 1], size=7) * size).astype(np.float16)
        half.grad, whole.grad = g, g.astype(np.float64)
        for optimiser in optimisers:
            optimiser.step()
    largest = np.max(np.abs(whole.numpy()))
    np.testing.assert_allclose(half.numpy(), whole.numpy(), rtol=0, atol=4 * 2.0**-10 * max(largest, 2))


def test_training_in_float16_goes_on_from_its_state_to_the_same_bits() -> None:
    def gradient(step: int) -> np.ndarray:
        return np.random.default_rng(step).normal(size=5).astype(np.float16)

    def train(p: Tensor, optimiser: Any, steps: range) -> None:
        for step in steps:
            p.grad = gradient(step)
            optimiser.step()

    one = Tensor(np.ones(5, np.float16), requires_grad=True)
    optimiser = optim.Adam([one], lr=0.1)
    train(one, optimiser, range(3))
    two = Tensor(one.numpy().copy(), requires_grad=True)
    other = optim.Adam([two], lr=0.1)
    other.load_state_dict(optimiser.state_dict())
    train(one, optimiser, range(3, 6))
    train(two, other, range(3, 6))
    np.testing.assert_array_equal(one.numpy(), two.numpy())


# ------------------------------------------------------------------------------------------------------------ statistics


@pytest.mark.parametrize(
    "statistic",
    [
        np.mean,
        np.average,
        lambda a: np.average(a, axis=1, keepdims=True),
        lambda a: np.average(a, axis=0, returned=True)[1],
        np.cov,
        np.corrcoef,
        lambda a: np.cov(a, dtype=np.float32),
    ],
)
def test_statistics_of_float16_are_as_wide_as_those_of_numpy(statistic: Any) -> None:
    rng = np.random.default_rng(0)
    a = (200 + 100 * rng.normal(size=(2, 1000))).astype(np.float16)
    expected = np.asarray(statistic(a))
    value = statistic(Tensor(a, requires_grad=True))
    assert value.dtype == expected.dtype
    np.testing.assert_allclose(unwrap(value), expected, rtol=8 * np.finfo(expected.dtype).eps)
    (gradient,) = tg.vjp(lambda a: np.sum(statistic(a)), a)[1](np.asarray(1.0))
    (exact,) = tg.vjp(lambda a: np.sum(statistic(a)), a.astype(np.float64))[1](np.asarray(1.0))
    assert_rounded(gradient, exact, 1e-6)
