"""How time and memory grow with batch, width, depth and length of the sequence, ours and torch's.

Each point is a process of its own, so that its high-water mark is its own too.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from models.lab.optional import need
from models.lab.progress import progress_bar
from tinygrad_cv import safetensors
from tinygrad_cv.files import atomic_write

from . import ours
from .compare import SEED, Process
from .contenders import EAGER, ONE, absent, entry

CURVES = {
    "batch": [f"W2s batch={n}" for n in (8, 16, 32, 64, 128, 256, 512)],
    "width": [f"W2s hidden_size={n}" for n in (16, 32, 64, 128, 256)],
    "depth": [f"W2s num_hidden_layers={n}" for n in (1, 2, 4, 8, 16)],
    "length": [f"RNN length={n}" for n in (16, 32, 64, 128, 256)],
}
NAMES = (ONE, EAGER)


def main(rounds: int, seconds: float, json_path: Path, chart: Path) -> None:
    names = [n for n in NAMES if not absent(n, "W2s")]
    results: dict[str, Any] = {}
    with progress_bar(sum(map(len, CURVES.values())), "growth") as bar:
        for curve, points in CURVES.items():
            for workload in points:
                bar.set_description(workload)
                results.setdefault(curve, {})[workload] = point(workload, names, rounds, seconds)
                bar.update()
            with atomic_write(json_path) as file:
                file.write(json.dumps(results, indent=1).encode())
    for curve, points in results.items():
        for workload, by_name in points.items():
            figures = (f"{n}: {p['milliseconds']:.2f} ms, {p['megabytes']:.0f} MB" for n, p in by_name.items())
            print(f"{curve}: {workload}: {'; '.join(figures)}")
    draw(results, chart)


def point(workload: str, names: list[str], rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Median time of a step, in turns, and the memory beyond the imports."""
    times: dict[str, list[float]] = {name: [] for name in names}
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        safetensors.save(ours.weights(workload, rng=np.random.default_rng(SEED)), path)
        processes = {name: Process(entry(name, workload).module, entry(name, workload).threads) for name in names}
        try:
            for process in processes.values():
                process.ask("open", workload, path)
                process.ask("time", seconds / 3)
            for _ in range(rounds):
                for name, process in processes.items():
                    times[name] += process.ask("time", seconds / 3)
            for name, process in processes.items():
                memory = process.ask("memory")
                results[name] = {
                    "milliseconds": 1e3 * float(np.median(times[name])),
                    "megabytes": (memory["peak"] - memory["imported"]) / 1e6,
                }
        finally:
            for process in processes.values():
                process.__exit__()
    return results


def draw(results: dict[str, Any], path: Path) -> None:
    """Time above, memory below."""
    need("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(2, len(results), figsize=(3.2 * len(results), 5.5), layout="constrained", squeeze=False)
    for column, (curve, points) in enumerate(results.items()):
        x = [int(workload.partition("=")[2]) for workload in points]
        for axes, what, unit in zip(grid[:, column], ("milliseconds", "megabytes"), ("ms a step", "MB"), strict=True):
            for name, colour in zip(NAMES, ("#1f6fb4", "#d1622b"), strict=True):
                y = [by_name[name][what] for by_name in points.values() if name in by_name]
                if y:
                    axes.plot(x, y, "o-", label=name, color=colour, markersize=4)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xticks(x, map(str, x))
            axes.tick_params(axis="x", which="minor", bottom=False)
            axes.set_xlabel(f"{curve} ({next(iter(points)).partition(' ')[0]})")
            axes.set_ylabel(unit if column == 0 else "")
            axes.grid(color="#ddd", linewidth=0.6)
    grid[0, 0].legend(frameon=False, fontsize=8)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=130)
    plt.close(figure)
