"""Tests of tests: each rule is broken in the usual ways, and the suite must see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from ..engine.errors import name_of
from ..kernels.kernel import Kernel
from ..tensor import Rule, unwrap
from ..typing import Array, PyTree
from .operation import Function

Change: TypeAlias = Callable[[Array], Array]


def _last_dropped(c: Array) -> Array:
    keep = np.ones(np.shape(c), c.dtype)
    if keep.size:
        keep.reshape(-1)[-1] = 0
    return c * keep


def _transposed(c: Array) -> Array:
    square = np.ndim(c) >= 2 and c.shape[-1] == c.shape[-2]
    return np.swapaxes(c, -1, -2) if square else c


MISTAKES: dict[str, Change] = {
    "factor 2": lambda c: c * 2,
    "factor 1/2": lambda c: c / 2,
    "sign": lambda c: -c,
    "zero": lambda c: c * 0,
    "constant added": lambda c: c + 1,
    "transposed": _transposed,
    "reversed axis": lambda c: np.flip(c, -1) if np.ndim(c) else c,
    "off by 1/N": lambda c: c / max(1, np.size(unwrap(c))),
    "last element missing": _last_dropped,
    "wrong by 1e-6": lambda c: c * (1 + 1e-6),
}
COTANGENTS: dict[str, Change] = {
    "cotangent ignored": lambda g: g * 0 + 1,
    "cotangent's sign ignored": lambda g: np.abs(g),
}


@dataclass
class Mutant:
    """A rule or kernel with one mistake in the gradient of one argument."""

    rule: Rule | Kernel
    argument: str
    mistake: str
    differs: bool = False  # whether the mistake ever changed a number

    def __str__(self) -> str:
        return f"{name_of(self.rule.function)}, {self.argument}: {self.mistake}"

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside this context the rule makes the mistake."""
        rule = self.rule
        if isinstance(rule, Rule):
            original = rule.formulas[self.argument]
            needs = rule.needs[self.argument]
            which = None
        else:
            original = rule._backward
            needs = rule._uses
            which = rule.arrays.index(self.argument)
        assert original is not None
        self._put(self._broken(original, needs, which))
        try:
            yield
        finally:
            self._put(original)

    def _put(self, formula: Function) -> None:
        if isinstance(self.rule, Rule):
            self.rule.formulas = {**self.rule.formulas, self.argument: formula}
        else:
            self.rule._backward = formula

    def _broken(self, original: Function, needs: Sequence[str], which: int | None) -> Function:
        """The formula with the mistake; `which` of a kernel's gradients makes it."""

        def broken(*values: PyTree) -> PyTree:
            right = original(*values)
            chosen = _gradient(right, which)
            if self.mistake in MISTAKES:
                wrong = each(MISTAKES[self.mistake], chosen)
            else:
                change = COTANGENTS[self.mistake]
                named = zip(needs, values, strict=True)
                changed = [each(change, v) if name == "g" else v for name, v in named]
                wrong = _gradient(original(*changed), which)
            self.differs = self.differs or not same(chosen, wrong)
            if which is None or type(right) is not tuple:
                return wrong
            return (*right[:which], wrong, *right[which + 1 :])

        return broken


def _gradient(gradients: PyTree, which: int | None) -> PyTree:
    """One of a kernel's gradients, or the only one."""
    return gradients if which is None or type(gradients) is not tuple else gradients[which]


def each(change: Change, value: PyTree) -> PyTree:
    """A change applied to a gradient, or to each of a list of them; None stays."""
    if isinstance(value, (list, tuple)):
        return type(value)([each(change, v) for v in value])
    if value is None:
        return None
    return change(value if hasattr(value, "dtype") else np.asarray(value, float))


def same(a: PyTree, b: PyTree) -> bool:
    """Whether two gradients, or lists of them, are equal to the bit."""
    if isinstance(a, (list, tuple)):
        return all(map(same, a, b))
    if a is None and b is None:
        return True
    return np.array_equal(unwrap(a), unwrap(b), equal_nan=True)


def mutants(rule: Rule | Kernel) -> Iterator[Mutant]:
    """Every mistake of the list in the gradient of every argument of a rule or kernel."""
    if isinstance(rule, Rule):
        arguments = [name for name, formula in rule.formulas.items() if formula is not None]
        needs = rule.needs
    else:
        arguments = list(rule.arrays)
        needs = dict.fromkeys(arguments, rule._uses)
    for argument in arguments:
        for mistake in MISTAKES:
            yield Mutant(rule, argument, mistake)
        for mistake in COTANGENTS:
            if "g" in needs[argument]:
                yield Mutant(rule, argument, mistake)


@dataclass
class Kills:
    """What became of the mutants of a rule."""

    killed: list[Mutant] = field(default_factory=list)
    survivors: list[Mutant] = field(default_factory=list)
    # The mistake of these never changed a number.
    equivalent: list[Mutant] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{len(self.killed)} killed, {len(self.survivors)} survived, "
            f"{len(self.equivalent)} equivalent"
        )


def try_mutants(check: Callable[[], object], rule: Rule | Kernel) -> Kills:
    """Run a check against every mutant of a rule; any exception is a kill."""
    kills = Kills()
    for mutant in mutants(rule):
        try:
            with mutant.applied(), np.errstate(all="ignore"):
                check()
        except Exception:
            kills.killed.append(mutant)
        else:
            (kills.survivors if mutant.differs else kills.equivalent).append(mutant)
    return kills


def assert_kills(check: Callable[[], object], rule: Rule | Kernel) -> Kills:
    """Refuse a check that a mutant of this rule survives, with AssertionError."""
    kills = try_mutants(check, rule)
    if kills.survivors:
        names = "\n  ".join(map(str, kills.survivors))
        raise AssertionError(f"{len(kills.survivors)} mutants survive this check:\n  {names}")
    return kills
