"""Gaussians: fitted to pictures, drawn from, and as an exact likelihood of quantised ones."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr, logsumexp

from .nearest import flatten


def gaussian_factor(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean (D,) and a factor R (min(N, D), D) of the sample covariance R'R of the rows of `x` (N, D)."""
    mean = x.mean(axis=0)
    return mean, np.asarray(np.linalg.qr(x - mean, mode="r")) / math.sqrt(max(1, len(x) - 1))


def sample_gaussian(mean: np.ndarray, factor: np.ndarray, n: int, *, rng: np.random.Generator) -> np.ndarray:
    """n draws (n, D) from the Gaussian with this mean (D,) and covariance factor'factor."""
    return np.asarray(mean + rng.standard_normal((n, len(factor))) @ factor)


def one_gaussian(images: np.ndarray, labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """One Gaussian with the mean and covariance of all training pictures."""
    return as_images(sample_gaussian(*gaussian_factor(flatten(images)), n, rng=rng), images)


def class_gaussians(images: np.ndarray, labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """One Gaussian for each class, the classes as frequent as in training."""
    x, drawn = flatten(images), rng.choice(labels, size=n)
    out = np.empty((n, x.shape[1]))
    for label in np.unique(drawn):
        members = drawn == label
        out[members] = sample_gaussian(*gaussian_factor(x[labels == label]), int(members.sum()), rng=rng)
    return as_images(out, images)


def pixel_marginals(images: np.ndarray, labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Each pixel drawn by itself from its training values."""
    x = flatten(images)
    return as_images(x[rng.integers(len(x), size=(n, x.shape[1])), np.arange(x.shape[1])], images)


def as_images(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(n, D) draws as pictures in [0, 1], float32, of the training pictures' shape."""
    return np.asarray(np.clip(x, 0, 1), np.float32).reshape(len(x), *like.shape[1:])


RIDGES = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # added to a Gaussian's variances; the best on a fifth of the pictures is taken


def gaussian_bits(known: np.ndarray, labels: np.ndarray, asked: np.ndarray, levels: int) -> float:
    """Bits per dimension of a Gaussian for each class, discretised: a level has the probability of its interval.

    The intervals of the first and last level are open, so the probabilities add up to 1, and each pixel is conditioned on
    those before, so p(x) is exact for the discretised model; p(x) is the mixture over the classes. A ridge on the
    variances, the best of five on a fifth of the training pictures, stands against too few pictures.
    """
    held_out = np.arange(len(known)) % 5 == 0
    tried = [discretised(known[~held_out], labels[~held_out], known[held_out], levels, ridge) for ridge in RIDGES]
    return discretised(known, labels, asked, levels, RIDGES[int(np.argmin(tried))])


def discretised(known: np.ndarray, labels: np.ndarray, asked: np.ndarray, levels: int, ridge: float) -> float:
    x, new = known / (levels - 1), asked / (levels - 1)
    log_p = []
    for label in np.unique(labels):
        members = x[labels == label]
        mean, covariance = members.mean(axis=0), np.cov(members.T) + ridge * np.eye(x.shape[1])
        factor = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(factor, (new - mean).T).T  # (N, D)
        deviation = np.diagonal(factor)
        centre = new - whitened * deviation  # of pixel i given those before: x_i - L_ii z_i
        low, high = (np.where(open_end, np.inf * side, (new + side * 0.5 / (levels - 1) - centre) / deviation)
                     for open_end, side in ((asked == 0, -1.0), (asked == levels - 1, 1.0)))  # fmt: skip
        log_p.append(np.log(len(members) / len(x)) + log_interval(low, high).sum(axis=1))
    return float(-logsumexp(log_p, axis=0).mean() / np.log(2) / x.shape[1])


def log_interval(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """log(Phi(high) - Phi(low)), in the tail where nothing cancels."""
    flipped = low > 0
    low, high = np.where(flipped, -high, low), np.where(flipped, -low, high)
    upper, lower = log_ndtr(high), log_ndtr(low)
    return np.asarray(upper + np.log1p(-np.exp(np.minimum(lower - upper, -1e-12))))
