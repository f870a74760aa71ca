"""The planted mistakes are mistakes, and the right gradients beside them are right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, settings

from benchmarks.peers import Ours
from benchmarks.planted import MISTAKES, NASTY, TWINS, Pair
from benchmarks.planted.evidence import (
    SYMPTOMS,
    attempt,
    evidence,
    fresh,
    is_float,
    largest_difference,
    leaves,
    pushed,
)
from benchmarks.planted.pair import DOORS, forget
from benchmarks.planted.verify import as_vjp, verified

RIGHT = [*TWINS, *NASTY]
HIDDEN = [pair for pair in MISTAKES if not pair.shows]
EVERY = [*MISTAKES, *RIGHT]
named = {"ids": lambda pair: f"{pair.kind}: {pair.name}"}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def test_every_pair_has_its_name_and_place() -> None:
    names = [(pair.kind, pair.name) for pair in EVERY]
    assert len(set(names)) == len(names)
    assert {pair.door for pair in EVERY} <= set(DOORS)
    assert {pair.symptom for pair in MISTAKES} <= set(SYMPTOMS)
    assert all(pair.twin in TWINS for pair in MISTAKES)


def test_a_mistake_shows_beside_its_twin() -> None:
    hidden = [pair for pair in MISTAKES if pair.shows and not evidence(pair) > pair.size]
    assert [pair.name for pair in hidden] == []


@pytest.mark.parametrize("pair", HIDDEN, **named)  # type: ignore[arg-type]
def test_a_mistake_that_does_not_show_does_so_elsewhere(pair: Pair) -> None:
    assert pair.strategy is not None and pair.twin is not None

    def differs(args: Any) -> bool:
        args = args if isinstance(args, tuple) else (args,)
        g = pushed(pair, args)
        outcomes = [attempt(p, fresh(args), g) for p in (pair, pair.twin)]
        return largest_difference(*outcomes) > pair.size

    assert evidence(pair) <= pair.size
    quick = settings(
        max_examples=200,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    find(pair.strategy(), differs, settings=quick)


def test_a_right_gradient_keeps_the_contract() -> None:
    for pair in RIGHT:
        if pair.door not in ("vjp", "invariants"):
            continue
        args = fresh(pair.args)
        before = [str(leaf) for leaf in leaves(args)]
        returned = [np.asarray(a) for a in leaves(derivative_of(pair, args)) if a is not None]
        assert [str(leaf) for leaf in leaves(args)] == before, pair.name
        given = [np.asarray(a) for a in leaves(pair.args) if is_float(a)]
        wrt = pair.options.get("wrt")
        if wrt is None and len(given) == len(returned):
            assert [a.shape for a in returned] == [a.shape for a in given], pair.name
            assert [a.dtype for a in returned] == [a.dtype for a in given], pair.name


def derivative_of(pair: Pair, args: Any) -> Any:
    return pair.derivative(pushed(pair, args), pair.forward(*args), *args)


def test_a_right_gradient_is_the_same_in_any_layout() -> None:
    for pair in TWINS:
        if pair.door in ("vjp", "invariants") and sum(np.size(a) for a in pair.args) < 1000:
            g = pushed(pair, pair.args)
            plain = attempt(pair, fresh(pair.args), g)
            for name in ("argument layouts", "calls again"):
                found = SYMPTOMS[name](pair)
                rounds = len(found) // len(plain)
                assert largest_difference(found, plain * rounds) < 1e-9, (name, pair.name)


PROJECTIONS = {
    "simplex": lambda p: np.abs(p) / np.abs(p).sum(),
    "symmetric": lambda a: (a + a.T) / 2,
    "lower_triangular": np.tril,
}


def paths(pair: Pair) -> Iterator[Callable[[float], np.ndarray]]:
    """Curves through the argument on the set that it belongs to."""
    (x,) = pair.args
    for direction in pair.options.get("along", []):
        yield lambda t, d=direction: x + t * d  # type: ignore[misc]
    project = pair.options.get("project")
    project = PROJECTIONS.get(project, project)
    for seed in range(3 if project else 0):
        direction = np.random.default_rng(seed).normal(size=x.shape)
        yield lambda t, d=direction: project(x + t * d)  # type: ignore[misc]


CONSTRAINED = [pair for pair in NASTY if {"along", "project"} & set(pair.options)]


@pytest.mark.parametrize("pair", CONSTRAINED, **named)  # type: ignore[arg-type]
def test_a_constrained_gradient_is_right_along_its_set(pair: Pair) -> None:
    g = pushed(pair, pair.args)
    gradient = derivative_of(pair, fresh(pair.args))
    h = 1e-5
    for path in paths(pair):
        rise = np.sum(g * (pair.forward(path(h)) - pair.forward(path(-h)))) / (2 * h)
        along = np.sum(gradient * (path(h) - path(-h))) / (2 * h)
        np.testing.assert_allclose(along, rise, rtol=1e-7, atol=1e-9)


@pytest.mark.parity
@pytest.mark.parametrize("pair", RIGHT, **named)  # type: ignore[arg-type]
def test_a_right_gradient_agrees_with_another_source(pair: Pair) -> None:
    for part in as_vjp(pair):
        way, tried = verified(part)
        assert way, tried


SHOWN = [pair for pair in MISTAKES if pair.shows]
SMALL = 1000  # elements of a pair that is quick to check


def is_quick(pair: Pair) -> bool:
    return sum(np.size(leaf) for leaf in leaves(pair.args)) < SMALL and pair.kind != "noise"


def passes(pair: Pair) -> bool:
    """Whether the checker takes a pair for right."""
    forget()
    try:
        return Ours().check(pair)() is not False
    except Exception:
        return False


def test_the_checker_knows_right_from_wrong() -> None:
    """One of sixteen, where it is quick: all of them are in the slow tests."""
    caught = {pair.name: not passes(pair) for pair in filter(is_quick, SHOWN[::16])}
    right = {pair.name: passes(pair) for pair in filter(is_quick, RIGHT[::16])}
    assert len(caught) > 15 and len(right) > 15
    assert [name for name, is_caught in caught.items() if not is_caught] == []
    assert [name for name, is_right in right.items() if not is_right] == []


@pytest.mark.slow
@pytest.mark.parametrize("pair", SHOWN, **named)  # type: ignore[arg-type]
def test_the_checker_catches_every_mistake_that_shows(pair: Pair) -> None:
    assert not passes(pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", RIGHT, **named)  # type: ignore[arg-type]
def test_the_checker_refuses_no_right_gradient(pair: Pair) -> None:
    assert passes(pair)
