"""Contenders side by side: that they do the same work, how long they take, how much memory.

Each runs in a process of its own, and all but the one whose turn it is are stopped. They take turns, so that a noisy
moment meets all of them.

That two programs do the same work is proven by their losses over the first five steps from the same weights. How far two
right programs may be apart is measured: the judge, our own program, runs again with each weight moved to a neighbouring
float32 number, several times. A contender may differ from it by `MULTIPLE` times the largest difference that those runs
have shown up to that step (at least by as many units in the last place of the loss), since it rounds in every operation
and not only in the weights. In the first loss it may differ by 1e-5 at the most: there Adam has not yet enlarged what
rounding leaves of a gradient that is really 0, such as that of a bias before batch normalisation.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv import safetensors

from . import ours
from .contenders import ONE, absent, entry
from .workloads import OPERATIONS

SEED = 1  # of the weights
MULTIPLE = 20
FIRST = 1e-5  # relative, of the first loss
SEEDS, PATIENCE = range(1, 9), 10.0  # of the moved weights; after so many seconds three of them are enough
STEP_LIMIT, LIMIT, GRACE = 20.0, 150.0, 5.0  # seconds, of a step, of any answer, and for the end of a process
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Dropped(Exception):
    """A contender that cannot go on, and why."""


class Process:
    """A contender at work; it is stopped except while it answers."""

    def __init__(self, module: str, threads: int | None) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in THREADS}
        environment |= dict.fromkeys(THREADS, str(threads)) if threads else {}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.speed.worker", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.errors, text=True, env=environment, process_group=0,
        )  # fmt: skip
        self.answer()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.signal("SIGCONT")
        with suppress(subprocess.TimeoutExpired):
            self.process.communicate(timeout=GRACE)
        self.signal("SIGKILL")
        self.process.communicate()
        self.errors.close()

    def signal(self, name: str) -> None:
        """To the process and those it has started."""
        if hasattr(signal, name) and hasattr(os, "killpg") and self.process.poll() is None:
            os.killpg(self.process.pid, getattr(signal, name))

    def answer(self) -> Any:
        stdout = self.process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], LIMIT)[0]:
            raise Dropped(f"it takes more than {LIMIT:.0f} s to get ready")
        line = stdout.readline()
        if not line:
            self.errors.seek(0)
            lines = [
                text.strip() for text in self.errors if text.strip() and not text.startswith(("For simplicity", "---"))
            ]
            raise Dropped(lines[-1][:200] if lines else "it stopped without a word")
        self.signal("SIGSTOP")
        return json.loads(line)

    def ask(self, *command: Any) -> Any:
        assert self.process.stdin is not None
        self.signal("SIGCONT")
        self.process.stdin.write(json.dumps([str(word) for word in command]) + "\n")
        self.process.stdin.flush()
        return self.answer()


class Judge:
    """The losses of our own program, and how far rounding alone moves them.

    `run(seed)` gives the numbers of a run from moved weights, `run()` from the weights themselves. `steps`: the numbers
    follow one from the other.
    """

    def __init__(self, run: Callable[..., Any], *, steps: bool) -> None:
        self.losses, moved, start = np.array(run()), [], time.monotonic()
        for seed in SEEDS:
            moved.append(np.abs(np.array(run(seed)) - self.losses))
            if len(moved) >= 3 and time.monotonic() - start > PATIENCE:
                break
        self.seeds = len(moved)
        self.unit = unit(self.losses, np.max(moved, axis=0), steps=steps)

    def multiples(self, losses: Any) -> list[float]:
        """How far losses are from ours, in what rounding does. Raises `Dropped` if that is too far."""
        difference = np.abs(np.array(losses) - self.losses)
        multiples = difference / self.unit
        if not (np.all(multiples <= MULTIPLE) and difference[0] <= FIRST * abs(self.losses[0])):
            raise Dropped(f"DOES OTHER WORK: its losses are {losses}, not {self.losses.tolist()}")
        return [round(float(value), 2) for value in multiples]


def unit(losses: np.ndarray, moved: np.ndarray, *, steps: bool) -> np.ndarray:
    """What rounding does to each number, at least a unit in its last place; to losses of steps the most up to each."""
    moved = np.maximum.accumulate(moved) if steps else moved
    return np.maximum(moved, np.spacing(np.abs(losses).astype(np.float32)).astype(float))


def measure(
    workload: str, names: list[str], rounds: int, seconds: float, tick: Callable[[str], object] = lambda name: None
) -> dict[str, Any]:
    """Everything about one workload; `tick` hears of each turn."""
    skipped = {name: why for name in names if (why := absent(name, workload))}
    measured: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "weights.safetensors"
        safetensors.save(ours.weights(workload, rng=np.random.default_rng(SEED)), path)
        judge, processes = judged(workload, path), {}
        for name in [n for n in names if n not in skipped]:
            tick(name)
            try:
                processes[name], measured[name] = ready(name, workload, path, judge, stack)
            except Dropped as dropped:
                skipped[name] = str(dropped)
        times: dict[str, list[float]] = {name: [] for name in processes}
        for turn in range(rounds + 1):  # the first is for warming up
            for name, process in processes.items():
                tick(name)
                taken = process.ask("time", seconds)
                times[name] += taken if turn else []
        for name, process in processes.items():
            measured[name] |= {
                "milliseconds": (1e3 * np.quantile(times[name], [0.25, 0.5, 0.75])).round(5).tolist(),
                "memory": process.ask("memory"),
            }
    facts = {
        "losses": judge.losses.tolist(),
        "rounding": judge.unit.tolist(),
        "seeds": judge.seeds,
        "multiple": MULTIPLE,
    }
    return {"rounds": rounds, "seconds": seconds, "judge": facts, "skipped": skipped, "contenders": measured}


def judged(workload: str, weights: Path) -> Judge:
    """The judge of a workload, in a process of its own, so that these runs count for nobody's memory."""
    contender = entry(ONE, workload)
    with Process(contender.module, contender.threads) as process:

        def run(*seed: int) -> Any:
            process.ask("open", workload, weights, *seed)
            return process.ask("check")["losses"]

        return Judge(run, steps=workload not in OPERATIONS)


def ready(name: str, workload: str, weights: Path, judge: Judge, stack: ExitStack) -> tuple[Process, dict[str, Any]]:
    """A contender that has shown that it does the work."""
    contender = entry(name, workload)
    process = Process(contender.module, contender.threads)
    with ExitStack() as until_ready:
        until_ready.enter_context(process)
        opened = process.ask("open", workload, weights)
        checked = process.ask("check")
        if min(checked["seconds"]) > STEP_LIMIT:
            raise Dropped(f"a step takes {min(checked['seconds']):.0f} s")
        facts = {"losses": checked["losses"], "difference": judge.multiples(checked["losses"])}
        stack.push(until_ready.pop_all())
    return process, facts | ({"variant": opened["variant"]} if opened["variant"] else {})
