"""Reverse-mode automatic differentiation: the whole idea in one file.

1. A **calculus table** holds, for each function, the derivative with respect to each argument:
   `derivative(np.exp, x=...)`. The names of a formula's parameters say what it needs; exactly that is saved.
2. `record` computes a function's value and, if a tensor that requires a gradient takes part, puts a `Node` behind the
   result: which operation, which parents, what was saved.
3. `walk` goes back over the nodes, youngest first, so that a node's gradient is complete before it is handed on.
   Formulas are plain NumPy: on arrays they give the gradient; on tensors they record themselves and give the next one.

Worked example: `y = np.exp(x) * x` records two nodes. `exp` saves its value e = exp(x), `multiply` saves e and x.
Backward from g: multiply hands g * x to exp's node and g * e to x; exp hands (g * x) * e to x; x.grad is their sum.
"""

from __future__ import annotations

import inspect
import itertools
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from heapq import heappop
from operator import attrgetter, getitem
from typing import Any, final

import numpy as np

from . import errors
from .contributions import accumulate, conform
from .interface import NumPyInterface
from .mode import MODE, switched

# ---------------------------------------------------------------------------------------------------------- the graph

_next_birth = itertools.count().__next__
CONTAINERS = (list, tuple)


class Node:
    """One recorded operation; or, without an operation, a leaf: the place where a tensor's gradient arrives."""

    __slots__ = ("dtype", "line", "operation", "order", "parents", "prints", "saved", "shape", "tensor")

    def __init__(self, operation: Any, parents: Any, saved: Any, shape: Any, dtype: Any, line: Any = None) -> None:
        self.operation = operation
        self.parents: dict[str, Any] | None = parents  # argument name -> node, or list of nodes; None once released
        self.saved = saved  # name -> value
        self.shape, self.dtype = shape, dtype  # of the value; lists for an operation with several values
        self.order = _next_birth()  # every operation is younger than its parents
        self.line = line
        self.tensor: weakref.ref[Tensor] | None = None  # whose .grad this is, weakly: no reference cycle
        self.prints: Sequence[tuple[str, bytes]] = ()  # fingerprints of saved arrays that others may write to

    def inputs(self) -> Iterator[Node]:
        """The parents, one by one."""
        for parent in (self.parents or {}).values():
            yield from (p for p in parent if p is not None) if type(parent) is list else (parent,)

    def __str__(self) -> str:
        return f"{errors.name_of(self.operation.function)} at {errors.describe_line(self.line)}"


class _Pick:
    """The operation that takes one value out of an operation with several: `saved` says which."""

    function = getitem

    @staticmethod
    def pull(node: Node, gradient: Any, wanted: Collection[Node] | None, graph: bool) -> list[tuple[Node, Any]]:
        return [(parent, (node.saved, gradient)) for parent in node.inputs()]


def wrap(value: Any, node: Node | None = None) -> Any:
    """A value as a tensor with this node behind it; several values as several tensors."""
    tensor = Tensor.__new__(Tensor)
    tensor._data, tensor._node, tensor._grad = value, node, None
    if type(value) is not np.ndarray:
        if isinstance(value, (tuple, list)):
            picks = [node and Node(_Pick, {"a": node}, i, v.shape, v.dtype, node.line) for i, v in enumerate(value)]
            tensors = map(wrap, value, picks)
            return type(value)(*tensors) if hasattr(value, "_fields") else type(value)(tensors)
        tensor._data = np.asarray(value)
    return tensor


def unwrap(value: Any) -> Any:
    """The array of a tensor; in lists and tuples of tensors too."""
    if type(value) is Tensor:
        return value._data
    return type(value)([unwrap(v) for v in value]) if type(value) in (list, tuple) else value


def node_of(value: Any) -> Any:
    """The node behind a tensor, or a list of those behind a list's items; None where there is none."""
    if type(value) is Tensor:
        return value._node
    nodes = [node_of(v) for v in value] if type(value) in (list, tuple) else []
    return nodes if any(node is not None for node in nodes) else None


def at_place(value: Any, node: Any) -> Any:
    """A saved value as a tensor at its old place in the graph, so that formulas record themselves."""
    if type(node) is list:
        return list(map(at_place, value, node))
    return value if node is None else wrap(value, node)


def attach(operation: Any, value: Any, parents: dict[str, Any], saved: Any, uses: Iterable[str]) -> Any:
    """Put a node behind a value that was just computed. `uses`: the names in `saved` that backward reads."""
    if isinstance(value, (tuple, list)):
        shape, dtype = [np.shape(v) for v in value], [v.dtype for v in value]
    else:
        shape, dtype = value.shape, value.dtype
    node = Node(operation, parents, saved, shape, dtype, errors.calling_line())
    for name in uses:
        array = saved.get(name)
        if type(array) is np.ndarray and array is not value:
            parent = parents.get(name)
            if parent is None or parent.operation is None or array.base is not None:
                node.prints = (*node.prints, (name, errors.fingerprint(array, MODE.anomaly)))
    return wrap(value, node)


# -------------------------------------------------------------------------------------------------- the calculus table

TABLE: dict[Any, Callable[[tuple[Any, ...], Any], Any]] = {}  # function -> how tensors carry it out


class Rule:
    """A row of the table: a function and the formula of the gradient of each argument that has one."""

    def __init__(self, function: Any, formulas: Mapping[str, Callable[..., Any] | None], signature: str | None) -> None:
        self.function, self.formulas = function, formulas
        self.selects = False  # whether some elements of the arguments do not reach the value, as with np.where
        self.defaults, self.variadic = _signature(function, signature)
        self.saves: dict[tuple[str, ...], tuple[tuple[str, ...], tuple[str, ...]]] = {}  # what `plan` has found
        self.needs = {name: tuple(inspect.signature(f).parameters) if f else () for name, f in formulas.items()}
        known = {"g", *(n + end for n in ("y", *self.defaults) for end in ("", "_shape"))}
        for name in sorted({*formulas, *itertools.chain(*self.needs.values())} - known):
            raise TypeError(f"derivative of {errors.name_of(function)}: {name!r} is not one of {sorted(known)}")

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The call's arguments by the names of the function's parameters, defaults filled in."""
        if self.variadic is not None:
            args = (*args[: self.variadic], args[self.variadic :])
        elif not kwargs and len(args) == len(self.defaults):
            return dict(zip(self.defaults, args))  # noqa: B905 (on the hot path)
        return {**self.defaults, **dict(zip(self.defaults, args, strict=False)), **kwargs}

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        arrays = [a._data if type(a) is Tensor else unwrap(a) for a in args]
        try:
            value = self.function(*arrays, **{name: unwrap(a) for name, a in kwargs.items()} if kwargs else kwargs)
        except Exception as error:
            raise errors.explain(error, self.function, zip(arrays, map(node_of, args), strict=True)) from None
        mode = MODE
        if mode.anomaly:
            errors.check_finite(self.function, [value], arrays, errors.calling_line())
        if not mode.recording:
            return wrap(value)
        bound = self.bind(args, kwargs)
        parents = {}
        for name, a in bound.items():
            node = a._node if type(a) is Tensor else node_of(a) if type(a) in CONTAINERS else None
            if node is not None:
                parents[name] = node
        if not parents:
            return wrap(value)
        names = tuple(parents)
        saves = self.saves.get(names)
        if saves is None:
            saves = self.saves[names] = self.plan(names)
        for name in saves[1]:
            del parents[name]
        saved = {name: _look_up(name, bound, value) for name in saves[0]}
        return attach(self, value, parents, saved, saves[0]) if parents else wrap(value)

    def plan(self, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """For arguments that require a gradient: what to save, and which of them have a derivative of zero by nature."""
        for name in names:
            if name not in self.formulas:
                raise errors.no_derivative(self.function, name)
        needed = dict.fromkeys(n for name in names for n in self.needs[name] if n != "g")
        return tuple(needed), tuple(name for name in names if self.formulas[name] is None)

    def pull(self, node: Node, gradient: Any, wanted: Collection[Node] | None, graph: bool) -> list[tuple[Node, Any]]:
        """What this node contributes to the gradients of its parents."""
        assert node.parents is not None
        values = node.saved | {"g": gradient}
        if self.selects:
            MODE.careful = True
        if graph:
            places = {"y": node, **node.parents}
            values.update({name: at_place(values[name], places[name]) for name in node.saved if name in places})
        given: list[tuple[Node, Any]] = []
        for argument, parent in node.parents.items():
            several = type(parent) is list
            if wanted is not None and not any(p in wanted for p in (parent if several else (parent,))):
                continue
            formula: Any = self.formulas[argument]
            contribution = formula(*[values[name] for name in self.needs[argument]])
            if MODE.careful and getattr(self.function, "nout", 0) == 1 and np.isnan(unwrap(contribution)).any():
                contribution = np.where(np.equal(unwrap(gradient), 0), 0, contribution)  # 0 * NaN = 0
            if several:
                given += [pair for pair in zip(parent, contribution, strict=True) if pair[0] is not None]
            else:
                given.append((parent, contribution))
        return given


def _look_up(name: str, bound: Mapping[str, Any], value: Any) -> Any:
    """What a formula's parameter stands for: an argument, `y`, or the shape of either."""
    if name in bound:
        found = bound[name]
        return found._data if type(found) is Tensor else unwrap(found)
    if name == "y":
        return value
    source = unwrap(bound.get(name.removesuffix("_shape"), value))
    return [np.shape(v) for v in source] if type(source) in (list, tuple) else np.shape(source)


def _signature(function: Any, signature: str | None) -> tuple[dict[str, Any], int | None]:
    """The parameters of a function with their defaults, and the position of `*args` if it has them."""
    if isinstance(function, np.ufunc):  # x, or x1, x2, ..., as NumPy calls them
        return dict.fromkeys(["x"] if function.nin == 1 else [f"x{i + 1}" for i in range(function.nin)]), None
    visible = function if signature is None else eval(f"lambda {signature}: 0")
    named = [p for p in inspect.signature(visible).parameters.values() if p.kind is not p.VAR_KEYWORD]
    variadic = next((i for i, p in enumerate(named) if p.kind is p.VAR_POSITIONAL), None)
    return {p.name: None if p.default in (p.empty, np._NoValue) else p.default for p in named}, variadic


def derivative(function: Any, /, *, signature: str | None = None, **formulas: Callable[..., Any] | None) -> Rule:
    """Enter a function into the calculus table, with one formula per argument that can be differentiated.

    `derivative(np.tanh, x=lambda g, y: g * (1 - y * y))`. A formula's parameters are `g`, the incoming gradient, `y`,
    the function's value, the function's own arguments, and any of these with `_shape` behind it (an argument's name
    comes first). None for a formula: zero by nature. A list of arrays has a list of gradients; several values have a
    list for `g`. Broadcast axes and casts are the engine's. `signature="a, axis=0"`: where Python cannot see it.
    """
    TABLE[function] = rule = Rule(function, formulas, signature)
    return rule


def record(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any] = {}) -> Any:
    """Carry out a function of the table on tensors."""
    row = TABLE.get(function)
    if row is None:
        raise errors.without_rule(function)
    return row(args, kwargs)


# ------------------------------------------------------------------------------------------------------------ the walk


def leading_to(targets: Collection[Node], roots: Iterable[Node]) -> set[Node]:
    """The nodes between the roots and the targets: gradients that lead to no target are not computed."""
    oldest = min(target.order for target in targets)
    seen = set(roots)
    stack = list(seen)
    while stack:
        node = stack.pop()
        if node.operation is not None and node not in targets:
            if node.parents is None:
                raise errors.freed(node)
            new = [p for p in node.inputs() if p not in seen and p.order >= oldest]
            seen.update(new)
            stack += new
    wanted = set(targets)
    for node in sorted(seen.difference(targets), key=attrgetter("order")):
        if node.operation is not None and any(parent in wanted for parent in node.inputs()):
            wanted.add(node)
    return wanted


def walk(
    roots: Sequence[tuple[Node, Any]], targets: Collection[Node] = (), graph: bool = False, retain: bool = False
) -> dict[Node, Any]:
    """Carry gradients from the roots back to all leaves, or only to the targets, whose gradients are returned.

    Every operation is younger than its inputs; so, youngest first, a node is reached after all that used it. With
    `graph` the formulas run on tensors and record themselves. Nodes are freed once passed, unless `retain`.
    """
    wanted = leading_to(targets, [node for node, _ in roots]) if targets else None
    gradients: dict[Node, Any] = {}
    sums: set[Node] = set()
    heap: list[tuple[int, Node]] = []  # the nodes in `gradients`, the youngest on top
    arrived: dict[Node, Any] = {}
    for node, gradient in roots:
        if wanted is None or node in wanted:
            accumulate(gradients, sums, heap, node, conform(gradient, node, node))
    with switched(recording=graph, careful=False):
        while heap:
            node = heappop(heap)[1]
            gradient = gradients.pop(node)
            if node in targets or (node.tensor is not None and not targets):
                arrived[node] = gradient
            if node.operation is None or node in targets:
                continue
            if node.parents is None:
                raise errors.freed(node)
            if type(gradient) is list:  # several values: those that were not used have gradient zero
                parts = zip(gradient, node.shape, node.dtype, strict=True)
                gradient = [np.zeros(shape, dtype) if part is None else part for part, shape, dtype in parts]
            for name, print_before in node.prints:
                if errors.changed(node.saved[name], print_before):
                    raise errors.stale(node, name)
            for parent, contribution in node.operation.pull(node, gradient, wanted, graph):
                if contribution is not None and (wanted is None or parent in wanted):
                    accumulate(gradients, sums, heap, parent, conform(contribution, parent, node))
            if not (retain or graph):
                node.parents = node.saved = None
    for node, gradient in () if targets else arrived.items():  # now: a walk that fails leaves nothing half done
        if (tensor := node.tensor()) is not None:  # type: ignore[misc]
            kept = gradient if graph else np.array(gradient)  # a copy that no one else holds
            tensor._grad = kept if tensor._grad is None else tensor._grad + kept
    return arrived


# ---------------------------------------------------------------------------------------------------------- the tensor


@final
class Tensor(NumPyInterface):
    """An array whose computation is recorded, so that gradients can be taken with respect to it.

    Operators, methods and NumPy's functions work as on an ndarray, whose memory `Tensor(data)` shares.
    """

    __slots__ = ("__weakref__", "_data", "_grad", "_node")
    _record = staticmethod(record)

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self._data = np.asarray(data.numpy() if type(data) is Tensor else data)
        if self._data.dtype.kind not in "biuf":
            raise TypeError(f"a tensor holds real numbers, not {self._data.dtype}")
        self._node: Node | None = None
        self._grad: Any = None
        self.requires_grad = requires_grad

    @property
    def requires_grad(self) -> bool:
        """Whether computations with this tensor are recorded. Can be set on leaves."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        if not self.is_leaf:
            raise RuntimeError(f"requires_grad can be set on leaves; this is the result of {self._node}")
        if on and self._data.dtype.kind != "f":
            raise TypeError(f"gradients need floating-point numbers, not {self._data.dtype}; see t.astype(float)")
        if on != self.requires_grad:
            self._node = Node(None, None, None, self._data.shape, self._data.dtype) if on else None
            if self._node is not None:
                self.retain_grad()

    @property
    def data(self) -> np.ndarray:
        """The array. A recorded result's is read-only, since backward may need it; a leaf's may be written to."""
        if not self.is_leaf:
            self._data.flags.writeable = False
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        value = np.asarray(value, self._data.dtype)
        if not self.is_leaf or value.shape != self._data.shape:
            raise ValueError(f"only a leaf's data can be set, and to its shape, {self._data.shape}")
        self._data = value

    @property
    def grad(self) -> Any:
        """What backward collected, in this tensor's shape and dtype, or None: an array (`create_graph`: a tensor)."""
        if self._grad is None and not self.is_leaf and self._node.tensor is None:  # type: ignore[union-attr]
            raise errors.not_a_leaf(self._node)
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None and np.shape(value) != self.shape:
            raise ValueError(f"a gradient of shape {np.shape(value)} does not fit a tensor of shape {self.shape}")
        self._grad = value

    def backward(self, gradient: Any = None, create_graph: bool = False, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor, times `gradient`, to the `.grad` of every leaf that it depends on.

        `gradient` has this tensor's shape; a single number needs none. `create_graph` records the walk itself, for
        second derivatives; `retain_graph` keeps the graph for another walk.
        """
        if self._node is None:
            raise RuntimeError("nothing was recorded: no tensor here requires a gradient, or no_grad was on")
        if gradient is None and self._data.size != 1:
            raise errors.not_a_number(self.shape)
        gradient = np.ones_like(self._data) if gradient is None else gradient
        if np.shape(gradient) != self.shape:
            raise ValueError(f"a gradient of shape {np.shape(gradient)} does not fit a tensor of shape {self.shape}")
        walk([(self._node, gradient if create_graph else unwrap(gradient))], (), create_graph, retain_graph)

    def detach(self) -> Tensor:
        """The same array outside the graph, as a tensor."""
        return Tensor(self.data)
