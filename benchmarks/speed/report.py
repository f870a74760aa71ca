"""What was measured as tables and a chart."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv.files import atomic_write

from .contenders import ALL, CONTENDERS, CORES, EAGER, NOT_ASKED, ONE, TRAINING
from .workloads import TITLES, WORKLOADS

Results = dict[str, Any]  # of `compare.measure`, by workload
LIBRARIES = ("numpy", "scipy", "torch", "jax", "jaxlib", "autograd", "mygrad", "tinygrad")
COLOURS = {ONE: "#1f6fb4", ALL: "#0b3c68"}


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    blas = np.show_config("dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": CORES,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "BLAS": f"{blas['name']} {blas['version']}",
        "environment": {k: v for k, v in os.environ.items() if k == "OPENBLAS_CORETYPE"},
        "versions": {name: version for name in LIBRARIES if (version := installed(name))},
    }


def installed(library: str) -> str | None:
    """Its version."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def median(results: Results, workload: str, name: str) -> float | None:
    """Milliseconds of a contender at a workload, if it was timed."""
    contender = results.get(workload, {}).get("contenders", {}).get(name)
    return contender and float(contender["milliseconds"][1])


def ratio(results: Results, workload: str, other: str, ours: str) -> float | None:
    """How many times as long as we another takes."""
    a, b = median(results, workload, other), median(results, workload, ours)
    return a / b if a and b else None


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def markdown(rows: list[list[str]]) -> str:
    """A table; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def number(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def times(results: Results, unit: str = "ms") -> str:
    """Median, quartiles, and the ratio to ours in one process; in milliseconds or microseconds."""
    scale = {"ms": 1, "µs": 1000}[unit]
    names = [n for n in CONTENDERS if any(n in f["contenders"] for f in results.values())]
    rows = [[unit, *names]]
    for workload, result in results.items():
        row = [workload]
        for name in names:
            if name not in result["contenders"]:
                row.append("-")
                continue
            low, middle, high = (number(scale * ms) for ms in result["contenders"][name]["milliseconds"])
            times_ours = "" if name == ONE else f", {ratio(results, workload, name, ONE) or 0:.2f}x"
            row.append(f"{middle} ({low} to {high}){times_ours}")
        rows.append(row)
    return markdown(rows)


def against(results: Results, other: str) -> str:
    """Another's time by ours, and the geometric mean over the training workloads: above 1 we are faster."""
    workloads = [w for w in WORKLOADS if w in results]
    rows = [[f"{other} / ours", *workloads, "geometric mean of training"]]
    for name in (ONE, ALL):
        ratios = {w: ratio(results, w, other, name) for w in workloads}
        training = [r for w, r in ratios.items() if r and w in TRAINING]
        mean = f"{geometric_mean(training):.2f} of {len(training)}" if training else "-"
        rows.append([name, *(f"{r:.2f}" if r else "-" for r in ratios.values()), mean])
    return markdown(rows)


def memory(results: Results) -> str:
    """Megabytes at the most, and what the process took after its imports."""
    names = [n for n in (ONE, ALL, EAGER) if any(n in f["contenders"] for f in results.values())]
    rows = [["MB: more than imported (in all)", *names]]
    for workload, result in results.items():
        row = [workload]
        for name in names:
            m = result["contenders"].get(name, {}).get("memory")
            row.append(f"{(m['peak'] - m['imported']) / 1e6:.0f} ({m['peak'] / 1e6:.0f})" if m else "-")
        rows.append(row)
    return markdown(rows)


def same_work(results: Results) -> str:
    """How far each contender's losses are from ours at the most, in units of what rounding does to ours."""
    names = [n for n in CONTENDERS if any(n in f["contenders"] for f in results.values())]
    rows = [["losses differ by, in units of rounding", *names]]
    for workload, result in results.items():
        cells = (result["contenders"].get(name) for name in names)
        rows.append([workload, *(f"{max(c['difference']):.2g}" if c else "-" for c in cells)])
    return markdown(rows)


def overhead(results: Results) -> str:
    """Microseconds for one recorded operation on eight numbers."""
    rows = [["µs per operation", "forward", "backward"]]
    alone, both = (results.get(f"chain, {kind}", {}) for kind in ("forward", "forward and backward"))
    for name, contender in both.get("contenders", {}).items():
        whole, first = contender["milliseconds"][1], median({"": alone}, "", name)
        rows.append([name, *([f"{first:.2f}", f"{whole - first:.2f}"] if first else [f"{whole:.2f} in all", ""])])
    return markdown(rows)


def skipped(results: Results) -> str:
    """Who did not take part in what, and why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for workload, result in results.items():
        for name, why in result["skipped"].items():
            if why == NOT_ASKED:
                continue
            reasons.setdefault((name, why), []).append(workload)
    return "\n".join(f"{name} is left out of {', '.join(where)}: {why}" for (name, why), where in reasons.items())


def chart(results: Results, path: Path) -> None:
    """How many times as fast as torch eager each contender is, workload by workload."""
    from models.lab.optional import need

    need("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    workloads = [w for w in WORKLOADS if median(results, w, EAGER)][::-1]
    names = [n for n in CONTENDERS if n != EAGER and any(median(results, w, n) for w in workloads)]
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.62 * len(workloads)), layout="constrained")
    others = iter(plt.get_cmap("tab10").colors[1:])  # type: ignore[attr-defined]
    marks = iter("osD^v<>P")
    for name in names:
        places = [(ratio(results, w, EAGER, name), y) for y, w in enumerate(workloads)]
        x, y = zip(*[(r, p) for r, p in places if r], strict=True)
        ours = name in COLOURS
        axes.scatter(
            x, y, label=name, s=110 if ours else 45, color=COLOURS.get(name) or next(others), zorder=3 if ours else 2,
            marker="o" if ours else next(marks), edgecolors="white", linewidths=0.8,
        )  # fmt: skip
    axes.axvline(1, color="#444", linewidth=1, zorder=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    axes.set_yticks(range(len(workloads)), [f"{w}\n{TITLES[w]}" for w in workloads], fontsize=8)
    axes.set_ylim(-0.6, len(workloads) - 0.4)
    axes.grid(axis="both", color="#ddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("times as fast as torch eager (right is faster)")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=130)
    plt.close(figure)
