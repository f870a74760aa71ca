"""Reverse-mode automatic differentiation: the whole idea in one file.

1. The **calculus table** holds, for each function, the derivative with respect to each argument:
   `derivative(np.exp, x=lambda g, y: g * y)`. The names of a formula's parameters say what it
   needs; exactly that is saved.
2. `record` computes a function's value and, if a tensor that requires a gradient takes part, puts
   a `Node` behind the result: which operation, which parents, what was saved.
3. `backpropagate` goes back over the nodes, youngest first, so that a node's gradient is complete
   before it is handed on. Formulas are plain NumPy: on arrays they give the gradient; on tensors
   they record themselves and give the next one. `pushforward` goes the other way, oldest first,
   and carries tangents with the same formulas.

Complex numbers z = a + ib: the gradient of a real L that a user sees is dL/da + i dL/db, as in
PyTorch, so that a descent step is z - lr g. On the way back its conjugate is carried, and
conjugated once where it arrives. There a formula is that of the real function: for y = f(z) it
multiplies by f'(z), with no conjugate in it, in both directions.

Worked example: `y = np.exp(x) * x` records two nodes. `exp` saves its value e = exp(x), `multiply`
saves e and x. Backward from g: multiply hands g * x to exp's node and g * e to x; exp hands
(g * x) * e to x; x.grad is their sum.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count, repeat
from typing import Any, NamedTuple, TypeAlias, final

import numpy as np

from .engine import errors
from .engine.describe import describe_rule
from .engine.interface import NumPyInterface
from .engine.modes import is_recording, switched
from .engine.observers import (
    Call,
    Deposit,
    Finish,
    Pull,
    Push,
    Start,
    now,
    observers,
    unobserved,
)
from .engine.operands import (
    DIFFERENTIABLE,
    NUMBERS,
    as_numbers,
    as_operand,
    conjugate,
    fit,
    is_complex,
    project,
    refuse_foreign,
)
from .engine.ownership import constant, guarded, own, read, read_only, window, write
from .engine.signatures import UFUNC_OPTIONS, Signature, parameter_names
from .typing import Array, ArrayLike, Function, Operation, Shape

# -------------------------------------------------------------------------------------- the graph

_next_order = count().__next__
_new = object.__new__


class Node:
    """One recorded operation; or, without an operation, a leaf: where a tensor's gradient
    arrives."""

    __slots__ = ("dtype", "line", "operation", "order", "parents", "saved", "shape", "tensor")

    def __init__(
        self,
        operation: Operation | None,
        parents: dict[str, Any],
        saved: dict[str, Any],
        shape: Any,
        dtype: Any,
        line: errors.Line | None = None,
    ) -> None:
        self.operation: Any = operation
        self.parents = parents  # by the name of the argument: a place, or a list of places
        self.saved: dict[str, Any] | None = saved  # by name; None once freed
        self.shape, self.dtype = shape, dtype  # of the value; lists for an operation with several
        self.order = _next_order()  # every operation is younger than its parents
        self.line = line
        self.tensor: Any = None  # whose .grad this is, weakly: no reference cycle

    @property
    def node(self) -> Node:
        """Itself: a place in the graph is a node, or one of the outputs of one."""
        return self

    def places(self) -> Iterator[Place]:
        """The parents one by one, those in lists too."""
        for parent in self.parents.values():
            yield from (p for p in each(parent) if p is not None)

    def values(self, graph: bool) -> dict[str, Any]:
        """What was saved; with `graph` as tensors at their places, so that formulas record
        themselves."""
        if self.saved is None:
            raise errors.freed(self)
        if not graph:
            return self.saved
        places = dict(self.parents)
        if "y" not in self.operation.operands:  # where it is an argument's name, it means that
            places["y"] = self
        return {name: at_place(value, places.get(name)) for name, value in self.saved.items()}

    def free(self) -> None:
        """Forget the parents and what was saved: this node has done its work."""
        self.parents, self.saved = {}, None

    def __str__(self) -> str:
        function = self.operation.function if self.operation else None
        return f"{errors.name_of(function)} at {errors.describe_line(self.line)}"


class Output(NamedTuple):
    """One of the several values of an operation."""

    node: Node
    number: int

    @property
    def shape(self) -> Shape:
        shape: Shape = self.node.shape[self.number]
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.node.dtype[self.number]
        return dtype

    @property
    def line(self) -> errors.Line | None:
        return self.node.line


Place: TypeAlias = Node | Output  # where a value stands in the graph, and its gradient arrives


def each(value: Any) -> Any:
    """The items of a list; anything else as a list of one."""
    return value if type(value) in (list, tuple) else (value,)


def wrap(value: Any, place: Place | None = None) -> Any:
    """A value as a tensor at a place in the graph; several values as several tensors."""
    if type(value) is not np.ndarray:
        if isinstance(value, (tuple, list)):
            places = [output_of(place, i) for i in range(len(value))]
            tensors = map(wrap, value, places)
            return type(value)(*tensors) if hasattr(value, "_fields") else type(value)(tensors)
        value = np.asarray(value)
    tensor: Tensor = _new(Tensor)
    tensor._array, tensor._node = value, place
    tensor._grad = tensor._memory = tensor._writer = None
    return tensor


def output_of(place: Place | None, number: int) -> Output | None:
    """The place of one of several values; None if that has no gradient."""
    if place is None or place.node.dtype[number].kind not in DIFFERENTIABLE:
        return None
    return Output(place.node, number)


def unwrap(value: Any) -> Any:
    """The array of a tensor, read-only if it is one that may be written to later; in lists, too."""
    if type(value) is Tensor:
        return value._array if value._writer is None else read(value)
    return type(value)([unwrap(v) for v in value]) if type(value) in (list, tuple) else value


def at_place(value: Any, place: Any) -> Any:
    """A saved value as a tensor at its old place in the graph."""
    if type(place) is list:
        return list(map(at_place, value, place))
    return value if place is None else wrap(value, place)


def place_of(value: Any) -> Any:
    """Where a tensor stands in the graph; a list of places for a list; None if nowhere."""
    if type(value) is Tensor:
        return value._node
    if type(value) in (list, tuple):
        places = [place_of(v) for v in value]
        return places if any(p is not None for p in places) else None
    return None


def is_tensor(value: Any) -> bool:
    """Whether this is a tensor, or a list with tensors in it."""
    return type(value) is Tensor or (
        type(value) in (list, tuple) and any(is_tensor(v) for v in value)
    )


PLAIN = frozenset(  # never change
    [type(None), bool, int, float, complex, str, np.float64, np.float32, np.complex128]
)


def record(operation: Operation, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Carry out an operation, and put a node behind its value if that requires a gradient.

    On arrays alone it gives an array, like the operation's function.
    """
    started = now()
    bound = operation.bind(args, kwargs)
    arguments = dict(bound)  # the same, as arrays
    parents: dict[str, Any] = {}
    others = []  # arguments that are neither tensors nor plain values
    tensors = False
    for name, value in bound.items():
        if type(value) is Tensor:
            tensors = True
            arguments[name] = value._array if value._writer is None else read(value)
            if value._node is not None:
                parents[name] = value._node
        elif type(value) not in PLAIN:
            others.append(name)
            arguments[name] = operand(value, operation, name)
            if is_tensor(value):
                tensors = True
                if (places := place_of(value)) is not None:
                    parents[name] = places
    if parents:
        parents = operation.differentiated(bound, parents) if is_recording() else {}
    if parents and others:
        for name in operation.saves(parents):
            if name in others:
                arguments[name] = kept(bound[name], arguments[name])
    try:
        value, saved = operation.compute(arguments, parents)
    except Exception as error:
        raise errors.explain(error, operation.function, arguments, parents) from None
    if not tensors:
        return value
    shape, dtype = described(value, operation.function)
    node = None
    if parents:
        if type(dtype) is not list and dtype.kind not in DIFFERENTIABLE:
            raise errors.no_float(operation.function, dtype)
        node = Node(operation, parents, saved, shape, dtype, errors.calling_line())
    result = wrap(value, node)
    for observer in observers():
        observer.forward(Call(operation.function, bound, node, result, started, operation))
    return result


def operand(value: Any, operation: Operation, name: str) -> Any:
    """An argument as an array; the tensors and arrays of a list one by one."""
    if type(value) is Tensor:
        return unwrap(value)
    joined = isinstance(operation.function, np.ufunc) and not is_tensor(value)
    several = type(value) in (list, tuple) and not joined
    if several and any(isinstance(v, (Tensor, np.ndarray)) for v in value):
        items = []
        for item in value:
            known = isinstance(item, (Tensor, np.ndarray))
            items.append(operand(item, operation, name) if known else item)
            refuse_foreign(item, operation.function, name)
        return type(value)(items)
    if name in operation.operands:
        return as_operand(value, operation.function, name)
    refuse_foreign(value, operation.function, name)
    return value


def kept(given: Any, array: Any) -> Any:
    """What a record keeps of an argument: a tensor's array as it is, of any other a private
    copy."""
    if type(given) is Tensor:
        return array
    if is_tensor(given):
        return type(array)(map(kept, given, array))
    return constant(array)


def described(value: Any, function: Any) -> tuple[Any, Any]:
    """The shape and the dtype of a value; a list of each for several values."""
    if type(value) is not np.ndarray:
        if isinstance(value, (tuple, list)):
            pairs = [described(v, function) for v in value]
            return [shape for shape, _ in pairs], [dtype for _, dtype in pairs]
        value = np.asarray(value)
    dtype = value.dtype
    if dtype.kind not in NUMBERS:
        raise errors.not_numbers(function, dtype)
    return value.shape, dtype


# ----------------------------------------------------------------------------- the calculus table

TABLE: dict[Any, Function] = {}  # function -> how it is carried out on tensors
USER_RULES: set[Any] = set()  # the functions in it that a user has entered, which stay
LAZY_ROOMS: list[Callable[[], Any]] = []  # what enters more functions, once one is missing
MIRRORED: dict[Any, Any] = {}  # the functions of tg.scipy -> SciPy's own, which are in the table


class Rule:
    """A row of the calculus table: a function, and a formula for the gradient of each argument.

    It is called like the function itself, on arrays and tensors.
    """

    gives_new_arrays = False  # a formula may hand on the array that it was given
    guarded = False  # for a rule of a user's

    def __init__(
        self,
        function: Any,
        formulas: Mapping[str, Function | None],
        signature: str | None = None,
        inert: Iterable[str] = (),
        selects: bool | str = False,
        linear: Iterable[str] = (),
        elementwise: bool = False,
    ) -> None:
        self.function = function
        self.formulas = dict(formulas)
        self.signature = Signature(function, signature)
        self.selects = selects
        self.linear = frozenset(linear)
        self.elementwise = elementwise
        self.tangents: dict[str, Function] = {}
        self.tangent_needs: dict[str, tuple[str, ...]] = {}  # what these formulas name
        self.needs: dict[str, tuple[str, ...]] = {}  # what the formula of an argument names
        for name, formula in self.formulas.items():
            self.needs[name] = parameter_names(formula) if formula else ()
        named = {*self.formulas, *itertools.chain(*self.needs.values())}
        self._check(named)
        self.operands = set(self.formulas)
        self.honoured = {*named, *inert, *self.signature.required}  # the options that are read
        self.honoured |= {name.removesuffix("_shape") for name in named}
        values = {"g", "y", *self.formulas}
        self.affine = not any(values.intersection(n) - {"g"} for n in self.needs.values())
        options: Iterable[str] = self.signature.defaults
        if isinstance(function, np.ufunc):
            self.elementwise = function.nout == 1 and function.signature is None
            self.operands |= set(self.signature.positional)
            self.honoured |= set(UFUNC_OPTIONS)
            options = ()
        # A linear function is applied again, to tangents: with the options that no formula names.
        self.options = [name for name in options if self.linear and name not in named]
        self._saves: dict[tuple[str, ...], tuple[str, ...]] = {}

    def _check(self, named: Collection[str]) -> None:
        """Raise TypeError for a name that stands for nothing."""
        known = ["g", "y", "y_shape"]
        for name in self.signature.defaults:
            known += [name, f"{name}_shape"]
        for name in named:
            if name not in known:
                raise TypeError(
                    f"derivative of {errors.name_of(self.function)}: {name!r} is not one of "
                    f"{sorted(known)}"
                )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return record(self, args, kwargs)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The call's arguments by the names of the function's parameters."""
        return self.signature.bind(args, kwargs)

    def differentiated(self, bound: Mapping[str, Any], parents: dict[str, Any]) -> dict[str, Any]:
        """The parents that a gradient flows to; those of which the derivative is zero are left out.

        Raises NotImplementedError for a tensor without a formula, if it has elements, and for an
        option that no formula reads.
        """
        for name in parents:
            if name not in self.formulas and any(map(np.size, each(unwrap(bound[name])))):
                raise errors.no_derivative(self.function, name)
        if not self.honoured.issuperset(bound):
            for name in bound.keys() - self.honoured:
                if not self.signature.is_default(name, bound[name]):
                    raise errors.unread_option(self.function, name, bound[name])
        return {name: place for name, place in parents.items() if self.formulas.get(name)}

    def saves(self, parents: Mapping[str, Any]) -> tuple[str, ...]:
        """What the formulas of these arguments need, by the names of their parameters."""
        key = tuple(parents)
        if key not in self._saves:
            names = [*itertools.chain(*(self.needs[name] for name in key)), *self.options]
            self._saves[key] = tuple(dict.fromkeys(name for name in names if name != "g"))
        return self._saves[key]

    def compute(
        self, arguments: Mapping[str, Any], parents: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """The function's value, and what its formulas name."""
        value = self.signature.call(self.function, arguments)
        if self.guarded and parents:
            value = guarded(value)
        saved = {}
        for name in self.saves(parents):
            if name in arguments:
                saved[name] = arguments[name]
            elif name not in self.options:
                saved[name] = self.look_up(name, arguments, value)
        return value, saved

    def look_up(self, name: str, arguments: Mapping[str, Any], value: Any) -> Any:
        """What a formula's parameter stands for: an argument, `y` for the value, a shape of one."""
        if name in arguments:
            return arguments[name]
        if name in self.signature.defaults:
            return self.signature.defaults[name]
        if name == "y":
            return value
        source = self.look_up(name.removesuffix("_shape"), arguments, value)
        return [np.shape(v) for v in source] if type(source) in (list, tuple) else np.shape(source)

    def pull(
        self, node: Node, gradient: Any, wanted: Collection[str], graph: bool
    ) -> dict[str, Any]:
        """The gradient of each argument that is wanted: its formula, applied to what it names."""
        values = node.values(graph)
        contributions = {}
        for name in wanted:
            formula: Any = self.formulas[name]
            given = [gradient if n == "g" else values[n] for n in self.needs[name]]
            contribution = formula(*given)
            if contribution is None:
                raise errors.no_gradient(self.function, name)
            contributions[name] = contribution
        return contributions

    def push(self, node: Node, tangents: Mapping[str, Any], graph: bool) -> Any:
        """The tangent of the value: the sum of what the tangent of each argument comes to.

        A formula for the tangent is applied. A linear function is applied to the tangent itself;
        the formula of an elementwise one multiplies by the derivative, and so serves both
        directions. What is left is transposed.
        """
        values = node.values(graph)
        parts = []
        others = {}
        for name, tangent in tangents.items():
            if name in self.tangents:
                given = [tangent if n == "t" else values[n] for n in self.tangent_needs[name]]
                parts.append(self.tangents[name](*given))
            elif name in self.linear:
                shapes = values.get(f"{name}_shape", ())
                tangent = filled(tangent, shapes) if type(tangent) is list else tangent
                arguments = self.arguments_in({**values, name: tangent})
                function = self if graph else self.function
                parts.append(self.signature.call(function, arguments))
            elif self.elementwise:
                formula: Any = self.formulas[name]
                given = [tangent if n == "g" else values[n] for n in self.needs[name]]
                parts.append(formula(*given))
            else:
                others[name] = tangent
        if others:
            parts.append(push_by_transposes(node, others, graph))
        return added(parts)

    def arguments_in(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The function's own arguments among saved values, without options that say nothing."""
        arguments = {}
        for name in self.signature.defaults:
            if name not in values:
                continue
            required = name in self.signature.required
            if required or not self.signature.is_default(name, values[name]):
                arguments[name] = values[name]
        return arguments

    def tangent(self, **formulas: Function) -> Rule:
        """Enter formulas for the tangent of the value, where none of the gradient serves.

            derivative(np.linalg.inv, a=lambda g, y: -(y.mT @ g @ y.mT)).tangent(
                a=lambda t, y: -(y @ t @ y)
            )

        A formula's parameters are `t`, the tangent of that argument, and what is saved for its
        gradient.
        """
        needs = {name: parameter_names(formula) for name, formula in formulas.items()}
        for name in formulas:
            known = {"t", *self.needs[name]}
            for needed in needs[name]:
                if needed not in known:
                    raise TypeError(
                        f"tangent of {errors.name_of(self.function)}: {needed!r} is not one of "
                        f"{sorted(known)}"
                    )
        self.tangents |= formulas
        self.tangent_needs |= needs
        return self

    def __repr__(self) -> str:
        return describe_rule(self)


class Hold:
    """While a record has one of these, a walk frees what it has passed at its end only."""

    __slots__ = ("__weakref__",)


HOLDS: weakref.WeakSet[Hold] = weakref.WeakSet()
HOLD = "hold"  # the name under which it is saved


class LimitRule(Rule):
    """A rule whose formulas may be 0 / 0, with a limit that depends on how the value is used.

    At such values they are given tensors, even on a way back that is not recorded: the value at its
    place in the graph, and gradients that record how they came about of it. So they may ask, by
    `pushforward`, how the gradient changes with the value. (A gradient that is an array is that of
    a value which nobody used.)
    """

    is_singular: Function = staticmethod(lambda value: False)

    def compute(
        self, arguments: Mapping[str, Any], parents: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        value, saved = super().compute(arguments, parents)
        if parents and self.is_singular(value):
            saved[HOLD] = hold = Hold()
            HOLDS.add(hold)
        return value, saved


def derivative(
    function: Any,
    /,
    *,
    signature: str | None = None,
    inert: Iterable[str] = (),
    selects: bool | str = False,
    linear: Iterable[str] = (),
    elementwise: bool = False,
    **formulas: Function | None,
) -> Rule:
    """Enter a function into the calculus table, with a formula for each argument's gradient.

        derivative(np.exp, x=lambda g, y: g * y)

    A formula's parameters are `g`, the incoming gradient, `y`, the function's value, the function's
    own arguments, and any of these with `_shape` behind it. None for a formula: zero by nature. A
    list of arrays has a list of gradients; several values have a list for `g`. Sums over broadcast
    axes and casts are the engine's.

    An option that no formula reads is refused when it is given, unless `inert` names it: one that
    has no influence on the gradient. `selects` says that elements of the arguments may not reach
    the value; by name, that the mask does so. `signature`, as "a, axis=0", stands where Python
    cannot see the function's own.

    Forward mode follows by itself, fast if it is known how: `linear` names the arguments in which
    the function is linear; `elementwise` says that each element of the value depends on one of each
    argument, as it does for a ufunc. `Rule.tangent` takes formulas for the other functions.
    """
    function = MIRRORED.get(function, function)
    rule = Rule(function, formulas, signature, inert, selects, linear, elementwise)
    rule.guarded = True
    TABLE[function] = rule
    USER_RULES.add(function)
    return rule


def rule(function: Any) -> Any:
    """The row of a function: it is called like the function, and prints as it stands."""
    while function not in TABLE:
        if function in MIRRORED:
            return rule(MIRRORED[function])
        if not LAZY_ROOMS:
            raise errors.without_rule(function)
        enter = LAZY_ROOMS[-1]
        enter()  # before it is struck off: another thread may wait for the same
        if enter in LAZY_ROOMS:
            LAZY_ROOMS.remove(enter)
    return TABLE[function]


def dispatch(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Carry out a function of the table on tensors."""
    return rule(function)(*args, **kwargs)


# ----------------------------------------------------------------------------------- the way back


def backpropagate(
    roots: Sequence[tuple[Place, Any]],
    targets: Iterable[Place] = (),
    graph: bool = False,
    retain: bool = False,
) -> dict[Place, Any]:
    """Carry gradients from the roots back to all leaves, or only to the targets; return them by
    place.

    Every operation is younger than its parents; so, youngest first, a node is reached after all
    that used its value, and its gradient is complete. With `graph` the formulas run on tensors and
    record themselves. Nodes are freed once passed, unless `retain`.
    """
    walk = Walk(roots, targets, graph)
    for observer in walk.observers:
        observer.start(Start(roots, walk.path, graph))
    with switched("recording", graph):
        while walk.queue:
            node, gradient = walk.next()
            if walk.arrives(node, gradient):
                continue
            for name, contribution in walk.pull(node, gradient).items():
                walk.add(node.parents[name], contribution, node)
            if retain or graph:
                continue
            if walk.holds:
                walk.held.append(node)
            else:
                node.free()
    for node in walk.held:
        node.free()
    gradients = walk.results()
    for observer in walk.observers:
        observer.finish(Finish(gradients))
    return gradients


class Walk:
    """The gradients on their way back, by place, and the operations in a queue, the youngest
    first."""

    def __init__(
        self, roots: Sequence[tuple[Place, Any]], targets: Iterable[Place], graph: bool
    ) -> None:
        self.graph = graph
        self.roots = roots
        self.holds = bool(HOLDS)  # whether nodes are freed at the end only
        self.held: list[Node] = []  # these nodes
        self.gradients: dict[Place, Any] = {}
        self.arrived: dict[Place, Any] = {}  # those of operations that were asked for
        self.queue: list[tuple[int, Node]] = []
        self.waiting: set[Node] = set()  # the operations with several values in it
        self.dropped: dict[Node, np.ndarray] = {}  # elements of a value that reach no root
        self.owned: set[Place] = set()  # the places whose gradient is an array that nobody else has
        self.observers = observers()
        self.ends = {place.node for place in targets}
        self.path: set[Node] | None = None  # between the roots and the ends; None: all nodes
        if self.ends:
            self.path = nodes_on_path([place.node for place, _ in roots], self.ends)
        for place, gradient in roots:
            self.add(place, gradient)

    def add(self, place: Any, gradient: Any, node: Node | None = None) -> None:
        """Add what a node (None: the caller) contributes to the gradient of a place, or of a list.

        The first contribution is not written to: it may be someone else's array.
        """
        if type(place) is list:
            for one, part in zip(place, gradient, strict=True):
                self.add(one, part, node)
            return
        if place is None or gradient is None:
            return
        if self.path is not None and not self.leads_to(place):
            return
        gradient = unbroadcast(gradient, place, node)
        if place in self.gradients:
            self.gradients[place] = self.sum(place, gradient)
            self.owned.add(place)
            return
        self.gradients[place] = gradient
        if node is not None and node.operation.gives_new_arrays:
            self.owned.add(place)
        if type(place) is Node:
            if place.operation is not None:
                heappush(self.queue, (-place.order, place))
        elif place.node not in self.waiting:
            self.waiting.add(place.node)
            heappush(self.queue, (-place.node.order, place.node))

    def leads_to(self, parent: Any) -> bool:
        """Whether a place, or one of a list of places, lies on the path."""
        path = self.path or ()
        return any(place is not None and place.node in path for place in each(parent))

    def sum(self, place: Place, gradient: Any) -> Any:
        """The gradient of a place and one more."""
        return self.gradients[place] + gradient

    def next(self) -> tuple[Node, Any]:
        """The youngest operation and its gradient; of several values a list, zeros for those
        unused."""
        node = heappop(self.queue)[1]
        if type(node.shape) is not list:
            return node, self.gradients.pop(node)
        gradient = []
        for i, (shape, dtype) in enumerate(zip(node.shape, node.dtype, strict=True)):
            part = self.gradients.pop(Output(node, i), None)
            gradient.append(np.zeros(shape, dtype) if part is None else part)
        return node, gradient

    def arrives(self, node: Node, gradient: Any) -> bool:
        """Keep a gradient that is asked for; return whether it goes no further."""
        if node.tensor is None and node not in self.ends:
            return False
        places = [node] if type(node.shape) is not list else map(Output, repeat(node), count())
        self.arrived.update(zip(places, each(gradient), strict=False))
        return node in self.ends

    def pull(self, node: Node, gradient: Any) -> dict[str, Any]:
        """What a node contributes to the gradients of its arguments."""
        started = now() if self.observers else 0.0
        if node.saved is None:
            raise errors.freed(node)
        operation: Operation = node.operation
        dropped = None
        if operation.guarded:
            gradient = read_only(gradient)
        wanted: Collection[str] = node.parents
        if self.path is not None:
            wanted = [name for name in wanted if self.leads_to(node.parents[name])]
        if self.holds and not self.graph and HOLD in node.saved:
            contributions = self.pull_recorded(node, wanted)
        else:
            contributions = operation.pull(node, gradient, wanted, self.graph)
        if self.dropped or (operation.selects and drops(node)):
            dropped = self.dropped.pop(node, None)
            if dropped is not None:
                contributions = silence(operation, contributions, dropped)
            self.drop(node, contributions, dropped)
        for observer in self.observers:
            observer.backward(Pull(node, gradient, contributions, started, dropped))
        return contributions

    def pull_recorded(self, node: Node, wanted: Collection[str]) -> dict[str, Any]:
        """What a node contributes if its formulas ask how its gradient depends on its values.

        The way back to the node is walked once more, on tensors that record themselves.
        """
        places = [Output(node, i) for i in range(len(node.shape))]
        with unobserved(), switched("recording", True):
            found = backpropagate(self.roots, places, graph=True)
            gradient = [found[place] for place in places]
            contributions = node.operation.pull(node, gradient, wanted, True)
        return {name: unwrap(contribution) for name, contribution in contributions.items()}

    def drop(
        self, node: Node, contributions: Mapping[str, Any], dropped: np.ndarray | None
    ) -> None:
        """Note which elements of the parents' values were dropped by all who used them."""
        names = [n for n in contributions if any(map(can_drop, each(node.parents[n])))]
        used = {p for n in names for p in each(node.parents[n]) if p in self.gradients}
        for name in names:
            parents = each(node.parents[name])
            masks = dropped_by(node, name, contributions[name], dropped)
            for parent, mask in zip(parents, masks, strict=True):
                if parent in used:
                    before = self.dropped.pop(parent, None)
                    mask = None if mask is None or before is None else mask & before
                if mask is not None and mask.any():
                    self.dropped[parent] = mask
                used.add(parent)

    def results(self) -> dict[Place, Any]:
        """The gradients that have arrived; arrays in memory of their own."""
        found = self.arrived | self.gradients
        if not self.graph:
            for place in found.keys() - self.owned:
                found[place] = np.array(found[place])
        return found


def nodes_on_path(roots: Iterable[Node], ends: Collection[Node]) -> set[Node]:
    """The nodes between the roots and the ends: gradients that lead to no end are not computed."""
    oldest = min(node.order for node in ends)
    seen = set(roots)
    stack = list(seen)
    while stack:
        node = stack.pop()
        if node in ends or node.operation is None:
            continue
        if node.saved is None:
            raise errors.freed(node)
        for place in node.places():
            if place.node not in seen and place.node.order >= oldest:
                seen.add(place.node)
                stack.append(place.node)
    on_path = set(ends)
    for node in sorted(seen, key=lambda node: node.order):
        if any(place.node in on_path for place in node.places()):
            on_path.add(node)
    return on_path


def unbroadcast(gradient: Any, place: Place, node: Node | None) -> Any:
    """A contribution in the shape and dtype of its tensor: summed over broadcast axes, cast."""
    shape, dtype = place.shape, place.dtype
    if type(gradient) is np.ndarray and gradient.shape == shape and gradient.dtype == dtype:
        return gradient
    if type(gradient) is not Tensor:
        function = None if node is None else node.operation.function
        gradient = as_numbers(gradient, function, "gradient")
    if gradient.shape != shape:
        axes = broadcast_axes(gradient.shape, shape)
        if axes is None:
            raise errors.wrong_shape(node, gradient.shape, shape)
        gradient = np.sum(gradient, axis=axes).reshape(shape)
    loses = is_complex(gradient) and dtype.kind != "c"
    if loses and (node is None or all(d.kind != "c" for d in each(node.dtype))):
        raise errors.complex_gradient(node)
    return project(gradient, dtype)  # a real number does not move along the imaginary axis


def broadcast_axes(shape: Shape, before: Shape) -> tuple[int, ...] | None:
    """The axes of a shape that broadcasting has added or stretched; None if it was no broadcast."""
    extra = len(shape) - len(before)
    padded = (1,) * extra + before
    axes = tuple(i for i, n in enumerate(shape) if i < extra or n != padded[i])
    return None if extra < 0 or any(padded[i] != 1 for i in axes) else axes


def drops(node: Node) -> bool:
    """Whether elements of the arguments may not reach the value: a mask may leave them out."""
    selects = node.operation.selects
    if type(selects) is not str:
        return bool(selects)
    return node.saved is not None and node.saved.get(selects, True) is not True


def can_drop(place: Any) -> bool:
    """Whether it matters which elements of the value at a place were dropped."""
    if type(place) is not Node or place.operation is None:
        return False
    operation = place.operation
    return isinstance(operation, Rule) or operation.elementwise or operation.selects


def dropped_by(
    node: Node, name: str, contribution: Any, dropped: np.ndarray | None
) -> list[np.ndarray | None]:
    """The elements of an argument that reach no root through the node; None if that is unknown.
    (A list, as an argument may be one.)

    Of a rule, what reaches it is what a gradient comes to that is 0 at the elements that were
    dropped and positive elsewhere; behind a sum of both signs a random one, which does not cancel.
    """
    operation, parents = node.operation, each(node.parents[name])
    selects = drops(node)
    unknown: list[np.ndarray | None] = [None] * len(parents)
    if type(node.dtype) is list or (dropped is None and not selects):
        return unknown
    if isinstance(operation, Rule) and (
        selects or (operation.affine and not operation.elementwise)
    ):
        probe = np.ones(node.shape, node.dtype)
        if not selects:
            probe += np.random.default_rng(0).random(node.shape)
        if dropped is not None:
            probe[dropped] = 0
        reached = operation.pull(node, probe, [name], False)[name]
    elif selects:
        reached = unwrap(contribution)
    elif operation.elementwise and dropped is not None:
        reached = np.logical_not(dropped).astype(node.dtype)
    else:
        return unknown
    return [
        None if parent is None else np.equal(unbroadcast(part, parent, node), 0)
        for parent, part in zip(parents, each(reached), strict=True)
    ]


def silence(
    operation: Operation, contributions: Mapping[str, Any], dropped: np.ndarray
) -> dict[str, Any]:
    """0 times infinity is 0 where an element was dropped, so that its gradient is 0.

    (If an operation is not elementwise: where all elements were dropped.)
    """
    zero: Any = True if dropped.all() else dropped
    silenced = {}
    for name, contribution in contributions.items():
        shape = getattr(contribution, "shape", None)
        fits = zero is True or (operation.elementwise and shape == dropped.shape)
        if fits and shape is not None and np.isnan(unwrap(contribution)).any():
            contribution = np.where(zero, 0, contribution)
        silenced[name] = contribution
    return silenced


def deposit(gradients: Mapping[Place, Any]) -> None:
    """Add gradients to the `.grad` of the tensors that stand at these places."""
    watching = observers()
    for place, gradient in gradients.items():
        reference = place.node.tensor
        if isinstance(place, Output):
            reference = (reference or {}).get(place.number)
        tensor = reference() if reference is not None else None
        if tensor is None:
            continue
        gradient = conjugate(gradient)
        if type(gradient) is Tensor:  # which several places may have in common
            gradient = wrap(gradient._array, gradient._node)
        for observer in watching:
            observer.deposit(Deposit(tensor, place, tensor._grad, gradient))
        tensor._grad = gradient if tensor._grad is None else tensor._grad + gradient


# -------------------------------------------------------------------------------- the way forward


def pushforward(
    seeds: Mapping[Place, Any], values: Iterable[Place], graph: bool = False
) -> dict[Place, Any]:
    """Carry tangents from the seeds to the values; return them by place.

    The nodes between them come oldest first, so that the tangents of all parents are there. With
    `graph` the formulas run on tensors and record themselves. A value that does not depend on the
    seeds has no tangent.
    """
    tangents = dict(seeds)
    values = list(values)
    watching = [] if graph else observers()
    for observer in watching:
        observer.pushing()
    ends = {place.node for place in seeds}
    nodes = nodes_on_path([place.node for place in values], ends) - ends if ends else ()
    with switched("recording", graph):
        for node in sorted(nodes, key=lambda node: node.order):
            given = {name: tangents_at(p, tangents) for name, p in node.parents.items()}
            given = {name: tangent for name, tangent in given.items() if tangent is not None}
            if not given:  # it depends on another output of a seed's operation
                continue
            tangent = node.operation.push(node, given, graph)
            several = type(node.shape) is list
            pushed = {}
            for i, part in enumerate(tangent if several else [tangent]):
                place = Output(node, i) if several else node
                if part is not None:
                    pushed[place] = broadcast_tangent(part, place, given)
            tangents |= pushed
            for observer in watching:
                observer.push(Push(node, given, pushed))
    for observer in watching:
        observer.pushed({place: tangents[place] for place in values if place in tangents})
    return tangents


def tangents_at(place: Any, tangents: Mapping[Place, Any]) -> Any:
    """The tangent at a place; a list for a list of places; None if all are zero."""
    if type(place) is not list:
        return tangents.get(place)
    parts = [tangents.get(p) for p in place]
    return parts if any(part is not None for part in parts) else None


def filled(tangents: Sequence[Any], shapes: Sequence[Shape]) -> list[Any]:
    """The tangents of a list, with zeros where there is none."""
    dtype = next(t.dtype for t in tangents if t is not None)
    pairs = zip(tangents, shapes, strict=True)
    return [np.zeros(shape, dtype) if t is None else t for t, shape in pairs]


def broadcast_tangent(tangent: Any, place: Place, given: Mapping[str, Any]) -> Any:
    """A tangent in the shape and dtype of its value. Where an elementwise operation was given
    nothing but zeros, it is 0, whatever the derivative is."""
    shape, dtype = place.shape, place.dtype
    operation = place.node.operation
    if type(tangent) is not Tensor:
        tangent = np.asarray(tangent)
    if tangent.shape != shape:
        tangent = np.broadcast_to(tangent, shape)
    if operation.elementwise and has_nan(unwrap(tangent)):
        still = True
        for part in given.values():
            still = still & np.equal(unwrap(part), 0)
        tangent = np.where(still, 0, tangent)
    return project(tangent, dtype)


def has_nan(x: np.ndarray) -> bool:
    """Whether an element is no number; the sum of squares, which BLAS takes fast, shows it."""
    flat = x.ravel(order="K")
    total = np.vdot(flat, flat)
    return bool(total != total) and bool(np.isnan(x).any())


def push_by_transposes(node: Node, tangents: Mapping[str, Any], graph: bool) -> Any:
    """The tangent of a value from the formulas of the gradients alone.

    These are linear in the gradient u: what they come to is J' u. So the gradient of <J' u, t> with
    respect to u is J t.
    """
    several = type(node.shape) is list
    shapes = node.shape if several else [node.shape]
    dtypes = node.dtype if several else [node.dtype]
    outputs: list[Any] = []
    for shape, dtype in zip(shapes, dtypes, strict=True):
        if dtype.kind in DIFFERENTIABLE:
            u = Node(None, {}, {}, shape, dtype)
            outputs.append(wrap(np.ones(shape, dtype), u))
        else:
            outputs.append(np.zeros(shape, dtype))
    roots = []
    with switched("recording", True):
        gradient = outputs if several else outputs[0]
        contributions = node.operation.pull(node, gradient, list(tangents), True)
        for name, tangent in tangents.items():
            parts = each(node.parents[name]), each(contributions[name]), each(tangent)
            for place, part, t in zip(*parts, strict=True):
                if place is None or part is None or t is None:
                    continue
                part = unbroadcast(part, place, node)
                if type(part) is Tensor and part._node is not None:
                    roots.append((part._node, t))
    places = [output._node if type(output) is Tensor else None for output in outputs]
    wanted = [place for place in places if place is not None]
    found = backpropagate(roots, wanted, graph) if roots and wanted else {}
    pushed = [None if place is None else found.get(place) for place in places]
    return pushed if several else pushed[0]


def added(parts: Sequence[Any]) -> Any:
    """The sum of tangents, or of lists of them; None stands for zero."""
    total = parts[0]
    for part in parts[1:]:
        if type(part) is list:
            total = [added([a, b]) for a, b in zip(total, part, strict=True)]
        elif total is None or part is None:
            total = part if total is None else total
        else:
            total = total + part
    return total


# ------------------------------------------------------------------------------------- the tensor


@final
class Tensor(NumPyInterface):
    """An array whose computation is recorded, so that gradients can be taken with respect to it.

    Operators, methods and NumPy's functions work as on an ndarray. `data` (anything that `np.array`
    takes, of real or complex numbers) is copied: the array is the tensor's own, and is written to
    through `t.data` only.
    """

    __slots__ = ("__weakref__", "_array", "_grad", "_memory", "_node", "_writer")
    _array: np.ndarray  # the value; of a leaf a read-only window on its own array
    _node: Any  # its place in the graph, or None
    _grad: Any
    _memory: memoryview | None  # of the array that is a leaf's own: see `engine/ownership.py`
    _writer: Any  # a weak reference to what `data` has given out
    _dispatch = staticmethod(dispatch)

    def __init__(
        self, data: ArrayLike | Tensor, requires_grad: bool = False, **others: object
    ) -> None:
        if others:
            raise errors.their_option(Tensor, next(iter(others)))
        if isinstance(data, Tensor):
            data = data._leave("tg.Tensor(t)")
        own(self, np.array(as_numbers(data, Tensor, "data")))
        self._node = self._grad = None
        if requires_grad:
            self.requires_grad = True

    @property
    def requires_grad(self) -> bool:
        """Whether computations with this tensor are recorded. Can be set on leaves."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        if not self.is_leaf:
            raise RuntimeError(
                f"requires_grad can be set on leaves; this is the result of {self._node.node}"
            )
        if not on:
            self._node = None
        elif self._node is None:
            array = self._array
            if array.dtype.kind not in DIFFERENTIABLE:
                raise TypeError(
                    f"gradients need floating-point numbers, not {array.dtype}; see t.astype(float)"
                )
            self._node = Node(None, {}, {}, array.shape, array.dtype)
            self._node.tensor = weakref.ref(self)

    def retain_grad(self) -> None:
        """Have backward leave the gradient of this tensor in `.grad` (leaves have it anyway)."""
        if self._node is None:
            raise RuntimeError("this tensor does not require a gradient")
        if isinstance(self._node, Output):
            node, number = self._node
            node.tensor = {**(node.tensor or {}), number: weakref.ref(self)}
        else:
            self._node.tensor = weakref.ref(self)

    @property
    def data(self) -> np.ndarray:
        """The array. A leaf's may be written to; a recorded result's is read-only.

        What was recorded before a write keeps the array as it was; the tensor goes on with another.
        """
        return write(self) if self.is_leaf else self.numpy()

    @data.setter
    def data(self, value: ArrayLike) -> None:
        if self._writer is not None and value is self._writer():
            return  # t.data -= step has changed it in place
        array = as_numbers(unwrap(value), Tensor, "data")
        array = np.array(fit(array, self._array.dtype, Tensor, "data"))
        if not self.is_leaf or array.shape != self._array.shape:
            raise ValueError(
                f"only a leaf's data can be set, and to its shape, {self._array.shape}"
            )
        own(self, array)

    def numpy(self) -> np.ndarray:
        """The array outside the graph, read-only, as it is now whatever is written to the tensor
        later."""
        array: Any = unwrap(self)
        return array if type(array.base) is memoryview else window(array)

    @property
    def grad(self) -> Any:
        """What backward collected, in this tensor's shape and dtype; None before.

        An array; with `create_graph` a tensor.
        """
        if self._grad is None and not self.is_leaf and self._node.node.tensor is None:
            raise errors.not_a_leaf(self._node.node)
        return self._grad

    @grad.setter
    def grad(self, value: Array | None) -> None:
        if value is not None:
            if type(value) is not Tensor:
                value = as_numbers(value, Tensor, "grad")
            if is_complex(value):
                value = fit(value, self.dtype, Tensor, "grad")
            if value.shape != self.shape:
                raise errors.unfit_gradient(value.shape, self.shape)
        self._grad = value

    def backward(
        self,
        gradient: ArrayLike | None = None,
        create_graph: bool = False,
        retain_graph: bool = False,
    ) -> None:
        """Add the gradient of this tensor, times `gradient`, to the `.grad` of every leaf behind
        it.

        `gradient` has this tensor's shape; a single number needs none. `create_graph` records the
        way back itself, for second derivatives; `retain_graph` keeps the graph for another time.
        """
        if self._node is None:
            raise RuntimeError(
                "nothing was recorded: no tensor here requires a gradient, or no_grad was on"
            )
        if gradient is None:
            if self._array.size != 1:
                raise errors.not_a_number(self.shape)
            if is_complex(self):
                raise errors.not_real("backward", self.dtype)
            gradient = np.ones(self.shape, self.dtype)
        if type(gradient) is not Tensor:
            gradient = wrap(np.array(as_numbers(gradient, Tensor.backward, "gradient")))
        if gradient.shape != self.shape:
            raise errors.unfit_gradient(gradient.shape, self.shape)
        root = conjugate(gradient if create_graph else unwrap(gradient))
        deposit(backpropagate([(self._node, root)], (), create_graph, retain_graph))

    def detach(self) -> Tensor:
        """The same values outside the graph, as a tensor."""
        detached: Tensor = wrap(unwrap(self))
        return detached
