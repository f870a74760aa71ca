"""The calculus table of numpy.linalg, with batch dimensions, of real and complex matrices.

Eigenvalues and singular values, with their vectors, stand in `eigen.py` and `svd.py`.

Conventions. Functions of a Hermitian matrix (cholesky, eigh, eigvalsh) are differentiated along
Hermitian changes: their gradient is Hermitian, whichever triangle NumPy reads. A singular value of
0 has gradient 0, if the values alone are used. Where a derivative does not exist, LinAlgError is
raised; nothing returns NaN.

Complex matrices. A holomorphic function (inv, solve, det, the eigenvalues of eig) has the formula
of the real one, with transposes where the textbook has conjugate transposes, since the conjugate of
the gradient is carried on the way back. For the others a formula F(G; U, S, V) of the papers, in
which X^H is the conjugate transpose, takes the conjugates of the values instead: what is carried is
conj F(G; U, S, V) = F(conj G; conj U, S, conj V).

Sources: Giles 2008, "Collected matrix derivative results"; Seeger et al. 2017,
"Auto-differentiating linear algebra"; Murray 2016, "Differentiation of the Cholesky decomposition";
Golub & Pereyra 1973 for the pseudo-inverse.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy import linalg

from ...engine.operands import conjugate
from ...tensor import Tensor, unwrap
from ...typing import Array, DTypeLike, Shape
from ..table import as_array, definition, derivative, without_gradient
from .matrices import (
    as_column,
    as_number,
    as_row,
    diagonal_matrix,
    diagonal_of,
    hermitian_part,
    identity,
    is_negligible,
    largest_of,
    mh,
    sizes,
)
from .svd import through_complement

# --------------------------------------------------------------------------- inverses, determinants

derivative(linalg.inv, a=lambda g, y: -(y.mT @ g @ y.mT)).tangent(a=lambda t, y: -(y @ t @ y))


def _solve_adjoint(g: Array, a: Array, b_shape: Shape) -> Array:
    """A^-T g; by NumPy 2's rule a b of one axis is a vector, any other a stack of matrices."""
    transposed = np.matrix_transpose(a)
    if len(b_shape) > 1:
        return linalg.solve(transposed, g)
    return np.squeeze(linalg.solve(transposed, as_column(g)), -1)


def _solve_matrix(
    g: Array,
    a: Array,
    y: Array,
    b_shape: Shape,
) -> Array:
    """-(A^-T g) x^T."""
    h = _solve_adjoint(g, a, b_shape)
    if len(b_shape) == 1:
        return -(as_column(h) * as_row(y))
    return -(h @ y.mT)


def _solve_tangent(
    t: Array,
    a: Array,
    y: Array,
    b_shape: Shape,
) -> Array:
    """-A^-1 A' x."""
    if len(b_shape) == 1:
        return -np.squeeze(linalg.solve(a, t @ as_column(y)), -1)
    return -linalg.solve(a, t @ y)


derivative(linalg.solve, a=_solve_matrix, b=_solve_adjoint, linear="b").tangent(a=_solve_tangent)


def _svd_with_sign(a: Array) -> tuple[Array, Array, Array, Array]:
    """conj U, singular values, conj V^H, and det(U V^H), of size 1."""
    u, s, vh = linalg.svd(a)
    sign = linalg.det(u) * linalg.det(vh)
    return conjugate(u), s, conjugate(vh), as_number(sign)


def _regular(a: Array) -> tuple[Array, Array] | None:
    """det(A) and A^-T where they lose no more than a third of the digits; else None.

    They are what is fast: the SVD takes ten times as long as both.
    """
    try:
        with np.errstate(over="ignore"):
            det, inverse = linalg.det(a), linalg.inv(a)
    except linalg.LinAlgError:
        return None
    condition = np.shape(a)[-1] * largest_of(a) * largest_of(inverse)
    good = condition < np.finfo(condition.dtype).eps ** (-1 / 3)
    if np.all(good & np.isfinite(as_number(det)) & (as_number(det) != 0)):
        return as_number(det), inverse.mT
    return None


def cofactor(a: Array) -> Array:
    """The matrix of cofactors, det(A) A^-T: the derivative of the determinant.

    Where A may be singular through the SVD: det(U V^H) conj(U) D conj(V^H), where entry i of the
    diagonal matrix D is the product of all singular values but s_i.
    """
    if regular := _regular(a):
        det, inverse = regular
        return det * inverse
    u, s, vh, sign = _svd_with_sign(a)
    own = np.eye(s.shape[-1], dtype=bool)
    others = np.where(own, 1, as_row(s))  # (..., n, n)
    middle = np.prod(others, axis=-1)  # (..., n)
    return sign * ((u * as_row(middle)) @ vh)


def _cofactor_gradient(g: Array, a: Array) -> Array:
    """det(A) (tr(A^-1 g) A^-T - A^-T g^T A^-T).

    Where A may be singular through the SVD: for E = U^H g V and P_ij the product of all singular
    values but s_i and s_j, P_ii = 0, it is det(U V^H) conj(U) (diag(P diag E) - P * E^T) conj(V^H).
    A second derivative is symmetric, so that this is the tangent too.
    """
    recorded = isinstance(a, Tensor)
    if regular := (as_number(linalg.det(a)), linalg.inv(a).mT) if recorded else _regular(a):
        det, inverse = regular
        trace = np.sum(g * inverse, axis=(-2, -1), keepdims=True)
        return det * (trace * inverse - inverse @ g.mT @ inverse)
    u, s, vh, sign = _svd_with_sign(a)
    eye = np.eye(s.shape[-1], dtype=bool)
    pair = eye[:, None, :] | eye[None, :, :]
    values = np.where(pair, 1, s[..., None, None, :])
    products = np.prod(values, axis=-1) * ~eye  # (..., n, n)
    e = u.mT @ g @ vh.mT
    middle = (products @ as_column(diagonal_of(e))) * eye - products * e.mT
    return sign * (u @ middle @ vh)


cofactor = derivative(cofactor, a=_cofactor_gradient)
cofactor.tangent(a=lambda t, a: _cofactor_gradient(t, a))


def _det_tangent(t: Array, a: Array) -> Array:
    """<cof A, A'>."""
    return np.sum(cofactor(a) * t, axis=(-2, -1))


derivative(linalg.det, a=lambda g, a: as_number(g) * cofactor(a)).tangent(a=_det_tangent)


def _slogdet(g: Sequence[Array], a: Array, y: Sequence[Array]) -> Array:
    """(g_log + i Im(g_sign sign)) A^-T; a real sign is constant, and there the second term is 0."""
    (gsign, glog), sign = g, y[0]
    if sign.dtype.kind == "c":
        glog = glog + 1j * np.imag(gsign * sign)
    return as_number(glog) * linalg.inv(a).mT


def _slogdet_tangent(t: Array, a: Array, y: Sequence[Array]) -> list[Array | None]:
    """For z = tr(A^-1 A'), the change of log det A: sign i Im z, and Re z."""
    z = np.sum(linalg.inv(a).mT * t, axis=(-2, -1))
    turned = y[0] * (1j * np.imag(z)) if z.dtype.kind == "c" else None
    return [turned, np.real(z)]


derivative(linalg.slogdet, a=_slogdet).tangent(a=_slogdet_tangent)


@definition(linalg.matrix_power)
def matrix_power(a: Array, n: int) -> Array:
    """Squares and products of squares; of the inverse for negative n."""
    n = operator.index(n)
    if n == 0:
        return np.where(True, identity(a.shape[-1], a), a)
    square = linalg.inv(a) if n < 0 else a
    n = abs(n)
    while n % 2 == 0:
        square = square @ square
        n //= 2
    result = square
    while n > 1:
        square = square @ square
        n //= 2
        if n % 2:
            result = result @ square
    return result


@definition(linalg.tensorinv)
def tensorinv(a: Array, ind: int = 2) -> Array:
    """The inverse of the map from the axes behind `ind` to those before it."""
    before, behind = np.shape(a)[:ind], np.shape(a)[ind:]
    matrix = np.reshape(a, (prod(before), prod(behind)))
    inverse = linalg.inv(matrix)
    return np.reshape(inverse, behind + before)


@definition(linalg.tensorsolve)
def tensorsolve(
    a: Array,
    b: Array,
    axes: Sequence[int] | None = None,
) -> Array:
    """The x with tensordot(a, x, x.ndim) = b; `axes` of a are moved to its end first."""
    order = list(range(np.ndim(a)))
    for axis in () if axes is None else axes:
        order.remove(axis)
        order.append(axis)
    a = np.transpose(a, order)
    shape = np.shape(a)[np.ndim(b) - np.ndim(a) :]
    matrix = np.reshape(a, (prod(shape), prod(shape)))
    x = linalg.solve(matrix, np.ravel(b))
    return np.reshape(x, shape)


# ----------------------------------------------------------------------------------- factorisations


def _half_lower(x: Array) -> Array:
    """phi: the lower triangle with half of the diagonal."""
    return np.tril(x) - diagonal_matrix(diagonal_of(x)) / 2


def cholesky_gradient(g: Array, y: Array, upper: bool) -> Array:
    """For A = L L^H: L^-H phi(L^H g) L^-1, its Hermitian part (Murray 2016)."""
    y = conjugate(y)
    if upper:
        y, g = mh(y), mh(g)
    left = linalg.solve(mh(y), _half_lower(mh(y) @ g))
    return hermitian_part(linalg.solve(mh(y), mh(left)))


def cholesky_tangent(t: Array, y: Array, upper: bool) -> Array:
    """L phi(L^-1 A' L^-H)."""
    factor = mh(y) if upper else y
    left = linalg.solve(factor, hermitian_part(t))
    tangent = factor @ _half_lower(linalg.solve(factor, mh(left)))
    return mh(tangent) if upper else tangent


derivative(linalg.cholesky, a=cholesky_gradient).tangent(a=cholesky_tangent)


def reduced_qr(a: Array) -> Any:
    """Q R of a matrix with at least as many rows as columns; the diagonal of R is real."""
    return linalg.qr(a)


def _qr(g: Sequence[Array], y: Sequence[Array]) -> Array:
    """(gQ + Q mirror(M)) R^-H with M = R gR^H - gQ^H Q, where mirror copies the lower triangle up,
    conjugated (Seeger et al. 2017)."""
    q, r = map(conjugate, y)
    gq, gr = g
    m = r @ mh(gr) - mh(gq) @ q
    half = _half_lower(m)
    mirrored = half + mh(half)
    return mh(linalg.solve(r, mh(gq + q @ mirrored)))


def _qr_tangent(t: Array, y: Sequence[Array]) -> list[Array]:
    """Q' = A' R^-1 - Q P and R' = P R; P = phi(C + C^H)^H for C = Q^H A' R^-1 is upper
    triangular."""
    q, r = y
    scaled = linalg.solve(r.mT, t.mT).mT  # A' R^-1
    c = mh(q) @ scaled
    p = mh(_half_lower(c + mh(c)))
    return [scaled - q @ p, p @ r]


reduced_qr = derivative(reduced_qr, a=_qr).tangent(a=_qr_tangent)


def complete_qr(a: Array) -> Any:
    """[Q N] and [R 0] of a tall matrix; N is unique up to a unitary factor on its right."""
    return linalg.qr(a, mode="complete")


def _complete_qr(g: Sequence[Array], y: Sequence[Array]) -> Array:
    """That of the reduced one, with what comes through the vectors that complete Q."""
    q, r = y
    gq, gr = g
    k = np.shape(r)[-1]
    gq = through_complement(conjugate(q), gq, k)
    return _qr([gq, gr[..., :k, :]], [q[..., :k], r[..., :k, :]])


def _complete_qr_tangent(t: Array, y: Sequence[Array]) -> list[Array]:
    """That of the reduced one, N' = -Q Q'^H N, and zeros."""
    q, r = y
    k = np.shape(r)[-1]
    vectors, n = q[..., :k], q[..., k:]
    tq, tr = _qr_tangent(t, [vectors, r[..., :k, :]])
    tn = -vectors @ (mh(tq) @ n)
    below = np.zeros_like(unwrap(r[..., k:, :]))
    return [np.concatenate([tq, tn], axis=-1), np.concatenate([tr, below], axis=-2)]


complete_qr = derivative(complete_qr, a=_complete_qr).tangent(a=_complete_qr_tangent)


@definition(linalg.qr)
def qr(a: Array, mode: str = "reduced") -> Any:
    """A wide matrix is [A1 A2] = Q [R1 Q^H A2] with A1 = Q R1.

    Raises NotImplementedError for mode="raw", LAPACK's own form.
    """
    rows, columns = sizes(a)
    mode = {"full": "reduced", "f": "reduced"}.get(mode, mode)  # NumPy's old names
    if mode not in ("reduced", "r", "complete"):
        raise NotImplementedError(
            f"np.linalg.qr(mode={mode!r}) of shape {np.shape(a)} has no derivative; "
            "use mode='reduced'"
        )
    if mode == "complete" and rows > columns:
        return complete_qr(a)
    result = reduced_qr(a[..., :rows])
    if columns > rows:
        rest = mh(result.Q) @ a[..., rows:]
        result = result._replace(R=np.concatenate([result.R, rest], axis=-1))
    return result.R if mode == "r" else result


def _pinv(
    g: Array,
    a: Array,
    y: Array,
    rcond: Array | None,
    rtol: Array | None,
    hermitian: bool,
) -> Array:
    """-P^H g P^H + (I - A P) g^H P P^H + P^H P g^H (I - P A) for P = pinv(A).

    The rank is locally constant (Golub & Pereyra 1973).
    """
    _check_cut(a, rcond if rtol is None else rtol)
    a, y = conjugate(a), conjugate(y)
    rows, columns = sizes(a)
    left = identity(rows, g) - a @ y
    right = identity(columns, g) - y @ a
    outside = left @ mh(g) @ y @ mh(y)
    inside = mh(y) @ y @ mh(g) @ right
    result = outside + inside - mh(y) @ g @ mh(y)
    return hermitian_part(result) if hermitian else result


def _pinv_tangent(
    t: Array,
    a: Array,
    y: Array,
    rcond: Array | None,
    rtol: Array | None,
    hermitian: bool,
) -> Array:
    """-P A' P + P P^H A'^H (I - A P) + (I - P A) A'^H P^H P."""
    _check_cut(a, rcond if rtol is None else rtol)
    t = hermitian_part(t) if hermitian else t
    rows, columns = sizes(a)
    left = identity(rows, t) - a @ y
    right = identity(columns, t) - y @ a
    outside = y @ mh(y) @ mh(t) @ left
    inside = right @ mh(t) @ mh(y) @ y
    return outside + inside - y @ t @ y


def _check_cut(a: Array, rtol: Any) -> None:
    """Raise LinAlgError if singular values are cut off that are not 0: they have no formula."""
    if rtol is None:
        return
    s = linalg.svdvals(unwrap(a))
    largest = np.max(s, axis=-1, keepdims=True, initial=0)
    cut = s <= as_column(rtol) * largest
    zero = is_negligible(s, largest, max(sizes(a)))
    if np.any(cut & ~zero):
        raise linalg.LinAlgError(
            f"a pseudo-inverse that cuts off singular values which are not 0 (rtol={rtol}) "
            "has no derivative here; take the SVD and choose among its parts"
        )


derivative(linalg.pinv, a=_pinv).tangent(a=_pinv_tangent)


@definition(linalg.lstsq)
def lstsq(
    a: Array,
    b: Array,
    rcond: float | None = None,
) -> tuple[Array, Array, int, Array]:
    """Solution pinv(a) b, squared residuals, rank, singular values. The rank is a constant."""
    a, b = as_array(a), as_array(b)
    rows, columns = a.shape
    a = a.astype(np.result_type(a.dtype, b.dtype), copy=False)
    s = linalg.svdvals(a)
    epsilon = float(np.finfo(s.dtype).eps)
    if rcond is None:
        rcond = epsilon * max(rows, columns)
    elif not 0 < rcond < 1:  # as LAPACK has it
        rcond = epsilon
    plain = unwrap(s)
    limit = rcond * np.max(plain, initial=0)
    rank = int(np.sum(plain > limit))
    x = linalg.pinv(a, rcond) @ b
    if rank == columns < rows:
        rest = a @ x - b
        squares = np.real(conjugate(rest) * rest)
        residuals = np.sum(squares, axis=0, keepdims=b.ndim == 1)
    else:
        residuals = np.zeros(0, s.dtype)
    return x, residuals, rank, s


# ------------------------------------------------------- numpy.linalg's doors to the main namespace


@definition(linalg.matrix_transpose)
def matrix_transpose(x: Array) -> Array:
    """np.matrix_transpose."""
    return np.matrix_transpose(x)


@definition(linalg.diagonal)
def diagonal(x: Array, offset: int = 0) -> Array:
    """np.diagonal of the last two axes."""
    return np.diagonal(x, offset, -2, -1)


@definition(linalg.trace)
def trace(
    x: Array,
    offset: int = 0,
    dtype: DTypeLike | None = None,
) -> Array:
    """np.trace of the last two axes."""
    return np.trace(x, offset, -2, -1, dtype)


without_gradient(linalg.matrix_rank)
