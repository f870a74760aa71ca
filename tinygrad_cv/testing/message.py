"""What a failed check says: where, both numbers, the pattern, the inputs, what held, and a line that reproduces it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.errors import name_of
from ..engine.observers import detect_anomaly
from ..tensor import TABLE, Rule, Tensor
from .numeric import Array
from .operation import Operation
from .patterns import recognise

if TYPE_CHECKING:
    from .compare import Finding, Line

SHOWN = 5  # wrong elements that are listed
WRITTEN = 200  # the largest array that is written out


class GradMismatch(AssertionError):
    """A gradient that is not what it should be."""

    __module__ = "tinygrad_cv.testing"


def literal(value: Any) -> str:
    """A value as Python that makes it again: `np.array([[0.5, 1.0]])`."""
    if isinstance(value, Tensor):
        return f"tg.Tensor({literal(value.numpy())})"
    if isinstance(value, np.ndarray):
        if value.size == 0:
            return f"np.zeros({value.shape}, np.{value.dtype})"
        if value.size > WRITTEN:
            return f"<{value.dtype} array of shape {value.shape}>"
        plain = value.dtype in (np.float64, np.int64, np.bool_)
        text = repr(value.tolist()).replace("nan", "np.nan").replace("inf", "np.inf")
        return f"np.array({text})" if plain else f"np.array({text}, np.{value.dtype})"
    if isinstance(value, np.generic):
        return f"np.{value.dtype}({value.item()!r})"
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        text = ", ".join(map(literal, value))
        return f"[{text}]" if isinstance(value, list) else f"({text}{',' * (len(value) == 1)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {literal(v)}" for k, v in value.items()) + "}"
    return name_of(value) if callable(value) else repr(value)


def two_numbers(a: float, b: float) -> tuple[str, str]:
    """Both with as many digits as it takes to see that they differ."""
    for digits in range(4, 18):
        texts = f"{a:+.{digits}g}", f"{b:+.{digits}g}"
        if texts[0] != texts[1] and digits < 17:
            return f"{a:+.{digits + 2}g}", f"{b:+.{digits + 2}g}"
    return texts


def describe(
    operation: Operation,
    order: int,
    cotangents: Sequence[Array],
    gradients: Sequence[Array],
    findings: Sequence[Finding],
    held: Sequence[str],
    line: Line,
) -> GradMismatch:
    """The message about wrong elements, or about kinks where none were allowed."""
    lines = []
    for finding in findings:
        if not finding.wrong.any():
            continue
        shape = gradients[finding.which].shape
        many = f"{int(finding.wrong.sum())} of {gradients[finding.which].size} elements wrong"
        which = ("", "second derivatives, ", "third derivatives, ")[min(order, 3) - 1]
        lines.append(
            f"{operation.name}: {which}gradient with respect to {operation.names[finding.which]}: {many}"
        )
        for k in np.flatnonzero(finding.wrong)[:SHOWN]:
            analytic, numeric = two_numbers(finding.analytic[k], finding.numeric[k])
            place = [int(i) for i in np.unravel_index(int(finding.elements[k]), shape)]
            difference = abs(finding.analytic[k] - finding.numeric[k])
            bars = (
                f", {difference / finding.error[k]:.0e} error bars" if finding.error[k] > 0 else ""
            )
            lines.append(
                f"  at {place}: backward={analytic}  numeric={numeric} ±{finding.error[k]:.0e} "
                f"(difference {difference:.3g}{bars})"
            )
        pattern = recognise(finding, gradients[finding.which], line)
        lines += [f"  pattern: {pattern}"] if pattern else []
    if not lines:
        lines.append(
            f"{operation.name}: {sum(f.kinks for f in findings)} elements at a kink, and kinks='error'"
        )
    lines.append(f"  held: {', '.join(held)}; at kinks: {sum(f.kinks for f in findings)}")
    lines += [f"  cotangent: {', '.join(map(literal, cotangents))}"]
    lines += [f"  {place}" for place in [where(operation)] if place]
    return GradMismatch("\n".join(lines))


def where(operation: Operation) -> str:
    """The file and line of the gradient's code, if it can be told."""
    code: Any = operation.backward
    rule = TABLE.get(operation.function) if _hashable(operation.function) else None
    if code is None and isinstance(rule, Rule):
        code = next((f for f in rule.formulas.values() if f is not None), None)
    code = getattr(operation.function, "_backward", None) if code is None else code
    try:
        file = inspect.getsourcefile(code)
        return f"rule: {file}:{inspect.getsourcelines(code)[1]}" if file else ""
    except (TypeError, OSError):
        return ""


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def reproduce(operation: Operation, settings: Any) -> str:
    """One line of Python that fails in the same way."""
    functions = [operation.original, *([] if operation.backward is None else [operation.backward])]
    return f"{settings.call}({', '.join([*map(name_of, functions), *map(literal, operation.given)])}{settings.options()})"


def describe_not_finite(operation: Operation, what: str, arrays: Sequence[Array]) -> None:
    """Refuse NaN and infinities, and say with which operation they began."""
    for i, array in enumerate(arrays):
        if np.isfinite(array).all():
            continue
        bad = np.argwhere(~np.isfinite(array))
        place = tuple(int(k) for k in bad[0])
        of = f"gradient with respect to {operation.names[i]}" if what == "gradient" else "value"
        began = ""
        if operation.backward is None:
            try:
                with detect_anomaly(), np.errstate(all="ignore"):
                    values, pull = operation.pull(operation.inputs)
                    pull([np.ones_like(v) for v in values])
            except FloatingPointError as error:
                began = f"\n  began: {error}"
            except Exception:  # the anomaly is all that is looked for
                began = ""
        raise GradMismatch(
            f"{operation.name}: the {of} is {array[place]} at {list(place)} ({len(bad)} of {array.size} elements are not "
            f"finite){began}"
        )
