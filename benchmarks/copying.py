"""The copying task at growing delay: where the plain RNN fails and the gated ones don't.

python -m benchmarks.copying --out benchmarks/copying.json --plot benchmarks/copying.png
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np

from models.lab.progress import progress_bar
from models.lab.report.plots import plot
from models.lab.settings import changed
from models.lab.tasks.copying import PRESETS, Copying, CopyingSettings
from models.sequence.rnn import CELLS
from tinygrad_cv.files import atomic_write
from tinygrad_cv.machine import keep_freed_memory

DELAYS = (5, 10, 20, 40, 80)


def accuracy(settings: CopyingSettings, seed: int) -> float:
    """After training."""
    task = Copying(settings, None, rng=np.random.default_rng(seed))
    steps = settings.training.steps
    with progress_bar(steps, f"{settings.model.cell}, delay {settings.data.delay}") as bar:
        for step in range(steps):
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
    results: dict[str, dict[str, float]] = {}  # by cell and delay
    if args.out.is_file():
        results = json.loads(args.out.read_text())
    for delay, cell in product(DELAYS, CELLS):
        by_delay = results.setdefault(cell, {})
        if str(delay) in by_delay:
            continue
        changes = {"model.cell": cell, "data.delay": delay}
        by_delay[str(delay)] = accuracy(changed(PRESETS["copying"], changes), args.seed)
        with atomic_write(args.out) as file:
            file.write(json.dumps(results, indent=1).encode())
    lines = {}
    for cell, by_delay in results.items():
        print(cell, ", ".join(f"{delay}: {value:.3f}" for delay, value in by_delay.items()))
        lines[cell.upper()] = ([int(delay) for delay in by_delay], list(by_delay.values()))
    if args.plot:
        plot(lines, "delay", args.plot)


if __name__ == "__main__":
    main()
