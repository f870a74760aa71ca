"""What every gradient owes its caller besides being right: shape, dtype, linearity, ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..typing import PyTree, Shape
from .agreement import Agreement, applies, as_gradient, large_factor, pull_again
from .judge import BARS
from .layouts import locked, of_cotangents, of_memory, reordered
from .line import UNLIKE, Direction, Line, amplitudes, real_view
from .message import GradMismatch, literal
from .numeric import kink, largest, largest_finite
from .operation import LARGE, Operation, Pullback
from .witness import Witness

NEARBY = 1e-5  # the relative change of inputs that a cache may take for the same
NEARBY_SINGLE = 1e-3  # in float32 and less
MULTIPLE = 2**8  # of a cotangent: a power of 2, which every dtype has


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
    witness = Witness(*inputs)
    values, pull = operation.pull(inputs)
    kept = [v.copy() for v in values]
    gradients = [as_gradient(operation, i, g) for i, g in enumerate(pull(cotangents))]
    untouched(operation, witness, operation.names, "a pass")
    held += ["shape", "dtype", "nothing mutated"]
    operation.watched = operation.size <= LARGE  # a copy of all arrays in each call takes long

    agreement = Agreement(operation, cotangents, gradients, kept)
    if operation.size > LARGE and all_at_once(agreement, pull, values):
        homogeneous(agreement, pull)
        held += ["deterministic", "linear in the cotangent", "memory layouts"]
        return gradients
    repeat(agreement, kept)
    held += ["deterministic", "no stale state"]
    _, pull = operation.pull(inputs)
    linear(agreement, pull, rng)
    homogeneous(agreement, pull)
    held.append("linear in the cotangent")
    of_cotangents(agreement, pull, rng)
    of_memory(agreement)
    held.append("memory layouts")
    if same_array_twice(agreement):
        held.append("one array as two arguments")
    return gradients


def all_at_once(agreement: Agreement, pull: Pullback, values: Sequence[np.ndarray]) -> bool:
    """Whether one call with all that is unusual, each checked apart below, has its gradients.

    Inputs and cotangents are read-only and run backwards in memory, columns first; the cotangents
    are a large multiple of c - 2d, and between the passes is a call with other numbers. If the
    gradients are not those of c, less twice those of d, one of the checks below may tell why. The
    values of the earlier call must not change.
    """
    operation, cotangents = agreement.operation, agreement.cotangents
    others = [np.array(np.flip(c)) for c in cotangents]
    try:
        again, pull_unusual = operation.pull([locked(reordered)(a) for a in operation.inputs])
        elsewhere = operation.at([inside_out(a).copy() for a in operation.inputs])
        applies(lambda: elsewhere.value(elsewhere.inputs))
        unusual = []
        for c, d in zip(cotangents, others, strict=True):
            unusual.append(locked(reordered)(c.dtype.type(MULTIPLE) * (c - 2 * d)))
        together = pull_unusual(unusual)
        second = [as_gradient(operation, i, g) for i, g in enumerate(pull(others))]
        same_values(operation, again, agreement.values)
        same_values(operation, values, agreement.values)
        expected, sizes = [], []
        for one, other in zip(agreement.gradients, second, strict=True):
            expected.append(MULTIPLE * (one - 2 * other))
            sizes.append(MULTIPLE * (abs(one) + 2 * abs(other)))
        agreement.check(together, "", expected, sizes)
    except Exception:
        return False
    return True


def untouched(operation: Operation, witness: Witness, names: Sequence[str], culprit: str) -> None:
    """Refuse what changed arrays that are not its own."""
    change = witness.change()
    if change is not None:
        raise GradMismatch(f"{operation.name}: {culprit} changed {names[change.tree]}{change.what}")


def unsettle(operation: Operation, rng: np.random.Generator) -> None:
    """Call the operation with other numbers, in the same arrays, before the calls that count.

    A cache that takes these for the others, by shape, sum, identity or a few decimals, gives wrong
    gradients from now on, and so does a workspace that has rests of a longer call.
    """
    few = operation.calls_are_dear
    with_other_numbers(operation.inputs, lambda: _call(operation, rng), few)
    if operation.size <= LARGE:
        longer = operation.with_leaves(_twice_as_long(operation))
        applies(lambda: _call(longer, rng))


def with_other_numbers(
    arrays: Sequence[np.ndarray], call: Callable[[], object], few: bool = False
) -> None:
    """Make a call while some arrays hold other numbers, each time others; it may fail."""
    kept = [a.copy() for a in arrays]
    for change in other_numbers(few):
        try:
            for array, before in zip(arrays, kept, strict=True):
                array[...] = change(before)
            applies(call)
        finally:
            for array, before in zip(arrays, kept, strict=True):
                array[...] = before


def other_numbers(few: bool) -> list[Callable[[np.ndarray], np.ndarray]]:
    """What makes other numbers of an array that a cache may take for the same."""
    return [_nearby] if few else [_nearby, inside_out]


def _call(operation: Operation, rng: np.random.Generator) -> None:
    """Both passes, for what they leave behind."""
    values, pull = operation.pull(operation.inputs)
    pull(draw_cotangents(values, rng))


def inside_out(a: np.ndarray) -> np.ndarray:
    """The same numbers in another order: reversed, but for the first and last ones of many.

    Those a cache may look at alone, as does who prints a long array.
    """
    ends = 3 if a.size > 9 else 0
    found = a.reshape(-1).copy()
    found[ends : a.size - ends] = found[ends : a.size - ends][::-1]
    return found.reshape(a.shape)


def _nearby(a: np.ndarray) -> np.ndarray:
    factor = 1 + (NEARBY if a.dtype.itemsize > 4 else NEARBY_SINGLE)
    return np.asarray(a * factor, a.dtype)


def _twice_as_long(operation: Operation) -> Callable[[PyTree], PyTree]:
    """What makes all arrays twice as long that are as long as the first input."""
    length = operation.inputs[0].shape[:1]

    def twice(leaf: PyTree) -> PyTree:
        if isinstance(leaf, np.ndarray) and leaf.shape[:1] == length and length:
            return np.concatenate([leaf, leaf])
        return leaf

    return twice


def repeat(agreement: Agreement, values: Sequence[np.ndarray]) -> None:
    """The same call gives the same values and gradients, also after one with something else."""
    operation = agreement.operation
    again, pull = operation.pull(operation.inputs)
    same_values(operation, again, values)
    witness = Witness(*again)
    for change in other_numbers(few=operation.backward is None):
        elsewhere = operation.at([np.array(change(a), order="C") for a in operation.inputs])
        moved = applies(lambda: _gradients(elsewhere, again, agreement.cotangents))  # noqa: B023
        names = ["the value of an earlier call"] * len(again)
        untouched(operation, witness, names, "a call with other arguments")
        if moved is not None and not operation.constrained:
            depends(agreement, elsewhere, moved)
    try:
        message = "stale state, a call with other arguments changed the gradient of this one"
        agreement.check(pull(agreement.cotangents), message, same_call=True)
    except GradMismatch:
        third = pull_again(operation, operation.inputs, agreement.cotangents)
        message = "not deterministic, a second call gave another gradient"
        agreement.check(third, message, same_call=True)
        raise


def _gradients(
    operation: Operation, like: Sequence[np.ndarray], cotangents: Sequence[np.ndarray]
) -> list[np.ndarray] | None:
    """The gradients at cotangents of values of other inputs; None if the shapes differ."""
    values, pull = operation.pull(operation.inputs)
    if [v.shape for v in values] != [v.shape for v in like]:
        return None
    return [as_gradient(operation, i, g) for i, g in enumerate(pull(cotangents))]


def depends(agreement: Agreement, elsewhere: Operation, moved: Sequence[np.ndarray]) -> None:
    """Refuse gradients that are the same at other inputs, to the bit, where the slope is another.

    They come from a cache. The gradients of linear functions are the same everywhere, and so are
    their slopes.
    """
    operation = agreement.operation
    for i, (here, there) in enumerate(zip(agreement.gradients, moved, strict=True)):
        if not here.any() or not np.array_equal(here, there):
            continue
        if np.array_equal(operation.inputs[i], elsewhere.inputs[i]):
            continue
        base = real_view(elsewhere.inputs[i]).reshape(-1)
        signs = 2.0 * np.random.default_rng(0).integers(0, 2, base.size) - 1
        direction = Direction(i, np.arange(base.size), signs * amplitudes(abs(base)))
        one = slope_along(operation, agreement.cotangents, direction)
        other = slope_along(elsewhere, agreement.cotangents, direction)
        if kink(one).any() or kink(other).any():
            continue
        terms = real_view(here).reshape(-1) * direction.amplitudes
        size = largest(terms)
        near = abs(terms.sum() - one["value"])
        far = abs(terms.sum() - other["value"])
        of_here = near <= 1e-7 * size + BARS * one["error"]
        # The slopes of a solver differ by what it neglects, which may be little here by chance.
        neglected = np.maximum(1e-6 * size, UNLIKE * near)
        of_there = far <= neglected + BARS * other["error"]
        if not of_here.all() or of_there.any():
            continue
        explained = agreement.explained(i, abs(here), float(np.finfo(here.dtype).eps))
        if (far > np.sum(explained) * direction.reach).all():
            raise GradMismatch(
                f"{operation.name}: stale state, the gradient with respect to "
                f"{operation.names[i]} is the same for other arguments, where the slope is "
                "another\n"
                f"  slope along a line: {float(one['value'][0]):.6g}, at the other arguments "
                f"{float(other['value'][0]):.6g}\n"
                "  pattern: a cache that does not know which arguments it belongs to"
            )


def slope_along(
    operation: Operation, cotangents: Sequence[np.ndarray], direction: Direction
) -> np.ndarray:
    """The slope along a direction: (1,) of `numeric.SLOPES`."""
    return Line(operation, operation.inputs, cotangents).slopes([direction])


def same_values(
    operation: Operation, again: Sequence[np.ndarray], values: Sequence[np.ndarray]
) -> None:
    """Refuse a function whose second call gives other values."""
    for one, other in zip(again, values, strict=True):
        eps = float(np.finfo(other.dtype).eps)
        allowed = 1e4 * eps * largest_finite(other) + float(np.finfo(other.dtype).tiny)
        if np.array_equal(one, other):
            continue
        if one.shape == other.shape and np.allclose(one, other, 1e4 * eps, allowed, True):
            continue
        raise GradMismatch(
            f"{operation.name}: not deterministic, a second call gave another value: "
            f"{literal(one)} instead of {literal(other)}"
        )


def linear(agreement: Agreement, pull: Pullback, rng: np.random.Generator) -> None:
    """pull(c - 2 d) = pull(c) - 2 pull(d), where half of d is 0."""
    operation, cotangents = agreement.operation, agreement.cotangents
    others = draw_cotangents(cotangents, rng)
    for d in others:
        d.flat[1::2] = 0
    differences = [c - 2 * d for c, d in zip(cotangents, others, strict=True)]
    second = [as_gradient(operation, i, g) for i, g in enumerate(pull(others))]
    pairs = list(zip(agreement.gradients, second, strict=True))
    with np.errstate(invalid="ignore", over="ignore"):
        expected = [one - 2 * other for one, other in pairs]
        # Terms of the size of value / input may cancel in all of them.
        natural = [operation.natural_slope(agreement.value, i) for i in range(len(pairs))]
        sizes = [abs(a) + 2 * abs(b) + n for (a, b), n in zip(pairs, natural, strict=True)]
    together = [as_gradient(operation, i, g) for i, g in enumerate(pull(differences))]
    infinite = [~np.isfinite(e) for e in expected]  # there is nothing to add up
    together = list(map(np.where, infinite, expected, together))
    message = "not linear in the cotangent, backward(c - 2d) is not backward(c) - 2 backward(d)"
    try:
        agreement.check(together, message, expected, sizes)
    except GradMismatch as mismatch:
        pattern = "the incoming gradient is clipped, squared or added to instead of multiplied"
        if all(np.array_equal(one, other) for one, other in pairs):
            pattern = "the incoming gradient g is forgotten: it is the same for all g"
        raise GradMismatch(
            f"{mismatch}\n"
            f"  c = {', '.join(map(literal, cotangents))}\n"
            f"  d = {', '.join(map(literal, others))}\n"
            f"  pattern: {pattern}"
        ) from None


def homogeneous(agreement: Agreement, pull: Pullback) -> None:
    """pull(k c) = k pull(c) for large and small k of both signs, unless it overflows; and for 0.

    k is a power of 2, so that no rounding is in the way.
    """
    cotangents, gradients = agreement.cotangents, agreement.gradients
    with np.errstate(all="ignore"):
        of_zeros = pull([np.zeros_like(c) for c in cotangents])
    nothing = [np.where(np.isfinite(g), 0, g).astype(g.dtype) for g in gradients]
    finite = []
    for i, (gradient, zeros) in enumerate(zip(of_zeros, nothing, strict=True)):
        one = as_gradient(agreement.operation, i, gradient)
        finite.append(np.where(np.isfinite(zeros), one, zeros))
    agreement.check(finite, "not linear in the cotangent, backward(0) is not 0", nothing)
    large = large_factor([*cotangents, *gradients])
    for k in (large, -large, 1 / large):
        with np.errstate(all="ignore"):
            multiples = [c * c.dtype.type(k) for c in cotangents]
            returned = pull(multiples)
            scaled = [as_gradient(agreement.operation, i, g) for i, g in enumerate(returned)]
            divided = [g / g.dtype.type(k) for g in scaled]
            # What is smaller than any normal number has lost digits.
            lost = [abs(g * k) < 100 * np.finfo(g.dtype).tiny for g in gradients]
            divided = list(map(np.where, lost, gradients, divided))
        if all(np.isfinite(g).all() for g in scaled):
            agreement.check(
                divided,
                f"not linear in the cotangent, backward({k:.6g} c) / {k:.6g} is not backward(c)",
            )


def same_array_twice(agreement: Agreement) -> bool:
    """One array given as two arguments has the gradients of two equal arrays.

    False if no two inputs are alike.
    """
    operation, cotangents = agreement.operation, agreement.cotangents
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
            of_equal = Agreement(operation.at(apart), cotangents, expected, ())
            of_equal.check(gradients, f"wrong when {names} are the same array")
            return True
    return False
