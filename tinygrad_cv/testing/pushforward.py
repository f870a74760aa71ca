"""What a forward derivative owes its caller besides being right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine.pytrees import leaves, rebuild
from ..typing import PyTree
from .agreement import CANCELLED, first_index, large_factor
from .layouts import locked, reordered
from .message import GradMismatch, literal, two_numbers
from .numeric import largest_finite
from .operation import Function, Operation, is_result, results
from .witness import Witness


class Pushforward:
    """A user's jvp(args, tangents), called with tangents of the inputs and checked each time."""

    def __init__(self, operation: Operation, jvp: Function, values: Sequence[np.ndarray]) -> None:
        self.operation = operation
        self.jvp = jvp
        self.values = values

    def __call__(self, tangents: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        """The tangents of the values; None for an input that is not moved."""
        operation = self.operation
        arguments = operation.arguments(operation.inputs)
        nested = self.nested(tangents)
        witness = Witness(arguments, nested)
        returned = self.jvp(arguments, nested)
        change = witness.change()
        if change is not None:
            what = ("an argument", "a tangent")[change.tree]
            raise GradMismatch(f"{operation.name}: the jvp changed {what}{change.what}")
        pushed = results(returned)
        if [v.shape for v in pushed] != [v.shape for v in self.values]:
            raise GradMismatch(
                f"{operation.name}: the tangents have shapes {[v.shape for v in pushed]}, "
                f"the values {[v.shape for v in self.values]}"
            )
        numbers = [leaf for leaf in leaves([returned]) if is_result(leaf)]
        for number, tangent, value in zip(numbers, pushed, self.values, strict=True):
            plain = isinstance(number, (float, complex)) and not value.shape
            if tangent.dtype != value.dtype and not plain:
                raise GradMismatch(
                    f"{operation.name}: the tangent is {tangent.dtype}, the value {value.dtype}"
                )
        return pushed

    def nested(self, tangents: Sequence[np.ndarray | None]) -> tuple[PyTree, ...]:
        """The tangents in the nesting of the arguments, None for what has no derivative."""
        given = iter(tangents)
        found = []
        for position, argument in enumerate(self.operation.args):
            filled = [
                next(given) if self.operation.is_input(position, leaf) else None
                for leaf in leaves(argument)
            ]
            found.append(rebuild(argument, filled))
        return tuple(found)

    def homogeneous(self, tangents: Sequence[np.ndarray], pushed: Sequence[np.ndarray]) -> None:
        """jvp(k t) = k jvp(t) for large and small k, powers of 2, and for 0; in any layout."""
        size = [abs(p) for p in pushed]
        other_layout = self([locked(reordered)(t) for t in tangents])
        message = "of a tangent that runs backwards in memory it is another"
        self.compare(other_layout, pushed, size, tangents, message, "")
        nothing = [np.where(np.isfinite(p), 0, p) for p in pushed]
        with np.errstate(all="ignore"):
            of_zeros = self([np.zeros_like(t) for t in tangents])
        self.compare(of_zeros, nothing, size, tangents, "jvp(0) is not 0")
        large = large_factor([*tangents, *pushed])
        for k in (large, 1 / large, -1.0):
            with np.errstate(all="ignore"):
                multiples = [np.asarray(t * t.dtype.type(k)) for t in tangents]
                divided = [np.asarray(p / p.dtype.type(k)) for p in self(multiples)]
            message = f"jvp({k:.6g} t) / {k:.6g} is not jvp(t)"
            self.compare(divided, pushed, [abs(p) for p in pushed], tangents, message)

    def additive(
        self,
        tangents: Sequence[np.ndarray],
        pushed: Sequence[np.ndarray],
        others: Sequence[np.ndarray],
        pushed_others: Sequence[np.ndarray],
    ) -> None:
        """jvp(t - 2 u) = jvp(t) - 2 jvp(u)."""
        together = [t - 2 * u for t, u in zip(tangents, others, strict=True)]
        pairs = list(zip(pushed, pushed_others, strict=True))
        with np.errstate(all="ignore"):
            expected = [one - 2 * other for one, other in pairs]
            sizes = [abs(one) + 2 * abs(other) for one, other in pairs]
        message = "jvp(t - 2u) is not jvp(t) - 2 jvp(u)"
        self.compare(self(together), expected, sizes, tangents, message)

    def each_alone(self, tangents: Sequence[np.ndarray]) -> None:
        """With None for all inputs but those of one argument, jvp gives what it does with zeros.

        For a list or a dict among the arguments None stands in the places of its arrays. A jvp may
        refuse None.
        """
        positions = {position for position, _ in self.operation.origins}
        if len(positions) < 2:
            return
        for chosen in sorted(positions):
            alone = [position == chosen for position, _ in self.operation.origins]
            pairs = list(zip(tangents, alone, strict=True))
            zeros = self([t if own else np.zeros_like(t) for t, own in pairs])
            left_out = [t if own else None for t, own in pairs]
            try:
                returned = self(left_out)
            except GradMismatch:
                raise
            except Exception:  # this one takes a tangent for each
                return
            name = self.operation.names[alone.index(True)]
            message = f"with None for all tangents but that of {name} it is another than with zeros"
            self.compare(returned, zeros, [abs(p) for p in zeros], left_out, message, "")

    def compare(
        self,
        pushed: Sequence[np.ndarray],
        expected: Sequence[np.ndarray],
        sizes: Sequence[np.ndarray],
        tangents: Sequence[np.ndarray | None],
        message: str,
        law: str = "not linear in the tangent, ",
    ) -> None:
        """Refuse tangents that differ by more than rounding, each element at its own size.

        What is much smaller than the others, or than the value itself, may be what is left of
        larger terms.
        """
        rate = self.rate(tangents)
        for one, other, size, value in zip(pushed, expected, sizes, self.values, strict=True):
            eps = float(np.finfo(other.dtype).eps)
            allowed = 1e4 * eps * size + 100 * eps * largest_finite(size)
            allowed += 10 * eps * rate * np.where(np.isfinite(value), abs(value), 0)
            terms = rate * largest_finite(value)
            if largest_finite(size) <= 100 * CANCELLED * eps * terms:  # nothing is left of them
                allowed += 100 * CANCELLED * eps * terms
            with np.errstate(invalid="ignore"):
                differs = np.isfinite(other) & ~(abs(one - other) <= allowed)
            if not differs.any():
                continue
            where = first_index(differs)
            got, right = two_numbers(one[where], other[where])
            raise GradMismatch(
                f"{self.operation.name}: {law}{message}: "
                f"at {list(where)}, {got} instead of {right}\n"
                f"  t = {', '.join(map(literal, tangents))}"
            )

    def rate(self, tangents: Sequence[np.ndarray | None]) -> float:
        """|tangent| / |input|, the largest: times a value, the size of terms that may cancel."""
        rates = [0.0]
        for x, tangent in zip(self.operation.inputs, tangents, strict=True):
            if tangent is not None:
                rates.append(largest_finite(tangent) / max(0.01, largest_finite(x)))
        return max(rates)
