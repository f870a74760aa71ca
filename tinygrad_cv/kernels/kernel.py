"""What a kernel is: an operation of our own with its reference, its fast forward and its hand-derived backward."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any

from .. import errors
from ..mode import MODE
from ..tensor import Node, Tensor, at_place, attach, node_of, walk, wrap


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
    that nobody asked for may be left None), arguments, options. Forward may name `needs` as well. When a graph of the
    backward pass is asked for (second derivatives), the engine differentiates the reference instead.
    """

    def __init__(self, reference: Callable[..., Any]) -> None:
        self.reference = self.function = reference
        parameters = inspect.signature(reference).parameters.values()
        self.arrays = {p.name: p.default for p in parameters if p.kind is not p.KEYWORD_ONLY}
        self.options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.saves = ("y", "saved", "options", *self.arrays)
        self._absent = tuple(self.arrays.values())  # what stands for arguments that are not given
        self._required = sum(value is inspect.Parameter.empty for value in self._absent)
        self._optional = inspect.Parameter.empty not in self.options.values()
        functools.update_wrapper(self, reference)

    def forward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self._forward = function
        self._forward_needs = "needs" in inspect.signature(function).parameters
        return function

    def backward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self._backward = function
        self._uses = tuple(inspect.signature(function).parameters)
        available = ("g", "needs", *self.saves)
        self._picks = [(available.index(name) if name in available else None, name) for name in self._uses]
        self._watched = [(i, i + 3) for i, name in enumerate(self.arrays) if name in self._uses]
        return function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs or not self._optional or not self._required <= len(args) <= len(self._absent):
            values, options = self._bind(args, kwargs)
        else:
            values, options = args + self._absent[len(args) :], self.options
        arrays = [v._data if type(v) is Tensor else v for v in values]
        nodes = [v._node if type(v) is Tensor else None for v in values] if MODE.recording else [None] * len(values)
        needs = [node is not None for node in nodes]
        try:
            if self._forward_needs:
                value, saved = self._forward(*arrays, **options, needs=needs)
            else:
                value, saved = self._forward(*arrays, **options)
        except Exception as error:
            raise errors.explain(error, self.reference, zip(arrays, map(node_of, values), strict=True)) from None
        if MODE.anomaly:
            errors.check_finite(self.reference, [value], arrays, errors.calling_line())
        if True in needs:
            watched = [place for i, place in self._watched if errors.shared(arrays[i], nodes[i])]
            return attach(self, value, nodes, (value, saved, options, *arrays), watched)
        return wrap(value) if Tensor in map(type, values) else value

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        values, options = self.arrays | dict(zip(self.arrays, args, strict=False)), dict(self.options)
        for name, value in kwargs.items():
            (values if name in values else options)[name] = value
        missing = [name for name, value in (values | options).items() if value is inspect.Parameter.empty]
        if len(args) > len(self.arrays) or missing or len(options) > len(self.options):
            inspect.signature(self.reference).bind(*args, **kwargs)  # raises Python's own error
        return tuple(values.values()), options

    def pull(self, node: Node, gradient: Any, wanted: Collection[Node] | None, graph: bool) -> list[tuple[Node, Any]]:
        """What this node contributes to the gradients of its parents."""
        parents = node.parents
        assert parents is not None
        if graph:
            return self._pull_reference(node, gradient, wanted)
        needs = [parent is not None and (wanted is None or parent in wanted) for parent in parents]
        available, options = (gradient, needs, *node.values), node.values[2]
        gradients = self._backward(*[options[name] if i is None else available[i] for i, name in self._picks])
        gradients = gradients if type(gradients) is tuple else (gradients,)
        given = []
        for i, needed in enumerate(needs):
            if needed:
                if i >= len(gradients) or gradients[i] is None:
                    raise self._no_gradient(list(self.arrays)[i])
                given.append((parents[i], gradients[i]))
        return given

    def _no_gradient(self, name: str) -> NotImplementedError:
        return NotImplementedError(f"{errors.name_of(self.function)} has no gradient with respect to {name!r}")

    def _pull_reference(self, node: Node, gradient: Any, wanted: Collection[Node] | None) -> list[tuple[Node, Any]]:
        """The same by differentiating the reference, which records itself."""
        assert node.parents is not None
        _, _, options, *arrays = node.values
        value = self.reference(*map(at_place, arrays, node.parents), **options)
        targets = [parent for parent in node.inputs() if wanted is None or parent in wanted]
        pairs = zip(value, gradient, strict=True) if type(value) is tuple else [(value, gradient)]
        return list(walk([(v._node, g) for v, g in pairs], targets, graph=True).items())


def kernel(reference: Callable[..., Any]) -> Kernel:
    """Make an operation of one's own from its reference; `forward` and `backward` follow as decorators (see `Kernel`)."""
    return Kernel(reference)
