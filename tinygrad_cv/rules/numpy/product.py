"""The calculus table of products.

matmul, tensordot, multi_dot and einsum have rules; the others are written in them.

The gradient of a product in one factor is again a product, of g and the other factors, so every
order is there.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ...engine.operands import conjugate
from ...typing import Array, Shape
from ..table import as_array, definition, derivative
from .axes import at_least

Axes = int | tuple[int | Sequence[int], int | Sequence[int]]  # those that tensordot sums over

# ------------------------------------------------------------------------------------------- matmul


def _rows(x: Array) -> Array:
    """(..., m) -> (rows, m)."""
    *batch, m = np.shape(x)
    return np.reshape(x, (prod(batch), m))


def _matmul_left(g: Array, x1_shape: Shape, x2: Array) -> Array:
    """g x2^T; with a vector on either side an outer product, or one matrix and a vector."""
    if x2.ndim > 1:
        return g @ x2.mT if len(x1_shape) > 1 else _matvec(x2, g)
    return np.expand_dims(g, -1) * x2 if len(x1_shape) > 1 else g * x2


def _matmul_right(g: Array, x1: Array, x2_shape: Shape) -> Array:
    """x1^T g. One matrix for a whole batch gets one product, in place of a sum of many."""
    if x1.ndim == 1 and len(x2_shape) == 1:
        return g * x1
    if x1.ndim == 1:
        return np.expand_dims(x1, -1) * np.expand_dims(g, -2)
    if len(x2_shape) == 1:
        return np.ravel(g) @ _rows(x1)
    if x1.ndim > 2 and len(x2_shape) == 2:
        return _rows(x1).mT @ _rows(g)
    return x1.mT @ g


derivative(np.matmul, x1=_matmul_left, x2=_matmul_right, linear=["x1", "x2"])


@definition(np.linalg.matmul)
def matmul(x1: Array, x2: Array) -> Array:
    """np.matmul under the array API's name."""
    return np.matmul(x1, x2)


def _matvec(matrix: Array, vector: Array) -> Array:
    """(..., m, n), (..., n) -> (..., m)."""
    column = np.expand_dims(vector, -1)
    return np.squeeze(np.matmul(matrix, column), -1)


if hasattr(np, "matvec"):  # NumPy 2.2

    @definition(np.matvec, signature="x1, x2, /")
    def matvec(x1: Array, x2: Array) -> Array:
        """Each matrix times its vector."""
        return _matvec(x1, x2)

    @definition(np.vecmat, signature="x1, x2, /")
    def vecmat(x1: Array, x2: Array) -> Array:
        """The conjugate of each vector times its matrix."""
        row = np.expand_dims(conjugate(as_array(x1)), -2)
        return np.squeeze(np.matmul(row, x2), -2)


@definition(np.vecdot, signature="x1, x2, /, *, axis=-1, keepdims=False")
def vecdot(
    x1: Array,
    x2: Array,
    axis: int = -1,
    keepdims: bool = False,
) -> Array:
    """Scalar products along an axis of each operand, the first conjugated; the other axes
    broadcast."""
    x1 = np.moveaxis(conjugate(as_array(x1)), axis, -1)
    x2 = np.moveaxis(x2, axis, -1)
    rows = np.expand_dims(x1, -2)  # (..., 1, n)
    y = np.squeeze(_matvec(rows, x2), -1)
    return np.expand_dims(y, axis) if keepdims else y


@definition(np.linalg.vecdot)
def vecdot_of_linalg(x1: Array, x2: Array, axis: int = -1) -> Array:
    """np.vecdot under numpy.linalg's name."""
    return vecdot(x1, x2, axis)


@definition(np.vdot, signature="a, b, /")
def vdot(a: Array, b: Array) -> Array:
    """The scalar product of two arrays, flattened, the first conjugated."""
    return np.matmul(np.ravel(conjugate(as_array(a))), np.ravel(b))


@definition(np.dot, signature="a, b, out=None")
def dot(a: Array, b: Array) -> Array:
    """The last axis of a with the last but one of b; with a single number, the product."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(as_array(a), as_array(b))  # NumPy takes a number as an array
    if np.ndim(b) <= 2:
        return np.matmul(a, b)
    return np.tensordot(a, b, (-1, -2))


@definition(np.inner, signature="a, b, /")
def inner(a: Array, b: Array) -> Array:
    """The last axes of both; with a single number, the product."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(as_array(a), as_array(b))  # NumPy takes a number as an array
    return np.tensordot(a, b, (-1, -1))


@definition(np.outer)
def outer(a: Array, b: Array) -> Array:
    """Each element of a times each of b: (m, n)."""
    return np.expand_dims(np.ravel(a), -1) * np.ravel(b)


@definition(np.linalg.outer)
def outer_of_vectors(x1: Array, x2: Array) -> Array:
    """np.outer of vectors, and of nothing else."""
    return outer(x1, x2)


# ---------------------------------------------------------------------------------------- tensordot


def _contracted(
    axes: Axes,
    a_ndim: int,
    b_ndim: int,
) -> tuple[list[int], list[int]]:
    """The axes of a and of b that are summed, in pairs, from any form of `axes`."""
    if isinstance(axes, (int, np.integer)):
        return list(range(a_ndim - axes, a_ndim)), list(range(axes))
    of_a, of_b = axes
    return (
        [i % a_ndim for i in np.ravel(of_a).astype(int).tolist()],
        [i % b_ndim for i in np.ravel(of_b).astype(int).tolist()],
    )


def _tensordot_left(
    g: Array,
    a_shape: Shape,
    b: Array,
    axes: Axes,
) -> Array:
    """g with b summed over b's free axes."""
    of_a, of_b = _contracted(axes, len(a_shape), np.ndim(b))
    free_of_b = [i for i in range(np.ndim(b)) if i not in of_b]
    n = np.ndim(g) - len(free_of_b)  # g has the free axes of a, then those of b
    own = list(range(n, np.ndim(g)))
    h = np.tensordot(g, b, (own, free_of_b))
    return _in_order(h, len(a_shape), of_a, of_b)


def _tensordot_right(
    g: Array,
    a: Array,
    b_shape: Shape,
    axes: Axes,
) -> Array:
    """g with a summed over a's free axes."""
    of_a, of_b = _contracted(axes, np.ndim(a), len(b_shape))
    free_of_a = [i for i in range(np.ndim(a)) if i not in of_a]
    own = list(range(len(free_of_a)))
    h = np.tensordot(g, a, (own, free_of_a))
    return _in_order(h, len(b_shape), of_b, of_a)


def _in_order(
    h: Array,
    ndim: int,
    own: list[int],
    others: list[int],
) -> Array:
    """The axes of a gradient in the order of its factor.

    They come as the factor's free axes, then the summed ones as they lie in the other factor. `own`
    and `others` are the summed axes in pairs.
    """
    free = [i for i in range(ndim) if i not in own]
    summed = [own[others.index(j)] for j in sorted(others)]
    return np.transpose(h, np.argsort([*free, *summed]))


derivative(np.tensordot, a=_tensordot_left, b=_tensordot_right, linear="ab")


@definition(np.linalg.tensordot)
def tensordot(x1: Array, x2: Array, axes: Axes = 2) -> Array:
    """np.tensordot under numpy.linalg's name."""
    return np.tensordot(x1, x2, axes)


@definition(np.kron)
def kron(a: Array, b: Array) -> Array:
    """Each element of a times all of b: (m1, m2, ...), (n1, n2, ...) -> (m1 n1, m2 n2, ...)."""
    ndim = max(np.ndim(a), np.ndim(b))
    a = at_least(a, ndim)
    b = at_least(b, ndim)
    spread_a = np.expand_dims(a, tuple(range(1, 2 * ndim, 2)))  # (m1, 1, m2, 1, ...)
    spread_b = np.expand_dims(b, tuple(range(0, 2 * ndim, 2)))  # (1, n1, 1, n2, ...)
    shape = [m * n for m, n in zip(a.shape, b.shape, strict=True)]
    return np.reshape(spread_a * spread_b, shape)


@definition(np.cross)
def cross(
    a: Array,
    b: Array,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Array:
    """(a1 b2 - a2 b1, a2 b0 - a0 b2, a0 b1 - a1 b0) along an axis of length 3.

    Of vectors of length 2 the last element is 0, or, where both are, all but the result's last.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a = np.moveaxis(a, axisa, -1)
    b = np.moveaxis(b, axisb, -1)
    a0, a1 = a[..., 0], a[..., 1]
    b0, b1 = b[..., 0], b[..., 1]
    last = a0 * b1 - a1 * b0
    if a.shape[-1] == b.shape[-1] == 2:
        return last
    if b.shape[-1] == 2:
        a2 = a[..., 2]
        parts = [-(a2 * b1), a2 * b0, last]
    elif a.shape[-1] == 2:
        b2 = b[..., 2]
        parts = [a1 * b2, -(a0 * b2), last]
    else:
        a2, b2 = a[..., 2], b[..., 2]
        parts = [a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, last]
    return np.stack(parts, axis=axisc)


@definition(np.linalg.cross)
def cross_of_vectors(x1: Array, x2: Array, axis: int = -1) -> Array:
    """np.cross under numpy.linalg's name."""
    return cross(x1, x2, axis=axis)


def _multi_dot(g: Array, arrays: Sequence[Array]) -> Any:
    """For A_k: (A_1 ... A_k-1)^T g (A_k+1 ... A_n)^T, each in its own best order."""
    first, *inner, last = arrays
    first = np.atleast_2d(first)  # a vector is a row
    last = last if np.ndim(last) == 2 else np.expand_dims(last, -1)  # a vector is a column
    g = np.reshape(g, (first.shape[0], last.shape[1]))
    transposed = [np.matrix_transpose(a) for a in (first, *inner, last)]
    gradients = []
    for k, a in enumerate(arrays):
        left = transposed[:k][::-1]
        right = transposed[k + 1 :][::-1]
        product = np.linalg.multi_dot([*left, g, *right])
        gradients.append(np.reshape(product, np.shape(a)))
    return gradients if isinstance(arrays, (list, tuple)) else np.stack(gradients)


def _in_turn(product: Callable[..., Array], t: Sequence[Any], factors: Sequence[Any]) -> Array:
    """The tangent of a product: the sum of the products with one factor's tangent in its place."""
    terms = []
    for k, tangent in enumerate(t):
        if tangent is not None:
            terms.append(product([*factors[:k], tangent, *factors[k + 1 :]]))
    return sum(terms[1:], start=terms[0])


def _multi_dot_tangent(t: Any, arrays: Sequence[Array]) -> Array:
    return _in_turn(np.linalg.multi_dot, t, arrays)


derivative(np.linalg.multi_dot, arrays=_multi_dot).tangent(arrays=_multi_dot_tangent)

# ------------------------------------------------------------------------------------------- einsum

LETTERS = string.ascii_uppercase + string.ascii_lowercase  # in the order of an implied output


def _letters(sublist: Sequence[Any]) -> str:
    """A term of integers in letters."""
    return "".join("..." if i is Ellipsis else LETTERS[i] for i in sublist)


def _subscripts(operands: Sequence[Any]) -> tuple[str, list[int]]:
    """The subscripts of a call in letters, and where in `operands` the arrays stand."""
    if isinstance(operands[0], str):
        return operands[0].replace(" ", ""), list(range(1, len(operands)))
    places = list(range(0, len(operands) // 2 * 2, 2))
    text = ",".join(_letters(operands[i + 1]) for i in places)
    if len(operands) % 2:
        text += "->" + _letters(operands[-1])
    return text, places


def _implied_output(inputs: str) -> str:
    """The axes of an ellipsis, then the letters that occur once, in order."""
    letters = inputs.replace("...", "").replace(",", "")
    once = sorted(c for c in set(letters) if letters.count(c) == 1)
    return ("..." if "..." in inputs else "") + "".join(once)


def _explicit(operands: Sequence[Any]) -> tuple[list[str], str, list[int]]:
    """Any legal call in letters only: the operands' terms, the output's, and where the arrays
    stand.

    Sublists of integers become letters, an implied output is written out, the axes of an ellipsis
    get letters.
    """
    text, places = _subscripts(operands)
    inputs, arrow, output = text.partition("->")
    output = output if arrow else _implied_output(inputs)
    terms = inputs.split(",")
    dots = []  # how many axes each term's ellipsis stands for
    for place, term in zip(places, terms, strict=True):
        letters = term.replace("...", "")
        dots.append(np.ndim(operands[place]) - len(letters))
    unused = [c for c in LETTERS if c not in text]
    axes = "".join(unused[: max(dots)])
    in_letters = []
    for term, n in zip(terms, dots, strict=True):
        in_letters.append(term.replace("...", axes[len(axes) - n :]))
    return in_letters, output.replace("...", axes), places


def _einsum_gradient(
    g: Array,
    k: int,
    terms: list[str],
    output: str,
    arrays: list[Array],
    optimize: bool | str,
) -> Array:
    """For operand k: the einsum of g and the other operands into k's letters.

    A letter that only k has was summed: its axis is broadcast. A letter that k has twice, a
    diagonal, gets a fresh second name, tied to the first by an identity matrix. An axis of length 1
    that was broadcast is summed over.
    """
    names = [output, *terms[:k], *terms[k + 1 :]]
    factors = [g, *arrays[:k], *arrays[k + 1 :]]
    known = set("".join(names))
    fresh = iter([c for c in LETTERS if c not in known and c not in terms[k]])
    shape = np.shape(arrays[k])
    target = ""
    missing = []
    for axis, (letter, n) in enumerate(zip(terms[k], shape, strict=True)):
        if n == 1 or (letter not in known and terms[k].count(letter) == 1):
            missing.append(axis)
        elif letter in target:
            second = next(fresh)
            names.append(letter + second)
            factors.append(np.eye(n, dtype=g.dtype))
            target += second
        else:
            target += letter
    subscripts = ",".join(names) + "->" + target
    contracted = np.einsum(subscripts, *factors, optimize=optimize)
    kept = np.expand_dims(contracted, tuple(missing))
    return np.broadcast_to(kept, shape)


def _einsum_gradients(
    g: Array,
    operands: Sequence[Any],
    optimize: Any,
    needed: Sequence[bool],
) -> list[Array | None]:
    """Of each operand that needs one. A given path suits only the call it was made for."""
    terms, output, places = _explicit(operands)
    arrays = [operands[i] for i in places]
    optimize = optimize if isinstance(optimize, (bool, str)) else True
    gradients: list[Array | None] = [None] * len(operands)
    for k, i in enumerate(places):
        if needed[i]:
            gradients[i] = _einsum_gradient(g, k, terms, output, arrays, optimize)
    return gradients


def einsum(
    *operands: Any,
    optimize: Any = False,
    dtype: Any = None,
    order: Any = "K",
    casting: Any = "safe",
    needed: Sequence[bool] = (),
) -> Array:
    """np.einsum. `needed` says for which operands a gradient is computed."""
    return np.einsum(*operands, optimize=optimize, dtype=dtype, order=order, casting=casting)


def _einsum_tangent(t: Sequence[Any], operands: Sequence[Any], optimize: Any) -> Array:
    return _in_turn(lambda factors: np.einsum(*factors, optimize=optimize), t, operands)


einsum = derivative(einsum, operands=_einsum_gradients, inert=("dtype", "order", "casting"))
einsum.tangent(operands=_einsum_tangent)


@definition(
    np.einsum,
    signature="*operands, out=None, optimize=False, dtype=None, order='K', casting='safe'",
)
def einsum_of_any(
    operands: tuple[Any, ...],
    optimize: Any = False,
    dtype: Any = None,
    order: Any = "K",
    casting: Any = "safe",
) -> Array:
    """Einstein's summation, in letters or in lists of integers."""
    return einsum(
        *operands,
        optimize=optimize,
        dtype=dtype,
        order=order,
        casting=casting,
        needed=[getattr(operand, "requires_grad", False) for operand in operands],
    )
