"""Images on disk: grids of samples as PNG, arrays as NPZ; what is drawn over images."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tinygrad_cv.files import atomic_write

from ...vision.boxes import Objects
from ..optional import need

RED = np.array([1.0, 0.15, 0.0])
WIDTH = 640  # pixels that a grid fills about, unless a scale is given
MAX_HEAT = 0.75  # the share of red where a weight is largest
PALETTE = (
    "#ff6b6b",
    "#ffa94d",
    "#ffe066",
    "#8ce99a",
    "#38d9a9",
    "#66d9e8",
    "#74c0fc",
    "#b197fc",
    "#f783ac",
    "#e9ecef",
)


def grid(
    images: np.ndarray,
    columns: int,
    *,
    scale: int | None = None,
    gap: int = 1,
) -> np.ndarray:
    """Images (N, H, W) or (N, H, W, 3) in [0, 1] side by side in rows, as bytes.

    Each pixel becomes a square of `scale` pixels.
    """
    n, height, width = images.shape[:3]
    if scale is None:
        scale = max(1, WIDTH // (columns * (width + gap)))
    rows = -(-n // columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    sheet = np.full((*size, *images.shape[3:]), 0.5)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        y = row * (height + gap)
        x = column * (width + gap)
        sheet[y : y + height, x : x + width] = image
    pixels = np.round(np.clip(sheet, 0, 1) * 255).astype(np.uint8)
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def heat(images: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Images (N, H, W[, 3]) under maps of weights >= 0, the redder the larger: (N, H, W, 3).

    The cells of a map (N, h, w) cover its image evenly.
    """
    grey = images if images.ndim == 3 else images.mean(axis=-1)  # (N, H, W)
    down = grey.shape[1] // weights.shape[1]
    across = grey.shape[2] // weights.shape[2]
    largest = weights.max(axis=(1, 2), keepdims=True)
    cells = (weights / largest).repeat(down, axis=1).repeat(across, axis=2)  # (N, H, W)
    share = MAX_HEAT * cells[..., None]
    return np.asarray((1 - share) * grey[..., None] + share * RED)  # (N, H, W, 3)


def read_grey(path: Path, height: int) -> np.ndarray:
    """An image from disk as light on dark, in [0, 1] and of this height: (height, W)."""
    with need("PIL.Image").open(path) as image:
        width = max(1, round(image.width * height / image.height))
        resized = image.convert("L").resize((width, height))
        pixels: np.ndarray = np.asarray(resized, np.float32) / 255
    return pixels if np.median(pixels) < 0.5 else 1 - pixels


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write bytes (H, W) or (H, W, 3) as a PNG, all or nothing."""
    image = need("PIL.Image").fromarray(pixels)
    with atomic_write(path) as file:
        image.save(file, format="PNG")


def read_samples(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Images (N, *shape) from an .npz, where they are called `images`.

    Missing pixels are NaN. Raises ValueError if the images are not there, have another shape, or
    are not in [0, 1].
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            images = np.asarray(file["images"], np.float32)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not an .npz with an array of numbers called `images`: {error}"
        ) from None
    if images.shape[1:] != shape or not len(images):
        wanted = ", ".join(map(str, ("N", *shape)))
        raise ValueError(
            f"{path} holds an array of shape {images.shape}; this model's images are ({wanted})"
        )
    low = np.nanmin(images)
    high = np.nanmax(images)
    if low < 0 or high > 1:
        raise ValueError(f"{path} holds values from {low} to {high}; images are in [0, 1]")
    return images


def write_samples(path: Path, images: np.ndarray) -> None:
    """Write images as a grid (.png) or as arrays (.npz: `images`, float32 in [0, 1])."""
    if path.suffix == ".png":
        columns = int(np.ceil(np.sqrt(len(images))))
        write_png(path, grid(images, columns))
    elif path.suffix == ".npz":
        with atomic_write(path) as file:
            np.savez_compressed(file, images=images.astype(np.float32))
    else:
        raise ValueError(f"samples are written as .png or .npz, not {path.suffix or path.name!r}")


def with_boxes(image: np.ndarray, objects: Objects, *, scale: int = 4) -> np.ndarray:
    """An image (H, W[, 3]) in [0, 1], enlarged, with the objects' boxes and classes over it.

    Returns (scale H, scale W, 3) in [0, 1].
    """
    colours = image if image.ndim == 3 else in_colour(image)
    canvas = need("PIL.Image").fromarray(grid(colours[None], 1, scale=scale))
    pen = need("PIL.ImageDraw").Draw(canvas)
    for label, box in zip(objects.labels, objects.boxes * scale, strict=True):
        colour = PALETTE[label % len(PALETTE)]
        left, top, right, bottom = box
        first = (min(left, right), min(top, bottom))
        last = (max(left, right) - 1, max(top, bottom) - 1)
        pen.rectangle([first, last], outline=colour)
        pen.text((left + 2, top), str(label), fill=colour)
    return np.asarray(canvas) / np.float32(255)


def paint(images: np.ndarray, classes: np.ndarray | None = None) -> np.ndarray:
    """Grey images (N, H, W) in colour (N, H, W, 3), each pixel in the colour of its class.

    Classes beyond the palette become a darker grey.
    """
    grey = in_colour(images)
    if classes is None:
        return grey
    colours = np.array([rgb(colour) for colour in PALETTE])  # (10, 3)
    known = classes < len(PALETTE)
    painted = colours[np.where(known, classes, 0)]  # (N, H, W, 3)
    return np.where(known[..., None], painted, grey / 2)


def in_colour(images: np.ndarray) -> np.ndarray:
    """Grey images (..., H, W) with three equal channels: (..., H, W, 3)."""
    return np.repeat(images[..., None], 3, axis=-1)


def rgb(colour: str) -> list[float]:
    """Red, green and blue in [0, 1] of #rrggbb."""
    return [byte / 255 for byte in bytes.fromhex(colour.removeprefix("#"))]
