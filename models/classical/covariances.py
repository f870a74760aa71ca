"""Gaussians whose covariances have a structure: components of a mixture, emissions of an HMM.

    full        a covariance each              (K, D, D)
    tied        one covariance for all         (D, D)
    diag        independent coordinates        (K, D)
    spherical   one variance in all directions (K,)

(the names and shapes are scikit-learn's). `Gaussians.maximise` is the M-step of EM: the maximum of
the weighted log-likelihood. A coordinate of x that is missing is NaN: the density is that of the
others, and the M-step takes its expectation given these (Ghahramani & Jordan 1994, "Supervised
learning from incomplete data via an EM approach").

No eigenvalue of a covariance is below `floor`, so that no Gaussian collapses onto a point. Raising
the small eigenvalues to the floor is the exact maximum under that constraint. So, unlike with a
ridge added to the diagonal, the log-likelihood never falls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np

from tinygrad_cv import nn
from tinygrad_cv.typing import Array

Structure = Annotated[str, "full", "tied", "diag", "spherical"]
STRUCTURES = ("full", "tied", "diag", "spherical")

# ------------------------------------------------------- densities, which the engine differentiates


def log_normal(x: Array, mean: Array, covariance: Array) -> Array:
    """log N(x_n; mean, covariance), (N,), of x (N, D) and a covariance (D, D) or variances (D,)."""
    D = x.shape[1]
    centred = (x - mean).T  # (D, N)
    if covariance.ndim == 1:
        distances = np.sum(centred**2 / covariance[:, None], axis=0)
        log_determinant = np.sum(np.log(covariance))
    else:
        factor = np.linalg.cholesky(covariance)  # L L' = covariance
        whitened = np.linalg.solve(factor, centred)
        distances = np.sum(whitened**2, axis=0)
        diagonal = np.diagonal(factor)
        log_determinant = 2 * np.sum(np.log(diagonal))
    log_volume = log_determinant + D * np.log(2 * np.pi)
    return -(distances + log_volume) / 2


def log_densities(
    x: np.ndarray,
    means: Array,
    covariances: Array,
    structure: str,
) -> Array:
    """log N(x_n; mean_k, covariance_k), (N, K), of x (N, D), over the coordinates that are known.

    `means` (K, D) and `covariances` may be tensors.
    """
    K, D = means.shape
    blocks, order = [], []
    for rows, known in patterns(x):
        block = x[rows][:, known]
        columns = []
        for k in range(K):
            covariance = covariance_of(covariances, structure, k, D)
            part = marginal(covariance, known)
            column = log_normal(block, means[k][known], part)
            columns.append(column)
        blocks.append(np.stack(columns, axis=1))
        order.append(rows)
    if len(blocks) == 1:
        return blocks[0]
    back = np.argsort(np.concatenate(order))
    return np.concatenate(blocks)[back]


def covariance_of(
    covariances: Array,
    structure: str,
    k: int | np.integer,
    D: int,
) -> Array:
    """The covariance (D, D) of component k, or its variances (D,)."""
    if structure == "tied":
        return covariances
    if structure == "spherical":
        return covariances[k] * np.ones(D)
    return covariances[k]


def dense(covariance: np.ndarray) -> np.ndarray:
    """A covariance (D, D) of itself or of variances (D,)."""
    return np.diag(covariance) if covariance.ndim == 1 else covariance


def marginal(covariance: Array, known: np.ndarray) -> Array:
    """The covariance of some coordinates."""
    if covariance.ndim == 1:
        return covariance[known]
    return covariance[known][:, known]


def patterns(x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows of x (N, D) in which the same coordinates are known, and these coordinates (D,)."""
    known = ~np.isnan(x)
    if known.all():
        yield np.arange(len(x)), known.all(axis=0)
        return
    kinds, members = np.unique(known, axis=0, return_inverse=True)
    order = np.argsort(members, kind="stable")
    ends = np.cumsum(np.bincount(members))
    groups = np.split(order, ends[:-1])
    for kind, rows in zip(kinds, groups, strict=True):
        yield rows, kind


# ----------------------------------------------------------------------------------- missing values


def fill_in(
    x: np.ndarray,
    mean: np.ndarray,
    covariance: np.ndarray,
    *,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """x (N, D) with the missing coordinates at their expectation given the known ones.

    With `rng` they are drawn given the known ones.
    """
    filled = x.copy()
    for rows, known in patterns(x):
        block, conditional = given_known(x[rows], known, mean, covariance)
        if rng is not None:
            variances, axes = np.linalg.eigh(dense(conditional))
            deviations = np.sqrt(np.maximum(variances, 0))
            noise = rng.standard_normal(block.shape)
            block = block + noise * deviations @ axes.T
        filled[np.ix_(rows, ~known)] = block
    return filled


def given_known(
    x: np.ndarray,
    known: np.ndarray,
    mean: np.ndarray,
    covariance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Expectation (N, M) and covariance (M, M), or variances (M,), of M missing coordinates."""
    missing = ~known
    if covariance.ndim == 1:
        expected = np.tile(mean[missing], (len(x), 1))
        return expected, covariance[missing]
    across = covariance[np.ix_(known, missing)]
    of_known = marginal(covariance, known)
    regression = np.linalg.solve(of_known, across)
    centred = x[:, known] - mean[known]
    expected = mean[missing] + centred @ regression
    explained = across.T @ regression
    return expected, marginal(covariance, missing) - explained


# ----------------------------------------------------------------------------------- the components


class Gaussians(nn.Module):
    """K Gaussians over D coordinates; at first standard ones."""

    means: np.ndarray  # (K, D)
    covariances: np.ndarray  # of the structure's shape

    def __init__(
        self,
        count: int,
        dimensions: int,
        structure: str,
        floor: float = 0.0,
    ) -> None:
        if structure not in STRUCTURES:
            known = ", ".join(STRUCTURES)
            raise ValueError(
                f"no structure of covariances is called {structure!r}; there are {known}"
            )
        self.structure, self.floor = structure, floor
        ones = np.ones((count, dimensions))
        eye = np.eye(dimensions)
        covariances = {
            "full": np.tile(eye, (count, 1, 1)),
            "tied": eye,
            "diag": ones,
            "spherical": np.ones(count),
        }
        self.register_buffer("means", np.zeros((count, dimensions)))
        self.register_buffer("covariances", covariances[structure])

    def __len__(self) -> int:
        return len(self.means)

    @property
    def num_free(self) -> int:
        """How many numbers are free."""
        K, D = self.means.shape
        triangle = D * (D + 1) // 2
        free = {"full": K * triangle, "tied": triangle, "diag": K * D, "spherical": K}
        return K * D + free[self.structure]

    def covariance(self, k: int | np.integer) -> np.ndarray:
        """The covariance (D, D) of component k, or its variances (D,) if it is diagonal."""
        D = self.means.shape[1]
        return np.asarray(covariance_of(self.covariances, self.structure, k, D))

    def log_densities(
        self,
        x: np.ndarray,
        chosen: np.ndarray | None = None,
    ) -> np.ndarray:
        """log N(x_n; k), (N, K), of x (N, D), or of the `chosen` components only."""
        means, covariances = self.means, self.covariances
        if chosen is not None:
            means = means[chosen]
            if self.structure != "tied":
                covariances = covariances[chosen]
        return np.asarray(log_densities(x, means, covariances, self.structure))

    def maximise(self, x: np.ndarray, weights: np.ndarray) -> None:
        """The M-step: means and covariances from x (N, D) and weights (N, K) >= 0.

        A component without weight stays as it is.
        """
        mass = weights.sum(axis=0)
        alive = np.flatnonzero(mass > 0)
        means, scatters = self.means.copy(), {}
        for k in alive:
            rows = np.flatnonzero(weights[:, k])
            share = weights[rows, k] / mass[k]
            moments = self.moments(k, x[rows], share)
            means[k], scatters[k] = moments
        self.means = means
        if self.structure == "tied":
            total = sum(mass[k] * scatters[k] for k in alive)
            scatter = total / mass.sum()
            self.covariances = floored(scatter, self.floor)
            return
        covariances = self.covariances.copy()
        for k in alive:
            scatter = scatters[k]
            if self.structure == "spherical":
                scatter = scatter.mean()
            covariances[k] = floored(scatter, self.floor)
        self.covariances = covariances

    def moments(
        self,
        k: int | np.integer,
        x: np.ndarray,
        share: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean (D,) and scatter (D, D), or (D,), of x (N, D) under shares (N,) that add up to 1."""
        old_mean, old = self.means[k], self.covariance(k)
        hidden = np.zeros_like(old)  # the share of the scatter that missing coordinates have
        if np.isnan(x).any():
            x = x.copy()
            for rows, known in patterns(x):
                missing = ~known
                expected, conditional = given_known(x[rows], known, old_mean, old)
                x[np.ix_(rows, missing)] = expected
                place = missing if old.ndim == 1 else np.ix_(missing, missing)
                hidden[place] += share[rows].sum() * conditional
        mean = share @ x
        centred = x - mean
        if old.ndim == 1:
            return mean, share @ centred**2 + hidden
        scaled = np.sqrt(share)[:, None] * centred
        return mean, scaled.T @ scaled + hidden

    def sample(
        self,
        components: np.ndarray,
        *,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """A draw from each of these components (n,): (n, D)."""
        D = self.means.shape[1]
        drawn = rng.standard_normal((len(components), D))
        for k in np.unique(components):
            members = components == k
            factor = np.linalg.cholesky(dense(self.covariance(k)))
            drawn[members] = self.means[k] + drawn[members] @ factor.T
        return drawn


def floored(scatter: np.ndarray, floor: float) -> np.ndarray:
    """A scatter matrix (D, D) whose eigenvalues are raised to the floor, or variances that are."""
    if scatter.ndim < 2:
        return np.maximum(scatter, floor)
    variances, axes = np.linalg.eigh(scatter)
    if variances[0] >= floor:
        return scatter
    return (axes * np.maximum(variances, floor)) @ axes.T
