"""numpy.linalg of complex matrices against PyTorch's and JAX's gradients, in complex128.

One convention: a gradient is dL/da + i dL/db. That is PyTorch's; JAX's is its conjugate. Of vectors
with arbitrary phases functions are compared that do not depend on them. Both peers differentiate
functions of Hermitian matrices of (a + a^H) / 2 here, as we do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import linalg

import tinygrad_cv as tg
from tests.test_complex_linalg import definite, general, hermitian, matrix

pytestmark = pytest.mark.parity
torch: Any = pytest.importorskip("torch")
jax: Any = pytest.importorskip("jax")
jax.config.update("jax_enable_x64", True)

Function = Callable[..., Any]


def projected(v: Any) -> Any:
    """Of the v_k v_k^H a part, in which their phases cancel."""
    return v[..., :2] @ v[..., :2].conj().mT


class JAX:
    """jax.numpy.linalg, but eig has the derivatives of eigenvectors, as in jax.lax."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jax.numpy.linalg, name)

    def eig(self, a: Any) -> Any:
        return jax.lax.linalg.eig(a, compute_left_eigenvectors=False, enable_eigvec_derivs=True)


# Of each: the matrix that is drawn, its shape, and the function of a module and of the matrix.
CASES: dict[str, tuple[Function, tuple[int, ...], Function]] = {
    "inv": (matrix, (2, 3, 3), lambda m, a: [m.inv(a)]),
    "det": (matrix, (2, 3, 3), lambda m, a: [m.det(a)]),
    "slogdet": (matrix, (2, 3, 3), lambda m, a: list(m.slogdet(a))),
    "solve": (matrix, (2, 3, 3), lambda m, a: [m.solve(a, a.mT)]),
    "pinv tall": (matrix, (2, 4, 3), lambda m, a: [m.pinv(a)]),
    "pinv wide": (matrix, (2, 2, 3), lambda m, a: [m.pinv(a)]),
    "qr": (matrix, (2, 4, 3), lambda m, a: list(m.qr(a))),
    "svdvals": (matrix, (2, 4, 3), lambda m, a: [m.svd(a, full_matrices=False)[1]]),
    "svd": (matrix, (2, 4, 3), lambda m, a: [projected(m.svd(a, full_matrices=False)[0])]),
    "svd polar": (matrix, (2, 3, 4), lambda m, a: [(lambda u, s, vh: u @ vh)(*m.svd(a, full_matrices=False))]),
    "cholesky": (definite, (2, 3, 3), lambda m, a: [m.cholesky(symmetrised(a))]),
    "eigvalsh": (hermitian, (2, 3, 3), lambda m, a: [m.eigvalsh(symmetrised(a))]),
    "eigh": (hermitian, (2, 3, 3), lambda m, a: [projected(m.eigh(symmetrised(a))[1])]),
    "matrix_power": (matrix, (2, 3, 3), lambda m, a: [m.matrix_power(a, 3)]),
    "eigvals": (general, (3, 3), lambda m, a: [sum_of_roots(m.eigvals(a))]),
    "eig": (general, (3, 3), lambda m, a: [ordered(*m.eig(a))]),
}  # fmt: skip


def symmetrised(a: Any) -> Any:
    return (a + a.conj().mT) / 2


def sum_of_roots(w: Any) -> Any:
    """A function of eigenvalues in any order."""
    return (w**0.5).sum()


def ordered(w: Any, v: Any) -> Any:
    """The sum of w_k^2 v_k v_k^H, which no order changes."""
    return (v * w**2) @ v.conj().mT


def cotangents(values: list[Any]) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    drawn = []
    for value in values:
        value = np.asarray(value)
        c = rng.normal(size=value.shape)
        drawn.append(c + 1j * rng.normal(size=value.shape) if value.dtype.kind == "c" else c)
    return drawn


def gradient_of_ours(f: Function, a: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    values, pull = tg.vjp(lambda x: f(linalg, x), a)
    return values, pull(cotangents(values))[0]


def gradient_of_pytorch(f: Function, a: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    x = torch.tensor(a, requires_grad=True)
    values = f(torch.linalg, x)
    plain = [v.detach().numpy() for v in values]
    torch.autograd.backward(values, [torch.tensor(c) for c in cotangents(plain)])
    return plain, x.grad.numpy()


def gradient_of_jax(f: Function, a: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    values, pull = jax.vjp(lambda x: f(JAX(), x), a)
    (conjugate,) = pull([jax.numpy.asarray(np.conj(c)) for c in cotangents(values)])
    return values, np.conj(conjugate)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("peer", [gradient_of_pytorch, gradient_of_jax])
def test_gradients_of_complex_matrices(name: str, peer: Function) -> None:
    make, shape, f = CASES[name]
    for seed in range(5):
        a = make(np.random.default_rng(seed), shape)
        (values, ours), (others, theirs) = gradient_of_ours(f, a), peer(f, a)
        for value, other in zip(values, others, strict=True):
            np.testing.assert_allclose(value, other, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * np.abs(theirs).max())


@pytest.mark.parametrize("name", CASES)
def test_tangents_of_complex_matrices(name: str) -> None:
    """JAX's forward mode has no convention: J v is J v."""
    make, shape, f = CASES[name]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        a, t = make(rng, shape), matrix(rng, shape)
        _, ours = tg.jvp(lambda x: f(linalg, x), (a,), (t,))
        _, theirs = jax.jvp(lambda x: f(JAX(), x), (a,), (t,))
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.abs(other).max())
