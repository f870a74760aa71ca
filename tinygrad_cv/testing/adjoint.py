"""Linear maps and their adjoints: <A x, v> = <x, A' v>, exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ..engine.errors import name_of
from ..tensor import unwrap
from ..typing import Operand, PyTree
from .check import GradReport
from .contract import draw_cotangents
from .message import GradMismatch, literal, two_numbers
from .numeric import largest
from .operation import Function, Seed

MATRIX = 200  # with at most so many elements, the matrices of both maps are compared
ROUNDS = 5

Map: TypeAlias = Callable[[np.ndarray], np.ndarray]


def check_adjoint(linear: Function, adjoint: Function, *args: PyTree, rng: Seed = 0) -> GradReport:
    """Check that adjoint(v, *args[1:]) is the adjoint of linear(x, *args[1:]), where x = args[0].

    Such pairs are the two halves of a linear operation and its gradient: pad and slice, im2col
    and col2im, a convolution and its transpose. The test is exact up to rounding and needs no
    differences. Raises GradMismatch if the first is not linear in x, or the second not its
    adjoint.
    """
    start = time.perf_counter()
    generator = np.random.default_rng(rng)
    name = f"{name_of(linear)} and {name_of(adjoint)}"
    forward = _map(linear, args[1:])
    backward = _map(adjoint, args[1:])
    draw_like = lambda array: draw_cotangents([array], generator)[0]

    x = _plain(args[0])
    z = draw_like(x)
    y = forward(x)
    v = draw_like(y)
    pulled = backward(v)
    if pulled.shape != x.shape:
        raise GradMismatch(
            f"{name}: the adjoint gives shape {pulled.shape} for an input of shape {x.shape}"
        )
    eps = float(np.finfo(np.result_type(x, y)).eps)
    of_z = forward(z)
    scale = largest(y) + largest(of_z)
    difference = abs(forward(2 * x - 3 * z) - (2 * y - 3 * of_z))
    if np.any(difference > 100 * eps * scale * (1 + x.size)):
        raise GradMismatch(f"{name}: the first is not linear in its first argument")

    for _ in range(ROUNDS):
        left = float(np.sum(y * v))
        right = float(np.sum(x * pulled))
        size = float(np.sum(abs(y * v)) + np.sum(abs(x * pulled)))
        if not abs(left - right) <= 1e3 * eps * size:
            one, two = two_numbers(left, right)
            entries = _wrong_entries(forward, backward, x, y, eps)
            raise GradMismatch(
                f"{name}: <A x, v> = {one}, <x, A' v> = {two}{entries}\n"
                f"  x = {literal(x)}\n  v = {literal(v)}"
            )
        x = draw_like(x)
        v = draw_like(y)
        y = forward(x)
        pulled = backward(v)
    return GradReport(
        name,
        x.size,
        held=["shape", "linear", "adjoint"],
        evaluations=9,
        seconds=time.perf_counter() - start,
    )


def _map(function: Function, rest: tuple[PyTree, ...]) -> Map:
    """A function of its first argument alone, from array to array."""
    return lambda array: _plain(function(array, *rest))


def _plain(value: Operand) -> np.ndarray:
    return np.asarray(unwrap(value))


def _wrong_entries(forward: Map, backward: Map, x: np.ndarray, y: np.ndarray, eps: float) -> str:
    """Where the matrices of the two maps differ, in some lines."""
    if x.size > MATRIX or y.size > MATRIX:
        return ""
    columns = [forward(e.reshape(x.shape)).reshape(-1) for e in np.eye(x.size, dtype=x.dtype)]
    rows = [backward(e.reshape(y.shape)).reshape(-1) for e in np.eye(y.size, dtype=y.dtype)]
    matrix = np.stack(columns, 1)  # (y.size, x.size)
    transposed = np.stack(rows)  # (y.size, x.size)
    difference = abs(matrix - transposed)
    wrong = np.argwhere(difference > 1e3 * eps * np.max(abs(matrix)))
    lines = [f"\n  {len(wrong)} of {matrix.size} entries differ"]
    for i, j in wrong[:3].tolist():
        output_index = [int(k) for k in np.unravel_index(i, y.shape)]
        input_index = [int(k) for k in np.unravel_index(j, x.shape)]
        lines.append(
            f"\n  from input {input_index} to output {output_index}: "
            f"A has {matrix[i, j]:.6g}, the adjoint {transposed[i, j]:.6g}"
        )
    return "".join(lines)
