"""numpy.linalg of complex matrices, in both directions.

Of eigenvectors and singular vectors functions are compared that do not depend on phases: the
squares of their sizes, projections, functions of the matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy import linalg

import tinygrad_cv as tg
from tests.table import Row, check
from tinygrad_cv.rules.numpy import linalg as rules
from tinygrad_cv.rules.numpy.eigen import with_eigenvalues
from tinygrad_cv.rules.numpy.linalg import cofactor
from tinygrad_cv.rules.numpy.svd import with_singular_values
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


def completed(u: Array, s: Array, vh: Array) -> list[Array]:
    """s_k, u_k v_k^H, and projections on the spaces of the vectors that complete U and V."""
    k = s.shape[-1]
    beyond, of_rows = u[..., k:], mh(vh[..., k:, :])
    return [*pairs(u[..., :k], s, vh[..., :k, :]), beyond @ mh(beyond), of_rows @ mh(of_rows)]


def completed_q(q: Array, r: Array) -> list[Array]:
    """Q and R, and the projection on the space of the vectors that complete Q."""
    k = r.shape[-1]
    return [q[..., :k], r[..., :k, :], q[..., k:] @ mh(q[..., k:])]


def norms(name: str, kind: str, *orders: Any) -> dict[str, tuple[Any, Function]]:
    """matrix_norm, vector_norm along the last axis, or cond, of several orders."""
    calls: dict[str, Function] = {
        "matrix_norm": lambda a, p: linalg.matrix_norm(a, ord=p),
        "vector_norm": lambda a, p: linalg.vector_norm(a, axis=-1, ord=p),
        "cond": linalg.cond,
    }
    call = calls[name]
    return {f"{name} {p}": (kind, lambda a, p=p: call(a, p)) for p in orders}


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
    "qr completed": ("tall", lambda a: completed_q(*linalg.qr(a, mode="complete"))),
    "qr r": ("any", lambda a: linalg.qr(a, mode="r")),
    "svdvals": ("any", linalg.svdvals),
    "svd values": ("any", lambda a: linalg.svd(a, compute_uv=False)),
    "svd sizes": ("any", lambda a: sizes_of(*linalg.svd(a, full_matrices=False))),
    "svd pairs": ("any", lambda a: pairs(*linalg.svd(a, full_matrices=False))),
    "svd square": ("square", lambda a: pairs(*linalg.svd(a))),
    "svd completed": ("any", lambda a: completed(*linalg.svd(a))),
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
    **norms("matrix_norm", "any", "fro", "nuc", 2, -2, 1, -1, np.inf, -np.inf),
    **norms("vector_norm", "any", 2, 1, 3, 0.5, -1, np.inf, -np.inf),
    "norm": ("flat", lambda a: [linalg.norm(a), linalg.norm(a[0], 3), linalg.norm(a, "nuc", axis=(1, 0))]),
    **norms("cond", "wider", None, -2),
    **norms("cond", "wider square", "fro", 1, np.inf),
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


# ------------------------------------------------------------------------------ what is refused


def vectors_of(a: np.ndarray) -> dict[str, tuple[np.ndarray, Function]]:
    """Arbitrary phases: a matrix, and a function that gives vectors in columns."""
    return {
        "eigh": (a + mh(a), lambda x: linalg.eigh(x)[1]),
        "eig": (a, lambda x: linalg.eig(x)[1]),
        "svd U": (a, lambda x: linalg.svd(x)[0]),
        "svd V": (a, lambda x: mh(linalg.svd(x)[2])),
        "svd hermitian": (a + mh(a), lambda x: linalg.svd(x, hermitian=True)[0]),
    }


VECTORS = list(vectors_of(np.eye(2)))


@pytest.mark.parametrize("name", VECTORS)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(1, 4),
    scale=st.sampled_from([1e-4, 1.0, 1e6]),
    dtype=st.sampled_from([np.complex64, np.complex128]),
)
def test_a_loss_that_depends_on_phases_is_refused_and_no_other(
    name: str, seed: int, n: int, scale: float, dtype: Any
) -> None:
    rng = np.random.default_rng(seed)
    a, vectors = vectors_of(general(rng, (n, n)).astype(dtype))[name]
    c = (scale * normal(rng, (n, n))).astype(dtype)
    turning = np.imag(np.sum(c * vectors(a), axis=-2))  # how the loss changes with each phase
    assume(np.any(np.abs(turning) > 0.01 * scale))
    with pytest.raises(linalg.LinAlgError, match="depends on the phase"):
        tg.grad(lambda x: np.sum(np.real(c * vectors(x))))(a)
    invariant = lambda v: np.sum(np.real(c[0, 0] * v * np.conjugate(v[0])))
    assert np.all(np.isfinite(tg.grad(lambda x: invariant(vectors(x)))(a)))


@given(seed=st.integers(0, 2**16), n=st.integers(2, 4))
def test_a_loss_at_its_minimum_is_not_taken_for_one_that_depends_on_phases(
    seed: int, n: int
) -> None:
    a = hermitian(np.random.default_rng(seed), (n, n))
    rebuilt = lambda w, v: (v * w) @ mh(v)
    loss = lambda x: np.sum(sizes_of(rebuilt(*linalg.eigh(x)) - a)[0])
    np.testing.assert_allclose(tg.grad(loss)(a), 0, atol=1e-12)


@given(seed=st.integers(0, 2**16), n=st.integers(1, 4))
def test_tangents_of_vectors_are_orthogonal_to_them(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    a, t = general(rng, (n, n)), normal(rng, (n, n))
    along = lambda v, tangent: np.sum(np.conj(v) * tangent, axis=-2)
    for x, function in ((a + mh(a), linalg.eigh), (a, linalg.eig)):
        (_, v), (_, tangent) = tg.jvp(lambda x, f=function: list(f(x)), (x,), (t,))
        np.testing.assert_allclose(along(v, tangent), 0, atol=1e-10 * np.abs(tangent).max())
    (u, _, vh), (tu, _, tvh) = tg.jvp(lambda x: list(linalg.svd(x)), (a,), (t,))
    np.testing.assert_allclose(
        along(u, tu) + along(mh(vh), mh(tvh)), 0, atol=1e-10 * np.abs(tu).max()
    )


def similar(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
    v = matrix(rng, a.shape)
    return v @ a @ linalg.inv(v)


@given(seed=st.integers(0, 2**16), n=st.integers(2, 5), nilpotent=st.booleans())
def test_defective_matrices_are_refused(seed: int, n: int, nilpotent: bool) -> None:
    """Two eigenvalues with one vector, which rounding drives apart by the root of eps."""
    block = np.diag(np.arange(n, dtype=float))
    block[1, 1] = block[0, 0] = 0.0 if nilpotent else 7.0
    block[0, 1] = 1
    weights = 1 + np.arange(n)
    for a in (block, similar(np.random.default_rng(seed), block)):
        with pytest.raises(linalg.LinAlgError, match="defective"):
            tg.grad(lambda x: np.sum(np.real(linalg.eigvals(x)) * weights))(a)
        with pytest.raises(linalg.LinAlgError, match="defective"):
            tg.jvp(linalg.eigvals, (a,), (np.ones_like(a),))


@given(seed=st.integers(0, 2**16), n=st.integers(2, 5))
def test_equal_eigenvalues_have_no_derivative_one_by_one_but_their_sum_has(
    seed: int, n: int
) -> None:
    a = similar(np.random.default_rng(seed), np.diag([1.0, *range(1, n)]))
    for power in (1, 2):
        found = tg.grad(lambda x, p=power: np.sum(np.real(linalg.eigvals(x) ** p)))(a)
        expected = power * linalg.matrix_power(a, power - 1).conj().T
        np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(expected).max())
    for f in (
        lambda x: np.sum(np.real(linalg.eigvals(x)) * (1 + np.arange(n))),
        lambda x: np.sum(
            np.real(projections(linalg.eig(x)[1]) * np.arange(n) * np.arange(n)[:, None])
        ),
    ):
        with pytest.raises(linalg.LinAlgError, match="equal"):
            tg.grad(f)(a)


@given(seed=st.integers(0, 2**16), n=st.integers(2, 4))
def test_equal_values_of_hermitian_and_of_unitary_matrices(seed: int, n: int) -> None:
    """The values have a gradient, the vectors have none, the values no second derivative."""
    rng = np.random.default_rng(seed)
    v = unitary(rng, n, ())
    w = np.array([1.0, *range(1, n)])
    a = (v * w) @ mh(v)
    np.testing.assert_allclose(
        tg.grad(lambda x: np.sum(linalg.eigvalsh(x) ** 2))(a), 2 * a, atol=1e-9
    )
    np.testing.assert_allclose(
        tg.grad(lambda x: np.sum(linalg.svdvals(x) ** 2))(v), 2 * v, atol=1e-9
    )
    t = normal(rng, (n, n))
    c = normal(rng, (n, n))
    of_first = lambda v: np.sum(np.real(c * projections(v)[..., 0]))
    for x, f in (
        (a, lambda x: of_first(linalg.eigh(x)[1])),
        (v, lambda x: of_first(linalg.svd(x)[0])),
    ):
        with pytest.raises(linalg.LinAlgError, match="are equal"):
            tg.grad(f)(x)
        with pytest.raises(linalg.LinAlgError, match="are equal"):
            tg.jvp(f, (x,), (t,))
    for x, f in (
        (a, lambda x: np.sum(linalg.eigvalsh(x) ** 2)),
        (v, lambda x: np.sum((linalg.svdvals(x) - 1) ** 2)),  # its gradient is 0 there
    ):
        with pytest.raises(linalg.LinAlgError, match="are equal"):
            tg.hvp(f, x, t)


# ------------------------------------------------------------------------------------- the edges

EMPTY = {
    "inv": linalg.inv, "det": linalg.det, "slogdet": lambda a: list(linalg.slogdet(a)), "cholesky": linalg.cholesky,
    "solve": lambda a: linalg.solve(a, a), "eigh": lambda a: list(linalg.eigh(a)), "eigvalsh": linalg.eigvalsh,
    "svd": lambda a: list(linalg.svd(a)), "svdvals": linalg.svdvals, "qr": lambda a: list(linalg.qr(a)),
    "pinv": linalg.pinv, "eig": lambda a: list(linalg.eig(a)), "eigvals": linalg.eigvals, "trace": linalg.trace,
    "matrix_power": lambda a: linalg.matrix_power(a, -3), "nuc": lambda a: linalg.matrix_norm(a, ord="nuc"),
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 2, 2)])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_matrices_without_elements(name: str, shape: Shape, dtype: Any) -> None:
    f, a = EMPTY[name], np.zeros(shape, dtype)
    value, tangent = tg.jvp(f, (a,), (a,))
    for plain, got, pushed in zip(*map(leaves, (f(a), value, tangent)), strict=True):
        np.testing.assert_array_equal(got, plain)
        assert np.shape(pushed) == np.shape(plain)
    _, pull = tg.vjp(f, a)
    assert pull(value)[0].shape == shape


@given(seed=st.integers(0, 2**16), n=st.integers(2, 4), rank=st.integers(0, 3))
def test_the_determinant_of_singular_complex_matrices_has_two_derivatives(
    seed: int, n: int, rank: int
) -> None:
    """It is a polynomial, of degree 1 in each column: differences over one step are exact."""
    rng = np.random.default_rng(seed)
    a = normal(rng, (n, rank)) @ normal(rng, (rank, n))
    t = normal(rng, (n, n))
    column = np.arange(n) == rng.integers(n)
    step = t * column
    _, slope = tg.jvp(linalg.det, (a,), (step,))
    scale = np.abs(a).max() + np.abs(t).max()
    np.testing.assert_allclose(slope, linalg.det(a + step) - linalg.det(a), atol=1e-11 * scale**n)
    other = t * (np.arange(n) == (np.argmax(column) + 1) % n)
    _, second = tg.jvp(lambda x: tg.jvp(linalg.det, (x,), (step,))[1], (a,), (other,))
    corners = [
        linalg.det(a + i * step + j * other) * (-1) ** (i + j) for i in (0, 1) for j in (0, 1)
    ]
    np.testing.assert_allclose(second, sum(corners), atol=1e-11 * scale**n)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@given(seed=st.integers(0, 2**16), n=st.integers(1, 5), batch=batches)
def test_cofactors_by_the_inverse_are_those_by_the_svd(
    dtype: Any, seed: int, n: int, batch: Shape
) -> None:
    rng = np.random.default_rng(seed)
    a, g = matrix(rng, (*batch, n, n)), normal(rng, (*batch, n, n))
    if dtype is np.float64:
        a, g = definite(rng, a.shape).real, g.real
    both = lambda: [cofactor.function(a), rules._cofactor_gradient(g, a)]
    fast = both()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "_regular", lambda a: None)
        careful = both()
    for one, other in zip(fast, careful, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-11 * (1 + np.abs(other).max()))


def test_cofactors_are_finite_where_the_determinant_is_not() -> None:
    for scale in (1e200, 1e-200):
        a = tg.Tensor(np.diag([scale, scale]), requires_grad=True)
        with np.errstate(over="ignore"):
            det = linalg.det(a)
        det.backward()
        found = a.grad
        np.testing.assert_allclose(found, np.diag([scale, scale]), rtol=1e-12)


@given(seed=st.integers(0, 2**16), n=st.integers(1, 4))
def test_gradients_of_functions_of_hermitian_matrices_are_hermitian(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    a, c = definite(rng, (n, n)), normal(rng, (n, n))
    for f in (
        linalg.cholesky,
        lambda x: sizes_of(linalg.eigh(x)[1])[0],
        lambda x: linalg.eigvalsh(x)[:, None],
    ):
        found = tg.grad(lambda x, f=f: np.sum(np.real(f(x) * c)))(a)
        np.testing.assert_allclose(found, mh(found), atol=1e-10 * (1 + np.abs(found).max()))


def test_eigvals_are_those_of_eig() -> None:
    a = np.random.default_rng(0).normal(size=(5, 5))
    recorded = linalg.eigvals(tg.Tensor(a, requires_grad=True))
    np.testing.assert_array_equal(recorded.numpy(), linalg.eig(a)[0])
    assert linalg.eig(tg.Tensor(a, requires_grad=True)).eigenvectors.dtype == np.complex128
