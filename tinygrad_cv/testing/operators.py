"""Linear operators as SciPy has them: products that agree, linearity, and the adjoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ..typing import Shape
from .check import GradReport
from .message import GradMismatch, literal, two_numbers
from .numeric import largest
from .operation import Seed
from .witness import Witness

Product: TypeAlias = Callable[[np.ndarray], np.ndarray]

MATRIX = 200  # of at most so many rows and columns, all entries of the adjoint are compared
VECTORS = 5  # so many random vectors otherwise
BLOCK = 3  # columns of the matrices that are multiplied


def check_linear_operator(op: Any, rng: Seed = 0) -> GradReport:
    """Check a scipy.sparse.linalg.LinearOperator A, or what has its methods.

    Checked: matvec of vectors and of columns, matmat, rmatvec and rmatmat agree with each other,
    have A's shape and dtype, give the same twice and leave their arguments alone; A is linear, also
    with complex factors if A is complex; <v, A x> = <A^H v, x>, where the first factor is
    conjugated; A.H is that adjoint. An operator without rmatvec has no adjoint to check, and the
    report does not list it.

    Raises GradMismatch for the first that does not hold, up to rounding.
    """
    __tracebackhide__ = True
    start = time.perf_counter()
    checked = Operator(op, rng)
    report = GradReport(checked.name)
    checked.products("matvec", "matmat", checked.rows, checked.columns)
    report.held += ["shape", "dtype", "nothing mutated", "deterministic", "matmat"]
    checked.linear("matvec", checked.columns)
    report.held.append("linear")
    if checked.has_adjoint:
        checked.products("rmatvec", "rmatmat", checked.columns, checked.rows)
        checked.linear("rmatvec", checked.rows)
        checked.adjoint()
        report.held += ["adjoint", "rmatmat"]
    if checked.has_adjoint and hasattr(op, "H"):
        checked.same_adjoint()
        report.held.append("A.H")
    report.elements = checked.rows * checked.columns
    report.worst = checked.worst
    report.evaluations = checked.calls
    report.seconds = time.perf_counter() - start
    return report


class Operator:
    """An operator under test."""

    def __init__(self, op: Any, rng: Seed) -> None:
        self.op = op
        self.name = type(op).__name__.strip("_")
        self.rows, self.columns = (int(n) for n in op.shape)
        self.dtype = np.dtype(op.dtype if op.dtype is not None else float)
        if self.dtype.kind not in "fc":
            raise TypeError(f"{self.name}: its dtype is {self.dtype}; give it a floating-point one")
        self.eps = float(np.finfo(self.dtype).eps)
        self.rng = np.random.default_rng(rng)
        self.calls = 0
        self.worst = 0.0
        try:
            self.op.rmatvec(np.zeros(self.rows, self.dtype))
            self.has_adjoint = True
        except NotImplementedError:
            self.has_adjoint = False

    def draw(self, *shape: int) -> np.ndarray:
        """Random numbers of the operator's dtype."""
        drawn = self.rng.normal(size=shape)
        if self.dtype.kind == "c":
            drawn = drawn + 1j * self.rng.normal(size=shape)
        return drawn.astype(self.dtype)

    def call(self, method: str, x: np.ndarray, shape: Shape) -> np.ndarray:
        """A product, which has a shape and the operator's dtype, and leaves x alone."""
        witness = Witness(x)
        found = getattr(self.op, method)(x)
        self.calls += 1
        change = witness.change()
        if change is not None:
            raise GradMismatch(f"{self.name}: {method} changed its argument{change.what}")
        if np.shape(found) != shape:
            raise GradMismatch(
                f"{self.name}: {method} of shape {x.shape} gives shape {np.shape(found)}, "
                f"not {shape}"
            )
        if np.asarray(found).dtype != self.dtype:
            raise GradMismatch(
                f"{self.name}: {method} gives {np.asarray(found).dtype}, A.dtype is {self.dtype}"
            )
        return np.array(found)

    def agree(
        self, what: str, one: np.ndarray, other: np.ndarray, size: np.ndarray | None = None
    ) -> None:
        """Refuse two arrays that differ by more than rounding; size: of each element's terms."""
        size = abs(one) + abs(other) if size is None else size
        difference = abs(one - other)
        wrong = ~(difference <= 1e3 * self.eps * size)
        wrong &= ~(difference <= 64 * self.eps * largest(size))  # as of an FFT
        if not wrong.any():
            return
        where = tuple(int(k) for k in np.argwhere(wrong)[0])
        left, right = one[where], other[where]
        numbers = f"{left:.10g} and {right:.10g}"
        if self.dtype.kind == "f":
            numbers = " and ".join(two_numbers(float(left), float(right)))
        raise GradMismatch(
            f"{self.name}: {what}: at {list(where)} {numbers} "
            f"({int(wrong.sum())} of {wrong.size} elements){self.pattern(one, other)}"
        )

    def pattern(self, one: np.ndarray, other: np.ndarray) -> str:
        """What the second is of the first, in a line of its own; "" if it is nothing simple."""
        same = lambda a: bool(np.allclose(a, other, rtol=1e3 * self.eps))
        if self.dtype.kind == "c" and same(one.conj()):
            return "\n  pattern: the conjugate is missing: the transpose in place of the adjoint"
        if same(-one):
            return "\n  pattern: of the wrong sign"
        if not other.any():
            return "\n  pattern: zero"
        return ""

    def products(self, vector: str, block: str, rows: int, columns: int) -> None:
        """The product with a matrix is that with its columns, as vectors and as (n, 1)."""
        x = self.draw(columns, BLOCK)
        each = []
        for k in range(BLOCK):
            y = self.call(vector, x[:, k].copy(), (rows,))
            again = self.call(vector, x[:, k].copy(), (rows,))
            if not np.array_equal(y, again):
                raise GradMismatch(
                    f"{self.name}: not deterministic, {vector} gives another product"
                )
            column = self.call(vector, x[:, k : k + 1].copy(), (rows, 1))
            self.agree(f"{vector} of (n,) and of (n, 1)", y, column[:, 0])
            each.append(y)
        together = self.call(block, x, (rows, BLOCK))
        self.agree(f"{vector} of the columns and {block}", np.stack(each, 1), together)

    def linear(self, vector: str, columns: int) -> None:
        """A (a x + z) = a A x + A z, also for a very large and a very small."""
        rows = self.rows + self.columns - columns
        x, z = self.draw(columns), self.draw(columns)
        of_x = self.call(vector, x, (rows,))
        of_z = self.call(vector, z, (rows,))
        factors = [-2.5, 2.0**20, 2.0**-20]
        if self.dtype.kind == "c":
            factors.append(1j)  # type: ignore[arg-type]
        for a in factors:
            both = self.call(vector, (a * x + z).astype(self.dtype), (rows,))
            size = abs(a) * abs(of_x) + abs(of_z)
            expected = a * of_x + of_z
            self.agree(f"{vector} is not linear, {vector}({a} x + z)", expected, both, size)

    def adjoint(self) -> None:
        """<v, A x> = <A^H v, x>; of a small operator, entry by entry."""
        if max(self.rows, self.columns) <= MATRIX:
            matrix = self.call("matmat", np.eye(self.columns, dtype=self.dtype), self.op.shape)
            reversed_shape = (self.columns, self.rows)
            adjoint = self.call("rmatmat", np.eye(self.rows, dtype=self.dtype), reversed_shape)
            self.agree("the adjoint of A and rmatvec", matrix.conj().T, adjoint)
        for _ in range(VECTORS):
            x, v = self.draw(self.columns), self.draw(self.rows)
            y = self.call("matvec", x, (self.rows,))
            pulled = self.call("rmatvec", v, (self.columns,))
            left, right = np.vdot(v, y), np.vdot(pulled, x)
            size = float(np.sum(abs(v * y)) + np.sum(abs(pulled * x)))
            share = abs(left - right) / (1e3 * self.eps * size or 1)
            self.worst = max(self.worst, float(share))
            if not share <= 1:
                raise GradMismatch(
                    f"{self.name}: <v, A x> = {left:.10g}, <A^H v, x> = {right:.10g}\n"
                    f"  x = {literal(x)}\n  v = {literal(v)}"
                )

    def same_adjoint(self) -> None:
        """A.H is an operator with the product rmatvec."""
        other = self.op.H
        if tuple(other.shape) != (self.columns, self.rows):
            raise GradMismatch(f"{self.name}: A.H has shape {other.shape}, A {self.op.shape}")
        v, x = self.draw(self.rows), self.draw(self.columns)
        self.agree("rmatvec and A.H", self.call("rmatvec", v, (self.columns,)), other.matvec(v))
        self.agree("matvec and A.H.H", self.call("matvec", x, (self.rows,)), other.rmatvec(x))
