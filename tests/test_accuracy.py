"""Derivatives at the ends of the number line, against their closed forms.

`tests/test_parity_accuracy.py` has the property, over all functions, against mpmath.
"""

from __future__ import annotations

from math import exp, log, log1p, pi, sqrt
from typing import Any

import numpy as np
import pytest
from scipy import special as sp

import tinygrad_cv as tg
from tinygrad_cv import special

F32, F64 = np.float32, np.float64
k = tg.kernels

SAMPLES = {
    "logaddexp": (lambda x: np.logaddexp(x, F32(0)), F32(-17), exp(-17) / (1 + exp(-17))),
    "log_ndtr": (sp.log_ndtr, F64(-1e4), 1e4 + 1e-4),
    "erfcx": (sp.erfcx, F32(1e3), -1 / sqrt(pi) * 1e-6),
    "dawsn": (sp.dawsn, F32(1e3), -0.5e-6),
    "arcsinh": (np.arcsinh, F32(1e22), 1e-22),
    "arccosh": (np.arccosh, F32(1e22), 1e-22),
    "arctan2": (lambda y: np.arctan2(y, F32(1e22)), F32(1e22), 0.5e-22),
    "expm1": (np.expm1, F64(-40), exp(-40)),
    "rgamma at 0": (sp.rgamma, F64(0), 1.0),
    "rgamma at -3": (sp.rgamma, F64(-3), -6.0),
    "binom": (lambda x: sp.binom(x, 2.0), F64(1), 0.5),
    "poch": (lambda z: sp.poch(z, 2.0), F64(-2), -3.0),
    "remainder": (lambda b: np.remainder(1.0, b), F64(0.1), -9.0),
    "xlogy": (lambda y: sp.xlogy(2.0, y), F64(0), np.inf),
    "tanh": (np.tanh, F64(30), 4 * exp(-60)),
    "kernel tanh": (k.tanh, F32(15), 4 * exp(-30)),
    "kernel sigmoid": (k.sigmoid, F32(30), exp(-30)),
    "kernel gelu_tanh": (lambda x: k.gelu(x, approximate="tanh"), F32(1e22), 1.0),
    "logit": (sp.logit, F64(1e-300), 1e300),
    "ndtri": (sp.ndtri, F64(1e-300), 2.697304465042612e+298),
    "power": (lambda x: np.power(x, 1e-5), F64(1e200), 1e-5 * 1e-200 * exp(1e-5 * 200 * log(10))),
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_derivative_is_right_at_the_ends_of_the_number_line(name: str) -> None:
    f, x, right = SAMPLES[name]
    rtol = 2e-6 if x.dtype == F32 else 1e-11
    array = np.array([x])
    found = [
        tg.vjp(f, array)[1](np.ones_like(array))[0],
        tg.jvp(f, [array], [np.ones_like(array)])[1],
    ]
    for slope in found:
        assert slope.dtype == x.dtype
        np.testing.assert_allclose(slope, [right], rtol=rtol)


def test_arcsin_keeps_its_digits_near_1() -> None:
    x = F64(1 - 1e-10)
    np.testing.assert_allclose(tg.grad(np.arcsin)(x), 1 / sqrt((1 - x) * (1 + x)), rtol=1e-15)


def test_logsumexp_leaves_out_what_has_weight_0() -> None:
    a, b = np.array([-1000.0, -2.0]), np.array([1.0, 0.0])
    value, slope = tg.value_and_grad(lambda x: special.logsumexp(x, b=b))(a)
    assert value == -1000
    np.testing.assert_array_equal(slope, [1, 0])


@pytest.mark.parametrize("dtype", [F32, F64])
def test_a_confident_softmax_keeps_the_digits_of_what_is_left(dtype: type) -> None:
    """1 - p for p = 1 / (1 + exp(-40)), which is 1 to all digits."""
    x = np.array([[40.0, 0.0]], dtype)
    left = exp(-40) / (1 + exp(-40))
    first = np.array([[1.0, 0.0]], dtype)
    for softmax in (k.softmax, lambda x: special.softmax(x, axis=-1)):
        np.testing.assert_allclose(tg.vjp(softmax, x)[1](first)[0], [[left, -left]], rtol=1e-6)
    for softmax in (k.log_softmax, lambda x: special.log_softmax(x, axis=-1)):
        np.testing.assert_allclose(tg.vjp(softmax, x)[1](first)[0], [[left, -left]], rtol=1e-6)
    loss, slope = tg.value_and_grad(lambda x: k.cross_entropy(x, np.array([0])))(x)
    np.testing.assert_allclose(loss, log1p(exp(-40)), rtol=1e-6)
    np.testing.assert_allclose(slope, [[-left, left]], rtol=1e-6)


def test_second_derivatives_do_not_vanish_in_the_tails() -> None:
    second: Any = lambda f, x: tg.grad(tg.grad(f))(F64(x))
    np.testing.assert_allclose(second(np.tanh, 30.0), -8 * exp(-60), rtol=1e-12)
    np.testing.assert_allclose(second(sp.expit, 40.0), -exp(-40), rtol=1e-12)
    np.testing.assert_allclose(second(np.expm1, -40.0), exp(-40), rtol=1e-12)
    assert second(np.tanh, 1000.0) == 0
