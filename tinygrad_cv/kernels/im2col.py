"""Convolution as one matrix product: what each place sees is copied into a row of its own (Chellapilla et al. 2006).

Three linear maps, adjoint to each other, on pictures (N, H, W, C) and responses (N, H', W', F); weights are PyTorch's (F,
C/groups, kh, kw). <correlate(x, w), g> = <x, spread(g, w)> = <w, weight_gradient(x, g)>. The rows of so many pictures at
a time as the second-level cache holds; nothing of them is kept for backward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from .geometry import Geometry, channels_first, framed
from .multiply import multiply

BLOCK = 1 << 18  # elements: rows of so many pictures at a time stay in the second-level cache


def blocks(n: int, each: int) -> Iterator[slice]:
    """n pictures, of which each makes so many elements, in groups that fit the cache."""
    size = max(1, BLOCK // max(1, each))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def rows(x: np.ndarray, geometry: Geometry, output: tuple[int, int]) -> Any:
    """What each place sees: pictures (n, H, W, C) -> (groups, n H' W', kh kw C/groups)."""
    if geometry.pointwise:
        return grouped(x, geometry.groups)
    padded = framed(x, geometry.padded(x.shape[1:3]), geometry.padding)
    windows = geometry.windows(channels_first(padded))  # (n, C, H', W', kh, kw)
    windows = (
        windows.reshape(len(x), geometry.groups, -1, *windows.shape[2:])
        if geometry.groups > 1
        else windows[:, None]
    )
    seen = np.empty((geometry.groups, len(x), *output, *geometry.size, windows.shape[2]), x.dtype)
    seen[...] = windows.transpose(
        1, 0, 3, 4, 5, 6, 2
    )  # for one picture element runs of C, or kw C without dilation
    return seen.reshape(geometry.groups, len(x) * prod(output), -1)


def grouped(x: np.ndarray, groups: int) -> Any:
    """(n, H, W, C) -> (groups, n H W, C/groups)."""
    return x.reshape(prod(x.shape[:3]), groups, -1).swapaxes(0, 1)


def filters(weight: np.ndarray, groups: int) -> Any:
    """(F, C/groups, kh, kw) -> (groups, kh kw C/groups, F/groups)."""
    f, c, kh, kw = weight.shape
    return (
        weight.reshape(groups, f // groups, c, kh, kw)
        .transpose(0, 3, 4, 2, 1)
        .reshape(groups, kh * kw * c, f // groups)
    )


def weights(found: np.ndarray, shape: tuple[int, ...]) -> Any:
    """The way back from `filters` to a weight of a shape."""
    f, c, kh, kw = shape
    return (
        found.reshape(len(found), kh, kw, c, f // len(found))
        .transpose(0, 4, 3, 1, 2)
        .reshape(shape)
    )


def correlate(x: np.ndarray, weight: np.ndarray, geometry: Geometry) -> Any:
    """Pictures (N, H, W, C) to responses (N, H', W', F)."""
    output, laid = geometry.output(x.shape[1:3]), filters(weight, geometry.groups)
    y = np.empty((len(x), *output, len(weight)), np.result_type(x, weight))
    for block in blocks(len(x), prod(output) * prod(geometry.size) * x.shape[3]):
        multiply(rows(x[block], geometry, output), laid, grouped(y[block], geometry.groups))
    return y


def spread(g: np.ndarray, weight: np.ndarray, geometry: Geometry, size: tuple[int, int]) -> Any:
    """Responses (N, H', W', F) back to pictures (N, H, W, C) of a size: the adjoint of `correlate` in x."""
    n, *output, _ = g.shape
    groups, (kh, kw), (ph, pw), channels = (
        geometry.groups,
        geometry.size,
        geometry.padding,
        weight.shape[1],
    )
    laid = np.ascontiguousarray(filters(weight, groups).mT)  # (groups, F/groups, kh kw C/groups)
    x = np.zeros((n, *geometry.padded(size), groups, channels), np.result_type(g, weight))
    for block in blocks(n, prod(output) * kh * kw * groups * channels):
        parts = np.matmul(grouped(g[block], groups), laid).reshape(
            groups, -1, *output, kh, kw, channels
        )
        for i, j, (_, down, across) in geometry.offsets((output[0], output[1])):
            x[block, down, across] += parts[:, :, :, :, i, j].transpose(1, 2, 3, 0, 4)
    return np.ascontiguousarray(x[:, ph : ph + size[0], pw : pw + size[1]]).reshape(
        n, *size, -1
    )  # (N, H, W, C)


def weight_gradient(x: np.ndarray, g: np.ndarray, geometry: Geometry) -> Any:
    """What pictures and responses say of the weight (F, C/groups, kh, kw): the adjoint of `correlate` in the weight."""
    (n, *output, f), groups, channels = g.shape, geometry.groups, x.shape[3] // geometry.groups
    found = np.zeros((groups, prod(geometry.size) * channels, f // groups), np.result_type(x, g))
    for block in blocks(n, prod(output) * prod(geometry.size) * x.shape[3]):
        found += np.matmul(
            rows(x[block], geometry, (output[0], output[1])).mT, grouped(g[block], groups)
        )
    return weights(found, (f, channels, *geometry.size))


def both_gradients(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray, geometry: Geometry, needs: Sequence[bool]
) -> tuple[Any, Any]:
    """`spread(g, weight)` and `weight_gradient(x, g)`, each if needed.

    At stride 1 the adjoint of a correlation is a correlation with the mirrored weight, and one set of rows, of g, serves
    both gradients: half the copying, and nothing has to be added up where places overlap.
    """
    groups, size = geometry.groups, (x.shape[1], x.shape[2])
    padding = tuple(span - 1 - p for span, p in zip(geometry.spans, geometry.padding, strict=True))
    if geometry.stride != (1, 1) or min(padding) < 0 or not needs[0]:
        dx = spread(g, weight, geometry, size) if needs[0] else None
        return dx, weight_gradient(x, g, geometry) if needs[1] else None
    mirrored = Geometry(geometry.size, (1, 1), (padding[0], padding[1]), geometry.dilation, groups)
    laid = filters(mirror(weight, groups), groups)  # (groups, kh kw F/groups, C/groups)
    dx, found = (
        np.empty(x.shape, np.result_type(g, weight)),
        np.zeros(laid.shape, np.result_type(x, g)),
    )
    for block in blocks(len(g), prod(size) * prod(geometry.size) * g.shape[3]):
        seen = rows(g[block], mirrored, size)
        multiply(seen, laid, grouped(dx[block], groups))
        if needs[1]:
            found += np.matmul(seen.mT, grouped(x[block], groups))
    shape = (x.shape[3], g.shape[3] // groups, *geometry.size)
    return dx, mirror(weights(found, shape), groups) if needs[1] else None


def mirror(weight: np.ndarray, groups: int) -> Any:
    """The weight of the adjoint at stride 1, turned round in both axes: (F, C/groups, kh, kw) -> (C, F/groups, kh, kw)."""
    f, c, kh, kw = weight.shape
    turned = weight.reshape(groups, f // groups, c, kh, kw)[..., ::-1, ::-1].swapaxes(1, 2)
    return turned.reshape(groups * c, f // groups, kh, kw)
