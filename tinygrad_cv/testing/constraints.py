"""Sets that arguments stay in: a check moves along them, by a projection of any array."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from .operation import Operation

Projection: TypeAlias = Callable[[np.ndarray], np.ndarray]
Project: TypeAlias = "str | Projection | Mapping[int, str | Projection] | None"


def symmetric(a: np.ndarray) -> np.ndarray:
    """The symmetric part of matrices (..., n, n), Hermitian if they are complex."""
    mirrored: np.ndarray = (a + np.conj(np.matrix_transpose(a))) / 2
    return mirrored


def lower_triangular(a: np.ndarray) -> np.ndarray:
    """Matrices (..., n, n) without what is above the diagonal."""
    return np.tril(a)


def simplex(p: np.ndarray) -> np.ndarray:
    """Numbers divided by their sum along the last axis: probabilities."""
    shares: np.ndarray = p / np.sum(p, axis=-1, keepdims=True)
    return shares


def sphere(x: np.ndarray) -> np.ndarray:
    """Vectors (..., n) divided by their length."""
    unit: np.ndarray = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return unit


def rotation(a: np.ndarray) -> np.ndarray:
    """The orthogonal factor of matrices (..., n, n): the nearest orthogonal ones."""
    u, _, vh = np.linalg.svd(a)
    nearest: np.ndarray = u @ vh
    return nearest


PROJECTIONS: dict[str, Projection] = {
    "symmetric": symmetric,
    "lower_triangular": lower_triangular,
    "simplex": simplex,
    "sphere": sphere,
    "rotation": rotation,
}


def projections(operation: Operation, project: Project) -> Sequence[Projection] | None:
    """The projection of each input of an operation; None if there is none.

    One for all inputs, or a dict from the positions of arguments. Raises ValueError for a name that
    does not exist, or an input that is not in its set.
    """
    if project is None:
        return None
    by_position = project if isinstance(project, Mapping) else {}
    found = []
    for array, (position, _), name in zip(
        operation.inputs, operation.origins, operation.names, strict=True
    ):
        own = by_position.get(position) if isinstance(project, Mapping) else project
        own = _named(own)
        if not np.allclose(own(array), array, rtol=1e-6, atol=1e-12):
            raise ValueError(
                f"{operation.name}: {name} is not in the set of project= to begin with; give an "
                "argument that its projection leaves as it is"
            )
        found.append(own)
    return found


def _named(project: str | Projection | None) -> Projection:
    if project is None:
        return np.array
    if not isinstance(project, str):
        return project
    if project not in PROJECTIONS:
        known = ", ".join(map(repr, PROJECTIONS))
        raise ValueError(f"project is a function or one of {known}, not {project!r}")
    return PROJECTIONS[project]
