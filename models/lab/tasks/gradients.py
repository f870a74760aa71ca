"""A plot of how far back the gradients of recurrent cells reach."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...sequence.rnn import CELLS, gradient_norms
from ..report.plots import plot

NETWORKS = 20  # of each cell, of which the plot shows the median
GRADIENTS = (
    "gradients.png",
    "How much an input counts, by its distance in time: the gradient's norm at the start of "
    "training. In the plain network it vanishes, in gated ones whose gates start open it does not",
)


def plot_gradient_norms(path: Path, *, rng: np.random.Generator) -> None:
    """The norms for each cell, the median of several networks, against the distance."""
    lines = {}
    for cell in CELLS:
        norms = [gradient_norms(cell, rng=rng) for _ in range(NETWORKS)]
        median = np.median(norms, axis=0)
        lines[cell.upper()] = (list(range(len(median))), median.tolist())
    plot(lines, "distance in time", path, log=True)
