"""How inputs and cotangents lie in memory, and their dtype, must not matter to a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..typing import PyTree
from .agreement import Agreement, as_gradient
from .message import GradMismatch
from .operation import LARGE, Pullback

Layout: TypeAlias = Callable[[np.ndarray], np.ndarray]
INTEGERS = (-3, -2, 2, 3)  # cotangents that every dtype has exactly
EXACT = 2**22  # float32 has all integers of this size


def _strided(a: np.ndarray) -> np.ndarray:
    """The same numbers with a gap behind each."""
    if not a.ndim:
        return a.copy()
    doubled = np.repeat(a, 2, axis=-1)
    return doubled[..., ::2]


def _fortran(a: np.ndarray) -> np.ndarray:
    return np.array(a, order="F")


def backwards(a: np.ndarray) -> np.ndarray:
    return np.flip(np.flip(a).copy())


def reordered(a: np.ndarray) -> np.ndarray:
    """The same numbers, backwards in memory and with the first axis as the fastest."""
    return np.flip(np.array(np.flip(a), order="F"))


def locked(layout: Layout) -> Layout:
    """A layout of arrays that are read-only."""

    def locked(a: np.ndarray) -> np.ndarray:
        b = np.asarray(layout(np.asarray(a)))  # NumPy may make a scalar of an array without axes
        b.flags.writeable = False
        return b

    return locked


LAYOUTS: dict[str, Layout] = {
    "non-contiguous": _strided,
    "Fortran-ordered": _fortran,
    "negative-stride": backwards,
    "read-only": locked(np.array),
}
# Two calls for all of these, where calls are dear: inputs in one layout, cotangents in another.
COMBINED: tuple[tuple[Layout, Layout], ...] = (
    (locked(_fortran), locked(lambda a: backwards(_strided(a)) if a.ndim else np.array(a))),
    (locked(lambda a: np.flip(_strided(np.flip(a)))), locked(_fortran)),
)


def of_memory(agreement: Agreement) -> None:
    """The gradients are the same for inputs and cotangents in every memory layout.

    Both are in other layouts in each call. If one fails, each alone shows which of them it is.
    """
    operation = agreement.operation
    both = [(layout, layout) for layout in LAYOUTS.values()]
    for of_input, of_cotangent in COMBINED if operation.calls_are_dear else both:
        cotangents = [of_cotangent(c) for c in agreement.cotangents]
        try:
            _, pull = operation.pull([of_input(a) for a in operation.inputs])
            agreement.check(pull(cotangents), "wrong for inputs and cotangents of other layouts")
        except Exception as error:
            each_of_inputs(agreement)
            _, pull = operation.pull(operation.inputs)
            each_of_cotangents(agreement, pull)
            if isinstance(error, GradMismatch):
                raise


def each_of_inputs(agreement: Agreement) -> list[str]:
    """The same, one layout after the other; the names of those that the operation takes."""
    operation = agreement.operation
    held = []
    for name, layout in LAYOUTS.items():
        inputs = [layout(a) for a in operation.inputs]
        call = lambda: operation.pull(inputs)[1](agreement.cotangents)  # noqa: B023
        returned = _accepted(agreement, f"{name} inputs", call)
        if returned is not None:
            agreement.check(returned, f"wrong for {name} inputs")
            held.append(f"{name} inputs")
    return held


def of_cotangents(agreement: Agreement, pull: Pullback, rng: np.random.Generator) -> None:
    """The gradients are the same for cotangents of every dtype."""
    operation = agreement.operation
    large = operation.size > LARGE
    if operation.backward is None or any(c.dtype.kind != "f" for c in agreement.cotangents):
        return
    of_numbers(agreement, pull, rng, "integer", np.int64, broadcast=large)
    if not large:
        of_numbers(agreement, pull, rng, "float32", np.float32)
        of_numbers(agreement, pull, rng, "broadcast", np.float64, broadcast=True)


def each_of_cotangents(agreement: Agreement, pull: Pullback) -> None:
    """The same for memory alone, one layout after the other."""
    for name, layout in LAYOUTS.items():
        cotangents = [layout(c) for c in agreement.cotangents]
        call = lambda: pull(cotangents)  # noqa: B023
        returned = _accepted(agreement, f"a {name} cotangent", call)
        if returned is not None:
            agreement.check(returned, f"wrong for a {name} cotangent")


def _accepted(
    agreement: Agreement, what: str, call: Callable[[], list[PyTree]]
) -> list[PyTree] | None:
    """What a call returns; None if it refuses negative strides, as other libraries' arrays do.

    Raises GradMismatch if it raises for any other layout.
    """
    try:
        return call()
    except GradMismatch:
        raise
    except Exception as error:
        if "negative-stride" in what:
            return None
        raise GradMismatch(
            f"{agreement.operation.name}: raises {type(error).__name__} for {what}: {error}"
        ) from error


def of_numbers(
    agreement: Agreement,
    pull: Pullback,
    rng: np.random.Generator,
    name: str,
    dtype: type[np.number[Any]],
    *,
    broadcast: bool = False,
) -> None:
    """Cotangents of small integers have one gradient, in whatever dtype they are.

    broadcast: one number, or one row, is repeated with stride 0. Where the dtype is refused there
    is nothing to compare. A gradient may have the dtype of its cotangent, and float32 inside may
    cost it digits, but it may not be rounded to float32 and then called float64.
    """
    operation, given = agreement.operation, agreement.cotangents
    unit = 1
    if dtype is np.float32:
        unit = _unit([*operation.inputs, *given])
        if any(c.dtype != np.float64 for c in given):
            return
    plain = [unit * _integers(c, rng, broadcast) for c in given]
    contiguous = [np.array(c, order="C") for c in plain]
    expected = [as_gradient(operation, i, g) for i, g in enumerate(pull(contiguous))]
    largest = float(np.finfo(np.float32).max) if dtype is np.float32 else np.inf
    if not all((abs(g) < largest).all() for g in expected):
        return
    others = [_broadcast(c.astype(dtype)) if broadcast else c.astype(dtype) for c in plain]
    try:
        returned = pull(others)
    except GradMismatch:
        raise
    except Exception:  # the function is for cotangents of one dtype
        return
    promoted = [np.result_type(dtype, a.dtype) for a in operation.inputs]
    promoted += [
        np.result_type(dtype, np.complex64) for a in operation.inputs if a.dtype.kind == "c"
    ]
    if dtype is np.float32:
        promoted.append(np.dtype(np.complex64))
        returned = [
            right if _has_more_digits(g) else g for g, right in zip(returned, expected, strict=True)
        ]
    reference = Agreement(operation, contiguous, expected, ())
    message = f"wrong for a cotangent that is {name}"
    reference.check(returned, message, dtypes=[np.dtype(dtype), *promoted])


def _has_more_digits(gradient: PyTree) -> bool:
    """Whether some element is no number of float32, or overflows in it."""
    if gradient is None:
        return False
    array = np.asarray(gradient)
    single = array.dtype.itemsize <= 4 or array.dtype.kind != "f"
    with np.errstate(over="ignore"):
        overflows = not np.isfinite(array).all()
        return overflows or (not single and not np.array_equal(array.astype(np.float32), array))


def _unit(arrays: Sequence[np.ndarray]) -> int:
    """A number whose multiples have an exact mean along any axis, in float32, too.

    1 if there is none: for many elements.
    """
    lengths = [12, *[a.size for a in arrays], *[n for a in arrays for n in a.shape]]
    common = math.lcm(*[n for n in lengths if n])
    return common if common < EXACT else 1


def _integers(c: np.ndarray, rng: np.random.Generator, broadcast: bool) -> np.ndarray:
    """Small integers in the place of a cotangent; if `broadcast`, the same in each row."""
    shape = (1, *c.shape[1:]) if broadcast and c.ndim else c.shape
    drawn = rng.choice(INTEGERS, shape).astype(c.dtype)
    found: np.ndarray = np.broadcast_to(drawn, c.shape)
    return found


def _broadcast(c: np.ndarray) -> np.ndarray:
    """The first row of an array with stride 0 along the first axis, as often as there are rows."""
    found: np.ndarray = np.broadcast_to(c[:1], c.shape) if c.ndim else c
    return found
