"""The calculus table of numpy.fft.

The transforms along one axis are linear maps with a transpose; those along several are written in
them. The matrix of the discrete Fourier transform is symmetric, so `fft` and `ifft` are their own
transposes. Where one side is real, half of the frequencies stand for all: each but the first and,
of an even length, the middle one stands for itself and its conjugate, and so counts twice.

A transform cuts its input or fills it up with zeros to the length n; the transpose fills up what
was cut, and cuts what was filled up. With one `norm` a transform and its transpose are scaled
alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from ...engine.operands import is_complex
from ...typing import Array, Axis, Shape
from ..table import as_array, definition, derivative
from .axes import along, axes_of
from .index import scatter

Lengths = Sequence[int | None] | None  # of several axes; None, or -1 for one of them: as it is
Axes = Sequence[int] | None
Transform = Callable[..., Any]
Norm = Literal["backward", "ortho", "forward"] | None  # where the scaling by 1 / n stands


def _fitted(x: Array, shape: Shape, axis: int) -> Array:
    """x cut, or filled up with zeros, to the length that a shape has along an axis."""
    length, own = shape[axis], x.shape[axis]
    if own > length:
        return x[along(axis, x.ndim, slice(length))]
    return scatter(x, along(axis, x.ndim, slice(own)), shape) if own < length else x


def _count(n: int, axis: int, ndim: int) -> np.ndarray:
    """How many of n frequencies each of the first n // 2 + 1 stands for, along an axis."""
    counts = np.full(n // 2 + 1, 2)
    counts[0] = 1
    if n % 2 == 0:
        counts[-1] = 1
    behind = ndim - axis % ndim - 1
    return counts.reshape(-1, *(1,) * behind)


def _once(g: Array, n: int, axis: int) -> Array:
    """g divided among the frequencies that each stands for."""
    return g / _count(n, axis, g.ndim).astype(g.real.dtype)


def _twice(g: Array, n: int, axis: int) -> Array:
    """g times the number of frequencies that each stands for."""
    return g * _count(n, axis, g.ndim).astype(g.real.dtype)


def _enter_symmetric(transform: Transform) -> None:
    """From complex to complex numbers: the transform is its own transpose."""

    def transpose(
        g: Array,
        a_shape: Shape,
        axis: int,
        norm: Norm,
    ) -> Array:
        return _fitted(transform(g, axis=axis, norm=norm), a_shape, axis)

    derivative(transform, a=transpose, linear="a", inert=("n",))


def _enter_of_real(transform: Transform, back: Transform) -> None:
    """From real numbers to half of the frequencies, and the transform that leads back."""

    def transpose(
        g: Array,
        a_shape: Shape,
        n: int | None,
        axis: int,
        norm: Norm,
    ) -> Array:
        n = a_shape[axis] if n is None else n
        return _fitted(back(_once(g, n, axis), n, axis, norm), a_shape, axis)

    derivative(transform, a=transpose, linear="a")


def _enter_to_real(transform: Transform, back: Transform) -> Transform:
    """From half of the frequencies to real numbers, and the transform that leads back."""

    def transpose(
        g: Array,
        a_shape: Shape,
        axis: int,
        norm: Norm,
    ) -> Array:
        n = g.shape[axis]
        return _fitted(_twice(back(g, axis=axis, norm=norm), n, axis), a_shape, axis)

    of_complex = derivative(transform, a=transpose, linear="a", inert=("n",))

    @definition(transform)
    def of_any(
        a: Array,
        n: int | None = None,
        axis: int = -1,
        norm: Norm = None,
    ) -> Array:
        """Of real frequencies as complex ones, so that their gradient, which is complex, is made
        real."""
        a = as_array(a)
        a = a if is_complex(a) else a.astype(np.result_type(a.dtype, np.complex64))
        return of_complex(a, n, axis, norm)

    return of_any


_enter_symmetric(np.fft.fft)
_enter_symmetric(np.fft.ifft)
_enter_of_real(np.fft.rfft, back=np.fft.hfft)
_enter_of_real(np.fft.ihfft, back=np.fft.irfft)
irfft = _enter_to_real(np.fft.irfft, back=np.fft.ihfft)
_enter_to_real(np.fft.hfft, back=np.fft.rfft)


# Along several axes, one after the other.
def _lengths_and_axes(
    a: Array,
    s: Lengths,
    axes: Axes,
    halved: bool = False,
) -> tuple[list[int | None], list[int]]:
    """The length of the transform along each axis. Without axes, of all, or of as many last ones as
    there are lengths.

    With `halved` the last axis holds half of the frequencies.
    """
    chosen = list(range(-len(a.shape if s is None else s), 0)) if axes is None else list(axes)
    if s is None:
        lengths: list[int | None] = [a.shape[i] for i in chosen]
        if halved:
            lengths[-1] = 2 * (a.shape[chosen[-1]] - 1)
        return lengths, chosen
    return [a.shape[i] if n == -1 else n for n, i in zip(s, chosen, strict=True)], chosen


def _transforms(
    transform: Transform,
    a: Array,
    lengths: Sequence[int | None],
    axes: Sequence[int],
    norm: Norm,
) -> Array:
    """A transform along one axis after the other, the last one first, as NumPy does it."""
    for n, axis in zip(reversed(lengths), reversed(axes), strict=True):
        a = transform(a, n, axis, norm)
    return a


def _enter_complex(
    transform: Transform,
    of_planes: Transform,
    of_all: Transform,
) -> None:
    """`transform` along several axes, by default the last two, or all."""

    @definition(of_all)
    def along_all(
        a: Array,
        s: Lengths = None,
        axes: Axes = None,
        norm: Norm = None,
    ) -> Array:
        """The transform along each axis."""
        a = as_array(a)
        lengths, axes = _lengths_and_axes(a, s, axes)
        return _transforms(transform, a, lengths, axes, norm)

    @definition(of_planes)
    def along_two(
        a: Array,
        s: Lengths = None,
        axes: Axes = (-2, -1),
        norm: Norm = None,
    ) -> Array:
        """The transform along each axis, by default the last two."""
        return along_all(a, s, axes, norm)


_enter_complex(np.fft.fft, np.fft.fft2, np.fft.fftn)
_enter_complex(np.fft.ifft, np.fft.ifft2, np.fft.ifftn)


@definition(np.fft.rfftn)
def rfftn(
    a: Array,
    s: Lengths = None,
    axes: Axes = None,
    norm: Norm = None,
) -> Array:
    """The transform of real numbers: half of the frequencies of the last axis, all of the
    others."""
    a = as_array(a)
    lengths, axes = _lengths_and_axes(a, s, axes)
    a = np.fft.rfft(a, lengths[-1], axes[-1], norm)
    return _transforms(np.fft.fft, a, lengths[:-1], axes[:-1], norm)


@definition(np.fft.rfft2)
def rfft2(
    a: Array,
    s: Lengths = None,
    axes: Axes = (-2, -1),
    norm: Norm = None,
) -> Array:
    """`rfftn`, by default along the last two axes."""
    return rfftn(a, s, axes, norm)


@definition(np.fft.irfftn)
def irfftn(
    a: Array,
    s: Lengths = None,
    axes: Axes = None,
    norm: Norm = None,
) -> Array:
    """Back from half of the frequencies of the last axis to real numbers."""
    a = as_array(a)
    lengths, axes = _lengths_and_axes(a, s, axes, halved=True)
    a = _transforms(np.fft.ifft, a, lengths[-2::-1], axes[-2::-1], norm)  # the first axis first
    return irfft(a, lengths[-1], axes[-1], norm)


@definition(np.fft.irfft2)
def irfft2(
    a: Array,
    s: Lengths = None,
    axes: Axes = (-2, -1),
    norm: Norm = None,
) -> Array:
    """`irfftn`, by default along the last two axes."""
    return irfftn(a, s, axes, norm)


# Frequencies in another order.
def _half_way(
    x: Array,
    axes: Axis,
    sign: int,
) -> Array:
    """x rolled by half its length along the axes, rounded down."""
    chosen = axes_of(axes, np.ndim(x))
    halves = [sign * (np.shape(x)[i] // 2) for i in chosen]
    return np.roll(x, halves, chosen)


@definition(np.fft.fftshift)
def fftshift(x: Array, axes: Axis = None) -> Array:
    """The zero frequency moved to the middle."""
    return _half_way(x, axes, 1)


@definition(np.fft.ifftshift)
def ifftshift(x: Array, axes: Axis = None) -> Array:
    """The zero frequency moved back to the front."""
    return _half_way(x, axes, -1)
