"""Mistakes that are recognised by what they do to the numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from ..typing import Shape
from .forms import factor, formula

if TYPE_CHECKING:
    from .compare import Finding
    from .line import Line

Repairs: TypeAlias = Iterable[tuple[str, list[np.ndarray]]]  # `substitutions.repaired`

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


def recognise(
    finding: Finding,
    gradient: np.ndarray,
    line: Line,
    findings: Sequence[Finding] = (),
    repairs: Repairs = (),
) -> str:
    """The first pattern that explains all elements that were looked at; "" if none does.

    findings: of all inputs. repairs: see `substitutions.repaired`.
    """
    analytic = finding.analytic
    numeric = finding.numeric
    wrong = finding.wrong
    scale = float(max(np.max(abs(analytic), initial=0), np.max(abs(numeric), initial=0)))
    allowed = 100 * finding.error + 1e-7 * scale
    whole = is_whole(finding, gradient)

    for name, expected in scalings(analytic[wrong], numeric[wrong], line):
        if np.all(abs(analytic[wrong] - expected) <= allowed[wrong]):
            partly = whole and not wrong.all()
            return name + (region(finding, gradient.shape, line) if partly else "")
    if whole:
        eps = float(np.finfo(gradient.dtype).eps)
        whole_array = WholeArray(
            analytic.reshape(gradient.shape),
            numeric.reshape(gradient.shape),
            100 * finding.error.reshape(gradient.shape),
            max(1e-7, 100 * eps),
            scale,
        )
        variables, cotangent = variables_like(whole_array.numeric, line)
        pattern = as_formula(whole_array, variables, cotangent)
        if pattern:
            return pattern
    multiple = constant_factor(analytic[wrong], numeric[wrong])
    if multiple and np.all(abs(analytic - multiple * numeric)[wrong] <= allowed[wrong]):
        partly = whole and not wrong.all()
        where = region(finding, gradient.shape, line) if partly else ""
        return f"off by the constant factor {multiple:.6g}{where}"
    if whole:
        pattern = of_whole_array(whole_array, finding, line, findings, repairs)
        pattern = pattern or of_axis(whole_array, variables)
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


def is_whole(finding: Finding, gradient: np.ndarray) -> bool:
    """Whether every element of a gradient was compared alone."""
    return len(finding.rows) == gradient.size


class WholeArray(NamedTuple):
    """A gradient of which every element was compared; all arrays have its shape."""

    analytic: np.ndarray
    numeric: np.ndarray
    error: np.ndarray
    rtol: float
    scale: float  # of the largest element

    @property
    def allowed(self) -> np.ndarray:
        """How far two gradients may be apart, by the largest element."""
        return self.error + 1e-7 * self.scale

    def fits(self, expected: np.ndarray) -> bool:
        """Whether the gradient that is checked is this one, element by element."""
        return self.close(self.analytic, expected)

    def is_right(self, expected: np.ndarray) -> bool:
        """Whether the slopes are this gradient, element by element."""
        return self.close(self.numeric, expected)

    def close(self, one: np.ndarray, expected: np.ndarray) -> bool:
        """Whether two gradients agree, each element within its own size."""
        with np.errstate(all="ignore"):
            allowed = self.error + self.rtol * abs(one) + 1e-12 * self.scale
            return bool(np.all(abs(one - expected) <= allowed))


def as_formula(
    whole: WholeArray, variables: Mapping[str, np.ndarray], cotangent: np.ndarray | None
) -> str:
    """Both gradients as formulas of one variable, or the factor between them; "" if none fits."""
    if cotangent is not None:
        given = formula(whole.fits, variables, cotangent)
        right = formula(whole.is_right, variables, cotangent) if given else ""
        if right:
            return f"the gradient is {given} where it should be {right}"
    return factor(whole.numeric, whole.fits, variables) if whole.numeric.any() else ""


def of_whole_array(
    whole: WholeArray,
    finding: Finding,
    line: Line,
    findings: Sequence[Finding],
    repairs: Repairs,
) -> str:
    """A pattern of a gradient of which every element was compared; "" if none fits."""
    analytic, numeric, _, _, scale = whole
    for name, expected in arrangements(numeric):
        if np.all(abs(analytic - expected) <= whole.allowed):
            return name
    for other in findings:
        same = other.which != finding.which and other.numeric.size == numeric.size
        if same and numeric.ndim and line.base[other.which].shape == numeric.shape:
            of_other = other.numeric.reshape(numeric.shape)
            if of_other.any() and whole.fits(of_other):
                return f"it is the gradient with respect to {line.operation.names[other.which]}"
    for text, gradients in repairs:
        repaired = gradients[finding.which]
        if numeric.any() and repaired.shape == numeric.shape and whole.is_right(repaired):
            return f"it would be right otherwise, but has {text}"
    difference = analytic - numeric
    pattern = additions(difference, whole.allowed)
    if pattern:
        return pattern
    if rows_plus_columns(difference, 1e-6 * scale):
        return SUM_OVER_WRONG_AXIS
    values = line.start
    if values.size == difference.size and np.all(values):
        relative = difference / values.reshape(difference.shape)
        if rows_plus_columns(relative, 1e-6 * scale):
            return SCALED_SUM_OVER_WRONG_AXIS
    return ""


def variables_like(
    numeric: np.ndarray, line: Line
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """The value `y` and the inputs as arrays like a gradient, and the cotangent, or None.

    Those that can be: of a value only one that has as many elements, or one.
    """
    shape = numeric.shape
    cotangent: np.ndarray | None = None
    variables = {}
    if line.start.size == numeric.size or line.start.size == 1:
        like = shape if line.start.size == numeric.size else ()
        cotangent = np.broadcast_to(line.cotangent.reshape(like), shape)
        variables["y"] = np.broadcast_to(line.start.reshape(like), shape)
    for (position, _), base in zip(line.operation.origins, line.base, strict=True):
        name = line.operation.parameters[position]
        if name not in variables and fits_into(base.shape, shape):
            variables[name] = np.broadcast_to(base, shape)
    return variables, cotangent


def fits_into(shape: Shape, other: Shape) -> bool:
    """Whether an array of a shape broadcasts to another shape."""
    try:
        return np.broadcast_shapes(shape, other) == other
    except ValueError:
        return False


def of_axis(whole: WholeArray, variables: Mapping[str, np.ndarray]) -> str:
    """What is one number for each line along an axis: a factor, or the size of a term."""
    analytic, numeric, _, _, scale = whole
    difference = analytic - numeric
    for axis, length in enumerate(numeric.shape):
        along = f"for each line along axis {axis}" if numeric.ndim > 1 else "for the whole array"
        lines = numeric.size // length
        if length > 1 and lines > 1 and (length - 1) * lines > 2:
            with np.errstate(all="ignore"):
                top = np.sum(analytic * numeric, axis, keepdims=True)
                ratio = top / np.sum(numeric * numeric, axis, keepdims=True)
            if whole.fits(ratio * numeric):
                return f"off by a factor, one number {along}: a sum or norm over that axis?"
        for name, u in variables.items():
            if length < 4 or np.any(np.ptp(u, axis=axis) == 0):
                continue
            for columns, text in (([u], name), ([np.ones_like(u), u], f"1 and of {name}")):
                basis = np.stack([np.moveaxis(c, axis, -1) for c in columns], -1)
                rows = np.moveaxis(difference, axis, -1)[..., None]
                rest = rows - basis @ (np.linalg.pinv(basis) @ rows)
                if np.all(abs(rest) <= 1e-7 * scale):
                    return (
                        f"backward - numeric is a multiple of {text}, one number {along}: "
                        "a term through a sum, mean or norm, detached or wrong?"
                    )
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

    for length in lengths:
        if length > 2:
            yield f"off by N / (N - 1), N = {length}", numeric * length / (length - 1)
            yield f"off by (N - 1) / N, N = {length}", numeric * (length - 1) / length


def constant_factor(analytic: np.ndarray, numeric: np.ndarray) -> float:
    """The factor between two gradients of several elements that is nearest; else 0."""
    if len(numeric) < 2 or np.ptp(abs(numeric)) <= 1e-3 * np.max(abs(numeric)):
        return 0.0
    return float(np.dot(analytic, numeric) / np.dot(numeric, numeric))


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
                rolled = np.roll(numeric, shift, axis)
                yield f"shifted by {shift} along axis {axis}", rolled
                entered = rolled.copy()
                np.moveaxis(entered, axis, 0)[0 if shift > 0 else -1] = 0
                yield f"shifted by {shift} along axis {axis}", entered
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
    last = wrong.sum() == 1 and wrong.reshape(-1)[-1]
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
    if last:
        return ", only at the last element"
    for axis, length in enumerate(shape):
        others = tuple(k for k in range(len(shape)) if k != axis)
        rows = np.flatnonzero(wrong.any(axis=others))
        if length > 1 and len(rows) == 1:
            return f", only at index {rows[0]} of axis {axis}"
    return ""


def claim(pattern: str, lengths: bool = True) -> tuple[str, str]:
    """What a pattern claims apart from numbers that other arguments change, and where.

    lengths: whether the length N in it counts.
    """
    name, only, place = pattern.partition(", only at")
    name = re.sub(r", the (number of \w+|length of axis \d)", "", name)
    name = re.sub(r"(numeric =|error of) [-+\d.e]+", r"\1", name)
    return name if lengths else re.sub(r"N = \d+", "N", name), only + place
