"""Hand-written Jacobians and Hessians, and the patterns of what may be nonzero in them."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..engine.errors import name_of
from ..engine.modes import switched
from ..engine.pytrees import leaves
from ..tensor import unwrap
from ..typing import PyTree, Shape
from .check import GradReport, judged
from .contract import with_other_numbers
from .judge import BARS, PRECISE, Ruler, default_rtol
from .line import TangentLine, amplitudes, spread, wide
from .message import GradMismatch, literal, two_numbers
from .noise import every_rung
from .numeric import Phi, better, largest, slopes
from .operation import Function, Operation, Positions, Seed
from .witness import Witness

Matrix: TypeAlias = Any  # an array, a scipy.sparse matrix or a LinearOperator: (m, n)

BY_COLUMN = 400  # so many columns are checked one by one, more in parts
PARTS = 64  # so many parts
MAX_WRONG = 10  # so many wrong columns, or entries of a Hessian, are looked for
SHOWN = 5
BY_ENTRY = 24  # a Hessian of so many rows is checked entry by entry
EPS = float(np.finfo(float).eps)
MOVED = 1e-2  # how far from the arguments a pattern is tried again


def check_jacobian(
    f: Function,
    jacobian: Function,
    *args: PyTree,
    wrt: Positions = None,
    sparsity: Matrix | None = None,
    rtol: float | None = None,
    kinks: str = "subgradient",
    rng: Seed = 0,
) -> GradReport:
    """Check a hand-written jacobian(*args) of f(*args), which gives one array, against differences.

    The Jacobian has the shape of the value and then of the argument, as `tg.jacobian` gives it, or
    is a matrix (m, n) of both in C order, as SciPy's optimisers take it: an array, a scipy.sparse
    matrix or a LinearOperator. Of several arguments it is a list, one for each.

    wrt, rtol, kinks, rng: as in `check_grad`.
    sparsity: in the same form, what may be nonzero; see `check_sparsity`.

    Raises GradMismatch for entries that disagree, a shape that does not fit, or a call that changes
    its arguments; TypeError for complex numbers or several values.
    """
    __tracebackhide__ = True
    start = time.perf_counter()
    problem = Problem(f, args, wrt, rng)
    matrix = problem.matrix(jacobian, "Jacobian")
    report = GradReport(problem.name, held=["shape", "nothing mutated", "deterministic"])
    call = f"check_jacobian({name_of(f)}, {name_of(jacobian)}"
    compare_columns(problem, matrix, "jacobian", rtol, kinks, report, call)
    if sparsity is not None:
        pattern = problem.as_matrix(sparsity, "sparsity") != 0
        try_pattern(problem, pattern, report)
        nonzero = set(zip(*matrix.nonzero(), strict=True))
        outside = sorted(nonzero - set(zip(*pattern.nonzero(), strict=True)))
        if outside:
            raise GradMismatch(
                f"{problem.name}: the Jacobian has {len(outside)} entries that the pattern "
                f"excludes, the first {problem.entry(*outside[0])}"
            )
    report.seconds = time.perf_counter() - start
    return report


def check_sparsity(
    f: Function,
    pattern: Matrix,
    *args: PyTree,
    wrt: Positions = None,
    rng: Seed = 0,
) -> GradReport:
    """Check that the Jacobian of f is 0 wherever a pattern of booleans is False, by differences.

    The pattern has a shape as in `check_jacobian`. It must hold everywhere: it is tried at the
    arguments and, where f takes them, at others a hundredth away. Entries that the pattern allows
    may be 0.

    Raises GradMismatch for an entry that is not 0.
    """
    __tracebackhide__ = True
    start = time.perf_counter()
    problem = Problem(f, args, wrt, rng)
    report = GradReport(problem.name, held=["shape"])
    try_pattern(problem, problem.as_matrix(pattern, "pattern") != 0, report)
    report.seconds = time.perf_counter() - start
    return report


def check_hessian(
    f: Function,
    hessian: Function,
    *args: PyTree,
    gradient: Function | None = None,
    wrt: Positions = None,
    rtol: float | None = None,
    rng: Seed = 0,
) -> GradReport:
    """Check a hand-written hessian(*args) of f(*args), which is a number, against differences.

    The Hessian has the shape of the argument twice, or is a matrix (n, n), as in `check_jacobian`;
    of several arguments it is a list of lists, as `tg.hessian` gives it. It must be symmetric.

    gradient: f's own. It is checked first, and the Hessian is then its Jacobian. Without it second
        differences of f are taken, whose error bars are wider.

    Raises GradMismatch for entries that disagree, and for a matrix that is not symmetric.
    """
    __tracebackhide__ = True
    start = time.perf_counter()
    problem = Problem(f, args, wrt, rng)
    if problem.value.size != 1:
        raise TypeError(f"{problem.name}: a Hessian is of a number, not of shape {problem.shape}")
    report = GradReport(problem.name, held=["shape", "nothing mutated", "deterministic"])
    call = f"check_hessian({name_of(f)}, {name_of(hessian)}"
    option = ""
    if gradient is not None:
        first = check_jacobian(f, gradient, *args, wrt=wrt, rtol=rtol, rng=rng)
        report.elements, report.evaluations = first.elements, first.evaluations
        option = f", gradient={name_of(gradient)}"
    matrix = problem.square(hessian)
    symmetric(problem, _dense(matrix))
    report.held.append("symmetric")
    if gradient is None:
        compare_entries(problem, _dense(matrix), rtol, report, call)
    else:
        of_gradient = problem.gradient(gradient)
        compare_columns(of_gradient, matrix, "hessian", rtol, "subgradient", report, call, option)
    report.seconds = time.perf_counter() - start
    return report


class Problem:
    """A function of real arrays, and the matrix of its derivatives: (m, n).

    m: the elements of its one value; n: those of all inputs, one after the other.
    """

    def __init__(self, f: Function, args: tuple[PyTree, ...], wrt: Positions, rng: Seed) -> None:
        self.operation = Operation(f, args, wrt)
        self.name = self.operation.name
        self.base = [wide(a) for a in self.operation.inputs]
        values = self.operation.value(self.base)
        if len(values) != 1:
            raise TypeError(f"{self.name}: it is to give one array, and gives {len(values)}")
        self.value = values[0]
        self.shape = self.value.shape
        if any(a.dtype.kind == "c" for a in (self.value, *self.base)):
            raise TypeError(
                f"{self.name}: a complex function has no single Jacobian; split it into real and "
                "imaginary parts, or use check_vjp"
            )
        self.starts = np.cumsum([0, *(a.size for a in self.base)])
        self.columns = int(self.starts[-1])
        self.amplitudes = np.concatenate([amplitudes(a.reshape(-1)) for a in self.base])
        self.rng = np.random.default_rng(rng)

    def matrix(self, function: Function, what: str) -> Matrix:
        """What a hand-written function returns, (m, n); it may not change its arguments."""
        return self.as_matrix(self.returned(function, what), what)

    def returned(self, function: Function, what: str) -> PyTree:
        """What a function returns for the arguments, which it may not change."""
        inputs = [a.copy() for a in self.operation.inputs]
        arguments = self.operation.arguments(inputs)
        with_other_numbers(inputs, lambda: function(*arguments))
        witness = Witness(*arguments)
        returned = function(*arguments)
        self.operation.untouched(witness, f"the {what}")
        first = self._numbers(returned)
        again = self._numbers(function(*arguments))
        equal = zip(first, again, strict=True)
        if not all(np.array_equal(one, other, equal_nan=True) for one, other in equal):
            raise GradMismatch(f"{self.name}: the {what} of a second call is another one")
        return returned

    def _numbers(self, returned: PyTree) -> list[np.ndarray]:
        """The arrays in what a function returned, dense."""
        columns = [leaf.shape[-1] if np.ndim(leaf) else 1 for leaf in leaves([returned])]
        return [
            np.asarray(leaf @ np.eye(n) if _is_operator(leaf) else unwrap(leaf))
            for leaf, n in zip(leaves([returned]), columns, strict=True)
            if _is_operator(leaf) or not _is_sparse(leaf)
        ]

    def as_matrix(self, returned: PyTree, what: str, rows: Shape | None = None) -> Matrix:
        """The blocks of all inputs as a matrix. rows: the shape of the value."""
        rows = self.shape if rows is None else rows
        several = len(self.base) > 1
        blocks = list(returned) if several and isinstance(returned, (list, tuple)) else [returned]
        if len(blocks) != len(self.base):
            raise GradMismatch(
                f"{self.name}: the {what} is to have a block for each of {len(self.base)} "
                f"arguments: {', '.join(self.operation.names)}"
            )
        matrices = []
        for block, base in zip(blocks, self.base, strict=True):
            matrices.append(self._block(block, rows, base.shape, what))
        if len(matrices) == 1:
            return matrices[0]
        return np.hstack([_dense(m) for m in matrices])

    def _block(self, block: PyTree, rows: Shape, columns: Shape, what: str) -> Matrix:
        m, n = (int(np.prod(shape)) for shape in (rows, columns))
        if _is_operator(block):
            block = block @ np.eye(n)
        shape = np.shape(block) if not _is_sparse(block) else block.shape
        if shape not in ((*rows, *columns), (m, n)):
            matrix = f" or {(m, n)}" * ((m, n) != (*rows, *columns))
            raise GradMismatch(
                f"{self.name}: the {what} has shape {shape}; the value has {rows} and the argument "
                f"{columns}, so it is to have {(*rows, *columns)}{matrix}"
            )
        if _is_sparse(block):
            return block.tocsc()
        return np.asarray(unwrap(block)).reshape(m, n)

    def square(self, hessian: Function) -> Matrix:
        """What a Hessian returns: (n, n)."""
        returned = self.returned(hessian, "Hessian")
        if len(self.base) == 1:
            return self.as_matrix(returned, "Hessian", self.base[0].shape)
        pairs = zip(returned, self.base, strict=True)
        return np.vstack([self.as_matrix(row, "Hessian", a.shape) for row, a in pairs])

    def gradient(self, gradient: Function) -> Problem:
        """The problem whose function is a gradient, flat."""

        def flat(*arguments: PyTree) -> np.ndarray:
            found = leaves([gradient(*arguments)])
            return np.concatenate([np.asarray(unwrap(g)).reshape(-1) for g in found])

        flat.__name__ = name_of(gradient)
        return Problem(flat, self.operation.args, self.operation.wrt, self.rng)

    def line(self, direction: np.ndarray) -> TangentLine:
        """The values along a flat direction of all inputs."""
        tangents = []
        for start, base in zip(self.starts, self.base, strict=False):
            tangents.append(direction[start : start + base.size].reshape(base.shape))
        return TangentLine(self.operation, self.base, tangents)

    def near(self, *directions: np.ndarray) -> int:
        """How much smaller inputs are than their moves, squared: 2^-near (`numeric.rungs`)."""
        base = np.concatenate([a.reshape(-1) for a in self.base])
        moves = (sum(map(abs, directions)) > 0) & (base != 0)
        ratios = self.amplitudes[moves] / abs(base[moves])
        return max(0, int(np.ceil(2 * np.log2(np.max(ratios, initial=1)))))

    def place(self, column: int) -> str:
        """What a column is the derivative by: "argument 0 'x' [1]"."""
        which = int(np.searchsorted(self.starts, column, "right")) - 1
        index = np.unravel_index(column - self.starts[which], self.base[which].shape)
        return f"{self.operation.names[which]} {[int(k) for k in index]}"

    def entry(self, row: int, column: int) -> str:
        """What an entry is the derivative of, and by what."""
        index = [int(k) for k in np.unravel_index(row, self.shape)]
        return f"of value {index} by {self.place(column)}"

    def parts(self) -> list[np.ndarray]:
        """The columns one by one, or dealt into parts."""
        if self.columns <= BY_COLUMN:
            return list(np.arange(self.columns)[:, None])
        return np.array_split(self.rng.permutation(self.columns), PARTS)

    def direction(self, part: np.ndarray) -> np.ndarray:
        """A flat direction that moves some columns, by random factors if they are several."""
        found = np.zeros(self.columns)
        factors = spread(self.rng, len(part)) if len(part) > 1 else 1
        found[part] = factors * self.amplitudes[part]
        return found


def _is_sparse(block: PyTree) -> bool:
    return hasattr(block, "tocsc")


def _is_operator(block: PyTree) -> bool:
    return hasattr(block, "matmat") and hasattr(block, "rmatvec")


def _dense(matrix: Matrix) -> np.ndarray:
    return np.asarray(matrix.toarray() if _is_sparse(matrix) else matrix)


@dataclass(frozen=True)
class Wrong:
    """An entry that is wrong, with both numbers."""

    where: str
    analytic: float
    numeric: float
    error: float

    def __str__(self) -> str:
        analytic, numeric = two_numbers(self.analytic, self.numeric)
        return f"{analytic}  numeric={numeric} ±{self.error:.0e}"


def compare_columns(
    problem: Problem,
    matrix: Matrix,
    word: str,
    rtol: float | None,
    kinks: str,
    report: GradReport,
    call: str,
    option: str = "",
) -> None:
    """Each column of a matrix against differences; GradMismatch for entries that are wrong."""
    wrong: list[Wrong] = []
    numeric = np.full((problem.value.size, problem.columns), np.nan)
    elements = unresolved = columns = 0
    parts = problem.parts()
    while parts:
        part = parts.pop(0)
        direction = problem.direction(part)
        line = problem.line(direction)
        finding = judged(line, [matrix[:, part] @ direction[part]], rtol)
        report.evaluations += line.evaluations
        if finding.wrong.any() and len(part) > 1:
            parts = [*np.array_split(part, 2), *parts]
            continue
        elements += len(finding.rows)
        differ = int(np.sum(finding.analytic != finding.numeric))  # 0 and exactly 0 agree
        unresolved += min(finding.unresolved, differ)
        report.kinks += finding.kinks
        report.worst = max(report.worst, finding.worst)
        if len(part) == 1:
            size = problem.amplitudes[part[0]]
            numeric[:, part[0]] = finding.numeric / size
        for row in (row for row in finding.rows if row.wrong):
            where = problem.entry(row.element, int(part[0]))
            wrong.append(Wrong(where, row.analytic / size, row.numeric / size, row.error / size))
        columns += bool(finding.wrong.any())
        if columns >= MAX_WRONG and problem.columns > BY_COLUMN:
            break
    report.elements += elements
    report.unresolved += unresolved
    if wrong:
        raise mismatch(problem, word, wrong, pattern(_dense(matrix), numeric), call, option)
    if report.kinks and kinks == "error":
        raise GradMismatch(f"{problem.name}: {report.kinks} entries at a kink, and kinks='error'")
    if elements and unresolved > elements / 2:
        raise GradMismatch(
            f"{problem.name}: differences can't tell {unresolved} of {elements} entries; the "
            "function is too rough there"
        )


def pattern(matrix: np.ndarray, numeric: np.ndarray) -> str:
    """What is wrong with all of a matrix, "" if nothing simple is."""
    if not np.isfinite(numeric).all():
        return ""
    size = largest(numeric)
    close = lambda one: bool(np.allclose(one, numeric, rtol=1e-6, atol=1e-9 * size))
    if matrix.shape == numeric.T.shape and close(matrix.T):
        return "transposed"
    if not matrix.any():
        return "zero, the derivative is missing"
    factor = float(np.vdot(numeric, matrix) / (np.vdot(numeric, numeric) or 1))
    if factor and close(matrix / factor):
        sign = abs(factor + 1) < 1e-6
        return "of the wrong sign" if sign else f"off by the constant factor {factor:.6g}"
    return ""


def mismatch(
    problem: Problem,
    word: str,
    wrong: Sequence[Wrong],
    pattern: str,
    call: str,
    option: str = "",
) -> GradMismatch:
    """The message about entries that are wrong."""
    lines = [f"{problem.name}: {len(wrong)} entries of the {word} wrong"]
    for entry in wrong[:SHOWN]:
        lines.append(f"  {entry.where}: {word}={entry}")
    if pattern:
        lines.append(f"  pattern: {pattern}")
    arguments = ", ".join(map(literal, problem.operation.given))
    lines.append(f"  reproduce: {call}, {arguments}{option})")
    return GradMismatch("\n".join(lines))


# ---------------------------------------------------------------------------------------- patterns


def try_pattern(problem: Problem, pattern: Matrix, report: GradReport) -> None:
    """Differences of the entries that a pattern excludes, at the arguments and beside them."""
    moved = []
    for base in problem.base:
        step = MOVED * np.maximum(1, abs(base)) * problem.rng.uniform(0.5, 1, base.shape)
        moved.append(base + step)
    for inputs in (problem.base, moved):
        try:
            values = problem.operation.value(inputs)
        except Exception:  # the edge of the domain
            continue
        if all(np.isfinite(v).all() for v in values):
            _try_pattern_at(problem, inputs, pattern, report)
    report.held.append("sparsity pattern")


def _try_pattern_at(
    problem: Problem, inputs: list[np.ndarray], pattern: Matrix, report: GradReport
) -> None:
    for part in _groups(problem.columns):
        direction = problem.direction(part)
        line = TangentLine(problem.operation, inputs, problem.line(direction).tangents)
        allowed = _dense(pattern[:, part]).any(axis=1)  # (m, part) -> (m,)
        finding = judged(line, [np.where(allowed, line.slopes()["value"], 0)], None)
        wrong = finding.wrong & ~allowed
        report.evaluations += line.evaluations
        report.elements += int(np.sum(~allowed))
        if wrong.any():
            row = finding.rows[int(np.argmax(wrong))]
            where = problem.entry(row.element, int(part[0]))
            among = f", or by one of {len(part)} together," if len(part) > 1 else ""
            slope = row.numeric / abs(direction[part[0]])
            raise GradMismatch(
                f"{problem.name}: the derivative {where}{among} is {slope:+.6g}, and the pattern "
                f"has 0 there ({int(wrong.sum())} of the column)\n"
                f"  at: {', '.join(map(literal, inputs))}"
            )


def _groups(columns: int) -> Iterator[np.ndarray]:
    """The columns one by one; of many, neighbours together, and then those a stride apart."""
    every = np.arange(columns)
    if columns <= BY_COLUMN:
        yield from every[:, None]
        return
    yield from np.array_split(every, BY_COLUMN)
    yield from (every[k::BY_COLUMN] for k in range(BY_COLUMN))


# ---------------------------------------------------------------------------------------- Hessians


def symmetric(problem: Problem, matrix: np.ndarray) -> None:
    """Refuse a Hessian that is not its own transpose."""
    eps = float(np.finfo(matrix.dtype).eps) if matrix.dtype.kind == "f" else EPS
    size = np.maximum(abs(matrix), abs(matrix.T))
    apart = abs(matrix - matrix.T) > 1e-9 * size + 1e3 * eps * largest(matrix)
    if not apart.any():
        return
    j, k = (int(i) for i in np.argwhere(apart)[0])
    one, other = two_numbers(matrix[j, k], matrix[k, j])
    raise GradMismatch(
        f"{problem.name}: the Hessian is not symmetric at {int(apart.sum()) // 2} pairs: by "
        f"{problem.place(j)} and {problem.place(k)} it is {one}, in the other order {other}"
    )


def compare_entries(
    problem: Problem, matrix: np.ndarray, rtol: float | None, report: GradReport, call: str
) -> None:
    """A symmetric matrix against second differences of a number."""
    n = problem.columns
    every = np.arange(n)
    pending = [(j, every) for j in range(n)]
    if n <= BY_ENTRY:
        pending = [(j, every[k : k + 1]) for j in range(n) for k in range(j, n)]
    eps = float(np.finfo(matrix.dtype).eps) if matrix.dtype.kind == "f" else EPS
    size = abs(float(problem.value.reshape(())))
    ruler = Ruler(default_rtol(eps) if rtol is None else rtol, eps, size, 1.0)
    diagonal = np.diagonal(matrix)
    wrong: list[Wrong] = []
    unresolved = 0
    while pending and len(wrong) < MAX_WRONG:
        directions = [(problem.direction(np.array([j])), problem.direction(p)) for j, p in pending]
        along, sizes = [], []
        for row, column in directions:
            products = np.outer(row, column) * matrix
            along.append(products.sum())
            sizes.append(np.sqrt(np.sum(products * products)))
        phi = second_differences(problem, directions, report)
        near = [problem.near(*d) for d in directions]
        terms = (np.array(along), np.array(sizes), np.ones(len(along)))
        with np.errstate(all="ignore"), switched("recording", False):
            numeric = slopes(phi, len(pending), near=near)
            verdict = ruler.judge(numeric, *terms)
            for i in np.flatnonzero(verdict.wrong | verdict.unresolved)[:MAX_WRONG].tolist():
                rungs = every_rung(phi, i, EPS, near[i])
                numeric[i] = functools.reduce(better, rungs[:, None])[0]
        verdict = ruler.judge(numeric, *terms)
        remaining = []
        for i, (j, part) in enumerate(pending):
            if len(part) > 1 and verdict.wrong[i]:
                remaining += [(j, half) for half in np.array_split(part, 2)]
                continue
            report.elements += len(part)
            report.worst = max(report.worst, float(verdict.share[i]))
            row, column = directions[i]
            natural = np.sqrt(abs(row**2 @ diagonal) * abs(column**2 @ diagonal))
            rough = BARS * numeric["error"][i] > PRECISE * natural
            unresolved += int(verdict.unresolved[i] and rough) * len(part)
            if verdict.wrong[i]:
                scale = row[j] * column[part[0]]
                where = f"by {problem.place(j)} and {problem.place(int(part[0]))}"
                value, error = numeric["value"][i] / scale, numeric["error"][i] / abs(scale)
                wrong.append(Wrong(where, float(matrix[j, part[0]]), float(value), float(error)))
        pending = remaining
    report.unresolved += unresolved
    if wrong:
        raise mismatch(problem, "hessian", wrong, _common_factor(wrong), call)
    if report.elements and unresolved > report.elements / 2:
        raise GradMismatch(
            f"{problem.name}: second differences can't tell {unresolved} of {report.elements} "
            "entries; give its gradient="
        )


def second_differences(
    problem: Problem, directions: Sequence[tuple[np.ndarray, np.ndarray]], report: GradReport
) -> Phi:
    """phi(i, s), whose slope at s = 0 is a' H b for the directions i, a and b.

    With t^2 = |s| it is (f(x + ta + tb) - f(x + ta - tb) - f(x - ta + tb) + f(x - ta - tb)) / 4, an
    even function of t and so a smooth one of s; it is continued to negative s with another sign.
    """
    operation = problem.operation
    known: dict[tuple[int, float], tuple[float, float]] = {}

    def at(move: np.ndarray) -> float:
        moved = []
        for start, base in zip(problem.starts, problem.base, strict=False):
            moved.append(base + move[start : start + base.size].reshape(base.shape))
        report.evaluations += 1
        try:
            return float(operation.value(moved)[0].reshape(()))
        except Exception:  # the edge of the domain
            return np.nan

    def phi(i: int, s: float) -> tuple[float, float]:
        if (i, abs(s)) not in known:
            a, b = directions[i]
            t = np.sqrt(abs(s))
            values = [at(t * (a + b)), -at(t * (a - b)), -at(t * (b - a)), at(-t * (a + b))]
            known.clear()  # the sides of one step follow each other
            known[i, abs(s)] = sum(values) / 4, sum(map(abs, values)) / 4
        change, size = known[i, abs(s)]
        return (change if s > 0 else -change), size

    return phi


def _common_factor(wrong: Sequence[Wrong]) -> str:
    """The factor that all wrong entries have in common, "" if there is none."""
    ratios = np.array([w.analytic / w.numeric for w in wrong if w.numeric])
    if len(ratios) < 2 or np.ptp(ratios) > 1e-6 * largest(ratios):
        return ""
    return f"all off by the factor {float(ratios[0]):.6g}"
