"""Checkpointing: intermediate results are not kept for the way back, but computed again.

The second time everything is as it was the first time: tensors that the function takes from outside
have the arrays that they had, generators draw the same numbers, and running statistics do not move
again. If the value nevertheless differs, the function depends on something that is not seen, and
that is an error.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .engine import errors
from .engine.modes import is_recording, switched
from .engine.observers import Observer, Scope, observed
from .engine.ownership import constant
from .engine.pytrees import leaves, map_leaves, rebuild
from .tensor import Node, Place, Tensor, backpropagate, place_of, unwrap, wrap
from .transforms import variable
from .typing import Function, PyTree

TOLERANCE = 100  # units in the last place of the sum of a value, if products round differently


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

    selects = elementwise = linear = gives_new_arrays = guarded = False

    def __init__(self, f: Function, given: PyTree) -> None:
        self.function = f
        self.surroundings = Surroundings(f, given)
        self.digests: list[tuple[float, float]] = []

    def run(self, given: PyTree) -> Any:
        """The value of the function of (args, kwargs). Nothing but these is kept for the way
        back."""
        start = Node(None, {}, {}, (), None).order
        inputs = map_leaves(renewed, given)
        with observed(self.surroundings):
            args, kwargs = inputs
            value = self.function(*args, **kwargs)
        tensors = [leaf for leaf in leaves(value) if is_recorded(leaf)]
        if not tensors:
            return value
        pairs = zip(leaves(inputs), leaves(given), strict=True)
        own = {new._node: old._node for new, old in pairs if is_recorded(old)}
        outside = places_from_outside([t._node for t in tensors], own, start)
        self.surroundings.hold(outside)
        self.digests = [digest(t) for t in tensors]
        node = Node(
            self,  # type: ignore[arg-type]  # it is not recorded by `record`
            {"arguments": list(own.values()), "outside": outside},
            {"given": map_leaves(kept_leaf, given)},
            [t.shape for t in tensors],
            [t.dtype for t in tensors],
            errors.calling_line(),
        )
        new = iter(wrap(tuple(unwrap(t) for t in tensors), node))
        return rebuild(value, [next(new) if is_recorded(leaf) else leaf for leaf in leaves(value)])

    def pull(
        self, node: Node, gradient: Any, wanted: Collection[str], graph: bool
    ) -> dict[str, Any]:
        """Compute the value again, recorded this time, and go back through it."""
        saved, parents = node.values(graph=False), node.parents
        inputs = map_leaves(renewed, saved["given"])
        with switched("recording", True), self.surroundings.restored():
            args, kwargs = inputs
            value = self.function(*args, **kwargs)
        tensors = [leaf for leaf in leaves(value) if is_recorded(leaf)]
        self.check_same(tensors, node)
        pairs = zip(leaves(inputs), leaves(saved["given"]), strict=True)
        own = [new._node for new, old in pairs if is_recorded(old)]
        roots = [(t._node, g) for t, g in zip(tensors, gradient, strict=True)]
        found = backpropagate(roots, [*own, *parents["outside"]], graph)
        return {
            "arguments": [found.get(place) for place in own],
            "outside": [found.get(place) for place in parents["outside"]],
        }

    def check_same(self, tensors: list[Tensor], node: Node) -> None:
        """Raise RuntimeError if the value is another than the first time."""
        again = [digest(t) for t in tensors]
        same = len(again) == len(self.digests) and all(
            np.allclose(
                new, old, rtol=0, atol=TOLERANCE * np.finfo(t.dtype).eps * old[1], equal_nan=True
            )
            for new, old, t in zip(again, self.digests, tensors, strict=True)
        )
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
            for value in vars(scope.subject).values():
                self.note(value)

    def note(self, value: Any) -> None:
        """Remember a generator's state, and the arrays that a module may move."""
        if isinstance(value, np.random.Generator):
            self.generators.setdefault(id(value), (value, value.bit_generator.state))
        elif isinstance(value, np.ndarray):
            self.buffers[id(value)] = value

    def hold(self, places: list[Place]) -> None:
        """Hold the arrays of the leaves that the function takes from outside."""
        for place in places:
            tensor = place.node.tensor() if isinstance(place, Node) and place.tensor else None
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
    for cell in getattr(f, "__closure__", None) or ():
        yield from leaves([cell.cell_contents])
    yield from leaves(list(getattr(f, "__defaults__", None) or ()))
    yield from vars(getattr(f, "__self__", None)).values() if hasattr(f, "__self__") else ()


def is_recorded(leaf: Any) -> bool:
    """Whether this is a tensor with a place in the graph."""
    return type(leaf) is Tensor and place_of(leaf) is not None


def renewed(leaf: Any) -> Any:
    """A tensor that requires a gradient as a new variable, so that the graph behind it is left
    alone."""
    return variable(leaf) if is_recorded(leaf) else leaf


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
            if place not in seen:
                seen.add(place)
                (outside if place.node.order < start else stack).append(place)
    return outside


def digest(tensor: Tensor) -> tuple[float, float]:
    """The sum of a value's elements, and of their magnitudes."""
    array = unwrap(tensor)
    return float(np.sum(array, dtype=float)), float(np.sum(np.abs(array), dtype=float))
