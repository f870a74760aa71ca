"""Where a small window is laid on images: sizes, strides, padding, dilation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import SupportsIndex, TypeAlias

import numpy as np

from ...engine.arguments import whole
from ...typing import Array, Shape

Size: TypeAlias = tuple[int, int]  # along the two axes of images
Whole: TypeAlias = SupportsIndex  # Python's or NumPy's
Pair: TypeAlias = Whole | tuple[Whole, Whole]  # one number for both axes, or one for each


def pair(name: str, value: Pair, least: int = 1) -> Size:
    """One number for each axis, each at least `least`."""
    if not isinstance(value, (tuple, list)):
        number = whole(name, value, least)
        return number, number
    if len(value) != 2:
        raise ValueError(f"{name} is one number, or two, for height and width, not {value}")
    down, across = value
    return whole(name, down, least), whole(name, across, least)


@dataclass(frozen=True)
class Geometry:
    """Where a kernel is laid on images."""

    size: Size  # of the kernel
    stride: Size
    padding: Size
    dilation: Size = (1, 1)
    groups: int = 1

    @property
    def spans(self) -> Size:
        """How many pixels the kernel reaches over, with the gaps of its dilation."""
        kh, kw = self.size
        dh, dw = self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    @property
    def pointwise(self) -> bool:
        """Whether each output position sees one pixel, its own."""
        single = self.size == self.stride == (1, 1)
        return single and self.padding == (0, 0)

    @property
    def adjoint(self) -> Geometry | None:
        """The geometry of the adjoint, if that is a correlation, too, with the mirrored weight.

        It is at stride 1, with padding that is smaller than the kernel.
        """
        span_h, span_w = self.spans
        ph, pw = self.padding
        padding = (span_h - 1 - ph, span_w - 1 - pw)
        if self.stride != (1, 1) or min(padding) < 0:
            return None
        return Geometry(self.size, (1, 1), padding, self.dilation, self.groups)

    def output(self, image: Shape) -> Size:
        """The output positions along each axis of images of a size.

        Raises ValueError if the kernel is larger than the padded image.
        """
        h, w = self.padded(image)
        span_h, span_w = self.spans
        sh, sw = self.stride
        height = (h - span_h) // sh + 1
        width = (w - span_w) // sw + 1
        if min(height, width) < 1:
            raise ValueError(
                f"a kernel that spans {self.spans} does not fit an image of {tuple(image)}, "
                f"padded by {self.padding}"
            )
        return height, width

    def padded(self, image: Shape) -> Size:
        """The size of an image with its padding."""
        h, w = image
        ph, pw = self.padding
        return h + 2 * ph, w + 2 * pw

    def offsets(self, output: Size) -> Iterator[tuple[int, int, slice, slice]]:
        """Each element (i, j) of the kernel with the rows and columns of padded images it meets."""
        height, width = output
        for i in range(self.size[0]):
            down = self.meets(0, i, height)
            for j in range(self.size[1]):
                across = self.meets(1, j, width)
                yield i, j, down, across

    def meets(self, axis: int, k: int, positions: int) -> slice:
        """The pixels along an axis that element k of the kernel meets at so many positions."""
        stride = self.stride[axis]
        first = self.dilation[axis] * k
        last = first + stride * (positions - 1)
        return slice(first, last + 1, stride)

    def inside(self, axis: int, k: int, positions: int, pixels: int) -> tuple[slice, slice]:
        """The positions at which element k of the kernel meets a pixel, no padding; the pixels."""
        stride, shift = self.stride[axis], self.dilation[axis] * k - self.padding[axis]
        first = max(0, -(shift // stride))  # stride first + shift >= 0
        stop = min(positions, (pixels - 1 - shift) // stride + 1)
        stop = max(first, stop)
        met = range(stride * first + shift, stride * stop + shift, stride)
        return slice(first, stop), slice(met.start, met.start + stride * len(met), stride)

    def shifts(self, x: Array, output: Size) -> list[Array]:
        """Views of padded images (..., H, W), one for each element of the kernel: (..., H', W')."""
        offsets = self.offsets(output)
        return [x[..., down, across] for _, _, down, across in offsets]

    def pad(self, x: Array, value: float = 0.0) -> Array:
        """Images (..., H, W) with their padding."""
        ph, pw = self.padding
        if ph == pw == 0:
            return x
        others = [(0, 0)] * (x.ndim - 2)
        return np.pad(x, [*others, (ph, ph), (pw, pw)], constant_values=value)

    def crop(self, x: np.ndarray) -> np.ndarray:
        """A view of padded images (..., H, W) without their padding."""
        h, w = x.shape[-2:]
        ph, pw = self.padding
        return x[..., ph : h - ph, pw : w - pw]

    def windows(self, x: np.ndarray) -> np.ndarray:
        """A view of what each output position sees of padded images.

        (..., H, W) -> (..., H', W', kh, kw)
        """
        sliding_window_view = np.lib.stride_tricks.sliding_window_view
        every = sliding_window_view(x, self.spans, axis=(-2, -1))
        sh, sw = self.stride
        dh, dw = self.dilation
        return every[..., ::sh, ::sw, ::dh, ::dw]
