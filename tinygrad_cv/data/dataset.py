"""What every reader of pictures returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Split = Literal["train", "test", "all"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pictures and what they show.

    images: float32 in [0, 1], (N, H, W) or (N, H, W, C). labels: int64 (N,), the index of each picture's class in
    `classes`; None where the pictures carry no labels.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)


def parts(split: str) -> tuple[str, ...]:
    """The parts that a split is made of: "all" is the training part, then the test part."""
    if split not in ("train", "test", "all"):
        raise ValueError(f"split is 'train', 'test' or 'all', not {split!r}")
    return ("train", "test") if split == "all" else (split,)


def from_bytes(pixels: np.ndarray) -> np.ndarray:
    """Grey levels 0..255 as float32 in [0, 1]."""
    images: np.ndarray = np.divide(pixels, 255, dtype=np.float32)
    return images
