"""A long sequence cut into streams that are read side by side.

They are made for truncated back-propagation through time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, TypedDict

import numpy as np

from ..schema import Natural, check
from ..typing import PyTree
from .state import generator_at, jsonable


class StreamsState(TypedDict):
    """What `streams.state()` is made of."""

    per_epoch: Natural
    epoch: Natural
    position: Natural
    offset: Natural
    rng: dict[str, object]


class streams:  # named as a function, like batches
    """An endless iterator over chunks of `size` streams, side by side, of a sequence (L,).

    It yields (inputs, targets, fresh): inputs and targets, int64 (T, N), the inputs one position
    later, where T is `length` and N is `size`. Each chunk goes on where the last one stopped, so a
    state may be carried from one to the next; `fresh` is True when it may not, because an epoch
    begins. Each epoch begins at another position of the sequence, drawn from `rng`.

    `state()` and `restore(state)` are those of `batches`. Raises ValueError for a sequence that is
    too short for a chunk.
    """

    def __init__(
        self,
        sequence: np.ndarray,
        size: int,
        length: int,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.sequence = sequence
        self.size = size
        self.length = length
        self.rng = rng
        usable = len(sequence) - 1 - length  # the start may move by `length`
        self.per_epoch = usable // size // length
        if self.per_epoch < 1:
            raise ValueError(
                f"a sequence of {len(sequence)} is too short for {size} streams "
                f"in chunks of {length}"
            )
        self.epoch = 0
        self.position = self.per_epoch
        self.offset = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray, bool]:
        fresh = self.position == self.per_epoch
        if fresh:
            self.epoch += 1
            self.position = 0
            self.offset = int(self.rng.integers(self.length + 1))
        stream_length = self.per_epoch * self.length
        starts = self.offset + stream_length * np.arange(self.size) + self.position * self.length
        chunk = starts + np.arange(self.length)[:, None]  # (T, N)
        self.position += 1
        inputs, targets = self.sequence[chunk], self.sequence[chunk + 1]
        return inputs.astype(np.int64), targets.astype(np.int64), fresh

    def state(self) -> dict[str, PyTree]:
        """Where the iteration stands: plain numbers and strings, for `restore`."""
        return jsonable(
            {
                "per_epoch": self.per_epoch,
                "epoch": self.epoch,
                "position": self.position,
                "offset": self.offset,
                "rng": self.rng.bit_generator.state,
            }
        )

    def restore(self, state: Mapping[str, PyTree]) -> None:
        """Go on from a state, and set `rng` to what it was then.

        Raises ValueError if other streams left that state, or if it is damaged.
        """
        check(state, StreamsState, "the streams' state")
        if state["per_epoch"] != self.per_epoch:
            raise ValueError(
                f"this state is of other streams: it has {state['per_epoch']} chunks an epoch, "
                f"not {self.per_epoch}"
            )
        position = state["position"]
        offset = state["offset"]
        if position > self.per_epoch or offset > self.length:
            raise ValueError(
                f"this state is damaged: chunk {position} of {self.per_epoch}, "
                f"beginning at {offset} of at most {self.length}"
            )
        after = generator_at(state["rng"], self.rng, "the streams' rng")
        self.epoch = state["epoch"]
        self.position = position
        self.offset = offset
        self.rng.bit_generator.state = after.bit_generator.state
