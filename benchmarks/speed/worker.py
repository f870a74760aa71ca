"""One contender in a process of its own, so that no other library is loaded beside it. Reads commands, answers in JSON.

`open WORKLOAD WEIGHTS [SEED]` builds it, with a seed from weights of which each is moved to one of its neighbours among
float32 numbers; `check` takes the first five steps and returns their losses; `time SECONDS` returns how long steps
take; `memory` returns the high-water mark of the resident memory.

A contender is a module with a class (or function) `Contender(workload, weights)` whose objects have `step(i)`, a step on batch
i that returns its loss. What else they may have: `check()`, numbers to compare instead of losses; `variant`, what it chose;
`announce(count)` and `close()`, for those of several processes; `counted`, the seconds of its last
step that are to count, if not all are.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv import safetensors

STEPS = 5  # whose losses are compared
QUANTILES = np.linspace(0, 1, 101)
PROCESSES = Path("/proc")


def peak_memory(process: str = "self") -> int:
    """Bytes of a process's resident high-water mark."""
    status = PROCESSES / process / "status"
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return next(int(line.split()[1]) << 10 for line in status.read_text().splitlines() if line.startswith("VmHWM"))


def forget_peak(process: str) -> None:
    """Let the high-water mark begin anew, where the system can, so that loading the weights does not count."""
    if (PROCESSES / process / "clear_refs").exists():
        (PROCESSES / process / "clear_refs").write_text("5")


def all_processes() -> list[str]:
    """This one and those that a contender has forked."""
    children = PROCESSES / "self" / "task" / str(os.getpid()) / "children"
    return ["self", *(children.read_text().split() if children.exists() else [])]


def moved(weights: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Each weight one unit in the last place up or down."""
    rng, neighbours = np.random.default_rng(seed), {}
    for name, array in weights.items():
        sides = np.where(rng.random(array.shape) < 0.5, -np.inf, np.inf).astype(np.float32)
        neighbours[name] = np.nextafter(array, sides) if array.dtype.kind == "f" else array
    return neighbours


class Worker:
    def __init__(self, module: str) -> None:
        self.contender = importlib.import_module(f"benchmarks.speed.{module}").Contender
        self.imported = peak_memory()

    def open(self, workload: str, path: str, seed: str = "") -> Any:
        weights = safetensors.load(path)
        self.work = self.contender(workload, moved(weights, int(seed)) if seed else weights)
        self.done, self.last = 0, 0.0
        del weights
        for process in all_processes():
            forget_peak(process)
        return {"variant": getattr(self.work, "variant", None)}

    def steps(self, count: int) -> tuple[list[Any], list[float]]:
        """The results of so many steps, and their seconds. `announce` prepares a contender of several processes."""
        if hasattr(self.work, "announce"):
            self.work.announce(count)
        results, seconds = [], []
        for _ in range(count):
            start = time.perf_counter()
            results.append(self.work.step(self.done))
            self.last = time.perf_counter() - start
            seconds.append(getattr(self.work, "counted", self.last))
            self.done += 1
        return results, seconds

    def check(self) -> Any:
        if hasattr(self.work, "check"):
            return {"losses": self.work.check(), "seconds": self.steps(1)[1]}
        losses, seconds = self.steps(STEPS)
        return {"losses": [float(loss) for loss in losses], "seconds": seconds}

    def time(self, seconds: str) -> Any:
        """About so long; of many steps the quantiles."""
        times = self.steps(1)[1]
        until = time.perf_counter() + float(seconds) - self.last
        while (left := until - time.perf_counter()) > 0:
            times += self.steps(max(1, int(min(left, 0.1) / self.last)))[1]
        return times if len(times) < len(QUANTILES) else np.quantile(times, QUANTILES).tolist()

    def memory(self) -> Any:
        """After the imports, and at the most; pages that several processes share count for each of them."""
        return {"imported": self.imported, "peak": sum(map(peak_memory, all_processes()))}

    def close(self) -> None:
        if hasattr(getattr(self, "work", None), "close"):
            self.work.close()


def main() -> None:
    worker = Worker(sys.argv[1])
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        print(json.dumps(getattr(worker, command)(*arguments)), flush=True)
    worker.close()


if __name__ == "__main__":
    main()
