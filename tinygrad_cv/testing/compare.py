"""Gradients against differences: which directions are tried, and when two numbers agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..engine.modes import switched
from .numeric import Slopes, doubt, largest, slopes
from .operation import Operation, results

BY_ELEMENT = 400  # so many elements of an input are checked one by one, more by probes
PROBES = 64  # the elements of a larger input are dealt into so many parts, each one direction
NEARBY = 32  # so many points around a suspected kink are looked at
MAX_WRONG = 10  # so many wrong elements are looked for


@dataclass
class Direction:
    """A change of some elements of one input, each by its amplitude."""

    which: int  # the input
    elements: np.ndarray  # flat indices
    amplitudes: np.ndarray
    also: Sequence[Direction] = ()  # elements of other inputs that move with them
    before: np.ndarray = field(init=False)  # the elements as they are, once a line has them


class Comparison(NamedTuple):
    """One element, with both of its derivatives."""

    element: int  # flat index
    analytic: float
    numeric: float
    error: float  # the estimated error of `numeric`
    wrong: bool


@dataclass
class Finding:
    """The result for one input; its arrays (N,) are of the elements that were looked at alone."""

    which: int
    rows: list[Comparison] = field(default_factory=list)
    kinks: int = 0
    unresolved: int = 0
    worst: float = 0.0  # the largest difference as a share of what was allowed
    kinked: list[int] = field(default_factory=list)  # elements at a kink without a jump

    @property
    def elements(self) -> np.ndarray:
        """Flat indices."""
        return np.array([row.element for row in self.rows], int)

    @property
    def analytic(self) -> np.ndarray:
        """The derivatives of the gradient that is checked."""
        return np.array([row.analytic for row in self.rows], float)

    @property
    def numeric(self) -> np.ndarray:
        """The derivatives by differences."""
        return np.array([row.numeric for row in self.rows], float)

    @property
    def error(self) -> np.ndarray:
        """The estimated errors of `numeric`."""
        return np.array([row.error for row in self.rows], float)

    @property
    def wrong(self) -> np.ndarray:
        """Whether the two disagree."""
        return np.array([row.wrong for row in self.rows], bool)

    def settle(self, verdict: Verdict, i: int) -> None:
        """Count direction i, which is right or alone."""
        self.kinks += int(verdict.kink[i])
        self.worst = max(self.worst, float(verdict.share[i]))

    def settle_alone(
        self,
        direction: Direction,
        analytic: np.ndarray,
        numeric: Slopes,
        verdict: Verdict,
        i: int,
        listed: bool,
    ) -> None:
        """Count direction i, which has a single element; list that if it is wrong, or `listed`.

        analytic: the flat gradient.
        """
        self.settle(verdict, i)
        self.unresolved += int(verdict.unresolved[i])
        element = int(direction.elements[0])
        wrong = bool(verdict.wrong[i])
        if verdict.kink[i] and not numeric.jump[i]:
            self.kinked.append(element)
        if wrong or listed:
            amplitude = direction.amplitudes[0]
            value = numeric.value[i] / amplitude
            error = numeric.error[i] / abs(amplitude)
            self.rows.append(Comparison(element, analytic[element], value, error, wrong))


class Line:
    """phi(i, t): how <cotangents, values> changes when the inputs move by t along direction i."""

    def __init__(
        self,
        operation: Operation,
        inputs: Sequence[np.ndarray],
        cotangents: Sequence[np.ndarray],
    ) -> None:
        self.operation = operation
        moved = [wide(a) for a in inputs]
        self.base = [real_view(a).copy() for a in moved]
        # The arguments hold the arrays of `moved`, which are changed in place, by flat views.
        self.arguments = operation.arguments(moved)
        self.moved = [real_view(a).reshape(-1) for a in moved]
        values = operation.value(moved)
        self.eps = coarsest_eps(values)
        self.start = flat(values)
        self.cotangent = flat(cotangents)
        self.size = abs(self.cotangent * self.start)
        self.directions: list[Direction] = []
        self.evaluations = 1

    def __call__(self, i: int, t: float) -> tuple[float, float]:
        direction = self.directions[i]
        parts = (direction, *direction.also)
        for part in parts:
            moved = self.moved[part.which]
            moved[part.elements] = part.before + t * part.amplitudes
        result = self.operation.function(*self.arguments)
        single = type(result) is np.ndarray and result.dtype.kind != "c"
        values = result.reshape(-1) if single else flat(results(result))
        change = values - self.start  # before the elements move back: the values may be a view
        for part in parts:
            moved = self.moved[part.which]
            moved[part.elements] = part.before
        self.evaluations += 1

        difference = float(self.cotangent.dot(change))
        subtracted = float(self.size.dot(change != 0))
        return difference, subtracted + abs(difference) + self.operation.magnitude

    def slopes(
        self,
        directions: list[Direction],
        along: np.ndarray,
        natural: float,
    ) -> Slopes:
        """The slopes along directions.

        Those that differ a little from what is expected, `along`, get a second look.
        """
        self.directions = directions
        for direction in directions:
            for part in (direction, *direction.also):
                base = self.base[part.which].reshape(-1)
                part.before = base[part.elements]
        with np.errstate(all="ignore"), switched("recording", False):
            numeric = slopes(self, len(directions), eps=self.eps)
            difference = abs(numeric.value - along)
            noise = 1e4 * self.eps * natural * reach(directions)
            scale = np.maximum(numeric.steepest, abs(along))
            little = difference <= np.maximum(1e-6 * scale, noise)
            unexplained = difference > 10 * numeric.error
            doubtful = np.flatnonzero(little & unexplained)
            doubt(numeric, self, doubtful, self.eps)
            return numeric

    def limits_include(
        self,
        direction: Direction,
        along: float,
        rng: np.random.Generator,
    ) -> bool:
        """Whether `along` lies between slopes at points nearby.

        It does so at a kink that no line along an axis shows, as where three numbers tie in a
        sort: the generalised gradient of Clarke (1983).
        """
        base = self.base[direction.which]
        size = np.maximum(1.0, abs(base))
        distances = (1e-8, 3e-9)  # slopes over these agree, unless the function is rough
        nearby = np.zeros((NEARBY, len(distances)))
        with np.errstate(all="ignore"), switched("recording", False):
            for k in range(NEARBY):
                point = base + 1e-5 * size * rng.normal(size=base.shape)
                for j, distance in enumerate(distances):
                    right = self._value_beside(point, direction, distance)
                    left = self._value_beside(point, direction, -distance)
                    change = self.cotangent.dot(right - left)
                    nearby[k, j] = change / (2 * distance)
        self.moved[direction.which][...] = base.reshape(-1)

        steepest = abs(nearby).max()
        disagreement = abs(nearby[:, 0] - nearby[:, 1])
        smooth = np.mean(disagreement <= 1e-4 * steepest) > 0.9
        low = nearby.min()
        high = nearby.max()
        several = high - low > 1e-2 * steepest
        slack = 1e-5 * steepest
        between = low - slack <= along <= high + slack
        return bool(smooth and several and between)

    def _value_beside(
        self,
        point: np.ndarray,
        direction: Direction,
        t: float,
    ) -> np.ndarray:
        """The values at a distance t along a direction from a point; `moved` stays there."""
        moved = self.moved[direction.which]
        moved[...] = point.reshape(-1)
        moved[direction.elements] += t * direction.amplitudes
        result = self.operation.function(*self.arguments)
        return flat(results(result))

    def holomorphic(self, directions: list[Direction]) -> Slopes:
        """The complex step (Squire & Trapp 1998), exact to rounding: Im <c, f(x + i h d)> / h."""
        step = 1e-40
        value = np.zeros(len(directions))
        for i, direction in enumerate(directions):
            moved = [a.astype(complex) for a in self.base]
            elements = moved[direction.which].reshape(-1)
            elements[direction.elements] += 1j * step * direction.amplitudes
            values = self.operation.call(moved)
            nested = isinstance(values, (list, tuple))
            values = [np.ravel(v) for v in (values if nested else [values])]
            imaginary = np.concatenate(values).imag
            value[i] = np.dot(self.cotangent, imaginary) / step
            self.evaluations += 1
        error = 8 * self.eps * abs(value)
        return Slopes(
            value=value,
            error=error,
            right=value,
            left=value,
            side_error=error,
            jump=np.zeros(len(value), bool),
            rounding=error,
            steepest=abs(value),
        )


class TangentLine:
    """phi(t): how each element of the values changes when all inputs move along their tangents."""

    def __init__(
        self,
        operation: Operation,
        inputs: Sequence[np.ndarray],
        tangents: Sequence[np.ndarray],
    ) -> None:
        self.operation = operation
        self.base = inputs
        self.tangents = [wide(t) for t in tangents]
        values = operation.value(inputs)
        self.eps = coarsest_eps(values)
        self.start = flat(values)
        # Terms of the size of the inputs may cancel to a value of 0, and leave their rounding.
        self.size = max([largest(x) for x in inputs], default=0.0)
        self.evaluations = 1

    def __call__(self, i: int, t: float) -> tuple[np.ndarray, np.ndarray]:
        pairs = zip(self.base, self.tangents, strict=True)
        moved = [np.asarray(x + t * d) for x, d in pairs]
        values = flat(self.operation.value(moved))
        self.evaluations += 1
        return values - self.start, np.maximum(abs(self.start), self.size)

    def judge(self, tangents: Sequence[np.ndarray], rtol: float | None) -> Finding:
        """Forward derivatives against the slopes."""
        analytic = flat(tangents)
        eps = coarsest_eps(tangents)
        ruler = Ruler(
            rtol=default_rtol(eps) if rtol is None else rtol,
            eps=eps,
            scale=largest(analytic),
        )
        with np.errstate(all="ignore"):
            numeric = slopes(self, 1, eps=self.eps)
        verdict = ruler.judge(numeric, analytic, abs(analytic), np.ones(analytic.size))
        rows = []
        for k in range(analytic.size):
            row = Comparison(
                element=k,
                analytic=analytic[k],
                numeric=numeric.value[k],
                error=numeric.error[k],
                wrong=bool(verdict.wrong[k]),
            )
            rows.append(row)
        return Finding(
            which=0,
            rows=rows,
            kinks=int(verdict.kink.sum()),
            unresolved=int(verdict.unresolved.sum()),
            worst=largest(verdict.share),
        )


def default_rtol(eps: float) -> float:
    """The relative difference that is allowed in a gradient of this precision."""
    return 1e-9 if eps < 1e-15 else 30 * eps


def coarsest_eps(arrays: Sequence[np.ndarray]) -> float:
    """The rounding of the narrowest dtype among some arrays; float64's if there are none."""
    roundings = [np.finfo(a.dtype).eps for a in arrays]
    return float(max(roundings, default=2.0**-52))


def flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """All elements of several arrays in one: (n,) float64, a copy. A complex number is two."""
    if len(arrays) == 1:
        return np.array(real_view(arrays[0]), np.float64).ravel()
    parts = [np.zeros(0)]
    for array in arrays:
        parts.append(np.asarray(real_view(array), np.float64).reshape(-1))
    return np.concatenate(parts)


def real_view(array: np.ndarray) -> np.ndarray:
    """Real and imaginary parts along a last axis, (..., 2); real numbers as they are.

    A gradient dL/da + i dL/db becomes the gradient with respect to the two of them.
    """
    if array.dtype.kind != "c":
        return array
    contiguous = np.ascontiguousarray(array)
    return contiguous.view(contiguous.real.dtype).reshape(*array.shape, 2)


def wide(array: np.ndarray) -> np.ndarray:
    """A copy in float64 or complex128."""
    dtype = np.complex128 if array.dtype.kind == "c" else np.float64
    return np.array(array, dtype, order="C")


def reach(directions: Sequence[Direction]) -> np.ndarray:
    """The largest amplitude of each direction: (D,)."""
    return np.array([largest(d.amplitudes) for d in directions])


def compare(
    line: Line,
    which: int,
    gradient: np.ndarray,
    *,
    mode: str,
    rtol: float,
    rng: np.random.Generator,
) -> Finding:
    """One input's gradient against differences.

    The elements are tried one by one, or in probes of many, of which those that disagree are
    halved until the wrong elements are alone.
    """
    base = line.base[which].reshape(-1)
    analytic = np.asarray(gradient, np.float64).reshape(-1)
    ruler = Ruler.of(line, which, gradient, rtol)
    amplitudes = np.maximum(1.0, abs(base))
    small = mode == "auto" and base.size <= BY_ELEMENT
    by_element = small or mode in ("elements", "holomorphic")
    if by_element:
        parts = list(np.arange(base.size)[:, None])  # (N, 1)
    else:
        signs = 2 * rng.integers(0, 2, base.size) - 1
        amplitudes = amplitudes * signs
        dealt = np.array_split(rng.permutation(base.size), PROBES)
        parts = [part for part in dealt if len(part)]

    finding = Finding(which)
    while parts:
        directions = [Direction(which, part, amplitudes[part]) for part in parts]
        along, size = _expected(directions, analytic)
        numeric = (
            line.holomorphic(directions)
            if mode == "holomorphic"
            else line.slopes(directions, along, ruler.natural)
        )
        verdict = ruler.judge(numeric, along, size, reach(directions))

        pending = []
        for i, direction in enumerate(directions):
            alone = len(direction.elements) == 1
            if alone and verdict.wrong[i] and line.limits_include(direction, along[i], rng):
                verdict.accept(i)
            if alone:
                finding.settle_alone(direction, analytic, numeric, verdict, i, by_element)
            elif verdict.wrong[i] or verdict.unresolved[i]:
                pending.append(i)
            else:
                finding.settle(verdict, i)

        pending.sort(key=lambda i: not verdict.wrong[i])  # the wrong ones first
        room = max(0, MAX_WRONG - int(finding.wrong.sum()))
        for i in pending[room:]:
            finding.unresolved += len(parts[i])
        halves = [np.array_split(parts[i], 2) for i in pending[:room]]
        parts = [half for pair in halves for half in pair]
    return finding


def _expected(
    directions: Sequence[Direction],
    gradient: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The derivatives along directions by a flat gradient, and the size of their terms: (D,)."""
    along = []
    size = []
    for direction in directions:
        terms = gradient[direction.elements] * direction.amplitudes
        along.append(terms.sum())
        size.append(np.sqrt(np.sum(terms * terms)))
    return np.array(along), np.array(size)


def compare_ties(
    line: Line,
    findings: Sequence[Finding],
    gradients: Sequence[np.ndarray],
) -> None:
    """Check the gradients of equal elements that tie at a kink, as in a maximum, together.

    Each alone has derivatives to choose from. Moved together they stay tied, so if there is no
    kink on that line, their gradients must add up to its slope. If they don't, those at a kink are
    marked as wrong, and what is missing or too much is shared out among them.
    """
    directions = _tied(line, findings)
    if not directions:
        return
    along = np.array([_derivative(d, gradients) for d in directions])
    numeric = line.slopes(directions, along, 0.0)
    with np.errstate(invalid="ignore"):
        difference = along - numeric.value
        # A tie is either right or wrong by far.
        steepest = np.maximum(numeric.steepest, abs(along))
        far = abs(difference) > 1e-3 * steepest + 10 * numeric.error
    wrong = far & ~numeric.kink & ~numeric.jump
    for i in np.flatnonzero(wrong).tolist():
        _share_out(directions[i], findings, float(difference[i]), float(numeric.error[i]))


def _tied(line: Line, findings: Sequence[Finding]) -> list[Direction]:
    """For each value that elements at a kink have, the direction that moves all its elements."""
    values: set[float] = set()
    for finding in findings:
        base = line.base[finding.which].reshape(-1)
        values.update(base[finding.kinked].tolist())
    directions = []
    for value in sorted(values):
        parts = []
        for finding in findings:
            base = line.base[finding.which].reshape(-1)
            equal = np.flatnonzero(base == value)
            if len(equal):
                amplitudes = np.full(len(equal), max(1.0, abs(value)))
                parts.append(Direction(finding.which, equal, amplitudes))
        first, *others = parts
        if others or len(first.elements) > 1:
            directions.append(dataclasses.replace(first, also=others))
    return directions


def _derivative(direction: Direction, gradients: Sequence[np.ndarray]) -> float:
    """The derivative along a direction of several inputs, by their gradients."""
    total = 0.0
    for part in (direction, *direction.also):
        gradient = gradients[part.which].reshape(-1)
        total += float(gradient[part.elements] @ part.amplitudes)
    return total


def _share_out(
    direction: Direction,
    findings: Sequence[Finding],
    difference: float,
    error: float,
) -> None:
    """Mark the tied elements at a kink as wrong, each by an equal share of the difference."""
    tied: dict[int, set[int]] = {}
    for part in (direction, *direction.also):
        tied[part.which] = set(part.elements.tolist())
    at_kink = [tied.get(f.which, set()) & set(f.kinked) for f in findings]
    number = sum(map(len, at_kink))
    each = difference / (number * direction.amplitudes[0])
    for finding, elements in zip(findings, at_kink, strict=True):
        finding.kinks -= len(elements)
        for k, row in enumerate(finding.rows):
            if row.element in elements:
                slope = row.analytic - each
                finding.rows[k] = row._replace(numeric=slope, error=error, wrong=True)


@dataclass
class Verdict:
    """The judgement of each direction: arrays (D,)."""

    wrong: np.ndarray
    unresolved: np.ndarray  # the differences are too rough to decide
    kink: np.ndarray  # the analytic derivative is accepted as one of several
    share: np.ndarray  # the difference as a share of what is allowed

    def accept(self, i: int) -> None:
        """Take direction i for a kink after all."""
        self.wrong[i] = False
        self.kink[i] = True
        self.share[i] = 0


@dataclass
class Ruler:
    """When two derivatives agree.

    They do within ten error bars, `rtol` of their size, and rounding at the gradient's scale.
    """

    rtol: float
    eps: float  # of the gradient's dtype
    scale: float  # its largest element
    natural: float = 0.0  # the size of terms that may cancel in it
    push: float = 0.0  # the largest cotangent

    @classmethod
    def of(
        cls,
        line: Line,
        which: int,
        gradient: np.ndarray,
        rtol: float,
    ) -> Ruler:
        """For the gradient of one input."""
        size = float(line.size.sum())
        return cls(
            rtol=rtol,
            eps=float(np.finfo(gradient.dtype).eps),
            scale=largest(gradient),
            natural=line.operation.natural_slope(size, which),
            push=largest(line.cotangent),
        )

    def rounding(
        self,
        numeric: Slopes,
        size: np.ndarray,
        reach: np.ndarray,
    ) -> np.ndarray:
        """How far rounding alone may set two derivatives apart."""
        at_scale = 1e4 * self.eps if self.eps < 1e-14 else 30 * self.eps
        of_terms = at_scale * self.scale + 100 * self.eps * self.natural
        allowed: np.ndarray = self.rtol * np.maximum(size, abs(numeric.value))
        allowed += of_terms * reach
        # Terms that cancel to nothing leave rounding at the scale of the cotangent.
        vanishes = numeric.steepest <= 1e3 * self.eps * self.push * reach
        allowed += 100 * self.eps * self.push * reach * vanishes
        return allowed

    def judge(
        self,
        numeric: Slopes,
        along: np.ndarray,
        size: np.ndarray,
        reach: np.ndarray,
    ) -> Verdict:
        """Analytic derivatives along directions, `along`, against the slopes.

        size: of the terms of each derivative (root of the sum of squares). reach: the largest
        amplitude of each direction. All are arrays (D,).
        """
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            rounding = self.rounding(numeric, size, reach)
            difference = abs(along - numeric.value)
            share = difference / (10 * numeric.error + rounding)
            otherwise = np.where(along == numeric.value, 0, np.inf)
            share = np.where(np.isfinite(share), share, otherwise)

            slack = 10 * numeric.side_error + rounding
            low = np.minimum(numeric.left, numeric.right)
            high = np.maximum(numeric.left, numeric.right)
            between = (low - slack <= along) & (along <= high + slack)
            # At the edge of the domain there is a slope on one side only.
            has_right = np.isfinite(numeric.right)
            has_left = np.isfinite(numeric.left)
            edge = np.isnan(low) & (has_right | has_left)
            only = np.where(has_right, numeric.right, numeric.left)
            fits_only = abs(along - only) <= slack
            inside = np.where(edge, fits_only, between)

            kink = numeric.jump | ((numeric.kink | edge) & inside)
            wrong = (share > 1) & ~kink
            steepest = np.maximum(self.scale * reach, numeric.steepest)
            enough = 1e-3 * steepest + rounding + 100 * numeric.rounding
            precise = 10 * numeric.error <= enough
            unresolved = ~kink & ~wrong & ~precise
        return Verdict(wrong, unresolved, kink, np.where(kink, 0, share))
