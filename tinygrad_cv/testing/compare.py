"""Gradients against differences: which directions are tried, and what is said of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..engine.modes import switched
from ..engine.pytrees import leaves
from ..typing import PyTree
from .clock import Clock
from .judge import BARS, Ruler, Verdict, default_rtol
from .line import CLOSE, Direction, Line, amplitudes, spread
from .message import GradMismatch
from .noise import every_rung
from .numeric import kink, largest
from .second_look import SecondLook, Shifts

BY_ELEMENT = 400  # so many elements of an input are checked one by one, more by probes
PROBES = 64  # the elements of a larger input are dealt into so many parts, each one direction
FEWER = 20_000  # elements: more of them are dealt into fewer parts, since each takes longer
SAMPLE = 4000  # elements that show how a large input is to be dealt
CROWD = 1000  # elements of a direction: one of so many may be close to a kink
MAX_WRONG = 10  # so many wrong elements are looked for


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
    not_finite: int = 0  # elements that are not finite, nor are differences there
    unexplained: int = 0  # those that are not finite where differences are
    together: int = 0  # elements that were compared in fewer probes than usual, for want of time
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
        numeric: np.ndarray,
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
        if verdict.kink[i] and not numeric["jump"][i]:
            self.kinked.append(element)
        if wrong or listed:
            amplitude = direction.amplitudes[0]
            value = numeric["value"][i] / amplitude
            error = numeric["error"][i] / abs(amplitude)
            self.rows.append(Comparison(element, analytic[element], value, error, wrong))


def compare(
    line: Line,
    which: int,
    gradient: np.ndarray,
    *,
    mode: str,
    rtol: float,
    rng: np.random.Generator,
    shifts: Shifts,
    clock: Clock,
    room: float,
) -> Finding:
    """One input's gradient against differences.

    The elements are tried one by one, or in probes of many. Each gets a `glance`; where that does
    not agree, the ladder of `numeric.slopes` decides. Probes that disagree are halved until the
    wrong elements are alone. Who is alone and wrong gets a second look.

    room: for how many directions there is time.
    """
    analytic = np.asarray(gradient, np.float64).reshape(-1)
    ruler = Ruler(
        rtol=rtol,
        eps=float(np.finfo(gradient.dtype).eps),
        total=float(line.size.sum()),
        push=largest(line.cotangent),
    )
    amplitude = amplitudes(line.base[which].reshape(-1))
    small = mode == "auto" and analytic.size <= BY_ELEMENT
    by_element = (small or mode == "elements") and analytic.size <= room
    by_element |= mode == "holomorphic"
    finding = Finding(which)
    finite = set_aside(line, finding, analytic, amplitude)
    if by_element:
        parts = list(np.flatnonzero(finite)[:, None])  # (N, 1)
    else:
        amplitude = amplitude * spread(rng, analytic.size)
        parts = dealt(line.base[which].reshape(-1), analytic * amplitude, rng, room)
        parts = [part[finite[part]] for part in parts if finite[part].any()]

    wanted = analytic.size if small or mode == "elements" else 2 * probes_of(analytic.size)
    if room < wanted and mode != "holomorphic":
        finding.together = analytic.size
    look = SecondLook(line, ruler, shifts, rng, clock)
    while parts:
        directions = [Direction(which, part, amplitude[part]) for part in parts]
        along, size = expected(line, directions, analytic)
        holomorphic = mode == "holomorphic"
        if not holomorphic:
            agrees = glance(line, directions, along, ruler.rtol * size, finding, by_element)
            along, size = along[~agrees], size[~agrees]
            parts = [part for part, right in zip(parts, agrees, strict=True) if not right]
            directions = [d for d, right in zip(directions, agrees, strict=True) if not right]
        if not directions:
            break
        numeric = line.holomorphic(directions) if holomorphic else line.slopes(directions)
        reach = np.array([direction.reach for direction in directions])
        verdict = ruler.judge(numeric, along, size, reach)

        pending = []
        for i, direction in enumerate(directions):
            alone = len(direction.elements) == 1
            if alone and not holomorphic and (verdict.wrong[i] or verdict.unresolved[i]):
                look.at(i, direction, float(along[i]), numeric, verdict)
            if alone:
                finding.settle_alone(direction, analytic, numeric, verdict, i, by_element)
            elif verdict.wrong[i] or verdict.unresolved[i]:
                pending.append(i)
            else:
                finding.settle(verdict, i)

        pending.sort(key=lambda i: not verdict.wrong[i])  # the wrong ones first
        most = 1 if clock.over else int(min(MAX_WRONG, max(1, room / 2)))
        more = max(0, most - int(finding.wrong.sum()))
        for i in pending[more:]:
            finding.unresolved += len(parts[i])
        halves = [np.array_split(parts[i], 2) for i in pending[:more]]
        parts = [half for pair in halves for half in pair]
    finding.rows.sort()
    return finding


def glance(
    line: Line,
    directions: list[Direction],
    along: np.ndarray,
    allowed: np.ndarray,
    finding: Finding,
    listed: bool,
) -> np.ndarray:
    """Which derivatives agree with central differences at the first glance: (D,).

    Two numbers that agree so closely need no error bars. Those that do are settled, and if
    `listed`, listed as right.
    """
    numeric = line.glance(directions, along)
    with np.errstate(invalid="ignore"):
        agrees: np.ndarray = abs(along - numeric) <= allowed
        for i in np.flatnonzero(~agrees).tolist():
            if len(directions[i].elements) > CROWD:
                numeric[i] = line.glance([directions[i]], along[[i]], CLOSE)[0]
                agrees[i] = abs(along[i] - numeric[i]) <= allowed[i]
    for i in np.flatnonzero(agrees).tolist():
        share = abs(along[i] - numeric[i]) / allowed[i] if allowed[i] else 0.0
        finding.worst = max(finding.worst, float(share))
        if listed:
            amplitude = directions[i].amplitudes[0]
            element = int(directions[i].elements[0])
            value = float(numeric[i] / amplitude)
            error = float(allowed[i] / BARS / abs(amplitude))
            row = Comparison(element, float(along[i] / amplitude), value, error, False)
            finding.rows.append(row)
    return agrees


def set_aside(
    line: Line, finding: Finding, analytic: np.ndarray, amplitude: np.ndarray
) -> np.ndarray:
    """Which elements of a gradient differences can judge: finite ones, of finite arguments.

    Of the others those that may be so are counted: where the argument is not finite, where the
    function has no finite value, or where its slope grows without end.
    """
    known = np.isfinite(line.base[finding.which].reshape(-1))
    finite: np.ndarray = known & np.isfinite(analytic)
    finding.not_finite += int(np.sum(~known))
    for k in np.flatnonzero(known & ~finite).tolist():
        direction = Direction(finding.which, np.array([k]), amplitude[[k]])
        line.aim([direction])
        with np.errstate(all="ignore"), switched("recording", False):
            rungs = every_rung(line, 0, line.eps, direction.near)
        endless = rungs["steepest"][-1] > 100 * rungs["steepest"][0]
        if not line.finite or endless or not np.isfinite(rungs["error"]).any():
            finding.not_finite += 1
        else:
            finding.unexplained += 1
    return finite


def compare_along(
    line: Line,
    gradients: Sequence[np.ndarray],
    along: Sequence[PyTree],
    rtol: float | None,
) -> list[Finding]:
    """All gradients together against differences along given directions of the inputs."""
    directions = []
    for tree in along:
        tangents = [np.asarray(t, float).reshape(-1) for t in leaves([tree])]
        if [t.size for t in tangents] != [b.size for b in line.base]:
            raise ValueError(
                f"{line.operation.name}: each direction of along= has the nesting and shapes of "
                f"the differentiated arguments, {[b.shape for b in line.base]}"
            )
        first, *others = [
            Direction(which, np.flatnonzero(t), t[t != 0]) for which, t in enumerate(tangents)
        ]
        directions.append(dataclasses.replace(first, also=others))
    flat_gradients = [np.asarray(g, np.float64) for g in gradients]
    derivatives = np.array([_derivative(d, flat_gradients) for d in directions])
    eps = max(float(np.finfo(g.dtype).eps) for g in gradients)
    ruler = Ruler(
        default_rtol(eps) if rtol is None else rtol,
        eps,
        total=float(line.size.sum()),
        push=largest(line.cotangent),
    )
    numeric = line.slopes(directions)
    reach = np.array([direction.reach for direction in directions])
    verdict = ruler.judge(numeric, derivatives, abs(derivatives), reach)
    for k in np.flatnonzero(verdict.wrong).tolist():
        raise GradMismatch(
            f"{line.operation.name}: the derivative along direction {k} of along= is "
            f"{derivatives[k]:+.10g} by the gradient, {numeric['value'][k]:+.10g} "
            f"±{numeric['error'][k]:.0e} by differences"
        )
    finding = Finding(0, worst=largest(verdict.share))
    finding.kinks, finding.unresolved = int(verdict.kink.sum()), int(verdict.unresolved.sum())
    return [finding]


def dealt(
    base: np.ndarray, terms: np.ndarray, rng: np.random.Generator, room: float
) -> list[np.ndarray]:
    """The elements in parts of like size of their terms, so that no large one hides a small one.

    Elements of one value, as the zeros before a ReLU, are apart from the others: they may all stand
    on a kink.
    """
    probes = int(min(probes_of(len(base)), max(1, room / 2)))  # there are two groups below
    size = abs(terms)
    sample = rng.integers(0, len(base), SAMPLE) if len(base) > FEWER else np.arange(len(base))
    values, counts = np.unique(base[sample], return_counts=True)
    common = values[counts > max(1, len(sample) // (4 * probes))]
    shared = np.isin(base, common) if len(common) else np.zeros(len(base), bool)
    parts = []
    for group in (~shared, shared):
        if len(base) <= FEWER:
            order = rng.permutation(np.flatnonzero(group))
            order = order[np.argsort(size[order], kind="stable")]
            parts += [part for part in np.array_split(order, probes) if len(part)]
        else:  # by the sizes of a sample, without sorting
            limits = np.quantile(size[sample], np.linspace(0, 1, probes + 1)[1:-1])
            for low, high in zip([-np.inf, *limits], [*limits, np.inf], strict=True):
                part = np.flatnonzero(group & (size > low) & (size <= high))
                parts += [part] if len(part) else []
    return parts


def probes_of(size: int) -> int:
    """Into how many parts so many elements are dealt."""
    return PROBES if size <= FEWER else max(2, int(PROBES * FEWER / size))


def directions_of(size: int) -> int:
    """How many directions so many elements of an input usually take, if all are right."""
    return size if size <= BY_ELEMENT else probes_of(size)


def expected(
    line: Line,
    directions: Sequence[Direction],
    gradient: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The derivatives along directions by a flat gradient, and the size of their terms: (D,)."""
    if line.project is None:
        terms = [gradient[d.elements] * d.amplitudes for d in directions]
    else:
        terms = [gradient * line.tangent(d)[d.which] for d in directions]
    starts = np.cumsum([0, *[len(t) for t in terms[:-1]]])
    all_terms = np.concatenate(terms)
    size = np.sqrt(np.add.reduceat(all_terms * all_terms, starts))
    return np.add.reduceat(all_terms, starts), size


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
    numeric = line.slopes(directions)
    with np.errstate(invalid="ignore"):
        difference = along - numeric["value"]
        # A tie is either right or wrong by far.
        steepest = np.maximum(numeric["steepest"], abs(along))
        far = abs(difference) > 1e-3 * steepest + BARS * numeric["error"]
    wrong = far & ~kink(numeric)
    for i in np.flatnonzero(wrong).tolist():
        _share_out(directions[i], findings, float(difference[i]), float(numeric["error"][i]))


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
    for part in direction.parts:
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
    for part in direction.parts:
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
