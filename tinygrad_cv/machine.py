"""What suits this computer: memory, cache lines and tiles, BLAS threads, subnormal numbers.

Every constant that was tuned on a machine stands here, with its unit, and so does every call into
the C library. Elsewhere nothing depends on them but the time that things take and the last digits
of sums.
"""

from __future__ import annotations

import ctypes
import math
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

# Ranks that wait for another one (`parallel`) look at its word in shared memory, again and again.
BARRIER_SPINS = 100  # looks without a pause; more would keep the core from other processes
BARRIER_YIELDS = 1000  # looks that give up the core in between, before the first pause
LONGEST_PAUSE = 1e-3  # seconds between looks, after that
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


# ----------------------------------------------------------------------------------- BLAS threads

PREFIXES = ("scipy_openblas_", "openblas_")  # NumPy's own OpenBLAS; that of a system
SUFFIXES = ("64_", "")


def _blas_thread_functions() -> tuple[Callable[[int], object], Callable[[], int]] | None:
    """The functions that set and get the threads of NumPy's OpenBLAS; None with another BLAS."""
    numpy_module = np._core._multiarray_umath.__file__  # type: ignore[attr-defined]
    library = ctypes.CDLL(numpy_module)  # finds what that module is linked with, too
    for prefix in PREFIXES:
        for suffix in SUFFIXES:
            try:
                set_threads = getattr(library, f"{prefix}set_num_threads{suffix}")
                get_threads = getattr(library, f"{prefix}get_num_threads{suffix}")
            except AttributeError:
                continue
            return set_threads, get_threads
    return None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside this context matrix products use one thread. With another BLAS nothing changes."""
    functions = _blas_thread_functions()
    if functions is None:
        yield
        return
    set_threads, get_threads = functions
    before = get_threads()
    set_threads(1)
    try:
        yield
    finally:
        set_threads(before)
