"""Where a small window is laid on images: sizes, strides, padding, dilation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...typing import Array

Pair = int | tuple[int, int]


def pair(value: Pair) -> tuple[int, int]:
    """One number for both axes, or one for each."""
    if isinstance(value, int):
        return value, value
    return int(value[0]), int(value[1])


@dataclass(frozen=True)
class Geometry:
    """Where a kernel is laid on an image."""

    size: tuple[int, int]  # of the kernel
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def spans(self) -> tuple[int, int]:
        """How many pixels the kernel reaches over, with the gaps of its dilation."""
        (kh, kw), (dh, dw) = self.size, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    @property
    def pointwise(self) -> bool:
        """Whether each output position sees one pixel, its own."""
        return self.size == self.stride == (1, 1) and self.padding == (0, 0)

    @property
    def adjoint(self) -> Geometry | None:
        """The correlation that is the adjoint of this one, with the mirrored weight.

        There is one at stride 1, if the padding is smaller than the kernel.
        """
        (height, width), (ph, pw) = self.spans, self.padding
        padding = (height - 1 - ph, width - 1 - pw)
        if self.stride != (1, 1) or min(padding) < 0:
            return None
        return Geometry(self.size, (1, 1), padding, self.dilation, self.groups)

    def output(self, image: Sequence[int]) -> tuple[int, int]:
        """The output positions along each axis of images of a size.

        Raises ValueError if the kernel is larger than the padded image.
        """
        (h, w), (span_h, span_w), (sh, sw) = self.padded(image), self.spans, self.stride
        height = (h - span_h) // sh + 1
        width = (w - span_w) // sw + 1
        if min(height, width) < 1:
            raise ValueError(
                f"a kernel that spans {self.spans} does not fit an image of {tuple(image)}, "
                f"padded by {self.padding}"
            )
        return height, width

    def padded(self, image: Sequence[int]) -> tuple[int, int]:
        """The size of an image with its padding."""
        (h, w), (ph, pw) = image, self.padding
        return h + 2 * ph, w + 2 * pw

    def offsets(self, output: tuple[int, int]) -> Iterator[tuple[int, int, slice, slice]]:
        """Each element (i, j) of the kernel with the rows and columns of a padded image it meets."""
        (dh, dw), (sh, sw), (height, width) = self.dilation, self.stride, output
        for i in range(self.size[0]):
            down = slice(i * dh, i * dh + sh * (height - 1) + 1, sh)
            for j in range(self.size[1]):
                across = slice(j * dw, j * dw + sw * (width - 1) + 1, sw)
                yield i, j, down, across

    def shifts(self, x: Array, output: tuple[int, int]) -> list[Array]:
        """Views of padded images (..., H, W), one for each element of the kernel: (..., H', W')."""
        return [x[..., down, across] for _, _, down, across in self.offsets(output)]

    def pad(self, x: Array, value: float = 0.0) -> Array:
        """Images (..., H, W) with their padding."""
        ph, pw = self.padding
        if not (ph or pw):
            return x
        widths = [(0, 0)] * (x.ndim - 2) + [(ph, ph), (pw, pw)]
        return np.pad(x, widths, constant_values=value)

    def crop(self, x: np.ndarray) -> np.ndarray:
        """A view of padded images (..., H, W) without their padding."""
        (ph, pw), (h, w) = self.padding, x.shape[-2:]
        return x[..., ph : h - ph, pw : w - pw]

    def windows(self, x: np.ndarray) -> np.ndarray:
        """A view of what each output position sees of padded images.

        (..., H, W) -> (..., H', W', kh, kw)
        """
        view = np.lib.stride_tricks.sliding_window_view(x, self.spans, axis=(-2, -1))
        (sh, sw), (dh, dw) = self.stride, self.dilation
        return view[..., ::sh, ::sw, ::dh, ::dw]
