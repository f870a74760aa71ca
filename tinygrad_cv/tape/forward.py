"""The way forward: tangents, by the same formulas."""

from __future__ import annotations

import copy

import numpy as np

from ..kernels.kernel import Kernel
from ..tensor import Node, Place, Rule, added
from . import expression as ex
from .backward import Backward, projected
from .expression import Expression
from .lines import TapeError
from .parts import shared_parts
from .record import NotedPush, NotedPushed, same
from .trace import (
    INSTEAD,
    Traced,
    Untraceable,
    Value,
    arranged,
    broadcast,
    express,
    plain,
    trace,
    traced,
    write,
)


class Forward(Backward):
    """The part of a program that carries tangents."""

    def _push(self, push: NotedPush) -> None:
        if all(id(variable) in self.expressions for variable in push.pushed.values()):
            return  # handed on as it is, or by the way back of a way back
        self.section = self.sections.get(push.node, ())
        self.phase = "tangents"
        tangents = {name: self.traced(value, name) for name, value in push.tangents.items()}
        of_kernel = isinstance(push.operation, Kernel)
        write_push = self._kernel_push if of_kernel else self._rule_push
        found = write_push(push, tangents)
        parts = found if type(push.node.shape) is list else [found]
        places = list(push.pushed)
        present = [part for part in parts if part is not None]
        for place, part in zip(places, present, strict=True):
            self._name_tangent(push, place, broadcast_tangent(part, place, tangents))
        self.phase = "backward"

    def _rule_push(self, push: NotedPush, tangents: dict[str, Value]) -> Value:
        """What a rule makes of tangents, as an expression."""
        node = push.node
        operation = copy.copy(push.operation)
        operation.function = INSTEAD.get(operation.function, operation.function)
        saved = {name: self.saved_value(push, name) for name in push.saved}
        replica = Node(operation, dict(push.parents), saved, node.shape, node.dtype)
        try:
            return trace(lambda: operation.push(replica, tangents, False), [])
        except Untraceable:
            parts = [self._part(push, name, tangents[name], saved) for name in tangents]
            return trace(lambda: added(parts), [])

    def _part(self, push: NotedPush, name: str, tangent: Value, saved: dict[str, Value]) -> Value:
        """What one tangent comes to, as a call of the function or of a formula of the table."""
        operation: Rule = push.operation
        if name in operation.linear and name not in operation.tangents:
            args, kwargs = arranged(operation, operation.arguments_in({**saved, name: tangent}))
            value = operation.function(
                *map(plain, args), **{k: plain(v) for k, v in kwargs.items()}
            )
            return traced(value, express(operation.function, args, kwargs, value))
        kind, letter, needed = "tangents", "t", operation.tangent_needs.get(name)
        if needed is None:
            kind, letter, needed = "formulas", "g", operation.needs[name]
            if not operation.elementwise:
                raise TapeError(f"the tangent of {push.node} is no expression in {name!r}")
        arguments = [tangent if n == letter else saved[n] for n in needed]
        return self.formula_call(operation, kind, name, arguments)

    def _kernel_push(self, push: NotedPush, tangents: dict[str, Value]) -> Value:
        """What a kernel makes of tangents: a call."""
        kernel: Kernel = push.operation
        kept = self.kept.get(push.node)
        if kept is None:
            raise TapeError(f"{push.node} is inside of a reference, or older than the tape")
        given = {name: write(tangent) for name, tangent in tangents.items()}
        where = f"{self.kernel_name(kernel)}.push_arrays"
        arrays = [variable.array for variable in push.pushed.values()]
        value = arrays if type(push.node.shape) is list else arrays[0]
        return traced(value, ex.call(where, [ex.name(kept)], given))

    def _name_tangent(self, push: NotedPush, place: Place, part: Traced) -> None:
        """Assign a tangent in a line."""
        variable = push.pushed[place]
        if id(variable) in self.expressions:
            return
        if not same(np.asarray(part.array), variable.array):
            raise TapeError(
                f"the tangent of {push.node}, as it would be printed, is not the engine's: "
                f"{part.expression.text()}"
            )
        target = self.names.give(f"{self.place_name(place)}_dot")
        whole = ex.interned(part.expression, {})
        self.emit((target,), whole, None, [variable.array], shared_parts([whole], self.named))
        self.expressions[id(variable)] = ex.name(target)
        self.alive.append(variable)

    def _pushed(self, pushed: NotedPushed) -> None:
        """Return the tangents, beside the values that they belong to."""
        for place, variable in pushed.tangents.items():
            self.tangents[self.place_name(place)] = self.expression(variable)
            root = self.recorder.by_place.get(place)
            if root is not None:
                self.roots.append(root)


def broadcast_tangent(part: Traced, place: Place, given: dict[str, Value]) -> Traced:
    """A tangent in the shape and dtype of its value, as the engine has it."""
    expression = part.expression
    array = np.asarray(part.array)
    shape = place.shape
    if array.shape != shape:
        expression = broadcast(Traced(array, expression), shape)
        array = np.broadcast_to(array, shape)
    if place.node.operation.elementwise and np.isnan(array).any():
        still = all_zero(given)
        array = np.where(still.array, 0, array)
        parts = [still.expression, write(0), expression]
        expression = ex.call("np.where", parts, {})
    return projected(Traced(array, expression), place.dtype)


def all_zero(given: dict[str, Value]) -> Traced:
    """Where an elementwise operation was given nothing but zeros."""
    array: np.ndarray | bool = True
    expression: Expression | None = None
    for tangent in given.values():
        zero = ex.binary("==", tangent.expression, write(0))
        array = array & np.equal(tangent.array, 0)
        expression = zero if expression is None else ex.binary("&", expression, zero)
    return Traced(array, write(True) if expression is None else expression)
