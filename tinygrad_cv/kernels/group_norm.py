"""Group normalisation, perhaps with an activation of it: the usual pair in the networks of diffusion models."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .activation import silu
from .kernel import kernel
from .norm import _check_shape

BLOCK = (
    1 << 17
)  # elements: so many samples at a time stay, several times over, in the second-level cache
ROW = 1 << 10  # elements of a row at most


@kernel
def group_norm(
    x: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    groups: int,
    eps: float = 1e-5,
    activation: str | None = None,
) -> Any:
    """(x - mean) / sqrt(variance + eps) over each group of channels of each sample (Wu & He 2018).

    x (N, C, ...), weight and bias (C,); groups divides C. `activation`: None, or "silu" of it.
    """
    n, c = x.shape[:2]
    rows = np.reshape(x, (n, groups, -1))  # (N, groups, C/groups ...)
    centred = rows - np.mean(rows, axis=-1, keepdims=True)
    y = np.reshape(
        centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps), x.shape
    )
    shape = (c, *[1] * (x.ndim - 2))
    y = y if weight is None else y * np.reshape(weight, shape)
    y = y if bias is None else y + np.reshape(bias, shape)
    return y if activation is None else silu.reference(y)


@group_norm.forward
def _(
    x: Any,
    weight: Any,
    bias: Any,
    groups: int,
    eps: float,
    activation: str | None,
    needs: Sequence[bool],
) -> Any:
    """With a = 1 + tanh(u / 2), twice the sigmoid of u, SiLU is (u / 2) a and twice its derivative a + (u / 2) a (2 - a),
    taken here while the data is in the cache. The halves go into weight and bias. Where tanh u nears -1, a and with it the
    value are exact to a unit in the last place of 1 and of u, not of themselves."""
    if x.ndim < 2 or x.shape[1] % groups:
        raise ValueError(
            f"{groups} groups do not divide the channels of x, of shape {x.shape}: (N, C, ...)"
        )
    if activation not in (None, "silu"):
        raise ValueError(f'activation is None or "silu", not {activation!r}')
    for name, value in (("weight", weight), ("bias", bias)):
        _check_shape(name, value, x.shape[1:2], x)
    lines, (mean, scale) = Lines(x, groups), np.empty((2, len(x), groups, 1), x.dtype)
    factor, shift = lines.affine(weight, bias, activation)
    rows, y = lines.of(x), np.empty(lines.shape, x.dtype)
    slope = np.empty(lines.shape, x.dtype) if activation and any(needs) else None
    for block in lines.blocks():
        mean[block] = lines.mean(rows[block])
        u = rows[block] - lines.along(mean[block])
        scale[block] = 1 / np.sqrt(lines.mean(np.multiply(u, u, out=y[block])) + eps)
        u *= lines.along(scale[block] * factor)
        np.add(u, shift, out=u if activation else y[block])
        if activation:
            a = np.tanh(u, out=None if slope is None else slope[block])
            a += 1
            np.multiply(u, a, out=y[block])
        if slope is not None:
            np.subtract(2, a, out=u)
            u *= y[block]
            a += u
    return lines.back(y), (mean, scale, slope)


@group_norm.backward
def _(
    g: Any,
    x: Any,
    weight: Any,
    bias: Any,
    saved: Any,
    groups: int,
    activation: str | None,
    needs: Sequence[bool],
) -> Any:
    """With h = g activation' and the normal z: dbias = sum(h), dweight = sum(h z) and, with k = weight h, dx = scale (k -
    mean(k) - z mean(k z)), without its parts along the constant and along z. Sums over the pixels serve all three."""
    lines, (mean, scale, slope) = Lines(x, groups), saved
    rows, cotangents = lines.of(x), lines.of(g)
    factor, _ = lines.affine(weight, bias, activation)  # half the weight, where h below is twice h
    along_constant, along_z = np.empty(
        (2, len(x), *factor.shape), x.dtype
    )  # sum(h), sum(h z) over the pixels
    dx = np.empty(lines.shape, x.dtype) if needs[0] else None
    for block in lines.blocks():
        s = scale[block]
        h = cotangents[block] if slope is None else cotangents[block] * slope[block]
        centred = rows[block] - lines.along(mean[block])
        along_constant[block], along_z[block] = lines.total(h), s * lines.total(h * centred)
        if dx is not None:
            centred *= lines.along(s * s * lines.over_groups(factor * along_z[block]))
            centred += lines.along(s * lines.over_groups(factor * along_constant[block]))
            np.subtract(h * lines.along(s * factor), centred, out=dx[block])
    sums = (
        total.sum(axis=0).reshape(-1) * x.dtype.type(0.5 if activation else 1)
        for total in (along_z, along_constant)
    )
    return None if dx is None else lines.back(dx), *sums


class Lines:
    """Samples (N, C, ...) as rows (N, rows, length) with the channels last: a row is so many pixels, along which what
    belongs to the channels, (n, groups, C/groups or 1), is laid out, since NumPy is slow on rows of a few channels."""

    def __init__(self, x: np.ndarray, groups: int) -> None:
        self.dtype, self.groups, self.channels, self.shape_of_pixels = (
            x.dtype,
            groups,
            x.shape[1],
            x.shape[2:],
        )
        self.pixels = prod(self.shape_of_pixels)
        longest = min(self.pixels, ROW // max(1, self.channels))
        self.across = next(
            (n for n in range(longest, 0, -1) if self.pixels % n == 0), 1
        )  # pixels in a row
        self.shape = (len(x), self.pixels // self.across, self.across * self.channels)

    def of(self, x: np.ndarray) -> Any:
        """(N, C, ...) -> (N, rows, length)."""
        return np.moveaxis(x, 1, -1).reshape(self.shape)

    def back(self, rows: np.ndarray) -> Any:
        """(N, rows, length) -> (N, C, ...), a view."""
        return np.moveaxis(rows.reshape(len(rows), *self.shape_of_pixels, self.channels), -1, 1)

    def affine(self, weight: Any, bias: Any, activation: str | None) -> tuple[Any, Any]:
        """The weight (groups, C/groups) and the bias along a row, (1, 1, length); halves of them for an activation."""
        half = self.dtype.type(0.5 if activation else 1)
        weight = np.full(self.channels, half) if weight is None else weight * half
        bias = np.zeros(self.channels, self.dtype) if bias is None else bias * half
        return weight.reshape(self.groups, -1), self.along(bias.reshape(self.groups, -1))

    def along(self, values: np.ndarray) -> Any:
        """What belongs to the channels along a row: (n, groups, C/groups or 1) -> (n, 1, length)."""
        values = values.reshape(-1, 1, *values.shape[-2:])
        laid = np.empty(
            (len(values), self.across, self.groups, self.channels // self.groups), values.dtype
        )
        laid[...] = values
        return laid.reshape(len(values), 1, -1)

    def total(self, rows: np.ndarray) -> Any:
        """The sum over the pixels: (n, rows, length) -> (n, groups, C/groups)."""
        pixels = rows.reshape(len(rows), self.pixels, self.channels)
        return np.matmul(np.ones(pixels.shape[1], rows.dtype), pixels).reshape(
            len(rows), self.groups, -1
        )

    def over_groups(self, values: np.ndarray) -> Any:
        """The mean of what was summed over the pixels: (n, groups, C/groups) -> (n, groups, 1)."""
        count = values.shape[2] * self.pixels
        return np.add.reduce(values, axis=2, keepdims=True) / values.dtype.type(count)

    def mean(self, rows: np.ndarray) -> Any:
        """The mean over the pixels and each group of channels: (n, rows, length) -> (n, groups, 1)."""
        return self.over_groups(self.total(rows))

    def blocks(self) -> Any:
        """So many samples at a time as the cache holds."""
        size = max(1, BLOCK // max(1, prod(self.shape[1:])))
        return (slice(start, start + size) for start in range(0, self.shape[0], size))
