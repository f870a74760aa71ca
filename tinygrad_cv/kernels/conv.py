"""Convolution in two dimensions and its transpose. Pictures are (N, C, H, W), as in PyTorch.

Transposed convolution is the adjoint of convolution, so that three linear maps (`im2col`) serve both; where it is open and
cheaper, convolution goes by fewer multiplications (`winograd`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from . import im2col, winograd
from .geometry import Geometry, Pair, add_bias, channels_first, channels_last, pair
from .kernel import kernel


@kernel
def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Any:
    """y[f, p, q] = bias[f] + sum over c, i, j of weight[f, c, i, j] x[c, s p + d i - padding, s q + d j - padding].

    x (N, C, H, W), weight (F, C/groups, kh, kw), bias (F,), or (N, F) for each picture its own -> (N, F, H', W'), H' = (H
    + 2 padding - d (kh - 1) - 1) / s + 1, rounded down. Group g of the outputs sees group g of the channels only.
    """
    geometry = _geometry(weight, stride, padding, dilation, groups)
    n, _, h, w = x.shape
    output = geometry.output((h, w))
    padded = geometry.pad(np.reshape(x, (n, groups, -1, h, w)))
    filters = np.reshape(
        weight, (groups, -1, *weight.shape[1:])
    )  # (groups, F/groups, C/groups, kh, kw)
    y: Any = 0.0
    for i, j, place in geometry.offsets(output):
        y = y + np.einsum("ngchw,gfc->ngfhw", padded[place], filters[..., i, j])
    y = np.reshape(y, (n, -1, *output))
    return y if bias is None else y + np.reshape(bias, (-1, len(weight), 1, 1))


@conv2d.forward
def _(
    x: Any, weight: Any, bias: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Any:
    if (
        x.ndim != 4
        or weight.ndim != 4
        or x.shape[1] != weight.shape[1] * groups
        or len(weight) % groups
    ):
        raise ValueError(
            f"x of shape {x.shape} does not fit a weight of shape {weight.shape} in {groups} groups: they are (N, C, H, W) "
            "and (F, C / groups, kh, kw), and groups divides F"
        )
    if bias is not None and bias.shape not in ((len(weight),), (len(x), len(weight))):
        raise ValueError(
            f"bias has shape {bias.shape}; for x of shape {x.shape} and a weight of shape {weight.shape} it is (F,) or (N, F)"
        )
    geometry, x = _geometry(weight, stride, padding, dilation, groups), channels_last(x)
    geometry.output(x.shape[1:3])
    if winograd.pays(x, weight, geometry):
        return channels_first(winograd.correlate(x, weight, bias, geometry.padding)), None
    y = im2col.correlate(x, weight, geometry)
    add_bias(y, bias)
    return channels_first(y), None


@conv2d.backward
def _(
    g: Any,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    needs: Sequence[bool],
) -> Any:
    geometry, g, x = (
        _geometry(weight, stride, padding, dilation, groups),
        channels_last(g),
        channels_last(x),
    )
    dx = dweight = None
    if winograd.pays(x, weight, geometry):
        dx, dweight = winograd.both_gradients(g, x, weight, geometry.padding, needs)
    elif needs[0] or needs[1]:
        dx, dweight = im2col.both_gradients(g, x, weight, geometry, needs)
    return (
        dx if dx is None else channels_first(dx),
        dweight,
        _total(g, bias.ndim) if needs[2] else None,
    )


def _total(g: np.ndarray, ndim: int) -> Any:
    """The sum of (N, H, W, F) over all pixels, (F,), or over those of each picture, (N, F)."""
    if ndim == 1:
        return np.dot(np.ones(prod(g.shape[:3]), g.dtype), g.reshape(-1, g.shape[3]))
    return np.matmul(np.ones(g.shape[1] * g.shape[2], g.dtype), g.reshape(len(g), -1, g.shape[3]))


def _geometry(weight: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Geometry:
    return Geometry(weight.shape[-2:], pair(stride), pair(padding), pair(dilation), groups)


@kernel
def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Any:
    """The adjoint of `conv2d` in x, as a layer: each element of x lays weight[c] down at stride times its place.

    x (N, C, H, W), weight (C, F/groups, kh, kw), bias (F,) -> (N, F, H', W'), H' = (H - 1) s - 2 padding + d (kh - 1) +
    output_padding + 1.
    """
    geometry = _geometry(weight, stride, padding, dilation, groups)
    n, _, h, w = x.shape
    height, width = _spread_size(geometry, (h, w), output_padding)
    grouped = np.reshape(x, (n, groups, -1, h, w))
    filters = np.reshape(
        weight, (groups, -1, *weight.shape[1:])
    )  # (groups, C/groups, F/groups, kh, kw)
    y: Any = 0.0
    for i in range(geometry.size[0]):
        for j in range(geometry.size[1]):
            down, across = (
                np.equal.outer(s * np.arange(n) + d * k - p, np.arange(m)).astype(
                    x.dtype
                )  # (H, H'), (W, W')
                for s, d, k, p, n, m in zip(
                    geometry.stride,
                    geometry.dilation,
                    (i, j),
                    geometry.padding,
                    (h, w),
                    (height, width),
                    strict=True,
                )
            )
            y = y + np.einsum("ngchw,gcf,hp,wq->ngfpq", grouped, filters[..., i, j], down, across)
    y = np.reshape(y, (n, -1, height, width))
    return y if bias is None else y + np.reshape(bias, (-1, 1, 1))


@conv_transpose2d.forward
def _(
    x: Any,
    weight: Any,
    bias: Any,
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    dilation: Pair,
    groups: int,
) -> Any:
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != len(weight) or len(weight) % groups:
        raise ValueError(
            f"x of shape {x.shape} does not fit a weight of shape {weight.shape} in {groups} groups: they are (N, C, H, W) "
            "and (C, F / groups, kh, kw), and groups divides C"
        )
    geometry = _geometry(weight, stride, padding, dilation, groups)
    size = _spread_size(geometry, x.shape[-2:], output_padding)
    y = im2col.spread(channels_last(x), weight, geometry, size)
    add_bias(y, bias)
    return channels_first(y), None


@conv_transpose2d.backward
def _(
    g: Any,
    x: Any,
    weight: Any,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    needs: Sequence[bool],
) -> Any:
    geometry, g, x = (
        _geometry(weight, stride, padding, dilation, groups),
        channels_last(g),
        channels_last(x),
    )
    dx = channels_first(im2col.correlate(g, weight, geometry)) if needs[0] else None
    return (
        dx,
        im2col.weight_gradient(g, x, geometry) if needs[1] else None,
        _total(g, 1) if needs[2] else None,
    )


def _spread_size(geometry: Geometry, shape: Sequence[int], output_padding: Pair) -> tuple[int, int]:
    """The size of the picture that is spread: the smallest one with `shape` places, and output_padding more."""
    axes = zip(
        shape,
        geometry.stride,
        geometry.padding,
        geometry.dilation,
        geometry.size,
        pair(output_padding),
        strict=True,
    )
    height, width = ((n - 1) * s - 2 * p + d * (k - 1) + 1 + extra for n, s, p, d, k, extra in axes)
    if min(height, width) < 1 or any(
        e >= s for e, s in zip(pair(output_padding), geometry.stride, strict=True)
    ):
        raise ValueError(
            f"output of {height} x {width}: padding {geometry.padding} is too large, or output_padding {output_padding} is "
            f"not below the stride, {geometry.stride}"
        )
    return height, width
