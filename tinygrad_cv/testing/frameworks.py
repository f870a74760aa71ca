"""One door for functions of other frameworks: each becomes a pair of functions of NumPy arrays.

No framework is imported here but the one that a function belongs to.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import numpy as np

from ..engine.errors import name_of
from ..engine.pytrees import leaves, map_leaves, rebuild
from ..typing import PyTree
from .check import GradReport, check_grad, check_vjp
from .contract import draw_cotangents
from .message import GradMismatch, literal
from .operation import Arguments, Function, Operation, is_array, parameter_names

Own: TypeAlias = Any  # a framework's own array: torch.Tensor, jax.Array, a box of autograd
Flat: TypeAlias = Callable[[Sequence[Own]], list[Own]]  # from the inputs to the values
Names: TypeAlias = int | str | Sequence[int | str] | None  # positions, or names of parameters


def check(
    f: Function,
    *args: PyTree,
    framework: str | None = None,
    wrt: Names = None,
    order: int = 1,
    **options: PyTree,
) -> GradReport:
    """Check the gradients of a function of NumPy, PyTorch, JAX or HIPS autograd, as it is.

    Its framework is that of the arguments, or else of the value; NumPy's functions, and those of
    tensors of ours, are checked as in `check_grad`. autograd's take NumPy arrays, and need
    framework="autograd".

    f: a function, a torch.nn.Module or a torch.autograd.Function. Of a module the parameters are
        checked too; they stand behind the arguments, in whose dtype it computes.
    args: arrays of the framework, or of NumPy, which f gets as the framework's.
    wrt: the positions of the arguments to differentiate; of a module also names of parameters.
        None: all floating-point arrays, and all parameters that require a gradient.
    order: 2 also checks the gradients of the gradients, with respect to the arguments and the
        cotangent (double backward).
    options: those of `check_vjp`.

    The differences are taken in float64. A function that refuses it, since it holds numbers in
    float32, is evaluated in float32, with error bars to match; the report says so.

    Raises what `check_vjp` does, and ValueError for an unknown framework.
    """
    __tracebackhide__ = True
    found = framework_of(f, args) if framework is None else framework
    if found is None:
        return check_grad(f, *args, wrt=wrt, order=order, **options)  # type: ignore[arg-type]
    if found not in FRAMEWORKS:
        raise ValueError(f"framework is one of {', '.join(FRAMEWORKS)}, not {found!r}")
    library = FRAMEWORKS[found](args)
    call = library.call_of(f, args, wrt)
    reports = []
    rng = np.random.default_rng(options.get("rng", 0))
    for k in range(1, order + 1):
        if k > 1:
            call = call.gradient(rng)
            options = {name: options[name] for name in options if name not in FIRST_ORDER_ONLY}
        try:
            reports.append(call.check(options))
        except GradMismatch as mismatch:
            raise mismatch.with_text(call.explain(str(mismatch), k)) from None
    return merged(reports)


FIRST_ORDER_ONLY = ("cotangent", "along", "instead_of", "project")


def framework_of(f: Function, args: Arguments) -> str | None:
    """The framework that a function belongs to by itself, its arguments or its value."""
    torch = sys.modules.get("torch")
    if torch is not None:
        is_function = isinstance(f, type) and issubclass(f, torch.autograd.Function)
        if is_function or isinstance(f, torch.nn.Module):
            return "torch"
    found = _owner(list(args))
    if found is None and ("torch" in sys.modules or "jax" in sys.modules):
        with contextlib.suppress(Exception):  # f says it again when it is checked
            return _owner(f(*args))
    return found


def _owner(tree: PyTree) -> str | None:
    """The framework that has made the first of the arrays in a tree that are a framework's."""
    for leaf in leaves(tree):
        for name, kind in (("torch", "Tensor"), ("jax", "Array")):
            library = sys.modules.get(name)
            if library is not None and isinstance(leaf, getattr(library, kind)):
                return name
    return None


def merged(reports: Sequence[GradReport]) -> GradReport:
    """One report of the checks of several orders."""
    first, *others = reports
    for other in others:
        for name in ("elements", "kinks", "unresolved", "not_finite", "evaluations"):
            setattr(first, name, getattr(first, name) + getattr(other, name))
        first.seconds += other.seconds
        first.worst = max(first.worst, other.worst)
        first.held += [h for h in other.held if h not in first.held]
    return first


# ------------------------------------------------------------------------------------------ a call


class Call:
    """A function of a framework and its arguments, seen from NumPy.

    function: takes the framework's arrays. args: NumPy's. wrt: the positions whose floating-point
    arrays are differentiated. names: of the arguments. source: the function, in Python. origin: the
    function whose file and line a message names.
    """

    def __init__(
        self,
        library: Framework,
        function: Function,
        args: Arguments,
        wrt: Sequence[int],
        names: Sequence[str],
        source: str,
        origin: Function,
    ) -> None:
        self.library = library
        self.function = function
        self.args = args
        self.wrt = wrt
        self.names = names
        self.source = source
        self.origin = origin
        self.narrow = False  # whether the function takes no float64

    def check(self, options: dict[str, PyTree]) -> GradReport:
        """The gradients of this call against differences."""

        def forward(*arguments: PyTree) -> PyTree:
            return self.value(arguments)

        def backward(g: PyTree, y: PyTree, *arguments: PyTree) -> PyTree:
            return self.gradients(arguments, leaves([g]))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, kind) for name in self.names]
        forward.__name__ = name_of(self.origin)
        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        backward.__wrapped__ = _code_of(self.origin)  # type: ignore[attr-defined]
        options = dict(options)
        meant = options.get("instead_of")
        if meant is not None:
            options["instead_of"] = lambda *arguments: self.value(arguments, meant)
        if "cotangent" in options and not isinstance(options["cotangent"], str):
            options["cotangent"] = map_leaves(self.library.array, options["cotangent"])
        self.narrow = self.refuses_float64()
        everything = set(self.wrt) >= set(_with_numbers(self.args))
        wrt = None if everything else self.wrt
        report = check_vjp(forward, backward, *self.args, wrt=wrt, **options)
        if self.narrow:
            report.held.append("only float32 taken")
        return report

    def value(self, arguments: Arguments, function: Function | None = None) -> PyTree:
        """The value of the function, or another one, in NumPy's arrays."""
        function = self.function if function is None else function
        with self.library.session():
            result = function(*self.own(arguments))
            return map_leaves(self.library.array, result)

    def gradients(self, arguments: Arguments, cotangents: Sequence[PyTree]) -> PyTree:
        """A tree of gradients for each argument, None for what has none."""
        with self.library.session():
            own_cotangents = [self.library.own(np.asarray(c)) for c in cotangents]
            own = self.own(arguments)
            gradients = self.pull(own, own_cotangents)
            found = iter([self.library.array(g) for g in gradients])
        filled = [next(found) if given else None for given in self.are_inputs(own)]
        return rebuild(list(arguments), filled)

    def own(self, arguments: Arguments) -> list[PyTree]:
        """NumPy's arrays among the arguments as the framework's."""

        def convert(leaf: PyTree) -> PyTree:
            if not isinstance(leaf, (np.ndarray, np.generic)):
                return leaf
            if self.narrow and leaf.dtype in NARROW:
                leaf = leaf.astype(NARROW[leaf.dtype])
            return self.library.own(np.asarray(leaf))

        converted: list[PyTree] = map_leaves(convert, list(arguments))
        return converted

    def are_inputs(self, arguments: Sequence[PyTree]) -> list[bool]:
        """Of each leaf of the framework's arguments, whether it is differentiated."""
        found = []
        for position, argument in enumerate(arguments):
            chosen = position in self.wrt
            found += [chosen and self.library.is_number(leaf) for leaf in leaves(argument)]
        return found

    def pull(self, arguments: Sequence[PyTree], cotangents: Sequence[Own]) -> list[Own]:
        """The gradients of all inputs among the framework's arguments."""
        are_inputs = self.are_inputs(arguments)
        given = leaves(list(arguments))
        inputs = [leaf for leaf, chosen in zip(given, are_inputs, strict=True) if chosen]

        def flat(moved: Sequence[Own]) -> list[Own]:
            new = iter(moved)
            pairs = zip(given, are_inputs, strict=True)
            replaced = [next(new) if chosen else leaf for leaf, chosen in pairs]
            result = self.function(*rebuild(list(arguments), replaced))
            return [leaf for leaf in leaves(result) if self.library.is_number(leaf)]

        return self.library.pull(flat, inputs, cotangents)

    def gradient(self, rng: np.random.Generator) -> Call:
        """The gradients as a function of the arguments and the cotangents."""

        def gradients(*arguments: PyTree) -> list[Own]:
            *own, cotangents = arguments
            return self.pull(own, cotangents)

        gradients.__name__ = f"gradient of {name_of(self.origin)}"
        gradients.__wrapped__ = _code_of(self.origin)  # type: ignore[attr-defined]
        values = [v for v in leaves(self.value(self.args)) if is_array(v)]
        return Call(
            self.library,
            gradients,
            (*self.args, draw_cotangents(values, rng)),
            [*self.wrt, len(self.args)],
            [*self.names, "g" * (1 + self.names.count("g"))],
            self.source,
            gradients,
        )

    def refuses_float64(self) -> bool:
        """Whether the function raises for float64, but not for the arguments as they are."""
        wide = {narrow: dtype for dtype, narrow in NARROW.items()}

        def widen(leaf: PyTree) -> PyTree:
            known = isinstance(leaf, np.ndarray) and leaf.dtype in wide
            return leaf.astype(wide[leaf.dtype]) if known else leaf

        widened = map_leaves(widen, list(self.args))
        if all(one is other for one, other in zip(leaves(widened), leaves(self.args), strict=True)):
            return False
        try:
            self.value(tuple(widened))
        except Exception:
            self.value(self.args)  # raises if it is not for the dtype
            return True
        return False

    def explain(self, message: str, order: int) -> str:
        """A failed check's text, whose last line is one for this door."""
        text, _, line = message.rpartition("\n  reproduce: ")
        framework = f"framework={self.library.name!r})"
        ours = f"check_vjp({name_of(self.origin)}, backward, "
        if order == 1 and line.startswith(ours):
            arguments = line.removeprefix(ours).removesuffix(")")
            return f"{text}\n  reproduce: check({self.source}, {arguments}, {framework}"
        arguments = ", ".join(map(literal, self.args[: len(self.args) - order + 1]))
        again = f"check({self.source}, {arguments}, order={order}, {framework}"
        return f"{text or message}\n  reproduce: {again}"


NARROW: dict[PyTree, PyTree] = {
    np.dtype(np.float64): np.dtype(np.float32),
    np.dtype(np.complex128): np.dtype(np.complex64),
}


def _with_numbers(args: Arguments) -> list[int]:
    """The positions of the arguments that hold arrays of real or complex numbers."""
    return [p for p, argument in enumerate(args) if any(map(is_array, leaves(argument)))]


def _code_of(function: Function) -> Function:
    """Where the gradient of a function is written, or at least the function."""
    for name in ("backward", "forward"):  # of a torch.autograd.Function, of a torch.nn.Module
        code: Function | None = getattr(function, name, None)
        if code is not None:
            return code
    return function


# -------------------------------------------------------------------------------------- frameworks


class Framework:
    """What the door needs of a framework."""

    name = ""

    def __init__(self, args: Arguments) -> None:
        self.library: Any = importlib.import_module(self.name)

    def call_of(self, f: Function, args: Arguments, wrt: Names) -> Call:
        """A call of a function as it is."""
        arrays = tuple(map_leaves(self.array, list(args)))
        positions = Operation(f, arrays, wrt).wrt  # type: ignore[arg-type]
        if wrt is None:
            positions = _with_numbers(arrays)
        names = parameter_names(f, len(args))
        return Call(self, f, arrays, positions, names, name_of(f), f)

    def session(self) -> AbstractContextManager[None]:
        """What a call runs in."""
        return contextlib.nullcontext()

    def is_number(self, leaf: PyTree) -> bool:
        """Whether a leaf is an array of the framework, of real or complex numbers."""
        raise NotImplementedError

    def array(self, leaf: PyTree) -> PyTree:
        """The framework's array in NumPy; other leaves as they are."""
        raise NotImplementedError

    def own(self, array: np.ndarray) -> Own:
        """A copy of NumPy's array in the framework."""
        raise NotImplementedError

    def pull(self, flat: Flat, inputs: Sequence[Own], cotangents: Sequence[Own]) -> list[Own]:
        """The gradients dL/da + i dL/db, which can be differentiated again."""
        raise NotImplementedError


class Torch(Framework):
    """PyTorch. Each call draws the same random numbers, and works on copies of the buffers."""

    name = "torch"

    def __init__(self, args: Arguments) -> None:
        super().__init__(args)
        devices = [leaf.device for leaf in leaves(list(args)) if self.is_own(leaf)]
        self.device = devices[0] if devices else self.library.device("cpu")

    def call_of(self, f: Function, args: Arguments, wrt: Names) -> Call:
        """A call of a function, a module or an autograd.Function."""
        if isinstance(f, self.library.nn.Module):
            return self.call_of_module(f, args, wrt)
        if not isinstance(f, type):
            return super().call_of(f, args, wrt)
        call = super().call_of(f.apply, args, wrt)  # type: ignore[attr-defined]
        call.names = parameter_names(f.forward, len(args) + 1)[1:]  # type: ignore[attr-defined]
        call.source = f"{f.__name__}.apply"
        call.origin = f
        return call

    def call_of_module(self, module: Any, args: Arguments, wrt: Names) -> Call:
        """A call of a module, whose parameters are arguments behind its own."""
        chosen = [wrt] if isinstance(wrt, (int, str)) else wrt
        parameters = dict(module.named_parameters())
        unknown = {n for n in chosen or () if isinstance(n, str)} - parameters.keys()
        if unknown:
            raise ValueError(
                f"{type(module).__name__} has no parameters {sorted(unknown)}; "
                f"it has {sorted(parameters)}"
            )
        arrays = tuple(map_leaves(self.array, list(args)))
        if chosen is None:
            moved = [name for name, p in parameters.items() if p.requires_grad]
            positions = _with_numbers(arrays)
        else:
            moved = [name for name in parameters if name in chosen]
            positions = [p for p in chosen if isinstance(p, int)]
        state = {**parameters, **dict(module.named_buffers())}

        def function(*arguments: PyTree) -> PyTree:
            own, new = arguments[: len(args)], arguments[len(args) :]
            numbers = [leaf for leaf in leaves([*own, *new]) if self.is_number(leaf)]
            rest = {}
            for name, tensor in state.items():
                copy = tensor.detach().clone()
                if numbers and tensor.is_floating_point():
                    copy = copy.to(numbers[0].dtype)
                rest[name] = copy
            given = {**rest, **dict(zip(moved, new, strict=True))}
            return self.library.func.functional_call(module, given, own)

        name = type(module).__name__
        names = parameter_names(module.forward, len(args))
        words = [_word(n) for n in moved]
        pairs = ", ".join(f"{n!r}: {word}" for n, word in zip(moved, words, strict=True))
        source = (
            f"lambda {', '.join([*names, *words])}: torch.func.functional_call("
            f"{name}, {{{pairs}}}, ({', '.join(names)},))"
        )
        values = tuple(self.array(parameters[n]) for n in moved)
        dtypes = [leaf.dtype for leaf in leaves(list(arrays)) if is_array(leaf)]
        if dtypes:
            values = tuple(v.astype(dtypes[0]) for v in values)
        behind = range(len(args), len(args) + len(moved))
        every = (*arrays, *values)
        names = [*names, *words]
        return Call(self, function, every, [*positions, *behind], names, source, type(module))

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """The same random numbers in each call, and the caller's go on as before."""
        generator = self.library.random.default_generator
        before = generator.get_state()
        generator.manual_seed(0)
        try:
            with self.library.enable_grad():
                yield
        finally:
            generator.set_state(before)

    def is_own(self, leaf: PyTree) -> bool:
        """Whether a leaf is a tensor."""
        return isinstance(leaf, self.library.Tensor)

    def is_number(self, leaf: PyTree) -> bool:
        """Whether a leaf is a tensor of real or complex numbers."""
        return self.is_own(leaf) and (leaf.is_floating_point() or leaf.is_complex())

    def array(self, leaf: PyTree) -> PyTree:
        """A tensor in NumPy, a copy."""
        if not self.is_own(leaf):
            return leaf
        return leaf.detach().resolve_conj().cpu().numpy().copy()

    def own(self, array: np.ndarray) -> Own:
        """A tensor on the arguments' device."""
        return self.library.from_numpy(np.array(array, order="C")).to(self.device)

    def pull(self, flat: Flat, inputs: Sequence[Own], cotangents: Sequence[Own]) -> list[Own]:
        """Gradients by torch.autograd.grad; of what has no path to the values, zeros."""
        moving = [x if x.requires_grad else x.detach().requires_grad_() for x in inputs]
        values = []
        pushed = []
        for value, cotangent in zip(flat(moving), cotangents, strict=True):
            if value.requires_grad:
                values.append(value)
                pushed.append(cotangent.to(value.dtype))
        if not values:
            return [self.library.zeros_like(x) for x in moving]
        graph = any(x.requires_grad for x in (*inputs, *cotangents))
        found = self.library.autograd.grad(
            values,
            moving,
            pushed,
            create_graph=graph,
            allow_unused=True,
        )
        return [
            self.library.zeros_like(x) if g is None else g
            for x, g in zip(moving, found, strict=True)
        ]


def _word(name: str) -> str:
    """A parameter's name as a Python name: "0.weight" is p0_weight."""
    word = name.replace(".", "_")
    return word if word.isidentifier() else f"p{word}"


class Jax(Framework):
    """JAX, with 64-bit numbers while the check runs."""

    name = "jax"

    def session(self) -> AbstractContextManager[None]:
        """64-bit numbers."""
        switched: AbstractContextManager[None] = self.library.enable_x64(True)
        return switched

    def is_number(self, leaf: PyTree) -> bool:
        """Whether a leaf is an array, or a tracer, of real or complex numbers."""
        number = isinstance(leaf, self.library.Array)
        return number and bool(self.library.numpy.issubdtype(leaf.dtype, np.inexact))

    def array(self, leaf: PyTree) -> PyTree:
        """An array in NumPy, a copy."""
        return np.array(leaf) if isinstance(leaf, self.library.Array) else leaf

    def own(self, array: np.ndarray) -> Own:
        """An array of the same dtype."""
        return self.library.numpy.array(array)

    def pull(self, flat: Flat, inputs: Sequence[Own], cotangents: Sequence[Own]) -> list[Own]:
        """Gradients by jax.vjp, which gives and takes conjugates of ours."""
        values, pullback = self.library.vjp(lambda *moved: flat(moved), *inputs)
        pairs = zip(cotangents, values, strict=True)
        return [g.conj() for g in pullback([c.conj().astype(v.dtype) for c, v in pairs])]


class Autograd(Framework):
    """HIPS autograd, whose functions take NumPy's arrays."""

    name = "autograd"

    def __init__(self, args: Arguments) -> None:
        super().__init__(args)
        self.containers: Any = importlib.import_module("autograd.builtins")
        self.boxes: Any = importlib.import_module("autograd.tracer")
        self.numpy: Any = importlib.import_module("autograd.numpy")

    def is_number(self, leaf: PyTree) -> bool:
        """Whether a leaf, or what a box holds, is an array of real or complex numbers."""
        value = self.boxes.getval(leaf)
        while self.boxes.isbox(value):
            value = self.boxes.getval(value)
        return is_array(value) or isinstance(value, (float, complex))

    def array(self, leaf: PyTree) -> PyTree:
        """What it is already, if it holds numbers that are differentiated."""
        return np.array(leaf) if is_array(leaf) else leaf

    def own(self, array: np.ndarray) -> Own:
        """A copy."""
        return np.array(array)

    def pull(self, flat: Flat, inputs: Sequence[Own], cotangents: Sequence[Own]) -> list[Own]:
        """Gradients by make_vjp, which gives and takes conjugates of ours."""
        conjugate = self.numpy.conj
        together = lambda moved: self.containers.tuple(flat(moved))
        pullback, _ = self.library.make_vjp(together)(self.containers.list(inputs))
        found = pullback(self.containers.tuple([conjugate(c) for c in cotangents]))
        return [conjugate(found[k]) for k in range(len(inputs))]


FRAMEWORKS: dict[str, type[Framework]] = {"torch": Torch, "jax": Jax, "autograd": Autograd}
