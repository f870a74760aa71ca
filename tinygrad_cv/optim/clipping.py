"""Gradient clipping: limits on the gradients, between `backward` and the optimiser's step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ..engine.observers import Edit, observers
from ..kernels.precision import widened
from ..tensor import Tensor, unwrap
from ..typing import Array

SMALL = 1e-30  # a sum of squares below this may have lost some: float32 ends at 1e-45


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
            parameter.grad = scaled(g, max_norm / norm, out=g if in_place else None)
    return norm


def clip_grad_value_(parameters: Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of the gradients to [-clip_value, clip_value]."""
    _check_limit("clip_value", clip_value)
    owners = [p for p in parameters if p.grad is not None]
    for observer in observers():
        observer.edit(Edit(clipped_value, owners, clip_value))
    gradients = [unwrap(p.grad) for p in owners]
    for parameter, new in zip(owners, clipped_value(gradients, clip_value), strict=True):
        parameter.grad = new


def norm_of(gradients: Sequence[np.ndarray]) -> float:
    """The Euclidean norm of all gradients together, in units of the largest where squares overflow
    or vanish."""
    total = sum_of_squares(gradients)
    if SMALL < total < math.inf:
        return math.sqrt(total)
    largest = float(np.max([np.max(np.abs(g), initial=0) for g in gradients], initial=0))
    if not 0 < largest < math.inf:
        return largest
    parts = [g.astype(double(g.dtype)) / largest for g in gradients]
    return largest * math.sqrt(sum_of_squares(parts))


def sum_of_squares(gradients: Sequence[np.ndarray]) -> float:
    """That of all elements; of float16 in a wider type."""
    total = 0.0
    for g in gradients:
        g = widened(g)
        total += float(np.vdot(g, g).real)
    return total


def scaled(g: Array, factor: float, out: np.ndarray | None = None) -> Array:
    """g times a factor; in a wider type where the type of g does not hold the factor in full."""
    if factor >= np.finfo(g.dtype).tiny and g.dtype != np.float16:
        return np.multiply(g, factor, out=out)
    product = (g.astype(double(g.dtype)) * factor).astype(g.dtype)
    if out is None:
        return product
    out[...] = product
    return out


def double(dtype: np.dtype) -> np.dtype:
    """float64, or complex128 for a complex dtype."""
    return np.result_type(dtype, np.float64)


def clipped_norm(gradients: Sequence[np.ndarray], max_norm: float) -> list[np.ndarray]:
    """What `clip_grad_norm_` makes of gradients, as new arrays."""
    norm = norm_of(gradients)
    if not max_norm < norm < math.inf:
        return list(gradients)
    return [unwrap(scaled(g, max_norm / norm)) for g in gradients]


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
