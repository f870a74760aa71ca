"""How ranks communicate, and the communicator of a process that is alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..tensor import Tensor, derivative
from ..typing import Shape

ArrayT = TypeVar("ArrayT", np.ndarray, Tensor)


class RankError(RuntimeError):
    """A rank has failed, which ends all; the message names the rank and the cause."""


@dataclass(frozen=True)
class Exchange:
    """A flat buffer for `reduce_scatter`: this rank's own, and those of every rank that it can see.

    Without shared memory a rank sees its own only.
    """

    own: np.ndarray
    every: tuple[np.ndarray, ...]


class Communicator:
    """How ranks that share a batch communicate. This one is for a rank that is alone.

    All methods but `shard` are collective: all ranks call them, in the same order, with arrays of
    the same shape and dtype.
    """

    rank, size = 0, 1

    def all_reduce(self, array: np.ndarray) -> None:
        """Replace a contiguous array by the sum over the ranks, with the same bits on all ranks."""

    def broadcast(self, array: np.ndarray, root: int = 0) -> None:
        """Replace the array of every rank by that of the root."""

    def barrier(self) -> None:
        """Wait until all ranks are here."""

    # ---------------------------------------------------- the memory of optimisers: `optim.flat`

    def allocate(self, size: int) -> np.ndarray:
        """`size` bytes of zeros: the same memory on all ranks, if they can share memory."""
        return np.zeros(size, np.uint8)

    def exchange(self, zeros: Callable[[], np.ndarray]) -> Exchange:
        """Buffers for `reduce_scatter`, one for each rank that shares memory; `zeros` makes one."""
        own = zeros()
        return Exchange(own, (own,))

    def shard_slice(self, size: int) -> slice:
        """The part of shared arrays of that size that this rank updates, before a barrier."""
        return slice(0, size)

    def reduce_scatter(self, buffer: Exchange) -> slice:
        """Average a buffer over the ranks, on each rank in its own shard, which is returned."""
        return self.shard_slice(len(buffer.own))

    def all_gather(self, buffer: Exchange) -> None:
        """After `reduce_scatter`: bring the shards of all ranks to every rank."""

    # ------------------------------------------------------------------------ the rows of a batch

    def shard(self, array: ArrayT, axis: int = 0) -> ArrayT:
        """This rank's rows of a batch that all ranks have: equally many each, in the ranks' order.

        Raises ValueError if the ranks cannot get equally many.
        """
        if self.size == 1:
            return array
        rows = array.shape[axis]
        each, left = divmod(rows, self.size)
        if left:
            raise ValueError(
                f"a batch of {rows} does not divide evenly among {self.size} ranks; "
                f"take a batch that is a multiple of {self.size}, or another number of workers"
            )
        start = self.rank * each
        index = [slice(None)] * axis + [slice(start, start + each)]
        shard: ArrayT = array[tuple(index)]
        return shard

    def draw(
        self, sample: Callable[..., np.ndarray], shape: Shape, axis: int = 0, **options: Any
    ) -> np.ndarray:
        """This rank's rows, of the given shape, of `sample(shape of the whole batch, **options)`.

        Every rank draws for the whole batch. So one process and several get the same numbers, and
        the generators of all ranks stay in the same state: `team.draw(rng.standard_normal,
        x.shape)`.
        """
        whole = (*shape[:axis], shape[axis] * self.size, *shape[axis + 1 :])
        return self.shard(sample(whole, **options), axis)

    def gather(self, array: np.ndarray, axis: int = 0) -> np.ndarray:
        """The whole batch, from the rows that each rank has."""
        shape = list(array.shape)
        shape[axis] *= self.size
        whole = np.zeros(shape, array.dtype)
        self.shard(whole, axis)[...] = array
        self.all_reduce(whole)
        return whole


_team: Communicator = Communicator()


def team() -> Communicator:
    """The ranks that this process belongs to; outside of `workers` it is alone."""
    return _team


@contextmanager
def joined(communicator: Communicator) -> Iterator[None]:
    """Inside this context `team()` is this communicator."""
    global _team
    before, _team = _team, communicator
    try:
        yield
    finally:
        _team = before


def average(x: ArrayT) -> ArrayT:
    """The mean of an array or a tensor over the ranks, element by element.

    The mean of a batch is the average of the means of its shards. A sum over the ranks is its own
    adjoint, and so is an average: the gradient of each rank's x is the average of the gradients
    that the ranks have for the result.
    """
    if _team.size == 1:
        return x
    averaged: ArrayT = _rule(x)
    return averaged


def _average(x: np.ndarray) -> np.ndarray:
    mean = np.array(x, order="C")
    _team.all_reduce(mean)
    mean /= _team.size
    return mean


_rule = derivative(_average, x=lambda g: average(g))
