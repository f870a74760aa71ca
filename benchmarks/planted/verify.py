"""That each right gradient is right: `python -m benchmarks.planted.verify`.

Every pair is compared with gradients from elsewhere, none of them this project's: a formula that
the pair states (`reference`), JAX in float64 on the same forward function, the complex step
(Squire & Trapp 1998), and differences in extended precision, at kinks the slopes to either side. The
first that agrees counts, and is named; a pair that agrees with none fails. Needs the `parity` extra.
"""

from __future__ import annotations

import builtins
import importlib
import types
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.typing import PyTree

from . import NASTY, TWINS, Pair
from .evidence import derivative, drawn_like, each, fresh, is_float, leaves

Gradients = list[np.ndarray]
Way = Callable[[Pair, PyTree, PyTree], Gradients]  # (pair, args, g)

# ------------------------------------------------------------------------------------- four ways


def stated(pair: Pair, args: PyTree, g: PyTree) -> Gradients:
    """The pair's own reference."""
    if pair.reference is None:
        raise NotImplementedError
    found = pair.reference(g, *args)
    return [np.asarray(leaf) for leaf in leaves(found) if leaf is not None]


def translated(value: Any, table: dict[int, Any], seen: dict[int, Any]) -> Any:
    """A Python function that uses jax.numpy where it used NumPy, and so all that it calls."""
    if id(value) in table:
        return table[id(value)]
    if isinstance(value, np.ufunc) or getattr(value, "__module__", None) == "numpy":
        return getattr(table[id(np)], value.__name__, value)
    ours = isinstance(value, types.FunctionType) and value.__globals__.get("__package__")
    if ours != __package__:
        return value
    if id(value) in seen:
        return seen[id(value)]
    names = {
        name: value.__globals__[name]
        for name in names_in(value.__code__)
        if name in value.__globals__
    }
    scope: dict[str, Any] = {"__builtins__": builtins}
    cells = [
        types.CellType(translated(cell.cell_contents, table, seen))
        for cell in value.__closure__ or ()
    ]
    copy = types.FunctionType(
        value.__code__, scope, value.__name__, value.__defaults__, tuple(cells)
    )
    copy.__kwdefaults__ = value.__kwdefaults__
    seen[id(value)] = copy
    scope.update({name: translated(item, table, seen) for name, item in names.items()})
    return copy


def names_in(code: types.CodeType) -> set[str]:
    """The global names in a function, and in those defined inside it."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= names_in(constant)
    return found


def by_jax(pair: Pair, args: PyTree, g: PyTree) -> Gradients:
    """JAX's gradient of the same forward function."""
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    from scipy import special

    table = {
        id(np): importlib.import_module("jax.numpy"),
        id(np.linalg): importlib.import_module("jax.numpy").linalg,
        id(np.fft): importlib.import_module("jax.numpy").fft,
        id(special): importlib.import_module("jax.scipy.special"),
    }
    for name in ("expit", "erf", "erfc", "gammaln", "logsumexp", "digamma"):
        table[id(getattr(special, name))] = getattr(table[id(special)], name)
    forward = translated(pair.forward, table, {})
    given = list(leaves(args))
    places = [i for i, leaf in enumerate(given) if is_float(leaf)]

    def function(*inputs: Any) -> list[Any]:
        filled = list(given)
        for place, value in zip(places, inputs, strict=True):
            filled[place] = value
        new = iter(filled)
        result = forward(*each(lambda _: next(new), args))
        return [leaf for leaf in leaves(result) if jax.numpy.result_type(leaf).kind in "fc"]

    inputs = [jax.numpy.asarray(given[i]) for i in places]
    _, pull = jax.vjp(function, *inputs)
    cotangents = [jax.numpy.conj(jax.numpy.asarray(a)) for a in leaves(g) if a is not None]
    return [np.conj(np.asarray(a)) for a in pull(cotangents)]


def product(g: PyTree, y: PyTree) -> Any:
    """The real inner product of cotangents and values."""
    total: Any = 0.0
    for a, b in zip(leaves(g), leaves(y), strict=True):
        if a is not None:
            total = total + np.sum(np.real(a) * np.real(b) + np.imag(a) * np.imag(b))
    return total


def moved(args: PyTree, place: int, index: int, by: Any, dtype: Any) -> PyTree:
    """The arguments in a dtype, with one element of one leaf moved."""
    counter = iter(range(10**6))

    def move(leaf: Any) -> Any:
        if not is_float(leaf):
            return fresh(leaf)
        number = not isinstance(leaf, np.ndarray)
        complex_too = np.asarray(leaf).dtype.kind == "c" and dtype is np.longdouble
        array = np.array(leaf, np.clongdouble if complex_too else dtype)
        if next(counter) == place:
            array.reshape(-1)[index] += by
        return array[()] if number else array

    return each(move, args)


def elements(args: PyTree) -> list[tuple[int, np.ndarray]]:
    """Number and array of each leaf with a derivative."""
    return list(enumerate(np.asarray(leaf) for leaf in leaves(args) if is_float(leaf)))


def by_complex_step(pair: Pair, args: PyTree, g: PyTree) -> Gradients:
    """Im <g, f(x + ih)> / h."""
    found = []
    for place, array in elements(args):
        if array.dtype.kind == "c" or array.size > 5000:
            raise NotImplementedError
        gradient = np.zeros(array.size)
        for index in range(array.size):
            h = 1e-30 * max(abs(array.reshape(-1)[index]), 1e-30)
            y = pair.forward(*moved(args, place, index, 1j * h, complex))
            total = sum(
                np.sum(a * np.imag(b))
                for a, b in zip(leaves(g), leaves(y), strict=True)
                if a is not None
            )
            gradient[index] = total / h
        found.append(gradient.reshape(array.shape))
    return found


def slope(phi: Callable[[Any], Any], step: float) -> Any:
    """Central differences of order 6 in extended precision."""
    h = np.longdouble(step)
    near, far, farther = (phi(k * h) - phi(-k * h) for k in (1, 2, 3))
    return (45 * near - 9 * far + farther) / (60 * h)


def by_differences(pair: Pair, args: PyTree, g: PyTree) -> Gradients:
    """Differences in extended precision; at a kink any gradient between the slopes is right."""
    y = pair.forward(*fresh(args))
    claimed = list(leaves(derivative(pair, fresh(args), fresh(g), y)))
    found = []
    for place, array in elements(args):
        if array.size > 5000:
            raise NotImplementedError
        gradient = np.zeros(array.size, array.dtype)
        for index in range(array.size):
            size = max(abs(array.reshape(-1)[index]), 1e-3)
            parts = (1, 1j) if array.dtype.kind == "c" else (1,)
            for part in parts:
                phi = lambda t: product(
                    g,
                    pair.forward(*moved(args, place, index, part * t, np.longdouble)),  # noqa: B023
                )
                smooth = slope(phi, 1e-4 * size)
                start = phi(0)
                h = np.longdouble(1e-8 * size)
                sides = sorted([(phi(h) - start) / h, (start - phi(-h)) / h])
                claim = np.asarray(claimed[place]).reshape(-1)[index]
                claim = np.real(claim) if part == 1 else np.imag(claim)
                slack = 1e-6 * max(map(abs, sides))
                kink = sides[1] - sides[0] > 1e-4 * max(map(abs, sides))
                between = sides[0] - slack <= claim <= sides[1] + slack
                gradient[index] += part * (claim if kink and between else smooth)
        found.append(gradient.reshape(array.shape))
    return found


WAYS: dict[str, Way] = {
    "stated": stated,
    "JAX": by_jax,
    "complex step": by_complex_step,
    "differences": by_differences,
}

# ------------------------------------------------------------------------------------ comparison


def disagreement(ours: list[Any], others: Gradients) -> float:
    """The largest difference of two elements, relative to them; rounding of the largest is free."""
    if len(ours) != len(others):
        return np.inf
    worst = 0.0
    for a, b in zip(ours, others, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            return np.inf
        finite = np.isfinite(a) & np.isfinite(b)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return np.inf
        a, b = a[finite], b[finite]
        size = np.maximum(abs(a), abs(b))
        rounding = 1e-7 * np.max(size, initial=0)  # times the tolerance of 1e-9: an eps
        size = np.maximum(size, rounding)
        worst = max(worst, np.max(abs(a - b) / np.where(size > 0, size, 1), initial=0.0))
    return float(worst)


def verified(pair: Pair, ways: dict[str, Way] = WAYS) -> tuple[str, dict[str, Any]]:
    """The name of the way that agrees, or "" for none; and what each way that was tried gave."""
    tried: dict[str, Any] = {}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = pair.forward(*fresh(pair.args))
        g = drawn_like(y, 3)
        returned = derivative(pair, fresh(pair.args), fresh(g), y)
        ours = [a for a in leaves(returned) if a is not None]
        for name, way in ways.items():
            try:
                tried[name] = disagreement(ours, way(pair, fresh(pair.args), g))
            except Exception as error:
                tried[name] = f"{type(error).__name__}: {str(error)[:80]}"
                continue
            if tried[name] <= pair.tolerance:
                return name, tried
    return "", tried


def as_vjp(pair: Pair) -> list[Pair]:
    """The pairs with a backward pass that a pair of another door stands for."""
    forward, derived, second, args = pair.forward, pair.derivative, pair.second, pair.args
    rest = args[1:]

    def along(s: Any) -> Any:
        moved = [a if t is None else a + s * t for a, t in zip(args, tangents, strict=True)]
        return forward(*moved)

    def all_along(g: PyTree, y: PyTree, s: Any) -> Any:
        return product(g, derived(args, tangents))

    if pair.door == "jvp":
        tangents = drawn_like(args, 5)
        return [Pair(pair.kind, pair.name, along, all_along, (np.zeros(()),), tolerance=1e-8)]
    if pair.door == "adjoint":
        linear = lambda x: forward(x, *rest)
        return [Pair(pair.kind, pair.name, linear, lambda g, y, x: derived(g, *rest), args[:1])]
    if pair.door == "grad2":
        assert second is not None
        g = drawn_like(forward(*args), 6)
        first = Pair(pair.kind, pair.name, forward, lambda g, y, x: derived(g, x), args)
        pull = lambda h, y, g, x: second(h, g, x)
        return [first, Pair(pair.kind, pair.name, derived, pull, (g, *args))]
    return [pair]


def main() -> None:
    counts: Counter[str] = Counter()
    pairs = [part for pair in [*TWINS, *NASTY] for part in as_vjp(pair)]
    for pair in pairs:
        way, tried = verified(pair)
        counts[way] += 1
        if not way:
            print(f"NOT VERIFIED {pair.kind}: {pair.name}: {tried}")
    print(", ".join(f"{number} by {way or 'none'}" for way, number in counts.most_common()))


if __name__ == "__main__":
    main()
