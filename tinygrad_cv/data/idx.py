"""IDX files, and MNIST, which comes in them.

Format and data: http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..files import PathLike
from .dataset import Dataset, Split, from_bytes, parts
from .source import DamagedFile, data_root, fetch, find, missing, original, read

MOST_AXES = 64  # that NumPy 2 can hold
DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# SHA-256 of the decompressed contents, the same however they were compressed.
TRAIN = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
}
TEST = {
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
FILES = {"train": TRAIN, "test": TEST}


def parse_idx(content: bytes, name: object) -> np.ndarray:
    """The array of an IDX file.

    The file is: two zero bytes, a dtype, the number of axes, each length (big endian), the
    elements. Raises DamagedFile, with the name, for anything else.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in DTYPES:
        raise DamagedFile(
            f"{name} is no IDX file: it begins with {content[:4].hex(' ')}, "
            "expected 00 00 and a dtype"
        )
    dtype = np.dtype(DTYPES[content[2]])
    axes = content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise DamagedFile(f"{name} is cut off inside its header")
    if axes > MOST_AXES:
        raise DamagedFile(f"{name} has {axes} axes, more than the {MOST_AXES} of any array")
    shape = tuple(np.frombuffer(content, ">u4", axes, 4).tolist())
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DamagedFile(
            f"{name} has {len(content)} bytes, expected {expected} for an array of shape {shape}"
        )
    if math.prod(n for n in shape if n) * dtype.itemsize >= 2**63:  # though it may be empty
        raise DamagedFile(f"{name} has the shape {shape}, larger than any array can be")
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def mnist(
    root: PathLike | None = None,
    split: Split = "train",
    download: bool = False,
    *,
    verify: bool = True,
) -> Dataset:
    """MNIST's 60,000 training and 10,000 test images of digits, (N, 28, 28).

    The original IDX files, gzipped or not, lie in `root`, `root/mnist` or `root/MNIST/raw`;
    without `root`, the environment variable TINYGRAD_CV_DATA names the folder. `download=True`
    fetches those that are missing into `root/mnist`. `verify=False` leaves out the checksums, for
    other data in the same files (Fashion-MNIST).

    Raises FileNotFoundError for a missing file, DamagedFile for a wrong one.
    Source: LeCun, Bottou, Bengio and Haffner, 1998.
    """
    folder = data_root(root, "mnist")
    images = []
    labels = []
    for part in parts(split):
        files: Mapping[str, str | None] = FILES[part]
        if not verify:
            files = dict.fromkeys(files)
        some_images, some_labels = _pair(folder, files, download)
        images.append(some_images)
        labels.append(some_labels)
    return Dataset(
        "mnist",
        from_bytes(np.concatenate(images)),
        np.concatenate(labels).astype(np.int64),
        tuple("0123456789"),
    )


def _pair(
    root: Path, files: Mapping[str, str | None], download: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of one part, as bytes."""
    paths = [_locate(root, name, sha256, download) for name, sha256 in files.items()]
    images, labels = (
        parse_idx(read(path, sha256), path)
        for path, sha256 in zip(paths, files.values(), strict=True)
    )
    for array, axes, path in ((images, 3, paths[0]), (labels, 1, paths[1])):
        if array.ndim != axes or array.dtype != np.uint8:
            raise DamagedFile(
                f"{path} holds {array.ndim} axes of {array.dtype}, expected {axes} of uint8"
            )
    if len(images) != len(labels):
        raise DamagedFile(
            f"{paths[0]} has {len(images)} images, but {paths[1]} has {len(labels)} labels"
        )
    if labels.size and labels.max() > 9:
        raise DamagedFile(f"{paths[1]} has the label {labels.max()}, expected 0..9")
    return images, labels


def _locate(root: Path, name: str, sha256: str | None, download: bool) -> Path:
    """The path of one file; a missing one is downloaded if `download` is True."""
    folders = [root, root / "mnist", root / "MNIST" / "raw"]
    spellings = (name, name.replace("-idx", ".idx"))
    names = [spelling + ending for spelling in spellings for ending in ("", ".gz")]
    if path := find(names, folders):
        return path
    folder = root if root.name.lower() == "mnist" else root / "mnist"
    path = folder / f"{name}.gz"
    if not download:
        raise missing(f"MNIST's file {name}, gzipped or not,", folders, path)
    urls = [mirror + path.name for mirror in MIRRORS]
    return fetch(urls, path, lambda content, url: original(content, sha256, url))
