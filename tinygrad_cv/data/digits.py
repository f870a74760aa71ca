"""The handwritten digits that are part of the package."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from .dataset import Dataset, Split, parts

TEST = 597  # of 1,797


def digits(split: Split = "train") -> Dataset:
    """1,797 handwritten digits of 8 x 8 pixels: 1,200 for training, 597 for testing.

    images: float32, (N, 8, 8), grey levels 0, 1/16, ..., 1. The split is fixed: the digits are put
    in order of their class, within it in the order of the original file, and test digits are taken
    at even distances, so every class and every stretch of the file (its writers come one after
    another) has its share in both parts.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, 1998, https://doi.org/10.24432/C50P49, its test set, under CC BY 4.0.
    Stored here as bytes, unchanged.
    """
    path = files(__package__).joinpath("digits.npz")
    with path.open("rb") as file, np.load(file) as arrays:
        levels = arrays["images"]
        labels = arrays["labels"]
    rows = np.concatenate([_rows(labels, part) for part in parts(split)])
    return Dataset(
        "digits",
        np.divide(levels[rows], 16, dtype=np.float32),
        labels[rows].astype(np.int64),
        tuple("0123456789"),
    )


def _rows(labels: np.ndarray, part: str) -> np.ndarray:
    """The rows of one part, in the order of the file."""
    by_class = np.argsort(labels, kind="stable")
    number = len(labels)
    taken_before = np.arange(number + 1) * TEST // number
    chosen = np.diff(taken_before) == 1
    if part == "train":
        chosen = ~chosen
    return np.sort(by_class[chosen])
