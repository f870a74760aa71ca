"""Rows of `tinygrad_cv/rules/scipy/linalg.py`.

Matrices of a kind (Hermitian, positive definite, near the identity) are made of any matrix within
the call, so that each of its elements may change, and be complex.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from scipy import linalg

import tinygrad_cv as tg
from tests.rows.linalg import matrices, rebuilt, systems, with_positive_diagonal
from tests.table import ROWS, row
from tinygrad_cv.testing.strategies import arrays
from tinygrad_cv.typing import Array, Function

ours = tg.scipy.linalg
square = matrices()
one = matrices(batch=st.just(()))
FLAGS = st.booleans()
# Of definitions in terms of other rows, of which each has its second derivatives.
ORDER = 2 if settings.get_current_profile_name() == "thorough" else 1


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


def several(functions: Sequence[Function], *arguments: st.SearchStrategy[Any], **settings: Any) -> None:
    """One row for functions of one kind, which draws one of them by its name."""
    call = settings.pop("call", lambda *args, name, **options: getattr(ours, name)(*args, **options))
    options = settings.pop("options", st.just({}))
    names = st.sampled_from([function.__name__ for function in functions])
    drawn = st.tuples(options, names).map(lambda pair: {**pair[0], "name": pair[1]})
    row(functions[0], *arguments, options=drawn, call=call, **settings)
    for function in functions[1:]:
        ROWS.setdefault(function, [])


# Functions of a matrix.
row(linalg.expm, one, call=of(lambda a: a / 2, ours.expm))
several(
    (linalg.sqrtm, linalg.cosm, linalg.sinm, linalg.coshm, linalg.sinhm, linalg.tanm, linalg.tanhm, linalg.signm),
    one,
    call=lambda a, name: getattr(ours, name)(near_identity(a)),
)
row(
    linalg.expm_frechet,
    one,
    call=lambda a: list(ours.expm_frechet(near_identity(a), a.mT)),
    order=1,  # it is a value of expm
)
# SciPy's logarithm estimates a norm at random vectors, so that its bits are not always the same:
# tests/test_scipy.py.
for function in (linalg.logm, linalg.fractional_matrix_power):
    ROWS.setdefault(function, [])


# Systems.
several((linalg.inv, linalg.det, linalg.norm, linalg.svdvals), square)
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
    order=ORDER,
)
row(
    linalg.lu_solve,
    systems(lambda n: (n, 2)),
    options=st.sampled_from([{}, {"trans": 1}, {"trans": 2}]),
    call=lambda a, b, **o: ours.lu_solve(ours.lu_factor(dominant(a)), b, **o),
    order=ORDER,
)

row(
    linalg.solve_banded,
    arrays((3, 4)),
    arrays((4, 2)),
    call=lambda ab, b: ours.solve_banded((1, 1), ab / 8 + np.array([[0], [1], [0]]), b),
    order=ORDER,
)
row(
    linalg.lstsq,
    matrices(3, 2, batch=st.just(())) | matrices(2, batch=st.just(())),
    call=lambda a: list(ours.lstsq(a, np.arange(float(len(a)))))[:2],
    order=ORDER,
)

# Factorisations.
def factor(a: Array, name: str) -> Any:
    if name == "lu_factor":
        return ours.lu_factor(dominant(a))[0]
    lower = name.endswith("lower")
    return ours.cholesky(definite(a), lower) if name.startswith("cholesky") else ours.cho_factor(definite(a), lower)[0]


names = st.sampled_from(["lu_factor", "cholesky", "cholesky, lower", "cho_factor", "cho_factor, lower"])
row(linalg.lu_factor, square, names, call=factor)
row(linalg.lu, one, call=lambda a: list(ours.lu(dominant(a))[1:]), order=ORDER)
for function in (linalg.cholesky, linalg.cho_factor):
    ROWS.setdefault(function, [])
several(
    (linalg.qr,),
    square,
    options=st.sampled_from([{"mode": "full"}, {"mode": "economic"}]),
    call=lambda a, name, mode: with_positive_diagonal(*ours.qr(a, mode=mode)),
    complex="elsewhere: tests/test_complex_linalg.py",
    order=ORDER,
)


def values_and_projections(a: Array) -> list[Any]:
    w, v = ours.eigh(hermitian(a))
    return [w, np.expand_dims(v, -2) * np.expand_dims(np.conjugate(v), -3)]


row(linalg.eigh, square, call=values_and_projections)
row(linalg.eigh, square, call=lambda a: ours.eigh(hermitian(a), eigvals_only=True))
row(linalg.eigvalsh, square, FLAGS, call=lambda a, lower: ours.eigvalsh(hermitian(a), lower=lower))
row(
    linalg.svd,
    matrices(3, 2) | matrices(2, 3),
    call=lambda a: rebuilt(*ours.svd(a, full_matrices=False)),
    order=ORDER,
)
row(
    linalg.svd,
    matrices(3, 2) | square,
    options=st.sampled_from([{"lapack_driver": "gesvd"}, {"lapack_driver": "gesdd"}]),
    call=lambda a, lapack_driver: rebuilt(*ours.svd(a, full_matrices=False, lapack_driver=lapack_driver)),
    order=ORDER,
)
row(linalg.polar, square, st.sampled_from(["left", "right"]), call=lambda a, side: list(ours.polar(a, side)), order=ORDER)
row(linalg.pinv, matrices(3, 2) | square, options=st.sampled_from([{}, {"rtol": 1e-6}]), call=ours.pinv, order=ORDER)

# Matrix equations; SciPy's own solutions are wrong where only some of the matrices are complex.
def alike(*matrices: Array) -> list[Array]:
    dtype = np.result_type(*[matrix.dtype for matrix in matrices])
    return [matrix.astype(dtype) for matrix in matrices]


def solved(a: Array, b: Array, q: Array, name: str) -> Array:
    a, b, q = alike(a, b, q)
    if name == "solve_sylvester":
        return ours.solve_sylvester(near_identity(a), near_identity(b), q)
    if name == "solve_discrete_lyapunov":
        return ours.solve_discrete_lyapunov(a / 8, q)
    return ours.solve_continuous_lyapunov(near_identity(a), q)


two = matrices(2, batch=st.just(()))
several(
    (linalg.solve_sylvester, linalg.solve_continuous_lyapunov, linalg.solve_discrete_lyapunov),
    st.tuples(two, two, arrays((2, 2))),
    call=solved,
)

# Matrices of a structure.
pair = st.tuples(arrays((2, 1)), arrays((3,)), arrays((1, 2)))
row(linalg.block_diag, pair, call=ours.block_diag, order=ORDER)
sequence = arrays((3,))
several((linalg.toeplitz, linalg.hankel, linalg.circulant), sequence)
several((linalg.toeplitz, linalg.hankel), sequence, arrays((2,)))
row(linalg.khatri_rao, arrays((2, 3)), arrays((3, 3)), call=ours.khatri_rao)
