"""Rows of `tinygrad_cv/rules/product.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.table import arrays, row, shapes

side = st.integers(1, 3)


@st.composite
def matmul_arguments(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Vectors, matrices and batches of matrices whose inner axes agree and whose batches broadcast."""
    n, m, k = draw(side), draw(side), draw(side)
    batch = draw(shapes(max_dims=2))
    left = draw(st.sampled_from([(m,), (n, m), (*batch, n, m), (*[1 for _ in batch], n, m)]))
    right = draw(st.sampled_from([(m,), (m, k), (*batch, m, k)]))
    return draw(arrays(left)), draw(arrays(right))


def of(*options: Any) -> Any:
    """Arguments drawn from lists of shapes, with further arguments as they are."""

    def build(choice: Any) -> Any:
        return st.tuples(*[arrays(a) if isinstance(a, tuple) else st.just(a) for a in choice])

    return st.sampled_from(options).flatmap(build)


row(np.matmul, matmul_arguments())
row(np.linalg.matmul, of(((2, 3), (3, 2)), ((2, 2, 3), (3, 1))))
row(np.dot, of(((), (3,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 2)), ((2, 3), (2, 3, 2)), ((2, 2, 3), (3, 2))))
row(np.inner, of(((), (3,)), ((3,), (3,)), ((2, 3), (4, 3)), ((2, 2, 3), (1, 3))))
row(np.outer, of(((3,), (2,)), ((2, 2), (3,))))
row(np.linalg.outer, of(((3,), (2,))))
row(np.vdot, of(((3,), (3,)), ((2, 2), (2, 2))))
row(np.vecdot, of(((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (2, 3))))
row(np.linalg.vecdot, of(((2, 3), (3,))))
if hasattr(np, "matvec"):
    row(np.matvec, of(((2, 3), (3,)), ((2, 2, 3), (3,))))
    row(np.vecmat, of(((2,), (2, 3)), ((2, 2), (2, 2, 3))))
row(np.tensordot, of(((2, 3), (3, 2), 1), ((2, 3), (2, 3), 2), ((2,), (3,), 0)))
row(np.tensordot, of(((2, 3, 2), (3, 2), 1)), call=lambda a, b, n: np.tensordot(a, b, axes=([1, 0], [0, 1])))
row(np.linalg.tensordot, of(((2, 3), (3, 2))), call=lambda a, b: np.linalg.tensordot(a, b, axes=1))
row(np.kron, of(((2,), (3,)), ((2, 2), (1, 3)), ((2,), (2, 2))))
row(np.cross, of(((3,), (3,)), ((2, 3), (2, 3)), ((2, 3), (3,))))
row(np.cross, of(((3, 2), (3, 2))), options=st.just({"axis": 0}))
row(np.linalg.cross, of(((2, 3), (2, 3))))
row(np.linalg.multi_dot, arrays((2, 3)), arrays((3, 2)), arrays((2, 1)), call=lambda *a: np.linalg.multi_dot(list(a)))

EINSUMS: list[Any] = [
    ("ij,jk->ik", (2, 3), (3, 2)), ("ij,jk", (2, 3), (3, 2)), ("ij,ij->", (2, 3), (2, 3)), ("ij->ji", (2, 3)),
    ("ii->i", (3, 3)), ("ii", (3, 3)), ("iij->j", (2, 2, 3)), ("iii->i", (2, 2, 2)), ("i,i,i->i", (3,), (3,), (3,)),
    ("ij->", (2, 3)), ("ij->j", (2, 3)), ("...ij,...jk->...ik", (2, 2, 3), (3, 2)), ("...i,...i", (2, 3), (3,)),
    ("...", (2, 3)), ("i...->...", (2, 3)), ("i...j,j", (2, 2, 3), (3,)), ("ij,k->kij", (2, 3), (2,)), ("ji", (2, 3)),
    ("bhqd,bhkd->bhqk", (1, 2, 2, 3), (1, 2, 3, 3)), ("ij,jk,kl->il", (2, 3), (3, 2), (2, 2)), ("ab,b->ab", (2, 1), (3,)),
    ("i j , j k", (2, 3), (3, 2)), (",i->i", (), (3,)),
]  # fmt: skip
row(np.einsum, of(*EINSUMS))
row(np.einsum, of(*EINSUMS[:3]), options=st.just({"optimize": True}))
row(np.einsum, of(((2, 3), [0, 1], (3, 2), [1, 2], [0, 2])), call=lambda a, i, b, j, k: np.einsum(a, [0, 1], b, [1, 2], [0, 2]))
row(np.einsum, arrays((2, 3, 3)), call=lambda a: np.einsum(a, [..., 1, 1]))
