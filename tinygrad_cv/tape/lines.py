"""The lines of a program, and what its variables are called."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import parallel
from ..engine import errors
from ..engine.observers import Scope
from ..kernels.kernel import Kernel
from ..tensor import Node, Place
from . import expression as ex
from . import record
from .expression import Expression
from .names import Names
from .parts import heaviest, names_in, parts_of
from .record import Event, NotedPull, Recorder, Variable
from .sources import Argument, source_name
from .trace import Traced, Value

DETAILS = ("call", "reference", "body")
MAX_LENGTH = 92  # columns of a line, before it is taken apart


class TapeError(RuntimeError):
    """Something cannot be written as a program that gives the same bits."""


@dataclass(slots=True)
class Line:
    """A line of the program."""

    phase: str  # "forward", "backward" or "step"
    targets: tuple[str, ...]
    text: str  # what they are assigned
    operation: str
    value: Any = None  # the array, or several
    kept: tuple[str, ...] = ()
    section: tuple[str, ...] = ()
    line: errors.Line | None = None
    seconds: float | None = None
    uses: tuple[str, ...] = ()  # the variables in it
    optional: bool = False  # left out if nobody uses it


@dataclass(slots=True)
class Way:
    """A way back: the gradients so far."""

    path: Any
    graph: bool
    gradients: dict[Any, Traced] = field(default_factory=dict)
    passed: dict[Any, Traced] = field(default_factory=dict)


class Lines:
    """The lines of a program so far, its inputs, and the names of its variables."""

    def __init__(
        self,
        recorder: Recorder,
        presets: Mapping[int, str] | None = None,
        detail: str = "call",
    ) -> None:
        if detail not in DETAILS:
            raise ValueError(f"no detail {detail!r}; there are {', '.join(map(repr, DETAILS))}")
        self.recorder = recorder
        self.detail = detail  # of kernels
        self.replicas: dict[Node, Any] = {}  # kernels' references, carried out, by node
        self.outer: record.NotedCall | None = None  # the kernel whose reference is written
        self.bodies: dict[Any, list[str]] = {}  # of kernels: functions, as lines
        self.body_names: dict[str, tuple[str, Any]] = {}  # what they call: from where, and itself
        self.gradient_names: dict[str, str] = {}  # of variables
        self.names = Names()
        self.arguments = set(presets or {})
        self.presets = dict(presets or {})  # names of inputs, by the id of their variable
        self.lines: list[Line] = []
        self.shown: list[Line] = []  # without those that nobody needs
        self.inputs: dict[str, Any] = {}  # values by name, in order
        self.input_variables: dict[str, Variable] = {}
        self.expressions: dict[int, Expression] = {}  # of variables, by id
        self.named: dict[int, str] = {}  # shared parts that have a name, by id of the expression
        self.alive: list[Any] = []
        self.calls: dict[Node, record.NotedCall] = {}
        self.sections: dict[Node, tuple[str, ...]] = {}  # by node
        self.kept: dict[Node, str] = {}  # what kernels have kept, by node
        self.ways: list[Way] = []
        self.roots: list[Variable] = []
        self.gradients: dict[str, Expression] = {}  # by the name of the input
        self.tangents: dict[str, Expression] = {}  # by the name of the value
        self.phase = "backward"  # of lines that come from formulas
        self.updated: dict[str, Expression] = {}
        self.states: dict[int, str] = {}  # the names of what optimisers keep, by id
        self.option_names: dict[str, str] = {}  # of optimisers, by their text
        self.imports: set[str] = set()
        self.section: tuple[str, ...] = ()
        self.own: set[str] = set()  # the gradients' names that lines have assigned
        self.given_by_kernels: set[str] = set()
        self.last: dict[Any, Variable] = {}  # the gradients of the last way back
        self.module_names = self._module_names()
        self.parameter_names = self._parameter_names()
        for variable in recorder.inputs:
            self._wish(variable)
        for variable in recorder.inputs:
            if id(variable) in (presets or {}):
                self.expression(variable)

    def handle(self, event: Event) -> None:
        """Write the lines of something that was noted."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------- the variables

    def _module_names(self) -> dict[int, str]:
        """The path of each module below the outermost ones."""
        found: dict[int, str] = {}
        for module in self.recorder.modules.values():
            for path, part in module.named_modules():
                found.setdefault(id(part), path)
        return found

    def _parameter_names(self) -> dict[int, str]:
        """The names of parameters and buffers, by the id of the tensor or the array."""
        found: dict[int, str] = {}
        modules = list(self.recorder.modules.values())
        for module in modules:
            for path, tensor in module.named_parameters():
                prefix = f"{type(module).__name__.lower()}." if len(modules) > 1 else ""
                found.setdefault(id(tensor), readable(prefix + path))
        return found

    def _wish(self, variable: Variable) -> None:
        """Give an input its name before others take it."""
        preset = self.presets.get(id(variable))
        if preset is None:
            preset = self.parameter_names.get(id(variable.tensor))
        wish = preset or self._source_name(variable) or variable.hint or "x"
        self.presets[id(variable)] = self.names.give(wish)

    def _source_name(self, variable: Variable) -> str | None:
        """What the source calls an input."""
        if variable.argument is None or variable.argument[1] is None:
            return None
        name, operation, frames = variable.argument
        return source_name(Argument(name, operation.signature.positional, frames))

    def expression(self, variable: Variable) -> Expression:
        """How a variable is called."""
        found = self.expressions.get(id(variable))
        if found is None:
            name = self.presets.get(id(variable))
            if name is None:
                self._wish(variable)
                name = self.presets[id(variable)]
            found = self.expressions[id(variable)] = ex.name(name)
            self.alive.append(variable)
            self.inputs[name] = variable.array
            self.input_variables[name] = variable
        return found

    def given(self, value: Value, wish: str) -> Expression:
        """Something that cannot be written, as an input of the program."""
        for name, held in self.inputs.items():
            if held is value:
                return ex.name(name)
        name = self.names.give(wish)
        self.inputs[name] = value
        return ex.name(name)

    def traced(self, value: Value, wish: str = "x") -> Value:
        """An argument that was noted, as a traced one."""
        if type(value) is Variable:
            return Traced(value.array, self.expression(value))
        if type(value) in (list, tuple):
            return type(value)([self.traced(v, wish) for v in value])
        if type(value) is dict:
            return {key: self.traced(v, key) for key, v in value.items()}
        if isinstance(value, np.ndarray):
            return Traced(value, self.given(value, wish))
        if value is np._NoValue or ex.literal(value) is not None:
            return value
        if callable(value) and ex.function_name(value) is not None:
            return value
        if type(value) is slice:
            return slice(*[self.traced(v, wish) for v in (value.start, value.stop, value.step)])
        name = getattr(value, "__name__", wish)
        if callable(value) and getattr(parallel, name, None) is value:
            self.imports.add("parallel")
            return Traced(value, ex.name(f"parallel.{name}"))
        return Traced(value, self.given(value, name if name.isidentifier() else wish))

    def heading(self, scope: Scope) -> str:
        """A scope as a heading: the module's path and class, or a definition's name."""
        if scope.kind != "module":
            return str(scope.name)
        path = self.module_names.get(id(scope.subject), "")
        return f"{path}: {scope.name}" if path else str(scope.name)

    def place_name(self, place: Place, otherwise: str = "x") -> str:
        variable = self.recorder.by_place.get(place)
        if variable is None:
            return otherwise
        return self.expression(variable).text()

    def kernel_name(self, kernel: Kernel) -> str:
        """Where a program finds a kernel."""
        from .. import kernels, special

        for space, prefix in ((kernels, "kernels"), (special, "special")):
            for key, value in vars(space).items():
                if value is kernel:
                    self.imports.add(prefix)
                    return f"{prefix}.{key}"
        return self.given(kernel, kernel.reference.__name__).text()

    # ----------------------------------------------------------------------------------- the lines

    def emit(
        self,
        targets: tuple[str, ...],
        expression: Expression,
        pull: NotedPull | None,
        values: list[Value],
        shared: Collection[int] = (),
    ) -> None:
        """Write a line; parts that are used several times, or that are too long, in lines of their
        own."""
        for part in parts_of(expression):
            if part is expression or id(part) in self.named:
                continue
            if id(part) in shared or part.kind == "scatter":
                self._name_part(part, pull)
        if expression.kind == "scatter":
            self._scatter(targets, expression, pull, values)
            return
        self._shorten(expression, sum(map(len, targets)) + 7, pull)
        text = expression.text(self.named)
        self.add_line(targets, text, pull, values, names_in(expression, self.named))

    def _shorten(self, expression: Expression, head: int, pull: NotedPull | None) -> None:
        """Give parts of a long expression lines of their own."""
        while len(expression.text(self.named)) + head > MAX_LENGTH:
            part = heaviest(expression, self.named)
            if part is None:
                return
            self._name_part(part, pull)

    def _scatter(
        self,
        targets: Sequence[str],
        expression: Expression,
        pull: NotedPull | None,
        values: list[Value],
    ) -> None:
        """Zeros, and a write into them."""
        zeros, index, part = expression.parts
        self.add_line(targets, zeros.text(), pull, values, ())
        written = ex.fill(
            expression.details, [targets[0], index.text(self.named), part.text(self.named)]
        )
        uses = (*targets, *names_in(index, self.named), *names_in(part, self.named))
        self.add_line((), written, pull, values, uses)

    def _name_part(self, part: Expression, pull: NotedPull | None) -> None:
        if part.kind == "scatter":
            name = self.names.fresh()
            self._scatter([name], part, pull, [])
            self.named[id(part)] = name
            self.alive.append(part)
            return
        self._shorten(part, 7, pull)
        text = part.text(self.named)
        uses = names_in(part, self.named)
        name = self.names.fresh()
        self.add_line([name], text, pull, [], uses)
        self.named[id(part)] = name
        self.alive.append(part)

    def add_line(
        self,
        targets: Iterable[str],
        text: str,
        pull: NotedPull | None,
        values: Sequence[Value],
        uses: tuple[str, ...],
    ) -> None:
        operation = "" if pull is None else errors.name_of(pull.operation.function)
        self.lines.append(
            Line(
                self.phase,
                tuple(targets),
                text,
                operation,
                values[0] if len(values) == 1 else values,
                (),
                self.section,
                None if pull is None else pull.node.line,
                None if pull is None else pull.seconds,
                uses,
            )
        )

    def alive_lines(self, returned: str) -> list[Line]:
        """The lines, without those that formulas had and nobody needs."""
        needed = set(re.findall(r"\w+", returned))
        kept = []
        for line in reversed(self.lines):
            if line.optional and needed.isdisjoint(line.targets):
                continue
            needed.update(line.uses)
            kept.append(line)
        words = needed.union(*(re.findall(r"\w+", line.text) for line in kept))
        for name in [*self.inputs]:
            if name not in words and id(self.input_variables.get(name)) not in self.arguments:
                del self.inputs[name]
        return kept[::-1]

    def returns(self) -> list[tuple[str, dict[str, Expression]]]:
        """What the program returns behind its value."""
        found = []
        if self.gradients or self.updated:
            found.append(("gradients", self.in_order()))
        for kind, entries in (("updated", self.updated), ("tangents", self.tangents)):
            if entries:
                found.append((kind, entries))
        return found

    def in_order(self) -> dict[str, Expression]:
        """The gradients, in the order of the inputs."""
        ordered = {name: self.gradients[name] for name in self.inputs if name in self.gradients}
        return ordered | self.gradients


def readable(path: str) -> str:
    """The path of a parameter as a name: "layers.0.weight" is layers_0_weight, "0.weight"
    weight_0."""
    first, _, rest = path.partition(".")
    if first.isdigit() and rest:
        return f"{readable(rest)}_{first}"
    return path.replace(".", "_")
