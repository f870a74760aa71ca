"""From what was noted to a program: one line after the other, forward, backward and updates."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..engine import errors
from ..engine.pytrees import leaves
from ..kernels.kernel import Kernel
from ..tensor import Place, Rule
from . import expression as ex
from . import record
from .expression import Expression
from .forward import Forward
from .inside import body_call, write_reference
from .lines import Line
from .names import RETURNED, assigned_name
from .parts import names_in
from .record import Event, Recorder, Variable
from .trace import Untraceable, Value, arranged, express, plain, trace, write


class Program(Forward):
    """The lines of a tape, and what goes in and comes out."""

    def __init__(
        self,
        recorder: Recorder,
        presets: Mapping[int, str] | None = None,
        detail: str = "call",
    ) -> None:
        super().__init__(recorder, presets, detail)
        self.inner = inner_calls(recorder.events)
        self.gradient_places = gradient_places(recorder.events)
        self.short = short_scopes(recorder.events)
        for event in recorder.events:
            self.handle(event)

    def handle(self, event: Event) -> None:
        """Write the lines of one event."""
        handlers: dict[type, Callable[[Any], None]] = {
            record.NotedCall: self._call,
            record.NotedStart: self._start,
            record.NotedPull: self._pull,
            record.NotedFinish: self._finish,
            record.NotedDeposit: self._deposit,
            record.NotedPush: self._push,
            record.NotedPushed: self._pushed,
            record.NotedEdit: self._edit,
            record.NotedStep: self._step,
        }
        handlers[type(event)](event)

    # ------------------------------------------------------------------------------------- forward

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
                self._is_optional(call),
            )
        )

    def _is_optional(self, call: record.NotedCall) -> bool:
        """Whether a line is left out if nobody uses its value: it is not one of the user's own."""
        of_kernel = self.outer is None and any(scope.kind == "kernel" for scope in call.scopes)
        return bool(self.ways) or call.node is None or of_kernel

    def _is_plain_transpose(self, call: record.NotedCall) -> bool:
        """Whether a call is written `x.T` where its value is used: a matrix without a name."""
        if call.function not in (np.transpose, np.matrix_transpose):
            return False
        given = [v for v in call.arguments.values() if v is not None]
        of_matrix = len(given) == 1 and type(given[0]) is Variable and given[0].array.ndim == 2
        named = id(call) not in self.inner and assigned_name(call.frames) is not None
        return of_matrix and not named

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
        if place is not None and self.place_name(place, ""):
            name = self.names.give(f"g_{self.place_name(place)}")
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
        where = self.kernel_name(kernel)
        if call.node is not None:
            if self.detail == "body" and not kernel.is_wide(map(plain, args)):
                return body_call(self, call)
            where += ".run"
        expression = ex.call(where, map(write, args), kwargs)
        return expression.text(), names_in(expression)

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


def inner_calls(events: Sequence[Event]) -> set[int]:
    """The calls, by id, in definitions and references, but for those whose value they return."""
    found = set()
    calls = [event for event in events if type(event) is record.NotedCall]
    for call, after in itertools.pairwise(calls):
        ours = [s for s in call.scopes if s.kind != "module"]
        theirs = set(map(id, after.scopes))
        if any(id(s) in theirs for s in ours):
            found.add(id(call))
    return found


def gradient_places(events: Sequence[Event]) -> dict[int, Place]:
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


def short_scopes(events: Sequence[Event]) -> set[int]:
    """The definitions, by id, that consist of one call, and need no heading."""
    counts: dict[int, int] = {}
    for event in events:
        for scope in getattr(event, "scopes", ()):
            if scope.kind == "definition":
                counts[id(scope)] = counts.get(id(scope), 0) + 1
    return {key for key, count in counts.items() if count == 1}


def values_of(value: Value) -> Value:
    """The arrays of variables."""
    if type(value) is Variable:
        return value.array
    return [values_of(v) for v in value]


def as_written(value: Value) -> Expression:
    """A traced value's expression, of several a tuple."""
    if type(value) in (list, tuple):
        return ex.sequence(tuple, [as_written(v) for v in value])
    return write(value)
