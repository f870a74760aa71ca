"""The checks of functions of tensors, of hand-written pairs and of forward derivatives."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..engine.pytrees import leaves
from ..tensor import unwrap
from ..transforms import vjp
from ..typing import PyTree, Shape
from .agreement import Agreement, pull_again, shifts_by_rounding
from .clock import Clock
from .compare import (
    Comparison,
    Finding,
    compare,
    compare_along,
    compare_ties,
    directions_of,
)
from .constraints import Project, projections
from .contract import contract, draw_cotangents, unsettle, with_other_numbers
from .dual import disagreement
from .judge import Ruler, default_rtol
from .line import Line, TangentLine, coarsest_eps, flat, real_view, wide
from .message import GradMismatch, describe, describe_not_finite, literal, reproduce, two_numbers
from .numeric import largest
from .operation import Arguments, Function, Operation, Positions, Seed, is_array, results
from .pushforward import Pushforward
from .second_look import CONFIRMED
from .shrink import shrink

MODES = ("auto", "elements", "probes", "holomorphic")
KINKS = ("subgradient", "error")


@dataclass
class GradReport:
    """What a check that passed has compared."""

    name: str
    elements: int = 0  # whose derivatives were compared, one by one or in probes
    kinks: int = 0  # elements at a kink, where any derivative between the slopes was accepted
    unresolved: int = 0  # elements where the function is too rough for differences
    not_finite: int = 0  # elements of gradients and values that are not finite, and may be so
    worst: float = 0.0  # the largest difference, as a share of what was allowed
    held: list[str] = field(default_factory=list)  # what else was checked
    evaluations: int = 0
    seconds: float = 0.0
    left_out: list[str] = field(default_factory=list)  # for want of time

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.elements} derivatives agree "
            f"(largest difference {self.worst:.2g} of what is allowed), "
            f"{self.kinks} at kinks, {self.unresolved} unresolved"
            f"{f', {self.not_finite} not finite' * bool(self.not_finite)}; "
            f"{', '.join(self.held)} held; "
            f"{self.evaluations} evaluations in {self.seconds * 1e3:.0f} ms"
            f"{'; left out for want of time: ' * bool(self.left_out)}{', '.join(self.left_out)}"
        )


@dataclass(frozen=True)
class Settings:
    """How a check is carried out; ValueError for a mode, an order or kinks that do not exist."""

    call: str  # the name of the public function, for the line that reproduces
    wrt: Positions = None
    order: int = 1
    cotangent: PyTree = "random"
    mode: str = "auto"
    rtol: float | None = None
    kinks: str = "subgradient"
    rng: Seed = 0
    project: Project = None
    along: Sequence[PyTree] = ()
    instead_of: Function | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}, not {self.mode!r}")
        if self.order < 1:
            raise ValueError(f"order is 1 or higher, not {self.order!r}")
        if self.kinks not in KINKS:
            raise ValueError(f"kinks is one of {', '.join(KINKS)}, not {self.kinks!r}")

    @property
    def random_cotangent(self) -> bool:
        """Whether the cotangent is drawn, instead of given."""
        return isinstance(self.cotangent, str) and self.cotangent == "random"

    def generator(self) -> np.random.Generator:
        """The source of all random numbers of one check."""
        return np.random.default_rng(self.rng)

    def options(self) -> str:
        """The settings that are not the default, as keyword arguments in a line of code."""
        defaults = Settings(self.call)
        changed = [
            name
            for name in (
                "wrt",
                "order",
                "mode",
                "rtol",
                "kinks",
                "rng",
                "project",
                "instead_of",
                "budget",
            )
            if getattr(self, name) != getattr(defaults, name)
        ]
        if not self.random_cotangent:
            changed.append("cotangent")
        if len(self.along):
            changed.append("along")
        return "".join(f", {name}={literal(getattr(self, name))}" for name in changed)


def check_grad(
    f: Function,
    *args: PyTree,
    wrt: int | Sequence[int] | None = None,
    order: int = 1,
    cotangent: PyTree = "random",
    mode: str = "auto",
    rtol: float | None = None,
    kinks: str = "subgradient",
    rng: Seed = 0,
    project: Project = None,
    along: Sequence[PyTree] = (),
    instead_of: Function | None = None,
    budget: float | None = None,
) -> GradReport:
    """Check the gradients that the engine gives for f(*args) against differences.

    f is written in NumPy or takes tensors; it may return several values.

    wrt: the positions of the arguments to differentiate; None: all floating-point arrays.
    order: 2 checks the second derivatives too.
    cotangent: "random", or what to multiply the values by.
    mode: "elements", "probes" (random directions, then bisection), "auto" (elements up to 400 an
        input) or "holomorphic" (the complex step: f takes complex arrays and is analytic).
    rtol: the relative difference that is allowed beside ten error bars. None: 1e-9, in float32
        4e-6.
    kinks: "subgradient" accepts a derivative between the one-sided slopes, "error" does not.
    rng: a seed or a generator; the same seed gives the same check.
    project: for arguments that stay in a set: "simplex", "symmetric", "lower_triangular", "sphere",
        "rotation", or a function from any array to the set. A dict from positions of arguments to
        these, if they differ. The gradient is right if it is along the set.
    along: directions in the nesting of the differentiated arguments: these alone are tried.
    instead_of: the function whose gradient is meant, where that is not f's own, as of rounding with
        a straight-through gradient.
    budget: so many seconds, about. A slow function's elements are then compared together in fewer
        probes; what was left out is in the report.

    A complex argument moves along its real and its imaginary part; its gradient is
    dL/da + i dL/db.

    Raises GradMismatch if the two disagree, TypeError or ValueError for what cannot be checked.
    """
    __tracebackhide__ = True
    settings = Settings(
        "check_grad",
        wrt,
        order,
        cotangent,
        mode,
        rtol,
        kinks,
        rng,
        project,
        along,
        instead_of,
        budget,
    )
    return run(f, None, args, settings)


def check_vjp(
    forward: Function,
    backward: Function,
    *args: PyTree,
    wrt: int | Sequence[int] | None = None,
    cotangent: PyTree = "random",
    mode: str = "auto",
    rtol: float | None = None,
    kinks: str = "subgradient",
    rng: Seed = 0,
    project: Project = None,
    along: Sequence[PyTree] = (),
    instead_of: Function | None = None,
    budget: float | None = None,
) -> GradReport:
    """Check a pair in plain NumPy, y = forward(*args) and backward(g, y, *args), as `check_grad`.

    backward returns one gradient for each floating-point array among the arguments, in order, or
    the single one.
    """
    __tracebackhide__ = True
    settings = Settings(
        "check_vjp", wrt, 1, cotangent, mode, rtol, kinks, rng, project, along, instead_of, budget
    )
    return run(forward, backward, args, settings)


def run(f: Function, backward: Function | None, args: Arguments, settings: Settings) -> GradReport:
    """Check, and if it fails, look for smaller arguments that fail in the same way."""
    __tracebackhide__ = True
    clock = Clock(settings.budget)
    try:
        return check_once(f, backward, args, settings, clock)
    except GradMismatch as mismatch:
        again = lambda smaller, clock: check_once(f, backward, smaller, settings, clock)
        smallest = shrink(mismatch, args, again, clock)
    raise smallest.with_text(str(smallest))


def check_once(
    f: Function,
    backward: Function | None,
    args: Arguments,
    settings: Settings,
    clock: Clock | None = None,
) -> GradReport:
    """One check, its failure described for the arguments as they are."""
    __tracebackhide__ = True
    clock = Clock(settings.budget) if clock is None else clock
    start = time.perf_counter()
    operation = Operation(f, args, settings.wrt, backward)
    operation.constrained = settings.project is not None or len(settings.along) > 0
    operation.function = clock.watch(operation.function)
    report = GradReport(operation.name)
    rng = settings.generator()
    try:
        unsettle(operation, np.random.default_rng(0))
        for order in range(1, settings.order + 1):
            if order > 1:
                cotangents = draw_cotangents(operation.value(operation.inputs), rng)
                second_by_cotangent(operation, cotangents)
                operation = derivative_of(operation, cotangents)
            check_order(operation, order, settings, report, rng, clock)
    except GradMismatch as mismatch:
        text = f"{mismatch}\n{reproduce(operation, settings)}"
        raise mismatch.with_text(text) from None
    report.seconds = time.perf_counter() - start
    return report


def check_order(
    operation: Operation,
    order: int,
    settings: Settings,
    report: GradReport,
    rng: np.random.Generator,
    clock: Clock,
) -> None:
    """First derivatives of an operation, which for a higher order is a gradient itself."""
    inputs = operation.inputs
    start = time.perf_counter()
    values = operation.value(inputs)
    seconds = time.perf_counter() - start
    clock.announce(operation.name, seconds, sum(directions_of(a.size) for a in inputs))
    if not values:
        raise TypeError(
            f"{operation.name}: the value holds no floating-point numbers, "
            "so there is nothing to check"
        )
    if not may_be_not_finite(operation, values):
        describe_not_finite(operation, "value", values)
    cotangents = chosen_cotangents(operation, values, settings, order, rng)
    held: list[str] = []
    gradients = contract(operation, cotangents, held, rng)

    if settings.mode == "holomorphic" and any(a.dtype.kind == "c" for a in inputs):
        raise ValueError('mode="holomorphic" is for functions of real numbers; leave it out')
    room = lambda: clock.room(seconds, len(inputs))
    line, findings = compared(operation, cotangents, gradients, settings, rng, clock, room())
    wrong = any(f.wrong.any() for f in findings)
    weights = None if wrong else line.weights(line.directions if len(settings.along) else ())
    if weights is not None:
        weighed = split_like(cotangents, weights)
        of_weighed = pull_again(operation, inputs, weighed)
        second, others = compared(operation, weighed, of_weighed, settings, rng, clock, room())
        second.evaluations += line.evaluations
        if any(f.wrong.any() for f in others):
            line, findings, cotangents, gradients = second, others, weighed, of_weighed

    kinks = sum(f.kinks for f in findings)
    unresolved = sum(f.unresolved for f in findings)
    elements = sum(a.size for a in line.base)
    if any(f.unexplained for f in findings):
        describe_not_finite(operation, "gradient", gradients)
    if any(f.wrong.any() for f in findings) or (kinks and settings.kinks == "error"):
        views = [real_view(gradient) for gradient in gradients]
        raise describe(operation, order, cotangents, views, findings, held, line)
    if order == 1 and elements and unresolved > elements / 2:
        raise GradMismatch(
            f"{operation.name}: differences can't tell the slope of {unresolved} of {elements} "
            "elements; the function is too rough there (does it round, draw random numbers, or "
            "compute in low precision?)"
        )
    report.kinks += kinks
    report.unresolved += unresolved
    report.not_finite += sum(f.not_finite for f in findings) + int(np.sum(line.lost))
    report.elements += elements
    report.worst = max([report.worst, *(f.worst for f in findings)])
    report.evaluations += line.evaluations
    for finding in findings:
        if finding.together:
            name = operation.names[finding.which]
            report.left_out.append(f"{name}: {finding.together} elements compared in few probes")
    report.held += [h for h in held if h not in report.held]


def may_be_not_finite(operation: Operation, values: Sequence[np.ndarray]) -> bool:
    """Whether there is something to compare beside values that are not finite by design.

    Infinities may be, as those of masked logits; NaN only if an argument has some, as where data
    are missing.
    """
    missing = False
    for leaf in leaves(list(operation.args)):
        array = np.asarray(unwrap(leaf)) if is_array(leaf) else np.zeros(0)
        missing = missing or bool(np.isnan(array).any())
    undefined = any(np.isnan(v).any() for v in values)
    comparable = any(np.isfinite(v).any() or not v.size for v in values)
    return comparable and (missing or not undefined)


def compared(
    operation: Operation,
    cotangents: list[np.ndarray],
    gradients: Sequence[np.ndarray],
    settings: Settings,
    rng: np.random.Generator,
    clock: Clock,
    room: float,
) -> tuple[Line, list[Finding]]:
    """The gradients of all inputs at some cotangents against differences."""
    meant = operation if settings.instead_of is None else operation.meaning(settings.instead_of)
    project = projections(operation, settings.project)
    line = Line(meant, operation.inputs, cotangents, project)
    if len(settings.along):
        return line, compare_along(line, gradients, settings.along, settings.rtol)
    shifts = functools.cache(lambda: shifts_by_rounding(operation, cotangents, gradients))
    views = [real_view(gradient) for gradient in gradients]
    findings: list[Finding] = []
    for which, gradient in enumerate(views):
        rtol = settings.rtol
        if rtol is None:
            rtol = default_rtol(float(np.finfo(gradient.dtype).eps))
        own = functools.partial(shifts_of, shifts, which, gradient.shape)
        findings.append(
            compare(
                line,
                which,
                gradient,
                mode=settings.mode,
                rtol=rtol,
                rng=rng,
                shifts=own,
                clock=clock,
                room=room,
            )
        )
    compare_ties(line, findings, views)
    return line, findings


def shifts_of(shifts: Callable[[], list[np.ndarray]], which: int, shape: Shape) -> np.ndarray:
    """The shifts of one gradient, flat; those of a complex number are of both its parts."""
    own = shifts()[which]
    both = own[..., None] if own.shape != shape else own
    return np.broadcast_to(both, shape).reshape(-1)


def split_like(cotangents: Sequence[np.ndarray], weights: np.ndarray) -> list[np.ndarray]:
    """The cotangents times flat weights of all their real and imaginary parts."""
    found = []
    for cotangent in cotangents:
        view = real_view(cotangent)
        own, weights = weights[: view.size], weights[view.size :]
        if cotangent.dtype.kind == "c":
            own = np.repeat(own[::2], 2)  # one for both parts
        weighed = (view * own.reshape(view.shape)).astype(view.dtype)
        found.append(weighed.view(cotangent.dtype).reshape(cotangent.shape))
    return found


def chosen_cotangents(
    operation: Operation,
    values: list[np.ndarray],
    settings: Settings,
    order: int,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """The user's, for the first order, or random ones."""
    if order > 1 or settings.random_cotangent:
        return draw_cotangents(values, rng)
    given = [np.asarray(c) for c in leaves([settings.cotangent])]
    if [c.shape for c in given] != [v.shape for v in values]:
        raise ValueError(
            f"{operation.name} has values of shapes {[v.shape for v in values]}; "
            f"the cotangents have shapes {[c.shape for c in given]}"
        )
    return [c.astype(v.dtype) for c, v in zip(given, values, strict=True)]


def second_by_cotangent(operation: Operation, cotangents: list[np.ndarray]) -> None:
    """Refuse gradients whose own derivative with respect to the cotangent is wrong.

    The gradients are linear in the cotangent, so that derivative is the adjoint of the pullback:
    that needs no differences.
    """
    pulled = lambda *c: vjp(operation.outputs, *operation.inputs)[1](list(c))
    gradients, pull_twice = vjp(pulled, *cotangents)
    if not all(np.isfinite(g).all() for g in gradients):
        return
    forward = lambda c: pull_again(operation, operation.inputs, c)
    adjoint = lambda h: list(pull_twice(tuple(h)))
    values = operation.value(operation.inputs)
    agreement = Agreement(operation, cotangents, [np.asarray(g) for g in gradients], values)

    def explained(c: list[np.ndarray], h: list[np.ndarray]) -> float:
        total = 0.0
        for i, (gradient, weight) in enumerate(zip(agreement.gradients, h, strict=True)):
            eps = float(np.finfo(gradient.dtype).eps)
            total += float(np.sum(abs(weight) * agreement.explained(i, abs(gradient), eps)))
        return total * max(map(largest, c)) / max(map(largest, cotangents))

    rng = np.random.default_rng(0)
    found = disagreement(forward, adjoint, cotangents, rng, 1e5, explained)
    if found is not None:
        one, two = two_numbers(found.left, found.right)
        raise GradMismatch(
            f"{operation.name}: second derivatives, with respect to the cotangent c: "
            f"<h, backward(c)> = {one}, <c, its gradient> = {two}\n"
            f"  c = {', '.join(map(literal, found.x))}\n"
            f"  h = {', '.join(map(literal, found.v))}\n"
            "  pattern: the rule computes with g outside of the record, as a constant"
        )


def derivative_of(operation: Operation, cotangents: list[np.ndarray]) -> Operation:
    """The gradients of an operation at fixed cotangents, as an operation itself."""

    def gradients(*inputs: PyTree) -> list[PyTree]:
        values, pullback = vjp(operation.outputs, *inputs)
        return list(pullback([c.astype(v.dtype) for c, v in zip(cotangents, values, strict=True)]))

    second = Operation(gradients, tuple(operation.inputs))
    second.name = f"gradient of {operation.name}"
    second.names = operation.names
    second.original = operation.original
    second.given = operation.given
    values = operation.value(operation.inputs)
    size = max(map(largest, values))
    second.magnitude = max(operation.natural_slope(size, i) for i in range(len(operation.inputs)))
    return second


def check_jvp(
    f: Function,
    jvp: Function,
    *args: PyTree,
    rtol: float | None = None,
    rng: Seed = 0,
) -> GradReport:
    """Check a forward derivative: jvp(args, tangents) -> tangent of f's value.

    `args` is the tuple of all arguments; `tangents`, drawn at random, has an array for each
    floating-point array, in its nesting, and None for the others. If there are several, each is
    also tried alone, with None for the others, unless jvp refuses that. Raises GradMismatch if jvp
    and differences disagree; if shape, dtype or number of the tangents is not that of the value;
    if jvp is not linear in the tangents; and if it changes its arguments.
    """
    start = time.perf_counter()
    generator = np.random.default_rng(rng)
    operation = Operation(f, args)
    report = GradReport(operation.name, held=["shape", "dtype", "nothing mutated", "linear"])
    base = [wide(a) for a in operation.inputs]
    values = results(operation.call(operation.inputs))
    push = Pushforward(operation, jvp, values)
    ones = [np.ones_like(a) for a in operation.inputs]
    unchecked = lambda: jvp(operation.arguments(operation.inputs), push.nested(ones))
    with_other_numbers(operation.inputs, unchecked)
    earlier: tuple[list[np.ndarray], list[np.ndarray]] | None = None
    for _ in range(3):
        cotangents = draw_cotangents(base, generator)
        directions = [c.astype(a.dtype) for c, a in zip(cotangents, operation.inputs, strict=True)]
        pushed = push(directions)
        line = TangentLine(operation, base, directions)
        finding = judged(line, pushed, rtol)
        report.elements += len(finding.rows)
        report.worst = max(report.worst, finding.worst)
        report.evaluations += line.evaluations
        if finding.wrong.any():
            raise _wrong_tangent(operation, finding, directions)
        if earlier is None:
            push.homogeneous(directions, pushed)
        else:
            push.additive(directions, pushed, *earlier)
        earlier = directions, pushed
    push.each_alone(directions)
    report.seconds = time.perf_counter() - start
    return report


def judged(line: TangentLine, pushed: Sequence[np.ndarray], rtol: float | None) -> Finding:
    """Forward derivatives against the slopes."""
    analytic = flat(pushed)
    eps = coarsest_eps(pushed)
    ruler = Ruler(
        default_rtol(eps) if rtol is None else rtol,
        eps,
        total=sum(map(largest, line.base)),
        push=max(map(largest, line.tangents)),
    )
    numeric = line.slopes()
    judge = lambda: ruler.judge(numeric, analytic, abs(analytic), np.ones(analytic.size))
    verdict = judge()
    confirmed = 0
    for k in np.flatnonzero(verdict.wrong).tolist():
        if confirmed < CONFIRMED:
            numeric[k : k + 1] = line.look_again(k)
            verdict = judge()
            confirmed += int(verdict.wrong[k])
    finding = Finding(0, worst=largest(verdict.share))
    finding.kinks, finding.unresolved = int(verdict.kink.sum()), int(verdict.unresolved.sum())
    rows = zip(analytic, numeric["value"], numeric["error"], verdict.wrong, strict=True)
    finding.rows = [Comparison(k, *row) for k, row in enumerate(rows)]
    return finding


def _wrong_tangent(
    operation: Operation, finding: Finding, tangents: list[np.ndarray]
) -> GradMismatch:
    """The message about a tangent, with its first wrong element."""
    wrong = finding.wrong
    first = finding.rows[int(np.argmax(wrong))]
    return GradMismatch(
        f"{operation.name}: {int(wrong.sum())} of {wrong.size} elements of the tangent are wrong\n"
        f"  at flat index {first.element}: jvp={first.analytic:+.10g}  "
        f"numeric={first.numeric:+.10g} ±{first.error:.0e}\n"
        f"  tangents: {', '.join(map(literal, tangents))}"
    )
