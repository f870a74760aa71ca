"""Gradients against differences: which directions are tried, and when two numbers agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..mode import switched
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
    before: Array = None  # the elements as they are


@dataclass
class Finding:
    """What came out for one input: analytic and numeric derivatives of the elements that were looked at one by one."""

    which: int
    elements: Array
    analytic: Array
    numeric: Array
    error: Array  # the estimated error of `numeric`
    wrong: Array  # bool
    kinks: int = 0
    unresolved: int = 0
    worst: float = 0.0  # the largest difference as a share of what was allowed
    bounds: Array = field(default_factory=lambda: np.zeros((0, 2)))  # one-sided slopes of the elements


class Line:
    """phi(i, t): how <cotangents, values> changes when the inputs move by t along direction i."""

    def __init__(self, operation: Operation, inputs: Sequence[Array], cotangents: Sequence[Array]) -> None:
        self.operation = operation
        self.base = [np.array(a, np.float64, order="C") for a in inputs]
        self.moved = [a.copy() for a in self.base]
        self.arguments = operation.arguments(self.moved)  # with `moved` in them, which is changed in place
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
        result = self.operation.function(*self.arguments)
        change = (flat([result]) if type(result) is np.ndarray else flat(results(result))) - self.start
        moved[d.elements] = before
        self.evaluations += 1
        difference = float(self.cotangent.dot(change))
        return difference, float(self.size.dot(change != 0)) + abs(difference) + self.operation.magnitude

    def slopes(self, directions: list[Direction], along: Array, natural: float) -> Slopes:
        """The slopes along directions, with a second look at those that differ a little from what is expected."""
        self.directions = directions
        for d in directions:
            d.before = self.base[d.which].reshape(-1)[d.elements]
        with np.errstate(all="ignore"), switched(recording=False):
            found = slopes(self, len(directions), eps=self.eps)
            off = np.abs(found.value - along)
            noise = 1e4 * self.eps * natural * np.array([np.max(np.abs(d.amplitudes)) for d in directions])
            little = off <= np.maximum(1e-6 * np.maximum(found.steepest, np.abs(along)), noise)
            doubt(found, self, np.flatnonzero(little & (off > 10 * found.error)), self.eps)
            return found

    def limits_include(self, d: Direction, along: float, rng: np.random.Generator) -> bool:
        """Whether the function has a kink here that no line along an axis shows, as where three numbers tie in a sort,
        and `along` lies between slopes at points nearby: the generalised gradient of Clarke (1983)."""
        base, moved = self.base[d.which], self.moved[d.which]
        found = np.zeros((NEARBY, 2))  # slopes over two distances, which agree unless the function is rough
        with np.errstate(all="ignore"), switched(recording=False):
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
        return bool(smooth and high - low > 1e-2 * size and low - 1e-5 * size <= along <= high + 1e-5 * size)

    def holomorphic(self, directions: list[Direction]) -> Slopes:
        """The complex step (Squire & Trapp 1998): Im <cotangents, f(x + i h d)> / h, exact to rounding."""
        found = []
        for d in directions:
            moved = [a.astype(complex) for a in self.base]
            moved[d.which].reshape(-1)[d.elements] += 1e-40j * d.amplitudes
            values = self.operation.call(moved)
            values = values if isinstance(values, (list, tuple)) else [values]
            found.append(np.dot(self.cotangent, np.concatenate([np.ravel(v) for v in values]).imag) / 1e-40)
            self.evaluations += 1
        value = np.array(found, float)
        error = 8 * self.eps * np.abs(value)
        return Slopes(value, error, value, value, error, np.zeros(len(value), bool), error, np.abs(value))


class TangentLine:
    """phi(t): how each element of the values changes when all inputs move by t along their tangents."""

    def __init__(self, operation: Operation, inputs: Sequence[Array], tangents: Sequence[Array]) -> None:
        self.operation, self.base = operation, inputs
        self.tangents = [np.asarray(t, np.float64) for t in tangents]
        values = operation.value(inputs)
        self.eps = float(max((np.finfo(v.dtype).eps for v in values), default=2.0**-52))
        self.start = flat(values)
        self.evaluations = 1

    def __call__(self, i: int, t: float) -> tuple[Array, Array]:
        values = flat(self.operation.value([x + t * d for x, d in zip(self.base, self.tangents, strict=True)]))
        self.evaluations += 1
        return values - self.start, np.abs(self.start)

    def judge(self, tangents: Sequence[Array], rtol: float | None) -> Finding:
        """Forward derivatives against the slopes."""
        analytic = flat(tangents)
        eps = float(max((np.finfo(t.dtype).eps for t in tangents), default=2.0**-52))
        ruler = Ruler(default_rtol(eps) if rtol is None else rtol, eps, float(np.max(np.abs(analytic), initial=0)))
        with np.errstate(all="ignore"):
            found = slopes(self, 1, eps=self.eps)
        wrong, unresolved, kink, share = ruler.judge(found, analytic, np.abs(analytic), np.ones(analytic.size))
        every = np.arange(analytic.size)
        return Finding(
            0, every, analytic, found.value, found.error, wrong, int(kink.sum()), int(unresolved.sum()),
            float(np.max(share, initial=0)), np.stack([found.left, found.right], 1),
        )  # fmt: skip


def default_rtol(eps: float) -> float:
    """The relative difference that is allowed in a gradient of this precision."""
    return 1e-9 if eps < 1e-15 else 30 * eps


def flat(arrays: Sequence[Array]) -> Array:
    """All elements of several arrays in one: (n,) float64, a copy."""
    if len(arrays) == 1:
        return np.array(arrays[0], np.float64).ravel()
    return np.concatenate([np.asarray(a, np.float64).reshape(-1) for a in arrays]) if arrays else np.zeros(0)


def compare(
    line: Line, which: int, gradient: Array, *, mode: str, rtol: float, rng: np.random.Generator
) -> Finding:
    """One input's gradient against differences, by element or by probes and bisection."""
    base = line.base[which].reshape(-1)
    analytic = np.asarray(gradient, np.float64).reshape(-1)
    amplitudes = np.maximum(1.0, np.abs(base))
    natural = line.operation.natural_slope(float(line.size.sum()), which)
    push = float(np.max(np.abs(line.cotangent), initial=0))
    ruler = Ruler(rtol, float(np.finfo(gradient.dtype).eps), float(np.max(np.abs(analytic), initial=0)), natural, push)
    by_element = mode == "elements" or mode == "holomorphic" or (mode == "auto" and base.size <= EVERY)
    if by_element:
        parts = [np.array([i]) for i in range(base.size)]
    else:
        amplitudes = amplitudes * (2 * rng.integers(0, 2, base.size) - 1)
        parts = [p for p in np.array_split(rng.permutation(base.size), PROBES) if len(p)]
    none = np.zeros(0)
    finding = Finding(which, none, none, none, none, np.zeros(0, bool))
    looked: list[tuple[Array, ...]] = []
    while parts:
        directions = [Direction(which, p, amplitudes[p]) for p in parts]
        along = np.array([analytic[p] @ amplitudes[p] for p in parts])
        found = line.holomorphic(directions) if mode == "holomorphic" else line.slopes(directions, along, natural)
        size = np.array([np.sqrt(np.sum((analytic[p] * amplitudes[p]) ** 2)) for p in parts])
        wrong, unresolved, kink, share = ruler.judge(found, along, size, np.array([amplitudes[p[0]] for p in parts]))
        single = np.array([len(p) == 1 for p in parts])
        for i in np.flatnonzero(single & wrong):
            if line.limits_include(directions[i], along[i], rng):
                wrong[i], kink[i], share[i] = False, True, 0
        finding.kinks += int(np.sum(kink & ~wrong & (single | ~(wrong | unresolved))))
        finding.worst = max(finding.worst, float(np.max(share, initial=0, where=single | ~wrong)))
        for i in np.flatnonzero(single if by_element else single & wrong):
            a = amplitudes[parts[i][0]]
            sides = np.sort(np.array([found.left[i], found.right[i]]) / a)
            looked.append((parts[i][0], analytic[parts[i][0]], found.value[i] / a, found.error[i] / abs(a), wrong[i], sides))
        finding.unresolved += int(np.sum(unresolved & single))
        guilty = sum(bool(row[4]) for row in looked)
        again = np.flatnonzero(~single & (wrong | unresolved))
        again, left = np.split(again[np.argsort(~wrong[again], kind="stable")], [max(0, GUILTY - guilty)])
        finding.unresolved += sum(len(parts[i]) for i in left)
        parts = [half for i in again for half in np.array_split(parts[i], 2)]
    if looked:
        columns = list(zip(*looked, strict=True))
        finding.elements, finding.analytic, finding.numeric, finding.error, finding.wrong, finding.bounds = (
            np.array(c) for c in columns
        )
    return finding


@dataclass
class Ruler:
    """When two derivatives agree: within ten error bars, `rtol` of their size, and rounding at the gradient's scale."""

    rtol: float
    eps: float  # of the gradient's dtype
    scale: float  # its largest element
    natural: float = 0.0  # what terms that cancel in it may have measured
    push: float = 0.0  # the largest cotangent

    def judge(self, found: Slopes, along: Array, size: Array, amplitude: Array) -> tuple[Array, Array, Array, Array]:
        """(wrong, unresolved, kink, difference as a share of what is allowed) of each direction."""
        scale = self.scale * np.abs(amplitude)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            rounding = self.rtol * np.maximum(size, np.abs(found.value)) + 1e4 * min(self.eps, 1e-14) * scale
            rounding += 30 * self.eps * scale * (self.eps > 1e-14) + 100 * self.eps * self.natural * np.abs(amplitude)
            still = found.steepest <= 1e3 * self.eps * self.push * np.abs(amplitude)  # terms that cancel to nothing
            rounding += 100 * self.eps * self.push * np.abs(amplitude) * still
            allowed = 10 * found.error + rounding
            share = np.abs(along - found.value) / allowed
            share = np.where(np.isfinite(share), share, np.where(along == found.value, 0, np.inf))
            low, high = np.minimum(found.left, found.right), np.maximum(found.left, found.right)
            slack = 10 * found.side_error + rounding
            edge = np.isnan(low) & (np.isfinite(found.right) | np.isfinite(found.left))  # of the domain
            one = np.where(np.isfinite(found.right), found.right, found.left)
            inside = np.where(edge, np.abs(along - one) <= slack, (low - slack <= along) & (along <= high + slack))
            kink = found.kink | edge
            accepted = found.jump | (kink & inside)
            enough = 1e-3 * np.maximum(scale, found.steepest) + rounding + 100 * found.rounding
            unresolved = ~accepted & ~(10 * found.error <= enough)
        wrong = (share > 1) & ~accepted
        return wrong, unresolved & ~wrong, kink & accepted, np.where(accepted, 0, share)
