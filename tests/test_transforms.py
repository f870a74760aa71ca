"""Derivatives of plain functions: values, nesting, pytrees, what goes in comes out."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.testing.strategies import arrays


def f(x: Any) -> Any:
    return np.exp(x) * np.sin(x) + x**3


def matrix(x: Any) -> Any:
    """A function of several numbers with several values, none of its derivatives symmetric."""
    return np.stack([np.sin(x[0] * x[1]) * x[2], np.exp(x[1]) * x[0] ** 2])


SLOPES = [  # derivatives of f by hand
    lambda x: np.exp(x) * (np.sin(x) + np.cos(x)) + 3 * x**2,
    lambda x: 2 * np.exp(x) * np.cos(x) + 6 * x,
    lambda x: 2 * np.exp(x) * (np.cos(x) - np.sin(x)) + 6,
    lambda x: -4 * np.exp(x) * np.sin(x),
]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_grad_nests_to_any_order(order: int) -> None:
    derivative = f
    for _ in range(order):
        derivative = tg.grad(derivative)
    assert derivative(0.7) == pytest.approx(SLOPES[order - 1](0.7), rel=1e-12)


def test_nested_variables_are_not_confused() -> None:
    assert tg.grad(lambda x: x * tg.grad(lambda y: x + y)(1.0))(3.0) == 1
    assert tg.grad(lambda x: x * tg.grad(lambda y: x * y)(1.0))(3.0) == 6
    assert tg.grad(lambda x: tg.grad(lambda y: x * y)(x) * x)(3.0) == 6


def test_what_goes_in_comes_out() -> None:
    x = np.array([0.1, 0.2])
    for result in (
        tg.grad(lambda x: f(x).sum())(x),
        *tg.vjp(f, x)[1](x),
        *tg.jvp(f, (x,), (x,)),
        tg.hvp(lambda x: f(x).sum(), x, x),
    ):
        assert type(result) is np.ndarray
    inside = tg.grad(lambda x: f(x).sum())(tg.Tensor(x, requires_grad=True))
    assert isinstance(inside, tg.Tensor)
    assert inside.requires_grad
    assert isinstance(tg.grad(lambda x: f(x).sum())(tg.Tensor(x)), tg.Tensor)


def test_a_gradient_inside_a_loss_reaches_the_parameters() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    slope = tg.grad(lambda x: (w * x * x).sum())(tg.Tensor([3.0, 4.0]))  # 2 w x
    (slope**2).sum().backward()  # sum 4 w^2 x^2
    np.testing.assert_allclose(w.grad, 8 * np.array([1.0, 2.0]) * np.array([9.0, 16.0]))


def test_pytrees_argnums_and_aux() -> None:
    tree = {"a": np.ones(2), "b": [np.full(3, 2.0), (np.array(3.0),)]}
    loss = lambda scale, p: ((p["a"].sum() * p["b"][0].sum() * p["b"][1][0] * scale), {"kept": p["a"] * 2.0, "n": 7})
    (value, aux), gradient = tg.value_and_grad(loss, argnums=1, has_aux=True)(2.0, tree)
    assert value == 72
    assert type(aux["kept"]) is np.ndarray
    assert aux["n"] == 7
    np.testing.assert_allclose(gradient["a"], 36)
    np.testing.assert_allclose(gradient["b"][0], 12)
    assert gradient["b"][1][0] == 24
    both = tg.grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 5.0)
    assert both == (5.0, 2.0)


def test_errors_say_what_to_use() -> None:
    with pytest.raises(ValueError, match=r"not shape \(2,\); see tg\.jacobian"):
        tg.grad(f)(np.ones(2))
    with pytest.raises(TypeError, match="int64"):
        tg.grad(f)(np.array(1))
    with pytest.raises(ValueError, match=r"cotangent of shape \(3,\) for a value of shape \(2,\)"):
        tg.vjp(f, np.ones(2))[1](np.ones(3))
    with pytest.raises(ValueError, match="tangents"):
        tg.jvp(f, (np.ones(2),), (np.ones(3),))


@given(arrays((3,)), arrays((3,)), arrays((2,)))
def test_jvp_and_vjp_are_adjoint_and_agree_with_the_jacobian(x: Any, v: Any, u: Any) -> None:
    value, pushed = tg.jvp(matrix, (x,), (v,))
    again, pullback = tg.vjp(matrix, x)
    jacobian = tg.jacobian(matrix)(x)
    np.testing.assert_array_equal(value, again)
    np.testing.assert_allclose(pushed, jacobian @ v, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(pullback(u)[0], u @ jacobian, rtol=1e-10, atol=1e-12)


@given(arrays((3,)), arrays((3,)))
def test_hvp_is_the_hessian_times_v(x: Any, v: Any) -> None:
    loss = lambda x: (matrix(x) ** 2).sum()
    hessian = tg.hessian(loss)(x)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(tg.hvp(loss, x, v), hessian @ v, rtol=1e-9, atol=1e-9)


def test_a_function_that_ignores_its_argument_has_gradient_zero() -> None:
    np.testing.assert_array_equal(tg.grad(lambda x: 3.0)(np.ones(2)), 0)
    np.testing.assert_array_equal(tg.jacobian(lambda x: np.ones(3))(np.ones(2)), np.zeros((3, 2)))


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
        tg.grad(lambda a, g=g: (tg.grad(lambda b: g(b).sum())(a) ** 2).sum())(x.data)
        for g in (block, tg.checkpoint(block))
    ]
    np.testing.assert_allclose(*second, rtol=1e-10)


def test_checkpoint_saves_memory() -> None:
    def peak(layer: Any) -> int:
        x = tg.Tensor(np.full(20_000, 0.5), requires_grad=True)
        tracemalloc.start()
        y = x
        for _ in range(8):
            y = layer(y)
        y.sum().backward()
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    def block(x: Any) -> Any:
        for _ in range(8):
            x = np.tanh(x)
        return x

    assert peak(tg.checkpoint(block)) < 0.5 * peak(block)
