"""Naive Bayes: a generative model of each class, whose coordinates are independent given the class.

    p(x | class) = product over d of p(x_d | class)

- Gaussian: N(x_d; mean_d, variance_d), each variance raised by `smoothing` times the largest
  variance of a coordinate in all of x;
- Bernoulli: x_d is 1 above `threshold` and 0 elsewhere; with `smoothing` more of either,
  p(1) = (count + smoothing) / (N + 2 smoothing);
- multinomial (McCallum & Nigam 1998): x_d counts how often "word" d was drawn, here by `levels`
  times its brightness; p(d) = (count_d + smoothing) / (sum of counts + D smoothing).

Fitting is counting: in closed form, without an iteration. Pixels are not independent, so the
probabilities are far too sure of themselves; the class that they prefer is often right all the same
(Domingos & Pazzani 1997).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from scipy.special import gammaln

from ..config import ImageConfig, no_class
from ..pretrained import Pretrained
from .gmm import UNKNOWN
from .nearest import flatten


@dataclass(frozen=True)
class NaiveBayesConfig(ImageConfig):
    """What makes a naive Bayes classifier of images."""

    model_type: ClassVar = "naive_bayes"

    num_classes: int = 10  # of the images
    distribution: Annotated[str, "gaussian", "bernoulli", "multinomial"] = "gaussian"  # of pixels
    smoothing: float = 0.03  # variance, or examples, that are added
    threshold: Annotated[float, 0, 1] = 0.5  # of bernoulli: brighter pixels are 1
    levels: int = 16  # of multinomial: draws of a pixel that is white


class NaiveBayes(Pretrained):
    """p(image, class) for images (N, H, W[, C]) in [0, 1]; all that `bayes.py` asks for."""

    config_class = NaiveBayesConfig

    counts: np.ndarray  # (C,), images of each class
    location: np.ndarray  # (C, D): mean, p(1), or p(d)
    variance: np.ndarray  # (C, D), of Gaussians
    lengths: np.ndarray  # (C,), draws of an image on average, of multinomials

    def __init__(
        self,
        config: NaiveBayesConfig,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.config = config
        C = config.num_classes
        D = int(np.prod(config.image_shape))
        self.register_buffer("counts", np.zeros(C))
        self.register_buffer("location", np.full((C, D), 0.5))
        self.register_buffer("variance", np.ones((C, D)))
        self.register_buffer("lengths", np.zeros(C))

    def fit(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Count. A class without an image gets no probability."""
        x = self.coordinates(images)
        classes = np.arange(self.config.num_classes)
        belongs = classes[:, None] == labels  # (C, N)
        self.counts = belongs.sum(axis=1).astype(float)
        members = np.maximum(1, self.counts)[:, None]
        sums = belongs @ x  # (C, D)
        more = self.config.smoothing
        if self.config.distribution == "gaussian":
            self.location = sums / members
            largest = x.var(axis=0).max()
            self.variance = np.full(sums.shape, more * largest)
            for c in classes:
                away = x[belongs[c]] - self.location[c]
                self.variance[c] += (away**2).sum(axis=0) / members[c]
        elif self.config.distribution == "bernoulli":
            self.location = (sums + more) / (members + 2 * more)
        else:
            totals = sums.sum(axis=1, keepdims=True)
            self.location = (sums + more) / (totals + more * x.shape[1])
            self.lengths = np.ravel(totals / members)

    def coordinates(self, images: np.ndarray) -> np.ndarray:
        """Images as what is modelled: numbers, zeros and ones, or counts, (N, D)."""
        x = flatten(images).astype(np.float64)
        if self.config.distribution == "bernoulli":
            bright = x > self.config.threshold
            return bright.astype(float)
        if self.config.distribution == "multinomial":
            return np.round(x * self.config.levels)
        return x

    @property
    def log_prior(self) -> np.ndarray:
        """log p(class), (C,)."""
        shares = self.counts / self.counts.sum()
        with np.errstate(divide="ignore"):
            return np.log(shares)

    def class_log_likelihoods(self, images: np.ndarray) -> np.ndarray:
        """log p(image | class), (N, C), in nats; of a multinomial given the number of its draws."""
        x = self.coordinates(images)
        if self.config.distribution == "gaussian":
            return self.gaussian_log_likelihoods(x)
        with np.errstate(divide="ignore"):  # without smoothing
            log_p = np.log(self.location)
            log_not = np.log1p(-self.location)
        if self.config.distribution == "bernoulli":
            return counted(x, log_p) + counted(1 - x, log_not)
        draws = x.sum(axis=1)
        same = gammaln(x + 1).sum(axis=1)
        arrangements = gammaln(draws + 1) - same  # the log of their number
        return counted(x, log_p) + arrangements[:, None]

    def gaussian_log_likelihoods(self, x: np.ndarray) -> np.ndarray:
        """log p(x | class), (N, C)."""
        columns = []
        for mean, variance in zip(self.location, self.variance, strict=True):
            squares = (x - mean) ** 2 / variance
            logs = np.log(2 * np.pi * variance)
            total = squares.sum(axis=1) + logs.sum()
            columns.append(-total / 2)
        return np.stack(columns, axis=1)

    def log_joint(self, images: np.ndarray) -> np.ndarray:
        """log p(image, class), (N, C)."""
        return self.class_log_likelihoods(images) + self.log_prior

    def start(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        rng: np.random.Generator,
    ) -> None:
        """As `fit`, which leaves nothing to iterate."""
        self.fit(images, labels)

    def iterate(self, images: np.ndarray, labels: np.ndarray) -> float:
        """The mean of log p(image, label), which is largest already."""
        joint = self.log_joint(images)
        of_label = joint[np.arange(len(labels)), labels]
        return float(of_label.mean())

    def sample(
        self,
        n: int,
        label: int | np.ndarray = UNKNOWN,
        *,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """n images in [0, 1], float32; `label` is a class, or one for each (n,).

        Raises ValueError for a class that it lacks.
        """
        config = self.config
        labels = np.broadcast_to(label, n)
        drawn = rng.choice(config.num_classes, size=n, p=np.exp(self.log_prior))
        labels = np.where(labels == UNKNOWN, drawn, labels)
        for given in np.unique(labels):
            if given >= config.num_classes or not self.counts[given]:
                raise no_class(given, config.num_classes)
        location = self.location[labels]  # (n, D)
        if config.distribution == "gaussian":
            deviations = np.sqrt(self.variance[labels])
            noise = rng.standard_normal(location.shape)
            x = location + deviations * noise
        elif config.distribution == "bernoulli":
            x = rng.random(location.shape) < location
        else:
            lengths = rng.poisson(self.lengths[labels])
            counts = rng.multinomial(lengths, location)
            x = counts / config.levels
        clipped = np.clip(x, 0, 1).astype(np.float32)
        return clipped.reshape(n, *config.image_shape)


def counted(x: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """The sum over d of x_d log p_d, (N, C), of x (N, D) and log p (C, D); 0 times -inf is 0."""
    impossible = np.isinf(log_p)
    finite = np.where(impossible, 0, log_p)
    total: np.ndarray = x @ finite.T
    if impossible.any():
        happens = x @ impossible.T > 0
        total[happens] = -np.inf
    return total
