"""The calculus table of reductions and scans."""

from __future__ import annotations

import numpy as np

from ..tensor import derivative


def _restore(g, shape, axis, keepdims):  # type: ignore[no-untyped-def]
    """A reduced array with its axes put back, broadcast to the shape before the reduction."""
    if axis is not None and not keepdims:
        g = np.expand_dims(g, axis)
    return np.broadcast_to(g, shape)


derivative(np.sum, a=lambda g, a_shape, axis, keepdims: _restore(g, a_shape, axis, keepdims))
