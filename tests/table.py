"""The one table that tests every operation: a row is a function with Hypothesis strategies for its arguments.

What a row buys (see `check`): the value against NumPy's own, first and second derivatives against finite differences
at random cotangents, the dtype of gradients, nothing mutated, fan-out, non-contiguous input. `tests/rows/*.py` hold the
rows.

Complex inputs are a column: `complex` of a row is True, the positions of the arguments that may be
complex, or the reason why none may; then a complex argument is refused. What a row does not say is
said by its function (`says_of_complex_numbers`). A draw of a row is made complex by phases, which
are drawn too (`turned`), and is checked like any other; some of its arrays stay real.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.engine.pytrees import map_leaves
from tinygrad_cv.kernels.kernel import Kernel
from tinygrad_cv.testing import GradReport, check_invariants, check_jvp
from tinygrad_cv.testing.check import Settings, check_once
from tinygrad_cv.testing.contract import draw_cotangents
from tinygrad_cv.testing.operation import Operation, is_array
from tinygrad_cv.testing.strategies import arrays
from tinygrad_cv.transforms import leaves

Strategy = st.SearchStrategy[Any]
# The arguments of a row are drawn wherever its function is defined. Of some of them NumPy and SciPy warn
# themselves, as they do of functions that will go (np.row_stack): that is not what a row is about.
THEIR_WARNINGS = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("RuntimeWarning", "DeprecationWarning", "numpy.exceptions.ComplexWarning")
]
ELSEWHERE = "elsewhere: "  # begins what a row says that is checked in another place
THOROUGH = hypothesis.settings.get_current_profile_name() == "thorough"
INVARIANTS = 1 if THOROUGH else 2  # of so many draws one has its invariants checked
SECOND = 2 if THOROUGH else 4  # and one its second derivative
LINALG = ELSEWHERE + "tests/test_complex_linalg.py"  # with matrices of each kind


@dataclass(frozen=True)
class Row:
    """One function: `arguments` draws the positional arguments (floating-point ndarrays, bare or in a list, are
    differentiated; all else is passed on), `options` the keywords. `call` stands in for the function where its values
    are unique only up to a choice (the sign of an eigenvector). `order` 1 where no second derivative exists."""

    function: Any
    arguments: Strategy
    options: Strategy
    call: Callable[..., Any]
    order: int = 2
    rtol: float | None = None  # the relative error that is allowed where the function itself is no more precise
    constant: Sequence[int] = ()  # positions of floating-point arguments that have no derivative
    complex: bool | str | tuple[int, ...] = True  # positions, or True for all; or why none
    phases: tuple[float, float] = (-2.8, 2.8)  # the default keeps away from branch cuts


ROWS: dict[Any, list[Row]] = {}


def row(
    function: Any, *arguments: Strategy, options: Strategy | None = None, call: Any = None, **settings: Any
) -> None:
    """Enter a row. Several argument strategies are drawn one by one; a single one may draw the whole tuple."""
    drawn = arguments[0] if len(arguments) == 1 else st.tuples(*arguments)
    drawn = drawn.map(lambda a: a if isinstance(a, tuple) else (a,))
    settings.setdefault("complex", says_of_complex_numbers(function))
    ROWS.setdefault(function, []).append(
        Row(function, drawn, st.just({}) if options is None else options, call or function, **settings)
    )


def says_of_complex_numbers(function: Any) -> bool | str:
    """What a function states by itself.

    Ufuncs have loops of complex numbers or not, kernels take none; all others take them.
    """
    module = getattr(function, "__module__", None) or ""
    if isinstance(function, Kernel) or module.startswith("tinygrad_cv.kernels"):
        return "kernels are of real numbers"
    if isinstance(function, np.ufunc) and function.signature is None:
        takes = [loop.partition("->")[0] for loop in function.types]
        return any("D" in loop for loop in takes) or "the ufunc has no loop of complex numbers"
    rooms = tuple(f"rules.numpy.{room}" for room in ("linalg", "eigen", "svd"))
    of_linalg = module.startswith("numpy.linalg") or module.endswith(rooms)
    return LINALG if of_linalg else True


@st.composite
def turned(draw: st.DrawFn, case: Row) -> tuple[Any, ...]:
    """A draw of a row with some of its arrays turned by phases in the complex plane, at least one."""
    arguments = draw(case.arguments)
    allowed = case.complex if isinstance(case.complex, tuple) else range(len(arguments))
    may_turn = []
    for i, argument in enumerate(arguments):
        free = i in allowed and i not in case.constant
        may_turn += [free and is_array(leaf) for leaf in leaves([argument])]
    candidates = [k for k, free in enumerate(may_turn) if free]
    chosen = draw(st.sets(st.sampled_from(candidates), min_size=1))
    numbers = iter(range(len(may_turn)))

    def turn(leaf: Any) -> Any:
        if next(numbers) not in chosen:
            return leaf
        phases = draw(arrays(leaf.shape, domain=case.phases, decimals=1))
        return leaf * np.exp(1j * phases)

    return tuple(map_leaves(turn, list(arguments)))


def operation(case: Row, arguments: tuple[Any, ...], options: dict[str, Any], call: Any = None) -> Operation:
    """One draw of a row as something to be tested, with another function in its place if `call` is given."""
    wrt = [i for i, a in enumerate(arguments) if i not in case.constant and any(map(is_array, leaves([a])))]
    return Operation(functools.partial(call or case.call, **options) if options else call or case.call, arguments, wrt)


def check(case: Row, arguments: tuple[Any, ...], options: dict[str, Any], seed: int) -> GradReport:
    """All that a row buys, for one draw."""
    one = operation(case, arguments, options)
    for recorded, plain in zip(one.pull(one.inputs)[0], one.value(one.inputs), strict=True):
        np.testing.assert_allclose(recorded, plain, rtol=1e-12, atol=1e-12, err_msg="value")
        assert recorded.shape == plain.shape
        assert recorded.dtype == plain.dtype
    if seed % INVARIANTS == INVARIANTS - 1:
        check_invariants(one.function, *arguments, wrt=one.wrt, rng=seed)
    check_forward_mode(case, one, seed)
    order = case.order if seed % SECOND == 0 else 1  # second derivatives take most of the time
    settings = Settings("check_grad", one.wrt, order, rtol=case.rtol, rng=seed)
    return check_once(one.function, None, arguments, settings)


def check_forward_mode(case: Row, one: Operation, seed: int) -> None:
    """<u, J v> = <J' u, v>; and in one draw of four also against differences along v."""
    rng = np.random.default_rng(seed)
    v = draw_cotangents(one.inputs, rng)
    values, pushed = tg.jvp(one.outputs, one.inputs, v)
    u = draw_cotangents(list(map(np.asarray, values)), rng)
    pulled = tg.vjp(one.outputs, *one.inputs)[1](u)
    forward = [products(*pair) for pair in zip(u, pushed, strict=True)]
    backward = [products(*pair) for pair in zip(pulled, v, strict=True)]
    size = np.sum(abs(np.concatenate([*forward, *backward])))
    weighted = np.concatenate([products(*pair) for pair in zip(u, values, strict=True)])
    eps = max(np.finfo(a.dtype).eps for a in one.inputs)
    allowed = 1e5 * eps * size + 100 * eps * np.sum(abs(weighted))
    difference = abs(sum(map(np.sum, forward)) - sum(map(np.sum, backward)))
    assert difference <= allowed, "forward mode is not the adjoint of backward"
    for tangent, value in zip(pushed, values, strict=True):
        assert np.shape(tangent) == np.shape(value) and np.asarray(tangent).dtype == np.asarray(value).dtype
    if seed % 4 == 0:
        check_jvp(one.outputs, lambda args, t: tg.jvp(one.outputs, args, t)[1], *one.inputs, rtol=case.rtol, rng=seed)


def products(a: Any, b: Any) -> np.ndarray:
    """The terms of <a, b>, a product of real numbers."""
    return np.ravel(np.real(np.conj(a) * b))
