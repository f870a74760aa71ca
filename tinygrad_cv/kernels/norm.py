"""Normalisation: the same formula along different axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ..machine import aligned
from .kernel import kernel
from .reduction import mean, mean_product, total, total_product
from .tiles import spans


@kernel
def batch_norm(
    x: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    eps: float = 1e-5,
    mean: Any = None,
    variance: Any = None,
    observe: Callable[[np.ndarray, np.ndarray], object] | None = None,
    average: Callable[[Any], Any] = lambda part: part,
) -> Any:
    """(x - mean) / sqrt(variance + eps) * weight + bias, channel by channel (Ioffe & Szegedy 2015, algorithm 1).

    x is (N, C) or (N, C, ...); weight, bias, mean and variance are (C,). Without mean and variance those of the batch
    are taken, over all axes but the channels' (the biased variance), and the gradient runs through them; given, they
    are constants (evaluation). `observe(mean, variance)` is told the batch's, for running averages. If x is one of
    several equal shares of a batch, `average` takes the mean of a statistic over the shares (`parallel.average`).
    """
    axes, shape = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)  # (1, C, 1, ...)
    if mean is None:
        centred = x - average(np.mean(x, axis=axes, keepdims=True))
        variance = average(np.mean(centred * centred, axis=axes, keepdims=True))
    else:
        centred, variance = x - np.reshape(mean, shape), np.reshape(variance, shape)
    y = centred / np.sqrt(variance + eps)
    y = y if weight is None else y * np.reshape(weight, shape)
    return y if bias is None else y + np.reshape(bias, shape)


@batch_norm.forward
def _(
    x: Any, weight: Any, bias: Any, eps: float, mean: Any, variance: Any, observe: Any, average: Any
) -> Any:
    if x.ndim < 2:
        raise ValueError(
            f"x has shape {x.shape}; it is (N, C) or (N, C, ...), with the channels on axis 1"
        )
    if (mean is None) != (variance is None):
        raise ValueError("mean and variance are given both (evaluation) or not at all (training)")
    for name, value in (("weight", weight), ("bias", bias), ("mean", mean), ("variance", variance)):
        _check_shape(name, value, x.shape[1:2], x)
    rows = _channels_last(x)
    if mean is None:
        normal, scale, mean, variance = standardise(rows, 0, eps, average)
        if observe is not None:
            observe(mean[0], variance[0])
    else:
        scale = (1 / np.sqrt(variance + eps)).astype(x.dtype, copy=False)
        normal = (rows - mean.astype(x.dtype, copy=False)) * scale
    return _channels_first(_affine(normal, weight, bias), x.shape), (normal, scale)


@batch_norm.backward
def _(
    g: Any,
    x: Any,
    weight: Any,
    bias: Any,
    saved: Any,
    mean: Any,
    average: Any,
    needs: Sequence[bool],
) -> Any:
    """dweight = sum(g z), dbias = sum(g); dx = weight scale g in evaluation, and in training the same of g without its
    parts along the constant and along z, for which the two sums serve again (over all shares of the batch)."""
    normal, scale = saved
    rows = _channels_last(g)
    through = needs[0] and mean is None
    dweight: Any = total_product(rows, normal, 0) if needs[1] or through else None  # (1, C)
    dbias: Any = total(rows, 0) if needs[2] or through else None
    dx = None
    if needs[0]:
        dx = rows
        if through:
            along_z, along_one = average(np.concatenate([dweight, dbias]) / len(rows))  # (C,), (C,)
            dx = rows - (normal * along_z + along_one)
        dx = _channels_first(dx * (scale if weight is None else scale * weight), x.shape)
    return dx, dweight[0] if needs[1] else None, dbias[0] if needs[2] else None


@kernel
def layer_norm(
    x: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    eps: float = 1e-5,
    shape: tuple[int, ...] | None = None,
) -> Any:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last axes of x (Ba, Kiros & Hinton 2016, equation 4).

    weight and bias have the shape of the axes that are normalised; without a weight it is `shape`, by default the last.
    """
    axes = tuple(range(-(len(shape or (0,)) if weight is None else weight.ndim), 0))
    centred = x - np.mean(x, axis=axes, keepdims=True)
    y = centred / np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


@layer_norm.forward
def _(x: Any, weight: Any, bias: Any, eps: float, shape: tuple[int, ...] | None) -> Any:
    shape = weight.shape if weight is not None else shape or x.shape[-1:]
    for name, value in (("weight", weight), ("bias", bias)):
        _check_shape(name, value, shape, x)
    if not shape or x.shape[x.ndim - len(shape) :] != tuple(shape):
        raise ValueError(
            f"x of shape {x.shape} does not end in the shape that is normalised, {tuple(shape)}"
        )
    rows = x.reshape(-1, prod(shape))
    gain, shift = _flat(weight), _flat(bias)
    y = aligned(rows.shape, np.result_type(x, *(a for a in (weight, bias) if a is not None)))
    normal, scale = aligned(rows.shape, x.dtype), np.empty((len(rows), 1), x.dtype)
    for part in spans(*rows.shape):
        z = np.subtract(rows[part], mean(rows[part], 1), out=normal[part])
        np.divide(1, np.sqrt(mean_product(z, z, 1) + eps), out=scale[part])
        z *= scale[part]
        np.multiply(z, 1 if gain is None else gain, out=y[part])
        if shift is not None:
            y[part] += shift
    return y.reshape(x.shape), (normal, scale)


@layer_norm.backward
def _(g: Any, x: Any, weight: Any, bias: Any, saved: Any, needs: Sequence[bool]) -> Any:
    """dx = scale (h - mean(h) - z mean(h z)) with h = weight g: without its parts along the constant and along z.

    mean(h) and mean(h z) are products of g and g z with the weight, and the sums of both over rows dbias and dweight.
    """
    normal, scale = saved
    rows, size = g.reshape(normal.shape), normal.shape[1]
    gain = np.ones(size, normal.dtype) if weight is None else _flat(weight)
    dx = aligned(normal.shape, normal.dtype) if needs[0] else None
    dgain, dshift = np.zeros((2, size), normal.dtype)
    for part in spans(*rows.shape):
        h, z = rows[part], normal[part]
        hz = h * z
        dgain += total(hz, 0)[0]
        dshift += total(h, 0)[0]
        if dx is not None:
            d = np.multiply(h, gain, out=dx[part])
            d -= np.multiply(z, np.dot(hz, gain / size)[:, None], out=hz)
            d -= np.dot(h, gain / size)[:, None]
            d *= scale[part]
    return (
        None if dx is None else dx.reshape(x.shape),
        dgain.reshape(weight.shape) if needs[1] else None,
        dshift.reshape(bias.shape) if needs[2] else None,
    )


# ------------------------------------------------------------------------------------------------------ what they share


def standardise(
    x: np.ndarray, axis: int, eps: float, average: Callable[[Any], Any] = lambda part: part
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """z = (x - mean) / sqrt(variance + eps) along an axis of a matrix; 1 / sqrt(variance + eps), mean, variance."""
    centre = average(mean(x, axis))
    z = x - centre
    variance = average(mean_product(z, z, axis))
    scale = 1 / np.sqrt(variance + eps)
    z *= scale
    return z, scale, centre, variance


def _affine(z: Any, weight: Any, bias: Any) -> Any:
    z = z if weight is None else z * weight
    return z if bias is None else z + bias


def _channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, ...) -> (rows, C)."""
    return x if x.ndim == 2 else np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def _channels_first(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(rows, C) -> (N, C, ...)."""
    if len(shape) == 2:
        return rows
    return np.ascontiguousarray(np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1))


def _flat(value: Any) -> Any:
    return None if value is None else value.reshape(-1)


def _check_shape(name: str, value: Any, shape: tuple[int, ...], x: np.ndarray) -> None:
    if value is not None and value.shape != tuple(shape):
        raise ValueError(
            f"{name} has shape {value.shape}; for x of shape {x.shape} it is {tuple(shape)}"
        )
