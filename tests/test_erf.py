"""The fast error function of float32 against SciPy's in float64, over the whole range."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import special

import tinygrad_cv as tg
from tinygrad_cv import kernels


def everything() -> np.ndarray:
    """Positive numbers of all magnitudes, denormal ones too, and densely where erf bends."""
    bits = np.arange(1, 0x7F800000, 997, dtype=np.int32).view(np.float32)
    return np.concatenate([bits, np.linspace(0, 6, 200_001, dtype=np.float32)])


def test_erf_is_precise_to_4_units_in_the_last_place() -> None:
    x = everything()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = kernels.erf(x)
    exact = special.erf(x.astype(float))
    unit = np.spacing(exact.astype(np.float32)).astype(float)
    assert y.dtype == np.float32 and np.max(np.abs(y - exact) / unit) < 4


def test_erf_is_odd_and_right_at_its_ends() -> None:
    x = everything()
    np.testing.assert_array_equal(kernels.erf(-x), -kernels.erf(x))
    ends = np.array([0, -0.0, np.inf, -np.inf, np.nan], np.float32)
    y = kernels.erf(ends)
    np.testing.assert_array_equal(y, np.array([0, -0.0, 1, -1, np.nan], np.float32))
    assert np.signbit(y[1]) and not np.signbit(y[0])


def test_gelu_and_its_slope_in_float32() -> None:
    x = np.linspace(-14, 14, 400_001, dtype=np.float32)
    exact = x.astype(float)
    y, slope = kernels.gelu(x), tg.grad(lambda t: np.sum(kernels.gelu(t)))(x)
    density = np.exp(-exact * exact / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(y, exact * special.ndtr(exact), rtol=3e-7, atol=2.5e-7)
    np.testing.assert_allclose(slope, special.ndtr(exact) + exact * density, rtol=3e-7, atol=2.5e-7)


def test_the_tail_of_gelu_keeps_its_relative_precision() -> None:
    x = np.linspace(-12, -4.001, 10_001, dtype=np.float32)
    exact = x.astype(float)
    np.testing.assert_allclose(kernels.gelu(x), exact * special.ndtr(exact), rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (65_537,), (2, 70_000)])
def test_tiles_cover_arrays_of_any_size(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    for f in (kernels.gelu, kernels.silu):
        y = f(np.asarray(x))
        assert y.shape == shape
        np.testing.assert_allclose(y, f.reference(x), rtol=1e-12, atol=1e-15)
