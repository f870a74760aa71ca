"""What is planted: a function, its right gradient, and the wrong ones that people write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from tinygrad_cv.typing import Function, PyTree

DOORS = ("vjp", "jvp", "adjoint", "invariants", "grad2")


@dataclass(frozen=True)
class Pair:
    """A function with a derivative, and the arguments at which a checker meets it.

    What `derivative` is depends on the door, the check that the pair is for:

    vjp, invariants: backward(g, y, *args), the gradients of the floating-point arguments, one by
        one in a tuple, or the single one. An argument that is a dict has a dict of gradients.
    jvp: jvp(args, tangents), the tangent of the value.
    adjoint: adjoint(v, *args[1:]) of forward(x, *args[1:]), which is linear in x.
    grad2: backward(g, x); `second(h, g, x)` are its gradients with respect to g and x.
    """

    kind: str
    name: str
    forward: Function
    derivative: Function
    args: tuple[PyTree, ...]
    door: str = "vjp"
    options: dict[str, Any] = field(default_factory=dict)  # keyword arguments of our check
    second: Function | None = None

    twin: Pair | None = None  # of a mistake: the same function with its right derivative
    symptom: str = "gradient"  # of a mistake: what is wrong about it, see evidence.py
    size: float = 1e-6  # of a mistake: by how much some element differs, relative to itself
    strategy: Callable[[], Any] | None = None  # arguments that show what `args` cannot show

    reference: Function | None = None  # reference(g, *args): the gradients from another source
    tolerance: float = 1e-9  # relative, of the right derivative against the reference

    @property
    def shows(self) -> bool:
        """Whether the mistake can be seen at the arguments."""
        return self.strategy is None


MISTAKES: list[Pair] = []
TWINS: list[Pair] = []  # the right derivatives of the functions with mistakes
NASTY: list[Pair] = []  # right derivatives that look suspicious


@dataclass(frozen=True)
class Room:
    """Where the pairs of one kind are entered."""

    kind: str

    def control(
        self, name: str, forward: Function, *args: PyTree, right: Function, **settings: Any
    ) -> Control:
        """Enter a right derivative whose mistakes follow; `settings` are fields of Pair."""
        twin = Pair(self.kind, name, forward, right, args, **settings)
        TWINS.append(twin)
        return Control(twin)

    def nasty(
        self, name: str, forward: Function, *args: PyTree, right: Function, **settings: Any
    ) -> None:
        """Enter a right derivative that a checker might refuse."""
        NASTY.append(Pair(self.kind, name, forward, right, args, **settings))


@dataclass(frozen=True)
class Control:
    """A right derivative, to enter its mistakes at."""

    twin: Pair

    def mistake(self, name: str, wrong: Function, **settings: Any) -> None:
        """Enter a wrong derivative; `settings` replace the fields of the control."""
        of_twin = {
            "forward": self.twin.forward,
            "args": self.twin.args,
            "door": self.twin.door,
            "options": self.twin.options,
            "second": self.twin.second,
        }
        fields = {**of_twin, **settings}
        kind = self.twin.kind
        MISTAKES.append(
            Pair(kind, f"{self.twin.name}: {name}", derivative=wrong, twin=self.twin, **fields)
        )


MEMORIES: list[Any] = []
Memory = TypeVar("Memory", dict[Any, Any], list[Any])


def memory(container: Memory) -> Memory:
    """A container of a mistake that keeps something between calls; `forget` empties it."""
    MEMORIES.append(container)
    return container


def forget() -> None:
    """Let every mistake begin anew."""
    for container in MEMORIES:
        container.clear()


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal numbers, the same each time."""
    return np.random.default_rng(seed).normal(size=shape)


def uniform(low: float, high: float, *shape: int, seed: int = 0) -> np.ndarray:
    """Numbers between two bounds, the same each time."""
    return np.random.default_rng(seed).uniform(low, high, shape)
