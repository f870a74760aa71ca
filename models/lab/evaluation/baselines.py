"""What stands beside a trained model in a table.

Simple generators that it must beat, and broken ones that a good metric must catch: each is a
function (train_images (N, ...), train_labels (N,), n, rng) -> n images in [0, 1] of the training
shape; `BASELINES` names them. Three fit Gaussians (`models.classical`); "3 classes dropped" and
"only 1s" show perfect images of too few classes; "pixel marginals" has every pixel's distribution
right and nothing else.

And classifiers without a model of the images: nearest neighbours, kernel ridge regression.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...classical.gaussians import class_gaussians, one_gaussian, pixel_marginals
from ...classical.gmm import gmm_30
from ...classical.kernel_ridge import kernel_ridge_regression
from ...classical.nearest import flatten, nearest
from .generation import Sampler

BASELINE_IMAGES = 5000  # the kernel regression beside a classifier sees at most so many


def three_classes_dropped(
    images: np.ndarray,
    labels: np.ndarray,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Training images of all classes but the last three: perfect images, an incomplete generator.

    Raises ValueError if there are fewer than four classes.
    """
    classes: np.ndarray = np.unique(labels)
    if len(classes) < 4:
        raise ValueError(f"cannot drop three of {len(classes)} classes")
    return _training_images(images, np.isin(labels, classes[:-3]), n, rng)


def only_ones(
    images: np.ndarray,
    labels: np.ndarray,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Training images of class 1 only: a generator that collapsed."""
    return _training_images(images, labels == 1, n, rng)


BASELINES: dict[str, Sampler] = {
    "10 class Gaussians": class_gaussians,
    "GMM-30": gmm_30,
    "one Gaussian": one_gaussian,
    "3 classes dropped": three_classes_dropped,
    "pixel marginals": pixel_marginals,
    "only 1s": only_ones,
}


def _training_images(
    images: np.ndarray,
    kept: np.ndarray,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """n of the kept training images, repeated only where there are too few."""
    candidates: np.ndarray = np.flatnonzero(kept)
    if len(candidates) == 0:
        raise ValueError("no training image has a class that this baseline shows")
    chosen = rng.choice(candidates, size=n, replace=len(candidates) < n)
    return np.asarray(images[chosen])


# ----------------------------------------------------------------------------- beside classifiers


def accuracy_row(name: str, predicted: np.ndarray, test: Any) -> dict[str, Any]:
    """A row with the share of the test images that are given their class."""
    return {"name": name, "accuracy": float(np.mean(predicted == test.labels))}


def discriminative(training: Any, test: Any) -> list[dict[str, Any]]:
    """Rows of what classifies without a model of the images."""
    return [
        accuracy_row("nearest neighbour", nearest_neighbour(training, test.images), test),
        accuracy_row("kernel regression", kernel_regression(training, test.images), test),
    ]


def nearest_neighbour(training: Any, images: np.ndarray) -> np.ndarray:
    """The class of the training image that is nearest to each image, (N,)."""
    places = nearest(flatten(images), flatten(training.images))
    return np.asarray(training.labels[places])


def kernel_regression(training: Any, images: np.ndarray) -> np.ndarray:
    """The class of each image by kernel ridge regression, (N,)."""
    order = np.random.default_rng(0).permutation(len(training.images))
    some = order[:BASELINE_IMAGES]
    predict = kernel_ridge_regression(
        training.images[some], training.labels[some], len(training.classes)
    )
    return predict(images)
