"""Mistakes that are recognised by what they do to the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .numeric import Array

if TYPE_CHECKING:
    from .compare import Finding, Line


def recognise(finding: Finding, gradient: Array, line: Line) -> str:
    """The first pattern that explains all elements that were looked at; "" if none does."""
    a, n = finding.analytic, finding.numeric
    scale = float(max(np.max(np.abs(a), initial=0), np.max(np.abs(n), initial=0)))
    allowed = 100 * finding.error + 1e-7 * scale
    wrong = finding.wrong
    whole = len(a) == gradient.size
    for name, expected in scalings(a[wrong], n[wrong], line):
        if np.all(np.abs(a[wrong] - expected) <= allowed[wrong]):
            part = "" if wrong.all() or not whole else places(finding, gradient.shape, line)
            return name + part
    if whole:
        shape = gradient.shape
        for name, expected in arrangements(n.reshape(shape)):
            if np.all(np.abs(a - expected.reshape(-1)) <= allowed):
                return name
        difference = (a - n).reshape(shape)
        found = additions(difference, allowed.reshape(shape))
        if found:
            return found
        values = line.start.reshape(shape) if line.start.size == len(a) else None
        if rows_plus_columns(difference, 1e-6 * scale):
            return "backward - numeric is a term of each row plus a term of each column: a sum or mean over the wrong axis"
        if (
            values is not None
            and np.all(values)
            and rows_plus_columns(difference / values, 1e-6 * scale)
        ):
            return "(backward - numeric) / value is a term of each row plus one of each column: a sum over the wrong axis"
    if np.all(np.abs(a - n)[wrong] <= 1e-4 * np.abs(n)[wrong] + 1e-6 * scale):
        relative = float(np.max(np.abs(a - n)[wrong] / (np.abs(n)[wrong] + 1e-300)))
        cause = (
            "computed in float32?" if relative < 1e-5 else "an approximation, or a term missing?"
        )
        return f"a small relative error of {relative:.1g}: {cause}"
    return (
        places(finding, gradient.shape, line).removeprefix(", ")
        if whole and not wrong.all()
        else ""
    )


def scalings(a: Array, n: Array, line: Line) -> Iterator[tuple[str, Array]]:
    """What was multiplied wrongly."""
    yield "zero, the gradient is missing", np.zeros_like(n)
    yield "the sign is wrong", -n
    yield "a factor 2 too much", 2 * n
    yield (
        "a factor 1/2: a term counted once instead of twice, as with the last use only of a fan-out",
        n / 2,
    )
    lengths: dict[int, str] = {}
    for array in line.base:
        lengths |= {array.size: "the number of elements"}
    for array in line.base:
        lengths |= {length: f"the length of axis {k}" for k, length in enumerate(array.shape)}
    lengths |= {line.start.size: lengths.get(line.start.size, "the number of values")}
    for length, name in lengths.items():
        if length > 2:
            yield f"off by 1/N, N = {length}, {name} (a mean treated as a sum?)", n / length
            yield f"off by N = {length}, {name} (a sum treated as a mean?)", n * length
    if len(n) > 1 and np.any(n):
        k = float(np.dot(a, n) / np.dot(n, n))
        yield f"off by the constant factor {k:.6g}", k * n


def arrangements(n: Array) -> Iterator[tuple[str, Array]]:
    """What ended up in the wrong place, or was summed along the wrong axis."""
    if n.ndim >= 2:
        if n.shape[-1] == n.shape[-2]:
            yield "transposed", np.swapaxes(n, -1, -2)
        for i in range(n.ndim):
            for j in range(i + 1, n.ndim):
                if n.shape[i] == n.shape[j]:
                    yield f"axes {i} and {j} are exchanged", np.swapaxes(n, i, j)
    for axis in range(n.ndim):
        if n.shape[axis] > 1:
            yield f"reversed along axis {axis}", np.flip(n, axis)
            for shift in (1, -1):
                yield f"shifted by {shift} along axis {axis}", np.roll(n, shift, axis)
            yield (
                f"summed over axis {axis}, which should be kept",
                np.broadcast_to(n.sum(axis, keepdims=True), n.shape),
            )
            yield (
                f"averaged over axis {axis}, which should be kept",
                np.broadcast_to(n.mean(axis, keepdims=True), n.shape),
            )
            yield f"cumulated along axis {axis}", np.cumsum(n, axis)
    yield "the sign is wrong where the gradient is negative: an absolute value too much", np.abs(n)


def additions(difference: Array, allowed: Array) -> str:
    """What was added or left out: the same number everywhere, or in one place of each row."""
    middle = float(np.median(difference))
    if difference.size > 1 and np.all(np.abs(difference - middle) <= allowed):
        return (
            f"backward - numeric = {middle:.6g} everywhere: a constant term too much or too little"
        )
    if difference.ndim and difference.shape[-1] > 1:
        rows = difference.reshape(-1, difference.shape[-1])
        there = np.abs(rows) > allowed.reshape(rows.shape)
        values = rows[there]
        if np.all(there.sum(axis=1) == 1) and np.ptp(values) <= 1e-6 * np.max(np.abs(values)):
            return f"backward - numeric = {values[0]:.6g} at one place of each row: one-hot term missing?"
        spread = difference - difference.mean(axis=-1, keepdims=True)
        if np.all(np.abs(spread) <= allowed):
            return "backward - numeric is constant along the last axis: a sum or mean over that axis is missing"
    return ""


def rows_plus_columns(difference: Array, allowed: float) -> bool:
    """Whether a matrix, large enough for that to be no accident, is r_i + c_j, where neither is constant."""
    if difference.ndim != 2 or (difference.shape[0] - 1) * (difference.shape[1] - 1) < 2:
        return False
    rows, columns = difference.mean(axis=1, keepdims=True), difference.mean(axis=0, keepdims=True)
    rest = difference - rows - columns + difference.mean()
    return bool(
        np.all(np.abs(rest) <= allowed) and np.ptp(rows) > allowed and np.ptp(columns) > allowed
    )


def places(finding: Finding, shape: tuple[int, ...], line: Line) -> str:
    """Which elements are wrong, if that can be said in a few words."""
    wrong = finding.wrong.reshape(shape)
    base = line.base[finding.which]
    number = int(wrong.sum())
    if number == 1 and wrong.reshape(-1)[-1]:
        return ", only at the last element"
    for axis, length in enumerate(shape):
        rows = np.flatnonzero(wrong.any(axis=tuple(k for k in range(len(shape)) if k != axis)))
        if length > 1 and len(rows) == 1:
            return f", only at index {rows[0]} of axis {axis}"
    for name, region in (
        ("negative", base < 0),
        ("positive", base > 0),
        ("larger than 1 in size", np.abs(base) > 1),
        ("smaller than 1 in size", np.abs(base) < 1),
        ("0", base == 0),
    ):
        if np.array_equal(wrong, region):
            return f", only where the input is {name}"
    return ""
