"""Operands that are no tensors: lists beside tensors, and one tensor for several arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

import tinygrad_cv as tg
from tinygrad_cv.testing import check_grad
from tinygrad_cv.typing import ArrayLike

LIST = [1.0, 2.0, 4.0]
TABLE = [[1.0, 2.0, 0.5], [0.0, 3.0, 1.0], [2.0, 1.0, 5.0]]


def leaf(values: ArrayLike) -> tg.Tensor:
    return tg.Tensor(np.array(values, float), requires_grad=True)


# A function of two operands, each of which may be a list.
PAIRS: dict[str, tuple[Any, Any, Any]] = {
    "matmul": (np.matmul, TABLE, TABLE),
    "matmul of a vector": (np.matmul, LIST, TABLE),
    "dot": (np.dot, TABLE, LIST),
    "vdot": (np.vdot, LIST, LIST),
    "inner": (np.inner, TABLE, LIST),
    "outer": (np.outer, LIST, LIST),
    "vecdot": (np.vecdot, TABLE, LIST),
    "kron": (np.kron, LIST, TABLE),
    "cross": (np.cross, LIST, TABLE),
    "tensordot": (lambda a, b: np.tensordot(a, b, 1), TABLE, LIST),
    "einsum": (lambda a, b: np.einsum("ij,j->i", a, b), TABLE, LIST),
    "convolve": (np.convolve, LIST, [1.0, 3.0]),
    "correlate": (np.correlate, LIST, [1.0, 3.0]),
    "trapezoid": (np.trapezoid, TABLE, LIST),
    "cov": (np.cov, LIST, [3.0, 1.0, 2.0]),
    "append": (np.append, LIST, TABLE),
    "insert": (lambda a, b: np.insert(a, 1, b, axis=0), TABLE, LIST),
    "average": (lambda a, w: np.average(a, axis=1, weights=w), TABLE, LIST),
    "var with a mean": (lambda a, m: np.var(a, axis=0, mean=m), TABLE, [LIST]),
    "polyval": (np.polyval, LIST, [0.5, 2.0]),
    "interp of values": (lambda x, fp: np.interp(x, [0.0, 1.0, 2.0], fp), [0.2, 1.5], LIST),
    "interp of places": (
        lambda x, xp: np.interp(x, xp, [0.0, 1.0, 4.0]),
        [0.2, 1.5],
        [0.0, 1.0, 2.0],
    ),
    "linspace": (lambda a, b: np.linspace(a, b, 4), LIST, [2.0, 3.0, 5.0]),
    "logspace": (
        lambda a, b: np.logspace(a, b, 4, base=[[2.0], [3.0], [4.0]]),
        LIST,
        [2.0, 3.0, 5.0],
    ),
    "geomspace": (lambda a, b: np.geomspace(a, b, 4), LIST, [2.0, 3.0, 5.0]),
    "clip": (lambda a, low: np.clip(a, low, None), LIST, [2.0, 1.0, 3.0]),
    "diff": (lambda a, b: np.diff(a, prepend=b), LIST, [0.5]),
    "ediff1d": (lambda a, b: np.ediff1d(a, to_end=b), LIST, [0.5]),
    "select": (lambda a, b: np.select([[True, False, False], [True] * 3], [a, b]), LIST, LIST),
    "choose": (lambda a, b: np.choose([0, 1, 1], [a, b]), LIST, [5.0, 6.0, 7.0]),
    "stack": (lambda a, b: np.stack([a, b], axis=1), LIST, LIST),
    "hstack": (lambda a, b: np.hstack([a, b]), LIST, LIST),
    "vstack": (lambda a, b: np.vstack([a, b]), LIST, TABLE),
    "dstack": (lambda a, b: np.dstack([a, b]), LIST, LIST),
    "column_stack": (lambda a, b: np.column_stack([a, b]), LIST, TABLE),
    "broadcast_arrays": (lambda a, b: np.stack(np.broadcast_arrays(a, b)), LIST, TABLE),
    "meshgrid": (lambda a, b: np.stack(np.meshgrid(a, b)), LIST, [1.0, 2.0]),
    "atleast_2d": (lambda a, b: np.vstack(np.atleast_2d(a, b)), LIST, TABLE),
    "concatenate": (lambda a, b: np.concatenate([a, b]), LIST, LIST),
    "multi_dot": (lambda a, b: np.linalg.multi_dot([a, TABLE, b]), TABLE, LIST),
    "lstsq": (lambda a, b: np.linalg.lstsq(a, b)[0], TABLE, LIST),
    "tensorsolve": (lambda a, b: np.linalg.tensorsolve(a, b), TABLE, LIST),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_list_beside_a_tensor_counts_as_an_array(name: str) -> None:
    function, first, second = PAIRS[name]
    arrays = np.array(first), np.array(second)
    weights = np.random.default_rng(0).normal(size=np.shape(function(*arrays)))
    expected = tg.grad(lambda a, b: np.sum(function(a, b) * weights), (0, 1))(*arrays)
    for place in (0, 1):
        operands: list[Any] = [first, second]
        operands[place] = leaf(operands[place])
        value = function(*operands)
        np.testing.assert_allclose(value.data, function(*arrays))
        np.sum(value * weights).backward()
        np.testing.assert_allclose(operands[place].grad, expected[place], rtol=1e-12)


def test_rolling_by_a_list() -> None:
    x = leaf(np.arange(6).reshape(2, 3))
    weights = np.arange(6.0).reshape(2, 3)
    (np.roll(x, [1, 1], axis=(0, 1)) * weights).sum().backward()
    np.testing.assert_array_equal(x.grad, np.roll(weights, (-1, -1), axis=(0, 1)))


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_the_rows_of_one_tensor_are_joined(axis: int | None) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    weights = np.arange(24.0)
    join = lambda x: np.sum(np.ravel(np.concatenate(x, axis=axis)) * weights)
    separately = lambda x: np.sum(np.ravel(np.concatenate([x[0], x[1]], axis=axis)) * weights)
    np.testing.assert_array_equal(tg.grad(join)(x), tg.grad(separately)(x))
    np.testing.assert_array_equal(tg.grad(lambda x: np.sum(np.stack(x) * x))(x), 2 * x)


def test_the_matrices_of_one_tensor_are_multiplied() -> None:
    x = np.random.default_rng(0).normal(size=(3, 2, 2))
    together = tg.grad(lambda x: np.sum(np.linalg.multi_dot(x)))(x)
    np.testing.assert_allclose(together, tg.grad(lambda x: np.sum(x[0] @ x[1] @ x[2]))(x))


def test_counting_without_weights_has_no_gradient() -> None:
    counts = np.bincount(tg.Tensor([0, 2, 2]))
    np.testing.assert_array_equal(counts, [1, 0, 2])
    with pytest.raises(ValueError, match="negative"):
        np.bincount(np.array([-1]), weights=leaf([1.0]))


@pytest.mark.parametrize("function", [special.xlogy, special.xlog1py, special.rel_entr, special.powm1])
def test_a_constant_argument_called_y_is_not_the_value(function: Any) -> None:
    """In second derivatives, too: formulas call the function's value y, unless an argument is called so."""
    check_grad(function, np.array([0.5, 1.5]), np.array([2.0, 0.7]), wrt=0, order=2)
