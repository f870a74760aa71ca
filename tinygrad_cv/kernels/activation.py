"""Activation functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..machine import aligned
from .erf import normal
from .kernel import kernel
from .tiles import tiles


@kernel
def relu(x: Any) -> Any:
    """max(x, 0), with derivative 0 at 0 (Nair & Hinton 2010)."""
    return np.where(x > 0, x, 0)


@relu.forward
def _(x: Any) -> Any:
    return np.maximum(x, 0), None


@relu.backward
def _(g: Any, y: Any) -> Any:
    dx = positive(y)
    dx *= g
    return dx


def positive(y: Any) -> Any:
    """1 where y > 0 and 0 elsewhere, in the dtype of y: NumPy multiplies that faster than booleans."""
    return np.greater(y, 0, out=np.empty_like(y))


@kernel
def leaky_relu(x: Any, *, negative_slope: float = 0.01) -> Any:
    """x above 0, `negative_slope` x elsewhere (Maas et al. 2013). The slope, in [0, 1], is the derivative at 0."""
    return np.where(x > 0, x, negative_slope * x)


@leaky_relu.forward
def _(x: Any, negative_slope: float) -> Any:
    if not 0 <= negative_slope <= 1:
        raise ValueError(f"negative_slope lies between 0 and 1, not {negative_slope}")
    return np.maximum(x, negative_slope * x), None


@leaky_relu.backward
def _(g: Any, y: Any, negative_slope: float) -> Any:
    dx = leaky_slope(y, negative_slope)
    dx *= g
    return dx


def leaky_slope(y: Any, negative_slope: float) -> Any:
    """The derivative of `leaky_relu` where its value is y: exactly 1 or the slope."""
    slope = positive(y)
    return np.maximum(slope, y.dtype.type(negative_slope), out=slope)


@kernel
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    from scipy.special import expit

    return expit(x)


@sigmoid.forward
def _(x: Any) -> Any:
    return logistic(x), None


@sigmoid.backward
def _(g: Any, y: Any) -> Any:
    return g * (y * (1 - y))


def logistic(x: Any, out: Any = None) -> Any:
    """The sigmoid of an array, several times faster than SciPy's; where exp(-x) overflows, its limit 0."""
    with np.errstate(over="ignore"):
        out = np.exp(np.negative(x, out=out), out=out)
        out += 1
        return np.reciprocal(out, out=out if type(out) is np.ndarray else None)


@kernel
def tanh(x: Any) -> Any:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return np.tanh(x)


@tanh.forward
def _(x: Any) -> Any:
    return np.tanh(x), None


@tanh.backward
def _(g: Any, y: Any) -> Any:
    return g * (1 - y * y)


@kernel
def gelu(x: Any, *, approximate: str = "none") -> Any:
    """x Phi(x), with the normal distribution function Phi (Hendrycks & Gimpel 2016).

    `approximate="tanh"` is the paper's x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    """
    if approximate == "none":
        from scipy.special import ndtr

        return x * ndtr(x)
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@gelu.forward
def _(x: Any, approximate: str, needs: Sequence[bool]) -> Any:
    if approximate not in GELU:
        raise ValueError(f'approximate is "none" or "tanh", not {approximate!r}')
    return value_and_slope(GELU[approximate], x, needs[0])


@gelu.backward
def _(g: Any, saved: Any) -> Any:
    return g * saved


@kernel
def silu(x: Any) -> Any:
    """x sigmoid(x), also called swish (Elfwing et al. 2018; Ramachandran et al. 2017)."""
    return x * sigmoid.reference(x)


@silu.forward
def _(x: Any, needs: Sequence[bool]) -> Any:
    return value_and_slope(silu_formula, x, needs[0])


@silu.backward
def _(g: Any, saved: Any) -> Any:
    return g * saved


# ----------------------------------------------------------------------------- value and slope together, while x is hot


def fill_value_and_slope(
    formula: Callable[..., None], x: np.ndarray, y: np.ndarray, slope: np.ndarray | None
) -> None:
    """Fill y and, unless it is None, the derivative, tile by tile; `formula` is one of those below. y may be x."""
    with np.errstate(over="ignore"):  # exp of a large number: its inverse, 0, is right
        for parts in tiles(x, y, slope, buffers=2):
            formula(*parts)


def value_and_slope(
    formula: Callable[..., None], x: Any, wanted: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """The value and, if wanted, the derivative, in memory of their own."""
    x = np.asarray(x, float if np.asarray(x).dtype.kind != "f" else None)
    y, slope = aligned(x.shape, x.dtype), aligned(x.shape, x.dtype) if wanted else None
    fill_value_and_slope(formula, x, y, slope)
    return y, slope


def gelu_formula(x: Any, y: Any, slope: Any, p: Any, u: Any) -> None:
    """y = x Phi(x), slope = Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi). y may be x; p and u are buffers."""
    normal(x, np.multiply(x, x, out=u), out=p)
    if slope is not None:
        u *= -0.5 * math.log2(math.e)
        np.exp2(u, out=u)
        u *= x
        u *= 1 / math.sqrt(2 * math.pi)
        np.add(p, u, out=slope)
    np.multiply(x, p, out=y)


def gelu_tanh_formula(x: Any, y: Any, slope: Any, p: Any, u: Any) -> None:
    """Since (1 + tanh(v / 2)) / 2 = sigmoid(v) =: s, y = x s and slope = s + x s (1 - s) v', v the paper's polynomial."""
    linear = 2 * math.sqrt(2 / math.pi)
    cubic = 0.044715 * linear
    np.multiply(x, x, out=u)
    np.multiply(u, -math.log2(math.e) * cubic, out=p)
    p -= math.log2(math.e) * linear
    p *= x
    np.exp2(p, out=p)
    p += 1
    np.reciprocal(p, out=p)
    if slope is not None:
        u *= 3 * cubic
        u += linear
        u *= x
        u *= p
        u -= np.multiply(u, p, out=slope)
        np.add(p, u, out=slope)
    np.multiply(x, p, out=y)


def silu_formula(x: Any, y: Any, slope: Any, p: Any, _: Any) -> None:
    """With s = sigmoid(x), y = x s and slope = s + y (1 - s)."""
    logistic(x, out=p)
    np.multiply(x, p, out=y)
    if slope is not None:
        np.multiply(y, p, out=slope)
        np.subtract(y, slope, out=slope)
        slope += p


GELU = {"none": gelu_formula, "tanh": gelu_tanh_formula}


# ------------------------------------------------------------------------------------------------------------- dropout


@kernel
def dropout(x: Any, mask: Any, *, p: float) -> Any:
    """x mask / (1 - p): what the mask (1 or True to keep, 0 or False to drop) leaves, scaled to keep its expectation.

    Each element is dropped with probability p (Srivastava et al. 2014). The caller draws the mask; see `nn.Dropout`.
    """
    return x * mask * (1 / (1 - p) if p < 1 else 0.0)


@dropout.forward
def _(x: Any, mask: Any, p: float) -> Any:
    if not 0 <= p <= 1:
        raise ValueError(f"p is a probability, not {p}")
    if np.shape(mask) != x.shape:
        raise ValueError(
            f"the mask has shape {np.shape(mask)}, x has {x.shape}: draw one number for each element"
        )
    factor = np.multiply(mask, 1 / (1 - p) if p < 1 else 0.0, dtype=x.dtype)
    return x * factor, factor


@dropout.backward
def _(g: Any, saved: Any) -> Any:
    return g * saved
