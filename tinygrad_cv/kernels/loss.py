"""Losses.

`reduction` is "mean" over all elements (weighted in `cross_entropy`), "sum", or "none" for one loss
each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine.arguments import choice, real, whole
from ..typing import Array, Gradients, Operand, Scalar, Shape
from .activation import positive
from .fast.choose import choose
from .fast.layout import as_rows
from .fast.reduction import sum_along
from .kernel import formula, kernel
from .softmax import SAFE, log_softmax

REDUCTIONS: dict[str, Callable[[Array], Array]] = {
    "mean": np.mean,
    "sum": np.sum,
    "none": np.positive,
}


def check_reduction(reduction: str) -> None:
    """Raise ValueError if there is no such reduction."""
    choice("reduction", reduction, REDUCTIONS)


def reduce(losses: Array, reduction: str) -> Array:
    """The mean, the sum, or all losses as they are."""
    check_reduction(reduction)
    return REDUCTIONS[reduction](losses)


def reduce_array(losses: np.ndarray, reduction: str) -> np.ndarray:
    """The same of an array, several times faster than `np.mean`."""
    check_reduction(reduction)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return np.add.reduce(losses, axis=None)
    if not losses.size:
        return np.mean(losses)  # NaN, with NumPy's warning
    return np.add.reduce(losses, axis=None) / losses.dtype.type(losses.size)


def each_gradient(g: np.ndarray, size: int, reduction: str) -> np.ndarray:
    """The gradient of each element's loss, of `size` elements."""
    return g / size if reduction == "mean" else g


def check_targets(
    name: str,
    value: Operand,
    x_name: str,
    x: Array,
) -> None:
    """Targets have the shape of what they are compared with, or are one number."""
    if not np.ndim(value) or np.shape(value) == x.shape:
        return
    together = broadcast_shape(x.shape, np.shape(value))
    warning = f", which would be broadcast to {together}" if together else ""
    raise ValueError(
        f"{x_name} has shape {x.shape} and {name} {np.shape(value)}{warning}. "
        f"Give both one shape, as with {name}.reshape({x_name}.shape)"
    )


def broadcast_shape(*shapes: Shape) -> Shape | None:
    """The shape that arrays of these shapes are broadcast to, or None."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None


def as_float(targets: Operand, dtype: np.dtype) -> Any:
    """Targets that are booleans or integers in a floating-point dtype; others as they are."""
    if isinstance(targets, (bool, int, float)) or targets.dtype.kind == "f":
        return targets
    return targets.astype(dtype)


# --------------------------------------------------------------------------------------- regression


@kernel
def mse(prediction: Array, target: Operand, *, reduction: str = "mean") -> Array:
    """(prediction - target)^2. The two have one shape, or the target is one number."""
    difference = prediction - as_float(target, prediction.dtype)
    return reduce(difference * difference, reduction)


@mse.forward
def _(
    prediction: np.ndarray,
    target: np.ndarray | Scalar,
    reduction: str,
) -> tuple[np.ndarray, np.ndarray]:
    check_targets("target", target, "prediction", prediction)
    difference = prediction - as_float(target, prediction.dtype)
    return reduce_array(difference * difference, reduction), difference


@mse.backward
def _(
    g: np.ndarray,
    saved: np.ndarray,
    reduction: str,
    needs: Sequence[bool],
) -> Gradients:
    """dprediction = 2 (prediction - target) g = -dtarget."""
    d = saved * each_gradient(2 * g, saved.size, reduction)
    return d, -d if needs[1] else None


@mse.jvp
def _(
    prediction_dot: np.ndarray | None,
    target_dot: np.ndarray | None,
    saved: np.ndarray,
    reduction: str,
) -> np.ndarray:
    """loss' = 2 (prediction - target) (prediction' - target')."""
    moved = 0.0 if prediction_dot is None else prediction_dot
    if target_dot is not None:
        moved = moved - target_dot
    return 2 * reduce_array(saved * moved, reduction)


@formula
def l1(prediction: Array, target: Operand, *, reduction: str = "mean") -> Array:
    """|prediction - target|. The two have one shape, or the target is one number."""
    check_targets("target", target, "prediction", prediction)
    return reduce(np.abs(prediction - target), reduction)


@formula
def smooth_l1(
    prediction: Array, target: Operand, *, beta: float = 1.0, reduction: str = "mean"
) -> Array:
    """d^2 / (2 beta) for a distance d = |prediction - target| below beta, d - beta / 2 above.

    Girshick 2015, equation 3. The shapes are those of `l1`.
    """
    check_targets("target", target, "prediction", prediction)
    d = np.abs(prediction - target)
    if real("beta", beta) == 0:
        return reduce(d, reduction)
    near = np.minimum(d, beta)
    return reduce(near * near / (2 * beta) + (d - near), reduction)


@formula
def kl_div(log_q: Array, p: Operand, *, reduction: str = "mean") -> Array:
    """p (log p - log q) of each element; the sum over all classes is the divergence KL(p || q).

    log_q and p have one shape; 0 log 0 is 0. As in PyTorch the mean is over all elements: the
    divergence of a batch is the sum by its size.
    """
    check_targets("p", p, "log_q", log_q)
    from scipy.special import xlogy

    return reduce(xlogy(p, p) - p * log_q, reduction)


# ----------------------------------------------------------------------------------- classification


@kernel
def bce_with_logits(
    logits: Array,
    targets: Operand,
    weight: Operand | None = None,
    *,
    reduction: str = "mean",
) -> Array:
    """Binary cross-entropy: -t log s(x) - (1 - t) log(1 - s(x)) for a logit x, s the sigmoid.

    That is log(1 + exp(x)) - t x; where x is infinite, its limit. The targets t, in [0, 1], have
    the shape of the logits or are one number; so is `weight`, which multiplies each loss.
    """
    targets = as_float(targets, logits.dtype)
    slope = np.greater(logits, 0) - targets  # s(x) - t where x is infinite
    limit = np.where(slope == 0, 0, slope * logits)
    losses = np.where(np.isinf(logits), limit, np.logaddexp(0, logits) - targets * logits)
    return reduce(losses if weight is None else losses * weight, reduction)


@bce_with_logits.forward
def _(
    logits: np.ndarray,
    targets: np.ndarray | Scalar,
    weight: np.ndarray | Scalar | None,
    reduction: str,
    needs: Sequence[bool],
) -> tuple[np.ndarray, np.ndarray | None]:
    """log(1 + exp(x)) as max(x, 0) + log1p(exp(-|x|)): no overflow, and nothing small is lost.

    max(x, 0) - t x is one product, of x with 1 - t if x is positive and -t else: 0 where that is 0,
    even if x is infinite.

    With the same exponential e, s(x) is 1 / (1 + e) for a positive x and e / (1 + e) else. The
    slope is s(x) - t.
    """
    check_targets("targets", targets, "logits", logits)
    if weight is not None:
        check_targets("weight", weight, "logits", logits)
    targets = as_float(targets, logits.dtype)
    e = np.exp(-np.abs(logits))
    losses = np.log1p(e)
    losses += choose(logits, positive(logits) - targets)
    if weight is not None:
        losses = losses * weight
    slope = None
    if needs[0]:
        slope = np.maximum(logits > 0, e) / (1 + e) - targets
    return reduce_array(losses, reduction), slope


@bce_with_logits.backward
def _(
    g: np.ndarray,
    logits: np.ndarray,
    weight: np.ndarray | Scalar | None,
    saved: np.ndarray,
    reduction: str,
    needs: Sequence[bool],
) -> Gradients:
    """dlogits = (s(x) - t) g, dtargets = -x g."""
    g = each_gradient(g, logits.size, reduction)
    if weight is not None:
        g = g * weight
    return saved * g if needs[0] else None, -logits * g if needs[1] else None


@bce_with_logits.jvp
def _(
    logits_dot: np.ndarray | None,
    targets_dot: np.ndarray | None,
    logits: np.ndarray,
    weight: np.ndarray | Scalar | None,
    saved: np.ndarray,
    reduction: str,
) -> np.ndarray:
    """loss' = (s(x) - t) x' - x t'."""
    losses_dot = np.zeros_like(logits) if logits_dot is None else saved * logits_dot
    if targets_dot is not None:
        losses_dot -= logits * targets_dot
    if weight is not None:
        losses_dot = losses_dot * weight
    return reduce_array(losses_dot, reduction)


@kernel(selects=True)
def cross_entropy(
    logits: Array,
    labels: np.ndarray,
    weight: Array | None = None,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    """-sum_c q_c log softmax(logits)_c, where q is 1 at the label: the negative log-likelihood.

    logits (..., C) and integer labels (...); `weight` (C,) multiplies q. Label smoothing e sets q
    to 1 - e at the label and adds e / C everywhere (Szegedy et al. 2016, section 7). Labels equal
    to `ignore_index` count for nothing. The mean is over the labels that count, each with the
    weight of its class, as in PyTorch; but the classes are on the last axis.
    """
    classes = logits.shape[-1]
    counts = labels != ignore_index
    label = np.where(counts, labels, 0)
    logp = log_softmax.reference(np.where(counts[..., None], logits, 0))
    weights = np.ones(classes, logits.dtype) if weight is None else weight
    shares = np.where(counts, weights[label], 0)  # the weight of each label
    at_label = np.take_along_axis(logp, label[..., None], -1)[..., 0]
    losses = -(1 - label_smoothing) * shares * at_label
    if label_smoothing:
        everywhere = np.where(counts, np.sum(weights * logp, axis=-1), 0)
        losses = losses - label_smoothing / classes * everywhere
    return np.sum(losses) / np.sum(shares) if reduction == "mean" else reduce(losses, reduction)


@cross_entropy.forward
def _(
    logits: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    label_smoothing: float,
    ignore_index: int,
    reduction: str,
    needs: Sequence[bool],
) -> tuple[np.ndarray, np.ndarray | None]:
    """Row by row L = share (log sum exp(x) - x_label) and dL/dx = share (softmax(x) - one_hot).

    At the label softmax(x) - 1 is minus the sum of the other shares, and the logarithm is that of 1
    plus their sum: a small loss has all its digits, and so has its gradient.

    A row's share is the weight of its class, 0 if its label is ignored, and for the mean divided by
    the sum of all.
    """
    check_cross_entropy(logits, labels, weight, label_smoothing, ignore_index, reduction)
    x, label, share = weighted_rows(logits, labels, weight, ignore_index, reduction)
    total_share = np.add.reduce(share) if reduction == "mean" else x.dtype.type(1)
    share /= total_share
    at_label = (np.arange(len(x)), label)
    x = relative(x, x[at_label])
    e = np.exp(x)
    e_label = e[at_label]
    e[at_label] = 0
    others = sum_along(e, 1)  # (rows, 1)
    norm = others + e_label[:, None]
    log_norm = np.log1p(others + (e_label[:, None] - 1))
    losses = share * (log_norm[:, 0] - x[at_label])
    slope = None
    if needs[0]:
        slope = np.multiply(e, share[:, None] / norm, out=e)
        slope[at_label] = -share * (others / norm)[:, 0]
    if label_smoothing:
        each = (labels.reshape(-1) != ignore_index) / total_share
        logp = x - log_norm
        losses, slope = smoothed(losses, slope, logp, each, weight, label_smoothing)
    value = losses.reshape(labels.shape) if reduction == "none" else np.add.reduce(losses)
    return value, slope if slope is None else slope.reshape(logits.shape)


@cross_entropy.backward
def _(
    g: np.ndarray,
    saved: np.ndarray,
    reduction: str,
    needs: Sequence[bool],
) -> np.ndarray | None:
    if not needs[0]:
        return None
    return choose(g[..., None] if reduction == "none" else g, saved)


@cross_entropy.jvp
def _(
    logits_dot: np.ndarray,
    saved: np.ndarray,
    reduction: str,
) -> np.ndarray:
    """L' = sum_c dL/dx_c x'_c of each row; `saved` has the share of the row in it."""
    products = choose(logits_dot, saved)
    return np.add.reduce(products, axis=-1 if reduction == "none" else None)


@formula
def soft_cross_entropy(logits: Array, probabilities: Operand, *, reduction: str = "mean") -> Array:
    """-sum_c p_c log softmax(logits)_c, for probabilities p in the place of labels.

    Both are (..., C); the mean is over all but the classes.
    """
    check_targets("probabilities", probabilities, "logits", logits)
    losses = -np.sum(probabilities * log_softmax(logits), axis=-1)
    return reduce(losses, reduction)


@formula
def nll(
    log_probabilities: Array,
    labels: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    """-log p of each label: `cross_entropy` behind `log_softmax`. The arguments are those there."""
    check_cross_entropy(log_probabilities, labels, weight, 0.0, ignore_index, reduction)
    counts = labels != ignore_index
    label = np.where(counts, labels, 0)
    check_classes(labels, label.reshape(-1), log_probabilities.shape[-1], ignore_index)
    shares = counts.astype(log_probabilities.dtype)
    if weight is not None:
        shares = shares * weight[label]
    at_label = np.take_along_axis(log_probabilities, label[..., None], -1)[..., 0]
    losses = -np.where(counts, at_label, 0) * shares
    return np.sum(losses) / np.sum(shares) if reduction == "mean" else reduce(losses, reduction)


def weighted_rows(
    logits: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (rows, C), labels (rows,) and the weight of each row.

    A row whose label is ignored has weight 0, and zeros in place of its logits, which may be NaN.
    """
    x, label = as_rows(logits), labels.reshape(-1)
    ignored = label == ignore_index
    count = np.count_nonzero(ignored)
    if count == len(label) and reduction == "mean":
        raise ValueError(
            f"every label is ignore_index ({ignore_index}), so there is no mean; "
            'reduction="sum" gives 0'
        )
    if count:
        x = np.where(ignored[:, None], 0, x)
        label = np.where(ignored, 0, label)
    check_classes(labels, label, x.shape[1], ignore_index)
    share = np.ones(len(x), x.dtype) if weight is None else weight[label].astype(x.dtype)
    if count:
        share[ignored] = 0
    return x, label, share


def relative(x: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Logits (rows, C) less `to` (rows,), or where exp could overflow, less the row's largest."""
    with np.errstate(invalid="ignore"):  # inf - inf: is not below SAFE
        shifted = x - to[:, None]
    if np.maximum.reduce(shifted, axis=None, initial=0) < SAFE:
        return shifted
    return x - np.maximum.reduce(x, axis=1, keepdims=True)


def smoothed(
    losses: np.ndarray,
    slope: np.ndarray | None,
    logp: np.ndarray,
    each: np.ndarray,
    weight: np.ndarray | None,
    smoothing: float,
) -> tuple[np.ndarray, np.ndarray | None]:
    """1 - e of the losses and slopes of the labels, and e / C of those of every class c.

    The loss of class c is -weight_c logp_c, its slope weight_c (softmax(x) - one_hot(c)). `each`
    (rows,) is what a row counts in the result, without the weight of its class. The slope is
    written to.
    """
    classes = logp.shape[1]
    shares = np.full(classes, smoothing / classes, logp.dtype)
    if weight is not None:
        shares *= weight
    losses = losses * (1 - smoothing) - each * np.dot(logp, shares)
    if slope is None:
        return losses, None
    every = np.exp(logp) * np.add.reduce(shares)
    every -= shares
    every *= each[:, None]
    slope *= 1 - smoothing
    slope += every
    return losses, slope


def check_cross_entropy(
    logits: Array,
    labels: np.ndarray,
    weight: np.ndarray | None,
    label_smoothing: float,
    ignore_index: int,
    reduction: str,
) -> None:
    """Raise TypeError or ValueError if the arguments do not fit."""
    dtype = getattr(labels, "dtype", None)
    if dtype is None or dtype.kind not in "iu":
        kind = dtype or type(labels).__name__
        raise TypeError(
            f"labels are an array of integers, one class number each, not {kind}; "
            "of probabilities there is kernels.soft_cross_entropy"
        )
    if labels.shape != logits.shape[:-1] or not logits.ndim:
        raise ValueError(
            f"labels have shape {labels.shape}; for logits of shape {logits.shape}, (..., C), "
            f"it is {logits.shape[:-1]}"
        )
    if weight is not None and weight.shape != logits.shape[-1:]:
        raise ValueError(
            f"weight has shape {weight.shape}; it is one number per class, {logits.shape[-1:]}"
        )
    real("label_smoothing", label_smoothing, most=1)
    whole("ignore_index", ignore_index, least=-math.inf)
    check_reduction(reduction)


def check_classes(
    labels: np.ndarray,
    counted: np.ndarray,
    classes: int,
    ignore_index: int,
) -> None:
    """Raise ValueError if a label that counts is no class.

    `counted` are the labels with 0 in place of those that are ignored.
    """
    if not labels.size:
        return
    if np.minimum.reduce(counted) >= 0 and np.maximum.reduce(counted) < classes:
        return
    outside = (labels < 0) | (labels >= classes)
    wrong = np.argwhere(outside & (labels != ignore_index))
    first = tuple(map(int, wrong[0]))
    raise ValueError(
        f"the label {labels[first]} at {first} is none of the classes 0 to {classes - 1}, "
        f"nor ignore_index, {ignore_index}"
    )
