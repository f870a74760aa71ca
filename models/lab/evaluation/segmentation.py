"""How good a segmentation is: intersection over union, and the share of the pixels that are right."""

from __future__ import annotations

import numpy as np


def confusion(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """How many pixels of each true class (row) were given each class (column): (classes, classes)."""
    counts = np.bincount(true.ravel() * classes + predicted.ravel(), minlength=classes**2)
    return counts.reshape(classes, classes)


def segmentation_metrics(predicted: np.ndarray, true: np.ndarray, classes: int) -> dict[str, float]:
    """Mean over the classes of |predicted and true| / |predicted or true|, a class that is nowhere left out, and accuracy."""
    table = confusion(predicted, true, classes)
    both, either = table.diagonal(), table.sum(axis=0) + table.sum(axis=1) - table.diagonal()
    occurs = either > 0
    return {"mean IoU": float(np.mean(both[occurs] / either[occurs])), "accuracy": float(both.sum() / table.sum())}
