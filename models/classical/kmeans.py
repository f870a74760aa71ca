"""k-means clustering (Lloyd 1982), started by k-means++ (Arthur & Vassilvitskii 2007)."""

from __future__ import annotations

import numpy as np

from .nearest import distance_blocks, flatten, nearest


def kmeans(
    data: np.ndarray,
    clusters: int,
    *,
    rng: np.random.Generator,
    iterations: int = 100,
) -> np.ndarray:
    """The centres (clusters, D) of the clusters of `data` (N, ...).

    Each centre is the mean of the points that are nearest to it, or `iterations` are over.
    Raises ValueError if the data have fewer distinct points than there are clusters.
    """
    data = flatten(data)
    centres = data[initial_centres(data, clusters, rng)]
    assignment = np.full(len(data), -1)
    for _ in range(iterations):
        previous = assignment
        assignment = nearest(data, centres)
        if np.array_equal(previous, assignment):
            break
        for k in np.unique(assignment):  # an empty cluster keeps its centre
            centres[k] = data[assignment == k].mean(axis=0)
    return centres


def initial_centres(
    data: np.ndarray,
    clusters: int,
    rng: np.random.Generator,
) -> list[int]:
    """The rows of `data` (N, D) that k-means++ starts from.

    Each is drawn with a probability proportional to the squared distance from those before it.
    """
    if not 1 <= clusters <= len(data):
        raise ValueError(f"cannot make {clusters} clusters of {len(data)} points")
    chosen = [int(rng.integers(len(data)))]
    closest = np.full(len(data), np.inf)  # the squared distance to the nearest centre
    while len(chosen) < clusters:
        newest = data[chosen[-1:]]
        for rows, distances in distance_blocks(data, newest):
            np.minimum(closest[rows], distances[:, 0], out=closest[rows])
        closest[chosen[-1]] = 0
        total = closest.sum()
        if not total > 0:
            raise ValueError(
                f"cannot make {clusters} clusters: the data have only {len(chosen)} distinct points"
            )
        next_centre = rng.choice(len(data), p=closest / total)
        chosen.append(int(next_centre))
    return chosen
