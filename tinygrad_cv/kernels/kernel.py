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
        self._required = sum(value is inspect.Parameter.empty for value in self.arrays.values())
        self._required_options = inspect.Parameter.empty in self.options.values()
        functools.update_wrapper(self, reference)

    def forward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self._forward = function
        self._forward_needs = "needs" in inspect.signature(function).parameters
        return function

    def backward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self._backward = function
        self._uses = tuple(inspect.signature(function).parameters)
        self._used_arrays = tuple(name for name in self._uses if name in self.arrays)
        return function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values, options = self._bind(args, kwargs)
        arrays: dict[str, Any] = {}
        parents: dict[str, Node] = {}
        tensors = False
        for name, value in values.items():
            if type(value) is Tensor:
                arrays[name], tensors = value._data, True
                if value._node is not None:
                    parents[name] = value._node
            else:
                arrays[name] = value
        mode = MODE
        if not mode.recording:
            parents = {}
        try:
            if self._forward_needs:
                value, saved = self._forward(*arrays.values(), **options, needs=[name in parents for name in arrays])
            else:
                value, saved = self._forward(*arrays.values(), **options)
        except Exception as error:
            operands = [(arrays[name], node_of(value)) for name, value in values.items()]
            raise errors.explain(error, self.reference, operands) from None
        if mode.anomaly:
            errors.check_finite(self.reference, [value], list(arrays.values()), errors.calling_line())
        if parents:
            arrays["y"], arrays["saved"], arrays["options"] = value, saved, options
            return attach(self, value, parents, arrays, self._used_arrays)
        return wrap(value) if tensors else value

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        values = self.arrays | dict(zip(self.arrays, args, strict=False))
        if len(args) <= len(self.arrays) and not kwargs and len(args) >= self._required and not self._required_options:
            return values, self.options
        options = dict(self.options)
        for name, value in kwargs.items():
            (values if name in values else options)[name] = value
        missing = [name for name, value in (values | options).items() if value is inspect.Parameter.empty]
        if len(args) > len(self.arrays) or missing or len(options) > len(self.options):
            inspect.signature(self.reference).bind(*args, **kwargs)  # raises Python's own error
        return values, options

    def pull(self, node: Node, gradient: Any, wanted: Collection[Node] | None, graph: bool) -> list[tuple[Node, Any]]:
        """What this node contributes to the gradients of its parents."""
        parents = node.parents
        assert parents is not None
        if graph:
            return self._pull_reference(node, gradient, wanted)
        if wanted is None:
            needs = [name in parents for name in self.arrays]
        else:
            needs = [parents.get(name) in wanted for name in self.arrays]
        values = node.saved | node.saved["options"]
        values["g"], values["needs"] = gradient, needs
        gradients = self._backward(*[values[name] for name in self._uses])
        gradients = gradients if type(gradients) is tuple else (gradients,)
        given = []
        for name, needed, contribution in zip(self.arrays, needs, gradients, strict=False):
            if needed:
                if contribution is None:
                    raise self._no_gradient(name)
                given.append((parents[name], contribution))
        if len(gradients) < len(needs) and any(needs[len(gradients) :]):
            raise self._no_gradient(list(self.arrays)[needs.index(True, len(gradients))])
        return given

    def _no_gradient(self, name: str) -> NotImplementedError:
        return NotImplementedError(f"{errors.name_of(self.function)} has no gradient with respect to {name!r}")

    def _pull_reference(self, node: Node, gradient: Any, wanted: Collection[Node] | None) -> list[tuple[Node, Any]]:
        """The same by differentiating the reference, which records itself."""
        assert node.parents is not None
        inputs = [at_place(node.saved[name], node.parents.get(name)) for name in self.arrays]
        value = self.reference(*inputs, **node.saved["options"])
        targets = [parent for parent in node.parents.values() if wanted is None or parent in wanted]
        pairs = zip(value, gradient, strict=True) if type(value) is tuple else [(value, gradient)]
        return list(walk([(v._node, g) for v, g in pairs], targets, graph=True).items())


def kernel(reference: Callable[..., Any]) -> Kernel:
    """Make an operation of one's own from its reference; `forward` and `backward` follow as decorators (see `Kernel`)."""
    return Kernel(reference)
