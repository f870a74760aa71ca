"""What suits this computer: memory, cache lines and tiles, cores and who has them, BLAS threads,
subnormal numbers.

Every constant that was tuned on a machine stands here, with its unit, and so does every call into
the C library. Elsewhere nothing depends on them but the time that things take and the last digits
of sums.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

# --------------------------------------------------------------------------- the tuning constants

CACHE_LINE = 64  # bytes; a vector that straddles two lines costs twice
LARGE_CONSTANT = 1 << 27  # bytes: a record copies a constant up to this size, locks a larger one
KEPT_MEMORY = 1 << 30  # bytes of freed memory that the process keeps for the next arrays

# Blocks are sized for a second-level cache of 1 to 2 MB and float32.
TILE = 1 << 16  # elements of each array: a handful of buffers of this size stay in the cache
IM2COL_BLOCK = 1 << 18  # elements: the windows of so many images at a time stay in the cache
GROUP_NORM_BLOCK = 1 << 17  # elements: so many samples at a time stay in it, several times over
RNN_CHUNK = 1 << 19  # elements of the gates: the time steps of a chunk fill the cache

# Element-wise functions are slow on rows of a few channels; longer rows leave the first-level
# cache.
GROUP_NORM_ROW = 1 << 10  # elements of a row at most

# OpenBLAS multiplies matrices of up to a million products as they lie and copies larger ones first.
# Long matrices are cut into pieces below that, unless the pieces would be too short to pay.
PRODUCTS_UNCOPIED = 10**6  # multiplications
PIECE_MIN_ROWS = 96  # rows

EINSUM_MAX_ROW = 256  # elements: BLAS, which takes longer to start, sums longer rows faster

# Winograd's products need as many tiles as channels, between these bounds, to be worth a product of
# matrices. The sums over channels are cut for their rounding, which grows with their length.
WINOGRAD_MIN_TILES = 64  # tiles
WINOGRAD_MAX_TILES = 128  # tiles
WINOGRAD_CHANNELS = 64  # channels that are summed up at a time

# A checkpoint compares small values element by element, and larger ones chunk by chunk.
DIGEST_COPY = 1 << 10  # elements: so many are kept as they are
DIGEST_CHUNK = 64  # elements a sum; fewer would need more memory, more would hide more in rounding

# Ranks that wait for another one (`parallel`) look at its word in shared memory for a while, for
# twice as long after each time that this helped, else half as long, and then sleep.
FEWEST_SPINS, MOST_SPINS = 100, 4000  # looks: of 4 to 160 microseconds
LONGEST_SLEEP = 0.05  # seconds, before a rank sees to it that the others are alive
PAUSE = 2e-4  # seconds between looks where the system wakes nobody

MOMENT = 0.2  # seconds in which other processes are watched, to count the cores that are free
STAGE_SIZE = 1 << 16  # bytes of a rank's array that are summed at once: small enough for the cache

# ----------------------------------------------------------------------------------------- memory

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # the parameters of mallopt(3)


def keep_freed_memory() -> bool:
    """Let the process keep the memory of freed arrays for the next ones; return whether it could.

    A training step allocates the same large arrays again and again. By default glibc returns each
    one to the system, which then hands out, zeroes and maps fresh pages at the next allocation: a
    third of the time of a small ViT's step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library
        return False
    settings = {
        TRIM_THRESHOLD: KEPT_MEMORY,
        MMAP_THRESHOLD: KEPT_MEMORY,
        TOP_PAD: KEPT_MEMORY >> 4,
    }
    return all([mallopt(parameter, value) for parameter, value in settings.items()])


def aligned(shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Like `np.empty`, but the array begins at a cache line."""
    count = math.prod((shape,) if isinstance(shape, int) else shape)
    size = count * np.dtype(dtype).itemsize
    memory = np.empty(size + CACHE_LINE, np.uint8)
    return np.asarray(at_cache_line(memory, size).view(dtype).reshape(shape))


def at_cache_line(memory: np.ndarray, size: int) -> np.ndarray:
    """The first `size` bytes at a cache line of an array of bytes that is one line longer."""
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size]


# ------------------------------------------------------------------------------ subnormal numbers
#
# Subnormal numbers are too small to have all their digits (below 1.2e-38 in float32). x86
# processors compute with them many times slower. The moments of a weight whose gradient stays
# exactly zero, behind a ReLU that is never active, say, shrink by a factor each step until they are
# subnormal, and remain so: after some 850 steps a small network's Adam takes three times as long as
# at the start.

FLUSH_TO_ZERO, DENORMALS_ARE_ZERO = 1 << 15, 1 << 6  # bits of MXCSR: for results and for arguments


class FloatingPointEnvironment(ctypes.Structure):
    """`fenv_t` of the C libraries for Linux on x86-64."""

    _fields_ = (("x87", ctypes.c_uint32 * 7), ("mxcsr", ctypes.c_uint32))


def _environment_functions() -> tuple[Callable[..., object], Callable[..., object]] | None:
    """The functions that read and set the floating-point environment; None on other machines."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return None
    library = ctypes.CDLL(None)
    if not (hasattr(library, "fegetenv") and hasattr(library, "fesetenv")):
        return None
    return library.fegetenv, library.fesetenv


ENVIRONMENT = _environment_functions()


class subnormals_as_zero:  # named as a function, like no_grad
    """A context in which this thread computes with zero in place of subnormal numbers.

    The register MXCSR that says so is the thread's own. On machines without it nothing changes.
    """

    def __enter__(self) -> None:
        if ENVIRONMENT is None:
            return
        read, write = ENVIRONMENT
        self.environment = FloatingPointEnvironment()
        self.address = ctypes.byref(self.environment)
        read(self.address)
        self.before = self.environment.mxcsr
        self.environment.mxcsr = self.before | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO
        write(self.address)

    def __exit__(self, *_: object) -> None:
        if ENVIRONMENT is None:
            return
        _, write = ENVIRONMENT
        self.environment.mxcsr = self.before
        write(self.address)


# ------------------------------------------------------------------------------------------- cores

STATISTICS = Path("/proc/stat")
OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def cores() -> int:
    """How many processor cores this process may use, whoever else is using them."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    return max(1, int(min(count, _quota())))


def free_cores() -> int:
    """How many of these cores are free now, to the next whole number, at least one.

    It takes a moment, in which Linux counts how long each core is idle. Elsewhere others use as
    many as the load of the last minute says.
    """
    try:
        before = _idle_ticks()
        start = time.perf_counter()
        time.sleep(MOMENT)
        after = _idle_ticks()
        ticks = os.sysconf("SC_CLK_TCK") * (time.perf_counter() - start)
        free = sum(after[core] - before[core] for core in os.sched_getaffinity(0)) / ticks
    except (OSError, AttributeError, KeyError):
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        free = cores() - load
    return max(1, min(cores(), round(free)))


def _idle_ticks() -> dict[int, int]:
    """For each core how long it has been idle, or has waited for a disk."""
    idle = {}
    for line in STATISTICS.read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            idle[int(name[3:])] = int(ticks[3]) + int(ticks[4])
    return idle


def _quota() -> float:
    """The cores that the control groups of Linux (a container's, say) leave to this process."""
    try:
        groups = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return math.inf
    quota = math.inf
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        folder = GROUPS / controllers / path.lstrip("/")
        for parent in (folder, *folder.parents):
            if GROUPS in (parent, *parent.parents):
                quota = min(quota, _quota_of(parent))
    return quota


def _quota_of(folder: Path) -> float:
    """The cores that one control group may use, in either version of their files."""
    try:
        if (folder / "cpu.max").exists():
            limit, period = (folder / "cpu.max").read_text().split()
        else:
            limit = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(limit) / int(period) if int(limit) > 0 else math.inf
    except (OSError, ValueError):  # no such file; "max"
        return math.inf


# ----------------------------------------------------------------------------- sleeping and waking
#
# A process that waits for another one and spins, or gives up its core again and again, takes time
# from those that have work. Linux lets it sleep until a word in shared memory changes: futex(2).

FUTEX_CALLS = {"x86_64": 202, "aarch64": 98, "riscv64": 98}  # the number of the system call
FUTEX_WAIT, FUTEX_WAKE, EVERYBODY = 0, 1, 2**31 - 1


class Timespec(ctypes.Structure):
    """`struct timespec`."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def _system_call() -> Callable[..., int] | None:
    """The function for system calls, where futex(2) is known; None on other systems."""
    known = sys.platform.startswith("linux") and platform.machine() in FUTEX_CALLS
    if not known or sys.maxsize < 2**32:  # a Python of 32 bits has other numbers
        return None
    call: Callable[..., int] = ctypes.CDLL(None).syscall  # lets other threads run meanwhile
    return call


class Futex:
    """A 64-bit word in shared memory that only grows: processes sleep until it has grown."""

    def __init__(self, word: memoryview) -> None:
        self._call = _system_call()
        self._number = FUTEX_CALLS.get(platform.machine(), 0)
        self._memory = ctypes.c_char.from_buffer(word)  # keeps it
        low_half = 4 * (sys.byteorder == "big")
        self._address = ctypes.c_void_p(ctypes.addressof(self._memory) + low_half)
        seconds, rest = divmod(LONGEST_SLEEP, 1)
        self._longest = ctypes.byref(Timespec(int(seconds), int(rest * 1e9)))

    def wait(self, value: int) -> None:
        """Sleep while the word is `value`, until `wake` is called, or for `LONGEST_SLEEP`."""
        if self._call is None:
            time.sleep(PAUSE)
            return
        seen = ctypes.c_uint32(value)
        self._call(self._number, self._address, FUTEX_WAIT, seen, self._longest, None, 0)

    def wake(self) -> None:
        """Wake all that sleep here."""
        if self._call is not None:
            self._call(self._number, self._address, FUTEX_WAKE, EVERYBODY, None, None, 0)


# ----------------------------------------------------------------------------------- BLAS threads
#
# The threads of OpenBLAS meet at every product, and spin meanwhile. When another process takes one
# of their cores, each product waits until that core is free again: a step of a model, small or
# large, takes 1.4 to 20 times as long as with one thread. On free cores it takes .7 to 1.1 times as
# long; two processes do better, and suffer less (`parallel`). Another number of threads also gives
# sums other last digits, so it must not depend on what other processes do. So there is one thread.

PREFIXES = ("scipy_openblas_", "openblas_")  # of NumPy's and SciPy's own OpenBLAS; of a system's
SUFFIXES = ("64_", "")
BLAS_MODULES = ("numpy._core._multiarray_umath", "scipy.linalg._fblas")
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")


def _blas_thread_functions() -> list[tuple[Callable[[int], object], Callable[[], int]]]:
    """The functions that set and get the threads of each OpenBLAS here; none with another BLAS."""
    functions = []
    for name in BLAS_MODULES:
        if name not in sys.modules:
            continue
        library = ctypes.CDLL(sys.modules[name].__file__)  # finds what it is linked with, too
        for prefix, suffix in product(PREFIXES, SUFFIXES):
            try:
                set_threads = getattr(library, f"{prefix}set_num_threads{suffix}")
                get_threads = getattr(library, f"{prefix}get_num_threads{suffix}")
            except AttributeError:
                continue
            functions.append((set_threads, get_threads))
            break
    return functions


@contextmanager
def few_blas_threads(processes: int = 1) -> Iterator[None]:
    """Inside this context matrix products use one thread, unless the user wants more.

    The user says so by a variable of the environment, such as OPENBLAS_NUM_THREADS, and has so many
    as there are cores: `processes` that compute side by side share these. Importing the library
    changes nothing; the commands of `models` and the blocks of `parallel` are such contexts. With
    another BLAS than OpenBLAS nothing changes.
    """
    most = 1
    if any(os.environ.get(name) for name in THREAD_VARIABLES):
        most = max(1, cores() // processes)
    functions = _blas_thread_functions()
    before = [get_threads() for _, get_threads in functions]
    try:
        for (set_threads, _), count in zip(functions, before, strict=True):
            set_threads(min(count, most))
        yield
    finally:
        for (set_threads, _), count in zip(functions, before, strict=True):
            set_threads(count)
