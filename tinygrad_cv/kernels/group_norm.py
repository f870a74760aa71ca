"""Group normalisation, perhaps with an activation of it: the usual pair in the networks of diffusion models."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .activation import logistic, silu
from .kernel import kernel
from .norm import _check_shape

BLOCK = 1 << 16  # elements of so many samples at a time, several times over, stay in the second-level cache


@kernel
def group_norm(
    x: Any, weight: Any = None, bias: Any = None, *, groups: int, eps: float = 1e-5, activation: str | None = None
) -> Any:
    """(x - mean) / sqrt(variance + eps) over each group of channels of each sample (Wu & He 2018).

    x (N, C, ...), weight and bias (C,); groups divides C. `activation`: None, or "silu" of it.
    """
    n, c = x.shape[:2]
    rows = np.reshape(x, (n, groups, -1))  # (N, groups, C/groups ...)
    centred = rows - np.mean(rows, axis=-1, keepdims=True)
    y = np.reshape(centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps), x.shape)
    shape = (c, *[1] * (x.ndim - 2))
    y = y if weight is None else y * np.reshape(weight, shape)
    y = y if bias is None else y + np.reshape(bias, shape)
    return y if activation is None else silu.reference(y)


@group_norm.forward
def _(x: Any, weight: Any, bias: Any, groups: int, eps: float, activation: str | None, needs: Sequence[bool]) -> Any:
    if x.ndim < 2 or x.shape[1] % groups:
        raise ValueError(f"{groups} groups do not divide the channels of x, of shape {x.shape}: (N, C, ...)")
    if activation not in (None, "silu"):
        raise ValueError(f'activation is None or "silu", not {activation!r}')
    for name, value in (("weight", weight), ("bias", bias)):
        _check_shape(name, value, x.shape[1:2], x)
    lines = Lines(x)
    y, slope = np.empty(lines.shape, x.dtype), np.empty(lines.shape, x.dtype) if activation and any(needs) else None
    mean, scale = np.empty((2, *x.shape[:2]), x.dtype)
    rows = lines.of(x)
    for block in lines.blocks():
        mean[block] = lines.mean(rows[block], groups)
        z = rows[block] - lines.along(mean[block])
        scale[block] = 1 / np.sqrt(lines.mean(z * z, groups) + eps)
        z *= lines.along(scale[block] if weight is None else scale[block] * weight)
        if bias is not None:
            z += lines.along(np.broadcast_to(bias, scale[block].shape))
        if activation is None:
            y[block] = z
            continue
        s = logistic(z)
        np.multiply(z, s, out=y[block])
        if slope is not None:  # s + z s (1 - s)
            np.subtract(1, s, out=z)
            z *= y[block]
            np.add(z, s, out=slope[block])
    return lines.back(y), (mean, scale, slope)


@group_norm.backward
def _(g: Any, x: Any, weight: Any, bias: Any, saved: Any, groups: int, needs: Sequence[bool]) -> Any:
    """With h = g activation' and the normal z: dbias = sum(h), dweight = sum(h z) and, with k = weight h, dx = scale (k -
    mean(k) - z mean(k z)), without its parts along the constant and along z. Sums over the pixels serve all three."""
    lines, (mean, scale, slope) = Lines(x), saved
    rows, cotangents = lines.of(x), lines.of(g)
    along_constant, along_z = np.empty((2, *scale.shape), x.dtype)  # sum(h), sum(h z) of each sample and channel
    dx = np.empty(lines.shape, x.dtype) if needs[0] else None
    for block in lines.blocks():
        h = cotangents[block] if slope is None else cotangents[block] * slope[block]
        z = rows[block] - lines.along(mean[block])
        z *= lines.along(scale[block])
        along_constant[block], along_z[block] = lines.total(h), lines.total(h * z)
        if dx is not None:
            factor = scale[block] if weight is None else scale[block] * weight
            parts = [v[block] if weight is None else v[block] * weight for v in (along_constant, along_z)]
            constant, slant = (scale[block] * lines.over_groups(v, groups) for v in parts)
            z *= lines.along(slant)
            z += lines.along(constant)
            np.subtract(h * lines.along(factor), z, out=dx[block])
    dweight = along_z.sum(axis=0) if needs[1] else None
    return None if dx is None else lines.back(dx), dweight, along_constant.sum(axis=0) if needs[2] else None


class Lines:
    """Samples (N, C, ...) as rows (N, rows, length) with the channels last, where a value per channel is laid along a row.

    NumPy works through an array line by line, and lines of a few channels would be short: a row holds a line of pixels.
    """

    def __init__(self, x: np.ndarray) -> None:
        self.channels, self.pixels = x.shape[1], x.shape[2:]
        self.across = x.shape[-1] if x.ndim > 2 else 1
        self.shape = (len(x), prod(self.pixels) // max(1, self.across), self.across * self.channels)

    def of(self, x: np.ndarray) -> Any:
        """(N, C, ...) -> (N, rows, length)."""
        return np.moveaxis(x, 1, -1).reshape(self.shape)

    def back(self, rows: np.ndarray) -> Any:
        """(N, rows, length) -> (N, C, ...), a view."""
        return np.moveaxis(rows.reshape(len(rows), *self.pixels, self.channels), -1, 1)

    def along(self, values: np.ndarray) -> Any:
        """A value per sample and channel along a row: (n, C) -> (n, 1, length)."""
        return np.tile(values, self.across)[:, None]

    def total(self, rows: np.ndarray) -> Any:
        """The sum over the pixels: (n, rows, length) -> (n, C)."""
        pixels = rows.reshape(len(rows), prod(self.pixels), self.channels)
        return np.matmul(np.ones(pixels.shape[1], rows.dtype), pixels)

    def over_groups(self, values: np.ndarray, groups: int) -> Any:
        """The mean over each group of what is summed over the pixels, given to all its channels: (n, C) -> (n, C)."""
        each = self.channels // groups
        means = values.reshape(-1, groups, each).sum(axis=2) / values.dtype.type(each * prod(self.pixels))
        return np.repeat(means, each, axis=1)

    def mean(self, rows: np.ndarray, groups: int) -> Any:
        """The mean over the pixels and each group of channels: (n, rows, length) -> (n, C)."""
        return self.over_groups(self.total(rows), groups)

    def blocks(self) -> Any:
        """So many samples at a time as the cache holds."""
        size = max(1, BLOCK // max(1, prod(self.shape[1:])))
        return (slice(start, start + size) for start in range(0, self.shape[0], size))
