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


def test_a_list_of_arrays_is_one_operand_of_a_ufunc() -> None:
    x, y = np.array(LIST), [np.array(LIST), np.ones(3)]
    for function in (np.add, np.matmul, np.vecdot):
        pair = (x, np.transpose(y)) if function is np.matmul else (x, y)
        call = lambda x, pair=pair, function=function: np.sum(function(x, pair[1]))
        check_grad(call, x)
    check_grad(lambda x: np.sum(np.matmul([np.array(row) for row in TABLE], x)), x)


# Tensors in the place of fill values, bounds, weights, positions.


def test_where_numpy_looks_for_no_tensor_the_rule_does() -> None:
    """NumPy hands a call over for a tensor in some arguments only; in the others it names the way."""
    x, value = np.array([np.nan, 2.0, -1.0]), leaf(0.5)
    for function, args, option, weight in (
        (np.full, ((2, 3),), "fill_value", 6),
        (np.full_like, (x,), "fill_value", 3),
        (np.pad, (x, 1), "constant_values", 2),
        (np.nan_to_num, (x,), "nan", 1),
        (np.select, ([x > 0], [x]), "default", 2),
        (np.interp, ([-1.0, 0.5, 3.0], [0.0, 1.0], [2.0, 4.0]), "left", 1),
    ):
        name = f"np.{function.__name__}"
        with pytest.raises((TypeError, NotImplementedError), match=rf"here use tg\.rule\({name}\)"):
            function(*args, **{option: value})
        found = tg.grad(lambda v, f=function, a=args, o=option: np.nansum(tg.rule(f)(*a, **{o: v})))
        assert found(0.5) == weight, name


def test_a_border_of_an_empty_array_has_the_gradient() -> None:
    nothing, value = leaf([]), leaf(2.0)
    np.pad(nothing, 2, constant_values=value).sum().backward()
    assert nothing.grad.shape == (0,)
    assert value.grad == 4


def test_borders_may_be_a_list_with_tensors() -> None:
    before, behind = leaf(2.0), leaf(3.0)
    padded = np.pad(tg.Tensor(LIST), (1, 2), constant_values=(before, behind))
    np.testing.assert_array_equal(padded.data, np.pad(LIST, (1, 2), constant_values=(2, 3)))
    padded.sum().backward()
    assert (before.grad, behind.grad) == (1, 2)


@pytest.mark.parametrize("mode", ["empty", lambda vector, widths, axis, options: None])
def test_a_border_without_a_value_is_refused(mode: Any) -> None:
    with pytest.raises(NotImplementedError, match=r"np\.pad on tensors has no mode"):
        np.pad(leaf(LIST), 1, mode)


def test_a_quantile_moves_with_its_share() -> None:
    """At a share that hits an element, by the distance to the next one."""
    x = np.array([1.0, 2.0, 5.0])
    at = tg.grad(lambda q: np.quantile(x, q))
    assert at(0.25) == 2 * (2 - 1)
    assert at(0.5) == 2 * (5 - 2)
    assert tg.grad(lambda q: np.quantile(x, q, method="nearest"))(0.3) == 0
    in_percent = tg.grad(lambda q: np.nanpercentile(np.append(x, np.nan), q))(75.0)
    np.testing.assert_allclose(in_percent, 2 * (5 - 2) / 100)


def test_products_along_other_axes_are_refused() -> None:
    a, b = np.ones((2, 3)), np.ones((2, 3))
    axes = [(0, 1), (1, 0), (0, 1)]
    with pytest.raises(NotImplementedError, match=r"np\.matmul of tensors has no option 'axes'"):
        np.matmul(leaf(a.T), b.T, axes=axes)
    plain = np.matmul(tg.Tensor(a.T), b.T, axes=axes)
    np.testing.assert_array_equal(plain.data, np.matmul(a.T, b.T, axes=axes))
