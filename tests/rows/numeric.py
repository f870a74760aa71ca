"""Rows of `tinygrad_cv/rules/numpy/numeric.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.testing.strategies import arrays

row(np.polyval, arrays((3,)), arrays((2, 2)))
row(np.vander, arrays((4,)), options=st.sampled_from([{}, {"N": 2}, {"increasing": True}]))
grids = st.sampled_from([{}, {"endpoint": False}, {"axis": 1}])
CAST = "a cast to real numbers"
cast = st.just({"dtype": np.float64})
row(np.linspace, arrays((2,)), arrays((2,)), st.just(4), options=grids)
row(np.linspace, arrays((2,)), arrays((2,)), st.just(4), options=cast, complex=CAST)
row(
    np.linspace,
    arrays((2,)),
    arrays((2,)),
    st.just(4),
    call=lambda *a: np.linspace(*a, retstep=True),
)
row(np.logspace, arrays(()), arrays(()), st.just(3))
row(np.logspace, arrays((2,)), arrays((2,)), st.just(4), options=grids)
row(np.logspace, arrays((2,)), arrays((2,)), st.just(4), options=cast, complex=CAST)
row(
    np.logspace,
    arrays((2,)),
    arrays((2,)),
    arrays((2,), domain=(1.5, 3)),
    call=lambda start, stop, base: np.logspace(start, stop, 3, base=base, axis=1),
)
low, high = arrays((2,), domain=(0.5, 1)), arrays((2,), domain=(2, 3))
row(np.geomspace, low, high, st.just(3), options=grids)
row(np.geomspace, low, high, st.just(3), options=cast, complex=CAST)
row(np.geomspace, low, high, call=lambda a, b: np.geomspace(-a, -b, 3))
points = st.just(np.array([0.0, 1.0, 2.0]))
row(np.interp, arrays((3,), domain=(0.1, 0.9)), points, arrays((3,)), constant=(1,), complex=(2,))
row(np.interp, arrays((2,), domain=(2.2, 2.6)), points, arrays((3,)), complex=(2,))
row(np.interp, arrays((2,), domain=(0.2, 0.6)), points, arrays((3,)), complex=(2,))
row(
    np.interp,
    arrays((2,), domain=(2.2, 2.6)),
    arrays((3,)),
    arrays(()),
    call=lambda x, fp, right: np.interp(x, [0.0, 1.0, 2.0], fp, right=right),
    complex=(1,),
)
row(
    np.interp,
    st.just(np.array([0.3, 5.3, -2.2])),
    st.just(np.array([0.1, 2.5, 1.0])),
    arrays((3,)),
    st.sampled_from([3.1, -3.1]).map(np.array),
    call=lambda x, xp, fp, period: np.interp(x, xp, fp, period=period),
    complex=(2,),
)
row(
    np.unwrap,
    st.just(np.array([0.0, 4.0, 9.0, 9.5])),
    st.just(np.array(6.0)),
    call=lambda p, period: np.unwrap(p, period=period),
    complex="phases are real",
)
row(np.unwrap, st.just(np.array([0.0, 4.0, 9.0, 9.5])), complex="phases are real")
for mode in ("full", "same", "valid"):
    for function in (np.convolve, np.correlate):
        for n, m in ((5, 3), (2, 4), (4, 4), (1, 3)):
            row(function, arrays((n,)), arrays((m,)), st.just(mode))
row(np.diff, arrays((2, 5)), st.sampled_from([0, 1, 2]), st.sampled_from([-1, 0]))
ends = st.just({"prepend": 0.5, "append": np.array([1.0, 2.0])})
row(np.diff, arrays((3,)), options=ends, constant=(5,))
row(np.ediff1d, arrays((2, 3)))
row(np.ediff1d, arrays((2, 3)), arrays((2,)), arrays(()), complex=(0,))
row(np.gradient, arrays((3, 4)), options=st.sampled_from([{}, {"axis": 1}]))
row(np.gradient, arrays((5,)), st.just(0.5))
row(np.gradient, arrays((3, 4)), st.just(0.5), st.just(2.0))
edges = st.sampled_from([{"edge_order": 1}, {"edge_order": 2}])
steps = arrays((4,), domain=(0.5, 2)).map(np.cumsum)
call = lambda f, x, **o: np.gradient(f, x, 0.5, axis=(1, 0), **o)
row(np.gradient, arrays((3, 4)), steps, options=edges, call=call)
call = lambda f, h, **o: np.gradient(f, h, axis=1, **o)
row(np.gradient, arrays((2, 4)), arrays((), domain=(0.5, 2)), options=edges, call=call)
for function in [getattr(np, name) for name in ("trapezoid", "trapz") if name in dir(np)]:
    row(function, arrays((2, 4)), options=st.sampled_from([{}, {"dx": 0.5, "axis": 0}]))
    row(function, arrays((2, 4)), arrays((4,)))
axes = st.sampled_from([0, 1])
row(
    np.apply_along_axis,
    arrays((2, 3)),
    axes,
    call=lambda a, i: np.apply_along_axis(lambda v: np.sum(v * v), i, a),
)
row(
    np.apply_along_axis,
    arrays((2, 3)),
    axes,
    call=lambda a, i: np.apply_along_axis(
        lambda v, n, times: v[:n] * v[0] * times, i, a, 2, times=3.0
    ),
)
row(np.apply_over_axes, arrays((2, 3)), call=lambda a: np.apply_over_axes(np.sum, a, [0, 1]))
row(
    np.piecewise,
    arrays((4,), avoid=[0, 1]),
    call=lambda x: np.piecewise(x, [x < 0, x > 1], [lambda v: -v * v, 3.5, lambda v: v**3]),
)
row(
    np.piecewise,
    arrays((4,), avoid=[0]),
    call=lambda x: np.piecewise(
        x, [x < 0], [lambda v, a, b: a * v, lambda v, a, b: b * v], 2.0, b=3.0
    ),
)
row(
    np.fromfunction,
    arrays((2,)),
    call=lambda a: np.fromfunction(lambda i, j, a: i * a**2 + j, (3, 2), a=a, like=a),
)
