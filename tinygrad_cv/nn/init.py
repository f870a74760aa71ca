"""Initialisers: `f(shape, *, rng, dtype)` draws an array.

Weights are (out, in, ...) as in PyTorch. `rng` is the generator, `dtype` the type of what is drawn.
"""

from __future__ import annotations

import math

import numpy as np

from ..typing import DTypeLike, Shape


def zeros(
    shape: Shape, *, rng: np.random.Generator | None = None, dtype: DTypeLike = np.float32
) -> np.ndarray:
    """All 0. The generator is not used; it is there so that this is called like the others."""
    return np.zeros(shape, dtype)


def ones(
    shape: Shape, *, rng: np.random.Generator | None = None, dtype: DTypeLike = np.float32
) -> np.ndarray:
    """All 1. The generator is not used; it is there so that this is called like the others."""
    return np.ones(shape, dtype)


def uniform(
    shape: Shape,
    low: float = 0.0,
    high: float = 1.0,
    *,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:
    """Uniform between low and high."""
    return rng.uniform(low, high, shape).astype(dtype)


def normal(
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    *,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:
    """Normal with a mean and a standard deviation."""
    return rng.normal(mean, std, shape).astype(dtype)


def trunc_normal(
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    low: float = -2.0,
    high: float = 2.0,
    *,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:
    """Normal, cut off below `low` and above `high`.

    Drawn by inversion: Phi^-1 of a number that is uniform between Phi of one bound and Phi of the
    other.
    """
    from scipy.special import ndtr, ndtri

    least = ndtr((low - mean) / std)
    most = ndtr((high - mean) / std)
    standard = ndtri(rng.uniform(least, most, shape))
    return np.clip(mean + std * standard, low, high).astype(dtype)


def xavier_uniform(
    shape: Shape,
    gain: float = 1.0,
    *,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:
    """Uniform in +- gain sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, equation 16)."""
    fan_in, fan_out = fans(shape)
    bound = gain * math.sqrt(6 / (fan_in + fan_out))
    return uniform(shape, -bound, bound, rng=rng, dtype=dtype)


def xavier_normal(
    shape: Shape,
    gain: float = 1.0,
    *,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:
    """Normal of variance gain^2 2 / (fan_in + fan_out) (Glorot & Bengio 2010, equation 12)."""
    fan_in, fan_out = fans(shape)
    std = gain * math.sqrt(2 / (fan_in + fan_out))
    return normal(shape, 0, std, rng=rng, dtype=dtype)


def kaiming_uniform(
    shape: Shape,
    negative_slope: float = 0.0,
    *,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:
    """Uniform with the variance of `kaiming_normal`, so in +- sqrt(6 / ((1 + slope^2) fan_in))."""
    bound = math.sqrt(3) * kaiming_std(shape, negative_slope)
    return uniform(shape, -bound, bound, rng=rng, dtype=dtype)


def kaiming_normal(
    shape: Shape,
    negative_slope: float = 0.0,
    *,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:
    """Normal of variance 2 / ((1 + slope^2) fan_in), for layers before a (leaky) ReLU.

    He et al. 2015, equation 15; `negative_slope` is the leaky ReLU's.
    """
    std = kaiming_std(shape, negative_slope)
    return normal(shape, 0, std, rng=rng, dtype=dtype)


def orthogonal(
    shape: Shape,
    gain: float = 1.0,
    *,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:
    """gain times a random matrix with orthonormal rows or columns, whichever are fewer.

    Saxe et al. 2014. It is Q of the QR decomposition of a normal matrix, with the signs that make
    it uniformly distributed (Mezzadri 2007).
    """
    rows = shape[0]
    columns = math.prod(shape[1:])
    tall = (max(rows, columns), min(rows, columns))
    q, r = np.linalg.qr(rng.normal(size=tall))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    q = q if rows >= columns else q.T
    return (gain * q).reshape(shape).astype(dtype)


def fans(shape: Shape) -> tuple[int, int]:
    """fan_in and fan_out of a weight (out, in, ...).

    How many inputs an output depends on, and how many outputs depend on an input.
    Raises ValueError for a shape with less than two axes.
    """
    if len(shape) < 2:
        raise ValueError(
            f"fans are those of a weight (out, in, ...), not of shape {shape}; "
            "use uniform, normal or zeros"
        )
    outputs, inputs, *window = shape
    receptive_field = math.prod(window)
    return inputs * receptive_field, outputs * receptive_field


def kaiming_std(shape: Shape, negative_slope: float) -> float:
    """The standard deviation sqrt(2 / ((1 + slope^2) fan_in))."""
    fan_in, _ = fans(shape)
    return math.sqrt(2 / ((1 + negative_slope**2) * fan_in))
