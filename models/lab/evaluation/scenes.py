"""How good are scenes that were painted by their label maps, beside real ones of the same maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...vision.boxes import Objects
from .connected import Classify, normal
from .generation import Evaluator, frechet_distance


def scene_metrics(
    images: np.ndarray,
    objects: Sequence[Objects],
    real: np.ndarray,
    real_objects: Sequence[Objects],
    size: tuple[int, ...],
    classify: Classify,
    evaluator: Evaluator,
) -> dict[str, float]:
    """What an eye that has learned from real digits sees in images (N, H, W).

    They are compared with real ones; `size` is that of the images that the evaluator knows.

    read: the share of the objects whose box `classify` gives their class.
    FD: Fréchet distance of the evaluator's features of the boxes' contents.
    patch FD: that of all patches of the size, half of which overlap: it sees what lies between the
    objects too.
    """
    wanted = np.concatenate([each.labels for each in objects])
    pairs = list(zip(images, objects, strict=True))
    found = np.concatenate([classify(image, each.boxes).labels for image, each in pairs])
    boxes = [contents(images, objects, size), contents(real, real_objects, size)]
    everywhere = [patches(images, size), patches(real, size)]
    return {
        "read": float(np.mean(found == wanted)),
        "FD": frechet_distance(*map(evaluator.features, boxes)),
        "patch FD": frechet_distance(*map(evaluator.features, everywhere)),
    }


def contents(images: np.ndarray, objects: Sequence[Objects], size: tuple[int, ...]) -> np.ndarray:
    """What is in the boxes of all objects, stretched to a size: (M, h, w)."""
    cut = []
    for image, each in zip(images, objects, strict=True):
        cut += [normal(image, box, size) for box in each.boxes]
    return np.stack(cut)


def patches(images: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """All patches of a size, each half a patch from the next: (N, H, W) -> (M, h, w)."""
    height, width = size
    windows = np.lib.stride_tricks.sliding_window_view(images, (height, width), axis=(1, 2))
    some = windows[:, :: max(1, height // 2), :: max(1, width // 2)]  # (N, rows, columns, h, w)
    return some.reshape(-1, height, width)
