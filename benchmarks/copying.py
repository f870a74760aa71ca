"""The copying task at growing delay: where the plain RNN fails and the gated ones don't.

python -m benchmarks.copying --out benchmarks/copying.json --plot benchmarks/copying.png
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.lab.optional import progress_bar
from models.lab.report.plots import plot
from models.lab.tasks.copying import PRESETS, Copying, CopyingConfig
from models.sequence.rnn import CELLS
from tinygrad_cv.files import atomic_write
from tinygrad_cv.machine import keep_freed_memory

DELAYS = (5, 10, 20, 40, 80)


def accuracy(config: CopyingConfig, seed: int) -> float:
    """After training."""
    task = Copying(config, None, rng=np.random.default_rng(seed))
    with progress_bar(config.steps, f"{config.cell}, delay {config.delay}") as bar:
        for step in range(config.steps):
            task.step(step)
            bar.update()
    return task.accuracy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    keep_freed_memory()
    results: dict[str, dict[str, float]] = json.loads(args.out.read_text()) if args.out.is_file() else {}
    for delay in DELAYS:
        for cell in CELLS:
            if str(delay) not in results.setdefault(cell, {}):
                config = replace(PRESETS["copying"], cell=cell, delay=delay)
                results[cell][str(delay)] = accuracy(config, args.seed)
                with atomic_write(args.out) as file:
                    file.write(json.dumps(results, indent=1).encode())
    for cell, by_delay in results.items():
        print(cell, ", ".join(f"{delay}: {value:.3f}" for delay, value in by_delay.items()))
    if args.plot:
        lines = {cell.upper(): (list(map(int, by)), list(by.values())) for cell, by in results.items()}
        plot(lines, "delay", args.plot)


if __name__ == "__main__":
    main()
