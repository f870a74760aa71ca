"""Ranks on one machine: processes that fork from this one and share memory with it.

A step of a small model takes a millisecond, so ranks meet without the operating system's help: each counts its arrivals in
a word of shared memory and watches the others' words, at first without pause (.5 microseconds), then letting others run
on its core, one of whom may be the rank that is waited for, then with growing pauses.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import format_exception, format_exception_only
from typing import Any

import numpy as np

from ..machine import CACHE_LINE, one_blas_thread
from .communicator import Communicator, Exchange, RankError, joined, team

SPINS, YIELDS = (
    100,
    1000,
)  # looks at another rank's word, without and with giving up the core, before the first pause
LONGEST_PAUSE = 1e-3  # seconds
STAGE = 1 << 16  # bytes of a rank's array that are summed in one go
CAUSE = 1 << 14  # bytes for the last words of a rank
SAME = "all ranks have to make the same calls, in the same order"


class SharedMemory:
    """Memory that processes share by asking for the same pieces in the same order, also after the fork.

    It is a file without a name: when the last process is gone, however that came about, so is the memory.
    """

    def __init__(self) -> None:
        self._end = 0
        if hasattr(os, "memfd_create"):
            self._file = os.memfd_create("tinygrad_cv")
        else:
            import tempfile

            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())

    def piece(self, size: int) -> np.ndarray:
        """The next bytes, zeros, as an array (size,)."""
        start, length = (
            self._end,
            -(-(size + 1) // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY,
        )
        self._end += length
        os.pwrite(
            self._file, b"\0", self._end - 1
        )  # grows the file, never shrinks it; no array has that byte
        return np.frombuffer(mmap.mmap(self._file, length, offset=start), np.uint8)[:size]

    def close(self) -> None:
        """No more pieces; those that there are stay."""
        os.close(self._file)


class Processes(Communicator):
    """This process, as rank 0, and its children, as the others."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._spins = (
            SPINS if size <= cores() else 0
        )  # who waits for a core that it holds itself waits long
        self._memory = SharedMemory()
        self._arrived = self._memory.piece(size * CACHE_LINE).data.cast("q")[
            :: CACHE_LINE // 8
        ]  # by rank: how many barriers
        self._calls = [self._memory.piece(size * 8).data.cast("q") for _ in range(2)]  # what for
        self._left = self._memory.piece(size).data  # whether it is at its end
        self._causes = self._memory.piece(size * CAUSE).reshape(size, CAUSE)
        self._stages = self._memory.piece(2 * size * STAGE).reshape(2, size, STAGE)
        self._staged: dict[Any, Any] = {}
        self._turn = self._arrivals = 0
        self._parent = os.getpid()
        self._children: dict[int, int] = {}  # process -> rank
        self._others: list[int] = []
        self._fence = threading.Lock()

    # ---------------------------------------------------------------------------------------------------- the collectives

    def barrier(self, call: int = 0) -> None:
        """`call` tells which collective this is the barrier of, and the size of its array: all must mean the same."""
        if self.size == 1:
            return
        self._arrivals += 1
        calls = self._calls[self._arrivals & 1]  # two in turn, as with the stages
        calls[self.rank] = call
        with (
            self._fence
        ):  # what was written before is seen before the word, on processors that need to be told
            self._arrived[self.rank] = self._arrivals
        for other in self._others:
            if self._arrived[other] < self._arrivals:
                self._wait(other)
            if calls[other] != call:
                raise RankError(
                    f"rank {other} makes another call here than rank {self.rank}; {SAME}"
                )

    def all_reduce(self, array: np.ndarray) -> None:
        for piece in self._pieces(array):
            own, every = self._stage(piece)
            own[...] = piece
            self.barrier(1 + 4 * piece.nbytes)
            np.add.reduce(every, axis=0, out=piece)

    def broadcast(self, array: np.ndarray, root: int = 0) -> None:
        for piece in self._pieces(array):
            own, every = self._stage(piece)
            if self.rank == root:
                own[...] = piece
            self.barrier(2 + 4 * piece.nbytes)
            piece[...] = every[root]

    def _pieces(self, array: np.ndarray) -> Iterator[np.ndarray]:
        """A contiguous array in stretches that fit the stage."""
        if not array.flags.c_contiguous:
            raise ValueError(
                f"ranks exchange contiguous arrays; this one of shape {array.shape} has strides {array.strides}"
            )
        flat = array.reshape(-1)
        step = STAGE // array.itemsize
        return (
            flat[start : start + step]
            for start in range(0, flat.size if self.size > 1 else 0, step)
        )

    def _stage(self, piece: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where this rank shows a piece, and where all show theirs (ranks, n).

        There are two stages in turn: who writes to one has passed a barrier since all have read from it.
        """
        self._turn ^= 1
        key = (self._turn, piece.size, piece.dtype)
        if key not in self._staged:
            every = self._stages[self._turn, :, : piece.nbytes].view(piece.dtype)
            self._staged[key] = every[self.rank], every
        found: tuple[np.ndarray, np.ndarray] = self._staged[key]
        return found

    # -------------------------------------------------------------------------------------------- the memory of optimisers

    def allocate(self, size: int) -> np.ndarray:
        return super().allocate(size) if self.size == 1 else self._memory.piece(size)

    def exchange(self, flat: Callable[[], np.ndarray]) -> Exchange:
        every = tuple(flat() for _ in range(self.size))
        return Exchange(every[self.rank], every)

    def reduce(self, buffer: Exchange) -> slice:
        """Each rank sums its stretch of everyone's buffer into its own."""
        if self.size == 1:
            return super().reduce(buffer)
        self.barrier(3 + 4 * buffer.own.nbytes)
        stretch = self.stretch(len(buffer.own))
        total = buffer.own[stretch]
        for rank in self._others:
            total += buffer.every[rank][stretch]
        total *= 1 / self.size
        return stretch

    def collect(self, buffer: Exchange) -> None:
        self.barrier()
        for rank in self._others:
            stretch = self._stretch_of(rank, len(buffer.own))
            buffer.own[stretch] = buffer.every[rank][stretch]
        self.barrier()

    def stretch(self, size: int) -> slice:
        return self._stretch_of(self.rank, size)

    def _stretch_of(self, rank: int, size: int) -> slice:
        """A rank's part of a flat array of that size, in whole cache lines of any dtype."""
        each = -(-size // self.size // CACHE_LINE) * CACHE_LINE
        return slice(min(rank * each, size), min((rank + 1) * each, size))

    # ---------------------------------------------------------------------------------------------------- life and death

    def _wait(self, other: int) -> None:
        """Until a rank has arrived; or until it can't any more."""
        arrived, arrivals = self._arrived, self._arrivals
        for _ in range(self._spins):
            if arrived[other] >= arrivals:
                return
        for _ in range(YIELDS):
            if arrived[other] >= arrivals:
                return
            os.sched_yield()
        start = time.perf_counter()
        while arrived[other] < arrivals:
            self._look_after(other)
            time.sleep(min((time.perf_counter() - start) / 16, LONGEST_PAUSE))

    def _look_after(self, other: int) -> None:
        """Rank 0 raises if a child has failed; a child ends if its parent has; both raise if who is awaited has left."""
        left = self._left[other]  # before the arrivals: it may have arrived, and then left
        if self.rank and os.getppid() != self._parent:
            os._exit(1)
        for process, rank in [*self._children.items()]:
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                self._ended(process, rank, status)
        if left and self._arrived[other] < self._arrivals:
            raise RankError(
                f"rank {other} is at its end, but rank {self.rank} waits for it; {SAME}"
            )

    def _ended(self, process: int, rank: int, status: int) -> None:
        """Take note of a child's end; raise RankError if it was a failure."""
        del self._children[process]
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return
        told = self._causes[rank].tobytes().rstrip(b"\0").decode(errors="replace")
        cause, _, trace = told.partition("\0")
        if code < 0:
            cause = f"it was killed by {signal.Signals(-code).name}"
            cause += (
                "; if nobody sent that, the memory has run out" if code == -signal.SIGKILL else ""
            )
        error = RankError(
            f"rank {rank} of {self.size} (process {process}) failed: {cause or f'exit code {code}'}"
        )
        error.add_note(trace)
        raise error

    def fork(self) -> None:
        """From here on there are `size` processes; each knows its rank."""
        sys.stdout.flush()
        sys.stderr.flush()
        for rank in range(1, self.size):
            process = os.fork()
            if process == 0:
                signal.signal(
                    signal.SIGINT, signal.SIG_IGN
                )  # Ctrl-C goes to all; rank 0 says what becomes of it
                self.rank, self._children = rank, {}
                break
            self._children[process] = rank
        self._others = [rank for rank in range(self.size) if rank != self.rank]

    def leave(self, error: BaseException | None = None) -> None:
        """The end: of the process on all ranks but 0, which sees to the others' end and then is alone."""
        if self.rank:
            if error is not None:
                cause, trace = (
                    "".join(lines)
                    for lines in (format_exception_only(error), format_exception(error))
                )
                told = f"{cause.strip()}\0{trace}".encode()[:CAUSE]
                self._causes[self.rank, : len(told)] = np.frombuffer(told, np.uint8)
            else:
                self._left[self.rank] = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(error is not None)
        self._left[0] = error is None
        try:
            while error is None and self._children:
                process = next(iter(self._children))
                self._ended(process, self._children[process], os.waitpid(process, 0)[1])
        finally:
            for process in self._children:
                os.kill(process, signal.SIGKILL)
            for process in self._children:
                os.waitpid(process, 0)
            self._children, self._others, self.size = {}, [], 1
            self._memory.close()


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def processes(number: int) -> Iterator[Communicator]:
    """The block below `with` is carried out by so many processes; after it there is this one again, and alone.

    This process is rank 0, so what the block has made stays; the others start as copies of it. An exception on any rank
    ends all: rank 0's is raised, another's as RankError. BLAS has one thread in each of several.
    """
    if number < 1:
        raise ValueError(f"there is at least one process, not {number}")
    if team().size > 1:
        raise ValueError(
            f"this process is a rank of {team().size} already, and has none of its own"
        )
    if number == 1:
        with joined(Communicator()):
            yield team()
        return
    if not hasattr(os, "fork"):
        raise RankError("this system cannot fork processes; use one, or MPI")
    ranks = Processes(number)
    failure = None
    with joined(ranks), one_blas_thread():
        try:
            ranks.fork()
            yield ranks
        except BaseException as error:
            failure = error
            raise
        finally:
            ranks.leave(failure)
