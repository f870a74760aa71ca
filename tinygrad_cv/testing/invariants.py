"""What must not matter to a gradient: how its inputs lie in memory, who else reads them, their precision, their size."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..transforms import vjp
from .check import GradReport
from .contract import applies, as_gradient, compare_gradients, contract, draw_cotangents, pull_again
from .message import GradMismatch
from .numeric import Array
from .operation import Operation


def read_only(a: Array) -> Array:
    b = a.copy()
    b.flags.writeable = False
    return b


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "non-contiguous": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a.copy(),
    "Fortran-ordered": lambda a: np.array(a, order="F"),
    "negative-stride": lambda a: np.flip(np.flip(a).copy()),
    "read-only": read_only,
}


def check_invariants(f: Any, *args: Any, wrt: Any = None, rng: Any = 0) -> GradReport:
    """Check what holds for the gradient of any operation, without differences; GradMismatch if something does not.

    `f` is a function of tensors, or a pair (forward, backward) as in `check_vjp`. Checked: nothing mutated, shapes and
    dtypes, linearity in the cotangent, determinism, no state from another call, one array as two arguments; no
    aliasing between gradients and inputs; accumulation over a fan-out; every memory layout and read-only inputs;
    inputs of one element, of none and without axes where the operation takes them; float32 as accurate as it can be.
    """
    start = time.perf_counter()
    forward, backward = f if isinstance(f, tuple) else (f, None)
    operation = Operation(forward, args, wrt, backward)
    generator = np.random.default_rng(rng)
    held: list[str] = []
    cotangents = draw_cotangents(operation.value(operation.inputs), generator)
    gradients = contract(operation, cotangents, held, generator)
    no_aliasing(operation, gradients)
    held.append("no aliasing")
    if backward is None:
        fan_out(operation, cotangents, gradients)
        held.append("fan-out")
    for name, layout in LAYOUTS.items():
        _, pull = operation.pull([layout(a) for a in operation.inputs])
        compare_gradients(operation, pull(cotangents), gradients, f"wrong for {name} inputs", 1e5)
        held.append(f"{name} inputs")
    if all(a.dtype == np.float64 for a in operation.inputs) and applies(
        lambda: single(operation, cotangents)
    ):
        held.append("float32")
    held += sizes(operation, generator)
    return GradReport(
        operation.name,
        sum(a.size for a in operation.inputs),
        held=held,
        seconds=time.perf_counter() - start,
    )


def no_aliasing(operation: Operation, gradients: list[Array]) -> None:
    """A caller who writes into a gradient must not change an input or another gradient."""
    for i, gradient in enumerate(gradients):
        others = [*zip(operation.inputs, operation.names, strict=True)]
        others += [
            (g, f"the gradient of {operation.names[j]}") for j, g in enumerate(gradients) if j != i
        ]
        for other, name in others:
            if np.may_share_memory(gradient, other) and np.shares_memory(gradient, other):
                raise GradMismatch(
                    f"{operation.name}: the gradient with respect to {operation.names[i]} shares memory with {name}: who "
                    "writes into one changes the other\n  fix: return a copy"
                )


def fan_out(operation: Operation, cotangents: list[Array], gradients: list[Array]) -> None:
    """The gradient of f(x) + f(x) is twice that of f(x): every use counts."""

    def twice(*inputs: Any) -> Any:
        return [
            a + b
            for a, b in zip(operation.outputs(*inputs), operation.outputs(*inputs), strict=True)
        ]

    _, pullback = vjp(twice, *operation.inputs)
    doubled = [2 * g for g in gradients]
    compare_gradients(
        operation,
        pullback(cotangents),
        doubled,
        "a fan-out does not accumulate, f(x) + f(x) is wrong",
        1e4,
    )


def single(operation: Operation, cotangents: list[Array]) -> bool:
    """In float32 the gradient is float32, and as near to that in float64 as the rounding of its inputs lets it be."""
    narrow = operation.at([a.astype(np.float32) for a in operation.inputs])
    values, pull = narrow.pull(narrow.inputs)
    given = [c.astype(v.dtype) for c, v in zip(cotangents, values, strict=True)]
    found = [as_gradient(narrow, i, g) for i, g in enumerate(pull(given))]
    wide = operation.at([a.astype(np.float64) for a in narrow.inputs])
    exact = pull_again(wide, wide.inputs, cotangents)
    push = max(map(largest, cotangents), default=0.0)
    rng, eps = np.random.default_rng(0), float(np.finfo(np.float32).eps)
    spread, size = [0.0] * len(exact), sum(float(np.sum(np.abs(v))) for v in values)
    for _ in range(
        4
    ):  # how much the gradient moves when inputs and cotangents move by a rounding error
        moved, shaken = (
            [a * (1 + eps * rng.choice([-1.0, 1.0], a.shape)) for a in v]
            for v in (wide.inputs, cotangents)
        )
        near = pull_again(wide.at(moved), moved, shaken)
        spread = [max(s, largest(a - b)) for s, a, b in zip(spread, near, exact, strict=True)]
    for i, (low, high, moves) in enumerate(zip(found, exact, spread, strict=True)):
        explained = moves + eps * (largest(high) + operation.natural_slope(size, i))
        if (
            largest(high) < 1e-10 * push
        ):  # no gradient at all: what rounding leaves of terms that cancel
            explained = eps * push
        wrong = np.argwhere(~(np.abs(low - high) <= 50 * explained) & np.isfinite(high))
        if len(wrong) and np.isfinite(explained):
            where = tuple(int(k) for k in wrong[0])
            raise GradMismatch(
                f"{operation.name}: float32 loses more than it must, with respect to {operation.names[i]} at "
                f"{list(where)}: {low[where]:+.9g} in float32, {high[where]:+.9g} in float64, where the rounding of the "
                f"inputs explains {explained:.1g}\n  pattern: a difference of nearly equal numbers, or an overflow?"
            )
    return True


def largest(a: Array) -> float:
    return float(np.max(np.abs(a), initial=0, where=np.isfinite(a)))


def sizes(operation: Operation, rng: np.random.Generator) -> list[str]:
    """An operation on one array is tried on one element with and without axes, and on none: all axes as long as the
    first one are cut, since axes that belong together have one length."""
    if len(operation.inputs) != 1 or not operation.inputs[0].size:
        return []
    held, array = [], operation.inputs[0]
    for name, small in (
        ("one element", array.reshape(-1)[:1].reshape((1,) * max(1, array.ndim))),
        ("no axes", array.reshape(-1)[0].reshape(())),
        (
            "empty",
            np.zeros([0 if n == array.shape[0] else n for n in array.shape] or 0, array.dtype),
        ),
    ):
        values = applies(lambda: operation.value([small]))  # noqa: B023
        if values is None or not all(np.isfinite(v).all() for v in values):
            continue
        contract(operation.at([small]), draw_cotangents(values, rng), [], rng)
        held.append(name)
    return held
