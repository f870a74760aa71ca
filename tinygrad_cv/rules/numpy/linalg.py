"""The calculus table of numpy.linalg, with batch dimensions, of real and complex matrices.

Conventions. Functions of a Hermitian matrix (cholesky, eigh, eigvalsh) are differentiated along
Hermitian changes: their gradient is Hermitian, whichever triangle NumPy reads. A singular value of
0 has gradient 0, if the values alone are used. Where a derivative does not exist, LinAlgError is
raised; nothing returns NaN.

Equal values. Their vectors are any basis of the space that they span. A loss that does not depend
on the choice, as a function of the matrix V diag(f(w)) V^H, has a gradient, which is a limit: the
way back takes it (`Limit`), and raises LinAlgError for any other loss, as it does for a second
derivative. Forward mode computes the tangents of all vectors, and refuses; those of the values
alone (eigvalsh, svdvals) it has, right for every loss that has a derivative.

Complex matrices. A holomorphic function (inv, solve, det, the eigenvalues of eig) has the formula
of the real one, with transposes where the textbook has conjugate transposes, since the conjugate of
the gradient is carried on the way back. For the others a formula F(G; U, S, V) of the papers, in
which X^H is the conjugate transpose, takes the conjugates of the values instead: what is carried is
conj F(G; U, S, V) = F(conj G; conj U, S, conj V).

Phases. Complex eigenvectors are unique up to a factor e^(i phi) each, singular vectors up to one
for each pair u_k, v_k. A loss has a gradient if it does not depend on these factors, as those of
|v|^2, v v^H, u v^H or of the values alone; for any other the way back raises LinAlgError. Forward
mode cannot see the loss: tangents of vectors are those with v_k^H v_k' = 0 (for pairs of singular
vectors u_k^H u_k' + v_k^H v_k' = 0), which are right for every loss that has a derivative.

Sources: Giles 2008, "Collected matrix derivative results"; Townsend 2016, "Differentiating the
singular value decomposition"; Seeger et al. 2017, "Auto-differentiating linear algebra"; Murray
2016, "Differentiation of the Cholesky decomposition"; Golub & Pereyra 1973 for the pseudo-inverse;
Wan & Zhang 2019, "Automatic differentiation for complex valued SVD"; Boeddeker et al. 2017, "On the
computation of complex-valued gradients", for eig; and PyTorch's notes on torch.linalg.eig and
torch.linalg.svd for what depends on phases.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from math import prod
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy import linalg

from ...engine.operands import conjugate
from ...tensor import LimitRule, Node, Place, Rule, Tensor, place_of, pushforward, unwrap
from ...typing import Array, DTypeLike, Shape
from ..table import as_array, definition, derivative, without_gradient

Divisor: TypeAlias = Callable[[Array], Array]
Triangle: TypeAlias = Literal["L", "U", "l", "u"]  # the one of a Hermitian matrix that is read


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


def _diagonal_of(x: Array) -> Array:
    """(..., n, n) -> (..., n), the diagonal."""
    return np.diagonal(x, axis1=-2, axis2=-1)


def _mh(x: Array) -> Array:
    """x^H, the conjugate transpose of a matrix; of a real one the transpose."""
    return conjugate(x).mT


def _hermitian(x: Array) -> Array:
    """The Hermitian part of a matrix; of a real one the symmetric part."""
    return (x + _mh(x)) / 2


def _skew(x: Array) -> Array:
    """The skew-Hermitian part of a matrix."""
    return (x - _mh(x)) / 2


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


def _solve_tangent(
    t: Array,
    a: Array,
    y: Array,
    b_shape: Shape,
) -> Array:
    """-A^-1 A' x."""
    if len(b_shape) == 1:
        return -np.squeeze(linalg.solve(a, t @ _column(y)), -1)
    return -linalg.solve(a, t @ y)


derivative(linalg.solve, a=_solve_matrix, b=_solve_adjoint, linear="b").tangent(a=_solve_tangent)


def _svd_with_sign(a: Array) -> tuple[Array, Array, Array, Array]:
    """conj U, singular values, conj V^H, and det(U V^H), of size 1."""
    u, s, vh = linalg.svd(a)
    sign = linalg.det(u) * linalg.det(vh)
    return conjugate(u), s, conjugate(vh), _number(sign)


def _regular(a: Array) -> tuple[Array, Array] | None:
    """det(A) and A^-T where they lose no more than a third of the digits; else None.

    They are what is fast: the SVD takes ten times as long as both.
    """
    try:
        with np.errstate(over="ignore"):
            det, inverse = linalg.det(a), linalg.inv(a)
    except linalg.LinAlgError:
        return None
    condition = np.shape(a)[-1] * _largest(a) * _largest(inverse)
    good = condition < np.finfo(condition.dtype).eps ** (-1 / 3)
    if np.all(good & np.isfinite(_number(det)) & (_number(det) != 0)):
        return _number(det), inverse.mT
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
    others = np.where(own, 1, _row(s))  # (..., n, n)
    middle = np.prod(others, axis=-1)  # (..., n)
    return sign * ((u * _row(middle)) @ vh)


def _cofactor_gradient(g: Array, a: Array) -> Array:
    """det(A) (tr(A^-1 g) A^-T - A^-T g^T A^-T).

    Where A may be singular through the SVD: for E = U^H g V and P_ij the product of all singular
    values but s_i and s_j, P_ii = 0, it is det(U V^H) conj(U) (diag(P diag E) - P * E^T) conj(V^H).
    A second derivative is symmetric, so that this is the tangent too.
    """
    recorded = isinstance(a, Tensor)
    if regular := (_number(linalg.det(a)), linalg.inv(a).mT) if recorded else _regular(a):
        det, inverse = regular
        trace = np.sum(g * inverse, axis=(-2, -1), keepdims=True)
        return det * (trace * inverse - inverse @ g.mT @ inverse)
    u, s, vh, sign = _svd_with_sign(a)
    eye = np.eye(s.shape[-1], dtype=bool)
    pair = eye[:, None, :] | eye[None, :, :]
    values = np.where(pair, 1, s[..., None, None, :])
    products = np.prod(values, axis=-1) * ~eye  # (..., n, n)
    e = u.mT @ g @ vh.mT
    middle = (products @ _column(_diagonal_of(e))) * eye - products * e.mT
    return sign * (u @ middle @ vh)


cofactor = derivative(cofactor, a=_cofactor_gradient)
cofactor.tangent(a=lambda t, a: _cofactor_gradient(t, a))


def _det_tangent(t: Array, a: Array) -> Array:
    """<cof A, A'>."""
    return np.sum(cofactor(a) * t, axis=(-2, -1))


derivative(linalg.det, a=lambda g, a: _number(g) * cofactor(a)).tangent(a=_det_tangent)


def _slogdet(g: Sequence[Array], a: Array, y: Sequence[Array]) -> Array:
    """(g_log + i Im(g_sign sign)) A^-T; a real sign is constant, and there the second term is 0."""
    (gsign, glog), sign = g, y[0]
    if sign.dtype.kind == "c":
        glog = glog + 1j * np.imag(gsign * sign)
    return _number(glog) * linalg.inv(a).mT


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
        return np.where(True, _identity(a.shape[-1], a), a)
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
    return np.tril(x) - _diagonal(_diagonal_of(x)) / 2


def _cholesky(g: Array, y: Array, upper: bool) -> Array:
    """For A = L L^H: L^-H phi(L^H g) L^-1, its Hermitian part (Murray 2016)."""
    y = conjugate(y)
    if upper:
        y, g = _mh(y), _mh(g)
    left = linalg.solve(_mh(y), _half_lower(_mh(y) @ g))
    return _hermitian(linalg.solve(_mh(y), _mh(left)))


def _cholesky_tangent(t: Array, y: Array, upper: bool) -> Array:
    """L phi(L^-1 A' L^-H)."""
    factor = _mh(y) if upper else y
    left = linalg.solve(factor, _hermitian(t))
    tangent = factor @ _half_lower(linalg.solve(factor, _mh(left)))
    return _mh(tangent) if upper else tangent


derivative(linalg.cholesky, a=_cholesky).tangent(a=_cholesky_tangent)


def reduced_qr(a: Array) -> Any:
    """Q R of a matrix with at least as many rows as columns; the diagonal of R is real."""
    return linalg.qr(a)


def _qr(g: Sequence[Array], y: Sequence[Array]) -> Array:
    """(gQ + Q mirror(M)) R^-H with M = R gR^H - gQ^H Q, where mirror copies the lower triangle up,
    conjugated (Seeger et al. 2017)."""
    q, r = map(conjugate, y)
    gq, gr = g
    m = r @ _mh(gr) - _mh(gq) @ q
    half = _half_lower(m)
    mirrored = half + _mh(half)
    return _mh(linalg.solve(r, _mh(gq + q @ mirrored)))


def _qr_tangent(t: Array, y: Sequence[Array]) -> list[Array]:
    """Q' = A' R^-1 - Q P and R' = P R; P = phi(C + C^H)^H for C = Q^H A' R^-1 is upper
    triangular."""
    q, r = y
    scaled = linalg.solve(r.mT, t.mT).mT  # A' R^-1
    c = _mh(q) @ scaled
    p = _mh(_half_lower(c + _mh(c)))
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
    gq = _through_complement(conjugate(q), gq, k)
    return _qr([gq, gr[..., :k, :]], [q[..., :k], r[..., :k, :]])


def _complete_qr_tangent(t: Array, y: Sequence[Array]) -> list[Array]:
    """That of the reduced one, N' = -Q Q'^H N, and zeros."""
    q, r = y
    k = np.shape(r)[-1]
    vectors, n = q[..., :k], q[..., k:]
    tq, tr = _qr_tangent(t, [vectors, r[..., :k, :]])
    tn = -vectors @ (_mh(tq) @ n)
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
        rest = _mh(result.Q) @ a[..., rows:]
        result = result._replace(R=np.concatenate([result.R, rest], axis=-1))
    return result.R if mode == "r" else result


# ------------------------------------------------------------- eigenvalues and vectors, the SVD


def _is_negligible(difference: Array, size: Array, n: int) -> np.ndarray:
    """Whether a number is 0 up to the rounding of n numbers of a size."""
    plain = unwrap(difference)
    return np.abs(plain) <= n * np.finfo(plain.dtype).eps * unwrap(size)


def _largest(m: Array) -> np.ndarray:
    """(..., m, n) -> (..., 1, 1), the size of the largest element."""
    return np.max(np.abs(unwrap(m)), axis=(-2, -1), keepdims=True, initial=0)


def _refuse(where: np.ndarray, used: Array, error: str) -> None:
    """Raise LinAlgError if there are elements in which `used` is more than rounding."""
    if np.any(where & ~_is_negligible(used, _largest(used), np.shape(used)[-1])):
        raise linalg.LinAlgError(error)


def _equal_pairs(values: Array) -> np.ndarray:
    """Which of the values (..., n), which are sorted, are equal for all one can know: (..., n, n).

    The diagonal is False. LAPACK's errors are some n eps of the largest.
    """
    plain = unwrap(values)
    n = np.shape(plain)[-1]
    largest = np.max(np.abs(plain), axis=-1, keepdims=True, initial=0)
    apart = ~_is_negligible(np.diff(plain, axis=-1), largest, 10 * n)
    label = np.cumsum(np.concatenate([apart[..., :0], apart], axis=-1), axis=-1)
    label = np.concatenate([np.zeros((*label.shape[:-1], 1), int), label], axis=-1)[..., :n]
    return np.equal(_row(label), _column(label)) & ~np.eye(n, dtype=bool)


def _off_diagonal(m: Array) -> Array:
    """m with zeros on its diagonal."""
    return np.where(np.eye(np.shape(m)[-1], dtype=bool), 0, m)


def _over_gaps(m: Array, values: Array, equal: np.ndarray) -> Array:
    """m_ij / (v_j - v_i), and 0 on the diagonal and for equal values: how vectors turn."""
    gaps = _row(values) - _column(values)
    zero = equal | np.eye(np.shape(values)[-1], dtype=bool)
    return np.where(zero, 0, m / np.where(zero, 1, gaps))


def _no_vectors(name: str) -> str:
    return (
        f"{name} are equal: their vectors are not unique and have no derivative. If only the "
        "values are used, take np.linalg.eigvalsh or np.linalg.svdvals; for a function of a matrix "
        "see tinygrad_cv.scipy.linalg; else make the values distinct"
    )


def _apart(m: Array, values: Array, name: str) -> Array:
    """m_ij / (v_j - v_i). Raises LinAlgError if m is not 0 for equal values."""
    equal = _equal_pairs(values)
    rounding = _is_negligible(m, _largest(m), 10 * np.shape(values)[-1])
    if np.any(equal & ~rounding):
        raise linalg.LinAlgError(_no_vectors(name))
    return _over_gaps(m, values, equal)


def _refuse_equal(equal: np.ndarray, t: Array, error: str) -> None:
    """Raise LinAlgError for tangents of the vectors of equal values, of matrices that change."""
    moves = np.any(unwrap(t) != 0, axis=(-2, -1), keepdims=True)
    if np.any(equal & moves):
        raise linalg.LinAlgError(error)


def _check_equal(values: Array, g: Array, name: str) -> None:
    """Raise LinAlgError if equal values, which alone are used, have different gradients.

    The root of eps is far from rounding, and from what is not. A gradient that was recorded says
    how much of it is rounding of the values.
    """
    plain = unwrap(g)
    eps = np.finfo(plain.dtype).eps
    allowed = np.sqrt(eps) * _largest(_row(plain))
    if isinstance(g, Tensor) and place_of(values) is not None:
        change = _along(_steps(values), [g])[0]
        scale = _largest(_row(values)) * _largest(_row(change))
        allowed = allowed + 100 * np.shape(values)[-1] * eps * scale
    differences = np.abs(_differences(plain))
    if np.any(_equal_pairs(values) & ~(differences <= allowed)):
        raise linalg.LinAlgError(
            f"{name} are equal, and the loss weighs them differently: which is which is arbitrary, "
            "so that it has no gradient here. Make the values distinct"
        )


def _check_phases(name: str, *vectors_and_gradients: tuple[Array, Array]) -> None:
    """Raise LinAlgError if a loss depends on the phases of complex vectors, the columns.

    Turning v_k by a small angle changes the loss by the imaginary part of v_k^H g_k (of pairs of
    singular vectors: by the sum of both). If that should be 0, it is what rounding has left, some
    eps times the size of what is summed, and more where terms cancel in g; if not, it is of the
    order of that size. The square root of eps lies half-way. The eps that is added is for the
    gradient of a loss at its minimum, which is nothing but rounding.
    """
    turning: Any = 0
    size: Any = 0
    for vectors, g in vectors_and_gradients:
        products = conjugate(unwrap(vectors)) * unwrap(g)
        turning = turning + np.sum(products, axis=-2).imag
        size = size + np.sum(np.abs(products), axis=-2)
    if np.iscomplexobj(products):
        eps = np.finfo(products.dtype).eps
        largest = np.max(size, axis=-1, keepdims=True, initial=0)
        if np.any(np.abs(turning) > np.sqrt(eps) * largest + eps):
            raise linalg.LinAlgError(
                f"the loss depends on the phase of {name}, which is arbitrary, so that it has "
                "no gradient; use what does not depend on it, as np.abs(v) ** 2 or the "
                "projection v v^H"
            )


def _differences(values: Array) -> Array:
    """v_j - v_i."""
    return _row(values) - _column(values)


def _sums(values: Array) -> Array:
    """v_j + v_i."""
    return _row(values) + _column(values)


class Vectors(NamedTuple):
    """A matrix of vectors among the values of an operation, and how a loss depends on it."""

    place: Place
    carried: np.ndarray  # the vectors that belong to the values, conjugated as gradients are
    g: Array  # their gradient
    turning: np.ndarray  # how all vectors there may turn, along a random direction

    def size(self, g: Array) -> np.ndarray:
        """The size of what is summed in V^H g, (..., 1, 1)."""
        g = np.abs(unwrap(g))
        return _largest(np.abs(_mh(self.carried)) @ g) + _largest(g)


class Limit:
    """The gradient of a matrix by its values and vectors where quotients in it are 0 / 0.

    The vectors V of equal values may be any basis of the space they span. If the loss is a
    differentiable function of the matrix, it does not depend on the choice: the numerator m, which
    says how it changes as they turn, is 0 like the divisor d. Where the values w move apart, to
    w + t h, it is the loss at another matrix, of distinct values, whose gradient has the quotient
    m(t) / t d(h) in its place. For t -> 0 that is m'(0) / d(h), by l'Hopital's rule. The gradient
    of the loss, as it was recorded, is pushed along h.

    It is a limit only if the loss is such a function; then neither the numerators nor the gradient
    change as the vectors turn. `check` looks at one random turning, to first order. What it cannot
    see at the one basis that LAPACK has chosen: a loss whose first three derivatives there are
    those of a function of the matrix (as v^4 at v = 0), and kinks (as |v| at v = 0).
    """

    def __init__(self, values: Array, error: str) -> None:
        self.values, self.error = values, error
        self.steps = _steps(values)
        self.numerators: list[Array] = []  # what is to be 0

    def divide(self, m: Array, divisor: Divisor, zero: np.ndarray) -> Array:
        """m / d of the values, where d is linear; where it is `zero`, the limit."""
        (h,) = self.steps.values()
        (change,) = _along(self.steps, [m])
        d = np.where(zero, divisor(h), divisor(self.values))  # 0 only where m is 0
        self.numerators.append(np.where(zero, m, 0))
        return np.where(d == 0, 0, np.where(zero, change, m) / np.where(d == 0, 1, d))

    def check(self, gradient: Array, vectors: Sequence[Vectors]) -> None:
        """Raise LinAlgError if the numerators are not 0, or if the vectors' turning shows."""
        gradients = [part.g for part in vectors]
        moved = _along(self.steps, gradients)
        turning = {part.place: part.turning for part in vectors}
        turned_gradients = _along(turning, gradients)
        turned_moved = _along(turning, moved)

        def size(gs: Sequence[Array]) -> np.ndarray:
            sizes = [part.size(g) for part, g in zip(vectors, gs, strict=True)]
            return np.sum(sizes, axis=0)

        # What rounding of the vectors and the values makes of a number, and what is far from it.
        n = np.shape(self.values)[-1]
        far = np.sqrt(np.finfo(self.values.dtype).eps)
        eps = 100 * n * far**2
        w = _largest(_row(self.values))
        once = size(gradients) + size(turned_gradients)
        twice = size(moved) + size(turned_moved)
        thrice = size(_along(self.steps, moved))
        rounding = eps * (once + w * twice)
        allowed = far * (_largest(gradient) + twice) + eps * w * thrice

        *changes, turned = _along(turning, [*self.numerators, gradient])
        fits = [_vanishes(turned, allowed)]
        fits += [_vanishes(m, rounding) for m in self.numerators]
        fits += [_vanishes(change, far * once + rounding) for change in changes]
        if not all(fits):
            raise linalg.LinAlgError(self.error)


def _steps(values: Array) -> dict[Place, np.ndarray]:
    """Steps along which values at their place in the graph move apart."""
    numbers = np.arange(1, np.shape(values)[-1] + 1, dtype=values.dtype)
    return {place_of(values): np.broadcast_to(numbers, np.shape(values))}


def _along(seeds: dict[Place, np.ndarray], tensors: Sequence[Array]) -> list[Array]:
    """How tensors change when the values at some places do.

    Raises LinAlgError where functions have no further derivative.
    """
    places = [place_of(tensor) for tensor in tensors]
    try:
        found = pushforward(seeds, [place for place in places if place is not None], graph=True)
    except (NotImplementedError, FloatingPointError) as error:
        raise linalg.LinAlgError(
            "values are equal, so that the gradient is a limit, but of a function that uses their "
            f"vectors only the first derivative is known: {error}"
        ) from error
    changes = []
    for place, tensor in zip(places, tensors, strict=True):
        change = found.get(place)
        changes.append(np.zeros_like(unwrap(tensor)) if change is None else change)
    return changes


def _vanishes(m: Array, allowed: np.ndarray) -> bool:
    """Whether nothing is larger than what is allowed; NaN is."""
    return bool(np.all(np.abs(unwrap(m)) <= allowed))


def _random(shape: Shape, like: np.ndarray, seed: int) -> np.ndarray:
    """Normal numbers in the dtype of another array."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    if np.iscomplexobj(like):
        x = x + 1j * rng.normal(size=shape)
    return x.astype(like.dtype)


def _turning(v: np.ndarray, where: np.ndarray, seed: int) -> np.ndarray:
    """V K for a random skew-Hermitian K, in which vectors turn into each other where they may."""
    k = _skew(_random(where.shape, v, seed))
    return v @ np.where(where | np.eye(where.shape[-1], dtype=bool), k, 0)


def first_derivative(g: Array) -> Array:
    """A gradient that is a limit: how it changes is unknown."""
    return np.array(g)


def _no_second_derivative() -> Array:
    raise linalg.LinAlgError(
        "values are equal: the gradient of a function that uses their vectors is a limit there, "
        "and has no derivative here. Make the values distinct"
    )


first_derivative = derivative(first_derivative, g=_no_second_derivative).tangent(
    g=_no_second_derivative
)


def _is_used(g: Array, equal: np.ndarray) -> bool:
    """Whether a loss uses vectors of equal values, of which this is the gradient.

    If it is an array, nobody used them; or all that is known is their gradient.
    """
    used = np.any(unwrap(g) != 0, axis=-2)
    return isinstance(g, Tensor) or bool(np.any(used & np.any(equal, axis=-1)))


def _eigh(g: Sequence[Array], y: Sequence[Array]) -> Array:
    """The Hermitian part of V (diag(gw) + F * (V^H gV)) V^H with F_ij = 1 / (w_j - w_i)
    (Giles 2008). For equal eigenvalues the limit, if there is one."""
    w, v = map(conjugate, y)
    gw, gv = g
    _check_phases("eigenvectors", (v, gv))
    m = _off_diagonal(_skew(_mh(v) @ gv))
    equal = _equal_pairs(w)
    if not (np.any(equal) and _is_used(gv, equal)):
        _check_equal(y[0], gw, "eigenvalues")
        return _hermitian(v @ (_diagonal(gw) + _over_gaps(m, w, equal)) @ _mh(v))
    if not isinstance(gv, Tensor):
        raise linalg.LinAlgError(_no_vectors("eigenvalues"))
    limit = Limit(y[0], _no_vectors("eigenvalues"))
    turning = limit.divide(m, _differences, equal)
    result = _hermitian(v @ (_diagonal(gw) + turning) @ _mh(v))
    vectors = unwrap(y[1])
    turned = _turning(vectors, equal, 0)
    limit.check(result, [Vectors(place_of(y[1]), np.conj(vectors), gv, turned)])
    return first_derivative(result)


def _eigh_tangent(t: Array, y: Sequence[Array]) -> list[Array]:
    """For E = V^H A' V: w' = diag(E) and V' = V (F * E)."""
    w, v = y
    _refuse_equal(_equal_pairs(w), t, _no_vectors("eigenvalues"))
    e = _mh(v) @ _hermitian(t) @ v
    turning = _over_gaps(e, w, _equal_pairs(w))
    return [np.real(_diagonal_of(e)), v @ turning]


class EigenRule(LimitRule):
    """A rule of eigenvalues and eigenvectors: of equal ones the derivative is a limit."""

    is_singular = staticmethod(lambda y: bool(np.any(_equal_pairs(y[0]))))


derivative(linalg.eigh, a=_eigh, inert=("UPLO",), kind=EigenRule).tangent(a=_eigh_tangent)


def with_eigenvalues(a: Array, values: Array, UPLO: Triangle = "L") -> Array:
    """V diag(values) V^H: a Hermitian matrix with other eigenvalues in the place of its own."""
    v = linalg.eigh(a, UPLO)[1]
    return (v * _row(values)) @ _mh(v)


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
    e = _mh(v) @ _hermitian(t) @ v
    middle = _apart(e, w, "eigenvalues") * _differences(values)
    return _hermitian(v @ middle @ _mh(v))


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


class ValuesRule(Rule):
    """A rule of eigenvalues or singular values, sorted, without their vectors.

    Which of equal ones is which is arbitrary: the way back raises LinAlgError if the loss weighs
    them differently. (A formula that looked at numbers would be no expression on the tape.)
    """

    def compute(
        self, arguments: Mapping[str, Any], parents: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        value, saved = super().compute(arguments, parents)
        return value, {**saved, "y": value} if parents else saved

    def pull(
        self, node: Node, gradient: Any, wanted: Collection[str], graph: bool
    ) -> dict[str, Any]:
        if node.saved is not None:
            values = node.saved["y"]
            weights = np.where(values == 0, 0, unwrap(gradient))  # 0 is the kink of |.|
            _check_equal(values, weights, "values")
        return super().pull(node, gradient, wanted, graph)


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
    worse = np.maximum(_row(condition), _column(condition))
    gaps = _row(unwrap(w)) - _column(unwrap(w))
    equal = _is_negligible(gaps, _largest(a) * worse, 10 * n * n)
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
    _check_phases("eigenvectors", (v, gv))
    inverse, equal = _inverse_and_equal(conjugate(a), w, v)
    m = _off_diagonal(_mh(v) @ _across(gv, v))
    limit = None
    if not (np.any(equal) and _is_used(gv, equal)):
        if np.any(equal & _differ(unwrap(gw))):
            raise linalg.LinAlgError(DEFECTIVE)
    elif isinstance(gv, Tensor) and _is_well_conditioned(inverse):
        limit = Limit(y[0], DEFECTIVE)
    else:
        raise linalg.LinAlgError(DEFECTIVE)
    turning = limit.divide(m, _differences, equal) if limit else _over_gaps(m, y[0], equal)
    result = _mh(inverse) @ (_diagonal(gw) + turning) @ _mh(v)
    if limit is None:
        return result
    vectors = unwrap(y[1])
    mixed = vectors @ np.where(equal, _random(equal.shape, vectors, 0), 0)
    turned = _across(mixed, vectors) + _turning(vectors, np.zeros_like(equal), 1)
    limit.check(result, [Vectors(place_of(y[1]), np.conj(vectors), gv, turned)])
    return first_derivative(result)


def _is_well_conditioned(inverse: Array) -> bool:
    """Whether eigenvectors are far from those of a defective matrix; this is their inverse."""
    size = _largest(inverse)
    return bool(np.all(size * np.sqrt(np.finfo(size.dtype).eps) < 1))


class GeneralEigenRule(LimitRule):
    """A rule of eigenvalues and eigenvectors of a general matrix; close ones may count as equal."""

    @staticmethod
    def is_singular(y: Sequence[Array]) -> bool:
        gaps = np.abs(_differences(unwrap(y[0])))
        close = gaps <= np.sqrt(np.finfo(gaps.dtype).eps) * _largest(_row(y[0]))
        return bool(np.any(close & ~np.eye(gaps.shape[-1], dtype=bool)))


def _differ(g: np.ndarray) -> np.ndarray:
    """Which pairs of gradients of equal eigenvalues differ by more than what made these differ."""
    allowed = np.sqrt(np.finfo(g.dtype).eps) * np.max(np.abs(g), axis=-1, initial=0)
    return np.abs(_row(g) - _column(g)) > _number(allowed)


def _across(x: Array, v: Array) -> Array:
    """What of each column of x is orthogonal to that of v, which has length 1."""
    return x - v * np.sum(conjugate(v) * x, axis=-2, keepdims=True)


def _eig_tangent(t: Array, a: Array, y: Sequence[Array]) -> list[Array]:
    """For E = V^-1 A' V: w' = diag(E), and V' = V (F * E) without what lies along v_k."""
    w, v = y
    inverse, equal = _inverse_and_equal(a, w, v)
    _refuse_equal(equal, t, DEFECTIVE)
    e = inverse @ t @ v
    turning = _over_gaps(e, w, equal)
    return [_diagonal_of(e), _across(v @ turning, v)]


derivative(linalg.eig, a=_eig, kind=GeneralEigenRule).tangent(a=_eig_tangent)


@definition(linalg.eigvals)
def eigvals(a: Array) -> Array:
    """The eigenvalues as np.linalg.eig orders them (those of large matrices np.linalg.eigvals may
    order in another way)."""
    return linalg.eig(a)[0]


class SingularRule(LimitRule):
    """A rule of singular values and vectors: of equal ones the derivative is a limit."""

    is_singular = staticmethod(lambda y: bool(np.any(_equal_pairs(y[1])) or np.any(_is_zero(y[1]))))


def reduced_svd(a: Array) -> Any:
    """U, singular values, V^H, as many vectors as there are values."""
    return linalg.svd(a, full_matrices=False)


NO_VECTORS = "a singular value is 0: its vectors are not unique and have no derivative"


def _over(m: Array, divisor: Divisor, s: Array, zero: np.ndarray) -> Array:
    """m / d of the values, 0 where that is 0 / 0. Raises LinAlgError where only d is `zero`."""
    _refuse(zero, m, NO_VECTORS)
    d = divisor(s)
    zero = zero | np.equal(unwrap(d), 0)
    return np.where(zero, 0, m / np.where(zero, 1, d))


def _is_zero(s: Array) -> np.ndarray:
    """Which singular values are 0 up to rounding."""
    largest = np.max(np.abs(unwrap(s)), axis=-1, keepdims=True, initial=0)
    return _is_negligible(s, largest, np.shape(s)[-1])


def _over_sums(m: Array, s: Array) -> Array:
    """m_ij / (s_j + s_i). Raises LinAlgError where both are 0 and m is not."""
    return _over(m, _sums, s, _both(_is_zero(s)))


def _both(zero: np.ndarray) -> np.ndarray:
    """(..., n) -> (..., n, n): which pairs of values are 0."""
    return np.logical_and(_row(zero), _column(zero))


def _out_of_span(vectors: Array, g: Array) -> Array:
    """(I - V V^H) g: what of the gradient of a tall matrix of vectors points out of their span."""
    return g - vectors @ (_mh(vectors) @ g)


def _outside(vectors: Array, g: Array, s: Array) -> Array:
    """(I - V V^H) g / s. Raises LinAlgError where that meets a singular value of 0."""
    return _over(_out_of_span(vectors, g), _row, s, np.expand_dims(_is_zero(s), -2))


def _svd(g: Sequence[Array], y: Sequence[Array], whole: Sequence[Array] = ()) -> Array:
    """U [herm(N / D) + skew(M / T) + diag(gs)] V^H (Townsend 2016, Wan & Zhang 2019).

    N, M = U^H gU +- V^H gV, D_ij = s_j - s_i, T_ij = s_j + s_i; herm and skew are the Hermitian and
    the skew-Hermitian part. For a rectangular matrix, what of gU and gV points out of the spans of
    U and V is added. For values that are equal or 0 the limit, if there is one.

    `whole` are the values of which y is a part, if U and V are square.
    """
    u, s, vh = map(conjugate, y)
    gu, gs, gvh = g
    v, gv = _mh(vh), _mh(gvh)
    _check_phases("singular vectors", (u, gu), (v, gv))
    equal, zero = _equal_pairs(s), _is_zero(s)
    recorded = isinstance(gu, Tensor) or isinstance(gv, Tensor)
    if not recorded and not (np.any(gu) or np.any(gv)):
        gs = np.where(unwrap(s) == 0, 0, gs)
    limit = None
    if recorded and (np.any(equal) or np.any(zero)):
        limit = Limit(y[1], _no_vectors("singular values"))
    elif _is_used(gu, equal) or _is_used(gv, equal):
        if np.any(equal):
            raise linalg.LinAlgError(_no_vectors("singular values"))
    else:
        _check_equal(y[1], gs, "singular values")

    def divide(m: Array, divisor: Divisor, where: np.ndarray) -> Array:
        return limit.divide(m, divisor, where) if limit else _over(m, divisor, s, where)

    of_u, of_v = _mh(u) @ gu, _mh(v) @ gv
    columns = np.expand_dims(zero, -2)
    together = divide(_off_diagonal(_skew(of_u + of_v)), _differences, equal)
    apart = divide(_skew(of_u - of_v), _sums, _both(zero))
    result = u @ (together + apart + _diagonal(gs)) @ vh
    if np.shape(u)[-2] > np.shape(u)[-1]:
        result = result + divide(_out_of_span(u, gu), _row, columns) @ vh
    if np.shape(v)[-2] > np.shape(v)[-1]:
        result = result + u @ _mh(divide(_out_of_span(v, gv), _row, columns))
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
    for i, all_vectors in enumerate((u, _mh(vh))):
        vectors = all_vectors[..., : equal.shape[-1]]
        beyond = all_vectors[..., equal.shape[-1] :]
        alone = _turning(vectors, equal, 1 + i)
        turned = np.where(_row(zero), alone, _turning(vectors, equal, 0))
        out = _out_of_span(vectors, _random(vectors.shape, vectors, 3 + i))
        turned = turned + np.where(_row(zero), out, 0)
        turned = np.concatenate([turned, -vectors @ (_mh(turned) @ beyond)], axis=-1)
        place = place_of(y[2 * i])
        tangent = np.conj(turned).mT if i else turned
        found.append(Vectors(place, np.conj(vectors), g[i], tangent))
    return found


def _svd_tangent(t: Array, y: Sequence[Array]) -> list[Array]:
    """For E = U^H A' V: s' = diag(E), U' = U (X + Y), V' = V (X - Y), X = herm(E) / D and
    Y = skew(E) / T, with what points out of the spans of U and V."""
    u, s, vh = y
    _refuse_equal(_equal_pairs(s), t, _no_vectors("singular values"))
    v = _mh(vh)
    e = _mh(u) @ t @ v
    together = _over_gaps(_hermitian(e), s, _equal_pairs(s))
    apart = _over_sums(_skew(e), s)
    tu = u @ (together + apart)
    tv = v @ (together - apart)
    if np.shape(u)[-2] > np.shape(u)[-1]:
        tu = tu + _outside(u, t @ v, s)
    if np.shape(v)[-2] > np.shape(v)[-1]:
        tv = tv + _outside(v, _mh(t) @ u, s)
    return [tu, np.real(_diagonal_of(e)), _mh(tv)]


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


def _through_complement(vectors: Array, g: Array, k: int) -> Array:
    """The gradient of the first k columns, V, to which that of the others, N, adds -N gN^H V.

    N follows V: N' = -V V'^H N. Raises LinAlgError if the loss changes where N turns, which is if
    N^H gN is not Hermitian; what rounding leaves of it is as in `_check_phases`.
    """
    v, n = vectors[..., :k], vectors[..., k:]
    gv, gn = g[..., :k], g[..., k:]
    if not (isinstance(g, Tensor) or np.any(g)):  # nobody used the vectors
        return gv
    products = unwrap(_mh(n)) @ unwrap(gn)
    eps = np.finfo(products.dtype).eps
    size = np.abs(_mh(unwrap(n))) @ np.abs(unwrap(gn))
    if np.any(np.abs(_skew(products)) > np.sqrt(eps) * np.max(size, initial=0) + eps):
        raise linalg.LinAlgError(
            "the loss depends on vectors that complete a basis, singular vectors or a Q, which are "
            "arbitrary, so that it has no gradient; use full_matrices=False, mode='reduced'"
        )
    return gv - n @ (_mh(gn) @ v)


def _full_svd(g: Sequence[Array], y: Sequence[Array]) -> Array:
    """That of the reduced SVD, with what comes through the vectors that complete U or V."""
    u, s, vh = y
    gu, gs, gvh = g
    k = np.shape(s)[-1]
    gu = _through_complement(conjugate(u), gu, k)
    gv = _through_complement(_mh(conjugate(vh)), _mh(gvh), k)
    return _svd([gu, gs, _mh(gv)], _leading(y), y)


def _full_svd_tangent(t: Array, y: Sequence[Array]) -> list[Array]:
    """That of the reduced SVD, and N' = -V V'^H N."""
    u, s, vh = _leading(y)
    tu, ts, tvh = _svd_tangent(t, [u, s, vh])
    k = np.shape(s)[-1]
    tn = -u @ (_mh(tu) @ y[0][..., k:])
    tnh = -(y[2][..., k:, :] @ _mh(tvh)) @ vh
    return [np.concatenate([tu, tn], axis=-1), ts, np.concatenate([tvh, tnh], axis=-2)]


full_svd = derivative(full_svd, a=_full_svd, kind=SingularRule).tangent(a=_full_svd_tangent)


def _hermitian_svd(a: Array) -> Any:
    """The SVD of a Hermitian matrix from its eigenvalues: s = |w|, V = U sign(w).

    (As in NumPy, where -0.0 is negative.)
    """
    result: Any = type(linalg.svd(np.eye(1)))  # NumPy's named tuple, which has no public name
    w, u = linalg.eigh(a)
    order = np.argsort(np.abs(unwrap(w)), axis=-1)[..., ::-1]
    w = np.take_along_axis(w, order, -1)
    columns = np.broadcast_to(_row(order), np.shape(u))
    u = np.take_along_axis(u, columns, -1)
    sign = np.copysign(1.0, unwrap(w))
    v = u * _row(sign.astype(u.dtype))
    return result(u, np.abs(w), _mh(v))


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
    return (u * _row(values)) @ vh


def _turned_singular_vectors(t: Array, x: Array, values: Array) -> Array:
    """How U diag(g) V^H changes with x, along t; g are the values.

    U [herm(E) * (g_j - g_i) / (s_j - s_i) + skew(E) * (g_j + g_i) / (s_j + s_i)] V^H with
    E = U^H t V, and what points out of the spans of U and V.

    For equal singular values the first quotient is a derivative of the function which gave the
    values, and unknown. Where singular values are 0 and have gradient 0, the quotients are 0.
    """
    u, s, vh = linalg.svd(x, full_matrices=False)
    v = _mh(vh)
    e = _mh(u) @ t @ v
    zero = _is_negligible(s, np.max(unwrap(s), axis=-1, keepdims=True, initial=0), s.shape[-1])
    flat = zero & np.equal(unwrap(values), 0)
    flat_pair = np.logical_and(_row(flat), _column(flat))
    differences = _row(values) - _column(values)
    sums = _row(values) + _column(values)
    together = np.where(flat_pair, 0, _hermitian(e))
    apart = np.where(flat_pair, 0, _skew(e))
    middle = _apart(together, s, "singular values") * differences
    result = u @ (middle + _over_sums(apart, s) * sums) @ vh
    if np.shape(u)[-2] > np.shape(u)[-1]:
        tu = _outside(u, np.where(_row(flat), 0, t @ v), s)
        result = result + (tu * _row(values)) @ vh
    if np.shape(v)[-2] > np.shape(v)[-1]:
        tv = _outside(v, np.where(_row(flat), 0, _mh(t) @ u), s)
        result = result + (u * _row(values)) @ _mh(tv)
    return result


def _slopes_of_singular_values(t: Array, x: Array) -> Array:
    """Re diag(U^H t V). Equal values do no harm; values of 0, at the kink of |.|, have slope 0."""
    u, s, vh = linalg.svd(x, full_matrices=False)
    slopes = np.sum(np.real(conjugate(u) * (t @ _mh(vh))), axis=-2)
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
    left = _identity(rows, g) - a @ y
    right = _identity(columns, g) - y @ a
    outside = left @ _mh(g) @ y @ _mh(y)
    inside = _mh(y) @ y @ _mh(g) @ right
    result = outside + inside - _mh(y) @ g @ _mh(y)
    return _hermitian(result) if hermitian else result


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
    t = _hermitian(t) if hermitian else t
    rows, columns = sizes(a)
    left = _identity(rows, t) - a @ y
    right = _identity(columns, t) - y @ a
    outside = y @ _mh(y) @ _mh(t) @ left
    inside = right @ _mh(t) @ _mh(y) @ y
    return outside + inside - y @ t @ y


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
