"""Rows of `tinygrad_cv/rules/scipy/signal.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy import signal

import tinygrad_cv as tg
from tests.table import ROWS, row
from tinygrad_cv.testing.strategies import arrays

ours = tg.scipy.signal
MODES = ("full", "same", "valid")


@st.composite
def sequences(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Of one to three axes, one no shorter than the other along any."""
    ndim = draw(st.sampled_from([1, 1, 2, 3]))
    short = [draw(st.integers(1, 2)) for _ in range(ndim)]
    long = [n + draw(st.integers(0, 2 if ndim == 1 else 1)) for n in short]
    pair = draw(arrays(tuple(long))), draw(arrays(tuple(short)))
    return pair if draw(st.booleans()) else pair[::-1]


def call(a: Any, b: Any, name: str, **options: Any) -> Any:
    return getattr(ours, name)(a, b, **options)


direct = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["convolve", "correlate"]),
        "mode": st.sampled_from(MODES),
        "method": st.sampled_from(["auto", "direct", "fft"]),
    }
)
row(signal.convolve, sequences(), options=direct, call=call)
by_fourier = st.fixed_dictionaries(
    {"name": st.sampled_from(["fftconvolve", "oaconvolve"]), "mode": st.sampled_from(MODES)}
)
row(signal.fftconvolve, sequences(), options=by_fourier, call=call)
of_squares = st.just({"name": "fftconvolve", "mode": "full"})
row(signal.fftconvolve, arrays((2, 2)), arrays((2, 2)), options=of_squares, call=call)
broadcast = st.sampled_from([((2, 3), (1, 2)), ((1, 2), (2, 3)), ((2, 3), (2, 1)), ((2, 1), (2, 3))])
row(
    signal.fftconvolve,
    broadcast.flatmap(lambda shapes: st.tuples(*map(arrays, shapes))),
    options=by_fourier.map(lambda o: {**o, "axes": 1}),
    call=call,
)
of_matrices = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["convolve2d", "correlate2d"]),
        "mode": st.sampled_from(MODES),
        "boundary": st.sampled_from(["fill", "wrap", "symm"]),
        "fillvalue": st.sampled_from([0, 0.5]),
    }
)
kernels = st.tuples(st.integers(1, 3), st.integers(1, 2)).flatmap(arrays)
row(signal.convolve2d, arrays((3, 4)), kernels, options=of_matrices, call=call)
for function in (signal.correlate, signal.oaconvolve, signal.correlate2d):
    ROWS.setdefault(function, [])  # they are among those that these rows draw
