"""What a tape notes while a computation runs: references only, and copies of what may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from ..engine.observers import (
    Call,
    Deposit,
    Edit,
    Finish,
    Observer,
    Pull,
    Push,
    Scope,
    Start,
    Step,
)
from ..engine.ownership import read
from ..tensor import PLAIN, Output, Place, Tensor, each, rule, unwrap
from ..typing import ArrayLike
from .names import Frames, calls, places

Noted: TypeAlias = Any  # a variable, a plain value, or a list or dict of these
Event: TypeAlias = Any  # one of the classes below whose names begin with "Noted"
UNTOLD = ("x", "x1", "x2", "a", "b", "gradient")  # names of parameters that say nothing


class Variable:
    """A value of the computation: an input, or the value of a noted call."""

    __slots__ = ("argument", "array", "copied", "hint", "is_computed", "tensor")

    def __init__(
        self, array: np.ndarray, is_computed: bool = False, tensor: Tensor | None = None
    ) -> None:
        self.array = array
        self.is_computed = is_computed  # whether it is the value of a call
        self.tensor = tensor  # of an input: the leaf that it was at first
        self.copied = False  # whether the array may be another one by now
        self.hint: str | None = None  # a name
        self.argument: Any = None  # of an input: of which operation it was first an argument, where


@dataclass(slots=True)
class NotedCall:
    """An operation that was carried out."""

    function: Any
    operation: Any
    arguments: Mapping[str, Any]  # by name: variables, plain values, lists of these
    node: Any
    parents: Mapping[str, Any]
    saved: Mapping[str, Any]
    value: Any  # a variable, or several
    frames: Frames
    seconds: float
    scopes: tuple[Scope, ...]


@dataclass(slots=True)
class NotedPull:
    """An operation on the way back."""

    node: Any
    operation: Any
    parents: Mapping[str, Any]
    saved: Mapping[str, Any]
    gradient: Any  # a variable or an array; several as a list
    contributions: Mapping[str, Any]  # those of a call that was computed again: variables
    wanted: tuple[str, ...]
    dropped: Any
    seconds: float


@dataclass(slots=True)
class NotedStart:
    """A way back begins."""

    roots: list[tuple[Place, Any]]  # places and variables
    path: Any
    graph: bool
    inside: bool  # whether a formula does this on the way forward


@dataclass(slots=True)
class NotedFinish:
    """A way back is at its end."""

    gradients: dict[Place, Variable]


@dataclass(slots=True)
class NotedPush:
    """An operation on the way forward."""

    node: Any
    operation: Any
    parents: Mapping[str, Any]
    saved: Mapping[str, Any]
    tangents: Mapping[str, Any]  # of the arguments: variables, or lists of them
    pushed: dict[Place, Variable]


@dataclass(slots=True)
class NotedPushed:
    """A way forward is at its end."""

    tangents: dict[Place, Variable]


@dataclass(slots=True)
class NotedDeposit:
    """A gradient is added to a tensor's `.grad`."""

    parameter: Variable
    before: Variable | None
    carried: Variable | None  # of a complex tensor: what its gradient is the conjugate of
    gradient: Variable
    total: Variable


@dataclass(slots=True)
class NotedEdit:
    """Gradients that are changed together."""

    function: Any
    gradients: list[Variable]
    number: float
    new: list[Variable]


@dataclass(slots=True)
class State:
    """What an optimiser keeps for a parameter."""

    owner: Any  # where it is kept
    arrays: dict[str, np.ndarray]


@dataclass(slots=True)
class NotedStep:
    """A parameter's update."""

    optimizer: Any
    options: Mapping[str, Any]
    tensor: Tensor
    first: Variable  # the parameter, as it was when it was first used
    parameter: Variable
    gradient: Variable
    state: State
    t: int
    new: Variable
    new_state: State


@dataclass(slots=True)
class Recorder(Observer):
    """An observer that notes all that it sees, in order."""

    events: list[Any] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    by_place: dict[Any, Variable] = field(default_factory=dict)
    by_memory: dict[Any, Variable] = field(default_factory=dict)
    inputs: list[Variable] = field(default_factory=list)
    leaves: dict[int, Variable] = field(default_factory=dict)  # by the id of the tensor
    grads: dict[int, Variable] = field(default_factory=dict)  # each `.grad`, by that
    states: dict[int, State] = field(default_factory=dict)  # of optimisers, by that
    updates: dict[int, Variable] = field(default_factory=dict)  # under way, by that
    modules: dict[int, Any] = field(default_factory=dict)  # the outermost ones, by id
    argument: str = ""  # that is being noted
    operation: Any = None  # whose argument that is
    depth: int = 0  # of ways forward inside each other
    within: bool = False  # whether names of the source of kernels count
    held: list[Any] = field(default_factory=list)
    finished: dict[Any, Variable] = field(default_factory=dict)  # of the last way back

    # --------------------------------------------------------------------------- what is observed

    def forward(self, call: Call) -> None:
        if not is_value(call.value):  # a shape, or the number of axes
            return
        seconds = perf_counter() - call.started
        node = call.node
        by_place = self.by_place
        arguments = {}
        self.operation = call.operation
        for name, value in call.arguments.items():
            self.argument = name
            if type(value) is Tensor:
                # The usual case first: the value of an operation that was noted.
                place = value._node
                known = None if place is None or type(place) is Output else by_place.get(place)
                if known is None or not known.is_computed:
                    known = self.of_tensor(value)
                arguments[name] = known
            else:
                arguments[name] = value if type(value) in PLAIN else self.noted(value, name)
        saved = node.saved if node is not None else {}
        frames = places(self.within)
        noted = NotedCall(
            call.function,
            call.operation,
            arguments,
            node,
            node.parents if node is not None else {},
            saved,
            None,
            frames,
            seconds,
            tuple(self.scopes),
        )
        self.operation = None
        noted.value = self.result(call.value)
        self.events.append(noted)
        for name, variable in arguments.items():
            if type(variable) is Variable and variable.copied and name in saved:
                self.by_memory.setdefault(key_of(saved[name]), variable)  # a record's own copy

    def backward(self, pull: Pull) -> None:
        seconds = perf_counter() - pull.started
        node = pull.node
        contributions: dict[str, Any] = {}
        if not hasattr(node.operation, "signature"):  # neither a rule nor a kernel
            for name, value in pull.contributions.items():
                contributions[name] = self.noted(value, name)
        gradient: Any = pull.gradient
        if type(gradient) is not np.ndarray:
            gradient = [self.gradient(part) for part in each(pull.gradient)]
            if type(node.shape) is not list:
                (gradient,) = gradient
        self.events.append(
            NotedPull(
                node,
                node.operation,
                node.parents,
                node.saved,
                gradient,
                contributions,
                tuple(pull.contributions),
                pull.dropped,
                seconds,
            )
        )

    def start(self, start: Start) -> None:
        roots = []
        for place, gradient in start.roots:
            if type(gradient) is Tensor:
                variable = self.of_tensor(gradient)
            else:
                array = np.asarray(gradient)
                variable = self.known(array) or Variable(array.copy())
            roots.append((place, variable))
        self.events.append(NotedStart(roots, start.path, start.graph, self.depth > 0))

    def finish(self, finish: Finish) -> None:
        gradients = {}
        for place, gradient in finish.gradients.items():
            if type(gradient) is Tensor:
                gradients[place] = self.noted(gradient, "gradient")
                continue
            gradients[place] = self.copied(np.asarray(gradient))
        self.finished = gradients
        self.events.append(NotedFinish(gradients))

    def push(self, push: Push) -> None:
        node = push.node
        given = {name: self.tangent(value, name) for name, value in push.tangents.items()}
        pushed = {}
        for place, array in push.pushed.items():
            found = self.known(array)
            if found is None:
                found = self.by_memory[key_of(array)] = Variable(array, True)
            pushed[place] = found
        self.events.append(NotedPush(node, node.operation, node.parents, node.saved, given, pushed))

    def pushing(self) -> None:
        self.depth += 1

    def pushed(self, tangents: Mapping[Place, np.ndarray]) -> None:
        self.depth -= 1
        if self.depth:
            return  # inside of another
        noted = {place: self.tangent(array, "x") for place, array in tangents.items()}
        self.events.append(NotedPushed(noted))

    def tangent(self, value: Noted, name: str) -> Noted:
        """The tangent of an argument; of a list one each."""
        if type(value) is list:
            return [self.tangent(part, name) for part in value]
        if value is None:
            return None
        return self.changeable(value, "tangent")

    def deposit(self, deposit: Deposit) -> None:
        before = None
        if deposit.before is not None:
            before = self.grad(deposit.tensor, unwrap(deposit.before))
        carried = None
        if deposit.gradient.dtype.kind == "c" and type(deposit.gradient) is not Tensor:
            carried = self.finished[deposit.place]
            gradient = self.copied(deposit.gradient)
        else:
            gradient = self.noted(deposit.gradient, "gradient")
        total = gradient
        if before is not None:
            total = Variable(unwrap(deposit.before) + unwrap(deposit.gradient))
        parameter = self.by_place.get(deposit.place) or self.noted(deposit.tensor, "x")
        self.held.append(deposit.tensor)
        self.grads[id(deposit.tensor)] = total
        self.events.append(NotedDeposit(parameter, before, carried, gradient, total))

    def edit(self, edit: Edit) -> None:
        arrays = [unwrap(tensor.grad) for tensor in edit.tensors]
        pairs = zip(edit.tensors, arrays, strict=True)
        gradients = [self.grad(tensor, array) for tensor, array in pairs]
        new = [Variable(array) for array in edit.function(arrays, edit.number)]
        for tensor, variable, array in zip(edit.tensors, new, arrays, strict=True):
            if variable.array is array:
                variable.array = array.copy()
            self.grads[id(tensor)] = variable
            self.held.append(tensor)
        self.events.append(NotedEdit(edit.function, gradients, edit.number, new))

    def step(self, step: Step) -> None:
        tensor = step.parameter
        self.held.append(tensor)
        parameter = self.parameter(tensor)
        state = self.states.get(id(tensor))
        if state is None or state.owner is not step.owner:
            state = State(step.owner, dict(step.state()))
        noted = NotedStep(
            step.optimizer,
            step.options,
            tensor,
            self.by_place.get(tensor._node, parameter),
            parameter,
            self.grad(tensor, unwrap(tensor.grad)),
            state,
            step.t,
            Variable(tensor._array, tensor=tensor),
            State(step.owner, {}),
        )
        self.states[id(tensor)] = noted.new_state
        self.updates[id(tensor)] = noted.new
        self.events.append(noted)

    def stepped(self, step: Step) -> None:
        tensor = step.parameter
        new = self.leaves[id(tensor)] = self.updates[id(tensor)]
        new.array = tensor._array
        self.by_memory[key_of(new.array)] = new

    def enter(self, scope: Scope) -> None:
        if scope.kind == "module" and not any(s.kind == "module" for s in self.scopes):
            self.modules.setdefault(id(scope.subject), scope.subject)
        self.scopes.append(scope)

    def leave(self, scope: Scope) -> None:
        self.scopes.pop()

    # --------------------------------------------------------------------------------- variables

    def result(self, value: Noted) -> Noted:
        """The value of a call as a variable; several in a list."""
        if isinstance(value, (tuple, list)):
            return [self.result(part) for part in value]
        array = value._array if type(value) is Tensor else np.asarray(value)
        variable = Variable(array, True)
        key = key_of(array)
        known = self.by_memory.get(key)
        if type(value) is not Tensor:
            variable.copied = True
            variable.array = array.copy()
            self.held.append(value)
            self.by_memory[key] = variable
            return variable
        if known is None or known.copied:
            self.by_memory[key] = variable
        if value._node is not None:
            self.by_place[value._node] = variable
        return variable

    def noted(self, value: Noted, name: str) -> Noted:
        """An argument: a variable for an array, lists item by item, all else as it is."""
        if type(value) is Tensor:
            return self.of_tensor(value)
        if type(value) in PLAIN:
            return value
        if isinstance(value, np.ndarray):
            return self.changeable(value, name)
        if type(value) in (list, tuple):
            return type(value)([self.noted(part, name) for part in value])
        if type(value) is dict:
            return {key: self.noted(part, key) for key, part in value.items()}
        return value

    def of_tensor(self, tensor: Tensor) -> Variable:
        """The variable of a tensor: by its place in the graph, or by where its array lies."""
        place = tensor._node
        array = tensor._array if tensor._writer is None else read(tensor)
        if place is not None and place.node.operation is not None:
            found = self.by_place.get(place)
            if found is not None:
                return found
        found = self.known(array)
        if found is None:
            found = self.input(array, tensor)
            self.by_memory[key_of(array)] = found
        if place is not None:
            self.by_place.setdefault(place, found)
            if place.node.operation is None:
                self.leaves[id(tensor)] = found
                self.held.append(tensor)
        return found

    def changeable(self, given: ArrayLike, name: str = "x") -> Variable:
        """The variable of an array that someone may write to: an earlier one if it is the same."""
        array = np.asarray(given)
        found = self.known(array) or self.transposed(array)
        if found is not None:
            return found
        found = self.input(array.copy(), given)
        found.copied = True
        if found.hint is None:
            found.hint = "constant" if name in UNTOLD else name
        self.by_memory[key_of(array)] = found
        self.held.append(array)
        return found

    def copied(self, array: np.ndarray) -> Variable:
        """A variable with a copy of an array that its owner may write to."""
        variable = Variable(array.copy())
        variable.copied = True
        self.by_memory[key_of(array)] = variable
        self.held.append(array)  # so that no other array gets its key
        return variable

    def transposed(self, array: np.ndarray) -> Variable | None:
        """A matrix that is the transpose of a variable, as the value of a call of its own."""
        if array.ndim < 2 or array.base is None:
            return None
        base = array.base
        if not isinstance(base, np.ndarray) or base.ndim < 2:
            return None
        if array.strides != base.mT.strides:
            return None
        source = self.known(base) if array.shape == base.mT.shape else None
        if source is None or array.ctypes.data != base.ctypes.data:
            return None
        row = rule(np.matrix_transpose)
        call = NotedCall(
            np.matrix_transpose,
            row,
            {row.signature.positional[0]: source},
            None,
            {},
            {},
            None,
            (),
            0.0,
            tuple(self.scopes),
        )
        variable = Variable(source.array.mT, True)
        variable.copied = source.copied
        call.value = variable
        self.events.append(call)
        self.by_memory[key_of(array)] = variable
        self.held.append(array)
        return variable

    def known(self, array: np.ndarray) -> Variable | None:
        """The variable whose array lies at the same place, and has not changed since."""
        found = self.by_memory.get(key_of(array))
        if found is None or found.array is array:
            return found
        unchanged = same(found.array, array) if found.copied else is_window(array, found.array)
        return found if unchanged else None

    def gradient(self, part: Noted) -> Noted:
        """The gradient of a value: nobody writes to it any more."""
        return self.of_tensor(part) if type(part) is Tensor else part

    def parameter(self, tensor: Tensor) -> Variable:
        """A parameter as it is before an update."""
        found = self.leaves.get(id(tensor))
        array = unwrap(tensor)
        if found is None or (found.array is not array and not same(found.array, array)):
            found = self.leaves[id(tensor)] = self.input(array, tensor)
        return found

    def grad(self, tensor: Tensor, gradient: np.ndarray) -> Variable:
        """What an optimiser is given as a gradient: what backward left, unless that has changed."""
        found = self.grads.get(id(tensor))
        if found is None or not same(found.array, gradient):
            found = Variable(gradient.copy())
            found.hint = "grad"
            found.tensor = tensor
            self.inputs.append(found)
        return found

    def input(self, array: np.ndarray, source: object) -> Variable:
        """A value that comes from outside."""
        variable = Variable(array, tensor=source if type(source) is Tensor else None)
        variable.argument = (self.argument, self.operation, calls())
        self.inputs.append(variable)
        return variable


def is_value(value: Noted) -> bool:
    """Whether this is an array or a tensor, or several of them."""
    if isinstance(value, (list, tuple)):
        return any(map(is_value, value))
    return isinstance(value, (Tensor, np.ndarray, np.generic))


def key_of(array: np.ndarray) -> int:
    """What arrays have in common that are windows on the same memory."""
    base: Any = array.base
    return id(base.obj) if type(base) is memoryview else id(array)


def is_window(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays look at the same memory in the same way."""
    alike = a.shape == b.shape and a.strides == b.strides and a.dtype == b.dtype
    return alike and a.ctypes.data == b.ctypes.data


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have the same bits."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind not in "biufc" or a.dtype.itemsize not in (1, 2, 4, 8):
        return a.tobytes() == b.tobytes()
    bits = f"u{a.dtype.itemsize}"
    return bool(np.array_equal(a.view(bits), b.view(bits)))


__all__ = ["Output", "Recorder", "Variable"]
