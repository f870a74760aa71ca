"""Roots of polynomials, and what stands beside tensors in their place."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.testing import check_grad

CUBIC = np.array([1.0, -6.0, 11.0, -6.0])  # (x - 1) (x - 2) (x - 3)


def test_a_root_of_zero_moves_with_the_last_coefficient() -> None:
    """That of x^3 - 3 x^2 + 2 x + e near 0 is -e / 2."""
    last = tg.grad(lambda p: np.roots(p)[-1])(np.array([1.0, -3.0, 2.0, 0.0]))
    np.testing.assert_array_equal(last, [0, 0, 0, -0.5])


def test_roots_of_complex_coefficients() -> None:
    p = CUBIC * np.exp(1j * np.arange(4))
    check_grad(lambda p: np.roots(p), p, order=2)
    pairs = np.array([1.0, 0.5, 2.0])
    check_grad(lambda p: np.roots(p), pairs, order=2)


def test_coefficients_of_complex_roots() -> None:
    roots = np.array([0.5 + 1j, 2.0 - 0.3j, -1.0 + 0j])
    check_grad(np.poly, roots, order=2)
    check_grad(np.poly, np.outer(roots, roots[::-1]) + np.diag(roots), order=2)
    pair = tg.Tensor(np.array([1 + 1j, 1 - 1j]), requires_grad=True)
    assert np.poly(pair).dtype == np.poly(pair.data).dtype == np.float64


@pytest.mark.parametrize("roots", [[1.0, 1.0, 2.0], [0.0, 0.0, 2.0], [3.0] * 4])
def test_equal_roots_have_no_derivative(roots: list[float]) -> None:
    with pytest.raises(np.linalg.LinAlgError, match="roots are equal"):
        tg.grad(lambda p: np.sum(np.real(np.roots(p))))(np.poly(roots))


def test_coefficients_of_equal_eigenvalues_have_a_derivative() -> None:
    """det(x - A) at the identity: the trace moves the second coefficient."""
    second = tg.grad(lambda a: np.poly(a)[1])(np.eye(3))
    np.testing.assert_allclose(second, -np.eye(3))


def test_a_poly1d_is_refused_by_name() -> None:
    t = tg.Tensor(CUBIC, requires_grad=True)
    with pytest.raises(TypeError, match=r"np\.polymul: 'a2' is a poly1d.*\.coeffs"):
        np.polymul(t, np.poly1d([1.0, 2.0]))


def test_the_product_with_a_polynomial_that_is_zero() -> None:
    x, zero = CUBIC, np.zeros(2)
    np.testing.assert_array_equal(np.polymul(tg.Tensor(x), zero).data, np.polymul(x, zero))
    in_zero = tg.grad(lambda z: np.sum(np.polymul(x, z) * np.arange(4.0)))(zero)
    np.testing.assert_allclose(in_zero, [0, np.sum(x * np.arange(4.0))])
