"""A function without a gradient is one in each argument: no gradient is dropped in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special as sp

import tinygrad_cv as tg
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.rules import enter_scipy
from tinygrad_cv.rules.table import WITHOUT_GRADIENT

X = np.array([0.3, 1.7, -0.4])
MATRIX = np.array([[1.2, 0.3], [0.4, 2.1]])
ONE = np.array(1.6)

# Functions of arrays of real numbers: where they are taken. All floating-point arguments count.
CALLS: dict[Any, tuple[Any, ...]] = {
    np.linalg.matrix_rank: (MATRIX, ONE),
    np.isclose: (X, X + 0.1, ONE, ONE),
    np.allclose: (X, X + 0.1, ONE, ONE),
    np.array_equal: (X, X + 0.1),
    np.array_equiv: (X, X + 0.1),
    np.digitize: (X, np.array([0.0, 1.0])),
    np.searchsorted: (np.array([0.0, 1.0]), X),
    np.isin: (X, X + 0.1),
    np.angle: (X, True),
    np.argpartition: (X, 1),
    np.nextafter: (X, X + 1),
    np.round: (X, 1),
    np.around: (X, 1),
    np.full: ((2, 3), X),
    np.full_like: (X, ONE),
    np.heaviside: (X, X),
    np.histogram: (X, np.array([-0.35, 0.5, 2.0]), None, False, X + 3),
    np.arange: (ONE, ONE + 3, ONE),
    np.kaiser: (5, ONE),
    np.fft.fftfreq: (4, ONE),
    np.fft.rfftfreq: (4, ONE),
    sp.roots_jacobi: (2, ONE, ONE + 1),
    sp.roots_sh_jacobi: (2, ONE + 1, ONE),
    sp.roots_genlaguerre: (2, ONE),
    sp.roots_gegenbauer: (2, ONE),
}
enter_scipy()
# What takes no real numbers, or gives nothing that depends on them.
NO_NUMBERS = """
bernoulli euler geterr seterr stirling2 factorial2 factorialk base_repr binary_repr mintypecode
isdtype issubdtype promote_types can_cast typename isnat einsum_path broadcast_shapes packbits
unpackbits bitwise_and bitwise_or bitwise_xor bitwise_count invert left_shift right_shift gcd lcm
ravel_multi_index unravel_index mask_indices array2string array_repr array_str bartlett blackman
hamming hanning empty eye identity indices ones zeros tri diag_indices diag_indices_from
tril_indices tril_indices_from triu_indices triu_indices_from format_float_positional
format_float_scientific empty_like common_type min_scalar_type result_type iterable isscalar
shares_memory may_share_memory
"""


def _takes_numbers(function: Any) -> bool:
    name = name_of(function).rpartition(".")[2]
    return not (
        name in NO_NUMBERS.split()
        or name.endswith("_zeros")
        or (name.startswith("roots_") and function not in CALLS)
    )


FUNCTIONS = sorted({*filter(_takes_numbers, WITHOUT_GRADIENT), *CALLS}, key=name_of)


def _arguments(function: Any) -> tuple[Any, ...]:
    if function in CALLS:
        return CALLS[function]
    return (X, X + 0.25) if getattr(function, "nin", 1) == 2 else (X,)


def _flat(value: Any) -> np.ndarray:
    parts = value if isinstance(value, (tuple, list)) else [value]
    return np.concatenate([np.ravel(np.asarray(getattr(p, "data", p), float)) for p in parts])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
def test_an_argument_is_without_influence_or_differentiated_or_refused(function: Any) -> None:
    """A small step in an argument either changes nothing, or the function has a gradient there, or
    a tensor that requires one is refused by the argument's name."""
    arguments = _arguments(function)
    places = [i for i, a in enumerate(arguments) if isinstance(a, np.ndarray)]
    assert places
    value = _flat(function(*arguments))
    for place in places:
        moved, leaf = list(arguments), list(arguments)
        moved[place] = arguments[place] + 1e-7
        leaf[place] = tg.Tensor(arguments[place], requires_grad=True)
        still = np.array_equal(value, _flat(function(*moved)), equal_nan=True)
        try:
            result = tg.rule(function)(*leaf)
        except NotImplementedError as error:
            assert name_of(function) in str(error) and ".detach()" in str(error)
            assert not still
            continue
        parts = result if isinstance(result, (tuple, list)) else [result]
        assert still or any(getattr(part, "requires_grad", False) for part in parts)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda t: tg.rule(np.fft.fftfreq)(4, t), "d"),
        (lambda t: np.arange(0, 5, t, like=t), "step"),
        (lambda t: tg.rule(np.kaiser)(5, t), "beta"),
        (lambda t: tg.rule(sp.roots_jacobi)(3, 0.5, t), "beta"),
        (lambda t: tg.rule(sp.factorial2)(t), "n"),
    ],
)
def test_a_refused_argument_is_named(call: Callable[[Any], Any], name: str) -> None:
    t = tg.Tensor([1.5], requires_grad=True)
    with pytest.raises(NotImplementedError, match=rf"'{name}'; pass {name}\.detach\(\)"):
        call(t)


def test_a_refused_argument_may_be_a_tensor_where_nothing_is_recorded() -> None:
    t = tg.Tensor(1.5, requires_grad=True)
    expected = np.kaiser(5, 1.5)
    np.testing.assert_array_equal(tg.rule(np.kaiser)(5, t.detach()), expected)
    with tg.no_grad():
        np.testing.assert_array_equal(tg.rule(np.kaiser)(5, t), expected)


def test_a_step_has_a_gradient_in_its_value_at_zero() -> None:
    half = tg.Tensor([0.5, 0.25, 0.75], requires_grad=True)
    np.heaviside(np.array([0.0, -1.0, np.nan]), half).sum().backward()
    np.testing.assert_array_equal(half.grad, [1, 0, 0])


def test_a_filled_array_hands_its_gradient_to_the_value() -> None:
    like = tg.Tensor(np.zeros((2, 3), np.float32))
    value = tg.Tensor(2.0, requires_grad=True)
    filled = np.full_like(like, value)
    assert filled.dtype == np.float32
    filled.sum().backward()
    assert value.grad == 6
    plain = np.full_like(like, 3.0)
    assert type(plain) is np.ndarray and plain.flags.writeable


def test_counts_without_weights_are_whole_numbers_outside_the_graph() -> None:
    t = tg.Tensor(X, requires_grad=True)
    counts, edges = np.histogram(t, 3)
    np.testing.assert_array_equal(counts, np.histogram(X, 3)[0])
    assert type(counts) is np.ndarray and counts.dtype == np.histogram(X, 3)[0].dtype
    assert edges.requires_grad


@pytest.mark.parametrize("bins", [[2.0, 1.0], 0, -1])
def test_bins_that_numpy_refuses_are_refused(bins: Any) -> None:
    w = tg.Tensor(np.ones(3), requires_grad=True)
    for weights in (np.ones(3), w):
        with pytest.raises(ValueError):
            np.histogram(X, bins, weights=weights)


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        np.histogram(X, 3, weights=tg.Tensor(np.ones(4), requires_grad=True))
    with pytest.raises(TypeError, match="weighted"):
        np.histogram(X, "auto", weights=tg.Tensor(np.ones(3), requires_grad=True))


@pytest.mark.parametrize("seed", range(20))
def test_a_value_on_an_edge_falls_where_numpy_puts_it(seed: int) -> None:
    values = np.random.default_rng(seed).integers(-10, 11, 50) / 10
    w = tg.Tensor(np.ones(50), requires_grad=True)
    sums, _ = np.histogram(values, 20 + seed, (-0.9, 0.9), weights=w)
    np.testing.assert_array_equal(sums.data, np.histogram(values, 20 + seed, (-0.9, 0.9))[0])
