"""One interface sees each operation as it happens: forward, on the way back, and the scopes around
it.

    class Printer(Observer):
        def forward(self, call):
            print(call.function, call.arguments, call.value)

    with observed(Printer()):
        loss = model(x).sum()

The profiler, the search for the first NaN and the tape are observers; the engine knows none of
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from . import errors
from .modes import SWITCHED, settings, switched


class Call(NamedTuple):
    """An operation that was carried out on tensors."""

    function: Any
    arguments: Mapping[str, Any]  # by name, as the caller gave them: tensors, arrays, options
    node: Any  # what was recorded; None if nothing was
    value: Any  # the tensor, or several; an array of a function without a gradient
    started: float  # of `time.perf_counter`
    operation: Any = None  # the rule or the kernel; None for a function without a gradient


class Pull(NamedTuple):
    """An operation on the way back: what arrived at its node, and what it passed on to its
    parents."""

    node: Any
    gradient: Any  # of the value; a list of one for each of several values
    contributions: Mapping[str, Any]  # by the name of the argument
    started: float
    dropped: Any = None  # the elements of the value that reach no root, where that is known


class Start(NamedTuple):
    """A way back begins."""

    roots: Sequence[tuple[Any, Any]]  # places, and the gradients that are carried back from them
    path: Any  # the nodes that it passes; None: all behind the roots
    graph: bool  # whether the way back is recorded itself


class Finish(NamedTuple):
    """A way back is at its end."""

    gradients: Mapping[Any, Any]  # by place


class Push(NamedTuple):
    """An operation on the way forward, on arrays: tangents of its arguments and of its value."""

    node: Any
    tangents: Mapping[str, Any]  # by the name of the argument
    pushed: Mapping[Any, Any]  # by place


class Deposit(NamedTuple):
    """A gradient is about to be added to a tensor's `.grad`."""

    tensor: Any
    place: Any
    before: Any  # the `.grad` so far, or None
    gradient: Any


class Edit(NamedTuple):
    """The gradients of tensors are about to be changed together."""

    function: Any  # of a list of gradients and a number: gives the new ones
    tensors: Sequence[Any]
    number: float


class Step(NamedTuple):
    """An optimiser updates a parameter."""

    optimizer: Any  # the class
    options: Mapping[str, Any]
    parameter: Any  # the tensor
    t: int  # the number of the step, 1, 2, ...
    owner: Any  # what keeps the state, and changes it in steps only
    state: Callable[[], Mapping[str, Any]]  # gives copies, by name


class Scope(NamedTuple):
    """A part of a computation that bears a name: operations inside it belong to it."""

    kind: str  # "module", "definition", "kernel" or "time step"
    name: str
    subject: Any  # the module, the function, the kernel or the number of the step


class Observer:
    """What may be seen of a computation. Subclasses override what they want to see."""

    def forward(self, call: Call) -> None:
        """An operation has given its value."""

    def backward(self, pull: Pull) -> None:
        """An operation has passed its gradient on."""

    def start(self, start: Start) -> None:
        """A way back begins."""

    def finish(self, finish: Finish) -> None:
        """A way back is at its end: these are its gradients."""

    def pushing(self) -> None:
        """A way forward begins, on arrays."""

    def push(self, push: Push) -> None:
        """An operation has passed tangents on."""

    def pushed(self, tangents: Mapping[Any, Any]) -> None:
        """A way forward is at its end: these are the tangents of its values, by place."""

    def deposit(self, deposit: Deposit) -> None:
        """A gradient is about to be added to a tensor's `.grad`."""

    def edit(self, edit: Edit) -> None:
        """Gradients are about to be changed."""

    def step(self, step: Step) -> None:
        """An optimiser is about to update a parameter."""

    def stepped(self, step: Step) -> None:
        """It has."""

    def enter(self, scope: Scope) -> None:
        """What follows belongs to this scope."""

    def leave(self, scope: Scope) -> None:
        """The scope that was entered last is at its end."""


def observed(observer: Observer) -> switched:
    """Inside this context the observer sees every operation of this thread."""
    return switched("observer", observer)


def unobserved() -> switched:
    """Inside this context no observer sees anything: for what belongs to one operation.

    A solver's evaluations of a function are steps of the solution.
    """
    return switched("observer", None)


def observers() -> list[Observer]:
    """Who observes this thread, the first one first."""
    found = settings("observer")
    return found if None not in found else []


class scope:  # named as a function, like no_grad
    """What happens inside this context is shown to observers as one part.

    An observer that saw the scope enter sees it leave, whatever others raise.
    """

    def __init__(self, kind: str, name: str, subject: Any) -> None:
        self.scope = Scope(kind, name, subject)
        self.entered: list[Observer] = []

    def __enter__(self) -> None:
        try:
            for observer in observers():
                observer.enter(self.scope)
                self.entered.append(observer)
        except BaseException:
            self._leave()
            raise

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        if self.entered:
            try:
                self.entered.pop().leave(self.scope)
            finally:
                self._leave()


def time_steps(count: int) -> Iterator[int]:
    """t = 0, 1, ...: what happens in a step is shown to observers as one part."""
    for t in range(count):
        with scope("time step", f"t = {t}", t):
            yield t


# ---------------------------------------------------------------------------------- the first NaN


class FirstNaN(Observer):
    """Raises FloatingPointError at the first operation that makes a NaN or an infinity, with its
    line."""

    def forward(self, call: Call) -> None:
        inputs = list(call.arguments.values())
        errors.check_finite(call.function, call.value, inputs, errors.calling_line())

    def backward(self, pull: Pull) -> None:
        function = pull.node.operation.function
        contributions = list(pull.contributions.values())
        errors.check_finite(function, contributions, [], pull.node.line, "the gradient of ")


def detect_anomaly() -> switched:
    """Inside this context the first operation that makes a NaN or an infinity raises with its line.

    Infinities that an operation was given are no anomaly. The way back is searched as well.
    """
    return observed(FirstNaN())


def now() -> float:
    """When an operation begins, if anyone observes."""
    return perf_counter() if SWITCHED["observer"] else 0.0


__all__ = [
    "Call",
    "Deposit",
    "Edit",
    "Finish",
    "FirstNaN",
    "Observer",
    "Pull",
    "Push",
    "Scope",
    "Start",
    "Step",
    "detect_anomaly",
    "observed",
    "observers",
    "scope",
    "time_steps",
]
