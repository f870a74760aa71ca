"""Simple generators that a learnt one must beat, and broken ones that a good metric must catch.

Each is a function (train_images (N, ...), train_labels (N,), n, rng) -> n pictures in [0, 1] of the training shape;
`BASELINES` names them. The first three fit Gaussians; "3 classes dropped" and "only 1s" show perfect pictures of too
few classes; "pixel marginals" has every pixel's distribution right and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import logsumexp

from ..lab.evaluation.generation import Array, Sampler, flatten, gaussian_factor, kmeans, nearest

PRINCIPAL_COMPONENTS = 100  # a mixture of wider pictures is fitted in the space of this many,
MIXTURE_PICTURES = 10_000  # and to at most this many pictures


def sample_gaussian(mean: Array, factor: Array, n: int, *, rng: np.random.Generator) -> Array:
    """n draws (n, D) from the Gaussian with this mean (D,) and covariance factor'factor."""
    return np.asarray(mean + rng.standard_normal((n, len(factor))) @ factor)


# --- the mixture of Gaussians


@dataclass
class GaussianMixture:
    """A mixture of K Gaussians with full covariances, fitted by EM (Dempster, Laird & Rubin 1977).

    No eigenvalue of a covariance is below `floor`, so that no component collapses onto a picture. Raising the small
    eigenvalues of the M-step's covariance to the floor is its exact maximum under that constraint, so that, unlike
    with a ridge added to the diagonal, the log-likelihood never falls.
    """

    weights: Array  # (K,)
    means: Array  # (K, D)
    variances: Array  # (K, D), the eigenvalues of the covariances
    axes: Array  # (K, D, D), their eigenvectors in columns
    floor: float
    log_likelihoods: list[float] = field(default_factory=list)  # the mean over the data, before each M-step

    @classmethod
    def fit(
        cls, x: Array, components: int, *, rng: np.random.Generator, floor: float = 5e-3,
        iterations: int = 100, tolerance: float = 1e-4,
    ) -> GaussianMixture:  # fmt: skip
        """Fit to `x` (N, D), started from k-means, until the mean log-likelihood rises by less than `tolerance`."""
        x = flatten(x).astype(np.float64)
        assignment = nearest(x, kmeans(x, components, rng=rng))
        shape = (components, x.shape[1])
        mixture = cls(np.zeros(components), np.zeros(shape), np.zeros(shape), np.zeros((*shape, shape[1])), floor)
        mixture.maximise(x, np.eye(components)[assignment])
        for _ in range(iterations):
            responsibilities, log_likelihood = mixture.expect(x)
            mixture.log_likelihoods.append(log_likelihood)
            if len(mixture.log_likelihoods) > 1 and log_likelihood - mixture.log_likelihoods[-2] < tolerance:
                break
            mixture.maximise(x, responsibilities)
        return mixture

    def log_densities(self, x: Array) -> Array:
        """log(weight_k N(x_n; mean_k, covariance_k)), (N, K); -inf for a component of weight 0."""
        out = np.full((len(x), len(self.weights)), -np.inf)
        for k in np.flatnonzero(self.weights):
            whitened = (x - self.means[k]) @ (self.axes[k] / np.sqrt(self.variances[k]))  # (N, D)
            log_volume = np.log(2 * np.pi * self.variances[k]).sum()
            out[:, k] = np.log(self.weights[k]) - (np.einsum("nd,nd->n", whitened, whitened) + log_volume) / 2
        return out

    def expect(self, x: Array) -> tuple[Array, float]:
        """The E-step: p(component | x_n), (N, K), and the mean log-likelihood."""
        joint = self.log_densities(x)
        total = logsumexp(joint, axis=1, keepdims=True)
        return np.exp(joint - total), float(total.mean())

    def maximise(self, x: Array, responsibilities: Array) -> None:
        """The M-step: weights, means and covariances from the responsibilities (N, K)."""
        mass = responsibilities.sum(axis=0)
        self.weights = mass / mass.sum()
        for k in np.flatnonzero(mass):
            share = responsibilities[:, k] / mass[k]
            self.means[k] = share @ x
            centred = np.sqrt(share)[:, None] * (x - self.means[k])  # (N, D)
            variances, self.axes[k] = np.linalg.eigh(centred.T @ centred)
            self.variances[k] = np.maximum(variances, self.floor)

    def sample(self, n: int, *, rng: np.random.Generator) -> Array:
        """n draws (n, D)."""
        component = rng.choice(len(self.weights), size=n, p=self.weights)
        out = np.empty((n, self.means.shape[1]))
        for k in np.unique(component):
            factor = np.sqrt(self.variances[k])[:, None] * self.axes[k].T
            members = component == k
            out[members] = sample_gaussian(self.means[k], factor, int(members.sum()), rng=rng)
        return out


# --- the samplers


def one_gaussian(images: Array, labels: Array, n: int, rng: np.random.Generator) -> Array:
    """One Gaussian with the mean and covariance of all training pictures."""
    return _pictures(sample_gaussian(*gaussian_factor(flatten(images)), n, rng=rng), images)


def class_gaussians(images: Array, labels: Array, n: int, rng: np.random.Generator) -> Array:
    """One Gaussian for each class, the classes as frequent as in training."""
    x, drawn = flatten(images), rng.choice(labels, size=n)
    out = np.empty((n, x.shape[1]))
    for label in np.unique(drawn):
        members = drawn == label
        out[members] = sample_gaussian(*gaussian_factor(x[labels == label]), int(members.sum()), rng=rng)
    return _pictures(out, images)


def gmm_30(images: Array, labels: Array, n: int, rng: np.random.Generator) -> Array:
    """A mixture of 30 Gaussians, fitted to at most 10,000 pictures; of those with more than 100 pixels, in their first
    100 principal components."""
    x = flatten(images[rng.permutation(len(images))[:MIXTURE_PICTURES]])
    mean, axes = np.zeros(x.shape[1]), np.eye(x.shape[1])
    if x.shape[1] > PRINCIPAL_COMPONENTS:
        mean, factor = gaussian_factor(x)
        axes = np.linalg.svd(factor, full_matrices=False)[2][:PRINCIPAL_COMPONENTS]  # (C, D)
    mixture = GaussianMixture.fit((x - mean) @ axes.T, 30, rng=rng)
    return _pictures(mixture.sample(n, rng=rng) @ axes + mean, images)


def three_classes_dropped(images: Array, labels: Array, n: int, rng: np.random.Generator) -> Array:
    """Training pictures of all classes but the last three: perfect pictures, an incomplete generator."""
    classes: Array = np.unique(labels)
    if len(classes) < 4:
        raise ValueError(f"cannot drop three of {len(classes)} classes")
    return _training_pictures(images, np.isin(labels, classes[:-3]), n, rng)


def only_ones(images: Array, labels: Array, n: int, rng: np.random.Generator) -> Array:
    """Training pictures of class 1 only: a generator that collapsed."""
    return _training_pictures(images, labels == 1, n, rng)


def pixel_marginals(images: Array, labels: Array, n: int, rng: np.random.Generator) -> Array:
    """Each pixel drawn by itself from its training values."""
    x = flatten(images)
    return _pictures(x[rng.integers(len(x), size=(n, x.shape[1])), np.arange(x.shape[1])], images)


BASELINES: dict[str, Sampler] = {
    "10 class Gaussians": class_gaussians,
    "GMM-30": gmm_30,
    "one Gaussian": one_gaussian,
    "3 classes dropped": three_classes_dropped,
    "pixel marginals": pixel_marginals,
    "only 1s": only_ones,
}


def _pictures(x: Array, like: Array) -> Array:
    """(n, D) draws as pictures in [0, 1], float32, of the training pictures' shape."""
    return np.clip(x, 0, 1).astype(np.float32).reshape(len(x), *like.shape[1:])


def _training_pictures(images: Array, kept: Array, n: int, rng: np.random.Generator) -> Array:
    """n of the kept training pictures, repeated only where there are too few."""
    candidates: Any = np.flatnonzero(kept)
    if len(candidates) == 0:
        raise ValueError("no training picture has a class that this baseline shows")
    return images[rng.choice(candidates, size=n, replace=len(candidates) < n)]
