"""Flat parameters: nothing that someone holds is written over, and neighbours are updated in one piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, optim
from tinygrad_cv.optim import flat
from tinygrad_cv.optim.flat import FlatParameters


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
    optimizer.step()
    backward(weights, 1.0)
    held = HOLDINGS[holding](weight.grad)
    before = held.copy()
    for scale in (2.0, 3.0):
        optimizer.zero_grad()
        backward(weights, scale)
        optimizer.step()
        np.testing.assert_array_equal(held, before)
        np.testing.assert_allclose(weight.grad, 2 * scale * weight.numpy(), rtol=1e-6)


@pytest.mark.parametrize("since", ["before the first step", "a later step"])
@pytest.mark.parametrize("held", [0, 1])
@pytest.mark.parametrize("recorded", [False, True])
def test_a_handle_on_data_is_live_after_any_step_and_changes_no_bit(since: str, held: int, recorded: bool) -> None:
    """Also when a record makes the other parameters move to another buffer."""
    weights, expected = parameters((3, 4), (5,), (2,)), parameters((3, 4), (5,), (2,))
    optimizers = [optim.Adam(weights, 0.1), optim.Adam(expected, 0.1)]

    def step(scale: float) -> None:
        for tensors, optimizer in zip((weights, expected), optimizers, strict=True):
            optimizer.zero_grad()
            backward(tensors, scale)
            optimizer.step()
        for a, b in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())

    if since == "a later step":
        step(1.0)
    handle = weights[held].data[1:]
    for number in range(3):
        record = [np.square(weights[2])] if recorded else []
        step(2.0)
        handle[...] = number
        expected[held].data[1:] = number
        np.testing.assert_array_equal(weights[held].numpy()[1:], number)
        record.clear()
    del handle
    step(3.0)
    (_, buffers), = optimizers[0]._flat
    assert all(np.shares_memory(weight.numpy(), buffers.values) for weight in weights)


def test_a_handle_on_data_that_is_kept_moves_no_other_parameter() -> None:
    weights = parameters((3, 4), (5,))
    optimizer = optim.Adam(weights, 0.1)
    handle = weights[0].data
    places = []
    for _ in range(3):
        optimizer.zero_grad()
        backward(weights, 1.0)
        optimizer.step()
        places.append(weights[1]._memory)
        assert np.shares_memory(weights[0].numpy(), handle) is False  # a copy, while somebody may write
        np.testing.assert_array_equal(weights[0].numpy(), handle)
    assert places[0] is places[1] is places[2]


def test_a_handle_on_data_that_was_made_read_only_is_written_to_by_a_step() -> None:
    (weight,) = weights = parameters((3, 4))
    optimizer = optim.SGD(weights, 0.5)
    handle = weight.data
    handle.flags.writeable = False
    backward(weights, 1.0)
    optimizer.step()  # w - 0.5 * 2 w = 0
    np.testing.assert_array_equal(handle, 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_parameter_and_gradient_begins_on_a_cache_line(dtype: Any) -> None:
    weights = parameters((3,), (), (5, 7), (0, 2), (2, 2, 2), dtype=dtype)
    optimizer = optim.Adam(weights)
    backward(weights, 1.0)
    optimizer.step()
    (_, buffers), = optimizer._flat
    for weight, gradient in zip(weights, buffers.gradient_views, strict=True):
        assert weight.numpy().ctypes.data % 64 == gradient.ctypes.data % 64 == 0 or weight.size == 0
        np.testing.assert_array_equal(gradient, weight.grad)


def test_neighbours_at_the_same_step_are_updated_in_one_piece() -> None:
    weights = parameters((3,), (5, 7), (2, 2), (4,))
    buffers = FlatParameters(weights, ())

    def pieces() -> list[tuple[int, list[int]]]:
        return [(run.t, [len(p) for p, *_ in run.tiles]) for run in buffers.runs(buffers.reduce_scatter())]

    backward(weights, 1.0)
    assert pieces() == [(1, [16 + 48 + 16 + 4])]  # each parameter but the last fills up its cache lines
    weights[1].grad = None
    assert pieces() == [(2, [3]), (2, [16 + 4])]
    backward([weights[1]], 1.0)
    assert pieces() == [(3, [3]), (2, [35]), (3, [16 + 4])]


def test_gradients_wherever_they_lie_give_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied into the buffers or read in place; contiguous or not; of another dtype; in a Tensor."""
    small, large = parameters((3, 4), (5,), (2, 2)), parameters((3, 4), (5,), (2, 2))
    optimizers = [optim.Adam(small, 0.1)]
    monkeypatch.setattr(flat, "TILE", 4)
    optimizers.append(optim.Adam(large, 0.1))
    assert optimizers[1]._flat[0][1].alone == [0, 1, None]
    for step in range(5):
        for weights, optimizer in zip((small, large), optimizers, strict=True):
            optimizer.zero_grad()
            backward(weights, 1.0 + step)
            if weights is large:
                weights[0].grad = np.asfortranarray(weights[0].grad)
                weights[1].grad = weights[1].grad.astype(np.float64)
                weights[2].grad = tg.Tensor(weights[2].grad)
            optimizer.step()
    for a, b in zip(small, large, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_the_value_of_an_operation_may_be_a_parameter() -> None:
    weight = tg.Tensor(np.ones(3)) * 2.0
    weight.requires_grad = True
    optimizer = optim.SGD([weight], 0.5)
    for expected in (1.5, 1.0):
        weight.grad = np.ones(3)
        optimizer.step()
        np.testing.assert_array_equal(weight.numpy(), np.full(3, expected))


def test_parameters_without_elements_are_no_hindrance() -> None:
    for shapes in ([(0, 2)], [(0,), (3,), (2, 0)]):
        weights = parameters(*shapes)
        optimizer = optim.Adam(weights, 0.5)
        before = [weight.numpy().copy() for weight in weights]
        backward(weights, 1.0)
        optimizer.step()
        for weight, old in zip(weights, before, strict=True):
            np.testing.assert_allclose(weight.numpy(), old - 0.5 * np.sign(old), rtol=1e-5)
        assert optimizer.state_dict()["0.step"] == 1


def test_a_step_leaves_the_gradients_as_they_are() -> None:
    weights = parameters((3, 4), (5,))
    optimizer = optim.AdamW(weights, weight_decay=0.1)
    backward(weights, 1.0)
    gradients = [weight.grad for weight in weights]
    before = [gradient.copy() for gradient in gradients]
    optimizer.step()
    for weight, gradient, values in zip(weights, gradients, before, strict=True):
        assert weight.grad is gradient
        np.testing.assert_array_equal(gradient, values)


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
