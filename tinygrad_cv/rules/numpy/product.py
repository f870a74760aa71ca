"""The calculus table of products: matmul, tensordot, multi_dot and einsum have rules, the others are written in them.

The gradient of a product in one factor is again a product, of g and the other factors, so every order is there.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ...tensor import node_of
from ..table import definition, derivative

# ------------------------------------------------------------------------------------------------------------- matmul


def _rows(x: Any) -> Any:
    """(..., m) -> (rows, m)."""
    shape = np.shape(x)
    return np.reshape(x, (prod(shape[:-1]), shape[-1]))


def _matmul_left(g: Any, x1_shape: Any, x2: Any) -> Any:
    if type(x2) is list:
        x2 = np.asarray(x2)
    if len(x1_shape) > 1:
        return g @ x2.mT if x2.ndim > 1 else np.expand_dims(g, -1) * x2
    return np.squeeze(x2 @ np.expand_dims(g, -1), -1) if x2.ndim > 1 else g * x2


def _matmul_right(g: Any, x1: Any, x2_shape: Any) -> Any:
    if type(x1) is list:
        x1 = np.asarray(x1)
    if x1.ndim == 1:
        return np.expand_dims(x1, -1) * np.expand_dims(g, -2) if len(x2_shape) > 1 else g * x1
    if len(x2_shape) == 1:
        return np.ravel(g) @ _rows(x1)
    if (
        x1.ndim > 2 == len(x2_shape)
    ):  # one matrix for the whole batch: one product, in place of a sum of many
        return _rows(x1).mT @ _rows(g)
    return x1.mT @ g


derivative(np.matmul, x1=_matmul_left, x2=_matmul_right)


@definition(np.linalg.matmul)
def matmul(x1: Any, x2: Any, /) -> Any:
    return np.matmul(x1, x2)


def _matvec(x1: Any, x2: Any) -> Any:
    return np.squeeze(np.matmul(x1, np.expand_dims(x2, -1)), -1)


if hasattr(np, "matvec"):  # NumPy 2.2

    @definition(np.matvec)
    def matvec(x1: Any, x2: Any, /) -> Any:
        if np.ndim(x1) < 2:
            raise ValueError(
                f"np.matvec needs a matrix first, not an array of shape {np.shape(x1)}"
            )
        return _matvec(x1, x2)

    @definition(np.vecmat)
    def vecmat(x1: Any, x2: Any, /) -> Any:
        if np.ndim(x2) < 2:
            raise ValueError(
                f"np.vecmat needs a matrix second, not an array of shape {np.shape(x2)}"
            )
        return np.squeeze(np.matmul(np.expand_dims(x1, -2), x2), -2)


@definition(np.vecdot, np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1, keepdims: bool = False) -> Any:
    """Scalar products along an axis of each operand; the other axes broadcast."""
    x1, x2 = np.moveaxis(x1, axis, -1), np.moveaxis(x2, axis, -1)
    y = np.squeeze(_matvec(np.expand_dims(x1, -2), x2), -1)
    return np.expand_dims(y, axis) if keepdims else y


@definition(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    return np.matmul(np.ravel(a), np.ravel(b))


@definition(np.dot)
def dot(a: Any, b: Any, out: None = None) -> Any:
    """The last axis of a with the last but one of b; with a single number, the product."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    return np.matmul(a, b) if np.ndim(b) <= 2 else np.tensordot(a, b, (-1, -2))


@definition(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    return np.multiply(a, b) if np.ndim(a) == 0 or np.ndim(b) == 0 else np.tensordot(a, b, (-1, -1))


@definition(np.outer)
def outer(a: Any, b: Any, out: None = None) -> Any:
    return np.expand_dims(np.ravel(a), -1) * np.ravel(b)


@definition(np.linalg.outer)
def outer_of_vectors(x1: Any, x2: Any, /) -> Any:
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise ValueError(
            f"np.linalg.outer needs vectors, not shapes {np.shape(x1)} and {np.shape(x2)}; see np.outer"
        )
    return outer(x1, x2)


# ---------------------------------------------------------------------------------------------------------- tensordot


def _contracted(axes: Any, a_ndim: int, b_ndim: int) -> tuple[list[int], list[int]]:
    """The axes of a and of b that are summed, in pairs, from any form of `axes`."""
    if np.ndim(axes) == 0 and not isinstance(axes, (list, tuple)):
        n = int(axes)
        return list(range(a_ndim - n, a_ndim)), list(range(n))
    of_a, of_b = ([of] if isinstance(of, (int, np.integer)) else list(of) for of in axes)
    return [int(i) % a_ndim for i in of_a], [int(i) % b_ndim for i in of_b]


def _tensordot_adjoint(
    g: Any, other: Any, own_ndim: int, own: list[int], others: list[int], other_first: bool
) -> Any:
    """The gradient of one factor: g with the other factor summed over the other's free axes, then the axes in order.

    `own` and `others` are the pairs of summed axes. g has the first factor's free axes, then the second's.
    """
    other_free = [i for i in range(np.ndim(other)) if i not in others]
    own_free = [i for i in range(own_ndim) if i not in own]
    n = len(other_free)
    axes_of_g = range(n) if other_first else range(np.ndim(g) - n, np.ndim(g))
    h = np.tensordot(
        g, other, (list(axes_of_g), other_free)
    )  # own free axes, then the summed, as they lie in other
    order = own_free + [own[others.index(j)] for j in sorted(others)]
    return np.transpose(h, [order.index(i) for i in range(own_ndim)])


def _tensordot_left(g: Any, a_shape: Any, b: Any, axes: Any) -> Any:
    of_a, of_b = _contracted(axes, len(a_shape), np.ndim(b))
    return _tensordot_adjoint(g, b, len(a_shape), of_a, of_b, other_first=False)


def _tensordot_right(g: Any, a: Any, b_shape: Any, axes: Any) -> Any:
    of_a, of_b = _contracted(axes, np.ndim(a), len(b_shape))
    return _tensordot_adjoint(g, a, len(b_shape), of_b, of_a, other_first=True)


derivative(np.tensordot, a=_tensordot_left, b=_tensordot_right)


@definition(np.linalg.tensordot)
def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    return np.tensordot(x1, x2, axes)


@definition(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Each element of a times all of b: axes interleaved, (m1, n1, m2, n2, ...) -> (m1 n1, m2 n2, ...)."""
    ndim = max(np.ndim(a), np.ndim(b))
    a_shape, b_shape = ((1,) * (ndim - np.ndim(x)) + np.shape(x) for x in (a, b))
    spread_a = np.reshape(a, [n for m in a_shape for n in (m, 1)])  # (m1, 1, m2, 1, ...)
    spread_b = np.reshape(b, [n for m in b_shape for n in (1, m)])  # (1, n1, 1, n2, ...)
    return np.reshape(spread_a * spread_b, [m * n for m, n in zip(a_shape, b_shape, strict=True)])


@definition(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """(a1 b2 - a2 b1, a2 b0 - a0 b2, a0 b1 - a1 b0) along an axis of length 3."""
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if np.shape(a)[-1] != 3 or np.shape(b)[-1] != 3:
        raise ValueError(
            f"np.cross of tensors needs vectors of length 3, not {np.shape(a)[-1]} and {np.shape(b)[-1]}"
        )
    parts = [a[..., i] * b[..., j] - a[..., j] * b[..., i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.stack(parts, axis=axisc)


@definition(np.linalg.cross)
def cross_of_vectors(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return cross(x1, x2, axis=axis)


def _multi_dot(g: Any, arrays: Any) -> list[Any]:
    """For A_k: (A_1 ... A_k-1)^T g (A_k+1 ... A_n)^T, each in its own best order."""
    matrices = [
        a if np.ndim(a) == 2 else np.reshape(a, (1, -1) if k == 0 else (-1, 1))
        for k, a in enumerate(arrays)
    ]
    transposed = [np.matrix_transpose(a) for a in matrices]
    g = np.reshape(g, (np.shape(matrices[0])[0], np.shape(matrices[-1])[1]))
    return [
        np.reshape(
            np.linalg.multi_dot([*transposed[:k][::-1], g, *transposed[k + 1 :][::-1]]), np.shape(a)
        )
        for k, a in enumerate(arrays)
    ]


derivative(np.linalg.multi_dot, arrays=_multi_dot)

# ------------------------------------------------------------------------------------------------------------- einsum


LETTERS = (
    string.ascii_uppercase + string.ascii_lowercase
)  # in the order in which an implied output has them


def _letters(sublist: Any) -> str:
    return "".join("..." if i is Ellipsis else LETTERS[i] for i in sublist)


def _explicit(operands: Sequence[Any]) -> tuple[list[str], str, list[int]]:
    """Any legal call in letters only: the operands' terms, the output's, and where in `operands` the arrays stand.

    Sublists of integers become letters, an implied output is written out, the axes of an ellipsis get letters.
    """
    if isinstance(operands[0], str):
        places = list(range(1, len(operands)))
        text = operands[0].replace(" ", "")
    else:
        places = list(range(0, len(operands) // 2 * 2, 2))
        text = ",".join(_letters(operands[i + 1]) for i in places)
        text += "->" + _letters(operands[-1]) if len(operands) % 2 else ""
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    if not arrow:
        letters = inputs.replace("...", "").replace(",", "")
        output = "..." * ("..." in inputs) + "".join(
            sorted(c for c in set(letters) if letters.count(c) == 1)
        )
    dots = [
        np.ndim(operands[i]) - len(t.replace("...", "")) for i, t in zip(places, terms, strict=True)
    ]
    axes = "".join(c for c in LETTERS if c not in text)[: max(dots)]
    terms = [
        term.replace("...", axes[len(axes) - n :]) for term, n in zip(terms, dots, strict=True)
    ]
    return terms, output.replace("...", axes), places


def _einsum_gradient(
    g: Any, k: int, terms: list[str], output: str, arrays: list[Any], optimize: Any
) -> Any:
    """For operand k: the einsum of g and the other operands into k's letters.

    A letter that only k has was summed: its axis is broadcast. A letter that k has twice, a diagonal, gets a fresh
    second name, tied to the first by an identity matrix. An axis of length 1 that was broadcast is summed over.
    """
    names, factors = [output, *terms[:k], *terms[k + 1 :]], [g, *arrays[:k], *arrays[k + 1 :]]
    known = set("".join(names))
    fresh = iter(c for c in LETTERS if c not in known and c not in terms[k])
    shape, target, missing = np.shape(arrays[k]), "", []
    for axis, (letter, n) in enumerate(zip(terms[k], shape, strict=True)):
        if n == 1 or (letter not in known and terms[k].count(letter) == 1):
            missing.append(axis)
            continue
        if letter in target:
            names.append(letter + (second := next(fresh)))
            factors.append(np.eye(n, dtype=g.dtype))
            letter = second
        target += letter
    contracted = np.einsum(",".join(names) + "->" + target, *factors, optimize=optimize)
    return np.broadcast_to(np.expand_dims(contracted, tuple(missing)), shape)


def _einsum_gradients(g: Any, operands: Any, optimize: Any, needed: Any) -> list[Any]:
    terms, output, places = _explicit(operands)
    arrays = [operands[i] for i in places]
    optimize = (
        optimize if isinstance(optimize, (bool, str)) else True
    )  # a path suits only the call it was made for
    gradients = [None] * len(operands)
    for k, i in enumerate(places):
        if needed[i]:
            gradients[i] = _einsum_gradient(g, k, terms, output, arrays, optimize)
    return gradients


def einsum(*operands: Any, optimize: Any = False, needed: Any = (), **options: Any) -> Any:
    """np.einsum. `needed` says which of the operands have a gradient: that of the others is not computed."""
    return np.einsum(*operands, optimize=optimize, **options)


_EINSUM = derivative(einsum, operands=_einsum_gradients)


@definition(np.einsum)
def _einsum(*operands: Any, out: None = None, **options: Any) -> Any:
    return _EINSUM(*operands, **options, needed=[node_of(a) is not None for a in operands])
