"""Convolution in two dimensions and its transpose. Pictures are (N, C, H, W), as in PyTorch.

Three linear maps, adjoint to each other, serve convolution and transposed convolution alike: `correlate` takes pictures
to responses, `spread` takes responses back to pictures, and `weight_gradient` is what both have with respect to the
weight. <correlate(x, w), g> = <x, spread(g, w)> = <w, weight_gradient(x, g)>.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from .kernel import kernel

Pair = int | tuple[int, int]


def pair(value: Pair) -> tuple[int, int]:
    """One number for both axes, or one for each."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


@dataclass(frozen=True)
class Geometry:
    """Where a kernel is laid on a picture."""

    size: tuple[int, int]  # of the kernel
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def output(self, shape: Sequence[int]) -> tuple[int, int]:
        """How many places there are along each axis of a picture."""
        spans = [d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True)]
        found = [
            (n + 2 * p - span) // s + 1
            for n, p, span, s in zip(shape, self.padding, spans, self.stride, strict=True)
        ]
        if min(found) < 1:
            raise ValueError(
                f"a kernel that spans {tuple(spans)} does not fit a picture of {tuple(shape)}, padded by {self.padding}"
            )
        return found[0], found[1]

    def offsets(self, output: tuple[int, int]) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
        """Each element (i, j) of the kernel with the padded picture's pixels that it meets, as an index."""
        for i in range(self.size[0]):
            for j in range(self.size[1]):
                slices = [
                    slice(k * d, k * d + s * (n - 1) + 1, s)
                    for k, d, s, n in zip((i, j), self.dilation, self.stride, output, strict=True)
                ]
                yield i, j, (..., *slices)

    def pad(self, x: Any, value: float = 0.0) -> Any:
        ph, pw = self.padding
        return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(ph, ph), (pw, pw)], constant_values=value) if ph or pw else x

    def crop(self, x: Any) -> Any:
        (ph, pw), (h, w) = self.padding, x.shape[-2:]
        return x[..., ph : h - ph, pw : w - pw]

    def windows(self, x: np.ndarray) -> np.ndarray:
        """A view of what each place sees: (..., H, W) -> (..., H', W', kh, kw)."""
        spans = tuple(d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True))
        view = np.lib.stride_tricks.sliding_window_view(self.pad(x), spans, axis=(-2, -1))
        (sh, sw), (dh, dw) = self.stride, self.dilation
        return view[..., ::sh, ::sw, ::dh, ::dw]


# ----------------------------------------------------------------------------------------------------- three linear maps

BLOCK = 1 << 18  # elements: columns of so many pictures at a time stay in the second-level cache


def blocks(geometry: Geometry, channels: int, output: tuple[int, int], n: int) -> Iterator[slice]:
    """The pictures in groups whose columns fit the cache."""
    size = max(1, BLOCK // max(1, channels * prod(geometry.size) * prod(output)))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def columns(x: np.ndarray, geometry: Geometry, output: tuple[int, int]) -> Any:
    """What each place sees as a column: padded pictures (n, C, H, W) -> (n, groups, C/groups kh kw, H' W')."""
    n, c = x.shape[:2]
    seen = np.empty((n, c, *geometry.size, *output), x.dtype)
    for i, j, place in geometry.offsets(output):
        seen[:, :, i, j] = x[place]
    return seen.reshape(n, geometry.groups, -1, prod(output))


def grouped(x: np.ndarray, groups: int) -> Any:
    """(n, C, H, W) -> (n, groups, C/groups, H W)."""
    return x.reshape(len(x), groups, x.shape[1] // groups, prod(x.shape[2:]))


def flat(weight: np.ndarray, groups: int) -> Any:
    """(F, C/groups, kh, kw) -> (groups, F/groups, C/groups kh kw)."""
    return weight.reshape(groups, len(weight) // groups, prod(weight.shape[1:]))


def correlate(x: np.ndarray, weight: np.ndarray, geometry: Geometry) -> Any:
    """Pictures (N, C, H, W) to responses (N, F, H', W')."""
    output, padded = geometry.output(x.shape[-2:]), geometry.pad(x)
    y = np.empty((len(x), len(weight), *output), np.result_type(x, weight))
    for block in blocks(geometry, x.shape[1], output, len(x)):
        seen = columns(padded[block], geometry, output)
        np.matmul(flat(weight, geometry.groups), seen, out=grouped(y[block], geometry.groups))
    return y


def spread(g: np.ndarray, weight: np.ndarray, geometry: Geometry, size: tuple[int, int]) -> Any:
    """Responses (N, F, H', W') back to pictures (N, C, H, W) of a size: the adjoint of `correlate` in x."""
    output, channels = (g.shape[2], g.shape[3]), weight.shape[1] * geometry.groups
    x = np.zeros((len(g), channels, *(n + 2 * p for n, p in zip(size, geometry.padding, strict=True))), g.dtype)
    for block in blocks(geometry, channels, output, len(g)):
        parts = np.matmul(flat(weight, geometry.groups).mT, grouped(g[block], geometry.groups))
        parts = parts.reshape(-1, channels, *geometry.size, *output)  # (n, C, kh, kw, H', W')
        for i, j, place in geometry.offsets(output):
            x[block][place] += parts[:, :, i, j]
    return np.ascontiguousarray(geometry.crop(x))


def weight_gradient(x: np.ndarray, g: np.ndarray, geometry: Geometry) -> Any:
    """What pictures and responses say of the weight (F, C/groups, kh, kw): the adjoint of `correlate` in the weight."""
    output, padded, groups = (g.shape[2], g.shape[3]), geometry.pad(x), geometry.groups
    shape = (g.shape[1], x.shape[1] // groups, *geometry.size)
    dweight = np.zeros((groups, shape[0] // groups, prod(shape[1:])), g.dtype)
    for block in blocks(geometry, x.shape[1], output, len(x)):
        seen = columns(padded[block], geometry, output)
        dweight += np.matmul(grouped(g[block], groups), seen.mT).sum(axis=0)
    return dweight.reshape(shape)


def both_gradients(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray, geometry: Geometry, needs: Sequence[bool]
) -> tuple[Any, Any]:
    """`spread(g, weight)` and `weight_gradient(x, g)`, each if needed.

    At stride 1 the adjoint of a correlation is a correlation with the mirrored weight, and one set of columns, of g,
    serves both gradients: half the copying, and nothing has to be added up where places overlap.
    """
    groups, (kh, kw), size = geometry.groups, geometry.size, (x.shape[2], x.shape[3])
    padding = tuple(d * (k - 1) - p for k, d, p in zip(geometry.size, geometry.dilation, geometry.padding, strict=True))
    if geometry.stride != (1, 1) or min(padding) < 0:
        dx = spread(g, weight, geometry, size) if needs[0] else None
        return dx, weight_gradient(x, g, geometry) if needs[1] else None
    mirrored = Geometry(geometry.size, (1, 1), (padding[0], padding[1]), geometry.dilation, groups)
    inputs, outputs = x.shape[1] // groups, g.shape[1] // groups
    filters = weight.reshape(groups, outputs, inputs, kh, kw)[..., ::-1, ::-1].swapaxes(1, 2)
    filters = filters.reshape(groups, inputs, outputs * kh * kw)
    dx, dfilters = np.empty(x.shape, x.dtype), np.zeros_like(filters)
    padded = mirrored.pad(g)
    for block in blocks(mirrored, g.shape[1], size, len(g)):
        seen = columns(padded[block], mirrored, size)  # (n, groups, F/groups kh kw, H W)
        if needs[0]:
            np.matmul(filters, seen, out=grouped(dx[block], groups))
        if needs[1]:
            dfilters += np.matmul(grouped(x[block], groups), seen.mT).sum(axis=0)
    dweight = dfilters.reshape(groups, inputs, outputs, kh, kw).swapaxes(1, 2)[..., ::-1, ::-1]
    return dx if needs[0] else None, np.ascontiguousarray(dweight).reshape(weight.shape) if needs[1] else None


# ---------------------------------------------------------------------------------------------------------- convolution


@kernel
def conv2d(
    x: Any, weight: Any, bias: Any = None, *, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1, groups: int = 1
) -> Any:
    """y[f, p, q] = bias[f] + sum over c, i, j of weight[f, c, i, j] x[c, s p + d i - padding, s q + d j - padding].

    x (N, C, H, W), weight (F, C/groups, kh, kw), bias (F,) -> (N, F, H', W'), H' = (H + 2 padding - d (kh - 1) - 1) / s
    + 1, rounded down. Group g of the outputs sees group g of the channels only.
    """
    geometry = _geometry(weight, stride, padding, dilation, groups)
    n, _, h, w = x.shape
    output = geometry.output((h, w))
    padded = geometry.pad(np.reshape(x, (n, groups, -1, h, w)))
    filters = np.reshape(weight, (groups, -1, *weight.shape[1:]))  # (groups, F/groups, C/groups, kh, kw)
    y: Any = 0.0
    for i, j, place in geometry.offsets(output):
        y = y + np.einsum("ngchw,gfc->ngfhw", padded[place], filters[..., i, j])
    y = np.reshape(y, (n, -1, *output))
    return y if bias is None else y + np.reshape(bias, (-1, 1, 1))


@conv2d.forward
def _(x: Any, weight: Any, bias: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Any:
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[1] * groups or len(weight) % groups:
        raise ValueError(
            f"x of shape {x.shape} does not fit a weight of shape {weight.shape} in {groups} groups: they are (N, C, H, W) "
            "and (F, C / groups, kh, kw), and groups divides F"
        )
    y = correlate(x, weight, _geometry(weight, stride, padding, dilation, groups))
    return (y if bias is None else y + bias[:, None, None]), None


@conv2d.backward
def _(
    g: Any, x: Any, weight: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int, needs: Sequence[bool]
) -> Any:
    geometry = _geometry(weight, stride, padding, dilation, groups)
    dx, dweight = both_gradients(g, x, weight, geometry, needs)
    return dx, dweight, g.sum(axis=(0, 2, 3)) if needs[2] else None


def _geometry(weight: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Geometry:
    return Geometry(weight.shape[-2:], pair(stride), pair(padding), pair(dilation), groups)


@kernel
def conv_transpose2d(
    x: Any, weight: Any, bias: Any = None, *, stride: Pair = 1, padding: Pair = 0, output_padding: Pair = 0,
    dilation: Pair = 1, groups: int = 1,
) -> Any:  # fmt: skip
    """The adjoint of `conv2d` in x, as a layer: each element of x lays weight[c] down at stride times its place.

    x (N, C, H, W), weight (C, F/groups, kh, kw), bias (F,) -> (N, F, H', W'), H' = (H - 1) s - 2 padding + d (kh - 1) +
    output_padding + 1.
    """
    geometry = _geometry(weight, stride, padding, dilation, groups)
    n, _, h, w = x.shape
    height, width = _spread_size(geometry, (h, w), output_padding)
    grouped = np.reshape(x, (n, groups, -1, h, w))
    filters = np.reshape(weight, (groups, -1, *weight.shape[1:]))  # (groups, C/groups, F/groups, kh, kw)
    y: Any = 0.0
    for i in range(geometry.size[0]):
        for j in range(geometry.size[1]):
            down, across = (
                np.equal.outer(s * np.arange(n) + d * k - p, np.arange(m)).astype(x.dtype)  # (H, H'), (W, W')
                for s, d, k, p, n, m in zip(
                    geometry.stride, geometry.dilation, (i, j), geometry.padding, (h, w), (height, width), strict=True
                )
            )
            y = y + np.einsum("ngchw,gcf,hp,wq->ngfpq", grouped, filters[..., i, j], down, across)
    y = np.reshape(y, (n, -1, height, width))
    return y if bias is None else y + np.reshape(bias, (-1, 1, 1))


@conv_transpose2d.forward
def _(
    x: Any, weight: Any, bias: Any, stride: Pair, padding: Pair, output_padding: Pair, dilation: Pair, groups: int
) -> Any:
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != len(weight) or len(weight) % groups:
        raise ValueError(
            f"x of shape {x.shape} does not fit a weight of shape {weight.shape} in {groups} groups: they are (N, C, H, W) "
            "and (C, F / groups, kh, kw), and groups divides C"
        )
    geometry = _geometry(weight, stride, padding, dilation, groups)
    y = spread(x, weight, geometry, _spread_size(geometry, x.shape[-2:], output_padding))
    return (y if bias is None else y + bias[:, None, None]), None


@conv_transpose2d.backward
def _(
    g: Any, x: Any, weight: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int, needs: Sequence[bool]
) -> Any:
    geometry = _geometry(weight, stride, padding, dilation, groups)
    dx = correlate(g, weight, geometry) if needs[0] else None
    dweight = weight_gradient(g, x, geometry) if needs[1] else None
    return dx, dweight, g.sum(axis=(0, 2, 3)) if needs[2] else None


def _spread_size(geometry: Geometry, shape: Sequence[int], output_padding: Pair) -> tuple[int, int]:
    """The size of the picture that is spread: the smallest one with `shape` places, and output_padding more."""
    axes = zip(shape, geometry.stride, geometry.padding, geometry.dilation, geometry.size, pair(output_padding), strict=True)
    height, width = ((n - 1) * s - 2 * p + d * (k - 1) + 1 + extra for n, s, p, d, k, extra in axes)
    if min(height, width) < 1 or any(e >= s for e, s in zip(pair(output_padding), geometry.stride, strict=True)):
        raise ValueError(
            f"output of {height} x {width}: padding {geometry.padding} is too large, or output_padding {output_padding} is "
            f"not below the stride, {geometry.stride}"
        )
    return height, width
