"""What every reader of images returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

Split: TypeAlias = Literal["train", "test", "all"]

# The label of what counts for nothing in a loss, such as padding: PyTorch's, and the default of
# `kernels.cross_entropy`.
IGNORE_INDEX = -100


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and what they show.

    images: float32 in [0, 1], (N, H, W) or (N, H, W, C).
    labels: int64 (N,), the index of each image's class in `classes`; None without labels.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)


def parts(split: str) -> tuple[str, ...]:
    """The parts that a split is made of: "all" is the training part, then the test part.

    Raises ValueError for a split of another name.
    """
    if split not in ("train", "test", "all"):
        raise ValueError(f"split is 'train', 'test' or 'all', not {split!r}")
    return ("train", "test") if split == "all" else (split,)


def from_bytes(pixels: np.ndarray) -> np.ndarray:
    """Grey levels 0..255 as float32 in [0, 1]."""
    images: np.ndarray = np.divide(pixels, 255, dtype=np.float32)
    return images
