"""Mistakes that are recognised by what they do to the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..typing import Shape

if TYPE_CHECKING:
    from .compare import Finding
    from .line import Line

SUM_OVER_WRONG_AXIS = (
    "backward - numeric is a term of each row plus a term of each column: "
    "a sum or mean over the wrong axis"
)
SCALED_SUM_OVER_WRONG_AXIS = (
    "(backward - numeric) / value is a term of each row plus one of each column: "
    "a sum over the wrong axis"
)
MISSING_SUM = (
    "backward - numeric is constant along the last axis: a sum or mean over that axis is missing"
)


def recognise(finding: Finding, gradient: np.ndarray, line: Line) -> str:
    """The first pattern that explains all elements that were looked at; "" if none does."""
    analytic = finding.analytic
    numeric = finding.numeric
    wrong = finding.wrong
    scale = float(max(np.max(abs(analytic), initial=0), np.max(abs(numeric), initial=0)))
    allowed = 100 * finding.error + 1e-7 * scale
    whole = len(analytic) == gradient.size

    for name, expected in scalings(analytic[wrong], numeric[wrong], line):
        if np.all(abs(analytic[wrong] - expected) <= allowed[wrong]):
            partly = whole and not wrong.all()
            return name + (region(finding, gradient.shape, line) if partly else "")
    if whole:
        pattern = of_whole_array(
            analytic.reshape(gradient.shape),
            numeric.reshape(gradient.shape),
            allowed.reshape(gradient.shape),
            line.start,
            scale,
        )
        if pattern:
            return pattern

    difference = abs(analytic - numeric)[wrong]
    if np.all(difference <= 1e-4 * abs(numeric)[wrong] + 1e-6 * scale):
        relative = float(np.max(difference / (abs(numeric)[wrong] + 1e-300)))
        rounded = relative < 1e-5
        cause = "computed in float32?" if rounded else "an approximation, or a term missing?"
        return f"a small relative error of {relative:.1g}: {cause}"
    if whole and not wrong.all():
        return region(finding, gradient.shape, line).removeprefix(", ")
    return ""


def of_whole_array(
    analytic: np.ndarray,
    numeric: np.ndarray,
    allowed: np.ndarray,
    values: np.ndarray,
    scale: float,
) -> str:
    """A pattern of a gradient of which every element was compared; "" if none fits.

    analytic, numeric, allowed: of the gradient's shape. values: all values of the function, flat.
    """
    for name, expected in arrangements(numeric):
        if np.all(abs(analytic - expected) <= allowed):
            return name
    difference = analytic - numeric
    pattern = additions(difference, allowed)
    if pattern:
        return pattern
    if rows_plus_columns(difference, 1e-6 * scale):
        return SUM_OVER_WRONG_AXIS
    if values.size == difference.size and np.all(values):
        relative = difference / values.reshape(difference.shape)
        if rows_plus_columns(relative, 1e-6 * scale):
            return SCALED_SUM_OVER_WRONG_AXIS
    return ""


def scalings(
    analytic: np.ndarray, numeric: np.ndarray, line: Line
) -> Iterator[tuple[str, np.ndarray]]:
    """What was multiplied wrongly: a name, and the gradient that this mistake gives."""
    yield "zero, the gradient is missing", np.zeros_like(numeric)
    yield "the sign is wrong", -numeric
    yield "a factor 2 too much", 2 * numeric
    once = "a term counted once instead of twice, as with the last use only of a fan-out"
    yield f"a factor 1/2: {once}", numeric / 2

    lengths: dict[int, str] = {}
    for array in line.base:
        lengths[array.size] = "the number of elements"
    for array in line.base:
        for k, length in enumerate(array.shape):
            lengths[length] = f"the length of axis {k}"
    lengths.setdefault(line.start.size, "the number of values")
    for length, name in lengths.items():
        if length > 2:
            mean = f"off by 1/N, N = {length}, {name} (a mean treated as a sum?)"
            yield mean, numeric / length
            yield f"off by N = {length}, {name} (a sum treated as a mean?)", numeric * length

    if len(numeric) > 1 and np.any(numeric):
        k = float(np.dot(analytic, numeric) / np.dot(numeric, numeric))
        yield f"off by the constant factor {k:.6g}", k * numeric


def arrangements(numeric: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What ended up in the wrong place, or was summed along the wrong axis."""
    shape = numeric.shape
    if numeric.ndim >= 2:
        if shape[-1] == shape[-2]:
            yield "transposed", np.swapaxes(numeric, -1, -2)
        for i in range(numeric.ndim):
            for j in range(i + 1, numeric.ndim):
                if shape[i] == shape[j]:
                    yield f"axes {i} and {j} are exchanged", np.swapaxes(numeric, i, j)
    for axis, length in enumerate(shape):
        if length > 1:
            yield f"reversed along axis {axis}", np.flip(numeric, axis)
            for shift in (1, -1):
                yield f"shifted by {shift} along axis {axis}", np.roll(numeric, shift, axis)
            total = np.broadcast_to(numeric.sum(axis, keepdims=True), shape)
            yield f"summed over axis {axis}, which should be kept", total
            mean = np.broadcast_to(numeric.mean(axis, keepdims=True), shape)
            yield f"averaged over axis {axis}, which should be kept", mean
            yield f"cumulated along axis {axis}", np.cumsum(numeric, axis)
    absolute = "the sign is wrong where the gradient is negative: an absolute value too much"
    yield absolute, abs(numeric)


def additions(difference: np.ndarray, allowed: np.ndarray) -> str:
    """What was added or left out: the same number everywhere, or in one place of each row."""
    middle = float(np.median(difference))
    if difference.size > 1 and np.all(abs(difference - middle) <= allowed):
        everywhere = f"backward - numeric = {middle:.6g} everywhere"
        return f"{everywhere}: a constant term too much or too little"
    if not difference.ndim or difference.shape[-1] <= 1:
        return ""
    rows = difference.reshape(-1, difference.shape[-1])
    there = abs(rows) > allowed.reshape(rows.shape)
    values = rows[there]
    once_a_row = np.all(there.sum(axis=1) == 1)
    if once_a_row and np.ptp(values) <= 1e-6 * np.max(abs(values)):
        at_one_place = f"backward - numeric = {values[0]:.6g} at one place of each row"
        return f"{at_one_place}: one-hot term missing?"
    spread = difference - difference.mean(axis=-1, keepdims=True)
    return MISSING_SUM if np.all(abs(spread) <= allowed) else ""


def rows_plus_columns(difference: np.ndarray, allowed: float) -> bool:
    """Whether a matrix is r_i + c_j, where neither is constant.

    False for a matrix so small that this may be an accident.
    """
    if difference.ndim != 2 or (difference.shape[0] - 1) * (difference.shape[1] - 1) < 2:
        return False
    rows = difference.mean(axis=1, keepdims=True)
    columns = difference.mean(axis=0, keepdims=True)
    rest = difference - rows - columns + difference.mean()
    fits = np.all(abs(rest) <= allowed)
    return bool(fits and np.ptp(rows) > allowed and np.ptp(columns) > allowed)


def region(finding: Finding, shape: Shape, line: Line) -> str:
    """Which elements are wrong, if a few words can name them: ", only at the last element"."""
    wrong = finding.wrong.reshape(shape)
    if wrong.sum() == 1 and wrong.reshape(-1)[-1]:
        return ", only at the last element"
    for axis, length in enumerate(shape):
        others = tuple(k for k in range(len(shape)) if k != axis)
        rows = np.flatnonzero(wrong.any(axis=others))
        if length > 1 and len(rows) == 1:
            return f", only at index {rows[0]} of axis {axis}"
    base = line.base[finding.which]
    regions = {
        "negative": base < 0,
        "positive": base > 0,
        "larger than 1 in size": abs(base) > 1,
        "smaller than 1 in size": abs(base) < 1,
        "0": base == 0,
    }
    for name, mask in regions.items():
        if np.array_equal(wrong, mask):
            return f", only where the input is {name}"
    return ""
