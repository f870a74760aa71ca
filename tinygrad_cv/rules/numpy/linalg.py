"""The calculus table of numpy.linalg, with batch dimensions.

Conventions. Functions of a symmetric matrix (cholesky, eigh, eigvalsh) are differentiated along symmetric changes:
their gradient is symmetric, whichever triangle NumPy reads. A norm at 0 has gradient 0, a singular value of 0 too.
Where a derivative does not exist (eigenvectors of equal eigenvalues), backward raises LinAlgError; it does not return
NaN.

Sources: Giles 2008, "Collected matrix derivative results"; Townsend 2016, "Differentiating the singular value
decomposition"; Seeger et al. 2017, "Auto-differentiating linear algebra"; Murray 2016, "Differentiation of the Cholesky
decomposition"; Golub & Pereyra 1973 for the pseudo-inverse.
"""

from __future__ import annotations

import operator
from math import prod
from typing import Any

import numpy as np
from numpy import linalg

from ...tensor import TABLE, Tensor, unwrap
from ..table import definition, derivative, unsupported, without_gradient
from .reduce import root


def _column(x: Any) -> Any:
    """(...) -> (..., 1, 1)."""
    return np.expand_dims(x, (-2, -1))


def _identity(n: int, like: Any) -> Any:
    return np.eye(n, dtype=like.dtype)


def _diagonal(x: Any) -> Any:
    """(..., n) -> (..., n, n) with x on the diagonal."""
    return np.expand_dims(x, -1) * _identity(np.shape(x)[-1], x)


def _symmetric(x: Any) -> Any:
    return (x + x.mT) / 2


def _transpose(x: Any) -> Any:
    """The transpose of an argument that need not be a tensor: an array or a list of lists."""
    return np.matrix_transpose(x)


def _sizes(a: Any) -> tuple[int, int]:
    """Rows and columns of a matrix."""
    shape = np.shape(a)
    if len(shape) < 2:
        raise linalg.LinAlgError(
            f"a matrix, or a batch of matrices, is needed, not an array of shape {shape}"
        )
    return shape[-2], shape[-1]


# ---------------------------------------------------------------------------------------------- inverses, determinants

derivative(linalg.inv, a=lambda g, y: -(y.mT @ g @ y.mT))


def _solve_adjoint(g: Any, a: Any, b_shape: Any) -> Any:
    """A^-T g; by NumPy 2's rule a b of one axis is a vector, any other a stack of matrices."""
    if len(b_shape) == 1:
        return np.squeeze(linalg.solve(_transpose(a), np.expand_dims(g, -1)), -1)
    return linalg.solve(_transpose(a), g)


def _solve_matrix(g: Any, a: Any, y: Any, b_shape: Any) -> Any:
    """-(A^-T g) x^T."""
    h = _solve_adjoint(g, a, b_shape)
    return -(np.expand_dims(h, -1) * np.expand_dims(y, -2)) if len(b_shape) == 1 else -(h @ y.mT)


derivative(linalg.solve, a=_solve_matrix, b=_solve_adjoint)


def _svd_with_sign(a: Any) -> tuple[Any, Any, Any, Any]:
    """U, singular values, V^T and det(U V^T), which is 1 or -1."""
    u, s, vh = linalg.svd(a)
    return u, s, vh, _column(linalg.det(u) * linalg.det(vh))


def cofactor(a: Any) -> Any:
    """The matrix of cofactors, det(A) A^-T: the derivative of the determinant. Through the SVD, so that A may be
    singular: entry i of the diagonal matrix in the middle is the product of all singular values but s_i."""
    if isinstance(a, Tensor):
        return TABLE[cofactor](a)
    u, s, vh, sign = _svd_with_sign(a)
    others = np.prod(
        np.where(np.eye(s.shape[-1], dtype=bool), 1, np.expand_dims(s, -2)), axis=-1
    )  # (..., n)
    return sign * ((u * np.expand_dims(others, -2)) @ vh)


def _cofactor(g: Any, a: Any) -> Any:
    """det(A) (tr(A^-1 g) A^-T - A^-T g^T A^-T); on arrays through the SVD, where A may be singular: for E = U^T g V and
    P_ij the product of all singular values but s_i and s_j, P_ii = 0, it is U (diag(P diag E) - P * E^T) V^T."""
    if isinstance(a, Tensor):
        inverse = linalg.inv(a).mT
        trace = np.sum(g * inverse, axis=(-2, -1), keepdims=True)
        return _column(linalg.det(a)) * (trace * inverse - inverse @ g.mT @ inverse)
    u, s, vh, sign = _svd_with_sign(a)
    eye = np.eye(s.shape[-1], dtype=bool)
    pair = eye[:, None, :] | eye[None, :, :]
    products = np.prod(np.where(pair, 1, s[..., None, None, :]), axis=-1) * ~eye  # (..., n, n)
    e = u.mT @ g @ vh.mT
    diagonal = products @ np.expand_dims(np.diagonal(e, axis1=-2, axis2=-1), -1)  # (..., n, 1)
    return sign * (u @ (diagonal * eye - products * e.mT) @ vh)


derivative(cofactor, a=_cofactor)
derivative(linalg.det, a=lambda g, a: _column(g) * cofactor(a))
derivative(linalg.slogdet, a=lambda g, a: _column(g[1]) * linalg.inv(a).mT)  # the sign is constant


@definition(linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """Squares and products of squares; of the inverse for negative n."""
    rows, columns = _sizes(a)
    n = operator.index(n)
    if rows != columns:
        raise linalg.LinAlgError(
            f"np.linalg.matrix_power needs square matrices, not shape {np.shape(a)}"
        )
    if n == 0:
        return np.where(True, _identity(rows, a), a)
    square = linalg.inv(a) if n < 0 else a
    n, result = abs(n), None
    while True:
        if n % 2:
            result = square if result is None else result @ square
        n //= 2
        if n == 0:
            return result
        square = square @ square


@definition(linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    if ind <= 0:
        raise ValueError(f"np.linalg.tensorinv needs a positive ind, not {ind}")
    shape = np.shape(a)
    rows = prod(shape[:ind])
    return np.reshape(
        linalg.inv(np.reshape(a, (rows, prod(shape[ind:])))), shape[ind:] + shape[:ind]
    )


@definition(linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    if axes is not None:
        a = np.moveaxis(a, axes, range(np.ndim(a) - len(axes), np.ndim(a)))
    rows, shape = np.shape(a)[: np.ndim(b)], np.shape(a)[np.ndim(b) :]
    return np.reshape(linalg.solve(np.reshape(a, (prod(rows), prod(shape))), np.ravel(b)), shape)


# ------------------------------------------------------------------------------------------------------ factorisations


def _cholesky(g: Any, y: Any, upper: Any) -> Any:
    """For A = L L^T: L^-T phi(L^T g) L^-1, symmetrised, where phi keeps the lower triangle and half of the diagonal
    (Murray 2016)."""
    lower, g = (y.mT, g.mT) if upper else (y, g)
    phi = np.tril(lower.mT @ g) - _diagonal(np.sum(lower * g, axis=-2) / 2)
    left = linalg.solve(lower.mT, phi)
    return _symmetric(linalg.solve(lower.mT, left.mT))


derivative(linalg.cholesky, a=_cholesky)


def reduced_qr(a: Any) -> Any:
    """Q R of a matrix with at least as many rows as columns."""
    return linalg.qr(a)


def _qr(g: Any, y: Any) -> Any:
    """(gQ + Q mirror(M)) R^-T with M = R gR^T - gQ^T Q, where mirror copies the lower triangle up (Seeger et al.)."""
    (q, r), (gq, gr) = y, g
    m = r @ gr.mT - gq.mT @ q
    mirrored = np.tril(m) + np.tril(m, -1).mT
    return linalg.solve(r, (gq + q @ mirrored).mT).mT


_REDUCED_QR = derivative(reduced_qr, a=_qr)


@definition(linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """A wide matrix is [A1 A2] = Q [R1 Q^T A2] with A1 = Q R1. Of a tall one the complete Q is not unique."""
    rows, columns = _sizes(a)
    if mode not in ("reduced", "r") and not (mode == "complete" and rows <= columns):
        raise NotImplementedError(
            f"np.linalg.qr(mode={mode!r}) of shape {np.shape(a)} has no derivative; use mode='reduced'"
        )
    result = _REDUCED_QR(a[..., :rows])
    if columns > rows:
        result = result._replace(R=np.concatenate([result.R, result.Q.mT @ a[..., rows:]], axis=-1))
    return result.R if mode == "r" else result


def _over_gaps(m: Any, values: Any, name: str) -> Any:
    """m_ij / (v_j - v_i), and 0 on the diagonal: how vectors turn when the matrix changes.

    Vectors whose values are equal may be any basis of the space they span, and have no derivative. m is the gradient
    that reaches their turning into each other; where it is not 0, there is no answer.
    """
    difference = np.expand_dims(values, -2) - np.expand_dims(values, -1)
    plain = unwrap(values)
    n = plain.shape[-1]
    size = np.max(np.abs(plain), axis=-1, keepdims=True, initial=0)
    equal = np.abs(unwrap(difference)) <= n * np.finfo(plain.dtype).eps * np.expand_dims(size, -1)
    if np.any(equal & ~np.eye(n, dtype=bool) & (unwrap(m) != 0)):
        raise linalg.LinAlgError(
            f"{name} are equal: their vectors are not unique and have no derivative. If only the values are used, take "
            "np.linalg.eigvalsh or np.linalg.svdvals; else make the values distinct"
        )
    return np.where(equal, 0, m / np.where(equal, 1, difference))


def _eigh(g: Any, y: Any) -> Any:
    """V (diag(gw) + F * (V^T gV)) V^T with F_ij = 1 / (w_j - w_i) (Giles 2008)."""
    (w, v), (gw, gv) = y, g
    return _symmetric(v @ (_diagonal(gw) + _over_gaps(v.mT @ gv, w, "eigenvalues")) @ v.mT)


derivative(linalg.eigh, a=_eigh)


def _eigvalsh(g: Any, a: Any, UPLO: Any) -> Any:
    """V diag(g) V^T; equal eigenvalues do no harm."""
    v = linalg.eigh(a, UPLO)[1]
    return (v * np.expand_dims(g, -2)) @ v.mT


derivative(linalg.eigvalsh, a=_eigvalsh)


def reduced_svd(a: Any) -> Any:
    """U, singular values, V^T, as many vectors as there are values."""
    return linalg.svd(a, full_matrices=False)


def _turn(vectors: Any, g: Any, s: Any) -> Any:
    """X + X^T for X_ij = (V^T g)_ij / (s_j^2 - s_i^2)."""
    total = np.expand_dims(s, -2) + np.expand_dims(s, -1)
    x = _over_gaps(vectors.mT @ g, s, "singular values") / np.where(np.equal(total, 0), 1, total)
    return x + x.mT


def _outside(vectors: Any, g: Any, s: Any) -> Any:
    """(I - V V^T) g / s: of the gradient of a tall matrix of vectors, what points out of the space they span."""
    rest, s = g - vectors @ (vectors.mT @ g), np.expand_dims(s, -2)
    plain = unwrap(s)
    zero = plain <= plain.shape[-1] * np.finfo(plain.dtype).eps * np.max(
        plain, axis=-1, keepdims=True, initial=0
    )
    if np.any(zero & (unwrap(g) != 0)):
        raise linalg.LinAlgError(
            "a singular value is 0: its vectors are not unique and have no derivative"
        )
    return np.where(zero, 0, rest / np.where(zero, 1, s))


def _svd(g: Any, y: Any) -> Any:
    """U [T(gU) S + S T(gV) + diag(gs)] V^T, with T as in `_turn`, and for a rectangular matrix what of gU and gV points
    out of the spans of U and V (Townsend 2016)."""
    (u, s, vh), (gu, gs, gvh) = y, g
    v, gv = vh.mT, gvh.mT
    middle = (
        _turn(u, gu, s) * np.expand_dims(s, -2)
        + np.expand_dims(s, -1) * _turn(v, gv, s)
        + _diagonal(gs)
    )
    result = u @ middle @ vh
    (m, k), n = np.shape(u)[-2:], np.shape(v)[-2]
    result = result + _outside(u, gu, s) @ vh if m > k else result
    return result + u @ _outside(v, gv, s).mT if n > k else result


_REDUCED_SVD = derivative(reduced_svd, a=_svd)


def _hermitian_svd(a: Any) -> Any:
    """The SVD of a symmetric matrix from its eigenvalues: s = |w| in falling order, V = U sign(w)."""
    result = type(linalg.svd(np.eye(1)))  # NumPy's named tuple, which has no public name
    w, u = linalg.eigh(a)
    order = np.argsort(np.abs(unwrap(w)), axis=-1)[..., ::-1]
    w = np.take_along_axis(w, order, -1)
    u = np.take_along_axis(u, np.broadcast_to(np.expand_dims(order, -2), np.shape(u)), -1)
    return result(u, np.abs(w), (u * np.expand_dims(np.sign(unwrap(w)), -2)).mT)


@definition(linalg.svd)
def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    rows, columns = _sizes(a)
    if not compute_uv:
        return (
            np.flip(np.sort(np.abs(linalg.eigvalsh(a)), axis=-1), -1)
            if hermitian
            else linalg.svdvals(a)
        )
    if full_matrices and rows != columns:
        raise NotImplementedError(
            f"the full SVD of shape {np.shape(a)} is not unique and has no derivative; use full_matrices=False"
        )
    return _hermitian_svd(a) if hermitian else _REDUCED_SVD(a)


def _svdvals(g: Any, x: Any) -> Any:
    """U diag(g) V^T; equal values do no harm, values of 0, where |.| has its kink, have gradient 0."""
    u, s, vh = linalg.svd(x, full_matrices=False)
    return (u * np.expand_dims(g * np.sign(unwrap(s)), -2)) @ vh


derivative(linalg.svdvals, x=_svdvals)


def _pinv(g: Any, a: Any, y: Any) -> Any:
    """-P^T g P^T + (I - A P) g^T P P^T + P^T P g^T (I - P A) for P = pinv(A) of locally constant rank
    (Golub & Pereyra 1973)."""
    rows, columns = _sizes(a)
    outside = (_identity(rows, g) - a @ y) @ g.mT @ y @ y.mT
    inside = y.mT @ y @ g.mT @ (_identity(columns, g) - y @ a)
    return outside + inside - y.mT @ g @ y.mT


derivative(linalg.pinv, a=_pinv)


@definition(linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Solution pinv(a) b, squared residuals, rank, singular values. The rank is constant by nature."""
    rows, columns = np.shape(a)
    s = linalg.svdvals(a)
    epsilon = float(np.finfo(s.dtype).eps)
    limit = epsilon * max(rows, columns) if rcond is None else epsilon if rcond < 0 else rcond
    rank = int(np.sum(unwrap(s) > limit * np.max(unwrap(s), initial=0)))
    if np.shape(b)[0] != rows:
        raise linalg.LinAlgError(
            f"np.linalg.lstsq: {rows} rows on the left, {np.shape(b)[0]} on the right"
        )
    x = linalg.pinv(a, limit) @ b
    residuals = np.sum((np.matmul(a, x) - b) ** 2, axis=0, keepdims=np.ndim(b) == 1)
    return x, residuals if rank == columns < rows else np.zeros(0, s.dtype), rank, s


# --------------------------------------------------------------------------------------------------------------- norms


@definition(linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """(sum |x|^p)^(1/p), the largest and smallest |x|, the number of x that are not 0. At x = 0 the gradient is 0, and
    so it is in elements that are 0."""
    if isinstance(ord, str):
        raise ValueError(f"there is no vector norm of order {ord!r}")
    if ord is None or ord == 2:
        return root(np.sum(x * x, axis=axis, keepdims=keepdims))
    if ord == 0:
        return np.sum(unwrap(x) != 0, axis=axis, keepdims=keepdims, dtype=x.dtype)
    size = np.abs(x)
    if ord == np.inf:
        return np.max(size, axis=axis, keepdims=keepdims, initial=0)
    if ord in (1, -np.inf):
        return (np.sum if ord == 1 else np.min)(size, axis=axis, keepdims=keepdims)
    p = float(ord)
    zero = np.equal(x, 0)
    powers = np.where(zero, 0.0 if p > 0 else np.inf, np.where(zero, 1, size) ** p)
    total = np.sum(powers, axis=axis, keepdims=keepdims)
    flat = np.equal(total, 0) | np.isinf(total)
    return np.where(flat, unwrap(total) ** (1 / p), np.where(flat, 1, total) ** (1 / p))


@definition(linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of the last two axes: Frobenius, nuclear, or induced (1, -1, 2, -2, inf, -inf)."""
    _sizes(x)
    if ord in ("fro", "f", None):
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in ("nuc", 2, -2):
        parts = linalg.svdvals(x)
    elif ord in (1, -1, np.inf, -np.inf):
        parts = np.sum(np.abs(x), axis=-2 if abs(ord) == 1 else -1)
    else:
        raise ValueError(f"there is no matrix norm of order {ord!r}")
    if ord == "nuc" or ord < 0:
        result = (np.sum if ord == "nuc" else np.min)(parts, axis=-1)
    else:
        result = np.max(parts, axis=-1, initial=0)
    return _column(result) if keepdims else result


@definition(linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Of a vector or a matrix, as `axis` has one number or two; without an order, of all elements."""
    if axis is None and (ord is None or np.ndim(x) == 1):
        return vector_norm(x, ord=ord, keepdims=keepdims)
    axis = tuple(range(np.ndim(x))) if axis is None else axis
    if not isinstance(axis, tuple) or len(axis) == 1:
        return vector_norm(x, ord=ord, axis=axis, keepdims=keepdims)
    if len(axis) != 2:
        raise ValueError(f"np.linalg.norm is of one or two axes, not of {len(axis)}")
    result = matrix_norm(np.moveaxis(x, axis, (-2, -1)), ord=ord, keepdims=keepdims)
    return np.moveaxis(result, (-2, -1), axis) if keepdims else result


@definition(linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """The norm of x times that of its inverse; for the 2-norm, the largest singular value by the smallest."""
    if p in (None, 2, -2):
        s = linalg.svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return matrix_norm(x, ord=p) * matrix_norm(linalg.inv(x), ord=p)


# ---------------------------------------------------------------------- numpy.linalg's doors to NumPy's main namespace


@definition(linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    return np.matrix_transpose(x)


@definition(linalg.diagonal)
def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    return np.diagonal(x, offset, -2, -1)


@definition(linalg.trace)
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return np.trace(x, offset, -2, -1, dtype)


without_gradient(linalg.matrix_rank)
unsupported("complex numbers", linalg.eig, linalg.eigvals)
