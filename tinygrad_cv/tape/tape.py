"""What a person holds: a tape, that prints and runs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..engine.errors import describe_line
from ..engine.modes import switched
from ..engine.observers import observed
from ..engine.operands import DIFFERENTIABLE
from ..engine.pytrees import leaves, map_leaves
from ..tensor import Tensor, backpropagate
from ..transforms import variable
from ..typing import ArrayLike, Function, PyTree

if TYPE_CHECKING:
    from .program import Program
    from .record import Recorder
    from .run import Executed

Leaf: TypeAlias = Any  # of a pytree: an array, a tensor, a number, anything else


class Tape:
    """A computation that was noted. `print` shows it as a NumPy program; `run` executes that."""

    def __init__(self) -> None:
        from .record import Recorder  # only here: `import tinygrad_cv` is to be quick

        self.recorder = Recorder()
        self._presets: dict[int, str] = {}
        self._value: Any = None
        self._of_function = False
        self._observing: list[switched] = []
        self._programs: dict[str, Program] = {}
        self._run: Executed | None = None

    def __enter__(self) -> Tape:
        observing = observed(self.recorder)
        observing.__enter__()
        self._observing.append(observing)
        self._programs.clear()
        self._run = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._observing.pop().__exit__(kind, error, traceback)

    # ------------------------------------------------------------------------------- of a function

    def _carry_out(self, f: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Call a function on variables, and go back if its value is one number."""
        self._of_function = True
        given = {**dict(zip(argument_names(f, args), args, strict=True)), **kwargs}
        new_args = [self._input(name, tree) for name, tree in zip(given, args, strict=False)]
        new_kwargs = {name: self._input(name, kwargs[name]) for name in kwargs}
        with self, switched("recording", True), switched("transform", True):
            value = f(*new_args, **new_kwargs)
            self._value = map_leaves(self._noted_value, value)
            self.result = value
            roots = [leaf for leaf in leaves(value) if type(leaf) is Tensor]
            if len(leaves(value)) == 1 and roots and is_number(roots[0]):
                (root,) = roots
                one = np.ones(root.shape, root.dtype)
                backpropagate([(root._node, one)], (), retain=True)

    def _input(self, name: str, tree: PyTree) -> PyTree:
        """An argument, its arrays of floating-point numbers as variables."""
        names = iter(leaf_names(name, tree))
        return map_leaves(lambda leaf: self._variable(leaf, next(names)), tree)

    def _variable(self, leaf: Leaf, name: str) -> Leaf:
        if isinstance(leaf, (np.ndarray, np.inexact, float, complex)):
            array = np.asarray(leaf)
            if array.dtype.kind in DIFFERENTIABLE:
                leaf = variable(array)
        if type(leaf) is Tensor and leaf._node is None and leaf.dtype.kind in DIFFERENTIABLE:
            leaf = variable(leaf)
        if type(leaf) is Tensor:
            noted = self.recorder.of_tensor(leaf)
        elif isinstance(leaf, np.ndarray):
            noted = self.recorder.changeable(leaf, name)
        else:
            return leaf
        self._presets[id(noted)] = name
        return leaf

    def _noted_value(self, leaf: Leaf) -> Leaf:
        return self.recorder.noted(leaf, "y")

    # ----------------------------------------------------------------------------- as a program

    def program(self, detail: str = "call") -> Program:
        """The lines, made when first asked for."""
        found = self._programs.get(detail)
        if found is None:
            from .program import Program

            found = self._programs[detail] = Program(self.recorder, self._presets, detail)
            if self._of_function:
                found.keep_last()
        return found

    def text(self, detail: str = "call") -> str:
        """The program. Kernels are calls; with "reference" they are the lines of their definition,
        with "body" their fast functions stand above the program.

        Executed, the text gives the engine's bits; with "reference" the same but for rounding.
        """
        from .print import text_of

        program = self.program(detail)
        return text_of(program, self._returned(program))

    def __str__(self) -> str:
        return self.text()

    def _returned(self, program: Program) -> str | None:
        """The value that the program returns, as it is written."""
        from .program import as_written

        value = self._value
        if not self._of_function:
            value = tuple(program.roots) if len(program.roots) != 1 else program.roots[0]
            if not program.roots:
                value = last_value(self.recorder)
        if value is None:
            return None
        found = map_leaves(program.traced, value)
        if isinstance(found, dict):
            return written_dict(found)
        return as_written(found).text()

    def inputs(self, detail: str = "call") -> dict[str, Any]:
        """What the program is given, by name: the arrays of the computation that was noted."""
        self.text(detail)
        return dict(self.program(detail).inputs)

    def run(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        detail: str = "call",
        **others: ArrayLike,
    ) -> Executed:
        """Execute the text, with other arrays in place of the inputs that are named.

        Returns the value, gradients, updated parameters and tangents by name, and all variables.
        Raises TypeError for a name that is no input.
        """
        from .run import execute

        text = self.text(detail)
        given = self.inputs(detail)
        for name, value in {**(inputs or {}), **others}.items():
            if name not in given:
                known = ", ".join(given)
                raise TypeError(f"the program has no input {name!r}; there are {known}")
            given[name] = value
        return execute(text, given, [kind for kind, _ in self.program(detail).returns()])

    # ----------------------------------------------------------------------------- what others draw

    @property
    def _executed(self) -> Executed:
        if self._run is None:
            self._run = self.run()
        return self._run

    def value(self, name: str) -> Leaf:
        """The value of a variable of the program. Raises KeyError with the names that there are."""
        variables = self._executed.variables
        if name not in variables:
            raise KeyError(
                f"the program has no variable {name!r}; there are {', '.join(variables)}"
            )
        return variables[name]

    def gradient(self, name: str) -> Leaf:
        """The gradient that arrived at a variable. Raises KeyError if none did."""
        names = self.program().gradient_names
        if name not in names:
            raise KeyError(f"no gradient arrived at {name!r}; there are {', '.join(names)}")
        return self.value(names[name])

    def table(self) -> list[dict[str, Any]]:
        """The lines as rows: number, phase, name, operation, text, shape, dtype, kept, line,
        section, seconds."""
        self.text()
        rows = []
        for number, line in enumerate(self.program().shown):
            arrays = leaves(line.value)
            rows.append(
                {
                    "number": number,
                    "phase": line.phase,
                    "name": ", ".join(line.targets),
                    "operation": line.operation,
                    "text": line.text,
                    "shape": [np.shape(a) for a in arrays],
                    "dtype": [str(np.asarray(a).dtype) for a in arrays],
                    "kept": list(line.kept),
                    "line": None if line.line is None else describe_line(line.line),
                    "section": list(line.section),
                    "seconds": line.seconds,
                }
            )
        return rows

    def graph(self) -> dict[str, list[dict[str, Any]]]:
        """The variables as nodes, and as edges which of them is computed from which."""
        rows = self.table()
        program = self.program()
        nodes: dict[str, dict[str, Any]] = {}
        for name, value in program.inputs.items():
            nodes[name] = {"name": name, "phase": "input", "shape": np.shape(value)}
        edges = []
        for row, line in zip(rows, program.shown, strict=True):
            for target in line.targets:
                shape = row["shape"][0] if row["shape"] else None
                nodes[target] = {
                    "name": target,
                    "phase": line.phase,
                    "operation": line.operation,
                    "shape": shape,
                    "row": row["number"],
                }
            edges += [{"from": use, "to": t} for t in line.targets for use in line.uses]
        return {"nodes": list(nodes.values()), "edges": edges}

    def parameters(self) -> dict[str, Tensor]:
        """The tensors that optimisers have updated, by their names in the program."""
        from .record import NotedStep

        found = {}
        for event in self.recorder.events:
            if type(event) is NotedStep:
                found[self.program().expression(event.first).text()] = event.tensor
        return found


def is_number(tensor: Tensor) -> bool:
    """Whether a gradient can start here: one floating-point number that was recorded."""
    return tensor._node is not None and tensor.size == 1 and tensor.dtype.kind == "f"


def last_value(recorder: Recorder) -> Leaf:
    """The value of the last call."""
    for event in reversed(recorder.events):
        value = getattr(event, "value", None)
        if value is not None:
            return tuple(value) if isinstance(value, list) else value
    return None


def written_dict(tree: dict[str, Any]) -> str:
    """`{"a": a}`."""
    from .program import as_written

    entries = [f'"{key}": {as_written(value).text()}' for key, value in tree.items()]
    return "{" + ", ".join(entries) + "}"


def argument_names(f: Function, args: tuple[Any, ...]) -> list[str]:
    """The names of positional arguments; x0, x1, ... where Python cannot see them."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (ValueError, TypeError):
        return [f"x{i}" for i in range(len(args))]
    names: list[str] = []
    for i in range(len(args)):
        parameter = parameters[min(i, len(parameters) - 1)]
        variadic = parameter.kind is parameter.VAR_POSITIONAL
        names.append(f"{parameter.name}_{i}" if variadic else parameter.name)
    return names


def leaf_names(name: str, tree: PyTree) -> Iterator[str]:
    """The names of the leaves of an argument: p["weight"] is `p_weight`."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaf_names(f"{name}_{key}", value)
    elif isinstance(tree, (list, tuple)):
        for i, value in enumerate(tree):
            yield from leaf_names(f"{name}_{i}", value)
    elif tree is not None:
        yield name


def tape(f: Function | None = None, *args: PyTree, **kwargs: PyTree) -> Tape:
    """The program of a computation: of a function with its arguments, or of the `with` block below.

    `tg.tape(f, *args)` calls f with arrays as variables, and, if the value is one number, goes
    back. Arguments are pytrees; tensors and modules that f takes from outside have their gradients,
    too. `with tg.tape() as t:` notes any code with `backward()` and `optimizer.step()` in it.
    """
    noted = Tape()
    if f is not None:
        noted._carry_out(f, args, kwargs)
    return noted
