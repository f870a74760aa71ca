"""Rows of `tinygrad_cv/rules/numpy/fft.py`: lengths odd and even, cut and filled up with zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays, shapes

norms = st.sampled_from([None, "backward", "ortho", "forward"])


def one_axis(n: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"n": n, "axis": st.sampled_from([-1, 0]), "norm": norms})


plain = arrays(shapes(1, 2, max_side=5))
spectrum = arrays(shapes(1, 2, min_side=2, max_side=4))  # of one frequency only no length follows
lengths = st.none() | st.integers(1, 6)
for function in (np.fft.fft, np.fft.ifft):
    row(function, plain, options=one_axis(lengths))
REAL = "a transform of real numbers"
for function in (np.fft.rfft, np.fft.ihfft):
    row(function, plain, options=one_axis(lengths), complex=REAL)
for function in (np.fft.irfft, np.fft.hfft):
    row(function, spectrum, options=one_axis(lengths))

planes = arrays((2, 4, 3))
several = st.sampled_from(
    [
        {},
        {"axes": (0, 2)},
        {"axes": (-1, 1)},
        {"axes": (1,)},
        {"s": (3, 5), "axes": (0, 1)},
        {"s": (2, -1), "axes": (2, 1)},
        {"s": (3, 2), "axes": (1, 2), "norm": "ortho"},
        {"norm": "forward"},
    ]
)
for name in ("fft2", "ifft2", "irfft2", "fftn", "ifftn", "irfftn"):
    row(getattr(np.fft, name), planes, options=several)
for function in (np.fft.rfft2, np.fft.rfftn):
    row(function, planes, options=several, complex=REAL)
row(np.fft.fftn, arrays((3,)), options=st.just({"axes": (0, 0)}))
row(np.fft.rfftn, arrays((3,)), options=st.just({"axes": (0, 0)}), complex=REAL)

for function in (np.fft.fftshift, np.fft.ifftshift):
    row(function, arrays((3, 4)), st.sampled_from([None, 0, (0, 1)]))
