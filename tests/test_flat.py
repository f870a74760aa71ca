"""Gradients in their places: nothing that someone holds is written over, and neighbours are updated in one piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, optim


def parameters(*shapes: tuple[int, ...], dtype: Any = np.float32) -> list[tg.Tensor]:
    rng = np.random.default_rng(0)
    return [tg.Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True) for shape in shapes]


def backward(weights: list[tg.Tensor], scale: float) -> None:
    sum((scale * np.square(w)).sum() for w in weights).backward()


HOLDINGS: dict[str, Callable[[Any], Any]] = {
    "the gradient itself": lambda g: g,
    "a row": lambda g: g[1],
    "a view of a view": lambda g: g[1:].T.reshape(-1, order="F")[1:],
    "a flat view": lambda g: g.ravel(),
}


@pytest.mark.parametrize("holding", HOLDINGS)
def test_a_gradient_that_someone_holds_is_not_written_over(holding: str) -> None:
    (weight,) = weights = parameters((3, 4))
    optimizer = optim.SGD(weights, 0.0)
    optimizer.step()  # from now on the gradient lives in the arena
    backward(weights, 1.0)
    held = HOLDINGS[holding](weight.grad)
    before = held.copy()
    for scale in (2.0, 3.0):
        optimizer.zero_grad()
        backward(weights, scale)
        optimizer.step()
        np.testing.assert_array_equal(held, before)
        np.testing.assert_allclose(weight.grad, 2 * scale * weight.numpy(), rtol=1e-6)


def test_a_place_that_no_one_holds_is_used_again() -> None:
    (weight,) = weights = parameters((3, 4))
    optimizer = optim.SGD(weights, 0.0)
    optimizer.step()
    places = set()
    for _ in range(3):
        optimizer.zero_grad()
        backward(weights, 1.0)
        places.add(weight.grad.ctypes.data)
    assert places == {optimizer.arenas[0].gradients.ctypes.data}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_parameter_and_gradient_begins_on_a_cache_line(dtype: Any) -> None:
    weights = parameters((3,), (), (5, 7), (0, 2), (2, 2, 2), dtype=dtype)
    optimizer = optim.Adam(weights)
    optimizer.step()
    backward(weights, 1.0)
    for weight in weights:
        assert weight.numpy().ctypes.data % 64 == weight.grad.ctypes.data % 64 == 0 or weight.size == 0
    assert len(list(optimizer.arenas[0].runs())) == 1, "neighbours are one run"


def test_gradients_in_and_out_of_their_places_give_the_same_steps() -> None:
    own, other = parameters((3, 4), (5,), (2, 2)), parameters((3, 4), (5,), (2, 2))
    optimizers = optim.Adam(own, 0.1), optim.Adam(other, 0.1)
    kept = []
    for step in range(5):
        for weights, optimizer in zip((own, other), optimizers, strict=True):
            optimizer.zero_grad()
            backward(weights, 1.0 + step)
            if weights is other:
                kept.append(other[1].grad)  # held: the next one lies elsewhere
                other[2].grad = other[2].grad.copy()
            optim.clip_grad_norm_(weights, 1.0)
            optimizer.step()
    for a, b in zip(own, other, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_kernel_writes_a_gradient_straight_into_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    layer = nn.Linear(4, 3, rng=rng)
    optimizer = optim.SGD(layer.parameters(), 0.0)
    optimizer.step()
    written, backward = [], kernels.linear._backward

    def watched(*args: Any) -> Any:
        written.append(backward(*args)[1])
        return backward(*args)

    monkeypatch.setattr(kernels.linear, "_backward", watched)
    x = tg.Tensor(rng.standard_normal((5, 4)).astype(np.float32))
    layer(x).sum().backward()
    assert written[0].ctypes.data == layer.weight.grad.ctypes.data == optimizer.arenas[0].gradients.ctypes.data


@pytest.mark.parametrize("held", [False, True])
def test_a_layer_that_is_used_several_times_adds_up_its_gradients(held: bool) -> None:
    rng = np.random.default_rng(0)
    layer = nn.Linear(4, 4, rng=rng, dtype=np.float64)
    optimizer = optim.SGD(layer.parameters(), 0.0)
    optimizer.step()
    x = tg.Tensor(rng.standard_normal((5, 4)))
    expected = tg.grad(lambda w: sum((kernels.linear(x * k, w, layer.bias.numpy()) ** 2).sum() for k in (1, 2, 3)))
    kept = []
    for _ in range(3):
        optimizer.zero_grad()
        sum((layer(x * k) ** 2).sum() for k in (1, 2, 3)).backward()
        np.testing.assert_allclose(layer.weight.grad, expected(layer.weight.numpy()), rtol=1e-12)
        kept += [layer.weight.grad] if held else []
    for gradient in kept:
        np.testing.assert_array_equal(gradient, kept[0])


def test_a_walk_that_fails_leaves_the_place_to_the_next_one() -> None:
    rng = np.random.default_rng(0)
    layer = nn.Linear(4, 3, rng=rng)
    optimizer = optim.SGD(layer.parameters(), 0.0)
    optimizer.step()
    x = tg.Tensor(rng.standard_normal((5, 4)).astype(np.float32), requires_grad=True)
    y = np.exp(x)
    loss = layer(y).sum()
    del y
    y = loss._node.parents[0].parents[0]
    y.parents, freed = None, y.parents  # as if it had been walked already
    with pytest.raises(RuntimeError, match="freed"):
        loss.backward()
    assert layer.weight.grad is None and freed
    layer(x).sum().backward()
    assert layer.weight.grad.ctypes.data == optimizer.arenas[0].gradients.ctypes.data
