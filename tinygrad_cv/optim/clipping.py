"""Gradient clipping: limits on the gradients, between `backward` and the optimiser's step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ..engine.observers import Edit, observers
from ..tensor import Tensor, unwrap


def clip_grad_norm_(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients by one factor, to a Euclidean norm of at most `max_norm`.

    The norm is that of all gradients together (Pascanu et al. 2013, algorithm 1). Returns the norm
    before clipping. If it is not finite, the gradients stay as they are.
    """
    _check_limit("max_norm", max_norm)
    owners = [p for p in parameters if p.grad is not None]
    gradients = [unwrap(p.grad) for p in owners]
    for observer in observers():
        observer.edit(Edit(clipped_norm, owners, max_norm))
    norm = norm_of(gradients)
    if max_norm < norm < math.inf:
        for parameter in owners:
            g = parameter.grad
            in_place = type(g) is np.ndarray and g.flags.writeable
            parameter.grad = np.multiply(g, max_norm / norm, out=g if in_place else None)
    return norm


def clip_grad_value_(parameters: Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of the gradients to [-clip_value, clip_value]."""
    _check_limit("clip_value", clip_value)
    owners = [p for p in parameters if p.grad is not None]
    for observer in observers():
        observer.edit(Edit(clipped_value, owners, clip_value))
    for parameter in owners:
        parameter.grad = np.clip(unwrap(parameter.grad), -clip_value, clip_value)


def norm_of(gradients: Sequence[np.ndarray]) -> float:
    """The Euclidean norm of all gradients together."""
    return math.sqrt(sum(float(np.vdot(g, g).real) for g in gradients))


def clipped_norm(gradients: Sequence[np.ndarray], max_norm: float) -> list[np.ndarray]:
    """What `clip_grad_norm_` makes of gradients, as new arrays."""
    norm = norm_of(gradients)
    if not max_norm < norm < math.inf:
        return list(gradients)
    return [np.multiply(g, max_norm / norm) for g in gradients]


def clipped_value(gradients: Sequence[np.ndarray], clip_value: float) -> list[np.ndarray]:
    """What `clip_grad_value_` makes of gradients, as new arrays."""
    return [np.clip(g, -clip_value, clip_value) for g in gradients]


def _check_limit(name: str, value: float) -> None:
    try:
        fits = bool(value >= 0)  # NaN does not
    except (TypeError, ValueError):  # as for text and arrays
        raise TypeError(f"{name} is a number, not {value!r}") from None
    if not fits:
        raise ValueError(f"{name} is at least 0, not {value}")
