"""What must not matter to a gradient.

How its inputs lie in memory, who else reads them, their precision, their size.
"""

from __future__ import annotations

import time

import numpy as np

from ..transforms import vjp
from ..typing import PyTree
from .agreement import (
    Agreement,
    applies,
    as_gradient,
    first_index,
    pull_again,
    shifts_by_rounding,
)
from .check import GradReport
from .contract import contract, draw_cotangents, unsettle
from .layouts import each_of_inputs
from .message import GradMismatch
from .numeric import largest_finite
from .operation import Function, Operation, Positions, Seed

EPS = float(np.finfo(np.float32).eps)
NARROW = {  # dtypes in float32's precision
    np.dtype(np.float64): np.dtype(np.float32),
    np.dtype(np.complex128): np.dtype(np.complex64),
}


def check_invariants(
    f: Function | tuple[Function, Function],
    *args: PyTree,
    wrt: Positions = None,
    rng: Seed = 0,
) -> GradReport:
    """Check what holds for the gradient of any operation, without differences.

    `f` is a function of tensors, or a pair (forward, backward) as in `check_vjp`. Checked:
    nothing mutated, shapes and dtypes, linearity in the cotangent, determinism, no state from
    another call, one array as two arguments; no aliasing between gradients and inputs;
    accumulation over a fan-out; every memory layout and read-only inputs; inputs of one element,
    of none and without axes where the operation takes them; float32 as accurate as it can be.

    Raises GradMismatch for the first that does not hold.
    """
    start = time.perf_counter()
    forward, backward = f if isinstance(f, tuple) else (f, None)
    operation = Operation(forward, args, wrt, backward)
    generator = np.random.default_rng(rng)
    held: list[str] = []
    unsettle(operation, np.random.default_rng(0))
    values = operation.value(operation.inputs)
    cotangents = draw_cotangents(values, generator)
    gradients = contract(operation, cotangents, held, generator)

    no_aliasing(operation, gradients)
    held.append("no aliasing")
    if backward is None:
        fan_out(Agreement(operation, cotangents, gradients, values))
        held.append("fan-out")
    agreement = Agreement(operation, cotangents, gradients, values)
    held += each_of_inputs(agreement)
    double = all(a.dtype in NARROW for a in operation.inputs)
    if double and applies(lambda: single(operation, cotangents)):
        held.append("float32")
    held += sizes(operation, generator)
    return GradReport(
        operation.name,
        sum(a.size for a in operation.inputs),
        held=held,
        seconds=time.perf_counter() - start,
    )


def no_aliasing(operation: Operation, gradients: list[np.ndarray]) -> None:
    """A caller who writes into a gradient must not change an input or another gradient."""
    for i, gradient in enumerate(gradients):
        repeats = [
            n > 1 and not step for n, step in zip(gradient.shape, gradient.strides, strict=True)
        ]
        if any(repeats):
            raise GradMismatch(
                f"{operation.name}: elements of the gradient with respect to "
                f"{operation.names[i]} share memory: who adds to one changes the others\n"
                "  fix: return a copy"
            )
        others = list(zip(operation.inputs, operation.names, strict=True))
        for j, other in enumerate(gradients):
            if j != i:
                others.append((other, f"the gradient of {operation.names[j]}"))
        for other, name in others:
            if np.may_share_memory(gradient, other) and np.shares_memory(gradient, other):
                raise GradMismatch(
                    f"{operation.name}: the gradient with respect to {operation.names[i]} "
                    f"shares memory with {name}: who writes into one changes the other\n"
                    "  fix: return a copy"
                )


def fan_out(agreement: Agreement) -> None:
    """The gradient of f(x) + f(x) is twice that of f(x): every use counts."""
    operation = agreement.operation

    def twice(*inputs: PyTree) -> list[PyTree]:
        once = operation.outputs(*inputs)
        again = operation.outputs(*inputs)
        return [a + b for a, b in zip(once, again, strict=True)]

    _, pullback = vjp(twice, *operation.inputs)
    halves = [g / 2 for g in pullback(agreement.cotangents)]
    agreement.check(halves, "a fan-out does not accumulate, f(x) + f(x) is wrong")


def single(operation: Operation, cotangents: list[np.ndarray]) -> bool:
    """In float32 the gradient is float32, and nearly that of float64.

    As near as the rounding of its inputs lets it be.
    """
    narrow = operation.at([a.astype(NARROW[a.dtype]) for a in operation.inputs])
    values, pull = narrow.pull(narrow.inputs)
    given = [c.astype(v.dtype) for c, v in zip(cotangents, values, strict=True)]
    gradients = [as_gradient(narrow, i, g) for i, g in enumerate(pull(given))]
    pairs = zip(narrow.inputs, operation.inputs, strict=True)
    wide = operation.at([a.astype(given.dtype) for a, given in pairs])
    exact = pull_again(wide, wide.inputs, cotangents)
    shifts = shifts_by_rounding(wide, cotangents, exact, EPS)

    size = sum(float(np.sum(abs(v))) for v in values)
    push = max(map(largest_finite, cotangents), default=0.0)
    for i, (low, high) in enumerate(zip(gradients, exact, strict=True)):
        scale = largest_finite(high)
        explained = largest_finite(shifts[i]) + EPS * (scale + operation.natural_slope(size, i))
        if scale < 1e-10 * push:
            explained = EPS * push  # no gradient at all: the rounding of terms that cancel
        differs = ~(abs(low - high) <= 50 * explained)
        wrong = differs & np.isfinite(high)
        if wrong.any() and np.isfinite(explained):
            where = first_index(wrong)
            raise GradMismatch(
                f"{operation.name}: float32 loses more than it must, with respect to "
                f"{operation.names[i]} at {list(where)}: {low[where]:+.9g} in float32, "
                f"{high[where]:+.9g} in float64, where the rounding of the inputs explains "
                f"{explained:.1g}\n"
                "  pattern: a difference of nearly equal numbers, or an overflow?"
            )
    return True


def sizes(operation: Operation, rng: np.random.Generator) -> list[str]:
    """Try an operation on one array at unusual sizes; those that it takes.

    These are one element with and without axes, and none: all axes as long as the first one are
    cut, since axes that belong together have one length.
    """
    if len(operation.inputs) != 1 or not operation.inputs[0].size:
        return []
    array = operation.inputs[0]
    first = array.reshape(-1)[0]
    cut = [0 if length == array.shape[0] else length for length in array.shape]
    unusual = {
        "one element": np.full((1,) * max(1, array.ndim), first),
        "no axes": first,
        "empty": np.zeros(cut or 0, array.dtype),
    }
    held = []
    for name, small in unusual.items():
        values = applies(lambda: operation.value([small]))  # noqa: B023
        if values is None or not all(np.isfinite(v).all() for v in values):
            continue
        contract(operation.at([small]), draw_cotangents(values, rng), [], rng)
        held.append(name)
    return held
