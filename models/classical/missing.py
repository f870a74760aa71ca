"""Images of which pixels are missing: which ones, and what is left."""

from __future__ import annotations

import numpy as np

MISSING = ("lower", "upper", "left", "right", "middle")  # parts of an image
GREY = np.float32(0.5)


def known_pixels(size: tuple[int, int], missing: str) -> np.ndarray:
    """Which pixels (H, W) of an image are left if a part of it is missing.

    The part is half of it, or, in the middle, half its height and half its width.
    """
    H, W = size
    rows, columns = np.mgrid[:H, :W]
    upper, left = rows < H // 2, columns < W // 2
    match missing:
        case "lower":
            return np.asarray(upper)
        case "upper":
            return np.asarray(~upper)
        case "left":
            return np.asarray(~left)
        case "right":
            return np.asarray(left)
        case "middle":
            near_rows = abs(2 * rows + 1 - H) < H // 2
            near_columns = abs(2 * columns + 1 - W) < W // 2
            return np.asarray(~(near_rows & near_columns))
    raise ValueError(f"missing={missing}: one of {', '.join(MISSING)}")


def known_in(images: np.ndarray, missing: str) -> np.ndarray:
    """The same for each of the images (N, H, W[, C]): (N, H, W)."""
    return np.broadcast_to(known_pixels(images.shape[1:3], missing), images.shape[:3])


def to_mask(known: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Which pixels are known, (N, H, W), in a shape that meets the images (N, H, W[, C])."""
    return known.reshape(known.shape + (1,) * (images.ndim - 3))


def grey_out(images: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Images (N, H, W[, C]) whose pixels are grey where `known` (N, H, W) is False."""
    return np.where(to_mask(known, images), images, GREY)
