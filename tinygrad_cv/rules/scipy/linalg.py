"""The calculus table of scipy.linalg.

The conventions are those of numpy.linalg's: no conjugates for holomorphic functions, Hermitian
gradients for functions of Hermitian matrices, LinAlgError where a derivative does not exist. What
has the name of a function of NumPy's has its formulas.

Functions of a matrix have one formula. The Frechet derivative L(A, E) of f at A, along E, stands in
the upper right block of

    f([[A, E], [0, A]]) = [[f(A), L(A, E)], [0, f(A)]]

(Higham 2008, "Functions of Matrices", section 3.2). It is linear in E, and its transpose is
L(A^T, .), so that it serves both directions; as it is a value of f, it is differentiated again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import linalg

from ...engine.errors import name_of
from ...engine.operands import conjugate, is_complex
from ...tensor import Rule, unwrap
from ...typing import Array, Function, Shape
from ..numpy import linalg as numpy_linalg
from ..numpy import svd as numpy_svd
from ..numpy.eigen import EigenRule, eigh_gradient, eigh_tangent
from ..numpy.matrices import as_column, identity, largest_of, mh
from ..table import as_array, definition, derivative

UNCHECKED = ("check_finite",)  # an option without influence on a gradient

# ---------------------------------------------------------------------------- functions of a matrix


def frechet(function: Function, a: Array, e: Array) -> Array:
    """L(A, E): the derivative of a function of matrices at A along E.

    E is brought to the size of A first, by a power of two, since SciPy's algorithms choose their
    steps by the size of the whole. A number is a matrix of one element.
    """
    a, e = np.atleast_2d(a), np.atleast_2d(e)
    n = np.shape(a)[-1]
    scale = _power_of_two(largest_of(a), largest_of(e))
    top = np.concatenate([a, e * scale], axis=-1)  # (..., n, 2n)
    bottom = np.concatenate([np.zeros_like(unwrap(a)), a], axis=-1)
    whole = function(np.concatenate([top, bottom], axis=-2))  # (..., 2n, 2n)
    return whole[..., :n, n:] / scale


def transposed(a: Array) -> Array:
    """A^T."""
    return np.atleast_2d(a).mT


def _power_of_two(size: Array, other: Array) -> Array:
    """The one that brings another size to this one; a size of 0 or infinity counts as 1."""
    limit = np.finfo(size.dtype).maxexp - 2
    exponent = np.clip(_exponent(size) - _exponent(other), -limit, limit)
    return np.ldexp(np.ones_like(size), exponent)


def _exponent(size: Array) -> Array:
    usable = np.isfinite(size) & (size > 0)
    return np.frexp(np.where(usable, size, 1))[1]


def _matrix_function(function: Function) -> Rule:
    rule: Rule = derivative(function, A=lambda g, A: frechet(rule, transposed(A), g))
    return rule.tangent(A=lambda t, A: frechet(rule, A, t))


expm = _matrix_function(linalg.expm)
logm = _matrix_function(linalg.logm)
for _function in (linalg.sqrtm, linalg.signm):
    _matrix_function(_function)
for _function in (linalg.cosm, linalg.sinm, linalg.tanm, linalg.coshm, linalg.sinhm, linalg.tanhm):
    _matrix_function(_function)


def _power(g: Array, A: Array, t: float) -> Array:
    return frechet(lambda a: fractional_matrix_power(a, t), transposed(A), g)


fractional_matrix_power: Rule = derivative(
    linalg.fractional_matrix_power,
    A=_power,
    t=lambda g, A, y: np.sum(g * (y @ logm(A))),
)


@definition(linalg.expm_frechet, inert=("method", *UNCHECKED))
def expm_frechet(A: Array, E: Array, compute_expm: bool = True) -> Any:
    """exp(A) and L(A, E), or this alone."""
    along = frechet(expm, as_array(A), as_array(E))
    return (expm(A), along) if compute_expm else along


# ------------------------------------------------------------------------------- triangular systems

Transposition = int | str  # of the operator: 0 or "N" for A, 1 or "T" for A^T, 2 or "C" for A^H
TRANSPOSITIONS: dict[Transposition, int] = {"N": 0, "T": 1, "C": 2, 0: 0, 1: 1, 2: 2}


def _solve_transposed(
    g: Array,
    a: Array,
    b_shape: Shape,
    trans: Transposition,
    lower: bool,
    unit_diagonal: bool,
) -> Array:
    """op(A)^-T g; a b of one axis is a vector."""
    if len(b_shape) == 1:
        g = as_column(g)
    trans = TRANSPOSITIONS[trans]
    if trans == 2:
        h = solve_triangular(conjugate(a), g, 0, lower, unit_diagonal)
    else:
        h = solve_triangular(a, g, 1 - trans, lower, unit_diagonal)
    return np.squeeze(h, -1) if len(b_shape) == 1 else h


def _as_operator(x: Array, trans: Transposition) -> Array:
    """op(X): X, X^T or X^H."""
    trans = TRANSPOSITIONS[trans]
    if trans == 2:
        x = conjugate(x)
    return x if trans == 0 else x.mT


def _read(x: Array, lower: bool, unit_diagonal: bool) -> Array:
    """The elements of a matrix that are read, with zeros in the place of the others."""
    beyond = 1 if unit_diagonal else 0
    return np.tril(x, -beyond) if lower else np.triu(x, beyond)


def _triangular_matrix(
    g: Array,
    a: Array,
    y: Array,
    b_shape: Shape,
    trans: Transposition,
    lower: bool,
    unit_diagonal: bool,
) -> Array:
    """-(op(A)^-T g) x^T is the gradient of op(A), and op of it that of A."""
    h = _solve_transposed(g, a, b_shape, trans, lower, unit_diagonal)
    if len(b_shape) == 1:
        h, y = as_column(h), as_column(y)
    return _read(_as_operator(-(h @ y.mT), trans), lower, unit_diagonal)


def _triangular_tangent(
    t: Array,
    a: Array,
    y: Array,
    b_shape: Shape,
    trans: Transposition,
    lower: bool,
    unit_diagonal: bool,
) -> Array:
    """-op(A)^-1 op(A') x."""
    moved = _as_operator(_read(t, lower, unit_diagonal), trans)
    if len(b_shape) > 1:
        return solve_triangular(a, -(moved @ y), trans, lower, unit_diagonal)
    column = solve_triangular(a, -(moved @ as_column(y)), trans, lower, unit_diagonal)
    return np.squeeze(column, -1)


solve_triangular: Rule = derivative(
    linalg.solve_triangular,
    a=_triangular_matrix,
    b=_solve_transposed,
    linear=("b",),
    inert=("overwrite_b", *UNCHECKED),
).tangent(a=_triangular_tangent)


@definition(linalg.cho_solve, inert=("overwrite_b", *UNCHECKED))
def cho_solve(c_and_lower: tuple[Array, bool], b: Array) -> Array:
    """A^-1 b for A = L L^H or U^H U, the same of all matrices. Raises ValueError for others."""
    c, lower = c_and_lower
    lower = np.unique(lower).item()
    first, second = (0, 2) if lower else (2, 0)
    y = solve_triangular(c, b, first, lower)
    return solve_triangular(c, y, second, lower)


@definition(linalg.solve_banded, inert=("overwrite_ab", "overwrite_b", *UNCHECKED))
def solve_banded(
    l_and_u: tuple[int, int],
    ab: Array,
    b: Array,
) -> Array:
    """A^-1 b, where row u + i - j of ab has the elements A_ij of a diagonal."""
    _, upper = l_and_u
    ab = as_array(ab)
    rows, n = np.shape(ab)[-2:]
    i, j = np.indices((n, n))
    band = upper + i - j
    inside = (band >= 0) & (band < rows)
    dense = np.where(inside, ab[..., np.clip(band, 0, rows - 1), j], 0)
    return np.linalg.solve(dense, b)


@definition(linalg.lu_solve, inert=("overwrite_b", *UNCHECKED))
def lu_solve(
    lu_and_piv: tuple[Array, Array],
    b: Array,
    trans: int = 0,
) -> Array:
    """op(A)^-1 b for A = P^T L U."""
    lu, piv = lu_and_piv
    p = permutation(piv).astype(as_array(lu).dtype)
    if trans == 0:
        y = solve_triangular(lu, p @ b, 0, True, True)
        return solve_triangular(lu, y, 0, False)
    y = solve_triangular(lu, b, trans, False)
    return p.mT @ solve_triangular(lu, y, trans, True, True)


# ----------------------------------------------------------------------------------- factorisations


def _for_lapack(a: Array) -> Array:
    """Half precision as single: NumPy refuses it, SciPy takes it so."""
    a = as_array(a)
    return a.astype(np.float32) if a.dtype == np.float16 else a


def permutation(piv: Array, rows: int | None = None) -> np.ndarray:
    """The matrix P of LAPACK's exchanges: row i with row piv[i], one after the other.

    A wide or square matrix has as many exchanges as `rows`, a tall one fewer.
    """
    piv = unwrap(piv)
    *batch, n = piv.shape
    rows = n if rows is None else rows
    order = np.broadcast_to(np.arange(rows), (*batch, rows)).copy()
    for i in range(n):
        other = piv[..., i : i + 1]
        here, there = order[..., i : i + 1].copy(), np.take_along_axis(order, other, -1)
        np.put_along_axis(order, other, here, -1)
        order[..., i : i + 1] = there
    return np.eye(rows)[order]  # (..., rows, rows)


def _lu_factor(g: Sequence[Array], y: Sequence[Array]) -> Array:
    """P^T L^-T (tril(L^T g, -1) + triu(g U^T)) U^-T for P A = L U, L and U packed in one matrix."""
    lu, piv = y
    rows, columns = np.shape(lu)[-2:]
    if rows != columns:
        raise NotImplementedError(
            f"scipy.linalg.lu_factor is differentiated for square matrices, not {rows} x {columns}"
        )
    unit, upper = np.tril(lu, -1) + identity(rows, lu), np.triu(lu)
    below, above = np.tril(g[0], -1), np.triu(g[0])
    middle = np.tril(unit.mT @ below, -1) + np.triu(above @ upper.mT)
    left = solve_triangular(unit, middle, 1, True, True)
    return permutation(piv).mT @ solve_triangular(upper, left.mT).mT


def _lu_factor_tangent(t: Array, y: Sequence[Array]) -> list[Array | None]:
    """L tril(F, -1) + triu(F) U for F = L^-1 P A' U^-1."""
    lu, piv = y
    unit, upper = np.tril(lu, -1) + identity(np.shape(lu)[-1], lu), np.triu(lu)
    left = solve_triangular(unit, permutation(piv) @ t, 0, True, True)
    f = solve_triangular(upper, left.mT, 1).mT
    return [unit @ np.tril(f, -1) + np.triu(f) @ upper, None]


lu_factor = derivative(linalg.lu_factor, a=_lu_factor, inert=("overwrite_a", *UNCHECKED)).tangent(
    a=_lu_factor_tangent
)


@definition(linalg.lu, inert=("overwrite_a", *UNCHECKED))
def lu(a: Array, permute_l: bool = False) -> Any:
    """A = P L U, or (P L) U; the derivative is that of a square matrix."""
    packed, piv = lu_factor(as_array(a))
    rows, columns = np.shape(packed)[-2:]
    least = min(rows, columns)
    lower = np.tril(packed[..., :least], -1) + np.eye(rows, least, dtype=packed.dtype)
    upper = np.triu(packed[..., :least, :])
    p = permutation(piv, rows).mT.astype(packed.dtype)
    return (p @ lower, upper) if permute_l else (p, lower, upper)


def cholesky_gradient(g: Array, y: Array, lower: bool) -> Array:
    return numpy_linalg.cholesky_gradient(g, y, not lower)


def cholesky_tangent(t: Array, y: Array, lower: bool) -> Array:
    return numpy_linalg.cholesky_tangent(t, y, not lower)


cholesky = derivative(
    linalg.cholesky, a=cholesky_gradient, inert=("overwrite_a", *UNCHECKED)
).tangent(a=cholesky_tangent)


@definition(linalg.cho_factor, inert=("overwrite_a", *UNCHECKED))
def cho_factor(a: Array, lower: bool = False) -> tuple[Array, Any]:
    """The factor, and in the other triangle what stands there in A, which LAPACK does not touch."""
    a = as_array(a)
    factor = cholesky(a, lower)
    other = np.triu(a, 1) if lower else np.tril(a, -1)
    batch = np.shape(factor)[:-2]
    return factor + other, np.full(batch, lower) if batch else lower


@definition(linalg.qr, inert=("overwrite_a", "lwork", *UNCHECKED))
def qr(a: Array, mode: str = "full") -> Any:
    """np.linalg.qr."""
    modes = {"full": "complete", "economic": "reduced"}
    result = numpy_linalg.qr(_for_lapack(a), modes.get(mode, mode))
    return (result,) if mode == "r" else tuple(result)


def with_vectors(
    a: Array,
    full_matrices: bool,
    lapack_driver: str,
) -> tuple[Array, Array, Array]:
    """The SVD; each driver gives the vectors signs of its own."""
    u, s, vh = linalg.svd(a, full_matrices, lapack_driver=lapack_driver)
    return u, s, vh


with_vectors = derivative(
    with_vectors,
    a=numpy_svd.full_svd_gradient,
    inert=("full_matrices", "lapack_driver"),
    kind=numpy_svd.SingularRule,
)
with_vectors.tangent(a=numpy_svd.full_svd_tangent)


@definition(linalg.svd, inert=("overwrite_a", *UNCHECKED))
def svd(
    a: Array,
    full_matrices: bool = True,
    compute_uv: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    """U, singular values, V^H, or the values alone."""
    a = _for_lapack(a)
    if not compute_uv:
        return np.linalg.svdvals(a)
    return tuple(with_vectors(a, full_matrices, lapack_driver))


@definition(linalg.svdvals, inert=("overwrite_a", *UNCHECKED))
def svdvals(a: Array) -> Array:
    """np.linalg.svdvals."""
    return np.linalg.svdvals(_for_lapack(a))


EIGEN = ("overwrite_a", "overwrite_b", *UNCHECKED)


@definition(linalg.eigvalsh, inert=("driver", *EIGEN))
def eigvalsh(a: Array, lower: bool = True) -> Array:
    """np.linalg.eigvalsh."""
    return np.linalg.eigvalsh(_for_lapack(a), "L" if lower else "U")


def eigen(a: Array, lower: bool, driver: str | None) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of a Hermitian matrix; each driver gives these signs of its
    own."""
    w, v = linalg.eigh(a, lower=lower, driver=driver)
    return w, v


eigen = derivative(eigen, a=eigh_gradient, inert=("lower", "driver"), kind=EigenRule)
eigen.tangent(a=eigh_tangent)


@definition(linalg.eigh, inert=EIGEN)
def eigh(
    a: Array,
    lower: bool = True,
    eigvals_only: bool = False,
    driver: str | None = None,
) -> Any:
    """Eigenvalues and eigenvectors, or the eigenvalues alone."""
    return eigvalsh(a, lower=lower) if eigvals_only else tuple(eigen(a, lower, driver))


# ------------------------------------------------------------- what has the formulas of NumPy's own


@definition(linalg.inv, inert=("overwrite_a", *UNCHECKED))
def inv(a: Array) -> Array:
    """np.linalg.inv."""
    return np.linalg.inv(_for_lapack(a))


@definition(linalg.det, inert=("overwrite_a", *UNCHECKED))
def det(a: Array) -> Array:
    """np.linalg.det."""
    return np.linalg.det(_for_lapack(a))


@definition(linalg.solve, inert=("overwrite_a", "overwrite_b", *UNCHECKED))
def solve(a: Array, b: Array) -> Array:
    """np.linalg.solve."""
    return np.linalg.solve(_for_lapack(a), _for_lapack(b))


@definition(linalg.norm, inert=UNCHECKED)
def norm(
    a: Array,
    ord: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Array:
    """np.linalg.norm."""
    return np.linalg.norm(a, ord, axis, keepdims)


@definition(linalg.pinv, inert=UNCHECKED)
def pinv(a: Array, rtol: float | None = None) -> Array:
    """np.linalg.pinv, with SciPy's limit for what counts as zero."""
    a = _for_lapack(a)
    if rtol is None:
        rtol = max(np.shape(a)[-2:]) * float(np.finfo(a.dtype).eps)
    return np.linalg.pinv(a, rtol=rtol)


@definition(linalg.lstsq, inert=("overwrite_a", "overwrite_b", *UNCHECKED))
def lstsq(
    a: Array,
    b: Array,
    cond: float | None = None,
) -> Any:
    """np.linalg.lstsq; the squared residual of one vector is a number."""
    a, b = _for_lapack(a), _for_lapack(b)
    cond = float(np.finfo(a.dtype).eps) if cond is None else cond
    x, residuals, rank, s = numpy_linalg.lstsq(a, b, cond)
    if np.shape(a)[-1] == 0:
        residuals = np.sum(np.abs(b) ** 2, axis=0)
    elif np.ndim(b) == 1 and np.size(residuals) == 1:
        residuals = residuals[0]
    return x, residuals, rank, s


@definition(linalg.polar)
def polar(a: Array, side: str = "right") -> tuple[Array, Array]:
    """A = U P ("right") or P U ("left"), U unitary and P positive, from the SVD W S V^H."""
    w, s, vh = np.linalg.svd(_for_lapack(a), full_matrices=False)
    vectors = mh(vh) if side == "right" else w
    return w @ vh, (vectors * np.expand_dims(s, -2)) @ mh(vectors)


# --------------------------------------------------- linear matrix equations, by their own solution


def of_one_dtype(*matrices: Array) -> list[Array]:
    """Matrices in the dtype of all."""
    dtype = np.result_type(*[matrix.dtype for matrix in matrices])
    return [matrix.astype(dtype, copy=False) for matrix in matrices]


def _of_one_kind(function: Function, *matrices: Array) -> list[Array]:
    """Matrices that are all real or all complex.

    Raises TypeError for others: SciPy's solvers take the real Schur form for a triangular one, and
    what they give is no solution.
    """
    arrays = [as_array(matrix) for matrix in matrices]
    kinds = {is_complex(array) for array in arrays}
    if len(kinds) > 1:
        raise TypeError(
            f"{name_of(function)}: SciPy's solution for real and complex matrices together is "
            "wrong; give all of them as complex ones"
        )
    return arrays


def sylvester(a: Array, b: Array, q: Array) -> Array:
    """X with A X + X B = Q."""
    return linalg.solve_sylvester(*of_one_dtype(a, b, q))


def _sylvester_adjoint(g: Array, a: Array, b: Array) -> Array:
    """S with A^T S + S B^T = g."""
    return sylvester(a.mT, b.mT, g)


sylvester = derivative(
    sylvester,
    a=lambda g, a, b, y: -(_sylvester_adjoint(g, a, b) @ y.mT),
    b=lambda g, a, b, y: -(y.mT @ _sylvester_adjoint(g, a, b)),
    q=_sylvester_adjoint,
).tangent(
    a=lambda t, a, b, y: -sylvester(a, b, t @ y),
    b=lambda t, a, b, y: -sylvester(a, b, y @ t),
    q=lambda t, a, b: sylvester(a, b, t),
)


@definition(linalg.solve_sylvester)
def solve_sylvester(a: Array, b: Array, q: Array) -> Array:
    """A X + X B = Q."""
    return sylvester(*_of_one_kind(linalg.solve_sylvester, a, b, q))


@definition(linalg.solve_continuous_lyapunov)
def solve_continuous_lyapunov(a: Array, q: Array) -> Array:
    """A X + X A^H = Q."""
    a, q = np.atleast_2d(a), np.atleast_2d(q)
    a, q = _of_one_kind(linalg.solve_continuous_lyapunov, a, q)
    return sylvester(a, mh(a), q)


def discrete_lyapunov(a: Array, q: Array) -> Array:
    """X with A X A^H - X + Q = 0."""
    return linalg.solve_discrete_lyapunov(*of_one_dtype(a, q))


def _discrete_lyapunov(g: Array, a: Array, y: Array) -> Array:
    """S (X A^H)^T + (S^T A X)^* with A^T S A^* - S + g = 0."""
    s = discrete_lyapunov(a.mT, g)
    return s @ (y @ mh(a)).mT + conjugate(s.mT @ a @ y)


discrete_lyapunov = derivative(
    discrete_lyapunov,
    a=_discrete_lyapunov,
    q=lambda g, a: discrete_lyapunov(a.mT, g),
).tangent(
    a=lambda t, a, y: discrete_lyapunov(a, t @ y @ mh(a) + a @ y @ mh(t)),
    q=lambda t, a: discrete_lyapunov(a, t),
)


@definition(linalg.solve_discrete_lyapunov, inert=("method",))
def solve_discrete_lyapunov(a: Array, q: Array) -> Array:
    """A X A^H - X + Q = 0."""
    return discrete_lyapunov(*_of_one_kind(linalg.solve_discrete_lyapunov, a, q))


# -------------------------------------------------------------------------- matrices of a structure


@definition(linalg.block_diag)
def block_diag(arrs: tuple[Array, ...]) -> Array:
    """The matrices along the diagonal, with zeros around them; a vector is a row."""
    blocks = [np.atleast_2d(as_array(a)) for a in arrs] or [np.zeros((1, 0))]
    batch = np.broadcast_shapes(*[np.shape(block)[:-2] for block in blocks])
    width = sum(np.shape(block)[-1] for block in blocks)
    rows = []
    before = 0
    for block in blocks:
        height, own = np.shape(block)[-2:]
        left = np.zeros((*batch, height, before))
        right = np.zeros((*batch, height, width - before - own))
        block = np.broadcast_to(block, (*batch, height, own))
        rows.append(np.concatenate([left, block, right], axis=-1))
        before += own
    return np.concatenate(rows, axis=-2)


def _by_places(values: Array, places: np.ndarray) -> Array:
    """(..., n) -> (..., *places.shape)."""
    return np.take(values, places, axis=-1)


@definition(linalg.toeplitz)
def toeplitz(c: Array, r: Array | None = None) -> Array:
    """Constant along diagonals: c is the first column, r the first row (c^* without it)."""
    c = np.atleast_1d(c)
    r = conjugate(c) if r is None else np.atleast_1d(r)
    *batch, n = np.shape(c)
    *r_batch, m = np.shape(r)
    batch = np.broadcast_shapes(batch, r_batch)
    c, r = np.broadcast_to(c, (*batch, n)), np.broadcast_to(r, (*batch, m))
    values = np.concatenate([np.flip(c, -1), r[..., 1:]], axis=-1)
    return _by_places(values, (n - 1) - np.arange(n)[:, None] + np.arange(m))


@definition(linalg.hankel)
def hankel(c: Array, r: Array | None = None) -> Array:
    """Constant along antidiagonals: c is the first column, r the last row (0 without it)."""
    c = np.ravel(c)
    r = np.zeros_like(unwrap(c)) if r is None else np.ravel(r)
    values = np.concatenate([c, r[1:]])
    n, m = np.size(c), np.size(r)
    return _by_places(values, np.arange(n)[:, None] + np.arange(m))


@definition(linalg.circulant)
def circulant(c: Array) -> Array:
    """Each column is the one before it, moved down by one."""
    c = np.atleast_1d(c)
    n = np.shape(c)[-1]
    return _by_places(c, (np.arange(n)[:, None] - np.arange(n)) % n)


@definition(linalg.khatri_rao)
def khatri_rao(a: Array, b: Array) -> Array:
    """Kronecker's product column by column: (n, k), (m, k) -> (n m, k)."""
    products = np.expand_dims(a, -2) * np.expand_dims(b, -3)  # (..., n, m, k)
    *batch, n, m, k = np.shape(products)
    return np.reshape(products, (*batch, n * m, k))
