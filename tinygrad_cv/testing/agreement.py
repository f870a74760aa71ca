"""When two gradients of one operation are the same: up to what rounding makes of each element."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from ..typing import PyTree
from .message import GradMismatch, two_numbers
from .numeric import largest_finite
from .operation import LARGE, Operation

Result = TypeVar("Result")
CANCELLED = 30  # times the slope of a value are terms of which nothing is left
SHAKES = 4  # trials of how much the rounding of the inputs matters
NEARLY_ONE = (1 + 2.0**-18 / 3, 1 - 2.0**-18 / 3, 1 + 2.0**-18 / 7, 1 - 2.0**-18 / 7)


class Agreement:
    """The gradients of one call, to compare those of others with.

    Two elements agree within a thousand roundings of their size. If they don't, the operation may
    be ill-conditioned: then within a hundred times what the gradients at inputs and cotangents
    that are moved by rounding differ by. For many elements that is not tried, and the scale of the
    largest decides.
    """

    def __init__(
        self,
        operation: Operation,
        cotangents: Sequence[np.ndarray],
        gradients: Sequence[np.ndarray],
        values: Sequence[np.ndarray],
    ) -> None:
        self.operation = operation
        self.cotangents = cotangents
        self.gradients = gradients
        self.values = values
        self.value = sum(float(np.nansum(abs(v))) for v in values)
        self._moves: list[np.ndarray] | None = None

    def check(
        self,
        gradients: Sequence[PyTree],
        message: str,
        expected: Sequence[np.ndarray] | None = None,
        sizes: Sequence[np.ndarray] | None = None,
        dtypes: Sequence[np.dtype[np.generic]] = (),
        same_call: bool = False,
    ) -> None:
        """Refuse gradients that differ from what is expected: GradMismatch with the message.

        same_call: the inputs are the same, so that no conditioning explains a difference.
        expected: by default the gradients of the call. sizes: of the terms that they are sums of,
        by default theirs. dtypes: what a gradient may have instead of the dtype of its input.
        repeated: it is the same call again, whose condition explains nothing.
        """
        others = self.gradients if expected is None else expected
        for i, (gradient, other) in enumerate(zip(gradients, others, strict=True)):
            one = as_gradient(self.operation, i, gradient, dtypes)
            if np.array_equal(one, other):
                continue
            size = abs(other) if sizes is None else sizes[i]
            wrong = self.apart(i, one, other, size, same_call)
            if not wrong.any():
                continue
            where = first_index(wrong)
            got, right = two_numbers(one[where], other[where])
            raise GradMismatch(
                f"{self.operation.name}: {message}: with respect to {self.operation.names[i]}, "
                f"at {list(where)}, {got} instead of {right} "
                f"({int(np.sum(wrong))} of {one.size} elements)"
            )

    def apart(
        self, i: int, one: np.ndarray, other: np.ndarray, size: np.ndarray, same_call: bool
    ) -> np.ndarray:
        """Where two gradients with respect to input i are not the same."""
        coarser = one if one.dtype.kind in "fc" else other
        eps = max(float(np.finfo(a.dtype).eps) for a in (coarser, other))
        least = 1e3 * float(np.finfo(other.dtype).smallest_subnormal)
        with np.errstate(invalid="ignore", over="ignore"):
            difference = abs(one - other)
            same = (one == other) | ~(np.isfinite(one) | np.isfinite(other))
            wrong: np.ndarray = ~(same | (difference <= 1e3 * eps * size + least))
            if not wrong.any():
                return wrong
            if self.operation.size > LARGE or same_call:
                wrong &= ~(difference <= 1e4 * eps * self.largest_term(i, size))
                return wrong
            found: np.ndarray = wrong & ~(difference <= self.explained(i, size, eps))
        return found

    def largest_term(self, i: int, size: np.ndarray) -> float:
        """The largest size of an element of gradient i, and of what may have cancelled in it.

        All of that, if nothing else is left.
        """
        found = largest_finite(size)
        slope = self.operation.natural_slope(self.value, i)
        eps = float(np.finfo(self.operation.inputs[i].dtype).eps)
        nothing_left = found <= 100 * CANCELLED * eps * slope
        return found + (CANCELLED if nothing_left else 0.1) * slope

    def explained(self, i: int, size: np.ndarray, eps: float) -> np.ndarray:
        """How far gradient i may be wrong by rounding, as its condition makes of it.

        size: of each element.
        """
        largest_term = self.largest_term(i, size)
        if self.value_is_noise:
            return np.full(size.shape, np.inf)
        move = np.minimum(self.moves()[i], 1e-6 * largest_term)
        # What doesn't move with its own size is a remainder of larger terms.
        remainder = (move == 0) | (move > 8 * eps * size) | (size.size == 1)
        found: np.ndarray = 100 * (move + eps * largest_term * remainder)
        return found

    @functools.cached_property
    def value_is_noise(self) -> bool:
        """Whether rounding of the inputs changes the values by a large share of them, and by far
        more than the gradients say.

        They are what it has left of larger terms, as is the variance of equal numbers, and no digit
        of them or of their gradients is known.
        """
        inputs = self.operation.inputs
        values = self.operation.value(inputs)
        most = 0.0
        for seed in range(4 * SHAKES):
            near = [shaken(a, seed, 1 + seed) for a in inputs]  # one step may be without effect
            moved = applies(lambda: self.operation.value(near))  # noqa: B023
            if moved is not None and [v.shape for v in moved] == [v.shape for v in values]:
                pairs = zip(moved, values, strict=True)
                most = max(most, *(largest_finite(one - other) for one, other in pairs))
        by_gradient = 0.0
        for a, gradient in zip(inputs, self.gradients, strict=True):
            by_gradient += float(np.finfo(a.dtype).eps) * float(np.nansum(abs(a * gradient)))
        push = max(map(largest_finite, self.cotangents), default=0.0)
        return most > 0.1 * self.value and most * push > 1e4 * by_gradient

    def moves(self) -> list[np.ndarray]:
        """How far each element moves by rounding, of inputs, of cotangents and in the pass."""
        if self._moves is None:
            found = [np.zeros(g.shape) for g in self.gradients]
            for seed in range(SHAKES):
                try:
                    little = _moves(self.operation, self.cotangents, self.gradients, seed, 1, None)
                except Exception:  # the edge of the domain
                    continue
                for most, move in zip(found, little, strict=True):
                    np.fmax(most, move, out=most)
            for k in NEARLY_ONE:
                for most, rest in zip(found, self.rests(k), strict=True):
                    np.fmax(most, rest, out=most)
            self._moves = found
        return self._moves

    def rests(self, k: float) -> list[np.ndarray]:
        """What multiples of the cotangents by a number near 1 leave: pull(k c) - k pull(c).

        That is the rounding of terms, however little is left of them; of what is not linear, only
        a share as small as k - 1.
        """
        multiples = [(c * k).astype(c.dtype) for c in self.cotangents]
        pulled = pull_again(self.operation, self.operation.inputs, multiples)
        return [abs(g - k * one) for g, one in zip(pulled, self.gradients, strict=True)]


def as_gradient(
    operation: Operation,
    i: int,
    gradient: PyTree,
    dtypes: Sequence[np.dtype[np.generic]] = (),
) -> np.ndarray:
    """The gradient of input i as an array, None as zeros.

    Raises GradMismatch for a shape or a dtype that is not its input's (nor one of `dtypes`), and
    for a masked array or a matrix, which are not added up as arrays are.
    """
    expected = operation.inputs[i]
    name = operation.names[i]
    if gradient is None:
        return np.zeros_like(expected)
    array = np.asarray(gradient)
    if isinstance(gradient, (np.ma.MaskedArray, np.matrix)):
        raise GradMismatch(
            f"{operation.name}: the gradient with respect to {name} is a "
            f"{type(gradient).__name__}, the argument an array"
        )
    if array.shape != expected.shape:
        raise GradMismatch(
            f"{operation.name}: the gradient with respect to {name} has shape {array.shape}, "
            f"the argument has shape {expected.shape}{_missing_sum(array, expected)}"
        )
    number = isinstance(gradient, (float, complex)) and not expected.shape
    if array.dtype != expected.dtype and array.dtype not in dtypes and not number:
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


def large_factor(arrays: Sequence[np.ndarray]) -> float:
    """A large power of 2, by which numbers of each of these dtypes are multiplied exactly."""
    narrowest = min(a.dtype.itemsize for a in arrays)
    return 2.0 ** {2: 4, 4: 8}.get(narrowest, 20)


def first_index(mask: np.ndarray) -> tuple[int, ...]:
    """The index of the first True element."""
    return tuple(int(k) for k in np.argwhere(mask)[0])


def pull_again(
    operation: Operation, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The gradients at these inputs."""
    _, pull = operation.pull(inputs)
    return [as_gradient(operation, i, g) for i, g in enumerate(pull(cotangents))]


def shifts_by_rounding(
    operation: Operation,
    cotangents: Sequence[np.ndarray],
    exact: Sequence[np.ndarray],
    eps: float | None = None,
    jumps: bool = False,
) -> list[np.ndarray]:
    """How far each element of the gradients moves when inputs and cotangents move by rounding.

    That is what its conditioning makes of `eps`, by default that of each array. A gradient that
    jumps has another reason to move: it moves as far by less. Such an element counts as 0, unless
    `jumps`: what is rounded to `eps` may lie beyond the jump.
    """
    shifts = [np.zeros(g.shape) for g in exact]
    for seed in range(SHAKES):
        try:
            little = _moves(operation, cotangents, exact, seed, 1, eps)
            more = _moves(operation, cotangents, exact, seed, 128, eps)
        except Exception:  # the edge of the domain
            continue
        for shift, move, far, gradient in zip(shifts, little, more, exact, strict=True):
            noise = move <= 1e-6 * largest_finite(gradient)
            np.fmax(shift, np.where(noise | (far >= 8 * move) | jumps, move, 0), out=shift)
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
    odd = np.uint64(0x9E3779B97F4A7C15 + 2 * seed)
    with np.errstate(over="ignore"):
        hashed = sizes.view(np.uint64) * odd
        hashed = (hashed ^ (hashed >> np.uint64(32))) * odd  # or neighbours of float32 move alike
    signs = 1.0 - 2.0 * (hashed >> np.uint64(63))
    moved: np.ndarray = np.asarray(a * (1 + rounding * signs)).astype(a.dtype)
    return moved


def applies(call: Callable[[], Result]) -> Result | None:
    """The result of a call with unusual inputs, or None if the operation refuses them.

    Nobody gave these inputs, and so nobody is warned of them ("Degrees of freedom <= 0").
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return call()
        except GradMismatch:
            raise
        except Exception:
            return None
