"""The calculus table of scipy.signal: convolution and correlation, of any number of axes.

A convolution is linear in each sequence. The gradient of one is that of the whole ("full")
convolution, convolved with the other sequence in reverse order where both overlap ("valid"); that
is a convolution again, so that every order is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import signal

from ...engine.operands import conjugate
from ...tensor import Rule
from ...typing import Array, Function, Shape
from ..table import as_array, definition, derivative

Axes = Any  # those that are convolved, one or several; None: all


def _convolved(axes: Axes, ndim: int) -> list[int]:
    """The axes as numbers from 0 on."""
    if axes is None:
        return list(range(ndim))
    return [axis % ndim for axis in np.ravel(axes).tolist()]


def _reversed(x: Array, axes: Axes = None) -> Array:
    return np.flip(x, tuple(_convolved(axes, np.ndim(x))))


def _of_whole(
    g: Array,
    sizes: tuple[Shape, Shape],
    mode: str,
    axes: Axes,
) -> Array:
    """The gradient of the full convolution, of which the mode keeps a part.

    Along an axis that is not convolved, the sequences broadcast.
    """
    first, second = sizes
    convolved = _convolved(axes, len(first))
    widths = []
    for axis, (n, m, kept) in enumerate(zip(first, second, np.shape(g), strict=True)):
        whole = n + m - 1 if axis in convolved else max(n, m)
        before = 0
        if mode == "same":
            before = (whole - n) // 2
        elif mode == "valid" and axis in convolved:
            before = min(n, m) - 1
        widths.append((before, whole - before - kept))
    return np.pad(g, widths) if widths else g


def _adjoint(
    function: Function,
    g: Array,
    other: Array,
    sizes: tuple[Shape, Shape],
    mode: str,
    **options: Any,
) -> Array:
    """The gradient of one sequence, from the other one and the sizes of both."""
    axes = options.get("axes")
    whole = _of_whole(g, sizes, mode, axes)
    return function(whole, _reversed(other, axes), "valid", **options)


def _convolve_in1(
    g: Array,
    in1_shape: Shape,
    in2: Array,
    mode: str,
    method: str,
) -> Array:
    sizes = in1_shape, np.shape(in2)
    return _adjoint(convolve, g, in2, sizes, mode, method=method)


def _convolve_in2(
    g: Array,
    in1: Array,
    in2_shape: Shape,
    mode: str,
    method: str,
) -> Array:
    sizes = np.shape(in1), in2_shape
    return _adjoint(convolve, g, in1, sizes, mode, method=method)


convolve: Rule = derivative(
    signal.convolve, in1=_convolve_in1, in2=_convolve_in2, linear=("in1", "in2")
)


# A correlation is the convolution with the conjugate of the second sequence in reverse order.
def _correlate_in1(
    g: Array,
    in1_shape: Shape,
    in2: Array,
    mode: str,
    method: str,
) -> Array:
    return _convolve_in1(g, in1_shape, _reversed(conjugate(in2)), mode, method)


def _correlate_in2(
    g: Array,
    in1: Array,
    in2_shape: Shape,
    mode: str,
    method: str,
) -> Array:
    return _reversed(conjugate(_convolve_in2(g, in1, in2_shape, mode, method)))


derivative(signal.correlate, in1=_correlate_in1, in2=_correlate_in2, linear=("in1", "in2"))


def _along_axes(function: Function) -> None:
    """Enter a convolution by Fourier transforms, along some axes."""

    def first(
        g: Array,
        in1_shape: Shape,
        in2: Array,
        mode: str,
        axes: Axes,
    ) -> Array:
        sizes = in1_shape, np.shape(in2)
        return _adjoint(rule, g, in2, sizes, mode, axes=axes)

    def second(
        g: Array,
        in1: Array,
        in2_shape: Shape,
        mode: str,
        axes: Axes,
    ) -> Array:
        sizes = np.shape(in1), in2_shape
        return _adjoint(rule, g, in1, sizes, mode, axes=axes)

    rule: Rule = derivative(function, in1=first, in2=second, linear=("in1", "in2"))


_along_axes(signal.fftconvolve)
_along_axes(signal.oaconvolve)


# ---------------------------------------------------------------------------------- of two axes

BOUNDARIES = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}  # in np.pad's words


def _of_matrices(
    in1: Array,
    in2: Array,
    mode: str,
    boundary: str,
    fillvalue: float,
    first: Sequence[int],
) -> Array:
    """A convolution; `first` is the element of the full one that "same" begins with."""
    if mode == "valid":
        return convolve(in1, in2, "valid", "direct")
    widths = [(m - 1, m - 1) for m in np.shape(in2)]
    how: Any = BOUNDARIES[boundary]
    options: Any = {"constant_values": fillvalue} if how == "constant" else {}
    whole = convolve(np.pad(in1, widths, how, **options), in2, "valid", "direct")
    if mode == "full":
        return whole
    (n, m), (i, j) = np.shape(in1), first
    return whole[i : i + n, j : j + m]


@definition(signal.convolve2d)
def convolve2d(
    in1: Array,
    in2: Array,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: float = 0,
) -> Array:
    """A convolution of matrices, with something else than zeros around the first one."""
    first = [(m - 1) // 2 for m in np.shape(in2)]
    return _of_matrices(as_array(in1), as_array(in2), mode, boundary, fillvalue, first)


@definition(signal.correlate2d)
def correlate2d(
    in1: Array,
    in2: Array,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: float = 0,
) -> Array:
    """The convolution with the conjugate of the second matrix in reverse order."""
    other = _reversed(conjugate(as_array(in2)))
    first = [m // 2 for m in np.shape(in2)]
    return _of_matrices(as_array(in1), other, mode, boundary, fillvalue, first)
