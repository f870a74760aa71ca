"""The demo: it trains every model on the embedded digits, and describes what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tinygrad_cv import parallel
from tinygrad_cv.files import atomic_write

from .progress import stage
from .report.page import Section
from .run import Run
from .section import section
from .task import Task
from .tasks.images import ImageGenerator
from .train import train

TITLE = "Models that learned from 1,200 scanned digits"
TEXT = (
    "Each of these networks was trained on this machine, from random weights, on 1,200 scans of "
    "handwritten digits, 8 x 8 pixels each. The tables measure them against 597 others, beside "
    "what simpler methods reach."
)
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1)  # of the training, when a generator shows what it can


def carry_out(
    name: str,
    config: dict[str, Any],
    build: Callable[[], Task],
    workers: int | Literal["auto"],
    folder: Path,
    training: Any,
    test: Any,
) -> Section:
    """Train one part, or go on with it, and describe it."""
    start = time.monotonic()
    run, steps = Run(folder / name), config["config"]["training"]["steps"]
    begun = (run.folder / "config.json").is_file() and run.config == config
    moments = {max(1, int(steps * share)) for share in SHARES}
    often, seldom = max(1, steps // 200), max(1, steps // 4)

    def on_step(step: int) -> None:
        if step in moments and isinstance(task, ImageGenerator):
            drawn = task.sample(16, rng=np.random.default_rng(3))
            with atomic_write(run.folder / f"strip-{step:06}.npy") as file:
                np.save(file, drawn)

    with parallel.workers(workers):
        task = build()
        with run.held():
            if not begun:
                run.create(config)
            train(task, run, steps, log_every=often, save_every=seldom, on_step=on_step)
    facts = {
        "seed": 0,
        "steps": steps,
        "seconds": round(time.monotonic() - start),
        "command": f"python -m models demo --only {name}",
    }
    with stage("measuring"):
        rows = task.evaluate("digits", training, test)
    return section(task, run, training, test, rows, facts, Path(name))
