"""Rows of `tinygrad_cv/rules/scipy/integrate.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy import integrate

import tinygrad_cv as tg
from tests.table import ROWS, row
from tinygrad_cv.rules.scipy.integrate import solution
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


def pendulum(y: Array, t: Array, damping: Array, force: Array) -> list[Array]:
    """With a damping, and a force that grows with time."""
    return [y[1], -damping * y[1] - np.sin(y[0]) + force * t]


def swing(y0: Array, t: Array, damping: Array, force: Array) -> Array:
    times = np.cumsum(np.exp(t) / 4)
    return ours.odeint(pendulum, y0, times, (damping, force), rtol=1e-13, atol=1e-13)


row(
    integrate.odeint,
    arrays((2,)),
    arrays((3,), domain=(-1, 1)),
    arrays((), domain=(0.1, 1)),
    arrays(()),
    call=swing,
    rtol=1e-5,
    order=1,
    complex="differential equations are of real numbers",
)
ROWS.setdefault(solution.function, [])
