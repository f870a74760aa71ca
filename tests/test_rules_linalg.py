"""numpy.linalg at its edges: singular matrices, equal eigenvalues, norms at 0, errors."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import linalg

import tinygrad_cv as tg
from tests.rows.linalg import ORDERS, matrices
from tinygrad_cv.tensor import TABLE
from tinygrad_cv.typing import Shape

Function = Callable[[Any], Any]


def gradient(f: Function, x: np.ndarray) -> Any:
    """The gradient, where any warning is an error: no division by 0 on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return tg.grad(f)(x)


def test_every_function_of_numpy_linalg_is_in_the_table() -> None:
    functions = {
        n: f for n in linalg.__all__ if callable(f := getattr(linalg, n)) and not inspect.isclass(f)
    }
    assert [n for n, f in functions.items() if f not in TABLE] == []


def test_the_determinant_of_singular_matrices_has_two_derivatives() -> None:
    """Rank n - 1: the cofactors. Rank n - 2: zero, but not the second derivative. By hand."""
    rank_two = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    np.testing.assert_allclose(
        gradient(linalg.det, rank_two), [[-3, 6, -3], [6, -12, 6], [-3, 6, -3]], atol=1e-12
    )
    by_hand = lambda a: (
        a[0, 0] * (a[1, 1] * a[2, 2] - a[1, 2] * a[2, 1])
        - a[0, 1] * (a[1, 0] * a[2, 2] - a[1, 2] * a[2, 0])
        + a[0, 2] * (a[1, 0] * a[2, 1] - a[1, 1] * a[2, 0])
    )
    for a in (rank_two, np.outer([1.0, 2, -1], [3.0, 1, 2]), np.zeros((3, 3)), np.eye(3)):
        np.testing.assert_allclose(gradient(linalg.det, a), tg.grad(by_hand)(a), atol=1e-12)
        np.testing.assert_allclose(tg.hessian(linalg.det)(a), tg.hessian(by_hand)(a), atol=1e-12)


def test_the_third_derivative_of_the_determinant() -> None:
    a = np.array([[2.0, 1.0, 0.3], [0.5, 3.0, 1.0], [0.2, -1.0, 1.0]])
    third = tg.jacobian(lambda x: tg.hessian(linalg.det)(x))(a)
    expected = np.zeros((3,) * 6)
    for i in range(3):
        for j in range(3):
            step = np.zeros((3, 3))
            step[i, j] = (
                1.0  # the determinant has degree 3, and degree 1 in each element: one step is exact
            )
            expected[..., i, j] = tg.hessian(linalg.det)(a + step) - tg.hessian(linalg.det)(a)
    np.testing.assert_allclose(third, expected, atol=1e-9)


def test_slogdet_has_two_values_and_a_constant_sign() -> None:
    a = tg.Tensor(np.diag([-2.0, 4.0]), requires_grad=True)
    result = linalg.slogdet(a)
    assert float(result.sign.item()) == -1
    (result.logabsdet + result.sign).backward()
    np.testing.assert_allclose(a.grad, np.diag([-0.5, 0.25]))


@pytest.mark.parametrize(
    "call",
    [linalg.inv, lambda a: linalg.solve(a, np.ones(2)), lambda a: linalg.matrix_power(a, -2)],
)
def test_singular_matrices_are_an_error_of_numpy(call: Function) -> None:
    with pytest.raises(linalg.LinAlgError, match="Singular"):
        call(tg.Tensor(np.ones((2, 2)), requires_grad=True))


def test_cholesky_of_an_indefinite_matrix_is_an_error_of_numpy() -> None:
    with pytest.raises(linalg.LinAlgError, match="positive definite"):
        linalg.cholesky(tg.Tensor(-np.eye(2), requires_grad=True))


@given(matrices(batch=st.just(())))
def test_gradients_of_functions_of_symmetric_matrices_are_symmetric(a: np.ndarray) -> None:
    weights = np.arange(a.size).reshape(a.shape)
    for f in (
        linalg.cholesky,
        lambda x: linalg.eigh(x)[1] ** 2,
        lambda x: linalg.eigvalsh(x)[:, None],
    ):
        found = tg.grad(lambda x, f=f: np.sum(f(x) * weights))(a @ a.T)
        np.testing.assert_allclose(found, found.T, atol=1e-9 * (1 + np.abs(found).max()))


def test_eigenvalues_that_are_equal_have_derivatives_but_their_vectors_have_none() -> None:
    a = np.diag([1.0, 1.0, 2.0])
    for values in (
        linalg.eigvalsh,
        lambda x: linalg.eigh(x)[0],
        linalg.svdvals,
        lambda x: linalg.svd(x)[1],
    ):
        np.testing.assert_allclose(
            gradient(lambda x, f=values: np.sum(f(x)), a), np.eye(3), atol=1e-12
        )
    lone = gradient(lambda x: linalg.eigh(x)[1][0, 2] ** 2, a + 0.1 * np.ones((3, 3)))
    assert np.all(np.isfinite(lone))
    for vectors in (
        lambda x: linalg.eigh(x)[1],
        lambda x: linalg.svd(x)[0],
        lambda x: linalg.svd(x)[2],
    ):
        with pytest.raises(linalg.LinAlgError, match="are equal"):
            gradient(lambda x, f=vectors: np.sum(f(x)[:2, :2]), a)


def test_a_lone_eigenvector_beside_equal_eigenvalues_has_a_derivative() -> None:
    """For the eigenvalue 2 of diag(1, 1, 2): d(v v^T)[0, 2] / dA[0, 2] = 1 / (2 - 1), shared."""
    entry = lambda x: (lambda v: v[0] * v[2])(linalg.eigh(x)[1][:, 2])
    expected = np.zeros((3, 3))
    expected[0, 2] = expected[2, 0] = 0.5
    np.testing.assert_allclose(gradient(entry, np.diag([1.0, 1.0, 2.0])), expected, atol=1e-12)
    with pytest.raises(linalg.LinAlgError, match="are equal"):  # for tangents of all vectors
        tg.jvp(entry, (np.diag([1.0, 1.0, 2.0]),), (np.ones((3, 3)),))


def test_singular_vectors_of_a_zero_singular_value() -> None:
    tall = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    values = lambda x: np.sum(linalg.svd(x, full_matrices=False)[1])
    assert np.all(np.isfinite(gradient(values, tall)))
    with pytest.raises(linalg.LinAlgError, match="singular value is 0"):
        gradient(lambda x: np.sum(linalg.svd(x, full_matrices=False)[0][:, 1]), tall)


def test_what_has_no_derivative_is_refused() -> None:
    with pytest.raises(NotImplementedError):
        linalg.qr(tg.Tensor(np.ones((3, 2)), requires_grad=True), mode="raw")


def test_the_vectors_that_complete_a_singular_value_decomposition_may_turn() -> None:
    """A loss that depends on how they turn has no gradient; that of the space they span has one."""
    a = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(linalg.LinAlgError, match=r"arbitrary.*full_matrices=False"):
        tg.grad(lambda a: linalg.svd(a)[0][0, 3])(a)
    beyond = lambda a: (lambda n: np.sum((n @ n.T)[0] ** 2))(linalg.svd(a)[0][:, 2:])
    within = lambda a: (lambda u: np.sum((np.eye(5) - u @ u.T)[0] ** 2))(linalg.svd(a)[0][:, :2])
    np.testing.assert_allclose(tg.grad(beyond)(a), tg.grad(within)(a), rtol=1e-10, atol=1e-12)


def test_the_vectors_that_complete_a_q_may_turn() -> None:
    a = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(linalg.LinAlgError, match=r"arbitrary.*mode='reduced'"):
        tg.grad(lambda a: linalg.qr(a, mode="complete").Q[0, 3])(a)
    beyond = lambda a: (lambda n: np.sum((n @ n.T)[0] ** 2))(linalg.qr(a, mode="complete").Q[:, 2:])
    within = lambda a: (lambda q: np.sum((np.eye(5) - q @ q.T)[0] ** 2))(linalg.qr(a).Q)
    np.testing.assert_allclose(tg.grad(beyond)(a), tg.grad(within)(a), rtol=1e-10, atol=1e-12)


def test_results_have_the_names_that_numpy_gives_them() -> None:
    a = tg.Tensor(np.array([[2.0, 1.0, 0.5], [1.0, 3.0, 0.2]]), requires_grad=True)
    s = a[:, :2]
    assert linalg.qr(a).R.shape == (2, 3)
    assert linalg.svd(a, full_matrices=False).Vh.shape == linalg.svd(s, hermitian=True).Vh.shape[
        :1
    ] + (3,)
    assert linalg.eigh(s).eigenvalues.shape == (2,)
    for hermitian in (linalg.svd(s, hermitian=True), linalg.svd(s)):
        np.testing.assert_allclose(((hermitian.U * hermitian.S) @ hermitian.Vh).data, s.data)


def test_lstsq_agrees_with_numpy_and_with_the_normal_equations() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 2)), rng.normal(size=5)
    for left, right in ((a, b), (a.T, b[:2]), (np.outer(a[:, 0], [1, 2]), b)):
        recorded = linalg.lstsq(tg.Tensor(left, requires_grad=True), right)
        for got, want in zip(recorded, linalg.lstsq(left, right), strict=True):
            np.testing.assert_allclose(getattr(got, "data", got), want, atol=1e-12)
    solution = lambda x: np.sum(linalg.lstsq(x, b)[0] ** 2)
    normal = lambda x: np.sum(linalg.solve(x.T @ x, x.T @ b) ** 2)
    np.testing.assert_allclose(tg.grad(solution)(a), tg.grad(normal)(a))


def vector_norms(*orders: Any) -> list[Function]:
    return [lambda x, p=p: np.sum(linalg.norm(x, p, axis=-1)) for p in orders]


def matrix_norms(*orders: Any) -> list[Function]:
    return [lambda x, p=p: linalg.matrix_norm(x, ord=p) for p in orders]


ROOTS = [*vector_norms(None, 2, 1.5, 3, 0.5), *matrix_norms("fro"), linalg.norm, linalg.vector_norm]
OTHERS = [
    *vector_norms(1, np.inf, -np.inf, -1, 0),
    *matrix_norms(*(p for p in ORDERS if p != "fro")),
]


@pytest.mark.parametrize("norm", [*ROOTS, *OTHERS])
@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (3, 2)])
def test_a_norm_at_zero_has_gradient_zero(norm: Function, shape: Shape) -> None:
    zero = np.zeros(shape)
    np.testing.assert_array_equal(gradient(norm, zero), zero)


@pytest.mark.parametrize("norm", OTHERS)
@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (3, 2)])
def test_a_norm_at_zero_has_second_derivative_zero(norm: Function, shape: Shape) -> None:
    zero = np.zeros(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(tg.hvp(norm, zero, np.ones(shape)), zero)


@pytest.mark.parametrize("norm", ROOTS)
def test_a_norm_that_is_a_root_has_no_second_derivative_at_zero(norm: Function) -> None:
    """Not 0 in silence, which would be wrong for its square."""
    zero = np.zeros((2, 3))
    for f in (norm, lambda x: norm(x) ** 2):
        with pytest.raises(FloatingPointError, match=r"np\.sum\(x \* x\) in place of"):
            tg.hvp(f, zero, np.ones((2, 3)))
    with pytest.raises(FloatingPointError, match="norm"):
        tg.hessian(lambda x: linalg.norm(x) ** 2)(np.zeros(2))
    np.testing.assert_array_equal(tg.hessian(lambda x: np.sum(x * x))(np.zeros(2)), 2 * np.eye(2))


def test_hypot_has_no_second_derivative_at_zero() -> None:
    """Its graph is the cone of the 2-norm: 0 in silence would be wrong for its square."""
    square = lambda x: np.hypot(x[0], x[1]) ** 2
    np.testing.assert_array_equal(tg.grad(square)(np.zeros(2)), np.zeros(2))
    with pytest.raises(FloatingPointError, match=r"x \* x \+ y \* y in place of"):
        tg.hessian(square)(np.zeros(2))
    np.testing.assert_allclose(tg.hessian(square)(np.array([3.0, -4.0])), 2 * np.eye(2), atol=1e-15)


def test_hypot_is_accurate_at_every_scale() -> None:
    for scale in (1e-310, 1e-160, 1.0, 1e160, 1e307):
        slope = tg.grad(lambda x: np.hypot(x[0], x[1]))(np.array([3.0, 4.0]) * scale)
        np.testing.assert_allclose(slope, [0.6, 0.8], rtol=1e-12)


def test_constant_data_have_a_standard_deviation_without_a_second_derivative() -> None:
    np.testing.assert_array_equal(tg.grad(np.std)(np.ones(3)), np.zeros(3))
    with pytest.raises(FloatingPointError, match=r"np\.var"):
        tg.hessian(np.std)(np.ones(3))


def test_a_root_at_zero_drops_an_infinite_gradient() -> None:
    """sqrt(norm(x)) at 0: the norm chooses slope 0, and 0 times infinity is not NaN."""
    with np.errstate(divide="ignore", invalid="raise"):
        np.testing.assert_array_equal(
            tg.grad(lambda x: np.sqrt(linalg.norm(x)))(np.zeros(2)), np.zeros(2)
        )
        assert tg.grad(lambda x: np.sqrt(np.hypot(x, 0.0)))(0.0) == 0


def test_forward_derivatives_of_a_norm_at_zero_need_no_second_derivative() -> None:
    value, slope = tg.jvp(linalg.norm, (np.zeros(2),), (np.ones(2),))
    assert value == 0 and slope == 0


@pytest.mark.parametrize("p", [1.5, 2, 3])
def test_a_norm_of_a_vector_with_a_zero_in_it(p: float) -> None:
    x = np.array([3.0, 0.0, -4.0])
    expected = np.sign(x) * np.abs(x) ** (p - 1) / linalg.norm(x, p) ** (p - 1)
    np.testing.assert_allclose(gradient(lambda v: linalg.norm(v, p), x), expected)
    assert np.all(np.isfinite(tg.hvp(lambda v: linalg.norm(v, p), x, np.ones(3))))


def test_ties_of_the_largest_share_equally() -> None:
    np.testing.assert_allclose(
        gradient(lambda x: linalg.norm(x, np.inf), np.array([2.0, -2.0, 1.0])), [0.5, -0.5, 0]
    )
    np.testing.assert_allclose(
        gradient(lambda x: linalg.matrix_norm(x, ord=2), 3 * np.eye(2)), np.eye(2) / 2, atol=1e-12
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda x: linalg.norm(x, "fro", axis=0),
        lambda x: linalg.norm(x, 3, axis=(0, 1)),
        lambda x: linalg.norm(x[None], 2),
        lambda x: linalg.norm(x[None], axis=(0, 1, 2)),
        lambda x: linalg.matrix_norm(x, ord="max"),
        lambda x: linalg.tensorinv(x, ind=0),
        lambda x: linalg.matrix_power(x[:1], 2),
        lambda x: linalg.lstsq(x, np.ones(5)),
        lambda x: linalg.svdvals(x[0]),
        lambda x: linalg.qr(x[0]),
    ],
)
def test_what_numpy_refuses_is_refused(call: Function) -> None:
    x = np.eye(2) + 1
    with pytest.raises(ValueError):  # LinAlgError is one
        call(x)
    with pytest.raises(ValueError):
        call(tg.Tensor(x, requires_grad=True))


def test_the_power_zero_stays_a_tensor() -> None:
    a = tg.Tensor(np.full((2, 2), np.inf), requires_grad=True)
    linalg.matrix_power(a, 0).sum().backward()
    np.testing.assert_array_equal(a.grad, np.zeros((2, 2)))


def test_the_rank_is_a_plain_number() -> None:
    assert linalg.matrix_rank(tg.Tensor(np.eye(3), requires_grad=True)) == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda a: linalg.pinv(a, rcond=0.5),
        lambda a: linalg.pinv(a, rtol=0.5),
        lambda a: linalg.lstsq(a, np.ones(2), rcond=0.5)[0],
    ],
)
def test_singular_values_that_are_cut_off_and_not_zero_have_no_derivative(call: Function) -> None:
    """The formula is that of a constant rank; the pseudo-inverse of a cut matrix has another."""
    a = np.array([[3.0, 0.0], [0.0, 1.0]])
    with pytest.raises(linalg.LinAlgError, match="cuts off"):
        tg.grad(lambda a: np.sum(call(a)))(a)
    singular = np.outer([1.0, 2.0], [3.0, 1.0])
    assert np.all(np.isfinite(tg.grad(lambda a: np.sum(call(a)))(singular)))


def test_the_pseudo_inverse_of_a_symmetric_matrix_has_a_symmetric_gradient() -> None:
    a = np.array([[2.0, 0.5], [0.5, 1.0]])
    weights = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = tg.grad(lambda a: np.sum(linalg.pinv(a, hermitian=True) * weights))(a)
    full = tg.grad(lambda a: np.sum(linalg.pinv(a) * weights))(a)
    np.testing.assert_allclose(found, (full + full.T) / 2)
