"""Pooling and upsampling of pictures (N, C, H, W)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .geometry import Geometry, Pair, channels_first, channels_last, pair
from .kernel import kernel


@kernel
def max_pool2d(x: Any, *, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Any:
    """The largest of each window, whose stride is its size if None. Elements that tie share the gradient equally."""
    geometry = _geometry(kernel_size, stride, padding)
    padded = geometry.pad(x, -np.inf)
    return np.max(
        np.stack([padded[place] for *_, place in geometry.offsets(geometry.output(x.shape[-2:]))]),
        axis=0,
    )


@max_pool2d.forward
def _(x: Any, kernel_size: Pair, stride: Pair | None, padding: Pair) -> Any:
    geometry = _geometry(kernel_size, stride, padding)
    padded = geometry.pad(x, -np.inf)
    places = [place for *_, place in geometry.offsets(geometry.output(x.shape[-2:]))]
    y = padded[places[0]].copy(order="K")
    for place in places[1:]:
        np.maximum(y, padded[place], out=y)
    return y, None


@max_pool2d.backward
def _(g: Any, x: Any, y: Any, kernel_size: Pair, stride: Pair | None, padding: Pair) -> Any:
    geometry = _geometry(kernel_size, stride, padding)
    padded = geometry.pad(x, -np.inf)
    places = [place for *_, place in geometry.offsets(y.shape[-2:])]
    share = g / sum((padded[place] == y).astype(g.dtype) for place in places)
    dx = np.zeros_like(padded)
    for place in places:
        dx[place] += share * (padded[place] == y)
    return geometry.crop(dx)


@kernel
def avg_pool2d(x: Any, *, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Any:
    """The mean of each window, whose stride is its size if None; padding counts as zeros."""
    geometry = _geometry(kernel_size, stride, padding)
    padded = geometry.pad(x)
    parts = [padded[place] for *_, place in geometry.offsets(geometry.output(x.shape[-2:]))]
    return sum(parts[1:], start=parts[0]) / len(parts)


@avg_pool2d.forward
def _(x: Any, kernel_size: Pair, stride: Pair | None, padding: Pair) -> Any:
    geometry = _geometry(kernel_size, stride, padding)
    padded = geometry.pad(x)
    y = functools.reduce(
        np.add, [padded[place] for *_, place in geometry.offsets(geometry.output(x.shape[-2:]))]
    )
    return y / (geometry.size[0] * geometry.size[1]), None


@avg_pool2d.backward
def _(g: Any, x: Any, kernel_size: Pair, stride: Pair | None, padding: Pair) -> Any:
    geometry = _geometry(kernel_size, stride, padding)
    dx = np.zeros_like(geometry.pad(x))
    share = g / (geometry.size[0] * geometry.size[1])
    for *_, place in geometry.offsets(g.shape[-2:]):
        dx[place] += share
    return geometry.crop(dx)


def _geometry(size: Pair, stride: Pair | None, padding: Pair) -> Geometry:
    geometry = Geometry(pair(size), pair(size if stride is None else stride), pair(padding))
    if any(2 * p > k for p, k in zip(geometry.padding, geometry.size, strict=True)):
        raise ValueError(
            f"padding {geometry.padding} is more than half the window, {geometry.size}"
        )
    return geometry


@kernel
def upsample_nearest2d(x: Any, *, scale: Pair = 2) -> Any:
    """Each pixel becomes a block of scale x scale: (N, C, H, W) -> (N, C, scale H, scale W)."""
    down, across = pair(scale)
    return np.repeat(np.repeat(x, down, axis=-2), across, axis=-1)


@upsample_nearest2d.forward
def _(x: Any, scale: Pair) -> Any:
    (down, across), (n, c, h, w) = pair(scale), x.shape
    y = np.empty((n, h, down, w, across, c), x.dtype)
    y[...] = channels_last(x)[:, :, None, :, None]
    return channels_first(y.reshape(n, h * down, w * across, c)), None


@upsample_nearest2d.backward
def _(g: Any, x: Any, scale: Pair) -> Any:
    """The sum over each block."""
    down, across = pair(scale)
    places = [g[..., i::down, j::across] for i in range(down) for j in range(across)]
    return functools.reduce(np.add, places)
