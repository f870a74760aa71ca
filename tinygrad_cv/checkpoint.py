"""Checkpointing: intermediate results are not kept for the way back, but computed again.

The second time everything is as it was the first time: tensors that the function takes from outside
have the arrays that they had, generators draw the same numbers, and running statistics do not move
again. If the value nevertheless differs, the function depends on something that is not seen, and
that is an error.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from types import CellType
from typing import Any

import numpy as np

from .engine import errors
from .engine.modes import is_recording, switched
from .engine.observers import Observer, Scope, observed
from .engine.ownership import constant
from .engine.pytrees import leaves, map_leaves
from .machine import DIGEST_CHUNK, DIGEST_COPY, TILE
from .tensor import (
    Node,
    Place,
    Tensor,
    backpropagate,
    place_of,
    pushforward,
    unwrap,
    wrap,
)
from .transforms import variable
from .typing import Function, PyTree

# How much a value may differ when it is computed again, because products round differently.
TOLERANCE = 100  # units in the last place
MAX_TOLERANCE = 0.01  # relative; fewer units of float16, whose products do not use BLAS

# The weights of a digest. The multiples of the golden ratio, modulo 1, are far from each other.
GOLDEN_RATIO = (1 + 5**0.5) / 2
WEIGHTS = 1 + np.arange(DIGEST_CHUNK) * GOLDEN_RATIO % 1


def checkpoint(f: Function) -> Function:
    """f, with its intermediate results not kept but computed again on the way back (Chen et al.
    2016).

    Arguments and values are pytrees. Tensors that f takes from outside (a module's parameters) get
    their gradients, too. Generators are seen if they are arguments, stand on a module that is
    called, or in the closure of f: then dropout draws the same mask again.
    """

    @functools.wraps(f)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        given = (args, kwargs)
        return Checkpointed(f, given).run(given) if is_recording() else f(*args, **kwargs)

    return checkpointed


class Checkpointed:
    """The operation of one checkpointed call. It records itself."""

    selects = elementwise = affine = gives_new_arrays = guarded = False

    def __init__(self, f: Function, given: PyTree) -> None:
        self.function = f
        self.surroundings = Surroundings(f, given)
        self.digests: list[np.ndarray] = []

    def run(self, given: PyTree) -> Any:
        """The value of the function of (args, kwargs). Nothing but these is kept for the way
        back."""
        start = present()
        inputs = map_leaves(renewed, given)
        with observed(self.surroundings):
            args, kwargs = inputs
            value = self.function(*args, **kwargs)
        tensors = recorded_since(start, value)
        if not tensors:
            return value
        own = renewed_places(inputs, given)
        values = [t._node for t in tensors]
        outside = places_from_outside(values, own, start)
        self.surroundings.hold(outside)
        self.digests = [digest(unwrap(t)) for t in tensors]
        node = Node(
            self,  # type: ignore[arg-type]  # it is not recorded by `record`
            {"arguments": list(own.values()), "outside": outside},
            {"given": map_leaves(kept_leaf, given)},
            [t.shape for t in tensors],
            [t.dtype for t in tensors],
            errors.calling_line(),
        )
        arrays = tuple(map(unwrap, tensors))
        outputs = iter(wrap(arrays, node))

        def output(leaf: Any) -> Any:
            return next(outputs) if is_younger(leaf, start) else leaf

        return map_leaves(output, value)

    def pull(
        self, node: Node, gradient: Any, wanted: Collection[str], graph: bool
    ) -> dict[str, Any]:
        """Compute the value again, recorded this time, and go back through it."""
        values, own, outside = self.run_again(node)
        roots = list(zip(values, gradient, strict=True))
        gradients = backpropagate(roots, [*own, *outside], graph)
        return {
            "arguments": [gradients.get(place) for place in own],
            "outside": [gradients.get(place) for place in outside],
        }

    def push(self, node: Node, tangents: Mapping[str, Any], graph: bool) -> Any:
        """Compute the value again, recorded this time, and go forward through it."""
        values, own, outside = self.run_again(node)
        seeds: dict[Place, Any] = {}
        for name, places in ("arguments", own), ("outside", outside):
            given = tangents.get(name) or [None] * len(places)
            pairs = zip(places, given, strict=True)
            seeds |= {place: tangent for place, tangent in pairs if tangent is not None}
        found = pushforward(seeds, values, graph)
        return [found.get(place) for place in values]

    def run_again(self, node: Node) -> tuple[list[Place], list[Place], list[Place]]:
        """The places of the values, of the function's own arguments and of those from outside."""
        given = node.values(graph=False)["given"]
        start = present()
        inputs = map_leaves(renewed, given)
        with switched("recording", True), self.surroundings.restored():
            args, kwargs = inputs
            value = self.function(*args, **kwargs)
        tensors = recorded_since(start, value)
        self.check_same(tensors, node)
        own = list(renewed_places(inputs, given))
        return [t._node for t in tensors], own, node.parents["outside"]

    def check_same(self, tensors: list[Tensor], node: Node) -> None:
        """Raise RuntimeError if the value is another than the first time."""
        shapes = [t.shape for t in tensors]
        dtypes = [t.dtype for t in tensors]
        same = shapes == node.shape and dtypes == node.dtype
        if same:
            pairs = zip(tensors, self.digests, strict=True)
            same = all(agrees(unwrap(tensor), before) for tensor, before in pairs)
        if not same:
            raise RuntimeError(
                f"the checkpointed function {node} gave another value when it was computed again. "
                "It depends on something that changed in between, or on a generator that "
                "checkpoint does not see; give that as an argument"
            )


class Surroundings(Observer):
    """What a function depends on besides its arguments, as it was before the function ran."""

    def __init__(self, f: Function, given: PyTree) -> None:
        self.generators: dict[int, tuple[np.random.Generator, Any]] = {}  # with their states
        self.buffers: dict[int, np.ndarray] = {}
        self.held: list[tuple[Tensor, np.ndarray]] = []
        for value in [*leaves(given), *captured_by(f)]:
            self.note(value)

    def enter(self, scope: Scope) -> None:
        """Note what stands on a module that is called, before it changes that."""
        if scope.kind == "module":
            for value in attributes_of(scope.subject):
                self.note(value)

    def note(self, value: Any) -> None:
        """Remember a generator's state, and the arrays that a module may move."""
        if isinstance(value, np.random.Generator):
            state = value.bit_generator.state
            self.generators.setdefault(id(value), (value, state))
        elif isinstance(value, np.ndarray):
            self.buffers[id(value)] = value

    def hold(self, places: list[Place]) -> None:
        """Hold the arrays of the leaves that the function takes from outside."""
        for place in places:
            if not isinstance(place, Node) or place.tensor is None:
                continue
            tensor = place.tensor()
            if tensor is not None and tensor.is_leaf:
                self.held.append((tensor, unwrap(tensor)))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Inside this context all is as it was; afterwards as it is now."""
        states = [(g, g.bit_generator.state) for g, _ in self.generators.values()]
        buffers = [(b, b.copy()) for b in self.buffers.values() if b.flags.writeable]
        tensors = [(t, t._array, t._writer) for t, _ in self.held]
        for generator, state in self.generators.values():
            generator.bit_generator.state = state
        for tensor, array in self.held:
            tensor._array, tensor._writer = array, None
        try:
            yield
        finally:
            for tensor, array, writer in tensors:
                tensor._array, tensor._writer = array, writer
            for buffer, before in buffers:
                buffer[...] = before
            for generator, state in states:
                generator.bit_generator.state = state


def captured_by(f: Function) -> Iterator[Any]:
    """What a function carries with it: its closure, defaults, `self`, and those of a partial."""
    if isinstance(f, functools.partial):
        yield from leaves([f.args, f.keywords])
        yield from captured_by(f.func)
        return
    cells = getattr(f, "__closure__", None)
    for cell in cells or ():
        yield from leaves(contents_of(cell))
    defaults = getattr(f, "__defaults__", None)
    yield from leaves(defaults)
    yield from attributes_of(getattr(f, "__self__", None))


def contents_of(cell: CellType) -> list[Any]:
    """What a cell of a closure holds: one value, or none as long as its name is not set."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


def attributes_of(subject: object) -> Iterator[Any]:
    """The values of an object's attributes, of those in slots too."""
    yield from getattr(subject, "__dict__", {}).values()
    for kind in type(subject).__mro__:
        for name, member in vars(kind).items():
            if inspect.ismemberdescriptor(member) and hasattr(subject, name):
                yield getattr(subject, name)


def present() -> int:
    """An order between those of the operations so far and those of the operations to come."""
    return Node(None, {}, {}, (), None).order


def is_recorded(leaf: Any) -> bool:
    """Whether this is a tensor with a place in the graph."""
    return type(leaf) is Tensor and place_of(leaf) is not None


def is_younger(leaf: Any, start: int) -> bool:
    """Whether this is a tensor whose place in the graph was made after `start`."""
    return is_recorded(leaf) and place_of(leaf).node.order > start


def recorded_since(start: int, value: PyTree) -> list[Tensor]:
    """The tensors in a value that were computed after `start`. The others come from outside."""
    return [leaf for leaf in leaves(value) if is_younger(leaf, start)]


def renewed(leaf: Any) -> Any:
    """A tensor that requires a gradient as a new variable, so that the graph behind it is left
    alone."""
    return variable(leaf) if is_recorded(leaf) else leaf


def renewed_places(inputs: PyTree, given: PyTree) -> dict[Place, Place]:
    """The places of the renewed tensors, with those of the tensors that were given."""
    return {
        new._node: old._node
        for new, old in zip(leaves(inputs), leaves(given), strict=True)
        if is_recorded(old)
    }


def kept_leaf(leaf: Any) -> Any:
    """What is kept of an argument: nobody else can write to it."""
    if type(leaf) is Tensor:
        return wrap(unwrap(leaf), place_of(leaf))
    return constant(leaf)


def places_from_outside(values: list[Place], own: Collection[Place], start: int) -> list[Place]:
    """The places older than `start`, but for the function's own arguments, that its operations
    used."""
    seen = {*values, *own}
    stack = [place for place in values if place not in own]
    outside: list[Place] = []
    while stack:
        for place in stack.pop().node.places():
            if place in seen:
                continue
            seen.add(place)
            found = outside if place.node.order < start else stack
            found.append(place)
    return outside


def digest(array: np.ndarray) -> np.ndarray:
    """A value in short: a copy if it is small, otherwise a weighted sum of each chunk.

    No weight is 0, and no two weights of a chunk are equal: the change of one element changes a
    sum, and so does another order.
    """
    return array.copy() if array.size <= DIGEST_COPY else sums_and_norms(array)[0]


def agrees(array: np.ndarray, before: np.ndarray) -> bool:
    """Whether an array has this digest, but for rounding.

    The tolerance is relative to the magnitude of an element (at least the root mean square of the
    small array), or to the norm of its chunk: the rounding errors of a chunk are independent.
    """
    now, scales = array, np.empty(0)
    if array.size > DIGEST_COPY:
        now, scales = sums_and_norms(array)
    elif array.size:
        finite = np.where(np.isfinite(array), array, 0)
        magnitudes = np.abs(finite.astype(float))
        mean_square = np.mean(magnitudes**2)
        scales = np.maximum(magnitudes, np.sqrt(mean_square))
    eps = float(np.finfo(array.dtype).eps)
    tolerance = min(TOLERANCE * eps, MAX_TOLERANCE)
    return np.allclose(
        now,
        before,
        rtol=0,
        atol=tolerance * scales.reshape(now.shape),
        equal_nan=True,
    )


def sums_and_norms(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weighted sums and the norms of an array's chunks."""
    flat = array.reshape(-1)
    tiles = [flat[first : first + TILE] for first in range(0, flat.size, TILE)]
    sums, norms = zip(*map(sums_and_norms_of_tile, tiles), strict=True)
    return np.concatenate(sums), np.concatenate(norms)


def sums_and_norms_of_tile(tile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of one tile, which stays in the cache, in float64.

    An element that is not finite is replaced by a number that is not small in its chunk, so that
    it is seen and does not hide the others.
    """
    padding = -tile.size % DIGEST_CHUNK
    rows = np.pad(tile.astype(float), (0, padding))
    rows = rows.reshape(-1, DIGEST_CHUNK)
    finite = np.isfinite(rows)
    if finite.all():
        return rows @ WEIGHTS, norms_of(rows)
    numbers = np.where(finite, rows, 0)
    norms = norms_of(numbers)
    others = np.where(finite, 0, rows)
    signs = np.nan_to_num(others, nan=3, posinf=1, neginf=-1)
    sizes = 1 + norms[:, None]
    return (numbers + signs * sizes) @ WEIGHTS, norms


def norms_of(rows: np.ndarray) -> np.ndarray:
    """The Euclidean norm of each row."""
    squares: np.ndarray = np.einsum("ij,ij->i", rows, rows)
    norms: np.ndarray = np.sqrt(squares)
    return norms
