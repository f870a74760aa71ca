"""CIFAR-10's binary version.

Data and format: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from ..files import PathLike
from .dataset import Dataset, Split, from_bytes, parts
from .source import DamagedFile, check_sha256, data_root, fetch, find, missing, read, unpacked

URLS = ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",)
ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
FOLDER = "cifar-10-batches-bin"
FILES = {
    "train": {
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    },
    "test": {"test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"},
}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MOST_RECORDS = 60_000  # in one file: CIFAR-10 has so many in all, and 10,000 in each
RECORD = 1 + 3 * 32 * 32  # bytes: the label, then the red, green and blue planes


def cifar10(
    root: PathLike | None = None,
    split: Split = "train",
    download: bool = False,
    *,
    verify: bool = True,
) -> Dataset:
    """CIFAR-10's 50,000 training and 10,000 test images, (N, 32, 32, 3), from its binary version.

    The files lie in `root` or `root/cifar-10-batches-bin`, or packed in
    `root/cifar-10-binary.tar.gz`; without `root`, the environment variable TINYGRAD_CV_DATA names
    the folder. `download=True` fetches the archive if there is neither. `verify=False` leaves out
    the checksums.

    Raises FileNotFoundError for a missing file, DamagedFile for a wrong one.
    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """
    files: dict[str, str | None] = {}
    for part in parts(split):
        files |= FILES[part]
    if not verify:
        files = dict.fromkeys(files)
    contents = _contents(data_root(root, "cifar10"), files, download)
    records = np.concatenate([_records(content, name) for name, content in contents.items()])
    planes = records[:, 1:].reshape(-1, 3, 32, 32)  # (N, 3, 32, 32)
    pixels = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))  # (N, 32, 32, 3)
    labels = records[:, 0].astype(np.int64)
    return Dataset("cifar10", from_bytes(pixels), labels, CLASSES)


def check_size(size: int, name: str) -> None:
    """Raise DamagedFile for a size in bytes that no file of records has."""
    if not size or size % RECORD:
        raise DamagedFile(f"{name} has {size} bytes, expected a multiple of {RECORD}")
    if size > MOST_RECORDS * RECORD:
        raise DamagedFile(
            f"{name} has {size // RECORD:,} records, expected {MOST_RECORDS:,} at most"
        )


def _records(content: bytes, name: str) -> np.ndarray:
    """The records of one file, (N, RECORD) bytes."""
    check_size(len(content), name)
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() >= len(CLASSES):
        raise DamagedFile(f"{name} has the label {records[:, 0].max()}, expected 0..9")
    return records


def _contents(root: Path, files: Mapping[str, str | None], download: bool) -> dict[str, bytes]:
    """The contents of each file by its full name, from the folder or from the archive."""
    folders = [root, root / FOLDER]
    paths = {name: find([name, f"{name}.gz"], folders) for name in files}
    lacking = [name for name, path in paths.items() if path is None]
    if not lacking:
        return {
            str(path): read(path, files[name], MOST_RECORDS * RECORD)
            for name, path in paths.items()
            if path
        }
    archive = root / ARCHIVE
    if not archive.is_file():
        if not download:
            what = f"CIFAR-10's {', '.join(lacking)} or, in place of all files, {ARCHIVE}"
            raise missing(what, folders, archive)
        sha256 = None if None in files.values() else ARCHIVE_SHA256
        fetch(URLS, archive, lambda content, url: check_sha256(content, sha256, url))
    return _unpack(archive, files)


def _unpack(archive: Path, files: Mapping[str, str | None]) -> dict[str, bytes]:
    """The contents of files in a tar archive, read in one pass."""
    import tarfile  # only here: importing it takes a while

    contents = {}
    try:
        with (
            open(archive, "rb") as file,
            tarfile.open(fileobj=unpacked(file, archive), mode="r|") as tar,
        ):
            for member in tar:
                name = PurePosixPath(member.name).name
                if name not in files or not member.isreg():
                    continue
                check_size(member.size, f"{name} in {archive}")
                stream = tar.extractfile(member)
                if stream:
                    contents[name] = stream.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error, OverflowError) as error:
        raise DamagedFile(
            f"{archive} cannot be unpacked: {error}. Delete it and fetch it again"
        ) from None
    lacking = [name for name in files if name not in contents]
    if lacking:
        raise DamagedFile(f"{archive} lacks {', '.join(lacking)}; is it the binary version?")
    for name, sha256 in files.items():
        check_sha256(contents[name], sha256, f"{name} in {archive}")
    return {f"{name} in {archive}": contents[name] for name in files}
