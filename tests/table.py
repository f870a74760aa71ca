"""The one table that tests every operation: a row is a function with Hypothesis strategies for its arguments.

What a row buys (see `check`): the value against NumPy's own, first and second derivatives against finite differences
at random cotangents, the dtype of gradients, nothing mutated, fan-out, non-contiguous input. `tests/rows/*.py` hold the
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_cv.tensor import Tensor, unwrap, walk

Strategy = st.SearchStrategy[Any]


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
    tolerance: float = 1e-6  # of finite differences, relative to the scale of the gradient
    constant: Sequence[int] = ()  # positions of floating-point arguments that have no derivative


ROWS: dict[Any, list[Row]] = {}


def row(
    function: Any, *arguments: Strategy, options: Strategy | None = None, call: Any = None, **settings: Any
) -> None:
    """Enter a row. Several argument strategies are drawn one by one; a single one may draw the whole tuple."""
    drawn = arguments[0] if len(arguments) == 1 else st.tuples(*arguments)
    drawn = drawn.map(lambda a: a if isinstance(a, tuple) else (a,))
    ROWS.setdefault(function, []).append(
        Row(function, drawn, st.just({}) if options is None else options, call or function, **settings)
    )


# ---------------------------------------------------------------------------------------------------------- strategies


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 1, max_side: int = 3) -> Strategy:
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


@st.composite
def arrays(
    draw: Any,
    shape: Any = None,
    low: float = -2.0,
    high: float = 2.0,
    avoid: Sequence[float] = (),
    distinct: bool = False,
) -> np.ndarray:
    """Float64 arrays of decimals in [low, high], not nearer than .05 to the points to avoid; with `distinct`, elements
    that differ by at least .05 from each other."""
    if shape is None:
        shape = shapes()
    if isinstance(shape, st.SearchStrategy):
        shape = draw(shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    size = int(np.prod(shape))
    if distinct:
        grid = np.arange(low, high, max(0.05, (high - low) / (4 * size + 4)))
        grid = grid[np.all(np.abs(grid[:, None] - np.array([*avoid, np.inf])) >= 0.05, axis=1)]
        return rng.choice(grid, size, replace=False).reshape(shape)
    values = np.round(rng.uniform(low, high, size), 3)
    for point in avoid:
        near = np.abs(values - point) < 0.05
        step = np.where(values >= point, 0.1, -0.1)
        values = np.where(near, point + np.where((point + step > high) | (point + step < low), -step, step), values)
    return values.reshape(shape)


@st.composite
def broadcastable(draw: Any, number: int = 2, **settings: Any) -> tuple[np.ndarray, ...]:
    """Arrays whose shapes broadcast: each drops leading axes or sets some to 1."""
    shape = draw(shapes())
    result = []
    for _ in range(number):
        kept = shape[draw(st.integers(0, len(shape))) :]
        result.append(draw(arrays(tuple(1 if draw(st.booleans()) else n for n in kept), **settings)))
    return tuple(result)


# -------------------------------------------------------------------------------------------------------------- checks


def leaves(arguments: Any, constant: Sequence[int]) -> list[np.ndarray]:
    """The arrays that are differentiated, in order."""
    found = []
    for i, a in enumerate(arguments):
        items = a if isinstance(a, list) else [a]
        found += [] if i in constant else [v for v in items if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    return found


def replace(arguments: Any, constant: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """The arguments with the differentiated arrays replaced."""
    remaining = iter(values)

    def new(a: Any) -> Any:
        return next(remaining) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a

    return [
        a if i in constant else [new(v) for v in a] if isinstance(a, list) else new(a) for i, a in enumerate(arguments)
    ]


def inner(values: Any, weights: Sequence[np.ndarray]) -> Any:
    """The sum of all values times weights: one number out of any function."""
    values = values if isinstance(values, (tuple, list)) else [values]
    return sum((np.sum(v * w) for v, w in zip(values, weights, strict=True)), start=0.0)


def gradients(f: Callable[..., Any], values: Sequence[np.ndarray], graph: bool = False) -> tuple[Any, list[Any]]:
    """Value and gradients of a scalar function of arrays."""
    tensors = [v if isinstance(v, Tensor) else Tensor(v, requires_grad=True) for v in values]
    result = f(*tensors)
    if not isinstance(result, Tensor) or result._node is None:
        return result, [np.zeros_like(unwrap(v)) for v in values]
    nodes: list[Any] = [t._node for t in tensors]
    found = walk([(result._node, np.ones_like(result._data))], nodes, graph=graph, retain=True)
    return result, [found.get(n, np.zeros_like(unwrap(v))) for n, v in zip(nodes, values, strict=True)]


def slope(f: Callable[[float], float], step: float = 1e-2) -> tuple[float, float]:
    """df/dt at 0 by Richardson extrapolation of central differences, and an estimate of its error."""
    table = [[(f(h) - f(-h)) / (2 * h)] for h in (step / 2**k for k in range(6))]
    for i in range(1, 6):
        for j in range(1, i + 1):
            table[i].append(table[i][j - 1] + (table[i][j - 1] - table[i - 1][j - 1]) / (4**j - 1))
    best = min(range(2, 6), key=lambda i: abs(table[i][i] - table[i - 1][i - 1]))
    return table[best][best], abs(table[best][best] - table[best - 1][best - 1])


def agree(
    f: Callable[..., Any], values: Sequence[np.ndarray], rng: np.random.Generator, tolerance: float, what: str
) -> None:
    """The gradient of a scalar function against slopes: by element if there are few, else in random directions."""
    plain = lambda *v: float(unwrap(f(*v)))
    _, found = gradients(f, values)
    scale = max([1e-3, *(float(np.max(np.abs(g), initial=0)) for g in found)])
    for k, (value, gradient) in enumerate(zip(values, found, strict=True)):
        assert (gradient.shape, gradient.dtype) == (value.shape, value.dtype)
        few = value.size <= 12
        directions = np.eye(value.size).reshape(value.size, *value.shape) if few else rng.normal(size=(3, *value.shape))
        for direction in directions:
            along = [lambda t, d=direction: plain(*values[:k], value + t * d, *values[k + 1 :])]  # noqa: B023
            numeric, error = slope(along[0])
            analytic = float(np.sum(gradient * direction))
            length = scale * max(1.0, float(np.abs(direction).sum()))
            where = f"{what}, argument {k}, direction {direction.tolist()}"
            assert abs(numeric - analytic) <= tolerance * length + 10 * error, (
                f"{where}: rule {analytic}, differences {numeric} +- {error}"
            )
            assert error <= max(1e-3 * length, 1e-6), f"{where}: not smooth here"


def check(case: Row, arguments: tuple[Any, ...], options: dict[str, Any], seed: int) -> None:
    """All that a row buys, for one draw."""
    rng = np.random.default_rng(seed)
    arguments = tuple(arguments)
    values = leaves(arguments, case.constant)
    before = [v.copy() for v in values]
    f = lambda *v: case.call(*replace(arguments, case.constant, v), **options)
    expected = f(*values)
    outputs = expected if isinstance(expected, (tuple, list)) else [expected]
    cotangents = [rng.normal(size=np.shape(o)) for o in outputs]
    recorded = f(*[Tensor(v, requires_grad=True) for v in values])
    for got, want in zip(recorded if isinstance(recorded, (tuple, list)) else [recorded], outputs, strict=True):
        np.testing.assert_allclose(unwrap(got), want, rtol=1e-12, atol=1e-12, err_msg="value")
        assert np.shape(unwrap(got)) == np.shape(want)
    scalar = lambda *v: inner(f(*v), cotangents)
    agree(scalar, values, rng, case.tolerance, "first order")
    _, first = gradients(scalar, values)
    _, doubled = gradients(lambda *v: scalar(*v) + scalar(*v), values)
    strided = [np.repeat(v, 2, axis=-1)[..., ::2] if v.ndim else v for v in values]
    _, same = gradients(scalar, strided)
    _, single = gradients(scalar, [v.astype(np.float32) for v in values])
    for one, two, again, low in zip(first, doubled, same, single, strict=True):
        np.testing.assert_allclose(two, 2 * one, rtol=1e-9, atol=1e-12, err_msg="fan-out")
        np.testing.assert_allclose(again, one, rtol=1e-9, atol=1e-12, err_msg="non-contiguous input")
        assert low.dtype == np.float32, "float32 in, float32 out"
    if case.order > 1:
        weights = [rng.normal(size=v.shape) for v in values]

        def second(*v: Any) -> Any:
            if not any(isinstance(a, Tensor) for a in v):
                return inner(gradients(scalar, v)[1], weights)
            return inner(gradients(scalar, v, graph=True)[1], weights)

        agree(second, values, rng, case.tolerance * 10, "second order")
    for value, old in zip(values, before, strict=True):
        np.testing.assert_array_equal(value, old, err_msg="an argument was written to")
