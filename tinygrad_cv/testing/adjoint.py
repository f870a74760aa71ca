"""Linear maps and their adjoints: <A x, v> = <x, A' v>, exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ..engine.errors import name_of
from ..engine.pytrees import leaves, map_leaves
from ..tensor import unwrap
from ..typing import Operand, PyTree
from .check import GradReport
from .contract import draw_cotangents, with_other_numbers
from .dual import disagreement
from .layouts import locked, reordered
from .message import GradMismatch, literal, two_numbers
from .numeric import largest
from .operation import Function, Seed, is_array
from .witness import Witness

MATRIX = 200  # with at most so many elements, the matrices of both maps are compared

Map: TypeAlias = Callable[[np.ndarray], np.ndarray]


def check_adjoint(linear: Function, adjoint: Function, *args: PyTree, rng: Seed = 0) -> GradReport:
    """Check that adjoint(v, *args[1:]) is the adjoint of linear(x, *args[1:]), where x = args[0].

    Such pairs are the two halves of a linear operation and its gradient: pad and slice, im2col
    and col2im, a convolution and its transpose. Of complex numbers the adjoint is the conjugate
    transpose. The test is exact up to rounding and needs no differences. Raises GradMismatch if
    one of the two is not linear, if the second is not the adjoint of the first, or if one of them
    changes its arguments.
    """
    start = time.perf_counter()
    generator = np.random.default_rng(rng)
    name = f"{name_of(linear)} and {name_of(adjoint)}"
    args = tuple(map_leaves(lambda a: a.copy() if type(a) is np.ndarray else a, list(args)))
    forward = _map(linear, args[1:], f"{name}: the first")
    backward = _map(adjoint, args[1:], f"{name}: the second")
    draw_like = lambda array: draw_cotangents([array], generator)[0]

    x = _plain(args[0])
    rest = [a for a in leaves(list(args[1:])) if is_array(a) and isinstance(a, np.ndarray)]
    with_other_numbers(rest, lambda: backward(forward(x)))
    z = draw_like(x)
    y = forward(x)
    v = draw_like(y)
    pulled = backward(v)
    if pulled.shape != x.shape:
        raise GradMismatch(
            f"{name}: the adjoint gives shape {pulled.shape} for an input of shape {x.shape}"
        )
    eps = float(np.finfo(np.result_type(x, y)).eps)
    if pulled.dtype.kind not in "fc" or np.finfo(pulled.dtype).eps > np.finfo(x.dtype).eps:
        raise GradMismatch(f"{name}: the adjoint gives {pulled.dtype} for an input of {x.dtype}")
    of_z = forward(z)
    scale = largest(y) + largest(of_z)
    difference = abs(forward(2 * x - 3 * z) - (2 * y - 3 * of_z))
    if np.any(difference > 100 * eps * scale * (1 + x.size)):
        raise GradMismatch(f"{name}: the first is not linear in its first argument")
    _homogeneous(forward, z, f"{name}: the first")

    found = disagreement(lambda a: [forward(*a)], lambda a: [backward(*a)], [x], generator)
    if found is not None:
        one, two = two_numbers(found.left, found.right)
        entries = _wrong_entries(forward, backward, x, y, eps)
        raise GradMismatch(
            f"{name}: <A x, v> = {one}, <x, A' v> = {two}{entries}\n"
            f"  x = {literal(*found.x)}\n  v = {literal(*found.v)}"
        )
    _homogeneous(backward, v, f"{name}: the second")
    return GradReport(
        name,
        x.size,
        held=["shape", "dtype", "nothing mutated", "linear", "adjoint"],
        evaluations=19,
        seconds=time.perf_counter() - start,
    )


def _map(function: Function, rest: tuple[PyTree, ...], which: str) -> Map:
    """A function of its first argument alone, from array to array, that changes no argument."""

    def call(array: np.ndarray) -> np.ndarray:
        witness = Witness(array, *rest)
        found = np.array(_plain(function(array, *rest)))
        change = witness.change()
        if change is not None:
            raise GradMismatch(f"{which} changed argument {change.tree}{change.what}")
        return found

    return call


def _homogeneous(function: Map, a: np.ndarray, which: str) -> None:
    """A linear map of large and of small numbers: k times what it is of others, a power of 2.

    Of zeros it is zero, and how the numbers lie in memory does not matter.
    """
    once = function(a)
    eps = float(np.finfo(once.dtype).eps)
    power = 20 if eps < 1e-10 else 8
    with np.errstate(all="ignore"):
        if np.any(function(np.zeros_like(a)) != 0):
            raise GradMismatch(f"{which} is not linear: A(0) is not 0")
    if np.any(abs(function(locked(reordered)(a)) - once) > 1e3 * eps * largest(once)):
        raise GradMismatch(f"{which} is wrong for an array that runs backwards in memory")
    for k in (2.0**power, 2.0**-power):
        with np.errstate(all="ignore"):
            scaled = function(np.asarray(a * k, a.dtype)) / k
        difference = abs(scaled - once)
        if np.any(difference > 1e4 * eps * abs(once) + 100 * eps * largest(once)):
            raise GradMismatch(f"{which} is not linear: A({k:.6g} x) / {k:.6g} is not A(x)")


def _plain(value: Operand) -> np.ndarray:
    return np.asarray(unwrap(value))


def _wrong_entries(forward: Map, backward: Map, x: np.ndarray, y: np.ndarray, eps: float) -> str:
    """Where the matrices of the two maps differ, in some lines."""
    if x.size > MATRIX or y.size > MATRIX:
        return ""
    columns = [forward(e.reshape(x.shape)).reshape(-1) for e in np.eye(x.size, dtype=x.dtype)]
    rows = [backward(e.reshape(y.shape)).reshape(-1) for e in np.eye(y.size, dtype=y.dtype)]
    matrix = np.stack(columns, 1)  # (y.size, x.size)
    transposed = np.conj(np.stack(rows))  # (y.size, x.size)
    difference = abs(matrix - transposed)
    of_rows = np.max(abs(matrix), axis=1, keepdims=True, initial=0)
    of_columns = np.max(abs(matrix), axis=0, keepdims=True, initial=0)
    wrong = np.argwhere(difference > 1e3 * eps * np.maximum(of_rows, of_columns))
    lines = [f"\n  {len(wrong)} of {matrix.size} entries differ"]
    for i, j in wrong[:3].tolist():
        output_index = [int(k) for k in np.unravel_index(i, y.shape)]
        input_index = [int(k) for k in np.unravel_index(j, x.shape)]
        lines.append(
            f"\n  from input {input_index} to output {output_index}: "
            f"A has {matrix[i, j]:.6g}, the adjoint {transposed[i, j]:.6g}"
        )
    return "".join(lines)
