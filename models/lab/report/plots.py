"""Curves and matrices, drawn by matplotlib."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tinygrad_cv.files import atomic_write

from ..optional import need

LEAST = 1e-10  # that a logarithmic plot shows
SMOOTHED = 0.05  # of a curve is averaged for its bold line, on either side


def curves(log: Sequence[Mapping[str, float]], names: Sequence[str], path: Path) -> None:
    """The figures of a log against the step, each with its moving average."""
    lines = {name: ([line["step"] for line in log], [line[name] for line in log]) for name in names}
    plot(lines, "step", path, smooth=True)


def moving_average(y: Sequence[float]) -> list[float]:
    """The mean of each value and those around it; fewer of them at the ends."""
    reach = int(SMOOTHED * len(y))
    return [statistics.fmean(y[max(0, i - reach) : i + reach + 1]) for i in range(len(y))]


def plot(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], along: str, path: Path,
    *, log: bool = False, smooth: bool = False,
) -> None:  # fmt: skip
    """Named lines (x, y), `along` what x is; y logarithmic if `log`; with `smooth` pale under their moving averages."""
    figure = need("matplotlib.figure").Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for i, (name, (x, y)) in enumerate(lines.items()):
        if smooth:
            axes.plot(x, y, color=f"C{i}", linewidth=0.7, alpha=0.35)
        axes.plot(x, moving_average(y) if smooth else y, color=f"C{i}", label=name, linewidth=1.5)
    axes.set_xlabel(along)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if log:
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(LEAST, axes.get_ylim()[0]))
    axes.legend(frameon=False)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def draw_matrix(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], path: Path) -> None:
    """A matrix (rows, columns) as grey squares, dark where it is large, with what its rows and columns stand for."""
    size = (1 + 0.22 * values.shape[1], 0.8 + 0.22 * len(values))
    figure = need("matplotlib.figure").Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(values, cmap="Greys", vmin=0)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns)
    axes.xaxis.tick_top()
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)
