"""Parameters end to end in one flat buffer, with their gradients and state in buffers beside it.

A small model has dozens of small parameters, and most of the time of an update would go into
calling NumPy for each of them. In flat buffers a step is a few operations on long arrays. Each
parameter begins on a cache line, where NumPy's loops and BLAS are faster; the gaps hold zeros.

Ranks that share memory (`tinygrad_cv.parallel`) share values and state. Each has its own gradients.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

import numpy as np

from ..engine.ownership import are_read, own, writer_of
from ..machine import CACHE_LINE, TILE, at_cache_line
from ..parallel import team
from ..tensor import Tensor, unwrap

State: TypeAlias = dict[str, np.ndarray]  # by name
Scratch: TypeAlias = tuple[np.ndarray, np.ndarray]  # memory for intermediate values
Piece: TypeAlias = tuple[np.ndarray, State, Scratch]  # values p
Tile: TypeAlias = tuple[np.ndarray, np.ndarray, State, Scratch]  # values p, gradients g

NOT_ADOPTED = memoryview(b"")  # of a parameter that does not lie in `values`


class Run(NamedTuple):
    """What an update is given: parameters that are at the same step t = 1, 2, ..., in tiles.

    A tile is small enough to stay in the cache. Its gradients must not be changed. All arrays have
    the dtype, which is float32 for parameters of float16.
    """

    t: int
    dtype: np.dtype
    tiles: Iterator[Tile]


def wide(dtype: np.dtype) -> np.dtype:
    """The dtype of arithmetic and state: float32 for parameters of float16, else their own."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


class FlatParameters:
    """Parameters of one dtype in `values`; `gradients` and the arrays in `state` have its layout.

    The state of parameters of float16 is in float32: a mean of squares leaves float16 at gradients
    of 256, and vanishes at 1e-4.

    The gradient of a parameter that is larger than a tile is not copied into `gradients`, but read
    where it is, unless other ranks need it there.
    """

    def __init__(self, parameters: Sequence[Tensor], state_names: Iterable[str]) -> None:
        self.parameters = parameters
        self.dtype = parameters[0].dtype
        self.wide = wide(self.dtype)
        self.ranks = team()
        self.parts, self.size = self._layout()
        self.values = self._zeros()
        self.state = {name: self._zeros(self.wide) for name in state_names}
        self.exchange = self.ranks.exchange(self._zeros)
        self.gradients = self.exchange.own
        # Each parameter's own memory, once adopted.
        self.memories: list[memoryview | None] = [NOT_ADOPTED] * len(parameters)
        self.copies: list[tuple[np.ndarray, np.ndarray]] = []  # a writer, and its part of `values`
        self.averaged = False  # whether each `.grad` is the average over the ranks already
        self.steps = [0] * len(parameters)  # that each parameter has made
        self.value_views = self._views(self.values)
        self.gradient_views = self._views(self.gradients)
        # The index of a parameter whose gradient is read where it is; None for the others.
        one_rank = self.ranks.size == 1
        self.alone = [i if p.size > TILE and one_rank else None for i, p in enumerate(parameters)]
        self.tile_size = TILE
        self.scratch = np.empty((2, min(TILE, self.size)), self.wide)
        self.pieces: dict[tuple[int, int], Piece] = {}

    # ----------------------------------------------------------------------------------- the layout

    def _layout(self) -> tuple[list[slice], int]:
        """The part of the buffers that belongs to each parameter, and the size of the buffers."""
        line = CACHE_LINE // self.dtype.itemsize  # elements
        parts = []
        end = 0
        for parameter in self.parameters:
            parts.append(slice(end, end + parameter.size))
            lines = -(-parameter.size // line)
            end += lines * line
        return parts, end

    def _zeros(self, dtype: np.dtype | None = None) -> np.ndarray:
        """A flat buffer, by default in the dtype of the parameters."""
        dtype = dtype or self.dtype
        size = self.size * dtype.itemsize
        memory = self.ranks.allocate(size + CACHE_LINE)
        return at_cache_line(memory, size).view(dtype)

    def _views(self, flat: np.ndarray) -> list[np.ndarray]:
        """The parts of a flat buffer in the shapes of the parameters."""
        pairs = zip(self.parts, self.parameters, strict=True)
        return [flat[part].reshape(parameter.shape) for part, parameter in pairs]

    # ------------------------------------------------------------------------- values and gradients

    def adopt(self) -> None:
        """Make the arrays of all parameters views of `values` that nobody else looks at.

        Parameters may have gone on with another array, and a record, or whoever looks at a
        parameter, may need the values as they are. Then `values` is another buffer from now on.

        A parameter with another array that somebody may write to, through `p.data`, keeps it: its
        values are copied here, and `copy_back` writes them to that array after the update.
        """
        self.copies.clear()
        pairs = zip(self.parameters, self.memories, strict=True)
        here = [parameter for parameter, memory in pairs if parameter._memory is memory]
        needed = are_read(here)
        if len(here) == len(self.parameters) and not needed:
            return
        if needed and self.ranks.size > 1:
            raise RuntimeError(
                "a graph or an array, such as p.numpy(), still needs the values of a parameter "
                "that several ranks are about to update in place; let go of it, or copy it"
            )
        # Those that were adopted and are not here any more have gone on with another array.
        adopted = sum(memory is not NOT_ADOPTED for memory in self.memories)
        if self.ranks.size == 1 and (needed or adopted > len(here)):
            self._leave_values()
        for i, parameter in enumerate(self.parameters):
            if parameter._memory is not self.memories[i]:
                self._take_values(parameter, i)

    def _leave_values(self) -> None:
        """Go on with another buffer of values, which no parameter lies in yet."""
        self.values = self._zeros()
        self.value_views = self._views(self.values)
        self.memories = [NOT_ADOPTED] * len(self.memories)
        self.pieces.clear()

    def _take_values(self, parameter: Tensor, i: int) -> None:
        """Make a parameter's array a view of `values`; a copy, if somebody may write to it."""
        view = self.value_views[i]
        writer = writer_of(parameter)
        if writer is None:
            view[...] = parameter._array
            own(parameter, view)
            self.memories[i] = parameter._memory
            return
        if self.ranks.size > 1:
            raise RuntimeError(
                "somebody may write, through p.data, to the array of a parameter that is about to "
                "move to memory that several ranks share; let go of it"
            )
        view[...] = parameter._array
        self.copies.append((writer, view))

    def copy_back(self) -> None:
        """After an update, write to the arrays of the parameters that do not lie in `values`."""
        for writer, view in self.copies:
            memory = np.asarray(writer.base)  # the writer itself may have become read-only
            memory[...] = view
        self.copies.clear()

    def copy_gradients(self) -> None:
        """Copy the gradients into `gradients`, but for those that are read where they are."""
        views = zip(self.parameters, self.gradient_views, self.alone, strict=True)
        for parameter, view, alone in views:
            gradient = parameter._grad
            if gradient is not None and alone is None:
                view[...] = gradient if type(gradient) is np.ndarray else unwrap(gradient)

    def reduce_scatter(self) -> slice:
        """Average the gradients over the ranks, in the shard that this rank updates, and return it.

        Raises RuntimeError if there are ranks that there were not when the buffers were made.
        """
        self._check_ranks()
        self.adopt()  # before the ranks meet: after that the first of them updates what they share
        self.copy_gradients()
        if self.averaged:
            self.averaged = False
            self.ranks.barrier()  # nobody reads the weights any more that others now change
            return self.ranks.shard_slice(self.size)
        return self.ranks.reduce_scatter(self.exchange)

    def all_reduce(self) -> None:
        """Make each `.grad` the average over the ranks."""
        self._check_ranks()
        if self.ranks.size == 1:
            return
        self.reduce_scatter()
        self.ranks.all_gather(self.exchange)
        self.averaged = True
        for parameter, view in zip(self.parameters, self.gradient_views, strict=True):
            if parameter._grad is not None:
                parameter.grad = view.copy()

    def _check_ranks(self) -> None:
        if self.ranks is not team() and team().size > 1:
            raise RuntimeError(
                "this optimiser was made before its ranks were; "
                "make it inside `with parallel.workers(...)`"
            )

    # -------------------------------------------------------------------------------------- a step

    def runs(self, shard: slice) -> Iterator[Run]:
        """What a step of the shard updates. Advances `steps`.

        Neighbours that are at the same step come together, but a gradient that is read where it is
        comes alone.
        """
        pairs = zip(self.parameters, self.steps, strict=True)
        steps = [None if parameter._grad is None else step + 1 for parameter, step in pairs]
        start = 0
        for (step, alone), group in groupby(zip(steps, self.alone, strict=True)):
            stop = start + len(list(group))
            if step is not None:
                self.steps[start:stop] = [step] * (stop - start)
                run = slice(self.parts[start].start, self.parts[stop - 1].stop)
                gradient = self.gradients[run]
                if alone is not None:
                    gradient = unwrap(self.parameters[alone]._grad)
                    gradient = np.asarray(gradient, self.dtype).reshape(-1)
                yield Run(step, self.wide, self._tiles(run, shard, gradient))
            start = stop

    def _tiles(self, run: slice, shard: slice, gradient: np.ndarray) -> Iterator[Tile]:
        """The part of a run that lies in the shard. `gradient`: of the run."""
        end = min(run.stop, shard.stop)
        for low in range(max(run.start, shard.start), end, self.tile_size):
            high = min(low + self.tile_size, end)
            p, state, scratch = self._piece(low, high)
            g = gradient[low - run.start : high - run.start]
            if self.wide == self.dtype:
                yield p, g, state, scratch
                continue
            whole = p.astype(self.wide)
            yield whole, g.astype(self.wide), state, scratch
            p[...] = whole  # updated, and rounded once

    def _piece(self, low: int, high: int) -> Piece:
        """Views of the buffers from low to high, kept for the next steps."""
        piece = self.pieces.get((low, high))
        if piece is None:
            state = {name: flat[low:high] for name, flat in self.state.items()}
            a, b = self.scratch[:, : high - low]
            piece = self.values[low:high], state, (a, b)
            self.pieces[low, high] = piece
        return piece

    # ------------------------------------------------------------------------- a parameter's state

    def get_state(self, i: int) -> State:
        """Copies of a parameter's state by name, and its "step"."""
        shape = self.parameters[i].shape
        state = {"step": np.array(self.steps[i])}
        for name, flat in self.state.items():
            state[name] = flat[self.parts[i]].reshape(shape).copy()
        return state

    def set_state(self, i: int, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a state that `get_state` gave."""
        self.steps[i] = int(state["step"])
        for name, flat in self.state.items():
            flat[self.parts[i]] = state[name].reshape(-1)
