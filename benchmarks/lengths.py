"""Exact match against length, of several trained runs of one task in one plot.

Runs of one architecture are averaged.

python -m benchmarks.lengths runs/reverse-* --out benchmarks/reverse.json \\
    --plot benchmarks/reverse.png
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from models.lab.cli import read_data, reopen
from models.lab.report.plots import plot
from models.lab.run import Run
from models.lab.tasks.transduction import Transduction
from tinygrad_cv.files import atomic_write


def mean(runs: list[dict[int, float]]) -> dict[int, float]:
    """The mean of several runs at each length."""
    return {length: float(np.mean([run[length] for run in runs])) for length in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--n", type=int, default=500, help="pairs of each length")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    results: dict[str, list[dict[int, float]]] = defaultdict(list)
    along = ""
    for folder in args.runs:
        run = Run(Path(folder)).config
        task = reopen(folder)
        if not isinstance(task, Transduction):
            raise SystemExit(f"{folder} holds a {task.title}, which has no lengths")
        along = task.along or "form"
        _, test = read_data(run["data"], run["root"])
        shares = task.accuracy(test, n=args.n)
        results[task.settings.model.architecture].append(shares)
        print(folder, ", ".join(f"{length}: {share:.3f}" for length, share in shares.items()))
    means = {name: mean(runs) for name, runs in results.items()}
    with atomic_write(args.out) as file:
        file.write(json.dumps(means, indent=1).encode())
    if args.plot:
        lines = {}
        for name, by_length in means.items():
            lines[name] = (list(by_length), list(by_length.values()))
        plot(lines, along, args.plot)


if __name__ == "__main__":
    main()
