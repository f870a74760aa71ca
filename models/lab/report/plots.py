"""Curves and matrices, drawn by matplotlib."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv.files import atomic_write

from ..optional import need

SMALLEST = 1e-10  # that a logarithmic plot shows
RESOLUTION = 200  # points along each side of a plane
SMOOTHED = 0.05  # of a curve is averaged for its bold line, on either side

Line = tuple[Sequence[float], Sequence[float]]  # x, y


def curves(log: Sequence[Mapping[str, float]], names: Sequence[str], path: Path) -> None:
    """The numbers of a log against the step, each with its moving average."""
    steps = [line["step"] for line in log]
    lines = {name: (steps, [line[name] for line in log]) for name in names}
    plot(lines, "step", path, smooth=True)


def moving_average(y: Sequence[float]) -> list[float]:
    """The mean of each value and those around it; fewer of them at the ends."""
    reach = int(SMOOTHED * len(y))
    means = []
    for i in range(len(y)):
        around = y[max(0, i - reach) : i + reach + 1]
        means.append(statistics.fmean(around))
    return means


def plot(
    lines: Mapping[str, Line],
    x_label: str,
    path: Path,
    *,
    log: bool = False,
    smooth: bool = False,
) -> None:
    """Named lines, y logarithmic if `log`; with `smooth` pale under their moving averages."""
    figure = new_figure(6, 3.4)
    axes = figure.subplots()
    for i, (name, (x, y)) in enumerate(lines.items()):
        colour = f"C{i}"
        if smooth:
            axes.plot(x, y, color=colour, linewidth=0.7, alpha=0.35)
            y = moving_average(y)
        axes.plot(x, y, color=colour, label=name, linewidth=1.5)
    axes.set_xlabel(x_label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if log:
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(SMALLEST, axes.get_ylim()[0]))
    axes.legend(frameon=False)
    save(figure, path)


def draw_matrix(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    path: Path,
) -> None:
    """A matrix (rows, columns) as grey squares, dark where it is large.

    `rows` and `columns` name what they stand for.
    """
    height, width = values.shape
    figure = new_figure(1 + 0.22 * width, 0.8 + 0.22 * height)
    axes = figure.subplots()
    axes.imshow(values, cmap="Greys", vmin=0)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns)
    axes.xaxis.tick_top()
    save(figure, path)


@dataclass(frozen=True)
class Curve:
    """Shares y with their standard deviations at places x."""

    x: Sequence[float]
    y: Sequence[float]
    deviations: Sequence[float]
    dashed: bool = False


def draw_learning_curves(
    panels: Mapping[str, Mapping[str, Curve]],
    path: Path,
) -> None:
    """Accuracies as errors against numbers of labels, both logarithmic, a panel for each title."""
    figure = new_figure(4.5 * len(panels), 3.8)
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False)
    for axes, title in zip(every[0], panels, strict=True):
        for i, (name, curve) in enumerate(panels[title].items()):
            colour = f"C{i}"
            errors = np.maximum(1 - np.array(curve.y), SMALLEST)
            away = np.array(curve.deviations)
            low = np.maximum(errors - away, errors / 2)
            style = "--" if curve.dashed else "-"
            axes.plot(
                curve.x,
                errors,
                style,
                color=colour,
                marker="o",
                markersize=3,
                label=name,
            )
            axes.fill_between(
                curve.x,
                low,
                errors + away,
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
        axes.set_title(title)
        axes.set_xlabel("labels")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(alpha=0.25, which="both")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    every[0, 0].set_ylabel("error")
    save(figure, path)


def draw_dots(values: Mapping[str, Sequence[float]], what: str, path: Path) -> None:
    """Each value as a dot in the line of its name, and a stroke at their mean."""
    figure = new_figure(6, 0.8 + 0.3 * len(values))
    axes = figure.subplots()
    for i, each in enumerate(values.values()):
        axes.plot(each, [i] * len(each), "o", color="C0", markersize=4, alpha=0.7)
        axes.plot([statistics.fmean(each)], [i], "|", color="0.2", markersize=14)
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.set_xlabel(what)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def draw_margins(
    decision: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    ringed: np.ndarray,
    names: Sequence[str],
    path: Path,
) -> None:
    """Points x (N, 2) of two classes, y = 1 and -1, over the decision f of points (M, 2).

    f = 0 is a line, -1 and 1 are dashed, and the points of `ringed` (N,) have a ring.
    """
    figure = new_figure(6, 5)
    axes = figure.subplots()
    low = x.min(axis=0)
    high = x.max(axis=0)
    room = 0.05 * (high - low)
    ends = (low - room, high + room)
    across, up = np.linspace(*ends, RESOLUTION).T
    places = np.meshgrid(across, up)
    points = np.stack(places, axis=-1)  # (R, R, 2)
    f = decision(points.reshape(-1, 2))
    f = f.reshape(RESOLUTION, RESOLUTION)
    axes.contourf(
        across,
        up,
        f > 0,
        levels=[-0.5, 0.5, 1.5],
        colors=["C1", "C0"],
        alpha=0.12,
    )
    axes.contour(
        across,
        up,
        f,
        levels=[-1, 0, 1],
        colors="0.3",
        linestyles=["--", "-", "--"],
    )
    first, second = x[y > 0].T, x[y < 0].T  # (2, N)
    axes.scatter(*first, s=14, color="C0", label=names[0])
    axes.scatter(*second, s=14, color="C1", label=names[1])
    rings = x[ringed].T
    axes.scatter(
        *rings,
        s=50,
        facecolors="none",
        edgecolors="0.2",
        linewidths=0.7,
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(frameon=False)
    save(figure, path)


def new_figure(width: float, height: float) -> Any:
    """An empty figure of matplotlib's, in inches."""
    figure = need("matplotlib.figure").Figure
    return figure(figsize=(width, height), layout="constrained")


def save(figure: Any, path: Path) -> None:
    """Write a figure as a PNG, all or nothing."""
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)
