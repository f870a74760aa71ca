"""Losses. `reduction`: "mean" over all elements (weighted in `cross_entropy`), "sum", or "none" for one loss each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .kernel import kernel
from .reduction import total
from .softmax import SAFE, log_softmax

REDUCTIONS: dict[str, Any] = {"mean": np.mean, "sum": np.sum, "none": np.positive}


def _check_reduction(reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f'reduction is "mean", "sum" or "none", not {reduction!r}')


def _reduce(losses: Any, reduction: str) -> Any:
    _check_reduction(reduction)
    return REDUCTIONS[reduction](losses)


def _reduce_array(losses: np.ndarray, reduction: str) -> Any:
    """The same of an array, without the ceremony of `np.mean`."""
    _check_reduction(reduction)
    if reduction == "none":
        return losses
    if reduction == "mean" and not losses.size:
        return np.mean(losses)  # NaN, with NumPy's warning
    whole = np.add.reduce(losses, axis=None)
    return whole / losses.dtype.type(losses.size) if reduction == "mean" else whole


def _share(g: Any, size: int, reduction: str) -> Any:
    """The gradient of each element's loss."""
    return g / size if reduction == "mean" else g


def _check_targets(name: str, value: Any, x_name: str, x: Any) -> None:
    """Targets have the shape of what they are compared with, or are one number."""
    if np.ndim(value) and value.shape != x.shape:
        together = _broadcast(x.shape, value.shape)
        raise ValueError(
            f"{x_name} has shape {x.shape} and {name} {value.shape}"
            + (f", which would be broadcast to {together}" if together else "")
            + f". Give both one shape, as with {name}.reshape({x_name}.shape)"
        )


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None


def _numbers(targets: Any, dtype: Any) -> Any:
    """Targets that are booleans or integers, in a floating-point dtype."""
    kind = getattr(targets, "dtype", np.dtype(float)).kind
    return targets if kind == "f" else targets.astype(dtype)


# -------------------------------------------------------------------------------------------------------- regression


@kernel
def mse(prediction: Any, target: Any, *, reduction: str = "mean") -> Any:
    """(prediction - target)^2. The two have one shape, or the target is one number."""
    difference = prediction - _numbers(target, prediction.dtype)
    return _reduce(difference * difference, reduction)


@mse.forward
def _(prediction: Any, target: Any, reduction: str) -> Any:
    _check_targets("target", target, "prediction", prediction)
    difference = prediction - _numbers(target, prediction.dtype)
    return _reduce_array(difference * difference, reduction), difference


@mse.backward
def _(g: Any, saved: Any, reduction: str, needs: Sequence[bool]) -> Any:
    """d prediction = 2 (prediction - target) g = -d target."""
    d = saved * _share(2 * g, saved.size, reduction)
    return d, -d if needs[1] else None


# ---------------------------------------------------------------------------------------------------- classification


@kernel
def bce_with_logits(
    logits: Any, targets: Any, weight: Any = None, *, reduction: str = "mean"
) -> Any:
    """Binary cross-entropy, -t log s(x) - (1 - t) log(1 - s(x)) = log(1 + exp(x)) - t x for a logit x, s the sigmoid.

    targets, in [0, 1], have the shape of the logits or are one number; so is `weight`, which multiplies each loss.
    """
    losses = np.logaddexp(0, logits) - _numbers(targets, logits.dtype) * logits
    return _reduce(losses if weight is None else losses * weight, reduction)


@bce_with_logits.forward
def _(logits: Any, targets: Any, weight: Any, reduction: str, needs: Sequence[bool]) -> Any:
    """log(1 + exp(x)) as max(x, 0) + log1p(exp(-|x|)): nothing overflows, and nothing small is lost. With the same
    exponential e, s(x) is 1 / (1 + e) for a positive x and e / (1 + e) else, and the slope s(x) - t."""
    _check_targets("targets", targets, "logits", logits)
    _check_targets("weight", weight, "logits", logits)
    targets, slope = _numbers(targets, logits.dtype), None
    e = np.exp(-np.abs(logits))
    losses = np.log1p(e) + np.maximum(logits, 0) - targets * logits
    if needs[0]:
        slope = np.maximum(logits > 0, e) / (1 + e) - targets
    return _reduce_array(losses if weight is None else losses * weight, reduction), slope


@bce_with_logits.backward
def _(g: Any, logits: Any, weight: Any, saved: Any, reduction: str, needs: Sequence[bool]) -> Any:
    """d logits = (s(x) - t) g, d targets = -x g."""
    g = _share(g, logits.size, reduction)
    g = g if weight is None else g * weight
    return saved * g if needs[0] else None, -logits * g if needs[1] else None


@kernel
def cross_entropy(
    logits: Any,
    labels: Any,
    weight: Any = None,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """-sum_c q_c log softmax(logits)_c, where q is 1 at the label: the negative log-likelihood of the labels.

    logits (..., C) and integer labels (...); `weight` (C,) multiplies q. Label smoothing e sets q to 1 - e at the label
    and adds e / C everywhere (Szegedy et al. 2016, section 7). Labels equal to `ignore_index` count for nothing. The
    mean is over the labels that count, each with the weight of its class, as in PyTorch; but the classes are on the
    last axis.
    """
    logp, classes = log_softmax.reference(logits), logits.shape[-1]
    counts = labels != ignore_index
    label = np.where(counts, labels, 0)[..., None]
    weights = np.ones(classes, logits.dtype) if weight is None else weight
    shares = np.where(counts, weights[label[..., 0]], 0)  # the weight of each label
    losses = -(1 - label_smoothing) * shares * np.take_along_axis(logp, label, -1)[..., 0]
    if label_smoothing:
        losses = losses - label_smoothing / classes * np.where(
            counts, np.sum(weights * logp, axis=-1), 0
        )
    return np.sum(losses) / np.sum(shares) if reduction == "mean" else _reduce(losses, reduction)


@cross_entropy.forward
def _(
    logits: Any,
    labels: Any,
    weight: Any,
    label_smoothing: float,
    ignore_index: int,
    reduction: str,
    needs: Sequence[bool],
) -> Any:
    """Row by row L = Q log sum exp(x) - sum q x with Q = sum q, so dL/dx = Q softmax(x) - q.

    x is taken relative to the label's logit, so that without smoothing L = Q log sum exp(x); where that could overflow,
    relative to the largest.
    """
    ignored = _check_labels(logits, labels, weight, label_smoothing, ignore_index, reduction)
    classes = logits.shape[-1]
    x, label = logits.reshape(-1, classes), labels.reshape(-1)  # (rows, C), (rows,)
    rows = np.arange(len(x))
    if ignored is not None:
        x, label = x.copy(), label.copy()
        x[ignored], label[ignored] = 0, 0
    share = (
        np.ones(len(x), x.dtype) if weight is None else weight.astype(x.dtype)[label]
    )  # the weight of each label
    if ignored is not None:
        share[ignored] = 0
    x = _shifted(x, x[rows, label])
    e = np.exp(x)
    norm = total(e, 1)[:, 0]
    losses, q, Q = np.log(norm) - x[rows, label], share, share
    if label_smoothing:
        smooth = np.full(classes, label_smoothing / classes, x.dtype)
        smooth = smooth if weight is None else smooth * weight.astype(x.dtype)
        q = share * x.dtype.type(1 - label_smoothing)
        Q = q + np.add.reduce(smooth)
        losses = Q * np.log(norm) - q * x[rows, label] - np.dot(x, smooth)
    elif weight is not None or ignored is not None:
        losses *= share
    if ignored is not None:
        losses[ignored] = 0
    denominator = np.add.reduce(share) if reduction == "mean" else x.dtype.type(1)
    value = (
        losses.reshape(logits.shape[:-1])
        if reduction == "none"
        else np.add.reduce(losses) / denominator
    )
    if not needs[0]:
        return value, None
    e *= (Q / (denominator * norm))[:, None]
    e[rows, label] -= q / denominator
    if label_smoothing:
        e -= smooth / denominator
    if ignored is not None:
        e[ignored] = 0
    return value, e.reshape(logits.shape)


def _shifted(x: np.ndarray, own: np.ndarray) -> np.ndarray:
    """x (rows, C) less the logit of the label, or where a row is far above that, less the row's largest."""
    with np.errstate(invalid="ignore"):  # inf - inf: is not below SAFE
        shifted = x - own[:, None]
    if np.maximum.reduce(shifted, axis=None, initial=0) < SAFE:
        return np.asarray(shifted)
    return np.asarray(x - np.maximum.reduce(x, axis=1, keepdims=True))


@cross_entropy.backward
def _(g: Any, saved: Any, reduction: str, needs: Sequence[bool]) -> Any:
    if not needs[0]:
        return None
    return saved * g[..., None] if reduction == "none" else saved if g == 1 else saved * g


def _check_labels(
    logits: Any, labels: Any, weight: Any, label_smoothing: float, ignore_index: int, reduction: str
) -> np.ndarray | None:
    """The places of labels that are ignored, in the flat array; None if there are none."""
    classes = logits.shape[-1] if logits.ndim else 0
    dtype = getattr(labels, "dtype", None)
    if dtype is None or dtype.kind not in "iu":
        raise TypeError(
            f"labels are an array of integers, one class number each, not {dtype or type(labels).__name__}"
        )
    if labels.shape != logits.shape[:-1] or not logits.ndim:
        raise ValueError(
            f"labels have shape {labels.shape}; for logits of shape {logits.shape}, (..., C), it is {logits.shape[:-1]}"
        )
    if weight is not None and weight.shape != (classes,):
        raise ValueError(
            f"weight has shape {weight.shape}; it is one number per class, ({classes},)"
        )
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing lies between 0 and 1, not {label_smoothing}")
    _check_reduction(reduction)
    if not labels.size or (
        np.minimum.reduce(labels, axis=None) >= 0 and np.maximum.reduce(labels, axis=None) < classes
    ):
        ignored = (
            np.flatnonzero(labels == ignore_index)
            if 0 <= ignore_index < classes
            else np.empty(0, int)
        )
    else:
        ignored = np.flatnonzero(labels == ignore_index)
        wrong = np.argwhere(((labels < 0) | (labels >= classes)) & (labels != ignore_index))
        if len(wrong):
            place = tuple(map(int, wrong[0]))
            raise ValueError(
                f"the label {labels[place]} at {place} is none of the classes 0 to {classes - 1}, nor ignore_index, "
                f"{ignore_index}"
            )
    if ignored.size == labels.size and reduction == "mean":
        raise ValueError(
            f'every label is ignore_index ({ignore_index}), so there is no mean; reduction="sum" gives 0'
        )
    return ignored if ignored.size else None
