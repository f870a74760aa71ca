"""Writing files so that a reader finds the old contents or the new, never a half."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

try:
    import fcntl

    HAS_FLOCK = True
except ImportError:  # Windows
    HAS_FLOCK = False

LONGEST_HOLDER = 200  # characters of a lock file that are shown

PathLike: TypeAlias = str | os.PathLike[str]


@contextmanager
def atomic_write(path: PathLike) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the `with` block ends without an error.

    The bytes go to a temporary file in the same folder, are forced to the disk, and then get the
    name, which is forced to the disk too: a power loss leaves the old file or the new. After an
    error (a full disk, Ctrl-C) the file that had the name is as it was, and the temporary one is
    gone; that of a process that was killed goes when the name is written the next time. Raises
    FileNotFoundError if there is no such folder; an OSError names `path`. A device or a pipe keeps
    its name and is written to.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        with open(path, "wb") as file:
            yield file
        return
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"cannot write {path}: there is no folder {path.parent}; make it first"
        )
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        remove_abandoned(path)
        with at_work(temporary):
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


@contextmanager
def at_work(temporary: Path) -> Iterator[None]:
    """Make a temporary file, whose lock is held as long as its writer works on it."""
    descriptor = None
    if HAS_FLOCK:
        with suppress(OSError):  # some network file systems have no locks
            descriptor = open_locked(os.fspath(temporary), wait=True)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove_abandoned(path: Path) -> None:
    """Remove the temporary files of writers of `path` that were killed: nobody holds their lock."""
    names = f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}.tmp"
    for temporary in path.parent.glob(names) if HAS_FLOCK else ():
        remove_unless_held(os.fspath(temporary))


def remove_unless_held(path: str) -> None:
    """Remove a file whose lock nobody holds."""
    with suppress(OSError):  # somebody does
        descriptor = open_locked(path)
        os.unlink(path)
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Force the names of a folder's files to the disk, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems do it by themselves
            raise
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: PathLike) -> Iterator[None]:
    """Hold a lock file, which says who holds it, as long as the `with` block lasts.

    The lock (flock) dies with its process, however that ends, and the file goes with the block.
    Raises BlockingIOError, with the holder, if another has it. Where there is no flock, nothing is
    locked.
    """
    if not HAS_FLOCK:
        yield
        return
    path = os.fspath(path)
    try:
        descriptor = open_locked(path)
        try:
            write_holder(descriptor, path)
            yield
        finally:
            try:
                os.unlink(path)
            finally:
                os.close(descriptor)
    except KeyboardInterrupt:  # perhaps just after the file was made, or before it was removed
        remove_unless_held(path)
        raise


def write_holder(descriptor: int, path: str) -> None:
    """Write into a lock file who holds it."""
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename}".encode())
    except OSError as error:  # a full disk
        raise OSError(error.errno, error.strerror, path) from None


def open_locked(path: str, wait: bool = False) -> int:
    """A descriptor of a file that this process now holds; it is made if it is not there.

    Raises BlockingIOError, with the holder, if another has it, unless this is to wait.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            holder = os.read(descriptor, LONGEST_HOLDER).decode(errors="replace")
            os.close(descriptor)
            message = f"in use by {holder or 'another process'}"
            raise BlockingIOError(error.errno, message, path) from None
        except BaseException:
            os.close(descriptor)
            raise
        if is_named(descriptor, path):
            return descriptor
        os.close(descriptor)  # its last holder took the file away in between


def is_named(descriptor: int, path: str) -> bool:
    """Whether a path is the name of an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
