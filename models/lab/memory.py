"""How much memory there is: what does not fit is refused, before the system ends the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


def free_memory() -> int | None:
    """The bytes that could be used now, or None where the system does not say."""
    return of_file(Path("/proc/meminfo"), "MemAvailable")


def of_file(path: Path, name: str) -> int | None:
    """The bytes of a line such as "MemAvailable:  2048 kB"."""
    if not path.is_file():
        return None
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


@contextmanager
def no_more_than_free() -> Iterator[None]:
    """Inside this context an array that does not fit raises MemoryError.

    Otherwise Linux hands it out all the same, and ends the process when it is filled.
    """
    free, used = free_memory(), of_file(Path("/proc/self/status"), "VmData")
    if resource is None or free is None or used is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    most = used + free
    if before[0] != resource.RLIM_INFINITY:
        most = min(most, before[0])
    resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
