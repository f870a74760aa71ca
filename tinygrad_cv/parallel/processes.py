"""Ranks on one machine: processes that fork from this one and share memory with it.

A step of a small model takes a millisecond, so the barrier does without the operating system. Each
rank counts its arrivals in a word of shared memory and watches the words of the others (.5
microseconds). Who has to wait for longer, for a rank that has lost its core to another program,
say, sleeps until it is woken, and leaves its own core to those that have work.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from traceback import format_exception, format_exception_only
from typing import NoReturn

import numpy as np

from ..machine import (
    CACHE_LINE,
    FEWEST_SPINS,
    MOST_SPINS,
    STAGE_SIZE,
    Futex,
    few_blas_threads,
)
from .communicator import Communicator, Exchange, RankError, joined, team

CAUSE_SIZE = 1 << 14  # bytes for the error message of a rank
ALL_REDUCE, BROADCAST, REDUCE_SCATTER = 1, 2, 3  # collectives, as a barrier compares them
SAME_CALLS = "all ranks have to make the same calls, in the same order"


class SharedMemory:
    """Memory that processes share: pieces that all ask for in the same order, also after a fork.

    It is a file without a name, so the system frees it when the last process ends, whatever ended
    it.
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
        start = self._end
        pages = -(-(size + 1) // mmap.ALLOCATIONGRANULARITY)
        length = pages * mmap.ALLOCATIONGRANULARITY
        self._end += length
        # One byte that belongs to no array: it grows the file, and never shrinks it.
        os.pwrite(self._file, b"\0", self._end - 1)
        memory = mmap.mmap(self._file, length, offset=start)
        return np.frombuffer(memory, np.uint8)[:size]

    def close(self) -> None:
        """Give out no more pieces. Those that were given out stay."""
        os.close(self._file)


class Processes(Communicator):
    """This process, as rank 0, and its children, as the others.

    What they share, by rank: how many barriers it has reached, and at which one it fell asleep (two
    words in a cache line of its own), which collective it called there, whether it has ended, why
    it failed, and a stage for pieces of arrays.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._spins = MOST_SPINS
        self._memory = SharedMemory()
        words = self._memory.piece(size * CACHE_LINE).data.cast("q")
        line = CACHE_LINE // 8
        self._arrived, self._asleep = words[::line], words[1::line]
        self._futexes = [Futex(words[start : start + 1]) for start in range(0, len(words), line)]
        self._calls = [self._memory.piece(size * 8).data.cast("q") for _ in range(2)]
        self._left = self._memory.piece(size).data
        self._causes = self._memory.piece(size * CAUSE_SIZE).reshape(size, CAUSE_SIZE)
        self._stages = self._memory.piece(2 * size * STAGE_SIZE).reshape(2, size, STAGE_SIZE)
        self._staged: dict[tuple[int, int, np.dtype], tuple[np.ndarray, np.ndarray]] = {}
        self._turn = 0
        self._arrivals = 0
        self._parent = os.getpid()
        self._children: dict[int, int] = {}  # process -> rank
        self._failure: RankError | None = None
        self._others: list[int] = []
        self._fence = threading.Lock()

    # ------------------------------------------------------------------------------ the collectives

    def barrier(self, call: int = 0) -> None:
        """Wait until all ranks are here.

        `call` is a number for the collective that this is the barrier of and the size of its array.
        Raises RankError if another rank comes with another number.
        """
        if self.size == 1:
            return
        self._arrivals += 1
        calls = self._calls[self._arrivals & 1]  # two in turn, as with the stages
        calls[self.rank] = call
        # A memory barrier: others see the word after all that was written before. Here their words
        # are read after it; where a lock does not order that, one may sleep for too long, once.
        with self._fence:
            self._arrived[self.rank] = self._arrivals
        for other in self._others:
            if self._asleep[other] == self._arrivals:
                self._futexes[self.rank].wake()
                break
        for other in self._others:
            if self._arrived[other] < self._arrivals:
                self._wait(other)
            if calls[other] != call:
                raise RankError(
                    f"rank {other} makes another call here than rank {self.rank}; {SAME_CALLS}"
                )

    def all_reduce(self, array: np.ndarray) -> None:
        """Replace a contiguous array by the sum over the ranks, with the same bits on all ranks."""
        for piece in self._pieces(array):
            own, every = self._stage(piece)
            own[...] = piece
            self.barrier(ALL_REDUCE + 4 * piece.nbytes)
            np.add.reduce(every, axis=0, out=piece)

    def broadcast(self, array: np.ndarray, root: int = 0) -> None:
        """Replace the array of every rank by that of the root."""
        for piece in self._pieces(array):
            own, every = self._stage(piece)
            if self.rank == root:
                own[...] = piece
            self.barrier(BROADCAST + 4 * piece.nbytes)
            piece[...] = every[root]

    def _pieces(self, array: np.ndarray) -> Iterator[np.ndarray]:
        """A contiguous array in pieces that fit the stage."""
        if not array.flags.c_contiguous:
            raise ValueError(
                f"ranks exchange contiguous arrays; this one of shape {array.shape} "
                f"has strides {array.strides}"
            )
        if self.size == 1:
            return
        flat = array.reshape(-1)
        step = STAGE_SIZE // array.itemsize
        for start in range(0, flat.size, step):
            yield flat[start : start + step]

    def _stage(self, piece: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where this rank shows a piece (n,), and where all ranks show theirs (ranks, n).

        There are two stages in turn: a rank that writes to one of them has passed a barrier since
        the others have read from it.
        """
        self._turn ^= 1
        key = (self._turn, piece.size, piece.dtype)
        if key not in self._staged:
            every = self._stages[self._turn, :, : piece.nbytes].view(piece.dtype)
            self._staged[key] = every[self.rank], every
        return self._staged[key]

    # --------------------------------------------------------------------- the memory of optimisers

    def allocate(self, size: int) -> np.ndarray:
        """`size` bytes of zeros, the same memory on all ranks."""
        if self.size == 1:
            return super().allocate(size)
        return self._memory.piece(size)

    def exchange(self, zeros: Callable[[], np.ndarray]) -> Exchange:
        """Buffers for `reduce_scatter`, one for each rank; `zeros` makes one."""
        every = tuple(zeros() for _ in range(self.size))
        return Exchange(every[self.rank], every)

    def shard_slice(self, size: int) -> slice:
        """The part of shared arrays of that size that this rank updates, before a barrier."""
        return self._shard_slice(self.rank, size)

    def reduce_scatter(self, buffer: Exchange) -> slice:
        """Average the buffers of all ranks, on each rank in its own shard, which is returned."""
        if self.size == 1:
            return super().reduce_scatter(buffer)
        self.barrier(REDUCE_SCATTER + 4 * buffer.own.nbytes)
        shard = self.shard_slice(len(buffer.own))
        total = buffer.own[shard]
        for rank in self._others:
            total += buffer.every[rank][shard]
        total *= 1 / self.size
        return shard

    def all_gather(self, buffer: Exchange) -> None:
        """After `reduce_scatter`: bring the shards of all ranks to every rank."""
        self.barrier()
        for rank in self._others:
            shard = self._shard_slice(rank, len(buffer.own))
            buffer.own[shard] = buffer.every[rank][shard]
        self.barrier()

    def _shard_slice(self, rank: int, size: int) -> slice:
        """A rank's part of a flat array of that size, in whole cache lines of any dtype."""
        each = -(-size // self.size // CACHE_LINE) * CACHE_LINE
        return slice(min(rank * each, size), min((rank + 1) * each, size))

    # ----------------------------------------------------------------------- waiting, start and end

    def _wait(self, other: int) -> None:
        """Wait until a rank has arrived; raise or end if it cannot arrive any more."""
        arrived, arrivals = self._arrived, self._arrivals
        for _ in range(self._spins):
            if arrived[other] >= arrivals:
                self._spins = min(2 * self._spins, MOST_SPINS)
                return
        self._spins = max(self._spins // 2, FEWEST_SPINS)
        self._asleep[self.rank] = arrivals
        while (count := arrived[other]) < arrivals:
            self._check_alive(other)
            self._futexes[other].wait(count)

    def _check_alive(self, other: int) -> None:
        """Raise RankError if a child has failed, or if the rank that this one waits for has left.

        A child whose parent has ended ends itself.
        """
        left = self._left[other]  # read before the arrivals: it may have arrived, and then left
        if self.rank and os.getppid() != self._parent:
            os._exit(1)
        if self._failure is not None:
            raise self._failure  # somebody has caught it
        for process, rank in [*self._children.items()]:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                self._remove(process, rank, status)
        if left and self._arrived[other] < self._arrivals:
            raise RankError(
                f"rank {other} is at its end, but rank {self.rank} waits for it; {SAME_CALLS}"
            )

    def _remove(self, process: int, rank: int, status: int) -> None:
        """Forget a child that has ended; raise RankError if it has failed."""
        del self._children[process]
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return
        message = self._causes[rank].tobytes().rstrip(b"\0").decode(errors="replace")
        cause, _, trace = message.partition("\0")
        if code < 0:
            cause = f"it was killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            cause += "; if nobody sent that, the memory has run out"
        error = RankError(
            f"rank {rank} of {self.size} (process {process}) failed: {cause or f'exit code {code}'}"
        )
        error.add_note(trace)
        self._failure = error
        raise error

    def fork(self) -> None:
        """Start the other processes; each knows its rank."""
        sys.stdout.flush()
        sys.stderr.flush()
        # Ctrl-C and a scheduler's SIGTERM reach all processes; rank 0 decides what happens.
        stops = (signal.SIGINT, signal.SIGTERM)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
        try:
            for rank in range(1, self.size):
                process = os.fork()
                if process == 0:
                    self.rank = rank
                    self._children = {}
                    for number in stops:
                        signal.signal(number, signal.SIG_IGN)
                    break
                self._children[process] = rank
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._others = [rank for rank in range(self.size) if rank != self.rank]

    def leave(self, error: BaseException | None = None) -> None:
        """End this process, except on rank 0, which waits for the others' end and goes on alone.

        With an error on rank 0 the others are killed.
        """
        if self.rank:
            self._end(error)
        self._left[0] = error is None
        try:
            while error is None and self._children:
                process, rank = next(iter(self._children.items()))
                _, status = os.waitpid(process, 0)
                self._remove(process, rank, status)
        finally:
            for process in self._children:
                with suppress(ProcessLookupError):  # Ctrl-C came when it had just been waited for
                    os.kill(process, signal.SIGKILL)
            for process in self._children:
                with suppress(ChildProcessError):
                    os.waitpid(process, 0)
            self._children = {}
            self._others = []
            self.size = 1
            self._memory.close()

    def _end(self, error: BaseException | None) -> NoReturn:
        """End this process, and leave the cause to rank 0 if it is an error."""
        code = 1
        try:
            if error is None:
                self._left[self.rank] = 1
            else:
                cause = "".join(format_exception_only(error)).strip()
                trace = "".join(format_exception(error))
                message = f"{cause}\0{trace}".encode(errors="replace")[:CAUSE_SIZE]
                self._causes[self.rank, : len(message)] = np.frombuffer(message, np.uint8)
            sys.stdout.flush()
            sys.stderr.flush()
            code = int(error is not None)
        finally:  # also if nobody reads any more: this process must not go on as rank 0 does
            os._exit(code)


@contextmanager
def processes(count: int) -> Iterator[Communicator]:
    """`count` processes run the block below `with`; after it this process is alone again.

    This process is rank 0, so what the block has made stays; the others start as copies of it. An
    exception on any rank ends all: that of rank 0 is raised as it is, that of another as RankError.
    BLAS has one thread in each, or its share of those that the user wants.

    Raises ValueError for a count below 1, or within another such block.
    """
    if count < 1:
        raise ValueError(f"there is at least one process, not {count}")
    if team().size > 1:
        raise ValueError(
            f"this process is a rank of {team().size} already, and has none of its own"
        )
    if count == 1:
        with joined(Communicator()), few_blas_threads():
            yield team()
        return
    if not hasattr(os, "fork"):
        raise RankError("this system cannot fork processes; use one, or MPI")
    ranks = Processes(count)
    failure = None
    with joined(ranks), few_blas_threads(count):
        try:
            ranks.fork()
            yield ranks
        except BaseException as error:
            failure = error
            raise
        finally:
            ranks.leave(failure)
