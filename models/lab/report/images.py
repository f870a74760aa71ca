"""Pictures on disk: grids of samples as PNG, arrays as NPZ; what is drawn over pictures."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tinygrad_cv.files import atomic_write

from ...vision.boxes import Objects
from ..optional import need

RED = np.array([1.0, 0.15, 0.0])
WIDTH = 640  # pixels that a grid fills about, if it is not told how large a pixel is
PALETTE = ("#ff6b6b", "#ffa94d", "#ffe066", "#8ce99a", "#38d9a9", "#66d9e8", "#74c0fc", "#b197fc", "#f783ac", "#e9ecef")


def grid(images: np.ndarray, columns: int, *, scale: int | None = None, gap: int = 1) -> np.ndarray:
    """Pictures (N, H, W) or (N, H, W, 3) in [0, 1] side by side in rows, as bytes; each pixel `scale` wide."""
    n, height, width = images.shape[:3]
    scale = max(1, WIDTH // (columns * (width + gap))) if scale is None else scale
    rows = -(-n // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, *images.shape[3:]), 0.5)
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = image
    return np.kron(
        np.round(np.clip(sheet, 0, 1) * 255).astype(np.uint8),
        np.ones((scale, scale, *[1] * (sheet.ndim - 2)), np.uint8),
    )


def heat(images: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pictures (N, H, W[, 3]) under maps (N, h, w) >= 0 whose cells cover them evenly: (N, H, W, 3), red by weight."""
    grey = images if images.ndim == 3 else images.mean(axis=-1)
    down, across = (n // m for n, m in zip(grey.shape[1:], weights.shape[1:], strict=True))
    share = 0.75 * np.kron(weights / weights.max(axis=(1, 2), keepdims=True), np.ones((1, down, across)))[..., None]
    return np.asarray((1 - share) * grey[..., None] + share * RED)  # (N, H, W, 3)


def read_grey(path: Path, height: int) -> np.ndarray:
    """A picture from disk as light on dark, in [0, 1] and of this height: (height, W)."""
    with need("PIL.Image").open(path) as image:
        width = max(1, round(image.width * height / image.height))
        pixels: np.ndarray = np.asarray(image.convert("L").resize((width, height)), np.float32) / 255
    return pixels if np.median(pixels) < 0.5 else 1 - pixels


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write bytes (H, W) or (H, W, 3) as a PNG, all or nothing."""
    image = need("PIL.Image").fromarray(pixels)
    with atomic_write(path) as file:
        image.save(file, format="PNG")


def read_samples(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Pictures (N, *shape) that stand as `images` in an .npz, in [0, 1], NaN where pixels are missing."""
    try:
        with np.load(path, allow_pickle=False) as file:
            images = np.asarray(file["images"], np.float32)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not an .npz with an array of numbers called `images`: {error}") from None
    if images.shape[1:] != shape or not len(images):
        wanted = ", ".join(map(str, ("N", *shape)))
        raise ValueError(f"{path} holds an array of shape {images.shape}; this model's pictures are ({wanted})")
    if np.nanmin(images) < 0 or np.nanmax(images) > 1:
        raise ValueError(f"{path} holds values from {np.nanmin(images)} to {np.nanmax(images)}; pictures are in [0, 1]")
    return images


def write_samples(path: Path, images: np.ndarray) -> None:
    """Write pictures as a grid (.png) or as arrays (.npz: `images`, float32 in [0, 1])."""
    if path.suffix == ".png":
        columns = int(np.ceil(np.sqrt(len(images))))
        write_png(path, grid(images, columns))
    elif path.suffix == ".npz":
        with atomic_write(path) as file:
            np.savez_compressed(file, images=images.astype(np.float32))
    else:
        raise ValueError(f"samples are written as .png or .npz, not {path.suffix or path.name!r}")


def with_boxes(image: np.ndarray, objects: Objects, *, scale: int = 4) -> np.ndarray:
    """A picture (H, W[, 3]) in [0, 1], enlarged, with the objects' boxes and classes: (scale H, scale W, 3)."""
    colours = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
    picture = need("PIL.Image").fromarray(grid(colours[None], 1, scale=scale))
    pen = need("PIL.ImageDraw").Draw(picture)
    for label, (left, top, right, bottom) in zip(objects.labels, objects.boxes * scale, strict=True):
        colour = PALETTE[label % len(PALETTE)]
        pen.rectangle([min(left, right), min(top, bottom), max(left, right) - 1, max(top, bottom) - 1], outline=colour)
        pen.text((left + 2, top), str(label), fill=colour)
    return np.asarray(picture) / np.float32(255)


def paint(images: np.ndarray, classes: np.ndarray | None = None) -> np.ndarray:
    """Grey pictures (N, H, W) in colour (N, H, W, 3), each pixel in that of its class; classes beyond the palette stay grey."""
    colours = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in PALETTE])
    grey = np.repeat(images[..., None], 3, axis=-1)
    if classes is None:
        return grey
    known = classes < len(PALETTE)
    return np.where(known[..., None], colours[np.where(known, classes, 0)], grey / 2)
