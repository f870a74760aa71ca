"""Rows of `tinygrad_cv/rules/numpy/product.py`."""

from __future__ import annotations

import string
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_cv.rules.numpy.product  # noqa: F401
from tests.table import row
from tinygrad_cv.testing.strategies import arrays, broadcastable, shapes

side = st.integers(1, 3)


@st.composite
def partly(draw: st.DrawFn, batch: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to `batch`: leading axes dropped, some others 1."""
    kept = batch[draw(st.integers(0, len(batch))) :]
    return tuple(1 if draw(st.booleans()) else n for n in kept)


@st.composite
def matmul_arguments(
    draw: st.DrawFn, left_ndim: int = 1, right_ndim: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Operands whose inner axes agree and whose batches broadcast, of at least the given ranks."""
    n, m, k = draw(side), draw(side), draw(side)
    batch = draw(shapes(max_dims=2))
    left, right = (*draw(partly(batch)), n, m), (*draw(partly(batch)), m, k)
    left = (m,) if left_ndim == 1 and draw(st.integers(0, 3)) == 0 else left
    right = (m,) if right_ndim == 1 and draw(st.integers(0, 3)) == 0 else right
    return draw(arrays(left)), draw(arrays(right))


@st.composite
def matvec_arguments(draw: st.DrawFn, vector_first: bool = False) -> tuple[np.ndarray, np.ndarray]:
    matrix, other = draw(matmul_arguments(left_ndim=2, right_ndim=2))
    vector = other[..., 0]
    return (vector, np.swapaxes(matrix, -1, -2)) if vector_first else (matrix, vector)


@st.composite
def dot_arguments(draw: st.DrawFn, second: int = -2) -> tuple[np.ndarray, np.ndarray]:
    """Ranks 0 to 3, the last axis of the first as long as the axis `second` of the second."""
    a, b = draw(shapes()), draw(shapes())
    if a and b:
        i = second if len(b) > 1 else -1
        b = (*b[: len(b) + i], a[-1], *b[len(b) + i :][1:])
    return draw(arrays(a)), draw(arrays(b))


@st.composite
def tensordot_arguments(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, Any]:
    """Free and summed axes at drawn places; `axes` is an integer, two integers or two lists."""
    summed, free_a, free_b = (
        draw(shapes(max_dims=2)),
        draw(shapes(max_dims=2)),
        draw(shapes(max_dims=2)),
    )
    n = len(summed)
    if draw(st.booleans()):
        return draw(arrays((*free_a, *summed))), draw(arrays((*summed, *free_b))), n
    order_a = draw(
        st.permutations(range(n + len(free_a)))
    )  # order[i] is where axis i of (summed, free) goes
    order_b = draw(st.permutations(range(n + len(free_b))))
    a = draw(arrays(tuple(np.array((*summed, *free_a), int)[np.argsort(order_a)].tolist())))
    b = draw(arrays(tuple(np.array((*summed, *free_b), int)[np.argsort(order_b)].tolist())))
    of_a = [i - a.ndim if draw(st.booleans()) else i for i in order_a[:n]]
    axes: Any = (of_a, tuple(order_b[:n]))
    return a, b, (of_a[0], order_b[0]) if n == 1 and draw(st.booleans()) else axes


@st.composite
def vecdot_arguments(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    n, batch = draw(side), draw(shapes(max_dims=2))
    first, second = draw(partly(batch)), draw(partly(batch))
    axis = draw(st.sampled_from([0, -1]))
    place = lambda shape: (n, *shape) if axis == 0 else (*shape, n)
    return draw(arrays(place(first))), draw(arrays(place(second))), axis


@st.composite
def cross_arguments(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Vectors of length 3 along one axis of broadcasting arrays."""
    a, b = draw(broadcastable())
    axis = draw(st.sampled_from([-1, 0] if a.ndim == b.ndim else [-1]))
    return tuple(draw(arrays((3, *x.shape) if axis == 0 else (*x.shape, 3))) for x in (a, b)) + (
        axis,
    )


@st.composite
def chains(draw: st.DrawFn) -> list[np.ndarray]:
    """Two to five matrices, the first and the last perhaps a vector."""
    sides = draw(st.lists(side, min_size=3, max_size=6))
    matrices = [draw(arrays(s)) for s in pairwise(sides)]
    matrices[0] = matrices[0][0] if draw(st.booleans()) else matrices[0]
    matrices[-1] = matrices[-1][:, 0] if draw(st.booleans()) else matrices[-1]
    return matrices


@st.composite
def einsum_arguments(draw: st.DrawFn) -> tuple[Any, ...]:
    """Any legal call: one to three operands over four letters.

    Some stand twice in an operand (diagonals), some are broadcast from length 1, some summed; there
    may be an ellipsis of up to two axes, an output that is given or implied, blanks.
    """
    sizes = dict(zip("ijBz", draw(st.lists(side, min_size=4, max_size=4)), strict=True))
    dotted = draw(shapes(max_dims=2)) if draw(st.booleans()) else ()
    terms, operands = [], []
    for _ in range(draw(st.integers(1, 3))):
        letters = "".join(draw(st.lists(st.sampled_from("ijBz"), max_size=3)))
        single = {c: 1 if draw(st.integers(0, 4)) == 0 else sizes[c] for c in letters}
        at = draw(st.integers(0, len(letters)))
        own = [single[c] for c in letters]
        dots = draw(partly(dotted)) if dotted else ()
        terms.append(letters[:at] + ("..." if dotted else "") + letters[at:])
        operands.append(draw(arrays((*own[:at], *dots, *own[at:]))))
    text = ",".join(terms)
    if draw(st.booleans()):
        used = sorted(set(text) & set(sizes))
        output = draw(st.permutations(used))[: draw(st.integers(0, len(used)))]
        at = draw(st.integers(0, len(output)))
        text += " -> " + "".join([*output[:at], *(["..."] if dotted else []), *output[at:]])
    return (text, *operands)


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[Any, ...]:
    """The same with tuples of integers in place of letters (the table takes lists for arrays)."""
    text, *operands = draw(einsum_arguments())
    numbers = draw(st.permutations(range(52)))
    inputs, arrow, output = text.replace(" ", "").partition("->")
    label = lambda term: tuple(
        Ellipsis if c == "." else numbers[string.ascii_letters.index(c)]
        for c in term.replace("...", ".")
    )
    calls = [
        x
        for operand, term in zip(operands, inputs.split(","), strict=True)
        for x in (operand, label(term))
    ]
    return (*calls, label(output)) if arrow else tuple(calls)


row(np.matmul, matmul_arguments())
row(np.matmul, matmul_arguments(), call=lambda a, b: a @ b)
row(np.linalg.matmul, matmul_arguments(2, 2), complex=True)
row(np.dot, dot_arguments())
row(np.inner, dot_arguments(second=-1))
row(np.outer, arrays(), arrays())
row(np.linalg.outer, arrays(shapes(1, 1)), arrays(shapes(1, 1)), complex=True)
row(np.vdot, shapes().flatmap(lambda s: st.tuples(arrays(s), arrays(s[::-1]))))
for function in (np.vecdot, np.linalg.vecdot):
    row(
        function,
        vecdot_arguments(),
        call=lambda a, b, axis, f=function: f(a, b, axis=axis),
        complex=True,
    )
row(
    np.vecdot, vecdot_arguments(), call=lambda a, b, axis: np.vecdot(a, b, axis=axis, keepdims=True)
)
if hasattr(np, "matvec"):
    row(np.matvec, matvec_arguments())
    row(np.vecmat, matvec_arguments(vector_first=True))
row(np.tensordot, tensordot_arguments())
row(
    np.linalg.tensordot,
    tensordot_arguments(),
    call=lambda a, b, axes: np.linalg.tensordot(a, b, axes=axes),
    complex=True,
)
row(np.kron, arrays(shapes(max_dims=2)), arrays(shapes(max_dims=3, max_side=2)))
for first, second in ((2, 2), (2, 3), (3, 2)):
    row(np.cross, arrays((4, first)), arrays((4, second)))
row(np.cross, cross_arguments(), call=lambda a, b, axis: np.cross(a, b, axis=axis))
row(
    np.cross,
    arrays((3, 2)),
    arrays((2, 3)),
    options=st.sampled_from([{"axisa": 0}, {"axisa": 0, "axisc": 0}]),
)
row(
    np.linalg.cross,
    cross_arguments(),
    call=lambda a, b, axis: np.linalg.cross(a, b, axis=axis),
    complex=True,
)
row(np.linalg.multi_dot, chains(), complex=True)
row(np.einsum, einsum_arguments())
row(
    np.einsum,
    einsum_arguments(),
    options=st.sampled_from([{"optimize": o} for o in (True, "greedy", "optimal")]),
)
row(np.einsum, interleaved())
row(
    np.einsum,
    *map(arrays, [(2, 3), (3, 2), (2,)]),
    call=lambda *a: np.einsum("ij,jk,k->ik", *a, optimize=["einsum_path", (0, 1), (0, 1)]),
)
