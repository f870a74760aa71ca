"""Backward passes that would be right with one array in the place of another: a for its transpose.

Most mistakes of place are of this sort: `b` for `b.T`, `x` for `y`, one argument for the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..engine.operands import DIFFERENTIABLE
from ..engine.pytrees import leaves, rebuild
from ..typing import PyTree

if TYPE_CHECKING:
    from .operation import Operation

LARGEST = 400  # elements of an array that is replaced
MOST = 8  # arrays among which replacements are tried


def repaired(operation: Operation, cotangent: np.ndarray) -> Iterator[tuple[str, list[np.ndarray]]]:
    """What was exchanged, and the gradients of the backward pass once it is put right.

    Nothing for a function of tensors, or of several values.
    """
    if operation.backward is None:
        return
    y = operation.call([a.copy() for a in operation.inputs])
    real = isinstance(y, np.ndarray) and y.shape == cotangent.shape and y.dtype.kind == "f"
    if not real or any(a.dtype.kind == "c" for a in operation.inputs):
        return
    given = operation.arguments(operation.inputs)
    where = [k for k, leaf in enumerate(leaves([y, *given])) if is_replaceable(leaf)]
    if len(where) > MOST:
        return
    for text, replaced in replacements(operation, leaves([y, *given]), where):
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in replaced]
        value, *arguments = rebuild([y, *given], iter(copies))
        try:
            with np.errstate(all="ignore"):
                returned = operation.backward(cotangent.copy(), value, *arguments)
                gradients = operation.gradients(returned, tuple(arguments))
                arrays = [np.asarray(g, float) for g in gradients]
        except Exception:  # it does not take such arrays
            continue
        yield text, arrays


def is_replaceable(leaf: object) -> bool:
    """Whether this is a floating-point array that is worth a try."""
    array = isinstance(leaf, np.ndarray) and leaf.dtype.kind in DIFFERENTIABLE
    return array and 1 < np.size(leaf) <= LARGEST  # type: ignore[arg-type]


def replacements(
    operation: Operation, before: list[PyTree], where: list[int]
) -> Iterator[tuple[str, list[PyTree]]]:
    """What was exchanged, and all arrays with that put right: y first, then the arguments'."""
    names = {0: "y"}
    for position, argument in enumerate(operation.args):
        nested = isinstance(argument, (list, tuple, dict))
        for k in range(len(leaves(argument))):
            name = operation.parameters[position]
            names[len(names)] = f"{name} item {k}" if nested else name
    for k in where:
        array, name = before[k], names[k]
        if array.ndim == 2 and array.shape[0] == array.shape[1]:
            yield f"{name} in place of its transpose", with_leaf(before, k, array.T)
        elif array.ndim > 2 and array.shape[-1] == array.shape[-2]:
            turned = np.swapaxes(array, -1, -2)
            yield f"{name} in place of its transpose", with_leaf(before, k, turned)
        yield f"{name} in place of {name} reversed", with_leaf(before, k, np.flip(array))
        for other in where:
            if other != k and before[other].shape == array.shape:
                text = f"{name} in place of {names[other]}"
                yield text, with_leaf(before, k, before[other])
    for i, k in enumerate(where):
        for other in where[i + 1 :]:
            if before[k].shape == before[other].shape:
                exchanged = with_leaf(with_leaf(before, k, before[other]), other, before[k])
                yield f"{names[k]} and {names[other]} are exchanged", exchanged


def with_leaf(before: list[PyTree], k: int, leaf: PyTree) -> list[PyTree]:
    """A list with another element k."""
    return [*before[:k], leaf, *before[k + 1 :]]
