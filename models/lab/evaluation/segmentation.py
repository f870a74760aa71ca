"""How good a segmentation is: intersection over union, and the share of the pixels it has right."""

from __future__ import annotations

import numpy as np


def confusion(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """How many pixels of each true class (row) are given each class (column): (classes, classes).

    `predicted` and `true` are classes of pixels, of any one shape.
    """
    pairs = true.ravel() * classes + predicted.ravel()
    counts = np.bincount(pairs, minlength=classes**2)
    return counts.reshape(classes, classes)


def segmentation_metrics(
    predicted: np.ndarray,
    true: np.ndarray,
    classes: int,
) -> dict[str, float]:
    """The mean IoU over the classes, |predicted and true| / |predicted or true|, and the accuracy.

    A class that is neither predicted nor true anywhere does not count (Everingham et al. 2010).
    """
    table = confusion(predicted, true, classes)
    both = table.diagonal()
    either = table.sum(axis=0) + table.sum(axis=1) - both
    occurs = either > 0
    return {
        "mean IoU": float(np.mean(both[occurs] / either[occurs])),
        "accuracy": float(both.sum() / table.sum()),
    }
