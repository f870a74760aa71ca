"""Augmentation: random changes of a batch of pictures, (N, H, W) or (N, H, W, C), that leave their classes alone."""

from __future__ import annotations

import numpy as np


def crop(
    images: np.ndarray, size: tuple[int, int], *, padding: int = 0, rng: np.random.Generator
) -> np.ndarray:
    """A window (height, width) of each picture, at a random place, after padding with zeros on all sides."""
    n, channels = len(images), images.shape[3:]
    padded = np.pad(
        images, [(0, 0), (padding, padding), (padding, padding), *[(0, 0)] * len(channels)]
    )
    room = [have - want for have, want in zip(padded.shape[1:3], size, strict=True)]
    if min(room) < 0:
        raise ValueError(
            f"a window of {size} does not fit pictures of {images.shape[1:3]} padded by {padding}"
        )
    top, left = (rng.integers(0, free + 1, n) for free in room)
    rows = top[:, None] + np.arange(size[0])  # (N, height)
    columns = left[:, None] + np.arange(size[1])  # (N, width)
    cropped: np.ndarray = padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cropped


def shift(images: np.ndarray, pixels: int, *, rng: np.random.Generator) -> np.ndarray:
    """Each picture moved by up to so many pixels along both axes; what comes in is zeros."""
    return crop(images, (images.shape[1], images.shape[2]), padding=pixels, rng=rng)


def affine(
    images: np.ndarray,
    *,
    rotation: float = 0.0,
    scaling: float = 0.0,
    shear: float = 0.0,
    rng: np.random.Generator,
) -> np.ndarray:
    """Each picture turned by up to `rotation` degrees, slanted, and scaled along each axis, about its centre.

    Up to `shear` columns a row, and by factors of up to exp(+-`scaling`). Interpolated linearly; what comes in is zeros.
    """
    n, height, width = images.shape[:3]
    angle, slant = (rng.uniform(-most, most, n) for most in (np.radians(rotation), shear))
    down, across = np.exp(rng.uniform(-scaling, scaling, (2, n)))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # (2, 2, N)
    stretch = np.array([[down, 0 * down], [slant, across]])
    centre = (np.array([height, width]) - 1) / 2
    places = np.indices((height, width)).reshape(2, -1).T - centre  # (H W, 2)
    y, x = (
        np.einsum("ijn,jkn,pk->inp", turn, stretch, places) + centre[:, None, None]
    )  # where each pixel comes from
    padded = np.pad(images, [(0, 0), (1, 2), (1, 2), *[(0, 0)] * (images.ndim - 3)])
    y, x = np.clip(y + 1, 0, height + 1), np.clip(x + 1, 0, width + 1)
    top, left, moved = (
        y.astype(int),
        x.astype(int),
        np.zeros((n, height * width, *images.shape[3:]), images.dtype),
    )
    for i in (0, 1):
        for j in (0, 1):
            share = np.abs(1 - i - (y - top)) * np.abs(1 - j - (x - left))  # (N, H W)
            taken = padded[np.arange(n)[:, None], top + i, left + j]
            moved += taken * share.astype(images.dtype).reshape(
                *share.shape, *[1] * (images.ndim - 3)
            )
    return moved.reshape(images.shape)


def flip(images: np.ndarray, *, probability: float = 0.5, rng: np.random.Generator) -> np.ndarray:
    """Each picture mirrored left to right with a probability."""
    mirrored = rng.random(len(images)) < probability
    return np.where(mirrored.reshape(-1, *[1] * (images.ndim - 1)), images[:, :, ::-1], images)


def mixup(
    images: np.ndarray, labels: np.ndarray, alpha: float, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """share x + (1 - share) x' with other pictures x' of the batch, the labels of those, and share ~ Beta(alpha, alpha).

    The loss is shared out in the same way: share loss(y) + (1 - share) loss(y') (Zhang et al. 2018, arXiv 1710.09412).
    """
    share, order = float(rng.beta(alpha, alpha)), rng.permutation(len(images))
    mixed: np.ndarray = (
        images.dtype.type(share) * images + images.dtype.type(1 - share) * images[order]
    )
    return mixed, labels[order], share
