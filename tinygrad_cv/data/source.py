"""Finding a data set's files, reading them, and fetching those that are missing."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from ..files import PathLike, atomic_write

VARIABLE = "TINYGRAD_CV_DATA"


class DamagedFile(ValueError):
    """A file that is there but does not hold what it should."""


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


def read(path: Path, sha256: str | None = None) -> bytes:
    """A file's contents, decompressed if it is gzipped, whatever its name.

    Raises DamagedFile if they cannot be decompressed, or have another SHA-256 than the given one.
    """
    hint = "Delete it and fetch it again"
    try:
        content = original(path.read_bytes(), None, path)
        hint += ", or pass verify=False to read it all the same"
        check_sha256(content, sha256, path)
    except DamagedFile as error:
        raise DamagedFile(f"{error}. {hint}") from None
    return content


def original(content: bytes, sha256: str | None, name: object) -> bytes:
    """Contents, decompressed if they are gzipped; raises as `read` does."""
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedFile(f"{name} cannot be decompressed: {error}") from None
    check_sha256(content, sha256, name)
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
