"""What every gradient owes its caller besides being right: shape, dtype, linearity, ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from ..typing import PyTree, Shape
from .message import GradMismatch, literal, two_numbers
from .numeric import largest
from .operation import Operation

Result = TypeVar("Result")
SHAKES = 4  # trials of how much the rounding of the inputs matters


def draw_cotangents(values: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Random cotangents of two decimals, from 0.5 to 1.5 in size; of a complex value both parts.

    They read well, and no term of a gradient vanishes by chance.
    """
    cotangents = []
    for value in values:
        drawn = _two_decimals(value.shape, rng)
        if value.dtype.kind == "c":
            drawn = drawn + 1j * _two_decimals(value.shape, rng)
        cotangents.append(drawn.astype(value.dtype))
    return cotangents


def _two_decimals(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    size = rng.integers(50, 150, shape) / 100
    sign = 2 * rng.integers(0, 2, shape) - 1
    drawn: np.ndarray = size * sign
    return drawn


def contract(
    operation: Operation,
    cotangents: list[np.ndarray],
    held: list[str],
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """The gradients, after a check of everything about them but their values.

    What holds is added to `held`; GradMismatch for what does not.
    """
    inputs = operation.inputs
    copies = [a.copy() for a in (*inputs, *cotangents)]
    values, pull = operation.pull(inputs)
    untouched(operation, "the forward pass", inputs, copies, operation.names)

    kept = [v.copy() for v in values]
    gradients = [as_gradient(operation, i, g) for i, g in enumerate(pull(cotangents))]
    names = [*operation.names, *[f"cotangent {i}" for i in range(len(cotangents))]]
    untouched(operation, "the backward pass", [*inputs, *cotangents], copies, names)
    names = [f"value {i}" for i in range(len(values))]
    untouched(operation, "the backward pass", values, kept, names)
    held += ["shape", "dtype", "nothing mutated"]

    repeat(operation, inputs, cotangents, gradients)
    held += ["deterministic", "no stale state"]
    linear(operation, kept, cotangents, gradients, rng)
    homogeneous(operation, cotangents, gradients)
    held.append("linear in the cotangent")
    if same_array_twice(operation, cotangents):
        held.append("one array as two arguments")
    return gradients


def as_gradient(operation: Operation, i: int, gradient: PyTree) -> np.ndarray:
    """The gradient of input i as an array, None as zeros.

    Raises GradMismatch for a shape or a dtype that is not its input's.
    """
    expected = operation.inputs[i]
    name = operation.names[i]
    if gradient is None:
        return np.zeros_like(expected)
    array = np.asarray(gradient)
    if array.shape != expected.shape:
        raise GradMismatch(
            f"{operation.name}: the gradient with respect to {name} has shape {array.shape}, "
            f"the argument has shape {expected.shape}{_missing_sum(array, expected)}"
        )
    number = isinstance(gradient, (float, complex)) and not expected.shape
    if array.dtype != expected.dtype and not number:
        raise GradMismatch(
            f"{operation.name}: the gradient with respect to {name} is {array.dtype}, "
            f"the argument {expected.dtype}"
        )
    return array


def _missing_sum(array: np.ndarray, expected: np.ndarray) -> str:
    """A hint, if a sum over some axes would give a gradient the shape that is expected."""
    extra = array.ndim - expected.ndim
    axes = []
    for k, length in enumerate(array.shape):
        if k < extra or (expected.shape[k - extra] == 1 and length != 1):
            axes.append(k)
    if extra < 0 or not axes or np.sum(array, axis=tuple(axes)).size != expected.size:
        return ""
    return f"\n  pattern: missing sum over the broadcast axes {tuple(axes)}"


def untouched(
    operation: Operation,
    culprit: str,
    arrays: Sequence[np.ndarray],
    before: Sequence[np.ndarray],
    names: Sequence[str],
) -> None:
    """Refuse a pass that wrote into arrays that are not its own, and restore what it changed."""
    for array, old, name in zip(arrays, before, names, strict=False):
        if np.array_equal(array, old, equal_nan=True):
            continue
        where = first_index(~((array == old) | np.isnan(old)))
        new, was = array[where], old[where]
        array[...] = old
        raise GradMismatch(
            f"{operation.name}: {culprit} changed {name} in place, "
            f"at {list(where)} from {was:.6g} to {new:.6g}\n"
            "  fix: work on a copy (x = x * 2, not x *= 2)"
        )


def first_index(mask: np.ndarray) -> tuple[int, ...]:
    """The index of the first True element."""
    return tuple(int(k) for k in np.argwhere(mask)[0])


def close(a: np.ndarray, b: np.ndarray, scale: float, factor: float = 1.0) -> np.ndarray:
    """Whether elements are equal up to rounding in their dtype, at a scale."""
    eps = float(np.finfo(np.result_type(a, b)).eps)
    equal: np.ndarray = abs(a - b) <= factor * eps * scale
    return equal


def compare_gradients(
    operation: Operation,
    gradients: Sequence[PyTree],
    expected: Sequence[np.ndarray],
    message: str,
    factor: float = 0.0,
) -> None:
    """Refuse gradients that differ from what is expected by more than rounding.

    `factor` is how much of it, at the scale of each gradient, is allowed.
    """
    for i, (gradient, other) in enumerate(zip(gradients, expected, strict=True)):
        one = as_gradient(operation, i, gradient)
        if np.array_equal(one, other, equal_nan=True):
            continue
        with np.errstate(invalid="ignore"):
            both_nan = np.isnan(one) & np.isnan(other)
            same = close(one, other, largest(other), factor) | (one == other) | both_nan
        if same.all():
            continue
        where = first_index(~same)
        raise GradMismatch(
            f"{operation.name}: {message}: with respect to {operation.names[i]}, "
            f"at {list(where)}, {one[where]:+.12g} instead of {other[where]:+.12g} "
            f"({int(np.sum(~same))} of {one.size} elements)"
        )


def repeat(
    operation: Operation,
    inputs: list[np.ndarray],
    cotangents: list[np.ndarray],
    gradients: list[np.ndarray],
) -> None:
    """The same call gives the same gradients, also after a call with something else."""
    values, pull = operation.pull(inputs)
    kept = [v.copy() for v in values]
    reversed_inputs = [np.ascontiguousarray(a.reshape(-1)[::-1].reshape(a.shape)) for a in inputs]
    with np.errstate(all="ignore"):
        try:
            operation.value(reversed_inputs)
        except Exception:  # the function does not take these numbers
            kept = []
    names = ["the value of an earlier call"]
    untouched(operation, "a call with other arguments", values, kept, names)
    try:
        compare_gradients(
            operation,
            pull(cotangents),
            gradients,
            "stale state, a call with other arguments changed the gradient of this one",
        )
    except GradMismatch:
        again = pull_again(operation, inputs, cotangents)
        message = "not deterministic, a second call gave another gradient"
        compare_gradients(operation, again, gradients, message)
        raise


def linear(
    operation: Operation,
    values: list[np.ndarray],
    cotangents: list[np.ndarray],
    gradients: list[np.ndarray],
    rng: np.random.Generator,
) -> None:
    """pull(c - 2 d) = pull(c) - 2 pull(d)."""
    others = draw_cotangents(cotangents, rng)
    differences = [c - 2 * d for c, d in zip(cotangents, others, strict=True)]
    second = pull_again(operation, operation.inputs, others)
    both = pull_again(operation, operation.inputs, differences)
    size = sum(float(abs(v).sum()) for v in values)
    for i, (one, other, together) in enumerate(zip(gradients, second, both, strict=True)):
        expected = one - 2 * other
        scale = largest(one) + 2 * largest(other)
        scale += 0.1 * operation.natural_slope(size, i)
        with np.errstate(invalid="ignore"):
            right = close(together, expected, scale, 1e4)
        if right.all():
            continue
        where = first_index(~right)
        left_side, right_side = two_numbers(together[where], expected[where])
        raise GradMismatch(
            f"{operation.name}: not linear in the cotangent, "
            f"with respect to {operation.names[i]} at {list(where)}: "
            f"backward(c - 2d) = {left_side}, backward(c) - 2 backward(d) = {right_side}\n"
            f"  c = {', '.join(map(literal, cotangents))}\n"
            f"  d = {', '.join(map(literal, others))}\n"
            "  pattern: the incoming gradient is clipped, squared, ignored or added to "
            "instead of multiplied"
        )


def homogeneous(
    operation: Operation, cotangents: list[np.ndarray], gradients: list[np.ndarray]
) -> None:
    """pull(k c) = k pull(c) for large and small k, unless it overflows.

    k is a power of 2, so that no rounding is in the way.
    """
    narrowest = min(a.dtype.itemsize for a in (*cotangents, *gradients))
    power = {2: 4, 4: 8}.get(narrowest, 20)
    for k in (2.0**power, 2.0**-power):
        with np.errstate(all="ignore"):
            multiples = [c * c.dtype.type(k) for c in cotangents]
            scaled = pull_again(operation, operation.inputs, multiples)
            divided = [g / g.dtype.type(k) for g in scaled]
        same = all(map(np.array_equal, divided, gradients))  # to the bit, as a rule
        if same or not all(np.isfinite(g).all() for g in scaled):
            continue
        message = f"not linear in the cotangent, backward({k:.6g} c) / {k:.6g} is not backward(c)"
        compare_gradients(operation, divided, gradients, message, 1e4)


def shifts_by_rounding(
    operation: Operation,
    cotangents: Sequence[np.ndarray],
    exact: Sequence[np.ndarray],
    eps: float | None = None,
) -> list[np.ndarray]:
    """How far each element of the gradients moves when inputs and cotangents move by rounding.

    That is what its conditioning makes of `eps`, by default that of each array. A gradient that
    jumps has another reason to move: it moves as far by less. Such an element counts as 0.
    """
    shifts = [np.zeros(g.shape) for g in exact]
    for seed in range(SHAKES):
        try:
            little = _moves(operation, cotangents, exact, seed, 1, eps)
            more = _moves(operation, cotangents, exact, seed, 128, eps)
        except Exception:  # the edge of the domain
            continue
        for shift, move, far, gradient in zip(shifts, little, more, exact, strict=True):
            noise = move <= 1e-6 * largest(gradient)
            np.fmax(shift, np.where(noise | (far >= 8 * move), move, 0), out=shift)
    return shifts


def _moves(
    operation: Operation,
    cotangents: Sequence[np.ndarray],
    exact: Sequence[np.ndarray],
    seed: int,
    factor: float,
    eps: float | None,
) -> list[np.ndarray]:
    """How far the gradients move when inputs and cotangents move by `factor` times rounding."""
    inputs = [shaken(a, seed, factor, eps) for a in operation.inputs]
    others = [shaken(c, seed + SHAKES, factor, eps) for c in cotangents]
    near = pull_again(operation.at(inputs), inputs, others)
    return [abs(g - there) for g, there in zip(near, exact, strict=True)]


def shaken(a: np.ndarray, seed: int, factor: float = 1, eps: float | None = None) -> np.ndarray:
    """An array whose elements move up or down by rounding; equal ones move alike, and stay ties."""
    rounding = factor * (float(np.finfo(a.dtype).eps) if eps is None else eps)
    sizes = np.asarray(abs(a), np.float64)
    hashed = sizes.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15 + 2 * seed)
    signs = 1.0 - 2.0 * (hashed >> np.uint64(63))
    moved: np.ndarray = np.asarray(a * (1 + rounding * signs)).astype(a.dtype)
    return moved


def pull_again(
    operation: Operation, inputs: list[np.ndarray], cotangents: list[np.ndarray]
) -> list[np.ndarray]:
    """The gradients at these inputs."""
    _, pull = operation.pull(inputs)
    return [as_gradient(operation, i, g) for i, g in enumerate(pull(cotangents))]


def same_array_twice(operation: Operation, cotangents: list[np.ndarray]) -> bool:
    """One array given as two arguments has the gradients of two equal arrays.

    False if no two inputs are alike.
    """
    inputs = operation.inputs
    for i, first in enumerate(inputs):
        for j in range(i + 1, len(inputs)):
            if inputs[j].shape != first.shape or inputs[j].dtype != first.dtype:
                continue
            apart = [first.copy() if k in (i, j) else a for k, a in enumerate(inputs)]
            once = [apart[i] if k == j else a for k, a in enumerate(apart)]
            expected = applies(lambda: pull_again(operation, apart, cotangents))  # noqa: B023
            if expected is None:  # the function does not take equal arguments
                continue
            with np.errstate(all="ignore"):
                gradients = pull_again(operation, once, cotangents)
            names = f"{operation.names[i]} and {operation.names[j]}"
            message = f"wrong when {names} are the same array"
            compare_gradients(operation, gradients, expected, message, 100)
            return True
    return False


def applies(call: Callable[[], Result]) -> Result | None:
    """The result of a call with unusual inputs, or None if the operation refuses them."""
    with np.errstate(all="ignore"):
        try:
            return call()
        except GradMismatch:
            raise
        except Exception:
            return None
