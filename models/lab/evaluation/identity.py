"""Who is it? A judge of images of people.

Identity is judged by the nearest real image, in features in which the images of one person lie
close together (Fisherfaces: Belhumeur et al. 1997, IEEE TPAMI 19, 7): linear, fitted to people that
are judged nowhere, without a network, so that no generator has seen the judge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...classical.nearest import flatten

RIDGE = 0.3  # of the mean variance within a person, added to each: unseen people vary too
SHIFTS = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))  # pixels by which images are moved in fitting
TINY = 1e-9


@dataclass(frozen=True)
class IdentityFeatures:
    """x -> (x - mean) W / |(x - mean) W|: W turns the scatter within people into the identity."""

    mean: np.ndarray  # (P,)
    whitening: np.ndarray  # (P, P)

    @classmethod
    def fit(cls, images: np.ndarray, people: np.ndarray) -> IdentityFeatures:
        """From images (N, H, W[, C]) of people (N,), some of whom have several."""
        moved = [np.roll(images, shift, axis=(1, 2)) for shift in SHIFTS]
        x = standardised(np.concatenate(moved))  # (5 N, P)
        labels = np.tile(people, len(SHIFTS))
        within = np.empty_like(x)
        for person in np.unique(people):
            mine = labels == person
            within[mine] = x[mine] - x[mine].mean(axis=0)
        scatter = within.T @ within / len(x)
        variances, axes = np.linalg.eigh(scatter)
        variances = np.maximum(variances, 0)
        variances += RIDGE * variances.mean() + TINY
        return cls(
            mean=x.mean(axis=0),
            whitening=axes / np.sqrt(variances),
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Images (N, H, W[, C]) -> features of length 1, (N, P)."""
        x = standardised(images) - self.mean
        features = x @ self.whitening
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        return np.asarray(features / (lengths + TINY))


def standardised(images: np.ndarray) -> np.ndarray:
    """The pixels of each image, (N, P), of mean 0 and standard deviation 1."""
    x = flatten(images).astype(np.float64)
    x = x - x.mean(axis=1, keepdims=True)
    deviation = x.std(axis=1, keepdims=True)
    return np.asarray(x / (deviation + TINY))
