"""Rows of `tinygrad_cv/rules/numpy/elementwise.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.table import row
from tinygrad_cv.rules.numpy.elementwise import complex_number, direction, root, root_slope
from tinygrad_cv.testing.strategies import arrays, broadcastable

for function in (np.add, np.subtract, np.multiply, np.arctan2, np.logaddexp, np.logaddexp2):
    row(function, broadcastable(avoid=[0]))
for function in (np.maximum, np.minimum, np.fmax, np.fmin):
    row(
        function,
        st.tuples(arrays((2, 3)), arrays((3,))).map(
            lambda p: (np.round(p[0], 1), np.round(p[1], 1) + 0.05)
        ),
    )
row(np.true_divide, broadcastable(avoid=[0]))
row(np.hypot, broadcastable(avoid=[0]))
row(np.power, broadcastable(domain=(0.2, 2)))
row(np.power, arrays(avoid=[0]), st.sampled_from([2, 3, -1, 0]))
row(np.power, arrays((2,), domain=(0.2, 2)), st.just(np.array([0.0, 1.0])))
row(np.float_power, broadcastable(domain=(0.2, 2)))
for function in (np.fmod, np.remainder):
    row(function, st.tuples(arrays((3,), domain=(2.1, 2.25)), arrays((2, 3), domain=(0.8, 0.95))))
row(np.divmod, st.tuples(arrays((3,), domain=(2.1, 2.25)), arrays((2, 3), domain=(0.8, 0.95))))
row(np.modf, arrays(domain=(0.1, 0.9)))
row(np.frexp, arrays(domain=(0.55, 0.95)), call=lambda x: np.frexp(x)[0])
row(np.ldexp, arrays(), st.integers(-3, 3))
row(np.copysign, arrays((2, 3), avoid=[0]), st.just(np.array([-1, 1, -1])), call=np.copysign)
for function in (
    np.negative,
    np.positive,
    np.square,
    np.exp,
    np.exp2,
    np.expm1,
    np.sin,
    np.cos,
    np.arctan,
    np.sinh,
):
    row(function, arrays())
for function in (
    np.cosh,
    np.tanh,
    np.arcsinh,
    np.rad2deg,
    np.deg2rad,
    np.degrees,
    np.radians,
    np.sinc,
    np.conjugate,
):
    row(function, arrays())
for function in (np.reciprocal, np.absolute, np.fabs, np.cbrt):
    row(function, arrays(avoid=[0]))
for function in (np.sqrt, np.log, np.log2, np.log10, np.log1p):
    row(function, arrays(domain=(0.2, 3)))
for function in (np.tan, np.arcsin, np.arccos, np.arctanh):
    row(function, arrays(domain=(-0.7, 0.7)))
row(np.arccosh, arrays(domain=(1.3, 3)))
CHOSEN = np.array([[True, False, True], [False, True, True], [False, True, False]])
row(np.where, st.sampled_from([CHOSEN, ~CHOSEN]), arrays((3, 3)), arrays((3,)))
row(np.clip, arrays((2, 3), avoid=[-0.5, 0.7]), st.just(-0.5), st.just(0.7))
if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
    row(np.clip, arrays((2, 3), avoid=[-0.5]), options=st.just({"min": -0.5}))
row(np.nan_to_num, arrays())
row(np.real, arrays())
row(np.imag, arrays())
row(np.real_if_close, arrays(avoid=[0]), phases=(0.3, 2.8))
row(root.function, arrays(domain=(0.3, 3)), call=root)
row(root_slope.function, arrays(domain=(0.3, 3)), call=root_slope)
row(np.clip, arrays((2, 3), avoid=[-0.5, 0.7]), arrays((3,), domain=(-0.5, -0.4)), st.just(0.7))
row(direction.function, arrays((3,)), arrays((3,), domain=(0.5, 2)), call=direction)
SIDES = np.where(CHOSEN, 0, np.array([2.0, -1.0, 0.5]))
row(np.heaviside, st.sampled_from([SIDES, SIDES[:, ::-1]]), arrays((3, 3)), constant=(0,))
row(np.nextafter, arrays((2, 3)), st.just(np.array([5.0, -5.0, np.inf])), constant=(1,))
row(np.sign, arrays(avoid=[0]))
row(np.angle, arrays(avoid=[0]), st.booleans())
row(
    complex_number.function,
    arrays((2,)),
    arrays((2,)),
    call=complex_number,
    complex="the parts are real",
)
