"""Options are read or refused: a definition honours those it has, and refuses others by name."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special as sp

import tinygrad_cv as tg
from tinygrad_cv import rules
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.rules.scipy.stats import Method
from tinygrad_cv.rules.table import DEFINITIONS, INERT, as_array
from tinygrad_cv.tensor import TABLE, Rule

rules.enter_scipy()
BY_NAME = {  # without the distributions' methods, whose bodies are one for all: tests/test_scipy.py
    name_of(function): function for function, d in DEFINITIONS.items() if not isinstance(d, Method)
}
VERSIONED = {"bias", "ddof", "device", "shape", "newshape", "copy"}  # not in every version of NumPy

# Why an option is refused. `out` and `where` are the interface's matter.
REFUSED = {
    "order": "the fields of structured arrays",
    "return_sign": "the sign of a weighted sum of exponentials",
    "lapack_driver": "a driver that gives no singular values",
    "p_indices": "a permutation as numbers",
    "disp": "messages of functions of a matrix, in older versions",
    "blocksize": "a choice of older versions",
    "pivoting": "columns in another order",
    "b": "generalised eigenvalues",
    "type": "generalised eigenvalues",
    "subset_by_index": "some of the eigenvalues",
    "subset_by_value": "some of the eigenvalues",
    "assume_a": "matrices of which a part is read",
    "lower": "matrices of which a part is read",
    "transposed": "solve of a.mT",
    "atol": "a rank that depends on the size of a matrix",
    "return_rank": "a rank",
    "full_output": "a solver's report",
    "tcrit": "a right-hand side that jumps",
    "nan_policy": "elements that are left out",
    "diff_n": "derivatives beside the value of a spherical harmonic",
}


def leaf(*values: float) -> tg.Tensor:
    return tg.Tensor(np.array(values, float), requires_grad=True)


def numpys(definition: Any) -> Any:
    """The parameters of the function itself."""
    text = definition.text
    visible = definition.function if text is None else eval(f"lambda {text}: 0")
    return inspect.signature(visible).parameters


def read_in(body: Callable[..., Any]) -> set[str]:
    """The names that a function's body reads."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(body)))
    function = next(
        node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda))
    )
    statements = function.body if isinstance(function.body, list) else [function.body]
    nodes = [node for statement in statements for node in ast.walk(statement)]
    return {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


@pytest.mark.parametrize("name", BY_NAME)
def test_a_definition_reads_every_parameter_that_it_has(name: str) -> None:
    body = DEFINITIONS[BY_NAME[name]].body
    parameters = inspect.signature(body).parameters.values()
    assert {p.name for p in parameters} <= read_in(body)
    assert {p.kind for p in parameters} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}, (
        "no *args, no **options"
    )


@pytest.mark.parametrize("name", BY_NAME)
def test_a_definition_has_numpys_names_and_defaults(name: str) -> None:
    definition = DEFINITIONS[BY_NAME[name]]
    own = numpys(definition)
    assert definition.inert <= own.keys() | VERSIONED
    for p in inspect.signature(definition.body).parameters.values():
        assert p.name in own, p
        variadic = own[p.name].kind in (
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        )
        if own[p.name].default not in (np._NoValue, inspect.Parameter.empty) and not variadic:
            assert repr(p.default) == repr(own[p.name].default), p


def test_the_refused_options_are_those_that_have_a_reason() -> None:
    """In full: `tinygrad_cv.rules.refused_options()`."""
    refused = rules.refused_options()
    of_libraries = [refused[name] for name in refused if name.startswith(("np.", "scipy."))]
    assert {option for options in of_libraries for option in options} <= REFUSED.keys()
    assert refused["np.sort"] == ["order"]
    assert not {"np.cov", "np.pad", "np.interp", "np.quantile"} & refused.keys()


@pytest.mark.parametrize("name", [n for n in rules.refused_options() if n in BY_NAME])
def test_a_refused_option_is_named(name: str) -> None:
    definition = DEFINITIONS[BY_NAME[name]]
    required = [p for p in numpys(definition).values() if p.default is p.empty]
    names = [p.name for p in required if p.kind is not p.VAR_POSITIONAL]
    args = [1 if name in definition.constants else leaf(1.0, 2.0) for name in names]
    for option in rules.refused_options()[name]:
        message = rf"{re.escape(name)}\b.*'{option}'"
        with pytest.raises(NotImplementedError, match=message):
            definition(*args, **{option: np.ones(2)})


@pytest.mark.parametrize("name", [n for n in BY_NAME if DEFINITIONS[BY_NAME[n]].constants])
def test_a_tensor_in_the_place_of_a_size_or_an_axis_is_refused_by_name(name: str) -> None:
    """What is no operand by its annotation; without a gradient it is a number like any other."""
    definition = DEFINITIONS[BY_NAME[name]]
    for argument in definition.constants - {definition.signature.variadic}:
        message = rf"{re.escape(name)} is not differentiated with respect to '{argument}'"
        with pytest.raises(NotImplementedError, match=message):
            definition(**{argument: leaf(1.0)})
    x = leaf(1.0, 2.0)
    np.testing.assert_array_equal(np.tile(x, tg.Tensor(2)).data, [1, 2, 1, 2])


def test_an_unknown_option_names_itself_and_the_function() -> None:
    with pytest.raises(TypeError, match=r"np\.var.*'decimals'"):
        leaf(1.0, 2.0).var(decimals=2)


def test_an_option_with_its_default_value_is_no_option() -> None:
    x = leaf(2.0, 1.0)
    np.testing.assert_array_equal(np.sort(x, order=None).data, [1, 2])
    np.testing.assert_array_equal(np.cov(x, fweights=None).data, 0.5)


def test_a_rule_declares_only_options_that_its_function_has() -> None:
    for function, row in TABLE.items():
        if isinstance(row, Rule):
            assert INERT.get(function, frozenset()) <= row.signature.defaults.keys() | VERSIONED, name_of(
                function
            )


# Orders of elements in memory.


def test_the_order_in_memory_is_refused_where_it_matters() -> None:
    x = tg.Tensor(np.arange(6.0).reshape(2, 3).T.copy(order="F"), requires_grad=True)
    for call in (
        lambda: np.ravel(x, order="K"),
        lambda: np.ravel(x, order="A"),
        lambda: np.reshape(x, 6, order="A"),
    ):
        with pytest.raises(ValueError, match='write order="C" or order="F"'):
            np.sum(call() * np.arange(6.0)).backward()
    line = leaf(1.0, 2.0, 3.0)
    (np.ravel(line, order="K") * np.arange(3.0)).sum().backward()
    np.testing.assert_array_equal(line.grad, [0, 1, 2])


def test_the_order_of_fortran_is_kept() -> None:
    weights = np.arange(6.0)
    for call in (lambda x: np.ravel(x, order="F"), lambda x: np.reshape(x, 6, order="F")):
        found = tg.grad(lambda x, call=call: np.sum(call(x) * weights))(np.zeros((2, 3)))
        np.testing.assert_array_equal(found, weights.reshape((2, 3), order="F"))


# Types.


PLAIN = (np.sum, np.mean, np.prod, np.var, np.std, np.cumsum, np.cumprod, np.trace, np.linalg.trace, np.cov)
PLAIN += (np.nansum, np.nanmean, np.nanprod, np.nanvar, np.nanstd, np.nancumsum, np.nancumprod, np.corrcoef)
JOINED = (np.stack, np.hstack, np.vstack, np.concatenate)
SPACED = (np.linspace, np.logspace, np.geomspace)
WITH_DTYPE: dict[str, Callable[..., Any]] = {
    **{name_of(f): f for f in PLAIN},
    **{name_of(f): lambda x, dtype, f=f: f([x, x], dtype=dtype, casting="unsafe") for f in JOINED},
    **{name_of(f): lambda x, dtype, f=f: f(x, 2 * x, 3, dtype=dtype) for f in SPACED},
    "np.einsum": lambda x, dtype: np.einsum("ij,kj->", x, x, dtype=dtype, casting="unsafe"),
    "np.ufunc.reduce": lambda x, dtype: np.subtract.reduce(x, dtype=dtype),
    "np.ufunc.accumulate": lambda x, dtype: np.true_divide.accumulate(x, dtype=dtype),
    "np.ufunc.reduceat": lambda x, dtype: np.multiply.reduceat(x, [0, 2], dtype=dtype),
    "np.full": lambda x, dtype: tg.rule(np.full)((2, 3, 3), x, dtype),
    "np.full_like": lambda x, dtype: tg.rule(np.full_like)(np.zeros((3, 3), np.float32), x, dtype),
    "np.astype": lambda x, dtype: np.astype(x, dtype or x.dtype),
}
if hasattr(np, "cumulative_sum"):  # NumPy 2.1
    WITH_DTYPE["np.cumulative_sum"] = lambda x, dtype: np.cumulative_sum(x, axis=0, dtype=dtype)
    WITH_DTYPE["np.cumulative_prod"] = lambda x, dtype: np.cumulative_prod(x, axis=0, dtype=dtype)
OTHERWISE = ["cast", "einsum", "np.row_stack", "np.fromfunction"]  # by other names above, or of a user's function


def test_every_function_with_a_dtype_is_tested_with_it() -> None:
    for function, row in TABLE.items():
        signature = getattr(DEFINITIONS.get(function, row), "signature", None)
        if signature is not None and "dtype" in signature.defaults and not isinstance(function, np.ufunc):
            assert name_of(function) in {*WITH_DTYPE, *OTHERWISE}


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")  # np.nanvar casts to a given dtype
@pytest.mark.parametrize("name", WITH_DTYPE)
@given(
    of_x=st.sampled_from([np.float64, np.float32, np.float16]),
    dtype=st.sampled_from([None, np.float64, np.float32, np.float16, np.complex64]),
    seed=st.integers(0, 99),
)
def test_a_dtype_is_honoured_and_the_gradient_has_that_of_the_argument(
    name: str, of_x: Any, dtype: Any, seed: int
) -> None:
    array = np.random.default_rng(seed).uniform(0.5, 2, (3, 3)).astype(of_x)
    x = tg.Tensor(array, requires_grad=True)
    call = WITH_DTYPE[name]
    value, expected = call(x, dtype=dtype), call(array, dtype=dtype)
    assert value.dtype == expected.dtype
    eps = np.finfo(expected.dtype).eps
    np.testing.assert_allclose(value.numpy(), expected, rtol=8 * eps, atol=8 * eps)
    loss = lambda x, dtype: np.sum(np.real(call(x, dtype=dtype)).astype(np.float64))
    loss(x, dtype).backward()
    assert x.grad.dtype == of_x
    in_double = tg.grad(lambda v: loss(v, np.float64))(array.astype(np.float64))
    coarse = 32 * max(eps, np.finfo(of_x).eps)
    np.testing.assert_allclose(x.grad, in_double, rtol=coarse, atol=coarse * np.max(abs(in_double)))


def test_a_cast_to_integers_by_an_option_is_refused() -> None:
    with pytest.raises(TypeError, match="has no gradient"):
        np.linspace(leaf(1.0), 2.0, 3, dtype=int)


# Starting values.


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_the_starting_value_of_a_product_multiplies(axis: int | None) -> None:
    x = np.array([[2.0, 3.0], [0.0, 5.0]])
    weights = np.arange(1, 3.0) if axis is not None else np.ones(())
    product = lambda x, start: np.sum(weights * np.prod(x, axis=axis, initial=start))
    plain = lambda x, start: np.sum(weights * np.prod(x, axis=axis) * start)
    for one, other in zip(
        tg.grad(product, (0, 1))(x, 7.0), tg.grad(plain, (0, 1))(x, 7.0), strict=True
    ):
        np.testing.assert_allclose(one, other)
    np.testing.assert_allclose(
        tg.grad(lambda x: np.prod(x, initial=2.0))(np.array([3.0, 4.0])), [8, 6]
    )


def test_the_starting_value_of_a_maximum_is_one_of_the_elements() -> None:
    largest = lambda x, start: np.max(x, initial=start)
    x = np.array([1.0, 3.0, 3.0])
    for start, of_x, of_start in (
        (2.0, [0, 0.5, 0.5], 0),
        (3.0, [0, 1 / 3, 1 / 3], 1 / 3),
        (5.0, [0, 0, 0], 1),
    ):
        in_x, in_start = tg.grad(largest, (0, 1))(x, start)
        np.testing.assert_allclose(in_x, of_x)
        np.testing.assert_allclose(in_start, of_start)
    smallest = lambda x, start: np.sum(np.min(x, axis=1, initial=start) * np.array([1.0, 10.0]))
    in_x, in_start = tg.grad(smallest, (0, 1))(np.array([[1.0, 3.0], [4.0, 2.0]]), 1.5)
    np.testing.assert_allclose(in_x, [[1, 0], [0, 0]])
    np.testing.assert_allclose(in_start, 10)
    assert tg.grad(largest, (0, 1))(np.zeros(0), 2.0)[1] == 1


# SciPy's names.


def names_in_the_documentation(ufunc: np.ufunc) -> tuple[str, ...]:
    """Of `gdtr(a, b, x, out=None)`: a, b, x."""
    name = ufunc.__name__
    calls = re.findall(rf"^\s*{name}\((\w[\w, ]*), out=None\)", ufunc.__doc__, re.MULTILINE)
    return tuple(calls[0].split(", "))


SCIPY = [
    f
    for n in dir(sp)
    if isinstance(f := getattr(sp, n), np.ufunc)
    and (isinstance(TABLE[f], Rule) or f in DEFINITIONS)
]


@pytest.mark.parametrize("ufunc", dict.fromkeys(SCIPY), ids=lambda f: f.__name__)
def test_scipys_functions_have_the_names_of_scipys_documentation(ufunc: np.ufunc) -> None:
    row = TABLE[ufunc]
    own = row.signature.defaults if isinstance(row, Rule) else DEFINITIONS[ufunc].signature.defaults
    assert tuple(own)[: ufunc.nin] == names_in_the_documentation(ufunc)


def test_as_array_leaves_tensors_alone() -> None:
    x = leaf(1.0)
    assert as_array(x) is x
    assert as_array([1, 2]).shape == (2,)
