"""Simple generators that a trained one must beat, and broken ones that a good metric must catch.

Each is a function (train_images (N, ...), train_labels (N,), n, rng) -> n images in [0, 1] of the
training shape; `BASELINES` names them. Three fit Gaussians (`models.classical`); "3 classes
dropped" and "only 1s" show perfect images of too few classes; "pixel marginals" has every pixel's
distribution right and nothing else.
"""

from __future__ import annotations

import numpy as np

from ...classical.gaussians import class_gaussians, one_gaussian, pixel_marginals
from ...classical.gmm import gmm_30
from .generation import Sampler


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
