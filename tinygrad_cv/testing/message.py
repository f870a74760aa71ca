"""The text of a failed check.

It shows where, both numbers, the pattern, the inputs, what held, and a line that reproduces it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.errors import name_of
from ..engine.observers import detect_anomaly
from ..tensor import TABLE, Rule, Tensor
from .patterns import is_whole, recognise
from .substitutions import repaired

if TYPE_CHECKING:
    from .check import Settings
    from .compare import Finding
    from .line import Line
    from .operation import Operation

SHOWN = 5  # wrong elements that are listed
WRITTEN = 200  # the largest array that is written out
ORDERS = {1: "", 2: "second derivatives, ", 3: "third derivatives, "}


class GradMismatch(AssertionError):
    """A gradient that is not what it should be."""

    __module__ = "tinygrad_cv.testing"
    patterns: tuple[str, ...] = ()  # that were recognised, one for each wrong gradient at most
    whole = True  # whether every element was compared, so that all patterns were looked for

    def with_text(self, text: str) -> GradMismatch:
        """The same mismatch with another text."""
        other = type(self)(text)
        other.patterns = self.patterns
        other.whole = self.whole
        return other


class WrongStructure(GradMismatch, TypeError):
    """Gradients that are too few, too many, or in another nesting than the arguments."""

    __module__ = "tinygrad_cv.testing"


def literal(value: object) -> str:
    """A value as Python that makes it again: `np.array([[0.5, 1.0]])`."""
    if isinstance(value, Tensor):
        return f"tg.Tensor({literal(value.numpy())})"
    if isinstance(value, np.ndarray):
        return _array_literal(value)
    if isinstance(value, np.generic):
        return f"np.{value.dtype}({value.item()!r})"
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        text = ", ".join(map(literal, value))
        if isinstance(value, list):
            return f"[{text}]"
        comma = "," if len(value) == 1 else ""
        return f"({text}{comma})"
    if isinstance(value, dict):
        text = ", ".join(f"{k!r}: {literal(v)}" for k, v in value.items())
        return f"{{{text}}}"
    return name_of(value) if callable(value) else repr(value)


def _array_literal(array: np.ndarray) -> str:
    if array.size == 0:
        return f"np.zeros({array.shape}, np.{array.dtype})"
    if array.size > WRITTEN and np.all(array == array.flat[0]):
        return f"np.full({array.shape}, {array.flat[0].item()!r}, np.{array.dtype})"
    if array.size > WRITTEN:
        return f"<{array.dtype} array of shape {array.shape}>"
    text = repr(array.tolist()).replace("nan", "np.nan").replace("inf", "np.inf")
    if array.dtype in (np.float64, np.int64, np.bool_):
        return f"np.array({text})"
    return f"np.array({text}, np.{array.dtype})"


def two_numbers(a: float, b: float) -> tuple[str, str]:
    """Both with as many digits as it takes to see that they differ."""
    for digits in range(4, 17):
        if f"{a:+.{digits}g}" != f"{b:+.{digits}g}":
            return f"{a:+.{digits + 2}g}", f"{b:+.{digits + 2}g}"
    return f"{a:+.17g}", f"{b:+.17g}"


def describe(
    operation: Operation,
    order: int,
    cotangents: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    findings: Sequence[Finding],
    held: Sequence[str],
    line: Line,
) -> GradMismatch:
    """The message about wrong elements, or about kinks where none were allowed."""
    kinks = sum(finding.kinks for finding in findings)
    lines = []
    patterns = []
    wrong = [finding for finding in findings if finding.wrong.any()]
    for finding in wrong:
        gradient = gradients[finding.which]
        lines += _describe_finding(operation, order, finding, gradient)
        repairs = repaired(operation, cotangents[0]) if len(cotangents) == 1 else ()
        pattern = recognise(finding, gradient, line, findings, repairs)
        if pattern:
            lines.append(f"  pattern: {pattern}")
            patterns.append(pattern)
    if not lines:
        lines.append(f"{operation.name}: {kinks} elements at a kink, and kinks='error'")
    lines.append(f"  held: {', '.join(held)}; at kinks: {kinks}")
    lines.append(f"  cotangent: {', '.join(map(literal, cotangents))}")
    source = where(operation)
    if source:
        lines.append(f"  {source}")
    mismatch = GradMismatch("\n".join(lines))
    mismatch.patterns = tuple(patterns)
    mismatch.whole = all(is_whole(f, gradients[f.which]) for f in wrong)
    return mismatch


def _describe_finding(
    operation: Operation, order: int, finding: Finding, gradient: np.ndarray
) -> list[str]:
    """The wrong elements of one input's gradient: how many, and the first few."""
    wrong = [row for row in finding.rows if row.wrong]
    derivative = f"{ORDERS[min(order, 3)]}gradient"
    lines = [
        f"{operation.name}: {derivative} with respect to {operation.names[finding.which]}: "
        f"{len(wrong)} of {gradient.size} elements wrong"
    ]
    for row in wrong[:SHOWN]:
        index = [int(i) for i in np.unravel_index(row.element, gradient.shape)]
        part = ""
        if operation.inputs[finding.which].dtype.kind == "c":
            part = (" (real part)", " (imaginary part)")[index.pop()]
        analytic, numeric = two_numbers(row.analytic, row.numeric)
        difference = abs(row.analytic - row.numeric)
        bars = f", {difference / row.error:.0e} error bars" if row.error > 0 else ""
        lines.append(
            f"  at {index}{part}: backward={analytic}  numeric={numeric} ±{row.error:.0e} "
            f"(difference {difference:.3g}{bars})"
        )
    return lines


def where(operation: Operation) -> str:
    """The file and line of the gradient's code, "" if Python does not know them."""
    code: Any = inspect.unwrap(operation.backward) if operation.backward else None
    if code is None and _hashable(operation.original):
        rule = TABLE.get(operation.original)
        if isinstance(rule, Rule):
            code = next((f for f in rule.formulas.values() if f is not None), None)
    if code is None:
        code = getattr(operation.original, "_backward", None)
    try:
        file = inspect.getsourcefile(code)
        return f"rule: {file}:{inspect.getsourcelines(code)[1]}" if file else ""
    except (TypeError, OSError):
        return ""


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def reproduce(operation: Operation, settings: Settings) -> str:
    """One line of Python that fails in the same way; before it, what it leaves to the caller.

    An array that is too large to be written out has its argument's name in that line.
    """
    lines = []
    functions = [operation.original]
    if operation.backward is not None:
        functions.append(operation.backward)
    arguments = [*map(name_of, functions)]
    for k, argument in enumerate(operation.given):
        text = literal(argument)
        if isinstance(argument, np.ndarray) and text.startswith("<"):
            name = operation.parameters[k]
            lines.append(f"  {name}: your array, {outlined(argument)}")
            text = name
        arguments.append(text)
    lines.append(f"  reproduce: {settings.call}({', '.join(arguments)}{settings.options()})")
    return "\n".join(lines)


def outlined(array: np.ndarray) -> str:
    """What a large array is: dtype, shape, and between which numbers it lies."""
    text = f"{array.dtype} of shape {array.shape}"
    if array.dtype.kind not in "iuf":
        return text
    return f"{text}, from {np.nanmin(array):.6g} to {np.nanmax(array):.6g}"


def describe_not_finite(operation: Operation, what: str, arrays: Sequence[np.ndarray]) -> None:
    """Refuse NaN and infinities in a "value" or a "gradient", and name the first operation."""
    for i, array in enumerate(arrays):
        bad = np.argwhere(~np.isfinite(array))
        if not len(bad):
            continue
        index = tuple(int(k) for k in bad[0])
        of = f"gradient with respect to {operation.names[i]}" if what == "gradient" else "value"
        raise GradMismatch(
            f"{operation.name}: the {of} is {array[index]} at {list(index)} "
            f"({len(bad)} of {array.size} elements are not finite){_began(operation)}"
        )


def _began(operation: Operation) -> str:
    """The operation that made the first NaN or infinity, if anomaly detection names it."""
    if operation.backward is not None:
        return ""
    try:
        with detect_anomaly(), np.errstate(all="ignore"):
            values, pull = operation.pull(operation.inputs)
            pull([np.ones_like(v) for v in values])
    except FloatingPointError as error:
        return f"\n  began: {error}"
    except Exception:  # the anomaly is all that is looked for
        return ""
    return ""
