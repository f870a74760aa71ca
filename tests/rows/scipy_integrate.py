"""Rows of `tinygrad_cv/rules/scipy/integrate.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy import integrate

import tinygrad_cv as tg
from tests.table import ROWS, row
from tinygrad_cv.testing.strategies import arrays
from tinygrad_cv.typing import Array

ours = tg.scipy.integrate
POINTS = np.array([0.0, 0.7, 1.1, 2.3, 2.6])


def integral(y: Array, x: Array | None = None, *, name: str, **options: Any) -> Array:
    if x is not None:
        x = x / 4 + POINTS[: np.shape(x)[-1]]  # in order
    return getattr(ours, name)(y, x, **options)


rules = {"name": st.sampled_from(["trapezoid", "simpson", "cumulative_trapezoid"])}
samples = st.integers(2, 5).flatmap(lambda n: arrays((2, n)))
row(integrate.simpson, samples, options=st.fixed_dictionaries(rules, optional={"dx": st.just(0.5)}), call=integral)
row(
    integrate.simpson,
    st.integers(2, 5).flatmap(lambda n: st.tuples(arrays((2, n)), arrays((n,), domain=(0, 1)))),
    options=st.fixed_dictionaries(rules),
    call=integral,
    complex=(0,),
)
row(
    integrate.cumulative_trapezoid,
    arrays((3, 2)),
    options=st.sampled_from([{"axis": 0}, {"axis": 0, "initial": 0}]),
    call=ours.cumulative_trapezoid,
)
ROWS.setdefault(integrate.trapezoid, [])  # which those draw


# Differential equations, whose solver is not exactly linear: tests/test_scipy.py.
ROWS.setdefault(integrate.odeint, [])
