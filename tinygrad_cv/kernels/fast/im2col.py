"""Convolution as one matrix product: what each output position sees becomes a row of a matrix.

The idea is that of Chellapilla et al. 2006. Three linear maps, adjoint to each other, act on images
(N, H, W, C) and outputs (N, H', W', F); weights are PyTorch's (F, C/groups, kh, kw):

    <correlate(x, w), g> = <x, input_gradient(g, w)> = <w, weight_gradient(x, g)>

The matrix is made for so many images at a time as the second-level cache holds, and nothing of it
is kept for backward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from ...machine import IM2COL_BLOCK
from ...typing import Shape
from .geometry import Geometry, Size
from .layout import channels_first, framed
from .multiply import multiply
from .tiles import blocks


def correlate(
    x: np.ndarray,
    weight: np.ndarray,
    geometry: Geometry,
    output: Size | None = None,
) -> np.ndarray:
    """The convolution, images (N, H, W, C) to outputs (N, H', W', F), or to the first of them."""
    n, h, w, _ = x.shape
    f, groups = len(weight), geometry.groups
    output = output or geometry.output((h, w))
    matrix = as_matrix(weight, groups)
    dtype = np.result_type(x, weight)
    y = np.empty((n, *output, f), dtype)
    for block in image_blocks(geometry, x.shape, output):
        seen = patches(x[block], geometry, output)
        multiply(seen, matrix, out=by_group(y[block], groups))
    return y


def input_gradient(
    g: np.ndarray,
    weight: np.ndarray,
    geometry: Geometry,
    image: Size,
) -> np.ndarray:
    """The adjoint of `correlate` in x: outputs (N, H', W', F) to images (N, H, W, C) of a size."""
    n, height, width, _ = g.shape
    groups = geometry.groups
    channels = weight.shape[1]  # of a group
    matrix = as_matrix(weight, groups)
    transposed = np.ascontiguousarray(matrix.mT)
    size = geometry.padded(image)
    dtype = np.result_type(g, weight)
    padded = np.zeros((n, *size, groups, channels), dtype)
    images = (n, *image, groups * channels)
    for block in image_blocks(geometry, images, (height, width)):
        rows = np.matmul(by_group(g[block], groups), transposed)
        # (groups, n H' W', kh kw C/groups) -> (n, H', W', groups, kh, kw, C/groups)
        parts = rows.reshape(groups, -1, height, width, *geometry.size, channels)
        parts = parts.transpose(1, 2, 3, 0, 4, 5, 6)
        for i, j, down, across in geometry.offsets((height, width)):
            padded[block, down, across] += parts[..., i, j, :]
    h, w = image
    top, left = geometry.padding
    inside = padded[:, top : top + h, left : left + w]
    return np.ascontiguousarray(inside).reshape(images)


def weight_gradient(
    x: np.ndarray,
    g: np.ndarray,
    geometry: Geometry,
) -> np.ndarray:
    """The adjoint of `correlate` in the weight: (F, C/groups, kh, kw)."""
    _, height, width, f = g.shape
    groups = geometry.groups
    channels = x.shape[3] // groups
    columns = prod(geometry.size) * channels
    dtype = np.result_type(x, g)
    matrix = np.zeros((groups, columns, f // groups), dtype)
    for block in image_blocks(geometry, x.shape, (height, width)):
        seen = patches(x[block], geometry, (height, width))
        matrix += np.matmul(seen.mT, by_group(g[block], groups))
    return as_weight(matrix, (f, channels, *geometry.size))


def weight_gradient_of_pixels(
    x: np.ndarray,
    g: np.ndarray,
    geometry: Geometry,
) -> np.ndarray:
    """The same element by element of the kernel, without the padding.

    So no 0 of the padding is multiplied by an infinity of the other factor.
    """
    n, h, w, c = x.shape
    _, height, width, f = g.shape
    groups = geometry.groups
    x = x.reshape(n, h, w, groups, c // groups)
    g = g.reshape(n, height, width, groups, f // groups)
    gradient = np.empty((groups, f // groups, c // groups, *geometry.size), np.result_type(x, g))
    for i, j in np.ndindex(*geometry.size):
        rows, down = geometry.inside(0, i, height, h)
        columns, across = geometry.inside(1, j, width, w)
        seen, sent = x[:, down, across], g[:, rows, columns]
        gradient[..., i, j] = np.einsum("nhwgc,nhwgf->gfc", seen, sent)
    return gradient.reshape(f, c // groups, *geometry.size)


def both_gradients(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    geometry: Geometry,
    needs: Sequence[bool],
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """`input_gradient(g, weight)` and `weight_gradient(x, g)`, each if needed."""
    adjoint = geometry.adjoint
    dx = dweight = None
    if needs[0] and adjoint is not None:
        return gradients_at_stride_1(g, x, weight, adjoint, needs[1])
    if needs[0]:
        _, h, w, _ = x.shape
        dx = input_gradient(g, weight, geometry, (h, w))
    if needs[1]:
        dweight = weight_gradient(x, g, geometry)
    return dx, dweight


def gradients_at_stride_1(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    adjoint: Geometry,
    both: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """The gradients of images and, if both are asked for, of the weight.

    The adjoint is a correlation with the mirrored weight, and the patches of g serve both
    gradients: half the copying, and nothing has to be added up where windows overlap.
    """
    _, h, w, c = x.shape
    f, groups = g.shape[3], adjoint.groups
    matrix = as_matrix(mirror(weight, groups), groups)  # (groups, kh kw F/groups, C/groups)
    dx = np.empty(x.shape, np.result_type(g, weight))
    dmatrix = np.zeros(matrix.shape, np.result_type(x, g))
    for block in image_blocks(adjoint, g.shape, (h, w)):
        seen = patches(g[block], adjoint, (h, w))
        multiply(seen, matrix, out=by_group(dx[block], groups))
        if both:
            dmatrix += np.matmul(seen.mT, by_group(x[block], groups))
    if not both:
        return dx, None
    mirrored = as_weight(dmatrix, (c, f // groups, *adjoint.size))
    return dx, mirror(mirrored, groups)


# ----------------------------------------------------------------- images and weights as matrices


def image_blocks(
    geometry: Geometry,
    images: Shape,
    output: Size,
) -> Iterator[slice]:
    """Images (N, H, W, C), as many at a time as have patches that stay in the cache."""
    n, _, _, channels = images
    elements = prod(output) * prod(geometry.size) * channels
    return blocks(n, elements, IM2COL_BLOCK)


def patches(
    x: np.ndarray,
    geometry: Geometry,
    output: Size,
) -> np.ndarray:
    """What each output position sees of images; there may be room for more positions.

    (n, H, W, C) -> (groups, n H' W', kh kw C/groups)
    """
    n, h, w, c = x.shape
    height, width = output
    groups = geometry.groups
    if geometry.pointwise:
        return by_group(x[:, :height, :width], groups)
    padded = framed(x, geometry.padded((h, w)), geometry.padding)
    windows = geometry.windows(channels_first(padded))[..., :height, :width, :, :]
    window = (*output, *geometry.size)
    parts = windows.reshape(n, groups, c // groups, *window)  # a view
    seen = np.empty((groups, n, *window, c // groups), x.dtype)
    seen[...] = parts.transpose(1, 0, 3, 4, 5, 6, 2)
    return seen.reshape(groups, n * prod(output), -1)


def by_group(
    x: np.ndarray,
    groups: int,
) -> np.ndarray:
    """A view: (n, H, W, C) -> (groups, n H W, C/groups)."""
    n, h, w, c = x.shape
    pixels = x.reshape(n * h * w, groups, c // groups)
    return pixels.swapaxes(0, 1)


def as_matrix(
    weight: np.ndarray,
    groups: int,
) -> np.ndarray:
    """(F, C/groups, kh, kw) -> (groups, kh kw C/groups, F/groups)."""
    f, c, kh, kw = weight.shape
    parts = weight.reshape(groups, f // groups, c, kh, kw)
    parts = parts.transpose(0, 3, 4, 2, 1)  # (groups, kh, kw, C/groups, F/groups)
    return parts.reshape(groups, kh * kw * c, f // groups)


def as_weight(
    matrix: np.ndarray,
    shape: Shape,
) -> np.ndarray:
    """The inverse of `as_matrix`, to a weight of a shape."""
    f, c, kh, kw = shape
    groups = len(matrix)
    parts = matrix.reshape(groups, kh, kw, c, f // groups)
    parts = parts.transpose(0, 4, 3, 1, 2)  # (groups, F/groups, C/groups, kh, kw)
    return parts.reshape(shape)


def mirror(
    weight: np.ndarray,
    groups: int,
) -> np.ndarray:
    """The adjoint's weight at stride 1, turned in both axes.

    (F, C/groups, kh, kw) -> (C, F/groups, kh, kw)
    """
    f, c, kh, kw = weight.shape
    parts = weight.reshape(groups, f // groups, c, kh, kw)
    turned = parts[..., ::-1, ::-1].swapaxes(1, 2)
    return turned.reshape(groups * c, f // groups, kh, kw)
