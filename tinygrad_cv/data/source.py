"""Finding a data set's files, reading them, and fetching those that are missing."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, cast

from ..files import PathLike, atomic_write

VARIABLE = "TINYGRAD_CV_DATA"
PIECE = 2**20  # bytes that are read at once
LARGEST = 2**30  # bytes of one file's contents
RATIO = 100  # of a gzipped file's contents to its size; of texts it is below 10
SMALL = 2**26  # bytes that every gzipped file may unpack to


class DamagedFile(ValueError):
    """A file that is there but does not hold what it should."""


class OversizedFile(DamagedFile):
    """A file that holds more than it may. To fetch it again is no help."""


def data_root(root: PathLike | None, name: str) -> Path:
    """The folder to look in: `root`, or else the one that TINYGRAD_CV_DATA names.

    Raises FileNotFoundError if neither is given; `name` is that of the data set.
    """
    if root is None and not os.environ.get(VARIABLE):
        raise FileNotFoundError(
            f"{name}: no data folder; pass root=..., or set the environment variable {VARIABLE}"
        )
    return Path(root if root is not None else os.environ[VARIABLE]).expanduser()


def find(names: Iterable[str], folders: Iterable[Path]) -> Path | None:
    """The first file of one of these names in one of these folders, in the folders' order."""
    names = list(names)
    for folder in folders:
        for name in names:
            path = folder / name
            if path.is_file():
                return path
    return None


def missing(what: str, folders: Iterable[Path], path: Path) -> FileNotFoundError:
    """The error about a file that is in none of the folders, and belongs at `path`."""
    looked = ", ".join(map(str, folders))
    return FileNotFoundError(
        f"{what} is missing: looked in {looked}. Put it at {path}, or pass download=True"
    )


def read(path: Path, sha256: str | None = None, largest: int = LARGEST) -> bytes:
    """A file's contents, decompressed if it is gzipped, whatever its name.

    Raises DamagedFile if they cannot be decompressed, are more than `largest` bytes, or have
    another SHA-256 than the given one.
    """
    hint = "Delete it and fetch it again"
    try:
        with open(path, "rb") as file:
            content = contents(file, path, largest)
        hint += ", or pass verify=False to read it all the same"
        check_sha256(content, sha256, path)
    except OversizedFile:
        raise
    except DamagedFile as error:
        raise DamagedFile(f"{error}. {hint}") from None
    return content


def original(content: bytes, sha256: str | None, name: object) -> bytes:
    """Contents, decompressed if they are gzipped; raises as `read` does."""
    content = contents(io.BytesIO(content), name)
    check_sha256(content, sha256, name)
    return content


def contents(file: BinaryIO, name: object, largest: int = LARGEST) -> bytes:
    """What a file holds, decompressed if it is gzipped.

    Never more than `largest` bytes and a piece are held. Raises DamagedFile as `read` does.
    """
    stream = unpacked(file, name)
    content = io.BytesIO()
    try:
        while piece := stream.read(PIECE):
            content.write(piece)
            if content.tell() > largest:
                raise OversizedFile(
                    f"{name} holds more than {largest:,} bytes, the most it may hold"
                )
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DamagedFile(f"{name} cannot be decompressed: {error}") from None
    return content.getvalue()


def unpacked(file: BinaryIO, name: object) -> BinaryIO:
    """A file as it is, or the contents of a gzipped one; these are bounded by the file's size."""
    gzipped = file.read(2) == b"\x1f\x8b"
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if not gzipped:
        return file
    return cast(BinaryIO, BoundedGzip(file, name, max(SMALL, RATIO * size)))


class BoundedGzip(gzip.GzipFile):
    """The contents of a gzipped file, which are refused when they are too many."""

    def __init__(self, file: BinaryIO, name: object, largest: int) -> None:
        super().__init__(fileobj=file, mode="rb")
        self.called = name
        self.largest = largest

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        if self.tell() > self.largest:
            raise OversizedFile(
                f"{self.called} unpacks to more than {self.largest:,} bytes, far more than its "
                "size suggests; if it is sound, unpack it by hand"
            )
        return content


def check_sha256(content: bytes, sha256: str | None, name: object) -> None:
    """Raise DamagedFile for contents with another SHA-256; None accepts any."""
    actual = hashlib.sha256(content).hexdigest() if sha256 is not None else None
    if actual != sha256:
        raise DamagedFile(
            f"{name} is not the original: its contents have SHA-256 {actual}, expected {sha256}"
        )


def fetch(
    urls: Iterable[str],
    path: Path,
    check: Callable[[bytes, str], object],
    timeout: float = 60,
) -> Path:
    """Download the first of `urls` whose contents pass `check` to `path`, atomically.

    `check` gets the contents and the address, and raises DamagedFile. Raises OSError, with the
    reason for each address, if none is left.
    """
    import urllib.request  # only here: importing it takes a while
    from http.client import HTTPException

    failures = ""
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=timeout) as response:
                content = response.read()
            check(content, url)
        except (OSError, HTTPException, DamagedFile) as error:
            failures += f"\n  {url}: {error}"
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(content)
        return path
    raise OSError(
        f"{path.name} could not be downloaded; fetch it by hand and put it at {path}{failures}"
    )
