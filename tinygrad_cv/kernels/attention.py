"""Attention: scaled dot products, and the additive form that came before them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..engine.arguments import real, switch, whole
from ..machine import aligned
from ..typing import Array, Gradients, Shape
from .activation import inverse_keep
from .fast.choose import choose, choose_sum, is_finite
from .fast.layout import as_rows
from .fast.reduction import sum_along, sum_of_products
from .kernel import kernel
from .softmax import exponentials, softmax


@kernel(selects=True)
def attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    keep: np.ndarray | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    p: float = 0.0,
) -> Array:
    """softmax(query key^T scale + mask) value (Vaswani et al. 2017, equation 1).

    query (..., L, D), key (..., S, D), value (..., S, E) -> (..., L, E); leading axes broadcast.
    The scale is 1 / sqrt(D) if None. `mask`, broadcast to (..., L, S), is boolean (True: may be
    looked at) or is added to the scores, where -inf hides a key as False does; `causal` hides the
    keys that come after the query. `keep`, boolean (..., L, S) and drawn by the caller, says which
    weights survive dropout with probability p. A query that may look nowhere gets zeros. Raises
    TypeError for a mask of integers, ValueError for shapes that do not fit.
    """
    scores = query @ np.matrix_transpose(key) * scale_of(scale, query)
    if mask is not None and mask.dtype != bool:
        scores = scores + mask
    weights = masked_softmax_reference(scores, visible_keys(mask, causal, scores.shape))
    if keep is not None:
        weights = np.where(keep, weights * inverse_keep(p), 0)
    return weights @ value


@attention.forward
def _(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None,
    keep: np.ndarray | None,
    causal: bool,
    scale: float | None,
    p: float,
) -> tuple[np.ndarray, Weights]:
    check_shapes(query, key, value)
    return attend(query, key, value, mask, keep, causal, scale, p)


@attention.backward
def _(
    g: np.ndarray,
    y: np.ndarray,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None,
    keep: np.ndarray | None,
    saved: Weights,
    causal: bool,
    scale: float | None,
    needs: Sequence[bool],
) -> Gradients:
    chooses = mask is not None or keep is not None or causal
    gradients = attend_gradients(g, y, query, key, value, saved, scale, chooses, needs)
    return *gradients, None


@attention.jvp
def _(
    query_dot: np.ndarray | None,
    key_dot: np.ndarray | None,
    value_dot: np.ndarray | None,
    mask_dot: np.ndarray | None,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None,
    keep: np.ndarray | None,
    saved: Weights,
    causal: bool,
    scale: float | None,
) -> np.ndarray:
    factor = scale_of(scale, query)
    scores_dot = scores_tangent(query_dot, key_dot, mask_dot, query, key, factor)
    chooses = mask is not None or keep is not None or causal
    return attend_tangent(scores_dot, value_dot, value, saved, chooses)


@kernel(selects=True)
def self_attention(
    packed: Array,
    mask: Array | None = None,
    keep: np.ndarray | None = None,
    *,
    num_heads: int,
    causal: bool = False,
    p: float = 0.0,
) -> Array:
    """Attention of a sequence to itself in several heads, without copies of their parts.

    packed (B, L, 3 D), the heads' queries first, then keys, then values, as one product makes them
    -> (B, L, D). The mask, broadcast to (B, num_heads, L, L), `keep`, `causal` and `p` are those of
    `attention`.
    """
    b, n, d = packed.shape
    parts = np.reshape(packed, (b, n, 3 * num_heads, d // (3 * num_heads)))
    heads = np.swapaxes(parts, 1, 2)  # (B, 3 num_heads, L, D / num_heads)
    query, key, value = np.split(heads, 3, axis=1)
    y = attention.reference(query, key, value, mask, keep, causal=causal, p=p)
    return np.reshape(np.swapaxes(y, 1, 2), (b, n, d // 3))


@self_attention.forward
def _(
    packed: np.ndarray,
    mask: np.ndarray | None,
    keep: np.ndarray | None,
    num_heads: int,
    causal: bool,
    p: float,
) -> tuple[np.ndarray, Weights]:
    whole("num_heads", num_heads)
    if packed.ndim != 3 or packed.shape[2] % (3 * num_heads):
        raise ValueError(
            f"packed has shape {packed.shape}; for {num_heads} heads it is (B, L, 3 D), "
            f"where {num_heads} divides D"
        )
    b, n, d = packed.shape
    query, key, value = split_packed(packed, num_heads)
    y = aligned((b, n, d // 3), packed.dtype)
    out = split_heads(y, num_heads)
    _, saved = attend(query, key, value, mask, keep, causal, None, p, out)
    return y, saved


@self_attention.backward
def _(
    g: np.ndarray,
    y: np.ndarray,
    packed: np.ndarray,
    mask: np.ndarray | None,
    keep: np.ndarray | None,
    num_heads: int,
    saved: Weights,
    causal: bool,
    needs: Sequence[bool],
) -> Gradients:
    g, y = split_heads(g, num_heads), split_heads(y, num_heads)
    query, key, value = split_packed(packed, num_heads)
    dpacked = aligned(packed.shape, packed.dtype)
    out = split_packed(dpacked, num_heads)
    chooses = mask is not None or keep is not None or causal
    wanted = (needs[0], needs[0], needs[0], needs[1])
    *_, dmask = attend_gradients(g, y, query, key, value, saved, None, chooses, wanted, out)
    return dpacked if needs[0] else None, dmask, None


@self_attention.jvp
def _(
    packed_dot: np.ndarray | None,
    mask_dot: np.ndarray | None,
    packed: np.ndarray,
    mask: np.ndarray | None,
    keep: np.ndarray | None,
    num_heads: int,
    saved: Weights,
    causal: bool,
) -> np.ndarray:
    query, key, value = split_packed(packed, num_heads)
    query_dot = key_dot = value_dot = None
    if packed_dot is not None:
        query_dot, key_dot, value_dot = split_packed(packed_dot, num_heads)
    scale = scale_of(None, query)
    scores_dot = scores_tangent(query_dot, key_dot, mask_dot, query, key, scale)
    b, n, d = packed.shape
    y_dot = aligned((b, n, d // 3), packed.dtype)
    chooses = mask is not None or keep is not None or causal
    attend_tangent(scores_dot, value_dot, value, saved, chooses, split_heads(y_dot, num_heads))
    return y_dot


@kernel(selects=True)
def additive_attention(
    query: Array,
    key: Array,
    v: Array,
    value: Array,
    mask: np.ndarray | None = None,
) -> Array:
    """softmax(v . tanh(query + key)) value, of queries and keys that are projected already.

    That is the attention of Bahdanau et al. 2015, appendix A.1.2.

    query (..., L, D), key (..., S, D), v (D,), value (..., S, E) -> (..., L, E); leading axes
    broadcast. `mask`, boolean and broadcast to (..., L, S), says what may be looked at; a query
    that may look nowhere gets zeros.
    """
    met = np.tanh(query[..., :, None, :] + key[..., None, :, :])  # (..., L, S, D)
    return masked_softmax_reference(met @ v, mask) @ value


@additive_attention.forward
def _(
    query: np.ndarray,
    key: np.ndarray,
    v: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    check_shapes(query, key, value)
    if mask is not None and mask.dtype != bool:
        raise TypeError(f"the mask of additive_attention is boolean, not {mask.dtype}")
    if v.shape != query.shape[-1:]:
        raise ValueError(f"v has shape {v.shape}; for query {query.shape} it is {query.shape[-1:]}")
    met = query[..., :, None, :] + key[..., None, :, :]
    np.tanh(met, out=met)  # (..., L, S, D)
    weights = masked_softmax(met @ v, mask)
    return np.matmul(weights, value), (met, weights)


@additive_attention.backward
def _(
    g: np.ndarray,
    v: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None,
    saved: tuple[np.ndarray, np.ndarray],
    needs: Sequence[bool],
) -> Gradients:
    """With dscores = P (dP - sum(dP P)): dv = sum of dscores tanh.

    v dscores (1 - tanh^2) goes to query and key. With one query at a time, as in decoding, sums and
    products of a single row are left out.
    """
    met, weights = saved
    one = g.shape[-2] == 1
    wild = mask is not None and not is_finite(g)
    product = choose if wild else np.multiply
    dscores = np.matmul(g, value.mT)  # (..., L, S)
    dscores -= sum_of_products(dscores, weights, -1)
    product(dscores, weights, out=dscores)
    dquery = dkey = dv = dvalue = None
    if needs[2]:
        dv = np.dot(dscores.reshape(-1), as_rows(met))  # (... L S,) @ (... L S, D)
    slope = met * met
    np.subtract(1, slope, out=slope)
    if needs[0]:
        dquery = np.matmul(dscores[..., None, :], slope)[..., 0, :] * v  # (..., L, D)
    if needs[1]:
        slope *= dscores[..., None] * v
        dkey = slope[..., 0, :, :] if one else np.add.reduce(slope, axis=-3)  # (..., S, D)
    if needs[3] and wild:
        dvalue = choose_sum(weights, g)
    elif needs[3]:
        dvalue = weights.mT * g if one else np.matmul(weights.mT, g)
    return dquery, dkey, dv, dvalue, None


@additive_attention.jvp
def _(
    query_dot: np.ndarray | None,
    key_dot: np.ndarray | None,
    v_dot: np.ndarray | None,
    value_dot: np.ndarray | None,
    v: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None,
    saved: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """scores' = tanh v' + (1 - tanh^2) (query' + key') v with the tanh of query + key."""
    met, weights = saved
    scores_dot = None if v_dot is None else met @ v_dot
    if query_dot is not None or key_dot is not None:
        slope = met * met  # (..., L, S, D)
        np.subtract(1, slope, out=slope)
        moved: Array = np.zeros(1, met.dtype)
        if query_dot is not None:
            moved = query_dot[..., :, None, :]
        if key_dot is not None:
            moved = moved + key_dot[..., None, :, :]
        slope *= moved
        product = slope @ v
        scores_dot = product if scores_dot is None else scores_dot + product
    return attend_tangent(scores_dot, value_dot, value, (weights, None), mask is not None)


# ------------------------------------------------------------------------- what they have in common

# The weights before dropout, and what dropout multiplies them by, if there is any.
Weights = tuple[np.ndarray, np.ndarray | None]


def attend(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None,
    keep: np.ndarray | None,
    causal: bool,
    scale: float | None,
    p: float,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, Weights]:
    """The values that are looked at, (..., L, E), and what backward keeps."""
    if mask is not None and mask.dtype.kind not in "bf":
        raise TypeError(
            f"mask has dtype {mask.dtype}; it is boolean (True: may be looked at) or "
            "floating-point, and added to the scores"
        )
    real("p", p, most=1)
    switch("causal", causal)
    if scale is not None:
        real("scale", scale, least=-math.inf)
    # Small products are nearly twice as fast on a transposed copy as on a transposed view.
    scores = np.matmul(query, np.ascontiguousarray(key.mT))  # (..., L, S)
    scores *= query.dtype.type(scale_of(scale, query))
    if mask is not None and mask.dtype != bool:
        with np.errstate(invalid="ignore"):  # a score of inf that the mask hides
            scores = scores + mask
    weights = masked_softmax(scores, visible_keys(mask, causal, scores.shape))
    if keep is None:
        return np.matmul(weights, value, out=out), (weights, None)
    factor = np.multiply(keep, inverse_keep(p), dtype=weights.dtype)
    return np.matmul(weights * factor, value, out=out), (weights, factor)


def attend_gradients(
    g: np.ndarray,
    y: np.ndarray,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    saved: Weights,
    scale: float | None,
    chooses: bool,
    needs: Sequence[bool],
    out: Sequence[np.ndarray | None] = (None, None, None),
) -> Gradients:
    """The gradients of query, key, value and mask.

    With weights P: dvalue = P^T g, dP = g value^T, and dscores = P (dP - sum(dP P)), where the sum
    over keys of dP P is that over dimensions of g y. `chooses`: whether some weights may be 0
    because a mask or dropout hides their keys; they get exact zeros even where g is infinite.
    """
    weights, factor = saved
    wild = chooses and not is_finite(g)
    product = choose if wild else np.multiply
    dquery = dkey = dvalue = dmask = None
    if needs[2]:
        dropped = weights if factor is None else weights * factor
        dvalue = choose_sum(dropped, g, out[2]) if wild else np.matmul(dropped.mT, g, out=out[2])
    if not (needs[0] or needs[1] or needs[3]):
        return None, None, dvalue, None
    dscores = np.matmul(g, np.ascontiguousarray(value.mT))  # (..., L, S)
    if factor is not None:
        product(dscores, factor, out=dscores)
    dscores -= sum_of_products(g, y, -1)
    product(dscores, weights, out=dscores)
    if needs[3]:
        dmask = dscores.copy()
    dscores *= query.dtype.type(scale_of(scale, query))
    if needs[0]:
        dquery = np.matmul(dscores, key, out=out[0])
    if needs[1]:
        dkey = np.matmul(dscores.mT, query, out=out[1])
    return dquery, dkey, dvalue, dmask


def scores_tangent(
    query_dot: np.ndarray | None,
    key_dot: np.ndarray | None,
    mask_dot: np.ndarray | None,
    query: np.ndarray,
    key: np.ndarray,
    scale: float,
) -> np.ndarray | None:
    """scores' = (query' key^T + query key'^T) scale + mask': (..., L, S); None for zero.

    Both products are one, of query' and query side by side with key and key'.
    """
    if query_dot is None and key_dot is None:
        return mask_dot
    if query_dot is None or key_dot is None:
        query = query if query_dot is None else query_dot
        turned = np.ascontiguousarray((key if key_dot is None else key_dot).mT)
    else:
        query = np.concatenate([query_dot, query], axis=-1)  # (..., L, 2 D)
        *leading, keys, d = key.shape
        turned = np.empty((*leading, 2 * d, keys), key.dtype)
        np.concatenate([key.mT, key_dot.mT], axis=-2, out=turned)
    product = np.matmul(query, turned)
    product *= query.dtype.type(scale)
    return product if mask_dot is None else product + mask_dot


def attend_tangent(
    scores_dot: np.ndarray | None,
    value_dot: np.ndarray | None,
    value: np.ndarray,
    saved: Weights,
    chooses: bool,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The tangent of the values that are looked at.

    With weights P: y' = P' value + P value' and P' = P (scores' - sum(scores' P)). `chooses` is
    that of `attend_gradients`: what is hidden counts for nothing, even if its score' is infinite.
    """
    weights, factor = saved
    parts = []
    if scores_dot is not None:
        if chooses and not is_finite(scores_dot):
            product = choose
            weights_dot = choose(np.broadcast_to(scores_dot, weights.shape), weights)
            weights_dot -= weights * sum_along(weights_dot, -1)
        else:
            product = np.multiply
            weights_dot = scores_dot - sum_of_products(scores_dot, weights, -1)
            weights_dot *= weights
        if factor is not None:
            weights_dot = product(weights_dot, factor)
        parts.append(np.matmul(weights_dot, value, out=out))
    if value_dot is not None:
        dropped = weights if factor is None else weights * factor
        parts.append(np.matmul(dropped, value_dot, out=None if parts else out))
    total, *others = parts
    for part in others:
        total += part
    return total


def split_heads(x: np.ndarray, num_heads: int) -> np.ndarray:
    """(B, L, D) -> (B, num_heads, L, D / num_heads), a view if the last axis is contiguous."""
    b, n, d = x.shape
    return x.reshape(b, n, num_heads, d // num_heads).swapaxes(1, 2)


def split_packed(packed: np.ndarray, num_heads: int) -> list[np.ndarray]:
    """Views of queries, keys and values.

    (B, L, 3 D) -> three of (B, num_heads, L, D / num_heads)
    """
    heads = split_heads(packed, 3 * num_heads)
    return [heads[:, i * num_heads : (i + 1) * num_heads] for i in range(3)]


def masked_softmax_reference(scores: Array, visible: Array | None) -> Array:
    """Softmax over the keys that may be looked at, all of them if None; zeros if there are none."""
    if visible is None:
        return softmax.reference(scores)
    scores = np.where(visible, scores, -np.inf)
    top = np.max(scores, axis=-1, keepdims=True)
    e = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = np.sum(e, axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def masked_softmax(scores: np.ndarray, visible: Array | None) -> np.ndarray:
    """The same, in place where it can be."""
    if visible is None:
        weights = exponentials(scores, out=scores)
        weights /= sum_along(weights, -1)
        return weights
    scores = np.where(visible, scores, scores.dtype.type(-np.inf))
    weights = exponentials(scores, out=scores)
    total = sum_along(weights, -1)
    weights /= np.where(total == 0, total.dtype.type(1), total)
    return weights


def scale_of(scale: float | None, query: Array) -> float:
    """The given scale, or by default 1 / sqrt(D)."""
    return 1 / math.sqrt(query.shape[-1]) if scale is None else scale


def visible_keys(
    mask: Array | None,
    causal: bool,
    shape: Shape,
) -> Array | None:
    """Which key each query may look at, as booleans; None for all."""
    allowed = mask
    if mask is not None and mask.dtype != bool:
        seen = mask != -np.inf
        allowed = None if np.all(seen) else seen
    if not causal:
        return allowed
    before = np.tri(shape[-2], shape[-1], dtype=bool)
    return before if allowed is None else before & allowed


def check_shapes(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
) -> None:
    """Raise ValueError if query, key and value do not fit."""
    matrices = min(query.ndim, key.ndim, value.ndim) >= 2
    if not matrices or query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"query {query.shape}, key {key.shape} and value {value.shape} do not fit: "
            "they are (..., L, D), (..., S, D) and (..., S, E)"
        )
