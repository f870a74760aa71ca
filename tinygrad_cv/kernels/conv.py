"""Convolution in two dimensions and its transpose. Pictures are (N, C, H, W), as in PyTorch.

Three linear maps, adjoint to each other, serve convolution and transposed convolution alike: `correlate` takes pictures
to responses, `spread` takes responses back to pictures, and `weight_gradient` is what both have with respect to the
weight. <correlate(x, w), g> = <x, spread(g, w)> = <w, weight_gradient(x, g)>.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


def columns(x: np.ndarray, geometry: Geometry) -> Any:
    """What each place sees as a row: (N, C, H, W) -> (groups, N H' W', C/groups kh kw)."""
    windows = geometry.windows(x)  # (N, C, H', W', kh, kw)
    n, c, h, w, kh, kw = windows.shape
    grouped = windows.reshape(n, geometry.groups, c // geometry.groups, h, w, kh, kw)
    return grouped.transpose(1, 0, 3, 4, 2, 5, 6).reshape(geometry.groups, n * h * w, -1)


def rows(g: np.ndarray, groups: int) -> Any:
    """Responses as one row a place: (N, F, H', W') -> (groups, N H' W', F/groups)."""
    n, f, h, w = g.shape
    return g.reshape(n, groups, f // groups, h, w).transpose(1, 0, 3, 4, 2).reshape(groups, n * h * w, -1)


def flat(weight: np.ndarray, groups: int) -> Any:
    """(F, C/groups, kh, kw) -> (groups, F/groups, C/groups kh kw)."""
    return weight.reshape(groups, len(weight) // groups, -1)


def correlate(x: np.ndarray, weight: np.ndarray, geometry: Geometry) -> Any:
    """Pictures (N, C, H, W) to responses (N, F, H', W')."""
    h, w = geometry.output(x.shape[-2:])
    y = np.matmul(columns(x, geometry), flat(weight, geometry.groups).mT)  # (groups, N H' W', F/groups)
    y = y.reshape(geometry.groups, len(x), h, w, -1).transpose(1, 0, 4, 2, 3)  # (N, groups, F/groups, H', W')
    return np.ascontiguousarray(y).reshape(len(x), len(weight), h, w)


def spread(g: np.ndarray, weight: np.ndarray, geometry: Geometry, size: tuple[int, int]) -> Any:
    """Responses (N, F, H', W') back to pictures (N, C, H, W) of a size: the adjoint of `correlate` in x."""
    n, _, h, w = g.shape
    groups, (kh, kw), (ph, pw) = geometry.groups, geometry.size, geometry.padding
    parts = np.matmul(rows(g, groups), flat(weight, groups))  # (groups, N H' W', C/groups kh kw)
    parts = parts.reshape(groups, n, h, w, -1, kh, kw).transpose(1, 0, 4, 5, 6, 2, 3)  # (N, groups, C/groups, kh, kw, H', W')
    x = np.zeros((n, groups, weight.shape[1], size[0] + 2 * ph, size[1] + 2 * pw), parts.dtype)
    for i, j, place in geometry.offsets((h, w)):
        x[place] += parts[:, :, :, i, j]
    return geometry.crop(x).reshape(n, -1, *size)


def weight_gradient(x: np.ndarray, g: np.ndarray, geometry: Geometry) -> Any:
    """What pictures and responses say of the weight (F, C/groups, kh, kw): the adjoint of `correlate` in the weight."""
    dweight = np.matmul(rows(g, geometry.groups).mT, columns(x, geometry))  # (groups, F/groups, C/groups kh kw)
    return dweight.reshape(g.shape[1], x.shape[1] // geometry.groups, *geometry.size)


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
    dx = spread(g, weight, geometry, x.shape[-2:]) if needs[0] else None
    dweight = weight_gradient(x, g, geometry) if needs[1] else None
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
