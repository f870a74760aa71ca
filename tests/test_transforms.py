"""Derivatives of plain functions: values, nesting, pytrees, what goes in comes out."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import tinygrad_cv as tg
from tinygrad_cv import transforms
from tinygrad_cv.engine.observers import Observer, observed
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


@pytest.mark.parametrize("count", [lambda x: x > 1, lambda x: np.sum(x > 1), lambda x: [np.size(x), 3]])
def test_a_truth_value_and_an_integer_have_no_derivative(count: Any) -> None:
    x = np.array([0.5, 2.0])
    for call in (
        lambda: tg.grad(lambda x: np.ravel(count(x))[0])(x),
        lambda: tg.jacobian(count)(x),
        lambda: tg.hessian(lambda x: np.ravel(count(x))[0])(x),
        lambda: tg.vjp(count, x),
        lambda: tg.jvp(count, (x,), (x,)),
    ):
        with pytest.raises(TypeError, match="truth values and integers have no derivative"):
            call()
    value, pullback = tg.vjp(lambda x: (np.sum(x * x), np.argmax(x)), x)  # beside one that has
    assert value == (4.25, 1)
    np.testing.assert_array_equal(pullback((1.0, 0.0))[0], [1, 4])


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


# ------------------------------------------------------------------- argnums, keywords, aux, what is refused


def pair(x: Any, y: Any, *, scale: float = 1.0) -> Any:
    return (x * x * y * scale).sum()


X, Y = np.array([1.0, 2.0]), np.array([3.0, 5.0])
ARGNUMS = [0, 1, -1, -2, np.int64(1), (0, 1), [0, 1], (-1, 0), (np.int64(0),)]
BY_HAND = [2 * X * Y * 3.0, X * X * 3.0]  # gradients at scale 3


def chosen(argnums: Any, of: list[Any]) -> Any:
    if hasattr(argnums, "__index__"):
        return of[int(argnums)]
    return tuple(of[int(n)] for n in argnums)


def with_aux(*args: Any, **kwargs: Any) -> Any:
    return pair(*args, **kwargs), {"x": args[0] * 2.0, "n": 3}


def same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected) or not isinstance(expected, tuple)
    for f, e in zip(*((v if isinstance(v, tuple) else (v,)) for v in (found, expected)), strict=True):
        np.testing.assert_allclose(f, e, rtol=1e-12)


@pytest.mark.parametrize("argnums", ARGNUMS, ids=str)
@pytest.mark.parametrize("aux", [False, True])
def test_every_transform_takes_any_argnums_keywords_and_aux(argnums: Any, aux: bool) -> None:
    f = with_aux if aux else pair
    gradient = chosen(argnums, BY_HAND)

    def check_aux(more: Any) -> None:
        np.testing.assert_array_equal(more["x"], 2 * X)
        assert type(more["x"]) is np.ndarray and more["n"] == 3

    result = tg.grad(f, argnums, has_aux=aux)(X, Y, scale=3.0)
    same(result[0] if aux else result, gradient)
    value, result = tg.value_and_grad(f, argnums, has_aux=aux)(X, Y, scale=3.0)
    same(result, gradient)
    assert (value[0] if aux else value) == pair(X, Y, scale=3.0)
    value, pull, *more = tg.vjp(f, X, Y, argnums=argnums, has_aux=aux, scale=3.0)
    same(pull(1.0), gradient)
    tangents = chosen(argnums, [np.array([1.0, -1.0]), np.array([2.0, 0.5])])
    value, pushed, *also = tg.jvp(f, (X, Y), tangents, argnums=argnums, has_aux=aux, scale=3.0)
    flat = lambda v: np.concatenate([np.ravel(p) for p in (v if isinstance(v, tuple) else (v,))])
    assert pushed == pytest.approx(flat(gradient) @ flat(tangents))
    jacobian = tg.jacobian(f, argnums, has_aux=aux)(X, Y, scale=3.0)
    same(jacobian[0] if aux else jacobian, gradient)
    hessian = tg.hessian(f, argnums, has_aux=aux)(X, Y, scale=3.0)
    blocks = [[np.diag(2 * Y * 3.0), np.diag(2 * X * 3.0)], [np.diag(2 * X * 3.0), np.zeros((2, 2))]]
    expected = chosen(argnums, [chosen(argnums, row) for row in blocks])
    found = hessian[0] if aux else hessian
    rows = zip(*((v if isinstance(v, tuple) else (v,)) for v in (found, expected)), strict=True)
    for f_row, e_row in rows:
        same(f_row, e_row)
    product = tg.hvp(f, (X, Y), tangents, argnums=argnums, has_aux=aux, scale=3.0)
    v = tangents if isinstance(tangents, tuple) else (tangents,)
    e = expected if isinstance(expected, tuple) else (expected,)
    sums = [sum(b @ d for b, d in zip(row if isinstance(row, tuple) else (row,), v, strict=True)) for row in e]
    same(product[0] if aux else product, tuple(sums) if isinstance(tangents, tuple) else sums[0])
    if aux:
        for extra in (more[0], also[0], jacobian[1], hessian[1], product[1]):
            check_aux(extra)


TRANSFORMS: dict[str, Any] = {
    "grad": lambda f: tg.grad(f)(X),
    "value_and_grad": lambda f: tg.value_and_grad(f)(X),
    "vjp": lambda f: tg.vjp(f, X),
    "jvp": lambda f: tg.jvp(f, (X,), (X,)),
    "jacobian": lambda f: tg.jacobian(f)(X),
    "hessian": lambda f: tg.hessian(f)(X),
    "hvp": lambda f: tg.hvp(f, X, X),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("result", [None, "text", {"a": "text"}, object(), [1.0, lambda: 0]], ids=lambda r: type(r).__name__)
def test_what_a_function_must_not_return_is_named(name: str, result: Any) -> None:
    word = "None" if result is None else "text|dict|list|object|no number"
    with pytest.raises(TypeError, match=word):
        TRANSFORMS[name](lambda x: result)


@pytest.mark.parametrize("name", ["grad", "value_and_grad", "hessian", "hvp"])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: {"loss": x.sum()},
        lambda x: (x.sum(), 1.0),
        lambda x: x,
        lambda x: x.sum() > 0,
        lambda x: 3,
    ],
)
def test_a_number_is_due_where_a_gradient_is_taken(name: str, f: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="number"):
        TRANSFORMS[name](f)


@pytest.mark.parametrize("argnums", [2, -3, (0, 2), (0, 0), (0, -2)])
def test_argnums_that_name_no_argument_or_one_twice_are_refused(argnums: Any) -> None:
    for transform in (tg.grad, tg.value_and_grad, tg.jacobian, tg.hessian):
        with pytest.raises(ValueError, match="argnums"):
            transform(pair, argnums)(X, Y)
    with pytest.raises(ValueError, match="argnums"):
        tg.vjp(pair, X, Y, argnums=argnums)


def test_several_results_keep_their_nesting() -> None:
    f = lambda p: {"double": p["w"] * 2.0, "all": [p["w"].sum() * p["b"], 7.0]}
    p = {"w": X, "b": np.array(3.0)}
    value, pull = tg.vjp(f, p)
    assert value["all"] == [9.0, 7.0]
    (gradient,) = pull({"double": np.ones(2), "all": [1.0, 1.0]})
    np.testing.assert_array_equal(gradient["w"], [5.0, 5.0])
    assert gradient["b"] == 3.0
    value, pushed = tg.jvp(f, (p,), ({"w": np.ones(2), "b": 0.0},))
    np.testing.assert_array_equal(pushed["double"], [2.0, 2.0])
    assert pushed["all"] == [6.0, 0.0]
    jacobian = tg.jacobian(f)(p)
    np.testing.assert_array_equal(jacobian["double"]["w"], 2 * np.eye(2))
    np.testing.assert_array_equal(jacobian["all"][0]["b"], 3.0)
    np.testing.assert_array_equal(jacobian["all"][1]["w"], [0.0, 0.0])


def test_the_second_derivative_of_a_norm_at_zero_is_a_clear_refusal() -> None:
    with pytest.raises(FloatingPointError, match=r"second derivative at 0"):
        tg.hessian(lambda x: np.linalg.norm(x) ** 2)(np.zeros(2))
    np.testing.assert_array_equal(tg.hessian(lambda x: np.sum(x * x))(np.zeros(2)), 2 * np.eye(2))


# ------------------------------------------------------------------------------------------------- both directions


class Passes(Observer):
    """Counts how often an operation is carried out and pulled back."""

    def __init__(self) -> None:
        self.calls = self.pulls = 0

    def forward(self, call: Any) -> None:
        self.calls += 1

    def backward(self, pull: Any) -> None:
        self.pulls += 1


@pytest.mark.parametrize(("inputs", "outputs"), [(1000, 3), (3, 1000)])
def test_a_jacobian_takes_the_cheaper_side(
    inputs: int, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = np.random.default_rng(0).normal(size=(outputs, inputs))
    passes = {"pullback": 0, "pushed": 0}
    for name in passes:
        whole = getattr(transforms, name)

        def counted(*args: Any, name: str = name, whole: Any = whole, **kwargs: Any) -> Any:
            passes[name] += 1
            return whole(*args, **kwargs)

        monkeypatch.setattr(transforms, name, counted)
    jacobian = tg.jacobian(lambda x: np.sin(matrix @ x))(np.zeros(inputs))
    np.testing.assert_allclose(jacobian, matrix)
    assert passes == ({"pullback": 3, "pushed": 0} if inputs > outputs else {"pullback": 0, "pushed": 3})


def test_forward_mode_pulls_nothing_back_through_elementwise_functions_and_products() -> None:
    f = lambda x: np.tanh(x @ x.T).sum(axis=0).reshape(3, 1) * np.exp(x)
    passes = Passes()
    with observed(passes):
        tg.jvp(f, (np.ones((3, 3)),), (np.ones((3, 3)),))
    assert passes.pulls == 0


def test_a_zero_tangent_stays_zero_where_the_derivative_is_infinite() -> None:
    """The derivative along no direction is 0, as that of what was not chosen is."""
    for f in (np.sqrt, lambda x: np.sqrt(np.maximum(x, 0.0))):
        with np.errstate(divide="ignore", invalid="ignore"):
            _, pushed = tg.jvp(f, (np.array([0.0, 4.0]),), (np.array([0.0, 1.0]),))
        np.testing.assert_array_equal(pushed, [0.0, 0.25])


def test_forward_mode_nests_with_itself_and_with_reverse_mode() -> None:
    f, x, v, w = lambda x: np.sum(np.sin(x) * x[::-1]), np.array([0.3, 0.7, -0.2]), np.ones(3), np.arange(3.0)
    hessian = tg.hessian(f)(x)
    along = lambda x: tg.jvp(f, (x,), (v,))[1]
    assert tg.jvp(along, (x,), (w,))[1] == pytest.approx(w @ hessian @ v)
    np.testing.assert_allclose(tg.grad(along)(x), hessian @ v)
    np.testing.assert_allclose(tg.jvp(tg.grad(f), (x,), (v,))[1], hessian @ v)
    np.testing.assert_allclose(tg.hvp(f, x, v), hessian @ v)


def test_the_derivative_of_a_perturbed_derivative_is_not_confused() -> None:
    """d/dx x (d/dy (x + y)) is 1, whichever way the two are taken."""
    inner = lambda x: x * tg.jvp(lambda y: x + y, (1.0,), (1.0,))[1]
    assert tg.jvp(inner, (2.0,), (1.0,))[1] == 1.0
    assert tg.grad(inner)(2.0) == 1.0


def test_a_checkpointed_function_is_pushed_through() -> None:
    weight = tg.Tensor(np.array([2.0, 3.0]), requires_grad=True)
    f = lambda x: (np.exp(x * weight), np.sum(x))
    args, v = (np.array([0.1, 0.2]),), (np.array([1.0, -1.0]),)
    for plain, again in zip(tg.jvp(f, args, v)[1], tg.jvp(tg.checkpoint(f), args, v)[1], strict=True):
        np.testing.assert_allclose(plain, again)


def test_a_complex_jacobian_is_the_complex_derivative_or_the_gradient() -> None:
    z = np.array([0.5 + 1j, -0.3j])
    np.testing.assert_allclose(tg.jacobian(np.exp)(z), np.diag(np.exp(z)))
    np.testing.assert_allclose(tg.jacobian(lambda z: (z * z).real)(z), np.diag(np.conj(2 * z)))
    np.testing.assert_allclose(tg.jacobian(lambda z: (z * z).real.sum())(z), np.conj(2 * z))
    np.testing.assert_allclose(tg.jacobian(lambda x: x * z)(np.ones(2)), np.diag(z))
    with pytest.raises(ValueError, match="not holomorphic"):
        tg.jacobian(np.conj)(z)
