"""What is graded: each exercise, and the arguments that it is tried at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ...typing import Array, Function
from . import template

Arguments: TypeAlias = tuple[Array, ...]


@dataclass(frozen=True)
class Exercise:
    """A function in `template`, whose backward a reader writes."""

    name: str
    part: str
    cases: tuple[Arguments, ...]  # from the simplest; what is special has one of its own

    @property
    def forward(self) -> Function:
        """The function."""
        function: Function = getattr(template, self.name)
        return function

    @property
    def backward_name(self) -> str:
        """What its backward is called in a reader's file."""
        return f"{self.name}_backward"


def normal(*shapes: tuple[int, ...], seed: int = 0) -> Arguments:
    """Random arrays in short decimals, which read well in a message."""
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=shape).round(2) for shape in shapes)


ROWS = normal((3, 4))
TIES = (np.array([[1.0, 3.0, 3.0], [2.0, -1.0, 0.0], [5.0, 5.0, 5.0]]),)
WITH_ORIGIN = (np.array([[3.0, 4.0], [0.0, 0.0], [0.5, -1.0]]),)
LARGE = (np.array([[1000.0, 999.0, 998.5], [-1000.0, -999.0, -1001.0]]),)
KINK = (np.array([-1.5, -0.5, 0.0, 0.5, 2.0]),)
LABELS = np.array([2, 0, 1])
TARGETS = np.array([[1.0, 0.0, 0.25], [0.0, 1.0, 0.5]])
TOKENS = np.array([[0, 2, 2], [2, 1, 0]])


def exercises() -> Iterator[Exercise]:
    """All, in the order in which they are to be written."""
    part = "functions of one number"
    yield Exercise("tanh", part, (normal((3, 4)),))
    yield Exercise("sigmoid", part, (normal((3, 4)),))
    yield Exercise("relu", part, (normal((3, 4)), KINK))
    yield Exercise("gelu", part, (normal((3, 4)),))
    part = "sums and broadcasting"
    yield Exercise("bias", part, (normal((3, 4), (4,)), normal((3, 3), (3,))))
    yield Exercise("mean", part, (ROWS, normal((3, 3))))
    yield Exercise("variance", part, (ROWS, normal((3, 3))))
    yield Exercise("norm", part, (ROWS, normal((3, 3)), WITH_ORIGIN))
    yield Exercise("row_max", part, (ROWS, TIES))
    part = "products and probabilities"
    yield Exercise("matmul", part, (normal((4, 3), (3, 2)), normal((3, 3), (3, 3))))
    yield Exercise("logsumexp", part, (ROWS, LARGE))
    yield Exercise("softmax", part, (ROWS, normal((3, 3))))
    yield Exercise("cross_entropy", part, ((*normal((3, 4)), LABELS), (*LARGE, LABELS[:2])))
    yield Exercise("bce_with_logits", part, ((*normal((2, 3)), TARGETS),))
    part = "parts of networks"
    table = normal((4, 3))
    yield Exercise("embedding", part, ((*table, TOKENS[0, :2]), (*table, TOKENS)))
    yield Exercise("layer_norm", part, (normal((3, 4), (4,), (4,)), normal((3, 3), (3,), (3,))))
    self_attention = normal((4, 3), (4, 3), (4, 3))
    cross_attention = normal((2, 3), (4, 3), (4, 5))
    yield Exercise("attention", part, (self_attention, cross_attention))
    yield Exercise("lstm_cell", part, (normal((2, 3), (2, 2), (2, 2), (5, 8), (8,)),))
    yield Exercise("conv", part, (normal((5, 6), (3, 2)), normal((4, 4), (2, 2))))
    yield Exercise("kl_divergence", part, (normal((3, 4), (3, 4)),))


EXERCISES = {exercise.name: exercise for exercise in exercises()}
