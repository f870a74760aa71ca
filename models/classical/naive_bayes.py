"""Naive Bayes: a generative model of each class, whose coordinates are independent given the class.

    p(x | class) = product over d of p(x_d | class)

- Gaussian: N(x_d; mean_d, variance_d), each variance raised by `smoothing` times the largest
  variance of a coordinate in all of x;
- Bernoulli: x_d is 1 above `threshold` and 0 elsewhere; p(1) = (count + smoothing) / (N + 2 smoothing);
- multinomial (McCallum & Nigam 1998): x_d counts how often "word" d was drawn, here by `levels` times
  its brightness; p(d) = (count_d + smoothing) / (sum of counts + D smoothing).

Fitting is counting: in closed form, without an iteration. Pixels are not independent, so the
probabilities are far too sure of themselves; the class that they prefer is often right all the same
(Domingos & Pazzani 1997).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from scipy.special import gammaln

from ..config import ImageConfig
from ..pretrained import Pretrained
from .gmm import UNKNOWN
from .nearest import flatten


@dataclass(frozen=True)
class NaiveBayesConfig(ImageConfig):
    """What makes a naive Bayes classifier of images."""

    model_type: ClassVar = "naive_bayes"

    num_classes: int = 10
    distribution: Annotated[str, "gaussian", "bernoulli", "multinomial"] = "gaussian"
    smoothing: float = 0.1  # variance, or examples, that are added
    threshold: Annotated[float, 0, 1] = 0.5  # of bernoulli: brighter pixels are 1
    levels: int = 16  # of multinomial: draws of a pixel that is white


class NaiveBayes(Pretrained):
    """p(image, class) for images (N, H, W[, C]) in [0, 1]; all that `bayes.py` asks for."""

    config_class = NaiveBayesConfig

    counts: np.ndarray  # (C,), images of each class
    location: np.ndarray  # (C, D): mean, p(1), or p(d)
    variance: np.ndarray  # (C, D), of Gaussians
    lengths: np.ndarray  # (C,), draws of an image on average, of multinomials

    def __init__(self, config: NaiveBayesConfig, *, rng: np.random.Generator | None = None) -> None:
        self.config = config
        shape = (config.num_classes, int(np.prod(config.image_shape)))
        self.register_buffer("counts", np.zeros(shape[0]))
        self.register_buffer("location", np.full(shape, 0.5))
        self.register_buffer("variance", np.ones(shape))
        self.register_buffer("lengths", np.zeros(shape[0]))

    def fit(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Count. A class without an image gets no probability."""
        config, x = self.config, self.coordinates(images)
        belongs = labels == np.arange(config.num_classes)[:, None]  # (C, N)
        self.counts = belongs.sum(axis=1).astype(float)
        members = np.maximum(1, self.counts)[:, None]
        sums = belongs @ x  # (C, D)
        means = sums / members
        s = config.smoothing
        if config.distribution == "gaussian":
            squares = [
                ((x[own] - mean) ** 2).sum(axis=0)
                for own, mean in zip(belongs, means, strict=False)
            ]
            self.location = means
            self.variance = np.stack(squares) / members + s * x.var(axis=0).max()
        elif config.distribution == "bernoulli":
            self.location = (sums + s) / (members + 2 * s)
        else:
            totals = sums.sum(axis=1, keepdims=True) + s * x.shape[1]
            self.location = (sums + s) / totals
            self.lengths = sums.sum(axis=1) / members[:, 0]

    def coordinates(self, images: np.ndarray) -> np.ndarray:
        """Images as what is modelled: numbers, zeros and ones, or counts, (N, D)."""
        x = flatten(images).astype(np.float64)
        if self.config.distribution == "bernoulli":
            return (x > self.config.threshold).astype(float)
        if self.config.distribution == "multinomial":
            return np.round(x * self.config.levels)
        return x

    @property
    def log_prior(self) -> np.ndarray:
        """log p(class), (C,)."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.counts) - np.log(self.counts.sum()))

    def class_log_likelihoods(self, images: np.ndarray) -> np.ndarray:
        """log p(image | class), (N, C), in nats; of a multinomial given the number of its draws."""
        x = self.coordinates(images)
        if self.config.distribution == "gaussian":
            return self.gaussian_log_likelihoods(x)
        with np.errstate(divide="ignore"):  # without smoothing
            log_p, log_not = np.log(self.location), np.log1p(-self.location)
        if self.config.distribution == "bernoulli":
            return counted(x, log_p) + counted(1 - x, log_not)
        arrangements = gammaln(x.sum(axis=1) + 1) - gammaln(x + 1).sum(axis=1)
        return counted(x, log_p) + arrangements[:, None]

    def gaussian_log_likelihoods(self, x: np.ndarray) -> np.ndarray:
        """log p(x | class), (N, C)."""
        log_p = np.empty((len(x), self.config.num_classes))
        for c, (mean, variance) in enumerate(zip(self.location, self.variance, strict=True)):
            distances = ((x - mean) ** 2 / variance).sum(axis=1)
            log_p[:, c] = -(distances + np.log(2 * np.pi * variance).sum()) / 2
        return log_p

    def log_joint(self, images: np.ndarray) -> np.ndarray:
        """log p(image, class), (N, C)."""
        return self.class_log_likelihoods(images) + self.log_prior

    def start(self, images: np.ndarray, labels: np.ndarray, *, rng: np.random.Generator) -> None:
        """As `fit`, which leaves nothing to iterate."""
        self.fit(images, labels)

    def iterate(self, images: np.ndarray, labels: np.ndarray) -> float:
        """The mean of log p(image, label), which is largest already."""
        joint = np.take_along_axis(self.log_joint(images), labels[:, None], axis=1)
        return float(joint.mean())

    def sample(
        self, n: int, label: int | np.ndarray = UNKNOWN, *, rng: np.random.Generator
    ) -> np.ndarray:
        """n images in [0, 1], float32; `label` is a class, or one for each (n,).

        Raises ValueError for a class that it lacks.
        """
        config, prior = self.config, np.exp(self.log_prior)
        labels = np.broadcast_to(label, n).copy()
        for given in np.unique(labels[labels != UNKNOWN]):
            if given >= config.num_classes or not self.counts[given]:
                known = f"0 to {config.num_classes - 1}"
                raise ValueError(f"label={given}: the classes of this model are {known}")
        unknown = labels == UNKNOWN
        labels[unknown] = rng.choice(config.num_classes, size=int(unknown.sum()), p=prior)
        location = self.location[labels]  # (n, D)
        if config.distribution == "gaussian":
            x = location + np.sqrt(self.variance[labels]) * rng.standard_normal(location.shape)
        elif config.distribution == "bernoulli":
            x = (rng.random(location.shape) < location).astype(float)
        else:
            lengths = rng.poisson(self.lengths[labels])
            x = rng.multinomial(lengths, location) / config.levels
        clipped = np.clip(x, 0, 1).astype(np.float32)
        return clipped.reshape(n, *config.image_shape)


def counted(x: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """The sum over d of x_d log p_d, (N, C), of x (N, D) and log p (C, D); 0 times -inf is 0."""
    impossible = np.isinf(log_p)
    total: Any = x @ np.where(impossible, 0, log_p).T
    if impossible.any():
        total = np.where(x @ impossible.T > 0, -np.inf, total)
    return np.asarray(total)
