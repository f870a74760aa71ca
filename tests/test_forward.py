"""Forward mode of the kernels: against the reference's tangents, differences and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from benchmarks import forward
from tests.table import ROWS, Row, operation
from tests.test_kernels import CASES, read_only
from tests.test_mutants import cases
from tinygrad_cv import kernels
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.kernels import Kernel
from tinygrad_cv.testing import check_jvp
from tinygrad_cv.testing.mutation import MISTAKES, each, same
from tinygrad_cv.testing.operation import Operation

every_row = pytest.mark.parametrize(
    "kernel, row", [(k, r) for k, _, r in CASES], ids=[f"{name_of(k)}-{i}" for k, i, _ in CASES]
)


@contextmanager
def by_reference() -> Iterator[None]:
    """Inside this context kernels push tangents through their references."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "push", Kernel._push_reference)
        yield


@contextmanager
def by_hand() -> Iterator[None]:
    """Inside this context a kernel that would go through its reference fails."""

    def refused(self: Kernel, *_: Any) -> None:
        raise AssertionError(f"{name_of(self)} has no tangent of its own")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "_push_reference", refused)
        yield


class Moved:
    """A draw of a row, and tangents of some of its inputs; the others stand still."""

    def __init__(self, one: Operation, chosen: Iterable[int], seed: int) -> None:
        self.operation = one
        self.chosen = sorted(chosen)
        self.rng = np.random.default_rng(seed)
        self.tangents = [self.rng.normal(size=self.operation.inputs[i].shape) for i in self.chosen]

    @classmethod
    def drawn(cls, row: Row, data: Any) -> Moved:
        one = operation(row, data.draw(row.arguments), data.draw(row.options))
        chosen = data.draw(st.sets(st.integers(0, len(one.inputs) - 1), min_size=1))
        return cls(one, chosen, data.draw(st.integers(0, 2**16)))

    def inputs(self, dtype: Any = np.float64) -> list[np.ndarray]:
        """Those that move."""
        return [self.operation.inputs[i].astype(dtype) for i in self.chosen]

    def outputs(self, dtype: Any = np.float64) -> Any:
        """The function of the inputs that move."""
        inputs: list[Any] = [a.astype(dtype) for a in self.operation.inputs]

        def outputs(*moving: Any) -> Any:
            for i, x in zip(self.chosen, moving, strict=True):
                inputs[i] = x
            return self.operation.outputs(*inputs)

        return outputs

    def jvp(self, dtype: Any = np.float64, tangents: Any = None) -> list[np.ndarray]:
        """The tangents of the values, which have the dtypes of these."""
        given = [t.astype(dtype) for t in self.tangents] if tangents is None else tangents
        values, found = tg.jvp(self.outputs(dtype), self.inputs(dtype), given)
        assert [y.dtype for y in values] == [y.dtype for y in found]
        return list(found)


def assert_close(found: Any, expected: Any, tolerance: float) -> None:
    """Relative to the largest number of each array, and at least to 1."""
    for got, want in zip(found, expected, strict=True):
        scale = max(1.0, float(np.max(np.abs(want), initial=0.0)))
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)


@every_row
@given(data=st.data())
def test_a_kernel_pushes_the_tangents_of_its_reference(kernel: Kernel, row: Row, data: Any) -> None:
    """Of any of its arguments, in float64 and roughly in float32."""
    moved = Moved.drawn(row, data)
    with by_reference():
        expected = moved.jvp()
    with by_hand():
        assert_close(moved.jvp(), expected, 1e-10)
        assert_close(moved.jvp(np.float32), expected, 1e-4)


@every_row
@given(data=st.data())
def test_the_tangent_of_a_kernel_is_its_change(kernel: Kernel, row: Row, data: Any) -> None:
    moved = Moved.drawn(row, data)

    def jvp(args: Any, tangents: Any) -> Any:
        return tg.jvp(moved.outputs(), args, tangents)[1]

    check_jvp(moved.outputs(), jvp, *moved.inputs(), rng=1)


@every_row
@given(data=st.data())
def test_both_directions_of_a_kernel_are_adjoint(kernel: Kernel, row: Row, data: Any) -> None:
    """<u, J v> = <J' u, v>, with tangents that are not contiguous; nothing given is written to."""
    moved = Moved.drawn(row, data)
    strided = [np.repeat(t[..., None], 2, axis=-1)[..., 0] for t in moved.tangents]
    own = kernel._jvp
    with pytest.MonkeyPatch.context() as patch:
        if own is not None:
            patch.setattr(kernel, "_jvp", lambda *args: own(*map(read_only, args)))
        pushed = moved.jvp(tangents=[t.view() for t in map(frozen, strided)])
    values, pull = tg.vjp(moved.outputs(), *moved.inputs())
    u = [moved.rng.normal(size=y.shape) for y in values]
    forwards = sum(np.vdot(a, b) for a, b in zip(u, pushed, strict=True))
    backwards = sum(np.vdot(a, b) for a, b in zip(pull(u), strided, strict=True))
    sizes = sum(float(np.sum(np.abs(a * b))) for a, b in zip(u, pushed, strict=True))
    assert forwards == pytest.approx(backwards, rel=1e-9, abs=1e-9 * max(1.0, sizes))


def frozen(array: np.ndarray) -> np.ndarray:
    """The same array, which cannot be written to."""
    array.flags.writeable = False
    return array


# ----------------------------------------------------------------------------- the tests are tested

BY_HAND = sorted({k for k, _, _ in CASES if k._jvp is not None}, key=name_of)


def noticed(kernel: Kernel, change: Any) -> bool | None:
    """Whether a row sees that the kernel's tangents are changed so; None if no number ever is."""
    own: Any = kernel._jvp
    differs = False

    def changed(*args: Any) -> Any:
        nonlocal differs
        right = own(*args)
        wrong = change(own, kernel._jvp_uses, args)
        differs = differs or not same(right, wrong)
        return wrong

    for row in ROWS[kernel]:
        for arguments, options, seed in cases(row, 8):
            one = operation(row, arguments, options)
            moved = Moved(one, range(len(one.inputs)), seed)
            expected = moved.jvp()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(kernel, "_jvp", changed)
                found = moved.jvp()
            try:
                assert_close(found, expected, 1e-10)
            except AssertionError:
                return True
    return False if differs else None


@pytest.mark.parametrize("kernel", BY_HAND, ids=name_of)
def test_a_mistake_in_the_tangents_of_a_kernel_is_noticed(kernel: Kernel) -> None:
    """The usual mistakes in the result; and each argument's tangent with the wrong sign."""
    changes: dict[str, Any] = {}
    for name, mistake in MISTAKES.items():
        changes[name] = lambda own, uses, args, mistake=mistake: each(mistake, own(*args))
    for name in kernel._pushes:

        def negated(own: Any, uses: Any, args: Any, name: str = name) -> Any:
            pairs = zip(uses, args, strict=True)
            return own(*[-a if n == f"{name}_dot" and a is not None else a for n, a in pairs])

        changes[f"{name}: sign"] = negated
    assert [name for name, change in changes.items() if noticed(kernel, change) is False] == []


# --------------------------------------------------------------------------------------- no numbers

EMPTY: dict[str, Any] = {
    "linear": (lambda x: kernels.linear(x, np.ones((3, 4)), np.ones(3)), (0, 4)),
    "conv2d": (lambda x: kernels.conv2d(x, np.ones((3, 2, 3, 3))), (0, 2, 4, 4)),
    "conv_transpose2d": (
        lambda x: kernels.conv_transpose2d(x, np.ones((2, 3, 3, 3))),
        (0, 2, 4, 4),
    ),
    "max_pool2d": (lambda x: kernels.max_pool2d(x, kernel_size=2), (0, 2, 4, 4)),
    "avg_pool2d": (lambda x: kernels.avg_pool2d(x, kernel_size=2), (0, 2, 4, 4)),
    "upsample_nearest2d": (kernels.upsample_nearest2d, (0, 2, 4, 4)),
    "layer_norm": (kernels.layer_norm, (0, 4)),
    "group_norm": (lambda x: kernels.group_norm(x, groups=2), (0, 4, 3)),
    "softmax": (kernels.softmax, (0, 4)),
    "log_softmax": (kernels.log_softmax, (0, 4)),
    "attention": (lambda x: kernels.attention(x, x, x), (0, 5, 4)),
    "self_attention": (lambda x: kernels.self_attention(x, num_heads=2), (0, 5, 12)),
    "additive_attention": (lambda x: kernels.additive_attention(x, x, np.ones(4), x), (0, 5, 4)),
    "cross_entropy": (
        lambda x: kernels.cross_entropy(x, np.zeros(0, int), reduction="none"),
        (0, 4),
    ),
    "mse": (lambda x: kernels.mse(x, 1.0, reduction="sum"), (0, 4)),
    "bce_with_logits": (lambda x: kernels.bce_with_logits(x, 1.0, reduction="none"), (0, 4)),
    **{name: (getattr(kernels, name), (0, 4)) for name in ("relu", "gelu", "silu", "erf")},
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_batch_without_samples_has_tangents_without_numbers(name: str) -> None:
    f, shape = EMPTY[name]
    x = np.ones(shape, np.float32)
    with by_hand():
        values, tangents = tg.jvp(f, (x,), (x,))
    for value, tangent in zip(
        tg.transforms.leaves(values), tg.transforms.leaves(tangents), strict=True
    ):
        assert tangent.shape == value.shape and tangent.dtype == value.dtype


# ------------------------------------------------------------------------------- what is not chosen

WILD = [np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("wild", WILD)
@pytest.mark.parametrize("way", ["boolean", "causal", "added", "dropout", "self"])
def test_a_tangent_of_a_key_that_is_hidden_does_not_reach_its_query(way: str, wild: float) -> None:
    """Query 0 may look at key 0 only; the tangent of key 1 is infinite, or no number."""
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 1, 2, 4))
    q_dot, k_dot = rng.normal(size=(2, 1, 2, 4))
    visible = np.tri(2, dtype=bool)
    calls: dict[str, Any] = {
        "boolean": lambda *t: kernels.attention(*t, v, visible),
        "causal": lambda *t: kernels.attention(*t, v, causal=True),
        "added": lambda *t: kernels.attention(*t, v, np.where(visible, 0, -np.inf)),
        "dropout": lambda *t: kernels.attention(*t, v, visible, np.ones((1, 2, 2), bool), p=0.5),
        "self": lambda q, k: kernels.self_attention(
            np.concatenate([q, k, v], -1), visible, num_heads=2
        ),
    }
    expected = tg.jvp(calls[way], (q, k), (q_dot, k_dot))[1]
    k_dot[:, 1] = wild
    with np.errstate(invalid="ignore"):
        found = tg.jvp(calls[way], (q, k), (q_dot, k_dot))[1]
    np.testing.assert_array_equal(found[:, 0], expected[:, 0])
    assert np.all(np.isnan(found[:, 1]))


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_a_mask_of_minus_infinity_has_finite_tangents(reduction: str) -> None:
    """Logits of -inf, as of a mask, have probability 0; their tangents count for nothing."""
    logits = np.array([[0.0, 1.0, -np.inf], [2.0, 0.0, 0.0]])
    labels = np.array([1, -100])
    move = np.array([[1.0, 2.0, np.inf], [np.nan, 1.0, 1.0]])
    loss = lambda x: kernels.cross_entropy(x, labels, reduction=reduction)
    p = kernels.softmax(logits[0, :2])
    slope = p[0] * (move[0, 0] - move[0, 1])
    found = tg.jvp(loss, (logits,), (move,))[1]
    np.testing.assert_allclose(found, [slope, 0] if reduction == "none" else slope)
    scores = np.where(np.isinf(logits), -np.inf, 0)
    looked = tg.jvp(
        lambda m: kernels.attention(logits[:, :2], np.ones((3, 2)), np.eye(3), m),
        (scores,),
        (np.ones((2, 3)),),
    )
    assert np.all(np.isfinite(looked[1]))


@pytest.mark.parametrize("wild", WILD)
def test_a_tangent_that_is_not_chosen_counts_for_nothing(wild: float) -> None:
    x = np.array([[-1.0, 2.0, -3.0, 4.0]])
    x_dot = np.where(x < 0, wild, 1.0)
    chosen = np.array([[0.0, 1.0, 0.0, 1.0]])
    for f in (
        kernels.relu,
        lambda t: kernels.leaky_relu(t, negative_slope=0.0),
        lambda t: kernels.dropout(t, x > 0, p=0.0),
    ):
        np.testing.assert_array_equal(tg.jvp(f, (x,), (x_dot,))[1], chosen)
    pool = lambda t: kernels.max_pool2d(t, kernel_size=(1, 2))
    pooled = tg.jvp(pool, (x[None, None],), (x_dot[None, None],))[1]
    np.testing.assert_array_equal(pooled[0, 0], [[1.0, 1.0]])
    bias, weights = x[0], (np.zeros((4, 4)), np.zeros((4, 4)))
    for f in (
        lambda b: kernels.linear(np.zeros((1, 4)), weights[0], b, activation="relu"),
        lambda b: kernels.rnn(x[None], 0 * x, *weights, b, np.zeros(4), nonlinearity="relu")[0],
    ):
        np.testing.assert_array_equal(tg.jvp(f, (bias,), (x_dot[0],))[1], chosen)


def test_pixels_that_tie_share_the_tangent() -> None:
    x, x_dot = np.array([[[[2.0, 2.0, 1.0, 3.0]]]]), np.array([[[[1.0, 3.0, 5.0, 7.0]]]])
    found = tg.jvp(lambda t: kernels.max_pool2d(t, kernel_size=(1, 2)), (x,), (x_dot,))[1]
    np.testing.assert_array_equal(found, [[[[2.0, 7.0]]]])


# --------------------------------------------------------------------------- several values, passes


def test_a_kernel_with_several_values_is_carried_out_once() -> None:
    """Recorded or not: its forward pass is not repeated to find out that it has several."""
    x, h = np.ones((3, 2, 2)), np.ones((2, 3))
    weights = np.ones((12, 2)), np.ones((12, 3)), np.ones(12), np.ones(12)
    calls = []
    forward = kernels.lstm._forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels.lstm, "_forward", lambda *args: calls.append(1) or forward(*args))
        kernels.lstm(tg.Tensor(x, requires_grad=True), h, h, *weights)
        kernels.lstm(tg.Tensor(x), h, h, *weights)
    assert len(calls) == 2


def test_a_constant_keeps_the_order_of_its_memory() -> None:
    """Images with their channels last stay so when a record copies them: kernels are fast then."""
    images = np.ones((2, 4, 4, 3)).transpose(0, 3, 1, 2)
    seen = []
    tg.jvp(lambda x: seen.append(x.detach().numpy().strides) or x * 2, (images,), (images,))
    assert seen == [images.strides]


def test_tangents_are_in_memory_of_their_own() -> None:
    """Two values with one tangent, a tangent that is handed on as it is, and a kernel's own."""
    x, v = np.ones((2, 3)), np.ones((2, 3))

    def twice(x: Any) -> Any:
        y = kernels.tanh(x)
        return y, y, x, kernels.linear(x, np.eye(3))

    _, found = tg.jvp(twice, (x,), (v,))
    for tangent in found:
        assert tangent.flags.writeable
        assert not any(
            np.shares_memory(tangent, other) for other in (x, v, *found) if other is not tangent
        )
    assert len({id(tangent) for tangent in found}) == len(found)


@pytest.mark.parametrize("inputs, outputs", [(1000, 3), (3, 1000)])
def test_a_jacobian_that_is_wide_or_high_takes_three_passes(inputs: int, outputs: int) -> None:
    w = np.random.default_rng(0).normal(size=(inputs, outputs)) / inputs
    jacobian = tg.jacobian(lambda x: np.tanh(x @ w))
    assert forward.passes(lambda: jacobian(np.ones(inputs))) == 3


def test_the_benchmark_measures_the_same_product_in_each_library() -> None:
    """Without the peers that are not installed; a library that disagrees is refused."""
    runs = forward.of_case(forward.cases()["layer_norm"])
    result = forward.measured(runs, seconds=0.0)
    assert result["ours"]["ratio"] > 1
    runs["other"] = (runs["ours"][0], lambda: (runs["ours"][1]()[0], np.zeros(3)))
    with pytest.raises(AssertionError, match="other"):
        forward.measured(runs, seconds=0.0)


def test_batch_norm_takes_the_means_of_its_tangents_over_all_shares() -> None:
    """Each half of a batch, with `average` over both, has its half of the tangents of the whole."""
    rng = np.random.default_rng(0)
    x, x_dot = rng.normal(size=(2, 8, 3))
    weight, bias = rng.normal(size=(2, 3))
    z = kernels.batch_norm(x)
    wholes = {
        "mean": x.mean(0, keepdims=True),
        "variance": x.var(0, keepdims=True),
        "tangents": np.stack([(x_dot * z).mean(0), x_dot.mean(0)]),
    }
    expected = tg.jvp(kernels.batch_norm, (x, weight, bias), (x_dot, weight, bias))[1]
    for part in (slice(0, 4), slice(4, 8)):
        given = iter(wholes.values())
        share = lambda x, w, b, given=given: kernels.batch_norm(
            x, w, b, average=lambda _: next(given)
        )
        found = tg.jvp(share, (x[part], weight, bias), (x_dot[part], weight, bias))[1]
        np.testing.assert_allclose(found, expected[part], rtol=1e-10)
        assert next(given, None) is None
