"""What is tested: a value and its pullback, wherever they come from."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..engine.errors import name_of
from ..engine.modes import switched
from ..engine.operands import DIFFERENTIABLE
from ..engine.pytrees import leaves, map_leaves, rebuild
from ..kernels.kernel import Kernel
from ..tensor import Tensor, unwrap
from ..transforms import vjp
from ..typing import PyTree
from .message import GradMismatch, WrongStructure
from .numeric import largest_finite
from .witness import Witness

Function: TypeAlias = Callable[..., Any]
Arguments: TypeAlias = tuple[PyTree, ...]
Positions: TypeAlias = int | Sequence[int] | None  # of arguments; None: all that can be
Pullback: TypeAlias = Callable[[Sequence[np.ndarray]], list[PyTree]]
Seed: TypeAlias = int | Sequence[int] | np.random.Generator | None  # as default_rng takes it
LARGE = 20_000  # elements: an operation on so many is called as rarely as can be


class Operation:
    """A function of arrays with a gradient, and one call of it.

    `inputs` are the arrays that are differentiated: the floating-point ones among the arguments,
    and in lists, tuples and dicts among them, or those at the positions `wrt`; `names` are what a
    message calls them. They are copies: no check writes into what is the caller's. A Python float
    is an input only if `wrt` names it, or if there is no array. Without `backward` the function is
    one of tensors. Each call has random generators of its own, in the state that the arguments had.

    Raises ValueError for a position that no argument has, TypeError if there is no input, and
    GradMismatch for a call that changes its arguments, in whatever check.
    """

    def __init__(
        self,
        function: Function,
        args: Arguments,
        wrt: Positions = None,
        backward: Function | None = None,
    ) -> None:
        random = any(isinstance(leaf, GENERATORS) for leaf in leaves(list(args)))
        self.function = repeatable(function) if random else function
        self.backward = repeatable(backward) if random and backward is not None else backward
        self.args = args
        self.original = function  # what the user called: of a derivative, what it is derived from
        self.given = args
        self.constrained = False  # whether the inputs stay in a set, or move along directions only
        self.watched = True  # whether calls that write into what is not their own are looked for
        self.magnitude = 0.0  # of a derivative: the size of the terms that may cancel in it
        self.name = name_of(function)

        chosen = range(len(args)) if wrt is None else np.atleast_1d(wrt).tolist()
        if not all(isinstance(p, int) and -len(args) <= p < len(args) for p in chosen):
            raise ValueError(
                f"{self.name}: wrt={wrt} is to be positions among {len(args)} arguments"
            )
        self.wrt = [p % len(args) for p in chosen]
        self.scalars = wrt is not None or not any(map(is_array, leaves(list(args))))

        self.inputs: list[np.ndarray] = []
        self.origins: list[tuple[int, int]] = []  # of each input: its argument, its leaf in that
        for position, argument in enumerate(args):
            before = len(self.inputs)
            for k, leaf in enumerate(leaves(argument)):
                if self.is_input(position, leaf):
                    self.inputs.append(np.array(unwrap(leaf)))
                    self.origins.append((position, k))
            if wrt is not None and position in self.wrt and len(self.inputs) == before:
                raise TypeError(
                    f"{self.name}: argument {position}, which wrt names, "
                    "holds no floating-point numbers"
                )
        if not self.inputs:
            raise TypeError(
                f"{self.name}: no argument holds floating-point numbers, "
                "so there is nothing to check"
            )

    @functools.cached_property
    def names(self) -> list[str]:
        """What to call the inputs in a message."""
        return [self.name_of_leaf(position, k) for position, k in self.origins]

    def name_of_leaf(self, position: int, k: int) -> str:
        """What to call leaf k of the argument at a position."""
        nested = isinstance(self.args[position], (list, tuple, dict))
        item = f" item {k}" if nested else ""
        return f"argument {position} {self.parameters[position]!r}{item}"

    @functools.cached_property
    def parameters(self) -> list[str]:
        """What the function calls its arguments."""
        return parameter_names(self.original, len(self.args))

    def is_input(self, position: int, leaf: object) -> bool:
        """Whether a leaf of the argument at a position is differentiated."""
        number = is_array(leaf) or (self.scalars and isinstance(leaf, (float, complex)))
        return position in self.wrt and number

    def arguments(self, inputs: Sequence[PyTree]) -> Arguments:
        """The arguments with other arrays in the place of the inputs."""
        new = iter(inputs)
        arguments = []
        for position, argument in enumerate(self.args):
            replaced = [
                next(new) if self.is_input(position, leaf) else leaf for leaf in leaves(argument)
            ]
            arguments.append(rebuild(argument, iter(replaced)))
        return tuple(arguments)

    def at(self, inputs: Sequence[np.ndarray]) -> Operation:
        """The same operation with other inputs."""
        other = copy.copy(self)
        other.args = self.arguments(inputs)
        other.inputs = list(inputs)
        return other

    def meaning(self, function: Function) -> Operation:
        """The same call of another function."""
        other = copy.copy(self)
        other.function = function
        return other

    def with_leaves(self, change: Callable[[PyTree], PyTree]) -> Operation:
        """The same operation with other arguments: the result of `change` for each leaf."""
        other = copy.copy(self)
        new = self.arguments(self.inputs)
        other.args = tuple(map_leaves(change, list(new)))
        other.inputs = [change(a) for a in self.inputs]
        return other

    @property
    def size(self) -> int:
        """How many elements all inputs have."""
        return sum(a.size for a in self.inputs)

    @property
    def calls_are_dear(self) -> bool:
        """Whether several things are tried in one call.

        So they are for many elements, and for functions of tensors, whose graph costs more than
        their numbers.
        """
        return self.size > LARGE or self.backward is None

    def call(self, inputs: Sequence[PyTree]) -> PyTree:
        """The function's own result."""
        arguments = self.arguments(inputs)
        witness = Witness(*arguments) if self.watched else Witness()
        result = self.function(*arguments)
        self.untouched(witness, "the forward pass")
        return result

    def untouched(self, witness: Witness, culprit: str) -> None:
        """Refuse a pass that wrote into what is not its own, and restore what it changed.

        A witness of the arguments, or of them, the value and the cotangent.
        """
        change = witness.change()
        if change is None:
            return
        others = ("the value", "the cotangent")
        if change.tree < len(self.args):
            name = self.name_of_leaf(change.tree, change.leaf)
        else:
            name = others[change.tree - len(self.args)]
        raise GradMismatch(
            f"{self.name}: {culprit} changed {name}{change.what}\n"
            "  fix: work on a copy (x = x * 2, not x *= 2)"
        )

    def natural_slope(self, size: float, which: int) -> float:
        """|value| / |input|: the size of terms that cancel in a gradient.

        Inputs near 0 set no scale, so the input counts as at least 0.01.
        """
        return max(size, self.magnitude) / max(0.01, largest_finite(self.inputs[which]))

    def outputs(self, *inputs: PyTree) -> list[PyTree]:
        """The floating-point results as they are: arrays or tensors."""
        return [leaf for leaf in leaves(self.call(inputs)) if is_result(leaf)]

    def value(self, inputs: Sequence[PyTree]) -> list[np.ndarray]:
        """The floating-point results, as arrays."""
        with switched("recording", False):
            return [np.asarray(unwrap(v)) for v in self.outputs(*inputs)]

    def pull(self, inputs: Sequence[np.ndarray]) -> tuple[list[np.ndarray], Pullback]:
        """The floating-point results, and the function from their cotangents to the gradients."""
        if self.backward is not None:
            result = self.call(inputs)
            return results(result), self.pull_from(result, inputs)
        values, pullback = vjp(self.outputs, *inputs)
        return list(map(np.asarray, values)), lambda cotangents: list(pullback(list(cotangents)))

    def pull_from(self, result: PyTree, inputs: Sequence[np.ndarray]) -> Pullback:
        """The pullback that the user's backward pass makes of the function's own result."""
        return lambda cotangents: self._backward(result, inputs, cotangents)

    def _backward(
        self, result: PyTree, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray]
    ) -> list[PyTree]:
        """The gradients that the user's backward pass gives, in a flat list."""
        assert self.backward is not None
        new = iter(cotangents)
        filled = [next(new) if is_result(leaf) else None for leaf in leaves(result)]
        g = rebuild(result, iter(filled))
        arguments = self.arguments(inputs)
        witness = Witness(*arguments, result, g) if self.watched else Witness()
        returned = self.backward(g, result, *arguments)
        self.untouched(witness, "the backward pass")
        return self.gradients(returned, arguments)

    def gradients(self, returned: PyTree, arguments: Arguments) -> list[PyTree]:
        """What a backward pass returned, for each input; None if it has no gradient.

        It may return one tree for each argument, for each that holds inputs, or for the only one,
        in the nesting of the argument; or all gradients in one list. Gradients of what is no input
        are left out. Raises WrongStructure for everything else.
        """
        holders = sorted({position for position, _ in self.origins})
        several = list(returned) if isinstance(returned, (list, tuple)) else [returned]
        if len(several) == len(arguments):
            found = aligned(several, list(arguments))
            if found is not None:
                return [found[k] for k in self.places(range(len(arguments)))]
        for trees in (several, [returned]):
            if len(trees) == len(holders):
                found = aligned(trees, [arguments[p] for p in holders])
                if found is not None:
                    return [found[k] for k in self.places(holders)]
        flat: list[PyTree] = []
        for tree in several:
            flat += tree if isinstance(tree, (list, tuple)) else [tree]
        if len(flat) == len(self.inputs) and not any(isinstance(g, dict) for g in flat):
            return flat
        raise WrongStructure(
            f"{self.name}: the backward pass returned {len(flat)} gradients for "
            f"{len(self.inputs)} floating-point inputs: {', '.join(self.names)}\n"
            f"  returned: {outline(returned)}"
        )

    def places(self, positions: Iterable[int]) -> list[int]:
        """Where the inputs are among the leaves of the arguments at some positions."""
        starts = {}
        total = 0
        for position in positions:
            starts[position] = total
            total += len(leaves(self.args[position]))
        return [starts[position] + k for position, k in self.origins]


GENERATORS = (np.random.Generator, np.random.RandomState)


def repeatable(function: Function) -> Function:
    """A function that draws from copies of its random generators, so that each call is the same."""

    @functools.wraps(function)
    def repeated(*arguments: PyTree) -> PyTree:
        copied = lambda leaf: copy.deepcopy(leaf) if isinstance(leaf, GENERATORS) else leaf
        return function(*map_leaves(copied, list(arguments)))

    return repeated


def aligned(tree: PyTree, like: PyTree) -> list[PyTree] | None:
    """What stands in a tree for each leaf of another; None in it stands for all that is below.

    None if it has another nesting.
    """
    if isinstance(like, dict):
        if tree is None:
            tree = dict.fromkeys(like)
        if not isinstance(tree, dict) or tree.keys() != like.keys():
            return None
        pairs = [(tree[key], like[key]) for key in like]
    elif isinstance(like, (list, tuple)):
        if tree is None:
            tree = [None] * len(like)
        if not isinstance(tree, (list, tuple)) or len(tree) != len(like):
            return None
        pairs = list(zip(tree, like, strict=True))
    elif isinstance(tree, (dict, list, tuple)):
        return None
    else:
        return [] if like is None else [tree]
    found = []
    for child, other in pairs:
        below = aligned(child, other)
        if below is None:
            return None
        found += below
    return found


def outline(tree: PyTree) -> str:
    """The nesting of a tree, with the shapes of its arrays."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {outline(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, (list, tuple)):
        inside = ", ".join(map(outline, tree))
        return f"[{inside}]" if isinstance(tree, list) else f"({inside})"
    if isinstance(tree, (np.ndarray, Tensor)):
        return f"{tree.dtype} {tree.shape}"
    return repr(tree)


def is_array(leaf: object) -> bool:
    """Whether this is an array, tensor or NumPy scalar of real or complex numbers."""
    if not isinstance(leaf, (Tensor, np.ndarray, np.inexact)):
        return False
    return leaf.dtype.kind in DIFFERENTIABLE


def is_result(leaf: object) -> bool:
    """The same for results, where a Python number counts too."""
    return is_array(leaf) or isinstance(leaf, (float, complex))


def results(result: PyTree) -> list[np.ndarray]:
    """The floating-point arrays in a result."""
    return [np.asarray(unwrap(leaf)) for leaf in leaves(result) if is_result(leaf)]


def parameter_names(function: Function, number: int) -> list[str]:
    """What the function calls its first arguments."""
    if isinstance(function, np.ufunc):
        return ["x"] if function.nin == 1 else [f"x{i + 1}" for i in range(function.nin)]
    try:
        signature = inspect.signature(
            function.reference if isinstance(function, Kernel) else function
        )
        parameters = list(signature.parameters.values())
    except (TypeError, ValueError):  # a function in C without a signature
        parameters = []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in parameters if p.kind in positional]
    others = [f"x{i + 1}" for i in range(len(names), number)]
    return [*names, *others][:number]
