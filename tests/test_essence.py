"""The engine in small, as the package's README shows it, agrees with the engine."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

import tinygrad_cv as tg

from .test_house import MAX_COLUMNS, MAX_TOKENS, tokens_by_line
from .test_readme import ROOT, programs

TEXT = programs(ROOT / "tinygrad_cv" / "README.md")[0]
ESSENCE: dict[str, Any] = {}
exec(compile(TEXT, "essence", "exec"), ESSENCE)


class Step(NamedTuple):
    """One line of a program: a function of earlier values, counted from the latest."""

    function: str
    operands: tuple[int, int]
    axis: int


UNARY = [np.exp, np.tanh, np.sin, np.cos, np.arctan, np.square, np.negative, np.absolute]
BINARY = [np.add, np.subtract, np.multiply, np.hypot, np.logaddexp, np.maximum, np.matmul]
FUNCTIONS: dict[str, Any] = {f.__name__: f for f in (*UNARY, *BINARY, np.sum, np.mean)}
SHAPES: list[tuple[int, ...]] = [(), (1,), (3,), (1, 3), (2, 1), (2, 3), (3, 2), (4, 1, 3)]
STEPS = st.builds(
    Step, st.sampled_from(sorted(FUNCTIONS)), st.tuples(st.integers(1, 5), st.integers(1, 5)), st.integers(0, 2)
)


def carry_out(step: Step, values: list[Any]) -> Any:
    """The value of a step."""
    function = FUNCTIONS[step.function]
    x1, x2 = (values[-min(i, len(values))] for i in step.operands)
    if function in BINARY:
        return function(np.tanh(x1), x2)  # bounded, so that nothing overflows
    if function in UNARY:
        return function(np.tanh(x1))
    return function(x1, axis=step.axis, keepdims=bool(step.operands[1] % 2))


def fits(step: Step, values: list[np.ndarray]) -> bool:
    """Whether a step can be carried out."""
    try:
        values.append(np.asarray(carry_out(step, values)))
    except ValueError:  # shapes that do not fit, an axis that there is not
        return False
    return True


@given(st.lists(st.sampled_from(SHAPES), min_size=2, max_size=4), st.lists(STEPS, max_size=14), st.integers(0, 2**32))
@example([(2, 3), (3,)], [Step("multiply", (1, 2), 0)], 0)
@example([(2, 3), (2, 1)], [Step("multiply", (1, 2), 0), Step("multiply", (1, 1), 0)], 0)
def test_the_essence_gives_the_engines_gradients(
    shapes: list[tuple[int, ...]], steps: list[Step], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    leaves = [rng.normal(size=shape) for shape in shapes]
    arrays = list(leaves)
    program = [step for step in steps if fits(step, arrays)]

    def run(values: list[Any]) -> Any:
        for step in program:
            values.append(carry_out(step, values))
        return np.sum(values[-1])

    small = [ESSENCE["Tensor"](a) for a in leaves]
    y = run(list(small))
    gradients = ESSENCE["backpropagate"](y)
    tensors = [tg.Tensor(a, requires_grad=True) for a in leaves]
    loss = run(list(tensors))
    loss.backward()
    np.testing.assert_array_equal(y.data, loss.numpy())
    for own, tensor in zip(small, tensors, strict=True):
        assert (own in gradients) == (tensor.grad is not None)
        if own in gradients:
            assert gradients[own].shape == tensor.shape
            np.testing.assert_array_equal(gradients[own], tensor.grad)  # summed in the same order


def test_the_essence_is_short_and_reads_one_idea_a_line() -> None:
    lines = TEXT.splitlines()
    assert len(lines) <= 70
    assert max(map(len, lines)) <= MAX_COLUMNS
    counts = tokens_by_line(TEXT)
    assert sum(counts) <= MAX_TOKENS * len(counts)
