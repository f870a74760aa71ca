"""k-means clustering."""

from __future__ import annotations

import numpy as np

from .nearest import distance_blocks, flatten, nearest


def kmeans(data: np.ndarray, clusters: int, *, rng: np.random.Generator, iterations: int = 100) -> np.ndarray:
    """The centres (clusters, D) of Lloyd's k-means, started by k-means++ (Arthur & Vassilvitskii 2007)."""
    data = flatten(data)
    if not 1 <= clusters <= len(data):
        raise ValueError(f"cannot make {clusters} clusters of {len(data)} points")
    chosen = [int(rng.integers(len(data)))]
    closest = np.full(len(data), np.inf)
    while len(chosen) < clusters:
        newest = data[chosen[-1:]]
        for rows, distances in distance_blocks(data, newest):
            np.minimum(closest[rows], distances[:, 0], out=closest[rows])
        closest[chosen[-1]] = 0
        if not (total := closest.sum()) > 0:
            raise ValueError(f"cannot make {clusters} clusters: the data have only {len(chosen)} distinct points")
        chosen.append(int(rng.choice(len(data), p=closest / total)))
    centres, assignment = data[chosen], np.full(len(data), -1)
    for _ in range(iterations):
        previous, assignment = assignment, nearest(data, centres)
        if np.array_equal(previous, assignment):
            break
        for k in np.unique(assignment):  # an empty cluster keeps its centre
            centres[k] = data[assignment == k].mean(axis=0)
    return centres
