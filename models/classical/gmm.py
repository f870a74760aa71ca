"""A mixture of Gaussians, fitted by expectation maximisation (Dempster, Laird & Rubin 1977)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import logsumexp

from .gaussians import as_images, gaussian_factor, sample_gaussian
from .kmeans import kmeans
from .nearest import flatten, nearest

PRINCIPAL_COMPONENTS = 100  # gmm_30 fits images with more pixels in the space of this many,
MIXTURE_IMAGES = 10_000  # and to at most this many images


@dataclass
class GaussianMixture:
    """A mixture of K Gaussians with full covariances, fitted by EM.

    No eigenvalue of a covariance is below `floor`, so that no component collapses onto an image.
    Raising the small eigenvalues of the M-step's covariance to the floor is its exact maximum
    under that constraint, so that, unlike with a ridge added to the diagonal, the log-likelihood
    never falls.
    """

    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, D)
    variances: np.ndarray  # (K, D), the eigenvalues of the covariances
    axes: np.ndarray  # (K, D, D), their eigenvectors in columns
    floor: float
    log_likelihoods: list[float] = field(default_factory=list)  # means, before each M-step

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        components: int,
        *,
        rng: np.random.Generator,
        floor: float = 5e-3,
        iterations: int = 100,
        tolerance: float = 1e-4,
    ) -> GaussianMixture:
        """Fit to `x` (N, D), started from k-means.

        It ends when the mean log-likelihood rises by less than `tolerance`.
        """
        x = flatten(x).astype(np.float64)
        assignment = nearest(x, kmeans(x, components, rng=rng))
        mixture = cls.empty(components, x.shape[1], floor)
        mixture.maximise(x, np.eye(components)[assignment])
        last = -np.inf
        for _ in range(iterations):
            responsibilities, log_likelihood = mixture.expect(x)
            mixture.log_likelihoods.append(log_likelihood)
            if log_likelihood - last < tolerance:
                break
            mixture.maximise(x, responsibilities)
            last = log_likelihood
        return mixture

    @classmethod
    def empty(cls, components: int, dimensions: int, floor: float) -> GaussianMixture:
        """A mixture before its first M-step."""
        return cls(
            weights=np.zeros(components),
            means=np.zeros((components, dimensions)),
            variances=np.zeros((components, dimensions)),
            axes=np.zeros((components, dimensions, dimensions)),
            floor=floor,
        )

    def log_densities(self, x: np.ndarray) -> np.ndarray:
        """log(weight_k N(x_n; mean_k, covariance_k)), (N, K); -inf for a component of weight 0."""
        joint = np.full((len(x), len(self.weights)), -np.inf)
        for k in np.flatnonzero(self.weights):
            whitening = self.axes[k] / np.sqrt(self.variances[k])  # (D, D)
            whitened = (x - self.means[k]) @ whitening  # (N, D)
            distances = np.einsum("nd,nd->n", whitened, whitened)
            log_volume = np.log(2 * np.pi * self.variances[k]).sum()
            joint[:, k] = np.log(self.weights[k]) - (distances + log_volume) / 2
        return joint

    def expect(self, x: np.ndarray) -> tuple[np.ndarray, float]:
        """The E-step: p(component | x_n), (N, K), and the mean log-likelihood."""
        joint = self.log_densities(x)
        total = logsumexp(joint, axis=1, keepdims=True)
        return np.exp(joint - total), float(total.mean())

    def maximise(self, x: np.ndarray, responsibilities: np.ndarray) -> None:
        """The M-step: weights, means and covariances from the responsibilities (N, K)."""
        mass = responsibilities.sum(axis=0)
        self.weights = mass / mass.sum()
        for k in np.flatnonzero(mass):
            share = responsibilities[:, k] / mass[k]
            self.means[k] = share @ x
            centred = np.sqrt(share)[:, None] * (x - self.means[k])  # (N, D)
            variances, self.axes[k] = np.linalg.eigh(centred.T @ centred)
            self.variances[k] = np.maximum(variances, self.floor)

    def sample(self, n: int, *, rng: np.random.Generator) -> np.ndarray:
        """n draws (n, D)."""
        component = rng.choice(len(self.weights), size=n, p=self.weights)
        drawn = np.empty((n, self.means.shape[1]))
        for k in np.unique(component):
            members = component == k
            count = int(members.sum())
            deviations = np.sqrt(self.variances[k])
            factor = deviations[:, None] * self.axes[k].T
            drawn[members] = sample_gaussian(self.means[k], factor, count, rng=rng)
        return drawn


def gmm_30(
    images: np.ndarray,
    labels: np.ndarray,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """n draws from a mixture of 30 Gaussians, fitted to at most 10,000 training images.

    Images with more than 100 pixels are fitted in their first 100 principal components.
    """
    chosen = rng.permutation(len(images))[:MIXTURE_IMAGES]
    x = flatten(images[chosen])  # (N, D)
    mean = np.zeros(x.shape[1])
    axes = np.eye(x.shape[1])  # (C, D)
    if x.shape[1] > PRINCIPAL_COMPONENTS:
        mean, factor = gaussian_factor(x)
        axes = np.linalg.svd(factor, full_matrices=False).Vh[:PRINCIPAL_COMPONENTS]
    mixture = GaussianMixture.fit((x - mean) @ axes.T, 30, rng=rng)
    return as_images(mixture.sample(n, rng=rng) @ axes + mean, images)
