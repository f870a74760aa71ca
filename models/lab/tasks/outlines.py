"""What is left of a digit when only its outline or its skeleton is drawn."""

from __future__ import annotations

import numpy as np

from ..evaluation.connected import INK

# The eight neighbours of a pixel (row, column), clockwise from the one above.
AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def outlines(images: np.ndarray) -> np.ndarray:
    """The pixels of ink beside which there is none: (N, H, W) -> (N, H, W) of 0 and 1."""
    ink = images >= INK
    around = neighbours(ink)
    inside = np.logical_and.reduce(around[::2])  # above, right, below, left
    return np.asarray(ink & ~inside, np.float32)


def skeletons(images: np.ndarray) -> np.ndarray:
    """Lines in the middle of the strokes: (N, H, W) -> (N, H, W) of 0 and 1.

    The thinning of Zhang & Suen 1984 (Communications of the ACM 27, 3): pixels are taken from the
    edge, those of the lower right and of the upper left in turn, as long as the line stays whole.
    """
    ink = images >= INK
    while True:
        before = ink
        for corners in ((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6)):
            around = neighbours(ink)
            count = around.sum(axis=0)
            follows = ~around & np.roll(around, -1, axis=0)  # no ink, and ink in the next one
            edge = (count >= 2) & (count <= 6) & (follows.sum(axis=0) == 1)
            for trio in corners:
                edge &= ~np.logical_and.reduce(around[list(trio)])
            ink = ink & ~edge
        if np.array_equal(ink, before):
            return ink.astype(np.float32)


def neighbours(ink: np.ndarray) -> np.ndarray:
    """The eight neighbours of each pixel, outside of the image none: (N, H, W) -> (8, N, H, W)."""
    H, W = ink.shape[1:]
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    shifted = [padded[:, 1 + y : 1 + y + H, 1 + x : 1 + x + W] for y, x in AROUND]
    return np.stack(shifted)
