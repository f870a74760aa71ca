"""Gradients against differences: which directions are tried, and when two numbers agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine.modes import switched
from .numeric import Array, Slopes, doubt, slopes
from .operation import Operation, results

EVERY = 400  # an input of at most so many elements is checked element by element, a larger one by probes
PROBES = 64  # the parts into which the elements of a larger one are dealt, at random: each is one direction
NEARBY = 32  # so many points around a suspected kink are looked at
GUILTY = 10  # so many wrong elements are looked for


@dataclass
class Direction:
    """A change of some elements of one input, each by its amplitude."""

    which: int  # the input
    elements: Array  # flat indices
    amplitudes: Array
    also: Sequence[Direction] = ()  # elements of other inputs that move with them
    before: Array = None  # the elements as they are


@dataclass
class Finding:
    """What came out for one input: the elements that were looked at one by one, with both of their derivatives."""

    which: int
    rows: list[tuple[int, float, float, float, bool]] = field(default_factory=list)
    kinks: int = 0
    unresolved: int = 0
    worst: float = 0.0  # the largest difference as a share of what was allowed
    kinked: list[int] = field(default_factory=list)  # elements at a kink without a jump

    def column(self, k: int, dtype: Any = float) -> Array:
        return np.array([row[k] for row in self.rows], dtype)

    elements = property(lambda self: self.column(0, int))  # flat indices
    analytic = property(lambda self: self.column(1))
    numeric = property(lambda self: self.column(2))
    error = property(lambda self: self.column(3))  # the estimated error of `numeric`
    wrong = property(lambda self: self.column(4, bool))


class Line:
    """phi(i, t): how <cotangents, values> changes when the inputs move by t along direction i."""

    def __init__(
        self, operation: Operation, inputs: Sequence[Array], cotangents: Sequence[Array]
    ) -> None:
        self.operation = operation
        self.base = [np.array(a, np.float64, order="C") for a in inputs]
        self.moved = [a.copy() for a in self.base]
        self.arguments = operation.arguments(
            self.moved
        )  # with `moved` in them, which is changed in place
        values = operation.value(self.moved)
        self.eps = float(max((np.finfo(v.dtype).eps for v in values), default=2.0**-52))
        self.start = flat(values)
        self.cotangent = flat(cotangents)
        self.size = np.abs(self.cotangent * self.start)
        self.directions: list[Direction] = []
        self.evaluations = 1

    def __call__(self, i: int, t: float) -> tuple[float, float]:
        d = self.directions[i]
        moved, before = self.moved[d.which].reshape(-1), d.before  # a view: (size,)
        moved[d.elements] = before + t * d.amplitudes
        for other in d.also:
            self.moved[other.which].reshape(-1)[other.elements] = (
                other.before + t * other.amplitudes
            )
        result = self.operation.function(*self.arguments)
        change = (
            result.reshape(-1) if type(result) is np.ndarray else flat(results(result))
        ) - self.start  # a copy
        moved[d.elements] = before
        for other in d.also:
            self.moved[other.which].reshape(-1)[other.elements] = other.before
        self.evaluations += 1
        difference = float(self.cotangent.dot(change))
        return difference, float(self.size.dot(change != 0)) + abs(
            difference
        ) + self.operation.magnitude

    def slopes(self, directions: list[Direction], along: Array, natural: float) -> Slopes:
        """The slopes along directions, with a second look at those that differ a little from what is expected."""
        self.directions = directions
        for d in (part for direction in directions for part in (direction, *direction.also)):
            d.before = self.base[d.which].reshape(-1)[d.elements]
        with np.errstate(all="ignore"), switched("recording", False):
            found = slopes(self, len(directions), eps=self.eps)
            off = np.abs(found.value - along)
            noise = (
                1e4
                * self.eps
                * natural
                * np.array([np.max(np.abs(d.amplitudes)) for d in directions])
            )
            little = off <= np.maximum(1e-6 * np.maximum(found.steepest, np.abs(along)), noise)
            doubt(found, self, np.flatnonzero(little & (off > 10 * found.error)), self.eps)
            return found

    def limits_include(self, d: Direction, along: float, rng: np.random.Generator) -> bool:
        """Whether the function has a kink here that no line along an axis shows, as where three numbers tie in a sort,
        and `along` lies between slopes at points nearby: the generalised gradient of Clarke (1983)."""
        base, moved = self.base[d.which], self.moved[d.which]
        found = np.zeros(
            (NEARBY, 2)
        )  # slopes over two distances, which agree unless the function is rough
        with np.errstate(all="ignore"), switched("recording", False):
            for k in range(NEARBY):
                near = base + 1e-5 * np.maximum(1.0, np.abs(base)) * rng.normal(size=base.shape)
                for j, distance in enumerate((1e-8, 3e-9)):
                    ends = []
                    for t in (distance, -distance):
                        moved[...] = near
                        moved.reshape(-1)[d.elements] += t * d.amplitudes
                        ends.append(flat(results(self.operation.function(*self.arguments))))
                    found[k, j] = self.cotangent.dot(ends[0] - ends[1]) / (2 * distance)
        moved[...] = base
        low, high, size = found.min(), found.max(), np.abs(found).max()
        smooth = np.mean(np.abs(found[:, 0] - found[:, 1]) <= 1e-4 * size) > 0.9
        return bool(
            smooth and high - low > 1e-2 * size and low - 1e-5 * size <= along <= high + 1e-5 * size
        )

    def holomorphic(self, directions: list[Direction]) -> Slopes:
        """The complex step (Squire & Trapp 1998): Im <cotangents, f(x + i h d)> / h, exact to rounding."""
        found = []
        for d in directions:
            moved = [a.astype(complex) for a in self.base]
            moved[d.which].reshape(-1)[d.elements] += 1e-40j * d.amplitudes
            values = self.operation.call(moved)
            values = values if isinstance(values, (list, tuple)) else [values]
            found.append(
                np.dot(self.cotangent, np.concatenate([np.ravel(v) for v in values]).imag) / 1e-40
            )
            self.evaluations += 1
        value = np.array(found, float)
        error = 8 * self.eps * np.abs(value)
        return Slopes(
            value, error, value, value, error, np.zeros(len(value), bool), error, np.abs(value)
        )


class TangentLine:
    """phi(t): how each element of the values changes when all inputs move by t along their tangents."""

    def __init__(
        self, operation: Operation, inputs: Sequence[Array], tangents: Sequence[Array]
    ) -> None:
        self.operation, self.base = operation, inputs
        self.tangents = [np.asarray(t, np.float64) for t in tangents]
        values = operation.value(inputs)
        self.eps = float(max((np.finfo(v.dtype).eps for v in values), default=2.0**-52))
        self.start = flat(values)
        self.evaluations = 1

    def __call__(self, i: int, t: float) -> tuple[Array, Array]:
        values = flat(
            self.operation.value([x + t * d for x, d in zip(self.base, self.tangents, strict=True)])
        )
        self.evaluations += 1
        return values - self.start, np.abs(self.start)

    def judge(self, tangents: Sequence[Array], rtol: float | None) -> Finding:
        """Forward derivatives against the slopes."""
        analytic = flat(tangents)
        eps = float(max((np.finfo(t.dtype).eps for t in tangents), default=2.0**-52))
        ruler = Ruler(
            default_rtol(eps) if rtol is None else rtol,
            eps,
            float(np.max(np.abs(analytic), initial=0)),
        )
        with np.errstate(all="ignore"):
            found = slopes(self, 1, eps=self.eps)
        verdict = ruler.judge(found, analytic, np.abs(analytic), np.ones(analytic.size))
        columns = (found.value.tolist(), found.error.tolist(), verdict.wrong.tolist())
        rows = list(zip(range(analytic.size), analytic.tolist(), *columns, strict=True))
        kinks, unresolved = int(verdict.kink.sum()), int(verdict.unresolved.sum())
        return Finding(0, rows, kinks, unresolved, float(np.max(verdict.share, initial=0)))


def default_rtol(eps: float) -> float:
    """The relative difference that is allowed in a gradient of this precision."""
    return 1e-9 if eps < 1e-15 else 30 * eps


def flat(arrays: Sequence[Array]) -> Array:
    """All elements of several arrays in one: (n,) float64, a copy."""
    if len(arrays) == 1:
        return np.array(arrays[0], np.float64).ravel()
    return (
        np.concatenate([np.asarray(a, np.float64).reshape(-1) for a in arrays])
        if arrays
        else np.zeros(0)
    )


def compare(
    line: Line, which: int, gradient: Array, *, mode: str, rtol: float, rng: np.random.Generator
) -> Finding:
    """One input's gradient against differences: by element, or by probes of many elements, which are halved until the
    guilty ones are alone."""
    base = line.base[which].reshape(-1)
    analytic = np.asarray(gradient, np.float64).reshape(-1)
    amplitudes = np.maximum(1.0, np.abs(base))
    by_element = mode in ("elements", "holomorphic") or (mode == "auto" and base.size <= EVERY)
    if by_element:
        parts = [np.array([i]) for i in range(base.size)]
    else:
        amplitudes = amplitudes * (2 * rng.integers(0, 2, base.size) - 1)
        parts = [p for p in np.array_split(rng.permutation(base.size), PROBES) if len(p)]
    ruler = Ruler.of(line, which, gradient, rtol)
    finding = Finding(which)
    while parts:
        directions = [Direction(which, p, amplitudes[p]) for p in parts]
        shares = [analytic[d.elements] * d.amplitudes for d in directions]
        along, size = (
            np.array([s.sum() for s in shares]),
            np.array([np.sqrt(np.sum(s * s)) for s in shares]),
        )
        found = (
            line.holomorphic(directions)
            if mode == "holomorphic"
            else line.slopes(directions, along, ruler.natural)
        )
        reach = np.array([np.max(np.abs(d.amplitudes)) for d in directions])
        verdict = ruler.judge(found, along, size, reach)
        single = np.array([len(p) == 1 for p in parts])
        for i in np.flatnonzero(single & verdict.wrong):
            if line.limits_include(directions[i], along[i], rng):
                verdict.accept(int(i))
        for i in np.flatnonzero(single if by_element else single & verdict.wrong):
            element, amplitude = int(parts[i][0]), amplitudes[parts[i][0]]
            numeric, error = found.value[i] / amplitude, found.error[i] / abs(amplitude)
            finding.rows.append(
                (element, analytic[element], numeric, error, bool(verdict.wrong[i]))
            )
        finding.kinked += [
            int(parts[i][0]) for i in np.flatnonzero(single & verdict.kink & ~found.jump)
        ]
        settled = single | ~(verdict.wrong | verdict.unresolved)
        finding.kinks += int(np.sum(verdict.kink & settled))
        finding.worst = max(finding.worst, float(np.max(verdict.share, initial=0, where=settled)))
        finding.unresolved += int(np.sum(verdict.unresolved & single))
        again = np.flatnonzero(~settled)
        again, left = np.split(
            again[np.argsort(~verdict.wrong[again], kind="stable")],
            [max(0, GUILTY - sum(finding.wrong))],
        )
        finding.unresolved += sum(len(parts[i]) for i in left)
        parts = [half for i in again for half in np.array_split(parts[i], 2)]
    return finding


def compare_ties(line: Line, findings: Sequence[Finding], gradients: Sequence[Array]) -> None:
    """Where equal elements tie at a kink, as in a maximum, each alone has derivatives to choose from. Moved together they
    stay tied, so if there is no kink on that line, their gradients must add up to its slope. If they don't, those at a
    kink are marked as wrong, and what is missing or too much is shared out among them."""
    values = sorted({float(line.base[f.which].reshape(-1)[k]) for f in findings for k in f.kinked})
    directions = []
    for value in values:
        places = {
            f.which: np.flatnonzero(line.base[f.which].reshape(-1) == value) for f in findings
        }
        first, *others = (
            Direction(w, p, np.full(len(p), max(1.0, abs(value))))
            for w, p in places.items()
            if len(p)
        )
        if others or len(first.elements) > 1:
            directions.append(dataclasses.replace(first, also=others))
    if not directions:
        return
    parts = [(d, *d.also) for d in directions]
    along = np.array(
        [
            sum(float(gradients[p.which].reshape(-1)[p.elements] @ p.amplitudes) for p in ps)
            for ps in parts
        ]
    )
    found = line.slopes(directions, along, 0.0)
    with np.errstate(invalid="ignore"):
        gross = (
            1e-3 * np.maximum(found.steepest, np.abs(along)) + 10 * found.error
        )  # a tie is wrong by far or right
        wrong = ~found.kink & ~found.jump & (np.abs(along - found.value) > gross)
    for i in np.flatnonzero(wrong):
        tied = {
            f.which: np.intersect1d(p.elements, f.kinked)
            for p in parts[i]
            for f in findings
            if f.which == p.which
        }
        each = (along[i] - found.value[i]) / (
            sum(map(len, tied.values())) * directions[i].amplitudes[0]
        )
        for finding in findings:
            elements = tied.get(finding.which, np.zeros(0, int))
            finding.kinks -= len(elements)
            finding.rows = [
                (row[0], row[1], row[1] - each, float(found.error[i]), True)
                if row[0] in elements
                else row
                for row in finding.rows
            ]


@dataclass
class Verdict:
    """What is to be said of each direction: arrays (D,)."""

    wrong: Array
    unresolved: Array  # the differences are too rough to tell
    kink: Array  # the analytic derivative is accepted as one of several
    share: Array  # the difference as a share of what is allowed

    def accept(self, i: int) -> None:
        """Take direction i for a kink after all."""
        self.wrong[i], self.kink[i], self.share[i] = False, True, 0


@dataclass
class Ruler:
    """When two derivatives agree: within ten error bars, `rtol` of their size, and rounding at the gradient's scale."""

    rtol: float
    eps: float  # of the gradient's dtype
    scale: float  # its largest element
    natural: float = 0.0  # what terms that cancel in it may have measured
    push: float = 0.0  # the largest cotangent

    @classmethod
    def of(cls, line: Line, which: int, gradient: Array, rtol: float) -> Ruler:
        """For the gradient of one input."""
        largest = lambda a: float(np.max(np.abs(a), initial=0))
        natural = line.operation.natural_slope(float(line.size.sum()), which)
        return cls(
            rtol,
            float(np.finfo(gradient.dtype).eps),
            largest(gradient),
            natural,
            largest(line.cotangent),
        )

    def rounding(self, found: Slopes, size: Array, reach: Array) -> Array:
        """How far rounding alone may set two derivatives apart."""
        at_scale = 1e4 * self.eps if self.eps < 1e-14 else 30 * self.eps
        allowed = self.rtol * np.maximum(size, np.abs(found.value))
        allowed += (at_scale * self.scale + 100 * self.eps * self.natural) * reach
        still = found.steepest <= 1e3 * self.eps * self.push * reach  # terms that cancel to nothing
        return allowed + 100 * self.eps * self.push * reach * still

    def judge(self, found: Slopes, along: Array, size: Array, reach: Array) -> Verdict:
        """Analytic derivatives along directions, of terms of a size (root of the sum of squares), against the slopes;
        `reach` is the direction's largest amplitude."""
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            rounding = self.rounding(found, size, reach)
            share = np.abs(along - found.value) / (10 * found.error + rounding)
            share = np.where(np.isfinite(share), share, np.where(along == found.value, 0, np.inf))
            low, high = np.minimum(found.left, found.right), np.maximum(found.left, found.right)
            slack = 10 * found.side_error + rounding
            edge = np.isnan(low) & (
                np.isfinite(found.right) | np.isfinite(found.left)
            )  # of the domain: one side only
            one = np.where(np.isfinite(found.right), found.right, found.left)
            inside = np.where(
                edge, np.abs(along - one) <= slack, (low - slack <= along) & (along <= high + slack)
            )
            kink = found.jump | ((found.kink | edge) & inside)
            wrong = (share > 1) & ~kink
            enough = (
                1e-3 * np.maximum(self.scale * reach, found.steepest)
                + rounding
                + 100 * found.rounding
            )
            unresolved = ~kink & ~wrong & ~(10 * found.error <= enough)
        return Verdict(wrong, unresolved, kink, np.where(kink, 0, share))
