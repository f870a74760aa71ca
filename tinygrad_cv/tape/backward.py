"""The way back: the formula of each operation, filled in, and the sums of what it gives."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from ..engine.operands import is_complex, is_differentiable
from ..kernels.kernel import Kernel
from ..tensor import Node, Output, Place, Rule, broadcast_axes, each
from ..transforms import IDENTITY
from . import expression as ex
from . import record
from .expression import Expression
from .inside import body_pull, pull_reference
from .lines import Lines, TapeError, Way
from .parts import names_in, shared_parts
from .record import NotedPull, NotedPush, Variable
from .trace import Traced, Untraceable, Value, plain, trace, traced, write


class Backward(Lines):
    """The part of a program that goes back."""

    def _start(self, start: record.NotedStart) -> None:
        way = Way(start.path, start.graph)
        self.ways.append(way)
        if len(self.ways) == 1 and not start.inside:
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
            self._add_all([(place, Traced(gradient.array, expression))], None)

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
                found: Expression = part.expression
                return found
        return None

    def _pull(self, pull: NotedPull) -> None:
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

    def _gradient_of(self, node: Node, way: Way) -> Value:
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

    def _check(self, pull: NotedPull, gradient: Value) -> None:
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
            self.add_line([target], conjugate.text(), None, [array], names_in(conjugate))
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
            self.add_line([target], text, None, [deposit.total.array], names_in(expression))
        self.expressions[id(deposit.total)] = total
        self.gradients[name] = total

    def keep_last(self) -> None:
        """Return the gradients of the last way back, by the names of their inputs."""
        for place, variable in self.last.items():
            if place.node.operation is None:
                name = self.place_name(place)
                expression = self.expression(variable)
                if is_complex(variable.array):
                    expression = ex.call("np.conj", [expression], {})
                self.gradients[name] = expression

    # -------------------------------------------------------------------------------- one operation

    def _rule_pull(self, pull: NotedPull, gradient: Value) -> dict[str, Value]:
        """The formula of each argument, as the expression that it comes to."""
        operation: Rule = pull.operation
        found = {}
        for name in pull.wanted:
            formula: Any = operation.formulas[name]
            needs = operation.needs[name]
            given = [gradient if n == "g" else self.saved_value(pull, n) for n in needs]
            try:
                value = trace(formula, given)
            except Untraceable:
                value = self.formula_call(operation, "formulas", name, given)
            found[name] = self._as_traced(value)
        return found

    def saved_value(self, pull: NotedPull | NotedPush, name: str) -> Value:
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

    def _matched(self, saved: Value, known: Value, name: str) -> Value:
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

    def _as_traced(self, value: Value) -> Value:
        if type(value) in (list, tuple):
            return [self._as_traced(part) for part in value]
        if type(value) is Traced or value is None:
            return value
        try:
            return Traced(value, write(value))
        except Untraceable:
            return Traced(value, self.given(value, "c"))

    def formula_call(self, operation: Rule, kind: str, name: str, given: list[Value]) -> Value:
        """A formula that is no single expression, called by its place in the table.

        `kind`: "formulas", or "tangents".
        """
        function = ex.function_name(operation.function)
        if function is None:
            function = self.given(operation.function, operation.function.__name__).text()
        with np.errstate(all="ignore"):
            value = getattr(operation, kind)[name](*map(plain, given))
        self.imports.add("tg")
        where = f'tg.rule({function}).{kind}["{name}"]'
        arguments = [self._argument(g) for g in given]
        return traced(value, ex.call(where, arguments, {}))

    def _argument(self, value: Value) -> Expression:
        if isinstance(value, (list, tuple)):
            kind = list if type(value) is list else tuple
            return ex.sequence(kind, [self._argument(v) for v in value])
        try:
            return write(value)
        except Untraceable:
            return self.given(value, "option")

    def _kernel_pull(self, pull: NotedPull, gradient: Value) -> dict[str, Value]:
        """One line with the gradients of a kernel's arguments."""
        kernel: Kernel = pull.operation
        node = pull.node
        if self.detail == "reference":
            return pull_reference(self, pull, gradient)
        wanted = tuple(n for n in kernel.arrays if n in pull.wanted)
        whole = tuple(n for n in kernel.arrays if is_differentiable(pull.saved[n]))
        kept = self.kept.get(node)
        if kept is None:
            raise TapeError(f"{node} was recorded before the tape began, so it cannot be printed")
        given = {} if wanted == whole else {"wrt": write(wanted)}
        g = write(gradient)
        if self.detail == "body" and not pull.saved.get("half"):
            return body_pull(self, pull, gradient, wanted)
        expression = ex.call(f"{self.kernel_name(kernel)}.pull_arrays", [g, ex.name(kept)], given)
        replica = Node(kernel, dict(pull.parents), dict(pull.saved), node.shape, node.dtype)
        names: Any = pull.parents if wanted == tuple(pull.parents) else list(wanted)
        arrays = kernel.pull(replica, plain(gradient), names, graph=False)
        targets = []
        found: dict[str, Any] = {}
        for name in wanted:
            place = pull.parents[name]
            if type(place) is list:
                raise TapeError(f"{node} takes a list of tensors")
            target = self.names.give(f"g_{self.place_name(place, name)}")
            targets.append(target)
            self.given_by_kernels.add(target)
            found[name] = Traced(arrays[name], ex.name(target))
        text = expression.text()
        self.add_line(targets, text, pull, [arrays[n] for n in wanted], names_in(expression))
        return found

    def _silenced(self, pull: NotedPull, found: dict[str, Value]) -> dict[str, Value]:
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

    # -------------------------------------------------------------------------------- contributions

    def _add_all(self, group: list[tuple[Any, Any]], pull: NotedPull | None) -> None:
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
        pool: dict[Any, Expression] = {}
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
        pull: NotedPull | None,
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
            target = self.names.give(f"g_{self.place_name(place)}")
        self.gradient_names[self.place_name(place)] = target
        self.emit((target,), expression, pull, [fitted.array], shared)
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
            self.gradient_names[self.place_name(place)] = text
        return fresh


def write_ones(array: np.ndarray) -> Expression:
    """`np.ones(shape)`."""
    kind = [] if array.dtype == np.float64 else [write(array.dtype)]
    return ex.call("np.ones", [write(array.shape), *kind], {})


def unbroadcast(gradient: Traced, place: Place) -> Traced:
    """A contribution in the shape and dtype of its tensor, as the engine has it."""
    array = np.asarray(gradient.array)
    expression = gradient.expression
    shape = place.shape
    if array.shape != shape:
        extra = array.ndim - len(shape)
        axes = broadcast_axes(array.shape, shape) or ()
        array = np.sum(array, axis=axes).reshape(shape)
        expression = summed(expression, axes, extra, shape, gradient.array.ndim)
    return projected(Traced(array, expression), place.dtype)


def projected(value: Traced, dtype: np.dtype[Any]) -> Traced:
    """A value in another dtype, as the engine's `project` has it."""
    array, expression = value.array, value.expression
    if is_complex(array) and dtype.kind != "c":
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
