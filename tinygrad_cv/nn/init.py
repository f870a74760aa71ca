"""Initialisers: `f(shape, *, rng, dtype)` draws an array. Weights are (out, in, ...) as in PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Shape = tuple[int, ...]


def zeros(
    shape: Shape, *, rng: np.random.Generator | None = None, dtype: Any = np.float32
) -> np.ndarray:
    """All 0. Takes a generator, which it does not use, so as to fit where an initialiser is wanted."""
    return np.zeros(shape, dtype)


def ones(
    shape: Shape, *, rng: np.random.Generator | None = None, dtype: Any = np.float32
) -> np.ndarray:
    """All 1. Takes a generator, which it does not use, so as to fit where an initialiser is wanted."""
    return np.ones(shape, dtype)


def uniform(
    shape: Shape,
    low: float = 0.0,
    high: float = 1.0,
    *,
    rng: np.random.Generator,
    dtype: Any = np.float32,
) -> np.ndarray:
    """Uniform between low and high."""
    return rng.uniform(low, high, shape).astype(dtype)


def normal(
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    *,
    rng: np.random.Generator,
    dtype: Any = np.float32,
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
    dtype: Any = np.float32,
) -> np.ndarray:
    """Normal, cut off below `low` and above `high`, by inversion: Phi^-1 of a uniform number between the two Phi."""
    from scipy.special import ndtr, ndtri

    between = rng.uniform(ndtr((low - mean) / std), ndtr((high - mean) / std), shape)
    values: np.ndarray = np.clip(mean + std * ndtri(between), low, high)
    return values.astype(dtype)


def xavier_uniform(
    shape: Shape, gain: float = 1.0, *, rng: np.random.Generator, dtype: Any = np.float32
) -> np.ndarray:
    """Uniform in +- gain sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, equation 16)."""
    bound = gain * math.sqrt(6 / sum(_fans(shape)))
    return uniform(shape, -bound, bound, rng=rng, dtype=dtype)


def xavier_normal(
    shape: Shape, gain: float = 1.0, *, rng: np.random.Generator, dtype: Any = np.float32
) -> np.ndarray:
    """Normal of variance gain^2 2 / (fan_in + fan_out) (Glorot & Bengio 2010, equation 12)."""
    return normal(shape, 0, gain * math.sqrt(2 / sum(_fans(shape))), rng=rng, dtype=dtype)


def kaiming_uniform(
    shape: Shape, negative_slope: float = 0.0, *, rng: np.random.Generator, dtype: Any = np.float32
) -> np.ndarray:
    """Uniform with the variance of `kaiming_normal`, so in +- sqrt(6 / ((1 + slope^2) fan_in))."""
    bound = math.sqrt(3) * _kaiming_std(shape, negative_slope)
    return uniform(shape, -bound, bound, rng=rng, dtype=dtype)


def kaiming_normal(
    shape: Shape, negative_slope: float = 0.0, *, rng: np.random.Generator, dtype: Any = np.float32
) -> np.ndarray:
    """Normal of variance 2 / ((1 + slope^2) fan_in), for layers before a (leaky) ReLU (He et al. 2015, equation 15)."""
    return normal(shape, 0, _kaiming_std(shape, negative_slope), rng=rng, dtype=dtype)


def orthogonal(
    shape: Shape, gain: float = 1.0, *, rng: np.random.Generator, dtype: Any = np.float32
) -> np.ndarray:
    """gain times a random matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014).

    Q of the QR decomposition of a normal matrix, with the signs that make it uniformly distributed (Mezzadri 2007).
    """
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    values: np.ndarray = gain * (q if rows >= columns else q.T)
    return values.reshape(shape).astype(dtype)


def _fans(shape: Shape) -> tuple[int, int]:
    """How many inputs feed an output of a weight (out, in, ...), and how many outputs an input feeds."""
    if len(shape) < 2:
        raise ValueError(
            f"fans are those of a weight (out, in, ...), not of shape {shape}; use uniform, normal or zeros"
        )
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive


def _kaiming_std(shape: Shape, negative_slope: float) -> float:
    return math.sqrt(2 / ((1 + negative_slope**2) * _fans(shape)[0]))
