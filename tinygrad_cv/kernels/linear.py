"""The affine map of a dense layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from ..engine.arguments import choice, real
from ..machine import aligned
from ..typing import Array, Gradients
from . import activation as activations
from .fast.layout import as_rows
from .fast.reduction import sum_of_rows
from .kernel import kernel


@kernel
def linear(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    activation: str | None = None,
    negative_slope: float = 0.01,
) -> Array:
    """x weight^T + bias over the last axis of x, and perhaps an activation of it.

    x (..., in), weight (out, in) as in PyTorch, bias (out,) -> (..., out). `activation`: None,
    "relu", "leaky_relu" (with `negative_slope`), "sigmoid", "tanh", "gelu", "gelu_tanh" (its
    approximate form) or "silu".
    """
    u = np.matmul(x, np.matrix_transpose(weight))
    if bias is not None:
        u = u + bias
    if activation is None:
        return u
    return activation_named(activation, negative_slope).reference(u)


@linear.forward
def _(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    activation: str | None,
    negative_slope: float,
    needs: Sequence[bool],
) -> tuple[np.ndarray, np.ndarray | None]:
    check_linear(x, weight, bias, activation, negative_slope)
    y = np.dot(as_rows(x), weight.T)  # (rows, out)
    if bias is not None:
        y = np.add(y, bias, out=y) if y.dtype == bias.dtype else y + bias
    kept = None
    if activation is not None:
        y, kept = activation_named(activation, negative_slope).forward(y, any(needs))
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], len(weight)), kept


@linear.backward
def _(
    g: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    saved: np.ndarray | None,
    activation: str | None,
    negative_slope: float,
    needs: Sequence[bool],
) -> Gradients:
    """One product each on flattened leading axes, with the gradient g of u = x weight^T + bias:

    dx = g weight, dweight = g^T x, dbias = sum of g over rows.
    """
    rows = as_rows(g)  # (rows, out)
    if activation is not None and saved is not None:
        rows = activation_named(activation, negative_slope).backward(rows, saved)
    dx = dweight = dbias = None
    if needs[0]:
        dx = np.dot(rows, weight)
        dx = dx if x.ndim == 2 else dx.reshape(x.shape)
    if needs[1]:
        dweight = np.dot(rows.T, as_rows(x))
    if needs[2]:
        dbias = sum_of_rows(rows)
    return dx, dweight, dbias


@linear.jvp
def _(
    x_dot: np.ndarray | None,
    weight_dot: np.ndarray | None,
    bias_dot: np.ndarray | None,
    x: np.ndarray,
    weight: np.ndarray,
    saved: np.ndarray | None,
    activation: str | None,
    negative_slope: float,
) -> np.ndarray:
    """u' = x' weight^T + x weight'^T + bias' for u = x weight^T + bias; y' = activation'(u) u'."""
    shape = (*x.shape[:-1], len(weight))
    parts = []
    if x_dot is not None:
        parts.append(np.dot(as_rows(x_dot), weight.T))  # (rows, out)
    if weight_dot is not None:
        parts.append(np.dot(as_rows(x), weight_dot.T))
    u_dot = parts[0] if parts else np.zeros((prod(shape[:-1]), len(weight)), x.dtype)
    for part in (*parts[1:], bias_dot):
        if part is not None:
            u_dot += part
    if activation is not None and saved is not None:
        u_dot = activation_named(activation, negative_slope).backward(u_dot, saved)
    return u_dot.reshape(shape)


def check_linear(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    activation: str | None,
    negative_slope: float,
) -> None:
    """Raise ValueError if the arguments do not fit."""
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"x of shape {x.shape} does not fit a weight of shape {weight.shape}: "
            "it is (out, in), where in is the length of the last axis of x"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"a bias of shape {bias.shape} does not fit a weight of shape {weight.shape}, "
            "(out, in): it is (out,)"
        )
    if activation is not None and not (type(activation) is str and activation in ACTIVATIONS):
        choice("activation", activation, (None, *ACTIVATIONS))
    if type(negative_slope) is not float or not 0 <= negative_slope <= 1:  # on the hot path
        real("negative_slope", negative_slope, most=1)


# ------------------------------------------------------------------------------------- activations
#
# Two kinds, with the same two methods: forward(u, wanted) gives the value and what is kept for
# backward(g, kept), which gives the gradient of u.


@dataclass(frozen=True)
class FromValue:
    """An activation whose gradient follows from its value, which is all that backward keeps."""

    reference: Callable[[Array], Array]
    value: Callable[[np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray]  # of g and the value

    def forward(
        self,
        u: np.ndarray,
        wanted: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The value, which is kept, too."""
        y = self.value(u)
        return y, y

    def backward(self, g: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """The gradient of u."""
        return self.gradient(g, kept)


@dataclass(frozen=True)
class WithSlope:
    """An activation whose derivative is taken together with its value, if it is wanted."""

    reference: Callable[[Array], Array]
    formula: activations.Formula

    def forward(
        self,
        u: np.ndarray,
        wanted: bool,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The value, in the memory of u, and the derivative, which is kept."""
        slope = aligned(u.shape, u.dtype) if wanted else None
        activations.fill_value_and_slope(self.formula, u, u, slope)
        return u, slope

    def backward(self, g: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """The gradient of u."""
        return g * kept


@lru_cache
def leaky_relu(negative_slope: float) -> FromValue:
    """The one activation with an option."""
    return FromValue(
        lambda u: activations.leaky_relu.reference(u, negative_slope=negative_slope),
        lambda u: activations.leaky(u, negative_slope),
        lambda g, y: activations.leaky_gradient(g, y, negative_slope),
    )


ACTIVATIONS: dict[str, FromValue | WithSlope] = {
    "relu": FromValue(
        activations.relu.reference,
        lambda u: np.maximum(u, 0),
        activations.relu_gradient,
    ),
    "leaky_relu": leaky_relu(0.01),
    # By their values alone, which are in memory: where those round to 1, so does the product before
    # them, whose rounding costs as many digits of the slope.
    "sigmoid": FromValue(
        activations.sigmoid.reference,
        activations.logistic,
        lambda g, y: g * (y - y * y),
    ),
    "tanh": FromValue(
        np.tanh,
        np.tanh,
        lambda g, y: g * (1 - y * y),
    ),
    "gelu": WithSlope(activations.gelu.reference, activations.gelu_formula),
    "gelu_tanh": WithSlope(
        lambda u: activations.gelu.reference(u, approximate="tanh"),
        activations.gelu_tanh_formula,
    ),
    "silu": WithSlope(activations.silu.reference, activations.silu_formula),
}


def activation_named(name: str, negative_slope: float) -> FromValue | WithSlope:
    """An activation of `ACTIVATIONS`, "leaky_relu" with its slope."""
    return leaky_relu(negative_slope) if name == "leaky_relu" else ACTIVATIONS[name]
