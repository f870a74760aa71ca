"""Eigenvalues and singular values that are equal: the gradient is a limit, or LinAlgError.

Their vectors are any basis of the space that they span. What reaches `eigh` on the way back, the
gradients of w and V at one basis, does not determine the limit. Take A = I, V = I and the losses
L = sum(C * V diag(w - 1) V^T) and L0 = sum(diag(C) * (w - 1)), of which both gradients are the
same: V's is (C + C^T) V diag(w - 1) = 0 in either, w's is diag(C). But the first is sum(C * (A - I)),
whose gradient is C's symmetric part, and the second has no gradient if diag(C) is not constant; if
it is c, it is c trace(A - I), with the gradient c I. So the rule needs to know more of the loss:
how the gradient of V changes with w. The record of the loss has that; `rules.Limit` asks for it.

The truth here are differences of the loss itself, which are taken at distinct values.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import linalg

import tinygrad_cv as tg
from tests.test_complex_linalg import mh
from tinygrad_cv.tensor import HOLDS

Function = Callable[..., Any]
scipy = tg.scipy.linalg

C = np.array([[1.0, 2.0], [3.0, 4.0]])
RIGHT = np.array([[1.0, 2.5], [2.5, 4.0]])


def normal(rng: np.random.Generator, shape: tuple[int, ...], is_complex: bool) -> np.ndarray:
    x = rng.normal(size=shape)
    return x + 1j * rng.normal(size=shape) if is_complex else x


def unitary(rng: np.random.Generator, n: int, is_complex: bool, is_special: bool) -> np.ndarray:
    """Special: unit vectors, which LAPACK gives for a diagonal matrix, in another order."""
    x = normal(rng, (n, n), is_complex)
    return np.eye(n, dtype=x.dtype)[rng.permutation(n)] if is_special else linalg.qr(x)[0]


def real_product(c: np.ndarray, x: Any) -> Any:
    return np.sum(np.real(c * x))


def rebuilt(v: Any, w: Any, other: Any) -> Any:
    return (v * w[..., None, :]) @ other


def gradient(loss: Function, a: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return tg.grad(loss)(a)


def check_gradient(loss: Function, a: np.ndarray, e: np.ndarray, size: float) -> None:
    """Along e, against differences of fourth order."""
    found = np.sum(np.real(np.conj(gradient(loss, a)) * e))
    h = 3e-4 * linalg.norm(a, 2) if np.any(a) else 1e-3
    at = [loss(a + k * h * e) for k in (-2, -1, 1, 2)]
    expected = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * size)


FUNCTIONS: dict[str, Function] = {
    "log": np.log,  # 0 at 1
    "exp": np.exp,
    "sqrt": np.sqrt,
    "inverse": lambda w: 1 / w,
    "square - 1": lambda w: w * w - 1,
    "flat": lambda w: (w - 1) * np.log(w),  # 0 at 1, like its derivative
}
values = st.sampled_from(
    [
        (1.0, 1.0),
        (1.0, 1.0, 2.0),
        (1.0, 2.0, 2.0),
        (1.0,) * 3,
        (0.5, 1.0, 1.0, 3.0),
        (1.0, 1.0, 2.0, 2.0),
    ]
)
INVARIANT: dict[str, Function] = {  # of c, f, V, w and V^H
    "weighted": lambda c, f, v, w, vh: real_product(c, rebuilt(v, f(w), vh)),
    "nonlinear": lambda c, f, v, w, vh: np.sum(np.tanh(np.real(c * rebuilt(v, f(w), vh) / 4))),
    "distance": lambda c, f, v, w, vh: (lambda x: np.sum(np.real(x * np.conj(x))))(
        rebuilt(v, f(w), vh) - c
    ),
    "product": lambda c, f, v, w, vh: np.real(np.sum(f(w))) * real_product(c, rebuilt(v, f(w), vh)),
    "sums": lambda c, f, v, w, vh: np.real(np.einsum("ij,ik,k,kj->", c, v, f(w), vh)),
    "values": lambda c, f, v, w, vh: np.sum(np.real(f(w)) ** 2) + np.real(np.prod(f(w))),
}
NOT_INVARIANT: dict[str, Function] = {
    "vectors": lambda c, f, v, w, vh: np.sum(np.abs(c) * np.real(v * np.conj(v))),
    "fourth power": lambda c, f, v, w, vh: np.sum(np.real(v * np.conj(v)) ** 2),
    "weighted values": lambda c, f, v, w, vh: np.sum(np.real(w) * np.arange(len(w))),
    "weighted values beside": lambda c, f, v, w, vh: (
        np.sum(np.real(w) * np.arange(len(w))) + real_product(c, rebuilt(v, f(w), vh))
    ),
    "weighted function": lambda c, f, v, w, vh: (
        real_product(c, rebuilt(v, f(w) * np.arange(1, 1 + len(w)), vh) + rebuilt(v, w**2, vh))
    ),
    "a part": lambda c, f, v, w, vh: (
        real_product(c, rebuilt(v, f(w), vh)) + 1e-3 * np.sum(np.real(v * np.conj(v)) ** 2)
    ),
}  # fmt: skip
DECOMPOSITIONS: dict[
    str, Function
] = {  # V, values and what they are multiplied with from the right
    "eigh": lambda a: (lambda w, v: (v, w, mh(v)))(*linalg.eigh(a)),
    "eigh U": lambda a: (lambda w, v: (v, w, mh(v)))(*linalg.eigh(a, "U")),
    "scipy eigh": lambda a: (lambda w, v: (v, w, mh(v)))(*scipy.eigh(a)),
    "svd": linalg.svd,
    "svd reduced": lambda a: linalg.svd(a, full_matrices=False),
    "svd full": lambda a: (lambda u, s, vh: (u[:, : len(s)], s, vh[: len(s)]))(*linalg.svd(a)),
    "scipy svd": lambda a: scipy.svd(a, full_matrices=False),
    "eig": lambda a: (lambda w, v: (v, w, linalg.inv(v)))(*linalg.eig(a)),
}


def matrix_for(
    name: str, w: tuple[float, ...], rng: np.random.Generator, is_complex: bool, is_special: bool
) -> tuple[np.ndarray, np.ndarray]:
    """A matrix with these values, and a direction of the same kind."""
    n = len(w)
    v = unitary(rng, n, is_complex, is_special)
    e = normal(rng, (n, n), is_complex)
    if "eigh" in name:
        return (v * w) @ mh(v), (e + mh(e)) / 2
    if name == "eig":
        return (v * w) @ mh(v), e
    rows, columns = [(n, n), (n + 1, n), (n, n + 2)][rng.integers(3)]
    if name == "svd":
        rows, columns = n, n
    u = unitary(rng, rows, is_complex, is_special)[:, :n]
    v = unitary(rng, columns, is_complex, is_special)[:, :n]
    return (u * w) @ mh(v), normal(rng, (rows, columns), is_complex)


@pytest.mark.parametrize("name", DECOMPOSITIONS)
@given(
    w=values,
    f=st.sampled_from([*FUNCTIONS]),
    loss=st.sampled_from([*INVARIANT]),
    is_complex=st.booleans(),
    is_special=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_a_function_of_the_matrix_has_its_limit_at_equal_values(
    name: str, w: Any, f: str, loss: str, is_complex: bool, is_special: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a, e = matrix_for(name, w, rng, is_complex, is_special)
    c = normal(rng, a.shape, is_complex)
    call = lambda x: INVARIANT[loss](c, FUNCTIONS[f], *DECOMPOSITIONS[name](x))
    try:
        check_gradient(call, a, e, 10 * (1 + np.abs(c).max()) ** 2)
    except linalg.LinAlgError:  # LAPACK's eigenvectors of equal eigenvalues may be almost parallel
        assert name == "eig" and not is_special


@pytest.mark.parametrize("name", DECOMPOSITIONS)
@given(
    w=values,
    f=st.sampled_from(["exp", "sqrt", "inverse"]),
    loss=st.sampled_from([*NOT_INVARIANT]),
    is_complex=st.booleans(),
    is_special=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_what_depends_on_the_basis_of_equal_values_is_refused(
    name: str, w: Any, f: str, loss: str, is_complex: bool, is_special: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a, _ = matrix_for(name, w, rng, is_complex, is_special)
    c = normal(rng, a.shape, is_complex)
    if loss == "vectors":
        c = normal(rng, (len(a), len(w)), is_complex)
    call = lambda x: NOT_INVARIANT[loss](c, FUNCTIONS[f], *DECOMPOSITIONS[name](x))
    with pytest.raises(linalg.LinAlgError, match=r"equal|defective|phase"):
        gradient(call, a)


@given(
    w=st.sampled_from([(0.0, 0.0), (1.0, 0.0, 0.0), (0.0,) * 3, (1.0, 1.0, 0.0)]),
    f=st.sampled_from([np.sin, lambda s: 2 * s, lambda s: s**3]),
    name=st.sampled_from(["svd", "svd reduced", "svd full"]),
    is_complex=st.booleans(),
    is_special=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_singular_values_of_zero(
    w: Any, f: Function, name: str, is_complex: bool, is_special: bool, seed: int
) -> None:
    """U f(S) V^H is differentiable if f is odd, and else it depends on the vectors."""
    rng = np.random.default_rng(seed)
    a, e = matrix_for(name, w, rng, is_complex, is_special)
    c = normal(rng, a.shape, is_complex)
    loss = lambda f: lambda x: INVARIANT["weighted"](c, f, *DECOMPOSITIONS[name](x))
    check_gradient(loss(f), a, e, 10 * (1 + np.abs(c).max()))
    if w.count(0.0) > 1:
        with pytest.raises(linalg.LinAlgError):
            gradient(loss(np.cos), a)


def test_the_logarithm_of_the_identity() -> None:
    def by_hand(a: Any) -> Any:
        w, v = linalg.eigh(a)
        return np.sum(C * (v @ np.diag(np.log(w)) @ v.T))

    def by_svd(a: Any) -> Any:
        u, s, vh = linalg.svd(a)
        return np.sum(C * ((u * np.log(s)) @ vh))

    for loss in (by_hand, by_svd):
        np.testing.assert_allclose(gradient(loss, np.eye(2)), RIGHT, atol=1e-14)
    by_mirror = gradient(lambda a: np.sum(C * scipy.logm(a)), np.eye(2))
    np.testing.assert_allclose((by_mirror + by_mirror.T) / 2, RIGHT, atol=1e-12)


@pytest.mark.parametrize("f", ["logm", "expm", "sqrtm", "inv"])
def test_the_limit_is_the_symmetric_part_of_the_gradient_of_scipys_function(f: str) -> None:
    rng = np.random.default_rng(0)
    by_hand = {"logm": np.log, "expm": np.exp, "sqrtm": np.sqrt, "inv": lambda w: 1 / w}[f]
    q = linalg.qr(rng.normal(size=(3, 3)))[0]
    c = rng.normal(size=(3, 3))
    for a in (np.eye(3), np.diag([1.0, 1.0, 2.0]), (q * [1.0, 2.0, 2.0]) @ q.T):
        found = gradient(lambda x: INVARIANT["weighted"](c, by_hand, *DECOMPOSITIONS["eigh"](x)), a)
        expected = tg.grad(lambda x: np.sum(c * getattr(scipy, f)(x)))(a)
        np.testing.assert_allclose(found, (expected + expected.T) / 2, atol=1e-11)


def test_the_polar_factor_of_a_unitary_matrix() -> None:
    rng = np.random.default_rng(0)
    for is_complex in (False, True):
        q = unitary(rng, 3, is_complex, False)
        c, e = normal(rng, (3, 3), is_complex), normal(rng, (3, 3), is_complex)
        for part in (0, 1):
            loss = lambda a, c=c, part=part: real_product(c, scipy.polar(a)[part])
            check_gradient(loss, q, e, 10.0)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_the_limit_in_single_precision(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    q = unitary(rng, 4, dtype is np.complex64, False)
    a = (q * [1.0, 1.0, 1.0, 3.0]) @ mh(q)
    c = normal(rng, (4, 4), dtype is np.complex64)
    loss = lambda c: lambda x: INVARIANT["weighted"](c, np.log, *DECOMPOSITIONS["eigh"](x))
    found = gradient(loss(c.astype(dtype)), a.astype(dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, gradient(loss(c), a), atol=1e-4)


def test_of_a_batch_only_some_matrices_have_equal_values() -> None:
    a = np.stack([np.eye(2), np.diag([1.0, 3.0]), 2 * np.eye(2)])
    loss = lambda x: INVARIANT["weighted"](C, np.log, *DECOMPOSITIONS["eigh"](x))
    found = gradient(loss, a)
    np.testing.assert_allclose(found, [gradient(loss, one) for one in a], atol=1e-14)
    np.testing.assert_allclose(found[0], RIGHT, atol=1e-14)


def test_values_alone_have_a_gradient_if_equal_ones_are_weighed_equally() -> None:
    a = np.diag([1.0, 1.0, 2.0])
    for values in (
        linalg.eigvalsh,
        scipy.eigvalsh,
        lambda x: linalg.eigh(x)[0],
        lambda x: np.flip(linalg.svdvals(x)),
        lambda x: np.flip(scipy.svdvals(x)),
        lambda x: np.flip(linalg.svd(x)[1]),
        lambda x: np.flip(linalg.svd(x, compute_uv=False, hermitian=True)),
    ):
        found = gradient(lambda x, f=values: np.sum(f(x) * [1.0, 1.0, 5.0]), a)
        np.testing.assert_allclose(found, np.diag([1.0, 1.0, 5.0]), atol=1e-14)
        with pytest.raises(linalg.LinAlgError, match="weighs them differently"):
            gradient(lambda x, f=values: np.sum(f(x) * [1.0, 2.0, 5.0]), a)


def test_the_second_derivative_at_equal_values_is_refused_where_the_first_is_a_limit() -> None:
    loss = lambda a: INVARIANT["weighted"](C, np.log, *DECOMPOSITIONS["eigh"](a))
    a = tg.Tensor(np.eye(2), requires_grad=True)
    loss(a).backward(create_graph=True)
    np.testing.assert_allclose(a.grad.numpy(), RIGHT, atol=1e-14)
    with pytest.raises(linalg.LinAlgError, match="are equal"):
        tg.hvp(loss, np.eye(2), C)
    with pytest.raises(linalg.LinAlgError, match="are equal"):
        tg.grad(lambda a: np.sum(tg.grad(loss)(a) ** 2))(np.eye(2))


@pytest.mark.parametrize("decompose", [linalg.eigh, linalg.svd, linalg.eig])
def test_forward_mode_refuses_the_vectors_of_equal_values(decompose: Function) -> None:
    """Along a diagonal change, too, where they do not turn at first order: they may at second."""
    a = np.diag([1.0, 1.0, 2.0])
    change = np.array([[1.0, 0.0, 1.0], [0.0, -1.0, 1.0], [1.0, 1.0, 0.0]])
    for t in (change, np.ones((3, 3)), np.eye(3)):
        with pytest.raises(linalg.LinAlgError, match="equal"):
            tg.jvp(lambda x: list(decompose(x)), (a,), (t,))
    _, tangents = tg.jvp(lambda x: list(decompose(x)), (a,), (np.zeros((3, 3)),))
    assert not any(np.any(tangent) for tangent in tangents)


def test_what_is_held_for_a_limit_is_freed_at_the_end_of_the_walk() -> None:
    a = tg.Tensor(np.eye(2), requires_grad=True)
    loss = INVARIANT["weighted"](C, np.log, *DECOMPOSITIONS["eigh"](a))
    loss.backward()
    np.testing.assert_allclose(a.grad, RIGHT, atol=1e-14)
    with pytest.raises(RuntimeError, match="the graph behind"):
        loss.backward()
    gc.disable()
    try:
        before = len(HOLDS)
        other = INVARIANT["weighted"](C, np.log, *DECOMPOSITIONS["eigh"](a))
        assert len(HOLDS) == before + 1
        del other
        assert len(HOLDS) == before
    finally:
        gc.enable()


def test_a_limit_is_taken_inside_of_a_checkpoint() -> None:
    rebuild = tg.checkpoint(lambda a: (lambda w, v: (v * np.log(w)) @ v.T)(*linalg.eigh(a)))
    found = gradient(lambda a: np.sum(C * rebuild(a)), np.eye(2))
    np.testing.assert_allclose(found, RIGHT, atol=1e-14)
