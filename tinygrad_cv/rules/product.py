"""The calculus table of products: matmul and einsum have rules, the others are written in terms of them."""

from __future__ import annotations

import string
from functools import reduce
from typing import Any

import numpy as np

from ..tensor import derivative
from .table import definition


# matmul, with vectors on either side.
def _left(g: Any, x1_shape: Any, x2: Any) -> Any:
    if x2.ndim == 1:
        return np.expand_dims(g, -1) * x2
    return g @ x2.mT if len(x1_shape) > 1 else np.sum(np.expand_dims(g, -2) * x2, axis=-1)


def _right(g: Any, x1: Any, x2_shape: Any) -> Any:
    if x1.ndim == 1:
        return np.expand_dims(x1, -1) * np.expand_dims(g, -2) if len(x2_shape) > 1 else g * x1
    return x1.mT @ g if len(x2_shape) > 1 else np.sum(x1 * np.expand_dims(g, -1), axis=tuple(range(x1.ndim - 1)))


derivative(np.matmul, x1=_left, x2=_right)


@definition(np.dot)
def dot(a: Any, b: Any, out: None = None) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    return np.matmul(a, b) if np.ndim(b) <= 2 else np.tensordot(a, b, (-1, -2))


@definition(np.linalg.matmul)
def matmul(x1: Any, x2: Any, /) -> Any:
    return np.matmul(x1, x2)


@definition(np.inner)
def inner(a: Any, b: Any) -> Any:
    return np.multiply(a, b) if np.ndim(a) == 0 or np.ndim(b) == 0 else np.tensordot(a, b, (-1, -1))


@definition(np.outer, np.linalg.outer)
def outer(a: Any, b: Any, out: None = None) -> Any:
    return np.expand_dims(np.ravel(a), -1) * np.ravel(b)


@definition(np.vdot)
def vdot(a: Any, b: Any) -> Any:
    return np.sum(np.ravel(a) * np.ravel(b))


@definition(np.vecdot, np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1, keepdims: bool = False) -> Any:
    return np.sum(x1 * x2, axis=axis, keepdims=keepdims)


if hasattr(np, "matvec"):

    @definition(np.matvec)
    def matvec(x1: Any, x2: Any) -> Any:
        return np.squeeze(x1 @ np.expand_dims(x2, -1), -1)

    @definition(np.vecmat)
    def vecmat(x1: Any, x2: Any) -> Any:
        return np.squeeze(np.expand_dims(x1, -2) @ x2, -2)


@definition(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """One matrix product: the axes to sum last in a and first in b."""
    if isinstance(axes, (int, np.integer)):
        axes = (range(np.ndim(a) - axes, np.ndim(a)), range(axes))
    of_a, of_b = ([int(i) % np.ndim(x) for i in np.atleast_1d(list(np.ravel(ax)))] for x, ax in zip((a, b), axes, strict=True))
    rest_a, rest_b = ([i for i in range(np.ndim(x)) if i not in used] for x, used in ((a, of_a), (b, of_b)))
    n = int(np.prod([np.shape(a)[i] for i in of_a], dtype=int))
    left = np.reshape(np.transpose(a, rest_a + of_a), (int(np.prod([np.shape(a)[i] for i in rest_a], dtype=int)), n))
    right = np.reshape(np.transpose(b, of_b + rest_b), (n, int(np.prod([np.shape(b)[i] for i in rest_b], dtype=int))))
    return np.reshape(left @ right, [np.shape(a)[i] for i in rest_a] + [np.shape(b)[i] for i in rest_b])


@definition(np.kron)
def kron(a: Any, b: Any) -> Any:
    ndim = max(np.ndim(a), np.ndim(b))
    a, b = (np.reshape(x, (1,) * (ndim - np.ndim(x)) + np.shape(x)) for x in (a, b))
    spread = np.reshape(a, [n for m in np.shape(a) for n in (m, 1)]) * np.reshape(b, [n for m in np.shape(b) for n in (1, m)])
    return np.reshape(spread, [m * n for m, n in zip(np.shape(a), np.shape(b), strict=True)])


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """(a1 b2 - a2 b1, a2 b0 - a0 b2, a0 b1 - a1 b0) along an axis of length 3."""
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if np.shape(a)[-1] != 3 or np.shape(b)[-1] != 3:
        raise ValueError(f"np.cross on tensors needs vectors of length 3, not {np.shape(a)[-1]} and {np.shape(b)[-1]}")
    parts = [a[..., i] * b[..., j] - a[..., j] * b[..., i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.stack(parts, axis=axisc)


definition(np.cross)(cross)
definition(np.linalg.cross)(lambda x1, x2, /, *, axis=-1: cross(x1, x2, axis=axis))


@definition(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: None = None) -> Any:
    return reduce(np.dot, arrays)


# einsum: any legal call is first made explicit, letters only; then the gradient of each operand is an einsum too.
def contract(subscripts: str, *operands: Any, optimize: Any = False) -> Any:
    return np.einsum(subscripts, *operands, optimize=optimize)


def _contract_gradients(g: Any, subscripts: str, operands: Any, optimize: Any) -> list[Any]:
    """For operand k: einsum of g and the other operands into k's letters. A letter that only k has is spread by ones;
    one that k has twice gets a fresh second letter, tied to the first by an identity matrix."""
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        for letter, n in zip(term, np.shape(operand), strict=True):
            sizes[letter] = max(n, sizes.get(letter, n)) if n != 1 else sizes.get(letter, 1)
    fresh = [c for c in string.ascii_letters if c not in sizes]
    gradients = []
    for k, term in enumerate(terms):
        names, factors, target = [output], [g], ""
        for j, other in enumerate(terms):
            if j != k:
                names.append(other)
                factors.append(operands[j])
        known = set("".join(names))
        spare = iter(fresh)
        for letter in term:
            new = next(spare) if letter in target else letter
            if new != letter:
                names.append(letter + new)
                factors.append(np.eye(sizes[letter], dtype=g.dtype))
            elif letter not in known:
                names.append(letter)
                factors.append(np.ones(sizes[letter], g.dtype))
            target += new
        gradients.append(np.einsum(f"{','.join(names)}->{target}", *factors, optimize=optimize))
    return gradients


CONTRACT = derivative(contract, operands=_contract_gradients)


@definition(np.einsum)
def einsum(*operands: Any, out: None = None, optimize: Any = False, **options: Any) -> Any:
    subscripts, arrays = _explicit(operands)
    return CONTRACT((subscripts, *arrays), {"optimize": optimize})


def _explicit(operands: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """Letters for sublists, an output where it is implied, letters for the axes of an ellipsis."""
    if isinstance(operands[0], str):
        text, arrays = operands[0].replace(" ", ""), list(operands[1:])
    else:
        letter = lambda sub: "".join("..." if i is Ellipsis else string.ascii_letters[i] for i in sub)
        arrays = list(operands[: len(operands) // 2 * 2 : 2])
        text = ",".join(letter(sub) for sub in operands[1 : len(arrays) * 2 : 2])
        text += "->" + letter(operands[-1]) if len(operands) % 2 else ""
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(arrays):
        raise ValueError(f"np.einsum: {text!r} names {len(terms)} operands, and {len(arrays)} were given")
    if not arrow:
        letters = inputs.replace("...", "").replace(",", "")
        output = ("..." if "..." in inputs else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    rest = [c for c in string.ascii_letters if c not in text]
    dots = [np.ndim(a) - len(t.replace("...", "")) if "..." in t else 0 for t, a in zip(terms, arrays, strict=True)]
    axes = "".join(rest[: max(dots)])
    expand = lambda term, n: term.replace("...", axes[len(axes) - n :])
    return ",".join(map(expand, terms, dots)) + "->" + expand(output, len(axes)), arrays
