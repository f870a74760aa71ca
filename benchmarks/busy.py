"""Training beside other programs: how much of its fair share of the cores a run makes use of.

python -m benchmarks.busy     # some 5 minutes; `--only gan-digits --rounds 9` for a part

Runs of `models`, GAN and ViT of the sizes for digits and for MNIST (on random pixels), on one and
on two processes, take turns beside 0, 1 and 2 neighbours: programs that never rest. Each run is
what `train` makes of it: the same threads of BLAS, the same step. It waits while it is not its
turn. The fair share of P processes beside N neighbours on C cores is min(1, C / (P + N)) of a core
each; a run alone, with as many cores, sets what that is worth. The table shows medians over the
rounds. The command fails if a run makes less than .8 of its fair share.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from models.lab.progress import progress_bar
from models.lab.settings import configure
from models.lab.tasks import TASKS
from models.lab.train import over_ranks
from tinygrad_cv import data, parallel
from tinygrad_cv.files import atomic_write
from tinygrad_cv.machine import few_blas_threads, keep_freed_memory

SIZES = {"digits": (8, 8), "mnist": (28, 28)}
WORKLOADS = [f"{task}-{size}" for task, size in product(("gan", "vit"), SIZES)]
PROCESSES, NEIGHBOURS = (1, 2), (0, 1, 2)
IMAGES, CLASSES = 2000, 10
TARGET = 0.8  # of the fair share
WARM_UP = 0.5  # seconds, until the system has spread the processes over the cores
NEIGHBOUR = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
while os.getppid() == {parent}:
    for _ in range(100_000):
        pass
"""

# ------------------------------------------------------------------------------ a run, a neighbour


def work(workload: str, processes: int) -> None:
    """A run that trains for as many seconds as each line says, and answers with those of a step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    name, _, size = workload.partition("-")
    rng = np.random.default_rng(0)
    images = rng.random((IMAGES, *SIZES[size]), np.float32)
    names = tuple(map(str, range(CLASSES)))
    dataset = data.Dataset("random pixels", images, np.arange(IMAGES) % CLASSES, names)
    kind = TASKS[name]
    settings = configure(kind.presets, size, dataset, {})
    keep_freed_memory()
    with few_blas_threads(), parallel.workers(processes) as team:
        task = kind(settings, dataset, rng=rng)
        step, seconds = 0, np.zeros(1)
        while True:
            if team.rank == 0:
                seconds[0] = float(sys.stdin.readline() or 0)
            team.broadcast(seconds)
            if not seconds[0]:
                return
            first, start, stop = step, time.perf_counter(), False
            while not stop:
                elapsed = time.perf_counter() - start
                _, stop = over_ranks(task.step(step), elapsed > seconds[0])
                step += 1
            if team.rank == 0:
                print((time.perf_counter() - start) / (step - first), flush=True)


class Run:
    """A run in processes of its own, which end with this one."""

    def __init__(self, workload: str, processes: int) -> None:
        command = [sys.executable, "-m", "benchmarks.busy", "--work", workload, str(processes)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # its other processes end when it has
        self.process.communicate()

    def step(self, seconds: float) -> float:
        """How long a step takes, in seconds: the mean over so many of them."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("a run has ended; its message stands above")
        return float(answer)


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many programs that never rest, and that end with this block or with this process."""
    command = [sys.executable, "-S", "-c", NEIGHBOUR.format(parent=os.getpid())]
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen(command))
            stack.callback(process.kill)
        yield


# ------------------------------------------------------------------------------------- the figures


def measure(workload: str, rounds: int, seconds: float, tick: Any) -> dict[str, list[float]]:
    """Seconds of a step in each round, by "PROCESSES beside NEIGHBOURS"."""
    times: dict[str, list[float]] = {}
    with ExitStack() as stack:
        runs = {count: stack.enter_context(Run(workload, count)) for count in PROCESSES}
        for run in runs.values():
            run.step(WARM_UP)
        for _, beside in product(range(rounds), NEIGHBOURS):
            for processes, run in runs.items():
                with neighbours(beside):
                    run.step(WARM_UP)
                    taken = run.step(seconds)
                times.setdefault(f"{processes} beside {beside}", []).append(taken)
                tick()
    return times


def fair(processes: int, beside: int, cores: int) -> float:
    """The part of a core that each process has when all have the same."""
    return min(1.0, cores / (processes + beside))


def rows(times: dict[str, list[float]], cores: int) -> Iterator[tuple[int, int, float, float]]:
    """Processes, neighbours, the milliseconds of a step, and which part of the fair share it is."""
    medians = {name: float(np.median(taken)) for name, taken in times.items()}
    for processes, beside in product(PROCESSES, NEIGHBOURS):
        alone, here = (medians[f"{processes} beside {n}"] for n in (0, beside))
        expected = alone * fair(processes, 0, cores) / fair(processes, beside, cores)
        yield processes, beside, 1e3 * here, expected / here


def show(results: dict[str, Any]) -> bool:
    """Print the table; whether all runs make enough of their share."""
    cores, enough = results["cores"], True
    heads = [f"{n} beside {beside}" for n, beside in product(PROCESSES, NEIGHBOURS)]
    print(f"{cores} cores; load at the start {results['load']:.2f}", end="")
    print(", which should be 0" if results["load"] > 0.5 else "")
    print(f"| ms a step, and part of the fair share | {' | '.join(heads)} |")
    print("|---" * (len(heads) + 1) + "|")
    for workload, times in results["workloads"].items():
        cells = []
        for _, beside, milliseconds, part in rows(times, cores):
            cells.append(f"{milliseconds:.3g}" + (f", {part:.2f}" if beside else ""))
            enough = enough and part >= TARGET
        print(f"| {workload} | {' | '.join(cells)} |")
    return enough


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__)
    add = parser.add_argument
    add("--only", action="append", choices=WORKLOADS, help="a workload (default: all)")
    add("--rounds", type=int, default=5, help="turns of each run beside each number of neighbours")
    add("--seconds", type=float, default=1.5, help="of a turn")
    add("--json", type=Path, help="a file for the results")
    add("--work", nargs=2, metavar=("WORKLOAD", "PROCESSES"), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.work:
        work(args.work[0], int(args.work[1]))
        return 0
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    results: dict[str, Any] = {"cores": parallel.cores(), "load": load, "workloads": {}}
    chosen = args.only or WORKLOADS
    turns = len(chosen) * args.rounds * len(PROCESSES) * len(NEIGHBOURS)
    try:
        with progress_bar(turns, "turns") as bar:
            for workload in chosen:
                bar.set_description(workload)
                times = measure(workload, args.rounds, args.seconds, bar.update)
                results["workloads"][workload] = times
    except KeyboardInterrupt:
        print("stopped")
        return 130
    if args.json:
        with atomic_write(args.json) as file:
            file.write(json.dumps(results, indent=1).encode())
    return 0 if show(results) else 1


if __name__ == "__main__":
    sys.exit(main())
