"""What every gradient owes its caller besides being right: shapes, dtypes, untouched arguments, linearity, ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .message import GradMismatch, describe_not_finite, literal, two_numbers
from .numeric import Array
from .operation import Operation


def draw_cotangents(values: Sequence[Array], rng: np.random.Generator) -> list[Array]:
    """Random cotangents, none near 0, of two decimals: they read well, and no term of a gradient vanishes by chance."""
    return [
        (rng.integers(50, 150, v.shape) / 100 * (2 * rng.integers(0, 2, v.shape) - 1)).astype(
            v.dtype
        )
        for v in values
    ]


def contract(
    operation: Operation, cotangents: list[Array], held: list[str], rng: np.random.Generator
) -> list[Array]:
    """The gradients, after a look at everything about them but their values; what held is added to `held`."""
    inputs = operation.inputs
    witnesses = [a.copy() for a in (*inputs, *cotangents)]
    values, pull = operation.pull(inputs)
    untouched(operation, "the forward pass", inputs, witnesses, operation.names)
    kept = [v.copy() for v in values]
    gradients = [as_gradient(operation, i, g) for i, g in enumerate(pull(cotangents))]
    names = [*operation.names, *[f"cotangent {i}" for i in range(len(cotangents))]]
    untouched(operation, "the backward pass", [*inputs, *cotangents], witnesses, names)
    untouched(
        operation, "the backward pass", values, kept, [f"value {i}" for i in range(len(values))]
    )
    held += ["shape", "dtype", "nothing mutated"]
    describe_not_finite(operation, "gradient", gradients)
    repeat(operation, inputs, cotangents, gradients)
    held += ["deterministic", "no stale state"]
    linear(operation, kept, cotangents, gradients, rng)
    homogeneous(operation, cotangents, gradients)
    held.append("linear in the cotangent")
    if same_array_twice(operation, cotangents):
        held.append("one array as two arguments")
    return gradients


def as_gradient(operation: Operation, i: int, gradient: Any) -> Array:
    """A gradient in the shape and dtype of its input, None as zeros; anything else is a mistake."""
    expected, name = operation.inputs[i], operation.names[i]
    if gradient is None:
        return np.zeros_like(expected)
    found = np.asarray(gradient)
    if found.shape != expected.shape:
        extra = found.ndim - expected.ndim
        axes = [
            k
            for k in range(found.ndim)
            if k < extra or (expected.shape[k - extra] == 1 != found.shape[k])
        ]
        summed = extra >= 0 and np.sum(found, axis=tuple(axes)).size == expected.size
        hint = (
            f"\n  pattern: missing sum over the broadcast axes {tuple(axes)}"
            if summed and axes
            else ""
        )
        raise GradMismatch(
            f"{operation.name}: the gradient with respect to {name} has shape {found.shape}, "
            f"the argument has shape {expected.shape}{hint}"
        )
    if found.dtype != expected.dtype and not (isinstance(gradient, float) and not expected.shape):
        raise GradMismatch(
            f"{operation.name}: the gradient with respect to {name} is {found.dtype}, the argument {expected.dtype}"
        )
    return found


def untouched(
    operation: Operation,
    culprit: str,
    arrays: Sequence[Array],
    before: Sequence[Array],
    names: Sequence[str],
) -> None:
    """Refuse a pass that wrote into arrays that are not its own."""
    for array, old, name in zip(arrays, before, names, strict=False):
        if not np.array_equal(array, old, equal_nan=True):
            where = tuple(int(k) for k in np.argwhere(~((array == old) | np.isnan(old)))[0])
            new, was = array[where], old[where]
            array[...] = old
            raise GradMismatch(
                f"{operation.name}: {culprit} changed {name} in place, at {list(where)} from {was:.6g} to {new:.6g}\n"
                "  fix: work on a copy (x = x * 2, not x *= 2)"
            )


def close(a: Array, b: Array, scale: float, factor: float = 1.0) -> Array:
    """Equal up to rounding in their dtype, at a scale."""
    eps = float(np.finfo(np.result_type(a, b)).eps)
    return np.abs(a - b) <= factor * eps * scale


def compare_gradients(
    operation: Operation,
    found: Sequence[Any],
    expected: Sequence[Array],
    message: str,
    factor: float = 0.0,
) -> None:
    """Refuse gradients that differ from what they should be by more than `factor` times rounding at their scale."""
    for i, (one, other) in enumerate(zip(found, expected, strict=True)):
        one = as_gradient(operation, i, one)
        if np.array_equal(one, other, equal_nan=True):
            continue
        scale = float(np.max(np.abs(other), initial=0))
        with np.errstate(invalid="ignore"):
            differs = np.argwhere(
                ~(
                    close(one, other, scale, factor)
                    | (one == other)
                    | (np.isnan(one) & np.isnan(other))
                )
            )
        if len(differs):
            where = tuple(int(k) for k in differs[0])
            raise GradMismatch(
                f"{operation.name}: {message}: with respect to {operation.names[i]}, at {list(where)}, "
                f"{one[where]:+.12g} instead of {other[where]:+.12g} ({len(differs)} of {one.size} elements)"
            )


def repeat(
    operation: Operation, inputs: list[Array], cotangents: list[Array], gradients: list[Array]
) -> None:
    """The same call gives the same gradients, also when the function was called with something else in between."""
    values, pull = operation.pull(inputs)
    kept = [v.copy() for v in values]
    with np.errstate(all="ignore"):
        try:
            operation.value(
                [np.ascontiguousarray(a.reshape(-1)[::-1].reshape(a.shape)) for a in inputs]
            )
        except Exception:  # the function does not take these numbers
            kept = []
    untouched(
        operation, "a call with other arguments", values, kept, ["the value of an earlier call"]
    )
    try:
        compare_gradients(
            operation,
            pull(cotangents),
            gradients,
            "stale state, a call with other arguments changed the gradient of this one",
        )
    except GradMismatch:
        again = pull_again(operation, inputs, cotangents)
        compare_gradients(
            operation, again, gradients, "not deterministic, a second call gave another gradient"
        )
        raise


def linear(
    operation: Operation,
    values: list[Array],
    cotangents: list[Array],
    gradients: list[Array],
    rng: np.random.Generator,
) -> None:
    """pull(c - 2 d) = pull(c) - 2 pull(d)."""
    others = draw_cotangents(cotangents, rng)
    second = pull_again(operation, operation.inputs, others)
    both = pull_again(
        operation, operation.inputs, [c - 2 * d for c, d in zip(cotangents, others, strict=True)]
    )
    size = sum(float(np.abs(v).sum()) for v in values)
    for i, (one, other, found) in enumerate(zip(gradients, second, both, strict=True)):
        expected = one - 2 * other
        scale = float(np.max(np.abs(one), initial=0) + 2 * np.max(np.abs(other), initial=0))
        with np.errstate(invalid="ignore"):
            right = close(found, expected, scale + 0.1 * operation.natural_slope(size, i), 1e4)
        if not right.all():
            where = tuple(int(k) for k in np.argwhere(~right)[0])
            got, sum_of = two_numbers(found[where], expected[where])
            raise GradMismatch(
                f"{operation.name}: not linear in the cotangent, with respect to {operation.names[i]} at {list(where)}: "
                f"backward(c - 2d) = {got}, backward(c) - 2 backward(d) = {sum_of}\n"
                f"  c = {', '.join(map(literal, cotangents))}\n  d = {', '.join(map(literal, others))}\n"
                "  pattern: the incoming gradient is clipped, squared, ignored or added to instead of multiplied"
            )


def homogeneous(operation: Operation, cotangents: list[Array], gradients: list[Array]) -> None:
    """pull(k c) = k pull(c) for large and small k, powers of 2, so that no rounding is in the way; unless it overflows."""
    narrowest = min(a.dtype.itemsize for a in (*cotangents, *gradients))
    power = {2: 4, 4: 8}.get(narrowest, 20)
    for k in (2.0**power, 2.0**-power):
        with np.errstate(all="ignore"):
            scaled = pull_again(
                operation, operation.inputs, [c * c.dtype.type(k) for c in cotangents]
            )
            found = [g / g.dtype.type(k) for g in scaled]
        same = all(map(np.array_equal, found, gradients))  # to the bit, as a rule
        if same or not all(np.isfinite(g).all() for g in scaled):
            continue
        message = f"not linear in the cotangent, backward({k:.6g} c) / {k:.6g} is not backward(c)"
        compare_gradients(operation, found, gradients, message, 1e4)


def pull_again(operation: Operation, inputs: list[Array], cotangents: list[Array]) -> list[Array]:
    """The gradients at these inputs."""
    return [
        as_gradient(operation, i, g) for i, g in enumerate(operation.pull(inputs)[1](cotangents))
    ]


def same_array_twice(operation: Operation, cotangents: list[Array]) -> bool:
    """One array given as two arguments has the gradients of two equal arrays. False if no two inputs are alike."""
    inputs = operation.inputs
    for i, first in enumerate(inputs):
        for j in range(i + 1, len(inputs)):
            if inputs[j].shape != first.shape or inputs[j].dtype != first.dtype:
                continue
            apart = [first.copy() if k in (i, j) else a for k, a in enumerate(inputs)]
            once = [apart[i] if k == j else a for k, a in enumerate(apart)]
            with np.errstate(all="ignore"):
                try:
                    expected = pull_again(operation, apart, cotangents)
                except GradMismatch:
                    raise
                except Exception:  # the function does not take equal arguments
                    continue
                found = pull_again(operation, once, cotangents)
            names = f"{operation.names[i]} and {operation.names[j]}"
            compare_gradients(
                operation, found, expected, f"wrong when {names} are the same array", 100
            )
            return True
    return False


def applies(call: Callable[[], Any]) -> Any:
    """The result of a call with unusual inputs, or None if the operation refuses them."""
    with np.errstate(all="ignore"):
        try:
            return call()
        except GradMismatch:
            raise
        except Exception:
            return None
