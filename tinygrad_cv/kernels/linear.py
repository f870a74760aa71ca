"""The affine map of a dense layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..machine import aligned
from . import activation as activations
from .kernel import kernel
from .reduction import sum_of_rows

# The activations, in two kinds: those whose derivative can be told from their value, name -> (kernel, derivative where
# the value is y), and those whose derivative is taken with the value, name -> (reference, formula for both).
FUSED: dict[str | None, Any] = {
    "relu": (activations.relu, activations.positive),
    "leaky_relu": (activations.leaky_relu, activations.leaky_slope),
    "sigmoid": (activations.sigmoid, lambda y: y * (1 - y)),
    "tanh": (activations.tanh, lambda y: 1 - y * y),
}
SLOPED: dict[str | None, Any] = {
    "gelu": (activations.gelu.reference, activations.gelu_formula),
    "gelu_tanh": (
        lambda x: activations.gelu.reference(x, approximate="tanh"),
        activations.gelu_tanh_formula,
    ),
    "silu": (activations.silu.reference, activations.silu_formula),
}


@kernel
def linear(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    activation: str | None = None,
    negative_slope: float = 0.01,
) -> Any:
    """x weight^T + bias over the last axis of x, and perhaps an activation of it.

    x (..., in), weight (out, in) as in PyTorch, bias (out,) -> (..., out). `activation`: None, "relu", "leaky_relu"
    (with `negative_slope`), "sigmoid", "tanh", "gelu", "gelu_tanh" (its approximate form) or "silu".
    """
    value = np.matmul(x, np.matrix_transpose(weight))
    value = value if bias is None else value + bias
    if activation in SLOPED:
        return SLOPED[activation][0](value)
    slope = {"negative_slope": negative_slope} if activation == "leaky_relu" else {}
    return value if activation is None else FUSED[activation][0].reference(value, **slope)


@linear.forward
def _(
    x: Any,
    weight: Any,
    bias: Any,
    activation: str | None,
    negative_slope: float,
    needs: Sequence[bool],
) -> Any:
    _check(x, weight, bias, activation)
    y, slope = np.dot(_rows(x), weight.T), None  # (rows, out)
    if bias is not None:
        y = np.add(y, bias, out=y) if y.dtype == bias.dtype else y + bias
    if activation in SLOPED:
        slope = aligned(y.shape, y.dtype) if any(needs) else None
        activations.fill_value_and_slope(SLOPED[activation][1], y, y, slope)
    elif activation is not None:
        y, _ = FUSED[activation][0]._forward(y, *_slope(activation, negative_slope))
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], len(weight)), slope


@linear.backward
def _(
    g: Any,
    x: Any,
    weight: Any,
    y: Any,
    saved: Any,
    activation: str | None,
    negative_slope: float,
    needs: Sequence[bool],
    out: Sequence[Any],
) -> Any:
    """One product each on flattened leading axes: dx = g weight, dweight = g^T x, dbias = sum of g over rows."""
    rows = _rows(g)  # (rows, out)
    if saved is not None:
        rows = rows * saved
    elif activation is not None:
        slope = FUSED[activation][1](_rows(y), *_slope(activation, negative_slope))
        rows = np.multiply(slope, rows, out=slope)
    if not x.dtype == rows.dtype == weight.dtype or (
        out[2] is not None and out[2].dtype != rows.dtype
    ):
        out = (None, None, None)
    dx = np.dot(rows, weight) if needs[0] else None
    return (
        dx if dx is None or x.ndim == 2 else dx.reshape(x.shape),
        np.dot(rows.T, _rows(x), out=out[1]) if needs[1] else None,
        sum_of_rows(rows, out[2]) if needs[2] else None,
    )


def _rows(x: np.ndarray) -> np.ndarray:
    """(..., in) -> (rows, in); as it is if it is that already, since a view counts as memory that others may write to."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def _slope(activation: str, negative_slope: float) -> tuple[float, ...]:
    return (negative_slope,) if activation == "leaky_relu" else ()


def _check(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, activation: str | None
) -> None:
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"x of shape {x.shape} does not fit a weight of shape {weight.shape}: it is (out, in), where in is the "
            "length of the last axis of x"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"a bias of shape {bias.shape} does not fit a weight of shape {weight.shape}, (out, in): it is (out,)"
        )
    if activation is not None and activation not in FUSED and activation not in SLOPED:
        raise ValueError(
            f"no activation {activation!r} in linear; there are None and {', '.join(map(repr, [*FUSED, *SLOPED]))}"
        )
