"""Group normalisation, perhaps with an activation: the usual pair in the networks of diffusion."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..engine.arguments import choice, real, whole
from ..typing import Array, Gradients
from .activation import silu
from .fast.lines import Lines
from .kernel import kernel
from .norm import check_shape, deviation, unit_of

# What backward keeps: mean and 1 / sqrt(variance + eps), (N, groups, 1), and twice the slope of the
# activation, (N, rows, length), if there is one.
Saved = tuple[np.ndarray, np.ndarray, np.ndarray | None]


@kernel
def group_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    groups: int,
    eps: float = 1e-5,
    activation: str | None = None,
) -> Array:
    """(x - mean) / sqrt(variance + eps) over each group of channels of each sample (Wu & He 2018).

    x (N, C, ...), weight and bias (C,); groups divides C. `activation`: None, or "silu" of it.
    """
    n, c, *image = x.shape
    rows = np.reshape(x, (n, groups, c // groups * math.prod(image)))  # (N, groups, C/groups ...)
    centred = rows - np.mean(rows, axis=-1, keepdims=True)
    y = np.reshape(centred / deviation(centred, -1, eps), x.shape)
    shape = (c, *[1] * (x.ndim - 2))  # (C, 1, ...)
    if weight is not None:
        y = y * np.reshape(weight, shape)
    if bias is not None:
        y = y + np.reshape(bias, shape)
    return y if activation is None else silu.reference(y)


@group_norm.forward
def _(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    groups: int,
    eps: float,
    activation: str | None,
    needs: Sequence[bool],
) -> tuple[np.ndarray, Saved]:
    check_group_norm(x, weight, bias, groups, eps, activation)
    lines = Lines(x, groups)
    factor = 0.5 if activation else 1.0  # see `silu_of_double`
    gain = gain_of(weight, lines, factor)
    shift = shift_of(bias, lines, factor)
    rows = lines.of(x)
    y = np.empty(lines.shape, x.dtype)
    slope = np.empty(lines.shape, x.dtype) if activation and any(needs) else None
    mean, scale = np.empty((2, len(x), groups, 1), x.dtype)
    for block in lines.blocks():
        mean[block] = lines.mean(rows[block])
        u = rows[block] - lines.along(mean[block])
        scale[block] = inverse_deviation(u, lines, eps, y[block])
        u *= lines.along(scale[block] * gain)
        if activation is None:
            np.add(u, shift, out=y[block])
            continue
        u += shift
        silu_of_double(u, y[block], None if slope is None else slope[block])
    return lines.back(y), (mean, scale, slope)


@group_norm.backward
def _(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    saved: Saved,
    groups: int,
    needs: Sequence[bool],
) -> Gradients:
    """dbias = sum(h) and dweight = sum(h z) with h = g activation' and the normal z.

    With k = weight h, dx = scale (k - mean(k) - z mean(k z)): k without its parts along the
    constant and along z. Sums over the pixels serve all three.
    """
    lines = Lines(x, groups)
    mean, scale, slope = saved
    rows, cotangents = lines.of(x), lines.of(g)
    factor = 1.0 if slope is None else 0.5  # of h below, see `silu_of_double`
    gain = gain_of(weight, lines, factor)
    sum_h, sum_hz = np.empty((2, len(x), *gain.shape[1:]), x.dtype)
    dx = np.empty(lines.shape, x.dtype) if needs[0] else None
    for block in lines.blocks():
        s, h = scale[block], cotangents[block]
        if slope is not None:
            h = h * slope[block]
        centred = rows[block] - lines.along(mean[block])
        unit = to_unit(centred, s, lines)
        sum_h[block] = lines.total(h)
        sum_hz[block] = unit * lines.total(h * centred)
        if dx is None:
            continue
        mean_k = lines.over_groups(gain * sum_h[block])
        mean_kz = lines.over_groups(gain * sum_hz[block])
        centred *= lines.along(s * unit * mean_kz)
        centred += lines.along(s * mean_k)
        k = h * lines.along(s * gain)  # times the scale
        np.subtract(k, centred, out=dx[block])
    dweight = sum_hz.sum(axis=0).reshape(-1) * x.dtype.type(factor)
    dbias = sum_h.sum(axis=0).reshape(-1) * x.dtype.type(factor)
    return None if dx is None else lines.back(dx), dweight, dbias


@group_norm.jvp
def _(
    x_dot: np.ndarray | None,
    weight_dot: np.ndarray | None,
    bias_dot: np.ndarray | None,
    x: np.ndarray,
    weight: np.ndarray | None,
    saved: Saved,
    groups: int,
) -> np.ndarray:
    """y' = activation' (weight z' + weight' z + bias') with the normal z.

    z' = scale (x' - mean(x') - z mean(x' z)), as in `layer_norm`. With c = x - mean, z = scale c;
    that is a sum of x', c and 1, each times numbers of its channel and sample.
    """
    lines = Lines(x, groups)
    mean, scale, slope = saved
    factor = 1.0 if slope is None else 0.5  # as in forward
    gain = gain_of(weight, lines, factor)
    gain_dot = np.zeros_like(gain) if weight_dot is None else gain_of(weight_dot, lines, factor)
    shift_dot = np.zeros_like(gain) if bias_dot is None else gain_of(bias_dot, lines, factor)
    rows = lines.of(x)
    tangents = None if x_dot is None else lines.of(x_dot)
    y_dot = np.empty(lines.shape, x.dtype)
    for block in lines.blocks():
        s, d = scale[block], y_dot[block]
        c = rows[block] - lines.along(mean[block])
        unit = to_unit(c, s, lines)
        along_c, along_one = unit * gain_dot, shift_dot
        if tangents is not None:
            h = tangents[block]
            mean_hc = lines.mean(np.multiply(h, c, out=d))
            along_c = along_c - s * gain * unit * unit * mean_hc
            along_one = along_one - s * gain * lines.mean(h)
        c *= lines.along(along_c)
        if tangents is None:
            d[...] = c
        else:
            np.multiply(h, lines.along(s * gain), out=d)
            d += c
        d += lines.along(along_one)
        if slope is not None:
            d *= slope[block]
    return lines.back(y_dot)


def inverse_deviation(
    centred: np.ndarray,
    lines: Lines,
    eps: float,
    squares: np.ndarray,
) -> np.ndarray:
    """1 / sqrt(variance + eps), (n, groups, 1), as in `norm`. Overwrites `squares`."""
    with np.errstate(over="ignore"):
        np.multiply(centred, centred, out=squares)
        scale = 1 / np.sqrt(lines.mean(squares) + eps)
    if np.count_nonzero(scale) == scale.size:
        return scale
    unit = unit_of(lines.mean(np.abs(centred)), scale == 0)
    part = centred / lines.along(unit)
    np.multiply(part, part, out=squares)
    return 1 / np.sqrt(lines.mean(squares) + eps / unit / unit) / unit


def to_unit(centred: np.ndarray, scale: np.ndarray, lines: Lines) -> np.ndarray:
    """What makes the normal z of `centred`: the scale, (n, groups, 1).

    If the square of a scale may underflow, `centred` becomes z itself here, and it is 1.
    """
    if np.minimum.reduce(scale, axis=None, initial=1) > np.finfo(scale.dtype).tiny ** 0.25:
        return scale
    centred *= lines.along(scale)
    return np.ones_like(scale)


def silu_of_double(
    u: np.ndarray,
    y: np.ndarray,
    slope: np.ndarray | None,
) -> None:
    """y = silu(2 u) and, unless it is None, slope = 2 silu'(2 u). Overwrites u.

    With a = 1 + tanh(u), which is 2 sigmoid(2 u), y = u a and slope = a + u a (2 - a). It is fast
    because the factors 1/2 that a sigmoid by tanh needs are not in it: they stand in the weight and
    the bias, a few numbers each, and in the sums of the gradient. Where tanh(u) nears -1, a and y
    are exact to a unit in the last place of 1 and of u, not of themselves.
    """
    a = np.tanh(u, out=slope)
    a += 1
    np.multiply(u, a, out=y)
    if slope is not None:
        np.subtract(2, a, out=u)
        u *= y
        slope += u


def gain_of(weight: np.ndarray | None, lines: Lines, factor: float) -> np.ndarray:
    """The weight times a factor: (1, groups, C/groups)."""
    if weight is None:
        weight = np.ones(lines.channels, lines.dtype)
    return lines.by_group(weight * lines.dtype.type(factor))


def shift_of(bias: np.ndarray | None, lines: Lines, factor: float) -> np.ndarray:
    """The bias times a factor, along a row: (1, 1, length)."""
    if bias is None:
        bias = np.zeros(lines.channels, lines.dtype)
    return lines.along(lines.by_group(bias * lines.dtype.type(factor)))


def check_group_norm(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    groups: int,
    eps: float,
    activation: str | None,
) -> None:
    """Raise TypeError or ValueError if the arguments do not fit."""
    whole("groups", groups)
    real("eps", eps)
    if x.ndim < 2 or x.shape[1] % groups:
        raise ValueError(
            f"{groups} groups do not divide the channels of x, of shape {x.shape}: (N, C, ...)"
        )
    choice("activation", activation, (None, "silu"))
    check_shape("weight", weight, x.shape[1:2], x)
    check_shape("bias", bias, x.shape[1:2], x)
