"""Group normalisation, perhaps with an activation: the usual pair in the networks of diffusion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from ..machine import GROUP_NORM_BLOCK, GROUP_NORM_ROW
from ..typing import Array, Gradients
from .activation import silu
from .fast.layout import channels_first, channels_last
from .fast.reduction import sum_of_rows
from .fast.tiles import blocks
from .kernel import kernel
from .norm import check_shape


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
    n, c = x.shape[:2]
    rows = np.reshape(x, (n, groups, -1))  # (N, groups, C/groups ...)
    centred = rows - np.mean(rows, axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    y = np.reshape(centred / np.sqrt(variance + eps), x.shape)
    shape = (c, *[1] * (x.ndim - 2))
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
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    check_group_norm(x, weight, bias, groups, activation)
    lines = Lines(x, groups)
    factor = 0.5 if activation else 1.0  # see `silu_of_double`
    gain = lines.gain(weight, factor)
    shift = lines.shift(bias, factor)
    rows, y = lines.of(x), np.empty(lines.shape, x.dtype)
    slope = np.empty(lines.shape, x.dtype) if activation and any(needs) else None
    mean = np.empty((len(x), groups, 1), x.dtype)
    scale = np.empty((len(x), groups, 1), x.dtype)
    for block in lines.blocks():
        mean[block] = lines.mean(rows[block])
        u = rows[block] - lines.along(mean[block])
        variance = lines.mean(np.multiply(u, u, out=y[block]))
        scale[block] = 1 / np.sqrt(variance + eps)
        u *= lines.along(scale[block] * gain)
        if activation:
            u += shift
            silu_of_double(u, y[block], None if slope is None else slope[block])
        else:
            np.add(u, shift, out=y[block])
    return lines.back(y), (mean, scale, slope)


@group_norm.backward
def _(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    saved: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    groups: int,
    needs: Sequence[bool],
) -> Gradients:
    """dbias = sum(h) and dweight = sum(h z) with h = g activation' and the normal z.

    With k = weight h, dx = scale (k - mean(k) - z mean(k z)): k without its parts along the constant
    and along z. Sums over the pixels serve all three.
    """
    lines = Lines(x, groups)
    mean, scale, slope = saved
    rows, cotangents = lines.of(x), lines.of(g)
    factor = x.dtype.type(1 if slope is None else 0.5)  # h below is 1 / factor times h
    gain = lines.gain(weight, factor)
    sum_h = np.empty((len(x), *gain.shape), x.dtype)
    sum_hz = np.empty((len(x), *gain.shape), x.dtype)
    dx = np.empty(lines.shape, x.dtype) if needs[0] else None
    for block in lines.blocks():
        s = scale[block]
        h = cotangents[block] if slope is None else cotangents[block] * slope[block]
        centred = rows[block] - lines.along(mean[block])
        sum_h[block] = lines.total(h)
        sum_hz[block] = s * lines.total(h * centred)
        if dx is None:
            continue
        mean_k = lines.over_groups(gain * sum_h[block])
        mean_kz = lines.over_groups(gain * sum_hz[block])
        centred *= lines.along(s * s * mean_kz)
        centred += lines.along(s * mean_k)
        np.subtract(h * lines.along(s * gain), centred, out=dx[block])
    dweight = factor * sum_hz.sum(axis=0).reshape(-1)
    dbias = factor * sum_h.sum(axis=0).reshape(-1)
    return None if dx is None else lines.back(dx), dweight, dbias


def silu_of_double(u: np.ndarray, y: np.ndarray, slope: np.ndarray | None) -> None:
    """y = silu(2 u) and, unless it is None, slope = 2 silu'(2 u). Overwrites u.

    With a = 1 + tanh(u), which is 2 sigmoid(2 u), y = u a and slope = a + u a (2 - a). It is fast
    since tanh is, and since the factors 1/2 that a sigmoid by tanh needs stand in weight and bias,
    a few numbers, and in the sums of the gradient. Where tanh(u) nears -1, a and y are exact to a unit
    in the last place of 1 and of u, not of themselves.
    """
    a = np.tanh(u, out=slope)
    a += 1
    np.multiply(u, a, out=y)
    if slope is not None:
        np.subtract(2, a, out=u)
        u *= y
        slope += u


def check_group_norm(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    groups: int,
    activation: str | None,
) -> None:
    if x.ndim < 2 or x.shape[1] % groups:
        raise ValueError(
            f"{groups} groups do not divide the channels of x, of shape {x.shape}: (N, C, ...)"
        )
    if activation not in (None, "silu"):
        raise ValueError(f'activation is None or "silu", not {activation!r}')
    check_shape("weight", weight, x.shape[1:2], x)
    check_shape("bias", bias, x.shape[1:2], x)


class Lines:
    """Samples (N, C, ...) as rows (N, rows, length), with the channels last.

    A row is so many pixels, along which what belongs to the channels, (n, groups, C/groups or 1), is
    laid out, since NumPy is slow on rows of a few channels.
    """

    def __init__(self, x: np.ndarray, groups: int) -> None:
        n, channels, *image = x.shape
        self.dtype = x.dtype
        self.groups = groups
        self.channels = channels
        self.image = image
        self.pixels = prod(image)
        longest = min(self.pixels, GROUP_NORM_ROW // max(1, channels))
        divisors = (size for size in range(longest, 0, -1) if self.pixels % size == 0)
        self.across = next(divisors, 1)  # pixels in a row
        self.shape = (n, self.pixels // self.across, self.across * channels)

    def of(self, x: np.ndarray) -> np.ndarray:
        """(N, C, ...) -> (N, rows, length)."""
        return channels_last(x).reshape(self.shape)

    def back(self, rows: np.ndarray) -> np.ndarray:
        """A view: (N, rows, length) -> (N, C, ...)."""
        return channels_first(rows.reshape(len(rows), *self.image, self.channels))

    def gain(self, weight: np.ndarray | None, factor: float) -> np.ndarray:
        """The weight times a factor: (groups, C/groups)."""
        if weight is None:
            weight = np.ones(self.channels, self.dtype)
        return (weight * self.dtype.type(factor)).reshape(self.groups, -1)

    def shift(self, bias: np.ndarray | None, factor: float) -> np.ndarray:
        """The bias times a factor, along a row: (1, 1, length)."""
        if bias is None:
            bias = np.zeros(self.channels, self.dtype)
        return self.along((bias * self.dtype.type(factor)).reshape(self.groups, -1))

    def along(self, values: np.ndarray) -> np.ndarray:
        """What belongs to the channels, along a row: (n, groups, C/groups or 1) -> (n, 1, length)."""
        values = values.reshape(-1, 1, *values.shape[-2:])
        shape = (len(values), self.across, self.groups, self.channels // self.groups)
        laid = np.empty(shape, values.dtype)
        laid[...] = values
        return laid.reshape(len(values), 1, -1)

    def total(self, rows: np.ndarray) -> np.ndarray:
        """The sum over the pixels: (n, rows, length) -> (n, groups, C/groups)."""
        pixels = rows.reshape(len(rows), self.pixels, self.channels)
        return sum_of_rows(pixels).reshape(len(rows), self.groups, -1)

    def over_groups(self, sums: np.ndarray) -> np.ndarray:
        """The mean of sums over the pixels: (n, groups, C/groups) -> (n, groups, 1)."""
        count = sums.shape[2] * self.pixels
        return np.add.reduce(sums, axis=2, keepdims=True) / sums.dtype.type(count)

    def mean(self, rows: np.ndarray) -> np.ndarray:
        """The mean over pixels and each group's channels: (n, rows, length) -> (n, groups, 1)."""
        return self.over_groups(self.total(rows))

    def blocks(self) -> Iterator[slice]:
        """So many samples at a time as the cache holds."""
        n, rows, length = self.shape
        return blocks(n, rows * length, GROUP_NORM_BLOCK)
