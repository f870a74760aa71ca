"""Which nodes contribute to a gradient, and how it adds up from the contributions of the operations that used its value."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import heappush
from operator import attrgetter, getitem
from typing import Any

import numpy as np

from . import errors
from .mode import MODE


class Pick:
    """The operation that takes one value out of an operation with several."""

    function, saves = getitem, ("which",)

    @staticmethod
    def pull(node: Any, gradient: Any, wanted: Any, graph: bool) -> list[tuple[Any, Any]]:
        return [(parent, (node.values[0], gradient)) for parent in node.inputs()]


def leading_to(targets: Collection[Any], roots: Iterable[Any]) -> set[Any]:
    """The nodes between the roots and the targets: gradients that lead to no target are not computed."""
    oldest = min(target.order for target in targets)
    seen = set(roots)
    stack = list(seen)
    while stack:
        node = stack.pop()
        if node.operation is not None and node not in targets:
            if node.parents is None:
                raise errors.freed(node)
            new = [p for p in node.inputs() if p not in seen and p.order >= oldest]
            seen.update(new)
            stack += new
    wanted = set(targets)
    for node in sorted(seen.difference(targets), key=attrgetter("order")):
        if node.operation is not None and any(parent in wanted for parent in node.inputs()):
            wanted.add(node)
    return wanted


def accumulate(
    gradients: Any, sums: set[Any], heap: list[tuple[int, Any]], node: Any, gradient: Any
) -> None:
    """Add to a node's gradient. The first is kept as it is and never written to: it may be someone else's array."""
    if node not in gradients:
        if node.operation is not None:
            heappush(heap, (-node.order, node))
        if type(gradient) is not tuple:
            gradients[node] = gradient
            return
        gradients[node] = [None] * len(node.shape)
    if type(gradient) is tuple:  # for one of several values: (which one, gradient)
        parts, (i, gradient) = gradients[node], gradient
        parts[i] = gradient if parts[i] is None else parts[i] + gradient
    elif type(gradient) is type(gradients[node]) is np.ndarray and (
        node in sums or in_place(node, gradients[node])
    ):
        np.add(gradients[node], gradient, out=gradients[node])
    else:
        gradients[node] = gradients[node] + gradient
        if type(gradients[node]) is np.ndarray:
            sums.add(node)


def place_for(node: Any) -> Any:
    """Where a kernel may write the gradient of a leaf, the first that this walk brings there; None for anywhere."""
    tensor = node.tensor and node.tensor()
    if (
        tensor is None
        or tensor._home is None
        or tensor._grad is not None
        or node.operation is not None
    ):
        return None
    return tensor._home.claim()


def in_place(node: Any, gradient: Any) -> bool:
    """Whether a gradient was written into such a place."""
    tensor = node.tensor and node.tensor()
    return tensor is not None and tensor._home is not None and tensor._home.claimed is gradient


def conform(gradient: Any, parent: Any, node: Any) -> Any:
    """A contribution in the shape and dtype of its tensor: summed over broadcast axes, cast."""
    if type(gradient) is tuple:
        return gradient
    if MODE.anomaly and node.operation is not None:
        errors.check_finite(
            node.operation.function,
            [getattr(gradient, "_data", gradient)],
            [],
            node.line,
            "the gradient of ",
        )
    if (
        type(gradient) is np.ndarray
        and gradient.shape == parent.shape
        and gradient.dtype == parent.dtype
    ):
        return gradient
    gradient = gradient if hasattr(gradient, "dtype") else np.asarray(gradient, parent.dtype)
    if gradient.shape != parent.shape:
        extra = gradient.ndim - len(parent.shape)
        axes = [
            i for i, n in enumerate(gradient.shape) if i < extra or n != parent.shape[i - extra]
        ]
        if extra < 0 or any(parent.shape[i - extra] != 1 for i in axes if i >= extra):
            raise errors.wrong_shape(node, gradient.shape, parent.shape)
        gradient = np.sum(gradient, axis=tuple(axes)).reshape(parent.shape)
    return gradient if gradient.dtype == parent.dtype else gradient.astype(parent.dtype)
