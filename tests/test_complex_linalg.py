"""numpy.linalg of complex matrices, in both directions.

Of eigenvectors and singular vectors functions are compared that do not depend on phases: the
squares of their sizes, projections, functions of the matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import linalg

import tinygrad_cv as tg
from tests.table import Row, check
from tinygrad_cv.rules.numpy.linalg import cofactor, with_eigenvalues, with_singular_values
from tinygrad_cv.typing import Array, Shape

Function = Callable[..., Any]
batches = st.sampled_from([(), (2,), (2, 1)])


def normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return np.round(rng.normal(size=shape) + 1j * rng.normal(size=shape), 2)


def unitary(rng: np.random.Generator, n: int, batch: Shape) -> np.ndarray:
    return linalg.qr(normal(rng, (*batch, n, n)) + 0.1 * np.eye(n))[0]


def apart(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """.8, 1.6, 2.4, ... plus up to .5 each: at least .3 apart."""
    return 0.8 + 0.8 * np.arange(shape[-1]) + rng.uniform(0, 0.5, shape)


def matrix(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """With distinct singular values."""
    *batch, m, n = shape
    k = min(m, n)
    u = unitary(rng, m, tuple(batch))[..., :k]
    v = unitary(rng, n, tuple(batch))[..., :k]
    return (u * apart(rng, (*batch, 1, k))) @ v.conj().mT


def hermitian(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """With distinct eigenvalues of both signs; of distinct sizes, too."""
    *batch, n, _ = shape
    v = unitary(rng, n, tuple(batch))
    w = apart(rng, (*batch, 1, n)) * rng.choice([-1, 1], (*batch, 1, n))
    return (v * w) @ v.conj().mT


def definite(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    a = matrix(rng, shape)
    return a @ a.conj().mT


def general(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """With distinct eigenvalues, and vectors that are not orthogonal."""
    v = matrix(rng, shape)
    w = apart(rng, (*shape[:-2], 1, shape[-1]))
    return (v * w * np.exp(1j * rng.uniform(-1, 1, w.shape))) @ linalg.inv(v)


def mh(x: Array) -> Array:
    return np.conjugate(x).mT


def of_hermitian(f: Function) -> Function:
    """f of the Hermitian part, since changes of one element lead out of the Hermitian matrices."""
    return lambda a: f((a + mh(a)) / 2)


def sizes_of(*arrays: Array) -> list[Array]:
    return [np.real(x * np.conjugate(x)) for x in arrays]


def projections(v: Array) -> Array:
    """v_k v_k^H of each column: (..., n, n) -> (..., n, n, n)."""
    return v[..., :, None, :] * np.conjugate(v)[..., None, :, :]


def pairs(u: Array, s: Array, vh: Array) -> list[Array]:
    """s_k and u_k v_k^H, in which the phases cancel."""
    return [s, u[..., :, None, :] * vh.mT[..., None, :, :]]


def norms(*orders: Any) -> dict[str, tuple[Any, Function]]:
    return {
        f"matrix_norm {p}": ("any", lambda a, p=p: linalg.matrix_norm(a, ord=p)) for p in orders
    }


CASES: dict[str, tuple[Any, Function]] = {  # the matrix that is drawn, and the function
    "inv": ("square", linalg.inv),
    "det": ("square", linalg.det),
    "cofactor": ("square", cofactor),
    "slogdet": ("square", lambda a: list(linalg.slogdet(a))),
    "solve": ("square", lambda a: linalg.solve(a, a[..., ::-1] ** 2)),
    "solve vector": ("one", lambda a: linalg.solve(a, a[:, 0] ** 2)),
    "tensorinv": ("four", lambda a: linalg.tensorinv(np.reshape(a, (2, 2, 4)))),
    "tensorsolve": ("four", lambda a: linalg.tensorsolve(np.reshape(a, (4, 2, 2)), a[:, 0] ** 2)),
    **{f"matrix_power {n}": ("square", lambda a, n=n: linalg.matrix_power(a, n)) for n in (-2, 0, 3)},
    "pinv": ("any", linalg.pinv),
    "pinv hermitian": (hermitian, of_hermitian(lambda a: linalg.pinv(a, hermitian=True))),
    "lstsq": ("flat", lambda a: [*linalg.lstsq(a, np.ones(len(a)))[::3]]),
    "lstsq residuals": ("tall", lambda a: linalg.lstsq(a, a[:, :1] ** 2 + 1)[1]),
    "cholesky": (definite, of_hermitian(linalg.cholesky)),
    "cholesky upper": (definite, of_hermitian(lambda a: linalg.cholesky(a, upper=True))),
    "qr": ("any", lambda a: list(linalg.qr(a))),
    "qr r": ("any", lambda a: linalg.qr(a, mode="r")),
    "svdvals": ("any", linalg.svdvals),
    "svd values": ("any", lambda a: linalg.svd(a, compute_uv=False)),
    "svd sizes": ("any", lambda a: sizes_of(*linalg.svd(a, full_matrices=False))),
    "svd pairs": ("any", lambda a: pairs(*linalg.svd(a, full_matrices=False))),
    "svd square": ("square", lambda a: pairs(*linalg.svd(a))),
    "svd hermitian": (hermitian, of_hermitian(lambda a: pairs(*linalg.svd(a, hermitian=True)))),
    "with_singular_values": ("any", lambda a: with_singular_values(a, linalg.svdvals(a) ** 2)),
    "eigvalsh": (hermitian, of_hermitian(linalg.eigvalsh)),
    "eigvalsh U": (hermitian, of_hermitian(lambda a: linalg.eigvalsh(a, "U"))),
    "eigh sizes": (hermitian, of_hermitian(lambda a: sizes_of(*linalg.eigh(a)))),
    "eigh projections": (hermitian, of_hermitian(lambda a: projections(linalg.eigh(a)[1]))),
    "with_eigenvalues": (hermitian, of_hermitian(lambda a: with_eigenvalues(a, linalg.eigvalsh(a) ** 2))),
    "eigvals": (general, lambda a: linalg.eigvals(a)),
    "eig sizes": (general, lambda a: [linalg.eig(a)[0], *sizes_of(linalg.eig(a)[1])]),
    "eig projections": (general, lambda a: projections(linalg.eig(a)[1])),
    "multi_dot": ("four", lambda a: linalg.multi_dot([a[0], a, a[:, :2]])),
    **norms("fro", "nuc", 2, -2, 1, np.inf),
    "cond": ("wider", linalg.cond),
    "cond fro": ("wider square", lambda a: linalg.cond(a, "fro")),
    "trace": ("any", linalg.trace),
    "diagonal": ("any", linalg.diagonal),
    "matrix_transpose": ("any", linalg.matrix_transpose),
    "outer": ("four", lambda a: linalg.outer(a[0], a[1])),
    "cross": ("four", lambda a: linalg.cross(a[:, :3], a[:, 1:])),
    "vecdot": ("four", lambda a: linalg.vecdot(a[:2], a[2:])),
    "tensordot": ("four", lambda a: linalg.tensordot(a, a, axes=1)),
    "matmul": ("square", lambda a: linalg.matmul(a, a)),
}  # fmt: skip
SHAPES: dict[str, list[Shape]] = {
    "square": [(n, n) for n in (1, 2, 3, 4)],
    "any": [(1, 1), (2, 2), (3, 3), (4, 4), (3, 2), (4, 1), (2, 3), (1, 4)],
    "wider": [(2, 2), (3, 3), (3, 2), (2, 4)],
    "wider square": [(2, 2), (3, 3)],
    "tall": [(3, 2), (4, 2), (3, 1)],
    "flat": [(2, 2), (3, 2), (2, 3)],
    "one": [(1, 1), (2, 2), (3, 3)],
    "four": [(4, 4)],
}


@st.composite
def drawn(draw: st.DrawFn, kind: Any) -> np.ndarray:
    """A matrix of a kind; those that have no shape of their own come in batches."""
    name = kind if isinstance(kind, str) else "square"
    make = matrix if isinstance(kind, str) else kind
    shape = draw(st.sampled_from(SHAPES[name]))
    batch = draw(batches) if name in ("square", "any", "wider") else ()
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    return make(rng, (*batch, *shape))


def leaves(result: Any) -> list[Any]:
    return result if isinstance(result, list) else [result]


@pytest.mark.parametrize("name", CASES)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_both_directions_to_second_order(name: str, data: Any, seed: int) -> None:
    kind, f = CASES[name]
    a = data.draw(drawn(kind))
    check(Row(f, st.nothing(), st.nothing(), f), (a,), {}, seed)
    for dtype in (np.complex64, np.complex128):
        recorded = f(tg.Tensor(a.astype(dtype), requires_grad=True))
        for tensor, plain in zip(leaves(recorded), leaves(f(a.astype(dtype))), strict=True):
            assert tensor.dtype == plain.dtype
