"""Scaled dot-product attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .kernel import kernel
from .softmax import softmax


@kernel
def attention(
    query: Any, key: Any, value: Any, mask: Any = None, keep: Any = None, *, causal: bool = False,
    scale: float | None = None, p: float = 0.0,
) -> Any:  # fmt: skip
    """softmax(query key^T scale + mask) value (Vaswani et al. 2017, equation 1); scale is 1 / sqrt(D) if None.

    query (..., L, D), key (..., S, D), value (..., S, E) -> (..., L, E); leading axes broadcast. `mask`, broadcast to
    (..., L, S), is boolean (True: may be looked at) or is added to the scores; `causal` hides the keys that come after
    the query. `keep`: which weights survive dropout with probability p, boolean (..., L, S), drawn by the caller.
    A query that may look nowhere gets zeros.
    """
    scores = query @ np.matrix_transpose(key) * _scale(scale, query)
    scores = scores if mask is None or mask.dtype == bool else scores + mask
    visible = _visible(mask, causal, scores.shape)
    if visible is not None:
        scores = np.where(visible, scores, -np.inf)
        top = np.max(scores, axis=-1, keepdims=True)
        e = np.exp(scores - np.where(np.isfinite(top), top, 0))
        total = np.sum(e, axis=-1, keepdims=True)
        weights = e / np.where(total == 0, 1, total)
    else:
        weights = softmax.reference(scores)
    weights = weights if keep is None else weights * (keep / (1 - p)).astype(weights.dtype)
    return weights @ value


@attention.forward
def _(
    query: Any, key: Any, value: Any, mask: Any, keep: Any, causal: bool, scale: float | None, p: float
) -> Any:  # fmt: skip
    _check(query, key, value)
    scores = np.matmul(query * query.dtype.type(_scale(scale, query)), key.mT)  # (..., L, S)
    if mask is not None and mask.dtype != bool:
        scores = scores + mask
    visible = _visible(mask, causal, scores.shape)
    if visible is not None:
        scores = np.where(visible, scores, scores.dtype.type(-np.inf))
    top = np.maximum.reduce(scores, axis=-1, keepdims=True)
    if visible is not None:
        top = np.where(np.isfinite(top), top, top.dtype.type(0))
    weights = np.exp(np.subtract(scores, top, out=scores), out=scores)
    total = np.add.reduce(weights, axis=-1, keepdims=True)
    weights /= np.where(total == 0, total.dtype.type(1), total)
    dropped = weights if keep is None else weights * (keep / (1 - p)).astype(weights.dtype)
    return np.matmul(dropped, value), (weights, dropped)


@attention.backward
def _(
    g: Any, query: Any, key: Any, value: Any, mask: Any, keep: Any, saved: Any, scale: float | None, p: float,
    needs: Sequence[bool],
) -> Any:  # fmt: skip
    """With weights P: dvalue = P^T g, dP = g value^T, dscores = P (dP - sum(dP P)), and two products more."""
    weights, dropped = saved
    dvalue = np.matmul(dropped.mT, g) if needs[2] else None
    if not (needs[0] or needs[1] or needs[3]):
        return None, None, dvalue, None, None
    dweights = np.matmul(g, value.mT)  # (..., L, S)
    if keep is not None:
        dweights = dweights * (keep / (1 - p)).astype(dweights.dtype)
    dscores = weights * (dweights - np.vecdot(dweights, weights)[..., None])
    factor = query.dtype.type(_scale(scale, query))
    dquery = np.matmul(dscores, key) * factor if needs[0] else None
    dkey = np.matmul(dscores.mT, query) * factor if needs[1] else None
    return dquery, dkey, dvalue, dscores if needs[3] else None, None


def _scale(scale: float | None, query: Any) -> float:
    return 1 / math.sqrt(query.shape[-1]) if scale is None else scale


def _visible(mask: Any, causal: bool, shape: tuple[int, ...]) -> Any:
    """Which key each query may look at, as booleans; None for all."""
    allowed = mask if mask is not None and mask.dtype == bool else None
    if not causal:
        return allowed
    before = np.tri(shape[-2], shape[-1], dtype=bool)
    return before if allowed is None else before & allowed


def _check(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> None:
    if min(query.ndim, key.ndim, value.ndim) < 2 or query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"query {query.shape}, key {key.shape} and value {value.shape} do not fit: they are (..., L, D), (..., S, D) "
            "and (..., S, E)"
        )
