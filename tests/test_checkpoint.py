"""A checkpointed function is computed again as it was: values, masks, statistics, weights."""

from __future__ import annotations

import functools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.checkpoint import agrees, digest


def leaf(*shape: int, seed: int = 0) -> tg.Tensor:
    return tg.Tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def vector(values: Any) -> tg.Tensor:
    return tg.Tensor(np.array(values, float), requires_grad=True)


def gradients(f: Any, *tensors: tg.Tensor) -> list[np.ndarray]:
    for t in tensors:
        t.grad = None
    f().backward()
    return [np.array(t.grad) for t in tensors]


@given(st.integers(0, 100))
def test_checkpoint_changes_no_gradient(seed: int) -> None:
    rng = np.random.default_rng(seed)
    w, x = (tg.Tensor(rng.normal(size=(3, 3)), requires_grad=True) for _ in range(2))
    block = lambda h: np.tanh(h @ w) * h
    results = []
    for layer in (block, tg.checkpoint(block)):
        w.grad = x.grad = None
        layer(layer(np.exp(x) * w)).sum().backward()
        results.append((w.grad, x.grad))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12)
    second = [
        tg.grad(lambda a, g=g: (tg.grad(lambda b: g(b).sum())(a) ** 2).sum())(x.numpy())
        for g in (block, tg.checkpoint(block))
    ]
    np.testing.assert_allclose(*second, rtol=1e-10)


def block(x: Any) -> Any:
    for _ in range(8):
        x = np.tanh(x)
    return x


def peak(layer: Any, run: Any) -> int:
    x = tg.Tensor(np.full(20_000, 0.5), requires_grad=True)
    tracemalloc.start()
    y = x
    for _ in range(8):
        y = run(layer, y)
    y.sum().backward()
    result = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result


@pytest.mark.parametrize(
    "wrap, run",
    [
        (lambda f: f, lambda layer, y: layer(y)),
        (lambda f: lambda x: (f(x), x * 2.0), lambda layer, y: layer(y)[0]),
        (lambda f: lambda d: {"y": f(d["x"]), "n": 3}, lambda layer, y: layer({"x": y})["y"]),
        (lambda f: lambda *, x: [f(x)], lambda layer, y: layer(x=y)[0]),
    ],
    ids=["one value", "a tuple", "dicts", "keywords and a list"],
)
def test_checkpoint_saves_memory_whatever_the_function_takes_and_returns(wrap: Any, run: Any) -> None:
    function = wrap(block)
    assert peak(tg.checkpoint(function), run) < 0.5 * peak(function, run)


def test_tuples_dicts_keywords_and_plain_values() -> None:
    a, b = leaf(3), leaf(3, seed=1)

    def f(pair: Any, *, scale: Any, name: str = "") -> Any:
        x, more = pair
        return {"sum": x * more["b"] * scale, "name": name, "both": (x + more["b"], 7)}

    def loss(g: Any) -> Any:
        result = g((a, {"b": b}), scale=b, name="n")
        assert result["name"] == "n" and result["both"][1] == 7
        return (result["sum"] * result["both"][0]).sum()

    for plain, again in zip(
        gradients(lambda: loss(f), a, b), gradients(lambda: loss(tg.checkpoint(f)), a, b), strict=True
    ):
        np.testing.assert_allclose(plain, again, rtol=1e-13)


def test_a_value_that_is_not_used_has_gradient_zero() -> None:
    a = leaf(3)
    unused, used = tg.checkpoint(lambda x: (np.exp(x), x * x))(a)
    used.sum().backward()
    np.testing.assert_allclose(a.grad, 2 * a.numpy())
    assert unused.requires_grad


class Block(nn.Module):
    def __init__(self, rng: np.random.Generator) -> None:
        self.dropout = nn.Dropout(0.5, rng=rng)
        self.norm = nn.BatchNorm1d(4, dtype=np.float64)

    def forward(self, x: Any) -> Any:
        return self.dropout(self.norm(x)) * x


def test_dropout_draws_the_same_mask_again_and_statistics_move_once() -> None:
    x = leaf(6, 4)
    found = []
    for wrap in (lambda f: f, tg.checkpoint):
        model = Block(np.random.default_rng(3))
        (gradient,) = gradients(lambda m=model, w=wrap: (w(m)(x) * np.arange(4.0)).sum(), x)
        after = model.dropout.rng.random(3)
        found.append((gradient, model.norm.running_mean.copy(), int(model.norm.num_batches_tracked), after))
    for plain, again in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, again)


@pytest.mark.parametrize("way", ["argument", "keyword", "closure", "partial", "default", "method"])
def test_a_generator_of_ones_own_draws_the_same_numbers_again(way: str) -> None:
    x = leaf(50)

    class Noise:
        def __init__(self, rng: np.random.Generator) -> None:
            self.rng = rng

        def apply(self, x: Any) -> Any:
            return x * self.rng.random(50)

    def draw(x: Any, rng: Any) -> Any:
        return x * rng.random(50)

    found = []
    for wrap in (lambda f: f, tg.checkpoint):
        rng = np.random.default_rng(0)
        call = {
            "argument": lambda w=wrap, r=rng: w(draw)(x, r),
            "keyword": lambda w=wrap, r=rng: w(draw)(x, rng=r),
            "closure": lambda w=wrap, r=rng: w(lambda x: draw(x, r))(x),
            "partial": lambda w=wrap, r=rng: w(functools.partial(draw, rng=r))(x),
            "default": lambda w=wrap, r=rng: w(lambda x, own=r: draw(x, own))(x),
            "method": lambda w=wrap, r=rng: w(Noise(r).apply)(x),
        }[way]
        found.append((*gradients(lambda c=call: c().sum(), x), rng.random(2)))
    for plain, again in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, again)


def test_a_function_that_gives_another_value_the_second_time_is_refused() -> None:
    hidden = {"calls": 0}

    def changes(x: Any) -> Any:
        hidden["calls"] += 1
        return x * float(hidden["calls"])

    loss = tg.checkpoint(changes)(leaf(3)).sum()
    with pytest.raises(RuntimeError, match="another value"):
        loss.backward()


def test_weights_that_were_changed_in_between_are_those_of_the_forward_pass() -> None:
    w, x = leaf(3), leaf(3, seed=1)
    before = w.numpy().copy()
    loss = tg.checkpoint(lambda x: w * w * x)(x).sum()
    w.data[...] = 100.0
    loss.backward()
    np.testing.assert_allclose(w.grad, 2 * before * x.numpy())
    np.testing.assert_array_equal(w.numpy(), 100.0)


def test_arrays_that_were_changed_in_between_are_those_of_the_forward_pass() -> None:
    a, x = np.ones(3), leaf(3)
    loss = tg.checkpoint(lambda x, a: x * a)(x, a).sum()
    a[...] = 100.0
    loss.backward()
    np.testing.assert_array_equal(x.grad, 1.0)


def test_nested_checkpoints() -> None:
    x = leaf(4)
    inner = tg.checkpoint(lambda x: np.sin(x) * x)
    outer = lambda x: inner(inner(x)) * x
    for plain, again in zip(
        gradients(lambda: outer(x).sum(), x), gradients(lambda: tg.checkpoint(outer)(x).sum(), x), strict=True
    ):
        np.testing.assert_allclose(plain, again, rtol=1e-13)


def test_without_a_tensor_that_requires_a_gradient_it_is_the_function() -> None:
    f = tg.checkpoint(lambda x: x * 2)
    assert f(3) == 6
    np.testing.assert_array_equal(f(np.ones(2)), 2)
    with tg.no_grad():
        assert not f(leaf(2)).requires_grad


# --------------------------------------------------------------------- what the digest of a value sees


class Holder:
    """Anything that is no module."""


def permuted(way: str, order: list[np.ndarray]) -> Any:
    holder = Holder()
    holder.rng = np.random.default_rng(0)  # type: ignore[attr-defined]
    old = np.random.RandomState(0)
    draw = {
        "an attribute": lambda: holder.rng.permutation(6),  # type: ignore[attr-defined]
        "np.random": lambda: np.random.permutation(6),  # noqa: NPY002
        "RandomState": lambda: old.permutation(6),
    }[way]

    def shuffle(x: Any) -> Any:
        order.append(draw())
        return x[order[-1]]

    return shuffle


@pytest.mark.parametrize("way", ["an attribute", "np.random", "RandomState"])
def test_a_permutation_that_is_drawn_anew_is_the_same_or_refused(way: str) -> None:
    order: list[np.ndarray] = []
    x, weights = vector(np.arange(6.0)), np.arange(6.0)
    loss = (tg.checkpoint(permuted(way, order))(x) * weights).sum()
    try:
        loss.backward()
    except RuntimeError:
        return
    expected = np.zeros(6)
    expected[order[0]] = weights
    np.testing.assert_array_equal(x.grad, expected)


@pytest.mark.parametrize("kind", ["array", "frozen tensor"])
def test_outside_values_in_another_order_are_those_of_the_forward_pass_or_refused(kind: str) -> None:
    outside: Any = np.array([1.0, 2.0, 3.0])
    if kind == "frozen tensor":
        outside = tg.Tensor(outside)
    x = vector(np.ones(3))
    loss = tg.checkpoint(lambda x: x * outside)(x).sum()
    (outside.data if kind == "frozen tensor" else outside)[...] = [3.0, 2.0, 1.0]
    try:
        loss.backward()
    except RuntimeError:
        return
    np.testing.assert_array_equal(x.grad, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("dtype, size, change", [("f4", 100_000, 1.0), ("f2", 100, 0.05)])
def test_one_element_that_changed_is_seen(dtype: str, size: int, change: float) -> None:
    outside = np.ones(size, dtype)
    x = tg.Tensor(np.ones(size, dtype), requires_grad=True)
    loss = tg.checkpoint(lambda x: x * outside)(x)[:10].sum()
    outside[5] += change
    try:
        loss.backward()
    except RuntimeError:
        return
    np.testing.assert_array_equal(x.grad[5], 1.0)


def test_a_checkpointed_function_may_return_a_tensor_from_outside() -> None:
    w, x = vector([1, 2]), vector([3, 4])
    a, b = tg.checkpoint(lambda x: (x * 2.0, w))(x)
    (a * b).sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])
    np.testing.assert_array_equal(w.grad, [6.0, 8.0])


def test_a_checkpointed_function_may_return_a_result_from_outside() -> None:
    w, x = vector([1, 2]), vector([3, 4])
    h = w * 3.0
    a, b = tg.checkpoint(lambda x: (x * 2.0, h))(x)
    ((a * b).sum() + h.sum()).backward()
    np.testing.assert_array_equal(w.grad, [21.0, 27.0])


def test_a_closure_may_have_a_name_that_is_set_later() -> None:
    def f(x: Any) -> Any:
        return x * later if x.ndim == 0 else x

    y = tg.checkpoint(f)(vector([1, 2])).sum()
    later = 3.0
    y.backward()


class Slots:
    __slots__ = ("factor",)

    def __init__(self) -> None:
        self.factor = 2.0

    def apply(self, x: Any) -> Any:
        return x * self.factor


def test_the_method_of_an_object_with_slots_is_checkpointed() -> None:
    x = vector([1, 2])
    tg.checkpoint(Slots().apply)(x).sum().backward()
    np.testing.assert_array_equal(x.grad, 2.0)


def test_a_generator_in_a_slot_draws_the_same_numbers_again() -> None:
    class Noise:
        __slots__ = ("rng",)

        def __init__(self) -> None:
            self.rng = np.random.default_rng(0)

        def apply(self, x: Any) -> Any:
            return x * self.rng.random(50)

    x = leaf(50)
    plain, again = (gradients(lambda f=f: f(x).sum(), x) for f in (Noise().apply, tg.checkpoint(Noise().apply)))
    np.testing.assert_array_equal(plain, again)


def test_a_result_from_outside_may_be_used_and_returned() -> None:
    w, x = vector([1, 2]), vector([3, 4])

    def loss(wrap: Any) -> Any:
        h = w * 3.0
        a, b, c = wrap(lambda x: (x * h * w, h, w))(x)
        return (a * b * c).sum() + h.sum()

    plain = gradients(lambda: loss(lambda f: f), w, x)
    again = gradients(lambda: loss(tg.checkpoint), w, x)
    np.testing.assert_allclose(again, plain, rtol=1e-13)


SIZES = [1, 1024, 1025, 70_000]  # a copy, and chunks: of one tile, of two


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("size", SIZES)
def test_a_digest_sees_each_element(size: int, dtype: str) -> None:
    array = np.random.default_rng(0).normal(size=size).astype(dtype)
    before = digest(array)
    assert agrees(array, before)
    for index in {0, size // 2, size - 1}:
        for value in (array[index] + 0.01, np.nan, np.inf, -np.inf):
            changed = array.copy()
            changed[index] = value
            assert not agrees(changed, before)
            assert not agrees(array, digest(changed))
            assert agrees(changed, digest(changed))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("size", SIZES[1:])
def test_an_element_that_is_not_finite_does_not_hide_the_others(size: int, value: float) -> None:
    array = np.random.default_rng(0).normal(size=size)
    array[3] = value
    changed = array.copy()
    changed[4] += 0.01
    assert not agrees(changed, digest(array))


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_digest_sees_two_elements_that_changed_places(size: int) -> None:
    array = np.arange(size, dtype="f4") % 7
    before = digest(array)
    for i, j in ((0, 1), (5, 62), (3, size - 1)):
        swapped = array.copy()
        swapped[[i, j]] = array[[j, i]]
        assert array[i] != array[j]
        assert not agrees(swapped, before)


@pytest.mark.parametrize("size", [0, *SIZES])
def test_a_digest_does_not_see_rounding(size: int) -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(size=size).astype("f4")
    rounded = array * (1 + 4 * np.finfo("f4").eps * rng.uniform(-1, 1, size)).astype("f4")
    assert agrees(rounded, digest(array))


def test_another_shape_the_second_time_is_refused() -> None:
    shapes = iter([(2, 3), (3, 2)])
    loss = tg.checkpoint(lambda x: x.reshape(next(shapes)))(vector(np.ones(6))).sum()
    with pytest.raises(RuntimeError, match="another value"):
        loss.backward()
