"""Normalisation: the same formula along different axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ..engine.arguments import function, real, whole
from ..machine import aligned
from ..tensor import unwrap
from ..typing import Array, Axis, Gradients, Shape
from .fast.layout import as_rows, channels_first, channels_last
from .fast.reduction import mean_along, mean_of_products, sum_of_rows
from .fast.tiles import blocks
from .kernel import formula, kernel

Average = Callable[[Any], Any]  # of a statistic, over the shares of a batch
Observer = Callable[[np.ndarray, np.ndarray], object]


def identity(statistic: Array) -> Array:
    """The average over a batch that is whole."""
    return statistic


def deviation(
    centred: Array,
    axes: Axis,
    eps: float,
    average: Average = identity,
) -> Array:
    """sqrt(mean(centred^2) + eps) over some axes, which are kept at length 1.

    Where the squares overflow they are taken in another unit, which changes nothing else.
    """
    with np.errstate(over="ignore"):
        variance = average(np.mean(centred * centred, axis=axes, keepdims=True))
    if np.all(np.isfinite(unwrap(variance))):
        return np.sqrt(variance + eps)
    size = average(np.mean(np.abs(unwrap(centred)), axis=axes, keepdims=True))
    unit = unit_of(size, np.isinf(unwrap(variance)))
    part = centred / unit
    variance = average(np.mean(part * part, axis=axes, keepdims=True))
    return np.sqrt(variance + eps / unit / unit) * unit


def inverse_deviation(
    centred: np.ndarray,
    axis: int,
    eps: float,
    average: Average = identity,
) -> tuple[np.ndarray, np.ndarray]:
    """1 / sqrt(variance + eps) over an axis, kept at length 1, as `deviation`; the variance."""
    with np.errstate(over="ignore"):
        variance = average(mean_of_products(centred, centred, axis))
    scale = 1 / np.sqrt(variance + eps)
    if np.count_nonzero(scale) == scale.size:
        return scale, variance
    size = average(mean_along(np.abs(centred), axis))
    unit = unit_of(size, scale == 0)
    part = centred / unit
    variance_of_part = average(mean_of_products(part, part, axis))
    return 1 / np.sqrt(variance_of_part + eps / unit / unit) / unit, variance


def unit_of(size: np.ndarray, huge: np.ndarray) -> np.ndarray:
    """The power of two below a size where that is `huge`, 1 elsewhere: exact to divide by."""
    _, exponent = np.frexp(size)
    return np.where(huge, np.ldexp(np.ones_like(size), exponent - 1), np.ones_like(size))


@kernel(inert=("observe",))
def batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    mean: np.ndarray | None = None,
    variance: np.ndarray | None = None,
    observe: Observer | None = None,
    average: Average = identity,
) -> Array:
    """(x - mean) / sqrt(variance + eps) * weight + bias, channel by channel.

    That is Ioffe & Szegedy 2015, algorithm 1. x is (N, C) or (N, C, ...); weight, bias, mean and
    variance are (C,). Without mean and variance those of the batch are taken, over all axes but the
    channels' (the biased variance), and the gradient runs through them; given, they are constants
    (evaluation). `observe(mean, variance)` gets the batch's, for running averages. If x is one of
    several equal shares of a batch, `average` takes the mean of a statistic over the shares
    (`parallel.average`).
    """
    axes = (0, *range(2, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)  # (1, C, 1, ...)
    if mean is None or variance is None:
        centred = x - average(np.mean(x, axis=axes, keepdims=True))
        y = centred / deviation(centred, axes, eps, average)
    else:
        y = (x - np.reshape(mean, shape)) / np.sqrt(np.reshape(variance, shape) + eps)
    if weight is not None:
        y = y * np.reshape(weight, shape)
    return y if bias is None else y + np.reshape(bias, shape)


@batch_norm.forward
def _(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
    mean: np.ndarray | None,
    variance: np.ndarray | None,
    observe: Observer | None,
    average: Average,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    real("eps", eps)
    function("average", average)
    if observe is not None:
        function("observe", observe)
    if x.ndim < 2:
        raise ValueError(
            f"x has shape {x.shape}; it is (N, C) or (N, C, ...), with the channels on axis 1"
        )
    if (mean is None) != (variance is None):
        raise ValueError("mean and variance are given both (evaluation) or not at all (training)")
    for name, value in (("weight", weight), ("bias", bias), ("mean", mean), ("variance", variance)):
        check_shape(name, value, x.shape[1:2], x)
    rows = as_rows(channels_last(x))
    if mean is None or variance is None:
        normal, scale, mean, variance = standardise(rows, eps, average)
        if observe is not None:
            observe(mean, variance)
    else:
        scale = (1 / np.sqrt(variance + eps)).astype(x.dtype, copy=False)
        normal = (rows - mean.astype(x.dtype, copy=False)) * scale
    y = affine(normal, weight, bias)
    return like_images(y, x.shape), (normal, scale)


@batch_norm.backward
def _(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    saved: tuple[np.ndarray, np.ndarray],
    mean: np.ndarray | None,
    average: Average,
    needs: Sequence[bool],
) -> Gradients:
    """dweight = sum(g z), dbias = sum(g) and, in evaluation, dx = weight scale g.

    In training dx is the same of g without its parts along the constant and along z, for which the
    two sums serve again (over all shares of the batch).
    """
    normal, scale = saved
    rows = as_rows(channels_last(g))
    through = needs[0] and mean is None
    dx = dweight = dbias = None
    if needs[1] or through:
        dweight = sum_of_rows(rows * normal)
    if needs[2] or through:
        dbias = sum_of_rows(rows)
    if needs[0]:
        if through:
            along_z, along_one = average(np.array([dweight, dbias]) / len(rows))
            rows = rows - (normal * along_z + along_one)
        dx = rows * (scale if weight is None else scale * weight)
        dx = like_images(dx, x.shape)
    return dx, dweight if needs[1] else None, dbias if needs[2] else None


@batch_norm.jvp
def _(
    x_dot: np.ndarray | None,
    weight_dot: np.ndarray | None,
    bias_dot: np.ndarray | None,
    x: np.ndarray,
    weight: np.ndarray | None,
    saved: tuple[np.ndarray, np.ndarray],
    mean: np.ndarray | None,
    average: Average,
) -> np.ndarray:
    """y' = weight z' + weight' z + bias' with z' = scale (x' - mean(x') - z mean(x' z)).

    In evaluation z' = scale x'. Means are taken over all shares of the batch.
    """
    z, scale = saved
    gain = scale if weight is None else scale * weight  # of x'
    along_z = np.zeros_like(scale) if weight_dot is None else weight_dot
    along_one = np.zeros_like(scale) if bias_dot is None else bias_dot
    y_dot = None
    if x_dot is not None:
        rows = as_rows(channels_last(x_dot))
        y_dot = rows * gain
        if mean is None:
            means = np.concatenate([mean_of_products(rows, z, 0), mean_along(rows, 0)])  # (2, C)
            mean_z, mean_one = average(means)
            along_z = along_z - gain * mean_z
            along_one = along_one - gain * mean_one
    if y_dot is None or mean is None or weight_dot is not None:
        product = z * along_z
        y_dot = product if y_dot is None else np.add(y_dot, product, out=product)
    y_dot += along_one
    return like_images(y_dot, x.shape)


def standardise(
    x: np.ndarray,
    eps: float,
    average: Average,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows (rows, C) as z = (x - mean) / sqrt(variance + eps), channel by channel.

    Also 1 / sqrt(variance + eps), mean and variance, (C,) each.
    """
    mean = average(mean_along(x, 0))  # (1, C)
    z = x - mean
    scale, variance = inverse_deviation(z, 0, eps, average)
    z *= scale
    return z, scale[0], mean[0], variance[0]


def like_images(rows: np.ndarray, shape: Shape) -> np.ndarray:
    """(rows, C) -> (N, C, ...), contiguous."""
    if len(shape) == 2:
        return rows
    n, channels, *pixels = shape
    return np.ascontiguousarray(channels_first(rows.reshape(n, *pixels, channels)))


def affine(
    z: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
) -> np.ndarray:
    """z weight + bias."""
    z = z if weight is None else z * weight
    return z if bias is None else z + bias


@kernel
def layer_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    shape: Shape | None = None,
) -> Array:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last axes of x.

    That is Ba, Kiros & Hinton 2016, equation 4. weight and bias have the shape of the axes that are
    normalised; without a weight it is `shape`, by default the last.
    """
    dimensions = len(shape or (0,)) if weight is None else weight.ndim
    axes = tuple(range(-dimensions, 0))
    centred = x - np.mean(x, axis=axes, keepdims=True)
    y = centred / deviation(centred, axes, eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


@layer_norm.forward
def _(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
    shape: Shape | None,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    real("eps", eps)
    shape = normalised_shape(x, weight, bias, shape)
    rows = x.reshape(-1, prod(shape))
    gain = None if weight is None else weight.reshape(-1)
    shift = None if bias is None else bias.reshape(-1)
    given = [a for a in (x, weight, bias) if a is not None]
    y = aligned(rows.shape, np.result_type(*given))
    normal = aligned(rows.shape, x.dtype)
    scale = np.empty((len(rows), 1), x.dtype)
    for part in blocks(len(rows), prod(shape)):
        z = np.subtract(rows[part], mean_along(rows[part], 1), out=normal[part])
        scale[part], _ = inverse_deviation(z, 1, eps)
        z *= scale[part]
        np.multiply(z, 1 if gain is None else gain, out=y[part])
        if shift is not None:
            y[part] += shift
    return y.reshape(x.shape), (normal, scale)


@layer_norm.backward
def _(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    saved: tuple[np.ndarray, np.ndarray],
    needs: Sequence[bool],
) -> Gradients:
    """dx = scale (h - mean(h) - z mean(h z)) with h = weight g.

    That is h without its parts along the constant and along z. mean(h) and mean(h z) are products
    of g and g z with the weight, and the sums of both over rows are dbias and dweight.
    """
    normal, scale = saved
    size = normal.shape[1]
    rows = g.reshape(normal.shape)
    gain = np.ones(size, normal.dtype) if weight is None else weight.reshape(-1)
    averaging = gain / size
    dx = aligned(normal.shape, normal.dtype) if needs[0] else None
    dgain = np.zeros(size, normal.dtype)
    dshift = np.zeros(size, normal.dtype)
    for part in blocks(len(rows), size):
        h, z = rows[part], normal[part]
        hz = h * z
        dgain += sum_of_rows(hz)
        dshift += sum_of_rows(h)
        if dx is None:
            continue
        d = np.multiply(h, gain, out=dx[part])
        d -= np.multiply(z, np.dot(hz, averaging)[:, None], out=hz)
        d -= np.dot(h, averaging)[:, None]
        d *= scale[part]
    dweight = dbias = None
    if needs[1] and weight is not None:
        dweight = dgain.reshape(weight.shape)
    if needs[2] and bias is not None:
        dbias = dshift.reshape(bias.shape)
    return None if dx is None else dx.reshape(x.shape), dweight, dbias


@layer_norm.jvp
def _(
    x_dot: np.ndarray | None,
    weight_dot: np.ndarray | None,
    bias_dot: np.ndarray | None,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None,
    saved: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """y' = weight z' + weight' z + bias' with z' = scale (x' - mean(x') - z mean(x' z))."""
    normal, scale = saved
    size = normal.shape[1]
    rows_dot = None if x_dot is None else x_dot.reshape(normal.shape)
    y_dot = aligned(normal.shape, y.dtype)
    for part in blocks(len(normal), size):
        z, d = normal[part], y_dot[part]
        if rows_dot is None:
            d[...] = 0
        else:
            h = rows_dot[part]
            np.multiply(z, -mean_of_products(h, z, 1), out=d)
            d += h
            d -= mean_along(h, 1)
            d *= scale[part]
            if weight is not None:
                d *= weight.reshape(-1)
        if weight_dot is not None:
            d += z * weight_dot.reshape(-1)
        if bias_dot is not None:
            d += bias_dot.reshape(-1)
    return y_dot.reshape(x.shape)


@formula
def rms_norm(
    x: Array,
    weight: Array | None = None,
    *,
    eps: float = 1e-5,
    shape: Shape | None = None,
) -> Array:
    """x / sqrt(mean(x^2) + eps) * weight over the last axes of x (Zhang & Sennrich 2019).

    The axes are those of `layer_norm`.
    """
    real("eps", eps)
    weights = None if weight is None else unwrap(weight)
    dimensions = len(normalised_shape(unwrap(x), weights, None, shape))
    y = x / deviation(x, tuple(range(-dimensions, 0)), eps)
    return y if weight is None else y * weight


def normalised_shape(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    shape: Shape | None,
) -> Shape:
    """The shape of the axes that `layer_norm` normalises.

    Raises ValueError if the parameters do not have that shape, or x does not end in it.
    """
    if shape is not None and not isinstance(shape, (tuple, list)):
        raise TypeError(f"shape is that of the axes to normalise, not {shape!r}")
    if shape is not None:
        shape = tuple(whole("shape", size) for size in shape)
    elif weight is not None:
        shape = weight.shape
    shape = shape or x.shape[-1:]
    check_shape("weight", weight, shape, x)
    check_shape("bias", bias, shape, x)
    if not shape or x.shape[x.ndim - len(shape) :] != shape:
        raise ValueError(
            f"x of shape {x.shape} does not end in the shape that is normalised, {shape}"
        )
    return shape


def check_shape(
    name: str,
    value: np.ndarray | None,
    shape: Shape,
    x: np.ndarray,
) -> None:
    """Raise ValueError if a parameter of a normalisation of x has another shape."""
    if value is not None and value.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}; for x of shape {x.shape} it is {shape}")
