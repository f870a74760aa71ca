"""The handwritten digits that travel in the package."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from .dataset import Dataset, Split, parts

TEST = 597  # of 1,797


def digits(split: Split = "train") -> Dataset:
    """1,797 handwritten digits of 8 x 8 pixels: 1,200 for training, 597 for testing.

    images: float32, (N, 8, 8), grey levels 0, 1/16, ..., 1. The split is fixed: the digits are put in order of their
    class, within it in the order of the original file, and test digits are taken at even distances, so every class and
    every stretch of the file (its writers come one after another) has its share in both parts.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
    https://doi.org/10.24432/C50P49, its test set, under CC BY 4.0. Stored here as bytes, unchanged.
    """
    with files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        levels, labels = arrays["images"], arrays["labels"]
    rows = np.concatenate([_rows(labels, part) for part in parts(split)])
    images = np.divide(levels[rows], 16, dtype=np.float32)
    return Dataset("digits", images, labels[rows].astype(np.int64), tuple("0123456789"))


def _rows(labels: np.ndarray, part: str) -> np.ndarray:
    """The rows of one part, in the order of the file."""
    taken = np.diff(np.arange(len(labels) + 1) * TEST // len(labels)) == 1
    return np.sort(np.argsort(labels, kind="stable")[taken if part == "test" else ~taken])
