"""Where parameters lie: end to end in one buffer, with their gradients and the optimiser's state beside them in others.

So a step of an optimiser is a few operations on long arrays, however many parameters there are. Each begins on a cache
line, where NumPy's loops and BLAS are faster; the gaps between them hold zeros.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from math import prod
from typing import Any

import numpy as np

from .memory import LINE, TILE, on_a_line
from .tensor import Tensor, unwrap

Allocate = Callable[[int], Any]  # bytes -> a writable buffer of so many zeros, or of a few more


def private_memory(size: int) -> np.ndarray:
    """Zeros of this process's own."""
    return np.zeros(size, np.uint8)


class Arena:
    """Parameters of one dtype in `values`; `gradients` and the arrays in `slots` have the same layout."""

    def __init__(self, parameters: list[Tensor], slots: Iterable[str], allocate: Allocate = private_memory) -> None:
        self.parameters, self.dtype = parameters, parameters[0].dtype
        line = LINE // self.dtype.itemsize  # elements
        self.starts = np.cumsum([0, *(-(-p.size // line) * line for p in parameters)]).tolist()
        self.size = self.starts.pop()
        self.values, self.gradients = self._flat(allocate), self._flat(allocate)
        self.slots = {slot: self._flat(allocate) for slot in slots}
        self.scratch = [np.empty(min(TILE, self.size), self.dtype) for _ in range(2)]
        self.steps = [0] * len(parameters)  # updates that each parameter has had
        self.views = [self.view(self.values, i) for i in range(len(parameters))]
        self.homes = [Home(self.part(self.gradients, i), p.shape) for i, p in enumerate(parameters)]

    def _flat(self, allocate: Allocate) -> np.ndarray:
        size = self.size * self.dtype.itemsize
        return on_a_line(np.frombuffer(allocate(size + LINE), np.uint8), size).view(self.dtype)

    def part(self, flat: np.ndarray, i: int) -> np.ndarray:
        """The stretch of a flat buffer that belongs to parameter i."""
        return flat[self.starts[i] : self.starts[i] + self.parameters[i].size]

    def view(self, flat: np.ndarray, i: int) -> np.ndarray:
        """The same in the parameter's shape."""
        return self.part(flat, i).reshape(self.parameters[i].shape)

    def adopt(self) -> None:
        """Take in parameters whose array is not (or no longer) a view of the buffer."""
        for parameter, view, home in zip(self.parameters, self.views, self.homes, strict=True):
            if parameter._data is not view:
                view[...] = parameter._data
                parameter.data = view
                parameter._home = home

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
                own = self.gradients[start:stop] if alone < 0 else unwrap(self.parameters[last]._grad).reshape(-1)
                yield start, stop, step + 1, own


class Home:
    """The place of one parameter's gradient in an arena.

    It is used again by the next backward pass, unless someone still holds the last gradient or a view of it: then what
    they hold stays as it is, and the new gradient lies elsewhere. A view of an array refers to the array that owns the
    memory; here that is `owner`, since the memoryview under it is no array, and its references tell who is there.
    """

    __slots__ = ("owner", "shape")
    VACANT = 2  # references to `owner`: ours, and that of the question itself

    def __init__(self, part: np.ndarray, shape: tuple[int, ...]) -> None:
        self.owner, self.shape = np.frombuffer(memoryview(part), part.dtype, prod(shape)), shape  # type: ignore[arg-type]

    def settle(self, gradient: np.ndarray) -> np.ndarray:
        """A copy of a gradient that no one else holds: here, if the place is vacant."""
        if sys.getrefcount(self.owner) > self.VACANT:
            return np.array(gradient)
        kept = self.owner.reshape(self.shape)
        kept[...] = gradient
        return kept

    def holds(self, gradient: Any) -> bool:
        """Whether a gradient lies here, whole."""
        return type(gradient) is np.ndarray and gradient.base is self.owner and gradient.shape == self.shape
