"""A long sequence cut into streams that are read side by side, for truncated back-propagation through time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

import numpy as np


class streams:  # named as a function, like batches
    """An endless iterator over (inputs (T, N), targets (T, N), fresh) of a sequence (L,): N stretches of it side by side.

    The next chunk of `length` goes on where the last one stopped, so a state may be carried from one to the next;
    `fresh` says that it may not, because an epoch begins. Each epoch begins at another place of the sequence, drawn from
    `rng`. Targets are the inputs one place later.

    `state()` and `restore(state)` are those of `batches`.
    """

    def __init__(
        self, sequence: np.ndarray, size: int, length: int, *, rng: np.random.Generator
    ) -> None:
        self.sequence, self.size, self.length, self.rng = sequence, size, length, rng
        self.per_epoch = (
            (len(sequence) - 1 - length) // size // length
        )  # the start may move by `length`
        if self.per_epoch < 1:
            raise ValueError(
                f"a sequence of {len(sequence)} is too short for {size} streams in chunks of {length}"
            )
        self.epoch, self.position, self.offset = 0, self.per_epoch, 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray, bool]:
        fresh = self.position == self.per_epoch
        if fresh:
            self.epoch, self.position, self.offset = (
                self.epoch + 1,
                0,
                int(self.rng.integers(self.length + 1)),
            )
        stretch = self.per_epoch * self.length
        starts = self.offset + stretch * np.arange(self.size) + self.position * self.length
        places = starts + np.arange(self.length)[:, None]  # (T, N)
        self.position += 1
        return self.sequence[places], self.sequence[places + 1], fresh

    def state(self) -> dict[str, Any]:
        """Where the iteration stands: plain numbers and strings, for `restore`."""
        here = {name: getattr(self, name) for name in ("per_epoch", "epoch", "position", "offset")}
        state = {**here, "rng": self.rng.bit_generator.state}
        plain: dict[str, Any] = json.loads(json.dumps(state, default=lambda array: array.tolist()))
        return plain

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, and set `rng` to what it was then. Raises ValueError if other streams left that state."""
        if state.get("per_epoch") != self.per_epoch:
            raise ValueError(
                f"this state is of other streams: it has {state.get('per_epoch')} chunks an epoch, not {self.per_epoch}"
            )
        self.epoch, self.position, self.offset = state["epoch"], state["position"], state["offset"]
        self.rng.bit_generator.state = state["rng"]
