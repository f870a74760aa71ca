"""Mixtures of Gaussians, fitted by expectation maximisation (Dempster, Laird & Rubin 1977).

    p(x) = sum_k w_k N(x; mean_k, covariance_k)                  the mixture
    r_nk = w_k N(x_n; k) / p(x_n)                                E-step: responsibilities
    w_k = sum_n r_nk / N,  mean_k = sum_n r_nk x_n / sum_n r_nk  M-step; covariances likewise

Each iteration raises the log-likelihood (or leaves it), because the M-step climbs along its
gradient: mean_k moves by covariance_k / sum_n r_nk times the gradient with respect to mean_k, and
so on (Xu & Jordan 1996). `log_likelihood` is the likelihood in plain NumPy, so that
`tinygrad_cv.grad(log_likelihood)` is this gradient:

>>> import numpy as np
>>> import tinygrad_cv as tg
>>> x = np.random.default_rng(0).normal(size=(100, 2))
>>> mixture = GaussianMixture.fit(x, 3, rng=np.random.default_rng(0), iterations=2)
>>> weights, means, covariances = mixture.parameters_of_density()
>>> gradient = tg.grad(log_likelihood, argnums=1)(weights, means, covariances, x)  # of the mean
>>> responsibilities, _ = mixture.expect(x)
>>> mixture.maximise(x, responsibilities)
>>> mass = responsibilities.sum(axis=0)
>>> step = covariances @ gradient[:, :, None] * len(x) / mass[:, None, None]
>>> np.allclose(mixture.gaussians.means, means + step[:, :, 0])
True

Components may belong to classes, and images may have labels (-1: not known). Only the components of
its class explain a labelled x_n, and the objective is the mean over n of log p(x_n, label_n) where
the label is known, and of log p(x_n) where it is not (Nigam et al. 2000). With all labels this is a
mixture of each class, with none the usual mixture.

Missing values and the floor of the covariances: see `covariances.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv import nn, special
from tinygrad_cv.typing import Array

from ..config import ImageConfig, NonNegative, no_class
from ..pretrained import Pretrained
from .covariances import Gaussians, Structure, fill_in, log_densities
from .discrete import draw, log
from .gaussians import as_images
from .kmeans import kmeans
from .missing import to_mask
from .nearest import flatten, nearest
from .pca import PrincipalComponents

PRINCIPAL_COMPONENTS = 100  # gmm_30 fits images with more pixels in the space of this many,
MIXTURE_IMAGES = 10_000  # and to at most this many images
UNKNOWN = -1  # a label


@dataclass(frozen=True)
class GMMConfig(ImageConfig):
    """What makes a mixture of Gaussians for each class of images."""

    model_type: ClassVar = "gmm"

    num_classes: NonNegative = 10  # 0: one mixture for all images
    num_components: int = 2  # Gaussians of a class
    covariance: Structure = "full"  # or tied, diag, spherical
    floor: float = 0.03  # the least eigenvalue of a covariance
    principal_components: NonNegative = 0  # of the pixels that the Gaussians see; 0: the pixels


def log_joint(
    weights: Array,
    means: Array,
    covariances: Array,
    x: np.ndarray,
    structure: str = "full",
) -> Array:
    """log(w_k N(x_n; mean_k, covariance_k)), (N, K)."""
    return np.log(weights) + log_densities(x, means, covariances, structure)


def log_likelihood(
    weights: Array,
    means: Array,
    covariances: Array,
    x: np.ndarray,
    structure: str = "full",
) -> Array:
    """The mean of log p(x_n), in plain NumPy on arrays or tensors."""
    joint = log_joint(weights, means, covariances, x, structure)
    return np.mean(special.logsumexp(joint, axis=1))


class GaussianMixture(nn.Module):
    """A mixture of `num_components` Gaussians in each of `num_classes` classes, over D coordinates.

    `weights` (K,), K = num_classes num_components, add up to 1; `classes` (K,) says whose they are.
    """

    weights: np.ndarray  # (K,)
    log_likelihoods: tuple[float, ...] = ()  # means, as `fit` has seen them before each M-step

    def __init__(
        self,
        num_components: int,
        dimensions: int,
        structure: str = "full",
        floor: float = 5e-3,
        num_classes: int = 1,
    ) -> None:
        K = num_classes * num_components
        self.classes = np.repeat(np.arange(num_classes), num_components)
        self.num_components, self.num_classes = num_components, num_classes
        self.gaussians = Gaussians(K, dimensions, structure, floor)
        self.register_buffer("weights", np.full(K, 1 / K))

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        components: int,
        *,
        rng: np.random.Generator,
        labels: np.ndarray | None = None,
        structure: str = "full",
        floor: float = 5e-3,
        iterations: int = 100,
        tolerance: float = 1e-4,
    ) -> GaussianMixture:
        """Fit to x (N, ...) by EM from k-means, with so many components for each class of `labels`.

        It ends when the mean log-likelihood rises by less than `tolerance`.
        """
        x = flatten(x).astype(np.float64)
        num_classes = 1 if labels is None else int(labels.max()) + 1
        mixture = cls(components, x.shape[1], structure, floor, num_classes)
        mixture.start(x, labels, rng=rng)
        history: list[float] = []
        for _ in range(iterations):
            responsibilities, now = mixture.expect(x, labels)
            history.append(now)
            if len(history) > 1 and now - history[-2] < tolerance:
                break
            mixture.maximise(x, responsibilities)
        mixture.log_likelihoods = tuple(history)
        return mixture

    # ------------------------------------------------------------------ expectation maximisation

    def start(
        self,
        x: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        rng: np.random.Generator,
    ) -> None:
        """The first M-step: each labelled x belongs to the nearest centre of k-means in its class.

        Without any labels all of x has one class. A class without an x gets no weight.
        """
        if labels is None:
            labels = np.zeros(len(x), int)
        guess = np.where(np.isnan(x), column_means(x), x)
        K = len(self.weights)
        belongs = np.zeros((len(x), K))
        for label in np.unique(labels[labels != UNKNOWN]):
            rows = np.flatnonzero(labels == label)
            clusters = min(self.num_components, len(rows))
            centres = kmeans(guess[rows], clusters, rng=rng)
            place = nearest(guess[rows], centres)
            belongs[rows, label * self.num_components + place] = 1
        self.maximise(x, belongs)

    def of_class(self, label: int) -> np.ndarray:
        """Which components may explain an x with this label, (K,)."""
        return np.asarray((self.classes == label) | (label == UNKNOWN))

    def log_joint(
        self,
        x: np.ndarray,
        labels: np.ndarray | None = None,
    ) -> np.ndarray:
        """log(w_k N(x_n; k)), (N, K); -inf for components of other classes than x_n's label."""
        if labels is None:
            labels = np.full(len(x), UNKNOWN)
        log_weights = log(self.weights)  # of which some may be 0
        N, K = len(x), len(log_weights)
        joint = np.full((N, K), -np.inf)
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            own = np.flatnonzero(self.of_class(label))
            densities = self.gaussians.log_densities(x[rows], own)
            joint[np.ix_(rows, own)] = log_weights[own] + densities
        return joint

    def expect(
        self,
        x: np.ndarray,
        labels: np.ndarray | None = None,
    ) -> tuple[np.ndarray, float]:
        """The E-step: p(component | x_n, label_n), (N, K), and the mean log-likelihood."""
        joint = self.log_joint(x, labels)
        total = special.logsumexp(joint, axis=1, keepdims=True)
        return np.exp(joint - total), float(total.mean())

    def maximise(self, x: np.ndarray, responsibilities: np.ndarray) -> None:
        """The M-step: weights, means and covariances from the responsibilities (N, K)."""
        mass = responsibilities.sum(axis=0)
        self.weights = mass / mass.sum()
        self.gaussians.maximise(x, responsibilities)

    # ----------------------------------------------------------------------- what it is used for

    def parameters_of_density(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, means and covariances, as `log_likelihood` takes them."""
        return self.weights, self.gaussians.means, self.gaussians.covariances

    @property
    def num_free(self) -> int:
        """How many numbers are free: those of the Gaussians, and the weights, which add up to 1."""
        return self.gaussians.num_free + len(self.weights) - 1

    def bic(self, x: np.ndarray) -> float:
        """Schwarz' (1978) criterion, less is better: num_free log N - 2 log p(x)."""
        _, mean = self.expect(x)
        N = len(x)
        return float(self.num_free * np.log(N) - 2 * N * mean)

    def aic(self, x: np.ndarray) -> float:
        """Akaike's (1974) criterion, less is better: 2 num_free - 2 log p(x)."""
        _, mean = self.expect(x)
        return 2 * self.num_free - 2 * len(x) * mean

    @property
    def log_prior(self) -> np.ndarray:
        """log p(class), (C,)."""
        by_class = self.weights.reshape(self.num_classes, -1)
        return log(by_class.sum(axis=1))

    def class_log_likelihoods(self, x: np.ndarray) -> np.ndarray:
        """log p(x_n | class), (N, C)."""
        N, C = len(x), self.num_classes
        joint = self.log_joint(x).reshape(N, C, -1)  # (N, C, K / C)
        prior = self.log_prior
        seen = np.isfinite(prior)  # a class that was never seen has no density
        log_p = special.logsumexp(joint, axis=2)
        return np.asarray(log_p - np.where(seen, prior, 0))

    def sample(
        self,
        n: int,
        label: int | np.ndarray = UNKNOWN,
        *,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """n draws (n, D), of a class or of classes (n,) if given.

        Raises ValueError for a class that it lacks.
        """
        labels = np.broadcast_to(label, n)
        components = np.empty(n, int)
        for given in np.unique(labels):
            rows = labels == given
            weights = np.where(self.of_class(given), self.weights, 0)
            if not weights.any():
                raise no_class(given, self.num_classes)
            shares = weights / weights.sum()
            count = int(rows.sum())
            components[rows] = rng.choice(len(weights), size=count, p=shares)
        return self.gaussians.sample(components, rng=rng)

    def fill_in(
        self,
        x: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        """x (N, D) with its missing coordinates expected, or with `rng` drawn, given the others."""
        responsibilities, _ = self.expect(x)
        if rng is not None:
            one_hot = np.eye(len(self.weights))
            responsibilities = one_hot[draw(responsibilities, rng)]
        filled = np.zeros(x.shape)
        for k, mean in enumerate(self.gaussians.means):
            rows = np.flatnonzero(responsibilities[:, k])
            share = responsibilities[rows, k, None]
            covariance = self.gaussians.covariance(k)
            guess = fill_in(x[rows], mean, covariance, rng=rng)
            filled[rows] += share * guess
        return np.where(np.isnan(x), filled, x)


def column_means(x: np.ndarray) -> np.ndarray:
    """The mean of what is known in each column of x (N, D), (D,); 0 where nothing is."""
    known = ~np.isnan(x)
    total = np.where(known, x, 0).sum(axis=0)
    count = known.sum(axis=0)
    return np.asarray(total / np.maximum(count, 1))


# ---------------------------------------------------------------------------------------- of images


class ImageMixture(Pretrained):
    """A mixture of Gaussians for each class of images, over pixels or their principal components.

    Images (N, H, W[, C]) in [0, 1]; NaN where a pixel is missing.
    """

    config_class = GMMConfig

    def __init__(
        self,
        config: GMMConfig,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.config = config
        pixels = int(np.prod(config.image_shape))
        dimensions = config.principal_components or pixels
        self.pca = PrincipalComponents(pixels, dimensions)
        self.mixture = GaussianMixture(
            config.num_components,
            dimensions,
            config.covariance,
            config.floor,
            max(1, config.num_classes),
        )

    def start(
        self,
        images: np.ndarray,
        labels: np.ndarray | None,
        *,
        rng: np.random.Generator,
    ) -> None:
        """Find the principal components, if there are to be some, and start the mixture."""
        if self.config.principal_components:
            self.pca.fit(flatten(images).astype(np.float64))
        self.mixture.start(self.coordinates(images), labels, rng=rng)

    def iterate(self, images: np.ndarray, labels: np.ndarray | None = None) -> float:
        """One iteration of EM; the mean log-likelihood before it."""
        x = self.coordinates(images)
        responsibilities, before = self.mixture.expect(x, labels)
        self.mixture.maximise(x, responsibilities)
        return before

    def coordinates(self, images: np.ndarray) -> np.ndarray:
        """Images as what the Gaussians see, (N, D)."""
        x = flatten(images).astype(np.float64)
        if not self.config.principal_components:
            return x
        if np.isnan(x).any():
            raise ValueError(
                "images with missing pixels have no principal components; "
                "take principal_components=0"
            )
        return self.pca.project(x)

    @property
    def log_prior(self) -> np.ndarray:
        """log p(class), (C,)."""
        return self.mixture.log_prior

    def class_log_likelihoods(self, images: np.ndarray) -> np.ndarray:
        """log p(image | class), (N, C), a density of all pixels."""
        log_p = self.mixture.class_log_likelihoods(self.coordinates(images))
        if self.config.principal_components:
            x = flatten(images).astype(np.float64)
            log_p += self.pca.log_density_across(x)[:, None]
        return log_p

    def to_images(self, x: np.ndarray) -> np.ndarray:
        """What the Gaussians see, (N, D), as images in [0, 1], float32."""
        if self.config.principal_components:
            x = self.pca.reconstruct(x)
        clipped = np.clip(x, 0, 1).astype(np.float32)
        return clipped.reshape(len(x), *self.config.image_shape)

    def means(self) -> np.ndarray:
        """The mean image of each component (K, H, W[, C])."""
        return self.to_images(self.mixture.gaussians.means)

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> np.ndarray:
        """n images in [0, 1]; `label` is a class, or one for each (n,)."""
        x = self.mixture.sample(n, rng=rng, **options)
        return self.to_images(x)

    def inpaint(
        self,
        images: np.ndarray,
        known: np.ndarray,
        *,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Images (N, H, W[, C]) with the pixels that are not known, in (N, H, W), drawn."""
        mask = to_mask(known, images)
        x = self.coordinates(np.where(mask, images, np.nan))
        filled = self.mixture.fill_in(x, rng=rng)
        return np.where(mask, images, self.to_images(filled))


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
    pixels = x.shape[1]
    pca = PrincipalComponents(pixels, min(pixels, PRINCIPAL_COMPONENTS))
    if pixels > PRINCIPAL_COMPONENTS:
        pca.fit(x)
    z = pca.project(x)
    mixture = GaussianMixture.fit(z, 30, rng=rng)
    drawn = mixture.sample(n, rng=rng)
    return as_images(pca.reconstruct(drawn), images)
