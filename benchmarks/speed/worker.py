"""One contender in a process of its own, so that no other library is loaded beside it. Reads commands, answers in JSON.

`open WORKLOAD WEIGHTS [SEED]` builds it, with a seed from weights of which each is moved to one of its neighbours among
float32 numbers; `check` takes the first five steps and tells their losses; `time SECONDS` tells how long steps take; `memory` the
high-water mark of the resident memory.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv import safetensors

STEPS = 5  # whose losses are compared
QUANTILES = np.linspace(0, 1, 101)
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory() -> int:
    """Bytes of the resident high-water mark of this process (of its own image, where the system tells that apart)."""
    if STATUS.exists():
        return next(int(line.split()[1]) << 10 for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def forget_peak() -> None:
    """Let the high-water mark begin anew, where the system can, so that loading the weights does not count."""
    if RESET.exists():
        RESET.write_text("5")


def moved(weights: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Each weight one unit in the last place up or down."""
    rng, found = np.random.default_rng(seed), {}
    for name, array in weights.items():
        found[name] = array if array.dtype.kind != "f" else np.nextafter(array, np.float32(np.inf) * rng.choice((-1, 1), array.shape).astype(array.dtype))
    return found


class Worker:
    def __init__(self, module: str) -> None:
        self.contender = importlib.import_module(f"benchmarks.speed.{module}").Contender
        self.imported = peak_memory()
        self.done = 0

    def open(self, workload: str, path: str, seed: str = "") -> Any:
        weights = safetensors.load(path)
        self.work = self.contender(workload, moved(weights, int(seed)) if seed else weights)
        self.done = 0
        del weights
        forget_peak()
        return {"variant": getattr(self.work, "variant", None)}

    def step(self) -> float:
        """Seconds that a step takes."""
        start = time.perf_counter()
        self.last = self.work.step(self.done)
        seconds = time.perf_counter() - start
        self.done += 1
        return seconds

    def check(self) -> Any:
        inner = getattr(self.work, "work", None)
        if hasattr(inner, "check"):
            return {"losses": inner.check(*self.work.batches[0]), "seconds": [self.step() for _ in range(STEPS)]}
        losses, seconds = [], []
        for _ in range(STEPS):
            seconds.append(self.step())
            losses.append(float(self.last))
        return {"losses": losses, "seconds": seconds}

    def time(self, seconds: str) -> Any:
        times, end = [self.step()], time.perf_counter() + float(seconds)
        while time.perf_counter() < end:
            times.append(self.step())
        return times if len(times) < len(QUANTILES) else np.quantile(times, QUANTILES).tolist()

    def memory(self) -> Any:
        """Of all its processes, if a contender has several."""
        peak = getattr(self.work, "peak_memory", peak_memory)()
        return {"imported": self.imported, "peak": peak}


def main() -> None:
    worker = Worker(sys.argv[1])
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        print(json.dumps(getattr(worker, command)(*arguments)), flush=True)


if __name__ == "__main__":
    main()
