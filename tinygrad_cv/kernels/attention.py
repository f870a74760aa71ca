"""Attention: scaled dot products, and the additive form that came before them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..machine import aligned
from .kernel import kernel
from .reduction import total as row_total
from .reduction import total_product
from .softmax import exponentials, softmax


@kernel
def attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    keep: Any = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    p: float = 0.0,
) -> Any:
    """softmax(query key^T scale + mask) value (Vaswani et al. 2017, equation 1); scale is 1 / sqrt(D) if None.

    query (..., L, D), key (..., S, D), value (..., S, E) -> (..., L, E); leading axes broadcast. `mask`, broadcast to
    (..., L, S), is boolean (True: may be looked at) or is added to the scores; `causal` hides the keys that come after
    the query. `keep`: which weights survive dropout with probability p, boolean (..., L, S), drawn by the caller.
    A query that may look nowhere gets zeros.
    """
    scores = query @ np.matrix_transpose(key) * _scale(scale, query)
    scores = scores if mask is None or mask.dtype == bool else scores + mask
    weights = _shares_reference(scores, _visible(mask, causal, scores.shape))
    weights = weights if keep is None else weights * (keep / (1 - p)).astype(weights.dtype)
    return weights @ value


@attention.forward
def _(
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    keep: Any,
    causal: bool,
    scale: float | None,
    p: float,
) -> Any:
    _check(query, key, value)
    return attend(query, key, value, mask, keep, causal, scale, p)


@attention.backward
def _(
    g: Any,
    y: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    keep: Any,
    saved: Any,
    scale: float | None,
    p: float,
    needs: Sequence[bool],
) -> Any:
    return *attend_back(g, y, query, key, value, keep, saved, scale, p, needs), None


@kernel
def self_attention(
    packed: Any,
    mask: Any = None,
    keep: Any = None,
    *,
    heads: int,
    causal: bool = False,
    p: float = 0.0,
) -> Any:
    """Attention of a sequence to itself in several heads: queries, keys and values of all heads in one, without copies.

    packed (B, L, 3 D), the heads' queries first, then keys, then values, as one product makes them -> (B, L, D). Mask
    (broadcast to (B, heads, L, L)), `keep`, `causal` and `p` are those of `attention`.
    """
    b, n, d = packed.shape
    parts = np.reshape(packed, (b, n, 3, heads, d // 3 // heads))
    query, key, value = (
        np.swapaxes(parts[:, :, i], 1, 2) for i in range(3)
    )  # (B, heads, L, D / heads)
    y = attention.reference(query, key, value, mask, keep, causal=causal, p=p)
    return np.reshape(np.swapaxes(y, 1, 2), (b, n, d // 3))  # (B, L, D)


@self_attention.forward
def _(packed: Any, mask: Any, keep: Any, heads: int, causal: bool, p: float) -> Any:
    if packed.ndim != 3 or packed.shape[2] % (3 * heads):
        raise ValueError(
            f"packed has shape {packed.shape}; for {heads} heads it is (B, L, 3 D), where {heads} divides D"
        )
    b, n, d = packed.shape
    y = aligned((b, n, heads, d // 3 // heads), packed.dtype)
    query, key, value = _heads(packed, heads)
    _, saved = attend(query, key, value, mask, keep, causal, None, p, out=np.swapaxes(y, 1, 2))
    return y.reshape(b, n, d // 3), saved


@self_attention.backward
def _(
    g: Any,
    y: Any,
    packed: Any,
    mask: Any,
    keep: Any,
    heads: int,
    saved: Any,
    p: float,
    needs: Sequence[bool],
) -> Any:
    apart = (*y.shape[:2], heads, y.shape[2] // heads)
    g, y = (np.swapaxes(a.reshape(apart), 1, 2) for a in (g, y))  # (B, heads, L, D / heads)
    dpacked = aligned(packed.shape, packed.dtype)
    wanted = [needs[0]] * 3 + [needs[1]]
    query, key, value = _heads(packed, heads)
    *_, dmask = attend_back(
        g, y, query, key, value, keep, saved, None, p, wanted, _heads(dpacked, heads)
    )
    return dpacked if needs[0] else None, dmask, None


@kernel
def additive_attention(query: Any, key: Any, v: Any, value: Any, mask: Any = None) -> Any:
    """softmax(v . tanh(query + key)) value (Bahdanau et al. 2015, appendix A.1.2), of queries and keys projected already.

    query (..., L, D), key (..., S, D), v (D,), value (..., S, E) -> (..., L, E); leading axes broadcast. `mask`, boolean
    and broadcast to (..., L, S), says what may be looked at; a query that may look nowhere gets zeros.
    """
    scores = np.tanh(query[..., :, None, :] + key[..., None, :, :]) @ v  # (..., L, S, D) @ (D,)
    return _shares_reference(scores, mask) @ value


@additive_attention.forward
def _(query: Any, key: Any, v: Any, value: Any, mask: Any) -> Any:
    _check(query, key, value)
    if v.shape != query.shape[-1:]:
        raise ValueError(f"v has shape {v.shape}; for query {query.shape} it is {query.shape[-1:]}")
    met = query[..., :, None, :] + key[..., None, :, :]
    np.tanh(met, out=met)  # (..., L, S, D)
    weights = _shares(met @ v, mask)
    return np.matmul(weights, value), (met, weights)


@additive_attention.backward
def _(g: Any, v: Any, value: Any, saved: Any, needs: Sequence[bool]) -> Any:
    """With dscores = P (dP - sum(dP P)): dv = sum of dscores tanh, and v dscores (1 - tanh^2) goes to query and key."""
    (met, weights), one = (
        saved,
        g.shape[-2] == 1,
    )  # one query at a time: sums and products of a single row are left out
    dscores = np.matmul(g, value.mT)  # (..., L, S)
    dscores -= total_product(dscores, weights, -1)
    dscores *= weights
    dv = (
        np.dot(dscores.reshape(-1), met.reshape(-1, len(v))) if needs[2] else None
    )  # (L S,) @ (L S, D)
    slope = met * met
    np.subtract(1, slope, out=slope)
    dquery = (
        np.matmul(dscores[..., None, :], slope)[..., 0, :] * v if needs[0] else None
    )  # (..., L, D)
    dkey = None
    if needs[1]:
        slope *= dscores[..., None] * v
        dkey = slope[..., 0, :, :] if one else np.add.reduce(slope, axis=-3)  # (..., S, D)
    dvalue = (weights.mT * g if one else np.matmul(weights.mT, g)) if needs[3] else None
    return dquery, dkey, dv, dvalue, None


# ----------------------------------------------------------------------------------------------- what they have in common


def attend(
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    keep: Any,
    causal: bool,
    scale: float | None,
    p: float,
    out: Any = None,
) -> Any:
    """The values that are looked at, and the weights without and with dropout."""
    # Small products are nearly twice as fast on a transposed copy as on a transposed view.
    scores = np.matmul(query, np.ascontiguousarray(key.mT))  # (..., L, S)
    scores *= query.dtype.type(_scale(scale, query))
    if mask is not None and mask.dtype != bool:
        scores = scores + mask
    weights = _shares(scores, _visible(mask, causal, scores.shape))
    dropped = weights if keep is None else weights * (keep / (1 - p)).astype(weights.dtype)
    return np.matmul(dropped, value, out=out), (weights, dropped)


def attend_back(
    g: Any,
    y: Any,
    query: Any,
    key: Any,
    value: Any,
    keep: Any,
    saved: Any,
    scale: float | None,
    p: float,
    needs: Sequence[bool],
    out: Any = (None, None, None),
) -> Any:
    """Gradients of query, key, value and mask. With weights P: dvalue = P^T g, dP = g value^T, and
    dscores = P (dP - sum(dP P)), where the sum over keys of dP P is that over dimensions of g y."""
    weights, dropped = saved
    dvalue = np.matmul(dropped.mT, g, out=out[2]) if needs[2] else None
    if not (needs[0] or needs[1] or needs[3]):
        return None, None, dvalue, None
    dscores = np.matmul(g, np.ascontiguousarray(value.mT))  # (..., L, S)
    if keep is not None:
        dscores *= (keep / (1 - p)).astype(dscores.dtype)
    dscores -= total_product(g, y, -1)
    dscores *= weights
    dmask = dscores.copy() if needs[3] else None
    dscores *= query.dtype.type(_scale(scale, query))
    dquery = np.matmul(dscores, key, out=out[0]) if needs[0] else None
    dkey = np.matmul(dscores.mT, query, out=out[1]) if needs[1] else None
    return dquery, dkey, dvalue, dmask


def _heads(packed: np.ndarray, heads: int) -> list[np.ndarray]:
    """Queries, keys and values as views: (B, L, 3 D) -> three of (B, heads, L, D / heads)."""
    parts = packed.reshape(*packed.shape[:2], 3, heads, packed.shape[2] // 3 // heads)
    return [np.swapaxes(parts[:, :, i], 1, 2) for i in range(3)]


def _shares_reference(scores: Any, visible: Any) -> Any:
    """Softmax over the keys that may be looked at, all of them if None; zeros if there are none."""
    if visible is None:
        return softmax.reference(scores)
    scores = np.where(visible, scores, -np.inf)
    top = np.max(scores, axis=-1, keepdims=True)
    e = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = np.sum(e, axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def _shares(scores: np.ndarray, visible: Any) -> Any:
    """The same, in place where it can be."""
    if visible is not None:
        scores = np.where(visible, scores, scores.dtype.type(-np.inf))
    weights = exponentials(scores, out=scores)
    total = row_total(weights, -1)
    weights /= total if visible is None else np.where(total == 0, total.dtype.type(1), total)
    return weights


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
    if (
        min(query.ndim, key.ndim, value.ndim) < 2
        or query.shape[-1] != key.shape[-1]
        or key.shape[-2] != value.shape[-2]
    ):
        raise ValueError(
            f"query {query.shape}, key {key.shape} and value {value.shape} do not fit: they are (..., L, D), (..., S, D) "
            "and (..., S, E)"
        )
