"""The comparison of speed: `python -m benchmarks`. Prints a table, and writes what it measured as JSON.

Every contender runs in a process of its own; they take turns, so that a noisy moment meets all of them. Before anything
is timed it is proven that they do the same work: from the same initial weights the first five losses agree.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv import safetensors
from tinygrad_cv.files import atomic_write

from .speed.workloads import WORKLOADS

CONTENDERS = {"ours": "tinygrad_cv", "torch": "torch", "torch, fused Adam": "torch"}  # and the module that each needs
AGREEMENT = 2e-4  # relative, of the first five losses in float32


class Process:
    """A contender at work."""

    def __init__(self, name: str, workload: str, weights: Path) -> None:
        threads = "2" if name.startswith("torch") else "1"
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-m", "benchmarks.speed.worker", name, workload, str(weights)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.answer()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self.process.args[-3:-1])} stopped; its error stands above")  # type: ignore[index]
        return json.loads(line)

    def ask(self, command: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(workload: str, names: list[str], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of every step of every contender, in turns of so many seconds."""
    from .speed.ours import Contender

    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        safetensors.save(Contender(workload).weights(), weights)
        processes = {name: Process(name, workload, weights) for name in names}
        losses = {name: process.ask("losses") for name, process in processes.items()}
        for name, found in losses.items():
            if not np.allclose(found, losses[names[0]], rtol=AGREEMENT):
                raise SystemExit(f"{workload}: {name} does other work: its losses are {found}, not {losses[names[0]]}")
        times: dict[str, list[float]] = {name: [] for name in names}
        for process in processes.values():
            process.ask(f"time {seconds}")  # warm-up
        for _ in range(rounds):
            for name, process in processes.items():
                times[name] += [1e3 * t for t in process.ask(f"time {seconds}")]
        for process in processes.values():
            process.close()
    return times


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Medians in ms with quartiles, and their ratio to ours."""
    lines = ["| | " + " | ".join(CONTENDERS) + " |", "|---" * (len(CONTENDERS) + 1) + "|"]
    for workload, times in found.items():
        ours, cells = float(np.median(times["ours"])), []
        for name in CONTENDERS:
            if name not in times:
                cells.append("-")
                continue
            low, middle, high = np.quantile(times[name], [0.25, 0.5, 0.75])
            ratio = "" if name == "ours" else f", {middle / ours:.2f}x"
            cells.append(f"{middle:.2f} ms ({low:.2f} to {high:.2f}){ratio}")
        lines.append(f"| {workload} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(WORKLOADS), help="workloads (default: all)")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a contender's turn")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    present = [name for name, module in CONTENDERS.items() if importlib.util.find_spec(module)]
    for name in CONTENDERS.keys() - set(present):
        print(f"{name} is not installed and is left out")
    found = {}
    for workload in args.only or WORKLOADS:
        found[workload] = measure(workload, present, args.rounds, args.seconds)
        print(table({workload: found[workload]}).splitlines()[-1], flush=True)
        if args.json:
            with atomic_write(args.json) as file:
                summary = {w: {n: np.quantile(t, [0.25, 0.5, 0.75]).tolist() for n, t in ts.items()} for w, ts in found.items()}
                file.write(json.dumps({"milliseconds": summary}, indent=1).encode())
    print(table(found))


if __name__ == "__main__":
    main()
