"""What the gradient checker holds a gradient to besides its numbers: memory, state, structure, linearity."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from benchmarks.planted import MISTAKES, NASTY, TWINS, Pair
from tinygrad_cv.testing import (
    GradMismatch,
    check_adjoint,
    check_hessian,
    check_invariants,
    check_jacobian,
    check_jvp,
    check_vjp,
)

X = np.random.default_rng(0).normal(size=(3, 4))
KINDS = ("side effects", "randomness", "structure", "state", "cotangents", "layouts", "contract", "jvp", "adjoint")
named = {"ids": lambda pair: f"{pair.kind}: {pair.name}"}


def check(pair: Pair, rng: int = 0) -> Any:
    """What the pair's door leads to."""
    args = deepcopy(pair.args)
    settings = {**pair.options, "rng": rng}
    if pair.door == "invariants":
        return check_invariants((pair.forward, pair.derivative), *args, **settings)
    doors: dict[str, Any] = {"vjp": check_vjp, "jvp": check_jvp, "adjoint": check_adjoint}
    return doors[pair.door](pair.forward, pair.derivative, *args, **settings)


def of_kinds(pairs: list[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.kind in KINDS]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("pair", of_kinds(MISTAKES), **named)  # type: ignore[arg-type]
def test_a_broken_contract_is_refused(pair: Pair) -> None:
    with pytest.raises(GradMismatch):
        check(pair)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("pair", of_kinds(TWINS + NASTY), **named)  # type: ignore[arg-type]
def test_a_kept_contract_passes(pair: Pair) -> None:
    check(pair)


OF_PAIRS = [pair for pair in TWINS + NASTY if pair.door in ("vjp", "invariants")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("pair", OF_PAIRS, **named)  # type: ignore[arg-type]
def test_no_right_gradient_breaks_an_invariant(pair: Pair) -> None:
    """Whatever the options that the comparison with differences needs."""
    for rng in range(5):
        check_invariants((pair.forward, pair.derivative), *deepcopy(pair.args), wrt=pair.options.get("wrt"), rng=rng)


# --------------------------------------------------------------------------------------- what a call leaves alone

CHANGES: dict[str, Any] = {
    "an element": lambda a: a.__setitem__(0, 7),
    "the sign of a zero": lambda a: a.__setitem__(1, -0.0),
    "the last bit": lambda a: a.__setitem__(2, np.nextafter(a[2], 9)),
    "the shape": lambda a: setattr(a, "shape", (4, 1)),
    "the order": lambda a: a[::-1].sort(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("what", ["argument 0 'x'", "argument 1 'extra'", "the value", "the cotangent"])
def test_whatever_a_pass_changes_is_named_and_restored(what: str, change: str) -> None:
    x, extra = np.array([3.0, 0.0, 1.5, 2.0]), {"table": np.array([1.0, 0.0, 0.5, 2.0])}
    before = extra["table"].copy()

    def backward(g: Any, y: Any, x: Any, extra: Any) -> Any:
        d = g * extra["table"]
        array = {"argument 0 'x'": x, "argument 1 'extra'": extra["table"], "the value": y, "the cotangent": g}[what]
        if change != "the sign of a zero" or what in ("argument 0 'x'", "argument 1 'extra'", "the value"):
            CHANGES[change](array)
        else:
            array *= -1
        return d

    with pytest.raises(GradMismatch, match=f"the backward pass changed {what}"):
        check_vjp(lambda x, extra: x * extra["table"], backward, x, extra, wrt=0)
    assert extra["table"].shape == before.shape
    np.testing.assert_array_equal(extra["table"], before)


def test_a_dict_keeps_its_keys_and_a_list_its_items() -> None:
    for settings, change in (({"a": 2}, lambda s: s.update(b=3)), ([2, 3], lambda s: s.pop())):

        def forward(x: Any, s: Any) -> Any:
            change(s)  # noqa: B023
            return 2 * x

        with pytest.raises(GradMismatch, match="the forward pass changed argument 1 's'"):
            check_vjp(forward, lambda g, y, x, s: 2 * g, X, settings)


# ------------------------------------------------------------------------------------- what a backward pass returns


def product(x: Any, p: Any, n: Any) -> Any:
    return x * p["w"] + n * p["b"]


RETURNED: dict[str, Any] = {
    "a tree for each argument": lambda dx, dw, db: (dx, {"w": dw, "b": db}, None),
    "a tree for each with inputs": lambda dx, dw, db: (dx, {"b": db, "w": dw}),
    "a flat list": lambda dx, dw, db: [dx, dw, db],
    "something for what has no gradient": lambda dx, dw, db: (dx, {"w": dw, "b": db}, 0),
}


@pytest.mark.parametrize("form", RETURNED)
def test_gradients_come_in_the_nesting_of_the_arguments(form: str) -> None:
    p = {"w": X[::-1].copy(), "b": X + 1}
    right = lambda g, y, x, p, n: RETURNED[form](g * p["w"], g * x, n * g)
    wrong = lambda g, y, x, p, n: RETURNED[form](g * p["w"], n * g, g * x)
    assert check_vjp(product, right, X, p, 3).elements == 36
    with pytest.raises(GradMismatch, match="argument 1 'p' item 0"):
        check_vjp(product, wrong, X, p, 3)


@pytest.mark.parametrize("returned", [(X,), (X, {"w": X}), (X, X), (X, X, X, X), {"w": X}])
def test_gradients_of_another_nesting_are_a_mismatch_that_shows_it(returned: Any) -> None:
    p = {"w": X, "b": X + 1}
    with pytest.raises(GradMismatch, match="gradients for 3 floating-point inputs"):
        check_vjp(product, lambda *_: returned, X, p, 3)


def test_every_door_sees_what_an_earlier_call_has_kept() -> None:
    x, w = np.arange(1.0, 5.0), np.array([1.0, 2.0, 4.0])
    kept: dict[Any, Any] = {}
    frozen = lambda slope: lambda x: kept.setdefault(x.shape, slope(x))
    with pytest.raises(GradMismatch):
        check_jacobian(np.sin, frozen(lambda x: np.diag(np.cos(x))), x)
    kept.clear()
    with pytest.raises(GradMismatch):
        check_hessian(lambda x: np.sum(np.sin(x)), frozen(lambda x: np.diag(-np.sin(x))), x)
    kernels: dict[Any, Any] = {}
    of_kernel = lambda v, w: np.correlate(v, kernels.setdefault(w.shape, w.copy()), "valid")
    with pytest.raises(GradMismatch):
        check_adjoint(np.convolve, of_kernel, x, w)


@pytest.mark.parametrize("seed", range(3))
def test_mistakes_of_one_size_do_not_cancel(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=30)
    f = lambda x: np.sum(x * x) + x[0] * x[1] + x[1] * x[2] + x[0] * x[2]
    with pytest.raises(GradMismatch, match="entries of the hessian"):
        check_hessian(f, lambda x: 2 * np.eye(30), x, rng=seed)


def test_a_linear_map_is_zero_of_zeros_in_any_layout() -> None:
    x = np.arange(1.0, 13.0).reshape(3, 4)

    def by_division(v: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return 2 * v * v / v

    in_memory_order = lambda v: 2 * v.ravel(order="K").reshape(v.shape)
    double = lambda x: 2 * x
    for wrong in (by_division, in_memory_order):
        with pytest.raises(GradMismatch):
            check_adjoint(double, wrong, x)
        with pytest.raises(GradMismatch):
            check_jvp(double, lambda args, t, wrong=wrong: wrong(t[0]), x)
        with pytest.raises(GradMismatch):
            check_vjp(double, lambda g, y, x, wrong=wrong: wrong(g), x)


@pytest.mark.parametrize("x", [np.array(0.5), np.float64(0.5), np.array(0.5, np.float32)])
def test_an_input_without_axes_has_layouts_too(x: Any) -> None:
    slope = lambda args, tangents: np.cos(args[0]) * tangents[0]
    assert check_jvp(np.sin, slope, x).elements == 3
    assert check_vjp(np.sin, lambda g, y, x: g * np.cos(x), x).elements == 1
