"""From what was noted to a program: one line after the other, forward and backward."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine import errors
from ..engine.pytrees import leaves
from ..kernels.kernel import Kernel
from ..tensor import Node, Output, Place, Rule, each
from ..transforms import IDENTITY
from . import expression as ex
from . import record
from .expression import Expression
from .names import RETURNED, Names, assigned_name
from .record import Recorder, Variable
from .trace import Traced, Untraceable, arranged, express, plain, trace, traced, write

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


class Program:
    """The lines of a tape, and what goes in and comes out."""

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
        self.body_imports: list[str] = []
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
        self.gradient_values: dict[str, Any] = {}
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
        self.inner = inner_calls(recorder.events)
        self.gradient_places = gradient_places(recorder.events)
        self.short = short_scopes(recorder.events)
        for event in recorder.events:
            self._handle(event)

    # ---------------------------------------------------------------------------------- the inputs

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

    def _wish(self, variable: Variable) -> None:
        """Give an input its name before others take it."""
        preset = self.presets.get(id(variable))
        if preset is None:
            preset = self.parameter_names.get(id(variable.tensor))
        wish = preset or variable.hint or "x"
        self.presets[id(variable)] = self.names.give(wish)

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

    def given(self, value: Any, wish: str) -> Expression:
        """Something that cannot be written, as an input of the program."""
        for name, held in self.inputs.items():
            if held is value:
                return ex.name(name)
        name = self.names.give(wish)
        self.inputs[name] = value
        return ex.name(name)

    def traced(self, value: Any, wish: str = "x") -> Any:
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
        return Traced(value, self.given(value, name if name.isidentifier() else wish))

    # --------------------------------------------------------------------------------- the events

    def _handle(self, event: Any) -> None:
        if type(event) is record.NotedCall:
            self._call(event)
        elif type(event) is record.NotedStart:
            self._start(event)
        elif type(event) is record.NotedPull:
            self._pull(event)
        elif type(event) is record.NotedFinish:
            self._finish(event)
        elif type(event) is record.NotedDeposit:
            self._deposit(event)
        elif type(event) is record.NotedEdit:
            self._edit(event)
        else:
            self._step(event)

    # ------------------------------------------------------------------------------------ forward

    def _call(self, call: record.NotedCall) -> None:
        node = call.node
        if node is not None:
            self.calls[node] = call
        scopes = call.scopes if self.outer is None else (*self.outer.scopes, *call.scopes)
        self.section = tuple(self.heading(s) for s in scopes if id(s) not in self.short)
        if node is not None:
            self.sections[node] = self.section
        if isinstance(call.operation, Kernel) and self.detail == "reference" and node is not None:
            write_reference(self, call)
            return
        if self._is_plain_transpose(call):
            expression = self._rule_call(call)
            self.expressions[id(call.value)] = expression
            self.alive.append(call.value)
            return
        targets = self._targets(call)
        kept: tuple[str, ...] = ()
        if isinstance(call.operation, Kernel):
            text, uses = self._kernel_call(call, targets)
            if node is not None:
                name = self.names.give(f"kept_{targets[0]}")
                self.kept[node] = name
                kept = (name,)
                joined = f"({', '.join(targets)})" if type(call.value) is list else targets[0]
                targets = (joined, name)
        else:
            expression = self._rule_call(call)
            text, uses = expression.text(), names_in(expression)
            kept = self._kept(call, targets)
        self.lines.append(
            Line(
                "backward" if self.ways else "forward",
                targets,
                text,
                errors.name_of(call.function),
                values_of(call.value),
                kept,
                self.section,
                call.frames[0] if call.frames else None,
                call.seconds,
                uses,
                bool(self.ways) or call.node is None,
            )
        )

    def _is_plain_transpose(self, call: record.NotedCall) -> bool:
        """Whether a call is written `x.T` where its value is used: a matrix without a name."""
        if call.function not in (np.transpose, np.matrix_transpose):
            return False
        given = [v for v in call.arguments.values() if v is not None]
        of_matrix = len(given) == 1 and type(given[0]) is Variable and given[0].array.ndim == 2
        named = id(call) not in self.inner and assigned_name(call.frames) is not None
        return of_matrix and not named

    def heading(self, scope: Any) -> str:
        """A scope as a heading: the module's path and class, or a definition's name."""
        if scope.kind != "module":
            return str(scope.name)
        path = self.module_names.get(id(scope.subject), "")
        return f"{path}: {scope.name}" if path else str(scope.name)

    def _targets(self, call: record.NotedCall) -> tuple[str, ...]:
        """The names of a call's values; of several values in one tuple, one each."""
        assigned = None if id(call) in self.inner else assigned_name(call.frames)
        values = call.value
        if type(values) is Variable:
            wish = assigned if isinstance(assigned, str) else None
            if assigned is RETURNED and self.outer is not None:
                outer = assigned_name(self.outer.frames)
                wish = outer if isinstance(outer, str) else None
            elif assigned is RETURNED:
                wish = "loss" if values.array.size == 1 else "y"
            return (self._name_value(values, wish),)
        flat = leaves(values)
        wishes: Sequence[Any] = [None] * len(flat)
        if isinstance(assigned, tuple) and len(assigned) == len(flat):
            wishes = assigned
        elif isinstance(assigned, str):
            wishes = [assigned] * len(flat)
        return tuple(self._name_value(v, w) for v, w in zip(flat, wishes, strict=True))

    def _name_value(self, variable: Variable, wish: str | None) -> str:
        place = self.gradient_places.get(id(variable))
        if place is not None and self._place_name(place, ""):
            name = self.names.give(f"g_{self._place_name(place)}")
        elif self.ways and self.ways[-1].graph:
            name = self.names.fresh()
        elif isinstance(wish, str) and wish != "_":
            name = self.names.give(wish)
        else:
            name = self.names.fresh()
        self.expressions[id(variable)] = ex.name(name)
        return name

    def _rule_call(self, call: record.NotedCall) -> Expression:
        """The right side of a line."""
        operation: Rule = call.operation
        function = call.function
        bound = {key: self.traced(value, key) for key, value in call.arguments.items()}
        if ex.function_name(function) is None:
            try:
                module = getattr(function, "__module__", "") or ""
                if module.startswith(__name__.partition(".")[0]):
                    return as_written(trace(lambda: operation.signature.call(function, bound), []))
            except Untraceable:
                pass
            args, kwargs = arranged(operation, bound)
            own = self.given(function, errors.name_of(function).rpartition(".")[2])
            options = {key: write(v) for key, v in kwargs.items()}
            return ex.call(own.text(), map(write, args), options)
        args, kwargs = arranged(operation, bound)
        known = values_of(call.value)
        return express(function, args, kwargs, known)

    def _kept(self, call: record.NotedCall, targets: tuple[str, ...]) -> tuple[str, ...]:
        """The arrays that are kept for the way back."""
        if call.node is None:
            return ()
        found: dict[str, None] = {}
        order = [name for name in (*call.arguments, "y") if name in call.saved]
        for name in order:
            if name == "y" and "y" not in call.arguments:
                found |= dict.fromkeys(targets)
                continue
            for variable in leaves(call.arguments.get(name)):
                if type(variable) is Variable:
                    found[self.expression(variable).text()] = None
        return tuple(found)

    def _kernel(self, kernel: Kernel) -> str:
        """Where a program finds a kernel."""
        from .. import kernels, special

        for space, prefix in ((kernels, "kernels"), (special, "special")):
            for key, value in vars(space).items():
                if value is kernel:
                    self.imports.add(prefix)
                    return f"{prefix}.{key}"
        return self.given(kernel, kernel.reference.__name__).text()

    def _kernel_call(
        self, call: record.NotedCall, targets: tuple[str, ...]
    ) -> tuple[str, tuple[str, ...]]:
        kernel: Kernel = call.operation
        bound = dict(call.arguments)
        args = [self.traced(bound[name], name) for name in kernel.arrays]
        while args and args[-1] is None:
            args.pop()
        kwargs = {}
        for name in kernel.options:
            if name in kernel.inert:
                continue
            if not kernel.signature.is_default(name, bound[name]):
                kwargs[name] = write(self.traced(bound[name], name))
        where = self._kernel(kernel)
        if call.node is not None:
            if self.detail == "body":
                return body_call(self, call)
            where += ".run"
        expression = ex.call(where, map(write, args), kwargs)
        return expression.text(), names_in(expression)

    # ----------------------------------------------------------------------------------- backward

    def _start(self, start: record.NotedStart) -> None:
        way = Way(start.path, start.graph)
        self.ways.append(way)
        if len(self.ways) == 1:
            for place, _ in start.roots:
                root = self.recorder.by_place.get(place)
                if root is not None:
                    self.roots.append(root)
        if way.graph:
            return
        for place, gradient in start.roots:
            outer = self._outer_gradient(gradient)
            if id(gradient) in self.expressions:
                expression = self.expression(gradient)
            elif outer is not None:
                expression = outer
            elif gradient.array.size and np.all(gradient.array == 1):
                expression = write_ones(gradient.array)
            else:
                expression = self.given(gradient.array, "g")
            if expression.kind == "name":
                way.gradients[place] = Traced(gradient.array, expression)
                continue
            self._add(place, Traced(gradient.array, expression), [])

    def _outer_gradient(self, gradient: Variable) -> Expression | None:
        """What a way back inside another begins with: the gradient of the operation that is
        computed again."""
        if len(self.ways) < 2 or self.ways[-2].graph:
            return None
        waiting = self.ways[-2].gradients
        nodes = [place.node for place in waiting if place.node.operation is not None]
        if not nodes:
            return None
        node = max(nodes, key=lambda node: node.order)
        for place, part in waiting.items():
            if place.node is node and record.same(np.asarray(part.array), gradient.array):
                return part.expression
        return None

    def _pull(self, pull: record.NotedPull) -> None:
        way = self.ways[-1]
        if way.graph:
            return
        node = pull.node
        gradient = self._gradient_of(node, way)
        self._check(pull, gradient)
        self.section = self.sections.get(node, ())
        group: list[tuple[Place, Traced]] = []
        if isinstance(pull.operation, Kernel):
            contributions = self._kernel_pull(pull, gradient)
        elif isinstance(pull.operation, Rule):
            contributions = self._rule_pull(pull, gradient)
        else:
            contributions = {k: self.traced(v) for k, v in pull.contributions.items()}
        if pull.dropped is not None:
            contributions = self._silenced(pull, contributions)
        for name in pull.wanted:
            part = contributions[name]
            places = pull.parents[name]
            parts = part if type(places) is list else [part]
            for place, one in zip(each(places), parts, strict=True):
                group.append((place, one))
        self._add_all(group, pull)

    def _gradient_of(self, node: Node, way: Way) -> Any:
        """The gradient of a node's value, which is complete; of several values a list."""
        if type(node.shape) is not list:
            found = way.passed[node] = way.gradients.pop(node)
            return found
        parts = []
        for i, (shape, dtype) in enumerate(zip(node.shape, node.dtype, strict=True)):
            part = way.gradients.pop(Output(node, i), None)
            if part is None:
                array = np.zeros(shape, dtype)
                kind = [] if dtype == np.float64 else [write(dtype)]
                part = Traced(array, ex.call("np.zeros", [write(shape), *kind], {}))
            else:
                way.passed[Output(node, i)] = part
            parts.append(part)
        return parts

    def _check(self, pull: record.NotedPull, gradient: Any) -> None:
        """Raise TapeError if a gradient is not the one that the engine had."""
        if self.detail == "reference":
            return  # which rounds differently
        for mine, theirs in zip(each(gradient), each(pull.gradient), strict=True):
            array = theirs.array if type(theirs) is Variable else theirs
            if not record.same(np.asarray(mine.array), np.asarray(array)):
                raise TapeError(
                    f"the gradient of {pull.node}, as it would be printed, is not the engine's: "
                    f"{mine.expression.text()}"
                )

    def _saved(self, pull: record.NotedPull, name: str) -> Any:
        """What a formula's parameter stands for, as a traced value."""
        saved = pull.saved[name]
        call = self.calls.get(pull.node)
        known: Any = None
        if call is not None:
            known = call.value if name == "y" else call.arguments.get(name)
            if name == "y" and "y" in call.arguments and "y" in call.operation.operands:
                known = call.arguments["y"]
        if known is None:
            return self.traced(saved, name)
        return self._matched(saved, known, name)

    def _matched(self, saved: Any, known: Any, name: str) -> Any:
        """A saved value, with the expression of the argument that it was."""
        if type(known) is Variable and isinstance(saved, (np.ndarray, np.generic)):
            return Traced(saved, self.expression(known))
        if isinstance(known, (list, tuple)) and isinstance(saved, (list, tuple)):
            pairs = zip(saved, known, strict=True)
            parts = [self._matched(s, k, name) for s, k in pairs]
            if hasattr(saved, "_fields"):
                return type(saved)(*parts)
            return type(saved)(parts)
        return self.traced(saved, name)

    def _rule_pull(self, pull: record.NotedPull, gradient: Any) -> dict[str, Any]:
        """The formula of each argument, as the expression that it comes to."""
        operation: Rule = pull.operation
        found = {}
        for name in pull.wanted:
            formula: Any = operation.formulas[name]
            needs = operation.needs[name]
            given = [gradient if n == "g" else self._saved(pull, n) for n in needs]
            try:
                value = trace(formula, given)
            except Untraceable:
                value = self._formula_call(operation, name, formula, given)
            found[name] = self._as_traced(value)
        return found

    def _as_traced(self, value: Any) -> Any:
        if type(value) in (list, tuple):
            return [self._as_traced(part) for part in value]
        if type(value) is Traced or value is None:
            return value
        try:
            return Traced(value, write(value))
        except Untraceable:
            return Traced(value, self.given(value, "c"))

    def _formula_call(self, operation: Rule, name: str, formula: Any, given: list[Any]) -> Any:
        """A formula that is no single expression, called by its place in the table."""
        function = ex.function_name(operation.function)
        if function is None:
            function = self.given(operation.function, operation.function.__name__).text()
        with np.errstate(all="ignore"):
            value = formula(*map(plain, given))
        self.imports.add("tg")
        where = f'tg.rule({function}).formulas["{name}"]'
        arguments = [self._argument(g) for g in given]
        return traced(value, ex.call(where, arguments, {}))

    def _argument(self, value: Any) -> Expression:
        if isinstance(value, (list, tuple)):
            kind = list if type(value) is list else tuple
            return ex.sequence(kind, [self._argument(v) for v in value])
        try:
            return write(value)
        except Untraceable:
            return self.given(value, "option")

    def _kernel_pull(self, pull: record.NotedPull, gradient: Any) -> dict[str, Any]:
        """One line with the gradients of a kernel's arguments."""
        kernel: Kernel = pull.operation
        node = pull.node
        if self.detail == "reference":
            return pull_reference(self, pull, gradient)
        wanted = tuple(n for n in kernel.arrays if n in pull.wanted)
        whole = tuple(n for n in kernel.arrays if is_float(pull.saved[n]))
        kept = self.kept.get(node)
        if kept is None:
            raise TapeError(f"{node} was recorded before the tape began, so it cannot be printed")
        given = {} if wanted == whole else {"wrt": write(wanted)}
        g = write(gradient)
        if self.detail == "body":
            return body_pull(self, pull, gradient, wanted)
        expression = ex.call(f"{self._kernel(kernel)}.pull_arrays", [g, ex.name(kept)], given)
        replica = Node(kernel, dict(pull.parents), dict(pull.saved), node.shape, node.dtype)
        names: Any = pull.parents if wanted == tuple(pull.parents) else list(wanted)
        arrays = kernel.pull(replica, plain(gradient), names, graph=False)
        targets = []
        found: dict[str, Any] = {}
        for name in wanted:
            place = pull.parents[name]
            if type(place) is list:
                raise TapeError(f"{node} takes a list of tensors")
            target = self.names.give(f"g_{self._place_name(place, name)}")
            targets.append(target)
            self.given_by_kernels.add(target)
            found[name] = Traced(arrays[name], ex.name(target))
        text = expression.text()
        self._line(targets, text, pull, [arrays[n] for n in wanted], names_in(expression))
        return found

    def _silenced(self, pull: record.NotedPull, found: dict[str, Any]) -> dict[str, Any]:
        """0 times infinity is 0 where an element was dropped: as the engine's `silence` has it."""
        dropped = pull.dropped
        everywhere = bool(dropped.all())
        silenced = {}
        for name, part in found.items():
            shape = getattr(part, "shape", None)
            fits = everywhere or (pull.operation.elementwise and shape == dropped.shape)
            if fits and type(part) is Traced and np.isnan(part.array).any():
                mask: Any = True
                mask_expression = write(True)
                if not everywhere:
                    mask = dropped
                    mask_expression = self.given(dropped, "dropped")
                value = np.where(mask, 0, part.array)
                parts = [mask_expression, write(0), part.expression]
                part = Traced(value, ex.call("np.where", parts, {}))
            silenced[name] = part
        return silenced

    def _place_name(self, place: Place, otherwise: str = "x") -> str:
        variable = self.recorder.by_place.get(place)
        if variable is None:
            return otherwise
        return self.expression(variable).text()

    def _add(self, place: Any, gradient: Traced, group: list[Any]) -> None:
        self._add_all([(place, gradient)], None)

    def _add_all(self, group: list[tuple[Any, Any]], pull: Any) -> None:
        """Add contributions to the gradients of their places, as `Walk.add` does."""
        way = self.ways[-1]
        pending: dict[Any, Traced] = {}
        for place, part in group:
            if place is None or part is None:
                continue
            if way.path is not None and place.node not in way.path:
                continue
            fitted = unbroadcast(part, place)
            present = pending.get(place, way.gradients.get(place))
            if present is not None:
                array = present.array + fitted.array
                right = without_broadcast(fitted, present)
                expression = ex.binary("+", present.expression, right)
                fitted = Traced(array, expression)
            pending[place] = fitted
        pool: dict[str, Expression] = {}
        for place, fitted in pending.items():
            whole = ex.interned(fitted.expression, pool)
            pending[place] = Traced(fitted.array, whole)
        shared = shared_parts([t.expression for t in pending.values()], self.named)
        for place, fitted in pending.items():
            present = way.gradients.get(place)
            way.gradients[place] = self._assigned(place, fitted, present, pull, shared)

    def _assigned(
        self,
        place: Place,
        fitted: Traced,
        present: Traced | None,
        pull: Any,
        shared: Collection[int],
    ) -> Traced:
        """A gradient with a name, assigned in a line."""
        expression = fitted.expression
        operation = place.node.operation
        through = pull is not None and pull.operation is IDENTITY and present is None
        if (operation is IDENTITY or through) and expression.kind == "name":
            return fitted
        if present is not None and present.expression.kind == "name" and self._is_own(present):
            target = present.expression.text()
        elif present is None and expression.kind == "name" and self._is_fresh(expression, place):
            return fitted
        else:
            target = self.names.give(f"g_{self._place_name(place)}")
        self.gradient_names[self._place_name(place)] = target
        self._emit((target,), expression, pull, [fitted.array], shared)
        found = ex.name(target)
        self.own.add(target)
        return Traced(fitted.array, found)

    def _is_own(self, traced: Traced) -> bool:
        return traced.expression.text() in self.own

    def _is_fresh(self, expression: Expression, place: Place) -> bool:
        """Whether a kernel's line has given this gradient its name already."""
        text = expression.text()
        fresh = text in self.given_by_kernels
        self.given_by_kernels.discard(text)
        if fresh:
            self.own.add(text)
            self.gradient_names[self._place_name(place)] = text
        return fresh

    def _emit(
        self,
        targets: tuple[str, ...],
        expression: Expression,
        pull: Any,
        values: list[Any],
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
        self._line(targets, text, pull, values, names_in(expression, self.named))

    def _shorten(self, expression: Expression, head: int, pull: Any) -> None:
        """Give parts of a long expression lines of their own."""
        while len(expression.text(self.named)) + head > MAX_LENGTH:
            part = heaviest(expression, self.named)
            if part is None:
                return
            self._name_part(part, pull)

    def _scatter(
        self, targets: Sequence[str], expression: Expression, pull: Any, values: list[Any]
    ) -> None:
        """Zeros, and a write into them."""
        zeros, index, part = expression.parts
        self._line(targets, zeros.text(), pull, values, ())
        written = ex.fill(
            expression.details, [targets[0], index.text(self.named), part.text(self.named)]
        )
        uses = (*targets, *names_in(index, self.named), *names_in(part, self.named))
        self._line((), written, pull, values, uses)

    def _name_part(self, part: Expression, pull: Any) -> None:
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
        self._line([name], text, pull, [], uses)
        self.named[id(part)] = name
        self.alive.append(part)

    def _line(
        self, targets: Iterable[str], text: str, pull: Any, values: Any, uses: tuple[str, ...]
    ) -> None:
        operation = "" if pull is None else errors.name_of(pull.operation.function)
        self.lines.append(
            Line(
                "backward",
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

    def _finish(self, finish: record.NotedFinish) -> None:
        way = self.ways.pop()
        for place, variable in finish.gradients.items():
            if way.graph:
                continue
            mine = way.gradients.get(place, way.passed.get(place))
            exact = self.detail != "reference"
            if mine is None or (exact and not record.same(np.asarray(mine.array), variable.array)):
                raise TapeError(f"the gradient of {place.node} is not the engine's")
            self.expressions[id(variable)] = mine.expression
            self.alive.append(variable)
        if not self.ways:
            self.last = finish.gradients

    def _deposit(self, deposit: record.NotedDeposit) -> None:
        name = self.expression(deposit.parameter).text()
        if deposit.carried is not None:
            carried = self.expression(deposit.carried)
            target = self.names.give(f"g_{name}")
            conjugate = ex.call("np.conj", [carried], {})
            array = deposit.gradient.array
            self._line([target], conjugate.text(), None, [array], names_in(conjugate))
            self.expressions[id(deposit.gradient)] = ex.name(target)
            self.alive.append(deposit.gradient)
        if deposit.before is None:
            total = self.expression(deposit.gradient)
        else:
            before, gradient = map(self.expression, (deposit.before, deposit.gradient))
            target = self.names.give(f"g_{name}")
            total = ex.name(target)
            expression = ex.binary("+", before, gradient)
            text = expression.text()
            self._line([target], text, None, [deposit.total.array], names_in(expression))
        self.expressions[id(deposit.total)] = total
        self.gradients[name] = total

    def in_order(self) -> dict[str, Expression]:
        """The gradients, in the order of the inputs."""
        ordered = {name: self.gradients[name] for name in self.inputs if name in self.gradients}
        return ordered | self.gradients

    def keep_last(self) -> None:
        """Return the gradients of the last way back, by the names of their inputs."""
        for place, variable in self.last.items():
            if place.node.operation is None:
                name = self._place_name(place)
                expression = self.expression(variable)
                if variable.array.dtype.kind == "c":
                    expression = ex.call("np.conj", [expression], {})
                self.gradients[name] = expression

    # ------------------------------------------------------------------------------------- updates

    def _edit(self, edit: record.NotedEdit) -> None:
        """Gradients are clipped together: one line, which gives a list."""
        self.imports.add("optim")
        what = edit.function.__name__
        gradients = ex.sequence(list, map(self.expression, edit.gradients))
        expression = ex.call(f"optim.{what}", [gradients, write(edit.number)], {})
        target = self.names.give("clipped")
        text = expression.text()
        uses = names_in(expression)
        self.lines.append(Line("step", (target,), text, f"optim.{what}", section=(), uses=uses))
        for i, variable in enumerate(edit.new):
            self.expressions[id(variable)] = ex.item(ex.name(target), write(i))
            self.alive.append(variable)

    def _step(self, step: record.NotedStep) -> None:
        kind = step.optimizer.__name__
        self.imports.add("optim")
        self.section = (kind,)
        base = self.expression(step.first).text()
        options = self._options(kind, step.options)
        state = self.states.get(id(step.state))
        if state is None:
            state = self.given(step.state.arrays, f"{base}_state").text()
        arguments = [
            self.expression(step.parameter),
            self.expression(step.gradient),
            ex.name(state),
        ]
        given = {"t": write(step.t)}
        expression = ex.call(f"optim.{kind}.updated", arguments, given)
        text = f"{expression.text()[:-1]}, **{options})"
        targets = (self.names.give(base), self.names.give(f"{base}_state"))
        uses = (*names_in(expression), options)
        self.lines.append(
            Line("step", targets, text, f"optim.{kind}", step.new.array, section=(kind,), uses=uses)
        )
        self.expressions[id(step.new)] = ex.name(targets[0])
        self.states[id(step.new_state)] = targets[1]
        self.alive += [step.new, step.new_state]
        self.updated[base] = ex.name(targets[0])

    def _options(self, kind: str, options: Mapping[str, Any]) -> str:
        """The name of an optimiser's options, which stand in a line once."""
        text = ex.call("dict", [], {name: write(v) for name, v in options.items()}).text()
        name = self.option_names.get(text)
        if name is None:
            name = self.option_names[text] = self.names.give(kind.lower())
            self.lines.append(Line("step", (name,), text, f"optim.{kind}", section=self.section))
        return name


from .inside import body_call, body_pull, pull_reference, write_reference  # noqa: E402

# ------------------------------------------------------------------------------------ expressions


def inner_calls(events: Sequence[Any]) -> set[int]:
    """The calls, by id, in definitions and references, but for those whose value they return."""
    found = set()
    calls = [event for event in events if type(event) is record.NotedCall]
    for call, after in itertools.pairwise(calls):
        ours = [s for s in call.scopes if s.kind != "module"]
        theirs = set(map(id, after.scopes))
        if any(id(s) in theirs for s in ours):
            found.add(id(call))
    return found


def gradient_places(events: Sequence[Any]) -> dict[int, Place]:
    """Whose gradients variables are, by their id, where the way back is recorded itself."""
    found: dict[int, Place] = {}
    for event in events:
        if type(event) is record.NotedPull and type(event.gradient) is Variable:
            found.setdefault(id(event.gradient), event.node)
        elif type(event) is record.NotedFinish:
            for place, variable in event.gradients.items():
                if variable.is_computed:
                    found.setdefault(id(variable), place)
    return found


def short_scopes(events: Sequence[Any]) -> set[int]:
    """The definitions, by id, that consist of one call, and need no heading."""
    counts: dict[int, int] = {}
    for event in events:
        for scope in getattr(event, "scopes", ()):
            if scope.kind == "definition":
                counts[id(scope)] = counts.get(id(scope), 0) + 1
    return {key for key, count in counts.items() if count == 1}


def is_float(value: Any) -> bool:
    """Whether this is an array of floating-point numbers."""
    return value is not None and np.asarray(value).dtype.kind in "fc"


def readable(path: str) -> str:
    """The path of a parameter as a name: "layers.0.weight" is layers_0_weight, "0.weight"
    weight_0."""
    first, _, rest = path.partition(".")
    if first.isdigit() and rest:
        return f"{readable(rest)}_{first}"
    return path.replace(".", "_")


def values_of(value: Any) -> Any:
    """The arrays of variables."""
    if type(value) is Variable:
        return value.array
    return [values_of(v) for v in value]


def as_written(value: Any) -> Expression:
    """A traced value's expression, of several a tuple."""
    if type(value) in (list, tuple):
        return ex.sequence(tuple, [as_written(v) for v in value])
    return write(value)


def write_ones(array: np.ndarray) -> Expression:
    """`np.ones(shape)`."""
    kind = [] if array.dtype == np.float64 else [write(array.dtype)]
    return ex.call("np.ones", [write(array.shape), *kind], {})


def names_in(expression: Expression, named: Mapping[int, str] | None = None) -> tuple[str, ...]:
    """The variables in an expression."""
    found: dict[str, None] = {}
    stack = [expression]
    while stack:
        part = stack.pop()
        if named and id(part) in named:
            found[named[id(part)]] = None
        elif part.kind == "name":
            found[part.template] = None
        else:
            stack.extend(reversed(part.parts))
    return tuple(found)


def parts_of(expression: Expression) -> Iterable[Expression]:
    """All parts of an expression, the innermost first, each once."""
    seen: set[int] = set()
    order: list[Expression] = []
    stack: list[tuple[Expression, bool]] = [(expression, False)]
    while stack:
        part, done = stack.pop()
        if done:
            order.append(part)
        elif id(part) not in seen:
            seen.add(id(part))
            stack.append((part, True))
            stack.extend((p, False) for p in reversed(part.parts))
    return order


WORTH_A_NAME = ("binary", "unary", "call", "method", "item", "full", "broadcast", "single", "")


def is_worth_a_name(part: Expression) -> bool:
    """Whether a part is a value, and no name, literal or shape."""
    if part.is_atom or part.kind in ("sequence", "mapping", "attribute", "false"):
        return False
    return part.kind in WORTH_A_NAME and part.kind != "" and bool(names_in(part))


def shared_parts(expressions: Iterable[Expression], named: Mapping[int, str]) -> set[int]:
    """The parts that are used more than once, by id."""
    counts: dict[int, int] = {}
    seen: set[int] = set()
    stack = list(expressions)
    for root in stack:
        counts[id(root)] = counts.get(id(root), 0) + 1
    found = set()
    while stack:
        part = stack.pop()
        if id(part) in seen or id(part) in named:
            continue
        seen.add(id(part))
        for child in part.parts:
            counts[id(child)] = counts.get(id(child), 0) + 1
            if counts[id(child)] > 1 and is_worth_a_name(child):
                found.add(id(child))
            stack.append(child)
    return found


def heaviest(expression: Expression, named: Mapping[int, str]) -> Expression | None:
    """The part of a long expression that a line of its own relieves most."""
    whole = len(expression.text(named))
    best: tuple[int, Expression] | None = None
    for part in parts_of(expression):
        if part is expression or id(part) in named or not is_worth_a_name(part):
            continue
        length = len(part.text(named))
        if length < 20:
            continue
        distance = abs(length - whole // 2)
        if best is None or distance < best[0]:
            best = (distance, part)
    return None if best is None else best[1]


def unbroadcast(gradient: Traced, place: Place) -> Traced:
    """A contribution in the shape and dtype of its tensor, as the engine has it."""
    array = np.asarray(gradient.array)
    expression = gradient.expression
    shape, dtype = place.shape, place.dtype
    if array.shape != shape:
        extra = array.ndim - len(shape)
        padded = (1,) * extra + shape
        axes = tuple(i for i, n in enumerate(array.shape) if i < extra or n != padded[i])
        array = np.sum(array, axis=axes).reshape(shape)
        expression = summed(expression, axes, extra, shape, gradient.array.ndim)
    if array.dtype.kind == "c" and dtype.kind != "c":
        array = np.real(array)
        expression = ex.call("np.real", [expression], {})
    if array.dtype != dtype:
        array = array.astype(dtype)
        expression = ex.method(expression, "astype", [write(dtype)], {})
    return Traced(array, expression)


def summed(
    x: Expression, axes: tuple[int, ...], extra: int, shape: tuple[int, ...], ndim: int
) -> Expression:
    """`g.sum(axis=0)`: back over the axes that were broadcast."""
    kept = [i for i in axes if i >= extra]
    options: dict[str, Expression] = {}
    if len(axes) < ndim or kept:
        options["axis"] = write(axes[0] if len(axes) == 1 else axes)
    if kept and len(kept) == len(axes):
        return ex.method(x, "sum", [], {**options, "keepdims": write(True)})
    found = ex.method(x, "sum", [], options)
    if kept:
        return ex.method(found, "reshape", [write(shape)], {})
    return found


def without_broadcast(part: Traced, present: Traced) -> Expression:
    """A term of a sum whose other side has the full shape: it broadcasts by itself."""
    expression = part.expression
    if expression.kind == "broadcast":
        inner: Expression = expression.details[0]
        return inner
    return expression
