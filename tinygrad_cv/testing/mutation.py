"""Tests of tests: each rule is broken in the usual ways, and the suite must see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine.errors import name_of
from ..kernels.kernel import Kernel
from ..tensor import Rule, unwrap


def _last_dropped(c: Any) -> Any:
    keep = np.ones(np.shape(c))
    if keep.size:
        keep.reshape(-1)[-1] = 0
    return c * keep.astype(c.dtype)


def _transposed(c: Any) -> Any:
    return np.swapaxes(c, -1, -2) if np.ndim(c) >= 2 and c.shape[-1] == c.shape[-2] else c


MISTAKES: dict[str, Callable[[Any], Any]] = {
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
COTANGENTS: dict[str, Callable[[Any], Any]] = {
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
            original: Any = rule.formulas[self.argument]
            broken = self._broken(original, rule.needs[self.argument], None)
        else:
            original = rule._backward
            broken = self._broken(original, rule._uses, rule.arrays.index(self.argument))
        self._put(broken)
        try:
            yield
        finally:
            self._put(original)

    def _put(self, formula: Callable[..., Any]) -> None:
        if isinstance(self.rule, Rule):
            self.rule.formulas = {**self.rule.formulas, self.argument: formula}
        else:
            self.rule._backward = formula

    def _broken(
        self, original: Callable[..., Any], needs: Sequence[str], place: int | None
    ) -> Callable[..., Any]:
        """The formula with the mistake; of a kernel's gradients, in the one at `place`."""

        def broken(*values: Any) -> Any:
            right = original(*values)
            chosen = right if place is None or type(right) is not tuple else right[place]
            if self.mistake in MISTAKES:
                wrong = each(MISTAKES[self.mistake], chosen)
            else:
                change = COTANGENTS[self.mistake]
                again = original(
                    *[
                        each(change, v) if n == "g" else v
                        for n, v in zip(needs, values, strict=True)
                    ]
                )
                wrong = again if place is None or type(again) is not tuple else again[place]
            self.differs = self.differs or not same(chosen, wrong)
            if place is None or type(right) is not tuple:
                return wrong
            return (*right[:place], wrong, *right[place + 1 :])

        return broken


def each(change: Callable[[Any], Any], value: Any) -> Any:
    """A change applied to a gradient, or to each of a list of them; None stays."""
    if isinstance(value, (list, tuple)):
        return type(value)([each(change, v) for v in value])
    return (
        None
        if value is None
        else change(value if hasattr(value, "dtype") else np.asarray(value, float))
    )


def same(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)):
        return all(map(same, a, b))
    return (a is None and b is None) or np.array_equal(unwrap(a), unwrap(b), equal_nan=True)


def mutants(rule: Rule | Kernel) -> Iterator[Mutant]:
    """Every mistake of the list in the gradient of every argument of a rule or kernel."""
    arguments = (
        [n for n, f in rule.formulas.items() if f is not None]
        if isinstance(rule, Rule)
        else list(rule.arrays)
    )
    needs = rule.needs if isinstance(rule, Rule) else dict.fromkeys(arguments, rule._uses)
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
    equivalent: list[Mutant] = field(
        default_factory=list
    )  # those whose mistake never changed a number

    def __str__(self) -> str:
        return f"{len(self.killed)} killed, {len(self.survivors)} survived, {len(self.equivalent)} equivalent"


def try_mutants(check: Callable[[], Any], rule: Rule | Kernel) -> Kills:
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


def assert_kills(check: Callable[[], Any], rule: Rule | Kernel) -> Kills:
    """Refuse a check that a mutant of this rule survives."""
    kills = try_mutants(check, rule)
    if kills.survivors:
        names = "\n  ".join(map(str, kills.survivors))
        raise AssertionError(f"{len(kills.survivors)} mutants survive this check:\n  {names}")
    return kills
