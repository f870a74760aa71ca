"""Complex numbers where the rows of the table do not come.

Branch cuts, zeros, mixtures, Fourier transforms as matrices, and what is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special as sp

import tinygrad_cv as tg
from tinygrad_cv import special
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.testing import arrays, check_grad, check_jvp

Function = Callable[..., Any]

# Each with points on its branch cut, on the line that the cut lies on.
CUTS: dict[Any, tuple[complex, list[float]]] = {
    np.sqrt: (1, [-2.0, -0.5]),
    np.log: (1, [-2.0, -0.5]),
    np.log2: (1, [-2.0]),
    np.log10: (1, [-2.0]),
    np.log1p: (1, [-3.0, -1.5]),
    np.arcsin: (1, [-2.0, -1.5, 1.5, 2.0]),
    np.arccos: (1, [-2.0, -1.5, 1.5, 2.0]),
    np.arccosh: (1, [-2.0, -1.5, -0.5, 0.5]),
    np.arctanh: (1, [-2.0, -1.5, 1.5, 2.0]),
    np.arcsinh: (1j, [-2.0, -1.5, 1.5, 2.0]),
    np.arctan: (1j, [-2.0, -1.5, 1.5, 2.0]),
}


@pytest.mark.parametrize("side", ["above", "below"])
@pytest.mark.parametrize("function", CUTS, ids=name_of)
def test_slopes_are_right_on_both_sides_of_a_branch_cut(function: Any, side: str) -> None:
    """Along the cut the function is smooth; the sign of a zero says on which side a number is."""
    line, points = CUTS[function]
    for point in points:
        z = np.array(complex(point, 0.0) if line == 1 else complex(0.0, point))
        if side == "below":
            z = np.array(complex(z.real, -0.0) if line == 1 else complex(-0.0, z.imag))
        if line == 1:
            beside = [np.array(complex(z.real + d, z.imag)) for d in (1e-6, -1e-6)]
        else:
            beside = [np.array(complex(z.real, z.imag + d)) for d in (1e-6, -1e-6)]
        slope = (function(beside[0]) - function(beside[1])) / (2e-6 * line)
        pushed = tg.jvp(function, (z,), (np.array(line + 0j),))[1]
        np.testing.assert_allclose(pushed, slope * line, rtol=1e-8)
        pulled = tg.vjp(function, z)[1](np.array(1 + 0j))
        np.testing.assert_allclose(
            pulled[0] if isinstance(pulled, tuple) else pulled, np.conj(slope), rtol=1e-8
        )


@pytest.mark.parametrize("function", [np.power, np.float_power, sp.xlogy])
def test_a_negative_number_has_a_logarithm_beside_complex_numbers(function: Any) -> None:
    negative, z = np.array([-2.0, -0.5]), np.array([0.5 + 1j, -1 + 0.2j])
    one, other = (z, negative) if function is sp.xlogy else (negative, z)
    check_grad(function, one, other, wrt=0 if function is sp.xlogy else 1, order=2)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3])
def test_powers_of_zero_have_the_slopes_of_polynomials(exponent: int) -> None:
    z = np.array([0j, 1 + 1j])
    gradient = tg.grad(lambda z: np.sum(np.real(np.power(z, exponent))))(z)
    expected = exponent * z ** max(exponent - 1, 0)
    np.testing.assert_array_equal(gradient, np.conj(expected))


def test_the_size_of_zero_has_slope_zero_and_no_second_derivative() -> None:
    z = np.array([0j, 3 + 4j])
    np.testing.assert_allclose(tg.grad(lambda z: np.sum(np.abs(z)))(z), [0, 0.6 + 0.8j])
    np.testing.assert_allclose(tg.grad(np.linalg.norm)(np.zeros(2, complex)), 0)
    with pytest.raises(FloatingPointError, match="second derivative"):
        tg.hvp(lambda z: np.sum(np.abs(z)), z, z)


def test_a_descent_step_lowers_a_loss_of_complex_numbers() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 3)) + 1j * rng.normal(size=(4, 3))
    z = tg.Tensor(rng.normal(size=3) + 1j * rng.normal(size=3), requires_grad=True)
    losses = []
    for _ in range(1000):
        z.grad = None
        loss = np.sum(np.abs(a @ z - 1j) ** 2)
        loss.backward()
        z.data -= 0.05 * z.grad
        losses.append(loss.item())
    assert np.all(np.diff(losses) <= 1e-12)
    best = np.linalg.lstsq(a, np.full(4, 1j), rcond=None)[0]
    np.testing.assert_allclose(z.data, best, atol=1e-3)


lengths = st.integers(1, 7)


@given(
    length=lengths, n=st.none() | lengths, norm=st.sampled_from(["backward", "ortho", "forward"])
)
def test_a_fourier_transform_is_a_matrix_and_its_gradient_the_transpose(
    length: int, n: int | None, norm: Any
) -> None:
    for function in (np.fft.fft, np.fft.ifft):
        matrix = np.stack(
            [function(e, n, norm=norm) for e in np.eye(length)], axis=1
        )  # (n, length)
        g = np.exp(1j * np.arange(matrix.shape[0]))
        pulled = tg.vjp(lambda a, f=function: f(a, n, norm=norm), np.ones(length, complex))[1](g)
        np.testing.assert_allclose(np.ravel(pulled), matrix.conj().T @ g, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["fft", "ifft", "rfft", "ihfft", "irfft", "hfft", "fft2", "rfft2", "irfft2"]
)
def test_transforms_keep_single_precision(name: str) -> None:
    function = getattr(np.fft, name)
    real = name in ("rfft", "ihfft", "rfft2")
    x = np.ones((4, 3), np.float32 if real else np.complex64)
    value, pull = tg.vjp(function, x)
    assert value.dtype == function(x).dtype and value.dtype.itemsize <= 8
    pulled = pull(value)
    assert np.asarray(pulled[0] if isinstance(pulled, tuple) else pulled).dtype == x.dtype


def test_lengths_and_axes_of_a_transform_go_together() -> None:
    with pytest.raises(ValueError, match=r"np\.fft\.fftn: Shape and axes have different lengths"):
        np.fft.fftn(tg.Tensor(np.ones((2, 3))), (2, 3), axes=(0,))


POINTS = arrays((3,), domain=(0.3, 2.0))


@given(size=POINTS, phase=arrays((3,), domain=(-2.8, 2.8)), seed=st.integers(0, 99))
def test_functions_that_are_scaled_by_a_real_one(
    size: np.ndarray, phase: np.ndarray, seed: int
) -> None:
    """exp(-|Im z|) and its kin have no complex derivative; away from the exponent's kink."""
    z = size * np.exp(1j * np.sign(phase + 0.01) * (0.3 + abs(phase) * 0.3))
    for function in (sp.jve, sp.yve, sp.ive, sp.kve, sp.hankel1e, sp.hankel2e):
        f = lambda z, function=function: function(1.5, z)
        check_grad(f, z, order=2, rng=seed)
        check_jvp(f, lambda args, tangents, f=f: tg.jvp(f, args, tangents)[1], z, rng=seed)


@pytest.mark.parametrize("least", [-40.3, -3.5, 0.2, 14.9, 80.0])
def test_psi_and_its_slopes_far_from_and_near_its_poles(least: float) -> None:
    z = least + np.array([0.2j, 1 + 0.5j, 3 - 8j])
    check_grad(sp.psi, z, order=2)
    real = least + np.array([0.05, 1.45])
    slopes = [
        tg.grad(lambda z: np.sum(np.real(sp.psi(z))))(x) for x in (real, real.astype(complex))
    ]
    np.testing.assert_allclose(slopes[1], slopes[0], rtol=1e-13)


def test_spherical_harmonics_at_the_poles_have_slopes() -> None:
    f = lambda theta, phi: special.sph_harm_y(2, 1, theta, phi)
    check_grad(f, np.array([0.0, 0.7]), np.array([0.3, -1.0]), order=2)


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")  # NumPy warns, then it is refused
@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda z: z.astype(float), TypeError, "imaginary part"),
        (lambda z: np.quantile(z, 0.5), TypeError, "np.quantile: 'a'"),
        (lambda z: np.interp(z, [0.0, 1.0], [0.0, 1.0]), TypeError, "np.interp: 'x'"),
        (lambda z: np.arctan2(z, z), TypeError, "np.arctan2"),
        (lambda z: np.fft.rfft(z), TypeError, "rfft"),
        (lambda z: np.var(z, dtype=float), TypeError, "imaginary part"),
        (lambda z: np.histogram(z, 3), TypeError, "np.histogram: 'a'"),
        (lambda z: sp.gammaln(z), TypeError, "gammaln"),
        (lambda z: special.polygamma(1, z), TypeError, "polygamma"),
        (lambda z: tg.kernels.gelu(z), TypeError, "gelu: 'x' is complex128"),
        (lambda z: tg.kernels.softmax(z), TypeError, "softmax: 'x' is complex128"),
        (lambda z: tg.kernels.linear(z, np.ones((2, 3))), TypeError, "linear: 'x' is complex128"),
        (lambda z: tg.kernels.softmax(z.numpy()), TypeError, "softmax: 'x' is complex128"),
        (lambda z: np.sum(z).backward(), TypeError, "only a real number"),
    ],
)
def test_what_complex_numbers_are_refused_by_name(call: Function, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call(tg.Tensor([1 + 2j, 0.5 - 1j, 3j], requires_grad=True))


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")  # NumPy warns, then it is refused
def test_a_real_array_takes_no_complex_parts() -> None:
    x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    z = np.array(1j)
    for call in (
        lambda: np.insert(x, 1, z),
        lambda: np.ediff1d(x, to_end=z),
        lambda: np.var(x, mean=z),
        lambda: np.nanvar(x, mean=z),
    ):
        with pytest.raises(TypeError, match="complex128"):
            call()


def test_the_search_for_nan_sees_complex_numbers() -> None:
    z = tg.Tensor([0j, 1j], requires_grad=True)
    with (
        pytest.raises(FloatingPointError, match=r"np\.log"),
        np.errstate(all="ignore"),
        tg.detect_anomaly(),
    ):
        np.log(z)


@pytest.mark.parametrize("value", [0.1, 1e-14, 1e-20])
def test_imaginary_parts_that_are_small_are_dropped_as_numpy_does(value: float) -> None:
    z = np.array([1 + value * 1j, 2 + 0j])
    for tol in (100, 0.2):
        result = np.real_if_close(tg.Tensor(z, requires_grad=True), tol)
        expected = np.real_if_close(z, tol)
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result.numpy(), expected)


def test_infinite_parts_are_replaced_one_by_one() -> None:
    z = np.array([complex(np.nan, 1.0), complex(2.0, np.inf), complex(-np.inf, np.nan), 3 - 4j])
    t = tg.Tensor(z, requires_grad=True)
    for options in ({}, {"posinf": np.inf, "neginf": 5.0, "nan": 7.0}):
        np.testing.assert_array_equal(
            np.nan_to_num(t, **options).numpy(), np.nan_to_num(z, **options)
        )
    np.sum(np.abs(np.nan_to_num(t, posinf=1.0, neginf=1.0))).backward()
    assert np.isfinite(t.grad).all() and t.grad[0].real == 0 and t.grad[0].imag != 0


def test_a_complex_tensor_prints_and_formats_like_an_array() -> None:
    z = tg.Tensor([1 + 2j], requires_grad=True)
    assert repr(z) == "Tensor([1.+2.j], dtype=complex128, requires_grad=True)"
    assert f"{z:.1f}" == "1.0+2.0j"
