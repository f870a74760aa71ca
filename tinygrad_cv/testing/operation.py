"""What is tested: a value and its pullback, wherever they come from."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine.errors import name_of
from ..engine.modes import switched
from ..engine.pytrees import leaves, rebuild
from ..kernels.kernel import Kernel
from ..tensor import Tensor, unwrap
from ..transforms import vjp

Array = Any  # an ndarray
Pullback = Callable[[Sequence[Array]], list[Any]]


class Operation:
    """A function of arrays with a gradient, and one call of it.

    `inputs` are the arrays that are differentiated: the floating-point ones among the arguments, and in lists, tuples
    and dicts among them, or those at the positions `wrt`; `names` says which they are. A Python float is an input only
    if `wrt` names it, or if there is no array. Without `backward` the function is one of tensors.
    """

    def __init__(
        self, function: Any, args: tuple[Any, ...], wrt: Any = None, backward: Any = None
    ) -> None:
        self.function, self.backward, self.args = function, backward, args
        self.original, self.given = (
            function,
            args,
        )  # what the user called; of a derivative, what it is derived from
        self.magnitude = 0.0  # of a derivative: of the terms that may cancel in it
        self.name = name_of(function)
        chosen = range(len(args)) if wrt is None else np.atleast_1d(wrt).tolist()
        if not all(isinstance(p, int) and -len(args) <= p < len(args) for p in chosen):
            raise ValueError(
                f"{self.name}: wrt={wrt} is to be positions among {len(args)} arguments"
            )
        self.wrt = [p % len(args) for p in chosen]
        self.scalars = wrt is not None or not any(map(is_array, leaves(list(args))))
        self.inputs: list[Array] = []
        self.places: list[
            tuple[int, int]
        ] = []  # of each input: which argument, which of its leaves
        for position, argument in enumerate(args):
            found = [
                (k, leaf)
                for k, leaf in enumerate(leaves(argument))
                if self.is_input(position, leaf)
            ]
            if wrt is not None and position in self.wrt and not found:
                raise TypeError(
                    f"{self.name}: argument {position}, which wrt names, holds no floating-point numbers"
                )
            self.inputs += [np.asarray(unwrap(leaf)) for _, leaf in found]
            self.places += [(position, k) for k, _ in found]
        if not self.inputs:
            raise TypeError(
                f"{self.name}: no argument holds floating-point numbers, so there is nothing to check"
            )

    @functools.cached_property
    def names(self) -> list[str]:
        """What to call the inputs in a message."""
        parameters = parameter_names(self.function, len(self.args))
        nested = [isinstance(a, (list, tuple, dict)) for a in self.args]
        return [
            f"argument {p} {parameters[p]!r}" + (f" item {k}" if nested[p] else "")
            for p, k in self.places
        ]

    def is_input(self, position: int, leaf: Any) -> bool:
        return position in self.wrt and (
            is_array(leaf) or (self.scalars and isinstance(leaf, float))
        )

    def arguments(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments with other arrays in the place of the inputs."""
        new = iter(inputs)
        return tuple(
            rebuild(
                a,
                iter([next(new) if self.is_input(position, leaf) else leaf for leaf in leaves(a)]),
            )
            for position, a in enumerate(self.args)
        )

    def at(self, inputs: Sequence[Array]) -> Operation:
        """The same operation with other inputs."""
        other = copy.copy(self)
        other.args, other.inputs = self.arguments(inputs), list(inputs)
        return other

    def call(self, inputs: Sequence[Any]) -> Any:
        """The function's own result."""
        return self.function(*self.arguments(inputs))

    def natural_slope(self, size: float, which: int) -> float:
        """|value| / |input|: what terms that cancel in a gradient may have measured. Inputs near 0 tell no scale."""
        return max(size, self.magnitude) / float(np.max(np.abs(self.inputs[which]), initial=0.01))

    def outputs(self, *inputs: Any) -> list[Any]:
        """The floating-point results as they are: arrays or tensors."""
        return [leaf for leaf in leaves(self.call(inputs)) if is_result(leaf)]

    def value(self, inputs: Sequence[Any]) -> list[Array]:
        """The floating-point results, as arrays."""
        with switched("recording", False):
            return [np.asarray(unwrap(v)) for v in self.outputs(*inputs)]

    def pull(self, inputs: Sequence[Array]) -> tuple[list[Array], Pullback]:
        """The floating-point results, and the function from their cotangents to the gradients of the inputs."""
        if self.backward is not None:
            result = self.call(inputs)
            return results(result), lambda cotangents: self._backward(result, inputs, cotangents)
        values, pullback = vjp(self.outputs, *inputs)
        return list(map(np.asarray, values)), lambda cotangents: list(pullback(list(cotangents)))

    def _backward(
        self, result: Any, inputs: Sequence[Array], cotangents: Sequence[Array]
    ) -> list[Any]:
        new = iter(cotangents)
        g = rebuild(
            result, iter([next(new) if is_result(leaf) else None for leaf in leaves(result)])
        )
        found = self.backward(g, result, *self.arguments(inputs))
        nested = found if isinstance(found, (list, tuple)) else [found]
        gradients = [v for f in nested for v in (f if isinstance(f, (list, tuple)) else [f])]
        if len(gradients) != len(self.inputs):
            raise TypeError(
                f"the backward pass of {self.name} returned {len(gradients)} gradients for {len(self.inputs)} "
                f"floating-point inputs: {', '.join(self.names)}"
            )
        return gradients


def is_array(leaf: Any) -> bool:
    """Whether this is an array, tensor or NumPy scalar of floating-point numbers."""
    return isinstance(leaf, (Tensor, np.ndarray, np.floating)) and leaf.dtype.kind == "f"


def is_result(leaf: Any) -> bool:
    """The same for results, where a Python number counts too."""
    return is_array(leaf) or isinstance(leaf, float)


def results(result: Any) -> list[Array]:
    """The floating-point arrays in a result."""
    return [np.asarray(unwrap(leaf)) for leaf in leaves(result) if is_result(leaf)]


def parameter_names(function: Any, number: int) -> list[str]:
    """What the function calls its first arguments."""
    if isinstance(function, np.ufunc):
        return ["x"] if function.nin == 1 else [f"x{i + 1}" for i in range(function.nin)]
    try:
        signature = inspect.signature(
            function.reference if isinstance(function, Kernel) else function
        )
        names = [
            p.name
            for p in signature.parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):  # a function in C that does not tell
        names = []
    return [*names, *[f"x{i + 1}" for i in range(len(names), number)]][:number]
