"""The words that annotations are written in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

if TYPE_CHECKING:
    from .tensor import Node, Tensor

__all__ = [
    "Array",
    "ArrayLike",
    "Axis",
    "DTypeLike",
    "Function",
    "Gradients",
    "Mask",
    "Operand",
    "Operation",
    "PyTree",
    "Scalar",
    "Shape",
]

Scalar: TypeAlias = bool | int | float | np.generic  # a single number
Array: TypeAlias = Union[np.ndarray, "Tensor"]  # a formula or a reference runs on both
Operand: TypeAlias = Union[np.ndarray, "Tensor", Scalar]  # what arithmetic takes
Shape: TypeAlias = tuple[int, ...]
Axis: TypeAlias = int | tuple[int, ...] | None  # None: all axes
Mask: TypeAlias = np.ndarray | bool  # which elements take part; True: all of them
Gradients: TypeAlias = tuple[np.ndarray | None, ...]  # one for each array argument of a kernel
PyTree: TypeAlias = Any  # nested dicts, lists and tuples of arrays, tensors and numbers
Function: TypeAlias = Callable[..., Any]


class Operation(Protocol):
    """What can be recorded: a rule of the calculus table, a kernel, a checkpointed call."""

    function: Any  # what errors and observers call it by
    elementwise: bool  # whether each element of the value depends on one of each argument
    affine: bool  # whether the way back depends on no values
    gives_new_arrays: bool  # whether nobody else has the arrays that `pull` gives
    guarded: bool  # whether it is a user's, so that what it is given must be read-only

    @property
    def selects(self) -> bool | str:
        """Whether elements of the arguments may not reach the value; or by which mask."""

    @property
    def operands(self) -> Collection[str]:
        """The arguments that become arrays, unless they are tensors."""

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The call's arguments by name."""

    def differentiated(self, bound: Mapping[str, Any], parents: dict[str, Any]) -> dict[str, Any]:
        """The parents that a gradient flows to. Raises if there is no derivative for one of
        them."""

    def saves(self, parents: Mapping[str, Any]) -> Collection[str]:
        """The names of what is saved for the way back to these parents."""

    def compute(
        self, arguments: Mapping[str, Any], parents: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """The value, and what is saved for the way back to these parents, by name."""

    def pull(
        self, node: Node, gradient: Any, wanted: Collection[str], graph: bool
    ) -> dict[str, Any]:
        """What the node contributes to the gradients of the arguments that are wanted.

        With `graph`, in tensors that record how it came about.
        """

    def push(self, node: Node, tangents: Mapping[str, Any], graph: bool) -> Any:
        """The tangent of the node's value, from the tangents of its arguments by name.

        A list for several values. With `graph`, in tensors that record how it came about.
        """
