"""Augmentation: random changes of a batch of images that leave their classes alone.

All take images (N, H, W) or (N, H, W, C), and return new ones of the same dtype.
"""

from __future__ import annotations

import numpy as np


def crop(
    images: np.ndarray,
    size: tuple[int, int],
    *,
    padding: int = 0,
    rng: np.random.Generator,
) -> np.ndarray:
    """A window (height, width) of each image, at a random position.

    The images are first padded with zeros on all sides. Raises ValueError for a window that is
    larger than they are then.
    """
    n = len(images)
    height, width = size
    padded = _pad(images, (padding, padding))
    room_above = padded.shape[1] - height
    room_left = padded.shape[2] - width
    if min(room_above, room_left) < 0:
        raise ValueError(
            f"a window of {size} does not fit images of {images.shape[1:3]} padded by {padding}"
        )
    top = rng.integers(0, room_above + 1, (n, 1, 1))
    left = rng.integers(0, room_left + 1, (n, 1, 1))
    rows = top + np.arange(height)[:, None]  # (N, height, 1)
    columns = left + np.arange(width)  # (N, 1, width)
    image = np.arange(n)[:, None, None]  # (N, 1, 1)
    cropped: np.ndarray = padded[image, rows, columns]
    return cropped


def _pad(images: np.ndarray, widths: tuple[int, int]) -> np.ndarray:
    """Images with so many rows and columns of zeros (before, after) on all sides."""
    channels = [(0, 0)] * (images.ndim - 3)
    return np.pad(images, [(0, 0), widths, widths, *channels])


def shift(
    images: np.ndarray,
    pixels: int,
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """Each image moved by up to so many pixels along both axes; what comes in is zeros."""
    height, width = images.shape[1:3]
    return crop(images, (height, width), padding=pixels, rng=rng)


def affine(
    images: np.ndarray,
    *,
    rotation: float = 0.0,
    scaling: float = 0.0,
    shear: float = 0.0,
    rng: np.random.Generator,
) -> np.ndarray:
    """Each image turned, slanted, and scaled along each axis, about its centre.

    Turned by up to `rotation` degrees, slanted by up to `shear` columns a row, scaled by factors
    of up to exp(+-`scaling`). Interpolated linearly; what comes in is zeros.
    """
    n, height, width = images.shape[:3]
    radians = np.radians(rotation)
    angle = rng.uniform(-radians, radians, n)
    slant = rng.uniform(-shear, shear, n)
    down, across = np.exp(rng.uniform(-scaling, scaling, (2, n)))
    cos = np.cos(angle)
    sin = np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])  # (2, 2, N)
    stretch = np.array([[down, 0 * down], [slant, across]])  # (2, 2, N)

    centre = np.array([height - 1, width - 1]) / 2
    pixels = np.indices((height, width)).reshape(2, -1)  # (2, H W)
    offsets = pixels.T - centre  # (H W, 2)
    sources = np.einsum("ijn,jkn,pk->inp", turn, stretch, offsets)
    y, x = sources + centre[:, None, None]  # (N, H W) each: where a pixel comes from
    return _interpolate(images, y, x).reshape(images.shape)


def _interpolate(
    images: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
) -> np.ndarray:
    """The images at positions (N, P) between their pixels: (N, P) or (N, P, C); outside, zeros."""
    n, height, width = images.shape[:3]
    channels = images.shape[3:]
    padded = _pad(images, (1, 2))
    y = np.clip(y + 1, 0, height + 1)
    x = np.clip(x + 1, 0, width + 1)
    top = y.astype(int)
    left = x.astype(int)
    below = y - top  # the weights of the lower and the right neighbours
    beside = x - left
    image = np.arange(n)[:, None]
    values = np.zeros((*y.shape, *channels), images.dtype)
    for i in (0, 1):
        vertical = abs(1 - i - below)
        for j in (0, 1):
            horizontal = abs(1 - j - beside)
            weight = (vertical * horizontal).astype(images.dtype)  # (N, P)
            if channels:
                weight = weight[:, :, None]
            values += padded[image, top + i, left + j] * weight
    return values


def flip(
    images: np.ndarray,
    *,
    probability: float = 0.5,
    rng: np.random.Generator,
) -> np.ndarray:
    """Each image mirrored left to right with a probability."""
    flipped = images.copy()
    chosen = rng.random(len(images)) < probability
    flipped[chosen] = images[chosen, :, ::-1]
    return flipped


def mixup(
    images: np.ndarray,
    labels: np.ndarray,
    alpha: float,
    *,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, float]:
    """share x + (1 - share) x' with other images x' of the batch; their labels; and the share.

    share ~ Beta(alpha, alpha). The loss is shared out in the same way: share loss(y) +
    (1 - share) loss(y') (Zhang et al. 2018, arXiv 1710.09412).
    """
    share = float(rng.beta(alpha, alpha))
    order = rng.permutation(len(images))
    dtype = images.dtype.type
    mixed: np.ndarray = dtype(share) * images + dtype(1 - share) * images[order]
    return mixed, labels[order], share
