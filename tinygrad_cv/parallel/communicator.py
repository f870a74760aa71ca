"""The interface that ranks talk through, and the one rank that is alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..tensor import derivative


class RankError(RuntimeError):
    """A rank has failed, and with it the job; the message names the rank and the cause."""


@dataclass(frozen=True)
class Exchange:
    """A flat buffer of this rank's, and every rank's as this one sees it (its own alone where memory isn't shared)."""

    own: np.ndarray
    every: tuple[np.ndarray, ...]


class Communicator:
    """What ranks share a batch through. This one is a rank alone, for which a sum over ranks is what it was.

    Every method but `share` is collective: all ranks call it, in the same order, with arrays of one shape and dtype.
    """

    rank, size = 0, 1

    def all_reduce(self, array: np.ndarray) -> None:
        """Put the sum over ranks in the place of a contiguous array; on all ranks the same bits."""

    def broadcast(self, array: np.ndarray, root: int = 0) -> None:
        """Put one rank's array in the place of everyone's."""

    def barrier(self) -> None:
        """Wait until all ranks are here."""

    # ------------------------------------------------------------------------- the memory of optimisers: `tinygrad_cv.arena`

    def allocate(self, size: int) -> np.ndarray:
        """So many bytes of zeros: the same memory on all ranks, where they can share one."""
        return np.zeros(size, np.uint8)

    def exchange(self, flat: Callable[[], np.ndarray]) -> Exchange:
        """Buffers for `reduce`, one for each rank that shares its memory with this one; `flat` makes one."""
        own = flat()
        return Exchange(own, (own,))

    def stretch(self, size: int) -> slice:
        """The part of common arrays of that size that this rank is to update; a barrier shows it to the others."""
        return slice(0, size)

    def reduce(self, buffer: Exchange) -> slice:
        """Average a buffer over the ranks, as far as this rank needs it: in its stretch, which is returned."""
        return self.stretch(len(buffer.own))

    def collect(self, buffer: Exchange) -> None:
        """After `reduce`: let every rank have the whole average."""

    # ------------------------------------------------------------------------------------------------ a batch, shared out

    def share(self, array: Any, axis: int = 0) -> Any:
        """This rank's rows of a batch that all ranks hold: the first rank's come first."""
        if self.size == 1:
            return array
        each, left = divmod(array.shape[axis], self.size)
        if left:
            raise ValueError(
                f"a batch of {array.shape[axis]} does not divide evenly among {self.size} ranks; take a batch that is a "
                f"multiple of {self.size}, or another number of workers"
            )
        return array[(slice(None),) * axis + (slice(self.rank * each, (self.rank + 1) * each),)]

    def draw(
        self, sample: Callable[..., Any], shape: tuple[int, ...], axis: int = 0, **options: Any
    ) -> Any:
        """This rank's rows, of that shape, of `sample(shape of the whole batch, **options)`.

        Every rank draws for the whole batch. So one process and several see the same numbers, and their generators stay
        in step: `team.draw(rng.standard_normal, x.shape)`.
        """
        whole = (*shape[:axis], shape[axis] * self.size, *shape[axis + 1 :])
        return self.share(sample(whole, **options), axis)

    def gather(self, array: np.ndarray, axis: int = 0) -> np.ndarray:
        """The whole batch from all ranks' rows of it."""
        shape = list(array.shape)
        shape[axis] *= self.size
        whole = np.zeros(shape, array.dtype)
        self.share(whole, axis)[...] = array
        self.all_reduce(whole)
        return whole


_team: Communicator = Communicator()


def team() -> Communicator:
    """The ranks that this process works with; outside `workers` it is alone."""
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


def average(x: Any) -> Any:
    """The mean of x over the ranks, element by element, of an array or a tensor; x itself on a rank that is alone.

    A batch's mean is the average of the means of its equal shares. The sum over ranks is its own adjoint, and so is this:
    what each rank's x gets is the average of what came back to the ranks.
    """
    if _team.size == 1:
        return x
    return _rule(x)


def _average(x: Any) -> np.ndarray:
    mean = np.array(x, order="C")
    _team.all_reduce(mean)
    mean /= _team.size
    return mean


_rule = derivative(_average, x=lambda g: average(g))
