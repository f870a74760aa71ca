"""Folders of pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .dataset import Dataset, Split, from_bytes, parts
from .source import DamagedFile

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
HELD_OUT = 10  # every tenth picture is for testing


def image_folder(
    root: str | os.PathLike[str],
    size: int,
    split: Split = "train",
    *,
    mode: Literal["RGB", "L"] = "RGB",
) -> Dataset:
    """Pictures in a folder, each scaled until it covers size x size and cut about its centre: (N, size, size, 3).

    Each subfolder is a class, in the order of their names; a folder without subfolders has no labels. If `root` has the
    subfolders `train` and `test`, these are the parts; otherwise every tenth picture of each class, in the order of
    their names, is for testing. `mode="L"` gives grey pictures, (N, size, size). Needs pillow.
    """
    chosen = parts(split)
    if not isinstance(size, (int, np.integer)) or size < 1:
        raise ValueError(f"size is a whole number of pixels, at least 1, not {size!r}")
    if mode not in ("RGB", "L"):
        raise ValueError(f"mode is 'RGB' or 'L', not {mode!r}")
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root} is not a folder; image_folder needs one with pictures, or with one per class"
        )
    given = {part: root / part for part in ("train", "test")}
    if all(folder.is_dir() for folder in given.values()):
        found = {part: _classes(folder) for part, folder in given.items()}
    else:
        found = {part: {} for part in given}
        for name, paths in _classes(root).items():
            held_out = paths[HELD_OUT - 1 :: HELD_OUT]
            found["test"][name], found["train"][name] = held_out, sorted({*paths} - {*held_out})
    classes = sorted({name for part in found.values() for name in part})
    if "" in classes and len(classes) > 1:
        raise ValueError(
            f"of {root}/train and {root}/test one has a subfolder per class, the other has none"
        )
    pictures = [
        (path, classes.index(name))
        for part in chosen
        for name, paths in found[part].items()
        for path in paths
    ]
    if not pictures:
        raise FileNotFoundError(
            f"{root} has no pictures for split={split!r}; split='all' takes every picture"
        )
    images = np.stack([_read(path, size, mode) for path, _ in pictures])
    labels = None if classes == [""] else np.array([label for _, label in pictures], np.int64)
    return Dataset(root.name, from_bytes(images), labels, tuple(filter(None, classes)))


def _classes(root: Path) -> dict[str, list[Path]]:
    """The pictures of each subfolder by its name; a folder without subfolders is one class without a name."""
    folders = sorted(
        path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    loose = sorted(path for path in root.iterdir() if _is_picture(path))
    if not folders:
        return {"": loose}
    if loose:
        raise ValueError(
            f"{root} has both subfolders and pictures, such as {loose[0].name}; move those into a class"
        )
    classes = {folder.name: sorted(filter(_is_picture, folder.rglob("*"))) for folder in folders}
    for name, paths in classes.items():
        if not paths:
            raise ValueError(
                f"the class {root / name} has no pictures ({', '.join(sorted(ENDINGS))})"
            )
    return classes


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()


def _pillow() -> Any:
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ImportError(
            'image_folder reads pictures with pillow: pip install "tinygrad_cv[models]"'
        ) from None
    return Image, ImageOps


def _read(path: Path, size: int, mode: str) -> np.ndarray:
    """One picture as bytes, (size, size[, 3]), turned as its camera was held, transparent parts white."""
    Image, ImageOps = _pillow()
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
    except Exception as error:  # pillow raises a dozen kinds
        raise DamagedFile(f"{path} cannot be read as a picture: {error}") from error
    if image.mode.startswith(("I", "F")):
        raise DamagedFile(
            f"{path} has more than 8 bits a channel ({image.mode}); convert it to 8 bits first"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(ImageOps.fit(image.convert(mode), (size, size), Image.Resampling.BICUBIC))
