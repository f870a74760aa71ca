"""Simple generators that a learnt one must beat, and broken ones that a good metric must catch.

Each is a function (train_images (N, ...), train_labels (N,), n, rng) -> n pictures in [0, 1] of the training shape;
`BASELINES` names them. Three fit Gaussians (`models.classical`); "3 classes dropped" and "only 1s" show perfect pictures
of too few classes; "pixel marginals" has every pixel's distribution right and nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...classical.gaussians import class_gaussians, one_gaussian, pixel_marginals
from ...classical.gmm import gmm_30
from .generation import Sampler


def three_classes_dropped(images: np.ndarray, labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Training pictures of all classes but the last three: perfect pictures, an incomplete generator."""
    classes: np.ndarray = np.unique(labels)
    if len(classes) < 4:
        raise ValueError(f"cannot drop three of {len(classes)} classes")
    return _training_pictures(images, np.isin(labels, classes[:-3]), n, rng)


def only_ones(images: np.ndarray, labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Training pictures of class 1 only: a generator that collapsed."""
    return _training_pictures(images, labels == 1, n, rng)


BASELINES: dict[str, Sampler] = {
    "10 class Gaussians": class_gaussians,
    "GMM-30": gmm_30,
    "one Gaussian": one_gaussian,
    "3 classes dropped": three_classes_dropped,
    "pixel marginals": pixel_marginals,
    "only 1s": only_ones,
}


def _training_pictures(images: np.ndarray, kept: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n of the kept training pictures, repeated only where there are too few."""
    candidates: Any = np.flatnonzero(kept)
    if len(candidates) == 0:
        raise ValueError("no training picture has a class that this baseline shows")
    return images[rng.choice(candidates, size=n, replace=len(candidates) < n)]
