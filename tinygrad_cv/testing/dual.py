"""Whether two linear maps are each other's adjoints: <A x, v> = <x, A' v>, up to rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from .contract import draw_cotangents

Arrays: TypeAlias = list[np.ndarray]
LinearMap: TypeAlias = Callable[[Arrays], Arrays]
Explained: TypeAlias = Callable[[Arrays, Arrays], float]
ROUNDS = 3


class Disagreement(NamedTuple):
    """Two products that should be one."""

    left: float  # <A x, v>
    right: float  # <x, A' v>
    x: Arrays
    v: Arrays
    y: Arrays  # A x


def disagreement(
    forward: LinearMap,
    adjoint: LinearMap,
    x: Arrays,
    rng: np.random.Generator,
    tolerance: float = 1e3,
    explained: Explained | None = None,
) -> Disagreement | None:
    """A pair of vectors for which the two products differ by more than rounding, if there is one.

    x: the first vector that is tried. Others are random, with real products also of complex
    numbers. For entries of unlike sizes, vectors follow whose every term is about 1: v is divided
    by the size of A x, then x by the size of A' v. tolerance: in units of rounding.
    explained(x, v): what the condition of A explains besides.
    """
    sizes_of_y = [np.zeros(0)]
    for k in range(ROUNDS):
        if k:
            x = draw_cotangents(x, rng)
        y = forward(x)
        v = draw_cotangents(y, rng)
        found = _compare(x, y, v, adjoint(v), tolerance, explained)
        if found is not None:
            return found
        sizes_of_y = _larger(y, sizes_of_y) if k else [abs(a) for a in y]

    # The sizes are the largest of some draws, in which terms may cancel.
    vs = [_divided(draw_cotangents(y, rng), sizes_of_y) for _ in range(ROUNDS)]
    pulled = [adjoint(v) for v in vs]
    sizes_of_x = [abs(a) for a in pulled[0]]
    for p in pulled[1:]:
        sizes_of_x = _larger(p, sizes_of_x)
    for v, p in zip(vs, pulled, strict=True):
        x = _divided(draw_cotangents(x, rng), sizes_of_x)
        found = _compare(x, forward(x), v, p, tolerance, explained)
        if found is not None:
            return found
    return None


def _compare(
    x: Arrays,
    y: Arrays,
    v: Arrays,
    pulled: Arrays,
    tolerance: float,
    explained: Explained | None,
) -> Disagreement | None:
    left, of_left = product(y, v)
    right, of_right = product(x, pulled)
    eps = max(float(np.finfo(a.dtype).eps) for a in (*x, *y))
    difference = abs(left - right)
    if difference <= tolerance * eps * (of_left + of_right):
        return None
    if explained is not None and difference <= explained(x, v):
        return None
    return Disagreement(left, right, x, v, y)


def product(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> tuple[float, float]:
    """The real inner product, and the sum of the sizes of its terms."""
    total = size = 0.0
    for one, other in zip(a, b, strict=True):
        terms = np.real(np.conj(one) * other)
        total += float(np.sum(terms))
        size += float(np.sum(abs(terms)))
    return total, size


def _larger(a: Arrays, sizes: Arrays) -> Arrays:
    return [np.maximum(abs(one), size) for one, size in zip(a, sizes, strict=True)]


def _divided(a: Arrays, sizes: Arrays) -> Arrays:
    """Arrays divided by the power of 2 next to the size of each element; 0 counts as 1."""
    found = []
    for one, size in zip(a, sizes, strict=True):
        _, exponents = np.frexp(np.where((size > 0) & np.isfinite(size), size, 0.5))
        limit = 100 if one.dtype.itemsize > 8 or one.dtype == np.float64 else 20
        scale = np.ldexp(1.0, -np.clip(exponents, -limit, limit))
        found.append((one * scale).astype(one.dtype))
    return found
