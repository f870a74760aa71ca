"""Kernels beyond their rows: against the reference, in float32, at extremes, on bad input, without unneeded work."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests import test_table  # noqa: F401  (enters the rows)
from tests.table import ROWS, Row, operation
from tinygrad_cv import Tensor, kernels
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.kernels import Kernel
from tinygrad_cv.kernels.fast.choose import choose, choose_sum, is_finite
from tinygrad_cv.kernels.fast.tiles import blocks
from tinygrad_cv.kernels.linear import ACTIVATIONS

CASES = [(f, i, row) for f, rows in ROWS.items() if isinstance(f, Kernel) for i, row in enumerate(rows)]


def twin(kernel: Kernel, row: Row) -> Any:
    """A row's call with the reference in place of the kernel."""
    if row.call is kernel:
        return kernel.reference

    def call(*args: Any, **options: Any) -> Any:
        whole = kernel.__call__
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                Kernel, "__call__", lambda self, *a, **k: self.reference(*a, **k) if self is kernel else whole(*a, **k)
            )
            return row.call(*args, **options)

    return call


def test_every_kernel_has_a_row() -> None:
    exported = {value for value in vars(kernels).values() if isinstance(value, Kernel)}
    assert exported == {kernel for kernel, _, _ in CASES}


@pytest.mark.parametrize("kernel, row", [(k, r) for k, _, r in CASES], ids=[f"{name_of(k)}-{i}" for k, i, _ in CASES])
@given(data=st.data())
def test_a_kernel_agrees_with_its_reference(kernel: Kernel, row: Row, data: Any) -> None:
    """Value and gradient: the kernel's by hand, the reference's by the engine. In float64, and roughly in float32."""
    arguments, options = data.draw(row.arguments), data.draw(row.options)
    fast, slow = operation(row, arguments, options), operation(row, arguments, options, twin(kernel, row))
    values, pull = slow.pull(slow.inputs)
    weights = [np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=v.shape) for v in values]
    expected = pull(weights)
    for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 1e-4)):
        found, pull = fast.pull([a.astype(dtype) for a in fast.inputs])
        for got, want in zip(found, values, strict=True):
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
        scale = max((float(np.max(np.abs(e), initial=1.0)) for e in expected), default=1.0)
        for got, want in zip(pull([w.astype(dtype) for w in weights]), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)


def read_only(value: Any) -> Any:
    """The same array, or arrays of a tuple, in memory that cannot be written to."""
    if isinstance(value, tuple):
        return tuple(map(read_only, value))
    return np.asarray(memoryview(value).toreadonly()) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("kernel, row", [(k, r) for k, _, r in CASES], ids=[f"{name_of(k)}-{i}" for k, i, _ in CASES])
@given(data=st.data())
def test_a_kernel_writes_to_nothing_that_it_is_given(kernel: Kernel, row: Row, data: Any) -> None:
    """Arguments, cotangents, values and what forward saved may all be read-only, and the results are the same bits."""
    whole = operation(row, data.draw(row.arguments), data.draw(row.options))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    values, pull = whole.pull(whole.inputs)
    weights = [rng.normal(size=v.shape) for v in values]
    expected = [*values, *pull(weights)]
    forward, backward = kernel._forward, kernel._backward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_forward", lambda *args: forward(*map(read_only, args)))
        patch.setattr(kernel, "_backward", lambda *args: backward(*map(read_only, args)))
        values, pull = whole.pull(whole.inputs)
        found = [*values, *pull(weights)]
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kernel", sorted({k for k, _, _ in CASES}, key=name_of), ids=name_of)
def test_a_reference_has_a_docstring_and_a_kernel_both_halves(kernel: Kernel) -> None:
    assert inspect.getdoc(kernel.reference) and {"_forward", "_backward"} <= vars(kernel).keys()


# ------------------------------------------------------------------------------------------------------------ extremes

BIG = np.array([-1000.0, -100.0, -50.0, 0.0, 50.0, 100.0, 1000.0])


def value_and_gradient(f: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of sum f(x); any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return f(x), tg.grad(lambda t: np.sum(f(t)))(x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "f, value, slope",
    [
        (kernels.sigmoid, BIG > 0, 0 * BIG),
        (kernels.tanh, np.sign(BIG), 0 * BIG),
        (kernels.silu, np.maximum(BIG, 0), BIG > 0),
        (kernels.gelu, np.maximum(BIG, 0), BIG > 0),
        (lambda x: kernels.gelu(x, approximate="tanh"), np.maximum(BIG, 0), BIG > 0),
        (
            lambda x: kernels.bce_with_logits(x, np.ones_like(BIG), reduction="none"),
            np.maximum(-BIG, 0),
            -1.0 * (BIG < 0),
        ),
        (lambda x: kernels.bce_with_logits(x, 0.0, reduction="none"), np.maximum(BIG, 0), BIG > 0),
    ],
    ids=["sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "bce_one", "bce_zero"],
)
def test_limits_are_reached_without_overflow(f: Any, value: Any, slope: Any, dtype: Any) -> None:
    away = BIG != 0
    got, gradient = value_and_gradient(f, BIG.astype(dtype))
    np.testing.assert_allclose(got[away], np.asarray(value, float)[away], atol=1e-20, rtol=1e-6)
    np.testing.assert_allclose(gradient[away], np.asarray(slope, float)[away], atol=1e-20, rtol=1e-6)


@pytest.mark.parametrize("offset", [-1e4, -100.0, -50.0, 50.0, 80.0, 1e4])
def test_softmax_and_attention_do_not_depend_on_an_offset(offset: float) -> None:
    x = np.array([[0.0, 1.0, -2.0], [3.0, 0.5, 0.0]])
    exact = kernels.softmax.reference(x)
    moved = (x + offset).astype(np.float32)
    np.testing.assert_allclose(kernels.softmax(moved), exact, rtol=2e-3 if abs(offset) == 1e4 else 2e-5)
    zeros, value = np.zeros((2, 1), np.float32), np.eye(3, dtype=np.float32)
    looked = kernels.attention(zeros, np.zeros((3, 1), np.float32), value, moved)
    np.testing.assert_allclose(looked, exact, rtol=2e-3 if abs(offset) == 1e4 else 2e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_of_distant_logits(dtype: Any) -> None:
    logits = np.array([[1000.0, -1000.0, 0.0], [-1000.0, -1000.0, -1000.0], [1e6, 1e6, -np.inf]], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilities = kernels.softmax(logits)
        np.testing.assert_allclose(probabilities, np.array([[1, 0, 0], [1 / 3] * 3, [0.5, 0.5, 0]]), rtol=1e-6)
        expected = [[0, -2000, -1000], [-np.log(3)] * 3, [-np.log(2), -np.log(2), -np.inf]]
        np.testing.assert_allclose(kernels.log_softmax(logits), np.array(expected), rtol=1e-6)
    f = lambda x: kernels.cross_entropy(x, np.array([1, 0, 0]), reduction="none")
    losses, gradient = value_and_gradient(f, logits)
    np.testing.assert_allclose(losses, [2000, np.log(3), np.log(2)], rtol=1e-6)
    one = np.array([[0, 1, 0], [1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(gradient, probabilities - one, atol=1e-6)


def test_small_tails_keep_their_relative_precision() -> None:
    x = np.array([-20.0, -10.0], np.float32)
    np.testing.assert_allclose(kernels.sigmoid(x), np.exp([-20.0, -10.0]) / (1 + np.exp([-20.0, -10.0])), rtol=1e-6)
    np.testing.assert_allclose(
        kernels.bce_with_logits(x, 0.0, reduction="none"), np.log1p(np.exp([-20.0, -10.0])), rtol=1e-6
    )
    np.testing.assert_allclose(kernels.gelu(np.array([-6.0], np.float32)), [-6 * 9.865876e-10], rtol=1e-5)


def test_normalisation_of_a_large_offset() -> None:
    x = (1000 + np.random.default_rng(0).normal(size=(64, 48))).astype(np.float32)
    exact = x.astype(float)
    np.testing.assert_allclose(kernels.layer_norm(x), kernels.layer_norm.reference(exact), atol=1e-3)
    np.testing.assert_allclose(kernels.batch_norm(x), kernels.batch_norm.reference(exact), atol=1e-3)


def test_piecewise_functions_give_exact_zeros_and_slopes() -> None:
    x = np.array([-1.0, 0.0, 2.0], np.float32)
    assert tg.grad(lambda t: np.sum(kernels.relu(t)))(x).tolist() == [0, 0, 1]
    slope = tg.grad(lambda t: np.sum(kernels.leaky_relu(t, negative_slope=0.2)))(x)
    np.testing.assert_array_equal(slope, np.array([0.2, 0.2, 1], np.float32))
    dropped = kernels.dropout(x, np.array([True, False, False]), p=0.5)
    np.testing.assert_array_equal(dropped, [-2, 0, 0])


# ---------------------------------------------------------------------------------------------- what is not chosen

WILD = st.sampled_from([np.inf, -np.inf, np.nan])


def gradients(call: Any, inputs: list[np.ndarray], g: np.ndarray) -> list[np.ndarray]:
    """Those of sum(g call(*inputs))."""
    tensors = [Tensor(a, requires_grad=True) for a in inputs]
    with np.errstate(invalid="ignore"):  # where elements that are chosen meet infinity
        call(*tensors).backward(g)
    return [t.grad for t in tensors]


def drawn(data: Any, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    return rng.normal(size=shape).astype(data.draw(st.sampled_from([np.float32, np.float64])))


def with_wild(data: Any, g: np.ndarray, unchosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """g with infinities and NaN at some of the places that are not chosen, and with zeros there."""
    some = unchosen & (np.random.default_rng(data.draw(st.integers(0, 99))).random(g.shape) < 0.5)
    wild = np.where(some, g.dtype.type(data.draw(WILD)), g)
    return wild, np.where(some, g.dtype.type(0), g)


def assert_unchanged(got: np.ndarray, want: np.ndarray) -> None:
    """Bit for bit, but for the sign of zeros."""
    assert np.all(np.isfinite(want))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "dropout"])
@given(data=st.data())
def test_an_element_that_is_not_chosen_gets_exactly_zero(name: str, data: Any) -> None:
    x = drawn(data, 5, 7)
    mask = drawn(data, 5, 7) > 0
    call, unchosen = {
        "relu": (kernels.relu, x <= 0),
        "leaky_relu": (lambda t: kernels.leaky_relu(t, negative_slope=0.0), x <= 0),
        "dropout": (lambda t: kernels.dropout(t, mask, p=0.3), ~mask),
    }[name]
    wild, plain = with_wild(data, drawn(data, 5, 7).astype(x.dtype), unchosen)
    [got], [want] = gradients(call, [x], wild), gradients(call, [x], plain)
    assert np.all(got[unchosen] == 0)
    assert_unchanged(got, want)


@pytest.mark.parametrize("name", ["linear, relu", "linear, leaky_relu", "rnn, relu"])
@given(data=st.data())
def test_an_activation_inside_another_kernel_chooses_too(name: str, data: Any) -> None:
    kernel, activation = name.split(", ")
    if kernel == "rnn":
        shapes: Any = ((3, 4, 2), (4, 5), (5, 2), (5, 5), (5,), (5,))
        call: Any = lambda *t: kernels.rnn(*t, nonlinearity=activation)
    else:
        shapes = ((2, 4, 3), (6, 3), (6,))
        call = lambda *t: kernels.linear(*t, activation=activation, negative_slope=0.0)
    inputs = [drawn(data, *shape) for shape in shapes]
    y = np.asarray(call(*inputs))
    wild, plain = with_wild(data, drawn(data, *y.shape).astype(y.dtype), y <= 0)
    for got, want in zip(gradients(call, inputs, wild), gradients(call, inputs, plain), strict=True):
        assert_unchanged(got, want)


@given(data=st.data(), kernel=st.integers(1, 3), stride=st.integers(1, 2), padding=st.integers(0, 1))
def test_a_pixel_that_is_not_the_largest_of_its_window_gets_exactly_zero(
    data: Any, kernel: int, stride: int, padding: int
) -> None:
    x = drawn(data, 2, 3, 5, 6)
    call = lambda t: kernels.max_pool2d(t, kernel_size=kernel, stride=stride, padding=min(padding, kernel // 2))
    y = call(x)
    wild, plain = with_wild(data, drawn(data, *y.shape).astype(x.dtype), np.ones(y.shape, bool))
    [met] = gradients(call, [x], (wild != plain).astype(x.dtype))  # positive where a wild window chose
    [got], [want] = gradients(call, [x], wild), gradients(call, [x], plain)
    assert_unchanged(got[met == 0], want[met == 0])
    assert not np.any(np.isfinite(got[met > 0]))


@pytest.mark.parametrize("way", ["attention", "causal", "added", "self", "additive", "additive, one query"])
@given(data=st.data())
def test_a_key_that_is_masked_gets_exactly_zero_from_its_query(way: str, data: Any) -> None:
    """g is infinite or NaN at one query: keys that it may not look at go on as if it were 0 there."""
    queries = 1 if way == "additive, one query" else 5
    visible = np.random.default_rng(data.draw(st.integers(0, 99))).random((queries, 5)) < 0.6
    visible[:, 0] = True
    if way == "causal":
        visible = np.tri(queries, 5, dtype=bool)
    q, k, v = drawn(data, 2, queries, 4), drawn(data, 2, 5, 4), drawn(data, 2, 5, 4)
    calls: dict[str, tuple[Any, list[np.ndarray]]] = {
        "attention": (lambda *t: kernels.attention(*t, visible), [q, k, v]),
        "causal": (lambda *t: kernels.attention(*t, causal=True), [q, k, v]),
        "added": (kernels.attention, [q, k, v, np.where(visible, 0, -np.inf).astype(q.dtype)]),
        "self": (lambda t: kernels.self_attention(t, visible, num_heads=2), [drawn(data, 2, 5, 12)]),
        "additive": (lambda *t: kernels.additive_attention(*t, visible), [q, k, drawn(data, 4), v]),
        "additive, one query": (lambda *t: kernels.additive_attention(*t, visible), [q, k, drawn(data, 4), v]),
    }
    call, inputs = calls[way]
    y = np.asarray(call(*inputs))
    row = data.draw(st.integers(0, queries - 1))
    wild = drawn(data, *y.shape).astype(y.dtype)
    plain = wild.copy()
    wild[:, row], plain[:, row] = data.draw(WILD), 0
    got, want = gradients(call, inputs, wild), gradients(call, inputs, plain)
    hidden = ~visible[row]
    if way == "self":
        got, want = ([np.split(a[0], 3, axis=-1)[i] for i in range(3)] for a in (got, want))
    elif way.startswith("additive"):
        got, want = ([a[0], a[1], a[3]] for a in (got, want))
    for one, other in zip(got[1:3], want[1:3], strict=True):  # key and value
        assert_unchanged(one[:, hidden], other[:, hidden])
    if way == "added":
        assert np.all(got[3][row, hidden] == 0)


@given(data=st.data())
def test_a_weight_that_dropout_drops_gives_its_value_exactly_zero(data: Any) -> None:
    q, k, v = drawn(data, 2, 5, 4), drawn(data, 2, 6, 4), drawn(data, 2, 6, 3)
    keep = drawn(data, 2, 5, 6) > 0
    call = lambda *t: kernels.attention(*t, None, keep, p=0.5)
    wild = drawn(data, 2, 5, 3).astype(np.result_type(q, k, v))
    plain = wild.copy()
    wild[:, 2], plain[:, 2] = data.draw(WILD), 0
    got, want = gradients(call, [q, k, v], wild)[2], gradients(call, [q, k, v], plain)[2]
    dropped = ~keep[:, 2]
    assert_unchanged(got[dropped], want[dropped])
    assert not np.any(np.isfinite(got[~dropped]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@given(data=st.data())
def test_a_row_that_is_ignored_gets_exactly_zero(smoothing: float, data: Any) -> None:
    logits = drawn(data, 6, 4)
    labels = np.array([0, -100, 3, 2, -100, 1])
    ignored = labels == -100
    for reduction in ("none", "mean", "sum"):
        call = lambda t: kernels.cross_entropy(t, labels, label_smoothing=smoothing, reduction=reduction)  # noqa: B023
        if reduction == "none":
            wild, plain = with_wild(data, drawn(data, 6).astype(logits.dtype), ignored)
            [got], [want] = gradients(call, [logits], wild), gradients(call, [logits], plain)
            assert_unchanged(got, want)
        else:
            [got] = gradients(call, [logits], logits.dtype.type(data.draw(WILD)))
            assert not np.any(np.isfinite(got[~ignored]))
        assert np.all(got[ignored] == 0)


some_arrays = st.tuples(st.integers(0, 4), st.integers(0, 5)).flatmap(
    lambda shape: st.lists(
        st.sampled_from([0.0, -0.0, 1.0, -2.5, 1e30, np.inf, -np.inf, np.nan]),
        min_size=shape[0] * shape[1],
        max_size=shape[0] * shape[1],
    ).map(lambda values: np.array(values, np.float32).reshape(shape))
)


@given(g=some_arrays, data=st.data())
def test_choose_is_where(g: np.ndarray, data: Any) -> None:
    factor = np.array(data.draw(st.lists(st.sampled_from([0, 1, 2]), min_size=g.size, max_size=g.size)))
    factor = factor.reshape(g.shape).astype(g.dtype)
    with np.errstate(invalid="ignore"):
        expected = np.where(factor == 0, 0, g * factor)
        for array in (g, np.asfortranarray(g), np.repeat(g, 2, axis=1)[:, ::2]):
            np.testing.assert_array_equal(choose(array, factor), expected)
        np.testing.assert_array_equal(choose(g, factor, out=factor), expected)
    np.testing.assert_array_equal(factor, expected)


@given(g=some_arrays)
def test_what_is_finite_is_finite(g: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not is_finite(g) or np.all(np.isfinite(g))
        assert is_finite(np.nan_to_num(g, nan=0.0, posinf=1.0, neginf=2.0) / np.float32(1e20))


@given(g=some_arrays, data=st.data())
def test_choose_sum_is_where_and_sum(g: np.ndarray, data: Any) -> None:
    g = np.clip(g, -4, 4) if data.draw(st.booleans()) else g  # NaN stays
    weights = drawn(data, len(g), 3).astype(g.dtype)
    weights[weights < 0] = 0
    with np.errstate(invalid="ignore"):
        w, gs = weights[..., None], g[..., None, :]  # (L, S, 1), (L, 1, E)
        expected = np.sum(np.where(w == 0, 0, w * gs), axis=-3)
        np.testing.assert_allclose(choose_sum(weights, g), expected, rtol=1e-5)


@given(count=st.integers(0, 40), elements=st.integers(0, 9), limit=st.integers(1, 20))
def test_blocks_cover_all_items_in_order_and_keep_to_their_limit(count: int, elements: int, limit: int) -> None:
    parts = list(blocks(count, elements, limit))
    assert [i for part in parts for i in range(count)[part]] == list(range(count))
    for part in parts:
        length = part.stop - part.start
        assert length == 1 or length * elements <= limit


# -------------------------------------------------------------------------------------------------------------- linear


@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (2, 1, 3)])
def test_linear_with_its_activation_is_linear_then_activation(activation: str | None, leading: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    values = [rng.normal(size=(*leading, 4)), rng.normal(size=(3, 4)), rng.normal(size=3)]
    options: dict[str, Any] = {"negative_slope": 0.2} if activation == "leaky_relu" else {}

    def apart(x: Any, weight: Any, bias: Any) -> Any:
        y = kernels.linear(x, weight, bias)
        if activation == "gelu_tanh":
            return np.sum(kernels.gelu(y, approximate="tanh"))
        return np.sum(y if activation is None else getattr(kernels, activation)(y, **options))

    together = lambda *v: np.sum(kernels.linear(*v, activation=activation, **options))
    one, two = (tg.value_and_grad(f, (0, 1, 2))(*values) for f in (together, apart))
    assert one[0].item() == pytest.approx(two[0].item(), rel=1e-12)
    for a, b in zip(one[1], two[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------------------------------- cross-entropy


def softmax_loss(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The cross-entropy of each row with a distribution over classes, by the definition."""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(-np.sum(target * np.log(e / e.sum(-1, keepdims=True)), axis=-1))


def test_cross_entropy_smooths_weighs_and_ignores() -> None:
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=(6, 3)), np.array([0, 2, 1, -1, 2, -1])
    weight = np.array([1.0, 2.0, 0.5])
    keep = labels != -1
    target = weight * (0.9 * np.eye(3)[labels] + 0.1 / 3)
    losses = softmax_loss(logits, target) * keep
    options: dict[str, Any] = {"label_smoothing": 0.1, "ignore_index": -1}
    np.testing.assert_allclose(kernels.cross_entropy(logits, labels, weight, reduction="none", **options), losses)
    np.testing.assert_allclose(kernels.cross_entropy(logits, labels, weight, reduction="sum", **options), losses.sum())
    mean = losses.sum() / weight[labels[keep]].sum()
    np.testing.assert_allclose(kernels.cross_entropy(logits, labels, weight, **options), mean)


def test_ignored_rows_count_for_nothing_even_if_they_are_nan() -> None:
    logits = np.array([[1.0, 2.0], [np.nan, np.inf], [-np.inf, 0.0]])
    labels = np.array([0, -100, -100])
    for smoothing, loss in ((0.0, np.log1p(np.e)), (0.2, np.log1p(np.e) - 0.1)):
        f = lambda x: kernels.cross_entropy(x, labels, label_smoothing=smoothing)  # noqa: B023
        value, gradient = value_and_gradient(f, logits)
        np.testing.assert_allclose(value, loss)
        assert np.all(gradient[1:] == 0) and np.all(np.isfinite(gradient))


@pytest.mark.parametrize("labels", [np.array([0, 1], np.uint8), np.array([0, 1], np.int32)])
def test_labels_of_any_integer_type(labels: np.ndarray) -> None:
    logits = np.array([[0.0, 1.0], [2.0, 0.0]], np.float32)
    loss = kernels.cross_entropy(logits, labels)
    assert loss.dtype == np.float32 and loss == pytest.approx((np.log1p(np.e) + np.log1p(np.e**2)) / 2)


def test_integer_targets_do_not_make_float64() -> None:
    logits = Tensor(np.zeros(4, np.float32), requires_grad=True)
    labels = np.array([0, 1, 1, 0])
    for loss in (
        kernels.bce_with_logits(logits, labels),
        kernels.bce_with_logits(logits, labels > 0),
        kernels.mse(logits, labels),
    ):
        assert loss.dtype == np.float32


# --------------------------------------------------------------------------------------------------------------- errors

ROW = np.zeros((4, 1))
FLAT = np.zeros(4)
LABELS = np.array([0, 1, 2, 0])
LOGITS = np.zeros((4, 3))


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: kernels.mse(ROW, FLAT), ValueError, ["mse", "(4, 1)", "(4,)", "(4, 4)", "reshape"]),
        (lambda: kernels.mse(FLAT, ROW), ValueError, ["(4, 1)", "(4,)"]),
        (lambda: kernels.mse(FLAT, np.zeros(3)), ValueError, ["(3,)", "(4,)"]),
        (
            lambda: kernels.bce_with_logits(ROW, FLAT),
            ValueError,
            ["bce_with_logits", "logits", "(4, 1)", "targets", "(4,)"],
        ),
        (lambda: kernels.bce_with_logits(FLAT, FLAT, np.zeros((4, 1))), ValueError, ["weight", "(4, 1)"]),
        (lambda: kernels.cross_entropy(LOGITS, LABELS[:, None]), ValueError, ["labels", "(4, 1)", "(4, 3)", "(4,)"]),
        (lambda: kernels.cross_entropy(LOGITS, LABELS + 1), ValueError, ["label 3", "(2,)", "0 to 2"]),
        (lambda: kernels.cross_entropy(LOGITS, LABELS - 1), ValueError, ["label -1", "(0,)"]),
        (lambda: kernels.cross_entropy(LOGITS, LABELS.astype(float)), TypeError, ["labels", "integers", "float64"]),
        (lambda: kernels.cross_entropy(LOGITS, LABELS, np.ones(4)), ValueError, ["weight", "(4,)", "(3,)"]),
        (lambda: kernels.cross_entropy(LOGITS, LABELS * 0 - 100), ValueError, ["ignore_index", "mean"]),
        (lambda: kernels.cross_entropy(LOGITS, LABELS, label_smoothing=2.0), ValueError, ["label_smoothing", "2.0"]),
        (lambda: kernels.mse(FLAT, FLAT, reduction="avg"), ValueError, ["avg", "mean"]),
        (lambda: kernels.cross_entropy(LOGITS, LABELS, reduction="avg"), ValueError, ["avg", "mean"]),
        (lambda: kernels.linear(LOGITS, np.zeros((3, 4))), ValueError, ["(4, 3)", "(3, 4)", "(out, in)"]),
        (lambda: kernels.linear(LOGITS, np.zeros((2, 3)), np.zeros(3)), ValueError, ["bias", "(3,)", "(2, 3)"]),
        (lambda: kernels.linear(LOGITS, np.zeros((2, 3)), activation="selu"), ValueError, ["selu", "'relu'"]),
        (lambda: kernels.batch_norm(FLAT), ValueError, ["(4,)", "(N, C)"]),
        (lambda: kernels.batch_norm(LOGITS, np.ones(4)), ValueError, ["weight", "(4,)", "(3,)"]),
        (lambda: kernels.batch_norm(LOGITS, mean=np.zeros(3)), ValueError, ["mean", "variance"]),
        (lambda: kernels.layer_norm(LOGITS, np.ones(4)), ValueError, ["(4, 3)", "(4,)"]),
        (lambda: kernels.layer_norm(LOGITS, np.ones(3), np.ones(1)), ValueError, ["bias", "(1,)", "(3,)"]),
        (lambda: kernels.dropout(FLAT, ROW, p=0.5), ValueError, ["mask", "(4, 1)", "(4,)"]),
        (lambda: kernels.dropout(FLAT, FLAT, p=1.5), ValueError, ["p is at least 0 and at most 1", "1.5"]),
        (lambda: kernels.gelu(FLAT, approximate="fast"), ValueError, ["fast", "tanh"]),
        (lambda: kernels.self_attention(np.zeros((1, 2, 8)), num_heads=3), ValueError, ["(1, 2, 8)", "3 heads", "(B, L, 3 D)"]),
        (lambda: kernels.leaky_relu(FLAT, negative_slope=-0.1), ValueError, ["negative_slope", "-0.1"]),
    ],
)
def test_errors_name_the_thing_and_the_shapes(call: Any, error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as raised:
        call()
    for word in words:
        assert word in str(raised.value)


def test_a_gradient_that_a_kernel_does_not_have_is_refused() -> None:
    weight = Tensor(np.ones(4), requires_grad=True)
    loss = kernels.bce_with_logits(Tensor(FLAT, requires_grad=True), FLAT, weight)
    with pytest.raises(NotImplementedError, match="'weight'"):
        loss.backward()


# --------------------------------------------------------------------------------------------------------------- needs


@pytest.mark.parametrize(
    "kernel, values",
    [
        (kernels.linear, [np.ones((2, 3)), np.ones((4, 3)), np.ones(4)]),
        (kernels.batch_norm, [np.arange(6.0).reshape(3, 2), np.ones(2), np.ones(2)]),
        (kernels.layer_norm, [np.arange(6.0).reshape(3, 2), np.ones(2), np.ones(2)]),
        (kernels.mse, [np.ones(3), np.zeros(3)]),
        (kernels.bce_with_logits, [np.ones(3), np.zeros(3)]),
    ],
    ids=lambda v: name_of(v) if isinstance(v, Kernel) else "",
)
def test_gradients_that_nobody_asked_for_are_not_computed(
    kernel: Kernel, values: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    returned: list[Any] = []
    backward = kernel._backward

    def watched(*args: Any) -> Any:
        returned.append(backward(*args))
        return returned[-1]

    monkeypatch.setattr(kernel, "_backward", watched)
    for wanted in range(len(values)):
        if kernel is kernels.mse and wanted:
            continue  # the target's gradient is the prediction's, negated
        tensors = [Tensor(v, requires_grad=i == wanted) for i, v in enumerate(values)]
        kernel(*tensors).sum().backward()
        assert [g is not None for g in returned[-1]] == [i == wanted for i in range(len(values))]


def test_a_forward_pass_alone_saves_no_derivative() -> None:
    for f in (kernels.gelu, kernels.silu):
        assert f._forward(FLAT, **{n: v for n, v in f.signature.defaults.items() if n not in f.arrays}, needs=[False])[1] is None
    assert kernels.cross_entropy._forward(LOGITS, LABELS, None, 0.0, -100, "mean", needs=[False] * 3)[1] is None


def test_batch_norm_tells_its_statistics_to_an_observer() -> None:
    x, seen = np.random.default_rng(3).normal(size=(5, 2, 3)), []
    kernels.batch_norm(x, observe=lambda mean, variance: seen.append((mean, variance)))
    [(mean, variance)] = seen
    np.testing.assert_allclose(mean, x.mean((0, 2)))
    np.testing.assert_allclose(variance, x.var((0, 2)))


def test_an_error_that_is_not_about_two_shapes_has_no_hint_about_them() -> None:
    with pytest.raises(ValueError, match="the label 3 at") as caught:
        kernels.cross_entropy(np.zeros((4, 3)), np.array([3, 0, 1, 2]))
    assert "hint" not in str(caught.value)
    with pytest.raises(ValueError, match="hint: axis -1 has length 3 on one side and 4 on the other"):
        np.add(Tensor(np.zeros(3)), np.zeros(4))


def test_lists_are_operands_like_arrays() -> None:
    assert kernels.cross_entropy(LOGITS, LABELS.tolist()) == kernels.cross_entropy(LOGITS, LABELS)
    x = tg.Tensor(LOGITS, requires_grad=True)
    kernels.cross_entropy(x, LABELS.tolist()).backward()
    np.testing.assert_array_equal(x.grad, tg.grad(lambda x: kernels.cross_entropy(x, LABELS))(LOGITS))


@pytest.mark.parametrize("loss", [kernels.mse, kernels.bce_with_logits])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_number_among_the_arrays_of_a_run_leaves_value_and_gradient_their_dtype(loss: Kernel, dtype: Any) -> None:
    x = np.linspace(-1, 1, 5, dtype=dtype)
    value, kept = loss.run(x, 1.0)
    assert value.dtype == dtype
    assert loss.pull_arrays(np.ones((), dtype), kept).dtype == dtype
