"""Activation functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..engine.arguments import choice, real
from ..machine import aligned
from ..typing import Array
from .erf import normal
from .fast.choose import choose
from .fast.tiles import tiles
from .kernel import formula, kernel


@kernel(selects=True, elementwise=True)
def relu(x: Array) -> Array:
    """max(x, 0), with derivative 0 at 0 (Nair & Hinton 2010)."""
    return np.where(x > 0, x, 0)


@relu.forward
def _(x: np.ndarray) -> tuple[np.ndarray, None]:
    return np.maximum(x, 0), None


@relu.backward
def _(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    return relu_gradient(g, y)


def relu_gradient(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """g where the value y of `relu` is positive, and exactly 0 elsewhere."""
    slope = positive(y)
    return choose(g, slope, out=slope)


def positive(y: np.ndarray) -> np.ndarray:
    """1 where y > 0 and 0 elsewhere, in y's dtype: NumPy multiplies that faster than booleans."""
    return np.asarray(y > 0).astype(y.dtype)


@kernel(elementwise=True)
def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> Array:
    """x above 0, `negative_slope` x elsewhere (Maas et al. 2013).

    The slope, in [0, 1], is the derivative at 0.
    """
    return np.where(x > 0, x, negative_slope * x)


@leaky_relu.forward
def _(x: np.ndarray, negative_slope: float) -> tuple[np.ndarray, None]:
    return leaky(x, negative_slope), None


@leaky_relu.backward
def _(
    g: np.ndarray,
    y: np.ndarray,
    negative_slope: float,
) -> np.ndarray:
    return leaky_gradient(g, y, negative_slope)


def leaky(x: np.ndarray, negative_slope: float) -> np.ndarray:
    """The value of `leaky_relu`."""
    real("negative_slope", negative_slope, most=1)
    return np.maximum(x, negative_slope * x)


def leaky_gradient(
    g: np.ndarray,
    y: np.ndarray,
    negative_slope: float,
) -> np.ndarray:
    """g times 1 or the slope, by the value y of `leaky_relu`."""
    if negative_slope == 0:
        return relu_gradient(g, y)
    slope = positive(y)
    negative = y.dtype.type(negative_slope)
    slope *= 1 - negative
    slope += negative  # (1 - s) + s rounds to 1: faster than np.maximum, and the same numbers
    return np.multiply(g, slope, out=slope)


@kernel(elementwise=True)
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    from scipy.special import expit

    return expit(x)


@sigmoid.forward
def _(
    x: np.ndarray,
    needs: Sequence[bool],
) -> tuple[np.ndarray, np.ndarray | None]:
    return value_and_slope(sigmoid_formula, x, needs[0])


@sigmoid.backward
def _(g: np.ndarray, saved: np.ndarray) -> np.ndarray:
    return g * saved


@kernel(elementwise=True)
def tanh(x: Array) -> Array:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return np.tanh(x)


@tanh.forward
def _(
    x: np.ndarray,
    needs: Sequence[bool],
) -> tuple[np.ndarray, np.ndarray | None]:
    return value_and_slope(tanh_formula, x, needs[0])


@tanh.backward
def _(g: np.ndarray, saved: np.ndarray) -> np.ndarray:
    return g * saved


@kernel(elementwise=True)
def gelu(x: Array, *, approximate: str = "none") -> Array:
    """x Phi(x), with the normal distribution function Phi (Hendrycks & Gimpel 2016).

    `approximate="tanh"` is the paper's x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    """
    if approximate == "none":
        from scipy.special import ndtr

        return x * ndtr(x)
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    return 0.5 * x * (1 + np.tanh(inner))


@gelu.forward
def _(
    x: np.ndarray,
    approximate: str,
    needs: Sequence[bool],
) -> tuple[np.ndarray, np.ndarray | None]:
    choice("approximate", approximate, GELU)
    return value_and_slope(GELU[approximate], x, needs[0])


@gelu.backward
def _(g: np.ndarray, saved: np.ndarray) -> np.ndarray:
    return g * saved


@kernel(elementwise=True)
def silu(x: Array) -> Array:
    """x sigmoid(x), also called swish (Elfwing et al. 2018; Ramachandran et al. 2017)."""
    return x * sigmoid.reference(x)


@silu.forward
def _(
    x: np.ndarray,
    needs: Sequence[bool],
) -> tuple[np.ndarray, np.ndarray | None]:
    return value_and_slope(silu_formula, x, needs[0])


@silu.backward
def _(g: np.ndarray, saved: np.ndarray) -> np.ndarray:
    return g * saved


# --------------------------------------------------- formulas of others, recorded as their parts


@formula
def elu(x: Array, *, alpha: float = 1.0) -> Array:
    """x above 0, alpha (exp(x) - 1) elsewhere (Clevert et al. 2016)."""
    real("alpha", alpha)
    below = alpha * np.expm1(np.minimum(x, 0))
    return np.where(x > 0, x, below)


@formula
def softplus(x: Array, *, beta: float = 1.0) -> Array:
    """log(1 + exp(beta x)) / beta: a smooth ReLU (Dugas et al. 2001)."""
    if real("beta", beta) == 0:
        raise ValueError("beta is above 0, not 0")
    return np.logaddexp(0, beta * x) / beta


@formula
def prelu(x: Array, weight: Array) -> Array:
    """x above 0, weight x elsewhere (He et al. 2015); the weight is broadcast to x."""
    return np.where(x > 0, x, weight * x)


@formula
def quick_gelu(x: Array) -> Array:
    """x sigmoid(1.702 x), which is close to `gelu` (Hendrycks & Gimpel 2016)."""
    return x * sigmoid(1.702 * x)


# ------------------------------------------------------ value and slope together, while x is cached

# A formula(x, y, slope, p, u) writes the value to y, which may be x, and unless it is None the
# derivative to slope; p and u are buffers.
Formula = Callable[[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray, np.ndarray], None]


def value_and_slope(
    formula: Formula,
    x: np.ndarray,
    wanted: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """The value and, if wanted, the derivative, in memory of their own."""
    x = np.asarray(x)
    if x.dtype.kind != "f":
        x = x.astype(float, casting="same_kind")
    y = aligned(x.shape, x.dtype)
    slope = aligned(x.shape, x.dtype) if wanted else None
    fill_value_and_slope(formula, x, y, slope)
    return y, slope


def fill_value_and_slope(
    formula: Formula,
    x: np.ndarray,
    y: np.ndarray,
    slope: np.ndarray | None,
) -> None:
    """Fill y and, unless it is None, the slope, tile by tile. y may be x."""
    with np.errstate(over="ignore"):  # exp of a large number: its inverse, 0, is right
        for parts in tiles(x, y, slope, buffers=2):
            formula(*parts)


def gelu_formula(
    x: np.ndarray,
    y: np.ndarray,
    slope: np.ndarray | None,
    p: np.ndarray,
    u: np.ndarray,
) -> None:
    """y = x Phi(x), slope = Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi)."""
    np.multiply(x, x, out=u)
    normal(x, u, out=p)
    if slope is not None:
        u *= -0.5 * math.log2(math.e)
        np.exp2(u, out=u)
        u *= x
        u *= 1 / math.sqrt(2 * math.pi)
        np.add(p, u, out=slope)
    np.multiply(x, p, out=y)


def gelu_tanh_formula(
    x: np.ndarray,
    y: np.ndarray,
    slope: np.ndarray | None,
    p: np.ndarray,
    u: np.ndarray,
) -> None:
    """y = x s and slope = s + x s (1 - s) v' with s = sigmoid(v) = (1 + tanh(v / 2)) / 2.

    v / 2 is the polynomial in the paper's tanh.
    """
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
        beyond, far = far_out(x, 3)
        slope[beyond] = gelu_tanh_slope(far)
    np.multiply(x, p, out=y)


def silu_formula(
    x: np.ndarray,
    y: np.ndarray,
    slope: np.ndarray | None,
    p: np.ndarray,
    u: np.ndarray,
) -> None:
    """y = x s and slope = s + y (1 - s) with s = sigmoid(x)."""
    logistic(x, out=p)
    if slope is not None:
        np.multiply(x, p, out=u)
        np.multiply(u, p, out=slope)
        np.subtract(u, slope, out=slope)
        slope += p
        beyond, far = far_out(x, 8)
        slope[beyond] = silu_slope(far)
    np.multiply(x, p, out=y)


def sigmoid_formula(
    x: np.ndarray,
    y: np.ndarray,
    slope: np.ndarray | None,
    *_: np.ndarray,
) -> None:
    """y = s and slope = s (1 - s)."""
    beyond, far = far_out(x, 3) if slope is not None else NOT_FAR
    logistic(x, out=y)
    if slope is not None:
        np.multiply(y, y, out=slope)
        np.subtract(y, slope, out=slope)
        slope[beyond] = logistic_slope(far)


def tanh_formula(
    x: np.ndarray,
    y: np.ndarray,
    slope: np.ndarray | None,
    *_: np.ndarray,
) -> None:
    """y = tanh(x) and slope = 1 - y^2."""
    beyond, far = far_out(x, 2.5) if slope is not None else NOT_FAR
    np.tanh(x, out=y)
    if slope is not None:
        np.multiply(y, y, out=slope)
        np.subtract(1, slope, out=slope)
        slope[beyond] = 4 * logistic_slope(2 * far)


def logistic(
    x: np.ndarray,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The sigmoid, several times faster than SciPy's; where exp(-x) overflows, its limit 0."""
    with np.errstate(over="ignore"):
        e = np.exp(np.negative(x, out=out), out=out)
        e += 1
        in_place = e if isinstance(e, np.ndarray) else None  # a number, if x has no axes
        return np.reciprocal(e, out=in_place)


# ------------------------------------------------------------ slopes where the sigmoid is near 0, 1

# There s (1 - s) is e / (1 + e)^2 with e = exp(-|x|): 1 - s would have no digits left, and nothing
# overflows. Of ordinary numbers few are so far out, and the formulas above are faster.


NOT_FAR = (np.empty(0, np.intp), np.empty(0))


def far_out(x: np.ndarray, far: float) -> tuple[np.ndarray, np.ndarray]:
    """Where |x| is beyond `far`, and x there."""
    if np.maximum.reduce(x, initial=0) <= far and np.minimum.reduce(x, initial=0) >= -far:
        return NOT_FAR
    beyond = np.flatnonzero(np.abs(x) > far)
    return beyond, x[beyond]


def logistic_slope(x: np.ndarray) -> np.ndarray:
    """The derivative of the sigmoid."""
    e = np.exp(-np.abs(x))
    return e / (1 + e) ** 2


def silu_slope(x: np.ndarray) -> np.ndarray:
    """s + x s (1 - s)."""
    e = np.exp(-np.abs(x))
    s = np.where(x > 0, 1, e) / (1 + e)
    return s + x * logistic_slope(x)


def gelu_tanh_slope(x: np.ndarray) -> np.ndarray:
    """s + x v' s (1 - s), which is 0 or 1 beyond 50, in every dtype."""
    linear = 2 * math.sqrt(2 / math.pi)
    cubic = 0.044715 * linear
    x = np.clip(x, -50, 50)
    v = x * (linear + cubic * x * x)
    return logistic(v) + x * (linear + 3 * cubic * x * x) * logistic_slope(v)


GELU: dict[str, Formula] = {"none": gelu_formula, "tanh": gelu_tanh_formula}


# ------------------------------------------------------------------------------------------ dropout


@kernel(selects=True, elementwise=True)
def dropout(x: Array, mask: np.ndarray, *, p: float) -> Array:
    """x mask / (1 - p): what the mask leaves, scaled to keep its expectation.

    The mask, of x's shape, is 1 or True to keep, 0 or False to drop. Each element is dropped with
    probability p (Srivastava et al. 2014). The caller draws the mask; see `nn.Dropout`.
    """
    return np.where(mask, x * inverse_keep(p), 0)


@dropout.forward
def _(
    x: np.ndarray,
    mask: np.ndarray,
    p: float,
) -> tuple[np.ndarray, np.ndarray]:
    real("p", p, most=1)
    if np.shape(mask) != x.shape:
        raise ValueError(
            f"the mask has shape {np.shape(mask)}, x has {x.shape}: "
            "draw one number for each element"
        )
    factor = np.multiply(mask, inverse_keep(p), dtype=x.dtype)
    return x * factor, factor


@dropout.backward
def _(g: np.ndarray, saved: np.ndarray) -> np.ndarray:
    return choose(g, saved)


def inverse_keep(p: float) -> float:
    """1 / (1 - p), what the elements that are kept are multiplied by; 0 if none is."""
    return 1 / (1 - p) if p < 1 else 0.0
