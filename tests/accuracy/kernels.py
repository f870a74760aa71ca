"""Our own elementwise kernels, and softmax and the losses one element at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpmath import mp

import tinygrad_cv as tg
from tests.accuracy.elementwise import EXPONENT, REAL
from tests.accuracy.measure import Case, Domain, Slope

CASES: list[Case] = []


def case(name: str, function: Any, *domains: Domain, **settings: Any) -> None:
    """Enter a function with its slopes, as `slope=` or `slopes=`."""
    slope = settings.pop("slope", None)
    slopes = settings.pop("slopes", (slope,))
    CASES.append(Case(name, function, domains, slopes, **settings))


def _logistic(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def _logistic_slope(x: Any) -> Any:
    return mp.sech(x / 2) ** 2 / 4


def _gelu(x: Any) -> Any:
    return mp.ncdf(x) + x * mp.npdf(x)


def _gelu_tanh(x: Any) -> Any:
    c = mp.sqrt(2 / mp.pi)
    v = 2 * c * (x + mp.mpf(0.044715) * x**3)
    s = _logistic(v)
    return s + x * _logistic_slope(v) * 2 * c * (1 + 3 * mp.mpf(0.044715) * x**2)


def _silu(x: Any) -> Any:
    return _logistic(x) + x * _logistic_slope(x)


k = tg.kernels
case("relu", k.relu, REAL, slope=lambda x: float(x > 0))
case("leaky_relu", k.leaky_relu, REAL, slope=lambda x: 1 if x > 0 else mp.mpf(0.01))
case("sigmoid", k.sigmoid, EXPONENT, slope=_logistic_slope)
case("tanh", k.tanh, EXPONENT, slope=lambda x: mp.sech(x) ** 2)
GELU_NEAR = Domain(near=(0, -0.75, 1, -1, 5, -4, -5, -9, -13, -38))
case("gelu", k.gelu, GELU_NEAR, slope=_gelu)
case("gelu, tanh", lambda x: k.gelu(x, approximate="tanh"), GELU_NEAR, slope=_gelu_tanh)
case("silu", k.silu, Domain(near=(0, -1.2784645, 1, -1, 20, -88, -700)), slope=_silu)
case("erf", k.erf, EXPONENT, slope=lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x))
case(
    "mse",
    lambda a, b: k.mse(a, b, reduction="none"),
    REAL,
    REAL,
    slopes=(lambda a, b: 2 * (a - b), lambda a, b: 2 * (b - a)),
)
case(
    "bce_with_logits",
    lambda x, t: k.bce_with_logits(x, t, reduction="none"),
    EXPONENT,
    Domain(0, 1, near=(0, 1, 0.5)),
    slopes=(lambda x, t: _logistic(x) - t, lambda x, t: -x),
)


def _entry(function: Any, i: int) -> Any:
    return lambda *x: function(np.stack(x, -1))[..., i]


def _shares(*x: Any) -> list[Any]:
    top = max(x)
    e = [mp.exp(v - top) for v in x]
    return [v / mp.fsum(e) for v in e]


def _softmax_slope(i: int, j: int) -> Slope:
    def slope(*x: Any) -> Any:
        p = _shares(*x)
        if i != j:
            return -p[i] * p[j]
        return p[i] * mp.fsum(v for k, v in enumerate(p) if k != i)

    return slope


def _log_softmax_slope(i: int, j: int) -> Slope:
    def slope(*x: Any) -> Any:
        p = _shares(*x)
        return mp.fsum(v for k, v in enumerate(p) if k != i) if i == j else -p[j]

    return slope


ROW = (EXPONENT, EXPONENT, EXPONENT)
for name, softmax, log_softmax in (
    ("kernels", k.softmax, k.log_softmax),
    (
        "special",
        lambda x: tg.special.softmax(x, axis=-1),
        lambda x: tg.special.log_softmax(x, axis=-1),
    ),
):
    case(
        f"{name}.softmax",
        _entry(softmax, 0),
        *ROW,
        slopes=[_softmax_slope(0, j) for j in range(3)],
    )
    case(
        f"{name}.log_softmax",
        _entry(log_softmax, 0),
        *ROW,
        slopes=[_log_softmax_slope(0, j) for j in range(3)],
    )


def _cross_entropy(*x: Any) -> Any:
    logits = np.stack(x, -1)
    return k.cross_entropy(logits, np.zeros(len(x[0]), int), reduction="none")


case(
    "cross_entropy",
    _cross_entropy,
    *ROW,
    slopes=[lambda *x, j=j: -_log_softmax_slope(0, j)(*x) for j in range(3)],
)
case(
    "special.logsumexp",
    lambda *x: tg.special.logsumexp(np.stack(x, -1), axis=-1),
    *ROW,
    slopes=[lambda *x, j=j: _shares(*x)[j] for j in range(3)],
)


WEIGHT = Domain(0, 1e4, near=(0, 1), least=1e-4)


def _weighted(j: int) -> Slope:
    """Of log(b0 exp(x0) + b1 exp(x1)) in x_j."""

    def slope(a: Any, b: Any, p: Any, q: Any) -> Any:
        terms = [p * mp.exp(a), q * mp.exp(b)]
        total = mp.fsum(terms)
        return terms[j] / total if total else None

    return slope


case(
    "special.logsumexp, b",
    lambda a, b, p, q: tg.special.logsumexp(np.stack([a, b], -1), axis=-1, b=np.stack([p, q], -1)),
    EXPONENT,
    EXPONENT,
    WEIGHT,
    WEIGHT,
    slopes=(
        _weighted(0),
        _weighted(1),
        lambda a, b, p, q: 1 / (p + q * mp.exp(b - a)) if p or q else None,
        None,
    ),
)
