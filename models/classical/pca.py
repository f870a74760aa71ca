"""Principal components, with a density: what is across them is noise (Moghaddam & Pentland 1997).

    x = mean + axes' z + e        z: the coordinates along the axes, e: the rest, across them

A density of z becomes one of x if e is Gaussian with the same variance in each of its D - d
directions: log p(x) = log p(z) + log N(e; 0, variance). The D - d smallest eigenvalues of the
covariance have this variance as their mean, which is its maximum likelihood (Tipping & Bishop 1999,
equation 8).
"""

from __future__ import annotations

import numpy as np

from tinygrad_cv import nn

from .gaussians import gaussian_factor

SMALLEST = 1e-6  # variance of what is across the axes


class PrincipalComponents(nn.Module):
    """The first `count` principal components of x (N, D); at first the first coordinates."""

    mean: np.ndarray  # (D,)
    axes: np.ndarray  # (d, D)
    variance: np.ndarray  # (), of each direction across the axes

    def __init__(self, dimensions: int, count: int) -> None:
        if count > dimensions:
            raise ValueError(
                f"{dimensions} coordinates have no more principal components than that, "
                f"and {count} were asked for"
            )
        self.register_buffer("mean", np.zeros(dimensions))
        self.register_buffer("axes", np.eye(count, dimensions))
        self.register_buffer("variance", np.ones(()))

    def fit(self, x: np.ndarray) -> None:
        """Take mean, axes and the variance across them from x (N, D)."""
        count, D = self.axes.shape
        self.mean, factor = gaussian_factor(x)
        _, deviations, axes = np.linalg.svd(factor)  # with few x the last axes are any others
        self.axes = axes[:count]
        across = np.sum(deviations[count:] ** 2)
        variance = across / max(1, D - count)
        self.variance = np.asarray(max(variance, SMALLEST))

    def project(self, x: np.ndarray) -> np.ndarray:
        """x (N, D) -> z (N, d)."""
        centred = x - self.mean
        return np.asarray(centred @ self.axes.T)

    def reconstruct(self, z: np.ndarray) -> np.ndarray:
        """z (N, d) -> x (N, D) without what was across the axes."""
        return np.asarray(z @ self.axes + self.mean)

    def log_density_across(self, x: np.ndarray) -> np.ndarray:
        """log N(e_n; 0, variance), (N,): what is missing in log p(z) to log p(x)."""
        count, D = self.axes.shape
        along = self.reconstruct(self.project(x))
        rest = x - along
        distances = np.einsum("nd,nd->n", rest, rest) / self.variance
        log_volume = (D - count) * np.log(2 * np.pi * self.variance)
        return -(distances + log_volume) / 2
