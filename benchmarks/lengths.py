"""Exact match against length, of several trained runs of one task in one plot; runs of one architecture are averaged.

python -m benchmarks.lengths runs/reverse-* --out benchmarks/reverse.json --plot benchmarks/reverse.png
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
        along, shares = task.along or "form", task.accuracy(read_data(run["data"], run["root"])[1], n=args.n)
        results[run["config"]["architecture"]].append(shares)
        print(folder, ", ".join(f"{length}: {share:.3f}" for length, share in shares.items()))
    means = {name: {length: float(np.mean([by[length] for by in runs])) for length in runs[0]} for name, runs in results.items()}
    with atomic_write(args.out) as file:
        file.write(json.dumps(means, indent=1).encode())
    if args.plot:
        plot({name: (list(by), list(by.values())) for name, by in means.items()}, along, args.plot)


if __name__ == "__main__":
    main()
