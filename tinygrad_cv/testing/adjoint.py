"""Linear maps and their adjoints: <A x, v> = <x, A' v>, exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.errors import name_of
from ..tensor import unwrap
from .check import GradReport
from .contract import draw_cotangents
from .message import GradMismatch, literal, two_numbers
from .numeric import Array

EVERY = 200  # up to so many elements the guilty ones are named


def check_adjoint(
    linear: Callable[..., Any], adjoint: Callable[..., Any], *args: Any, rng: Any = 0
) -> GradReport:
    """Check that adjoint(v, *args[1:]) is the adjoint of linear(x, *args[1:]), which is linear in x = args[0].

    Such pairs are the two halves of a linear operation and its gradient: pad and slice, im2col and col2im, a
    convolution and its transpose. The test is exact up to rounding and needs no differences.
    """
    start = time.perf_counter()
    generator = np.random.default_rng(rng)
    rest, name = args[1:], f"{name_of(linear)} and {name_of(adjoint)}"
    forward: Callable[[Array], Array] = lambda x: np.asarray(unwrap(linear(x, *rest)))
    backward: Callable[[Array], Array] = lambda v: np.asarray(unwrap(adjoint(v, *rest)))
    x = np.asarray(unwrap(args[0]))
    (z,) = draw_cotangents([x], generator)
    y = forward(x)
    (v,) = draw_cotangents([y], generator)
    pulled = backward(v)
    if pulled.shape != x.shape:
        raise GradMismatch(
            f"{name}: the adjoint gives shape {pulled.shape} for an input of shape {x.shape}"
        )
    scale = float(np.max(np.abs(y), initial=0) + np.max(np.abs(forward(z)), initial=0))
    eps = float(np.finfo(np.result_type(x, y)).eps)
    if np.any(
        np.abs(forward(2 * x - 3 * z) - (2 * y - 3 * forward(z))) > 100 * eps * scale * (1 + x.size)
    ):
        raise GradMismatch(f"{name}: the first is not linear in its first argument")
    for _ in range(5):
        left, right = float(np.sum(y * v)), float(np.sum(x * pulled))
        size = float(np.sum(np.abs(y * v)) + np.sum(np.abs(x * pulled)))
        if not abs(left - right) <= 1e3 * eps * size:
            one, two = two_numbers(left, right)
            raise GradMismatch(
                f"{name}: <A x, v> = {one}, <x, A' v> = {two}{_guilty(forward, backward, x, y, eps)}\n"
                f"  x = {literal(x)}\n  v = {literal(v)}"
            )
        (x,), (v,) = draw_cotangents([x], generator), draw_cotangents([y], generator)
        y, pulled = forward(x), backward(v)
    return GradReport(
        name,
        x.size,
        held=["shape", "linear", "adjoint"],
        evaluations=9,
        seconds=time.perf_counter() - start,
    )


def _guilty(forward: Any, backward: Any, x: Array, y: Array, eps: float) -> str:
    """The places where the matrices of the two maps differ."""
    if x.size > EVERY or y.size > EVERY:
        return ""
    columns = [forward(e.reshape(x.shape)).reshape(-1) for e in np.eye(x.size, dtype=x.dtype)]
    rows = [backward(e.reshape(y.shape)).reshape(-1) for e in np.eye(y.size, dtype=y.dtype)]
    one, two = np.stack(columns, 1), np.stack(rows)  # (y.size, x.size)
    wrong = np.argwhere(np.abs(one - two) > 1e3 * eps * np.max(np.abs(one)))
    lines = []
    for i, j in wrong[:3]:
        out = [int(k) for k in np.unravel_index(int(i), y.shape)]
        into = [int(k) for k in np.unravel_index(int(j), x.shape)]
        lines.append(
            f"\n  from input {into} to output {out}: A has {one[i, j]:.6g}, the adjoint {two[i, j]:.6g}"
        )
    return f"\n  {len(wrong)} of {one.size} entries differ" + "".join(lines)
