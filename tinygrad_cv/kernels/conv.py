"""Convolution in two dimensions and its transpose. Images are (N, C, H, W), as in PyTorch.

Transposed convolution is the adjoint of convolution, so that three linear maps (`im2col`) serve
both. Where it is open and cheaper, convolution goes by fewer multiplications (`winograd`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine.arguments import whole
from ..typing import Array, Gradients
from .fast import im2col, winograd
from .fast.choose import is_finite
from .fast.geometry import Geometry, Pair, pair
from .fast.layout import add_bias, as_rows, channels_first, channels_last
from .fast.reduction import sum_of_rows
from .kernel import kernel


@kernel
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """The cross-correlation of images with filters, as in PyTorch.

    y[f, p, q] = bias[f]
        + sum over c, i, j of weight[f, c, i, j] x[c, s p + d i - padding, s q + d j - padding]

    x (N, C, H, W), weight (F, C/groups, kh, kw), bias (F,), or (N, F) for each image its own ->
    (N, F, H', W') with H' = (H + 2 padding - d (kh - 1) - 1) / s + 1, rounded down. Group g of the
    outputs sees group g of the channels only. Raises ValueError for shapes that do not fit.
    """
    geometry = geometry_of(weight, stride, padding, dilation, groups)
    n, _, h, w = x.shape
    f, c, kh, kw = weight.shape
    output = geometry.output((h, w))
    padded = geometry.pad(np.reshape(x, (n, groups, c, h, w)))
    filters = np.reshape(weight, (groups, f // groups, c, kh, kw))
    y = 0.0
    for i, j, down, across in geometry.offsets(output):
        seen = padded[..., down, across]
        y = y + np.einsum("ngchw,gfc->ngfhw", seen, filters[..., i, j])
    y = np.reshape(y, (n, f, *output))
    return y if bias is None else y + np.reshape(bias, (-1, f, 1, 1))


@conv2d.forward
def _(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> tuple[np.ndarray, None]:
    geometry = geometry_of(weight, stride, padding, dilation, groups)
    check_conv2d(x, weight, bias, geometry.groups)
    geometry.output(x.shape[2:])  # raises if the kernel is too large
    x = channels_last(x)
    if winograd.pays(x, weight, geometry):
        return channels_first(winograd.correlate(x, weight, bias, geometry.padding)), None
    y = im2col.correlate(x, weight, geometry)
    add_bias(y, bias)
    return channels_first(y), None


@conv2d.backward
def _(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    needs: Sequence[bool],
) -> Gradients:
    geometry = geometry_of(weight, stride, padding, dilation, groups)
    g, x = channels_last(g), channels_last(x)
    dx = dweight = dbias = None
    if winograd.pays(x, weight, geometry):
        dx, dweight = winograd.both_gradients(g, x, weight, geometry.padding, needs)
    elif needs[0] or needs[1]:
        dx, dweight = im2col.both_gradients(g, x, weight, geometry, needs)
    if dweight is not None and not is_finite(dweight):
        dweight = im2col.weight_gradient_of_pixels(x, g, geometry)
    if dx is not None:
        dx = channels_first(dx)
    if needs[2]:
        n, h, w, f = g.shape
        own = bias is not None and bias.ndim == 2  # one for each image
        dbias = sum_of_rows(g.reshape(n, h * w, f) if own else as_rows(g))
    return dx, dweight, dbias


@conv2d.jvp
def _(
    x_dot: np.ndarray | None,
    weight_dot: np.ndarray | None,
    bias_dot: np.ndarray | None,
    y: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """y' = conv2d(x', weight) + conv2d(x, weight') + bias'."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    parts = []
    if x_dot is not None:
        parts.append(conv2d(x_dot, weight, **options))
    if weight_dot is not None:
        parts.append(conv2d(x, weight_dot, **options))
    bias_dot = None if bias_dot is None else bias_dot.reshape(-1, len(weight), 1, 1)
    return sum_of_parts(parts, bias_dot, y)


def sum_of_parts(
    parts: Sequence[np.ndarray],
    bias_dot: np.ndarray | None,
    y: np.ndarray,
) -> np.ndarray:
    """What two products, in memory of their own, and a bias come to, in the shape of y."""
    total = parts[0] if parts else np.zeros_like(y)
    for part in (*parts[1:], bias_dot):
        if part is not None:
            total += part
    return total


def check_conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    groups: int,
) -> None:
    """Raise ValueError if the shapes do not fit."""
    images = x.ndim == weight.ndim == 4
    if not images or x.shape[1] != weight.shape[1] * groups or len(weight) % groups:
        raise ValueError(
            f"x of shape {x.shape} does not fit a weight of shape {weight.shape} in {groups} "
            "groups: they are (N, C, H, W) and (F, C / groups, kh, kw), and groups divides F"
        )
    if bias is not None and bias.shape not in ((len(weight),), (len(x), len(weight))):
        raise ValueError(
            f"bias has shape {bias.shape}; for x of shape {x.shape} and a weight of shape "
            f"{weight.shape} it is (F,) or (N, F)"
        )


def geometry_of(
    weight: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Geometry:
    """Where a weight (F, C/groups, kh, kw) is laid on images."""
    kh, kw = weight.shape[-2:]
    return Geometry(
        size=(kh, kw),
        stride=pair("stride", stride),
        padding=pair("padding", padding, least=0),
        dilation=pair("dilation", dilation),
        groups=whole("groups", groups, least=1),
    )


@kernel
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """The adjoint of `conv2d` in x, as a layer.

    Each element of x adds weight[c], times itself, to the output at stride times its position.

    x (N, C, H, W), weight (C, F/groups, kh, kw), bias (F,) -> (N, F, H', W') with
    H' = (H - 1) s - 2 padding + d (kh - 1) + output_padding + 1. Raises ValueError for shapes that
    do not fit, and if output_padding is not below the stride or the dilation.
    """
    geometry = geometry_of(weight, stride, padding, dilation, groups)
    n, c, h, w = x.shape
    _, f, kh, kw = weight.shape
    height, width = transposed_output(geometry, (h, w), output_padding)
    grouped = np.reshape(x, (n, groups, c // groups, h, w))
    filters = np.reshape(weight, (groups, c // groups, f, kh, kw))
    y = 0.0
    for i, j in np.ndindex(kh, kw):
        down = meets(geometry, 0, i, h, height).astype(x.dtype)  # (H, H')
        across = meets(geometry, 1, j, w, width).astype(x.dtype)  # (W, W')
        y = y + np.einsum("ngchw,gcf,hp,wq->ngfpq", grouped, filters[..., i, j], down, across)
    y = np.reshape(y, (n, groups * f, height, width))
    return y if bias is None else y + np.reshape(bias, (-1, 1, 1))


@conv_transpose2d.forward
def _(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    dilation: Pair,
    groups: int,
) -> tuple[np.ndarray, None]:
    geometry = geometry_of(weight, stride, padding, dilation, groups)
    images = x.ndim == weight.ndim == 4
    if not images or x.shape[1] != len(weight) or len(weight) % geometry.groups:
        raise ValueError(
            f"x of shape {x.shape} does not fit a weight of shape {weight.shape} in {groups} "
            "groups: they are (N, C, H, W) and (C, F / groups, kh, kw), and groups divides C"
        )
    shape = (geometry.groups * weight.shape[1],)
    if bias is not None and bias.shape != shape:
        raise ValueError(
            f"bias has shape {bias.shape}; for a weight of shape {weight.shape} in {groups} "
            f"groups it is {shape}"
        )
    _, _, h, w = x.shape
    size = transposed_output(geometry, (h, w), output_padding)
    y = im2col.input_gradient(channels_last(x), weight, geometry, size)
    add_bias(y, bias)
    return channels_first(y), None


@conv_transpose2d.backward
def _(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    needs: Sequence[bool],
) -> Gradients:
    geometry = geometry_of(weight, stride, padding, dilation, groups)
    g, x = channels_last(g), channels_last(x)
    dx = dweight = dbias = None
    if needs[0]:
        dx = channels_first(im2col.correlate(g, weight, geometry, x.shape[1:3]))
    if needs[1]:
        dweight = im2col.weight_gradient(g, x, geometry)
        if not is_finite(dweight):
            dweight = im2col.weight_gradient_of_pixels(g, x, geometry)
    if needs[2]:
        dbias = sum_of_rows(as_rows(g))
    return dx, dweight, dbias


@conv_transpose2d.jvp
def _(
    x_dot: np.ndarray | None,
    weight_dot: np.ndarray | None,
    bias_dot: np.ndarray | None,
    y: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """y' = conv_transpose2d(x', weight) + conv_transpose2d(x, weight') + bias'."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    options["output_padding"] = output_padding
    parts = []
    if x_dot is not None:
        parts.append(conv_transpose2d(x_dot, weight, **options))
    if weight_dot is not None:
        parts.append(conv_transpose2d(x, weight_dot, **options))
    bias_dot = None if bias_dot is None else bias_dot.reshape(-1, 1, 1)
    return sum_of_parts(parts, bias_dot, y)


def transposed_output(
    geometry: Geometry,
    shape: tuple[int, int],
    output_padding: Pair,
) -> tuple[int, int]:
    """The smallest images whose convolution has `shape` positions, and output_padding more.

    That may be as much as another position, where the dilation is more than the stride.
    """
    extra = pair("output_padding", output_padding, least=0)
    stride, padding, dilation = geometry.stride, geometry.padding, geometry.dilation
    height, width = (
        (n - 1) * s - 2 * p + span + more
        for n, s, p, span, more in zip(shape, stride, padding, geometry.spans, extra, strict=True)
    )
    if any(more >= max(s, d) for more, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(
            f"output_padding {extra} is not below the stride, {stride}, or the dilation, {dilation}"
        )
    if min(height, width) < 0:
        raise ValueError(
            f"output of {height} x {width}: padding {padding} is too large for a kernel that "
            f"spans {geometry.spans}, laid on x at {shape} positions"
        )
    return height, width


def meets(
    geometry: Geometry,
    axis: int,
    k: int,
    positions: int,
    pixels: int,
) -> np.ndarray:
    """Whether element k of the kernel meets a pixel from a position: (positions, pixels), bool."""
    stride, dilation, padding = (
        geometry.stride[axis],
        geometry.dilation[axis],
        geometry.padding[axis],
    )
    met = stride * np.arange(positions) + dilation * k - padding
    return np.equal.outer(met, np.arange(pixels))
