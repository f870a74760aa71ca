"""The calculus table of products."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensor import derivative


def _left(g: Any, x1_shape: Any, x2: Any) -> Any:
    if len(x1_shape) == 1:
        return g @ x2.mT if x2.ndim > 1 else g * x2
    return np.expand_dims(g, -1) * x2 if x2.ndim == 1 else g @ x2.mT


def _right(g: Any, x1: Any, x2_shape: Any) -> Any:
    if len(x2_shape) == 1:
        return np.sum(x1 * np.expand_dims(g, -1), axis=tuple(range(x1.ndim - 1))) if x1.ndim > 1 else g * x1
    return np.expand_dims(x1, -1) * np.expand_dims(g, -2) if x1.ndim == 1 else x1.mT @ g


derivative(np.matmul, x1=_left, x2=_right)
