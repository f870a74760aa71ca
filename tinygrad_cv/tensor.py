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

import itertools
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from heapq import heappop
from time import perf_counter
from typing import Any, final

import numpy as np

from . import errors, watch
from .contributions import Pick, accumulate, conform, leading_to
from .interface import NumPyInterface
from .mode import MODE, UNUSUAL, switched
from .signature import look_up, picker, read_signature

# ---------------------------------------------------------------------------------------------------------- the graph

_next_birth, _new = itertools.count().__next__, object.__new__
CONTAINERS = (list, tuple)


class Node:
    """One recorded operation; or, without an operation, a leaf: the place where a tensor's gradient arrives."""

    __slots__ = (
        "dtype",
        "line",
        "operation",
        "order",
        "parents",
        "prints",
        "shape",
        "tensor",
        "values",
    )

    def __init__(
        self,
        operation: Any,
        parents: Any,
        values: Any,
        shape: Any,
        dtype: Any,
        line: Any = None,
        prints: Any = (),
    ) -> None:
        self.operation = operation
        self.parents: Any = parents  # a sequence of nodes, lists of nodes, None; None once released
        self.values: Any = values  # what was saved, in the order of `operation.saves`
        self.shape, self.dtype = (
            shape,
            dtype,
        )  # of the value; lists for an operation with several values
        self.order = _next_birth()  # every operation is younger than its parents
        self.line = line
        self.prints: Sequence[tuple[int, bytes]] = (
            prints  # fingerprints of saved arrays that others may write to
        )
        self.tensor: weakref.ref[Tensor] | None = (
            None  # whose .grad this is, weakly: no reference cycle
        )

    @property
    def saved(self) -> dict[str, Any] | None:
        """What was saved, by name."""
        return (
            None
            if self.values is None
            else dict(zip(self.operation.saves, self.values, strict=True))
        )

    def inputs(self) -> Iterator[Node]:
        """The parents, one by one."""
        for parent in self.parents or ():
            yield from (p for p in (parent if type(parent) is list else (parent,)) if p is not None)

    def __str__(self) -> str:
        return f"{errors.name_of(self.operation.function)} at {errors.describe_line(self.line)}"


def wrap(value: Any, node: Node | None = None) -> Any:
    """A value as a tensor with this node behind it; several values as several tensors."""
    tensor = _new(Tensor)
    tensor._data, tensor._node, tensor._grad, tensor._home = value, node, None, None
    if type(value) is not np.ndarray:
        if isinstance(value, (tuple, list)):
            picks = [
                node and Node(Pick, (node,), (i,), v.shape, v.dtype, node.line)
                for i, v in enumerate(value)
            ]
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


def attach(
    operation: Any, value: Any, parents: Sequence[Any], values: Sequence[Any], watched: Any = ()
) -> Any:
    """Put a node behind a value that was just computed. `watched`: the places in `values` of arguments that backward
    reads, each with its place in `parents` or None."""
    prints = []
    for i, place in watched:
        array, node = values[i], None if place is None else parents[place]
        if type(array) is np.ndarray and (
            node is None or node.operation is None or array.base is not None
        ):
            prints.append(
                (i, errors.fingerprint(array, UNUSUAL and MODE.anomaly))
            )  # others may write to it
    several = isinstance(value, (tuple, list))
    shape, dtype = (
        ([np.shape(v) for v in value], [v.dtype for v in value])
        if several
        else (value.shape, value.dtype)
    )
    return wrap(
        value, Node(operation, parents, values, shape, dtype, errors.calling_line(), prints)
    )


# -------------------------------------------------------------------------------------------------- the calculus table

TABLE: dict[Any, Callable[[tuple[Any, ...], Any], Any]] = {}  # function -> how tensors carry it out
GIVEN: set[Any] = (
    set()
)  # the functions in it that `derivative` has entered, which nothing takes the place of
LATER: list[
    Callable[[], Any]
] = []  # what enters more functions, once one comes that is not in the table


class Rule:
    """A row of the table: a function and the formula of the gradient of each argument that has one."""

    def __init__(
        self,
        function: Any,
        formulas: Mapping[str, Callable[..., Any] | None],
        signature: str | None,
    ) -> None:
        self.function, self.formulas = function, formulas
        self.selects = (
            False  # whether some elements of the arguments do not reach the value, as with np.where
        )
        self.defaults, self.variadic = read_signature(function, signature)
        self.plans: dict[tuple[str, ...], Plan] = {}  # those met so far
        self.operators: dict[tuple[bool, bool], Plan] = {}  # and which of them `operate` can follow
        self.needs = {
            name: tuple(read_signature(f)[0]) if f else () for name, f in formulas.items()
        }
        known = {"g", *(n + end for n in ("y", *self.defaults) for end in ("", "_shape"))}
        for name in sorted({*formulas, *itertools.chain(*self.needs.values())} - known):
            raise TypeError(
                f"derivative of {errors.name_of(function)}: {name!r} is not one of {sorted(known)}"
            )

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The call's arguments by the names of the function's parameters, defaults filled in."""
        if self.variadic is not None:
            args = (*args[: self.variadic], args[self.variadic :])
        elif not kwargs and len(args) == len(self.defaults):
            return dict(zip(self.defaults, args))  # noqa: B905 (on the hot path)
        return {**self.defaults, **dict(zip(self.defaults, args, strict=False)), **kwargs}

    def plan(self, names: tuple[str, ...]) -> Plan:
        """How to go back to those arguments."""
        return self.plans.get(names) or self.plans.setdefault(names, Plan(self, names))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Like the function itself, on arrays or tensors."""
        if any(type(a) is Tensor for a in (*args, *kwargs.values())):
            return self.record(args, kwargs)
        return self.function(*args, **kwargs)

    def record(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        arrays, start = [a._data if type(a) is Tensor else unwrap(a) for a in args], perf_counter()
        try:
            value = self.function(
                *arrays, **{name: unwrap(a) for name, a in kwargs.items()} if kwargs else kwargs
            )
        except Exception as error:
            raise errors.explain(
                error, self.function, zip(arrays, map(node_of, args), strict=True)
            ) from None
        if UNUSUAL:
            watch.forward(self.function, value, arrays, start)
        if not MODE.recording:
            return wrap(value)
        bound = self.bind(args, kwargs)
        nodes = {}
        for name, a in bound.items():
            if type(a) is Tensor or type(a) in CONTAINERS:
                nodes[name], bound[name] = node_of(a), unwrap(a)
        nodes = {name: node for name, node in nodes.items() if node is not None}
        plan = self.plan(tuple(nodes)) if nodes else None
        if plan is None or not plan.arguments:
            return wrap(value)
        if plan.operable:
            self.operators["x1" not in nodes, "x2" not in nodes] = plan
        saved = [look_up(name, bound, value) for name in plan.saves]
        return attach(plan, value, [nodes[name] for name in plan.arguments], saved, plan.watched)


class Plan:
    """A rule at work for the arguments that require a gradient: what is saved for them, and what each formula is given."""

    def __init__(self, rule: Rule, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in rule.formulas:
                raise errors.no_derivative(rule.function, name)
        self.rule, self.function = rule, rule.function
        self.arguments = tuple(
            name for name in names if rule.formulas[name]
        )  # the others' derivative is zero by nature
        self.saves = tuple(
            dict.fromkeys(n for name in self.arguments for n in rule.needs[name] if n != "g")
        )
        places = ("g", *self.saves)
        picks = [picker([places.index(n) for n in rule.needs[name]]) for name in self.arguments]
        self.formulas = list(
            zip([rule.formulas[name] for name in self.arguments], picks, strict=True)
        )
        own = [(i, n) for i, n in enumerate(self.saves) if n in rule.defaults]
        self.watched = [
            (i, self.arguments.index(n) if n in self.arguments else None) for i, n in own
        ]
        operator = (
            ("x1", "x2", "y") if getattr(rule.function, "nin", 0) == 2 else ()
        )  # what `operate` has at hand
        self.operable = {*operator} > {*self.saves} and self.arguments == names
        self.keep = picker([operator.index(n) for n in self.saves if self.operable])

    def pull(
        self, node: Node, gradient: Any, wanted: Collection[Node] | None, graph: bool
    ) -> list[tuple[Node, Any]]:
        """What this node contributes to the gradients of its parents."""
        values = (gradient, *node.values)
        if graph:
            places = {"y": node, **dict(zip(self.arguments, node.parents, strict=True))}
            values = (
                gradient,
                *[at_place(v, places.get(n)) for n, v in zip(self.saves, node.values, strict=True)],
            )
        if self.rule.selects:
            MODE.careful = True
        careful = MODE.careful and getattr(self.function, "nout", 0) == 1
        given: list[tuple[Node, Any]] = []
        for parent, (formula, pick) in zip(node.parents, self.formulas):  # noqa: B905 (on the hot path)
            several = type(parent) is list
            if wanted is not None and not any(
                p in wanted for p in (parent if several else (parent,))
            ):
                continue
            contribution: Any = formula(*pick(values))  # type: ignore[misc]
            if careful and np.isnan(unwrap(contribution)).any():
                contribution = np.where(
                    np.equal(unwrap(gradient), 0), 0, contribution
                )  # 0 * NaN = 0
            if several:
                given += [
                    pair for pair in zip(parent, contribution, strict=True) if pair[0] is not None
                ]
            else:
                given.append((parent, contribution))
        return given


def derivative(
    function: Any,
    /,
    *,
    signature: str | None = None,
    inert: Sequence[str] = (),
    **formulas: Callable[..., Any] | None,
) -> Rule:
    """Enter a function into the calculus table, with one formula per argument that can be differentiated.

    `derivative(np.tanh, x=lambda g, y: g * (1 - y * y))`. A formula's parameters are `g`, the incoming gradient, `y`,
    the function's value, the function's own arguments, and any of these with `_shape` behind it (an argument's name
    comes first). None for a formula: zero by nature. A list of arrays has a list of gradients; several values have a
    list for `g`. Broadcast axes and casts are the engine's. `signature="a, axis=0"`: where Python cannot see it.
    """
    TABLE[function] = rule = Rule(function, formulas, signature)
    GIVEN.add(function)
    return rule


def record(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any] = {}) -> Any:
    """Carry out a function of the table on tensors."""
    while function not in TABLE:
        if not LATER:
            raise errors.without_rule(function)
        enter = LATER[-1]
        enter()  # before it is struck off: another thread may wait for the same
        if enter in LATER:
            LATER.remove(enter)
    row = TABLE[function]
    return row.record(args, kwargs) if type(row) is Rule else row(args, kwargs)


def operate(ufunc: np.ufunc, x1: Any, x2: Any) -> Any:
    """`record` for an operator: the same in one piece, since on small arrays most of the cost is calls within."""
    rule = TABLE.get(ufunc)
    array1, node1 = (x1._data, x1._node) if type(x1) is Tensor else (x1, None)
    array2, node2 = (x2._data, x2._node) if type(x2) is Tensor else (x2, None)
    plan = (
        rule.operators.get((node1 is None, node2 is None))
        if type(rule) is Rule and not UNUSUAL
        else None
    )
    if plan is None or type(array1) in CONTAINERS or type(array2) in CONTAINERS:
        return record(ufunc, (x1, x2))
    try:
        value = ufunc(array1, array2)
    except Exception:
        return record(ufunc, (x1, x2))  # which explains it
    parents = (node1, node2) if node1 and node2 else (node1 or node2,)
    return attach(plan, value, parents, plan.keep((array1, array2, value)), plan.watched)


# ------------------------------------------------------------------------------------------------------------ the walk


def walk(
    roots: Sequence[tuple[Node, Any]],
    targets: Collection[Node] = (),
    graph: bool = False,
    retain: bool = False,
) -> dict[Node, Any]:
    """Carry gradients from the roots back to all leaves, or only to the targets, whose gradients are returned.

    Every operation is younger than its inputs; so, youngest first, a node is reached after all that used it. With
    `graph` the formulas run on tensors and record themselves. Nodes are freed once passed, unless `retain`.
    """
    targets = frozenset(targets)
    wanted = leading_to(targets, [node for node, _ in roots]) if targets else None
    gradients: dict[Node, Any] = {}
    sums: set[Node] = set()
    heap: list[tuple[int, Node]] = []  # the operations in `gradients`, the youngest on top
    arrived: dict[Node, Any] = {}
    for node, gradient in roots:
        if wanted is None or node in wanted:
            accumulate(gradients, sums, heap, node, conform(gradient, node, node))
    with switched(recording=graph, careful=False):
        watched, profile = MODE.anomaly, MODE.profile
        while heap:
            node, start = heappop(heap)[1], profile and perf_counter()
            gradient = gradients.pop(node)
            if node in targets or (node.tensor is not None and not targets):
                arrived[node] = gradient
            if node in targets:
                continue
            if node.parents is None:
                raise errors.freed(node)
            if (
                type(gradient) is list
            ):  # several values: those that were not used have gradient zero
                parts = zip(gradient, node.shape, node.dtype, strict=True)
                gradient = [
                    np.zeros(shape, dtype) if part is None else part for part, shape, dtype in parts
                ]
            for i, print_before in node.prints:
                if errors.changed(node.values[i], print_before):
                    raise errors.stale(node, node.operation.saves[i])
            for parent, contribution in (
                given := node.operation.pull(node, gradient, wanted, graph)
            ):
                if contribution is None or (wanted is not None and parent not in wanted):
                    continue
                fits = type(contribution) is np.ndarray and contribution.shape == parent.shape
                if not fits or contribution.dtype is not parent.dtype or watched:
                    contribution = conform(contribution, parent, node)
                accumulate(gradients, sums, heap, parent, contribution)
            if not (retain or graph):
                node.parents = node.values = None
            if profile:
                profile.add(
                    errors.name_of(node.operation.function), "backward", start, given, node.line
                )
    arrived.update(gradients)  # of the leaves, which have no operation to carry them further
    for node, gradient in (
        () if targets else arrived.items()
    ):  # now: a walk that fails leaves nothing half done
        if node.tensor is not None and (tensor := node.tensor()) is not None:
            first = (
                gradient
                if graph
                else tensor._home.settle(gradient)
                if tensor._home
                else np.array(gradient)
            )
            tensor._grad = first if tensor._grad is None else tensor._grad + gradient
    return arrived


# ---------------------------------------------------------------------------------------------------------- the tensor


@final
class Tensor(NumPyInterface):
    """An array whose computation is recorded, so that gradients can be taken with respect to it.

    Operators, methods and NumPy's functions work as on an ndarray, whose memory `Tensor(data)` shares.
    """

    __slots__ = ("__weakref__", "_data", "_grad", "_home", "_node")
    _record, _operate = staticmethod(record), staticmethod(operate)

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self._data = np.asarray(data.numpy() if type(data) is Tensor else data)
        if self._data.dtype.kind not in "biuf":
            raise TypeError(f"a tensor holds real numbers, not {self._data.dtype}")
        self._node: Node | None = None
        self._grad: Any = None
        self._home: Any = None  # where a first gradient goes, see `arena`
        self.requires_grad = requires_grad

    @property
    def requires_grad(self) -> bool:
        """Whether computations with this tensor are recorded. Can be set on leaves."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        if not self.is_leaf:
            raise RuntimeError(
                f"requires_grad can be set on leaves; this is the result of {self._node}"
            )
        if on and self._data.dtype.kind != "f":
            raise TypeError(
                f"gradients need floating-point numbers, not {self._data.dtype}; see t.astype(float)"
            )
        if on != (self._node is not None):
            self._node = Node(None, None, None, self._data.shape, self._data.dtype) if on else None
            if self._node is not None:
                self._node.tensor = weakref.ref(self)

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
            raise ValueError(
                f"a gradient of shape {np.shape(value)} does not fit a tensor of shape {self.shape}"
            )
        self._grad = value

    def backward(
        self, gradient: Any = None, create_graph: bool = False, retain_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor, times `gradient`, to the `.grad` of every leaf that it depends on.

        `gradient` has this tensor's shape; a single number needs none. `create_graph` records the walk itself, for
        second derivatives; `retain_graph` keeps the graph for another walk.
        """
        if self._node is None:
            raise RuntimeError(
                "nothing was recorded: no tensor here requires a gradient, or no_grad was on"
            )
        if gradient is None and self._data.size != 1:
            raise errors.not_a_number(self.shape)
        gradient = np.ones(self.shape, self.dtype) if gradient is None else gradient
        if np.shape(gradient) != self.shape:
            raise ValueError(
                f"a gradient of shape {np.shape(gradient)} does not fit a tensor of shape {self.shape}"
            )
        walk(
            [(self._node, gradient if create_graph else unwrap(gradient))],
            (),
            create_graph,
            retain_graph,
        )

    def detach(self) -> Tensor:
        """The same array outside the graph, as a tensor."""
        return Tensor(self.data)
