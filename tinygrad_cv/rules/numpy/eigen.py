"""The calculus table of eigenvalues and eigenvectors; conventions as in `linalg.py`.

Sources: Giles 2008, "Collected matrix derivative results"; Boeddeker et al. 2017, "On the
computation of complex-valued gradients", for eig.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy import linalg

from ...engine.operands import conjugate
from ...tensor import LimitRule, Tensor, place_of, unwrap
from ...typing import Array
from ..table import definition, derivative
from .equal_values import (
    Limit,
    ValuesRule,
    Vectors,
    check_equal,
    check_phases,
    equal_pairs,
    first_derivative,
    gaps_of,
    is_used,
    no_vectors,
    normal_like,
    off_diagonal,
    over_gaps,
    over_unequal_gaps,
    random_turning,
    refuse_equal,
)
from .matrices import (
    as_column,
    as_number,
    as_row,
    diagonal_matrix,
    diagonal_of,
    hermitian_part,
    is_negligible,
    largest_of,
    mh,
    skew_part,
)

Triangle: TypeAlias = Literal["L", "U", "l", "u"]  # the one of a Hermitian matrix that is read


def eigh_gradient(g: Sequence[Array], y: Sequence[Array]) -> Array:
    """The Hermitian part of V (diag(gw) + F * (V^H gV)) V^H with F_ij = 1 / (w_j - w_i)
    (Giles 2008). For equal eigenvalues the limit, if there is one."""
    w, v = map(conjugate, y)
    gw, gv = g
    check_phases("eigenvectors", (v, gv))
    m = off_diagonal(skew_part(mh(v) @ gv))
    equal = equal_pairs(w)
    if not (np.any(equal) and is_used(gv, equal)):
        check_equal(y[0], gw, "eigenvalues")
        return hermitian_part(v @ (diagonal_matrix(gw) + over_gaps(m, w, equal)) @ mh(v))
    if not isinstance(gv, Tensor):
        raise linalg.LinAlgError(no_vectors("eigenvalues"))
    limit = Limit(y[0], no_vectors("eigenvalues"))
    turning = limit.divide(m, gaps_of, equal)
    result = hermitian_part(v @ (diagonal_matrix(gw) + turning) @ mh(v))
    vectors = unwrap(y[1])
    turned = random_turning(vectors, equal, 0)
    limit.check(result, [Vectors(place_of(y[1]), np.conj(vectors), gv, turned)])
    return first_derivative(result)


def eigh_tangent(t: Array, y: Sequence[Array]) -> list[Array]:
    """For E = V^H A' V: w' = diag(E) and V' = V (F * E)."""
    w, v = y
    refuse_equal(equal_pairs(w), t, no_vectors("eigenvalues"))
    e = mh(v) @ hermitian_part(t) @ v
    turning = over_gaps(e, w, equal_pairs(w))
    return [np.real(diagonal_of(e)), v @ turning]


class EigenRule(LimitRule):
    """A rule of eigenvalues and eigenvectors: of equal ones the derivative is a limit."""

    is_singular = staticmethod(lambda y: bool(np.any(equal_pairs(y[0]))))


derivative(linalg.eigh, a=eigh_gradient, inert=("UPLO",), kind=EigenRule).tangent(a=eigh_tangent)


def with_eigenvalues(a: Array, values: Array, UPLO: Triangle = "L") -> Array:
    """V diag(values) V^H: a Hermitian matrix with other eigenvalues in the place of its own."""
    v = linalg.eigh(a, UPLO)[1]
    return (v * as_row(values)) @ mh(v)


def _turned_eigenvectors(
    t: Array,
    a: Array,
    values: Array,
    UPLO: Triangle,
) -> Array:
    """V (E * (x_j - x_i) / (w_j - w_i)) V^H for values x and E = V^H t V: it changes with a.

    For equal eigenvalues that is a derivative of the function which gave the values, and unknown.
    """
    w, v = linalg.eigh(a, UPLO)
    e = mh(v) @ hermitian_part(t) @ v
    middle = over_unequal_gaps(e, w, "eigenvalues") * gaps_of(values)
    return hermitian_part(v @ middle @ mh(v))


def _slopes_of_eigenvalues(t: Array, a: Array, UPLO: Triangle) -> Array:
    """diag(V^H t V); equal eigenvalues do no harm."""
    v = linalg.eigh(a, UPLO)[1]
    return np.sum(np.real(conjugate(v) * (t @ v)), axis=-2)


with_eigenvalues = derivative(  # a second derivative is symmetric: one formula, both directions
    with_eigenvalues,
    a=lambda g, a, values, UPLO: conjugate(
        _turned_eigenvectors(conjugate(g), a, values, UPLO),
    ),
    values=lambda g, a, UPLO: _slopes_of_eigenvalues(conjugate(g), a, UPLO),
).tangent(
    a=lambda t, a, values, UPLO: _turned_eigenvectors(t, a, values, UPLO),
    values=lambda t, a, UPLO: with_eigenvalues(a, t, UPLO),
)


def _eigvalsh(g: Array, a: Array, UPLO: Triangle) -> Array:
    """V diag(g) V^H."""
    return conjugate(with_eigenvalues(a, g, UPLO))


derivative(linalg.eigvalsh, a=_eigvalsh, kind=ValuesRule).tangent(
    a=lambda t, a, UPLO: _slopes_of_eigenvalues(t, a, UPLO)
)


def _inverse_and_equal(a: Array, w: Array, v: Array) -> tuple[Array, np.ndarray]:
    """V^-1, and which eigenvalues are equal for all one can know.

    Rounding of A moves eigenvalue i by eps |A| times its condition number, the size of row i of
    V^-1. Two that meet are equal, or, if the condition is bad, a defective matrix has one
    eigenvector for both. Raises LinAlgError if V is singular.
    """
    n = np.shape(w)[-1]
    try:
        inverse = linalg.inv(v)
    except linalg.LinAlgError:
        raise linalg.LinAlgError(DEFECTIVE) from None
    condition = np.max(np.abs(unwrap(inverse)), axis=-1, initial=0)
    if not np.all(condition * np.finfo(condition.dtype).eps < 1):
        raise linalg.LinAlgError(DEFECTIVE)
    worse = np.maximum(as_row(condition), as_column(condition))
    gaps = as_row(unwrap(w)) - as_column(unwrap(w))
    equal = is_negligible(gaps, largest_of(a) * worse, 10 * n * n)
    return inverse, equal & ~np.eye(n, dtype=bool)


DEFECTIVE = (
    "eigenvalues of a general matrix are equal, so that they and their vectors have no derivative "
    "(or, if the matrix is defective, an infinite one); of a Hermitian matrix take np.linalg.eigh, "
    "else make them distinct"
)


def _eig(g: Sequence[Array], a: Array, y: Sequence[Array]) -> Array:
    """V^-H (diag(gw) + conj F * (V^H P)) V^H with F_ij = 1 / (w_j - w_i) (Boeddeker et al. 2017).

    P, with columns g_k - v_k v_k^H g_k, is what remains of gV if the eigenvectors keep the length 1
    and their phase. For equal eigenvalues the limit, if there is one.
    """
    w, v = map(conjugate, y)
    gw, gv = g
    check_phases("eigenvectors", (v, gv))
    inverse, equal = _inverse_and_equal(conjugate(a), w, v)
    m = off_diagonal(mh(v) @ _across(gv, v))
    limit = None
    if not (np.any(equal) and is_used(gv, equal)):
        if np.any(equal & _differ(unwrap(gw))):
            raise linalg.LinAlgError(DEFECTIVE)
    elif isinstance(gv, Tensor) and _is_well_conditioned(inverse):
        limit = Limit(y[0], DEFECTIVE)
    else:
        raise linalg.LinAlgError(DEFECTIVE)
    turning = limit.divide(m, gaps_of, equal) if limit else over_gaps(m, y[0], equal)
    result = mh(inverse) @ (diagonal_matrix(gw) + turning) @ mh(v)
    if limit is None:
        return result
    vectors = unwrap(y[1])
    mixed = vectors @ np.where(equal, normal_like(equal.shape, vectors, 0), 0)
    turned = _across(mixed, vectors) + random_turning(vectors, np.zeros_like(equal), 1)
    limit.check(result, [Vectors(place_of(y[1]), np.conj(vectors), gv, turned)])
    return first_derivative(result)


def _is_well_conditioned(inverse: Array) -> bool:
    """Whether eigenvectors are far from those of a defective matrix; this is their inverse."""
    size = largest_of(inverse)
    return bool(np.all(size * np.sqrt(np.finfo(size.dtype).eps) < 1))


class GeneralEigenRule(LimitRule):
    """A rule of eigenvalues and eigenvectors of a general matrix; close ones may count as equal."""

    @staticmethod
    def is_singular(y: Sequence[Array]) -> bool:
        gaps = np.abs(gaps_of(unwrap(y[0])))
        close = gaps <= np.sqrt(np.finfo(gaps.dtype).eps) * largest_of(as_row(y[0]))
        return bool(np.any(close & ~np.eye(gaps.shape[-1], dtype=bool)))


def _differ(g: np.ndarray) -> np.ndarray:
    """Which pairs of gradients of equal eigenvalues differ by more than what made these differ."""
    allowed = np.sqrt(np.finfo(g.dtype).eps) * np.max(np.abs(g), axis=-1, initial=0)
    return np.abs(as_row(g) - as_column(g)) > as_number(allowed)


def _across(x: Array, v: Array) -> Array:
    """What of each column of x is orthogonal to that of v, which has length 1."""
    return x - v * np.sum(conjugate(v) * x, axis=-2, keepdims=True)


def _eig_tangent(t: Array, a: Array, y: Sequence[Array]) -> list[Array]:
    """For E = V^-1 A' V: w' = diag(E), and V' = V (F * E) without what lies along v_k."""
    w, v = y
    inverse, equal = _inverse_and_equal(a, w, v)
    refuse_equal(equal, t, DEFECTIVE)
    e = inverse @ t @ v
    turning = over_gaps(e, w, equal)
    return [diagonal_of(e), _across(v @ turning, v)]


derivative(linalg.eig, a=_eig, kind=GeneralEigenRule).tangent(a=_eig_tangent)


@definition(linalg.eigvals)
def eigvals(a: Array) -> Array:
    """The eigenvalues as np.linalg.eig orders them (those of large matrices np.linalg.eigvals may
    order in another way)."""
    return linalg.eig(a)[0]
