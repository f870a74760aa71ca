"""Shuffled batches that can be stopped anywhere and resumed to the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Self, TypedDict, TypeVar, cast

import numpy as np

from ..schema import Natural, check
from ..typing import PyTree
from .state import generator_at, jsonable

Arrays = TypeVar("Arrays", np.ndarray, tuple[np.ndarray, ...])


class BatchesState(TypedDict):
    """What `batches.state()` is made of."""

    length: Natural
    size: Natural
    drop_last: bool
    bit_generator: str
    epoch: Natural
    position: Natural
    epoch_start: dict[str, object]  # what rng was before it gave this epoch's order
    rng: dict[str, object]


class batches(Generic[Arrays]):  # named as a function, like range
    """An iterator over batches of `size` rows of an array, shuffled each epoch.

    A tuple of arrays of one length gives tuples of batches. By default every batch has `size`
    rows, and what is left over at the end of an epoch is dropped; `drop_last=False` yields it as a
    smaller batch. `epochs=None` never ends. `rng` gives the order and may serve other purposes
    too.

    `state()` is a record, for JSON, of where the iteration stands, and of `rng`; `restore(state)`
    on batches of the same arrays goes on from there as if nothing had happened. `epoch` counts the
    epochs begun, `position` the batches yielded in this one, of `per_epoch`.

    Raises TypeError for something other than arrays with rows and a generator, ValueError for
    arrays of different lengths and for a size that does not fit them.
    """

    def __init__(
        self,
        arrays: Arrays,
        size: int,
        *,
        rng: np.random.Generator,
        drop_last: bool = True,
        epochs: int | None = None,
    ) -> None:
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng is a generator, np.random.default_rng(seed), not {rng!r}")
        self.arrays: Arrays = arrays
        self.size = size
        self.rng = rng
        self.drop_last = drop_last
        self.epochs = epochs
        self.length = _length(arrays)
        if not isinstance(size, (int, np.integer)) or not 1 <= size <= self.length:
            known = f"size is a whole number from 1 to {self.length}"
            raise ValueError(f"cannot make batches of {size!r} from {self.length} rows; {known}")
        self.per_epoch = self.length // size if drop_last else -(-self.length // size)
        self.epoch = 0
        self.position = self.per_epoch
        self._epoch_start: Mapping[str, PyTree] = rng.bit_generator.state
        self._order = np.empty(0, np.int64)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Arrays:
        if self.position == self.per_epoch:
            if self.epochs is not None and self.epoch >= self.epochs:
                raise StopIteration
            self._epoch_start = self.rng.bit_generator.state
            self._order = self.rng.permutation(self.length)
            self.epoch += 1
            self.position = 0
        start = self.position * self.size
        rows = self._order[start : start + self.size]
        self.position += 1
        if isinstance(self.arrays, np.ndarray):
            return self.arrays[rows]
        return cast(Arrays, tuple(array[rows] for array in self.arrays))

    def state(self) -> dict[str, PyTree]:
        """Where the iteration stands: plain numbers and strings, for `restore`."""
        return jsonable(
            {
                **self._fingerprint(),
                "epoch": self.epoch,
                "position": self.position,
                "epoch_start": self._epoch_start,
                "rng": self.rng.bit_generator.state,
            }
        )

    def restore(self, state: Mapping[str, PyTree]) -> None:
        """Go on from a state, and set `rng` to what it was then.

        Raises ValueError if other batches left that state, or if it is damaged.
        """
        check(state, BatchesState, "the batches' state")
        fingerprint = self._fingerprint()
        other = {key: state.get(key) for key in fingerprint}
        if other != fingerprint:
            raise ValueError(
                f"this state is of other batches: it has {other}, but here are {fingerprint}"
            )
        position = state["position"]
        if position > self.per_epoch:
            raise ValueError(
                f"this state is damaged: {position} of {self.per_epoch} batches were yielded"
            )
        replay = generator_at(state["epoch_start"], self.rng, "the batches' epoch_start")
        after = generator_at(state["rng"], self.rng, "the batches' rng")
        self._order = replay.permutation(self.length)
        self._epoch_start = state["epoch_start"]
        self.epoch = state["epoch"]
        self.position = position
        self.rng.bit_generator.state = after.bit_generator.state

    def _fingerprint(self) -> dict[str, PyTree]:
        """What a state must share with the batches that it is restored to."""
        return {
            "length": self.length,
            "size": self.size,
            "drop_last": self.drop_last,
            "bit_generator": type(self.rng.bit_generator).__name__,
        }


def _length(arrays: np.ndarray | tuple[np.ndarray, ...]) -> int:
    """The number of rows that all arrays have."""
    columns = arrays if isinstance(arrays, tuple) else (arrays,)
    if not columns or not all(isinstance(column, np.ndarray) and column.ndim for column in columns):
        kinds = ", ".join(type(column).__name__ for column in columns)
        raise TypeError(
            "batches are made of an array with rows, or of a tuple of such arrays, "
            f"not of ({kinds})"
        )
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"the arrays have different numbers of rows: {', '.join(map(str, lengths))}"
        )
    return lengths[0]
