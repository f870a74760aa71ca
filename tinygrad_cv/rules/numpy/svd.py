"""The calculus table of singular values and vectors; conventions as in `linalg.py`.

Sources: Townsend 2016, "Differentiating the singular value decomposition"; Wan & Zhang 2019,
"Automatic differentiation for complex valued SVD".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import linalg

from ...engine.operands import conjugate
from ...tensor import LimitRule, Tensor, place_of, unwrap
from ...typing import Array
from ..table import definition, derivative
from .equal_values import (
    Divisor,
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
    sums_of,
)
from .matrices import (
    as_column,
    as_row,
    diagonal_matrix,
    diagonal_of,
    hermitian_part,
    is_negligible,
    mh,
    refuse_where,
    sizes,
    skew_part,
)


class SingularRule(LimitRule):
    """A rule of singular values and vectors: of equal ones the derivative is a limit."""

    is_singular = staticmethod(lambda y: bool(np.any(equal_pairs(y[1])) or np.any(_is_zero(y[1]))))


def reduced_svd(a: Array) -> Any:
    """U, singular values, V^H, as many vectors as there are values."""
    return linalg.svd(a, full_matrices=False)


NO_VECTORS = "a singular value is 0: its vectors are not unique and have no derivative"


def _over(m: Array, divisor: Divisor, s: Array, zero: np.ndarray) -> Array:
    """m / d of the values, 0 where that is 0 / 0. Raises LinAlgError where only d is `zero`."""
    refuse_where(zero, m, NO_VECTORS)
    d = divisor(s)
    zero = zero | np.equal(unwrap(d), 0)
    return np.where(zero, 0, m / np.where(zero, 1, d))


def _is_zero(s: Array) -> np.ndarray:
    """Which singular values are 0 up to rounding."""
    largest = np.max(np.abs(unwrap(s)), axis=-1, keepdims=True, initial=0)
    return is_negligible(s, largest, np.shape(s)[-1])


def _over_sums(m: Array, s: Array) -> Array:
    """m_ij / (s_j + s_i). Raises LinAlgError where both are 0 and m is not."""
    return _over(m, sums_of, s, _both(_is_zero(s)))


def _both(zero: np.ndarray) -> np.ndarray:
    """(..., n) -> (..., n, n): which pairs of values are 0."""
    return np.logical_and(as_row(zero), as_column(zero))


def _out_of_span(vectors: Array, g: Array) -> Array:
    """(I - V V^H) g: what of the gradient of a tall matrix of vectors points out of their span."""
    return g - vectors @ (mh(vectors) @ g)


def _outside(vectors: Array, g: Array, s: Array) -> Array:
    """(I - V V^H) g / s. Raises LinAlgError where that meets a singular value of 0."""
    return _over(_out_of_span(vectors, g), as_row, s, np.expand_dims(_is_zero(s), -2))


def _svd(g: Sequence[Array], y: Sequence[Array], whole: Sequence[Array] = ()) -> Array:
    """U [herm(N / D) + skew(M / T) + diag(gs)] V^H (Townsend 2016, Wan & Zhang 2019).

    N, M = U^H gU +- V^H gV, D_ij = s_j - s_i, T_ij = s_j + s_i; herm and skew are the Hermitian and
    the skew-Hermitian part. For a rectangular matrix, what of gU and gV points out of the spans of
    U and V is added. For values that are equal or 0 the limit, if there is one.

    `whole` are the values of which y is a part, if U and V are square.
    """
    u, s, vh = map(conjugate, y)
    gu, gs, gvh = g
    v, gv = mh(vh), mh(gvh)
    check_phases("singular vectors", (u, gu), (v, gv))
    equal, zero = equal_pairs(s), _is_zero(s)
    recorded = isinstance(gu, Tensor) or isinstance(gv, Tensor)
    if not recorded and not (np.any(gu) or np.any(gv)):
        gs = np.where(unwrap(s) == 0, 0, gs)
    limit = None
    if recorded and (np.any(equal) or np.any(zero)):
        limit = Limit(y[1], no_vectors("singular values"))
    elif is_used(gu, equal) or is_used(gv, equal):
        if np.any(equal):
            raise linalg.LinAlgError(no_vectors("singular values"))
    else:
        check_equal(y[1], gs, "singular values")

    def divide(m: Array, divisor: Divisor, where: np.ndarray) -> Array:
        return limit.divide(m, divisor, where) if limit else _over(m, divisor, s, where)

    of_u, of_v = mh(u) @ gu, mh(v) @ gv
    columns = np.expand_dims(zero, -2)
    together = divide(off_diagonal(skew_part(of_u + of_v)), gaps_of, equal)
    apart = divide(skew_part(of_u - of_v), sums_of, _both(zero))
    result = u @ (together + apart + diagonal_matrix(gs)) @ vh
    if np.shape(u)[-2] > np.shape(u)[-1]:
        result = result + divide(_out_of_span(u, gu), as_row, columns) @ vh
    if np.shape(v)[-2] > np.shape(v)[-1]:
        result = result + u @ mh(divide(_out_of_span(v, gv), as_row, columns))
    if limit is None:
        return result
    limit.check(result, _turning_pairs((gu, gv), whole or y, equal, zero))
    return first_derivative(result)


def _turning_pairs(
    g: Sequence[Array],
    y: Sequence[Array],
    equal: np.ndarray,
    zero: np.ndarray,
) -> list[Vectors]:
    """Singular vectors and how they may turn: those of equal values as pairs, those of values of 0
    on their own and out of their span."""
    u, _, vh = map(unwrap, y)
    found = []
    for i, all_vectors in enumerate((u, mh(vh))):
        vectors = all_vectors[..., : equal.shape[-1]]
        beyond = all_vectors[..., equal.shape[-1] :]
        alone = random_turning(vectors, equal, 1 + i)
        turned = np.where(as_row(zero), alone, random_turning(vectors, equal, 0))
        out = _out_of_span(vectors, normal_like(vectors.shape, vectors, 3 + i))
        turned = turned + np.where(as_row(zero), out, 0)
        turned = np.concatenate([turned, -vectors @ (mh(turned) @ beyond)], axis=-1)
        place = place_of(y[2 * i])
        tangent = np.conj(turned).mT if i else turned
        found.append(Vectors(place, np.conj(vectors), g[i], tangent))
    return found


def _svd_tangent(t: Array, y: Sequence[Array]) -> list[Array]:
    """For E = U^H A' V: s' = diag(E), U' = U (X + Y), V' = V (X - Y), X = herm(E) / D and
    Y = skew(E) / T, with what points out of the spans of U and V."""
    u, s, vh = y
    refuse_equal(equal_pairs(s), t, no_vectors("singular values"))
    v = mh(vh)
    e = mh(u) @ t @ v
    together = over_gaps(hermitian_part(e), s, equal_pairs(s))
    apart = _over_sums(skew_part(e), s)
    tu = u @ (together + apart)
    tv = v @ (together - apart)
    if np.shape(u)[-2] > np.shape(u)[-1]:
        tu = tu + _outside(u, t @ v, s)
    if np.shape(v)[-2] > np.shape(v)[-1]:
        tv = tv + _outside(v, mh(t) @ u, s)
    return [tu, np.real(diagonal_of(e)), mh(tv)]


reduced_svd = derivative(reduced_svd, a=lambda g, y: _svd(g, y), kind=SingularRule).tangent(
    a=_svd_tangent
)


def full_svd(a: Array) -> Any:
    """U, singular values, V^H of a matrix that is not square, with vectors N that complete U or V.

    N is unique up to a unitary factor on its right.
    """
    return linalg.svd(a)


def _leading(y: Sequence[Array]) -> list[Array]:
    """As many vectors as there are singular values."""
    u, s, vh = y
    k = np.shape(s)[-1]
    return [u[..., :k], s, vh[..., :k, :]]


def through_complement(vectors: Array, g: Array, k: int) -> Array:
    """The gradient of the first k columns, V, to which that of the others, N, adds -N gN^H V.

    N follows V: N' = -V V'^H N. Raises LinAlgError if the loss changes where N turns, which is if
    N^H gN is not Hermitian; what rounding leaves of it is as in `check_phases`.
    """
    v, n = vectors[..., :k], vectors[..., k:]
    gv, gn = g[..., :k], g[..., k:]
    if not (isinstance(g, Tensor) or np.any(g)):  # nobody used the vectors
        return gv
    products = unwrap(mh(n)) @ unwrap(gn)
    eps = np.finfo(products.dtype).eps
    size = np.abs(mh(unwrap(n))) @ np.abs(unwrap(gn))
    if np.any(np.abs(skew_part(products)) > np.sqrt(eps) * np.max(size, initial=0) + eps):
        raise linalg.LinAlgError(
            "the loss depends on vectors that complete a basis, singular vectors or a Q, which are "
            "arbitrary, so that it has no gradient; use full_matrices=False, mode='reduced'"
        )
    return gv - n @ (mh(gn) @ v)


def full_svd_gradient(g: Sequence[Array], y: Sequence[Array]) -> Array:
    """That of the reduced SVD, with what comes through the vectors that complete U or V."""
    u, s, vh = y
    gu, gs, gvh = g
    k = np.shape(s)[-1]
    gu = through_complement(conjugate(u), gu, k)
    gv = through_complement(mh(conjugate(vh)), mh(gvh), k)
    return _svd([gu, gs, mh(gv)], _leading(y), y)


def full_svd_tangent(t: Array, y: Sequence[Array]) -> list[Array]:
    """That of the reduced SVD, and N' = -V V'^H N."""
    u, s, vh = _leading(y)
    tu, ts, tvh = _svd_tangent(t, [u, s, vh])
    k = np.shape(s)[-1]
    tn = -u @ (mh(tu) @ y[0][..., k:])
    tnh = -(y[2][..., k:, :] @ mh(tvh)) @ vh
    return [np.concatenate([tu, tn], axis=-1), ts, np.concatenate([tvh, tnh], axis=-2)]


full_svd = derivative(full_svd, a=full_svd_gradient, kind=SingularRule).tangent(a=full_svd_tangent)


def _hermitian_svd(a: Array) -> Any:
    """The SVD of a Hermitian matrix from its eigenvalues: s = |w|, V = U sign(w).

    (As in NumPy, where -0.0 is negative.)
    """
    result: Any = type(linalg.svd(np.eye(1)))  # NumPy's named tuple, which has no public name
    w, u = linalg.eigh(a)
    order = np.argsort(np.abs(unwrap(w)), axis=-1)[..., ::-1]
    w = np.take_along_axis(w, order, -1)
    columns = np.broadcast_to(as_row(order), np.shape(u))
    u = np.take_along_axis(u, columns, -1)
    sign = np.copysign(1.0, unwrap(w))
    v = u * as_row(sign.astype(u.dtype))
    return result(u, np.abs(w), mh(v))


def with_equal_weights(s: Array) -> Array:
    """Singular values themselves."""
    return np.array(s)


with_equal_weights = derivative(with_equal_weights, s=lambda g: g, kind=ValuesRule).tangent(
    s=lambda t: t
)


@definition(linalg.svd)
def svd(
    a: Array,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
) -> Any:
    """U, singular values, V^H, or the values alone."""
    rows, columns = sizes(a)
    if not compute_uv:
        if not hermitian:
            return linalg.svdvals(a)
        return with_equal_weights(np.flip(np.sort(np.abs(linalg.eigvalsh(a)), axis=-1), -1))
    if full_matrices and rows != columns:
        return full_svd(a)
    return _hermitian_svd(a) if hermitian else reduced_svd(a)


def with_singular_values(x: Array, values: Array) -> Array:
    """U diag(values) V^H: a matrix with other singular values in the place of its own."""
    u, _, vh = linalg.svd(x, full_matrices=False)
    return (u * as_row(values)) @ vh


def _turned_singular_vectors(t: Array, x: Array, values: Array) -> Array:
    """How U diag(g) V^H changes with x, along t; g are the values.

    U [herm(E) * (g_j - g_i) / (s_j - s_i) + skew(E) * (g_j + g_i) / (s_j + s_i)] V^H with
    E = U^H t V, and what points out of the spans of U and V.

    For equal singular values the first quotient is a derivative of the function which gave the
    values, and unknown. Where singular values are 0 and have gradient 0, the quotients are 0.
    """
    u, s, vh = linalg.svd(x, full_matrices=False)
    v = mh(vh)
    e = mh(u) @ t @ v
    zero = is_negligible(s, np.max(unwrap(s), axis=-1, keepdims=True, initial=0), s.shape[-1])
    flat = zero & np.equal(unwrap(values), 0)
    flat_pair = np.logical_and(as_row(flat), as_column(flat))
    differences = as_row(values) - as_column(values)
    sums = as_row(values) + as_column(values)
    together = np.where(flat_pair, 0, hermitian_part(e))
    apart = np.where(flat_pair, 0, skew_part(e))
    middle = over_unequal_gaps(together, s, "singular values") * differences
    result = u @ (middle + _over_sums(apart, s) * sums) @ vh
    if np.shape(u)[-2] > np.shape(u)[-1]:
        tu = _outside(u, np.where(as_row(flat), 0, t @ v), s)
        result = result + (tu * as_row(values)) @ vh
    if np.shape(v)[-2] > np.shape(v)[-1]:
        tv = _outside(v, np.where(as_row(flat), 0, mh(t) @ u), s)
        result = result + (u * as_row(values)) @ mh(tv)
    return result


def _slopes_of_singular_values(t: Array, x: Array) -> Array:
    """Re diag(U^H t V). Equal values do no harm; values of 0, at the kink of |.|, have slope 0."""
    u, s, vh = linalg.svd(x, full_matrices=False)
    slopes = np.sum(np.real(conjugate(u) * (t @ mh(vh))), axis=-2)
    return np.where(unwrap(s) == 0, 0, slopes)


with_singular_values = derivative(  # again one formula for both directions
    with_singular_values,
    x=lambda g, x, values: conjugate(_turned_singular_vectors(conjugate(g), x, values)),
    values=lambda g, x: _slopes_of_singular_values(conjugate(g), x),
).tangent(
    x=lambda t, x, values: _turned_singular_vectors(t, x, values),
    values=lambda t, x: with_singular_values(x, t),
)


def _svdvals(g: Array, x: Array, y: Array) -> Array:
    """U diag(g) V^H, but values of 0, at the kink of |.|, have gradient 0."""
    g = np.where(unwrap(y) == 0, 0, g)
    return conjugate(with_singular_values(x, g))


derivative(linalg.svdvals, x=_svdvals, kind=ValuesRule).tangent(
    x=lambda t, x: _slopes_of_singular_values(t, x)
)
