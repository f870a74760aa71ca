"""Folders of images."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeAlias

import numpy as np

from ..files import PathLike
from .dataset import Dataset, Split, from_bytes, parts
from .source import DamagedFile

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
HELD_OUT = 10  # every tenth image is for testing
MOST_PIXELS = 89_478_485  # of one image: from there on pillow takes it for an attack, too
TRAIN = "train"
TESTS = ("test", "val", "valid", "validation")  # names of the part for testing, the first before

Classes: TypeAlias = dict[str, list[Path]]  # the images of each class, by its name


def image_folder(
    root: PathLike,
    size: int,
    split: Split = "train",
    *,
    mode: Literal["RGB", "L"] = "RGB",
) -> Dataset:
    """Images in a folder, each scaled until it covers size x size and cut about its centre.

    They are (N, size, size, 3), or grey, (N, size, size), with `mode="L"`. Each subfolder is a
    class, in the order of their names; a folder without subfolders has no labels. If `root` has
    the subfolders `train` and `test` (or `val`, if there is no `test`; in letters of any size),
    these are the parts; otherwise every tenth image of each class, in the order of their names, is
    for testing, and where no class has ten, every tenth of all, or the last one.

    Needs pillow, whose warnings are given once for each file, with its name. Raises
    FileNotFoundError if there is no such folder or no image in it, DamagedFile for an image that
    cannot be read or has more than 89 million pixels, ValueError for options and folders that do
    not fit.
    """
    chosen = parts(split)
    if not isinstance(size, (int, np.integer)) or size < 1:
        raise ValueError(f"size is a whole number of pixels, at least 1, not {size!r}")
    if mode not in ("RGB", "L"):
        raise ValueError(f"mode is 'RGB' or 'L', not {mode!r}")
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root} is not a folder; image_folder needs one with images, or with one per class"
        )
    by_part = _by_part(root)
    classes = sorted({name for part in by_part.values() for name in part})
    if "" in classes and len(classes) > 1:
        raise ValueError(
            f"of the parts in {root}, train and test, one has a subfolder per class, the other none"
        )
    paths: list[Path] = []
    labels: list[int] = []
    for part in chosen:
        for name, images in by_part[part].items():
            paths += images
            labels += [classes.index(name)] * len(images)
    if not paths:
        count = sum(len(images) for part in by_part.values() for images in part.values())
        raise FileNotFoundError(
            f"{root} has no images for {' and '.join(chosen)}: it has {count} in all, and at least "
            "two are needed, one to train on and one for testing"
        )
    pixels = np.stack([_read(path, size, mode) for path in paths])
    labelled = classes != [""]
    return Dataset(
        root.name,
        from_bytes(pixels),
        np.array(labels, np.int64) if labelled else None,
        tuple(classes) if labelled else (),
    )


def _by_part(root: Path) -> dict[str, Classes]:
    """The images for training and for testing."""
    if folders := _part_folders(root):
        return {part: _classes(folder) for part, folder in folders.items()}
    classes = _classes(root)
    test = {name: paths[HELD_OUT - 1 :: HELD_OUT] for name, paths in classes.items()}
    if not any(test.values()):  # no class has ten
        every = [path for paths in classes.values() for path in paths]
        chosen = every[HELD_OUT - 1 :: HELD_OUT] or every[1:][-1:]
        test = {name: [path for path in paths if path in chosen] for name, paths in classes.items()}
    train = {name: sorted(set(paths) - set(test[name])) for name, paths in classes.items()}
    return {"train": train, "test": test}


def _part_folders(root: Path) -> dict[str, Path]:
    """The subfolders with the images for training and for testing, or nothing."""
    folders = {path.name.lower(): path for path in sorted(root.iterdir()) if path.is_dir()}
    tests = [folders[name] for name in TESTS if name in folders]
    if TRAIN in folders and tests:
        return {"train": folders[TRAIN], "test": tests[0]}
    if TRAIN in folders or len(tests) == len(folders) > 0:
        there = ", ".join(sorted(folders[name].name for name in folders if name in (TRAIN, *TESTS)))
        raise ValueError(
            f"{root} has the part {there} alone; it needs both train and test (or val). "
            "If that is a class, give it another name"
        )
    return {}


def _classes(root: Path) -> Classes:
    """The images of each subfolder; without subfolders, of one class without a name."""
    folders = []
    loose = []
    for path in sorted(root.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            folders.append(path)
        if _is_image(path):
            loose.append(path)
    if not folders:
        return {"": loose}
    if loose:
        raise ValueError(
            f"{root} has both subfolders and images, such as {loose[0].name}; "
            "move those into a class"
        )
    classes = {folder.name: sorted(filter(_is_image, folder.rglob("*"))) for folder in folders}
    for name, paths in classes.items():
        if not paths:
            endings = ", ".join(sorted(ENDINGS))
            raise ValueError(f"the class {root / name} has no images ({endings})")
    return classes


def _is_image(path: Path) -> bool:
    visible = not path.name.startswith(".")
    return visible and path.suffix.lower() in ENDINGS and path.is_file()


def _pillow() -> tuple[ModuleType, ModuleType]:
    """PIL.Image and PIL.ImageOps."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ImportError(
            'image_folder reads images with pillow: pip install "tinygrad_cv[models]"'
        ) from None
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it logs, it raises too
    return Image, ImageOps


def _read(path: Path, size: int, mode: str) -> np.ndarray:
    """One image as bytes, (size, size[, 3]), upright, transparent parts white."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels = _decoded(path, size, mode)
    for text in sorted({str(warning.message) for warning in caught}):
        warnings.warn(f"{path}: {text}", stacklevel=3)
    return pixels


def _decoded(path: Path, size: int, mode: str) -> np.ndarray:
    """The same, with pillow's own warnings."""
    Image, ImageOps = _pillow()
    try:
        with Image.open(path) as file:
            if file.width * file.height > MOST_PIXELS:
                raise ValueError(f"{file.width} x {file.height} pixels are over {MOST_PIXELS:,}")
            file.load()
            ImageOps.exif_transpose(file, in_place=True)  # as its camera was held
            image = file
            if image.mode.startswith(("I", "F")):
                raise ValueError(
                    f"it has more than 8 bits a channel ({image.mode}); convert it to 8 bits first"
                )
            if image.has_transparency_data:
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image)
            if image.mode != mode:
                image = image.convert(mode)
            return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))
    except Exception as error:  # pillow raises a dozen kinds
        raise DamagedFile(f"{path} cannot be read as an image: {error}") from error
