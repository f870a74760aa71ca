"""Pooling and upsampling of images (N, C, H, W)."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..engine.arguments import choice, whole
from ..typing import Array
from .fast.choose import choose, is_finite
from .fast.geometry import Geometry, Pair, pair
from .fast.layout import channels_first, channels_last
from .kernel import formula, kernel


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
    Elements that tie share the gradient equally; the padding never takes part. NaN is larger than
    all numbers. Raises ValueError if the padding is more than half the window.
    """
    geometry = window(kernel_size, stride, padding)
    shifts = window_shifts(x, geometry, lowest(x))
    largest = largest_elements(x, functools.reduce(np.maximum, shifts), geometry)
    chosen = [np.where(is_largest, s, 0) for is_largest, s in zip(largest, shifts, strict=True)]
    return functools.reduce(np.add, chosen) / np.sum(np.stack(largest), axis=0, dtype=x.dtype)


@max_pool2d.forward
def _(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None,
    padding: Pair,
) -> tuple[np.ndarray, None]:
    first, *others = window_shifts(x, window(kernel_size, stride, padding), lowest(x))
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
    largest = [chosen.astype(g.dtype) for chosen in largest_elements(x, y, geometry)]
    share = g / functools.reduce(np.add, largest)
    product = np.multiply if is_finite(share) else choose
    dx = np.zeros_like(geometry.pad(x))
    for dshift, chosen in zip(geometry.shifts(dx, y.shape[-2:]), largest, strict=True):
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
    largest = largest_elements(x, y, geometry)
    moved: list[Any] = window_shifts(x_dot, geometry, 0)
    for is_largest, shift_dot in zip(largest, moved, strict=True):
        chosen = is_largest.astype(y.dtype)
        y_dot += product(shift_dot, chosen, out=chosen)
    if sum(map(np.count_nonzero, largest)) != y.size:  # some tie
        y_dot /= functools.reduce(np.add, largest, np.zeros(y.shape, np.intp))
    return y_dot


def lowest(x: Array) -> float:
    """What is below all numbers of x's dtype, to pad with."""
    return -math.inf if x.dtype.kind == "f" else int(np.iinfo(x.dtype).min)


def largest_elements(x: Array, y: Array, geometry: Geometry) -> list[np.ndarray]:
    """Which elements of the windows of x are the largest, y: booleans (N, C, H', W') for each.

    In a window with NaN those are the NaN; in one of -inf alone they are its pixels, without the
    padding.
    """
    shifts = window_shifts(x, geometry, lowest(x))
    largest = [np.asarray(shift == y) for shift in shifts]
    if np.any(np.isnan(y)):
        for chosen, shift in zip(largest, shifts, strict=True):
            chosen |= np.isnan(shift)
    if geometry.padding != (0, 0) and np.any(y == lowest(x)):
        pixels = np.ones((1, 1, *x.shape[-2:]), bool)
        for chosen, inside in zip(largest, window_shifts(pixels, geometry, False), strict=True):
            chosen &= inside
    return largest


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


# --------------------------------------------------- formulas of others, recorded as their parts


@formula
def adaptive_avg_pool2d(x: Array, *, output_size: Pair) -> Array:
    """The means of windows that divide an image evenly: (N, C, H, W) -> (N, C, *output_size).

    Window i of n covers the rows from i H / n, rounded down, to (i + 1) H / n, rounded up.
    """
    height, width = pair("output_size", output_size)
    down = averaging(x.shape[-2], height)  # (H', H)
    across = averaging(x.shape[-1], width)  # (W', W)
    return resampled(x, down, across)


@formula
def interpolate(
    x: Array, *, size: Pair, mode: str = "nearest", align_corners: bool = False
) -> Array:
    """Images of another size: (N, C, H, W) -> (N, C, *size).

    mode: "nearest", or "bilinear", linear along both axes.
    align_corners: for "bilinear", whether the outermost pixels keep their places, or else the edges
        of the image.
    """
    choice("mode", mode, ("nearest", "bilinear"))
    height, width = pair("size", size)
    if mode == "nearest":
        down = nearest(x.shape[-2], height)
        across = nearest(x.shape[-1], width)
    else:
        down = linear_weights(x.shape[-2], height, align_corners)
        across = linear_weights(x.shape[-1], width, align_corners)
    return resampled(x, down, across)


@formula
def pixel_shuffle(x: Array, *, upscale_factor: int) -> Array:
    """Channels become pixels: (N, C r^2, H, W) -> (N, C, H r, W r) (Shi et al. 2016)."""
    r = whole("upscale_factor", upscale_factor)
    n, channels, h, w = x.shape
    if channels % (r * r):
        raise ValueError(f"upscale_factor={r}: its square does not divide {channels} channels")
    blocks = x.reshape(n, channels // (r * r), r, r, h, w)
    rows = np.transpose(blocks, (0, 1, 4, 2, 5, 3))  # (N, C, H, r, W, r)
    return rows.reshape(n, channels // (r * r), h * r, w * r)


def resampled(x: Array, down: np.ndarray, across: np.ndarray) -> Array:
    """Each column of pixels times `down` (H', H), each row times `across` (W', W)."""
    return down.astype(x.dtype) @ x @ across.T.astype(x.dtype)


def averaging(length: int, parts: int) -> np.ndarray:
    """The means over evenly divided windows, as a matrix (parts, length)."""
    i = np.arange(parts)[:, None]
    start, end = i * length // parts, -(-(i + 1) * length // parts)
    pixel = np.arange(length)
    return ((start <= pixel) & (pixel < end)) / (end - start)


def nearest(length: int, size: int) -> np.ndarray:
    """The pixel under the left edge of each new one, as a matrix (size, length)."""
    return np.eye(length)[np.arange(size) * length // size]


def linear_weights(length: int, size: int, align_corners: bool) -> np.ndarray:
    """The weights of the two pixels around the centre of each new one: (size, length)."""
    i = np.arange(size)
    edges = (i + 0.5) * length / size - 0.5
    corners = i * (length - 1) / max(size - 1, 1)
    place = np.clip(corners if align_corners else edges, 0, length - 1)[:, None]
    return np.maximum(1 - np.abs(place - np.arange(length)), 0)
