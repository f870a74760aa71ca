"""Shuffled batches that can be stopped anywhere and resumed to the same bits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar, cast

import numpy as np

Arrays = TypeVar("Arrays", np.ndarray, tuple[np.ndarray, ...])


class batches(Generic[Arrays]):  # named as a function, like range
    """An iterator over batches of `size` rows of an array, or of a tuple of arrays of one length, shuffled each epoch.

    By default every batch has `size` rows, and what is left over at the end of an epoch is dropped; `drop_last=False`
    yields it as a smaller batch. `epochs=None` never ends. `rng` gives the order and may serve other purposes too.

    `state()` is a JSON-able record of where the iteration stands, and of `rng`; `restore(state)` on batches of the same
    arrays goes on from there as if nothing had happened. `epoch` counts the epochs begun, `position` the batches
    yielded in this one, of `per_epoch`.
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
        self.size, self.rng, self.drop_last, self.epochs = size, rng, drop_last, epochs
        self.length = _length(arrays)
        if not isinstance(size, (int, np.integer)) or not 1 <= size <= self.length:
            known = f"size is a whole number from 1 to {self.length}"
            raise ValueError(f"cannot make batches of {size!r} from {self.length} rows; {known}")
        self.per_epoch = self.length // size if drop_last else -(-self.length // size)
        self.epoch, self.position = 0, self.per_epoch
        self._epoch_start: Mapping[str, Any] = rng.bit_generator.state
        self._order = np.empty(0, np.int64)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Arrays:
        if self.position == self.per_epoch:
            if self.epochs is not None and self.epoch >= self.epochs:
                raise StopIteration
            self._epoch_start = self.rng.bit_generator.state
            self._order = self.rng.permutation(self.length)
            self.epoch, self.position = self.epoch + 1, 0
        rows = self._order[self.position * self.size :][: self.size]
        self.position += 1
        single = isinstance(self.arrays, np.ndarray)
        return cast(
            Arrays, self.arrays[rows] if single else tuple(array[rows] for array in self.arrays)
        )

    def state(self) -> dict[str, Any]:
        """Where the iteration stands: plain numbers and strings, for `restore`."""
        state = {
            **self._shape(),
            "epoch": self.epoch,
            "position": self.position,
            "epoch_start": self._epoch_start,  # what rng was before it gave this epoch's order
            "rng": self.rng.bit_generator.state,
        }
        plain: dict[str, Any] = json.loads(json.dumps(state, default=lambda array: array.tolist()))
        return plain

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, and set `rng` to what it was then.

        Raises ValueError if other batches left that state, or if it is damaged.
        """
        other = {key: state.get(key) for key in self._shape()}
        if other != self._shape():
            raise ValueError(
                f"this state is of other batches: it has {other}, but here are {self._shape()}"
            )
        if not 0 <= state["position"] <= self.per_epoch:
            raise ValueError(
                f"this state is damaged: {state['position']} of {self.per_epoch} batches were yielded"
            )
        replay = np.random.Generator(type(self.rng.bit_generator)())
        replay.bit_generator.state = state["epoch_start"]
        self._order = replay.permutation(self.length)
        self._epoch_start = state["epoch_start"]
        self.epoch, self.position = state["epoch"], state["position"]
        self.rng.bit_generator.state = state["rng"]

    def _shape(self) -> dict[str, Any]:
        """What a state must share with the batches that it is restored to."""
        kind = type(self.rng.bit_generator).__name__
        return {
            "length": self.length,
            "size": self.size,
            "drop_last": self.drop_last,
            "bit_generator": kind,
        }


def _length(arrays: np.ndarray | tuple[np.ndarray, ...]) -> int:
    """The number of rows that all arrays have."""
    columns = arrays if isinstance(arrays, tuple) else (arrays,)
    if not columns or not all(isinstance(column, np.ndarray) and column.ndim for column in columns):
        kinds = ", ".join(type(column).__name__ for column in columns)
        raise TypeError(
            f"batches are made of an array with rows, or of a tuple of such arrays, not of ({kinds})"
        )
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"the arrays have different numbers of rows: {', '.join(map(str, lengths))}"
        )
    return lengths[0]
