"""The calculus table of numpy.linalg, with batch dimensions.

Sources: Giles 2008, "Collected matrix derivative results"; Seeger et al. 2017, "Auto-differentiating linear algebra";
Golub & Pereyra 1973 for the pseudo-inverse; Murray 2016 for Cholesky. Gradients of functions of symmetric matrices
are symmetric. A norm at 0 has gradient 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensor import Tensor, derivative
from .reduce import root
from .table import definition, unsupported, without_gradient

la = np.linalg


def _column(x: Any) -> Any:
    """(...) -> (..., 1, 1)."""
    return np.expand_dims(x, (-2, -1))


def _diagonal(x: Any) -> Any:
    """(..., n) -> (..., n, n) with x on the diagonal."""
    return np.expand_dims(x, -1) * np.eye(np.shape(x)[-1], dtype=x.dtype)


def _symmetric(x: Any) -> Any:
    return (x + x.mT) / 2


def _like(n: int, x: Any) -> Any:
    return np.eye(n, dtype=x.dtype)


# Inverses and determinants.
derivative(la.inv, a=lambda g, y: -(y.mT @ g @ y.mT))


def _solve_adjoint(g: Any, a: Any, b_shape: Any) -> Any:
    """A^-T g, where a 1-D b is one vector for the whole batch."""
    return la.solve(a.mT, np.expand_dims(g, -1))[..., 0] if len(b_shape) == 1 else la.solve(a.mT, g)


def _solve_matrix(g: Any, a: Any, y: Any, b_shape: Any) -> Any:
    h = _solve_adjoint(g, a, b_shape)
    return -(np.expand_dims(h, -1) * np.expand_dims(y, -2)) if len(b_shape) == 1 else -(h @ y.mT)


derivative(la.solve, a=_solve_matrix, b=_solve_adjoint)


def _cofactors(a: Any, y: Any) -> Any:
    """The derivative of the determinant, det(A) A^-T; for arrays through the SVD, so that singular A are safe."""
    if isinstance(a, Tensor):
        return _column(y) * la.inv(a).mT
    u, s, vh = la.svd(a)
    n = s.shape[-1]
    others = np.prod(np.where(np.eye(n, dtype=bool), 1, s[..., None, :]), axis=-1)  # (..., n)
    return _column(la.det(u) * la.det(vh)) * ((u * others[..., None, :]) @ vh)


derivative(la.det, a=lambda g, a, y: _column(g) * _cofactors(a, y))
derivative(la.slogdet, a=lambda g, a: _column(g[1]) * la.inv(a).mT)


@definition(la.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    if n < 0:
        return matrix_power(la.inv(a), -n)
    result, square = np.broadcast_to(_like(np.shape(a)[-1], a), np.shape(a)), a
    while n:
        result = result @ square if n % 2 else result
        n //= 2
        square = square @ square if n else square
    return result


@definition(la.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    shape = np.shape(a)
    rows = int(np.prod(shape[ind:], dtype=int))
    return np.reshape(la.inv(np.reshape(a, (rows, -1))), shape[ind:] + shape[:ind])


@definition(la.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    if axes is not None:
        a = np.moveaxis(a, axes, range(np.ndim(a) - len(axes), np.ndim(a)))
    shape = np.shape(a)[np.ndim(b) :]
    n = int(np.prod(shape, dtype=int))
    return np.reshape(la.solve(np.reshape(a, (n, n)), np.ravel(b)), shape)


# Factorisations.
def _cholesky(g: Any, y: Any, upper: Any) -> Any:
    """A = L L^T: L^-T phi(L^T g) L^-1, symmetrised, where phi keeps the lower triangle and half the diagonal."""
    lower, g = (y.mT, g.mT) if upper else (y, g)
    n = np.shape(lower)[-1]
    half = np.tril(np.ones((n, n), g.dtype)) - _like(n, g) / 2
    inverse = la.inv(lower)
    return _symmetric(inverse.mT @ ((lower.mT @ g) * half) @ inverse)


derivative(la.cholesky, a=_cholesky)


def reduced_qr(a: Any) -> Any:
    """Q R of a matrix with at least as many rows as columns."""
    return la.qr(a)


def _qr(g: Any, y: Any) -> Any:
    """(gQ + Q copy(M)) R^-T with M = R gR^T - gQ^T Q, where copy mirrors the lower triangle (Seeger et al., 3.3)."""
    (q, r), (gq, gr) = y, g
    m = r @ gr.mT - gq.mT @ q
    mirrored = np.tril(m) + np.tril(m, -1).mT
    return la.solve(r, (gq + q @ mirrored).mT).mT


REDUCED_QR = derivative(reduced_qr, a=_qr)


@definition(la.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """For wide matrices [A1 A2] = Q [R1 Q^T A2] with A1 = Q R1."""
    rows, columns = np.shape(a)[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and rows <= columns):
        raise NotImplementedError(f"np.linalg.qr of shape {np.shape(a)} with mode {mode!r} has no derivative; use 'reduced'")
    q, r = REDUCED_QR((a[..., :, :rows] if columns > rows else a,), {})
    if columns > rows:
        r = np.concatenate([r, q.mT @ a[..., :, rows:]], axis=-1)
    return r if mode == "r" else type(la.qr(np.eye(1)))(q, r)


def _gaps(values: Any) -> Any:
    """1 / (v_j - v_i), with zeros on the diagonal."""
    n = np.shape(values)[-1]
    eye = np.eye(n, dtype=bool)
    difference = np.expand_dims(values, -2) - np.expand_dims(values, -1)
    return np.where(eye, 0, 1 / np.where(eye, 1, difference))


def _eigh(g: Any, y: Any) -> Any:
    """V (diag(gw) + F * (V^T gV)) V^T with F_ij = 1 / (w_j - w_i): eigenvalues that meet have no such derivative."""
    (w, v), (gw, gv) = y, g
    return _symmetric(v @ (_diagonal(gw) + _gaps(w) * (v.mT @ gv)) @ v.mT)


derivative(la.eigh, a=_eigh)


def _eigvalsh(g: Any, a: Any, UPLO: str) -> Any:
    """V diag(g) V^T, which needs no distinct eigenvalues."""
    v = la.eigh(a, UPLO)[1]
    return v @ (np.expand_dims(g, -1) * v.mT)


derivative(la.eigvalsh, a=_eigvalsh)


def reduced_svd(a: Any) -> Any:
    return la.svd(a, full_matrices=False)


def _svd(g: Any, y: Any) -> Any:
    """With F_ij = 1 / (s_j^2 - s_i^2): U [(F * (U^T gU - gU^T U)) S + S (F * (V^T gV - gV^T V)) + gS] V^T, and for a
    rectangular matrix what of gU and gV is outside the spans of U and V (Giles 2008; Townsend 2016)."""
    (u, s, vh), (gu, gs, gvh) = y, g
    v, gv = vh.mT, gvh.mT
    f, s_row = _gaps(s * s), np.expand_dims(s, -2)
    s_column = np.expand_dims(s, -1)
    skew = lambda m: m - m.mT
    middle = f * skew(u.mT @ gu) * s_row + s_column * (f * skew(v.mT @ gv)) + _diagonal(gs)
    outside_u = (gu - u @ (u.mT @ gu)) / s_row
    outside_v = (gv - v @ (v.mT @ gv)) / s_row
    return (u @ middle + outside_u) @ vh + u @ outside_v.mT


REDUCED_SVD = derivative(reduced_svd, a=_svd)


@definition(la.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if not compute_uv:
        return la.svdvals(a)
    if full_matrices and np.shape(a)[-1] != np.shape(a)[-2]:
        raise NotImplementedError("the full np.linalg.svd of a rectangular matrix has no derivative; full_matrices=False")
    return type(la.svd(np.eye(1)))(*REDUCED_SVD((a,), {}))


def _svdvals(g: Any, x: Any) -> Any:
    """U diag(g) V^T, which needs no distinct singular values."""
    u, _, vh = la.svd(x, full_matrices=False)
    return u @ (np.expand_dims(g, -1) * vh)


derivative(la.svdvals, x=_svdvals)


def _pinv(g: Any, a: Any, y: Any) -> Any:
    """-P^T g P^T + (I - A P) g^T P P^T + P^T P g^T (I - P A) for P = pinv(A) of constant rank (Golub & Pereyra)."""
    m, n = np.shape(a)[-2:]
    first = -(y.mT @ g @ y.mT)
    return first + (_like(m, g) - a @ y) @ g.mT @ y @ y.mT + y.mT @ y @ g.mT @ (_like(n, g) - y @ a)


derivative(la.pinv, a=_pinv)


@definition(la.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Solution pinv(a) b, squared residuals, rank, singular values."""
    rows, columns = np.shape(a)
    limit = np.finfo(a.dtype).eps * max(rows, columns) if rcond is None else rcond
    x = la.pinv(a, limit) @ b
    s = la.svdvals(a)
    rank = int(np.sum(s > limit * np.max(s)))
    residuals = np.sum((a @ x - b) ** 2, axis=0, keepdims=np.ndim(b) == 1)
    return x, residuals if rank == columns < rows else np.zeros(0, a.dtype), rank, s


# Norms.
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """(sum |x|^p)^(1/p); at 0 the gradient is 0."""
    if ord == 2 or ord is None:
        return root(np.sum(x * x, axis=axis, keepdims=keepdims))
    size = np.abs(x)
    if ord == np.inf:
        return np.max(size, axis=axis, keepdims=keepdims)
    if ord == -np.inf:
        return np.min(size, axis=axis, keepdims=keepdims)
    if ord == 0:
        return np.sum(np.not_equal(x, 0), axis=axis, keepdims=keepdims).astype(x.dtype)
    if ord == 1:
        return np.sum(size, axis=axis, keepdims=keepdims)
    zero = np.equal(x, 0)
    powers = np.where(zero, 0.0 if ord > 0 else np.inf, np.where(zero, 1, size) ** ord)
    total = np.sum(powers, axis=axis, keepdims=keepdims)
    flat = np.equal(total, 0) | np.isinf(total)
    return np.where(flat, 0, np.where(flat, 1, total) ** (1 / ord))


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of the last two axes: Frobenius, nuclear, or induced (1, -1, 2, -2, inf, -inf)."""
    if ord in ("fro", None):
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in ("nuc", 2, -2):
        s = la.svdvals(x)
        result = np.sum(s, axis=-1) if ord == "nuc" else np.max(s, axis=-1) if ord == 2 else np.min(s, axis=-1)
    elif ord in (1, -1, np.inf, -np.inf):
        sums = np.sum(np.abs(x), axis=-2 if abs(ord) == 1 else -1)
        result = np.max(sums, axis=-1) if ord > 0 else np.min(sums, axis=-1)
    else:
        raise ValueError(f"there is no matrix norm of order {ord!r}")
    return _column(result) if keepdims else result


definition(la.vector_norm)(vector_norm)
definition(la.matrix_norm)(matrix_norm)


@definition(la.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if axis is None:
        if ord is None or np.ndim(x) == 1:
            return vector_norm(x, ord=ord, axis=None, keepdims=keepdims)
        axis = tuple(range(np.ndim(x)))
    if isinstance(axis, int) or len(axis) == 1:
        return vector_norm(x, ord=ord, axis=axis, keepdims=keepdims)
    result = matrix_norm(np.moveaxis(x, axis, (-2, -1)), ord=ord, keepdims=keepdims)
    return np.moveaxis(result, (-2, -1), axis) if keepdims else result


@definition(la.cond)
def cond(x: Any, p: Any = None) -> Any:
    if p in (None, 2, -2):
        s = la.svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return matrix_norm(x, ord=p) * matrix_norm(la.inv(x), ord=p)


# numpy.linalg's own doors to functions of the main namespace.
definition(la.matrix_transpose)(lambda x, /: np.matrix_transpose(x))
definition(la.diagonal)(lambda x, /, *, offset=0: np.diagonal(x, offset, -2, -1))
definition(la.trace)(lambda x, /, *, offset=0, dtype=None: np.trace(x, offset, -2, -1, dtype))

without_gradient(la.matrix_rank)
unsupported("complex numbers", la.eig, la.eigvals)
