"""What must not matter to a gradient.

How its inputs lie in memory, who else reads them, their precision, their size.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence

import numpy as np

from ..engine.pytrees import leaves, map_leaves
from ..transforms import vjp
from ..typing import PyTree
from .agreement import (
    SHAKES,
    Agreement,
    applies,
    as_gradient,
    first_index,
    pull_again,
    shaken,
    shifts_by_rounding,
)
from .check import GradReport
from .contract import contract, draw_cotangents, unsettle
from .layouts import each_of_inputs
from .message import GradMismatch
from .numeric import largest_finite
from .operation import Function, Operation, Positions, Pullback, Seed, is_array

EPS = float(np.finfo(np.float32).eps)
TRIALS = 12  # cotangents: a product of float32 numbers may have few digits by chance
BENDING = (1 - 2.0**-10, 1, 1 + 2.0**-10)  # inputs times these show whether a gradient is linear
NARROW = {  # dtypes in float32's precision
    np.dtype(np.float64): np.dtype(np.float32),
    np.dtype(np.complex128): np.dtype(np.complex64),
}
WIDER = {  # and in the widest, which some platforms have no other than float64
    np.dtype(np.float64): np.dtype(np.longdouble),
    np.dtype(np.complex128): np.dtype(np.clongdouble),
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
            gradient.size and n > 1 and not step
            for n, step in zip(gradient.shape, gradient.strides, strict=True)
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
    pairs = zip(narrow.inputs, operation.inputs, strict=True)
    wide = operation.at([a.astype(given.dtype) for a, given in pairs])
    gradients = pull(given)
    in_single(narrow, wide, values, pull, given)
    gradients = [_narrowed(a, g) for a, g in zip(narrow.inputs, gradients, strict=True)]
    gradients = [as_gradient(narrow, i, g) for i, g in enumerate(gradients)]
    exact = pull_again(wide, wide.inputs, cotangents)
    shifts = shifts_by_rounding(wide, cotangents, exact, EPS, jumps=True)
    of_value = shifts_by_value(wide, cotangents, exact)
    shifts = [np.fmax(one, other) for one, other in zip(shifts, of_value, strict=True)]

    size = sum(float(np.sum(abs(v))) for v in values)
    push = max(map(largest_finite, cotangents), default=0.0)
    for i, (low, high) in enumerate(zip(gradients, exact, strict=True)):
        scale = largest_finite(high)
        explained = largest_finite(shifts[i]) + EPS * (scale + operation.natural_slope(size, i))
        if explained > 1e-3 * scale > 0:
            continue  # too ill-conditioned to say anything
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


def in_single(
    narrow: Operation,
    wide: Operation,
    values: Sequence[np.ndarray],
    pull: Pullback,
    cotangents: Sequence[np.ndarray],
) -> None:
    """Refuse gradients that are computed in float64 for inputs and values in float32.

    That is, to float64's precision, with digits that float32 hasn't: an array that a constant has
    widened after float32 has computed it is no such gradient. Nor is one that a constant widens
    before that, as g * np.where(x > 0, 1, 0.1), unless the function casts its own constants. What
    is refused besides is a conversion to float64.
    """
    if any(v.dtype not in NARROW.values() for v in values):
        return  # there is a float64 constant in the function itself
    for factor in np.random.default_rng(0).uniform(1, 2, TRIALS).tolist():
        given = [(factor * c).astype(c.dtype) for c in cotangents]
        returned = [np.asarray(g) for g in pull(given)]
        suspects = [i for i, a in enumerate(wide.inputs) if returned[i].dtype == a.dtype]
        if not suspects:
            return
        doubles = [c.astype(np.result_type(c, np.float64)) for c in given]
        exact = pull_again(wide, wide.inputs, doubles)
        for i in suspects:
            of_double = 1e-13 * largest_finite(exact[i])
            single = np.array_equal(_narrowed(narrow.inputs[i], returned[i]), returned[i], True)
            precise = np.allclose(returned[i], exact[i], 1e-13, of_double, True)
            if not precise or single:
                continue
            if casts_constants(narrow) or converts(wide, cotangents):
                as_gradient(narrow, i, returned[i])  # refuses it


def casts_constants(narrow: Operation) -> bool:
    """Whether the function holds, or is given, float64 arrays whose dtype its value has not.

    narrow: with inputs and values in float32.
    """
    constants = [leaf for leaf in leaves(list(narrow.args)) if is_array(leaf)]
    try:
        held = inspect.getclosurevars(inspect.unwrap(narrow.original))
        constants += [*held.nonlocals.values(), *held.globals.values()]
    except TypeError:  # it is not written in Python
        pass
    return any(is_array(constant) and constant.dtype in NARROW for constant in constants)


def converts(wide: Operation, cotangents: Sequence[np.ndarray]) -> bool:
    """Whether the backward pass converts its arguments to float64 before it computes with them.

    Then gradients are float64 even where inputs and values have more digits: what a constant widens
    has those, too. A buffer in float64 to add up in is no such conversion, so only gradients count
    that bend with the inputs: others need no arithmetic that float32 would round. False where the
    operation takes no such inputs, or where NumPy has none.
    """
    with np.errstate(all="ignore"):
        stays = applies(lambda: _stays_double(wide, cotangents))
        return bool(stays) and bool(applies(lambda: _bends(wide, cotangents)))


def _stays_double(wide: Operation, cotangents: Sequence[np.ndarray]) -> bool:
    inputs = [a.astype(WIDER[a.dtype]) for a in wide.inputs]
    values, pull = wide.at(inputs).pull(inputs)
    if any(v.dtype not in WIDER.values() for v in values):
        return False
    given = [c.astype(v.dtype) for c, v in zip(cotangents, values, strict=True)]
    return any(np.asarray(g).dtype in NARROW for g in pull(given))


def _bends(wide: Operation, cotangents: Sequence[np.ndarray]) -> bool:
    """Whether some gradient is not linear along a line through the inputs."""
    near, here, far = [
        pull_again(wide, [a * factor for a in wide.inputs], cotangents) for factor in BENDING
    ]
    for first, second, third in zip(near, here, far, strict=True):
        if largest_finite(first + third - 2 * second) > 1e-10 * largest_finite(second):
            return True
    return False


def _narrowed(a: np.ndarray, gradient: PyTree) -> PyTree:
    """A gradient in double precision in the precision of its input."""
    array = np.asarray(gradient)
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(a.dtype) if NARROW.get(array.dtype) == a.dtype else gradient


def shifts_by_value(
    operation: Operation, cotangents: Sequence[np.ndarray], exact: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """How far the gradients move when the value that a backward pass gets is rounded to float32."""
    moved = [np.zeros(g.shape) for g in exact]
    for seed in range(SHAKES if operation.backward is not None else 0):
        shake = lambda leaf: shaken(leaf, seed, 1, EPS) if is_array(leaf) else leaf  # noqa: B023
        result = operation.call(operation.inputs)
        near = operation.pull_from(map_leaves(shake, result), operation.inputs)(cotangents)
        for i, (most, gradient) in enumerate(zip(moved, near, strict=True)):
            np.fmax(most, abs(as_gradient(operation, i, gradient) - exact[i]), out=most)
    return moved


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
        other = operation.at([small])
        cotangents = draw_cotangents(values, rng)
        if takes(other, cotangents):
            contract(other, cotangents, [], rng)
            held.append(name)
    return held


def takes(operation: Operation, cotangents: Sequence[np.ndarray]) -> bool:
    """Whether both passes are made for inputs of this size.

    Some functions happen to return something: they broadcast a constant of another length, or give
    a number without axes one. Their gradients have another number of elements, or of axes.
    """
    (a,) = operation.inputs
    pulled = applies(lambda: operation.pull(operation.inputs)[1](cotangents))
    if pulled is None:
        return False
    (gradient,) = [np.asarray(0 * a if g is None else g) for g in pulled]
    same = gradient.shape == a.shape or (a.ndim > 0 and gradient.size == a.size)
    return same and bool(np.isfinite(gradient).all())
