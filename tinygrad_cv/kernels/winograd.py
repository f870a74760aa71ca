"""Convolution with 3 x 3 kernels at stride 1 by fewer multiplications: F(4 x 4, 3 x 3) (Lavin & Gray 2016).

Four neighbouring responses y to three weights w are, transposed, a product of polynomials, which is known from its values
at five points and at infinity: six products in place of twelve (Toom 1963, Cook 1966).

    y = A^T [(G w) (B^T d)],    A (6, 4) and G (6, 3): values of x^0 ... x^3 and x^0 ... x^2,    B (6, 6): the way back

Along both axes 36 products do for 144. Kronecker products act on whole tiles of 6 x 6 pixels, so that a convolution is

    V = (B x B)^T tiles,    M_k = V_k U_k for the 36 points k with U = (G x G) w,    y = (A x A)^T M

The error is larger than that of `im2col`. With the points 0, +-2/3, +-3/2 (the usual 0, +-1, +-2 lose three times as much)
and 64 channels summed up at a time, float32 values and gradients of up to 512 channels and a million pixels differed from
the exact ones by at most 1e-5 of their standard deviation (im2col: 4e-6), in the root mean square by 1e-6 (4e-7). In
float64, which is asked for when digits matter, `pays` says no.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np

from .geometry import Geometry, add_bias, framed
from .multiply import multiply

POINTS = (0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
CHANNELS = 64  # that are summed up at a time
LEAST, MOST = (
    64,
    128,
)  # tiles that are worth a product of matrices: as many as channels, between these


def pays(x: np.ndarray, weight: np.ndarray, geometry: Geometry) -> bool:
    """Whether this way is open for pictures (N, H, W, C), and has fewer multiplications than `im2col`, its own included.

    With few tiles the work is in the weight, which has four times as many numbers here.
    """
    if geometry != Geometry((3, 3), (1, 1), geometry.padding) or max(geometry.padding) > 2:
        return False
    (f, c), tiles = weight.shape[:2], Tiles((x.shape[1], x.shape[2]), geometry.padding)
    each = tiles.down * tiles.across
    fewer = each * 36 * (36 * c + c * f + 16 * f) < 9 * c * f * prod(tiles.output)
    return x.dtype == weight.dtype == np.float32 and len(x) * each >= LEAST and fewer


@cache
def transforms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A x A (36, 16), G x G (36, 9) and B x B (36, 36), float32."""

    def values(n: int) -> np.ndarray:
        """Of x^0 ... x^(n-1) at the points; at infinity only the highest counts: (6, n)."""
        return np.vstack([np.vander(POINTS, n, increasing=True), np.eye(n)[-1]])

    a, g, b = values(4), values(3), np.linalg.inv(values(6))
    return (
        np.kron(a, a).astype(np.float32),
        np.kron(g, g).astype(np.float32),
        np.kron(b, b).astype(np.float32),
    )


@dataclass(frozen=True)
class Tiles:
    """A picture of a size, padded, cut into tiles of 6 x 6 pixels that overlap by two, which give 4 x 4 responses each.

    The two maps and their adjoints act on (n, H, W, channels); T is the number of tiles of all n.
    """

    size: tuple[int, int]
    padding: tuple[int, int]

    @property
    def output(self) -> tuple[int, int]:
        return self.size[0] + 2 * self.padding[0] - 2, self.size[1] + 2 * self.padding[1] - 2

    @property
    def down(self) -> int:
        return -(-self.output[0] // 4)

    @property
    def across(self) -> int:
        return -(-self.output[1] // 4)

    def overlapping(self, frame: np.ndarray) -> Any:
        """A view of a frame (n, 4 down + 2, 4 across + 2, C) as (6, 6, n, down, across, C)."""
        n, _, _, c = frame.shape
        picture, row, pixel, channel = frame.strides
        strides = (row, pixel, picture, 4 * row, 4 * pixel, channel)
        return np.lib.stride_tricks.as_strided(frame, (6, 6, n, self.down, self.across, c), strides)

    def apart(self, frame: np.ndarray) -> Any:
        """A view of a frame (n, 4 down, 4 across, F) as (4, 4, n, down, across, F)."""
        return frame.reshape(len(frame), self.down, 4, self.across, 4, -1).transpose(
            2, 4, 0, 1, 3, 5
        )

    def of_pictures(self, x: np.ndarray) -> Any:
        """V of pictures (n, H, W, C): (36, T, C)."""
        frame = framed(x, (4 * self.down + 2, 4 * self.across + 2), self.padding)
        return transform(transforms()[2].T, self.overlapping(frame)).reshape(36, -1, x.shape[3])

    def to_responses(self, m: np.ndarray, out: np.ndarray) -> None:
        """y of the products (36, T, F), in place: (n, H', W', F)."""
        n, height, width, f = out.shape
        parts = transform(transforms()[0].T, m).reshape(4, 4, n, self.down, self.across, f)
        size = 4 * self.down, 4 * self.across
        frame = out if out.shape[1:3] == size else np.empty((n, *size, f), out.dtype)
        self.apart(frame)[...] = parts
        if frame is not out:
            out[...] = frame[:, :height, :width]

    def of_responses(self, g: np.ndarray) -> Any:
        """The adjoint of `to_responses` in the products: (n, H', W', F) -> (36, T, F)."""
        frame = framed(g, (4 * self.down, 4 * self.across), (0, 0))
        return transform(transforms()[0], self.apart(frame)).reshape(36, -1, g.shape[3])

    def blocks(self, n: int, channels: int) -> Iterator[slice]:
        """n pictures in small groups, whose tiles stay in the second-level cache."""
        tiles = self.down * self.across
        size = -(-min(max(channels, LEAST), MOST) // tiles)
        return (slice(start, min(start + size, n)) for start in range(0, n, size))


def transform(matrix: np.ndarray, tiles: np.ndarray) -> Any:
    """A matrix (R, K) times the pixels (or points) of all tiles, (K, ...) or two axes of K in all: (R, T C)."""
    columns = tiles.reshape(matrix.shape[1], -1)
    out = np.empty((len(matrix), columns.shape[1]), tiles.dtype)
    multiply(columns.T, matrix.T, out.T)
    return out


def contract(a: np.ndarray, b: np.ndarray) -> Any:
    """(36, T, C) times (36, C, F), sums of at most 64 products added up: (36, T, F)."""
    total = np.matmul(a[:, :, :CHANNELS], b[:, :CHANNELS])
    for start in range(CHANNELS, a.shape[2], CHANNELS):
        some = slice(start, start + CHANNELS)
        total += np.matmul(a[:, :, some], b[:, some])
    return total


def correlate(x: np.ndarray, weight: np.ndarray, bias: Any, padding: tuple[int, int]) -> Any:
    """Pictures (N, H, W, C), weight (F, C, 3, 3) and bias (F,), (N, F) or None to responses (N, H', W', F)."""
    tiles, f, c = Tiles((x.shape[1], x.shape[2]), padding), *weight.shape[:2]
    u = np.matmul(transforms()[1], weight.transpose(2, 3, 1, 0).reshape(9, c * f)).reshape(36, c, f)
    y = np.empty((len(x), *tiles.output, f), x.dtype)
    for block in tiles.blocks(len(x), max(c, f)):
        tiles.to_responses(contract(tiles.of_pictures(x[block]), u), y[block])
        add_bias(y[block], bias if bias is None or bias.ndim == 1 else bias[block])
    return y


def both_gradients(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    padding: tuple[int, int],
    needs: Sequence[bool],
) -> tuple[Any, Any]:
    """The gradients of pictures and weight, each if needed: as in `im2col`, a correlation of g with the mirrored weight."""
    tiles = Tiles(
        (g.shape[1], g.shape[2]), (2 - padding[0], 2 - padding[1])
    )  # whose responses have the size of x
    f, c = weight.shape[:2]
    mirrored = weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1).reshape(9, f * c)
    u, du = np.matmul(transforms()[1], mirrored).reshape(36, f, c), np.zeros((36, f, c), x.dtype)
    dx = np.empty(x.shape, x.dtype) if needs[0] else None
    for block in tiles.blocks(len(x), max(c, f)):
        v = tiles.of_pictures(g[block])  # (36, T, F)
        if dx is not None:
            tiles.to_responses(contract(v, u), dx[block])
        if needs[1]:
            du += np.matmul(v.mT, tiles.of_responses(x[block]))
    if not needs[1]:
        return dx, None
    dweight = np.matmul(transforms()[1].T, du.reshape(36, f * c)).reshape(3, 3, f, c)
    return dx, np.ascontiguousarray(dweight[::-1, ::-1].transpose(2, 3, 0, 1))
