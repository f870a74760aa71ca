"""Where parameters lie: end to end in one buffer, with their gradients and the optimiser's state beside them in others.

So a step of an optimiser is a few operations on long arrays, however many parameters there are. Each begins on a cache
line, where NumPy's loops and BLAS are faster; the gaps between them hold zeros. Ranks that share a memory (`parallel`) share
all but the gradients, of which each has its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from math import prod
from typing import Any

import numpy as np

from .machine import CACHE_LINE, TILE, at_cache_line
from .parallel import team
from .engine.ownership import own
from .tensor import Tensor, unwrap


class Arena:
    """Parameters of one dtype in `values`; `gradients` and the arrays in `slots` have the same layout."""

    def __init__(self, parameters: list[Tensor], slots: Iterable[str]) -> None:
        self.parameters, self.dtype, self.ranks = parameters, parameters[0].dtype, team()
        line = CACHE_LINE // self.dtype.itemsize  # elements
        self.starts = np.cumsum([0, *(-(-p.size // line) * line for p in parameters)]).tolist()
        self.size = self.starts.pop()
        self.values, self.slots = self._flat(), {slot: self._flat() for slot in slots}
        self.exchange = self.ranks.exchange(self._flat)
        self.gradients, self.averaged = self.exchange.own, False  # over the ranks
        self.scratch = [np.empty(min(TILE, self.size), self.dtype) for _ in range(2)]
        self.steps = [0] * len(parameters)  # updates that each parameter has had
        self.views = [self.view(self.values, i) for i in range(len(parameters))]
        self.homes = [Home(self.part(self.gradients, i), p.shape) for i, p in enumerate(parameters)]

    def _flat(self) -> np.ndarray:
        size = self.size * self.dtype.itemsize
        return at_cache_line(self.ranks.allocate(size + CACHE_LINE), size).view(self.dtype)

    def part(self, flat: np.ndarray, i: int) -> np.ndarray:
        """The stretch of a flat buffer that belongs to parameter i."""
        return flat[self.starts[i] : self.starts[i] + self.parameters[i].size]

    def view(self, flat: np.ndarray, i: int) -> np.ndarray:
        """The same in the parameter's shape."""
        return self.part(flat, i).reshape(self.parameters[i].shape)

    def adopt(self) -> None:
        """Take in parameters whose array is not (or no longer) a view of the buffer."""
        for parameter, view, home in zip(self.parameters, self.views, self.homes, strict=True):
            if parameter._own is not view:
                view[...] = parameter._array
                own(parameter, view)
                parameter._buffer = home

    def average(self) -> slice:
        """Average the gradients over the ranks, in the stretch of the buffers that this rank is to update."""
        if self.ranks is not team() and team().size > 1:
            raise RuntimeError(
                "this optimiser was made before its ranks were; make it inside `with parallel.workers(...)`"
            )
        if self.averaged:
            self.averaged = False
            self.ranks.barrier()  # no one reads the weights any more that the others now change
            return self.ranks.stretch(self.size)
        self.adopt()  # before the ranks meet, after which the first of them updates what they share
        if self.ranks.size > 1:
            for i, (parameter, home) in enumerate(zip(self.parameters, self.homes, strict=True)):
                if parameter._grad is not None and not home.holds(parameter._grad):
                    self.view(self.gradients, i)[...] = unwrap(parameter._grad)
                    parameter.grad = home.owner.reshape(home.shape)
        return self.ranks.reduce(self.exchange)

    def collect(self) -> None:
        """After `average`: let every rank have all of the averaged gradients."""
        self.ranks.collect(self.exchange)
        self.averaged = True

    def tiles(self, mine: slice) -> Iterator[tuple[slice, int, np.ndarray]]:
        """(stretch, step, gradient) of the runs' parts in a stretch of the buffers, in pieces that stay in the cache."""
        for start, stop, step, gradient in self.runs():
            for low in range(max(start, mine.start), min(stop, mine.stop), TILE):
                high = min(low + TILE, stop, mine.stop)
                yield slice(low, high), step, gradient[low - start : high - start]

    def runs(self) -> Iterator[tuple[int, int, int, np.ndarray]]:
        """(start, stop, step, gradient) of neighbours that have a gradient, at home, and are at the same step.

        Gradients that lie elsewhere, because they were put there or because someone holds the last one, come alone.
        """

        def key(i: int) -> tuple[Any, ...]:
            gradient = self.parameters[i]._grad
            home = gradient is not None and self.homes[i].holds(gradient)
            return gradient is not None, self.steps[i], -1 if home else i

        for (present, step, alone), group in groupby(range(len(self.parameters)), key):
            if present:
                members = list(group)
                start, last = self.starts[members[0]], members[-1]
                stop = self.starts[last] + self.parameters[last].size
                for i in members:
                    self.steps[i] = step + 1
                own = (
                    self.gradients[start:stop]
                    if alone < 0
                    else unwrap(self.parameters[last]._grad).reshape(-1)
                )
                yield start, stop, step + 1, own


class Home:
    """The place of one parameter's gradient in an arena.

    It is used again by the next backward pass, unless someone still holds the last gradient or a view of it: then what
    they hold stays as it is, and the new gradient lies elsewhere (until ranks average it, for which it must be here). A view
    of an array refers to the array that owns the memory; here that is `owner`, since the memoryview under it is no array,
    and its references tell who is there.
    """

    __slots__ = ("claimed", "owner", "shape")
    VACANT = 2  # references to an array of which no one else knows: ours, and that of the question itself

    def __init__(self, part: np.ndarray, shape: tuple[int, ...]) -> None:
        self.owner, self.shape = np.frombuffer(memoryview(part), part.dtype, prod(shape)), shape  # type: ignore[arg-type]
        self.claimed: np.ndarray | None = None

    def reserve(self) -> np.ndarray | None:
        """The place, for a kernel to write the first part of a gradient into; None if it is not vacant."""
        if self.claimed is not None and sys.getrefcount(self.claimed) == self.VACANT:
            self.claimed = None  # of a walk that came to nothing
        if sys.getrefcount(self.owner) > self.VACANT:
            return None
        self.claimed = self.owner.reshape(self.shape)
        return self.claimed

    def store(self, gradient: np.ndarray) -> np.ndarray:
        """A gradient where no one else holds it: here, if it has been written here or the place is vacant."""
        if gradient is not self.claimed:
            place = self.reserve()
            if place is None:
                return np.array(gradient)
            place[...] = gradient
            gradient = place
        self.claimed = None
        return gradient

    def holds(self, gradient: Any) -> bool:
        """Whether a gradient lies here, whole."""
        return (
            type(gradient) is np.ndarray
            and gradient.base is self.owner
            and gradient.shape == self.shape
        )
