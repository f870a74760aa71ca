"""Rows of `tinygrad_cv/rules/numpy/linalg.py`, `eigen.py` and `svd.py`.

Matrices are drawn as U diag(s) V^T with U, V from QR factorisations of Gaussian matrices and
singular values .8, 1.6, 2.4, ... plus up to .5 each, so at least .3 apart: well conditioned, all
values distinct, every direction met. Of factorisations only what is unique is compared: functions
of the matrix, squares of eigenvectors and singular vectors, Q and R with the signs that make R's
diagonal positive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy import linalg

from tests.table import row
from tinygrad_cv.rules.numpy.eigen import with_eigenvalues
from tinygrad_cv.rules.numpy.linalg import cofactor
from tinygrad_cv.rules.numpy.svd import with_singular_values
from tinygrad_cv.testing.strategies import arrays
from tinygrad_cv.typing import Array, Shape

batches = st.sampled_from([(), (2,), (2, 1)])
side = st.integers(1, 3)
ORDERS: list[Any] = ["fro", "nuc", 2, -2, 1, -1, np.inf, -np.inf]


@st.composite
def matrices(
    draw: st.DrawFn,
    rows: int | None = None,
    columns: int | None = None,
    batch: st.SearchStrategy[Shape] = batches,
) -> np.ndarray:
    """Square where no sizes are given."""
    rows = draw(side) if rows is None else rows
    columns = rows if columns is None else columns
    rng, batch, k = (
        np.random.default_rng(draw(st.integers(0, 2**16))),
        draw(batch),
        min(rows, columns),
    )
    u = linalg.qr(rng.normal(size=(*batch, rows, rows)))[0][..., :k]
    v = linalg.qr(rng.normal(size=(*batch, columns, columns)))[0][..., :k]
    s = 0.8 + 0.8 * np.arange(k) + rng.uniform(0, 0.5, (*batch, k))
    return np.round((u * s[..., None, :]) @ v.swapaxes(-1, -2), 3)


@st.composite
def symmetric_matrices(draw: st.DrawFn, definite: bool = False) -> np.ndarray:
    """Eigenvalues of any signs, at least .3 apart, also in size: |eigenvalues| are distinct."""
    n, batch = draw(side), draw(batches)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    v = linalg.qr(rng.normal(size=(*batch, n, n)))[0]
    w = 0.8 + 0.8 * np.arange(n) + rng.uniform(0, 0.5, (*batch, n))
    w = w if definite else w * rng.choice([-1, 1], w.shape)
    return (v * w[..., None, :]) @ v.swapaxes(-1, -2)


def of_symmetric(f: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """f of the symmetric part, since changes of one element lead out of the symmetric matrices."""
    return lambda a: f((a + a.mT) / 2)


def with_positive_diagonal(q: Array, r: Array) -> list[Array]:
    sign = np.sign(np.diagonal(r, axis1=-2, axis2=-1))
    return [q * sign[..., None, :], sign[..., None] * r]


def rebuilt(u: Array, s: Array, vh: Array) -> Array:
    """A function of the matrix in which all three factors take part."""
    return (u * np.tanh(s)[..., None, :]) @ vh


@st.composite
def systems(draw: st.DrawFn, shape: Callable[[int], Shape]) -> tuple[np.ndarray, np.ndarray]:
    a = draw(matrices())
    return a, draw(arrays(shape(a.shape[-1])))


square = matrices()
row(linalg.inv, square)
row(linalg.solve, systems(lambda n: (n,)))
row(linalg.solve, systems(lambda n: (n, 2)))
row(linalg.solve, systems(lambda n: (2, n, 1)))
row(linalg.det, square)
row(cofactor.function, square, call=cofactor)
row(linalg.slogdet, square, call=lambda a: list(linalg.slogdet(a)))
row(linalg.matrix_power, square, st.sampled_from([-3, -2, -1, 0, 1, 2, 3, 6]))
row(
    linalg.tensorinv,
    matrices(4, batch=st.just(())),
    call=lambda a: linalg.tensorinv(np.reshape(a, (2, 2, 4))),
)
row(
    linalg.tensorinv,
    matrices(4, batch=st.just(())),
    call=lambda a: linalg.tensorinv(np.reshape(a, (4, 2, 2)), ind=1),
)
row(
    linalg.tensorsolve,
    matrices(4, batch=st.just(())),
    arrays((2, 2)),
    call=lambda a, b: linalg.tensorsolve(np.reshape(a, (2, 2, 4)), b),
)
AXES = (0, 2)
row(
    linalg.tensorsolve,
    matrices(4, batch=st.just(())),
    arrays((4,)),
    call=lambda a, b: linalg.tensorsolve(np.moveaxis(np.reshape(a, (4, 2, 2)), 0, 1), b, axes=AXES),
)

definite = symmetric_matrices(definite=True)
row(linalg.cholesky, definite, call=of_symmetric(linalg.cholesky))
row(linalg.cholesky, definite, call=of_symmetric(lambda a: linalg.cholesky(a, upper=True)))
symmetric = symmetric_matrices()
for uplo in ("L", "U"):
    row(
        linalg.eigvalsh, symmetric, call=of_symmetric(lambda a, uplo=uplo: linalg.eigvalsh(a, uplo))
    )
    row(
        linalg.eigh,
        symmetric,
        call=of_symmetric(lambda a, uplo=uplo: [v**2 for v in linalg.eigh(a, uplo)]),
    )
row(
    linalg.eigh,
    symmetric,
    call=of_symmetric(lambda a: (lambda w, v: rebuilt(v, w, v.mT))(*linalg.eigh(a))),
)
row(linalg.svd, symmetric, call=of_symmetric(lambda a: rebuilt(*linalg.svd(a, hermitian=True))))
row(
    linalg.svd,
    symmetric,
    call=of_symmetric(lambda a: linalg.svd(a, compute_uv=False, hermitian=True)),
)
row(linalg.pinv, symmetric, call=of_symmetric(lambda a: linalg.pinv(a, hermitian=True)))

row(
    with_eigenvalues.function,
    symmetric,
    call=of_symmetric(lambda a: with_eigenvalues(a, linalg.eigvalsh(a) ** 2)),
)


@st.composite
def general_matrices(draw: st.DrawFn, rotating: bool = False) -> np.ndarray:
    """V W V^-1: real eigenvalues at least .3 apart, or pairs of complex ones, and one real one where
    the size is odd."""
    v = draw(matrices())
    n = v.shape[-1]
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    w = np.eye(n) * (0.8 + 0.8 * np.arange(n) + rng.uniform(0, 0.5, n))
    if rotating:
        for k in range(1, n, 2):
            w[k, k] = w[k - 1, k - 1]
            w[k, k - 1], w[k - 1, k] = 1 + k, -1 - k
    return v @ w @ linalg.inv(v)


def sizes_of(w: Array, v: Array) -> list[Array]:
    return [w, np.real(v * np.conjugate(v))]


def projections(v: Array) -> Array:
    """v_k v_k^H of each eigenvector: (..., n, n) -> (..., n, n, n)."""
    return v[..., :, None, :] * np.conjugate(v)[..., None, :, :]


for general in (general_matrices(), general_matrices(rotating=True)):
    row(linalg.eigvals, general)
    row(linalg.eig, general, call=lambda a: sizes_of(*linalg.eig(a)))
    row(linalg.eig, general, call=lambda a: projections(linalg.eig(a)[1]))

tall, wide = matrices(3, 2), matrices(2, 3)
wide_of_square = matrices(
    2
).flatmap(  # its first columns are a well-conditioned matrix: Q depends on them alone
    lambda a: arrays((*a.shape[:-1], 1)).map(lambda column: np.concatenate([a, column], axis=-1))
)
for shape in (square, tall, wide_of_square):
    row(linalg.qr, shape, call=lambda a: with_positive_diagonal(*linalg.qr(a)))
    row(linalg.qr, shape, call=lambda a: linalg.qr(a, mode="r") ** 2)
for shape in (square, tall, wide):
    row(linalg.svdvals, shape)
    row(
        with_singular_values.function,
        shape,
        call=lambda a: with_singular_values(a, linalg.svdvals(a) ** 2),
    )
    row(linalg.svd, shape, call=lambda a: linalg.svd(a, compute_uv=False))
    row(linalg.svd, shape, call=lambda a: rebuilt(*linalg.svd(a, full_matrices=False)))
    row(linalg.svd, shape, call=lambda a: [v**2 for v in linalg.svd(a, full_matrices=False)])
    row(linalg.pinv, shape)
row(
    linalg.qr, wide_of_square, call=lambda a: with_positive_diagonal(*linalg.qr(a, mode="complete"))
)
row(linalg.svd, square, call=lambda a: rebuilt(*linalg.svd(a)))


def with_complement(q: Array, r: Array) -> list[Array]:
    """Of a complete QR what is unique: the space that the further vectors span is, and they are not."""
    k = r.shape[-1]
    beyond = q[..., k:]
    return [*with_positive_diagonal(q[..., :k], r[..., :k, :]), beyond @ beyond.mT, r[..., k:, :]]


row(linalg.qr, tall, call=lambda a: with_complement(*linalg.qr(a, mode="complete")))


def with_complements(u: Array, s: Array, vh: Array) -> list[Array]:
    """Of a full SVD what is unique: the space that the further vectors span is, and they are not."""
    k = s.shape[-1]
    beyond, of_rows = u[..., k:], vh[..., k:, :].mT
    kept = [u[..., :k] ** 2, s, vh[..., :k, :] ** 2]
    return [*kept, beyond @ beyond.mT, of_rows @ of_rows.mT]


row(linalg.svd, tall | wide, call=lambda a: with_complements(*linalg.svd(a)))


@st.composite
def overdetermined_or_not(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = draw(st.sampled_from([(3, 2), (2, 2), (2, 3), (3, 1)]))
    right = draw(arrays((rows,)) | arrays((rows, 2)))
    return draw(matrices(rows, columns, batch=st.just(()))), right


row(linalg.lstsq, overdetermined_or_not())
row(
    linalg.lstsq, overdetermined_or_not(), options=st.sampled_from([{"rcond": 1e-6}, {"rcond": -1}])
)
row(linalg.pinv, square, options=st.sampled_from([{"rcond": 1e-6}, {"rtol": 1e-6}]))


def decided(a: np.ndarray) -> bool:
    """Whether no element is near 0, nor two sums of |elements|, among which norms choose, close."""
    sums = [np.sort(np.abs(a).sum(axis), axis=-1) for axis in (-1, -2, *range(a.ndim - 2))]
    return bool(np.all(np.abs(a) > 0.1) and all(np.all(np.diff(s) > 0.1) for s in sums))


pieces = (arrays((2, 3), domain=(-3, 3)) | arrays((2, 2, 2), domain=(-3, 3))).filter(decided)
invertible = matrices(2, 2, batch=st.just(())).filter(
    lambda a: decided(a) and decided(linalg.inv(a))
)
for order in ORDERS:
    draws = pieces if order in (1, -1, np.inf, -np.inf) else square | tall | wide
    row(linalg.norm, draws, call=lambda a, order=order: linalg.norm(a, order, axis=(-2, -1)))
    flat = draws.filter(lambda a: a.ndim == 2)
    row(
        linalg.norm,
        flat,
        call=lambda a, order=order: linalg.norm(a, order, axis=(-1, 0), keepdims=True),
    )
    row(linalg.norm, flat, st.just(order))
    row(
        linalg.matrix_norm,
        draws,
        options=st.sampled_from([{"ord": order}, {"ord": order, "keepdims": True}]),
    )
    if order != "nuc":
        row(linalg.cond, square if order in (2, -2, "fro") else invertible, st.just(order))
row(linalg.cond, square)
signed = st.sampled_from([1, -1]).flatmap(
    lambda sign: arrays((2, 3, 2), domain=(0.3, 3), min_gap=0.05).map(lambda a: sign * a)
)
axes = st.sampled_from(
    [{}, {"axis": 1}, {"axis": -1, "keepdims": True}, {"axis": (0, 2)}, {"keepdims": True}]
)
for p in (2, 1, 3, 0.5, 2.5, -1, -2, 0, np.inf, -np.inf):
    row(linalg.vector_norm, signed, options=axes.map(lambda o, p=p: {**o, "ord": p}))
    row(linalg.norm, arrays((4,), domain=(0.3, 3), min_gap=0.05), st.just(p))
    row(
        linalg.norm,
        signed,
        st.just(p),
        options=st.sampled_from([{"axis": 1}, {"axis": (-1,), "keepdims": True}]),
    )
row(linalg.norm, signed, options=axes)
row(linalg.norm, arrays((), avoid=(0,)))
row(linalg.matrix_transpose, square | wide)
row(linalg.diagonal, square | wide, options=st.sampled_from([{}, {"offset": 1}, {"offset": -1}]))
row(linalg.trace, square | tall, options=st.sampled_from([{}, {"offset": 1}]))
