"""Rows of `tinygrad_cv/rules/linalg.py`. Matrices are near the identity times a spread diagonal: well conditioned, with
distinct eigenvalues and singular values. Of factorisations only what is unique is compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.table import arrays, row

la = np.linalg


@st.composite
def matrices(draw: Any, rows: Any = None, columns: Any = None) -> np.ndarray:
    """Diagonal 1, 2, 3 plus noise of at most .3; batches too."""
    n = draw(st.integers(1, 3)) if rows is None else rows
    m = n if columns is None else columns
    batch = draw(st.sampled_from([(), (2,), (1, 2)]))
    return draw(arrays((*batch, n, m), -0.3, 0.3)) + np.eye(n, m) * (1 + np.arange(m))


def symmetric(a: Any) -> Any:
    return (a + a.mT) / 2


def spd(a: Any) -> Any:
    return a @ a.mT + np.eye(a.shape[-1])


def positive_qr(a: Any) -> Any:
    """Q and R with a positive diagonal of R: LAPACK's signs jump."""
    q, r = la.qr(a)
    signs = np.sign(np.diagonal(r, 0, -2, -1))
    return [q * signs[..., None, :], r * signs[..., None]]


square = matrices()
row(la.inv, square)
row(la.solve, st.integers(1, 3).flatmap(lambda n: st.tuples(matrices(n), arrays((n,)))))
row(la.solve, st.integers(1, 3).flatmap(lambda n: st.tuples(matrices(n), arrays((2, n, 2)))))
row(la.det, square)
row(la.slogdet, square, call=lambda a: la.slogdet(a)[1])
row(la.cholesky, square, call=lambda a: la.cholesky(spd(a)))
row(la.cholesky, square, call=lambda a: la.cholesky(spd(a), upper=True))
row(la.eigh, square, call=lambda a: la.eigh(symmetric(a))[0])
row(la.eigh, square, call=lambda a: (lambda w, v: (v * np.tanh(w)[..., None, :]) @ v.mT)(*la.eigh(symmetric(a), "U")))
row(la.eigh, matrices(3), call=lambda a: la.eigh(symmetric(a))[1] ** 2)
row(la.eigvalsh, square, call=lambda a: la.eigvalsh(symmetric(a)))
tall, wide = matrices(3, 2), matrices(2, 3)
for shape in (square, tall, wide):
    row(la.qr, shape, call=positive_qr)
    row(la.qr, shape, call=lambda a: la.qr(a, mode="r") ** 2)
    row(la.svdvals, shape)
    row(la.svd, shape, call=lambda a: la.svd(a, full_matrices=False)[1])
    row(la.svd, shape, call=lambda a: (lambda u, s, vh: (u * np.tanh(s)[..., None, :]) @ vh)(*la.svd(a, full_matrices=False)))
    row(la.svd, shape, call=lambda a: [v**2 for v in la.svd(a, full_matrices=False)])
    row(la.pinv, shape)
for shape in (square, tall, wide, arrays((2, 2, 3), 0.3, 3).map(lambda a: a + 8.0 * np.arange(6).reshape(2, 3))):
    for order in ("fro", "nuc", 2, -2) if shape in (square, tall, wide) else (1, -1, np.inf, -np.inf):
        row(la.norm, shape, call=lambda a, order=order: la.norm(a, order, axis=(-2, -1)))
        row(la.matrix_norm, shape, options=st.just({"ord": order, "keepdims": True}))
row(la.svd, square, call=lambda a: la.svd(a, compute_uv=False))
row(la.lstsq, tall.map(lambda a: a.reshape(-1, 3, 2)[0]), arrays((3,)), call=lambda a, b: list(la.lstsq(a, b)[:2]))
row(la.lstsq, tall.map(lambda a: a.reshape(-1, 3, 2)[0]), arrays((3, 2)), call=lambda a, b: list(la.lstsq(a, b)[:2]))
row(la.matrix_power, square, st.sampled_from([-2, -1, 0, 1, 2, 3, 5]))
row(la.cond, square, st.sampled_from([None, 2, -2, "fro"]))
row(la.tensorinv, arrays((4, 4), -0.2, 0.2), call=lambda a: la.tensorinv(np.reshape(a + 2 * np.eye(4), (2, 2, 4)), ind=2))
row(la.tensorsolve, arrays((4, 4), -0.2, 0.2), arrays((2, 2)), call=lambda a, b: la.tensorsolve(np.reshape(a + 2 * np.eye(4), (2, 2, 4)), b))  # fmt: skip
for order in (None, 1, 2, 3, 0.5, -2, np.inf, -np.inf):
    row(la.norm, arrays((4,), 0.3, 3, distinct=True), call=lambda a, order=order: la.norm(a, order))
    row(la.vector_norm, arrays((2, 3), 0.3, 3, distinct=True), options=st.just({"ord": order or 2, "axis": 1}))
row(la.norm, arrays((2, 3)))
row(la.norm, arrays((2, 3)), call=lambda a: la.norm(a, axis=0, keepdims=True))
row(la.matrix_transpose, square)
row(la.diagonal, square, options=st.sampled_from([{}, {"offset": 1}]))
row(la.trace, square)
