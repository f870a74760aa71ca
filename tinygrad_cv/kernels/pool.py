"""Pooling and upsampling of images (N, C, H, W)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..typing import Array
from .fast.choose import choose, is_finite
from .fast.geometry import Geometry, Pair, pair
from .fast.layout import channels_first, channels_last
from .kernel import kernel


@kernel(selects=True)
def max_pool2d(
    x: Array,
    *,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
) -> Array:
    """The largest of each window: (N, C, H, W) -> (N, C, H', W').

    The stride is the window's size if None. H' = (H + 2 padding - size) / stride + 1, rounded down.
    Elements that tie share the gradient equally. Raises ValueError if the padding is more than half
    the window.
    """
    shifts = window_shifts(x, window(kernel_size, stride, padding), -np.inf)
    return np.max(np.stack(shifts), axis=0)


@max_pool2d.forward
def _(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None,
    padding: Pair,
) -> tuple[np.ndarray, None]:
    first, *others = window_shifts(x, window(kernel_size, stride, padding), -np.inf)
    y = first.copy(order="K")
    for shift in others:
        np.maximum(y, shift, out=y)
    return y, None


@max_pool2d.backward
def _(
    g: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None,
    padding: Pair,
) -> np.ndarray:
    geometry = window(kernel_size, stride, padding)
    padded = geometry.pad(x, -np.inf)
    output = y.shape[-2:]
    shifts = geometry.shifts(padded, output)
    largest = [(shift == y).astype(g.dtype) for shift in shifts]
    share = g / functools.reduce(np.add, largest)
    product = np.multiply if is_finite(share) else choose
    dx = np.zeros_like(padded)
    for dshift, chosen in zip(geometry.shifts(dx, output), largest, strict=True):
        dshift += product(share, chosen)
    return geometry.crop(dx)


@max_pool2d.jvp
def _(
    x_dot: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None,
    padding: Pair,
) -> np.ndarray:
    """y' = the mean of x' over the elements of the window that are the largest."""
    geometry = window(kernel_size, stride, padding)
    product = np.multiply if is_finite(x_dot) else choose
    y_dot = np.zeros_like(y)
    largest = []
    moved: list[Any] = window_shifts(x_dot, geometry, 0)
    for shift, shift_dot in zip(window_shifts(x, geometry, -np.inf), moved, strict=True):
        largest.append(shift == y)
        chosen = largest[-1].astype(y.dtype)
        y_dot += product(shift_dot, chosen, out=chosen)
    if sum(map(np.count_nonzero, largest)) != y.size:  # some tie
        y_dot /= functools.reduce(np.add, largest, np.zeros(y.shape, np.intp))
    return y_dot


@kernel(selects=True)
def avg_pool2d(
    x: Array,
    *,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
) -> Array:
    """The mean of each window; padding counts as zeros. Sizes are those of `max_pool2d`."""
    first, *others = window_shifts(x, window(kernel_size, stride, padding), 0.0)
    return sum(others, start=first) / (1 + len(others))


@avg_pool2d.forward
def _(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None,
    padding: Pair,
) -> tuple[np.ndarray, None]:
    shifts = window_shifts(x, window(kernel_size, stride, padding), 0.0)
    return functools.reduce(np.add, shifts) / len(shifts), None


@avg_pool2d.backward
def _(
    g: np.ndarray,
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None,
    padding: Pair,
) -> np.ndarray:
    geometry = window(kernel_size, stride, padding)
    dx = np.zeros_like(geometry.pad(x))
    shifts = geometry.shifts(dx, g.shape[-2:])
    share = g / len(shifts)
    for shift in shifts:
        shift += share
    return geometry.crop(dx)


@avg_pool2d.jvp
def _(
    x_dot: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None,
    padding: Pair,
) -> np.ndarray:
    """The same of the tangent: it is linear."""
    y_dot: np.ndarray = avg_pool2d(x_dot, kernel_size=kernel_size, stride=stride, padding=padding)
    return y_dot


def window(size: Pair, stride: Pair | None, padding: Pair) -> Geometry:
    """The geometry of a pooling window."""
    size = pair("kernel_size", size)
    padding = pair("padding", padding, least=0)
    if any(2 * p > k for p, k in zip(padding, size, strict=True)):
        raise ValueError(f"padding {padding} is more than half the window, {size}")
    return Geometry(size, size if stride is None else pair("stride", stride), padding)


def window_shifts(x: Array, geometry: Geometry, padding: float) -> list[Array]:
    """The pixel of each window that each of its elements meets: arrays (N, C, H', W')."""
    return geometry.shifts(geometry.pad(x, padding), geometry.output(x.shape[-2:]))


@kernel
def upsample_nearest2d(x: Array, *, scale: Pair = 2) -> Array:
    """Each pixel becomes a block of scale x scale: (N, C, H, W) -> (N, C, scale H, scale W)."""
    down, across = pair("scale", scale)
    return np.repeat(np.repeat(x, down, axis=-2), across, axis=-1)


@upsample_nearest2d.forward
def _(x: np.ndarray, scale: Pair) -> tuple[np.ndarray, None]:
    down, across = pair("scale", scale)
    n, c, h, w = x.shape
    y = np.empty((n, h, down, w, across, c), x.dtype)
    y[...] = channels_last(x)[:, :, None, :, None]
    return channels_first(y.reshape(n, h * down, w * across, c)), None


@upsample_nearest2d.backward
def _(
    g: np.ndarray,
    x: np.ndarray,
    scale: Pair,
) -> np.ndarray:
    """The sum over each block."""
    down, across = pair("scale", scale)
    first, *others = [g[..., i::down, j::across] for i in range(down) for j in range(across)]
    dx = first.copy(order="K")
    for part in others:
        dx += part
    return dx


@upsample_nearest2d.jvp
def _(x_dot: np.ndarray, scale: Pair) -> np.ndarray:
    """The same of the tangent: it is linear."""
    y_dot: np.ndarray = upsample_nearest2d(x_dot, scale=scale)
    return y_dot
