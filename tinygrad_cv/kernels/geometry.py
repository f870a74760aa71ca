"""Where a small window is laid on pictures, and how pictures lie in memory.

Pictures are (N, C, H, W), as in PyTorch. In memory the channels of a pixel lie side by side, as kernels leave them: the
arrays are views of (N, H, W, C). NumPy's element-wise functions keep that order, so it costs nothing to stay in it; other
arrays are as right, but are copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Pair = int | tuple[int, int]


def pair(value: Pair) -> tuple[int, int]:
    """One number for both axes, or one for each."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def channels_last(x: np.ndarray) -> Any:
    """A view: (N, C, H, W) -> (N, H, W, C)."""
    return x.transpose(0, 2, 3, 1)


def channels_first(x: np.ndarray) -> Any:
    """A view: (N, H, W, C) -> (N, C, H, W)."""
    return x.transpose(0, 3, 1, 2)


def framed(x: np.ndarray, size: tuple[int, int], corner: tuple[int, int]) -> np.ndarray:
    """Pictures (n, H, W, C) within zeros of a size (n, height, width, C), their corner there."""
    n, h, w, c = x.shape
    if (h, w) == size:
        return x
    frame = np.zeros((n, *size, c), x.dtype)
    frame[:, corner[0] : corner[0] + h, corner[1] : corner[1] + w] = x
    return frame


def add_bias(y: np.ndarray, bias: Any) -> None:
    """Add (F,), or (n, F) for each picture its own, to responses (n, H, W, F) in place, a line of pixels at a time."""
    if bias is not None:
        lines = y.reshape(*y.shape[:2], -1)  # (n, H, W F)
        lines += np.tile(bias, y.shape[2]).reshape(-1, 1, lines.shape[2])


@dataclass(frozen=True)
class Geometry:
    """Where a kernel is laid on a picture."""

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
        """Whether each place sees one pixel of its own."""
        return self.size == self.stride == (1, 1) and self.padding == (0, 0)

    def output(self, shape: Sequence[int]) -> tuple[int, int]:
        """How many places there are along each axis of a picture."""
        found = [
            (n + 2 * p - span) // s + 1
            for n, p, span, s in zip(shape, self.padding, self.spans, self.stride, strict=True)
        ]
        if min(found) < 1:
            raise ValueError(
                f"a kernel that spans {self.spans} does not fit a picture of {tuple(shape)}, padded by {self.padding}"
            )
        return found[0], found[1]

    def padded(self, shape: Sequence[int]) -> tuple[int, int]:
        """The size of a picture with its padding."""
        return shape[0] + 2 * self.padding[0], shape[1] + 2 * self.padding[1]

    def offsets(self, output: tuple[int, int]) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
        """Each element (i, j) of the kernel with the padded picture's pixels that it meets, as slices."""
        for i in range(self.size[0]):
            for j in range(self.size[1]):
                slices = [
                    slice(k * d, k * d + s * (n - 1) + 1, s)
                    for k, d, s, n in zip((i, j), self.dilation, self.stride, output, strict=True)
                ]
                yield i, j, (..., *slices)

    def pad(self, x: Any, value: float = 0.0) -> Any:
        ph, pw = self.padding
        return (
            np.pad(x, [(0, 0)] * (x.ndim - 2) + [(ph, ph), (pw, pw)], constant_values=value)
            if ph or pw
            else x
        )

    def crop(self, x: Any) -> Any:
        (ph, pw), (h, w) = self.padding, x.shape[-2:]
        return x[..., ph : h - ph, pw : w - pw]

    def windows(self, x: np.ndarray) -> np.ndarray:
        """A view of what each place sees of padded pictures: (..., H, W) -> (..., H', W', kh, kw)."""
        view = np.lib.stride_tricks.sliding_window_view(x, self.spans, axis=(-2, -1))
        (sh, sw), (dh, dw) = self.stride, self.dilation
        return view[..., ::sh, ::sw, ::dh, ::dw]
