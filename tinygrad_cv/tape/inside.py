"""Kernels from inside: their reference, line by line, or the functions of their fast bodies."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.modes import switched
from ..engine.observers import Scope, observed
from ..kernels.kernel import Kernel
from ..tensor import Node, Tensor, backpropagate, each, wrap
from ..typing import Function
from . import expression as ex
from .record import Noted, NotedCall, NotedPull, Recorder, Variable, key_of
from .trace import Traced, Value, plain, write

if TYPE_CHECKING:
    from .backward import Backward

# ----------------------------------------------------------------------------------- the reference


class Replica:
    """A kernel's reference, carried out on leaves of its own."""

    def __init__(self, call: NotedCall) -> None:
        self.recorder = Recorder(within=True)
        self.leaves: dict[str, Any] = {}
        self.call = call
        kernel: Kernel = call.operation
        arrays = [self._leaf(name) for name in kernel.arrays]
        options = {name: unnoted(call.arguments[name]) for name in kernel.options}
        with observed(self.recorder), switched("recording", True):
            value = kernel.reference(*arrays, **options)
        self.values = each(value)

    def _leaf(self, name: str) -> Noted:
        """An argument of the reference."""
        given = self.call.arguments[name]
        if type(given) is not Variable:
            return given
        array = given.array
        self.recorder.by_memory[key_of(array)] = given
        if name not in self.call.parents:
            return array
        leaf: Tensor = wrap(array, Node(None, {}, {}, array.shape, array.dtype))
        self.leaves[name] = leaf._node
        self.recorder.by_place[leaf._node] = given
        return leaf


def unnoted(value: Noted) -> Noted:
    """An option as it was given."""
    if type(value) is Variable:
        return value.array
    return type(value)(map(unnoted, value)) if type(value) in (list, tuple) else value


def write_reference(program: Backward, call: NotedCall) -> None:
    """The lines of a kernel's reference."""
    replica = Replica(call)
    program.replicas[call.node] = replica
    scope = Scope("kernel", f"{call.operation.reference.__name__}, by its reference", None)
    before = program.outer
    program.outer = NotedCall(**{n: getattr(call, n) for n in call.__slots__})
    outer_scopes = () if before is None else before.scopes
    program.outer.scopes = (*outer_scopes, *call.scopes, scope)
    program.recorder.by_place |= replica.recorder.by_place
    for event in replica.recorder.events:
        program.handle(event)
    program.outer = before
    theirs = [replica.recorder.of_tensor(value) for value in replica.values]
    for outer, inner in zip(each(call.value), theirs, strict=True):
        program.expressions[id(outer)] = program.expression(inner)
        program.alive += [outer, inner]


def pull_reference(program: Backward, pull: NotedPull, gradient: Value) -> dict[str, Value]:
    """The lines of the way back through a kernel's reference."""
    replica: Replica = program.replicas[pull.node]
    recorder = replica.recorder
    recorder.events.clear()
    roots = []
    for value, part in zip(replica.values, each(gradient), strict=True):
        if value._node is None:
            continue
        array = np.asarray(part.array)
        variable = Variable(array)
        recorder.by_memory[key_of(array)] = variable
        program.expressions[id(variable)] = part.expression
        program.alive.append(variable)
        roots.append((value._node, array))
    places = [replica.leaves[name] for name in pull.wanted]
    with observed(recorder):
        backpropagate(roots, places, retain=True)
    program.recorder.by_place |= recorder.by_place
    recorder.events.pop()  # the end
    for event in recorder.events:
        program.handle(event)
    way = program.ways.pop()
    found: dict[str, Any] = {}
    for name in pull.wanted:
        part = way.gradients.get(replica.leaves[name])
        found[name] = part
        if part is not None:
            program.given_by_kernels.add(part.expression.text())
    return found


# -------------------------------------------------------------------------------------- the bodies


def define(program: Backward, kernel: Kernel, function: Function, what: str) -> str:
    """Put a function of a kernel above the program; return its name."""
    name = f"{kernel.reference.__name__}_{what}"
    if (kernel, what) in program.bodies:
        return name
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    if not isinstance(tree, ast.FunctionDef):
        raise TypeError(f"{kernel.reference.__name__}: {what} is no function with a source")
    tree.name, tree.decorator_list, tree.returns = name, [], None
    for argument in (*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs):
        argument.annotation = None
    program.bodies[kernel, what] = ast.unparse(tree).splitlines()
    names = set(inspect.getclosurevars(function).globals) - {"np"}
    names |= {n for n in function.__code__.co_names if n in function.__globals__} - {"np"}
    for needed in sorted(names):
        found = function.__globals__[needed]
        known = program.body_names.setdefault(needed, (function.__module__, found))
        if known[1] is not found:
            raise ValueError(
                f"{name} and another kernel's function call different things {needed!r}, so they "
                "cannot stand above one program"
            )
    return name


def body_call(program: Backward, call: NotedCall) -> tuple[str, tuple[str, ...]]:
    """`y, kept_y = linear_forward(x, weight, bias, ...)`."""
    kernel: Kernel = call.operation
    given = dict(call.arguments)
    given["needs"] = [name in call.parents for name in kernel.arrays]
    name = define(program, kernel, kernel._forward, "forward")
    arguments = [as_array(program.traced(given[n], n)) for n in kernel._forward_uses]
    expression = ex.call(name, arguments, {})
    return expression.text(), tuple(
        n for n in map(ex.Expression.text, arguments) if n.isidentifier()
    )


def as_array(value: Noted) -> ex.Expression:
    """An argument of a body, which takes arrays and no numbers of NumPy's."""
    expression = write(value)
    if type(value) is Traced and np.ndim(value.array) == 0 and isinstance(value.array, np.ndarray):
        return ex.call("np.asarray", [expression], {})
    return expression


def body_pull(
    program: Backward, pull: NotedPull, gradient: Value, wanted: tuple[str, ...]
) -> dict[str, Value]:
    """`g_x, g_weight, g_bias = linear_backward(g_y, x, weight, kept_y, ...)`."""
    kernel: Kernel = pull.operation
    saved = dict(pull.saved)
    if wanted != tuple(pull.parents):
        saved["needs"] = [name in wanted for name in kernel.arrays]
    values = {"g": gradient, "saved": Traced(None, ex.name(program.kept[pull.node]))}
    arguments = []
    for name in kernel._uses:
        value = values.get(name)
        if value is None:
            value = saved[name] if name == "needs" else program.saved_value(pull, name)
        arguments.append(as_array(value))
    arrays = [plain(gradient) if n == "g" else saved[n] for n in kernel._uses]
    result = kernel._backward(*arrays)
    parts = result if type(result) is tuple else (result,)
    targets = []
    found: dict[str, Any] = {}
    for name, part in zip(kernel.arrays, parts, strict=False):
        if name not in wanted:
            targets.append("_")
            continue
        target = program.names.give(f"g_{program.place_name(pull.parents[name], name)}")
        targets.append(target)
        program.given_by_kernels.add(target)
        found[name] = Traced(part, ex.name(target))
    if type(result) is tuple and len(parts) == 1:
        targets[0] += ","
    name = define(program, kernel, kernel._backward, "backward")
    text = ex.call(name, arguments, {}).text()
    uses = tuple(n for n in map(ex.Expression.text, arguments) if n.isidentifier())
    program.add_line(targets, text, pull, [found[n].array for n in found], uses)
    return found
