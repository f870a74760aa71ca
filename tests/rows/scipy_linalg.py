"""Rows of `tinygrad_cv/rules/scipy/linalg.py`.

Matrices of a kind (Hermitian, positive definite, near the identity) are made of any matrix within
the call, so that each of its elements may change, and be complex.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy import linalg

import tinygrad_cv as tg
from tests.rows.linalg import matrices, rebuilt, systems, with_positive_diagonal
from tests.table import row
from tinygrad_cv.testing.strategies import arrays
from tinygrad_cv.typing import Array, Function

ours = tg.scipy.linalg
square = matrices()
one = matrices(batch=st.just(()))
FLAGS = st.booleans()


def mh(a: Array) -> Array:
    return np.conjugate(a).mT


def hermitian(a: Array) -> Array:
    """Eigenvalues far apart."""
    n = np.shape(a)[-1]
    return (a + mh(a)) / 8 + np.diag(np.arange(n) * 3.0)


def definite(a: Array) -> Array:
    return hermitian(a) + 2 * np.eye(np.shape(a)[-1])


def near_identity(a: Array) -> Array:
    return np.eye(np.shape(a)[-1]) + a / 8


def of(prepare: Callable[[Array], Array], function: Function) -> Function:
    return lambda a, *args, **options: function(prepare(a), *args, **options)


def dominant(a: Array) -> Array:
    """Columns whose diagonal is chosen as the pivot, among others exchanged."""
    n = np.shape(a)[-1]
    return np.roll(np.eye(n) * 4, 1, axis=0) + a / 4


# Functions of a matrix.
for function in (linalg.expm, linalg.cosm, linalg.sinm, linalg.coshm, linalg.sinhm):
    row(function, one, call=of(lambda a: a / 2, getattr(ours, function.__name__)))
for function in (linalg.logm, linalg.sqrtm, linalg.signm, linalg.tanm, linalg.tanhm):
    row(function, one, call=of(near_identity, getattr(ours, function.__name__)))
row(
    linalg.fractional_matrix_power,
    one,
    arrays((), domain=(0.2, 0.8)),
    call=of(near_identity, ours.fractional_matrix_power),
    complex=(0,),
)
row(
    linalg.expm_frechet,
    one.flatmap(lambda a: st.tuples(st.just(a), arrays(a.shape))),
    call=lambda a, e: list(ours.expm_frechet(a / 2, e)),
)

# Systems.
row(linalg.inv, square, call=ours.inv)
row(linalg.det, square, call=ours.det)
row(linalg.solve, systems(lambda n: (n,)) | systems(lambda n: (n, 2)), call=ours.solve)
triangles = st.fixed_dictionaries(
    {"trans": st.sampled_from([0, 1, 2, "N", "T", "C"]), "lower": FLAGS, "unit_diagonal": FLAGS}
)
row(
    linalg.solve_triangular,
    systems(lambda n: (n,)) | systems(lambda n: (n, 2)),
    options=triangles,
    call=of(lambda a: near_identity(a) * 2, ours.solve_triangular),
)
row(
    linalg.cho_solve,
    systems(lambda n: (n, 2)),
    FLAGS,
    call=lambda pair, lower: ours.cho_solve((near_identity(pair[0]), lower), pair[1]),
)
row(
    linalg.lu_solve,
    systems(lambda n: (n, 2)),
    options=st.sampled_from([{}, {"trans": 1}, {"trans": 2}]),
    call=lambda a, b, **o: ours.lu_solve(ours.lu_factor(dominant(a)), b, **o),
)

# Factorisations.
row(linalg.lu_factor, square, call=lambda a: ours.lu_factor(dominant(a))[0])
row(linalg.cholesky, square, options=st.builds(dict, lower=FLAGS), call=of(definite, ours.cholesky))
row(
    linalg.cho_factor,
    square,
    FLAGS,
    call=lambda a, lower: ours.cho_factor(definite(a), lower)[0],
)
for mode in ("full", "economic"):
    row(
        linalg.qr,
        square if mode == "full" else square | matrices(3, 2),
        call=lambda a, mode=mode: with_positive_diagonal(*ours.qr(a, mode=mode)),
        complex="elsewhere: tests/test_complex_linalg.py",
    )


def values_and_projections(a: Array) -> list[Any]:
    w, v = ours.eigh(hermitian(a))
    return [w, np.expand_dims(v, -2) * np.expand_dims(np.conjugate(v), -3)]


row(linalg.eigh, square, call=values_and_projections)
row(linalg.eigvalsh, square, FLAGS, call=lambda a, lower: ours.eigvalsh(hermitian(a), lower=lower))
row(linalg.svdvals, square | matrices(3, 2), call=ours.svdvals, rtol=1e-6)
row(
    linalg.svd,
    matrices(3, 2) | matrices(2, 3),
    call=lambda a: rebuilt(*ours.svd(a, full_matrices=False)),
)
row(linalg.svd, square, call=lambda a: ours.svd(a, compute_uv=False))
row(linalg.pinv, matrices(3, 2) | square, options=st.sampled_from([{}, {"rtol": 1e-6}]), call=ours.pinv)
row(linalg.norm, square, options=st.sampled_from([{}, {"axis": -1}]), call=ours.norm)

# Matrix equations; SciPy's own solutions are wrong where only some of the matrices are complex.
def alike(*matrices: Array) -> list[Array]:
    dtype = np.result_type(*[matrix.dtype for matrix in matrices])
    return [matrix.astype(dtype) for matrix in matrices]


row(
    linalg.solve_sylvester,
    st.tuples(matrices(2, batch=st.just(())), matrices(3, batch=st.just(())), arrays((2, 3))),
    call=lambda a, b, q: ours.solve_sylvester(*alike(near_identity(a), near_identity(b), q)),
)
row(
    linalg.solve_continuous_lyapunov,
    st.tuples(matrices(2, batch=st.just(())), arrays((2, 2))),
    call=lambda a, q: ours.solve_continuous_lyapunov(*alike(near_identity(a), q)),
)
row(
    linalg.solve_discrete_lyapunov,
    st.tuples(matrices(2, batch=st.just(())), arrays((2, 2))),
    call=lambda a, q: ours.solve_discrete_lyapunov(a / 8, q),
)

# Matrices of a structure.
pair = st.tuples(arrays((2, 1)), arrays((3,)), arrays((1, 2)))
row(linalg.block_diag, pair, call=ours.block_diag)
sequence = arrays((3,))
for function in (linalg.toeplitz, linalg.hankel):
    mirrored = getattr(ours, function.__name__)
    row(function, sequence, call=mirrored)
    row(function, sequence, arrays((2,)), call=mirrored)
row(linalg.circulant, sequence, call=ours.circulant)
row(linalg.khatri_rao, arrays((2, 3)), arrays((3, 3)), call=ours.khatri_rao)
