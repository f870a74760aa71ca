"""What is wrong about a mistake: an experiment for each symptom, which ends otherwise for the twin.

No checker is involved. An outcome is a list of arrays and words, in which an exception is its name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_cv.typing import PyTree

from .pair import Pair, forget

Outcome = list[Any]
Experiment = Callable[[Pair], Outcome]

# ---------------------------------------------------------------------------- cotangents and calls


def each(change: Callable[[Any], Any], tree: PyTree) -> PyTree:
    """The same structure with `change` applied to each leaf."""
    if isinstance(tree, dict):
        return {key: each(change, item) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)([each(change, item) for item in tree])
    return change(tree)


def leaves(tree: PyTree) -> Iterator[Any]:
    """The leaves of dicts, lists and tuples, in order."""
    if isinstance(tree, dict):
        for key in tree:
            yield from leaves(tree[key])
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from leaves(item)
    else:
        yield tree


def is_float(leaf: Any) -> bool:
    """Whether a leaf is an array or a number with a derivative."""
    if isinstance(leaf, (np.ndarray, np.generic)):
        return leaf.dtype.kind in "fc"
    return isinstance(leaf, (float, complex))


def drawn_like(tree: PyTree, seed: int = 0) -> PyTree:
    """Numbers from 0.5 to 1.5 in size for each float, None for everything else."""
    rng = np.random.default_rng(seed)

    def size(leaf: Any) -> Any:
        drawn = rng.uniform(-1.0, 1.0, np.shape(leaf))
        return drawn + np.copysign(0.5, drawn)

    def draw(leaf: Any) -> Any:
        if not is_float(leaf):
            return None
        array = np.asarray(leaf)
        drawn = size(leaf) + 1j * size(leaf) if array.dtype.kind == "c" else size(leaf)
        return np.asarray(drawn, array.dtype)

    return each(draw, tree)


def arrays(change: Callable[[np.ndarray], Any], tree: PyTree) -> PyTree:
    """The same structure with `change` applied to each array of floats."""
    is_array = lambda leaf: isinstance(leaf, np.ndarray) and is_float(leaf)
    return each(lambda leaf: change(leaf) if is_array(leaf) else leaf, tree)


def fresh(args: PyTree) -> PyTree:
    """A copy that keeps which arrays are one."""
    return copy.deepcopy(args)


def pushed(pair: Pair, args: PyTree, seed: int = 0) -> PyTree:
    """What the derivative is multiplied by: cotangents of the value, for a jvp tangents."""
    if pair.door == "jvp":
        return drawn_like(args, seed)
    return drawn_like(pair.forward(*fresh(args)), seed)


def derivative(pair: Pair, args: PyTree, g: PyTree, y: PyTree = None) -> PyTree:
    """The derivative at g; y is the value if there is one already."""
    if pair.door == "jvp":
        return pair.derivative(args, g)
    if pair.door == "adjoint":
        return pair.derivative(g, *args[1:])
    if pair.door == "grad2":
        assert pair.second is not None
        first = pair.derivative(g, *args)
        return first, pair.second(drawn_like(first, 7), g, *args)
    return pair.derivative(g, pair.forward(*args) if y is None else y, *args)


def attempt(pair: Pair, args: PyTree, g: PyTree) -> Outcome:
    """The derivative's arrays, or the name of its exception."""
    try:
        result = derivative(pair, args, g)
    except Exception as error:
        return [type(error).__name__]
    return [np.array(leaf) for leaf in leaves(result)]


# --------------------------------------------------------------------------------- the experiments


def gradient(pair: Pair) -> Outcome:
    """The derivative at two random cotangents."""
    found = []
    for seed in (0, 1):
        args = fresh(pair.args)
        found += attempt(pair, args, pushed(pair, args, seed))
    return found


def linearity(pair: Pair) -> Outcome:
    """At very large, very small and opposite cotangents."""
    found = []
    for factor in (1e6, 1e-6, -1.0):
        args = fresh(pair.args)
        g = arrays(lambda a: factor * a, pushed(pair, args))  # noqa: B023
        found += attempt(pair, args, g)
    return found


def single_cotangents(pair: Pair) -> Outcome:
    """With one cotangent, the others 0."""
    number = len(list(leaves(pushed(pair, pair.args))))
    found = []
    for k in range(number):
        args = fresh(pair.args)
        places = iter(range(number))
        g = each(lambda a: a * (next(places) == k), pushed(pair, args))  # noqa: B023
        found += attempt(pair, args, g)
    return found


def faint_cotangents(pair: Pair) -> Outcome:
    """With every second element of the cotangents 0, and a millionth of what it was."""
    found = []
    for factor in (0, 2.0**-20):
        args = fresh(pair.args)
        weaken = lambda a: a * np.where(np.arange(np.size(a)) % 2, factor, 1).reshape(np.shape(a))  # noqa: B023
        found += attempt(pair, args, each(weaken, pushed(pair, args)))
    return found


def mutation(pair: Pair) -> Outcome:
    """Arguments, cotangents and value after both passes."""
    args = fresh(pair.args)
    g = pushed(pair, args)
    if pair.door in ("vjp", "invariants"):
        y = pair.forward(*args)
        kept = fresh(y)
        derivative(pair, args, g, y)
        same = [np.array_equal(a, b, True) for a, b in zip(leaves(y), leaves(kept), strict=True)]
        return [*map(str, same), str(args), str(g), *leaves(args), *leaves(g)]
    if pair.door == "adjoint":
        pair.forward(*args)
    derivative(pair, args, g)
    return [str(args), str(g), *leaves(args), *leaves(g)]


def contract(pair: Pair) -> Outcome:
    """Number, types, shapes and dtypes of what is returned, and whose memory it is."""
    args = fresh(pair.args)
    g = pushed(pair, args)
    result = derivative(pair, args, g)
    found: Outcome = [type(result).__name__ if isinstance(result, (tuple, list, dict)) else "one"]
    returned = list(leaves(result))
    given = [leaf for leaf in [*leaves(args), *leaves(g)] if isinstance(leaf, np.ndarray)]
    for i, leaf in enumerate(returned):
        if leaf is None:
            found.append("None")
            continue
        array = np.asarray(leaf)
        others = [o for j, o in enumerate(returned) if j != i and isinstance(o, np.ndarray)]
        shared = any(np.shares_memory(array, other) for other in [*given, *others])
        masked = isinstance(leaf, (np.ma.MaskedArray, np.matrix))
        writable = array.flags.writeable or not isinstance(leaf, np.ndarray)
        found.append(f"{array.shape} {array.dtype} {shared=} {masked=} {writable=}")
    return found


def in_float32(pair: Pair) -> Outcome:
    """What is returned for arguments in float32."""
    return contract(copy_of(pair, arrays(lambda a: a.astype(np.float32), pair.args)))


def copy_of(pair: Pair, args: PyTree) -> Pair:
    """The pair at other arguments."""
    fields = {name: getattr(pair, name) for name in pair.__dataclass_fields__}
    return Pair(**{**fields, "args": args})


def flipped(args: PyTree) -> PyTree:
    """The arguments with the elements of each array in reverse order."""
    return arrays(lambda a: a.reshape(-1)[::-1].reshape(a.shape).copy(), args)


def calls_in_turn(pair: Pair) -> Outcome:
    """A backward pass after a forward pass, and whole calls, with other arguments."""
    found = []
    for other in (flipped(pair.args), arrays(lambda a: 0.9 * a, flipped(pair.args))):
        args = fresh(pair.args)
        g = pushed(pair, args)
        y = pair.forward(*args)
        pair.forward(*fresh(other))
        found += [np.array(a) for a in leaves(derivative(pair, args, g, y))]
        found += attempt(pair, fresh(other), g)
        found += attempt(pair, fresh(pair.args), g)
    return found


def calls_again(pair: Pair) -> Outcome:
    """Three backward passes after one forward pass, and the first result after the last."""
    args = fresh(pair.args)
    g = pushed(pair, args)
    y = None if pair.door in ("jvp", "adjoint", "grad2") else pair.forward(*args)
    results = []
    try:
        for _ in range(3):
            results.append(derivative(pair, args, fresh(g), y))
    except Exception as error:
        return [type(error).__name__]
    return [np.array(leaf) for leaf in leaves(results)]


def results_kept(pair: Pair) -> Outcome:
    """The result of a call after another with another cotangent."""
    args = fresh(pair.args)
    first = derivative(pair, args, pushed(pair, args, 0))
    derivative(pair, args, pushed(pair, args, 1))
    return [np.array(leaf) for leaf in leaves(first)]


def rewritten_in_place(pair: Pair) -> Outcome:
    """A second call with other numbers in the same arrays."""
    args = fresh(pair.args)
    g = pushed(pair, args)
    attempt(pair, args, g)
    for array, new in zip(leaves(args), leaves(flipped(args)), strict=True):
        if isinstance(array, np.ndarray):
            array[...] = new
    return attempt(pair, args, g)


def nearby(pair: Pair) -> Outcome:
    """A call, and one with arguments that differ by 0.01 %."""
    args = fresh(pair.args)
    g = pushed(pair, args)
    attempt(pair, args, g)
    return attempt(pair, arrays(lambda a: a * 1.0001, args), g)


def another_middle(pair: Pair) -> Outcome:
    """A call, and one with arguments whose elements are reversed but for the first and last."""
    args = fresh(pair.args)
    g = pushed(pair, args)
    attempt(pair, args, g)
    reverse = lambda a: np.concatenate([a[:1], a[-2:0:-1], a[-1:]])
    return attempt(pair, arrays(reverse, args), g)


def another_size(pair: Pair) -> Outcome:
    """A call after one with longer arrays, and one with shorter."""
    longer = arrays(lambda a: np.concatenate([a, a]), pair.args)
    shorter = arrays(lambda a: a[:-1].copy(), pair.args)
    found = []
    for args in (longer, pair.args, shorter):
        found += attempt(pair, fresh(args), pushed(pair, args))
    return found


def values(pair: Pair) -> Outcome:
    """The values of three calls."""
    return [np.array(a) for _ in range(3) for a in leaves(pair.forward(*fresh(pair.args)))]


def one_array_twice(pair: Pair) -> Outcome:
    """With the first array in the place of the second."""
    first, second, *rest = fresh(pair.args)
    assert first.shape == second.shape
    args = (first, first, *rest)
    return attempt(pair, args, pushed(pair, args))


def read_only(a: np.ndarray) -> np.ndarray:
    b = a.copy()
    b.flags.writeable = False
    return b


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "read-only": read_only,
    "Fortran-ordered": lambda a: np.array(a, order="F"),
    "negative-stride": lambda a: np.flip(np.flip(a).copy()),
    "with gaps": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a.copy(),
}
COTANGENTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    **LAYOUTS,
    "broadcast": lambda a: np.broadcast_to(a.reshape(-1)[:1].reshape((1,) * a.ndim), a.shape),
    "integers": lambda a: np.where(a > 0, 3, -2),
    "float32": lambda a: a.astype(np.float32),
}


def cotangent_layouts(pair: Pair) -> Outcome:
    """At cotangents of unusual memory or dtype."""
    found = []
    for layout in COTANGENTS.values():
        args = fresh(pair.args)
        g = arrays(layout, pushed(pair, args))
        found += attempt(pair, args, g)
    return found


def argument_layouts(pair: Pair) -> Outcome:
    """At arguments of unusual memory."""
    found = []
    for layout in LAYOUTS.values():
        g = pushed(pair, pair.args)
        found += attempt(pair, arrays(layout, fresh(pair.args)), g)
    return found


def tangents_left_out(pair: Pair) -> Outcome:
    """With None in the place of each tangent in turn."""
    found = []
    for k in range(len(pair.args)):
        args = fresh(pair.args)
        tangents = pushed(pair, args)
        found += attempt(pair, args, (*tangents[:k], None, *tangents[k + 1 :]))
    return found


SYMPTOMS: dict[str, Experiment] = {
    "gradient": gradient,
    "linearity": linearity,
    "single cotangents": single_cotangents,
    "faint cotangents": faint_cotangents,
    "mutation": mutation,
    "contract": contract,
    "in float32": in_float32,
    "calls in turn": calls_in_turn,
    "calls again": calls_again,
    "results kept": results_kept,
    "rewritten in place": rewritten_in_place,
    "nearby": nearby,
    "another middle": another_middle,
    "another size": another_size,
    "values": values,
    "one array twice": one_array_twice,
    "cotangent layouts": cotangent_layouts,
    "argument layouts": argument_layouts,
    "tangents left out": tangents_left_out,
}


def largest_difference(one: Outcome, other: Outcome) -> float:
    """The largest relative difference of two elements; infinite if something else differs."""
    if len(one) != len(other):
        return np.inf
    largest = 0.0
    for a, b in zip(one, other, strict=True):
        numbers = is_float(a) and is_float(b) and np.shape(a) == np.shape(b)
        if not numbers:
            if type(a) is not type(b) or not np.array_equal(a, b):
                return np.inf
            continue
        a, b = np.ravel(a), np.ravel(b)
        finite = np.isfinite(a) & np.isfinite(b)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return np.inf
        size = np.maximum(abs(a), abs(b))[finite]
        apart = abs(a - b)[finite]
        largest = max(largest, np.max(apart / np.where(size > 0, size, 1), initial=0.0))
    return float(largest)


def evidence(mistake: Pair) -> float:
    """By how much the outcome of the mistake's experiment differs from the twin's."""
    assert mistake.twin is not None
    experiment = SYMPTOMS[mistake.symptom]
    forget()
    with np.errstate(all="ignore"):
        return largest_difference(experiment(mistake), experiment(mistake.twin))
