"""One door: what is no tensor becomes an array or is refused by name, and every result's dtype is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests import test_table  # noqa: F401  (enters the rows)
from tests.table import ROWS
from tinygrad_cv import kernels
from tinygrad_cv.tensor import TABLE, Rule

MATRIX = np.array([[2.0, 1.0], [0.0, 3.0]])


def leaf(*values: float) -> tg.Tensor:
    return tg.Tensor(np.array(values), requires_grad=True)


LISTS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "power": (lambda x: x ** [1.0, 2.0], lambda x: x ** np.array([1.0, 2.0])),
    "arctan2": (lambda x: np.arctan2(x, [1.0, 2.0]), lambda x: np.arctan2(x, np.array([1.0, 2.0]))),
    "solve": (
        lambda x: np.linalg.solve(x[:, None] + MATRIX, [1.0, 2.0]),
        lambda x: np.linalg.solve(x[:, None] + MATRIX, np.array([1.0, 2.0])),
    ),
    "interp": (
        lambda x: np.interp(x, [0.0, 1, 2], [0.0, 1, 4]),
        lambda x: np.interp(x, np.array([0.0, 1, 2]), np.array([0.0, 1, 4])),
    ),
    "roll": (
        lambda x: np.roll(np.outer(x, x), [1, 1], axis=(0, 1))[0],
        lambda x: np.roll(np.outer(x, x), (1, 1), axis=(0, 1))[0],
    ),
    "concatenate": (lambda x: np.concatenate(np.outer(x, x)), lambda x: np.ravel(np.outer(x, x))),
    "matmul": (lambda x: x @ [[1.0, 2.0], [3.0, 4.0]], lambda x: x @ np.array([[1.0, 2.0], [3.0, 4.0]])),
    "where": (lambda x: np.where([True, False], x, [5.0, 6.0]), lambda x: x * np.array([1.0, 0.0])),
    "kernel": (
        lambda x: kernels.mse(x, [1.0, 2.0]),
        lambda x: kernels.mse(x, np.array([1.0, 2.0])),
    ),
    "range": (lambda x: x * range(2), lambda x: x * np.arange(2)),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_an_operand_like_an_array(name: str) -> None:
    x = np.array([0.5, 1.5])
    weights = np.arange(1.0, 5.0)
    found, expected = (
        tg.grad(lambda x, f=f: np.sum(f(x) * weights[: np.size(f(x).numpy())]))(x) for f in LISTS[name]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def fake(library: str, name: str) -> Any:
    """An object of a class that stands in a library that need not be there."""
    kind = type(name, (), {"__array__": lambda self, dtype=None, copy=None: np.ones(2)})
    kind.__module__ = f"{library}.core.frame"
    return kind()


STRANGE = {
    "masked": (np.ma.masked_array([1.0, 2.0], [True, False]), "masked array"),
    "matrix": (np.asmatrix([[1.0, 2.0]]), "matrix"),
    "sparse": (scipy.sparse.csr_array(MATRIX), "scipy csr_array.*toarray"),
    "pandas": (fake("pandas", "Series"), "pandas Series.*to_numpy"),
    "object": (np.array([1.0, None], object), "array of object"),
    "text": (np.array(["a", "b"]), "array of <U1"),
    "list of text": (["a", "b"], "array of <U1"),
    "dates": (np.array(["2020-01-01", "2020-01-02"], "datetime64[D]"), "array of datetime64"),
    "structured": (np.zeros(2, [("a", float)]), "array of"),
}
TWO = [f for f, row in TABLE.items() if isinstance(f, np.ufunc) and isinstance(row, Rule) and f.nin == 2 and f.nout == 1]


@pytest.mark.parametrize("kind", STRANGE)
@given(ufunc=st.sampled_from(sorted(TWO, key=str)), first=st.booleans())
def test_what_is_no_array_of_numbers_is_refused_by_name(kind: str, ufunc: np.ufunc, first: bool) -> None:
    value, message = STRANGE[kind]
    x = leaf(0.5, 0.6)
    with pytest.raises(TypeError, match=rf"{ufunc.__name__}: '\w+' is an? {message}"):
        TABLE[ufunc](value, x) if first else TABLE[ufunc](x, value)


@pytest.mark.parametrize("kind", STRANGE)
def test_operators_functions_kernels_and_tensors_refuse_it_too(kind: str) -> None:
    value, message = STRANGE[kind]
    x = leaf(0.5, 0.6)
    calls: list[Callable[[], Any]] = [
        lambda: x * value,
        lambda: x @ value,
        lambda: np.where(np.array([True, False]), x, value),
        lambda: kernels.mse(x, value),
        lambda: tg.Tensor(value),
        lambda: tg.grad(lambda x: x.sum())(value),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=f"{message}|holds real numbers, not|cannot differentiate"):
            call()


def test_a_masked_array_on_the_left_does_not_cut_the_graph_in_silence() -> None:
    x, masked = leaf(1.0, 2.0), np.ma.masked_array([1.0, 2.0], [True, False])
    for call in (lambda: (masked * x).sum(), lambda: np.ma.log(x), lambda: masked + x, lambda: np.ma.sum(x)):
        with pytest.raises(TypeError, match="graph"):
            call()
    for call in (lambda: scipy.sparse.csr_array(MATRIX) @ x, lambda: scipy.sparse.csr_array(MATRIX) * x):
        with pytest.raises(TypeError, match="graph"):
            call()


COMPLEX = [
    f
    for f in ROWS
    if isinstance(f, np.ufunc) and getattr(np, f.__name__, None) is f
    if f.nout == 1 and "DD->D" in f.types and f.signature is None
]


@pytest.mark.parametrize("ufunc", COMPLEX, ids=lambda f: f.__name__)
def test_complex_numbers_that_enter_by_a_constant_are_differentiated(ufunc: np.ufunc) -> None:
    x, constant = np.array([0.3, 0.4]), np.array([0.5, 0.25j])
    for f in (lambda x: ufunc(x, constant), lambda x: ufunc(constant, x), lambda x: ufunc(x, 0.25j)):
        gradient = tg.grad(lambda x, f=f: f(x).real.sum())(x)
        h = 1e-6
        slope = (f(x + h).real - f(x - h).real) / (2 * h)
        np.testing.assert_allclose(gradient, slope, rtol=1e-7, atol=1e-9)


def test_the_absolute_value_of_something_complex_has_a_slope() -> None:
    assert tg.grad(lambda x: np.abs(1j * x))(2.0) == 1.0
    assert (tg.Tensor(2.0) * 1j).item() == 2j


def test_an_error_names_what_to_use_here() -> None:
    x = leaf(1.0, 2.0)
    for name in ("logsumexp", "softmax", "log_softmax", "polygamma"):
        args = (1, x) if name == "polygamma" else (x,)
        with pytest.raises(TypeError, match=rf"tg\.special\.{name}"):
            getattr(scipy.special, name)(*args)
    for ufunc in (np.add, np.exp, scipy.special.xlogy):
        with pytest.raises(TypeError, match=rf"{ufunc.__name__}\.at writes in place.*np\.bincount"):
            ufunc.at(x, [0], *[1.0] * (ufunc.nin - 1))


def test_a_function_with_a_rule_of_its_own_just_works() -> None:
    def softsign(x: Any) -> Any:
        return x / (1 + np.abs(x))

    softsign = tg.derivative(softsign, x=lambda g, x: g / (1 + np.abs(x)) ** 2)
    assert tg.grad(softsign)(1.0) == 0.25
    assert softsign(1.0) == 0.5
    np.testing.assert_array_equal(softsign(np.array([1.0, -1.0])), [0.5, -0.5])
    assert tg.grad(tg.grad(softsign))(1.0) == pytest.approx(-0.25)


def test_a_rule_prints_as_it_stands_in_the_table() -> None:
    assert repr(tg.rule(np.tanh)) == "np.tanh: x <- g * sech(x) ** 2   keeps x"
    assert repr(tg.rule(np.multiply)).splitlines() == [
        "np.multiply: x1 <- g * x2   keeps x2",
        "             x2 <- g * x1   keeps x1",
    ]
    for function, row in TABLE.items():
        if isinstance(row, Rule):
            assert repr(row).count("<-") == len(row.formulas), function



def test_a_tensor_of_a_tensor_that_requires_a_gradient_is_refused() -> None:
    t = tg.Tensor(np.ones(2), requires_grad=True)
    with pytest.raises(TypeError, match=r"t\.detach\(\)"):
        tg.Tensor(t * 2)
    np.testing.assert_array_equal(tg.Tensor(t.detach()).numpy(), np.ones(2))


@pytest.mark.parametrize(
    "operate, advice",
    [
        (lambda x: np.ma.array([1.0, 2.0], mask=[0, 1]) * x, r"\.filled"),
        (np.ma.log, r"\.filled"),
        (lambda x: scipy.sparse.eye(2) @ x, r"\.toarray"),
        (lambda x: scipy.sparse.csr_matrix(np.eye(2)).multiply(x), r"\.toarray"),
    ],
)
def test_a_library_that_makes_an_array_of_a_tensor_is_named(operate: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        operate(tg.Tensor(np.ones(2), requires_grad=True))
