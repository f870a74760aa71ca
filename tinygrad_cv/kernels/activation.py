"""Activation functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

from .kernel import kernel


@kernel
def relu(x: Any) -> Any:
    """max(x, 0), with derivative 0 at 0 (Nair & Hinton 2010)."""
    return np.where(x > 0, x, 0)


@relu.forward
def _(x: Any) -> Any:
    return np.maximum(x, 0), None


@relu.backward
def _(g: Any, y: Any) -> Any:
    return g * (y > 0)


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
    return g * leaky_slope(y, negative_slope)


def leaky_slope(y: Any, negative_slope: float) -> Any:
    """The derivative of `leaky_relu` where its value is y: exactly 1 or the slope."""
    return np.maximum(y > 0, y.dtype.type(negative_slope))


@kernel
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return expit(x)


@sigmoid.forward
def _(x: Any) -> Any:
    return logistic(x), None


@sigmoid.backward
def _(g: Any, y: Any) -> Any:
    return g * (y * (1 - y))


def logistic(x: Any) -> Any:
    """The sigmoid of an array, several times faster than SciPy's; where exp(-x) overflows, its limit 0."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


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
        return x * ndtr(x)
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@gelu.forward
def _(x: Any, approximate: str, needs: Sequence[bool]) -> Any:
    """The derivative is taken here. Exact: Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi). With tanh, since (1 + tanh u) / 2 =
    sigmoid(2 u) =: s, the value is x s and the derivative s + x s (1 - s) 2 u'."""
    if approximate == "none":
        phi = ndtr(x)
        return x * phi, phi + x * np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi)) if needs[0] else None
    if approximate != "tanh":
        raise ValueError(f'approximate is "none" or "tanh", not {approximate!r}')
    scale, square = 2 * math.sqrt(2 / math.pi), x * x
    s = logistic(x * (scale + (scale * 0.044715) * square))
    y = x * s
    return y, s + y * (1 - s) * (scale + (scale * 3 * 0.044715) * square) if needs[0] else None


@gelu.backward
def _(g: Any, saved: Any) -> Any:
    return g * saved


@kernel
def silu(x: Any) -> Any:
    """x sigmoid(x), also called swish (Elfwing et al. 2018; Ramachandran et al. 2017)."""
    return x * expit(x)


@silu.forward
def _(x: Any, needs: Sequence[bool]) -> Any:
    """With s = sigmoid(x) the derivative is s + x s (1 - s)."""
    s = logistic(x)
    y = x * s
    return y, s + y * (1 - s) if needs[0] else None


@silu.backward
def _(g: Any, saved: Any) -> Any:
    return g * saved


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
        raise ValueError(f"the mask has shape {np.shape(mask)}, x has {x.shape}: draw one number for each element")
    factor = np.multiply(mask, 1 / (1 - p) if p < 1 else 0.0, dtype=x.dtype)
    return x * factor, factor


@dropout.backward
def _(g: Any, saved: Any) -> Any:
    return g * saved
