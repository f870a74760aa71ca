"""What the tape costs: `python -m benchmarks.tape`.

Steps of training as they are, with an observer that does nothing, and with the tape on; in turns,
so that what slows the machine down slows all of them. Times are those of the processor, on one
thread.

With --before FOLDER, a checkout of another state of this repository, its steps take part instead,
each turn in a process of its own: what the hooks cost while nobody observes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from models.lab.settings import configure
from models.lab.tasks import TASKS
from tinygrad_cv import data

MODELS = [
    ("gan", "tiny"),
    ("gan", "digits"),
    ("vit", "tiny"),
    ("vit", "digits"),
    ("ddpm", "tiny"),
    ("detr", "tiny"),
]
TURNS, WARM_UP = 30, 5
HERE = Path(__file__).parent.parent


def step_of(name: str, preset: str) -> Callable[[], object]:
    """A step of training, the next one each time."""
    kind = TASKS[name]
    digits = data.digits() if kind.dataset_kind == "images" else None
    task = kind(configure(kind.presets, preset, digits, {}), digits, rng=np.random.default_rng(0))
    numbers = iter(range(10**6))
    return lambda: task.step(next(numbers))


def seconds(step: Callable[[], object]) -> float:
    start = process_time()
    step()
    return process_time() - start


def plain(turns: int) -> dict[str, float]:
    """The median time of a step of each model in milliseconds."""
    found = {}
    for name, preset in MODELS:
        step = step_of(name, preset)
        times = [seconds(step) for _ in range(WARM_UP + turns)]
        found[f"{name} {preset}"] = 1e3 * median(times[WARM_UP:])
    return found


def observed_steps() -> None:
    """Print the times with an idle observer and with the tape beside those without."""
    import tinygrad_cv as tg
    from tinygrad_cv.engine.observers import Observer, observed

    def idle() -> None:
        with observed(Observer()):
            step()

    def taped() -> None:
        with tg.tape():
            step()

    print(f"{'step of training':16} {'ms':>8} {'idle observer':>14} {'tape':>6}")
    for name, preset in MODELS:
        step = step_of(name, preset)
        ways: list[Callable[[], object]] = [step, idle, taped]
        times = [[seconds(way) for way in ways] for _ in range(WARM_UP + TURNS)][WARM_UP:]
        alone, beside, noted = (median(column) for column in zip(*times, strict=True))
        print(
            f"{name + ' ' + preset:16} {1e3 * alone:8.2f} "
            f"{beside / alone:14.2f} {noted / alone:6.2f}"
        )


def against(before: Path, rounds: int) -> None:
    """Print the times of two states of the repository, while nobody observes."""
    times: dict[str, list[list[float]]] = {}
    for _ in range(rounds):
        for i, folder in enumerate((before, HERE)):
            environment = {**os.environ, "PYTHONPATH": str(folder)}
            script = [sys.executable, str(Path(__file__).resolve()), "--plain"]
            done = subprocess.run(
                script, cwd=folder, env=environment, capture_output=True, check=True, text=True
            )
            for model, milliseconds in json.loads(done.stdout).items():
                times.setdefault(model, [[], []])[i].append(milliseconds)
    print(f"{'step of training':16} {'before':>8} {'now':>8} {'ratio':>6}")
    for model, (old, new) in times.items():
        print(f"{model:16} {median(old):8.2f} {median(new):8.2f} {min(new) / min(old):6.3f}")


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.tape", description=__doc__)
    options.add_argument("--before", type=Path, help="a checkout to compare with")
    options.add_argument("--rounds", type=int, default=6, help="turns of each checkout")
    options.add_argument(
        "--plain", action="store_true", help="print times as JSON, observe nothing"
    )
    args = options.parse_args()
    if args.plain:
        print(json.dumps(plain(TURNS)))
    elif args.before:
        against(args.before, args.rounds)
    else:
        observed_steps()


if __name__ == "__main__":
    main()
