"""Rows of the recurrent kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv import kernels
from tinygrad_cv.testing.strategies import arrays

side = st.integers(1, 3)


@st.composite
def sequences(draw: Any, gates: int, states: int = 1) -> Any:
    """x, the first states, weights and biases, and lengths or None."""
    t, n, i, h = draw(side), draw(side), draw(side), draw(side)
    shapes = [(t, n, i), *[(n, h)] * states, (gates * h, i), (gates * h, h), (gates * h,), (gates * h,)]
    lengths = draw(st.none() | st.lists(st.integers(1, t), min_size=n, max_size=n).map(np.array))
    return *[draw(arrays(shape, domain=(-1, 1))) for shape in shapes], lengths


row(kernels.rnn, sequences(1), call=lambda *a: kernels.rnn(*a[:-1], lengths=a[-1]))
row(kernels.gru, sequences(3), call=lambda *a: kernels.gru(*a[:-1], lengths=a[-1]))
row(kernels.lstm, sequences(4, 2), call=lambda *a: kernels.lstm(*a[:-1], lengths=a[-1]))
row(
    kernels.rnn,
    st.tuples(*[arrays(s, domain=(0.1, 1)) for s in ((3, 2, 2), (2, 3), (3, 2), (3, 3), (3,), (3,))]),
    call=lambda *a: kernels.rnn(*a, nonlinearity="relu"),
)
