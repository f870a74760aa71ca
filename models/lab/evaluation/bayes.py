"""How good is a generative model as a classifier, by Bayes' theorem, and does it know strangers?

- accuracy, and cross-entropy: the mean of -log p(class | x), in nats;
- ECE, the expected calibration error (Guo et al. 2017, arXiv 1706.04599): how far the probability
  of the predicted class is from the share that is right;
- AUROC of log p(x): how often a test image is more probable than a stranger (Hendrycks & Gimpel
  2017, arXiv 1610.02136): .5 is chance.

A stranger is a test image that is none any more: turned by a quarter, its negative, or its upper
part above the lower part of another image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from ...classical.bayes import ClassConditional, log_evidence, log_posterior

Change = Callable[[np.ndarray], np.ndarray]  # images (N, H, W[, C]) -> images

METRICS_HELP = (
    "By Bayes' theorem, on the test images: accuracy; cross-entropy, the mean of -log p(class), in "
    "nats; ECE: how far the predicted probability is from the share that is right; turned, "
    "negative, spliced: how often a test image has a larger p(x) than one that is turned by a "
    "quarter, is negative, or has the lower part of another (AUROC; .5 is chance). "
)


def turned(images: np.ndarray) -> np.ndarray:
    """Images turned by a quarter. They are square."""
    return np.rot90(images, axes=(1, 2))


def negative(images: np.ndarray) -> np.ndarray:
    """Images with dark for light."""
    return np.asarray(1 - images)


def spliced(images: np.ndarray) -> np.ndarray:
    """The upper part of each image above the lower part of the one that is half the set away."""
    N, H = images.shape[:2]
    mixed = images.copy()
    mixed[:, H // 2 :] = np.roll(images, N // 2, axis=0)[:, H // 2 :]
    return mixed


STRANGERS: dict[str, Change] = {"turned": turned, "negative": negative, "spliced": spliced}


def bayes_metrics(
    model: ClassConditional, images: np.ndarray, labels: np.ndarray, strangers: int = 1000
) -> dict[str, float]:
    """All of them, by name, on test images (N, H, W[, C]) with labels (N,).

    At most so many `strangers` of each kind are measured.
    """
    likelihoods, prior = model.class_log_likelihoods(images), model.log_prior
    metrics = posterior_metrics(log_posterior(likelihoods, prior), labels)
    inside = log_evidence(likelihoods, prior)
    for name, change in STRANGERS.items():
        if name != "turned" or images.shape[1] == images.shape[2]:
            changed = change(images)[:strangers]
            outside = log_evidence(model.class_log_likelihoods(changed), prior)
            metrics[name] = auroc(inside, outside)
    return metrics


def posterior_metrics(log_p: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Those of log p(class | image), (N, C), whoever it comes from."""
    of_label = np.take_along_axis(log_p, labels[:, None], axis=1)
    return {
        "accuracy": float(np.mean(log_p.argmax(axis=1) == labels)),
        "cross-entropy": -float(of_label.mean()),
        "ECE": expected_calibration_error(np.exp(log_p), labels),
    }


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> float:
    """The mean of |share that is right - mean probability| over bins of equal width.

    It is of the predicted class of probabilities (N, C); a bin counts as often as it has members.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(places, right - confidence, bins)
    return float(np.abs(gaps).sum() / len(labels))


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """How often a score (N,) of what is inside is above one (M,) of what is outside; ties half.

    The area under the receiver operating characteristic, by ranks (Mann & Whitney 1947).
    """
    N, M = len(inside), len(outside)
    ranks = rankdata(np.concatenate([inside, outside]))
    above = ranks[:N].sum() - N * (N + 1) / 2
    return float(above / (N * M))
