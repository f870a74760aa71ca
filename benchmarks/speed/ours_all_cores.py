"""tinygrad_cv on all cores, as its user would write it: the same steps, each process with its share of every batch."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from tinygrad_cv import parallel

from . import ours
from .workloads import RecurrentSizes, sizes_of


class Contender(ours.Contender):
    """The first process answers; the others take the steps it announces, and end when it closes."""

    def __init__(self, name: str, weights: dict[str, np.ndarray]) -> None:
        self.stack = ExitStack()
        self.team = self.stack.enter_context(parallel.workers(parallel.cores()))
        super().__init__(name, weights)
        axis = 1 if isinstance(sizes_of(name), RecurrentSizes) else 0  # of the samples
        self.batches = [tuple(self.team.shard(array, axis) for array in batch) for batch in self.batches]
        self.coming, self.loss = np.zeros(1, np.int64), np.zeros(1)
        if self.team.rank:
            self.follow()

    def announce(self, count: int) -> None:
        self.coming[0] = count
        self.team.broadcast(self.coming)

    def follow(self) -> None:
        done = 0
        while True:
            self.team.broadcast(self.coming)
            if not self.coming[0]:
                self.stack.close()  # ends this process
            for i in range(done, done := done + int(self.coming[0])):
                self.step(i)

    def step(self, i: int) -> float:
        self.loss[0] = super().step(i)
        self.team.all_reduce(self.loss)
        return float(self.loss[0] / self.team.size)

    def close(self) -> None:
        self.announce(0)
        self.stack.close()
