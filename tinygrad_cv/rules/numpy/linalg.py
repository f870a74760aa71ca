"""The calculus table of numpy.linalg, with batch dimensions.

Conventions. Functions of a symmetric matrix (cholesky, eigh, eigvalsh) are differentiated along
symmetric changes: their gradient is symmetric, whichever triangle NumPy reads. A singular value of
0 has gradient 0. Where a derivative does not exist (eigenvectors of equal eigenvalues), backward
raises LinAlgError; it does not return NaN.

Sources: Giles 2008, "Collected matrix derivative results"; Townsend 2016, "Differentiating the
singular value decomposition"; Seeger et al. 2017, "Auto-differentiating linear algebra"; Murray
2016, "Differentiation of the Cholesky decomposition"; Golub & Pereyra 1973 for the pseudo-inverse.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy import linalg

from ...tensor import Tensor, unwrap
from ...typing import Array, DTypeLike, Shape
from ..table import as_array, definition, derivative, unsupported, without_gradient


def _number(x: Array) -> Array:
    """(...) -> (..., 1, 1)."""
    return np.expand_dims(x, (-2, -1))


def _row(x: Array) -> Array:
    """(..., n) -> (..., 1, n)."""
    return np.expand_dims(x, -2)


def _column(x: Array) -> Array:
    """(..., n) -> (..., n, 1)."""
    return np.expand_dims(x, -1)


def _identity(n: int, like: Array) -> np.ndarray:
    """The identity matrix in the dtype of another array."""
    return np.eye(n, dtype=like.dtype)


def _diagonal(x: Array) -> Array:
    """(..., n) -> (..., n, n) with x on the diagonal."""
    return _column(x) * _identity(np.shape(x)[-1], x)


def _symmetric(x: Array) -> Array:
    """The symmetric part of a matrix."""
    return (x + x.mT) / 2


def sizes(a: Array) -> tuple[int, int]:
    """Rows and columns of a matrix. Raises LinAlgError if it has fewer axes."""
    shape = np.shape(a)
    if len(shape) < 2:
        raise linalg.LinAlgError(
            f"a matrix, or a batch of matrices, is needed, not an array of shape {shape}"
        )
    return shape[-2], shape[-1]


# --------------------------------------------------------------------------- inverses, determinants

derivative(linalg.inv, a=lambda g, y: -(y.mT @ g @ y.mT)).tangent(a=lambda t, y: -(y @ t @ y))


def _solve_adjoint(g: Array, a: Array, b_shape: Shape) -> Array:
    """A^-T g; by NumPy 2's rule a b of one axis is a vector, any other a stack of matrices."""
    transposed = np.matrix_transpose(a)
    if len(b_shape) > 1:
        return linalg.solve(transposed, g)
    return np.squeeze(linalg.solve(transposed, _column(g)), -1)


def _solve_matrix(
    g: Array,
    a: Array,
    y: Array,
    b_shape: Shape,
) -> Array:
    """-(A^-T g) x^T."""
    h = _solve_adjoint(g, a, b_shape)
    if len(b_shape) == 1:
        return -(_column(h) * _row(y))
    return -(h @ y.mT)


derivative(linalg.solve, a=_solve_matrix, b=_solve_adjoint)


def _svd_with_sign(a: Array) -> tuple[Array, Array, Array, Array]:
    """U, singular values, V^T and det(U V^T), which is 1 or -1."""
    u, s, vh = linalg.svd(a)
    sign = linalg.det(u) * linalg.det(vh)
    return u, s, vh, _number(sign)


def cofactor(a: Array) -> Array:
    """The matrix of cofactors, det(A) A^-T: the derivative of the determinant.

    Through the SVD, so that A may be singular: entry i of the diagonal matrix in the middle is the
    product of all singular values but s_i.
    """
    u, s, vh, sign = _svd_with_sign(a)
    own = np.eye(s.shape[-1], dtype=bool)
    others = np.where(own, 1, _row(s))  # (..., n, n)
    middle = np.prod(others, axis=-1)  # (..., n)
    return sign * ((u * _row(middle)) @ vh)


def _cofactor_gradient(g: Array, a: Array) -> Array:
    """det(A) (tr(A^-1 g) A^-T - A^-T g^T A^-T).

    On arrays through the SVD, where A may be singular: for E = U^T g V and P_ij the product of all
    singular values but s_i and s_j, P_ii = 0, it is U (diag(P diag E) - P * E^T) V^T.
    """
    if isinstance(a, Tensor):
        inverse = linalg.inv(a).mT
        trace = np.sum(g * inverse, axis=(-2, -1), keepdims=True)
        return _number(linalg.det(a)) * (trace * inverse - inverse @ g.mT @ inverse)
    u, s, vh, sign = _svd_with_sign(a)
    eye = np.eye(s.shape[-1], dtype=bool)
    pair = eye[:, None, :] | eye[None, :, :]
    values = np.where(pair, 1, s[..., None, None, :])
    products = np.prod(values, axis=-1) * ~eye  # (..., n, n)
    e = u.mT @ g @ vh.mT
    diagonal_of_e = np.diagonal(e, axis1=-2, axis2=-1)
    middle = (products @ _column(diagonal_of_e)) * eye - products * e.mT
    return sign * (u @ middle @ vh)


cofactor = derivative(cofactor, a=_cofactor_gradient)
derivative(linalg.det, a=lambda g, a: _number(g) * cofactor(a))
derivative(linalg.slogdet, a=lambda g, a: _number(g[1]) * linalg.inv(a).mT)  # the sign is constant


@definition(linalg.matrix_power)
def matrix_power(a: Array, n: int) -> Array:
    """Squares and products of squares; of the inverse for negative n."""
    rows, columns = sizes(a)
    n = operator.index(n)
    if rows != columns:
        raise linalg.LinAlgError(
            f"np.linalg.matrix_power needs square matrices, not shape {np.shape(a)}"
        )
    if n == 0:
        return np.where(True, _identity(rows, a), a)
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
    if ind <= 0:
        raise ValueError(f"np.linalg.tensorinv needs a positive ind, not {ind}")
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
    if axes is not None:
        end = range(-len(axes), 0)
        a = np.moveaxis(a, axes, tuple(end))
    rows = np.shape(a)[: np.ndim(b)]
    shape = np.shape(a)[np.ndim(b) :]
    matrix = np.reshape(a, (prod(rows), prod(shape)))
    x = linalg.solve(matrix, np.ravel(b))
    return np.reshape(x, shape)


# ----------------------------------------------------------------------------------- factorisations


def _cholesky(g: Array, y: Array, upper: bool) -> Array:
    """For A = L L^T: L^-T phi(L^T g) L^-1, symmetrised (Murray 2016).

    phi keeps the lower triangle and half of the diagonal.
    """
    if upper:
        y, g = y.mT, g.mT
    half = np.sum(y * g, axis=-2) / 2  # of the diagonal of y^T g
    phi = np.tril(y.mT @ g) - _diagonal(half)
    left = linalg.solve(y.mT, phi)
    return _symmetric(linalg.solve(y.mT, left.mT))


derivative(linalg.cholesky, a=_cholesky)


def reduced_qr(a: Array) -> Any:
    """Q R of a matrix with at least as many rows as columns."""
    return linalg.qr(a)


def _qr(g: Sequence[Array], y: Sequence[Array]) -> Array:
    """(gQ + Q mirror(M)) R^-T with M = R gR^T - gQ^T Q, where mirror copies the lower triangle up
    (Seeger et al. 2017)."""
    (q, r), (gq, gr) = y, g
    m = r @ gr.mT - gq.mT @ q
    mirrored = np.tril(m) + np.tril(m, -1).mT
    return linalg.solve(r, (gq + q @ mirrored).mT).mT


reduced_qr = derivative(reduced_qr, a=_qr)


@definition(linalg.qr)
def qr(a: Array, mode: str = "reduced") -> Any:
    """A wide matrix is [A1 A2] = Q [R1 Q^T A2] with A1 = Q R1.

    Raises NotImplementedError for the complete Q of a tall matrix, which is not unique.
    """
    rows, columns = sizes(a)
    if mode not in ("reduced", "r") and not (mode == "complete" and rows <= columns):
        raise NotImplementedError(
            f"np.linalg.qr(mode={mode!r}) of shape {np.shape(a)} has no derivative; "
            "use mode='reduced'"
        )
    result = reduced_qr(a[..., :rows])
    if columns > rows:
        rest = result.Q.mT @ a[..., rows:]
        result = result._replace(R=np.concatenate([result.R, rest], axis=-1))
    return result.R if mode == "r" else result


def _is_negligible(difference: Array, size: Array, n: int) -> np.ndarray:
    """Whether a number is 0 up to the rounding of n numbers of a size."""
    plain = unwrap(difference)
    return np.abs(plain) <= n * np.finfo(plain.dtype).eps * unwrap(size)


def _over_gaps(m: Array, values: Array, name: str) -> Array:
    """m_ij / (v_j - v_i), and 0 on the diagonal: how vectors turn when the matrix changes.

    Vectors whose values are equal may be any basis of the space they span, and have no derivative.
    m is the gradient that reaches their turning into each other; where it is not 0, LinAlgError is
    raised.
    """
    n = np.shape(values)[-1]
    difference = _row(values) - _column(values)
    sizes_of_values = np.abs(unwrap(values))
    largest = np.max(sizes_of_values, axis=-1, keepdims=True, initial=0)
    equal = _is_negligible(difference, _column(largest), n)
    others = ~np.eye(n, dtype=bool)
    if np.any(equal & others & (unwrap(m) != 0)):
        raise linalg.LinAlgError(
            f"{name} are equal: their vectors are not unique and have no derivative. If only the "
            "values are used, take np.linalg.eigvalsh or np.linalg.svdvals; else make the values "
            "distinct"
        )
    return np.where(equal, 0, m / np.where(equal, 1, difference))


def _eigh(g: Sequence[Array], y: Sequence[Array]) -> Array:
    """V (diag(gw) + F * (V^T gV)) V^T with F_ij = 1 / (w_j - w_i) (Giles 2008)."""
    (w, v), (gw, gv) = y, g
    turning = _over_gaps(v.mT @ gv, w, "eigenvalues")
    return _symmetric(v @ (_diagonal(gw) + turning) @ v.mT)


derivative(linalg.eigh, a=_eigh, inert=("UPLO",))


def _eigvalsh(g: Array, a: Array, UPLO: Any) -> Array:
    """V diag(g) V^T; equal eigenvalues do no harm."""
    v = linalg.eigh(a, UPLO)[1]
    return (v * _row(g)) @ v.mT


derivative(linalg.eigvalsh, a=_eigvalsh)


def reduced_svd(a: Array) -> Any:
    """U, singular values, V^T, as many vectors as there are values."""
    return linalg.svd(a, full_matrices=False)


def _turning(vectors: Array, g: Array, s: Array) -> Array:
    """X + X^T for X_ij = (V^T g)_ij / (s_j^2 - s_i^2)."""
    total = _row(s) + _column(s)
    over_difference = _over_gaps(vectors.mT @ g, s, "singular values")
    x = over_difference / np.where(np.equal(total, 0), 1, total)
    return x + x.mT


def _outside(vectors: Array, g: Array, s: Array) -> Array:
    """(I - V V^T) g / s: what of the gradient of a tall matrix of vectors points out of their span.

    Raises LinAlgError where that meets a singular value of 0.
    """
    rest = g - vectors @ (vectors.mT @ g)
    s = _row(s)  # (..., 1, n)
    largest = np.max(unwrap(s), axis=-1, keepdims=True, initial=0)
    zero = _is_negligible(s, largest, np.shape(s)[-1])
    if np.any(zero & (unwrap(g) != 0)):
        raise linalg.LinAlgError(
            "a singular value is 0: its vectors are not unique and have no derivative"
        )
    return np.where(zero, 0, rest / np.where(zero, 1, s))


def _svd(g: Sequence[Array], y: Sequence[Array]) -> Array:
    """U [T(gU) S + S T(gV) + diag(gs)] V^T, with T as in `_turning` (Townsend 2016).

    For a rectangular matrix, what of gU and gV points out of the spans of U and V is added.
    """
    (u, s, vh), (gu, gs, gvh) = y, g
    v, gv = vh.mT, gvh.mT
    from_u = _turning(u, gu, s) * _row(s)
    from_v = _column(s) * _turning(v, gv, s)
    result = u @ (from_u + from_v + _diagonal(gs)) @ vh
    if np.shape(u)[-2] > np.shape(u)[-1]:
        result = result + _outside(u, gu, s) @ vh
    if np.shape(v)[-2] > np.shape(v)[-1]:
        result = result + u @ _outside(v, gv, s).mT
    return result


reduced_svd = derivative(reduced_svd, a=_svd)


def _hermitian_svd(a: Array) -> Any:
    """The SVD of a symmetric matrix from its eigenvalues: s = |w|, V = U sign(w)."""
    result = type(linalg.svd(np.eye(1)))  # NumPy's named tuple, which has no public name
    w, u = linalg.eigh(a)
    order = np.argsort(np.abs(unwrap(w)), axis=-1)[..., ::-1]
    w = np.take_along_axis(w, order, -1)
    columns = np.broadcast_to(_row(order), np.shape(u))
    u = np.take_along_axis(u, columns, -1)
    v = u * _row(np.sign(unwrap(w)))
    return result(u, np.abs(w), v.mT)


@definition(linalg.svd)
def svd(
    a: Array,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
) -> Any:
    """U, singular values, V^T, or the values alone.

    Raises NotImplementedError for the full U or V of a matrix that is not square: they are not
    unique.
    """
    rows, columns = sizes(a)
    if not compute_uv:
        if not hermitian:
            return linalg.svdvals(a)
        return np.flip(np.sort(np.abs(linalg.eigvalsh(a)), axis=-1), -1)
    if full_matrices and rows != columns:
        raise NotImplementedError(
            f"the full SVD of shape {np.shape(a)} is not unique and has no derivative; "
            "use full_matrices=False"
        )
    return _hermitian_svd(a) if hermitian else reduced_svd(a)


def _svdvals(g: Array, x: Array) -> Array:
    """U diag(g) V^T. Equal values do no harm; values of 0, at the kink of |.|, have gradient 0."""
    u, s, vh = linalg.svd(x, full_matrices=False)
    g = np.where(unwrap(s) == 0, 0, g)
    return (u * _row(g)) @ vh


derivative(linalg.svdvals, x=_svdvals)


def _pinv(
    g: Array,
    a: Array,
    y: Array,
    rcond: Array | None,
    rtol: Array | None,
    hermitian: bool,
) -> Array:
    """-P^T g P^T + (I - A P) g^T P P^T + P^T P g^T (I - P A) for P = pinv(A).

    The rank is locally constant (Golub & Pereyra 1973).
    """
    _check_cut(a, rcond if rtol is None else rtol)
    rows, columns = sizes(a)
    left = _identity(rows, g) - a @ y
    right = _identity(columns, g) - y @ a
    outside = left @ g.mT @ y @ y.mT
    inside = y.mT @ y @ g.mT @ right
    result = outside + inside - y.mT @ g @ y.mT
    return _symmetric(result) if hermitian else result


def _check_cut(a: Array, rtol: Any) -> None:
    """Raise LinAlgError if singular values are cut off that are not 0: they have no formula."""
    if rtol is None:
        return
    s = linalg.svdvals(unwrap(a))
    largest = np.max(s, axis=-1, keepdims=True, initial=0)
    cut = s <= _column(rtol) * largest
    zero = _is_negligible(s, largest, max(sizes(a)))
    if np.any(cut & ~zero):
        raise linalg.LinAlgError(
            f"a pseudo-inverse that cuts off singular values which are not 0 (rtol={rtol}) "
            "has no derivative here; take the SVD and choose among its parts"
        )


derivative(linalg.pinv, a=_pinv)


@definition(linalg.lstsq)
def lstsq(
    a: Array,
    b: Array,
    rcond: float | None = None,
) -> tuple[Array, Array, int, Array]:
    """Solution pinv(a) b, squared residuals, rank, singular values. The rank is a constant."""
    a, b = as_array(a), as_array(b)
    rows, columns = a.shape
    if b.shape[0] != rows:
        raise linalg.LinAlgError(
            f"np.linalg.lstsq: {rows} rows on the left, {b.shape[0]} on the right"
        )
    s = linalg.svdvals(a)
    epsilon = float(np.finfo(s.dtype).eps)
    if rcond is None:
        rcond = epsilon * max(rows, columns)
    elif rcond < 0:
        rcond = epsilon
    plain = unwrap(s)
    limit = rcond * np.max(plain, initial=0)
    rank = int(np.sum(plain > limit))
    x = linalg.pinv(a, rcond) @ b
    if rank == columns < rows:
        squares = np.square(a @ x - b)
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
unsupported("complex numbers", linalg.eig, linalg.eigvals)
