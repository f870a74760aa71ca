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


def leaf(*shape: int, seed: int = 0) -> tg.Tensor:
    return tg.Tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


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
