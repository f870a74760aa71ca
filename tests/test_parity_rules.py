"""Values and gradients of NumPy's functions on tensors against PyTorch's, in float64, over random shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special as sp

import tinygrad_cv as tg
from tinygrad_cv import special

pytestmark = pytest.mark.parity
torch: Any = pytest.importorskip("torch")

SHAPES: list[tuple[int, ...]] = [(), (1,), (4,), (2, 3), (3, 1, 2), (2, 2, 2, 2)]
UNARY = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "sin": np.sin, "cos": np.cos, "tan": np.tan, "arctan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "arcsinh": np.arcsinh, "abs": np.abs, "square": np.square,
    "negative": np.negative, "sinc": np.sinc, "sum": np.sum, "mean": np.mean, "prod": np.prod, "max": np.max, "min": np.min,
    "ravel": np.ravel, "deg2rad": np.deg2rad, "rad2deg": np.rad2deg, "special.expit": sp.expit, "special.erf": sp.erf,
    "special.erfc": sp.erfc, "special.erfcx": sp.erfcx, "special.ndtr": sp.ndtr, "special.log_ndtr": sp.log_ndtr,
    "special.i0": sp.i0, "special.i1": sp.i1, "special.i0e": sp.i0e, "special.i1e": sp.i1e,
}  # fmt: skip
# Not digamma: PyTorch's trigamma, its derivative, is off by up to 5e-10 (against 50 digits; SciPy's by 1e-15).
POSITIVE = {
    "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "sqrt": np.sqrt, "reciprocal": np.reciprocal,
    "special.gammaln": sp.gammaln, "special.entr": sp.entr,
}  # fmt: skip
UNIT = {
    "arcsin": np.arcsin, "arccos": np.arccos, "arctanh": np.arctanh, "special.erfinv": sp.erfinv, "special.logit": sp.logit,
    "special.ndtri": sp.ndtri,
}  # fmt: skip
BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "true_divide": np.true_divide, "pow": np.power,
    "maximum": np.maximum, "minimum": np.minimum, "fmax": np.fmax, "fmin": np.fmin, "arctan2": np.arctan2,
    "hypot": np.hypot, "logaddexp": np.logaddexp, "logaddexp2": np.logaddexp2, "fmod": np.fmod, "remainder": np.remainder,
    "special.xlogy": sp.xlogy, "special.xlog1py": sp.xlog1py,
}  # fmt: skip


def agree(ours: Any, theirs: Any, arrays: list[np.ndarray], rng: np.random.Generator) -> None:
    """Values, and gradients at one random cotangent, to 1e-10 of their scale."""
    own = [tg.Tensor(a, requires_grad=True) for a in arrays]
    peer = [torch.tensor(a, requires_grad=True) for a in arrays]
    results, peers = ours(*own), theirs(*peer)
    results, peers = ([r] if not isinstance(r, (list, tuple)) else list(r) for r in (results, peers))
    loss, peer_loss = 0.0, 0.0
    for result, other in zip(results, peers, strict=True):
        value = other.detach().numpy()
        np.testing.assert_allclose(result.numpy(), value, rtol=1e-10, atol=1e-10)
        cotangent = rng.normal(size=value.shape)
        loss, peer_loss = loss + (result * cotangent).sum(), peer_loss + (other * torch.tensor(cotangent)).sum()
    loss.backward()  # type: ignore[attr-defined]
    peer_loss.backward()  # type: ignore[attr-defined]
    for one, other in zip(own, peer, strict=True):
        scale = max(1.0, float(other.grad.abs().max()) if other.grad.numel() else 1.0)
        np.testing.assert_allclose(one.grad, other.grad.numpy(), rtol=1e-10, atol=1e-10 * scale)


def peer_of(name: str) -> Any:
    return torch.special.__dict__[name[8:]] if name.startswith("special.") else getattr(torch, name)


@pytest.mark.parametrize("name", [*UNARY, *POSITIVE, *UNIT])
def test_functions_of_one_array(name: str) -> None:
    rng = np.random.default_rng(0)
    low, high, table = (0.2, 3, POSITIVE) if name in POSITIVE else (0.1, 0.9, UNIT) if name in UNIT else (-2, 2, UNARY)
    for shape in SHAPES:
        agree(table[name], peer_of(name), [rng.uniform(low, high, shape)], rng)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_arrays_that_broadcast(name: str) -> None:
    rng = np.random.default_rng(0)
    for left, right in [((), (3,)), ((2, 3), (3,)), ((2, 1), (1, 4)), ((2, 3), (2, 3)), ((3, 1, 2), (2, 1))]:
        agree(BINARY[name], peer_of(name), [rng.uniform(0.3, 3, left), rng.uniform(0.3, 3, right)], rng)


AXES: list[Any] = [None, 0, -1, (0, 2)]
CASES: dict[str, tuple[Any, Any, list[tuple[int, ...]]]] = {
    "matmul": (np.matmul, torch.matmul, [(2, 3, 4), (4, 2)]),
    "matmul vectors": (np.matmul, torch.matmul, [(4,), (4,)]),
    "einsum": (
        lambda a, b: np.einsum("bij,bkj->bik", a, b), lambda a, b: torch.einsum("bij,bkj->bik", a, b), [(2, 3, 4), (2, 2, 4)],
    ),
    "einsum diagonal": (lambda a: np.einsum("iij->j", a), lambda a: torch.einsum("iij->j", a), [(3, 3, 2)]),
    "tensordot": (np.tensordot, torch.tensordot, [(2, 3, 4), (3, 4, 2)]),
    "kron": (np.kron, torch.kron, [(2, 3), (2, 2)]),
    "cross": (np.cross, torch.linalg.cross, [(2, 3), (2, 3)]),
    "concatenate": (lambda *a: np.concatenate(a, 1), lambda *a: torch.cat(a, 1), [(2, 3), (2, 1)]),
    "stack": (lambda *a: np.stack(a, 1), lambda *a: torch.stack(a, 1), [(2, 3), (2, 3)]),
    "index": (lambda a: a[[0, 1, 1], :, 1:], lambda a: a[[0, 1, 1], :, 1:], [(2, 3, 4)]),
    "cumsum": (lambda a: np.cumsum(a, 1), lambda a: torch.cumsum(a, 1), [(2, 3)]),
    "cumprod": (lambda a: np.cumprod(a, 1), lambda a: torch.cumprod(a, 1), [(2, 3)]),
    "sort": (lambda a: np.sort(a, 1), lambda a: torch.sort(a, 1)[0], [(2, 5)]),
    "var": (lambda a: np.var(a, axis=(0, 2), ddof=1), lambda a: torch.var(a, (0, 2)), [(2, 3, 4)]),
    "std": (lambda a: np.std(a, axis=1, ddof=1), lambda a: torch.std(a, 1), [(2, 3, 4)]),
    "diff": (np.diff, torch.diff, [(2, 5)]),
    "roll": (lambda a: np.roll(a, (1, 2), (0, 1)), lambda a: torch.roll(a, (1, 2), (0, 1)), [(3, 4)]),
    "tile": (lambda a: np.tile(a, (2, 1, 2)), lambda a: torch.tile(a, (2, 1, 2)), [(2, 3)]),
    "tril": (np.tril, torch.tril, [(2, 3, 3)]),
    "quantile": (lambda a: np.quantile(a, 0.3, axis=1), lambda a: torch.quantile(a, 0.3, 1), [(2, 5)]),
    "trapezoid": (np.trapezoid, torch.trapezoid, [(2, 5)]),
    "cov": (np.cov, torch.cov, [(3, 5)]),
    "logsumexp": (lambda a: special.logsumexp(a, axis=1), lambda a: torch.logsumexp(a, 1), [(2, 5)]),
    "softmax": (lambda a: special.softmax(a, axis=1), lambda a: torch.softmax(a, 1), [(2, 5)]),
    "norm": (lambda a: np.linalg.norm(a, axis=1), lambda a: torch.linalg.norm(a, dim=1), [(2, 5)]),
    "norm nuc": (lambda a: np.linalg.norm(a, "nuc"), lambda a: torch.linalg.norm(a, "nuc"), [(3, 4)]),
    "pinv": (np.linalg.pinv, torch.linalg.pinv, [(2, 4, 3)]),
    "svdvals": (np.linalg.svdvals, torch.linalg.svdvals, [(2, 4, 3)]),
    "qr": (lambda a: list(np.linalg.qr(a)), lambda a: list(torch.linalg.qr(a)), [(2, 4, 3)]),
}  # fmt: skip
SQUARE = {
    "inv": (np.linalg.inv, torch.linalg.inv), "det": (np.linalg.det, torch.linalg.det),
    "slogdet": (lambda a: np.linalg.slogdet(a)[1], lambda a: torch.linalg.slogdet(a)[1]),
    "solve": (lambda a: np.linalg.solve(a, a.mT), lambda a: torch.linalg.solve(a, a.mT)),
    "cholesky": (
        lambda a: np.linalg.cholesky(a @ a.mT + np.eye(3)), lambda a: torch.linalg.cholesky(a @ a.mT + torch.eye(3)),
    ),
    "eigvalsh": (lambda a: np.linalg.eigvalsh(a + a.mT), lambda a: torch.linalg.eigvalsh(a + a.mT)),
    "eigh": (lambda a: np.linalg.eigh(a + a.mT)[1] ** 2, lambda a: torch.linalg.eigh(a + a.mT)[1] ** 2),
    "matrix_power": (lambda a: np.linalg.matrix_power(a, 3), lambda a: torch.linalg.matrix_power(a, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_shapes_products_and_reductions(name: str) -> None:
    ours, theirs, shapes = CASES[name]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        agree(ours, theirs, [rng.normal(size=shape) for shape in shapes], rng)


@pytest.mark.parametrize("name", SQUARE)
def test_functions_of_square_matrices(name: str) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        agree(*SQUARE[name], [rng.normal(size=(2, 3, 3)) + 3 * np.eye(3)], rng)
