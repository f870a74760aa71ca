"""Ranks that `mpiexec` has started, on one machine or on many, by the collectives of mpi4py."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..machine import few_blas_threads
from .communicator import Communicator, Exchange, RankError, joined

# Environment variables with the number of ranks: of Open MPI; of MPICH and what is built on it.
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")

FLUSH_TIME = 0.5  # seconds that mpiexec has to pass on the error message of a rank


def launched() -> bool:
    """Whether mpiexec has started this process together with others."""
    return any(int(os.environ.get(name, 1)) > 1 for name in SIZES)


class MPIRanks(Communicator):
    """All processes that mpiexec has started. Each has memory of its own, with all parameters."""

    def __init__(self) -> None:
        try:
            from mpi4py import MPI
        except ImportError as error:
            raise RankError(
                f'mpiexec needs mpi4py, pip install "tinygrad_cv[mpi]": {error}'
            ) from None
        self._in_place = MPI.IN_PLACE
        self.world = MPI.COMM_WORLD
        self.rank, self.size = self.world.rank, self.world.size

    def all_reduce(self, array: np.ndarray) -> None:
        """Replace a contiguous array by the sum over the ranks, with the same bits on all ranks."""
        self.world.Allreduce(self._in_place, array)

    def broadcast(self, array: np.ndarray, root: int = 0) -> None:
        """Replace the array of every rank by that of the root."""
        self.world.Bcast(array, root)

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        self.world.Barrier()

    def reduce_scatter(self, buffer: Exchange) -> slice:
        """Average a buffer over the ranks, on each rank whole: its shard is all of it."""
        total = buffer.own
        self.all_reduce(total)
        total *= 1 / self.size
        return super().reduce_scatter(buffer)


@contextmanager
def mpi() -> Iterator[Communicator]:
    """All ranks of mpiexec run the block below `with`. An exception on one ends the job."""
    ranks = MPIRanks()
    with joined(ranks), few_blas_threads():
        try:
            yield ranks
        except BaseException as error:
            cause = "".join(traceback.format_exception(error))
            print(
                f"{cause}rank {ranks.rank} of {ranks.size} failed, see above; the job ends",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(FLUSH_TIME)
            ranks.world.Abort(1)
            raise
