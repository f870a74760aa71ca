"""Convolution with 3 x 3 kernels at stride 1 by fewer multiplications: F(4 x 4, 3 x 3).

The algorithm is that of Lavin & Gray 2016. Four neighbouring outputs y of three weights w are,
transposed, a product of polynomials, which is known from its values at five points and at infinity:
six products in place of twelve (Toom 1963, Cook 1966).

    y = A^T [(G w) (B^T d)]
    A (6, 4) and G (6, 3): values of x^0 ... x^3 and of x^0 ... x^2;  B (6, 6): the way back

Along both axes 36 products do for 144. Kronecker products act on whole tiles of 6 x 6 pixels, so
that a convolution is

    V = (B x B)^T tiles,    M_k = V_k U_k for the 36 points k with U = (G x G) w,    y = (A x A)^T M

The error is larger than that of `im2col`. With the points 0, +-2/3, +-3/2 (the usual 0, +-1, +-2
lose three times as much) and 64 channels summed up at a time, float32 values and gradients of up to
512 channels and a million pixels differed from the exact ones by at most 1e-5 of their standard
deviation (im2col: 4e-6), in the root mean square by 1e-6 (4e-7). In float64, which is asked for
when digits matter, `pays` says no.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod

import numpy as np

from ...machine import WINOGRAD_CHANNELS, WINOGRAD_MAX_TILES, WINOGRAD_MIN_TILES
from .geometry import Geometry, Size
from .layout import add_bias, framed
from .multiply import multiply
from .tiles import blocks

POINTS = (0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)


def pays(
    x: np.ndarray,
    weight: np.ndarray,
    geometry: Geometry,
) -> bool:
    """Whether this way is open for images (N, H, W, C), and multiplies less than `im2col`.

    The multiplications of the transforms are counted, too. With few tiles the work is in the
    weight, which has four times as many numbers here.
    """
    plain = Geometry((3, 3), (1, 1), geometry.padding)
    if geometry != plain or max(geometry.padding) > 2:
        return False
    if not x.dtype == weight.dtype == np.float32:
        return False
    n, h, w, _ = x.shape
    f, c, _, _ = weight.shape
    tiling = Tiling((h, w), geometry.padding)
    if n * tiling.tiles < WINOGRAD_MIN_TILES:
        return False
    transforms = 36 * c + 16 * f
    ours = 36 * tiling.tiles * (transforms + c * f)
    theirs = 9 * prod(tiling.output) * c * f
    return ours < theirs


def correlate(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    padding: Size,
) -> np.ndarray:
    """Images (N, H, W, C) and a weight (F, C, 3, 3) to outputs (N, H', W', F).

    The bias is (F,), (N, F) or None.
    """
    n, h, w, c = x.shape
    f = len(weight)
    tiling = Tiling((h, w), padding)
    u = transformed_weight(weight.transpose(2, 3, 1, 0))  # (36, C, F)
    y = np.empty((n, *tiling.output, f), x.dtype)
    for block in tiling.image_blocks(n, max(c, f)):
        v = tiling.of_images(x[block])  # (36, T, C)
        tiling.to_outputs(contract(v, u), out=y[block])
        add_bias(y[block], bias_of(block, bias))
    return y


def both_gradients(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    padding: Size,
    needs: Sequence[bool],
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The gradients of images and weight, each if needed.

    As in `im2col`, they are those of a correlation of g with the mirrored weight.
    """
    n, height, width, f = g.shape
    c = x.shape[3]
    ph, pw = padding
    tiling = Tiling((height, width), (2 - ph, 2 - pw))  # its outputs have the size of x
    mirrored = weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
    u = transformed_weight(mirrored)  # (36, F, C)
    du = np.zeros(u.shape, x.dtype)
    dx = np.empty(x.shape, x.dtype) if needs[0] else None
    for block in tiling.image_blocks(n, max(c, f)):
        v = tiling.of_images(g[block])  # (36, T, F)
        if dx is not None:
            tiling.to_outputs(contract(v, u), out=dx[block])
        if needs[1]:
            du += np.matmul(v.mT, tiling.of_outputs(x[block]))
    if not needs[1]:
        return dx, None
    _, weights, _ = transforms()
    dmirrored = np.matmul(weights.T, du.reshape(36, f * c)).reshape(3, 3, f, c)
    dweight = dmirrored[::-1, ::-1].transpose(2, 3, 0, 1)
    return dx, np.ascontiguousarray(dweight)


@dataclass(frozen=True)
class Tiling:
    """Padded images of a size, cut into tiles of 6 x 6 pixels that give 4 x 4 outputs each.

    Neighbouring tiles overlap by two pixels. The two maps and their adjoints act on
    (n, H, W, channels); T is the number of tiles of all n.
    """

    size: Size
    padding: Size

    @property
    def output(self) -> Size:
        """The size of the outputs."""
        h, w = self.size
        ph, pw = self.padding
        return h + 2 * ph - 2, w + 2 * pw - 2

    @property
    def down(self) -> int:
        """Tiles along the first axis of an image."""
        return -(-self.output[0] // 4)

    @property
    def across(self) -> int:
        """Tiles along the second axis."""
        return -(-self.output[1] // 4)

    @property
    def tiles(self) -> int:
        """Tiles of one image."""
        return self.down * self.across

    @property
    def covered(self) -> Size:
        """The size of the outputs of all tiles, which may stand over."""
        return 4 * self.down, 4 * self.across

    def image_blocks(
        self,
        n: int,
        channels: int,
    ) -> Iterator[slice]:
        """So many images at a time that their tiles fill the products and stay in the cache."""
        wanted = min(max(channels, WINOGRAD_MIN_TILES), WINOGRAD_MAX_TILES)  # tiles
        images = -(-wanted // self.tiles)
        return blocks(n, limit=images)

    def of_images(self, x: np.ndarray) -> np.ndarray:
        """V of images: (n, H, W, C) -> (36, T, C)."""
        _, _, pixels = transforms()
        height, width = self.covered
        frame = framed(x, (height + 2, width + 2), self.padding)
        v = transform(pixels.T, self.overlapping(frame))
        return v.reshape(36, -1, x.shape[3])

    def to_outputs(
        self,
        m: np.ndarray,
        out: np.ndarray,
    ) -> None:
        """y of the products M (36, T, F), written to `out`: (n, H', W', F)."""
        outputs, _, _ = transforms()
        n, height, width, f = out.shape
        y = transform(outputs.T, m)
        parts = y.reshape(4, 4, n, self.down, self.across, f)
        if (height, width) == self.covered:
            self.apart(out)[...] = parts
            return
        frame = np.empty((n, *self.covered, f), out.dtype)
        self.apart(frame)[...] = parts
        out[...] = frame[:, :height, :width]

    def of_outputs(self, g: np.ndarray) -> np.ndarray:
        """The adjoint of `to_outputs` in the products: (n, H', W', F) -> (36, T, F)."""
        outputs, _, _ = transforms()
        frame = framed(g, self.covered, (0, 0))
        m = transform(outputs, self.apart(frame))
        return m.reshape(36, -1, g.shape[3])

    def overlapping(self, frame: np.ndarray) -> np.ndarray:
        """A view of a frame (n, 4 down + 2, 4 across + 2, C): (6, 6, n, down, across, C)."""
        n, _, _, c = frame.shape
        image, row, pixel, channel = frame.strides
        shape = (6, 6, n, self.down, self.across, c)
        strides = (row, pixel, image, 4 * row, 4 * pixel, channel)
        return np.lib.stride_tricks.as_strided(frame, shape, strides)

    def apart(self, frame: np.ndarray) -> np.ndarray:
        """A view of a frame (n, 4 down, 4 across, F): (4, 4, n, down, across, F)."""
        n, _, _, f = frame.shape
        parts = frame.reshape(n, self.down, 4, self.across, 4, f)
        return parts.transpose(2, 4, 0, 1, 3, 5)


@cache
def transforms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A x A (36, 16), G x G (36, 9) and B x B (36, 36), float32."""
    a, g = powers(4), powers(3)
    b = np.linalg.inv(powers(6))
    return (
        np.kron(a, a).astype(np.float32),
        np.kron(g, g).astype(np.float32),
        np.kron(b, b).astype(np.float32),
    )


def powers(n: int) -> np.ndarray:
    """x^0 ... x^(n-1) at the points; at infinity only the highest counts: (6, n)."""
    finite = np.vander(POINTS, n, increasing=True)
    infinite = np.eye(n)[-1]
    return np.vstack([finite, infinite])


def transformed_weight(weight: np.ndarray) -> np.ndarray:
    """U of a weight: (3, 3, C, F) -> (36, C, F)."""
    _, weights, _ = transforms()
    _, _, c, f = weight.shape
    u = np.matmul(weights, weight.reshape(9, c * f))
    return u.reshape(36, c, f)


def transform(
    matrix: np.ndarray,
    tiles: np.ndarray,
) -> np.ndarray:
    """A matrix (R, K) times the pixels (or points) of all tiles.

    (K, ...), or two axes that have K together, -> (R, T C)
    """
    rows, k = matrix.shape
    columns = tiles.reshape(k, -1)
    out = np.empty((rows, columns.shape[1]), tiles.dtype)
    multiply(columns.T, matrix.T, out.T)
    return out


def contract(
    a: np.ndarray,
    b: np.ndarray,
) -> np.ndarray:
    """(36, T, C) times (36, C, F), so many channels at a time: (36, T, F)."""
    first, *others = blocks(b.shape[1], limit=WINOGRAD_CHANNELS)
    total = np.matmul(a[:, :, first], b[:, first])
    for part in others:
        total += np.matmul(a[:, :, part], b[:, part])
    return total


def bias_of(
    block: slice,
    bias: np.ndarray | None,
) -> np.ndarray | None:
    """The bias of some of the images: (F,) for all, or their part of (N, F)."""
    if bias is None or bias.ndim == 1:
        return bias
    return bias[block]
