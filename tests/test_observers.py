"""One interface sees each operation, forward and backward, and the scopes around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.engine.observers import Call, Observer, Pull, Scope, observed


class Log(Observer):
    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.pulls: list[Pull] = []
        self.events: list[str] = []

    def forward(self, call: Call) -> None:
        self.calls.append(call)
        self.events.append(name_of(call.function))

    def backward(self, pull: Pull) -> None:
        self.pulls.append(pull)
        self.events.append(f"{name_of(pull.node.operation.function)} back")

    def enter(self, scope: Scope) -> None:
        self.events.append(f"({scope.kind} {scope.name}")

    def leave(self, scope: Scope) -> None:
        self.events.append(f"{scope.name})")


def leaf(*values: float) -> tg.Tensor:
    return tg.Tensor(np.array(values), requires_grad=True)


def test_a_call_is_seen_with_its_arguments_by_name_its_node_and_its_value() -> None:
    x, log = leaf(1.0, 2.0), Log()
    with observed(log):
        y = np.exp(x) + 3.0
        total = np.sum(y, axis=0)
    add, reduce = log.calls[1:]
    assert list(add.arguments) == ["x1", "x2"]
    assert add.arguments["x2"] == 3.0
    assert add.arguments["x1"]._node is log.calls[0].node
    assert (add.value, add.node) == (y, y._node) or add.value is y
    assert reduce.arguments["axis"] == 0
    assert reduce.value is total


def test_the_way_back_is_seen_with_gradient_and_contributions_by_name() -> None:
    x, log = leaf(1.0, 2.0), Log()
    y = (x * np.array([3.0, 4.0])).sum()
    with observed(log):
        y.backward()
    reduce, multiply = log.pulls
    np.testing.assert_array_equal(reduce.contributions["a"], [1.0, 1.0])
    np.testing.assert_array_equal(multiply.gradient, [1.0, 1.0])
    np.testing.assert_array_equal(multiply.contributions["x1"], [3.0, 4.0])


def test_modules_definitions_and_kernels_open_and_close_scopes() -> None:
    x, log = leaf(1.0, 2.0, 4.0), Log()
    model = nn.Sequential(nn.Softmax())
    with observed(log):
        np.var(x)
        model(x)
    assert log.events[0] == "(definition np.var"
    assert log.events[log.events.index("np.var)") + 1 :] == [
        "(module Sequential", "(module Softmax", "softmax", "Softmax)", "Sequential)"
    ]  # fmt: skip
    log = Log()
    with observed(log):
        tg.grad(lambda x: (tg.grad(lambda x: kernels.softmax(x)[0])(x) ** 2).sum())(x.numpy())
    assert "(kernel softmax" in log.events and "softmax)" in log.events


def test_a_scope_is_left_by_an_exception_too() -> None:
    class Fails(nn.Module):
        def forward(self, x: Any) -> Any:
            raise KeyError

    log = Log()
    with observed(log), pytest.raises(KeyError):
        Fails()(leaf(1.0))
    assert log.events == ["(module Fails", "Fails)"]


def test_a_scope_is_left_by_all_observers_though_one_raises_as_it_leaves() -> None:
    class Raises(Observer):
        def leave(self, scope: Scope) -> None:
            raise KeyError

    log = Log()
    with observed(log), observed(Raises()), pytest.raises(KeyError):
        nn.Softmax()(leaf(1.0))
    assert log.events == ["(module Softmax", "softmax", "Softmax)"]


def test_several_observers_see_the_same_and_none_sees_what_is_outside() -> None:
    x, a, b = leaf(1.0), Log(), Log()
    np.exp(x)
    with observed(a):
        np.sin(x)
        with observed(b):
            np.cos(x)
    np.exp(x)
    assert a.events == ["np.sin", "np.cos"]
    assert b.events == ["np.cos"]


def test_unrecorded_calls_are_seen_without_a_node() -> None:
    log = Log()
    with observed(log), tg.no_grad():
        np.exp(leaf(1.0))
        kernels.relu(leaf(1.0))
    assert [call.node for call in log.calls] == [None, None]
