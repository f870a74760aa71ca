"""Complex numbers against PyTorch and JAX: values, and gradients in both real directions.

The convention of all three is compared by `torch.view_as_real`: a complex number is a pair of real
numbers (..., 2), and its gradient is that of a real function of the pair. PyTorch's gradient is
dL/da + i dL/db, as ours is, and its pair the gradient in (a, b); JAX's is the conjugate of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special as sp

import tinygrad_cv as tg
from tinygrad_cv import special

pytestmark = pytest.mark.parity
torch: Any = pytest.importorskip("torch")
jax: Any = pytest.importorskip("jax")
jax.config.update("jax_enable_x64", True)
jnp: Any = jax.numpy

Function = Callable[..., Any]
Arrays = list[np.ndarray]


def pair(array: np.ndarray) -> np.ndarray:
    """Real and imaginary parts along a last axis, as in `torch.view_as_real`; real ones as they
    are."""
    return np.stack([array.real, array.imag], axis=-1) if np.iscomplexobj(array) else array


def several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def ours(f: Function, arrays: Arrays, cotangents: Arrays) -> tuple[Arrays, Arrays]:
    values, pull = tg.vjp(lambda *a: several(f(*a)), *arrays)
    return values, list(pull(cotangents))


def of_torch(f: Function, arrays: Arrays, cotangents: Arrays) -> tuple[Arrays, Arrays]:
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    values = several(f(*leaves))
    found = torch.autograd.grad(values, leaves, [torch.tensor(c) for c in cotangents])
    gradients = [g.resolve_conj() for g in found]
    for gradient in gradients:
        if gradient.is_complex():  # the convention, in PyTorch's own words
            assert np.array_equal(torch.view_as_real(gradient).numpy(), pair(gradient.numpy()))
    return [v.detach().resolve_conj().numpy() for v in values], [g.numpy() for g in gradients]


def of_jax(f: Function, arrays: Arrays, cotangents: Arrays) -> tuple[Arrays, Arrays]:
    values, pull = jax.vjp(lambda *a: several(f(*a)), *map(jnp.asarray, arrays))
    gradients = pull([jnp.conj(jnp.asarray(c)) for c in cotangents])
    return list(map(np.asarray, values)), [np.conj(np.asarray(g)) for g in gradients]


def agree(
    mine: Function, peer: Function, route: Any, arrays: Arrays, rng: np.random.Generator
) -> None:
    """Values, and gradients at random cotangents, to 1e-10 of their scale."""
    shapes = [(np.shape(v), np.iscomplexobj(v)) for v in several(mine(*arrays))]
    cotangents: Arrays = []
    for shape, is_complex in shapes:
        real = rng.normal(size=shape)
        cotangents.append(real + 1j * rng.normal(size=shape) if is_complex else real)
    found = ours(mine, arrays, cotangents)
    expected = route(peer, arrays, cotangents)
    for own, others in zip(found, expected, strict=True):
        for one, other in zip(own, others, strict=True):
            assert np.shape(one) == np.shape(other)
            scale = max(1.0, float(np.max(np.abs(other), initial=0)))
            np.testing.assert_allclose(
                pair(np.asarray(one)), pair(other), rtol=1e-10, atol=1e-10 * scale
            )


def draw(rng: np.random.Generator, shape: tuple[int, ...], is_complex: bool = True) -> np.ndarray:
    """From 0.2 to 0.9 in size, away from branch cuts along the axes; or real."""
    size = rng.uniform(0.2, 0.9, shape)
    return size * np.exp(1j * rng.uniform(-1.4, 1.4, shape)) if is_complex else size


# NumPy's name: PyTorch's, JAX's; None where the peer has none, or another function of that name.
SAME_NAME = """
exp expm1 sqrt log log2 log10 log1p sin cos tan sinh cosh tanh square reciprocal negative abs real
imag angle sinc cumsum cumprod ravel sum mean prod exp2 positive cov corrcoef diff trapezoid trace
tril triu
"""
UNARY: dict[str, tuple[str | None, str | None]] = {name: (name, name) for name in SAME_NAME.split()}
UNARY |= {
    "arcsin": ("asin", "arcsin"),
    "arccos": ("acos", "arccos"),
    "arctan": ("atan", "arctan"),
    "arcsinh": ("asinh", "arcsinh"),
    "arccosh": ("acosh", "arccosh"),
    "arctanh": ("atanh", "arctanh"),
    "conjugate": ("conj", "conj"),
    "sign": ("sgn", None),  # JAX gives it the gradient 0
    "sort_complex": (None, "sort_complex"),
}
for name in ["std", "var", "gradient", "nan_to_num", "flip", "transpose"]:
    UNARY[name] = (None, name)
# PyTorch's cumsum and cumprod need an axis; its sinc is not of complex numbers.
NOT_OF_TORCH = {"cumsum", "cumprod", "sinc", "positive"}
BINARY = {
    "add": "add", "subtract": "subtract", "multiply": "multiply", "true_divide": "true_divide",
    "power": "pow",
    "matmul": "matmul", "kron": "kron", "vdot": None, "inner": "inner", "outer": None,
    "convolve": None,
}  # fmt: skip
MIXTURES = [(True, True), (True, False), (False, True)]


OF_TORCH = [
    (name, of_torch, torch, peers[0])
    for name, peers in UNARY.items()
    if peers[0] and name not in NOT_OF_TORCH
]
OF_JAX = [(name, of_jax, jnp, peers[1]) for name, peers in UNARY.items() if peers[1]]


@pytest.mark.parametrize("name, route, library, of_peer", [*OF_TORCH, *OF_JAX])
def test_functions_of_one_array(name: str, route: Any, library: Any, of_peer: str) -> None:
    peer = getattr(library, of_peer)
    rng = np.random.default_rng(0)
    for _ in range(3):
        agree(getattr(np, name), peer, route, [draw(rng, (3, 4))], rng)


@pytest.mark.parametrize(
    "mixture", MIXTURES, ids=["complex", "complex and real", "real and complex"]
)
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_arrays(name: str, mixture: tuple[bool, bool]) -> None:
    shapes = [(4,), (4,)] if name in ("vdot", "convolve", "outer") else [(3, 3), (3, 3)]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        arrays = [draw(rng, shape, kind) for shape, kind in zip(shapes, mixture, strict=True)]
        agree(getattr(np, name), getattr(jnp, name), of_jax, arrays, rng)
        if BINARY[name] and (
            mixture == (True, True) or name in ("add", "subtract", "multiply", "true_divide")
        ):
            agree(getattr(np, name), getattr(torch, BINARY[name] or ""), of_torch, arrays, rng)


@pytest.mark.parametrize(
    "mixture", MIXTURES, ids=["complex", "complex and real", "real and complex"]
)
def test_products_that_pytorch_names_otherwise(mixture: tuple[bool, bool]) -> None:
    rng = np.random.default_rng(0)
    a, b = (draw(rng, (2, 3), kind) for kind in mixture)
    c = draw(rng, (3, 2))
    agree(
        lambda x, y: np.einsum("ij,ij->i", x, y),
        lambda x, y: jnp.einsum("ij,ij->i", x, y),
        of_jax,
        [a, b],
        rng,
    )
    agree(
        np.tensordot, torch.tensordot, of_torch, [draw(rng, (2, 3, 4)), draw(rng, (3, 4, 2))], rng
    )
    agree(np.vecdot, torch.linalg.vecdot, of_torch, [draw(rng, (2, 3)), draw(rng, (2, 3))], rng)
    agree(np.cross, torch.linalg.cross, of_torch, [draw(rng, (2, 3)), draw(rng, (2, 3))], rng)
    agree(lambda x, y: x @ y, lambda x, y: x @ y, of_jax, [a, c], rng)
    agree(
        lambda x: np.correlate(x, c[:, 0], "full"),
        lambda x: jnp.correlate(x, c[:, 0], "full"),
        of_jax,
        [a[0]],
        rng,
    )


def test_norms_and_choices() -> None:
    rng = np.random.default_rng(0)
    z, w = draw(rng, (3, 4)), draw(rng, (3, 4))
    chosen = rng.random((3, 4)) < 0.5
    for order in (1, 2, 3, np.inf):
        peer = lambda t, order=order: torch.linalg.vector_norm(t, ord=order)
        agree(lambda t, order=order: np.linalg.vector_norm(t, ord=order), peer, of_torch, [z], rng)
    agree(np.linalg.norm, torch.linalg.norm, of_torch, [z], rng)
    mask = torch.tensor(chosen)
    agree(
        lambda a, b: np.where(chosen, a, b),
        lambda a, b: torch.where(mask, a, b),
        of_torch,
        [z, w],
        rng,
    )
    agree(lambda a: a[[0, 1, 1], 1:], lambda a: a[[0, 1, 1], 1:], of_torch, [z], rng)
    agree(lambda a: np.cumsum(a, 1), lambda a: torch.cumsum(a, 1), of_torch, [z], rng)
    agree(lambda a: np.cumprod(a, 1), lambda a: torch.cumprod(a, 1), of_torch, [z], rng)
    agree(
        lambda a: np.var(a, axis=1, ddof=1), lambda a: jnp.var(a, axis=1, ddof=1), of_jax, [z], rng
    )
    agree(lambda a: np.polyval(a[0], a[1]), lambda a: jnp.polyval(a[0], a[1]), of_jax, [z], rng)


NORMS = ["backward", "ortho", "forward"]
ONE_AXIS = ["fft", "ifft", "rfft", "ihfft", "irfft", "hfft"]
SEVERAL_AXES = ["fft2", "ifft2", "fftn", "ifftn", "rfft2", "rfftn", "irfft2", "irfftn"]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ONE_AXIS)
@pytest.mark.parametrize("route", [of_torch, of_jax])
def test_fourier_transforms_along_one_axis(name: str, norm: str, route: Any) -> None:
    rng = np.random.default_rng(0)
    real = name in ("rfft", "ihfft")
    library = torch.fft if route is of_torch else jnp.fft
    axis = {"dim": 0} if route is of_torch else {"axis": 0}
    for length in (4, 5):
        for n in (None, 3, 4, 7):
            mine = lambda a, n=n: getattr(np.fft, name)(a, n=n, axis=0, norm=norm)
            peer = lambda a, n=n: getattr(library, name)(a, n=n, norm=norm, **axis)
            agree(mine, peer, route, [draw(rng, (length, 2), not real)], rng)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", SEVERAL_AXES)
@pytest.mark.parametrize("route", [of_torch, of_jax])
def test_fourier_transforms_along_several_axes(name: str, norm: str, route: Any) -> None:
    rng = np.random.default_rng(0)
    z = draw(rng, (2, 4, 3), name not in ("rfft2", "rfftn"))
    library = torch.fft if route is of_torch else jnp.fft
    for s, axes in ((None, (0, 1)), (None, (1, 2)), ((3, 5), (1, 2)), ((4, 2), (2, 0))):
        place = {"dim": axes} if route is of_torch else {"axes": axes}
        mine = lambda a, s=s, axes=axes: getattr(np.fft, name)(a, s, axes, norm)
        peer = lambda a, s=s, place=place: getattr(library, name)(a, s, norm=norm, **place)
        agree(mine, peer, route, [z], rng)


def test_softmax_and_its_kin() -> None:
    rng = np.random.default_rng(0)
    z = draw(rng, (3, 4))
    agree(
        lambda a: special.logsumexp(a, axis=1),
        lambda a: jax.scipy.special.logsumexp(a, axis=1),
        of_jax,
        [z],
        rng,
    )
    agree(
        lambda a: special.softmax(a, axis=1), lambda a: jax.nn.softmax(a, axis=1), of_jax, [z], rng
    )
    agree(lambda a: sp.xlogy(a, a + 2), lambda a: a * jnp.log(a + 2), of_jax, [z], rng)


def test_real_numbers_that_become_complex_and_back() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4))
    mine = lambda a: np.abs(np.fft.fft(a * (1 + 2j))) ** 2
    agree(mine, lambda a: torch.abs(torch.fft.fft(a * (1 + 2j))) ** 2, of_torch, [x], rng)
    agree(mine, lambda a: jnp.abs(jnp.fft.fft(a * (1 + 2j))) ** 2, of_jax, [x], rng)
    agree(lambda a: np.exp(1j * a).real, lambda a: torch.exp(1j * a).real, of_torch, [x], rng)


SHAPES: dict[str, tuple[Function, Function]] = {  # that move elements: of NumPy, of PyTorch
    "concatenate": (lambda a: np.concatenate([a, a * 1j], 1), lambda a: torch.cat([a, a * 1j], 1)),
    "stack": (lambda a: np.stack([a, a.conj()], 1), lambda a: torch.stack([a, a.conj()], 1)),
    "reshape": (lambda a: np.reshape(a, (4, 3)), lambda a: torch.reshape(a, (4, 3))),
    "moveaxis": (lambda a: np.moveaxis(a, 0, 1), lambda a: torch.moveaxis(a, 0, 1)),
    "roll": (lambda a: np.roll(a, 1, 1), lambda a: torch.roll(a, 1, 1)),
    "flip": (lambda a: np.flip(a, 1), lambda a: torch.flip(a, (1,))),
    "rot90": (np.rot90, torch.rot90),
    "tile": (lambda a: np.tile(a, (2, 1)), lambda a: torch.tile(a, (2, 1))),
    "repeat": (lambda a: np.repeat(a, 2, 1), lambda a: torch.repeat_interleave(a, 2, 1)),
    "pad": (lambda a: np.pad(a, 1), lambda a: torch.nn.functional.pad(a, (1, 1, 1, 1))),
    "broadcast_to": (
        lambda a: np.broadcast_to(a, (2, 3, 4)),
        lambda a: torch.broadcast_to(a, (2, 3, 4)),
    ),
    "diagonal": (lambda a: np.diagonal(a, 1), lambda a: torch.diagonal(a, 1)),
    "diag": (lambda a: np.diag(a[0]), lambda a: torch.diag(a[0])),
    "split": (lambda a: np.split(a, 2, 1), lambda a: torch.tensor_split(a, 2, 1)),
    "take": (lambda a: np.take(a, [0, 5, 5]), lambda a: torch.take(a, torch.tensor([0, 5, 5]))),
    "fftshift": (np.fft.fftshift, torch.fft.fftshift),
    "ifftshift": (np.fft.ifftshift, torch.fft.ifftshift),
    "astype": (lambda a: a.real.astype(complex) * 2j, lambda a: a.real.to(torch.complex128) * 2j),
}


@pytest.mark.parametrize("name", SHAPES)
def test_functions_that_move_elements(name: str) -> None:
    rng = np.random.default_rng(0)
    agree(*SHAPES[name], of_torch, [draw(rng, (3, 4))], rng)
