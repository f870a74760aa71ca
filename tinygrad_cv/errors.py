"""What the engine says when something goes wrong, and how it notices: source lines, likely fixes, NaN, stale arrays."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterable, Sequence
from types import CodeType
from typing import Any

import numpy as np

Line = tuple[CodeType, int]
PACKAGE = __name__.partition(".")[0]
_INSIDE: dict[Any, bool] = {}  # whether a module of that name belongs to the package


def calling_line() -> Line:
    """The instruction outside this package that is being carried out: cheap to take, turned into words if needed."""
    frame = sys._getframe(3)
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__")
        if name not in _INSIDE:
            _INSIDE[name] = str(name).partition(".")[0] == PACKAGE
        if not _INSIDE[name]:
            break
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def describe_line(line: Line | None) -> str:
    """`train.py:42: loss = (a * b).sum()` for a line taken by `calling_line`."""
    if line is None:
        return "an unknown line"
    code, instruction = line
    positions = list(code.co_positions())
    number = positions[instruction // 2][0] if 0 <= instruction // 2 < len(positions) else None
    number = number or code.co_firstlineno
    text = linecache.getline(code.co_filename, number).strip()
    return f"{code.co_filename}:{number}" + (f": {text}" if text else f" in {code.co_name}")


def name_of(function: Any) -> str:
    """The name a user knows a function by: `np.exp`, `np.linalg.inv`, `scipy.special.erf`."""
    name = getattr(function, "__name__", None) or repr(function)
    if isinstance(function, np.ufunc):
        return f"np.{name}" if getattr(np, name, None) is function else f"scipy.special.{name}"
    module = getattr(function, "__module__", None) or ""
    if module.startswith("numpy"):
        return module.replace("numpy", "np", 1) + f".{name}"
    if module.startswith("scipy.special"):
        return f"scipy.special.{name}"
    return f"operator.{name}" if module == "_operator" else name


# ------------------------------------------------------------------------------------------- a forward call that fails


def _matmul_hint(left: tuple[int, ...], right: tuple[int, ...]) -> str:
    if not left or not right:
        return "matrix products need at least one axis on both sides; did you mean * ?"
    inner = right[-2] if len(right) > 1 else right[0]
    if left[-1] == inner:
        return ""
    hint = f"inner axes {left[-1]} and {inner} differ"
    if len(right) > 1 and left[-1] == right[-1]:
        return f"{hint}; did you mean b.mT?"
    return f"{hint}; did you mean a.mT?" if len(left) > 1 and left[-2] == inner else hint


def _broadcast_hint(left: tuple[int, ...], right: tuple[int, ...]) -> str:
    for axis, (a, b) in enumerate(zip(reversed(left), reversed(right), strict=False), start=1):
        if a != b and 1 not in (a, b):
            return f"axis -{axis} has length {a} on one side and {b} on the other; equal lengths, or 1, broadcast"
    return ""


def explain(error: Exception, function: Any, operands: Iterable[tuple[Any, Any]]) -> Exception:
    """The error of a failed forward call, told with the operation, its operands, where they were made, a likely fix."""
    known = [
        (value, getattr(node, "line", None))
        for value, node in operands
        if isinstance(value, np.ndarray)
    ]
    shapes = [value.shape for value, _ in known]
    lines = [f"{name_of(function)}: {error}"]
    for i, (value, line) in enumerate(known):
        made = f", made at {describe_line(line)}" if line else ""
        lines.append(f"  operand {i}: shape {value.shape} {value.dtype}{made}")
    product = function in (np.matmul, np.dot)
    told = len(shapes) == 2 and (
        product or "broadcast" in str(error)
    )  # other errors are not about two shapes
    hint = (_matmul_hint if product else _broadcast_hint)(*shapes) if told else ""
    lines += [f"  hint: {hint}"] if hint else []
    if type(error) in (ValueError, TypeError, IndexError):
        return type(error)("\n".join(lines))
    error.add_note("\n".join(lines))
    return error


def no_derivative(function: Any, argument: str) -> NotImplementedError:
    name = name_of(function)
    return NotImplementedError(
        f"{name} is not differentiated with respect to {argument!r}; pass {argument}.detach()"
    )


def without_rule(function: Any) -> NotImplementedError:
    return NotImplementedError(
        f"{name_of(function)} has no rule for tensors. Give it one with tg.derivative(...), or, if no gradient is to "
        "flow through it, call it on t.detach().numpy()"
    )


# ---------------------------------------------------------------------------------------------------- a walk that fails


def freed(node: Any) -> RuntimeError:
    return RuntimeError(
        f"the graph behind {node} was walked already and freed. Call backward once, on the sum of the losses; or, if "
        "two walks are meant, give the first one retain_graph=True"
    )


def not_a_leaf(node: Any) -> RuntimeError:
    return RuntimeError(
        f"this tensor is the result of {node}, so backward leaves no .grad on it. Call t.retain_grad() before backward, "
        "or use tg.grad"
    )


def not_a_number(shape: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"backward from a tensor of shape {shape} needs a gradient of that shape. Reduce it to one number first, "
        "t.sum().backward(), or pass one, t.backward(gradient)"
    )


def stale(node: Any, name: str) -> RuntimeError:
    return RuntimeError(
        f"{name!r} of {node} was changed in place after it was used, and its gradient needs the old values. Change "
        "a copy (a = a + 1, not a += 1), or call backward before the change"
    )


def wrong_shape(node: Any, gradient: tuple[int, ...], argument: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"the rule of {node} gave a gradient of shape {gradient} to an argument of shape {argument}"
    )


# --------------------------------------------------------------------------------------------- NaN and stale arrays


def _count_bad(values: Iterable[Any]) -> tuple[int, int]:
    """How many elements are NaN and how many are infinite."""
    arrays = [a for a in map(np.asarray, values) if a.dtype.kind == "f"]
    return sum(int(np.isnan(a).sum()) for a in arrays), sum(int(np.isinf(a).sum()) for a in arrays)


def _flat(values: Any) -> list[Any]:
    return [a for v in values for a in (_flat(v) if isinstance(v, (list, tuple)) else [v])]


def check_finite(
    function: Any, values: Sequence[Any], inputs: Any, line: Line | None, what: str = ""
) -> None:
    """Raise if a result has NaN, or infinities that were not given to it."""
    results = _flat(values)
    given = _count_bad(v for v in _flat(inputs) if isinstance(v, (np.ndarray, np.number, float)))
    nan, infinite = _count_bad(results)
    if nan or (infinite and not any(given)):
        size = sum(np.size(r) for r in results)
        made = (
            f"was given NaN and passed on {nan}"
            if given[0]
            else f"made {nan} NaN and {infinite} infinite elements"
        )
        raise FloatingPointError(
            f"{what}{name_of(function)} {made} (of {size}), at {describe_line(line)}"
        )


def fingerprint(array: np.ndarray, whole: Any = False) -> bytes:
    """The bytes of a small array; of one above 4096 bytes a sample of 64 elements, or the whole on demand."""
    if array.nbytes <= 4096 or whole:
        return array.tobytes()
    flat = array.ravel() if array.flags.c_contiguous else array.flat
    return flat[:: array.size // 64].tobytes()


def changed(array: np.ndarray, print_before: bytes) -> bool:
    return fingerprint(array, len(print_before) == array.nbytes) != print_before
