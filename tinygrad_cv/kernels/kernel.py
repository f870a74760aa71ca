"""What a kernel is: an operation of our own with its reference, its fast forward and its
hand-derived backward."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..engine import errors
from ..engine.modes import switched
from ..engine.observers import scope
from ..engine.operands import PYTHON_NUMBERS, is_differentiable
from ..engine.ownership import guarded, read_only
from ..engine.signatures import Signature
from ..tensor import Node, added, at_place, backpropagate, described, each, pushforward, record
from ..typing import Function
from .precision import HALF, all_half, is_half, rounded, widened


class Kept(NamedTuple):
    """What a run of a kernel has kept for the way back."""

    wrt: tuple[str, ...]  # the arguments of floating-point numbers
    saved: dict[str, Any]


class Kernel:
    """An operation that stands in one place, in this order: reference, forward, backward.

        @kernel
        def square(x):               # the reference: the definition, plain NumPy on anything
            return x * x

        @square.forward
        def _(x):                    # the fast value, and what backward needs besides
            return x * x, 2 * x

        @square.backward
        def _(g, saved):             # one gradient for each array argument, in order
            return g * saved

    Positional parameters of the reference are arrays (or None), keyword-only ones are options.
    Backward names what it uses: `g`, `y` (the value), `saved` (the second value of forward),
    `needs` (a bool for each array argument: gradients that nobody asked for may be left None),
    arguments, options. Forward may name `needs` as well. When the way back is to be recorded
    (second derivatives), the engine differentiates the reference instead.

    Forward mode is hand-derived too:

        @square.jvp
        def _(x_dot, x):             # the tangent of the value, from the tangents of the arguments
            return 2 * x * x_dot

    It names what it uses: `x_dot` is the tangent of the argument x (None for zero), and the others
    are as in backward. An elementwise kernel needs none: its backward multiplies by the derivative,
    and so serves both directions. Tangents of arguments that it does not name go through the
    reference, as all do where there is no jvp.

    The kernels of this package compute in float32 what they are given in float16 (`precision`).
    """

    affine = False

    def __init__(
        self,
        reference: Function,
        selects: bool = False,
        elementwise: bool = False,
        inert: Collection[str] = (),
    ) -> None:
        self.function = reference
        self.selects = selects
        self.elementwise = elementwise
        self.inert = frozenset(inert)
        of_package = reference.__module__.startswith(str(__package__))
        self.gives_new_arrays = self.widens = of_package
        self.guarded = not of_package
        self.reference = self._wide_reference() if self.widens else reference
        self.signature = Signature(reference)
        self._jvp: Function | None = None
        self._pushes: frozenset[str] = frozenset()  # the arguments whose tangents it takes
        self.arrays = self.operands = self.signature.positional
        self._parameters = tuple(self.signature.defaults)
        self._defaults = self.signature.defaults
        self.options = self._parameters[len(self.arrays) :]
        self.differentiable = frozenset(self.arrays)
        self._known = frozenset(self._parameters)
        self._required = frozenset(self.signature.required)
        # Without a default: every call is looked at.
        options = self._required.difference(self.arrays)
        self._fewest = len(self._required) if not options else len(self._parameters) + 1
        self._most = len(self.arrays)
        self._optional = frozenset(self.options)
        functools.update_wrapper(self, reference)

    def forward(self, function: Function) -> Function:
        """Decorates the function that gives the fast value, and what backward needs besides."""
        self._forward = function
        self._forward_uses = tuple(inspect.signature(function).parameters)
        return function

    def backward(self, function: Function) -> Function:
        """Decorates the function that gives the gradients of the array arguments."""
        self._backward = function
        self._uses = tuple(inspect.signature(function).parameters)
        return function

    def jvp(self, function: Function) -> Function:
        """Decorates the function that gives the tangent of the value."""
        self._jvp = function
        self._jvp_uses = tuple(inspect.signature(function).parameters)
        self._pushes = frozenset(n for n in self.arrays if f"{n}_dot" in self._jvp_uses)
        return function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return record(self, args, kwargs)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters by name, defaults filled in. Raises TypeError as Python does."""
        count = len(args)
        bound = self._defaults.copy()
        bound.update(zip(self.arrays, args), **kwargs)  # noqa: B905 (on the hot path)
        if not (self._fewest <= count <= self._most and self._optional.issuperset(kwargs)):
            self._check(args, kwargs)
        return bound

    def _check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise TypeError, as Python does, for arguments that are missing, too many, unknown or
        given twice."""
        by_position = self.arrays[: len(args)]
        missing = self._required.difference(by_position, kwargs)
        twice = not kwargs.keys().isdisjoint(by_position)
        if missing or twice or len(args) > len(by_position) or not kwargs.keys() <= self._known:
            errors.check_names(self.reference, kwargs)
            inspect.signature(self.reference).bind(*args, **kwargs)

    def differentiated(self, bound: Mapping[str, Any], parents: dict[str, Any]) -> dict[str, Any]:
        """All parents that are array arguments. Raises if an option is a tensor that requires a
        gradient."""
        if not parents.keys() <= self.differentiable:
            stray = next(name for name in parents if name not in self.arrays)
            raise errors.no_derivative(self.function, stray)
        return parents

    def saves(self, parents: Mapping[str, Any]) -> Collection[str]:
        """All parameters: the reference may be asked for them."""
        return self._parameters

    def compute(
        self, arguments: Mapping[str, Any], parents: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """The value; and with it all that there is, for backward to choose from.

        Raises TypeError for complex numbers.
        """
        half = False
        for name in self.arrays:
            dtype = getattr(arguments[name], "dtype", None)
            if dtype is not None and dtype.kind == "c":
                raise errors.real_only(None, name, dtype)
            half = half or (dtype is not None and dtype.char == HALF)
        wide = half and self.widens
        values = {**arguments, "needs": [name in parents for name in self.arrays]}
        given = widened(values) if wide else values
        value, saved = self._forward(*[given[name] for name in self._forward_uses])
        if wide:
            values["half"] = True
            value = rounded(value) if self._rounds(arguments) else value
        if self.guarded and parents:
            value = guarded(value)
        values["y"], values["saved"] = value, saved
        return value, values

    def is_wide(self, arrays: Iterable[Any]) -> bool:
        """Whether these arguments are of float16, and the kernel computes in float32."""
        return self.widens and any(map(is_half, arrays))

    def _rounds(self, arguments: Mapping[str, Any]) -> bool:
        """Whether the value of arguments of float16 is float16: no other is wider."""
        return all_half(arguments[name] for name in self.arrays)

    def _wide_reference(self) -> Function:
        """The reference, which computes in float32 what it is given in float16."""
        reference = self.function

        @functools.wraps(reference)
        def wide(*args: Any, **kwargs: Any) -> Any:
            if not any(map(is_half, (*args, *kwargs.values()))):
                return reference(*args, **kwargs)
            bound = self.bind(args, kwargs)
            value = reference(*widened(args), **widened(kwargs))
            return rounded(value) if self._rounds(bound) else value

        return wide

    def pull(
        self, node: Node, gradient: Any, wanted: Collection[str], graph: bool
    ) -> dict[str, Any]:
        """The gradient of each argument that is wanted."""
        if graph:
            return self._pull_reference(node, gradient, wanted)
        saved: Any = node.saved
        half = "half" in saved
        if half:
            saved, gradient = widened(saved), widened(gradient)
        given = {"g": gradient}
        if wanted is not node.parents:  # else the needs are those of forward
            given["needs"] = [name in wanted for name in self.arrays]
        values = [given[name] if name in given else saved[name] for name in self._uses]
        gradients = self._backward(*values)
        if type(gradients) is not tuple:
            gradients = (gradients,)
        contributions = dict(zip(self.arrays, gradients))  # noqa: B905 (on the hot path)
        for name in wanted:
            if contributions.get(name) is None:
                raise errors.no_derivative(self.function, name)
        if half:
            return self._as_given(contributions, node, wanted)
        if len(contributions) == len(wanted):
            return contributions
        return {name: contributions[name] for name in wanted}

    def _as_given(
        self, contributions: Mapping[str, Any], node: Node, wanted: Collection[str]
    ) -> dict[str, Any]:
        """Gradients in the dtypes of their arguments; wide if they have broadcast axes to sum."""
        cast = {}
        for name in wanted:
            part, place = contributions[name], node.parents[name]
            same_shape = part.shape == place.shape
            cast[name] = part.astype(place.dtype, copy=False) if same_shape else part
        return cast

    def run(self, *args: Any, **kwargs: Any) -> tuple[Any, Kept]:
        """The fast value of arrays, and what `pull_arrays` needs: both directions as functions."""
        arrays = self.bind(args, kwargs)
        given = []
        for name in self.arrays:
            if arrays[name] is None or type(arrays[name]) in PYTHON_NUMBERS:
                continue
            arrays[name] = np.asarray(arrays[name])
            if is_differentiable(arrays[name]):
                given.append(name)
        value, saved = self.compute(arrays, dict.fromkeys(given))
        return value, Kept(tuple(given), saved)

    def pull_arrays(self, g: Any, kept: Kept, wrt: Collection[str] = ()) -> Any:
        """The gradients of the floating-point arrays that `run` was given, or of those in `wrt`.

        A tuple; of one argument its gradient alone.
        """
        wanted = wrt or kept.wrt
        node = self._node_of(kept)
        gradient = [np.asarray(part) for part in g] if type(g) is list else np.asarray(g)
        same = tuple(wanted) == kept.wrt
        found = self.pull(node, gradient, node.parents if same else wanted, graph=False)
        gradients = tuple(found[name] for name in wanted)
        return gradients[0] if len(gradients) == 1 else gradients

    def push_arrays(self, kept: Kept, **tangents: np.ndarray) -> Any:
        """The tangent of the value along tangents of the arguments, after `run`."""
        given = {name: np.asarray(tangent) for name, tangent in tangents.items()}
        return self.push(self._node_of(kept), given, graph=False)

    def _node_of(self, kept: Kept) -> Node:
        """What a record of the run would be: a node, with leaves for the arguments."""
        parents = {}
        for name in kept.wrt:
            array = kept.saved[name]
            parents[name] = Node(None, {}, {}, array.shape, array.dtype)
        return Node(self, parents, kept.saved, *described(kept.saved["y"], self.function))

    def _pull_reference(self, node: Node, gradient: Any, wanted: Collection[str]) -> dict[str, Any]:
        """The same by differentiating the reference, which records itself."""
        parents = node.parents
        value = self._reference_value(node)
        roots = [(v._node, g) for v, g in zip(each(value), each(gradient), strict=True)]
        found = backpropagate(roots, [parents[name] for name in wanted], graph=True)
        return {name: found.pop(parents[name], None) for name in wanted}

    def push(self, node: Node, tangents: Mapping[str, Any], graph: bool) -> Any:
        """The tangent of the value: hand-derived, by the slopes, or by the reference."""
        if graph:
            return self._push_reference(node, tangents, graph)
        if self.guarded:
            tangents = {name: read_only(tangent) for name, tangent in tangents.items()}
        if self._jvp is not None and self._pushes.issuperset(tangents):
            given = {f"{name}_dot": tangents.get(name) for name in self.arrays}
            values = {**node.values(graph=False), **given}
            half = "half" in values
            values = widened(values) if half else values
            tangent = self._jvp(*[values[name] for name in self._jvp_uses])
            return rounded(tangent) if half and np.float16 in each(node.dtype) else tangent
        if self.elementwise and all(node.parents[n].shape == node.shape for n in tangents):
            return self._push_by_slopes(node, tangents)
        return self._push_reference(node, tangents, graph)

    def _push_by_slopes(self, node: Node, tangents: Mapping[str, Any]) -> Any:
        """The same of an elementwise kernel: each tangent times the derivative, as in backward."""
        parts = []
        for name, tangent in tangents.items():
            parts.append(self.pull(node, tangent, [name], graph=False)[name])
        return added(parts)

    def _push_reference(self, node: Node, tangents: Mapping[str, Any], graph: bool) -> Any:
        """The same through the reference, which records itself."""
        value = self._reference_value(node)
        seeds = {node.parents[name]: tangent for name, tangent in tangents.items()}
        places = [v._node for v in each(value)]
        found = pushforward(seeds, [p for p in places if p is not None], graph)
        pushed = [found.get(place) for place in places]
        return pushed if type(value) in (list, tuple) else pushed[0]

    def _reference_value(self, node: Node) -> Any:
        """The reference of what was saved, recorded at the places of the arguments."""
        saved = node.values(graph=False)
        arrays = [at_place(saved[name], node.parents.get(name)) for name in self.arrays]
        options = {name: saved[name] for name in self.options}
        with scope("kernel", self.reference.__name__, self), switched("recording", True):
            return self.reference(*arrays, **options)


def kernel(
    reference: Function | None = None,
    *,
    selects: bool = False,
    elementwise: bool = False,
    inert: Collection[str] = (),
) -> Any:
    """Make an operation of one's own from its reference; forward and backward follow as decorators.

    `selects` says that elements of the arguments may not reach the value, as in `relu`;
    `elementwise`, that each element of the value depends on one of each argument. With both, the
    engine knows which infinite derivatives do not matter. `inert` names the options that have no
    influence on value and gradients, such as one that looks on.
    """
    if reference is None:
        return functools.partial(Kernel, selects=selects, elementwise=elementwise, inert=inert)
    return Kernel(reference, selects, elementwise, inert)


def formula(function: Function) -> Function:
    """Makes a function of this package that needs no way back of its own: it records its parts.

    Like a kernel it is of real numbers, and computes in float32 what it is given in float16.
    """
    names = Signature(function).positional

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        arrays = {**dict(zip(names, args, strict=False)), **kwargs}
        for name, value in arrays.items():
            dtype = getattr(value, "dtype", None)
            if dtype is not None and dtype.kind == "c":
                raise errors.real_only(function, name, dtype)
        if not any(map(is_half, arrays.values())):
            return function(*args, **kwargs)
        value = function(*widened(args), **widened(kwargs))
        return rounded(value) if all_half(arrays.values()) else value

    return call
