"""What a kernel is: an operation of our own with its reference, its fast forward and its hand-derived backward."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from time import perf_counter
from typing import Any

from .. import errors, watch
from ..contributions import place_for
from ..mode import MODE, UNUSUAL
from ..signature import picker
from ..tensor import Node, Tensor, at_place, attach, walk, wrap

MISSING = inspect.Parameter.empty


class Kernel:
    """An operation that stands in one place, in this order: reference, forward, backward.

        @kernel
        def square(x):                         # the reference: the definition, plain NumPy on anything
            return x * x

        @square.forward
        def _(x):                              # the fast value, and what backward needs besides
            return x * x, 2 * x

        @square.backward
        def _(g, saved):                       # one gradient for each array argument, in order
            return g * saved

    Positional parameters of the reference are arrays (or None), keyword-only ones are options. Backward names what it
    uses: `g`, `y` (the value), `saved` (the second value of forward), `needs` (a bool per array argument: gradients
    that nobody asked for may be left None), `out` (per array argument an array of its shape and dtype that the gradient may
    be written into, or None), arguments, options. Forward may name `needs` as well. When a graph of the
    backward pass is asked for (second derivatives), the engine differentiates the reference instead.
    """

    def __init__(self, reference: Callable[..., Any]) -> None:
        self.reference = self.function = reference
        parameters = inspect.signature(reference).parameters.values()
        self.parameters = {p.name: p.default for p in parameters}
        self.arrays = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        self.saves = ("y", "saved", *self.parameters)
        self._places = {name: i for i, name in enumerate(self.parameters)}
        self._defaults = tuple(self.parameters.values())
        self._fewest = 1 + max(
            [i for i, value in enumerate(self._defaults) if value is MISSING], default=-1
        )
        functools.update_wrapper(self, reference)

    def forward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self._forward = function
        places = (*self.parameters, "needs")
        self._forward_picks = picker(
            [places.index(name) for name in inspect.signature(function).parameters]
        )
        return function

    def backward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self._backward = function
        self._uses = tuple(inspect.signature(function).parameters)
        places = ("g", "needs", "out", *self.saves)
        self._backward_picks = picker([places.index(name) for name in self._uses])
        self._watched = [(i + 2, i) for i, name in enumerate(self.arrays) if name in self._uses]
        return function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        count = len(args)
        inputs = [*args, *self._defaults[count:]]
        usual = self._fewest <= count <= len(self.arrays)
        for name, value in kwargs.items() if usual else ():
            place = self._places.get(name, -1)
            usual = usual and place >= count
            inputs[place] = value
        if not usual:
            inputs = self._bind(args, kwargs)
        recording, tensors = not UNUSUAL or MODE.recording, False
        nodes, needs, start = [], [], perf_counter()
        for i in range(len(self.arrays)):
            value, node = inputs[i], None
            if type(value) is Tensor:
                inputs[i], tensors = value._data, True
                node = value._node if recording else None
            nodes.append(node)
            needs.append(node is not None)
        try:
            value, saved = self._forward(*self._forward_picks((*inputs, needs)))
        except Exception as error:
            raise errors.explain(error, self.reference, zip(inputs, nodes)) from None  # noqa: B905
        if UNUSUAL:
            watch.forward(self.reference, value, inputs, start)
        if True in needs:
            return attach(self, value, nodes, (value, saved, *inputs), self._watched)
        return wrap(value) if tensors else value

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """The values of all parameters, in order."""
        given = dict(zip(self.arrays, args, strict=False)) | kwargs
        inputs = [given.get(name, default) for name, default in self.parameters.items()]
        known = len(given) == len(args) + len(kwargs) and given.keys() <= self.parameters.keys()
        if not known or any(value is MISSING for value in inputs):
            inspect.signature(self.reference).bind(*args, **kwargs)  # raises Python's own error
        return inputs

    def pull(
        self, node: Node, gradient: Any, wanted: Collection[Node] | None, graph: bool
    ) -> list[tuple[Node, Any]]:
        """What this node contributes to the gradients of its parents."""
        parents = node.parents
        if graph:
            return self._pull_reference(node, gradient, wanted)
        needs = [parent is not None and (wanted is None or parent in wanted) for parent in parents]
        out = (
            [place_for(p) if n else None for n, p in zip(needs, parents, strict=True)]
            if "out" in self._uses
            else ()
        )
        gradients = self._backward(*self._backward_picks((gradient, needs, out, *node.values)))
        gradients = gradients if type(gradients) is tuple else (gradients,)
        given = []
        for i, needed in enumerate(needs):
            if needed:
                if i >= len(gradients) or gradients[i] is None:
                    raise self._no_gradient(self.arrays[i])
                given.append((parents[i], gradients[i]))
        return given

    def _no_gradient(self, name: str) -> NotImplementedError:
        return NotImplementedError(
            f"{errors.name_of(self.function)} has no gradient with respect to {name!r}"
        )

    def _pull_reference(
        self, node: Node, gradient: Any, wanted: Collection[Node] | None
    ) -> list[tuple[Node, Any]]:
        """The same by differentiating the reference, which records itself."""
        _, _, *inputs = node.values
        options = dict(zip(self.parameters, inputs, strict=True))
        arrays = [
            at_place(options.pop(name), parent)
            for name, parent in zip(self.arrays, node.parents, strict=True)
        ]
        value = self.reference(*arrays, **options)
        targets = [parent for parent in node.inputs() if wanted is None or parent in wanted]
        pairs = zip(value, gradient, strict=True) if type(value) is tuple else [(value, gradient)]
        return list(walk([(v._node, g) for v, g in pairs], targets, graph=True).items())


def kernel(reference: Callable[..., Any]) -> Kernel:
    """Make an operation of one's own from its reference; `forward` and `backward` follow as decorators (see `Kernel`)."""
    return Kernel(reference)
